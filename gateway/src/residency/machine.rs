//! Who of the models of this process is in its memory, and whose turn it is.
//!
//! One state behind one lock, and one function ([`Book::advance`]) that looks at it after every event - a request came or
//! ended, a model was loaded or is gone, a moment came that was waited for - and says what is to be done: load, unload,
//! tell callers, look again at a moment. That is done after the lock is given back; loading and unloading take place on
//! tasks of their own.
//!
//! Those that want room stand in a line, in the order in which they came, and nobody overtakes: one that needs much room
//! gets it, too. For the first of the line, models whose turn is over are *closed*: they take no further requests, and go
//! once those that they have are done. Requests for a closed model wait for its next turn.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use backends::{Backend, BackendError, BackendId, Load, Probe, Tally};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{
    Failure, Keep, Loaded, Loader, Progress, Settings, WhileLoading, counted, estimate,
    memory::Memory,
    resident::{Resident, Seat},
    turn::{self, Turn},
};
use crate::observe;

/// The pause after the first failure to load a model; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// What a caller is told to wait at the least, and at the most.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);
/// The weight of the newest time of loading in the mean of them.
const NEWEST: f64 = 0.3;
/// The share of its usual time from which on a load is not taken to be further, as long as it says nothing itself.
const NEARLY: f64 = 0.95;

/// The memory of this process, as models have it.
#[derive(Debug)]
pub struct Machine {
    book: Mutex<Book>,
    /// Where tasks run, for whoever is dropped elsewhere.
    tasks: OnceLock<Handle>,
}

/// A resident, in the book of its machine.
pub(super) type Key = u64;

#[derive(Debug, Default)]
struct Book {
    settings: Settings,
    /// Bytes that all may take together.
    budget: u64,
    entries: BTreeMap<Key, Entry>,
    /// Who wants room, in order.
    line: VecDeque<Key>,
    /// The one for which models are closed.
    closed_for: Option<Key>,
    /// When the book is looked at again at the latest.
    alarm: Option<Instant>,
    keys: u64,
}

struct Entry {
    id: BackendId,
    bytes: u64,
    pinned: bool,
    loader: Loader,
    phase: Phase,
    /// Who waits for it, in the order in which they came.
    callers: BTreeMap<u64, oneshot::Sender<Answer>>,
    tickets: u64,
    /// How long loading it takes: measured, else estimated.
    loads_in: Duration,
    measured: bool,
    loads: u64,
    unloads: u64,
    failures: u32,
    /// What its engines counted that are gone.
    past: Vec<Tally>,
    /// Its resident is gone.
    forgotten: bool,
}

#[derive(Debug)]
enum Phase {
    Unloaded,
    Failed { until: Instant, why: Failure },
    Loading { since: Instant, progress: Arc<Progress> },
    Loaded(InMemory),
    Unloading,
}

#[derive(Debug)]
struct InMemory {
    backend: Arc<dyn Backend>,
    since: Instant,
    users: u32,
    used: bool,
    /// When the last of its requests ended.
    idle_since: Instant,
    closed: bool,
}

/// What a caller that waited is told.
pub(super) type Answer = Result<Seat, BackendError>;

/// What comes of asking for a model.
pub(super) enum Asked {
    /// It is there.
    Seat(Seat),
    /// It will be told.
    Wait(Ticket),
}

/// A place among those that wait for a model; a drop gives it up.
#[derive(Debug)]
pub(super) struct Ticket {
    machine: Arc<Machine>,
    key: Key,
    number: u64,
    told: oneshot::Receiver<Answer>,
    load_within: Duration,
}

/// What is to be done once the lock is given back.
enum Job {
    Load { key: Key, loader: Loader, progress: Arc<Progress> },
    Unload { key: Key, backend: Arc<dyn Backend>, why: &'static str },
    Tell(oneshot::Sender<Answer>, Answer),
    Look(Instant),
}

/// What a model is doing, for people and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not in memory.
    Unloaded,
    /// On its way there.
    Loading,
    /// In memory.
    Loaded,
    /// In memory, until its requests are done: another waits for the room.
    Leaving,
    /// It could not be loaded, and is not tried for a while.
    Failed,
}

