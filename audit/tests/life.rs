//! What happens to a log in its life, and what a verification makes of it: receipts, anchors, rotated keys, pruned records,
//! witnesses.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use audit::{
    evidence::{self, Evidence, Receipt},
    note::{VerifierKey, WitnessKey},
    proof,
    verify::{Report, Verdict, verify, verify_against},
};
use ledger::{
    Damage, Ledger, OpenError, Options,
    witness::{Refusal, Witness},
};
use serde_json::json;

/// Segments of some dozen records, and a checkpoint only where one is asked for or the log is closed.
fn options() -> Options {
    Options { segment_bytes: 4_000, checkpoints: Some(Duration::from_secs(3_600)), ..Options::default() }
}

fn open(folder: &Path) -> Ledger {
    Ledger::open(folder, options()).unwrap().0
}

/// Appends decisions on the requests `r-FROM` and so on.
fn decide(ledger: &Ledger, from: u64, count: u64) {
    for nth in from..from + count {
        let record = json!({"kind": "decision", "request": format!("r-{nth}"), "time": 1_000 * nth});
        let ticket = ledger.append(&record).unwrap();
        // Groups of a few records, so that segments end.
        if nth % 5 == 4 || nth + 1 == from + count {
            ticket.wait().unwrap();
        }
    }
}

/// A run of a gateway that decides on so many requests; the key of the log.
fn run(folder: &Path, from: u64, count: u64) -> VerifierKey {
    let ledger = open(folder);
    decide(&ledger, from, count);
    ledger.close().unwrap();
    ledger.verifier_key().unwrap().parse().unwrap()
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copied(folder, copy.path());
    copy
}

/// Changes a file of a copy; what a verification says then.
fn changed(folder: &Path, key: &VerifierKey, file: &str, change: impl FnOnce(String) -> String) -> Report {
    let copy = copy(folder);
    let path = copy.path().join(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    verify(copy.path(), key, &[])
}

fn newest(folder: &Path) -> String {
    fs::read_to_string(folder.join("tlog/checkpoint")).unwrap()
}

#[test]
fn a_receipt_shows_a_record_that_is_gone_or_of_another_request() {
    let folder = tempfile::tempdir().unwrap();
    let key = run(folder.path(), 0, 50);
    let of = |lines: &str| {
        let lines = lines.replace("LOG", key.name());
        let evidence = Evidence { receipts: evidence::receipts(key.name(), &lines).unwrap(), ..Evidence::default() };
        verify_against(folder.path(), &key, &evidence)
    };
    let good = of("LOG 0 r-0\nLOG 49 r-49\nLOG 7\nLOG 7 r-7\n");
    assert_eq!((good.verdict, good.receipts), (Verdict::Ok, 4), "{good:?}");
    let gone = of("LOG 50\nLOG 3 r-3\nLOG 70 r-70\n");
    assert_eq!(gone.verdict, Verdict::Truncated, "{gone:?}");
    assert_eq!(gone.findings, ["2 receipts are of records up to 70, and 50 records are there"]);
    let other = of("LOG 3 r-4\nLOG 90\n");
    assert_eq!(other.verdict, Verdict::Altered, "{other:?}");
    assert_eq!(other.findings[0], "record 3 was given to request `r-4` by its receipt, and is about request `r-3`");
    let many = of(&(0..500).map(|nth| format!("LOG 3 x-{nth}\n")).collect::<String>());
    assert_eq!((many.findings.len(), many.more_findings), (100, 400), "findings are bounded");
}

#[test]
fn the_name_in_a_receipt_is_the_name_in_the_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    decide(&ledger, 0, 1);
    ledger.close().unwrap();
    assert_eq!(newest(folder.path()).lines().next(), ledger.log_name());
    let unsigned = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(unsigned.path(), Options { checkpoints: None, ..Options::default() }).unwrap();
    assert_eq!(ledger.log_name(), None);
}

