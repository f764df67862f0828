//! What a product gave, each worker's rows with itself: written by its own worker in one phase, read by all in the next.

use std::{
    ops::Range,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Sheet {
    /// By worker, `[column][its rows]`.
    parts: Vec<RwLock<Vec<f32>>>,
    /// Its rows.
    rows: Vec<Range<usize>>,
}

/// A sheet that is read.
pub(super) struct Columns<'a> {
    parts: Vec<RwLockReadGuard<'a, Vec<f32>>>,
    rows: &'a [Range<usize>],
}

impl Sheet {
    /// A sheet whose columns are parted so.
    pub(super) fn new(rows: Vec<Range<usize>>) -> Self {
        Self { parts: rows.iter().map(|_| RwLock::default()).collect(), rows }
    }

    // A lock is poisoned only by a panic in a phase, which `Pool::run` has passed on to the caller.

    /// A worker's own part.
    pub(super) fn write(&self, worker: usize) -> RwLockWriteGuard<'_, Vec<f32>> {
        self.parts[worker].write().expect("no panic in a phase")
    }

    pub(super) fn read(&self) -> Columns<'_> {
        let parts = self.parts.iter().map(|part| part.read().expect("no panic in a phase"));
        Columns { parts: parts.collect(), rows: &self.rows }
    }
}

impl Columns<'_> {
    /// Copies a column from some row on.
    pub(super) fn copy(&self, column: usize, from: usize, to: &mut [f32]) {
        let wanted = from..from + to.len();
        for (part, rows) in self.parts.iter().zip(self.rows) {
            let (first, last) = (wanted.start.max(rows.start), wanted.end.min(rows.end));
            if first < last {
                let at = column * rows.len() + first - rows.start;
                to[first - wanted.start..last - wanted.start].copy_from_slice(&part[at..at + last - first]);
            }
        }
    }
}