/// How a model is.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Bytes that it takes while it is in memory, as estimated.
    pub bytes: u64,
    /// Whether it stays once it is loaded.
    pub pinned: bool,
    /// Requests that it works on.
    pub in_use: u32,
    /// Requests that wait for it.
    pub waiting: usize,
    /// The share of loading that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// How long loading it takes, in seconds: measured, else estimated.
    pub load_seconds: f64,
    /// How often it was loaded.
    pub loads: u64,
    /// How often it was unloaded.
    pub unloads: u64,
    /// Why it could not be loaded the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Machine {
    /// One that has no model yet, whose models may take so many bytes.
    pub fn new(settings: Settings, budget: u64) -> Self {
        Self { book: Mutex::new(Book { settings, budget, ..Book::default() }), tasks: OnceLock::new() }
    }

    /// A new configuration says what holds from now on.
    pub fn set(self: &Arc<Self>, settings: Settings, budget: u64) {
        self.change(|book, _| (book.settings, book.budget) = (settings, budget));
    }

    /// Bytes that models may take, and those that they take now.
    pub fn memory(&self) -> (u64, u64) {
        let book = self.book();
        (book.budget, book.occupied())
    }

    /// A model that is not loaded yet.
    pub fn resident(self: &Arc<Self>, id: BackendId, bytes: u64, keep: Keep, loader: Loader) -> Resident {
        let mut book = self.book();
        book.keys += 1;
        let key = book.keys;
        let entry = Entry {
            id: id.clone(),
            bytes,
            pinned: keep.pinned,
            loader,
            phase: Phase::Unloaded,
            callers: BTreeMap::new(),
            tickets: 0,
            loads_in: estimate::loads_in(bytes),
            measured: false,
            loads: 0,
            unloads: 0,
            failures: 0,
            past: Vec::new(),
            forgotten: false,
        };
        book.entries.insert(key, entry);
        drop(book);
        Resident::new(id, key, Arc::clone(self))
    }

    /// Looks after all models: unloads those that were idle for long, or died; one that is idle while little memory is
    /// left; and tells the metrics. To be called every few seconds.
    pub fn tend(self: &Arc<Self>) {
        let loaded = self.book().entries.values().any(|entry| matches!(entry.phase, Phase::Loaded(_)));
        let free = if loaded { Memory::now().map_or(1.0, Memory::free) } else { 1.0 };
        self.tend_with(free);
    }

    /// The same, where this share of the machine's memory is available.
    pub(super) fn tend_with(self: &Arc<Self>, free: f32) {
        let mut unloaded = Vec::new();
        self.change(|book, now| unloaded = book.spare(now, free));
        self.perform(unloaded);
        let book = self.book();
        for entry in book.entries.values().filter(|entry| !entry.forgotten) {
            observe::resident(entry.id.as_str(), if entry.phase.takes_room() { entry.bytes } else { 0 });
        }
    }

    /// A request wants a model.
    pub(super) fn ask(self: &Arc<Self>, key: Key) -> Result<Asked, BackendError> {
        let mut asked = Ok(None);
        self.change(|book, now| asked = book.ask(self, key, now));
        // It is told what has come of its wish.
        asked?.ok_or_else(|| self.book().not_yet(key, Instant::now()))
    }

    /// A model is wanted, though by no request.
    pub(super) fn want(self: &Arc<Self>, key: Key) {
        self.change(|book, _| book.want(key));
    }

    /// A model was loaded by whoever made it; or by the task that was given the job.
    pub(super) fn loaded(self: &Arc<Self>, key: Key, loaded: Loaded, took: Duration) {
        let mut told = Vec::new();
        self.change(|book, now| told = book.loaded(self, key, loaded, took, now));
        self.perform(told);
    }

    /// A request has ended.
    pub(super) fn left(self: &Arc<Self>, key: Key) {
        self.change(|book, now| {
            if let Some(Entry { phase: Phase::Loaded(loaded), .. }) = book.entries.get_mut(&key) {
                loaded.users = loaded.users.saturating_sub(1);
                loaded.idle_since = now;
            }
        });
    }

    /// The resident is gone.
    pub(super) fn forget(self: &Arc<Self>, key: Key) {
        self.change(|book, _| book.forget(key));
    }

    pub(super) fn set_pinned(&self, key: Key, pinned: bool) {
        if let Some(entry) = self.book().entries.get_mut(&key) {
            entry.pinned = pinned;
        }
    }

    /// What plans see of a model.
    pub(super) fn load_of(&self, key: Key, probe: &Probe<'_>) -> Load {
        let book = self.book();
        let Some(entry) = book.entries.get(&key) else { return Load { healthy: false, ..Load::IDLE } };
        let now = Instant::now();
        let queued = entry.callers.len() as u32;
        match &entry.phase {
            Phase::Loaded(loaded) if !loaded.closed => loaded.backend.load(probe),
            Phase::Failed { until, .. } if now < *until => Load { healthy: false, ..Load::IDLE },
            Phase::Loaded(loaded) => {
                let load = loaded.backend.load(probe);
                Load { queued: load.queued + queued, starts_in: Some(book.starts_in(key, now)), wait: None, ..load }
            }
            _ => Load { queued, starts_in: Some(book.starts_in(key, now)), ..Load::IDLE },
        }
    }

    /// The engine of a model while it is loaded, and what the engines before it counted.
    pub(super) fn counts(&self, key: Key) -> (Option<Arc<dyn Backend>>, Vec<Tally>) {
        let book = self.book();
        let Some(entry) = book.entries.get(&key) else { return (None, Vec::new()) };
        let backend = match &entry.phase {
            Phase::Loaded(loaded) => Some(Arc::clone(&loaded.backend)),
            _ => None,
        };
        (backend, entry.past.clone())
    }

    /// The engine of a model that is loaded.
    pub(super) fn live(&self, key: Key) -> Option<Arc<dyn Backend>> {
        match &self.book().entries.get(&key)?.phase {
            Phase::Loaded(loaded) => Some(Arc::clone(&loaded.backend)),
            _ => None,
        }
    }

    pub(super) fn status(&self, key: Key) -> Option<Status> {
        let book = self.book();
        let entry = book.entries.get(&key)?;
        let now = Instant::now();
        let (state, in_use) = match &entry.phase {
            Phase::Unloaded | Phase::Unloading => (State::Unloaded, 0),
            Phase::Failed { .. } => (State::Failed, 0),
            Phase::Loading { .. } => (State::Loading, 0),
            Phase::Loaded(loaded) => (if loaded.closed { State::Leaving } else { State::Loaded }, loaded.users),
        };
        Some(Status {
            state,
            bytes: entry.bytes,
            pinned: entry.pinned,
            in_use,
            waiting: entry.callers.len(),
            progress: entry.progress(now),
            load_seconds: (entry.loads_in.as_secs_f64() * 1e3).round() / 1e3,
            loads: entry.loads,
            unloads: entry.unloads,
            error: match &entry.phase {
                Phase::Failed { why, .. } => Some(why.to_string()),
                _ => None,
            },
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that panics happens under it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, and does what follows from that.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Book, Instant)) {
        if let Ok(tasks) = Handle::try_current() {
            // Whoever is dropped on another thread finds it.
            self.tasks.get_or_init(|| tasks);
        }
        let now = Instant::now();
        let mut book = self.book();
        change(&mut book, now);
        let jobs = book.advance(self, now);
        drop(book);
        self.perform(jobs);
    }

    fn perform(self: &Arc<Self>, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                // One that has gone gives its seat back by dropping it.
                Job::Tell(caller, answer) => drop(caller.send(answer)),
                Job::Load { key, loader, progress } => {
                    let machine = Arc::clone(self);
                    self.spawn(async move {
                        let began = Instant::now();
                        let loaded = loader(progress).await;
                        machine.loaded(key, loaded, began.elapsed());
                    });
                }
                Job::Unload { key, backend, why } => {
                    let machine = Arc::clone(self);
                    let unload = async move {
                        let counted = backend.tally().await;
                        // An engine is waited for until its thread has ended.
                        let _ = tokio::task::spawn_blocking(move || drop(backend)).await;
                        machine.unloaded(key, counted, why);
                    };
                    self.spawn(unload);
                }
                Job::Look(at) => {
                    // A machine that nobody has any more need not be looked at.
                    let machine = Arc::downgrade(self);
                    self.spawn(async move {
                        sleep_until(at).await;
                        if let Some(machine) = machine.upgrade() {
                            machine.change(|book, now| book.alarm = book.alarm.filter(|alarm| *alarm > now));
                        }
                    });
                }
            }
        }
    }

    /// Runs a task. Without a runtime, which is over or was never there, what it holds is dropped here and now.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = Handle::try_current().ok().or_else(|| self.tasks.get().cloned()) {
            tasks.spawn(task);
        }
    }

    fn unloaded(self: &Arc<Self>, key: Key, counted: Vec<Tally>, why: &'static str) {
        self.change(|book, _| {
            let Some(entry) = book.entries.get_mut(&key) else { return };
            entry.phase = Phase::Unloaded;
            entry.unloads += 1;
            entry.past = counted::joined(&entry.past, counted);
            observe::unloaded(entry.id.as_str(), why);
            tracing::info!(deployment = %entry.id, why, "model unloaded");
            if entry.forgotten {
                book.entries.remove(&key);
            }
        });
    }
}