#[test]
fn what_is_after_the_newest_anchor_is_counted_and_may_be_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let key = run(folder.path(), 0, 30);
    let away = tempfile::tempdir().unwrap();
    fs::write(away.path().join("monday"), newest(folder.path())).unwrap();
    run(folder.path(), 30, 30);
    let allowed = |most_unanchored: u64| {
        let checkpoints = evidence::anchors(key.name(), away.path()).unwrap();
        let evidence = Evidence { checkpoints, most_unanchored: Some(most_unanchored), ..Evidence::default() };
        verify_against(folder.path(), &key, &evidence)
    };
    let report = allowed(30);
    assert_eq!((report.verdict, report.anchored, report.unanchored_ms), (Verdict::Ok, 30, Some(30_000)), "{report:?}");
    let report = allowed(29);
    assert_eq!(report.verdict, Verdict::Unanchored, "{report:?}");
    assert_eq!(report.findings, ["30 records are after the newest checkpoint that was put away, 29 are allowed"]);
    fs::remove_file(away.path().join("monday")).unwrap();
    assert_eq!(allowed(59).verdict, Verdict::Unanchored, "without anchors all is unanchored");
    assert_eq!(allowed(60).verdict, Verdict::Ok);
}

#[test]
fn a_log_whose_key_was_rotated_is_verified_by_any_of_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = run(folder, 0, 40);
    let mut keys = vec![first.clone()];
    let kept = newest(folder);
    for round in 1..4 {
        let rotated = ledger::rotate_key(folder).unwrap();
        assert_eq!(rotated.old.parse::<VerifierKey>().unwrap(), *keys.last().unwrap());
        assert_eq!(rotated.size, 40 * round);
        let key = run(folder, 40 * round, 40);
        assert_eq!(rotated.new.parse::<VerifierKey>().unwrap(), key);
        assert_eq!(key.name(), first.name(), "the log's name stays");
        assert_eq!(ledger::verifier_key(folder).unwrap().unwrap(), rotated.new);
        keys.push(key);
    }
    for key in &keys {
        let report = verify(folder, key, std::slice::from_ref(&kept));
        assert_eq!((report.verdict, report.signed), (Verdict::Ok, 160), "{report:?}");
        let proof = proof::prove_consistency(folder, key, &kept).unwrap();
        assert_eq!(proof::check_consistency(&proof, &kept, &keys).unwrap().size, 160);
        assert!(proof::check_consistency(&proof, &kept, &keys[..1]).is_err(), "by the first key alone");
    }
    let stranger = run(tempfile::tempdir().unwrap().path(), 0, 1);
    assert_eq!(verify(folder, &stranger, &[]).verdict, Verdict::Altered);
}

#[test]
fn a_rotation_that_is_missing_or_forged_is_found_and_so_is_a_key_that_was_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = run(folder, 0, 40);
    let before = copy(folder);
    ledger::rotate_key(folder).unwrap();
    let second = run(folder, 40, 40);
    let forged = |change: &dyn Fn(String) -> String| {
        [&first, &second].map(|key| changed(folder, key, "tlog/keys", change).verdict)
    };
    // Without the rotation the second key says nothing of what the first one signed.
    assert_eq!(forged(&|_| String::new()), [Verdict::Altered; 2]);
    assert_eq!(forged(&|text| text.replace("\n40\n", "\n41\n")), [Verdict::Altered; 2], "another size");
    assert_eq!(forged(&|text| text.repeat(2)), [Verdict::Altered; 2], "twice");
    for signature in [0, 1] {
        let without = |text: String| {
            let line = text.lines().filter(|line| line.starts_with('\u{2014}')).nth(signature).unwrap();
            text.replace(&format!("{line}\n"), "")
        };
        assert_eq!(forged(&without), [Verdict::Altered; 2], "signed by one key only");
    }
    // Somebody has the key that was given up, and goes on with it.
    let stolen = copy(before.path());
    assert_eq!(run(stolen.path(), 40, 50), first);
    fs::copy(folder.join("tlog/keys"), stolen.path().join("tlog/keys")).unwrap();
    let report = verify(stolen.path(), &first, &[]);
    assert_eq!(report.verdict, Verdict::Altered, "{report:?}");
    assert!(report.findings.contains(&"the newest checkpoint was not signed by the key".to_owned()), "{report:?}");
    let refused = Ledger::open(stolen.path(), options()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(Damage::Keys { .. })), "{refused}");
    // The key that came is gone.
    fs::remove_file(folder.join("tlog/key")).unwrap();
    let refused = Ledger::open(folder, options()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(Damage::Keys { .. })), "{refused}");
}

