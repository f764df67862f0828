//! A call as a JSON object with its name and its arguments, and where such a value ends.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{Call, Found, Function, named};

/// A call as models write it, by either name of its arguments.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

/// Reads a call that is a JSON object.
pub(super) fn read(scan: &mut Scan, text: &str, functions: &[Function]) -> Found {
    if !text.starts_with('{') {
        return Found::Nothing;
    }
    let Some(end) = scan.end(text) else { return Found::Wait };
    match parse(&text[..end]).filter(|(name, _)| named(functions, name).is_some()) {
        Some((name, arguments)) => Found::Call(Call { end, name, arguments }),
        None => Found::Nothing,
    }
}

/// The function and the arguments of a call, if it is one.
fn parse(json: &str) -> Option<(String, String)> {
    let Written { name, arguments } = serde_json::from_str(json).ok()?;
    let arguments = match arguments.map(RawValue::get) {
        None | Some("null") => "{}".to_owned(),
        // Some models write them as the text that they become.
        Some(text) if text.starts_with('"') => serde_json::from_str(text).ok()?,
        Some(text) => text.to_owned(),
    };
    is_object(&arguments).then(|| (name.into_owned(), arguments))
}

/// Whether a text is a JSON object. Not read as a `Value`, which has no room for every number that JSON has.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Looks for the end of a bracketed value in a text that comes piece by piece: of JSON, or as Python has them.
#[derive(Clone, Debug, Default)]
pub(in crate::calls) struct Scan {
    /// How much of the text has been looked at.
    pub(in crate::calls) at: usize,
    depth: usize,
    /// The quote that a string began with, while in one.
    quote: Option<u8>,
    escaped: bool,
}

impl Scan {
    /// Where the value ends, if it does.
    pub(in crate::calls) fn end(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate().skip(self.at) {
            self.at = at + 1;
            match (byte, self.quote) {
                _ if self.escaped => self.escaped = false,
                (b'\\', Some(_)) => self.escaped = true,
                (_, Some(quote)) if byte == quote => self.quote = None,
                (_, Some(_)) => {}
                (b'"' | b'\'', None) => self.quote = Some(byte),
                (b'{' | b'[' | b'(', None) => self.depth += 1,
                (b'}' | b']' | b')', None) => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
