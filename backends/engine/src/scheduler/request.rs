//! A request that the loop works on: its choices, its counts, and the way its events go out.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use backends::{BackendError, Event, FinishReason, Usage};
use tokio::sync::mpsc::{self, Sender, error::TrySendError};

use crate::prepare::Choice;

use super::{
    Shared,
    stream::{Events, Flow},
};

/// Events that wait for a reader before its request is left out of steps.
pub(super) const BUFFER: usize = 32;

pub(super) type Item = Result<Event, BackendError>;

/// See the module.
pub(super) struct Open {
    /// Those that the loop has not taken over.
    pub(super) choices: Vec<Choice>,
    events: Sender<Item>,
    /// Events that found no room. At most what one step makes: then the request waits. An engine that schedules by itself
    /// cannot wait, so there it is at most what the rest of the answer makes.
    unsent: VecDeque<Item>,
    pub(super) flow: Arc<Flow>,
    /// Choices that have not finished.
    left: usize,
    /// Whether one of them had a slot.
    pub(super) begun: bool,
    usage: Usage,
    ended: bool,
}

/// A request and the stream of its events.
pub(super) fn open(choices: Vec<Choice>, shared: &Arc<Shared>) -> (Open, Events) {
    let (events, receiver) = mpsc::channel(BUFFER);
    let flow = Arc::new(Flow::new(Arc::clone(shared)));
    // Choices of the same prompt share it, and callers expect to see it counted once.
    let mut prompts: Vec<&Arc<[u32]>> = choices.iter().map(|choice| &choice.prompt).collect();
    prompts.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let prompt_tokens = prompts.iter().map(|prompt| prompt.len() as u64).sum();
    let open = Open {
        left: choices.len(),
        begun: false,
        usage: Usage { prompt_tokens, ..Usage::default() },
        choices,
        events,
        unsent: VecDeque::new(),
        flow: Arc::clone(&flow),
        ended: false,
    };
    (open, Events::new(receiver, flow))
}

impl Open {
    /// Whether the caller is there and waits for more.
    pub(super) fn is_wanted(&self) -> bool {
        !self.ended && !self.events.is_closed()
    }

    /// Whether the reader keeps up.
    pub(super) fn has_room(&self) -> bool {
        self.unsent.is_empty() && !self.ended
    }

    /// Sends what waits. Answers whether the request is still of interest: its caller is there, and not all
    /// has been sent.
    pub(super) fn flush(&mut self) -> bool {
        if self.events.is_closed() {
            return false;
        }
        if self.try_send() {
            return !self.ended;
        }
        // The reader may have made room before it could see that we wait for it.
        self.flow.stalled.store(true, SeqCst);
        if self.try_send() {
            self.flow.stalled.store(false, SeqCst);
            return !self.ended;
        }
        true
    }

    /// Whether all was sent.
    fn try_send(&mut self) -> bool {
        while let Some(item) = self.unsent.pop_front() {
            match self.events.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => {
                    self.unsent.push_front(item);
                    return false;
                }
                // `flush` sees it next time.
                Err(TrySendError::Closed(_)) => self.unsent.clear(),
            }
        }
        true
    }

    pub(super) fn send(&mut self, event: Event) {
        self.unsent.push_back(Ok(event));
    }

    /// Counts what of a choice's prompt was held from before: once where choices share a prompt, as the prompt is.
    pub(super) fn found(&mut self, choice: &Choice, held: usize) {
        if choice.stream == 0 {
            self.usage.cached_tokens += held as u64;
        }
    }

    /// Counts a generated token.
    pub(super) fn generated(&mut self) {
        self.usage.completion_tokens += 1;
    }

    /// Says of a generated token that it was reasoning.
    pub(super) fn reasoned(&mut self) {
        self.usage.reasoning_tokens += 1;
    }

    /// Ends a choice, and with the last one the request.
    pub(super) fn finish(&mut self, index: u32, reason: FinishReason) {
        self.send(Event::Finish { index, reason });
        self.left -= 1;
        if self.left == 0 {
            // Before it is told, so that whoever has been told finds it counted.
            self.flow.shared.finished(&self.usage);
            self.send(Event::Usage(self.usage));
            self.ended = true;
        }
    }

    /// Ends the request with an error of the engine's.
    pub(super) fn fail(&mut self, reason: &str) {
        self.end(BackendError::Internal { reason: reason.to_owned() });
    }

    /// Ends the request with an error.
    pub(super) fn end(&mut self, error: BackendError) {
        if !self.ended {
            self.unsent.push_back(Err(error));
            self.ended = true;
        }
    }
}
