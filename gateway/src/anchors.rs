//! Tells others of the ledger's checkpoints, so that nobody who has the gateway's disk and key can write another history.
//!
//! Each place of the configuration is told as often as it says, where there is something new: a folder, an address,
//! an authority that signs the time ([`timestamp`]), and witnesses ([`witness`]). No request waits for any of it. One that
//! cannot be told is tried again, and the metric of unanchored records says how much is known to nobody else.

mod folder;
pub mod timestamp;
pub mod witness;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use ledger::Ledger;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    config::{Anchor, AnchorPlace, Witness, ledger_folder},
    observe,
    runtime::Gateway,
};

/// How often it is looked whether somebody is due.
const LOOK: Duration = Duration::from_secs(1);
/// How soon a place that could not be told is tried again, at the least.
const AGAIN: Duration = Duration::from_secs(10);
/// How often witnesses are asked.
const WITNESSED: Duration = Duration::from_secs(10);

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Anchor(Anchor),
    Witness { url: String, key: String },
}

/// How a place stands.
#[derive(Debug, Default)]
struct Standing {
    /// The size of the checkpoint that it has.
    has: u64,
    due: Option<Instant>,
    telling: Option<JoinHandle<Result<(), String>>>,
    /// The size of the one that it is being told.
    told: u64,
    failed: bool,
}

/// What telling takes.
#[derive(Clone)]
struct Teller {
    client: remote::Client,
    ledger: Ledger,
    /// The folder of the ledger.
    folder: PathBuf,
    log: String,
}

/// Tells all places of the configuration, for as long as it is polled.
pub async fn tell_all(gateway: Arc<Gateway>) {
    let teller = Teller {
        client: gateway.client().clone(),
        ledger: gateway.ledger.clone(),
        folder: ledger_folder(&gateway.runtime().config.data_dir),
        log: gateway.instance.log().to_owned(),
    };
    let mut standings: HashMap<Place, Standing> = HashMap::new();
    let mut every = tokio::time::interval(LOOK);
    loop {
        every.tick().await;
        let runtime = gateway.runtime();
        let settings = &runtime.config.ledger;
        let witness = |witness: &Witness| Place::Witness { url: witness.url.clone(), key: witness.key.to_string() };
        let places = settings.anchors.iter().cloned().map(Place::Anchor).chain(settings.witnesses.iter().map(witness));
        let places: Vec<_> = places.collect();
        standings.retain(|place, _| places.contains(place));
        if places.is_empty() {
            continue;
        }
        let Ok(Some(note)) = teller.ledger.checkpoint() else { continue };
        let Some(size) = size_of(&note) else { continue };
        for place in places {
            let standing = standings.entry(place.clone()).or_default();
            standing.settle(&place).await;
            standing.tell(place, &teller, &note, size);
        }
        let anchored = standings.values().map(|standing| standing.has).max().unwrap_or(0);
        observe::unanchored(teller.ledger.status().durable_records.saturating_sub(anchored));
    }
}

impl Standing {
    /// Takes what came of the last time.
    async fn settle(&mut self, place: &Place) {
        let Some(telling) = self.telling.take_if(|telling| telling.is_finished()) else { return };
        let told = telling.await.unwrap_or_else(|error| Err(error.to_string()));
        observe::anchored(place.kind(), told.is_ok());
        match told {
            Ok(()) => {
                self.has = self.told;
                self.failed = false;
            }
            Err(why) => {
                self.due = Some(Instant::now() + AGAIN.min(place.every()));
                if !std::mem::replace(&mut self.failed, true) {
                    let (place, kind) = (place.name(), place.kind());
                    tracing::error!(place, kind, why, "a checkpoint could not be told; it is tried again");
                }
            }
        }
    }

    /// Tells it where it is due.
    fn tell(&mut self, place: Place, teller: &Teller, note: &str, size: u64) {
        let now = Instant::now();
        if self.telling.is_some() || size <= self.has || self.due.is_some_and(|due| now < due) {
            return;
        }
        (self.due, self.told) = (Some(now + place.every()), size);
        let (teller, note) = (teller.clone(), note.to_owned());
        self.telling = Some(tokio::spawn(async move { teller.tell(place, note, size).await }));
    }
}

impl Place {
    fn every(&self) -> Duration {
        match self {
            Self::Anchor(anchor) => anchor.every,
            Self::Witness { .. } => WITNESSED,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Anchor(Anchor { place: AnchorPlace::Folder(_), .. }) => "folder",
            Self::Anchor(Anchor { place: AnchorPlace::Url(_), .. }) => "url",
            Self::Anchor(Anchor { place: AnchorPlace::Timestamp(_), .. }) => "timestamp",
            Self::Witness { .. } => "witness",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Anchor(Anchor { place: AnchorPlace::Folder(folder), .. }) => folder.display().to_string(),
            Self::Anchor(Anchor { place: AnchorPlace::Url(url) | AnchorPlace::Timestamp(url), .. })
            | Self::Witness { url, .. } => url.clone(),
        }
    }
}

impl Teller {
    async fn tell(self, place: Place, note: String, size: u64) -> Result<(), String> {
        match place {
            Place::Anchor(Anchor { place: AnchorPlace::Folder(folder), .. }) => {
                let written = tokio::task::spawn_blocking(move || folder::write(&folder, &self.log, size, &note)).await;
                written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
            Place::Anchor(Anchor { place: AnchorPlace::Url(url), .. }) => {
                let headers = [("content-type", "text/plain; charset=utf-8")];
                self.posted(&url, &headers, note.into()).await.map(|_| ())
            }
            Place::Anchor(Anchor { place: AnchorPlace::Timestamp(url), .. }) => {
                let request = timestamp::request(note.as_bytes());
                let headers = [("content-type", "application/timestamp-query")];
                let answer = self.posted(&url, &headers, request.into()).await?;
                timestamp::granted(&answer)?;
                let folder = self.folder.join("tlog/timestamps");
                let kept = tokio::task::spawn_blocking(move || timestamp::keep(&folder, size, &note, &answer)).await;
                kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
            Place::Witness { url, .. } => witness::cosigned(&self.client, &self.ledger, &url, &note).await,
        }
    }

    async fn posted(&self, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Bytes, String> {
        match self.client.post(url, headers, body).await? {
            (status, answer) if status.is_success() => Ok(answer),
            (status, _) => Err(format!("it answered {}", status.as_u16())),
        }
    }
}

/// How many records a checkpoint is over.
fn size_of(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}
