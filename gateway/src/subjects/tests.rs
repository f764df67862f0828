//! What is kept of subjects, and what is left of them.

use std::{fs, os::unix::fs::PermissionsExt as _, thread};

use tempfile::TempDir;

use super::*;
use crate::{config::Hold, settle::DAY_MS};

fn epoch(day: u64) -> Epoch {
    Epoch::of(day * DAY_MS, 30).expect("epochs have days")
}

fn store() -> (TempDir, Subjects) {
    let ledger = tempfile::tempdir().unwrap();
    let subjects = Subjects::of(ledger.path());
    (ledger, subjects)
}

fn text(ledger: &TempDir, of: Epoch) -> String {
    fs::read_to_string(folder(ledger.path()).join(of.file())).unwrap()
}

fn erasing<'a>(subject: &'a str, holds: &'a [Hold], despite: &'a [String]) -> Erasing<'a> {
    Erasing { subject, holds, despite, now_ms: 7 }
}

fn add(subjects: &Subjects, epoch: Epoch, subject: &str) -> Result<Arc<str>, SubjectError> {
    subjects.add(epoch, subject, Instant::now())
}

/// What a gateway that looks says in its log.
fn heeded(subjects: &Subjects) -> Option<Event> {
    let mut said = None;
    let record = |event| {
        said = Some(event);
        Ok(())
    };
    subjects.heed(record).unwrap();
    said
}

#[test]
fn a_subject_has_one_pseudonym_within_an_epoch_and_another_in_the_next() {
    let (ledger, subjects) = store();
    let (now, later) = (epoch(60), epoch(90));
    assert_eq!(subjects.known(now, "k1"), None);
    let first = add(&subjects, now, "k1").unwrap();
    assert!(is_pseudonym(&first), "{first}");
    assert_eq!((add(&subjects, now, "k1").unwrap(), subjects.known(now, "k1")), (first.clone(), Some(first.clone())));
    let (other, next) = (add(&subjects, now, "k2").unwrap(), add(&subjects, later, "k1").unwrap());
    assert!(first != other && first != next);
    assert_eq!(text(&ledger, now).lines().count(), 2);
    assert_eq!(text(&ledger, later).lines().count(), 1);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(folder(ledger.path())), mode(folder(ledger.path()).join(now.file()))), (0o700, 0o600));
    // Another run finds it.
    assert_eq!(add(&Subjects::of(ledger.path()), now, "k1").unwrap(), first);
}

#[test]
fn requests_that_come_first_together_get_one_pseudonym() {
    let (ledger, subjects) = store();
    let now = epoch(0);
    let got: BTreeSet<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| add(&subjects, now, "k1").unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((got.len(), text(&ledger, now).lines().count()), (1, 1));
    assert!(lock(&subjects.waiting).iter().all(|(_, subject)| **subject == *"k1"), "nobody else waits");
}

#[tokio::test]
async fn a_known_subject_needs_no_disk_and_a_new_one_is_refused_without_it() {
    let (ledger, subjects) = store();
    let subjects = Arc::new(subjects);
    let known = subjects.pseudonym(epoch(0), "k1").await.unwrap();
    // What is in the way of a folder is in everybody's way, whatever rights they have.
    fs::rename(folder(ledger.path()), ledger.path().join("elsewhere")).unwrap();
    fs::write(folder(ledger.path()), "no folder").unwrap();
    assert_eq!(subjects.pseudonym(epoch(0), "k1").await.unwrap(), known);
    let refused = subjects.pseudonym(epoch(0), "k2").await.unwrap_err();
    assert!(matches!(refused, SubjectError::Io { .. }), "{refused}");
    fs::remove_file(folder(ledger.path())).unwrap();
    fs::rename(ledger.path().join("elsewhere"), folder(ledger.path())).unwrap();
    subjects.pseudonym(epoch(0), "k2").await.unwrap();
    assert_eq!(text(&ledger, epoch(0)).lines().count(), 2);
}

