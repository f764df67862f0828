//! Takes an answer apart into text and tool calls, while it is written.
//!
//! Text leaves at once, but for an end of it that a mark may begin with. What stands behind a mark is a call if it is whole
//! JSON with the name of a function that was offered and an object of arguments; anything else leaves as text, mark and all,
//! so no call is ever invented. Where a grammar vouches for the calls their arguments leave as they come, else once the call
//! is whole. However the answer is cut into pieces, what leaves adds up to the same.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::reasoning::overlap;

use super::Format;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text for the caller.
    Text(String),
    /// A call begins: its place among the calls, and the function.
    Begins(u32, String),
    /// More of its arguments.
    Arguments(u32, String),
}

/// How an answer is read.
#[derive(Clone, Debug)]
pub(crate) struct Parser {
    format: &'static Format,
    /// The functions on offer.
    names: Arc<[String]>,
    /// Whether calls are made as [`Format::opening`] says, with arguments that are sure to be whole: a grammar sees to it.
    sure: bool,
    /// Whether a call may begin anywhere, and not only where the answer does.
    anywhere: bool,
    /// What has come and not left.
    held: String,
    state: State,
    /// Calls that have begun.
    calls: u32,
}

#[derive(Clone, Debug)]
enum State {
    /// In text. `blank`: nothing but blanks has come of it, since the answer began or a call ended.
    Text { blank: bool },
    /// Where a call must stand. `before` leaves as text if none does. `listed`: within a list.
    Call { before: String, listed: bool, seen: Scan },
    /// In arguments that leave as they come.
    Arguments { listed: bool, seen: Scan },
    /// Behind those: the call ends.
    Closing { listed: bool },
    /// Behind a call.
    Behind { listed: bool },
    /// Where the end mark stands.
    Ending,
}

/// What a step came to.
#[derive(PartialEq, Eq)]
enum Step {
    /// There may be more to do.
    On,
    /// Nothing, until more comes.
    Wait,
}

impl Parser {
    /// A reader of an answer.
    pub(crate) fn new(format: &'static Format, names: Arc<[String]>, sure: bool, anywhere: bool) -> Self {
        Self { format, names, sure, anywhere, held: String::new(), state: State::Text { blank: true }, calls: 0 }
    }

    /// Takes more of the answer; `out` gets what may leave.
    pub(crate) fn push(&mut self, text: &str, out: &mut Vec<Part>) {
        self.held.push_str(text);
        while self.step(out) == Step::On {}
    }

