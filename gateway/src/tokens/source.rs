//! The keys of one issuer, had in the background and kept.
//!
//! Asked for at the start, each [`EVERY`], and when a token names a key that is not there, but then no more often than each
//! [`SOONEST`]. An issuer that fails is asked again after a while that grows to a minute, and the keys that it had stay good
//! for [`KEPT`]: its outage stops nobody at once, and a key that it took back does not live for ever.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use remote::BaseUrl;
use serde::Deserialize;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::keys::SigningKeys;
use crate::config::Issuer;

/// How often the keys are asked for.
const EVERY: Duration = Duration::from_secs(600);
/// How soon they are asked for again because of a key that is not there.
const SOONEST: Duration = Duration::from_secs(5);
/// How long keys stay good that cannot be asked for again.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// After how long an issuer that failed is asked again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The longest that one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const MOST_BYTES: usize = 1 << 20;

/// The keys of an issuer; they are asked for until it is dropped.
#[derive(Debug)]
pub(super) struct Source {
    state: Arc<State>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    keys: ArcSwapOption<SigningKeys>,
    /// Why there are none.
    why: Mutex<String>,
    /// When they were had, in Unix seconds.
    had: AtomicU64,
    wanted: Notify,
}

impl Source {
    /// Asks for the keys of an issuer from now on.
    pub(super) fn start(issuer: &Issuer, client: &remote::Client) -> Self {
        let state = Arc::new(State {
            keys: ArcSwapOption::empty(),
            why: Mutex::new("they have not been asked for yet".to_owned()),
            had: AtomicU64::new(0),
            wanted: Notify::new(),
        });
        // A configuration that is only looked at has no runtime, and asks nobody.
        let runtime = tokio::runtime::Handle::try_current().ok();
        let task = runtime.map(|runtime| runtime.spawn(keep(issuer.clone(), client.clone(), Arc::clone(&state))));
        Self { state, task }
    }

    /// Takes these keys for those of the issuer.
    #[cfg(test)]
    pub(super) fn set(&self, keys: SigningKeys) {
        self.state.keys.store(Some(Arc::new(keys)));
    }

    /// The keys.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn keys(&self) -> Result<Arc<SigningKeys>, String> {
        let why = || self.state.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.state.keys.load_full().ok_or_else(why)
    }

    /// Whether these are still the keys.
    pub(super) fn still_has(&self, keys: &Arc<SigningKeys>) -> bool {
        self.state.keys.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, keys))
    }

    /// Asks for the keys again, as one is not there. False where they were had a moment ago: then there is no such key, as
    /// far as its issuer says; it is asked again nevertheless, once that moment is over.
    pub(super) fn ask_again(&self, now: SystemTime) -> bool {
        self.state.wanted.notify_one();
        let had = UNIX_EPOCH + Duration::from_secs(self.state.had.load(Relaxed));
        now.duration_since(had).is_ok_and(|ago| ago > SOONEST)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Asks again and again.
async fn keep(issuer: Issuer, client: remote::Client, state: Arc<State>) {
    let mut text = Bytes::new();
    let (mut again, mut last_had) = (AGAIN.0, Instant::now());
    loop {
        let asked = Instant::now();
        let wait = match published(&issuer, &client).await {
            Ok(document) => {
                // The same bytes are the same keys: what was checked by them need not be checked again.
                let same = document == text && state.keys.load().is_some();
                let read = if same { Ok(None) } else { SigningKeys::read(&document).map(Some) };
                match read {
                    Ok(keys) => {
                        if let Some(keys) = keys {
                            tracing::info!(issuer = issuer.name, keys = keys.len(), "the issuer's keys are there");
                            state.keys.store(Some(Arc::new(keys)));
                            text = document;
                        }
                        state.had.store(seconds(), Relaxed);
                        (again, last_had) = (AGAIN.0, asked);
                        EVERY
                    }
                    Err(why) => failed(&state, &issuer, why, &mut again, last_had),
                }
            }
            Err(why) => failed(&state, &issuer, why, &mut again, last_had),
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = state.wanted.notified() => sleep_until(asked + SOONEST.min(wait)).await,
        }
    }
}

/// Notes that the keys could not be had; after how long to ask again.
fn failed(state: &State, issuer: &Issuer, why: String, again: &mut Duration, last_had: Instant) -> Duration {
    tracing::warn!(issuer = issuer.name, why, "the issuer's keys cannot be had");
    *state.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    if last_had.elapsed() > KEPT && state.keys.swap(None).is_some() {
        tracing::error!(issuer = issuer.name, "the issuer's keys are too old; its tokens are refused");
    }
    let wait = *again;
    *again = (*again * 2).min(AGAIN.1);
    wait
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// The document of the keys that an issuer publishes.
async fn published(issuer: &Issuer, client: &remote::Client) -> Result<Bytes, String> {
    let address = match &issuer.keys_at {
        Some(address) => address.clone(),
        None => discovered(issuer, client).await?,
    };
    client.document(&address, MOST_BYTES, PATIENCE).await
}

/// Where an issuer publishes its keys, by OpenID Connect Discovery.
async fn discovered(issuer: &Issuer, client: &remote::Client) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let address = format!("{}/.well-known/openid-configuration", issuer.name.trim_end_matches('/'));
    let document = client.document(&address, MOST_BYTES, PATIENCE).await?;
    let metadata: Metadata = serde_json::from_slice(&document)
        .map_err(|_| "its configuration names no `issuer` or no `jwks_uri`".to_owned())?;
    if metadata.issuer != issuer.name {
        return Err("its configuration is that of another issuer; `issuer` has to be the same to the letter".to_owned());
    }
    let here = BaseUrl::parse(&issuer.name).is_ok_and(|url| url.loopback);
    // Some have a query, which is no part of the guard.
    match BaseUrl::parse(metadata.jwks_uri.split('?').next().unwrap_or_default()) {
        // An issuer elsewhere cannot have this machine asked, nor send its keys unencrypted.
        Ok(url) if here || (url.encrypted && !url.loopback) => Ok(metadata.jwks_uri),
        _ => Err("its `jwks_uri` is no `https` address elsewhere".to_owned()),
    }
}
