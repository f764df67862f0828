//! How quotas stand, for who runs the gateway.

use serde::Serialize;

use super::{
    book::NanoUsd,
    bucket::Nanos,
    meters::{Meters, Money},
};
use crate::config::Every;

/// How a quota stands, for one of those that it tells apart.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The quota.
    pub quota: String,
    /// Whether it is a team's own.
    pub of_team: bool,
    /// Who, where it tells some apart.
    pub subject: String,
    /// What may be taken a minute.
    pub rates: Vec<Rate>,
    /// Requests that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Places>,
    /// Requests that wait for a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<Places>,
    /// What may be spent.
    pub budgets: Vec<Spending>,
}

/// A rate.
#[derive(Debug, Serialize)]
pub struct Rate {
    /// Its name in the configuration.
    pub limit: &'static str,
    /// How many a minute.
    pub most: u64,
    /// How many are left now.
    pub left: u64,
}

/// Places.
#[derive(Debug, Serialize)]
pub struct Places {
    /// How many there are.
    pub most: u32,
    /// How many are taken.
    pub taken: u32,
}

/// A budget.
#[derive(Debug, Serialize)]
pub struct Spending {
    /// Its period.
    pub every: Every,
    /// What may be spent.
    pub budget_usd: f64,
    /// What was, requests that run included.
    pub spent_usd: f64,
    /// What will have been at the end of the period if it goes on as it began; none in its first hundredth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_usd: Option<f64>,
    /// When the next period begins, in seconds since 1970.
    pub ends: i64,
}

impl Meters {
    /// How it stands.
    pub(super) fn status(&self, subject: &str, now: (Nanos, i64)) -> Status {
        let places = |places: &Option<super::places::Places>| {
            places.as_ref().map(|places| Places { most: places.most(), taken: places.taken() })
        };
        let rate = |(limit, rate): (&'static str, &super::rate::Rate)| Rate {
            limit,
            most: rate.most(),
            left: rate.left(now.0),
        };
        Status {
            quota: self.quota.name.clone(),
            of_team: self.quota.of_team,
            subject: subject.to_owned(),
            rates: self.rates().map(rate).collect(),
            running: places(&self.running),
            queued: places(&self.queued),
            budgets: self.money.iter().map(|money| money.spending(now.1)).collect(),
        }
    }
}

impl Money {
    fn spending(&self, now: i64) -> Spending {
        /// Before this share of a period is over, nothing can be said of its end.
        const TOO_EARLY: f64 = 0.01;
        let standing = self.account.standing(now);
        let spent_usd = usd(standing.spent);
        let over = standing.period.share_over(now);
        Spending {
            every: self.budget.every,
            budget_usd: self.budget.usd,
            spent_usd,
            forecast_usd: (over >= TOO_EARLY).then(|| spent_usd / over),
            ends: standing.period.ends,
        }
    }
}

/// An amount in USD.
pub(super) fn usd(amount: NanoUsd) -> f64 {
    amount as f64 / 1e9
}