#[test]
fn a_key_is_not_rotated_while_a_gateway_runs_or_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(ledger::rotate_key(folder.path()), Err(OpenError::Io { action: "read", .. })));
    let ledger = open(folder.path());
    assert!(matches!(ledger::rotate_key(folder.path()), Err(OpenError::Locked { .. })));
    ledger.close().unwrap();
    // A log without records has a key to rotate too.
    let rotated = ledger::rotate_key(folder.path()).unwrap();
    let key = run(folder.path(), 0, 5);
    assert_eq!(rotated.new.parse::<VerifierKey>().unwrap(), key);
    assert_eq!(verify(folder.path(), &rotated.old.parse().unwrap(), &[]).verdict, Verdict::Ok);
}

/// A log of 1,000 decisions of which the first ones were pruned, as a record says; its key, and how many are gone.
fn pruned(folder: &Path) -> (VerifierKey, u64) {
    let ledger = open(folder);
    decide(&ledger, 0, 1_000);
    ledger.append(&json!({"kind": "prune", "before": 700, "time": 1})).unwrap().wait().unwrap();
    let pruned = ledger.prune(700).unwrap();
    assert!((600..=700).contains(&pruned.first) && pruned.segments > 5, "{pruned:?}");
    // While the gateway runs.
    decide(&ledger, 1_001, 10);
    let report = verify(folder, &ledger.verifier_key().unwrap().parse().unwrap(), &[]);
    assert_eq!(report.verdict, Verdict::Pruned, "{report:?}");
    ledger.close().unwrap();
    (ledger.verifier_key().unwrap().parse().unwrap(), pruned.first)
}

#[test]
fn a_pruned_log_is_verified_and_what_is_left_of_it_is_proved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let early = run(folder, 0, 0);
    let (key, first) = pruned(folder);
    assert_eq!(early, key);
    let report = verify(folder, &key, &[]);
    assert_eq!((report.verdict, report.records, report.pruned), (Verdict::Pruned, 1_011, first), "{report:?}");
    assert_eq!(report.findings, [format!("records 0 to {} were pruned, as record 1000 says", first - 1)]);
    // It goes on as before: numbers, tree and key.
    run(folder, 1_011, 300);
    let report = verify(folder, &key, &[]);
    assert_eq!((report.verdict, report.signed), (Verdict::Pruned, 1_311), "{report:?}");
    let (position, _) = ledger::read(folder).unwrap().next().unwrap().unwrap();
    assert_eq!(position.sequence, first);
    let number = proof::decision(folder, "r-900").unwrap();
    let record = proof::record(folder, number).unwrap();
    assert_eq!(proof::check(&proof::prove(folder, &key, number).unwrap(), &record, &key).unwrap(), 900);
    assert!(proof::record(folder, first - 1).is_err());
    assert!(proof::decision(folder, "r-1").is_err());
    // Without its tiles the log is still what was signed: those of what is there are made anew.
    let copy = copy(folder);
    let tiles = copy.path().join("tlog/tile");
    fs::remove_dir_all(tiles.join("1")).unwrap();
    fs::remove_dir_all(tiles.join("0/005.p")).unwrap();
    run(copy.path(), 1_311, 10);
    assert_eq!(verify(copy.path(), &key, &[]).verdict, Verdict::Pruned);
    // A receipt of a record that is gone is no finding against it.
    let receipts = vec![Receipt { number: 3, request: Some("r-3".into()) }];
    let report = verify_against(folder, &key, &Evidence { receipts, ..Evidence::default() });
    assert_eq!(report.verdict, Verdict::Pruned, "{report:?}");
}