impl Ticket {
    /// Waits until the model is there, for as long as a request may.
    pub(super) async fn wait(mut self) -> Answer {
        match tokio::time::timeout(self.load_within, &mut self.told).await {
            Ok(Ok(answer)) => answer,
            // Its resident is gone: a reload has replaced it.
            Ok(Err(_)) => Err(BackendError::Overloaded { retry_after: Some(SOONEST) }),
            Err(_) => Err(self.machine.book().not_yet(self.key, Instant::now())),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.machine.change(|book, _| {
            let Some(entry) = book.entries.get_mut(&self.key) else { return };
            // One that was told is not there any more, and has its seat or has dropped it.
            if entry.callers.remove(&self.number).is_some() && entry.callers.is_empty() {
                book.line.retain(|key| *key != self.key);
            }
        });
    }
}

impl Phase {
    /// Whether memory is taken for it.
    fn takes_room(&self) -> bool {
        matches!(self, Self::Loading { .. } | Self::Loaded(_) | Self::Unloading)
    }
}

impl Entry {
    /// The share of its loading that is done: by its own word, else by the time that it usually takes.
    fn progress(&self, now: Instant) -> Option<f64> {
        let Phase::Loading { since, progress } = &self.phase else { return None };
        let by_time = || ((now - *since).as_secs_f64() / self.loads_in.as_secs_f64()).min(NEARLY);
        Some(progress.share().unwrap_or_else(by_time))
    }

