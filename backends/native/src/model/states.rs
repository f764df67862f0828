//! What a model that does not look back keeps of a sequence: in each layer the last values of each channel but the newest, and the
//! state of each channel.
//!
//! It is kept twice for each slot: a step reads one and writes the other, so that one which breaks off leaves what was there. It
//! takes as much room for one token as for a million, and cannot go back: the past is in it as a whole. In `f32`, as what is
//! rounded of it would stay. Each worker has that of its own channels, which are always the same.

use super::{Shape, cache::PANEL, pool::part, shape::Channels};

/// What a worker has. Memory is taken as zeroed pages of the system's, which provides them when they are first written.
#[derive(Debug)]
pub(super) struct States {
    layers: usize,
    /// Numbers of a layer: of the last values, `[value][channel]`, and of states, as the kernel has them.
    values: usize,
    lanes: usize,
    last: Vec<f32>,
    states: Vec<[f32; PANEL]>,
}

/// What a slot holds at the beginning of its tokens of a step, and where what it holds behind them goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) before: Before,
    /// Which of the two.
    pub(super) to: usize,
}

/// Where that which tokens go on from is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nowhere: a sequence begins.
    Nothing,
    /// In the other of the two.
    Other,
    /// Where it goes: earlier tokens of the step put it there.
    Same,
}

impl States {
    /// Bytes of so many slots, for all workers together; none if that overflows.
    pub(super) fn bytes(shape: &Shape, slots: usize) -> Option<usize> {
        let Some(Channels { count, window, state, .. }) = shape.channels else { return Some(0) };
        slots.checked_mul(2 * size_of::<f32>() * (window - 1 + state))?.checked_mul(shape.layers * count)
    }

    /// What a worker needs.
    pub(super) fn new(shape: &Shape, slots: usize, worker: usize, workers: usize) -> Self {
        let Channels { count, window, state, .. } =
            shape.channels.unwrap_or(Channels { count: 0, window: 1, state: 0, rank: 0, normed: false });
        let own = part(count / PANEL, worker, workers).len();
        let (values, lanes) = ((window - 1) * own * PANEL, state * own);
        let all = 2 * slots * shape.layers;
        Self {
            layers: shape.layers,
            values,
            lanes,
            last: vec![0.0; all * values],
            states: vec![[0.0; PANEL]; all * lanes],
        }
    }

    /// The last values of its channels, oldest first, to be put in place of those that they were.
    pub(super) fn last(&mut self, layer: usize, place: Place) -> &mut [f32] {
        brought(&mut self.last, self.values, self.layers, layer, place)
    }

    /// The states of its channels, to be taken further.
    pub(super) fn states(&mut self, layer: usize, place: Place) -> &mut [[f32; PANEL]] {
        brought(&mut self.states, self.lanes, self.layers, layer, place)
    }
}

/// The place of a slot in a layer, with what it goes on from in it.
fn brought<T: Copy + Default>(
    all: &mut [T],
    len: usize,
    layers: usize,
    layer: usize,
    Place { slot, before, to }: Place,
) -> &mut [T] {
    let at = |which: usize| ((2 * slot + which) * layers + layer) * len;
    match before {
        Before::Nothing => all[at(to)..][..len].fill(T::default()),
        Before::Other => all.copy_within(at(1 - to)..at(1 - to) + len, at(to)),
        Before::Same => {}
    }
    &mut all[at(to)..][..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_on_from_the_other_place_and_leaves_it_as_it_was() {
        // Two slots of three layers with two numbers.
        let mut all = vec![0; 2 * 2 * 3 * 2];
        let brought = |all: &mut [i32], before, to, puts: [i32; 2]| {
            let place = brought(all, 2, 3, 1, Place { slot: 1, before, to });
            let found = [place[0], place[1]];
            place.copy_from_slice(&puts);
            found
        };
        assert_eq!(brought(&mut all, Before::Nothing, 0, [1, 2]), [0, 0]);
        assert_eq!(brought(&mut all, Before::Other, 1, [3, 4]), [1, 2]);
        assert_eq!(brought(&mut all, Before::Same, 1, [5, 6]), [3, 4]);
        assert_eq!(brought(&mut all, Before::Same, 0, [7, 8]), [1, 2], "what was gone on from is still there");
        assert_eq!(brought(&mut all, Before::Nothing, 1, [9, 9]), [0, 0]);
        assert_eq!(all.iter().filter(|number| **number != 0).count(), 4, "no other place was written");
    }
}
