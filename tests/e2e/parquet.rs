//! Sealed segments as files that prove themselves to somebody who has nothing but the log's key.

use std::{fs, path::PathBuf};

use ledger::{Ledger, Options};
use serde_json::{Value, json};

use crate::pointsman;

#[test]
fn exported_files_hold_alone_elsewhere_and_one_that_was_changed_does_not() {
    let builder = pointsman();
    let options = Options { segment_bytes: 20_000, ..Options::default() };
    let (ledger, _) = Ledger::open(&builder.folder().join("data/ledger"), options).unwrap();
    for nth in 0..2_000_u64 {
        let record =
            json!({"kind": "decision", "request": nth.to_string(), "team": "desk", "time": nth, "verdict": "license"});
        drop(ledger.append(&record).unwrap());
        if nth % 50 == 0 {
            let outcome =
                json!({"kind": "outcome", "request": nth.to_string(), "status": "completed", "cost_usd": 0.5});
            ledger.append(&outcome).unwrap().wait().unwrap();
        }
    }
    ledger.close().unwrap();
    let audit = |arguments: &[&str]| {
        let (code, out, error) = builder.command(&[&["audit"], arguments, &["--data-dir", "data", "--json"]].concat());
        assert!(error.is_empty(), "{arguments:?}: {error}");
        (code, serde_json::from_str::<Value>(&out).unwrap_or_else(|why| panic!("{arguments:?}: {why}: {out}")))
    };
    let (code, report) = audit(&["parquet", "--out", "records"]);
    let files = report["tables"]["files"].as_array().unwrap();
    assert!(code == 0 && files.len() > 2, "{report}");
    assert_eq!(report["files_written"], files.len());
    assert_eq!(report["tables"]["left_out"][0]["why"], "it is still written to");
    let (_, again) = audit(&["parquet", "--out", "records"]);
    assert_eq!((&again["files_written"], &again["files_kept"]), (&0.into(), &files.len().into()));

    // Somewhere else, with the key alone.
    let (_, key) = audit(&["key"]);
    let auditor = pointsman();
    let paths: Vec<PathBuf> =
        fs::read_dir(builder.folder().join("records")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(paths.len(), files.len(), "and nothing beside them");
    for path in &paths {
        fs::copy(path, auditor.folder().join(path.file_name().unwrap())).unwrap();
    }
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let check = |names: &[&str], key: &str| {
        let arguments = [&["audit", "parquet", "--json", "--log-key", key, "--check"], names].concat();
        let (code, out, error) = auditor.command(&arguments);
        (code, serde_json::from_str::<Value>(&out).unwrap_or_else(|why| panic!("{why}: {out}{error}")))
    };
    let key = key["key"].as_str().unwrap();
    let (code, report) = check(&names, key);
    assert_eq!((code, &report["files_as_signed"]), (0, &names.len().into()), "{report}");

    let (changed, cut) = (auditor.folder().join(names[0]), auditor.folder().join(names[1]));
    let mut bytes = fs::read(&changed).unwrap();
    let at = bytes.windows(13).position(|bytes| bytes == b"\"team\":\"desk\"").unwrap();
    bytes[at + 9] = b'u';
    fs::write(&changed, bytes).unwrap();
    let (code, report) = check(&names, key);
    assert_eq!(code, 2);
    let altered: Vec<_> =
        report["tables"]["files"].as_array().unwrap().iter().filter(|row| row["verdict"] != "ok").collect();
    assert_eq!((altered.len(), &altered[0]["file"]), (1, &names[0].into()), "{report}");
    assert!(altered[0]["why"].as_str().unwrap().starts_with("`team` of record "), "{report}");

    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(check(&names[1..2], key).0, 7, "it cannot be read");
    assert_eq!(check(&names[..2], key).0, 2, "the worst counts");

    let other = tempfile::tempdir().unwrap();
    let (of_another, _) = Ledger::open(other.path(), Options::default()).unwrap();
    let other_key = of_another.verifier_key().unwrap().to_owned();
    assert_eq!(check(&names[2..3], &other_key).0, 2, "it is of another log");
}
