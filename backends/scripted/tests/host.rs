//! The host over a bare socket, so that no client library smooths anything.

use std::{io::ErrorKind, time::Duration};

use scripted::{Door, End, Fault, Host, Script};
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
    let _host = Host::on(listener, Script { models: vec!["one".into()], ..Script::default() }).unwrap();
    assert!(talk(addr, "POST /v1/chat/completions", "[]x").await.starts_with("HTTP/1.1 400 "));
    assert!(talk(addr, "GET /v1/nothing", "").await.starts_with("HTTP/1.1 404 "));
    assert!(talk(addr, "GET /v1/models", "").await.contains(r#""id":"one""#));
}

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"grüße 🦀"}]}"#;

/// Reads until the end or the error: what came, and how it ended.
async fn read_out(socket: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut answer = Vec::new();
    let error = socket.read_to_end(&mut answer).await.err().map(|error| error.kind());
    (String::from_utf8(answer).unwrap(), error)
}

async fn sent(addr: std::net::SocketAddr, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    socket
}

fn address(base_url: &str) -> std::net::SocketAddr {
    let port = base_url.trim_end_matches("/v1").rsplit_once(':').unwrap().1.parse().unwrap();
    (std::net::Ipv4Addr::LOCALHOST, port).into()
}

#[tokio::test]
async fn a_reset_is_a_reset_before_and_after_the_events() {
    let host = Host::start(Script::default()).await.unwrap();
    for (fault, events) in [(Fault::Reset, 0), (Fault::ResetAfter(3), 3)] {
        host.script_next(fault);
        let (answer, error) = read_out(&mut sent(host.addr(), STREAM).await).await;
        assert_eq!((answer.matches("data: ").count(), error), (events, Some(ErrorKind::ConnectionReset)), "{fault}");
    }
    host.until_running(0).await;
    assert!(host.requests().iter().all(|request| request.end == Some(End::Broken)));
}

#[tokio::test]
async fn a_half_closed_connection_ends_without_its_last_chunk_and_stays_open_for_reading() {
    let host = Host::start(Script::default()).await.unwrap();
    host.script_next(Fault::HalfCloseAfter(2));
    let mut socket = sent(host.addr(), STREAM).await;
    let (answer, error) = read_out(&mut socket).await;
    assert_eq!((answer.matches("data: ").count(), error), (2, None));
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    assert_eq!(host.running(), 1, "the host still listens");
    drop(socket);
    host.until_running(0).await;
}

#[tokio::test]
async fn a_burst_refuses_so_many_and_answers_one() {
    let host = Host::start(Script::default()).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = chat(&host, r#"{"model":"fault-burst-2-503","messages":[]}"#).await;
        statuses.push(answer[9..12].to_owned());
    }
    assert_eq!(statuses, ["503", "503", "200", "503", "503", "200"]);
}

#[tokio::test]
async fn what_became_of_each_request_can_be_seen() {
    let host = Host::start(Script::default()).await.unwrap();
    for fault in [Fault::StallAfter(2), Fault::CutAfter(2), Fault::LateEnd(1)] {
        host.script_next(fault);
        let mut socket = sent(host.addr(), STREAM).await;
        let mut some = [0; 64];
        assert!(socket.read(&mut some).await.unwrap() > 0);
        if fault != Fault::StallAfter(2) {
            let mut rest = Vec::new();
            while socket.read_buf(&mut rest).await.unwrap() > 0 && !rest.ends_with(b"0\r\n\r\n") {}
        }
        drop(socket);
        host.until_running(0).await;
    }
    let requests = host.requests();
    let ends: Vec<_> = requests.iter().map(|request| request.end.unwrap()).collect();
    assert_eq!(ends, [End::Cancelled, End::Broken, End::Answered]);
    assert!(requests[0].sent > 0 && requests[0].sent == requests[1].sent && requests[1].sent < requests[2].sent);
}

#[tokio::test]
async fn content_without_end_is_not_read_ahead_of_its_reader() {
    let host = Host::start(Script::default()).await.unwrap();
    host.script_next(Fault::Endless(0));
    let mut socket = sent(host.addr(), STREAM).await;
    let mut read = vec![0; 1 << 20];
    socket.read_exact(&mut read).await.unwrap();
    assert_eq!(host.running(), 1);
    drop(socket);
    host.until_running(0).await;
}

#[tokio::test]
async fn writes_end_inside_characters_and_join_to_the_same_bytes() {
    let host = Host::start(Script::default()).await.unwrap();
    let whole = STREAM.replace("true", "false");
    let plain = chat(&host, &whole).await;
    assert!(plain.contains("grüße 🦀"), "{plain}");
    host.script_next(Fault::SplitUtf8);
    let head = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
    assert_eq!(head(&chat(&host, &whole).await), head(&plain));

    // The chunks of a stream's transfer coding stand between the writes, and so inside characters.
    host.script_next(Fault::SplitUtf8);
    let mut socket = sent(host.addr(), STREAM).await;
    let mut bytes = Vec::new();
    while socket.read_buf(&mut bytes).await.unwrap() > 0 && !bytes.ends_with(b"0\r\n\r\n") {}
    assert!(std::str::from_utf8(&bytes).is_err());
}

#[tokio::test]
async fn a_door_fails_before_the_request_is_read() {
    let host = Host::start(Script::default()).await.unwrap();
    let refused = TcpStream::connect(address(&host.open(Door::Refuse).await.unwrap())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let tls = host.open(Door::TlsFailure).await.unwrap();
    assert!(tls.starts_with("https://"), "{tls}");
    let mut alert = TcpStream::connect(address(&tls)).await.unwrap();
    alert.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 7];
    alert.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes[0], 21, "an alert");
    assert!(host.requests().is_empty());

    let slow = address(&host.open(Door::SlowReader).await.unwrap());
    let answer = talk(slow, "POST /v1/chat/completions", STREAM).await;
    assert!(answer.contains("data: [DONE]"), "{answer}");
    assert_eq!(host.requests().len(), 1, "behind this door the host is as usual");
}