#[test]
fn a_line_that_a_crash_tore_is_dropped_and_the_next_one_stands_in_its_place() {
    let (ledger, subjects) = store();
    let now = epoch(0);
    let kept = add(&subjects, now, "k1").unwrap();
    let path = folder(ledger.path()).join(now.file());
    for torn in [r#"{"subject":"k2","pseudonym":"p_0"#, "\0\0\0\0"] {
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{torn}")).unwrap();
        let again = Subjects::of(ledger.path());
        assert_eq!(add(&again, now, "k1").unwrap(), kept);
        let name = format!("after {}", torn.len());
        let new = add(&again, now, &name).unwrap();
        let text = text(&ledger, now);
        assert!(text.starts_with(&whole) && !text.contains(torn), "{text}");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last, serde_json::json!({"subject": name, "pseudonym": *new}));
    }
    // What is broken amid others hides none of them.
    fs::write(&path, format!("nonsense\n{}", text(&ledger, now))).unwrap();
    assert_eq!(add(&Subjects::of(ledger.path()), now, "k1").unwrap(), kept);
}

#[test]
fn a_subject_has_a_length_and_values_that_callers_send_leave_room_for_the_callers() {
    let (ledger, subjects) = store();
    let now = epoch(0);
    let long = add(&subjects, now, &"x".repeat(MOST_SUBJECT + 1)).unwrap_err();
    assert!(matches!(long, SubjectError::TooLong { length } if length == MOST_SUBJECT + 1), "{long}");
    add(&subjects, now, &of_value("header", "x-user", "ann")).unwrap();
    // Half of what an epoch may have, in one line.
    let half = "x".repeat(MOST_BYTES as usize / 2) + "\n";
    fs::write(folder(ledger.path()).join(now.file()), half).unwrap();
    let full = add(&subjects, now, &of_value("header", "x-user", "bob")).unwrap_err();
    assert!(matches!(full, SubjectError::Full { .. }), "{full}");
    add(&subjects, now, "k1").unwrap();
}

#[test]
fn whoever_is_erased_is_in_no_file_and_is_somebody_else_from_then_on() {
    let (ledger, subjects) = store();
    let (before, now) = (epoch(0), epoch(30));
    let gone = [add(&subjects, before, "k1").unwrap(), add(&subjects, now, "k1").unwrap()];
    let other = add(&subjects, now, "k2").unwrap();
    let names = Names::of(ledger.path());
    assert_eq!(&*names.find(&gone[1]).unwrap().unwrap().subject, "k1");

    let erased_now = erase(ledger.path(), &erasing("k1", &[], &[])).unwrap();
    assert_eq!(erased_now, erased(ledger.path()).unwrap());
    let of: Vec<_> = erased_now.iter().map(|erased| (erased.epoch.clone(), erased.pseudonym.as_str())).collect();
    assert_eq!(of, [(before.to_string(), &*gone[0]), (now.to_string(), &*gone[1])]);
    for file in fs::read_dir(folder(ledger.path())).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("k1"), "{text}");
    }
    let names = Names::of(ledger.path());
    assert!(names.find(&gone[1]).unwrap().is_none());
    assert_eq!(&*names.find(&other).unwrap().unwrap().subject, "k2");

    // The gateway has not looked yet, and then it has, and says so once.
    assert_eq!(subjects.known(now, "k1").as_ref(), Some(&gone[1]));
    assert_eq!(heeded(&subjects), Some(Event::Erase { pseudonyms: 2, total: 2, despite_holds: Vec::new() }));
    assert_eq!(heeded(&subjects), None);
    assert_eq!((subjects.known(now, "k1"), subjects.known(now, "k2")), (None, Some(other)));
    let again = add(&subjects, now, "k1").unwrap();
    assert!(!gone.contains(&again));

    // Another run knows what the log says, and a log that takes no record is told again.
    let subjects = Subjects::of(ledger.path());
    assert_eq!(heeded(&subjects), None);
    assert_eq!(erase(ledger.path(), &erasing("k1", &[], &[])).unwrap().len(), 1);
    subjects.heed(|_| Err("full".to_owned())).unwrap_err();
    assert_eq!(heeded(&subjects), Some(Event::Erase { pseudonyms: 1, total: 3, despite_holds: Vec::new() }));
    assert_eq!(erase(ledger.path(), &erasing("k1", &[], &[])).unwrap(), [], "nothing is left");
}