    /// Takes the end of the answer.
    pub(crate) fn finish(&mut self, out: &mut Vec<Part>) {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Text { blank: false }) {
            State::Text { blank } => say(if blank && self.calls > 0 { held.trim_start() } else { &held }, out),
            State::Call { before, .. } => say(&(before + &held), out),
            // The model stopped within a call that has begun to leave, or within its end mark.
            State::Arguments { .. } | State::Closing { .. } | State::Behind { .. } | State::Ending => {}
        }
    }

    /// How many calls have begun.
    pub(crate) fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether a call is whole and nothing has come behind it.
    pub(crate) fn is_behind_a_call(&self) -> bool {
        self.calls > 0 && matches!(self.state, State::Behind { .. } | State::Ending | State::Text { blank: true })
    }

    /// Whether what comes is text, as far as that can be told.
    pub(crate) fn is_in_text(&self) -> bool {
        matches!(self.state, State::Text { .. })
    }

    fn step(&mut self, out: &mut Vec<Part>) -> Step {
        match std::mem::replace(&mut self.state, State::Ending) {
            State::Text { blank } => self.text(blank, out),
            State::Call { before, listed, seen } => self.call(before, listed, seen, out),
            State::Arguments { listed, seen } => self.arguments(listed, seen, out),
            State::Closing { listed } => {
                self.skip_blanks();
                if self.held.is_empty() {
                    return self.wait(State::Closing { listed });
                }
                self.take("}");
                self.go(State::Behind { listed })
            }
            State::Behind { listed } => self.behind(listed),
            State::Ending => {
                self.skip_blanks();
                let end = self.format.end;
                if self.held.len() < end.len() && end.starts_with(&*self.held) {
                    return self.wait(State::Ending);
                }
                self.take(end);
                self.go(State::Text { blank: true })
            }
        }
    }

    fn text(&mut self, blank: bool, out: &mut Vec<Part>) -> Step {
        let Format { starts, list, .. } = self.format;
        let blanks = self.held.len() - self.held.trim_start().len();
        if blank && blanks == self.held.len() {
            return self.wait(State::Text { blank });
        }
        let opening = if *list { '[' } else { '{' };
        if blank && starts.contains(&"") && self.held[blanks..].starts_with(opening) {
            return self.enter(blanks);
        }
        let here = |at: usize| self.anywhere || blank && at <= blanks;
        let marks = || starts.iter().filter(|mark| !mark.is_empty());
        let found = marks().filter_map(|mark| self.held.find(mark).map(|at| (at, mark.len()))).min();
        if let Some((at, len)) = found.filter(|(at, _)| here(*at)) {
            if !(blank && at <= blanks) {
                let said: String = self.held.drain(..at).collect();
                self.say_text(blank, &said, out);
                return self.enter(len);
            }
            return self.enter(at + len);
        }
        let maybe = marks().map(|mark| overlap(&self.held, mark)).max().unwrap_or(0);
        let len = if here(self.held.len() - maybe) { self.held.len() - maybe } else { self.held.len() };
        if len == 0 || blank && len <= blanks {
            return self.wait(State::Text { blank });
        }
        let said: String = self.held.drain(..len).collect();
        self.say_text(blank, &said, out);
        self.wait(State::Text { blank: false })
    }

    /// Goes on where a call must stand, behind a mark that ends at `end`.
    fn enter(&mut self, end: usize) -> Step {
        let before: String = self.held.drain(..end).collect();
        self.go(State::Call { before, listed: false, seen: Scan::default() })
    }

    fn call(&mut self, mut before: String, listed: bool, mut seen: Scan, out: &mut Vec<Part>) -> Step {
        let at = self.held.len() - self.held.trim_start().len();
        let opens_list = self.format.list && !listed;
        match self.held[at..].chars().next() {
            None => return self.wait(State::Call { before, listed, seen }),
            Some('[') if opens_list => {
                before.extend(self.held.drain(..=at));
                return self.go(State::Call { before, listed: true, seen });
            }
            Some('{') if !opens_list => {}
            Some(_) => return self.no_call(&before, out),
        }
        if self.sure {
            let written = &self.held[at..];
            let openings = || self.names.iter().map(|name| (name, self.format.opening(name)));
            if let Some((name, opening)) = openings().find(|(_, opening)| written.starts_with(&**opening)) {
                out.push(Part::Begins(self.calls, name.clone()));
                self.calls += 1;
                self.held.drain(..at + opening.len());
                return self.go(State::Arguments { listed, seen: Scan::default() });
            }
            if openings().any(|(_, opening)| opening.starts_with(written)) {
                return self.wait(State::Call { before, listed, seen });
            }
        }
        let Some(end) = seen.end(&self.held) else { return self.wait(State::Call { before, listed, seen }) };
        let Some((name, arguments)) = read(&self.held[at..end]).filter(|(name, _)| self.names.contains(name)) else {
            return self.no_call(&before, out);
        };
        out.push(Part::Begins(self.calls, name));
        out.push(Part::Arguments(self.calls, arguments));
        self.calls += 1;
        self.held.drain(..end);
        self.go(State::Behind { listed })
    }

    /// What looked like the beginning of a call is text, and what follows is read anew.
    fn no_call(&mut self, before: &str, out: &mut Vec<Part>) -> Step {
        say(before, out);
        self.go(State::Text { blank: false })
    }

    fn arguments(&mut self, listed: bool, mut seen: Scan, out: &mut Vec<Part>) -> Step {
        let end = seen.end(&self.held);
        let part: String = self.held.drain(..end.unwrap_or(self.held.len())).collect();
        seen.at = 0;
        if !part.is_empty() {
            out.push(Part::Arguments(self.calls - 1, part));
        }
        match end {
            Some(_) => self.go(State::Closing { listed }),
            None => self.wait(State::Arguments { listed, seen }),
        }
    }

    fn behind(&mut self, listed: bool) -> Step {
        self.skip_blanks();
        let between = if listed { "," } else { self.format.between.trim() };
        if self.held.is_empty() && (listed || self.format.end.is_empty()) {
            return self.wait(State::Behind { listed });
        }
        if !between.is_empty() && self.take(between) {
            return self.go(State::Call { before: String::new(), listed, seen: Scan::default() });
        }
        if listed && !self.take("]") {
            return self.go(State::Text { blank: true });
        }
        self.go(State::Ending)
    }

    fn go(&mut self, state: State) -> Step {
        self.state = state;
        // A state waits where it needs more; with nothing left, all of them do.
        if self.held.is_empty() { Step::Wait } else { Step::On }
    }

    fn wait(&mut self, state: State) -> Step {
        self.state = state;
        Step::Wait
    }

    fn skip_blanks(&mut self) {
        let blanks = self.held.len() - self.held.trim_start().len();
        self.held.drain(..blanks);
    }

    /// Whether the text was next; then it is taken.
    fn take(&mut self, text: &str) -> bool {
        let next = self.held.starts_with(text);
        if next {
            self.held.drain(..text.len());
        }
        next
    }

    /// Text; blanks behind a call belong to nothing.
    fn say_text(&self, blank: bool, text: &str, out: &mut Vec<Part>) {
        say(if blank && self.calls > 0 { text.trim_start() } else { text }, out);
    }
}

fn say(text: &str, out: &mut Vec<Part>) {
    match out.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(said)) => said.push_str(text),
        _ => out.push(Part::Text(text.to_owned())),
    }
}

/// A call as models write it, by either name of its arguments.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

/// The function and the arguments of a call, if it is one.
fn read(json: &str) -> Option<(String, String)> {
    let Written { name, arguments } = serde_json::from_str(json).ok()?;
    let arguments = match arguments.map(RawValue::get) {
        None | Some("null") => "{}".to_owned(),
        // Some models write them as the text that they become.
        Some(text) if text.starts_with('"') => serde_json::from_str(text).ok()?,
        Some(text) => text.to_owned(),
    };
    let object = arguments.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(&arguments).is_ok();
    object.then(|| (name.into_owned(), arguments))
}

/// Looks for the end of a JSON object or array in a text that comes piece by piece.
#[derive(Clone, Debug, Default)]
struct Scan {
    /// How much of the text has been looked at.
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Where the value ends, if it does.
    fn end(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate().skip(self.at) {
            self.at = at + 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
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
