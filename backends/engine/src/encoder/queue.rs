//! One thread that computes texts, those of several requests in one batch.
//!
//! Requests take turns text by text, so that one with thousands delays others by a batch and no more. A request whose caller
//! is gone is let go of before the next batch, and one who will be gone before a text of his could be begun is refused at once.
//! An error ends the requests of its batch; when the model fails over and over, the engine says that it is not healthy and stops.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use backends::{BackendError, Load, Tally};
use tokio::sync::oneshot;

use crate::scheduler::{MAX_FAILURES, in_time, refusal};

use super::texts::Text;

/// Tokens that wait at most; a request that is larger is taken when nothing else waits.
const MOST_WAITING: usize = 4 << 20;

/// An engine's side, on the thread that computes.
pub trait Pools {
    /// What it makes good use of in one batch. A text that is longer has a batch of its own.
    fn room(&self) -> Room;

    /// Computes each of some texts as if it were alone: its numbers, in order.
    ///
    /// # Errors
    /// What failed, for the log; the next batch may go well.
    fn pool(&mut self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String>;
}

/// The bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Texts.
    pub texts: usize,
    /// Tokens of all of them.
    pub tokens: usize,
}

/// What came of the texts of a request.
#[derive(Debug)]
pub(super) struct Pooled {
    /// The numbers of each, in order.
    pub(super) rows: Vec<Vec<f32>>,
    pub(super) tokens: u64,
}

type Answer = Result<Pooled, BackendError>;

/// The way in for other threads.
pub(super) struct Queue {
    shared: Arc<Shared>,
    since: SystemTime,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Default)]
struct Book {
    stopped: bool,
    /// The thread has ended.
    over: bool,
    requests: BTreeMap<u64, Open>,
    next: u64,
    /// Those of them that have texts which no batch had.
    line: VecDeque<u64>,
    /// Those with a text in the present batch.
    at_work: BTreeSet<u64>,
    /// Tokens of that batch.
    batch: usize,
    /// A decayed mean of how long a token takes, in nanoseconds.
    token_ns: u64,
    finished: u64,
    tokens: u64,
}

/// A request under way.
struct Open {
    texts: Vec<Text>,
    /// The first that no batch had.
    next: usize,
    rows: Vec<Vec<f32>>,
    tell: oneshot::Sender<Answer>,
}

impl Open {
    /// Tokens that no batch had.
    fn waiting(&self) -> usize {
        self.texts[self.next..].iter().map(Text::len).sum()
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that panics happens under it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Starts a thread; `run` makes a model there and gives it to the worker. Of each text come so many numbers.
    pub(super) fn start(name: &str, numbers: usize, run: impl FnOnce(Worker) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // However the thread ends, nobody waits for it in vain.
            let _last = Last(Arc::clone(&its));
            run(Worker { numbers, shared: its });
        })?;
        Ok(Self { shared, since: SystemTime::now(), thread: Some(thread) })
    }

    /// Takes the texts of a request, whose caller waits until then for the first of them; dropping what is returned gives it up.
    pub(super) fn submit(
        &self,
        texts: Vec<Text>,
        begins_by: Option<Instant>,
    ) -> Result<oneshot::Receiver<Answer>, BackendError> {
        let mut book = self.shared.book();
        if book.over {
            return Err(BackendError::Internal { reason: "the engine has stopped".into() });
        }
        let waiting: usize = book.requests.values().map(Open::waiting).sum();
        let coming: usize = texts.iter().map(Text::len).sum();
        if waiting > 0 && waiting.saturating_add(coming) > MOST_WAITING {
            let half = Duration::from_nanos(book.token_ns.saturating_mul(waiting as u64 / 2));
            return Err(refusal(half));
        }
        in_time(book.wait(), begins_by, Instant::now())?;
        let id = book.next;
        book.next += 1;
        let (tell, told) = oneshot::channel();
        let rows = vec![Vec::new(); texts.len()];
        book.requests.insert(id, Open { texts, next: 0, rows, tell });
        book.line.push_back(id);
        drop(book);
        self.shared.changed.notify_one();
        Ok(told)
    }

    /// Health and counts now, in requests.
    pub(super) fn load(&self) -> Load {
        let book = self.shared.book();
        let running = book.at_work.len();
        let queued = book.requests.len().saturating_sub(running);
        let (running, queued, wait) = (running as u32, queued as u32, book.wait());
        Load { healthy: !book.over, running, queued, wait, ..Load::IDLE }
    }

    /// What ended well since it began, under the name of what counts.
    pub(super) fn tally(&self, source: String) -> Tally {
        let book = self.shared.book();
        Tally {
            source,
            at: SystemTime::now(),
            since: Some(self.since),
            requests: Some(book.finished),
            prompt_tokens: Some(book.tokens),
            completion_tokens: Some(0),
            exact: true,
        }
    }
}

impl Drop for Queue {
    /// Ends what is under way after the present batch.
    fn drop(&mut self) {
        self.shared.book().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says that the thread is over, when it is dropped.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut book = self.0.book();
        book.over = true;
        book.at_work.clear();
        book.batch = 0;
        book.line.clear();
        // Whoever waits for them hears that nobody answers any more.
        book.requests.clear();
    }
}

