//! Looks at the pages that show duties met, as often as the rows of the catalog say, and records what came of it.
//!
//! A row of `evidence` with `check_days` is looked at when the gateway starts, when a new configuration brings or changes it, and
//! so many days after the last time; one that was not as its row says is looked at again after a day, and under a new
//! configuration. One page at a time, at most one a second, behind the guard of [`crate::guard`] ([`page`]). Each look is a record
//! of the ledger, from which `pointsman audit obligations` tells whether the duty is met; a file beside it keeps only when to
//! look again (`evidence.json`). No request waits for any of it, and a page that is gone stops nobody: it is told by the log, once, and
//! by a metric.
//!
//! Gateways that serve together look each for themselves.

mod kept;
pub mod page;
mod text;

use std::{path::PathBuf, sync::Arc, time::Duration};

use catalog::PageResult;
use remote::{FetchOptions, Fetcher};
use tokio::time::{Instant, MissedTickBehavior};

use self::{
    kept::Kept,
    page::{Look, Page},
};
use crate::{
    config::{Config, LedgerSettings},
    guard::{Network, guard},
    instance::{Event, EvidenceLooked, Instance},
    observe,
    runtime::Gateway,
    settle::now_ms,
};

/// How soon after one page the next is looked at, and a new configuration is seen.
const LOOK: Duration = Duration::from_secs(1);
/// How soon it is looked again whether a page is due, where none was.
const AGAIN: Duration = Duration::from_secs(60);
/// The most that a look is put off at random, so that gateways that start together do not ask together.
const JITTER_MS: u64 = 1_000;
/// The most bytes of a page.
const PAGE_BYTES: usize = 1 << 20;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who asks.
const AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"), " (evidence of licence duties)");

/// What fetches pages as the settings allow.
///
/// # Errors
/// When TLS cannot be set up.
pub fn fetcher(settings: &LedgerSettings) -> Result<Fetcher, remote::ClientError> {
    behind(settings.evidence_from.clone())
}

fn behind(named: Vec<Network>) -> Result<Fetcher, remote::ClientError> {
    let options = FetchOptions { bytes: PAGE_BYTES, patience: PATIENCE, agent: AGENT };
    Fetcher::new(guard(named, "ledger.evidence_from"), options)
}

/// A page that is to be looked at.
struct Due {
    id: String,
    page: Page,
    config: String,
    named: Vec<Network>,
}

/// Looks at the pages of the configuration, for as long as it is polled.
pub async fn look_at_all(gateway: Arc<Gateway>) {
    let mut kept = read(gateway.runtime().config.data_dir.join("evidence.json")).await;
    let mut fetcher: Option<(Vec<Network>, Fetcher)> = None;
    // The configuration of which nothing is due, and until when that is believed.
    let mut idle: Option<(String, Instant)> = None;
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let due = {
            let runtime = gateway.runtime();
            let config = &runtime.config;
            if idle.as_ref().is_some_and(|(of, until)| *of == config.digest && Instant::now() < *until) {
                continue;
            }
            kept.keep_to(&config.catalog);
            observe::evidence_lost(kept.lost());
            let due = next(config, &kept);
            if due.is_none() {
                idle = Some((config.digest.clone(), Instant::now() + AGAIN));
            }
            due
        };
        let Some(due) = due else { continue };
        if fetcher.as_ref().is_none_or(|(named, _)| *named != due.named) {
            match behind(due.named.clone()) {
                Ok(made) => fetcher = Some((due.named.clone(), made)),
                Err(error) => {
                    tracing::error!(error = crate::dispatch::chain(&error), "no page can be looked at");
                    idle = Some((due.config, Instant::now() + AGAIN));
                    continue;
                }
            }
        }
        let Some((_, fetcher)) = &fetcher else { continue };
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..=JITTER_MS))).await;
        let look = page::look(fetcher, &due.page).await;
        observe::evidence_looked(look.result.name());
        let config = due.config.clone();
        match recorded(Arc::clone(&gateway.instance), kept, due, look).await {
            Ok(with) => kept = with,
            Err(without) => {
                kept = without;
                idle = Some((config, Instant::now() + AGAIN));
            }
        }
    }
}

/// The first page that is due.
fn next(config: &Config, kept: &Kept) -> Option<Due> {
    let now = now_ms();
    let mut rows = config.catalog.evidence().filter_map(|row| Some((row, row.check_days?, Page::of(row)?)));
    let (row, _, page) = rows.find(|(row, days, page)| kept.is_due(&row.id, page, *days, &config.digest, now))?;
    let named = config.ledger.evidence_from.clone();
    Some(Due { id: row.id.clone(), page, config: config.digest.clone(), named })
}

async fn read(file: PathBuf) -> Kept {
    let read = tokio::task::spawn_blocking({
        let file = file.clone();
        move || Kept::read(file)
    });
    read.await.unwrap_or_else(|_| Kept::empty(file))
}

/// Records a look, and then when to look again. An error where the ledger takes no record: it was not looked then.
async fn recorded(instance: Arc<Instance>, mut kept: Kept, due: Due, look: Look) -> Result<Kept, Kept> {
    let fallback = kept.clone();
    let written = tokio::task::spawn_blocking(move || {
        let Due { id, page, config, .. } = due;
        let looked = EvidenceLooked { id: id.clone(), page: page.clone(), look: look.clone(), config: config.clone() };
        if let Err(error) = instance.recorded(Event::Evidence(looked)) {
            tracing::warn!(evidence = id, %error, "what came of looking at a page could not be recorded; it is looked at again");
            return Err(kept);
        }
        tell(&id, &look, kept.take(&id, page, look.result, config, now_ms()));
        if let Err(error) = kept.write() {
            tracing::warn!(%error, "`evidence.json` of the data folder cannot be written; after a start pages are looked at again");
        }
        Ok(kept)
    });
    written.await.unwrap_or(Err(fallback))
}

/// Tells people of a change, and only of a change.
fn tell(evidence: &str, look: &Look, before: Option<PageResult>) {
    let (result, why) = (look.result.name(), look.error.as_deref().unwrap_or_default());
    match (before, look.result) {
        (Some(before), now) if before == now => {}
        (None, PageResult::Found) => {}
        (Some(_), PageResult::Found) => tracing::info!(evidence, "the page shows again what a licence asks for"),
        _ => tracing::warn!(
            evidence,
            result,
            why,
            "a page does not show what a licence asks for, as its row says that it does"
        ),
    }
}
