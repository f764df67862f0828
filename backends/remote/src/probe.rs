//! Asks a place in the background how it is: whether it is well, how busy it is, and which models it lists.
//!
//! | it answers its health path with | it counts as |
//! | --- | --- |
//! | a success | healthy |
//! | 404, 405 or 501 | without a probe: traffic alone judges it |
//! | any other status below 500 | alive: something there answers, and a key is not what is asked about |
//! | 5xx, nothing in time, or no connection, twice in a row | not healthy, until a good answer |
//!
//! A model that a complete listing held before and no longer holds is taken out, until it is back. One that was never
//! listed is only warned about: names can be aliases. What cannot be read changes nothing.
//!
//! One request at a time, each with a time limit and a size limit; the task ends with the backend. Sees no traffic, and
//! knows nothing of retries or breakers.

mod listing;
mod metrics;
mod tally;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use backends::BackendId;
use bytes::Bytes;
use catalog::Metrics;
use futures_util::FutureExt;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

pub(crate) use self::tally::tally;
use self::{listing::Listing, metrics::Selector};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Failures in a row after which a place is not healthy: one may be a restart of the connection.
const FAILURES: u32 = 2;

/// What is asked of a place, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Probing {
    /// The address that tells its health.
    pub health: Option<String>,
    /// The address of its metrics, and the names in them.
    pub metrics: Option<(String, Metrics)>,
    /// Whether a model that its list does not hold is not served either.
    pub complete_listing: bool,
    /// How often health and metrics are asked for, give or take a fifth.
    pub every: Duration,
    /// How often the list of models is, likewise.
    pub every_listing: Duration,
}

impl Default for Probing {
    /// Asks nothing; the times are those of a server that is asked something later.
    fn default() -> Self {
        Self {
            health: None,
            metrics: None,
            complete_listing: false,
            every: Duration::from_secs(5),
            every_listing: Duration::from_secs(60),
        }
    }
}

impl Probing {
    fn asks(&self) -> bool {
        self.health.is_some() || self.metrics.is_some() || self.complete_listing
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    Health,
    Metrics,
    Listing,
}

impl Question {
    /// The most that is read of an answer, in bytes.
    pub(crate) fn limit(self) -> usize {
        match self {
            Self::Health => 64 << 10,
            Self::Metrics => 4 << 20,
            Self::Listing => 16 << 20,
        }
    }
}

/// What was found, read by any number of threads.
#[derive(Debug, Default)]
pub(crate) struct State {
    unwell: AtomicBool,
    delisted: AtomicBool,
    /// A count and one more, so that zero is unknown.
    running: AtomicU64,
    queued: AtomicU64,
    /// The bits of a share and one more.
    cache: AtomicU64,
}

impl State {
    /// Whether it takes requests, as far as was asked.
    pub(crate) fn healthy(&self) -> bool {
        !self.unwell.load(Relaxed) && !self.delisted.load(Relaxed)
    }

    /// Requests that it works on.
    pub(crate) fn running(&self) -> Option<u32> {
        known(&self.running)
    }

    /// Requests that wait there.
    pub(crate) fn queued(&self) -> Option<u32> {
        known(&self.queued)
    }

