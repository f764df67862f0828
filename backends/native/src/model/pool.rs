//! Threads that run one piece of work together, over and over, thousands of times a second.
//!
//! A round: the caller changes what the work reads, then [`Pool::run`] lets every worker, itself as worker 0, run once
//! and returns when all have. Between rounds of one step a worker spins, which costs less than waking; after a while
//! without a round, or once it is told that there will be none, it sleeps: an idle engine uses no CPU, and two pools that take
//! turns do not take it from each other. Knows nothing of what the work is.

use std::{
    hint,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
};

/// How often a thread looks again before it sleeps: some tens of microseconds, longer than any gap within a step.
const SPINS: usize = 4_000;

/// What the threads do in a round.
pub(crate) trait Work: Send + Sync + 'static {
    /// The part of worker `worker` of `workers`.
    fn run(&self, worker: usize, workers: usize);
}

/// The share of one worker of what can be parted.
pub(crate) fn part(all: usize, worker: usize, workers: usize) -> Range<usize> {
    all * worker / workers..all * (worker + 1) / workers
}

/// A fixed number of workers.
#[derive(Debug)]
pub(crate) struct Pool<W> {
    shared: Arc<Shared<W>>,
    threads: Vec<JoinHandle<()>>,
    /// Whether a round was left by a panic: threads may be missing or still at work.
    broken: bool,
}

// Every ordering is SeqCst: the sleeping protocol needs it, and a round costs far more than it does.
#[derive(Debug)]
struct Shared<W> {
    work: W,
    workers: usize,
    round: AtomicU64,
    /// Threads, the caller not counted, that have not finished the round.
    running: AtomicUsize,
    /// Which threads sleep, or are about to.
    asleep: Vec<AtomicBool>,
    /// Who waits for the end of the round.
    caller: Mutex<Option<Thread>>,
    failed: AtomicBool,
    stop: AtomicBool,
    /// Whether there is no round for a while.
    resting: AtomicBool,
}

impl<W: Work> Pool<W> {
    /// Starts `workers - 1` threads; the caller of [`Pool::run`] is the other worker.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn new(workers: usize, work: W) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            work,
            workers,
            round: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            caller: Mutex::new(None),
            failed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            resting: AtomicBool::new(false),
        });
        let mut pool = Self { shared, threads: Vec::new(), broken: false };
        for worker in 1..workers {
            let shared = Arc::clone(&pool.shared);
            let builder = thread::Builder::new().name(format!("native-{worker}"));
            pool.threads.push(builder.spawn(move || shared.serve(worker))?);
        }
        Ok(pool)
    }

    pub(crate) fn work(&self) -> &W {
        &self.shared.work
    }

    /// Lets the threads sleep until the next round.
    pub(super) fn rest(&self) {
        self.shared.resting.store(true, SeqCst);
    }

    /// Runs a round. Takes `self` exclusively, as rounds do not overlap.
    ///
    /// # Panics
    /// If the work panicked in any worker, in this round or before.
    pub(crate) fn run(&mut self) {
        assert!(!self.broken, "the threads of the native engine stopped at a panic");
        self.broken = true;
        let shared = &*self.shared;
        if shared.workers > 1 {
            shared.resting.store(false, SeqCst);
            *shared.caller.lock().expect("held for no more than an assignment") = Some(thread::current());
            shared.running.store(shared.workers - 1, SeqCst);
            shared.round.fetch_add(1, SeqCst);
            for (thread, asleep) in self.threads.iter().zip(&shared.asleep[1..]) {
                if asleep.swap(false, SeqCst) {
                    thread.thread().unpark();
                }
            }
        }
        shared.work.run(0, shared.workers);
        wait(&shared.asleep[0], || false, || shared.running.load(SeqCst) == 0);
        assert!(!shared.failed.load(SeqCst), "a worker thread of the native engine panicked");
        self.broken = false;
    }
}

impl<W> Drop for Pool<W> {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.round.fetch_add(1, SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A worker that panicked has said so on its own thread and in `run`.
            let _ = thread.join();
        }
    }
}

impl<W: Work> Shared<W> {
    fn serve(&self, worker: usize) {
        let mut seen = 0;
        loop {
            wait(&self.asleep[worker], || self.resting.load(SeqCst), || self.round.load(SeqCst) != seen);
            if self.stop.load(SeqCst) {
                return;
            }
            seen += 1;
            let finish = Finish(self);
            self.work.run(worker, self.workers);
            drop(finish);
        }
    }
}

/// Counts a worker as finished, also when its work panics: nobody may wait for it forever.
struct Finish<'a, W>(&'a Shared<W>);

impl<W> Drop for Finish<'_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, SeqCst);
        }
        if self.0.running.fetch_sub(1, SeqCst) == 1
            && self.0.asleep[0].swap(false, SeqCst)
            && let Ok(caller) = self.0.caller.lock()
            && let Some(caller) = &*caller
        {
            caller.unpark();
        }
    }
}

/// Spins, unless `rests`, then sleeps, until `done`. Whoever makes it so wakes the sleeper if `asleep` is set.
///
/// The flag is set before the last look, and the other side looks at the flag after its change: one of the two sees
/// the other. Waking without cause is harmless, as the condition is looked at again.
fn wait(asleep: &AtomicBool, rests: impl Fn() -> bool, done: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if done() {
            return;
        }
        if rests() {
            break;
        }
        hint::spin_loop();
    }
    loop {
        asleep.store(true, SeqCst);
        if done() {
            asleep.store(false, SeqCst);
            return;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count {
        runs: [AtomicUsize; 5],
        panic_in: Option<usize>,
    }

    impl Work for Count {
        fn run(&self, worker: usize, workers: usize) {
            assert_eq!(workers, 5);
            assert_ne!(Some(worker), self.panic_in, "asked for");
            self.runs[worker].fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn every_worker_runs_once_a_round_also_after_it_slept() {
        let mut pool = Pool::new(5, Count::default()).unwrap();
        for round in 1..2_000 {
            pool.run();
            assert!(pool.work().runs.iter().all(|runs| runs.load(SeqCst) == round));
            if round % 500 == 0 {
                // Until all threads have gone to sleep, half of the times at once.
                if round % 1_000 == 0 {
                    pool.rest();
                }
                while pool.shared.asleep[1..].iter().any(|asleep| !asleep.load(SeqCst)) {
                    thread::yield_now();
                }
            }
        }
    }

    #[test]
    fn a_panic_in_a_worker_reaches_the_caller_and_does_not_hang_it_then_or_later() {
        for panic_in in [0, 3] {
            let mut pool = Pool::new(5, Count { panic_in: Some(panic_in), ..Count::default() }).unwrap();
            for _ in 0..2 {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.run()));
                assert!(outcome.is_err());
            }
        }
    }
}
