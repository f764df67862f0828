//! Every kind of tampering with a signed ledger, many times each: what is found, and the one thing that cannot be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use audit::{
    note::VerifierKey,
    proof,
    verify::{Verdict, verify},
};
use ledger::{Ledger, Options};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const RECORDS: u64 = 400;
const HEADER: usize = 16;

/// A ledger of several segments with a checkpoint after each run, and its key.
fn signed(folder: &Path) -> VerifierKey {
    signed_with(folder, "desk")
}

fn signed_with(folder: &Path, team: &str) -> VerifierKey {
    let mut key = String::new();
    for run in 0..4 {
        let (ledger, _) = Ledger::open(folder, Options { segment_bytes: 4_000, ..Options::default() }).unwrap();
        for nth in 0..RECORDS / 4 {
            let record =
                serde_json::json!({"kind": "decision", "request": format!("r-{}", run * 1_000 + nth), "team": team});
            drop(ledger.append(&record).unwrap());
            // Groups of a few records.
            if nth % 7 == 0 {
                ledger
                    .append(&serde_json::json!({"kind": "outcome", "request": format!("r-{nth}")}))
                    .unwrap()
                    .wait()
                    .unwrap();
            }
        }
        key = ledger.verifier_key().unwrap().to_owned();
        ledger.close().unwrap();
    }
    key.parse().unwrap()
}

/// A segment's frames: what each begins with, and its record.
struct Segment {
    path: PathBuf,
    head: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

fn segments(folder: &Path) -> Vec<Segment> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    all.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let (head, mut rest) = bytes.split_at(24);
        let mut frames = Vec::new();
        while rest.len() >= HEADER {
            let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let (frame, after) = rest.split_at(HEADER + length);
            frames.push(frame.to_vec());
            rest = after;
        }
        Segment { path, head: head.to_vec(), frames }
    };
    all.into_iter().map(read).collect()
}

impl Segment {
    fn write(&self) {
        fs::write(&self.path, [&self.head[..], &self.frames.concat()].concat()).unwrap();
    }
}

/// What somebody who knows the format does to a frame: its sum is right again.
fn summed(frame: &mut [u8]) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&frame[..4]);
    sum.update(&frame[8..]);
    let sum = sum.finalize().to_le_bytes();
    frame[4..8].copy_from_slice(&sum);
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

const ATTACKS: [&str; 10] = [
    "a bit of a segment is flipped",
    "a record is edited, its sum made right",
    "a record is taken out",
    "a record is put in twice",
    "two records change places",
    "the end is cut off",
    "a segment is removed",
    "a segment's records are another's",
    "a checkpoint is edited",
    "the last checkpoints are removed and a record edited",
];

