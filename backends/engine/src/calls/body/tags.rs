//! A call as its name and its arguments between tags. The values are bare text: the function's schema says what they are.
//!
//! Only the tag at its end shows that a call is whole: an argument might follow. So one that breaks off before it is none.

use super::{Call, Found, Function, may_name, named};

/// The tags.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::calls) struct Tags {
    /// Around the name. The last may be empty: a name ends where a line or a tag does.
    pub(in crate::calls) name: (&'static str, &'static str),
    /// Around the name of an argument.
    pub(in crate::calls) key: (&'static str, &'static str),
    /// Around its value.
    pub(in crate::calls) value: (&'static str, &'static str),
    /// Whether the value has lines of its own: a line break before and after it belongs to the tags.
    pub(in crate::calls) lines: bool,
    /// Behind the last argument.
    pub(in crate::calls) end: &'static str,
    /// Whether that is the end mark of the format, which is not of the call itself.
    pub(in crate::calls) ends_with_mark: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::calls) struct Reader {
    tags: &'static Tags,
    /// How much of the text has been read.
    at: usize,
    /// How much of it has been searched for the tag that it waits for.
    searched: usize,
    stage: Stage,
    name: String,
    arguments: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Name,
    /// Behind the name or an argument.
    Between,
    Key,
    /// Behind the name of an argument.
    Keyed,
    Value,
}

/// What came of a step.
enum Step {
    On,
    Wait,
    Nothing,
    End(usize),
}

impl Reader {
    pub(super) fn new(tags: &'static Tags) -> Self {
        Self { tags, at: 0, searched: 0, stage: Stage::Name, name: String::new(), arguments: Vec::new() }
    }

    pub(super) fn read(&mut self, text: &str, functions: &[Function]) -> Found {
        loop {
            match self.step(text, functions) {
                Step::On => {}
                Step::Wait => return Found::Wait,
                Step::Nothing => return Found::Nothing,
                Step::End(end) => return self.call(end, functions).map_or(Found::Nothing, Found::Call),
            }
        }
    }

    fn call(&self, end: usize, functions: &[Function]) -> Option<Call> {
        let function = named(functions, &self.name)?;
        Some(Call { end, name: self.name.clone(), arguments: function.arguments(&self.arguments) })
    }

    fn step(&mut self, text: &str, functions: &[Function]) -> Step {
        let Tags { name, key, value, lines, end, ends_with_mark } = self.tags;
        match self.stage {
            Stage::Name => {
                let Some(written) = text.strip_prefix(name.0) else {
                    return if name.0.starts_with(text) { Step::Wait } else { Step::Nothing };
                };
                let written = written.trim_start();
                let Some(len) = written.find(['<', '>', '\n']) else {
                    let may_be = may_name(functions, written.trim_end());
                    return if may_be { Step::Wait } else { Step::Nothing };
                };
                let whole = written[..len].trim_end();
                if named(functions, whole).is_none() || !written[len..].starts_with(name.1) {
                    return Step::Nothing;
                }
                self.name = whole.to_owned();
                self.go(text.len() - written.len() + len + name.1.len(), Stage::Between)
            }
            Stage::Between => {
                let rest = text[self.at..].trim_start();
                let at = text.len() - rest.len();
                if rest.starts_with(key.0) {
                    return self.go(at + key.0.len(), Stage::Key);
                }
                if rest.starts_with(end) {
                    return Step::End(if *ends_with_mark { at } else { at + end.len() });
                }
                if key.0.starts_with(rest) || end.starts_with(rest) { Step::Wait } else { Step::Nothing }
            }
            Stage::Key => {
                let Some(tag) = self.find(text, key.1) else {
                    // No name has a line break in it: a text that goes on so is no call.
                    return if text[self.at..].contains('\n') { Step::Nothing } else { Step::Wait };
                };
                let named = &text[self.at..tag];
                if named.contains('\n') {
                    return Step::Nothing;
                }
                self.arguments.retain(|(key, _)| key != named.trim());
                self.arguments.push((named.trim().to_owned(), String::new()));
                self.go(tag + key.1.len(), if value.0.is_empty() { Stage::Value } else { Stage::Keyed })
            }
            Stage::Keyed => {
                let rest = text[self.at..].trim_start();
                if rest.starts_with(value.0) {
                    return self.go(text.len() - rest.len() + value.0.len(), Stage::Value);
                }
                if value.0.starts_with(rest) { Step::Wait } else { Step::Nothing }
            }
            Stage::Value => {
                let Some(tag) = self.find(text, value.1) else { return Step::Wait };
                let mut written = &text[self.at..tag];
                if *lines {
                    written = written.strip_prefix('\n').unwrap_or(written);
                    written = written.strip_suffix('\n').unwrap_or(written);
                }
                if let Some((_, value)) = self.arguments.last_mut() {
                    written.clone_into(value);
                }
                self.go(tag + value.1.len(), Stage::Between)
            }
        }
    }

    fn go(&mut self, at: usize, stage: Stage) -> Step {
        (self.at, self.searched, self.stage) = (at, at, stage);
        Step::On
    }

    /// Where the tag stands. What has been searched is not searched again.
    fn find(&mut self, text: &str, tag: &str) -> Option<usize> {
        let from = text.floor_char_boundary(self.searched.saturating_sub(tag.len()).max(self.at));
        self.searched = text.len();
        text[from..].find(tag).map(|at| from + at)
    }
}