    /// How full its cache of keys and values is, 0 to 1.
    pub(crate) fn cache_used(&self) -> Option<f32> {
        known(&self.cache).map(f32::from_bits)
    }
}

fn known(cell: &AtomicU64) -> Option<u32> {
    cell.load(Relaxed).checked_sub(1).map(|value| value as u32)
}

fn put(cell: &AtomicU64, value: Option<u32>) {
    cell.store(value.map_or(0, |value| u64::from(value) + 1), Relaxed);
}

/// A task that asks; it ends with the drop.
#[derive(Debug)]
pub(crate) struct Prober {
    state: Arc<State>,
    task: Option<JoinHandle<()>>,
}

impl Prober {
    /// Starts to ask, if there is something to ask and a runtime to do it in.
    pub(crate) fn start<R>(
        id: &BackendId,
        name: &str,
        probing: &Probing,
        ask: impl Fn(Question) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: Future<Output = Option<(u16, Bytes)>> + Send + 'static,
    {
        let state = Arc::new(State::default());
        let runtime = tokio::runtime::Handle::try_current().ok().filter(|_| probing.asks());
        let task = runtime.map(|runtime| {
            let watch = Watch::new(id.clone(), name.to_owned(), probing.clone(), Arc::clone(&state));
            runtime.spawn(watch.run(ask))
        });
        Self { state, task }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The course of the questions.
struct Watch {
    id: BackendId,
    /// The model's name at the place.
    name: String,
    probing: Probing,
    selectors: [Vec<Selector>; 3],
    state: Arc<State>,
    /// Health probes that failed in a row.
    failures: u32,
    /// Whether the model was ever among those listed; `None` before the first list.
    listed: Option<bool>,
}

impl Watch {
    fn new(id: BackendId, name: String, probing: Probing, state: Arc<State>) -> Self {
        let names = probing.metrics.as_ref().map(|(_, names)| names.clone()).unwrap_or_default();
        let selectors = [&names.running, &names.waiting, &names.cache_used];
        let selectors = selectors.map(|names| names.iter().map(|name| Selector::new(name)).collect());
        Self { id, name, probing, selectors, state, failures: 0, listed: None }
    }

    async fn run<R: Future<Output = Option<(u16, Bytes)>>>(mut self, ask: impl Fn(Question) -> R) {
        // Not all at once where many start together.
        sleep(self.probing.every.min(Duration::from_secs(1)).mul_f64(rand::random())).await;
        let patient = |question| timeout(PATIENCE, ask(question)).map(|answer| answer.ok().flatten());
        let mut listing_at = Instant::now();
        loop {
            if self.probing.health.is_some() {
                self.health(patient(Question::Health).await.map(|(status, _)| status));
            }
            if self.probing.metrics.is_some() {
                self.metrics(patient(Question::Metrics).await);
            }
            if self.probing.complete_listing && listing_at <= Instant::now() {
                listing_at = Instant::now() + varied(self.probing.every_listing);
                self.listing(patient(Question::Listing).await);
            }
            match self.probing.health.is_some() || self.probing.metrics.is_some() {
                true => sleep(varied(self.probing.every)).await,
                false => sleep_until(listing_at).await,
            }
        }
    }

    fn health(&mut self, status: Option<u16>) {
        let failed = status.is_none_or(|status| status >= 500 && status != 501);
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let unwell = self.failures >= FAILURES;
        if self.state.unwell.swap(unwell, Relaxed) == unwell {
            return;
        }
        match status {
            _ if !unwell => tracing::info!(deployment = %self.id, "the server answers its health probe again"),
            Some(status) => tracing::warn!(deployment = %self.id, status, "the server says that it cannot serve"),
            None => tracing::warn!(deployment = %self.id, "the server does not answer its health probe"),
        }
    }

    fn metrics(&self, answer: Option<(u16, Bytes)>) {
        let text = answer.filter(|(status, _)| (200..300).contains(status)).map(|(_, text)| text);
        let [running, waiting, cache] = &self.selectors;
        let count = |selectors| {
            let sum = metrics::sum(text.as_ref()?, selectors)?;
            (sum >= 0.0).then(|| sum.min(f64::from(u32::MAX)) as u32)
        };
        put(&self.state.running, count(running));
        put(&self.state.queued, count(waiting));
        let fullest = text.as_ref().and_then(|text| metrics::greatest(text, cache));
        put(&self.state.cache, fullest.map(|share| (share.clamp(0.0, 1.0) as f32).to_bits()));
    }

    fn listing(&mut self, answer: Option<(u16, Bytes)>) {
        let Some((200..300, text)) = answer else { return };
        // A list that is empty or unreadable says that something is wrong with it, not with the model.
        let Some(listing) = Listing::read(&text).filter(|listing| !listing.is_empty()) else { return };
        let listed = listing.holds(&self.name);
        let before = self.listed.replace(listed || self.listed == Some(true));
        let vanished = !listed && before == Some(true);
        let name = &self.name;
        if vanished && !self.state.delisted.swap(true, Relaxed) {
            tracing::warn!(
                deployment = %self.id, name,
                "the model is no longer listed there, so it is taken out until it is; change `name`, or remove the deployment"
            );
        } else if listed && self.state.delisted.swap(false, Relaxed) {
            tracing::info!(deployment = %self.id, name, "the model is listed again");
        } else if !listed && before.is_none() {
            tracing::warn!(
                deployment = %self.id, name,
                "the model is not among the {} that are listed there; check `name`", listing.len()
            );
        }
    }
}

/// A time, give or take a fifth, so that what started together does not stay together.
fn varied(time: Duration) -> Duration {
    time.mul_f64(0.8 + 0.4 * rand::random::<f64>())
}

#[cfg(test)]
mod tests;