/// Does it; `false` where there was nothing to do it to.
fn attack(kind: usize, folder: &Path, random: &mut impl FnMut(usize) -> usize) -> bool {
    let mut all = segments(folder);
    let at = random(all.len());
    let history = folder.join("tlog/checkpoints");
    // The last frame may be a mark, which holds no record.
    let records: Vec<usize> = (0..all[at].frames.len()).filter(|frame| all[at].frames[*frame].len() > HEADER).collect();
    let one = records[random(records.len())];
    match kind {
        0 => {
            let offset = random(all[at].head.len() + all[at].frames.iter().map(Vec::len).sum::<usize>());
            let mut bytes = fs::read(&all[at].path).unwrap();
            let end = all[at].head.len() + all[at].frames[..=*records.last().unwrap()].concat().len();
            if offset >= end {
                return false;
            }
            bytes[offset] ^= 1 << random(8);
            fs::write(&all[at].path, bytes).unwrap();
            return true;
        }
        1 | 9 => {
            let frame = &mut all[at].frames[one];
            let digit = frame.iter().rposition(u8::is_ascii_digit).unwrap();
            frame[digit] = b'0' + (frame[digit] - b'0' + 1) % 10;
            summed(frame);
            if kind == 9 {
                let text = fs::read_to_string(&history).unwrap();
                let first = text.match_indices("\n\n").nth(1).unwrap().0 + 2;
                fs::write(&history, &text[..first]).unwrap();
                fs::remove_file(folder.join("tlog/checkpoint")).unwrap();
                // What is before the checkpoint that stays is still signed.
                let before: usize =
                    all[..at].iter().flat_map(|segment| &segment.frames).filter(|f| f.len() > HEADER).count();
                let number = before + records.iter().position(|record| *record == one).unwrap();
                if number >= 100 {
                    return false;
                }
            }
        }
        2 => drop(all[at].frames.remove(one)),
        3 => {
            // Behind the last record that is signed a record is one that is not signed yet.
            if at + 1 == all.len() && Some(&one) == records.last() {
                return false;
            }
            let again = all[at].frames[one].clone();
            all[at].frames.insert(one, again);
        }
        4 => {
            let other = records[random(records.len())];
            if all[at].frames[one][HEADER..] == all[at].frames[other][HEADER..] {
                return false;
            }
            all[at].frames.swap(one, other);
        }
        5 => {
            for later in &all[at + 1..] {
                fs::remove_file(&later.path).unwrap();
            }
            all[at].frames.truncate(one);
        }
        6 => {
            fs::remove_file(&all[at].path).unwrap();
            return true;
        }
        7 => {
            let other = random(all.len());
            if other == at {
                return false;
            }
            let frames = all[other].frames.clone();
            all[at].frames = frames;
        }
        _ => {
            let mut text = fs::read(&history).unwrap();
            let place = random(text.len());
            if text[place] == b'\n' {
                return false;
            }
            text[place] = if text[place] == b'A' { b'B' } else { b'A' };
            fs::write(&history, text).unwrap();
            return true;
        }
    }
    all[at].write();
    true
}

#[test]
fn of_ten_thousand_tamperings_none_is_taken_for_what_was_signed() {
    let origin = tempfile::tempdir().unwrap();
    let key = signed(origin.path());
    let report = verify(origin.path(), &key, &[]);
    assert_eq!((report.verdict, report.records, report.checkpoints), (Verdict::Ok, report.signed, 5), "{report:?}");
    let mut random = StdRng::seed_from_u64(8);
    let mut random = |below: usize| random.random_range(0..below);
    // In memory where there is such a folder: a hundred thousand files are written.
    let memory = Path::new("/dev/shm");
    let work = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut table: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut done = 0;
    while done < 10_000 {
        let kind = random(ATTACKS.len());
        let folder = work.path().join("ledger");
        let _ = fs::remove_dir_all(&folder);
        copied(origin.path(), &folder);
        if !attack(kind, &folder, &mut random) {
            continue;
        }
        done += 1;
        let found = verify(&folder, &key, &[]);
        let name = match found.verdict {
            Verdict::Altered => "altered",
            Verdict::Truncated => "truncated",
            Verdict::Ok | Verdict::Unreadable | Verdict::Unanchored | Verdict::Pruned => {
                panic!("{}: {found:?}", ATTACKS[kind])
            }
        };
        *table.entry(ATTACKS[kind]).or_default().entry(name).or_default() += 1;
    }
    println!("| attack | found |\n| --- | --- |");
    for (attack, found) in table {
        let found: Vec<String> = found.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("| {attack} | {} |", found.join(", "));
    }
}

/// The blind spot: with the checkpoints over them, the last records can be cut off unseen - but not by somebody who has one of
/// those checkpoints.
#[test]
fn a_tail_that_is_cut_off_with_its_checkpoints_is_seen_by_whoever_kept_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let key = signed(folder.path());
    let kept = fs::read_to_string(folder.path().join("tlog/checkpoint")).unwrap();
    let history = folder.path().join("tlog/checkpoints");
    let text = fs::read_to_string(&history).unwrap();
    let first = text.match_indices("\n\n").nth(1).unwrap().0 + 2;
    fs::write(&history, &text[..first]).unwrap();
    fs::remove_file(folder.path().join("tlog/checkpoint")).unwrap();
    let size: usize = text.lines().nth(1).unwrap().parse().unwrap();
    let mut left = size;
    for mut segment in segments(folder.path()) {
        segment.frames.retain(|frame| frame.len() > HEADER);
        segment.frames.truncate(left);
        left -= segment.frames.len();
        match segment.frames.is_empty() {
            true => fs::remove_file(&segment.path).unwrap(),
            false => segment.write(),
        }
    }
    let report = verify(folder.path(), &key, &[]);
    assert_eq!((report.verdict, report.records), (Verdict::Ok, size as u64), "that cannot be seen: {report:?}");
    let report = verify(folder.path(), &key, &[kept]);
    assert_eq!(report.verdict, Verdict::Truncated, "{report:?}");
}

