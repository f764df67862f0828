//! Numbers that several threads write at once, each its own places, and all read in the next phase.
//!
//! Phases are apart by `Pool::run`, which orders what is written before what is read: no order is needed here, and on
//! every CPU of today these are plain moves.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(super) struct Board(Vec<AtomicU32>);

impl Board {
    /// Makes room for `len` numbers.
    pub(super) fn reserve(&mut self, len: usize) {
        if self.0.len() < len {
            self.0.resize_with(len, AtomicU32::default);
        }
    }

    /// Writes numbers from a place on.
    pub(super) fn put(&self, at: usize, numbers: &[f32]) {
        for (place, number) in self.0[at..at + numbers.len()].iter().zip(numbers) {
            place.store(number.to_bits(), Relaxed);
        }
    }

    /// Reads numbers from a place on.
    pub(super) fn get(&self, at: usize, len: usize) -> impl Iterator<Item = f32> + '_ {
        self.0[at..at + len].iter().map(|place| f32::from_bits(place.load(Relaxed)))
    }

    /// The same into `to`.
    pub(super) fn copy(&self, at: usize, to: &mut [f32]) {
        let len = to.len();
        for (to, number) in to.iter_mut().zip(self.get(at, len)) {
            *to = number;
        }
    }
}