#[test]
fn records_that_were_removed_otherwise_than_by_a_prune_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (key, first) = pruned(folder);
    let after = |change: &dyn Fn(&Path)| {
        let copy = copy(folder);
        change(copy.path());
        let report = verify(copy.path(), &key, &[]);
        (report.verdict, report.findings)
    };
    let tile = |folder: &Path| folder.join("tlog/tile/0/001");
    // Further than the record says.
    let segments = ledger::segments(folder).unwrap();
    let further = segments[1].first;
    let (verdict, findings) = after(&|folder| {
        fs::remove_file(folder.join(format!("{first:020}.log"))).unwrap();
        let second = segments.iter().find(|segment| segment.first > 700).unwrap().first;
        for segment in segments.iter().filter(|segment| segment.first < second && segment.first > first) {
            fs::remove_file(folder.join(format!("{:020}.log", segment.first))).unwrap();
        }
        fs::write(folder.join("tlog/pruned"), format!("{second}\n")).unwrap();
    });
    assert_eq!(verdict, Verdict::Truncated, "{findings:?}");
    assert!(findings[0].ends_with("are not there, and no record that was signed says so"), "{findings:?}");
    let (verdict, findings) = after(&|folder| fs::remove_file(tile(folder)).unwrap());
    assert_eq!(
        (verdict, &*findings[0]),
        (Verdict::Truncated, "the hashes of records that were pruned are missing from record 256 on")
    );
    let (verdict, _) = after(&|folder| {
        let mut bytes = fs::read(tile(folder)).unwrap();
        bytes[99] ^= 1;
        fs::write(tile(folder), bytes).unwrap();
    });
    assert_eq!(verdict, Verdict::Altered);
    for mark in ["", "x\n", "12"] {
        let (verdict, _) = after(&|folder| fs::write(folder.join("tlog/pruned"), mark).unwrap());
        assert_eq!(verdict, Verdict::Altered, "{mark:?}");
    }
    assert_eq!(after(&|folder| fs::remove_file(folder.join("tlog/pruned")).unwrap()).0, Verdict::Altered);
    // A gateway does not start on it either.
    let (copy, another) = (copy(folder), copy(folder));
    fs::remove_file(copy.path().join("tlog/pruned")).unwrap();
    let refused = Ledger::open(copy.path(), options()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(Damage::Missing { sequence: 0, .. })), "{refused}");
    fs::remove_file(another.path().join(format!("{first:020}.log"))).unwrap();
    let refused = Ledger::open(another.path(), options()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(Damage::Missing { sequence, .. }) if sequence == first), "{refused}");
    assert!(further > first);
}

#[test]
fn a_record_that_says_what_was_pruned_counts_only_if_it_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let key = run(folder.path(), 0, 1_000);
    let (ledger, _) = Ledger::open(folder.path(), options()).unwrap();
    let pruned = ledger.prune(700).unwrap();
    ledger.close().unwrap();
    assert_eq!(verify(folder.path(), &key, &[]).verdict, Verdict::Truncated, "no record says so");
    // Somebody without the key puts one at the end.
    let unsigned = Options { checkpoints: None, ..options() };
    let (ledger, _) = Ledger::open(folder.path(), unsigned).unwrap();
    ledger.append(&json!({"kind": "prune", "before": pruned.first})).unwrap().wait().unwrap();
    ledger.close().unwrap();
    assert_eq!(verify(folder.path(), &key, &[]).verdict, Verdict::Truncated, "nobody signed it");
    open(folder.path()).close().unwrap();
    assert_eq!(verify(folder.path(), &key, &[]).verdict, Verdict::Pruned);
}

