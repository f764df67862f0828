//! One thread that computes: takes requests in, works on several at once, sends their events out.
//!
//! Those that wait for a slot stand in a [`line`] by priority. Each turn of the loop takes a step of the model with the next token
//! of every answer under way and a piece of the prompts that wait, so a long prompt delays others by one step at most ([`batch`]);
//! between steps with prompts answers get steps of their own ([`turns`]), in which what comes next may be guessed and checked
//! ([`lookup`], [`drafts`]). A caller who is gone is noticed before each step, in every phase, and during it by engines that ask
//! ([`Interest`]); one who will be gone before the first of his answer could be there is refused at once, as far as that can be
//! foreseen ([`outlook`]). A caller who reads slowly is left out of steps until there is room, and stops nobody else. An error in
//! one choice fails its own request; if the model itself fails over and over, the engine says that it is not healthy and stops. What
//! computes is behind [`Steps`].
//!
//! An engine that has a scheduler of its own gets the choices instead ([`hand_over`]); all else is the same.
//!
//! Knows tokens and events; nothing of HTTP, hosts or policies.

mod batch;
mod clock;
mod drafts;
mod guesses;
mod hand_over;
mod interest;
mod line;
mod lookup;
mod outlook;
mod request;
mod sequence;
mod steps;
mod stream;
mod turns;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant, SystemTime},
};

use backends::{BackendError, EventStream, Load, Priority, Tally, Usage};

use crate::{prepare::Choice, tokenizer::Tokenizer};

use drafts::Drafts;
use line::Line;
use outlook::{Begins, Outlook};
use request::Open;
use sequence::Sequence;

pub(crate) use clock::Clock;
pub use guesses::Guesses;
pub use hand_over::{Writes, Writing};
pub use interest::Interest;
pub(crate) use outlook::{in_time, refusal};
pub use steps::{Ahead, Drafted, Halt, Holds, Start, Steps, Token};

/// After this many steps in a row that failed, the model is taken for broken.
pub(crate) const MAX_FAILURES: u32 = 3;
/// Of the choices that may wait, one of so many may be of low priority.
const QUEUED_LOW: u32 = 2;
/// How long what is foreseen stands where nobody has come or gone.
const FORESEEN: Duration = Duration::from_millis(50);

/// The way in for other threads.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    since: SystemTime,
    thread: Option<JoinHandle<()>>,
    max_queued: u32,
    slots: u32,
}

/// What the loop and the others both see. Orderings are SeqCst: a step costs a thousand times more.
struct Shared {
    clock: Clock,
    inbox: Mutex<Vec<Open>>,
    interest: Arc<Interest>,
    alive: AtomicBool,
    running: AtomicU32,
    queued: AtomicU32,
    /// Those of them that are of low priority.
    queued_low: AtomicU32,
    begins: Begins,
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
    /// Of an engine that has begun and has nothing to do.
    fn new(clock: Clock) -> Self {
        let begins = Begins::at_once(clock.now());
        Self {
            clock,
            begins,
            inbox: Mutex::default(),
            interest: Arc::default(),
            alive: true.into(),
            running: AtomicU32::default(),
            queued: AtomicU32::default(),
            queued_low: AtomicU32::default(),
            failures: AtomicU32::default(),
            service_ms: AtomicU64::default(),
            finished: AtomicU64::default(),
            prompt_tokens: AtomicU64::default(),
            completion_tokens: AtomicU64::default(),
            guesses: guesses::Counts::default(),
            worker: Mutex::default(),
        }
    }

    /// The counts of those that wait: in a line, and in the inbox, which whoever put it there has counted.
    fn count_queued<T>(&self, line: &Line<T>) {
        let inbox = self.inbox();
        let coming = |of: &dyn Fn(&Choice) -> bool| {
            inbox.iter().flat_map(|open| &open.choices).filter(|choice| of(choice)).count()
        };
        self.queued.store((line.len() + coming(&|_| true)) as u32, SeqCst);
        self.queued_low.store((line.low() + coming(&|choice| choice.priority == Priority::Low)) as u32, SeqCst);
    }