    fn turn(&self, loaded: &InMemory, now: Instant) -> Turn {
        Turn {
            loads_in: self.loads_in,
            loaded_for: now - loaded.since,
            idle_for: (loaded.users == 0).then(|| now - loaded.idle_since),
            used: loaded.used,
        }
    }

    /// A loading has ended after this time.
    fn measured(&mut self, took: Duration) {
        self.loads_in = match self.measured {
            true => self.loads_in.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST),
            false => took,
        };
        self.measured = true;
    }
}

impl Book {
    fn occupied(&self) -> u64 {
        self.entries.values().filter(|entry| entry.phase.takes_room()).map(|entry| entry.bytes).sum()
    }

    fn want(&mut self, key: Key) {
        let there = self.entries.get(&key).is_none_or(|entry| match &entry.phase {
            Phase::Loading { .. } => true,
            Phase::Loaded(loaded) => !loaded.closed,
            _ => false,
        });
        if !there && !self.line.contains(&key) {
            self.line.push_back(key);
        }
    }

    /// A seat or a place in the queue; none where the request is not to wait.
    fn ask(&mut self, machine: &Arc<Machine>, key: Key, now: Instant) -> Result<Option<Asked>, BackendError> {
        let Settings { while_loading, waiting, load_within, .. } = self.settings;
        let gone = || BackendError::Internal { reason: "the model is not served any more".into() };
        match self.entries.get_mut(&key).ok_or_else(gone)? {
            Entry { phase: Phase::Loaded(loaded), .. } if !loaded.closed => {
                return Ok(Some(Asked::Seat(loaded.seat(machine, key))));
            }
            Entry { phase: Phase::Failed { until, .. }, .. } if now < *until => return Err(cannot_be_loaded()),
            _ => {}
        }
        self.want(key);
        if while_loading == WhileLoading::Refuse {
            return Ok(None);
        }
        let retry_after = Some(self.retry_after(key, now));
        let entry = self.entries.get_mut(&key).ok_or_else(gone)?;
        if entry.callers.len() >= waiting {
            return Err(BackendError::Overloaded { retry_after });
        }
        entry.tickets += 1;
        let (caller, told) = oneshot::channel();
        entry.callers.insert(entry.tickets, caller);
        Ok(Some(Asked::Wait(Ticket { machine: Arc::clone(machine), key, number: entry.tickets, told, load_within })))
    }

