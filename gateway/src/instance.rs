//! What the ledger says of the gateway itself: that it began, lives and ended, and by which texts it decides.
//!
//! | record | when |
//! |---|---|
//! | `start` | before anything is served; says what a crash had left half written |
//! | `activate` | before a configuration serves: its digests, and where its texts are ([`texts`]) |
//! | `refuse` | a new configuration was wrong, and the one before serves on |
//! | `evidence` | a page was looked at that shows what a licence asks for ([`crate::evidence`]) |
//! | `heartbeat` | every ten seconds, so that silence shows |
//! | `tally` | at the start, each hour, around an activation that changes places and at the end: what engines and servers have counted ([`crate::tally`]) |
//! | `prune` | before records that are old enough go |
//! | `erase` | once pseudonyms stand for nobody any more ([`crate::subjects`]) |
//! | `accept` | once somebody accepted a licence at a pull of a model ([`crate::models::accepted`]) |
//! | `stop` | when it ended in good order; a `start` without one before it follows a crash |
//!
//! JSON as the records of requests are ([`crate::settle::record`]), told apart by `kind`. A decision names its configuration by the
//! `config` of an `activate` record before it, so that it can be made again from the ledger's folder alone.

pub mod texts;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    time::{Duration, Instant},
};

use ledger::{AppendError, Ledger, Recovery};
use serde::{Deserialize, Serialize};

use self::texts::Texts;
use crate::{
    config::{Config, Role},
    evidence::page::{Look, Page},
    models::accepted::Accepted,
    settle::now_ms,
};

/// How often a gateway says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The most bytes of a report that a record keeps.
const MOST_OF_REPORT: usize = 4 << 10;

/// A record of the gateway itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Version of the shape, 1.
    pub v: u8,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// When, in Unix milliseconds.
    pub time: u64,
    /// The run of the gateway that says so.
    pub instance: String,
    /// Milliseconds since that run began, by a clock that nobody can set.
    pub up_ms: u64,
}

/// What happened to the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// It began.
    Start {
        /// Its version.
        version: String,
        /// The records that the ledger had before this one.
        records: u64,
        /// Bytes of a record that a crash had left half written, cut off.
        bytes_cut: u64,
    },
    /// It decides by these texts from here on.
    Activate(Activated),
    /// A configuration was refused; the one before serves on.
    Refuse {
        /// The configuration that serves on.
        config: String,
        /// The report, its beginning.
        report: String,
    },
    /// A page was looked at that shows what a licence asks for.
    Evidence(EvidenceLooked),
    /// It lives.
    Heartbeat,
    /// What places have counted themselves.
    Tally {
        /// The counters.
        sources: Vec<SourceTally>,
        /// Deployments, and the counters that count what they are asked for.
        deployments: BTreeMap<String, Vec<String>>,
    },
    /// Records that are old enough go.
    Prune {
        /// The first record that may stay: those before it go, as far as whole segments of them are.
        before: u64,
        /// They are older than this, in Unix milliseconds.
        older_than: u64,
        /// The holds that were heeded.
        holds: Vec<String>,
    },
    /// Pseudonyms stand for nobody any more. Whose they were is said nowhere.
    Erase {
        /// How many since the last record of this kind.
        pseudonyms: u64,
        /// How many ever were: a record of the same total says the same again.
        total: u64,
        /// The holds that were passed over.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        despite_holds: Vec<String>,
    },
    /// Somebody accepted a licence at a pull of a model.
    Accept {
        /// Which acceptance of the data folder, from 1: a record of the same number says the same again.
        number: u64,
        /// What was accepted.
        #[serde(flatten)]
        accepted: Accepted,
    },
    /// It ended in good order.
    Stop,
}

/// What one counter says; see [`backends::Tally`]. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTally {
    /// What counts.
    pub source: String,
    /// When it was asked.
    pub at: u64,
    /// When it began to count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<u64>,
    /// Requests that it finished.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requests: Option<u64>,
    /// Tokens of prompts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt_tokens: Option<u64>,
    /// Tokens generated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completion_tokens: Option<u64>,
    /// Whether it counts as the gateway does.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub exact: bool,
}

/// The texts that a gateway decides by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activated {
    /// Digest over all of them, which each decision names.
    pub config: String,
    /// Digest over the policies alone.
    pub policy: String,
    /// Digest of the catalog with the company's files over it.
    pub catalog: String,
    /// Digest of the catalog that is built into this version.
    pub builtin: String,
    /// The version that reads them.
    pub version: String,
    /// The configuration that decided before, in the same run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replaces: Option<String>,
    /// The texts.
    pub texts: Vec<TextRecord>,
}

/// A look at the page of a row of `evidence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceLooked {
    /// The row.
    pub id: String,
    /// What it says of the page.
    pub page: Page,
    /// What came of the look.
    #[serde(flatten)]
    pub look: Look,
    /// The configuration that has the row.
    pub config: String,
}

/// A text that is kept in the ledger's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextRecord {
    /// What it is.
    pub role: Role,
    /// How messages call it.
    pub name: String,
    /// SHA-256 of it in hex, which is the name it is kept under.
    pub sha256: String,
}

/// A run of the gateway, as its ledger sees it.
#[derive(Debug)]
pub struct Instance {
    id: String,
    began: Instant,
    ledger: Ledger,
    texts: Texts,
}

