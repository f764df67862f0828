//! One thread that computes: takes requests in, works on several at once, sends their events out.
//!
//! Each turn of the loop takes a step of the model with the next token of every answer under way and a piece of the prompts that
//! wait, so a long prompt delays others by one step at most ([`batch`]); between steps with prompts answers get steps of their own
//! ([`turns`]), in which what comes next may be guessed and checked ([`lookup`], [`drafts`]). A caller who is gone is noticed before each step, in every phase, and during it by engines that ask
//! ([`Interest`]). A caller who reads slowly is left out of steps until there is room, and stops nobody else. An error in one
//! choice fails its own request; if the model itself fails over and over, the engine says that it is not healthy and stops. What
//! computes is behind [`Steps`].
//!
//! An engine that has a scheduler of its own gets the choices instead ([`hand_over`]); all else is the same.
//!
//! Knows tokens and events; nothing of HTTP, hosts or policies.

mod batch;
mod drafts;
mod guesses;
mod hand_over;
mod interest;
mod lookup;
mod request;
mod sequence;
mod steps;
mod stream;
mod turns;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant, SystemTime},
};

use backends::{BackendError, EventStream, Load, Tally, Usage};

use crate::{prepare::Choice, tokenizer::Tokenizer};

use drafts::Drafts;
use request::Open;
use sequence::Sequence;

pub use guesses::Guesses;
pub use hand_over::{Writes, Writing};
pub use interest::Interest;
pub use steps::{Ahead, Drafted, Halt, Holds, Start, Steps, Token};

/// After this many steps in a row that failed, the model is taken for broken.
pub(crate) const MAX_FAILURES: u32 = 3;

/// The way in for other threads.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    since: SystemTime,
    thread: Option<JoinHandle<()>>,
    max_queued: u32,
    slots: u32,
}

/// What the loop and the others both see. Orderings are SeqCst: a step costs a thousand times more.
#[derive(Default)]
struct Shared {
    inbox: Mutex<Vec<Open>>,
    interest: Arc<Interest>,
    alive: AtomicBool,
    running: AtomicU32,
    queued: AtomicU32,
    /// How often the model has failed since it last did not.
    failures: AtomicU32,
    /// A decayed mean of how long a choice takes, in milliseconds.
    service_ms: AtomicU64,
    /// Of requests that ended well: how many, and their tokens.
    finished: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    guesses: guesses::Counts,
    worker: Mutex<Option<Thread>>,
}

impl Shared {
    /// New requests; whoever holds it may change `queued`.
    fn inbox(&self) -> MutexGuard<'_, Vec<Open>> {
        // Nothing that panics happens under it.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that ended well.
    fn finished(&self, usage: &Usage) {
        self.finished.fetch_add(1, SeqCst);
        self.prompt_tokens.fetch_add(usage.prompt_tokens, SeqCst);
        self.completion_tokens.fetch_add(usage.completion_tokens, SeqCst);
    }

    /// Whether the engine goes on: nobody stops it, and the model has not failed `most` times in a row.
    fn goes_on(&self, most: u32) -> bool {
        !self.interest.is_stopped() && self.failures.load(SeqCst) < most
    }

    /// Makes the loop look around. To be called after the change that it should see.
    fn wake(&self) {
        if let Some(worker) = &*self.worker.lock().unwrap_or_else(PoisonError::into_inner) {
            worker.unpark();
        }
    }
}

