//! How many attempts beyond the first all requests together may send to hosts and servers.
//!
//! When a host fails under load, each of its requests becomes a second one for somebody else, who may fail under that. So
//! attempts beyond the first are paid from a budget that the requests of the last seconds have filled, each with a share of
//! one, beside a few a second that there are always. It holds for the whole process.

use std::time::Duration;

use tower::retry::budget::{Budget as _, TpsBudget};

/// How long what a request has put into the budget can be used.
const KEPT: Duration = Duration::from_secs(10);

/// Bounds on attempts beyond the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// How many of them there may be for each request of the last ten seconds, 0 to 10.
    pub share: f32,
    /// How many of them there may be in a second whatever the share is.
    pub per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { share: 0.2, per_second: 10 }
    }
}

/// The budget of a process.
#[derive(Debug)]
pub struct Retries {
    bounds: RetryBudget,
    budget: TpsBudget,
}

impl Retries {
    /// One that is not drawn on yet.
    pub fn new(bounds: RetryBudget) -> Self {
        Self { bounds, budget: TpsBudget::new(KEPT, bounds.per_second, bounds.share) }
    }

    /// Its bounds.
    pub fn bounds(&self) -> RetryBudget {
        self.bounds
    }

    /// A request has come.
    pub fn asked(&self) {
        self.budget.deposit();
    }

    /// Leave for one attempt beyond the first.
    pub fn one_more(&self) -> bool {
        self.budget.withdraw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_a_second_are_there_always_and_requests_earn_the_rest() {
        let retries = Retries::new(RetryBudget { share: 0.5, per_second: 1 });
        let granted = || (0..100).filter(|_| retries.one_more()).count();
        assert_eq!(granted(), 10, "one a second, over the ten seconds for which it is kept");
        (0..20).for_each(|_| retries.asked());
        assert_eq!(granted(), 10, "half of them");
        tokio::time::advance(KEPT * 2).await;
        assert_eq!(granted(), 10, "what nobody earned lately is gone, the least is there again");
    }

    #[test]
    fn none_at_all_can_be_asked_for() {
        let retries = Retries::new(RetryBudget { share: 0.0, per_second: 0 });
        retries.asked();
        assert!(!retries.one_more());
    }
}
