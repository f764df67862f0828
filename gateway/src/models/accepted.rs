//! Licences that somebody accepted at a pull, left for the gateway to record.
//!
//! | in the data folder, mode 0600 | what |
//! |---|---|
//! | `accepted/accepted.jsonl` | a line for each acceptance |
//! | `accepted/told` | how many of them the log tells of |
//! | `accepted/lock` | held by whoever appends |
//!
//! Who accepted stands in the manifest of the model, which can be removed, and never here or in the log. The gateway looks at
//! its start and every ten seconds. A record that a crash made be written twice has the same `number`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    instance::{Event, HEARTBEAT, Instance},
    lines::{self, Stamp},
    runtime::Gateway,
};

/// The file of acceptances.
const ACCEPTED: &str = "accepted.jsonl";

/// An acceptance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// When, in Unix milliseconds.
    pub accepted: u64,
    /// `hf:OWNER/REPO:FILE`.
    pub source: String,
    /// The commit.
    pub revision: String,
    /// The digests of the files, parts in order.
    pub sha256: Vec<String>,
    /// The licence as it was shown; none where nobody names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub license: Option<String>,
    /// The model of the catalog that it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// For research: no context of the configuration could use it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub for_research: bool,
}

/// The folder of acceptances in a data folder.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("accepted")
}

/// Leaves an acceptance for the gateway of a data folder; on disk once this returns.
///
/// # Errors
/// It cannot be written.
pub fn leave(data_dir: &Path, accepted: &Accepted) -> io::Result<()> {
    let folder = folder(data_dir);
    // The lock makes its folder only where the one above is there.
    fs::create_dir_all(data_dir)?;
    let _one = lines::lock(&folder)?;
    lines::append(&folder.join(ACCEPTED), &lines::text(accepted))?;
    Ok(())
}

/// Has `record` say in the log what was accepted since it said so last; how the file was then. Blocks.
///
/// # Errors
/// The files cannot be read, or the log takes no record; it is tried again the next time.
fn heed(
    folder: &Path,
    told: Option<Stamp>,
    mut record: impl FnMut(Event) -> Result<(), String>,
) -> Result<Option<Stamp>, String> {
    let words = |error: io::Error| error.to_string();
    let path = folder.join(ACCEPTED);
    let now = lines::stamp(&path).map_err(words)?;
    if now.is_none() || told == now {
        return Ok(told);
    }
    let accepted: Vec<Accepted> = lines::lines(&path).map_err(words)?;
    for (at, accepted) in accepted.into_iter().enumerate().skip(lines::told(folder)) {
        let number = at as u64 + 1;
        record(Event::Accept { number, accepted })?;
        lines::tell(folder, number).map_err(words)?;
    }
    Ok(now)
}

/// Records acceptances now and every ten seconds, for as long as it is polled.
pub async fn follow(gateway: Arc<Gateway>) {
    let folder = folder(&gateway.runtime().config.data_dir);
    let mut told = None;
    let mut every = tokio::time::interval(HEARTBEAT);
    loop {
        every.tick().await;
        let (folder, instance): (_, Arc<Instance>) = (folder.clone(), Arc::clone(&gateway.instance));
        let record = move |event: Event| instance.recorded(event).map_err(|error| error.to_string());
        let heeded = tokio::task::spawn_blocking(move || heed(&folder, told, record)).await;
        match heeded.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(now) => told = now,
            Err(why) => {
                tracing::error!(why, "acceptances of licences cannot be recorded; it is tried again in ten seconds");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceRecord;

    fn accepted(source: &str) -> Accepted {
        Accepted {
            accepted: 1,
            source: source.to_owned(),
            revision: "c".to_owned(),
            sha256: vec!["ab".repeat(32)],
            license: None,
            model: None,
            for_research: true,
        }
    }

    fn heeded(data_dir: &Path) -> Vec<Event> {
        let mut events = Vec::new();
        let record = |event| {
            events.push(event);
            Ok(())
        };
        heed(&folder(data_dir), None, record).unwrap();
        events
    }

    #[test]
    fn each_acceptance_is_recorded_once_also_by_another_run() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(heeded(data.path()), [], "nothing was accepted");
        leave(data.path(), &accepted("hf:a/b:c.gguf")).unwrap();
        let event = |number, source: &str| Event::Accept { number, accepted: accepted(source) };
        assert_eq!(heeded(data.path()), [event(1, "hf:a/b:c.gguf")]);
        assert_eq!(heeded(data.path()), []);
        leave(data.path(), &accepted("hf:a/b:d.gguf")).unwrap();
        leave(data.path(), &accepted("hf:a/b:e.gguf")).unwrap();
        assert_eq!(heeded(data.path()), [event(2, "hf:a/b:d.gguf"), event(3, "hf:a/b:e.gguf")]);
    }

    #[test]
    fn a_record_of_an_acceptance_reads_as_it_was_written() {
        let event = Event::Accept { number: 7, accepted: accepted("hf:a/b:c.gguf") };
        let record = InstanceRecord { v: 1, event, time: 2, instance: "run_x".to_owned(), up_ms: 3 };
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!((&json["kind"], &json["accepted"], &json["time"]), (&"accept".into(), &1.into(), &2.into()));
        assert!(json.get("license").is_none() && json["for_research"] == true, "{json}");
        assert_eq!(serde_json::from_value::<InstanceRecord>(json).unwrap(), record);
    }

    #[test]
    fn what_the_log_does_not_take_is_told_again() {
        let data = tempfile::tempdir().unwrap();
        leave(data.path(), &accepted("hf:a/b:c.gguf")).unwrap();
        assert_eq!(heed(&folder(data.path()), None, |_| Err("full".to_owned())), Err("full".to_owned()));
        assert_eq!(heeded(data.path()).len(), 1);
    }
}