#[test]
fn an_erasure_between_two_requests_does_not_bring_the_erased_back() {
    let (ledger, subjects) = store();
    let now = epoch(0);
    let gone = add(&subjects, now, "k1").unwrap();
    erase(ledger.path(), &erasing("k1", &[], &[])).unwrap();
    // Before the gateway has looked, somebody new comes: what is written is written to the file that is there now.
    let other = add(&subjects, now, "k2").unwrap();
    assert_ne!(add(&subjects, now, "k1").unwrap(), gone);
    assert!(text(&ledger, now).contains(&*other) && !text(&ledger, now).contains(&*gone));
}

#[test]
fn nobody_is_erased_from_an_epoch_that_a_hold_covers_unless_it_is_passed_over_by_its_name() {
    let (ledger, subjects) = store();
    let (before, now) = (epoch(0), epoch(30));
    add(&subjects, before, "k1").unwrap();
    add(&subjects, now, "k1").unwrap();
    let day = |text: &str| text.parse().unwrap();
    let hold =
        |name: &str, from| Hold { name: name.to_owned(), from: day(from), to: None, reason: "a court".to_owned() };
    // The second epoch alone is covered, and nothing goes from the first.
    let holds = [hold("case-17", "1970-02-01"), hold("case-18", "1999-01-01")];
    let refused = erase(ledger.path(), &erasing("k1", &holds, &["case-18".to_owned()])).unwrap_err();
    assert!(matches!(&refused, EraseError::Held { epoch, hold } if *epoch == now && hold == "case-17"), "{refused}");
    assert!(text(&ledger, before).contains("k1") && erased(ledger.path()).unwrap().is_empty());
    let gone = erase(ledger.path(), &erasing("k1", &holds, &["case-17".to_owned()])).unwrap();
    let despite: Vec<_> = gone.iter().map(|erased| &erased.despite_holds[..]).collect();
    assert_eq!(despite, [&[][..], &["case-17".to_owned()][..]]);
    let despite_holds = vec!["case-17".to_owned()];
    assert_eq!(heeded(&subjects), Some(Event::Erase { pseudonyms: 2, total: 2, despite_holds }));
}

#[test]
fn epochs_that_are_over_go_and_a_reader_finds_who_came_after_it_began() {
    let (ledger, subjects) = store();
    let (before, now) = (epoch(0), epoch(30));
    let old = add(&subjects, before, "k1").unwrap();
    let names = Names::of(ledger.path());
    assert!(names.find(&old).unwrap().is_some());
    let new = add(&subjects, now, "k2").unwrap();
    assert_eq!(names.find(&new).unwrap().map(|found| found.epoch), Some(now));
    assert_eq!(forget_before(ledger.path(), now.first_ms() - 1).unwrap(), 0, "its last moment is not over");
    assert_eq!(forget_before(ledger.path(), now.first_ms()).unwrap(), 1);
    let names = Names::of(ledger.path());
    assert!(names.find(&old).unwrap().is_none() && names.find(&new).unwrap().is_some());
    assert_eq!(heeded(&subjects), None);
    assert_eq!(subjects.known(before, "k1"), None);
}

#[test]
fn a_copy_of_the_log_alone_names_nobody() {
    let ledger = tempfile::tempdir().unwrap();
    let names = Names::of(ledger.path());
    assert!(names.find("p_0123456789abcdef0123456789abcdef").unwrap().is_none());
    assert!(names.all().unwrap().is_empty() && erased(ledger.path()).unwrap().is_empty());
    assert_eq!(erase(ledger.path(), &erasing("k1", &[], &[])).unwrap(), []);
    assert_eq!(forget_before(ledger.path(), u64::MAX).unwrap(), 0);
    assert!(!folder(ledger.path()).exists(), "nothing is made by looking");
}

#[test]
fn a_pseudonym_is_told_from_ids_of_keys_and_subjects_of_tokens() {
    assert!(is_pseudonym("p_0123456789abcdef0123456789abcdef"));
    for other in ["k0123456789ab", "login.example.com/0123456789abcdef", "p_", "p_0123456789ABCDEF0123456789ABCDEF"] {
        assert!(!is_pseudonym(other), "{other}");
    }
}