/// What the thread does, once it has a model. Dropped without one, it ends the engine.
pub struct Worker {
    numbers: usize,
    shared: Arc<Shared>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

/// A request and one of its texts.
type Place = (u64, usize);

impl Worker {
    /// Serves requests with a model until the engine is dropped or the model fails over and over.
    pub fn work(self, mut model: impl Pools) {
        let room = model.room();
        let mut failures = 0;
        while failures < MAX_FAILURES
            && let Some((places, texts)) = self.next(room)
        {
            let began = Instant::now();
            let attempt = AssertUnwindSafe(|| model.pool(&texts));
            let pooled = catch_unwind(attempt).unwrap_or_else(|_| Err("it panicked".to_owned()));
            match pooled.and_then(|rows| self.checked(rows, texts.len())) {
                Ok(rows) => {
                    failures = 0;
                    self.done(&places, rows, texts.iter().map(Vec::len).sum(), began.elapsed());
                }
                Err(reason) => {
                    failures += 1;
                    tracing::error!(failures, texts = texts.len(), reason, "a batch of texts failed");
                    self.failed(&places);
                }
            }
        }
    }

    /// The texts of the next batch; waits until there are some. `None` when the engine is to stop.
    fn next(&self, room: Room) -> Option<(Vec<Place>, Vec<Vec<u32>>)> {
        let mut book = self.shared.book();
        loop {
            if book.stopped {
                return None;
            }
            book.requests.retain(|_, open| !open.tell.is_closed());
            let places = book.choose(room);
            if !places.is_empty() {
                book.at_work = places.iter().map(|(id, _)| *id).collect();
                let texts = places.iter().filter_map(|(id, at)| Some(book.requests.get(id)?.texts[*at].tokens()));
                let texts: Vec<Vec<u32>> = texts.collect();
                book.batch = texts.iter().map(Vec::len).sum();
                return Some((places, texts));
            }
            book = self.shared.changed.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Rows that are as many as the texts and made of numbers.
    fn checked(&self, rows: Vec<Vec<f32>>, texts: usize) -> Result<Vec<Vec<f32>>, String> {
        if rows.len() != texts {
            return Err(format!("{texts} texts gave {} rows", rows.len()));
        }
        match rows.iter().all(|row| row.len() == self.numbers && row.iter().all(|number| number.is_finite())) {
            true => Ok(rows),
            false => Err(format!("a row is not {} finite numbers", self.numbers)),
        }
    }

    fn done(&self, places: &[Place], rows: Vec<Vec<f32>>, tokens: usize, took: Duration) {
        let mut book = self.shared.book();
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / tokens.max(1) as u64;
        book.token_ns = if book.token_ns == 0 { ns } else { book.token_ns - book.token_ns / 8 + ns / 8 };
        for (&(id, at), row) in places.iter().zip(rows) {
            if let Some(open) = book.requests.get_mut(&id) {
                open.rows[at] = row;
            }
        }
        // Before an answer leaves, so that whoever has it sees it counted and the engine free.
        book.batch = 0;
        let mut over = Vec::new();
        for id in std::mem::take(&mut book.at_work) {
            let whole = |open: &Open| open.next == open.texts.len();
            if book.requests.get(&id).is_some_and(whole)
                && let Some(open) = book.requests.remove(&id)
            {
                let tokens = open.texts.iter().map(|text| text.len() as u64).sum();
                book.finished += 1;
                book.tokens += tokens;
                over.push((open.tell, Pooled { rows: open.rows, tokens }));
            }
        }
        drop(book);
        for (tell, pooled) in over {
            // Whoever is gone does not hear it.
            let _ = tell.send(Ok(pooled));
        }
    }

    fn failed(&self, places: &[Place]) {
        let mut book = self.shared.book();
        book.at_work.clear();
        book.batch = 0;
        let failed: Vec<_> = places.iter().filter_map(|(id, _)| book.requests.remove(id)).collect();
        drop(book);
        for open in failed {
            let _ = open.tell.send(Err(BackendError::Internal { reason: "the model failed".into() }));
        }
    }
}

impl Book {
    /// How long a text that came now would wait: for the batch of now, and for the next text of each request that stands before
    /// its own. `None` where it is not known how long that takes.
    fn wait(&self) -> Option<Duration> {
        let next = |id| self.requests.get(id).and_then(|open| open.texts.get(open.next)).map_or(0, Text::len);
        let before = self.batch + self.line.iter().map(next).sum::<usize>();
        let known = before == 0 || self.token_ns > 0;
        known.then(|| Duration::from_nanos(self.token_ns.saturating_mul(before as u64)))
    }

    /// The texts of a batch: one of each request in turn, while there is room.
    fn choose(&mut self, room: Room) -> Vec<Place> {
        let mut places = Vec::new();
        let mut tokens = 0;
        while places.len() < room.texts.max(1)
            && let Some(&id) = self.line.front()
        {
            // Its caller is gone, or its model failed it.
            let Some(open) = self.requests.get_mut(&id) else {
                self.line.pop_front();
                continue;
            };
            tokens += open.texts[open.next].len();
            if !places.is_empty() && tokens > room.tokens {
                break;
            }
            places.push((id, open.next));
            open.next += 1;
            let more = open.next < open.texts.len();
            self.line.pop_front();
            if more {
                self.line.push_back(id);
            }
        }
        places
    }
}
