//! Mixtures of experts: many feed-forward blocks in a layer, of which each token passes through a few.
//!
//! A router gives a token a score for each expert; those with the highest are its own, weighed by the softmax of theirs. The
//! tokens of a step are taken by expert, so that the weights of one are unpacked once for all its tokens. What an expert
//! gives for a token depends on nothing else, and is added in the order of the experts: results are a token's own, whatever
//! else is in the step.

use std::ops::Range;

use kernels::{Isa, Packed, Panels, exponentials, gate_mul, largest};

use super::{Desk, Phase, Shared, State, Step, Task, input::Input, part};
use crate::model::operand::Joined;

/// A token that passes through an expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Visit {
    expert: usize,
    token: usize,
    /// What part of the token's change it is.
    weight: f32,
}

impl Step {
    /// The feed-forward blocks of a layer.
    pub(super) fn experts(&mut self, many: bool, layer: usize) {
        self.product(many, Input::FeedForward(layer), Phase::Route(layer));
        self.pool.work().choose();
        self.phase(Phase::ExpertsGateUp(layer));
        self.product(many, Input::Inner(layer), Phase::ExpertsDown(layer));
    }
}

impl Shared {
    /// Notes which tokens pass through which experts, by expert: one thread does it sooner than several could be told to.
    fn choose(&self) {
        let Some(experts) = self.model.shape.experts else { return };
        let mut state = self.write();
        let State { visits, routes, tokens, .. } = &mut *state;
        visits.clear();
        let mut scores = vec![0.0; experts.count];
        for token in 0..tokens.len() {
            routes.copy(token * experts.count, &mut scores);
            let chosen = chosen(self.isa, &scores, experts.used);
            visits.extend(chosen.map(|(expert, weight)| Visit { expert, token, weight }));
        }
        visits.sort_unstable_by_key(|visit| (visit.expert, visit.token));
    }
}

/// The experts with the highest scores, of equal ones those that come first, with their weights.
fn chosen(isa: Isa, scores: &[f32], used: usize) -> impl Iterator<Item = (usize, f32)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(used);
    let mut weights: Vec<f32> = order.iter().map(|&expert| scores[expert]).collect();
    let most = largest(isa, &weights);
    let sum = exponentials(isa, &mut weights, 1.0, most);
    weights.iter_mut().for_each(|weight| *weight /= sum);
    order.into_iter().zip(weights)
}

impl Task<'_> {
    /// Gate times up of every visit, this worker's rows of each expert.
    pub(super) fn experts_gate_up(&self, layer: usize, desk: &mut Desk) {
        let (model, state) = (&self.shared.model, self.state);
        let (shape, layer) = (&model.shape, &model.weights.layers[layer]);
        // Prepared for the router.
        let operands = self.operands();
        let columns = [&layer.gate, &layer.up].map(|matrix| Joined::of(&operands, matrix.panels().format()));
        let mut first = 0;
        for visits in self.visits() {
            let tokens = || visits.iter().map(|visit| visit.token);
            let (gate, rows) = self.share(&layer.gate, visits[0].expert);
            let (up, _) = self.share(&layer.up, visits[0].expert);
            self.multiply(gate, columns[0].pick(tokens()).all(), &mut desk.results);
            self.multiply(up, columns[1].pick(tokens()).all(), &mut desk.second);
            gate_mul(self.shared.isa, shape.family.gate, &mut desk.results, &desk.second);
            for (index, results) in desk.results.chunks_exact(rows.len().max(1)).enumerate() {
                state.inner.put((first + index) * shape.feed_forward + rows.start, results);
            }
            first += visits.len();
        }
    }

    /// What all experts of each token give together, this worker's rows.
    pub(super) fn experts_down(&self, layer: usize, desk: &mut Desk) {
        let (model, state) = (&self.shared.model, self.state);
        let (width, matrix) = (model.shape.width, &model.weights.layers[layer].down);
        self.input(Input::Inner(layer), desk);
        let operands = self.operands();
        let columns = Joined::of(&operands, matrix.panels().format());
        // Of every expert the same.
        let (_, rows) = self.share(matrix, 0);
        let Desk { results: sums, second: results, .. } = desk;
        sums.clear();
        sums.resize(state.tokens.len() * rows.len(), 0.0);
        let mut first = 0;
        for visits in self.visits() {
            let (down, _) = self.share(matrix, visits[0].expert);
            self.multiply(down, columns.slice(first..first + visits.len()), results);
            for (visit, results) in visits.iter().zip(results.chunks_exact(rows.len().max(1))) {
                let sums = &mut sums[visit.token * rows.len()..][..rows.len()];
                sums.iter_mut().zip(results).for_each(|(sum, x)| *sum += visit.weight * x);
            }
            first += visits.len();
        }
        for (token, sums) in sums.chunks_exact(rows.len().max(1)).enumerate() {
            state.change.put(token * width + rows.start, sums);
        }
    }

    /// The visits, expert by expert.
    fn visits(&self) -> impl Iterator<Item = &[Visit]> {
        self.state.visits.chunk_by(|a, b| a.expert == b.expert)
    }

    /// This worker's panels of an expert, and their rows. An expert begins with a panel: loading has seen to that.
    fn share<'m>(&self, experts: &'m Packed, expert: usize) -> (Panels<'m>, Range<usize>) {
        let all = experts.panels();
        let count = all.count() / self.shared.model.shape.experts.map_or(1, |experts| experts.count);
        let panels = all.slice(expert * count..(expert + 1) * count);
        let own = part(count, self.worker, self.workers);
        (panels.slice(own.clone()), panels.rows_of(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_first_are_chosen_and_weights_are_those_of_the_chosen_alone() {
        let chosen = |scores: &[f32], used| chosen(Isa::best(), scores, used).collect::<Vec<_>>();
        assert_eq!(chosen(&[1.0, 3.0, 3.0, 3.0, 0.0], 2), [(1, 0.5), (2, 0.5)]);
        let [(3, most), (0, least)] = chosen(&[0.0, -1.0, -2.0, 2f32.ln()], 2)[..] else { panic!("others") };
        assert!((most - 2.0 / 3.0).abs() < 1e-6 && (least - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(chosen(&[f32::NAN, f32::INFINITY, 0.0], 1)[0].0, 0);
    }
}
