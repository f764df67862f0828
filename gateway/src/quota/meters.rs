//! What is left of one quota to one of those that it tells apart.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use super::{
    Kept,
    alert::Alert,
    book::{Account, Crossed, Key, NanoUsd},
    bucket::Nanos,
    others::Others,
    places::Places,
    rate::{Rate, Share},
};
use crate::config::{Budget, Quota};

/// The tokens that an answer is taken to have before any was seen.
pub(super) const TYPICAL: u64 = 256;

/// See the module.
#[derive(Debug)]
pub struct Meters {
    pub(super) quota: Arc<Quota>,
    pub(super) subject: Box<str>,
    pub(super) requests: Option<Rate>,
    /// Of prompts and answers together, of prompts, of answers: as [`super::held::Tokens`] has them.
    pub(super) tokens: [Option<Rate>; 3],
    pub(super) running: Option<Places>,
    pub(super) queued: Option<Places>,
    pub(super) money: Box<[Money]>,
    alerts: mpsc::Sender<Alert>,
    /// The tokens of an answer, lately.
    typical: AtomicU64,
    /// The other gateways, where there are some.
    others: Option<Arc<Others>>,
    /// Whether it waits to hear of them.
    called: AtomicBool,
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
    pub(super) fn new(quota: &Arc<Quota>, subject: &str, kept: &Kept) -> Option<Self> {
        let Kept { book, alerts, others, .. } = kept;
        let rate = |most: Option<u64>| most.map(|most| Rate::per_minute(most, others.as_ref()));
        let places = |most: Option<u32>| most.map(|most| Places::new(most, others.as_ref()));
        let money = quota.budgets.iter().map(|budget| {
            let key = Key { quota: full_name(quota), subject: subject.to_owned(), every: budget.every };
            let most = nano_usd(budget.usd);
            let warn = (budget.warn_at * most as f64) as NanoUsd;
            Some(Money { budget: *budget, most, warn, account: book.account(key)? })
        });
        Some(Self {
            quota: Arc::clone(quota),
            subject: subject.into(),
            requests: rate(quota.requests_per_minute),
            tokens: [
                rate(quota.tokens_per_minute),
                rate(quota.input_tokens_per_minute),
                rate(quota.output_tokens_per_minute),
            ],
            running: places(quota.concurrent),
            queued: places(quota.queued),
            money: money.collect::<Option<_>>()?,
            alerts: alerts.clone(),
            typical: AtomicU64::new(TYPICAL),
            others: others.clone(),
            called: AtomicBool::new(false),
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
    pub fn is_idle(&self, now: Nanos) -> bool {
        self.rates().all(|(_, rate)| rate.is_idle(now)) && self.places().all(|(_, places)| places.is_idle())
    }

    /// Its rates, and their names.
    pub fn rates(&self) -> impl Iterator<Item = (&'static str, &Rate)> {
        let names = ["tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute"];
        let rates = [("requests_per_minute", &self.requests)].into_iter().chain(names.into_iter().zip(&self.tokens));
        rates.filter_map(|(name, rate)| Some((name, rate.as_ref()?)))
    }

    /// Its places, and their names.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, &Places)> {
        let places = [("concurrent", &self.running), ("queued", &self.queued)].into_iter();
        places.filter_map(|(name, places)| Some((name, places.as_ref()?)))
    }

    /// What tells it from every other one.
    pub fn name(&self) -> String {
        format!("{}:{}", self.quota_name(), self.subject)
    }

    /// What tells its quota from every other one.
    pub(super) fn quota_name(&self) -> String {
        full_name(&self.quota)
    }

    /// Something was taken: has the others asked where little is left of this gateway's part.
    pub(super) fn taken(self: &Arc<Self>) {
        let Some(others) = &self.others else { return };
        let low = self.rates().filter_map(|(_, rate)| rate.share()).any(Share::runs_low)
            || self.places().any(|(_, places)| places.runs_low());
        if low && !self.called.swap(true, Relaxed) {
            others.call(Arc::clone(self));
        }
    }

    /// The others are being asked; it may call again.
    pub fn asked(&self) {
        self.called.store(false, Relaxed);
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

/// A team and a quota may have one name.
fn full_name(quota: &Quota) -> String {
    let of = if quota.of_team { "team " } else { "" };
    format!("{of}{}", quota.name)
}

/// An amount of money, rounded up.
pub(super) fn nano_usd(usd: f64) -> NanoUsd {
    (usd * 1e9).ceil() as NanoUsd
}
