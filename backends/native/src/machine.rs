//! What this machine could do at most, for whoever wants to know how far an engine is from it: bytes of memory that all threads
//! together read in a second, and products of 8-bit integers that they do.
//!
//! A token of an answer cannot take less time than reading its weights does, nor a prompt less than its products. Other load
//! only ever makes a measurement smaller, so the best of several counts, and of several calls whoever calls may take it too.

use std::{
    hint::black_box,
    io,
    sync::{Barrier, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use kernels::{Isa, peak};

/// Times that each is done, of which the best counts.
const ROUNDS: usize = 5;
/// A round takes about so long: less is lost in starting the threads.
const ROUND: Duration = Duration::from_millis(50);
/// How much more a round has than the first try, at most, so that no clock that jumps makes it last.
const MOST_MORE: f64 = 10_000.0;
/// Steps of products in a first try, which tells how many a round has.
const FIRST_STEPS: u32 = 20_000;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Bytes that are read in a second.
    pub bytes_per_second: f64,
    /// Products in a second; a multiplication with its addition is one.
    pub products_per_second: f64,
}

impl Machine {
    /// Measures it with the instructions of a tier, in so many threads, reading from `bytes` of memory as often as a round
    /// takes: as many as an engine has to read, since fewer may lie in a cache.
    ///
    /// # Errors
    /// The system has no such memory.
    pub fn measure(isa: Isa, threads: usize, bytes: usize) -> io::Result<Self> {
        let field = peak::Field::new(bytes.max(1))?;
        let bytes = field.bytes();
        let part = |thread: usize| &bytes[bytes.len() * thread / threads..bytes.len() * (thread + 1) / threads];
        let read = best(threads, 1, |thread, times| {
            for _ in 0..times {
                black_box(peak::read(isa, black_box(part(thread))));
            }
            (part(thread).len() as u64).saturating_mul(times.into())
        });
        let products = best(threads, FIRST_STEPS, |_, steps| {
            let done = black_box(peak::multiply(isa, steps));
            done.count
        });
        Ok(Self { bytes_per_second: read, products_per_second: products })
    }

    /// The better of each.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        Self {
            bytes_per_second: self.bytes_per_second.max(other.bytes_per_second),
            products_per_second: self.products_per_second.max(other.products_per_second),
        }
    }
}

/// How much all threads do in a second, where `work` does something so many times and says how much it was.
fn best(threads: usize, first: u32, work: impl Fn(usize, u32) -> u64 + Sync) -> f64 {
    let (_, took) = together(threads, first, &work);
    let more = (ROUND.as_secs_f64() / took.as_secs_f64().max(1e-9)).clamp(1.0, MOST_MORE);
    let times = (f64::from(first) * more) as u32;
    let rate = |(done, took): (u64, Duration)| done as f64 / took.as_secs_f64().max(1e-9);
    (0..ROUNDS).map(|_| rate(together(threads, times, &work))).fold(0.0, f64::max)
}

/// Begins once all threads are there, and counts from when the first has begun to when the last is done, by their own clocks:
/// whoever waits for them may be kept waiting longer.
fn together(threads: usize, times: u32, work: &(impl Fn(usize, u32) -> u64 + Sync)) -> (u64, Duration) {
    let (there, did) = (Barrier::new(threads), Mutex::new(Vec::with_capacity(threads)));
    thread::scope(|scope| {
        for thread in 0..threads {
            let (there, did) = (&there, &did);
            scope.spawn(move || {
                there.wait();
                let began = Instant::now();
                let done = work(thread, times);
                let ended = Instant::now();
                did.lock().unwrap_or_else(PoisonError::into_inner).push((done, began, ended));
            });
        }
    });
    let did = did.into_inner().unwrap_or_else(PoisonError::into_inner);
    let began = did.iter().map(|(_, began, _)| *began).min();
    let ended = did.iter().map(|(.., ended)| *ended).max();
    let took = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
    (did.iter().map(|(done, ..)| done).sum(), took)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn every_thread_works_in_each_round_and_all_that_was_done_counts() {
        let calls: [AtomicUsize; 3] = Default::default();
        let (done, _) = together(3, 7, &|thread, times| {
            calls[thread].fetch_add(1, Relaxed);
            u64::from(times) * 10
        });
        assert_eq!(done, 3 * 70);
        assert_eq!(calls.map(|calls| calls.load(Relaxed)), [1, 1, 1]);
    }

    #[test]
    fn a_better_machine_reads_more_and_multiplies_more() {
        let [one, other] = [(2.0, 3.0), (4.0, 1.0)]
            .map(|(bytes_per_second, products_per_second)| Machine { bytes_per_second, products_per_second });
        assert_eq!(one.better(other), Machine { bytes_per_second: 4.0, products_per_second: 3.0 });
    }

    #[test]
    fn every_tier_of_this_machine_is_measured() {
        for isa in Isa::available() {
            let machine = Machine::measure(isa, 2, 1 << 20).expect("a megabyte");
            // No machine that runs this does less, whatever else it does meanwhile.
            assert!(machine.bytes_per_second > 1e7, "{}: {machine:?}", isa.name());
            assert!(machine.products_per_second > 1e7, "{}: {machine:?}", isa.name());
        }
    }
}
