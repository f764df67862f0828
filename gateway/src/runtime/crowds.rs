//! Which places share the load of a model, so that a prefix which all requests begin with does not gather them at one.
//!
//! Compared are servers of the company's own that serve one model: a host balances its own load, and a fleet that of its
//! endpoints. One that is busier than the others gets no credit for what it has cached, for as long as it is.

use backends::is_crowded;
use policies::Live;

use crate::config::{Deployment, Target};

/// By place, the number of its crowd; `None` for one that is compared with none.
#[derive(Debug)]
pub struct Crowds(Vec<Option<usize>>);

impl Crowds {
    /// Of deployments, in their order.
    pub fn of(deployments: &[Deployment]) -> Self {
        let own = |deployment: &&Deployment| matches!(deployment.target, Target::Remote { host: None, .. });
        let first_like =
            |one: &Deployment| deployments.iter().position(|other| own(&other) && other.facts.model == one.facts.model);
        Self(deployments.iter().map(|one| first_like(one).filter(|_| own(&one))).collect())
    }

    /// Takes the credit for what they have cached from those that are busier than the rest of their crowd.
    pub fn bound(&self, live: &mut [Live]) {
        let requests = |live: &Live| u64::from(live.running) + u64::from(live.queued);
        for at in 0..live.len() {
            let Some(crowd) = self.0[at].filter(|_| live[at].cached_prefix_tokens > Some(0)) else { continue };
            let others = live.iter().zip(&self.0).filter(|(live, of)| **of == Some(crowd) && live.healthy);
            let (all, count) = others.fold((0, 0), |(all, count), (live, _)| (all + requests(live), count + 1));
            if is_crowded(requests(&live[at]), all, count) {
                live[at].cached_prefix_tokens = Some(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_busier_than_its_like_gets_no_credit_for_its_cache_and_whoever_has_none_keeps_its_own() {
        let crowds = Crowds(vec![Some(0), Some(0), Some(0), None, Some(4)]);
        let live = |running, cached| Live { running, cached_prefix_tokens: Some(cached), ..Live::default() };
        // The mean of the crowd is 8: 11 is its bound.
        let mut all = vec![live(12, 900), live(11, 800), live(1, 0), live(99, 700), live(50, 600)];
        crowds.bound(&mut all);
        let cached: Vec<_> = all.iter().map(|live| live.cached_prefix_tokens).collect();
        assert_eq!(cached, [Some(0), Some(800), Some(0), Some(700), Some(600)]);
    }
}
