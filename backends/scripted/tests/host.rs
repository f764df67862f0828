//! The host over a bare socket, so that no client library smooths anything.

use std::time::Duration;

use scripted::{Fault, Host, Script};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Sends a request and reads until the host closes the connection.
async fn talk(addr: std::net::SocketAddr, request_line: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "{request_line} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A cut connection still gives what came before.
    let _ = socket.read_to_string(&mut answer).await;
    answer
}

async fn chat(host: &Host, body: &str) -> String {
    talk(host.addr(), "POST /v1/chat/completions", body).await
}

#[tokio::test]
async fn the_model_name_chooses_the_fault() {
    let host = Host::start(Script::default()).await.unwrap();
    let answer = chat(&host, r#"{"model":"fault-429-retry-after-2","messages":[]}"#).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 2\r\n"), "{answer}");
    assert!(chat(&host, r#"{"model":"plain","messages":[]}"#).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_queued_fault_meets_one_request_whatever_its_model() {
    let host = Host::start(Script::default()).await.unwrap();
    host.script_next(Fault::Status(503, None));
    assert!(chat(&host, r#"{"model":"m","messages":[]}"#).await.starts_with("HTTP/1.1 503 "));
    assert!(chat(&host, r#"{"model":"m","messages":[]}"#).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_cut_stream_has_no_last_chunk() {
    let host = Host::start(Script::default()).await.unwrap();
    let cut = chat(&host, r#"{"model":"fault-cut-after-2","stream":true,"messages":[]}"#).await;
    assert_eq!(cut.matches("data: ").count(), 2);
    assert!(!cut.ends_with("0\r\n\r\n"), "{cut}");
    let whole = chat(&host, r#"{"model":"m","stream":true,"messages":[]}"#).await;
    assert!(whole.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{whole}");
}

#[tokio::test]
async fn the_fast_host_sends_as_many_pieces_as_it_was_told() {
    let host = Host::start(Script::fast(64, Duration::from_millis(1))).await.unwrap();
    let stream = chat(&host, r#"{"model":"m","stream":true,"messages":[]}"#).await;
    assert_eq!(stream.matches("\"content\":").count(), 64);
    assert!(stream.contains("\"finish_reason\":\"stop\"") && stream.contains("data: [DONE]"), "{stream}");
    let whole = chat(&host, r#"{"model":"m","messages":[]}"#).await;
    assert!(whole.contains("content-type: application/json") && whole.contains("chat.completion"), "{whole}");
    assert!(host.requests().is_empty(), "nothing is kept");
}

#[tokio::test]
async fn no_more_requests_are_kept_than_the_script_says() {
    let host = Host::start(Script { record: 2, ..Script::default() }).await.unwrap();
    for model in ["a", "b", "c"] {
        chat(&host, &format!(r#"{{"model":"{model}","messages":[]}}"#)).await;
    }
    let bodies: Vec<_> = host.requests().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies, [r#"{"model":"b","messages":[]}"#, r#"{"model":"c","messages":[]}"#]);
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(scripted::serve(listener, Script { models: vec!["one".into()], ..Script::default() }));
    assert!(talk(addr, "POST /v1/chat/completions", "[]x").await.starts_with("HTTP/1.1 400 "));
    assert!(talk(addr, "GET /v1/nothing", "").await.starts_with("HTTP/1.1 404 "));
    assert!(talk(addr, "GET /v1/models", "").await.contains(r#""id":"one""#));
}