impl Scheduler {
    /// Starts a thread that works for `slots` choices at once, which its model must be able to hold; `run` makes a model there and gives it to the worker. At most
    /// `max_queued` choices wait for a slot. A step takes about `step` at most, as far as its prompts are concerned.
    pub(crate) fn start(
        name: &str,
        slots: usize,
        tokenizer: Arc<impl AsRef<Tokenizer> + Send + Sync + 'static>,
        max_queued: u32,
        step: Option<Duration>,
        run: impl FnOnce(Worker) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { alive: true.into(), ..Shared::default() });
        let its = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // However the thread ends, nobody waits for it in vain.
            let _last = Last(Arc::clone(&its));
            run(Worker { slots, step, tokenizer, shared: its });
        })?;
        *shared.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
        Ok(Self { shared, since: SystemTime::now(), thread: Some(thread), max_queued, slots: slots as u32 })
    }

    /// Takes the choices of a request, or none of them.
    pub(crate) fn submit(&self, choices: Vec<Choice>) -> Result<EventStream, BackendError> {
        let count = choices.len() as u32;
        let (open, stream) = request::open(choices, &self.shared);
        let mut inbox = self.shared.inbox();
        // Under the lock: a loop that ends later drops the request, and the stream says so.
        if !self.shared.alive.load(SeqCst) {
            return Err(BackendError::Internal { reason: "the engine has stopped".into() });
        }
        let queued = self.shared.queued.load(SeqCst);
        // A request that is larger than the whole queue is taken when nothing else waits.
        if queued > 0 && queued.saturating_add(count) > self.max_queued {
            return Err(BackendError::Overloaded { retry_after: Some(self.retry_after()) });
        }
        self.shared.queued.store(queued + count, SeqCst);
        inbox.push(open);
        drop(inbox);
        self.shared.wake();
        Ok(Box::pin(stream))
    }

    /// Health and counts now; a choice counts as one.
    pub(crate) fn load(&self) -> Load {
        Load {
            healthy: self.shared.alive.load(SeqCst),
            running: self.shared.running.load(SeqCst),
            queued: self.shared.queued.load(SeqCst),
            ..Load::IDLE
        }
    }

    /// What ended well since it began, under the name of what counts.
    pub(crate) fn tally(&self, source: String) -> Tally {
        let Shared { finished, prompt_tokens, completion_tokens, .. } = &*self.shared;
        Tally {
            source,
            at: SystemTime::now(),
            since: Some(self.since),
            requests: Some(finished.load(SeqCst)),
            prompt_tokens: Some(prompt_tokens.load(SeqCst)),
            completion_tokens: Some(completion_tokens.load(SeqCst)),
            exact: true,
        }
    }

    /// What was guessed of answers, and how much of it was right.
    pub(crate) fn guesses(&self) -> Guesses {
        self.shared.guesses.read()
    }

    /// When about half of what waits now will have been served.
    fn retry_after(&self) -> Duration {
        let rounds = u64::from(self.shared.queued.load(SeqCst) / self.slots.max(1) / 2 + 1);
        Duration::from_millis(self.shared.service_ms.load(SeqCst).saturating_mul(rounds).clamp(1_000, 60_000))
    }
}

impl Drop for Scheduler {
    /// Ends what is under way with the present step.
    fn drop(&mut self) {
        self.shared.interest.stop();
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            let _ = thread.join();
            let Guesses { looked_up, looked_up_right, drafted, drafted_right } = self.guesses();
            if looked_up + drafted > 0 {
                tracing::info!(
                    engine = name,
                    looked_up,
                    looked_up_right,
                    drafted,
                    drafted_right,
                    "tokens that were guessed"
                );
            }
        }
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheduler({:?})", self.load())
    }
}

/// Says that the loop is over, when it is dropped.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.alive.store(false, SeqCst);
        let mut inbox = self.0.inbox();
        inbox.clear();
        self.0.running.store(0, SeqCst);
        self.0.queued.store(0, SeqCst);
    }
}

/// What the scheduler's thread does, once it has a model. Dropped without one, it ends the engine.
pub struct Worker {
    slots: usize,
    step: Option<Duration>,
    tokenizer: Arc<dyn AsRef<Tokenizer> + Send + Sync>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl Worker {
    /// Whether anybody waits for a step, which a model may ask while it computes one.
    pub fn interest(&self) -> Arc<Interest> {
        Arc::clone(&self.shared.interest)
    }

    /// Serves requests with a model until the engine is dropped or the model fails over and over.
    pub fn work(self, model: impl Steps) {
        let pace = batch::Pace::new(self.step, model.most_prompt_tokens());
        let turns = self.step.map(|_| turns::Turns::default());
        Loop::new(model, pace, turns, self.slots, (*self.tokenizer).as_ref(), self.shared).run();
    }

    /// The same with a model that schedules by itself.
    pub fn hand_over(self, model: impl Writes) {
        hand_over::run(model, self);
    }
}

/// The loop's own state.
struct Loop<'a, M> {
    model: M,
    pace: batch::Pace,
    /// None where steps are taken without regard to time.
    turns: Option<turns::Turns>,
    /// None where the model has no draft, or it has failed.
    drafts: Option<Drafts>,
    /// How long the draft took for the step to come.
    drafted: Duration,
    tokenizer: &'a Tokenizer,
    shared: Arc<Shared>,
    requests: HashMap<u64, Open>,
    next_request: u64,
    waiting: VecDeque<(u64, Choice)>,
    running: Vec<Sequence>,
    free: Vec<usize>,
}

impl<'a, M: Steps> Loop<'a, M> {
    fn new(
        model: M,
        pace: batch::Pace,
        turns: Option<turns::Turns>,
        slots: usize,
        tokenizer: &'a Tokenizer,
        shared: Arc<Shared>,
    ) -> Self {
        let free = (0..slots).rev().collect();
        let drafts = model.has_draft().then(|| Drafts::new(turns.is_some()));
        Self {
            model,
            pace,
            turns,
            drafts,
            drafted: Duration::ZERO,
            tokenizer,
            shared,
            requests: HashMap::new(),
            next_request: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            free,
        }
    }