    /// Says when one that came now would begin. Where that is not at once, each choice that has come since it was worked out puts
    /// it off by `each`.
    fn tell_wait(&self, seconds: Option<f64>, each: Duration) {
        let (inbox, now) = (self.inbox(), self.clock.now());
        self.begins.tell(now, seconds);
        let coming: usize = inbox.iter().map(|open| open.choices.len()).sum();
        if coming > 0 && seconds > Some(0.0) {
            self.begins.put_off(now, each.saturating_mul(coming as u32));
        }
    }

    /// How long one that came now would wait until it begins, where that can be told.
    fn wait(&self, now: Instant) -> Option<Duration> {
        match (self.running.load(SeqCst), self.queued.load(SeqCst)) {
            // Whatever was told before the last of them ended.
            (0, 0) => Some(Duration::ZERO),
            _ => self.begins.wait(now),
        }
    }

    /// How long it takes on average until another one of so many slots is free.
    fn each(&self, slots: u32) -> Duration {
        Duration::from_millis(self.service_ms.load(SeqCst)) / slots.max(1)
    }

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
        clock: Clock,
        run: impl FnOnce(Worker) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(clock));
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
        let (count, first) = (choices.len() as u32, choices.first());
        let low = first.is_some_and(|choice| choice.priority == Priority::Low);
        let begins_by = first.and_then(|choice| choice.begins_by);
        let (open, stream) = request::open(choices, &self.shared);
        let mut inbox = self.shared.inbox();
        // Under the lock: a loop that ends later drops the request, and the stream says so.
        if !self.shared.alive.load(SeqCst) {
            return Err(BackendError::Internal { reason: "the engine has stopped".into() });
        }
        let (queued, queued_low) = (self.shared.queued.load(SeqCst), self.shared.queued_low.load(SeqCst));
        let is_more = |queued: u32, most| queued.saturating_add(count) > most;
        // A request that is larger than the whole queue is taken when nothing else waits.
        if queued > 0 && (is_more(queued, self.max_queued) || low && is_more(queued_low, self.max_queued / QUEUED_LOW))
        {
            return Err(refusal(self.room_in()));
        }
        let now = self.shared.clock.now();
        in_time(self.shared.wait(now), begins_by, now)?;
        self.shared.queued.store(queued + count, SeqCst);
        self.shared.queued_low.store(queued_low + if low { count } else { 0 }, SeqCst);
        let behind = (self.shared.running.load(SeqCst) + queued + count).saturating_sub(self.slots);
        if behind > 0 && !low {
            self.shared.begins.put_off(now, self.shared.each(self.slots).saturating_mul(behind.min(count)));
        }
        inbox.push(open);
        drop(inbox);
        self.shared.wake();
        Ok(Box::pin(stream))
    }

    /// Health and counts now; a choice counts as one.
    pub(crate) fn load(&self) -> Load {
        let (running, queued) = (self.shared.running.load(SeqCst), self.shared.queued.load(SeqCst));
        let healthy = self.shared.alive.load(SeqCst);
        let wait = self.shared.wait(self.shared.clock.now()).filter(|_| healthy);
        Load { healthy, running, queued, wait, ..Load::IDLE }
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
    fn room_in(&self) -> Duration {
        let rounds = u64::from(self.shared.queued.load(SeqCst) / self.slots.max(1) / 2 + 1);
        Duration::from_millis(self.shared.service_ms.load(SeqCst).saturating_mul(rounds))
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
        self.0.queued_low.store(0, SeqCst);
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
    line: Line<(u64, Choice)>,
    running: Vec<Sequence>,
    free: Vec<usize>,
    outlook: Outlook,
    /// When others were last told what it says, and how many ran, had a prompt to be computed, and waited then.
    foreseen: Option<(Instant, [usize; 3])>,
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
            line: Line::new(slots),
            running: Vec::new(),
            free,
            outlook: Outlook::default(),
            foreseen: None,
        }
    }

    fn run(mut self) {
        while self.shared.goes_on(MAX_FAILURES) {
            self.receive();
            self.close();
            self.admit();
            self.foresee();
            let due = self.turns.as_ref().is_some_and(turns::Turns::answers_are_due);
            self.look_ahead(due);
            let requests = &self.requests;
            let ready = |sequence: &Sequence| requests.get(&sequence.request).is_some_and(Open::has_room);
            let answers = self.running.iter().any(|sequence| sequence.prompt_left() == 0);
            let batch = batch::choose(&self.running, self.pace.budget(answers), due, ready);
            if batch.tokens.is_empty() {
                // A model may have a sequence wait for what another one is computing, which nobody is now.
                if self.admit() {
                    continue;
                }
                if self.free.is_empty() {
                    // When a slot becomes free is for slow readers to say.
                    self.shared.tell_wait(None, Duration::ZERO);
                    self.foreseen = None;
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
            for choice in std::mem::take(&mut open.choices) {
                self.line.join(choice.priority, (id, choice));
            }
            self.requests.insert(id, open);
        }
    }

    /// Sends what waits for readers; lets go of requests that are over or whose caller is gone.
    fn close(&mut self) {
        self.requests.retain(|_, request| request.flush());
        let open = &self.requests;
        self.line.retain(|(request, _)| open.contains_key(request));
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

    /// Gives free slots to those whose turn it is; says whether any got one.
    fn admit(&mut self) -> bool {
        let before = self.running.len();
        while let Some(&slot) = self.free.last() {
            let low = self.running.iter().filter(|sequence| sequence.is_low()).count();
            let Some((_, (id, choice))) = self.line.first(low) else { break };
            self.model.shows(slot, &choice.pictures);
            let Some(held) = self.model.begin(choice.start(slot)) else { break };
            let late = self.too_late(choice, held);
            if let Some(request) = self.requests.get_mut(id) {
                if let Some(late) = late.filter(|_| !request.begun) {
                    request.end(refusal(late));
                    request.flush();
                    self.model.end(slot);
                    self.line.take(low);
                    continue;
                }
                request.begun = true;
                request.found(choice, held);
            }
            self.free.pop();
            if let Some((id, choice)) = self.line.take(low) {
                let started = self.shared.clock.now();
                let sequence = Sequence::new(id, slot, held, choice, self.tokenizer, started);
                let guesses = self.model.spare().is_some();
                self.running.push(if guesses { sequence.guessing(self.drafts.as_ref()) } else { sequence });
            }
        }
        self.count();
        self.running.len() > before
    }

    /// By how much a choice whose slot holds so much of its prompt would come too late for its caller, as far as that is known.
    /// With nothing else under way it is tried: else it would never be known otherwise.
    fn too_late(&self, choice: &Choice, held: usize) -> Option<Duration> {
        let left = choice.begins_by?.saturating_duration_since(self.shared.clock.now());
        let prompts = self.running.iter().filter(|sequence| sequence.prompt_left() > 0).count();
        let answers = self.running.len() - prompts;
        if self.running.is_empty() {
            return None;
        }
        outlook::too_late(self.outlook.prompt(choice.prompt.len() - held, answers, prompts)?, left)
    }

    /// Tells others when one that came now would begin, where that may be another moment than before.
    fn foresee(&mut self) {
        let prompts = self.running.iter().filter(|sequence| sequence.prompt_left() > 0).count();
        let (now, counts) = (self.shared.clock.now(), [self.running.len(), prompts, self.line.len()]);
        let stands = |at: Instant| now.saturating_duration_since(at) < FORESEEN;
        if self.foreseen.is_some_and(|(at, before)| before == counts && stands(at)) {
            return;
        }
        self.foreseen = Some((now, counts));
        let slots = self.running.len() + self.free.len();
        self.shared.tell_wait(self.wait(), self.shared.each(slots as u32));
    }

    /// Seconds until one that came now would begin, where that can be told.
    fn wait(&self) -> Option<f64> {
        if self.line.usual().len() == 0 && !self.free.is_empty() {
            let prompts = self.running.iter().any(|sequence| sequence.prompt_left() > 0);
            return self.outlook.begins(prompts);
        }
        // Where one waits though a slot is free, the model has no room for more than those under way.
        let slots = self.running.len().max(1);
        let ahead =
            |sequence: &Sequence| self.outlook.ahead(sequence.prompt_left(), sequence.drawn(), sequence.max_tokens());
        let under: Option<Vec<_>> = self.running.iter().map(ahead).collect();
        let waiting =
            self.line.usual().map(|(_, choice)| self.outlook.ahead(choice.prompt.len(), 0, choice.max_tokens));
        let waiting: Option<Vec<_>> = waiting.collect();
        self.outlook.wait(slots, under?, waiting?.into_iter())
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
        let (began, asked) = (self.shared.clock.now(), asks.len());
        let model = AssertUnwindSafe(&mut self.model);
        let attempt = move || {
            let AssertUnwindSafe(model) = { model };
            model.draft(&asks)
        };
        let drafted = catch_unwind(attempt);
        self.drafted = self.shared.clock.now().saturating_duration_since(began);
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

    /// The counts that others see.
    fn count(&self) {
        self.shared.count_queued(&self.line);
        self.shared.running.store(self.running.len() as u32, SeqCst);
    }

    fn step(&mut self, batch: &batch::Batch) {
        self.shared.interest.begin(batch.tokens.len());
        for &(index, share) in &batch.shares {
            if let Some(request) = self.requests.get(&self.running[index].request) {
                request.flow.enter(share.tokens);
            }
        }
        let began = self.shared.clock.now();
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
        let time = self.shared.clock.now().saturating_duration_since(began);
        let shares = batch.shares.iter().map(|&(index, share)| (&self.running[index], share.tokens));
        let pictures = shares.clone().any(|(sequence, _)| sequence.is_at_picture());
        let of_prompts = shares.clone().filter(|(sequence, _)| sequence.prompt_left() > 0);
        let (with, prompt_tokens) = of_prompts.fold((0, 0), |(with, all), (_, tokens)| (with + 1, all + tokens));
        let answers = batch.shares.len() - with;
        // The time of a picture says nothing of that of tokens.
        if !pictures {
            self.pace.note(prompt_tokens, batch.tokens.len() - prompt_tokens, time);
        }
        if let Some(turns) = &mut self.turns {
            let prompts = self.running.iter().filter(|sequence| sequence.prompt_left() > 0);
            let waiting = prompts.clone().count();
            let low_answers = shares.clone().all(|(sequence, _)| sequence.prompt_left() > 0 || sequence.is_low());
            let give_way = waiting > 0 && !low_answers && prompts.clone().all(Sequence::is_low);
            turns.note(turns::Taken { answers, prompts: with > 0, waiting, give_way, time: time + drafted });
        }
        let drawn_before: usize = shares.map(|(sequence, _)| sequence.drawn()).sum();
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
        if !pictures {
            let drawn: usize = batch.shares.iter().map(|&(index, _)| self.running[index].drawn()).sum();
            let drawn = drawn - drawn_before;
            self.outlook.note(outlook::Taken { prompts: prompt_tokens, answers, drawn, time: time + drafted });
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
            self.outlook.note_length(sequence.drawn());
            note(&self.shared.service_ms, self.shared.clock.now().saturating_duration_since(sequence.started));
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
fn note(mean: &AtomicU64, took: Duration) {
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let old = mean.load(SeqCst);
    mean.store(if old == 0 { took } else { old - old / 8 + took / 8 }, SeqCst);
}