    fn loaded(&mut self, machine: &Arc<Machine>, key: Key, loaded: Loaded, took: Duration, now: Instant) -> Vec<Job> {
        let Some(entry) = self.entries.get_mut(&key) else { return Vec::new() };
        if entry.forgotten && loaded.is_err() {
            // It was given up, or failed where nobody waits for it.
            self.entries.remove(&key);
            return Vec::new();
        }
        observe::loaded(entry.id.as_str(), loaded.is_ok(), took);
        match loaded {
            Ok(backend) => {
                entry.measured(took);
                entry.loads += 1;
                entry.failures = 0;
                let memory = InMemory { backend, since: now, users: 0, used: false, idle_since: now, closed: false };
                entry.phase = Phase::Loaded(memory);
                tracing::info!(deployment = %entry.id, seconds = took.as_secs_f64(), bytes = entry.bytes, "model loaded");
                self.seat_callers(machine, key)
            }
            Err(why) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << entry.failures.min(16)).min(LONGEST_PAUSE);
                entry.failures += 1;
                tracing::error!(deployment = %entry.id, %why, again_in = ?pause, "a model cannot be loaded");
                entry.phase = Phase::Failed { until: now + pause, why };
                let callers = std::mem::take(&mut entry.callers);
                callers.into_values().map(|caller| Job::Tell(caller, Err(cannot_be_loaded()))).collect()
            }
        }
    }

    /// Seats all that wait for a model that is there.
    fn seat_callers(&mut self, machine: &Arc<Machine>, key: Key) -> Vec<Job> {
        let Some(entry) = self.entries.get_mut(&key) else { return Vec::new() };
        let Phase::Loaded(loaded) = &mut entry.phase else { return Vec::new() };
        let callers = std::mem::take(&mut entry.callers);
        callers.into_values().map(|caller| Job::Tell(caller, Ok(loaded.seat(machine, key)))).collect()
    }

    fn forget(&mut self, key: Key) {
        self.line.retain(|other| *other != key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.forgotten = true;
        entry.callers.clear();
        if let Phase::Loading { progress, .. } = &entry.phase {
            progress.give_up();
        }
        if !entry.phase.takes_room() {
            self.entries.remove(&key);
        }
    }

    /// What is to be done as things are.
    fn advance(&mut self, machine: &Arc<Machine>, now: Instant) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            if self.closed_for.is_some() && self.closed_for != self.line.front().copied() {
                self.open(machine, &mut jobs);
            }
            let Some(first) = self.first_in_line() else { break };
            if self.occupied().saturating_add(self.entries[&first].bytes) > self.budget {
                self.make_room(machine, first, now, &mut jobs);
                break;
            }
            self.line.pop_front();
            let Some(entry) = self.entries.get_mut(&first) else { continue };
            let progress = Arc::new(Progress::default());
            entry.phase = Phase::Loading { since: now, progress: Arc::clone(&progress) };
            jobs.push(Job::Load { key: first, loader: Arc::clone(&entry.loader), progress });
        }
        let leaves = |entry: &Entry| match &entry.phase {
            Phase::Loaded(loaded) if loaded.users == 0 => {
                if entry.forgotten {
                    Some("removed")
                } else {
                    Some("room").filter(|_| loaded.closed)
                }
            }
            _ => None,
        };
        let leaving: Vec<_> = self.entries.iter().filter_map(|(key, entry)| Some((*key, leaves(entry)?))).collect();
        jobs.extend(leaving.into_iter().filter_map(|(key, why)| self.unload(key, why)));
        jobs
    }

    /// The first of the line, if it can be loaded now: not while its engine of before is still going.
    fn first_in_line(&mut self) -> Option<Key> {
        let first = *self.line.front()?;
        match &self.entries.get(&first)?.phase {
            Phase::Unloaded | Phase::Failed { .. } => Some(first),
            _ => None,
        }
    }

    /// Closes models whose turn is over, as many as make room for the first of the line; or looks again when enough turns
    /// are.
    fn make_room(&mut self, machine: &Arc<Machine>, first: Key, now: Instant, jobs: &mut Vec<Job>) {
        if self.closed_for != Some(first) {
            self.open(machine, jobs);
        }
        self.closed_for = Some(first);
        let going = |entry: &Entry| match &entry.phase {
            Phase::Loaded(loaded) => loaded.closed || entry.forgotten,
            phase => matches!(phase, Phase::Unloading),
        };
        let of = |entries: &BTreeMap<Key, Entry>, count: &dyn Fn(&Entry) -> bool| -> u64 {
            entries.values().filter(|entry| count(entry)).map(|entry| entry.bytes).sum()
        };
        let stays = self.occupied() - of(&self.entries, &going);
        let mut lacks = stays.saturating_add(self.entries[&first].bytes).saturating_sub(self.budget);
        if lacks == 0 {
            return;
        }
        // Those at work last, and otherwise the least recently used first.
        let mut others: Vec<(bool, Instant, Duration, Key)> = Vec::new();
        for (key, entry) in &self.entries {
            if let Phase::Loaded(loaded) = &entry.phase
                && !entry.pinned
                && !going(entry)
            {
                others.push((loaded.users > 0, loaded.idle_since, entry.turn(loaded, now).left(), *key));
            }
        }
        others.sort_unstable();
        let over: Vec<Key> = others.iter().filter(|(.., left, _)| left.is_zero()).map(|(.., key)| *key).collect();
        let mut chosen = Vec::new();
        for key in over {
            if lacks > 0 {
                lacks = lacks.saturating_sub(self.entries[&key].bytes);
                chosen.push(key);
            }
        }
        if lacks > 0 {
            let next = others.iter().map(|(_, _, left, _)| *left).filter(|left| !left.is_zero()).min();
            if let Some(at) = next.map(|left| now + left)
                && self.alarm.is_none_or(|alarm| at < alarm)
            {
                self.alarm = Some(at);
                jobs.push(Job::Look(at));
            }
            return;
        }
        for key in chosen {
            if let Some(Entry { phase: Phase::Loaded(loaded), .. }) = self.entries.get_mut(&key) {
                loaded.closed = true;
            }
        }
    }

    /// Opens what was closed for one that does not want the room any more.
    fn open(&mut self, machine: &Arc<Machine>, jobs: &mut Vec<Job>) {
        self.closed_for = None;
        let mut opened = Vec::new();
        for (key, entry) in &mut self.entries {
            if let Phase::Loaded(loaded) = &mut entry.phase
                && loaded.closed
            {
                loaded.closed = false;
                opened.push(*key);
            }
        }
        for key in opened {
            self.line.retain(|other| *other != key);
            jobs.extend(self.seat_callers(machine, key));
        }
    }

    /// Begins to unload a model that nobody uses.
    fn unload(&mut self, key: Key, why: &'static str) -> Option<Job> {
        let entry = self.entries.get_mut(&key)?;
        match std::mem::replace(&mut entry.phase, Phase::Unloading) {
            Phase::Loaded(InMemory { backend, .. }) => Some(Job::Unload { key, backend, why }),
            other => {
                entry.phase = other;
                None
            }
        }
    }

    /// Unloads what need not be there: whatever was idle for long or died, and one of those that are idle while little of
    /// the machine's memory is left. One at a time, since the next look shows what that gave.
    fn spare(&mut self, now: Instant, free: f32) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut idle: Vec<(Instant, Key)> = Vec::new();
        let mut over: Vec<(Key, &'static str)> = Vec::new();
        for (key, entry) in &self.entries {
            let Phase::Loaded(loaded) = &entry.phase else { continue };
            if loaded.users > 0 {
                continue;
            }
            let long = self.settings.unload_after.is_some_and(|after| now - loaded.idle_since >= after);
            if !loaded.backend.load(&Probe::default()).healthy {
                over.push((*key, "died"));
            } else if long && !entry.pinned {
                over.push((*key, "idle"));
            } else if !entry.pinned {
                idle.push((loaded.idle_since, *key));
            }
        }
        if over.is_empty()
            && free < self.settings.keep_free
            && let Some((_, key)) = idle.into_iter().min()
        {
            over.push((key, "memory"));
        }
        jobs.extend(over.into_iter().filter_map(|(key, why)| self.unload(key, why)));
        jobs
    }

    /// How long it takes until a request for a model that is not there can begin, about: the turns of those before it,
    /// and its own loading.
    fn starts_in(&self, key: Key, now: Instant) -> Duration {
        let Some(entry) = self.entries.get(&key) else { return Duration::ZERO };
        if let Phase::Loading { .. } = entry.phase {
            return entry.loads_in.mul_f64(1.0 - entry.progress(now).unwrap_or(0.0));
        }
        let before = self.line.iter().take_while(|other| **other != key).filter_map(|other| self.entries.get(other));
        let (bytes, turns) = before.fold((entry.bytes, Duration::ZERO), |(bytes, turns), other| {
            (bytes.saturating_add(other.bytes), turns + other.loads_in + turn::lasts(other.loads_in))
        });
        if self.occupied().saturating_add(bytes) <= self.budget {
            return entry.loads_in;
        }
        let left = self.entries.values().filter(|entry| !entry.pinned).filter_map(|entry| match &entry.phase {
            Phase::Loaded(loaded) => Some(entry.turn(loaded, now).left()),
            _ => None,
        });
        left.min().unwrap_or_default() + turns + entry.loads_in
    }

    fn retry_after(&self, key: Key, now: Instant) -> Duration {
        self.starts_in(key, now).clamp(SOONEST, LATEST)
    }

    /// What a caller is told whose model is not there yet.
    fn not_yet(&self, key: Key, now: Instant) -> BackendError {
        let progress = self.entries.get(&key).and_then(|entry| entry.progress(now));
        let percent = progress.map(|done| (done * 100.0) as u8);
        BackendError::Loading { percent, retry_after: Some(self.retry_after(key, now)) }
    }
}

impl InMemory {
    /// One more request.
    fn seat(&mut self, machine: &Arc<Machine>, key: Key) -> Seat {
        self.users += 1;
        self.used = true;
        Seat::new(Arc::clone(&self.backend), Arc::clone(machine), key)
    }
}

/// The reason is in the log and on the admin listener: it may name files.
fn cannot_be_loaded() -> BackendError {
    BackendError::Internal { reason: "its model could not be loaded".into() }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({}, {:?})", self.id, self.phase)
    }
}
