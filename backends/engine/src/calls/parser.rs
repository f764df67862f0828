//! Takes an answer apart into text and tool calls, while it is written.
//!
//! Text leaves at once, but for an end of it that a mark may begin with. What stands behind a mark is a call if it is whole
//! (`crate::calls::body` reads it), with the name of a function that was offered and an object of arguments; anything else
//! leaves as text, mark and all, so no call is ever invented. Where a grammar vouches for the calls their arguments leave as they come, else once the call
//! is whole. However the answer is cut into pieces, what leaves adds up to the same.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::reasoning::overlap;

use super::{
    Format, Function,
    body::{Body, Call, Found, Scan},
    format::{Marks, Several},
};

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
    /// Those that the latest call is between.
    marks: &'static Marks,
    /// The functions on offer.
    functions: Arc<[Function]>,
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
    Call { before: String, listed: bool, body: Option<Body> },
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
    pub(crate) fn new(format: &'static Format, functions: Arc<[Function]>, sure: bool, anywhere: bool) -> Self {
        let (state, marks) = (State::Text { blank: true }, &format.marks[0]);
        Self { format, marks, functions, sure, anywhere, held: String::new(), state, calls: 0 }
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
            State::Call { before, listed, body } => self.call(before, listed, body, out),
            State::Arguments { listed, seen } => self.arguments(listed, seen, out),
            State::Closing { listed } => {
                self.skip_blanks();
                if self.held.is_empty() {
                    return self.wait(State::Closing { listed });
                }
                self.take(self.format.closing());
                self.go(State::Behind { listed })
            }
            State::Behind { listed } => self.behind(listed),
            State::Ending => {
                self.skip_blanks();
                let end = self.marks.end;
                if self.held.len() < end.len() && end.starts_with(&*self.held) {
                    return self.wait(State::Ending);
                }
                self.take(end);
                self.go(State::Text { blank: true })
            }
        }
    }

    fn text(&mut self, blank: bool, out: &mut Vec<Part>) -> Step {
        let blanks = self.held.len() - self.held.trim_start().len();
        if blank && blanks == self.held.len() {
            return self.wait(State::Text { blank });
        }
        let all = self.format.marks;
        let opens = |marks: &Marks| {
            marks.start.is_empty()
                && self.held[blanks..].starts_with(if marks.several == Several::List { '[' } else { '{' })
        };
        if let Some(marks) = all.iter().find(|marks| blank && opens(marks)) {
            return self.enter(marks, blanks);
        }
        let here = |at: usize| self.anywhere || blank && at <= blanks;
        let named = || all.iter().filter(|marks| !marks.start.is_empty());
        let found = named().filter_map(|marks| Some((self.held.find(marks.start)?, marks)));
        if let Some((at, marks)) = found.min_by_key(|(at, _)| *at).filter(|(at, _)| here(*at)) {
            if !(blank && at <= blanks) {
                let said: String = self.held.drain(..at).collect();
                self.say_text(blank, &said, out);
                return self.enter(marks, marks.start.len());
            }
            return self.enter(marks, at + marks.start.len());
        }
        let maybe = named().map(|marks| overlap(&self.held, marks.start)).max().unwrap_or(0);
        let len = if here(self.held.len() - maybe) { self.held.len() - maybe } else { self.held.len() };
        if len == 0 || blank && len <= blanks {
            return self.wait(State::Text { blank });
        }
        let said: String = self.held.drain(..len).collect();
        self.say_text(blank, &said, out);
        self.wait(State::Text { blank: false })
    }

    /// Goes on where a call must stand, behind a mark that ends at `end`.
    fn enter(&mut self, marks: &'static Marks, end: usize) -> Step {
        self.marks = marks;
        let before: String = self.held.drain(..end).collect();
        self.go(State::Call { before, listed: false, body: None })
    }

    fn call(&mut self, mut before: String, listed: bool, body: Option<Body>, out: &mut Vec<Part>) -> Step {
        if body.is_none() {
            let blanks = self.held.len() - self.held.trim_start().len();
            before.extend(self.held.drain(..blanks));
        }
        let Some(first) = self.held.chars().next() else { return self.wait(State::Call { before, listed, body }) };
        if self.marks.several == Several::List && !listed {
            if first != '[' {
                return self.no_call(&before, out);
            }
            before.extend(self.held.drain(..1));
            return self.go(State::Call { before, listed: true, body });
        }
        if self.sure {
            let opening = |function: &Function| {
                let (opening, then) = self.format.opening(&function.name);
                (function.name.clone(), opening + then)
            };
            let openings: Vec<_> = self.functions.iter().map(opening).collect();
            if let Some((name, opening)) = openings.iter().find(|(_, opening)| self.held.starts_with(opening)) {
                out.push(Part::Begins(self.calls, name.clone()));
                self.calls += 1;
                self.held.drain(..opening.len());
                return self.go(State::Arguments { listed, seen: Scan::default() });
            }
            if openings.iter().any(|(_, opening)| opening.starts_with(&*self.held)) {
                return self.wait(State::Call { before, listed, body });
            }
        }
        let mut body = body.unwrap_or_else(|| Body::new(self.marks.writing, first));
        match body.read(&self.held, &self.functions) {
            Found::Wait => self.wait(State::Call { before, listed, body: Some(body) }),
            Found::Nothing => self.no_call(&before, out),
            Found::Call(Call { end, name, arguments }) => {
                out.push(Part::Begins(self.calls, name));
                out.push(Part::Arguments(self.calls, arguments));
                self.calls += 1;
                self.held.drain(..end);
                self.go(State::Behind { listed })
            }
        }
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
            Some(_) if self.format.closing().is_empty() => self.go(State::Behind { listed }),
            Some(_) => self.go(State::Closing { listed }),
            None => self.wait(State::Arguments { listed, seen }),
        }
    }

    fn behind(&mut self, listed: bool) -> Step {
        self.skip_blanks();
        let Marks { end, several, .. } = self.marks;
        let lines = *several == Several::Lines;
        let between = if listed { "," } else { self.format.between.trim() };
        if self.held.is_empty() && (listed || lines || end.is_empty()) {
            return self.wait(State::Behind { listed });
        }
        if !between.is_empty() && self.take(between)
            || lines && !self.held.starts_with(end) && !end.starts_with(&*self.held)
        {
            return self.go(State::Call { before: String::new(), listed, body: None });
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
