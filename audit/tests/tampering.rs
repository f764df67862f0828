//! Every kind of tampering with a signed ledger, many times each: what is found, by what, and the one thing that cannot be. The
//! table is kept in `TAMPERING.md`; with `UPDATE_TAMPERING=1` it is written anew.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use audit::{
    evidence::{Evidence, Receipt},
    note::VerifierKey,
    proof,
    verify::{Verdict, verify, verify_against},
};
use ledger::{Ledger, Options, witness::Witness};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;

const RECORDS: u64 = 400;
const HEADER: usize = 16;

fn small_segments() -> Options {
    Options { segment_bytes: 4_000, checkpoints: Some(Duration::from_secs(3_600)), ..Options::default() }
}

fn decision(request: &str, team: &str) -> serde_json::Value {
    json!({"kind": "decision", "request": request, "team": team})
}

/// A ledger of several segments with a checkpoint after each run, and its key.
fn signed(folder: &Path) -> VerifierKey {
    runs(folder, "desk", |_| {})
}

/// The same, with something to do after each run.
fn runs(folder: &Path, team: &str, mut after: impl FnMut(&Path)) -> VerifierKey {
    let mut key = String::new();
    for run in 0..4 {
        let (ledger, _) = Ledger::open(folder, small_segments()).unwrap();
        for nth in 0..RECORDS / 4 {
            drop(ledger.append(&decision(&format!("r-{}", run * 1_000 + nth), team)).unwrap());
            // Groups of a few records.
            if nth % 7 == 0 {
                let outcome = json!({"kind": "outcome", "request": format!("r-{nth}")});
                ledger.append(&outcome).unwrap().wait().unwrap();
            }
        }
        key = ledger.verifier_key().unwrap().to_owned();
        ledger.close().unwrap();
        after(folder);
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

/// Does it; `false` where there was nothing to do it to.
fn attack(kind: usize, folder: &Path, random: &mut dyn FnMut(usize) -> usize) -> bool {
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

/// Makes a ledger that was tampered with in a folder that is not there, and says what is known outside; `None` where there was
/// nothing to do it to.
type Does = fn(&Scene, &Path, &mut dyn FnMut(usize) -> usize) -> Option<Evidence>;

/// What somebody does to a ledger.
struct Attack {
    what: &'static str,
    /// What shows it.
    shown_by: &'static str,
    verdicts: &'static [Verdict],
    tries: usize,
    does: Does,
}

use Verdict::{Altered, Truncated};

const SIGNATURES: &str = "the hashes under the signed checkpoints";

const ATTACKS: &[Attack] = &[
    attack_on("a bit of a segment is flipped", &[Altered, Truncated], |scene, to, random| scene.stored(0, to, random)),
    attack_on("a record is edited, its sum made right", &[Altered], |scene, to, random| scene.stored(1, to, random)),
    attack_on("a record is taken out", &[Altered, Truncated], |scene, to, random| scene.stored(2, to, random)),
    attack_on("a record is put in twice", &[Altered], |scene, to, random| scene.stored(3, to, random)),
    attack_on("two records change places", &[Altered], |scene, to, random| scene.stored(4, to, random)),
    attack_on("the end is cut off, the checkpoints stay", &[Altered, Truncated], |scene, to, random| {
        scene.stored(5, to, random)
    }),
    attack_on("a segment is removed", &[Altered, Truncated], |scene, to, random| scene.stored(6, to, random)),
    attack_on("a segment's records are another's", &[Altered, Truncated], |scene, to, random| {
        scene.stored(7, to, random)
    }),
    attack_on("a checkpoint is edited", &[Altered], |scene, to, random| scene.stored(8, to, random)),
    attack_on(
        "the last checkpoints are removed and a record before them is edited",
        &[Altered],
        |scene, to, random| scene.stored(9, to, random),
    ),
    Attack {
        what: "the tail after the last checkpoint is cut off",
        shown_by: "receipts",
        verdicts: &[Truncated],
        tries: 300,
        does: |scene, to, random| {
            copied(scene.unsigned.path(), to);
            cut(to, scene.records + random(UNSIGNED));
            Some(Evidence { receipts: scene.receipts.clone(), ..Evidence::default() })
        },
    },
    Attack {
        what: "the folder is set back to an older copy of itself",
        shown_by: "a checkpoint that was put away; likewise receipts and witnesses",
        verdicts: &[Truncated],
        tries: 300,
        does: |scene, to, random| {
            copied(scene.copies[random(scene.copies.len())].path(), to);
            Some(match random(2) {
                0 => Evidence { checkpoints: vec![scene.newest.clone()], ..Evidence::default() },
                _ => Evidence { receipts: scene.receipts.clone(), ..Evidence::default() },
            })
        },
    },
    Attack {
        what: "everything is made anew with the log's own key, one record otherwise",
        shown_by: "a checkpoint that was put away",
        verdicts: &[Altered],
        tries: 100,
        does: |scene, to, random| {
            scene.anew(to, random);
            Some(Evidence { checkpoints: vec![scene.newest.clone()], ..Evidence::default() })
        },
    },
    Attack {
        what: "everything is made anew with the log's own key, about another request",
        shown_by: "receipts with the request's id",
        verdicts: &[Altered],
        tries: 100,
        does: |scene, to, random| {
            scene.anew(to, random);
            Some(Evidence { receipts: scene.receipts.clone(), ..Evidence::default() })
        },
    },
    Attack {
        what: "a key that was given up signs further records",
        shown_by: "the rotation of the key",
        verdicts: &[Altered],
        tries: 100,
        does: |scene, to, random| {
            copied(scene.origin.path(), to);
            append(to, scene.records, 1 + random(50), "forged");
            fs::copy(scene.rotated.path().join("tlog/keys"), to.join("tlog/keys")).unwrap();
            Some(Evidence::default())
        },
    },
    Attack {
        what: "the rotation of a key is edited",
        shown_by: "the signatures of both keys",
        verdicts: &[Altered],
        tries: 500,
        does: |scene, to, random| {
            copied(scene.rotated.path(), to);
            let path = to.join("tlog/keys");
            let mut bytes = fs::read(&path).unwrap();
            // Behind the last line that is signed there is only the empty line that ends it.
            let at = random(bytes.len() - 2);
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            fs::write(&path, bytes).unwrap();
            Some(Evidence::default())
        },
    },
    Attack {
        what: "old records are removed and no record says so",
        shown_by: "the absence of a signed record of the prune",
        verdicts: &[Truncated, Altered],
        tries: 300,
        does: |scene, to, random| {
            copied(scene.pruned.path(), to);
            let all = ledger::segments(to).unwrap();
            let at = 1 + random(all.len() - 2);
            for gone in &all[..at] {
                fs::remove_file(to.join(format!("{:020}.log", gone.first))).unwrap();
            }
            fs::write(to.join("tlog/pruned"), format!("{}\n", all[at].first)).unwrap();
            Some(Evidence::default())
        },
    },
    Attack {
        what: "a hash that stayed of a pruned record is changed",
        shown_by: SIGNATURES,
        verdicts: &[Altered],
        tries: 500,
        does: |scene, to, random| {
            copied(scene.pruned.path(), to);
            let pruned = ledger::segments(to).unwrap()[0].first as usize;
            let at = random(pruned);
            let path = to.join(format!("tlog/tile/0/{:03}", at / 256));
            let mut bytes = fs::read(&path).unwrap();
            bytes[at % 256 * 32 + random(32)] ^= 1 << random(8);
            fs::write(&path, bytes).unwrap();
            Some(Evidence::default())
        },
    },
];

const fn attack_on(what: &'static str, verdicts: &'static [Verdict], does: Does) -> Attack {
    Attack { what, shown_by: SIGNATURES, verdicts, tries: 800, does }
}

/// Records after the last checkpoint of a ledger that has some.
const UNSIGNED: usize = 20;

/// What the attacks begin with.
struct Scene {
    key: VerifierKey,
    /// Four runs, and how many records they left.
    origin: TempDir,
    records: usize,
    newest: String,
    /// The folder after the runs before the last.
    copies: Vec<TempDir>,
    /// The same with further records that were not signed yet.
    unsigned: TempDir,
    /// The receipts of all of those.
    receipts: Vec<Receipt>,
    /// The same with another key.
    rotated: TempDir,
    /// A larger one, whose oldest records were pruned by the rules.
    pruned: TempDir,
}

impl Scene {
    fn new() -> Self {
        let origin = memory();
        let mut copies = Vec::new();
        let key = runs(origin.path(), "desk", |folder| {
            let copy = memory();
            copied(folder, copy.path());
            copies.push(copy);
        });
        copies.pop();
        let newest = fs::read_to_string(origin.path().join("tlog/checkpoint")).unwrap();
        let records = newest.lines().nth(1).unwrap().parse().unwrap();
        let (unsigned, rotated) = (memory(), memory());
        copied(origin.path(), unsigned.path());
        let options = Options { checkpoints: None, ..Options::default() };
        let (ledger, _) = Ledger::open(unsigned.path(), options).unwrap();
        for nth in 0..UNSIGNED {
            drop(ledger.append(&decision(&format!("late-{nth}"), "desk")).unwrap());
        }
        ledger.close().unwrap();
        let receipt = |record: (ledger::Position, Vec<u8>)| Receipt {
            number: record.0.sequence,
            request: audit::fields::Fields::of(&record.1).request,
        };
        let receipts = ledger::read(unsigned.path()).unwrap().map(|record| receipt(record.unwrap())).collect();
        copied(origin.path(), rotated.path());
        ledger::rotate_key(rotated.path()).unwrap();
        append(rotated.path(), records, 10, "desk");
        let pruned = memory();
        copied(origin.path(), pruned.path());
        append(pruned.path(), records, 1_000, "desk");
        let (ledger, _) = Ledger::open(pruned.path(), Options::default()).unwrap();
        ledger.append(&json!({"kind": "prune", "before": 700})).unwrap().wait().unwrap();
        assert!(ledger.prune(700).unwrap().segments > 0);
        ledger.close().unwrap();
        assert_eq!(verify(pruned.path(), &key, &[]).verdict, Verdict::Pruned);
        Self { key, origin, records, newest, copies, unsigned, receipts, rotated, pruned }
    }

    /// One of the attacks on stored files.
    fn stored(&self, kind: usize, to: &Path, random: &mut dyn FnMut(usize) -> usize) -> Option<Evidence> {
        copied(self.origin.path(), to);
        attack(kind, to, random).then(Evidence::default)
    }

    /// The ledger made anew with its own key, with one record about another request.
    fn anew(&self, to: &Path, random: &mut dyn FnMut(usize) -> usize) {
        fs::create_dir_all(to.join("tlog")).unwrap();
        fs::copy(self.origin.path().join("tlog/key"), to.join("tlog/key")).unwrap();
        let other = random(self.records);
        let (ledger, _) = Ledger::open(to, small_segments()).unwrap();
        for record in ledger::read(self.unsigned.path()).unwrap() {
            let (position, record) = record.unwrap();
            let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            if position.sequence == other as u64 {
                record["request"] = json!("another");
            }
            drop(ledger.append(&record).unwrap());
        }
        ledger.close().unwrap();
    }
}

/// A folder in memory where there is such a place: a hundred thousand files are written.
fn memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Appends decisions to the ledger in a folder, and signs them.
fn append(folder: &Path, from: usize, count: usize, team: &str) {
    let (ledger, _) = Ledger::open(folder, small_segments()).unwrap();
    for nth in from..from + count {
        let ticket = ledger.append(&decision(&format!("r-{nth}"), team)).unwrap();
        if nth % 7 == 0 {
            ticket.wait().unwrap();
        }
    }
    ledger.close().unwrap();
}

/// Leaves only so many records, and of the checkpoints those over no more.
fn cut(folder: &Path, records: usize) {
    let mut left = records;
    for mut segment in segments(folder) {
        segment.frames.retain(|frame| frame.len() > HEADER);
        segment.frames.truncate(left);
        left -= segment.frames.len();
        match segment.frames.is_empty() {
            true => fs::remove_file(&segment.path).unwrap(),
            false => segment.write(),
        }
    }
    let path = folder.join("tlog/checkpoints");
    let size = |note: &String| note.lines().nth(1).unwrap().parse::<usize>().unwrap();
    let (mut notes, _) = audit::note::notes(&fs::read_to_string(&path).unwrap());
    notes.retain(|note| size(note) <= records);
    fs::write(&path, notes.iter().map(|note| format!("{note}\n")).collect::<String>()).unwrap();
    match notes.last() {
        Some(newest) => fs::write(folder.join("tlog/checkpoint"), newest).unwrap(),
        None => fs::remove_file(folder.join("tlog/checkpoint")).unwrap(),
    }
}

/// Does one attack as often as it says; how often it was not seen.
fn tried(attack: &Attack, scene: &Scene, seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut random = |below: usize| random.random_range(0..below);
    let work = memory();
    let folder = work.path().join("ledger");
    let (mut done, mut unseen) = (0, 0);
    while done < attack.tries {
        let evidence = (attack.does)(scene, &folder, &mut random);
        if let Some(evidence) = evidence {
            done += 1;
            let found = verify_against(&folder, &scene.key, &evidence);
            match found.verdict {
                Verdict::Ok | Verdict::Pruned => unseen += 1,
                verdict => assert!(attack.verdicts.contains(&verdict), "{}: {found:?}", attack.what),
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
    unseen
}

#[test]
fn of_ten_thousand_tamperings_none_is_taken_for_what_was_signed_and_the_table_says_so() {
    let scene = Scene::new();
    let report = verify(scene.origin.path(), &scene.key, &[]);
    assert_eq!((report.verdict, report.records, report.checkpoints), (Verdict::Ok, report.signed, 5), "{report:?}");
    let mut unseen: Vec<(usize, usize)> = thread::scope(|scope| {
        let scene = &scene;
        let half = |nth: usize| {
            let own = ATTACKS.iter().enumerate().filter(move |(at, _)| at % 2 == nth);
            own.map(|(at, attack)| (at, tried(attack, scene, at as u64))).collect::<Vec<_>>()
        };
        let other = scope.spawn(move || half(1));
        let mut unseen = half(0);
        unseen.extend(other.join().unwrap());
        unseen
    });
    unseen.sort_unstable();
    let row = |what: &str, tries: usize, unseen: usize, shown_by: &str| {
        format!("| {what} | {tries} | {unseen} | {shown_by} |\n")
    };
    let mut table = String::new();
    for ((at, unseen), Attack { what, shown_by, tries, verdicts, .. }) in unseen.into_iter().zip(ATTACKS) {
        assert_eq!(unseen, 0, "{}", ATTACKS[at].what);
        let verdicts: Vec<String> = verdicts.iter().map(|verdict| format!("{verdict:?}").to_lowercase()).collect();
        table.push_str(&row(what, *tries, unseen, &format!("{shown_by}: {}", verdicts.join(" or "))));
    }
    table.push_str(&row(
        "two histories are shown to two auditors",
        SPLITS,
        split_views_that_were_cosigned(&scene),
        "a witness: it cosigns one of them and refuses the other (409 or 422)",
    ));
    let tries: usize = ATTACKS.iter().map(|attack| attack.tries).sum::<usize>() + SPLITS;
    assert!(tries >= 10_000, "{tries}");
    let blind = blind_spot(&scene);
    let text = TEMPLATE.replace("{tries}", &tries.to_string()).replace("{table}", &table).replace("{blind}", &blind);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("TAMPERING.md");
    if std::env::var_os("UPDATE_TAMPERING").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "UPDATE_TAMPERING=1 writes it anew");
}

const TEMPLATE: &str = "\
# What tampering a verification shows

Written by `audit/tests/tampering.rs`: {tries} times somebody who can write to the ledger's folder does one of these, at random places,
and knows the format (sums are made right again). `UPDATE_TAMPERING=1 cargo test -p audit` writes it anew.

| attack | tries | not shown | shown by, and the verdict |
|---|---|---|---|
{table}
## The blind spot

{blind}
## What the ledger itself cannot show

| attack | what shows it |
|---|---|
| a request is not recorded at all | counts of the engines and of the network against those of the ledger |
| the clock is set back | times of cosignatures, and the order of records |
| another policy is recorded than the one that decided | replaying the decisions against the policy that they name |
| weights are exchanged behind an engine | digests of what was loaded against the catalog |
";

const SPLITS: usize = 100;

/// Another history of the same log, by its own key, sent to a witness that knows the first: how often it was cosigned.
fn split_views_that_were_cosigned(scene: &Scene) -> usize {
    let mut random = StdRng::seed_from_u64(77);
    let mut random = |below: usize| random.random_range(0..below);
    let aside = memory();
    let witness = Witness::open(&aside.path().join("witness"), "witness.example/w").unwrap();
    let (first, _) = Ledger::open(scene.origin.path(), small_segments()).unwrap();
    let known = [first.verifier_key().unwrap().parse().unwrap()];
    witness.add_checkpoint(first.submission(&scene.newest, 0).unwrap().as_bytes(), &known).unwrap();
    let mut cosigned = 0;
    for _ in 0..SPLITS {
        let folder = aside.path().join("split");
        scene.anew(&folder, &mut random);
        let (ledger, _) = Ledger::open(&folder, small_segments()).unwrap();
        let checkpoint = ledger.checkpoint().unwrap().unwrap();
        for old in [0, random(scene.records) as u64, scene.records as u64] {
            let body = ledger.submission(&checkpoint, old).unwrap();
            cosigned += usize::from(witness.add_checkpoint(body.as_bytes(), &known).is_ok());
        }
        drop(ledger);
        fs::remove_dir_all(&folder).unwrap();
    }
    cosigned
}

/// With the checkpoints over it, a tail can be cut off unseen - as far back as to the newest checkpoint that somebody outside has.
fn blind_spot(scene: &Scene) -> String {
    const TRIES: usize = 500;
    let mut random = StdRng::seed_from_u64(99);
    let anchor = fs::read_to_string(scene.copies.last().unwrap().path().join("tlog/checkpoint")).unwrap();
    let anchored: usize = anchor.lines().nth(1).unwrap().parse().unwrap();
    let outside = Evidence { checkpoints: vec![anchor], ..Evidence::default() };
    let work = memory();
    let folder = work.path().join("ledger");
    let (mut within, mut unseen) = (0, 0);
    for _ in 0..TRIES {
        copied(scene.origin.path(), &folder);
        // To where a checkpoint is left: without any the ledger is none.
        let left = random.random_range(scene.records / 4..scene.records);
        cut(&folder, left);
        let verdict = verify_against(&folder, &scene.key, &outside).verdict;
        assert_eq!(verdict, if left < anchored { Truncated } else { Verdict::Ok }, "cut to {left}");
        assert_eq!(verify(&folder, &scene.key, &[]).verdict, Verdict::Ok, "nobody has anything");
        within += usize::from(left >= anchored);
        unseen += usize::from(verdict == Verdict::Ok);
        fs::remove_dir_all(&folder).unwrap();
    }
    assert_eq!(within, unseen);
    let after = scene.records - anchored;
    format!(
        "The newest records can be cut off together with the checkpoints over them, and what is left is a whole ledger. It is shown only by
what somebody outside has: a checkpoint that was put away, a witness's cosignature, a receipt. Measured: of {} records, {anchored} were under
the newest checkpoint outside; of {TRIES} cuts at random places, all that left fewer than {anchored} records were shown, and none that took only
from the {after} after it. So the blind spot is what was recorded since the newest checkpoint that left the machine, less what callers have
receipts of: about a second of records where a witness is asked each second, and everything where nobody is.
",
        scene.records
    )
}

/// The blind spot: with the checkpoints over them, the last records can be cut off unseen - but not by somebody who has one of
/// those checkpoints.
#[test]
fn a_tail_that_is_cut_off_with_its_checkpoints_is_seen_by_whoever_kept_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let key = signed(folder.path());
    let kept = fs::read_to_string(folder.path().join("tlog/checkpoint")).unwrap();
    let history = fs::read_to_string(folder.path().join("tlog/checkpoints")).unwrap();
    let size: usize = history.lines().nth(1).unwrap().parse().unwrap();
    cut(folder.path(), size);
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
    assert_eq!(runs(other.path(), "elsewhere", |_| {}), key);
    let why = proof::prove_consistency(other.path(), &key, first).unwrap_err().to_string();
    assert!(why.contains("are not those of the old checkpoint"), "{why}");
}
