//! Every fault against both forms of an answer, as one table that the documentation shows.

mod support;

use std::{fmt::Write, str::FromStr, time::Duration};

use backends::{Backend, BackendError, BackendId, Event, EventStream, Probe};
use remote::{Client, ClientOptions, Limits, Remote, Target};
use scripted::{Fault, Host, Script};
use support::{chat, next};

const TABLE: &str = include_str!("faults.md");

/// More of the faults that the scripted host's table has but one example of.
const MORE: [&str; 12] = [
    "fault-400",
    "fault-401",
    "fault-402",
    "fault-404",
    "fault-405",
    "fault-413",
    "fault-422",
    "fault-429",
    "fault-503",
    "fault-529",
    "fault-cut-after-0",
    "fault-error-first-400",
];

/// What became of one request, in words.
async fn outcome(remote: &Remote, stream: bool, patience: Duration) -> String {
    let within = Patience(patience);
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#);
    let mut events = match within.wait(remote.generate(chat(&body))).await {
        None => return "silence before the headers".into(),
        Some(Err(error)) => return format!("at once, {}", told(&error)),
        Some(Ok(events)) => events,
    };
    let mut text = false;
    let mut done = false;
    let mut usage = "";
    let mut frames = 0;
    loop {
        let after = if text { "after text" } else { "before text" };
        match within.wait(next(&mut events)).await {
            None => return format!("silence {after}"),
            Some(Some(Err(error))) => return format!("{after}, {}", told(&error)),
            Some(Some(Ok(Event::Frame(frame) | Event::Whole(frame)))) => {
                frames += 1;
                // More than any answer of the host has.
                if frames > 50 {
                    return "text without end".into();
                }
                text |= frame.content;
                done |= frame.done;
                usage = if frame.usage.is_some() { " with usage" } else { usage };
            }
            Some(Some(Ok(other))) => panic!("an upstream has no {other:?}"),
            Some(None) => {
                ended(&mut events).await;
                return format!("answer{usage}{}", if stream && !done { ", no `[DONE]`" } else { "" });
            }
        }
    }
}

/// A stream that has ended stays ended.
async fn ended(events: &mut EventStream) {
    assert!(next(events).await.is_none());
}

/// How long something is waited for that may never come.
struct Patience(Duration);

impl Patience {
    async fn wait<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.0, future).await.ok()
    }
}

fn told(error: &BackendError) -> String {
    let again = match error.retry_after() {
        // A date has whole seconds, of which a part has passed.
        Some(wait) if wait > Duration::from_secs(50) => ", again in a minute".into(),
        // A limit that refills all the time may have done so by now.
        Some(wait) if wait < Duration::from_millis(1) => String::new(),
        // So has of a moment.
        Some(wait) if wait.subsec_nanos() % 1_000_000 != 0 => ", again soon".into(),
        Some(wait) => format!(", again in {wait:?}"),
        None => String::new(),
    };
    let next = if error.try_next() { "" } else { ", no other host" };
    // How a connection broke is the HTTP library's to word.
    let error_text = error.to_string();
    let text = error_text.split_inclusive("the connection broke").next().unwrap_or_default();
    format!("`{:?}`, {text}{again}{next}", error.class())
}

/// A row of the table.
async fn row(name: &str, client: &Client) -> String {
    let host = Host::start(Script { chunks: 3, ..Script::default() }).await.unwrap();
    let mut target = Target::new(host.base_url(), "m", None);
    target.limits = Limits { whole: 1 << 20, event: 1 << 20 };
    let remote = Remote::new(BackendId::new("remote"), target, client).unwrap();
    let expected = TABLE.lines().find(|line| line.starts_with(&format!("| `{name}` "))).unwrap_or_default();
    let mut row = format!("| `{name}` |");
    for (stream, expected) in
        [(false, 2), (true, 3)].map(|(stream, cell)| (stream, expected.split(" | ").nth(cell - 1)))
    {
        // A cell that is silent is silent for ever, so only there is the wait short.
        let silent = expected.is_some_and(|cell| cell.contains("silence"));
        let patience = Duration::from_secs(if silent { 3 } else { 30 });
        if let Ok(fault) = Fault::from_str(name) {
            host.script_next(fault);
        }
        let _ = write!(row, " {} |", outcome(&remote, stream, patience).await);
        assert_eq!(remote.load(&Probe::default()).running, 0, "{name}: the request is over here");
        // A fault that keeps the request open must see it cancelled.
        Patience(Duration::from_secs(30)).wait(host.until_running(0)).await.expect("the request is closed at the host");
    }
    row
}

#[tokio::test]
async fn every_fault_has_the_outcome_that_the_table_says() {
    let names = std::iter::once("no fault").chain(Fault::TABLE.iter().map(|(name, _)| *name)).chain(MORE);
    // One for all: to set one up takes long enough, on this one thread, to make answers look silent.
    let client = Client::new(&ClientOptions::default()).unwrap();
    let rows = futures_util::future::join_all(names.map(|name| row(name, &client))).await;
    let table = format!("| fault | whole answer | stream |\n| --- | --- | --- |\n{}\n", rows.join("\n"));
    if std::env::var_os("UPDATE_OUTCOMES").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults.md"), &table).unwrap();
        return;
    }
    assert!(
        table == TABLE,
        "tests/faults.md differs from what happens; with UPDATE_OUTCOMES=1 this test writes it anew. It is:\n{table}"
    );
}

#[tokio::test]
async fn a_host_that_is_not_there_is_a_connect_error_that_goes_on_to_the_next() {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = support::remote(&host, "m");
    host.shutdown().await;
    let Err(error) = remote.generate(chat(r#"{"model":"m","messages":[]}"#)).await else { panic!("nobody listens") };
    assert!(matches!(error, BackendError::Connect(_)) && error.try_next(), "{error:?}");
}