/// Sends the newest checkpoint of a log to a witness, as a gateway does; what it answered, if it cosigned.
fn submitted(
    ledger: &Ledger,
    witness: &Witness,
    checkpoint: &str,
    known: &[ledger::VerifierKey],
) -> Result<String, Refusal> {
    let ask = |old| witness.add_checkpoint(ledger.submission(checkpoint, old).unwrap().as_bytes(), known);
    match ask(0) {
        Err(Refusal::Conflict { size }) => ask(size),
        answer => answer,
    }
}

fn witness(folder: &Path, name: &str) -> (Witness, WitnessKey) {
    let witness = Witness::open(&folder.join(name), &format!("{name}.example/w")).unwrap();
    let key = witness.verifier_key().parse().unwrap();
    (witness, key)
}

#[test]
fn a_quorum_of_witnesses_anchors_a_log() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (witness(aside.path(), "one"), witness(aside.path(), "two"));
    let witnesses = vec![one.0.verifier_key(), two.0.verifier_key()];
    let mut from = 0;
    let mut key = None;
    for round in 0..3 {
        let (ledger, _) = Ledger::open(folder.path(), Options { witnesses: witnesses.clone(), ..options() }).unwrap();
        if round > 0 {
            decide(&ledger, from, 1);
            from += 1;
        }
        decide(&ledger, from, 300);
        from += 300;
        ledger.prune(0).unwrap();
        let checkpoint = ledger.checkpoint().unwrap().unwrap();
        let known: Vec<ledger::VerifierKey> = vec![ledger.verifier_key().unwrap().parse().unwrap()];
        let answer = submitted(&ledger, &one.0, &checkpoint, &known).unwrap();
        assert_eq!(ledger.cosigned(&checkpoint, &answer).unwrap(), 1);
        // The second one answers later, and once more.
        for _ in 0..2 {
            let answer = submitted(&ledger, &two.0, &checkpoint, &known).unwrap();
            assert_eq!(ledger.cosigned(&checkpoint, &answer).unwrap(), 1);
        }
        decide(&ledger, from, 7);
        from += 7;
        ledger.close().unwrap();
        key = Some(ledger.verifier_key().unwrap().parse::<VerifierKey>().unwrap());
    }
    let key = key.unwrap();
    let by = |witnesses: &[&WitnessKey], quorum, folder: &Path| {
        let witnesses = witnesses.iter().copied().cloned().collect();
        let evidence = Evidence { witnesses, quorum, most_unanchored: Some(10), ..Evidence::default() };
        verify_against(folder, &key, &evidence)
    };
    let report = by(&[&one.1, &two.1], 2, folder.path());
    assert_eq!((report.verdict, report.anchored), (Verdict::Ok, from - 7), "{report:?}");
    let stranger = witness(aside.path(), "three").1;
    assert_eq!(by(&[&one.1, &stranger], 1, folder.path()).verdict, Verdict::Ok);
    let report = by(&[&one.1, &stranger], 2, folder.path());
    assert_eq!(report.verdict, Verdict::Unanchored, "{report:?}");
    // What witnesses cosigned was cut off, with the checkpoints over it.
    let copy = copy(folder.path());
    let history = fs::read_to_string(copy.path().join("tlog/checkpoints")).unwrap();
    let early = audit::note::notes(&history).0[0].clone();
    let size: u64 = early.lines().nth(1).unwrap().parse().unwrap();
    fs::write(copy.path().join("tlog/checkpoints"), format!("{early}\n")).unwrap();
    fs::write(copy.path().join("tlog/checkpoint"), early).unwrap();
    for segment in ledger::segments(copy.path()).unwrap().iter().filter(|segment| segment.first >= size) {
        fs::remove_file(copy.path().join(format!("{:020}.log", segment.first))).unwrap();
    }
    assert_eq!(by(&[&one.1], 1, copy.path()).verdict, Verdict::Truncated);
    // A cosignature that was changed.
    let path = folder.path().join("tlog/cosigned");
    let cosigned = fs::read_to_string(&path).unwrap();
    let line = cosigned.lines().last().unwrap();
    let at = line.len() - 9;
    let other = if &line[at..=at] == "A" { "B" } else { "A" };
    fs::write(&path, cosigned.replace(line, &format!("{}{other}{}", &line[..at], &line[at + 1..]))).unwrap();
    assert_eq!(by(&[&one.1, &two.1], 2, folder.path()).verdict, Verdict::Altered);
}

