//! Parts what a model writes for itself before its answer (`<think>...</think>`) from the answer, while it is written.
//!
//! A model does this if its chat template knows the marks, whatever its name is. The block begins in the prompt, where the
//! template ends with the mark, or is the first thing in the answer; a mark anywhere else is text. Marks and the blanks around
//! the reasoning leave in neither part, all else leaves at once but for an end of it that the closing mark may begin with, and a
//! block that is never closed is reasoning to its end. However the answer is cut into pieces, what leaves adds up to the same.
//!
//! Knows text only: nothing of tokens or tool calls.

#[cfg(test)]
mod tests;

/// Begins what a model writes for itself.
pub(crate) const OPEN: &str = "<think>";
/// Ends it.
pub(crate) const CLOSE: &str = "</think>";

/// Whether models with this chat template write reasoning. Some templates only cut it out of earlier turns.
pub(crate) fn is_known_to(template: &str) -> bool {
    template.contains(OPEN) || template.contains(CLOSE)
}

/// Whether a prompt ends within reasoning that has just begun.
pub(crate) fn is_opened_by(prompt: &str) -> bool {
    prompt.trim_end().ends_with(OPEN)
}

/// What may leave of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) reasoning: String,
    pub(crate) answer: String,
}

/// An answer that may begin with reasoning.
#[derive(Clone, Debug)]
pub(crate) struct Reasoning {
    state: State,
    /// What has come and not left.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but blanks, or the beginning of a mark, has come.
    Before,
    /// In reasoning. `blank`: nothing but blanks has come of it.
    Inside { blank: bool },
    /// Behind the closing mark, with nothing but blanks since.
    Closed,
    /// In the answer.
    Answer,
}

impl Reasoning {
    /// An answer that begins within reasoning, where the prompt has opened it, or with the answer or a mark.
    pub(crate) fn new(opened: bool) -> Self {
        let state = if opened { State::Inside { blank: true } } else { State::Before };
        Self { state, held: String::new() }
    }

    /// Whether it cannot be told yet what the answer begins with.
    pub(crate) fn is_undecided(&self) -> bool {
        self.state == State::Before
    }

    /// Whether reasoning has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.state, State::Inside { .. })
    }

    /// Whether the answer itself has begun.
    pub(crate) fn is_in_answer(&self) -> bool {
        self.state == State::Answer
    }

    /// Takes more of the answer.
    pub(crate) fn push(&mut self, text: &str) -> Parts {
        let mut parts = Parts::default();
        if self.state == State::Answer {
            parts.answer.push_str(text);
            return parts;
        }
        self.held.push_str(text);
        while self.step(&mut parts) {}
        parts
    }

    /// Takes the end of the answer.
    pub(crate) fn finish(&mut self) -> Parts {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Answer) {
            State::Before => Parts { answer: held, ..Parts::default() },
            State::Inside { .. } => Parts { reasoning: held.trim_end().to_owned(), ..Parts::default() },
            State::Closed | State::Answer => Parts::default(),
        }
    }

    /// Whether there may be more to do with what is held.
    fn step(&mut self, parts: &mut Parts) -> bool {
        match self.state {
            State::Before => {
                let written = self.held.trim_start();
                if written.starts_with(OPEN) {
                    let end = self.held.len() - written.len() + OPEN.len();
                    self.held.drain(..end);
                    self.state = State::Inside { blank: true };
                    return true;
                }
                if OPEN.starts_with(written) {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Inside { blank } => self.inside(blank, parts),
            State::Closed => {
                let blanks = self.held.len() - self.held.trim_start().len();
                self.held.drain(..blanks);
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Answer => {
                parts.answer.push_str(&std::mem::take(&mut self.held));
                false
            }
        }
    }

    fn inside(&mut self, blank: bool, parts: &mut Parts) -> bool {
        if blank {
            let blanks = self.held.len() - self.held.trim_start().len();
            self.held.drain(..blanks);
        }
        let closes = self.held.find(CLOSE);
        let end = closes.unwrap_or_else(|| self.held.len() - overlap(&self.held, CLOSE));
        // Blanks before the mark belong to it, as far as can be told yet.
        let end = self.held[..end].trim_end().len();
        parts.reasoning.extend(self.held.drain(..end));
        if closes.is_none() {
            self.state = State::Inside { blank: blank && end == 0 };
            return false;
        }
        let rest = self.held.trim_start().len() - CLOSE.len();
        self.held.drain(..self.held.len() - rest);
        self.state = State::Closed;
        true
    }
}

/// Length of the longest end of `text` that `mark` begins with, but for the whole of it.
pub(crate) fn overlap(text: &str, mark: &str) -> usize {
    mark.char_indices().map(|(end, _)| end).filter(|&end| end > 0 && text.ends_with(&mark[..end])).max().unwrap_or(0)
}
