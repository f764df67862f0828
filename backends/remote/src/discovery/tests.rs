//! What a look that fails leaves in place, and when the next one is.

use std::{collections::VecDeque, sync::Mutex};

use backends::{Backend, Probe};
use tokio::time::Instant;

use super::*;
use crate::{Client, ClientOptions, Remote, Target, fleet::Roster};

/// When each look was, and how many endpoints there were by then.
type Looks = Arc<Mutex<Vec<(u64, usize)>>>;

/// Answers one after the other; then it looks for ever.
struct Scripted {
    answers: VecDeque<Result<Found, String>>,
    looks: Looks,
    roster: Arc<Roster>,
    begun: Instant,
}

impl Source for Scripted {
    fn look(&mut self) -> BoxFuture<'_, Result<Found, String>> {
        self.looks.lock().unwrap().push((self.begun.elapsed().as_secs(), self.roster.len()));
        let answer = self.answers.pop_front();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// A task that looks as scripted.
fn start(answers: Vec<Result<Found, String>>) -> (Discovery, Arc<Roster>, Looks) {
    let (roster, looks) = (roster(), Looks::default());
    let source = Scripted {
        answers: answers.into(),
        looks: Arc::clone(&looks),
        roster: Arc::clone(&roster),
        begun: Instant::now(),
    };
    let task = tokio::spawn(run(BackendId::new("fleet"), "a test".into(), Box::new(source), Arc::clone(&roster)));
    (Discovery(Some(task)), roster, looks)
}

pub(super) fn roster() -> Arc<Roster> {
    let client = Client::new(&ClientOptions::default()).unwrap();
    let id = BackendId::new("fleet");
    Arc::new(Roster::new(id.clone(), move |address| {
        let remote: Arc<dyn Backend> = Arc::new(Remote::new(id.clone(), Target::new(address, "m", None), &client)?);
        Ok(remote)
    }))
}

fn found(addresses: &[&str], again: u64) -> Result<Found, String> {
    let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
    Ok(Found { addresses: Some(addresses), again: Duration::from_secs(again) })
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_or_names_nobody_leaves_the_endpoints_of_before() {
    let many: Vec<String> = (0..=MOST_ENDPOINTS).map(|at| format!("http://10.0.0.1:{}", at + 1)).collect();
    let many: Vec<&str> = many.iter().map(|url| &**url).collect();
    let (_discovery, _, looks) = start(vec![
        found(&["http://a:1", "http://b:1"], 20),
        Err("no such name".into()),
        found(&[], 20),
        found(&many, 20),
        found(&["http://a:1", "no address"], 20),
        Ok(Found { addresses: None, again: Duration::from_secs(20) }),
        found(&["http://a:1"], 20),
    ]);
    sleep(Duration::from_secs(1000)).await;
    let expected = [(0, 0), (20, 2), (25, 2), (30, 2), (35, 2), (40, 2), (60, 2), (80, 1)];
    assert_eq!(*looks.lock().unwrap(), expected, "a failure is looked at again soon");
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_of_the_first_look_requests_wait_for_it_no_longer() {
    let (_discovery, roster, _) = start(vec![Err("no".into())]);
    assert!(roster.load(&Probe::default()).healthy, "not known yet");
    roster.known().await;
    assert!(!roster.load(&Probe::default()).healthy);
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_any_more_once_the_fleet_is_gone() {
    let (discovery, _roster, looks) = start(vec![found(&["http://a:1"], 5), found(&["http://a:1"], 5)]);
    sleep(Duration::from_secs(1)).await;
    drop(discovery);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(looks.lock().unwrap().len(), 1);
}

fn form() -> FormOf {
    FormOf { https: false, path: "/v1".into() }
}

#[test]
fn a_file_names_an_endpoint_a_line_and_every_line_that_is_wrong_is_told() {
    let good = "# ours\n10.0.0.1:8000   # the old one\r\n\n  http://b:1/api/\n";
    assert_eq!(addresses_of(good, &form(), false).unwrap(), ["http://10.0.0.1:8000/v1", "http://b:1/api"]);
    let bad = "10.0.0.1:8000\n  10.0.0.2 # no port\nftp://c\n";
    let wrong = addresses_of(bad, &form(), false).unwrap_err();
    let at: Vec<&str> = wrong.iter().map(|wrong| &bad[wrong.at.clone()]).collect();
    assert_eq!(at, ["10.0.0.2", "ftp://c"]);
    for (text, word) in [
        ("", "no endpoint"),
        ("# nobody\n", "no endpoint"),
        (&*"a:1\n".repeat(MOST_ENDPOINTS + 1), "1000 are the most"),
        (&*" ".repeat((1 << 20) + 1), "larger than 1 MiB"),
    ] {
        let wrong = addresses_of(text, &form(), false).unwrap_err();
        assert!(wrong[0].why.contains(word), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_file_is_taken_when_it_changes_and_a_broken_one_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicas.txt");
    let mut file = file::File::new(&path, &form(), false);
    assert!(file.look().await.unwrap_err().contains("No such file"));
    std::fs::write(&path, "a:1\n").unwrap();
    assert_eq!(file.look().await.unwrap().addresses.unwrap(), ["http://a:1/v1"]);
    assert_eq!(file.look().await.unwrap().addresses, None);
    // As long as before, and perhaps within the same tick of the file system's clock.
    std::fs::write(&path, "b:1\n").unwrap();
    assert_eq!(file.look().await.unwrap().addresses.unwrap(), ["http://b:1/v1"]);
    for (text, word) in [("b:1\nb\n", "line 2:"), ("", "no endpoint")] {
        std::fs::write(&path, text).unwrap();
        let error = file.look().await.unwrap_err();
        assert!(error.starts_with(word) || error.contains(word), "{error}");
    }
    std::fs::write(&path, b"\xff").unwrap();
    assert!(file.look().await.is_err());
    assert!(file::File::new(folder.path(), &form(), false).look().await.unwrap_err().contains("not a file"));
}
