//! A dropped request ends at the host, in each phase and form: the host's own gauge goes back to zero.

mod support;

use backends::{Backend, Event, Probe};
use futures_util::FutureExt;
use scripted::{Fault, Host, Script};
use support::{chat, next, remote};

const WHOLE: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const STREAM: &str = r#"{"stream":true,"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// Starts three requests that the fault keeps open, takes `events` events of each, and drops them all.
async fn dropped(body: &str, fault: Fault, events: usize) {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote(&host, "m");
    let mut open = Vec::new();
    for _ in 0..3 {
        host.script_next(fault);
        let mut stream = remote.generate(chat(body)).await.unwrap();
        for _ in 0..events {
            assert!(matches!(next(&mut stream).await, Some(Ok(Event::Frame(_)))));
        }
        // Whatever else there is to come, it does not come.
        assert!(next(&mut stream).now_or_never().is_none());
        open.push(stream);
    }
    assert_eq!((host.running(), remote.load(&Probe::default()).running), (3, 3));
    drop(open);
    host.until_running(0).await;
    assert_eq!(remote.load(&Probe::default()).running, 0);
}

async fn dropped_before_headers(body: &str) {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote(&host, "m");
    let mut open = Vec::new();
    for _ in 0..3 {
        host.script_next(Fault::Silent);
        open.push(remote.generate(chat(body)));
    }
    let all = futures_util::future::join_all(open);
    tokio::select! {
        _ = all => panic!("a silent host has answered"),
        () = host.until_running(3) => {}
    }
    // The branch that lost is dropped, and with it the requests.
    host.until_running(0).await;
    assert_eq!(remote.load(&Probe::default()).running, 0);
}

#[tokio::test]
async fn a_whole_answer_dropped_before_its_headers_is_cancelled() {
    dropped_before_headers(WHOLE).await;
}

#[tokio::test]
async fn a_stream_dropped_before_its_headers_is_cancelled() {
    dropped_before_headers(STREAM).await;
}

#[tokio::test]
async fn a_whole_answer_dropped_before_its_first_byte_is_cancelled() {
    dropped(WHOLE, Fault::StallAfter(0), 0).await;
}

#[tokio::test]
async fn a_stream_dropped_before_its_first_byte_is_cancelled() {
    dropped(STREAM, Fault::StallAfter(0), 0).await;
}

#[tokio::test]
async fn a_whole_answer_dropped_in_its_middle_is_cancelled() {
    dropped(WHOLE, Fault::StallAfter(1), 0).await;
}

#[tokio::test]
async fn a_stream_dropped_in_its_middle_is_cancelled() {
    dropped(STREAM, Fault::StallAfter(2), 2).await;
}
