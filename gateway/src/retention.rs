//! Removes records that are older than they have to be kept, in whole segments, and keeps those that a hold names.
//!
//! Their hashes stay, so every record that is left can still be proved, and what went is on record before it goes. Who stood
//! behind their pseudonyms goes after them, an epoch at a time.

use std::{path::Path, sync::Arc, time::Duration};

use ledger::{Ledger, Segment};
use serde::Deserialize;

use crate::{
    config::{Hold, LedgerSettings, ledger_folder},
    instance::{Event, Instance},
    runtime::Gateway,
    settle::{DAY_MS, now_ms},
    subjects,
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(3_600);

/// Removes what is old enough, now and every hour, for as long as it is polled.
pub async fn keep_to(gateway: Arc<Gateway>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let config = &gateway.runtime().config;
        let (settings, folder) = (config.ledger.clone(), ledger_folder(&config.data_dir));
        let (ledger, instance) = (gateway.ledger.clone(), Arc::clone(&gateway.instance));
        let pruned = tokio::task::spawn_blocking(move || prune(&settings, &folder, &ledger, &instance, now_ms()));
        match pruned.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(None) => {}
            Ok(Some(before)) => tracing::info!(before, "records that are old enough were removed"),
            Err(why) => {
                tracing::error!(why, "records that are old enough cannot be removed; it is tried again in an hour")
            }
        }
    }
}

/// Prunes once; before which record, if there was anything.
fn prune(
    settings: &LedgerSettings,
    folder: &Path,
    ledger: &Ledger,
    instance: &Instance,
    now_ms: u64,
) -> Result<Option<u64>, String> {
    let Some(days) = settings.keep_days else { return Ok(None) };
    let cutoff = now_ms.saturating_sub(days * DAY_MS);
    let segments = ledger::segments(folder).map_err(|error| error.to_string())?;
    let timed = segments.iter().map(|segment| Ok((segment.first, time_of(folder, segment)?)));
    let timed = timed.collect::<Result<Vec<_>, String>>()?;
    let Some(before) = before(&timed, cutoff, &settings.holds) else {
        forget(folder, timed.first())?;
        return Ok(None);
    };
    let holds = settings.holds.iter().map(|hold| hold.name.clone()).collect();
    let event = Event::Prune { before, older_than: cutoff, holds };
    instance.recorded(event).map_err(|error| error.to_string())?;
    ledger.prune(before).map_err(|error| error.to_string())?;
    forget(folder, timed.iter().find(|(first, _)| *first == before))?;
    Ok(Some(before))
}

/// Forgets who was behind pseudonyms, in epochs that were over a day and more before the oldest segment that is kept: a record
/// in it may be a little older than its first.
fn forget(folder: &Path, oldest: Option<&(u64, Option<u64>)>) -> Result<(), String> {
    let Some((_, Some(begins))) = oldest else { return Ok(()) };
    match subjects::forget_before(folder, begins.saturating_sub(DAY_MS)) {
        Ok(0) => {}
        Ok(epochs) => tracing::info!(epochs, "the subjects of epochs without records were removed"),
        Err(error) => return Err(error.to_string()),
    }
    Ok(())
}

/// The first record that stays, of segments by their first record and its time; none where nothing goes.
fn before(segments: &[(u64, Option<u64>)], cutoff: u64, holds: &[Hold]) -> Option<u64> {
    // A segment ends where the next begins, and what is held must not go, nor anything after it: only the oldest can.
    let mut first = None;
    for pair in segments.windows(2) {
        let [(_, begins), (next, ends)] = pair else { break };
        let (Some(begins), Some(ends)) = (*begins, *ends) else { break };
        let is_held =
            holds.iter().any(|hold| hold.first_ms() <= ends && hold.last_ms().is_none_or(|last| begins <= last));
        if ends > cutoff || is_held {
            break;
        }
        first = Some(*next);
    }
    first
}

