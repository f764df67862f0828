//! A call as its name, a mark, and a JSON object of its arguments, as newer models of Mistral write it.

use super::{
    Call, Found, Function,
    json::{Scan, is_object},
    may_name, named,
};

/// The marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::calls) struct Named {
    /// What stands before the arguments.
    pub(in crate::calls) arguments: &'static str,
    /// What may stand between the name and that, with an id behind it that means nothing here.
    pub(in crate::calls) id: &'static str,
}

/// Bytes of an id. Mistral's have nine.
const MAX_ID: usize = 64;

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::calls) struct Reader {
    marks: Named,
    /// The function, and where the arguments begin.
    found: Option<(String, usize)>,
    scan: Scan,
}

impl Reader {
    pub(super) fn new(marks: Named) -> Self {
        Self { marks, found: None, scan: Scan::default() }
    }

    pub(super) fn read(&mut self, text: &str, functions: &[Function]) -> Found {
        let Named { arguments, id } = self.marks;
        if self.found.is_none() {
            let Some(mark) = text.find(arguments) else {
                let name = text.find('[').map_or(text, |end| &text[..end]);
                let rest = &text[name.len()..];
                let may_be = may_name(functions, name.trim_end())
                    && (arguments.starts_with(rest)
                        || id.starts_with(rest)
                        || rest.starts_with(id) && rest.len() < MAX_ID + id.len() + arguments.len());
                return if may_be { Found::Wait } else { Found::Nothing };
            };
            let (name, told) = text[..mark].split_once(id).unwrap_or((&text[..mark], ""));
            if name.contains('[') || named(functions, name.trim_end()).is_none() || told.len() > MAX_ID {
                return Found::Nothing;
            }
            self.found = Some((name.trim_end().to_owned(), mark + arguments.len()));
        }
        let Some((name, begin)) = &self.found else { return Found::Nothing };
        let written = &text[*begin..];
        let blanks = written.len() - written.trim_start().len();
        if blanks < written.len() && !written[blanks..].starts_with('{') {
            return Found::Nothing;
        }
        let Some(end) = self.scan.end(written) else { return Found::Wait };
        if !is_object(&written[..end]) {
            return Found::Nothing;
        }
        Found::Call(Call { end: begin + end, name: name.clone(), arguments: written[blanks..end].to_owned() })
    }
}
