//! Reads one call, behind its mark, while it is written.
//!
//! What each family writes there is a [`Writing`]. A reader says as soon as it can that a text is no call, and never says
//! otherwise of a text that goes on.

mod code;
mod json;
mod named;
mod tags;

pub(super) use json::Scan;
pub(super) use named::Named;
pub(super) use tags::Tags;

use super::Function;

/// How a call is written behind its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// A JSON object with the name and the arguments.
    Json,
    /// The name, a mark, and a JSON object of the arguments.
    Named(Named),
    /// The name and each argument between tags; or as [`Writing::Json`].
    Tags(&'static Tags),
    /// A block of code: a call as Python has it, or as [`Writing::Json`].
    Code,
}

impl Writing {
    /// The marks within calls; some may be empty.
    pub(super) fn marks(self) -> impl Iterator<Item = &'static str> {
        let marks = match self {
            Self::Json | Self::Code => [""; 7],
            Self::Named(Named { arguments, id }) => [arguments, id, "", "", "", "", ""],
            Self::Tags(Tags { name, key, value, end, .. }) => [name.0, name.1, key.0, key.1, value.0, value.1, end],
        };
        marks.into_iter()
    }
}

/// What a text comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A call may become of it.
    Wait,
    /// No call, whatever follows.
    Nothing,
    /// A call.
    Call(Call),
}

/// A call that has been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Where it ends in the text.
    pub(super) end: usize,
    pub(super) name: String,
    /// A JSON object.
    pub(super) arguments: String,
}

/// A call that is being read.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Json(Scan),
    Named(named::Reader),
    Tags(tags::Reader),
    Code(code::Reader),
}

impl Body {
    /// A call that begins with `first`.
    pub(super) fn new(writing: Writing, first: char) -> Self {
        match writing {
            Writing::Json => Self::Json(Scan::default()),
            // As such a model is made to write it where it must call.
            Writing::Tags(_) if first == '{' => Self::Json(Scan::default()),
            Writing::Named(named) => Self::Named(named::Reader::new(named)),
            Writing::Tags(tags) => Self::Tags(tags::Reader::new(tags)),
            Writing::Code => Self::Code(code::Reader::default()),
        }
    }

    /// Reads on in a text of which all that was seen before is still the beginning.
    pub(super) fn read(&mut self, text: &str, functions: &[Function]) -> Found {
        match self {
            Self::Json(scan) => json::read(scan, text, functions),
            Self::Named(reader) => reader.read(text, functions),
            Self::Tags(reader) => reader.read(text, functions),
            Self::Code(reader) => reader.read(text, functions),
        }
    }
}

/// The function with this name.
fn named<'f>(functions: &'f [Function], name: &str) -> Option<&'f Function> {
    functions.iter().find(|function| function.name == name)
}

/// Whether a function's name may become of this text.
fn may_name(functions: &[Function], text: &str) -> bool {
    functions.iter().any(|function| function.name.starts_with(text))
}
