//! What is left of one quota to one of those that it tells apart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};

use super::{
    alert::Alert,
    book::{Account, Book, Crossed, Key, NanoUsd},
    bucket::{Bucket, Nanos},
};
use crate::config::{Budget, Quota};

/// The tokens that an answer is taken to have before any was seen.
pub(super) const TYPICAL: u64 = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) quota: Arc<Quota>,
    pub(super) subject: Box<str>,
    pub(super) requests: Option<Bucket>,
    /// Of prompts and answers together, of prompts, of answers: as [`super::held::Tokens`] has them.
    pub(super) tokens: [Option<Bucket>; 3],
    pub(super) running: Option<Arc<Semaphore>>,
    pub(super) queued: Option<Arc<Semaphore>>,
    pub(super) money: Box<[Money]>,
    alerts: mpsc::Sender<Alert>,
    /// The tokens of an answer, lately.
    typical: AtomicU64,
}

/// What may be spent in one kind of period.
#[derive(Debug)]
pub(super) struct Money {
    pub(super) budget: Budget,
    pub(super) most: NanoUsd,
    pub(super) warn: NanoUsd,
    pub(super) account: Arc<Account>,
}

impl Meters {
    /// With all that there is; `None` where the book has no room for its accounts.
    pub(super) fn new(quota: &Arc<Quota>, subject: &str, book: &Book, alerts: &mpsc::Sender<Alert>) -> Option<Self> {
        let bucket = |most: Option<u64>| most.map(Bucket::per_minute);
        let places = |most: Option<u32>| most.map(|most| Arc::new(Semaphore::new(most as usize)));
        let money = quota.budgets.iter().map(|budget| {
            // A team and a quota may have one name.
            let of = if quota.of_team { "team " } else { "" };
            let key = Key { quota: format!("{of}{}", quota.name), subject: subject.to_owned(), every: budget.every };
            let most = nano_usd(budget.usd);
            let warn = (budget.warn_at * most as f64) as NanoUsd;
            Some(Money { budget: *budget, most, warn, account: book.account(key)? })
        });
        Some(Self {
            quota: Arc::clone(quota),
            subject: subject.into(),
            requests: bucket(quota.requests_per_minute),
            tokens: [
                bucket(quota.tokens_per_minute),
                bucket(quota.input_tokens_per_minute),
                bucket(quota.output_tokens_per_minute),
            ],
            running: places(quota.concurrent),
            queued: places(quota.queued),
            money: money.collect::<Option<_>>()?,
            alerts: alerts.clone(),
            typical: AtomicU64::new(TYPICAL),
        })
    }

    /// Whose it is, as a sentence goes on: "... may send 60 requests a minute".
    pub(super) fn whose(&self) -> String {
        let name = &self.quota.name;
        match (self.quota.of_team, &*self.subject) {
            (true, _) => format!("team `{name}`"),
            (false, "") => format!("what quota `{name}` counts"),
            (false, subject) => format!("{subject} (quota `{name}`)"),
        }
    }

    /// The tokens of an answer whose caller sets no bound.
    pub(super) fn typical(&self) -> u64 {
        self.typical.load(Relaxed)
    }

    /// An answer had so many tokens.
    pub(super) fn answered(&self, tokens: u64) {
        // A late reader of a mean does no harm.
        self.typical.store((self.typical() * 7 + tokens).div_ceil(8), Relaxed);
    }

    /// Whether nothing would be lost with it. What was spent is in the book.
    pub(super) fn is_idle(&self, now: Nanos) -> bool {
        let rates = self.requests.iter().chain(self.tokens.iter().flatten());
        rates.map(|bucket| bucket.empty_in(now)).all(|left| left == Duration::ZERO)
    }

    /// Tells that a share of a budget was spent.
    pub(super) fn tell(&self, money: &Money, crossed: Crossed, now: i64) {
        let standing = money.account.standing(now);
        let alert = Alert::new(&self.quota, &self.subject, &money.budget, crossed, standing);
        tracing::warn!(
            quota = alert.quota,
            subject = alert.subject,
            every = alert.every.as_str(),
            spent_usd = alert.spent_usd,
            budget_usd = alert.budget_usd,
            "a budget {}",
            match crossed {
                Crossed::Warn => "runs out",
                Crossed::Stop => "is used up; requests are refused",
            }
        );
        if self.alerts.try_send(alert).is_err() {
            tracing::error!("too many alerts wait for the webhook; this one is in the log alone");
        }
    }
}

/// An amount of money, rounded up.
pub(super) fn nano_usd(usd: f64) -> NanoUsd {
    (usd * 1e9).ceil() as NanoUsd
}