/// Two histories under one key, to two auditors: no witness cosigns both.
#[test]
fn a_witness_cosigns_one_history_of_a_log_and_says_why_it_refuses_others() {
    let (honest, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = run(honest.path(), 0, 40);
    let split: PathBuf = aside.path().join("split");
    copied(honest.path(), &split);
    let (witness_one, _) = witness(aside.path(), "one");
    let submit = |folder: &Path, old: Option<u64>, known: &[ledger::VerifierKey]| {
        let ledger = open(folder);
        let checkpoint = ledger.checkpoint().unwrap().unwrap();
        match old {
            Some(old) => {
                let body = ledger.submission(&checkpoint, old).unwrap();
                witness_one.add_checkpoint(body.as_bytes(), known).map(drop)
            }
            None => submitted(&ledger, &witness_one, &checkpoint, known).map(drop),
        }
    };
    let known: [ledger::VerifierKey; 1] = [ledger::verifier_key(honest.path()).unwrap().unwrap().parse().unwrap()];
    let other = tempfile::tempdir().unwrap();
    run(other.path(), 0, 1);
    let unknown: [ledger::VerifierKey; 1] = [ledger::verifier_key(other.path()).unwrap().unwrap().parse().unwrap()];
    let status = |answer: Result<(), Refusal>| answer.map_err(|refusal| refusal.status());
    assert_eq!(status(submit(honest.path(), Some(0), &unknown)), Err(404));
    assert_eq!(status(submit(honest.path(), Some(0), &known)), Ok(()));
    run(honest.path(), 40, 20);
    run(&split, 900, 20);
    let refused = submit(honest.path(), Some(0), &known).unwrap_err();
    assert_eq!((refused.status(), refused.body().as_deref()), (409, Some("40\n")));
    assert_eq!(status(submit(honest.path(), Some(30), &known)), Err(409));
    assert_eq!(status(submit(honest.path(), None, &known)), Ok(()));
    // As large, of the same key, and another.
    assert_eq!(status(submit(&split, Some(60), &known)), Err(409));
    run(&split, 920, 20);
    assert_eq!(status(submit(&split, Some(60), &known)), Err(422));
    assert_eq!(status(submit(&split, Some(40), &known)), Err(409), "nor from where they were one");

    let ledger = open(honest.path());
    let body = ledger.submission(&ledger.checkpoint().unwrap().unwrap(), 60).unwrap();
    let refused = |body: &str| witness_one.add_checkpoint(body.as_bytes(), &known).map_err(|refusal| refusal.status());
    assert_eq!(refused(&body).map(drop), Ok(()), "once more the same");
    assert_eq!(refused(&body.replacen("old 60", "old 61", 1)).map(drop), Err(400), "from above");
    assert_eq!(refused(&body.replacen("\n60\n", "\n70\n", 1)).map(drop), Err(403), "not what was signed");
    for bad in ["", "old 60", "old 060\n\n", "\n\n", "old 60\nnot a hash\n\nx\n1\n"] {
        assert_eq!(refused(bad).map(drop), Err(400), "{bad:?}");
    }
    let long =
        format!("old 0\n{}\n{}", format!("{}\n", "A".repeat(43) + "=").repeat(64), body.split_once("\n\n").unwrap().1);
    assert_eq!(refused(&long).map(drop), Err(400), "more hashes than any proof has");
    drop(ledger);
    // It remembers over a restart.
    drop(witness_one);
    let (again, _) = witness(aside.path(), "one");
    let ledger = open(&split);
    let body = ledger.submission(&ledger.checkpoint().unwrap().unwrap(), 40).unwrap();
    assert_eq!(again.add_checkpoint(body.as_bytes(), &known).unwrap_err().status(), 409);
    let second = Witness::open(&aside.path().join("one"), "one.example/w");
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    assert!(key.name().starts_with("pointsman/"));
}

#[test]
fn a_log_is_verified_while_a_gateway_writes_signs_and_prunes() {
    let folder = tempfile::tempdir().unwrap();
    let often = Options { checkpoints: Some(Duration::from_millis(1)), ..options() };
    let (ledger, _) = Ledger::open(folder.path(), often).unwrap();
    decide(&ledger, 0, 300);
    let key = ledger.verifier_key().unwrap().parse().unwrap();
    ledger.prune(0).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..16 {
                decide(&ledger, 300 * round, 300);
                if round % 3 == 0 {
                    let before = 150 * round;
                    ledger.append(&json!({"kind": "prune", "before": before})).unwrap().wait().unwrap();
                    ledger.prune(before).unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let report = verify(folder.path(), &key, &[]);
            assert!(matches!(report.verdict, Verdict::Ok | Verdict::Pruned), "{report:?}");
        }
    });
    ledger.close().unwrap();
    assert_eq!(verify(folder.path(), &key, &[]).verdict, Verdict::Pruned);
}