    fn run(mut self) {
        while self.shared.goes_on(MAX_FAILURES) {
            self.receive();
            self.close();
            self.admit();
            let due = self.turns.as_ref().is_some_and(turns::Turns::answers_are_due);
            self.look_ahead(due);
            let requests = &self.requests;
            let ready = |sequence: &Sequence| requests.get(&sequence.request).is_some_and(Open::has_room);
            let batch = batch::choose(&self.running, self.pace.budget(), due, ready);
            if batch.tokens.is_empty() {
                // A model may have a sequence wait for what another one is computing, which nobody is now.
                if self.admit() {
                    continue;
                }
                // Whoever changes something wakes us, also if that was a moment ago.
                thread::park();
                continue;
            }
            self.step(&batch);
        }
    }

    /// Takes new requests in.
    fn receive(&mut self) {
        let new = std::mem::take(&mut *self.shared.inbox());
        for mut open in new {
            let id = self.next_request;
            self.next_request += 1;
            self.waiting.extend(std::mem::take(&mut open.choices).into_iter().map(|choice| (id, choice)));
            self.requests.insert(id, open);
        }
    }

    /// Sends what waits for readers; lets go of requests that are over or whose caller is gone.
    fn close(&mut self) {
        self.requests.retain(|_, request| request.flush());
        let open = &self.requests;
        self.waiting.retain(|(request, _)| open.contains_key(request));
        let (free, model) = (&mut self.free, &mut self.model);
        self.running.retain(|sequence| {
            let keep = open.contains_key(&sequence.request);
            if !keep {
                model.end(sequence.slot);
                free.push(sequence.slot);
            }
            keep
        });
        self.count();
    }

    /// Gives free slots to those who wait longest; says whether any got one.
    fn admit(&mut self) -> bool {
        let before = self.running.len();
        while let (Some(&slot), Some((id, choice))) = (self.free.last(), self.waiting.front()) {
            self.model.shows(slot, &choice.pictures);
            let Some(held) = self.model.begin(choice.start(slot)) else { break };
            self.free.pop();
            if let Some(request) = self.requests.get_mut(id) {
                request.found(choice, held);
            }
            if let Some((id, choice)) = self.waiting.pop_front() {
                let sequence = Sequence::new(id, slot, held, choice, self.tokenizer);
                let guesses = self.model.spare().is_some();
                self.running.push(if guesses { sequence.guessing(self.drafts.as_ref()) } else { sequence });
            }
        }
        self.count();
        self.running.len() > before
    }

    /// Has answers guessed ahead, as far as a step has time to spare: with prompts in it, which there are none in if answers are
    /// `due`, there is none.
    fn look_ahead(&mut self, due: bool) {
        let Some(spare) = self.model.spare() else { return };
        let prompts = !due && self.running.iter().any(|sequence| sequence.prompt_left() > 0);
        let none = prompts || self.drafts.as_ref().is_some_and(Drafts::rests);
        let each = if none { 0 } else { (spare / self.running.len().max(1)).saturating_sub(1) };
        self.running.iter_mut().for_each(|sequence| sequence.look_ahead(each));
        if each > 0 {
            self.ask_draft(each);
        }
    }