#[test]
fn a_record_is_proved_to_whoever_has_none_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let key = signed(folder.path());
    let (_, record) = ledger::read(folder.path()).unwrap().nth(123).unwrap().unwrap();
    let proof = proof::prove(folder.path(), &key, 123).unwrap();
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 123\n"), "{proof}");
    assert_eq!(proof::check(&proof, &record, &key).unwrap(), 123);
    let (_, other) = ledger::read(folder.path()).unwrap().nth(124).unwrap().unwrap();
    assert!(proof::check(&proof, &other, &key).is_err());
    assert!(proof::check(&proof.replace("index 123", "index 124"), &record, &key).is_err());
    for at in (0..proof.len() - 1).filter(|at| proof.is_char_boundary(*at)) {
        assert!(proof::check(&proof[..at], &record, &key).is_err(), "cut at {at}");
    }
    let number = proof::decision(folder.path(), "r-1017").unwrap();
    let record = proof::record(folder.path(), number).unwrap();
    assert_eq!(record, br#"{"kind":"decision","request":"r-1017","team":"desk"}"#);
    let of_request = proof::prove(folder.path(), &key, number).unwrap();
    assert_eq!(proof::check(&of_request, &record, &key).unwrap(), number);
    let none = proof::decision(folder.path(), "r-1").and(proof::decision(folder.path(), "r-999")).unwrap_err();
    assert_eq!(none.to_string(), "there is no decision on a request `r-999`");
    let another = signed(tempfile::tempdir().unwrap().path());
    assert!(proof::check(&proof, &record, &another).is_err(), "another log's key");
    assert!(proof::prove(folder.path(), &key, 1_000_000).is_err());
}

#[test]
fn a_log_is_proved_to_have_only_grown_to_whoever_put_a_checkpoint_away() {
    let folder = tempfile::tempdir().unwrap();
    let key = signed(folder.path());
    let history = fs::read_to_string(folder.path().join("tlog/checkpoints")).unwrap();
    let (kept, _) = audit::note::notes(&history);
    assert!(kept.len() >= 4);
    let keys = [key.clone()];
    for old in &kept {
        let proof = proof::prove_consistency(folder.path(), &key, old).unwrap();
        let size = old.lines().nth(1).unwrap();
        assert!(proof.starts_with(&format!("old {size}\n")), "{proof}");
        let new = proof::check_consistency(&proof, old, &keys).unwrap();
        assert_eq!(new.size.to_string(), kept.last().unwrap().lines().nth(1).unwrap());
        for other in kept.iter().filter(|other| *other != old) {
            assert!(proof::check_consistency(&proof, other, &keys).is_err(), "from another checkpoint");
        }
        for at in (0..proof.len() - 1).filter(|at| proof.is_char_boundary(*at)) {
            assert!(proof::check_consistency(&proof[..at], old, &keys).is_err(), "cut at {at}");
        }
    }
    // A history made anew, by the log's own key.
    let first = &kept[0];
    let other = tempfile::tempdir().unwrap();
    fs::create_dir_all(other.path().join("tlog")).unwrap();
    fs::copy(folder.path().join("tlog/key"), other.path().join("tlog/key")).unwrap();
    assert_eq!(signed_with(other.path(), "elsewhere"), key);
    let why = proof::prove_consistency(other.path(), &key, first).unwrap_err().to_string();
    assert!(why.contains("are not those of the old checkpoint"), "{why}");
}
