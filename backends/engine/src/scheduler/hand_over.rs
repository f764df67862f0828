//! Choices for an engine that has a scheduler of its own.
//!
//! Such an engine gets each choice as a [`Writing`] and gives it a row of logits whenever it has one; all the rest - drawing
//! the token, the form of the answer, its end, its events - happens here, as for any other engine. What it decides is only
//! which choice is computed when. Two things follow from that: a reader who is slow holds nobody up, and cannot be waited
//! for either, so what he has not read is kept, at most the whole answer; and a caller who is gone is noticed when the next
//! row comes.
//!
//! The worker's thread lets choices in, as many as there are slots, and sends what waits for slow readers.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Instant,
};

use crate::{pictures::Placed, prepare::Choice, tokenizer::Tokenizer};

use super::{
    MAX_FAILURES, Shared, Worker,
    line::Line,
    note,
    request::Open,
    sequence::{Next, Sequence},
};

/// An engine with a scheduler of its own.
pub trait Writes {
    /// Takes a choice over, which it has room for. Returns at once; other threads may give the logits.
    fn begin(&mut self, writing: Writing);
}

/// A choice that an engine works on. Dropped before it is over, it fails its request.
pub struct Writing {
    sequence: Sequence,
    tokenizer: Arc<dyn AsRef<Tokenizer> + Send + Sync>,
    request: Arc<Mutex<Open>>,
    /// Until it is over.
    slot: Option<Slot>,
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writing")
    }
}

impl Writing {
    /// What it goes on from; never empty.
    pub fn prompt(&self) -> &[u32] {
        self.sequence.prompt()
    }

    /// The pictures in that, in their order.
    pub fn pictures(&self) -> &[Placed] {
        self.sequence.pictures()
    }

    /// Tokens that it may have at most: it is over by then.
    pub fn max_tokens(&self) -> usize {
        self.sequence.max_tokens()
    }

    /// Whether there is anybody to write for.
    pub fn is_wanted(&self) -> bool {
        self.slot.is_some() && lock(&self.request).is_wanted()
    }

    /// Goes on with what may follow the prompt and the tokens drawn so far: one number a token of the vocabulary, and any
    /// number more. The token that was drawn, or `None` when there is nothing more to compute: the answer is whole, it
    /// failed, or its caller is gone.
    pub fn advance(&mut self, logits: &[f32]) -> Option<u32> {
        let tokenizer = (*self.tokenizer).as_ref();
        let Some(row) = logits.get(..tokenizer.len()) else {
            self.fail("the model gave too few logits");
            return None;
        };
        let slot = self.slot.as_ref()?;
        slot.shared.failures.store(0, SeqCst);
        go_on(&mut self.sequence, &mut self.slot, &[row], tokenizer, &self.request)
    }

    /// Ends the request: the model failed, for a reason that its caller may read.
    pub fn fail(&mut self, reason: &str) {
        let Some(slot) = self.slot.take() else { return };
        slot.shared.failures.fetch_add(1, SeqCst);
        let mut request = lock(&self.request);
        drop(slot);
        request.fail(reason);
        request.flush();
    }

    /// Ends a choice of which nothing is asked but its prompt.
    fn end(&mut self) {
        go_on(&mut self.sequence, &mut self.slot, &[], (*self.tokenizer).as_ref(), &self.request);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.fail("the model failed");
    }
}

/// A step of a choice: the token that was drawn, unless that was the end.
fn go_on(
    sequence: &mut Sequence,
    slot: &mut Option<Slot>,
    rows: &[&[f32]],
    tokenizer: &Tokenizer,
    request: &Mutex<Open>,
) -> Option<u32> {
    let mut request = lock(request);
    let next = if request.is_wanted() { step(sequence, rows, tokenizer, &mut request) } else { None };
    if next.is_none() {
        // Before the events leave, so that a caller who has them sees the slot free.
        *slot = None;
    }
    request.flush();
    next
}

fn step(sequence: &mut Sequence, rows: &[&[f32]], tokenizer: &Tokenizer, request: &mut Open) -> Option<u32> {
    // The first row follows the whole prompt, each other one a token.
    let count = sequence.prompt_left().max(1);
    match catch_unwind(AssertUnwindSafe(|| sequence.advance(count, rows, tokenizer, request))) {
        Ok(Ok(Next::More)) => return Some(sequence.next()),
        Ok(Ok(Next::Over)) => {}
        Ok(Err(reason)) => request.fail(reason),
        Err(_) => {
            tracing::error!("a choice failed");
            request.fail("the engine failed on this request");
        }
    }
    None
}