/// A record or a text could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The ledger takes no record.
    #[error("the ledger takes no record: {0}")]
    Ledger(#[from] AppendError),
    /// A text cannot be written beside it.
    #[error("the texts that decide cannot be kept beside the ledger: {0}")]
    Texts(#[from] io::Error),
}

impl Instance {
    /// Records that a run begins over the ledger in `folder`.
    ///
    /// # Errors
    /// The ledger takes no record.
    pub fn start(ledger: Ledger, folder: &Path, recovery: &Recovery) -> Result<Self, KeepError> {
        let id = format!("run_{}", uuid::Uuid::now_v7().simple());
        let instance = Self { id, began: Instant::now(), texts: Texts::of(folder), ledger };
        instance.recorded(Event::Start {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            records: recovery.records,
            bytes_cut: recovery.bytes_cut,
        })?;
        Ok(instance)
    }

    /// Keeps the texts of a configuration and records that it decides from here on; returns once that is on disk.
    ///
    /// # Errors
    /// A text cannot be kept, or the ledger takes no record: nothing may be decided by it then.
    pub fn activate(&self, config: &Config, replaces: Option<&str>) -> Result<(), KeepError> {
        let keep = |text: &crate::config::Text| {
            let sha256 = self.texts.keep(&text.text)?;
            Ok(TextRecord { role: text.role, name: text.name.clone(), sha256 })
        };
        let texts = config.texts.iter().map(keep).collect::<io::Result<_>>()?;
        self.recorded(Event::Activate(Activated {
            config: config.digest.clone(),
            policy: config.policy_digest.clone(),
            catalog: config.catalog.digest().to_owned(),
            builtin: catalog::Catalog::builtin().digest().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            replaces: replaces.map(str::to_owned),
            texts,
        }))
    }

    /// Records that a configuration was refused.
    pub fn refuse(&self, serving: &str, report: &str) {
        let mut end = report.len().min(MOST_OF_REPORT);
        while !report.is_char_boundary(end) {
            end -= 1;
        }
        self.say(Event::Refuse { config: serving.to_owned(), report: report[..end].to_owned() });
    }

    /// Records every ten seconds that it lives, for as long as it is polled.
    pub async fn beat(&self) {
        let mut every = tokio::time::interval(HEARTBEAT);
        // The first tick comes at once, where the start has just been recorded.
        every.tick().await;
        loop {
            every.tick().await;
            self.say(Event::Heartbeat);
        }
    }

    /// Records that it ends in good order.
    pub fn stop(&self) {
        self.say(Event::Stop);
    }

    /// The name of the log, as its checkpoints say it; empty where it is not signed.
    pub fn log(&self) -> &str {
        self.ledger.log_name().unwrap_or_default()
    }

    /// Records something and returns once that is on disk.
    ///
    /// # Errors
    /// The ledger takes no record.
    pub fn recorded(&self, event: Event) -> Result<(), KeepError> {
        self.ledger.append(&self.record(event))?.wait()?;
        Ok(())
    }

    /// Records something that nobody waits for; a ledger that takes nothing more says so elsewhere.
    pub fn say(&self, event: Event) {
        if let Err(error) = self.ledger.append(&self.record(event)) {
            tracing::debug!(%error, "a record of the gateway itself could not be written");
        }
    }

    fn record(&self, event: Event) -> InstanceRecord {
        let up_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        InstanceRecord { v: 1, event, time: now_ms(), instance: self.id.clone(), up_ms }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{self, Environment, Overrides};

    #[test]
    fn a_run_is_in_the_ledger_with_the_texts_that_it_decides_by() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, recovery) = Ledger::open(folder.path(), ledger::Options::default()).unwrap();
        let (config, _) = config::zero(&Overrides::default(), &Environment::of([])).unwrap();
        let instance = Instance::start(ledger.clone(), folder.path(), &recovery).unwrap();
        instance.activate(&config, None).unwrap();
        instance.refuse(&config.digest, &"ö".repeat(MOST_OF_REPORT));
        let looked = Event::Evidence(EvidenceLooked {
            id: "e-1".into(),
            page: Page { url: "https://a.example".into(), find: Some("Built with Llama".into()), sha256: None },
            look: Look {
                result: catalog::PageResult::Found,
                sha256: Some("00".repeat(32)),
                bytes: Some(7),
                http: Some(200),
                error: None,
            },
            config: config.digest.clone(),
        });
        instance.recorded(looked.clone()).unwrap();
        instance.stop();
        ledger.close().unwrap();
        let records: Vec<Value> = ledger::read(folder.path())
            .unwrap()
            .map(|record| serde_json::from_slice(&record.unwrap().1).unwrap())
            .collect();
        let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["start", "activate", "refuse", "evidence", "stop"]);
        assert!(records.iter().all(|record| record["instance"] == json!(instance.id) && record["v"] == 1));
        assert_eq!(records[1]["config"], json!(config.digest));
        let text = &records[1]["texts"][0];
        assert_eq!(text["role"], "policies");
        let kept = Texts::of(folder.path()).read(text["sha256"].as_str().unwrap()).unwrap();
        assert_eq!(kept, config.policy_files[0].text);
        assert_eq!(records[2]["report"].as_str().unwrap().len(), MOST_OF_REPORT);
        assert_eq!((&records[3]["result"], &records[3]["http"]), (&json!("found"), &json!(200)));
        let read: InstanceRecord = serde_json::from_value(records[3].clone()).unwrap();
        assert_eq!(read.event, looked);
        let read: InstanceRecord = serde_json::from_value(records[0].clone()).unwrap();
        assert_eq!(read.event, Event::Start { version: env!("CARGO_PKG_VERSION").into(), records: 0, bytes_cut: 0 });
    }
}