    /// Has the draft model guess at most so many tokens for each answer, where that pays.
    fn ask_draft(&mut self, each: usize) {
        let Some(drafts) = &mut self.drafts else { return };
        let answers = self.running.iter().filter(|sequence| sequence.prompt_left() == 0).count();
        let requests = &self.requests;
        let ready = |sequence: &&mut Sequence| requests.get(&sequence.request).is_some_and(Open::has_room);
        let asking = self.running.iter_mut().filter(ready);
        let asks: Vec<Ahead<'_>> = asking.filter_map(|sequence| sequence.ahead_of(drafts, answers, each)).collect();
        if asks.is_empty() {
            return;
        }
        let (began, asked) = (Instant::now(), asks.len());
        let model = AssertUnwindSafe(&mut self.model);
        let attempt = move || {
            let AssertUnwindSafe(model) = { model };
            model.draft(&asks)
        };
        let drafted = catch_unwind(attempt);
        self.drafted = began.elapsed();
        let asking = self.running.iter_mut().filter(|sequence| sequence.has_asked());
        match drafted {
            Ok(Drafted::Guessed { guesses, steps }) => {
                if steps > 0 {
                    drafts.note_draft(asked, steps, self.drafted);
                }
                for (sequence, guess) in asking.zip(guesses.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..])))
                {
                    sequence.guessed(guess, self.tokenizer);
                }
            }
            Ok(Drafted::CaughtUp(tokens)) => {
                drafts.note_catching_up(tokens, self.drafted);
                asking.for_each(Sequence::not_guessed);
            }
            Err(_) => {
                tracing::error!("the draft model failed: answers go on without it");
                asking.for_each(Sequence::not_guessed);
                self.drafts = None;
            }
        }
    }

    /// The counts that others see. What is in the inbox was counted by who put it there.
    fn count(&self) {
        let inbox = self.shared.inbox();
        let coming: usize = inbox.iter().map(|open| open.choices.len()).sum();
        self.shared.queued.store((self.waiting.len() + coming) as u32, SeqCst);
        self.shared.running.store(self.running.len() as u32, SeqCst);
    }

    fn step(&mut self, batch: &batch::Batch) {
        self.shared.interest.begin(batch.tokens.len());
        for &(index, share) in &batch.shares {
            if let Some(request) = self.requests.get(&self.running[index].request) {
                request.flow.enter(share.tokens);
            }
        }
        let began = Instant::now();
        let drafted = std::mem::take(&mut self.drafted);
        // What a failed step leaves behind is in the slots of the requests that end with it.
        let model = AssertUnwindSafe(&mut self.model);
        let attempt = move || {
            let AssertUnwindSafe(model) = { model };
            model.step(&batch.tokens)
        };
        let halted = catch_unwind(attempt).unwrap_or_else(|_| Err(Halt::Failed("it panicked".to_owned())));
        for &(index, _) in &batch.shares {
            if let Some(request) = self.requests.get(&self.running[index].request) {
                request.flow.leave();
            }
        }
        let rows = match halted {
            Ok(rows) => rows,
            Err(Halt::Unwanted) => return,
            Err(Halt::Failed(reason)) => {
                let failures = self.shared.failures.fetch_add(1, SeqCst) + 1;
                let tokens = batch.tokens.len();
                tracing::error!(failures, tokens, reason, "a step of the model failed");
                for &(index, _) in &batch.shares {
                    let request = self.running[index].request;
                    fail(&mut self.requests, request, "the model failed");
                }
                return;
            }
        };
        self.shared.failures.store(0, SeqCst);
        // The time of a picture says nothing of that of tokens.
        if !batch.shares.iter().any(|&(index, _)| self.running[index].is_at_picture()) {
            self.pace.note(batch.tokens.len(), began.elapsed());
        }
        let time = began.elapsed();
        let with = batch.shares.iter().filter(|(index, _)| self.running[*index].prompt_left() > 0).count();
        let answers = batch.shares.len() - with;
        if let Some(turns) = &mut self.turns {
            let waiting = self.running.iter().filter(|sequence| sequence.prompt_left() > 0).count();
            turns.note(turns::Taken { answers, prompts: with > 0, waiting, time: time + drafted });
        }
        if let Some(drafts) = self.drafts.as_mut().filter(|_| with == 0) {
            drafts.note_model(answers, batch.tokens.len(), time);
        }
        let mut rows = rows.into_iter();
        let (mut over, mut wrong) = (Vec::new(), Vec::new());
        for &(index, share) in &batch.shares {
            let sequence = &mut self.running[index];
            let own: Vec<&[f32]> = rows.by_ref().take(share.rows).collect();
            let Some(request) = self.requests.get_mut(&sequence.request) else { continue };
            let (tokenizer, before) = (self.tokenizer, sequence.position());
            let advanced = catch_unwind(AssertUnwindSafe(|| sequence.advance(share.tokens, &own, tokenizer, request)));
            if let Some(checked) = sequence.checked(self.drafts.as_mut()) {
                self.shared.guesses.add(checked);
            }
            match advanced {
                Ok(Ok(sequence::Next::More)) if sequence.position() < before + share.tokens => {
                    wrong.push((sequence.slot, sequence.position()));
                }
                Ok(Ok(sequence::Next::More)) => {}
                Ok(Ok(sequence::Next::Over)) => over.push(index),
                Ok(Err(reason)) => request.fail(reason),
                Err(_) => {
                    tracing::error!("a choice failed");
                    request.fail("the engine failed on this request");
                }
            }
        }
        for (slot, len) in wrong {
            self.model.forget(slot, len);
        }
        // From the back, so that the other indices stay true.
        over.sort_unstable();
        for index in over.into_iter().rev() {
            let sequence = self.running.remove(index);
            self.model.end(sequence.slot);
            self.free.push(sequence.slot);
            note(&self.shared.service_ms, sequence.started);
        }
        // Before the events leave, so that a caller who has them sees the slot free.
        self.count();
    }
}

fn fail(requests: &mut HashMap<u64, Open>, id: u64, reason: &'static str) {
    if let Some(request) = requests.get_mut(&id) {
        request.fail(reason);
    }
}

/// Moves the decayed mean an eighth of the way to a new value.
fn note(mean: &AtomicU64, started: Instant) {
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let old = mean.load(SeqCst);
    mean.store(if old == 0 { took } else { old - old / 8 + took / 8 }, SeqCst);
}