/// A place that is taken while it lives.
struct Slot {
    shared: Arc<Shared>,
    started: Instant,
    /// Where it is counted, if it gives way to others.
    low: Option<Arc<AtomicUsize>>,
}

impl Slot {
    fn take(shared: &Arc<Shared>, sequence: &Sequence, low: &Arc<AtomicUsize>) -> Self {
        shared.running.fetch_add(1, SeqCst);
        let low = sequence.is_low().then(|| Arc::clone(low));
        if let Some(low) = &low {
            low.fetch_add(1, SeqCst);
        }
        Self { shared: Arc::clone(shared), started: sequence.started, low }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        note(&self.shared.service_ms, self.shared.clock.now().saturating_duration_since(self.started));
        if let Some(low) = &self.low {
            low.fetch_sub(1, SeqCst);
        }
        // The loop sets it to nothing when it ends; what ends behind that counts no more.
        let _ = self.shared.running.fetch_update(SeqCst, SeqCst, |running| running.checked_sub(1));
        self.shared.wake();
    }
}

/// Nothing that panics happens under it, but for what is caught.
fn lock(request: &Mutex<Open>) -> MutexGuard<'_, Open> {
    request.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands choices to a model until the engine is dropped or the model fails over and over.
pub(super) fn run(model: impl Writes, worker: Worker) {
    let Worker { slots, tokenizer, shared, .. } = worker;
    Desk {
        model,
        slots: slots as u32,
        tokenizer,
        shared,
        requests: HashMap::new(),
        next_request: 0,
        line: Line::new(slots),
        low: Arc::default(),
    }
    .run();
}

/// The loop's own state.
struct Desk<M> {
    model: M,
    slots: u32,
    tokenizer: Arc<dyn AsRef<Tokenizer> + Send + Sync>,
    shared: Arc<Shared>,
    requests: HashMap<u64, Arc<Mutex<Open>>>,
    next_request: u64,
    line: Line<(u64, Choice)>,
    /// Slots that those of low priority have.
    low: Arc<AtomicUsize>,
}

impl<M: Writes> Desk<M> {
    fn run(mut self) {
        // A step that fails takes all its choices with it.
        while self.shared.goes_on(MAX_FAILURES * self.slots) {
            self.receive();
            self.requests.retain(|_, request| lock(request).flush());
            self.line.retain(|(request, _)| self.requests.contains_key(request));
            self.admit();
            self.count();
            self.foresee();
            // Whoever changes something wakes us, also if that was a moment ago.
            thread::park();
        }
        for request in self.requests.values() {
            let mut request = lock(request);
            request.fail("the engine has stopped");
            request.flush();
        }
    }

    /// Takes new requests in.
    fn receive(&mut self) {
        let new = std::mem::take(&mut *self.shared.inbox());
        for mut open in new {
            let id = self.next_request;
            self.next_request += 1;
            for choice in std::mem::take(&mut open.choices) {
                self.line.join(choice.priority, (id, choice));
            }
            self.requests.insert(id, Arc::new(Mutex::new(open)));
        }
    }

    /// Gives free slots to those whose turn it is.
    fn admit(&mut self) {
        while self.shared.running.load(SeqCst) < self.slots
            && let Some((id, choice)) = self.line.take(self.low.load(SeqCst))
        {
            let Some(request) = self.requests.get(&id) else { continue };
            let sequence = Sequence::new(id, 0, 0, choice, (*self.tokenizer).as_ref(), self.shared.clock.now());
            let mut writing = Writing {
                slot: Some(Slot::take(&self.shared, &sequence, &self.low)),
                sequence,
                tokenizer: Arc::clone(&self.tokenizer),
                request: Arc::clone(request),
            };
            self.count();
            if writing.max_tokens() == 0 {
                // Its prompt is all its text, and that takes no computing.
                writing.end();
            } else {
                self.model.begin(writing);
            }
        }
    }

    /// The count that others see.
    fn count(&self) {
        self.shared.count_queued(&self.line);
    }

    /// Tells others when one that came now would begin: how far those are that have slots is the engine's to know, so it is by
    /// how often a slot becomes free.
    fn foresee(&self) {
        let each = self.shared.each(self.slots);
        let before = self.shared.running.load(SeqCst) as usize + self.line.usual().len();
        let seconds = match before.checked_sub(self.slots as usize) {
            None => Some(0.0),
            Some(behind) => (!each.is_zero()).then(|| each.as_secs_f64() * (behind + 1) as f64),
        };
        self.shared.tell_wait(seconds, each);
    }
}