/// The program as it is run: its exit status and what it says.
#[test]
fn the_program_says_by_its_exit_status_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 0, 40);
    let key = ledger::verifier_key(folder.path()).unwrap().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = aside.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = file("old", &newest(folder.path()));
    let audit = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman-audit"));
        let output = command.args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    run(folder.path(), 40, 40);
    let path = folder.path().to_str().unwrap();
    let verified = |more: &[&str]| audit(&[&["verify", path, "--key", &key], more].concat());
    let (status, said) = verified(&["--checkpoint", &old, "--max-unanchored", "40"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(status, 0, "{said}");
    assert_eq!(lines[0], "ok: all that was signed is there as it was");
    assert_eq!(lines[2], "40 records after the newest checkpoint that is known outside, of 40.000 s");
    let anchors = aside.path().join("anchors");
    fs::create_dir(&anchors).unwrap();
    fs::copy(&old, anchors.join("monday")).unwrap();
    let anchors = anchors.to_str().unwrap();
    assert_eq!(verified(&["--anchors", anchors, "--max-unanchored", "39"]).0, 5);
    let name = key.split('+').next().unwrap();
    let receipts = |lines: &str| file("receipts", &lines.replace("LOG", name));
    assert_eq!(verified(&["--receipts", &receipts("LOG 80")]).0, 3);
    assert_eq!(verified(&["--receipts", &receipts("LOG 8 r-9")]).0, 2);
    let (status, said) = verified(&["--receipts", &receipts("other 8")]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("line 1 is a receipt of the log `other`"), "{said}");
    let (_, json) = verified(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verdict"], &json["records"]), (&json!("ok"), &json!(80)));

    let (status, record) = audit(&["record", path, "--request", "r-50"]);
    assert_eq!((status, &*record), (0, r#"{"kind":"decision","request":"r-50","time":50000}"#));
    let (_, proof) = audit(&["prove", path, "--request", "r-50", "--key", &key]);
    let (proof, record) = (file("proof", &proof), file("record", &record));
    assert_eq!(audit(&["check", &proof, &record, "--key", &key]), (0, "record 50 is in the log\n".to_owned()));
    assert_eq!(audit(&["prove", path, "--key", &key]).0, 2, "neither number nor request");
    assert_eq!(audit(&["record", path, "3", "--request", "r-50"]).0, 2, "both");
    let (_, grown) = audit(&["prove-consistency", path, "--old", &old, "--key", &key]);
    let grown = file("grown", &grown);
    let (status, said) = audit(&["check-consistency", &grown, "--old", &old, "--key", &key]);
    assert_eq!((status, &*said), (0, "the log only grew: it has 80 records now\n"));
}