/// When the first record of a segment was written, if it says so.
fn time_of(folder: &Path, segment: &Segment) -> Result<Option<u64>, String> {
    #[derive(Deserialize)]
    struct Timed {
        time: u64,
    }
    let mut reader = ledger::read_from(folder, segment.first).map_err(|error| error.to_string())?;
    let Some(record) = reader.next() else { return Ok(None) };
    let (_, record) = record.map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice::<Timed>(&record).ok().map(|timed| timed.time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(from: &str, to: Option<&str>) -> Hold {
        let day = |text: &str| text.parse().unwrap();
        Hold { name: "case-17".to_owned(), from: day(from), to: to.map(day), reason: "a court".to_owned() }
    }

    #[test]
    fn segments_go_once_all_in_them_is_old_and_stop_at_what_is_held() {
        let day = |day: u64| Some(day * DAY_MS);
        let segments = [(0, day(0)), (10, day(5)), (20, day(10)), (30, day(15))];
        assert_eq!(before(&segments, 4 * DAY_MS, &[]), None);
        assert_eq!(before(&segments, 5 * DAY_MS, &[]), Some(10), "the second begins when the first is old");
        assert_eq!(before(&segments, 99 * DAY_MS, &[]), Some(30), "never the newest");
        assert_eq!(before(&segments, 99 * DAY_MS, &[hold("1970-01-08", Some("1970-01-09"))]), Some(10));
        assert_eq!(before(&segments, 99 * DAY_MS, &[hold("1970-01-01", None)]), None);
        assert_eq!(before(&segments, 99 * DAY_MS, &[hold("1971-01-01", Some("1971-01-02"))]), Some(30));
        assert_eq!(before(&[(0, day(0)), (10, None), (20, day(9))], 99 * DAY_MS, &[]), None, "what says no time stays");
    }

    #[test]
    fn who_stood_behind_pseudonyms_is_forgotten_once_no_record_of_the_epoch_is_left() {
        let ledger = tempfile::tempdir().unwrap();
        let (old, new) = ("1970-01-01_1970-01-30.jsonl", "1970-01-31_1970-03-01.jsonl");
        let folder = subjects::folder(ledger.path());
        std::fs::create_dir(&folder).unwrap();
        for epoch in [old, new] {
            std::fs::write(folder.join(epoch), "").unwrap();
        }
        let left = |begins: Option<u64>| {
            forget(ledger.path(), Some(&(7, begins))).unwrap();
            [old, new].map(|epoch| folder.join(epoch).exists())
        };
        assert_eq!(left(None), [true, true], "what says no time stays");
        assert_eq!(left(Some(31 * DAY_MS - 1)), [true, true], "a record may be a little older than the first");
        assert_eq!(left(Some(31 * DAY_MS)), [false, true]);
    }

    #[test]
    fn what_is_pruned_is_on_record_first_and_the_rest_still_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let options = ledger::Options { segment_bytes: 16 << 10, ..ledger::Options::default() };
        let (ledger, recovery) = Ledger::open(folder.path(), options).unwrap();
        let instance = Instance::start(ledger.clone(), folder.path(), &recovery).unwrap();
        for nth in 0..2_000_u64 {
            // Old ones, a minute apart, and the last day's.
            let record =
                serde_json::json!({"v": 1, "kind": "decision", "time": nth * 60_000, "request": nth.to_string()});
            drop(ledger.append(&record).unwrap());
            if nth % 50 == 0 {
                ledger.append(&record).unwrap().wait().unwrap();
            }
        }
        let settings = LedgerSettings { keep_days: Some(1), ..LedgerSettings::default() };
        let path = folder.path().to_owned();
        // The first record says when it was written: now.
        let now = now_ms() + 3 * DAY_MS;
        let before = prune(&settings, &path, &ledger, &instance, now).unwrap().expect("something goes");
        assert!(before > 100, "{before}");
        let key = ledger.verifier_key().unwrap().parse().unwrap();
        ledger.close().unwrap();
        let report = audit::verify::verify(&path, &key, &[]);
        assert_eq!((report.verdict, report.pruned), (audit::verify::Verdict::Pruned, before), "{report:?}");
        let (first, _) = ledger::read(&path).unwrap().next().unwrap().unwrap();
        assert_eq!(first.sequence, before);
    }
}
