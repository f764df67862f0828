//! Callers that go away, or stand still, in each phase of a request: the upstream is freed, and nothing piles up.

use std::net::SocketAddr;

use scripted::{End, Fault, Host, Script};
use serde_json::{Value, json};
use tests::{Pointsman, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::cell::PROMPT;

/// A gateway whose only deployment is at the host, and a key for it. No deadline of its own comes near these tests.
async fn gateway() -> (Pointsman, Host, String) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "\
contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}
teams: {{desk: {{contexts: [desk]}}}}
keys: keys.yaml
deployments: [{{id: only, model: qwen3-32b, server: vllm, base_url: \"{}\", name: m}}]
",
        host.base_url()
    );
    let builder = tests::Builder::new(env!("CARGO_BIN_EXE_pointsman-under-test")).config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host, key)
}

/// How a caller goes away.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It closes its connection.
    Close,
    /// It resets it, as a process that dies does.
    Reset,
    /// It closes its sending side, as one that will not ask again, and then hears nothing: the gateway takes it for gone.
    HalfClose,
}

/// A caller on a connection of its own.
struct Caller {
    socket: TcpStream,
    key: String,
    read: Vec<u8>,
}

impl Caller {
    async fn connect(gateway: &Pointsman, key: &str) -> Self {
        let address: SocketAddr = gateway.client.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        // Little is on its way to a caller that stands still.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        Self { socket: socket.connect(address).await.unwrap(), key: key.to_owned(), read: Vec::new() }
    }

    /// Sends a request, all of it or the part of its body before `until`.
    async fn send(&mut self, body: &Value, until: Option<usize>) {
        let body = body.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-type: \
             application/json\r\ncontent-length: {}\r\n\r\n",
            self.key,
            body.len()
        );
        let body = &body.as_bytes()[..until.unwrap_or(body.len())];
        self.socket.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    }

    /// Reads until a text has come.
    async fn read_to(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            assert!(self.socket.read_buf(&mut self.read).await.unwrap() > 0, "it ended before {text}");
        }
    }

    async fn go(mut self, way: Way) {
        match way {
            Way::Close => {}
            Way::Reset => self.socket.set_zero_linger().unwrap(),
            Way::HalfClose => {
                self.socket.shutdown().await.unwrap();
                // Until the gateway closes its side, with an end or with a reset.
                let _ = self.socket.read_to_end(&mut self.read).await;
            }
        }
    }
}

fn asked(stream: bool) -> Value {
    json!({"model": "qwen3-32b", "stream": stream, "messages": [{"role": "user", "content": PROMPT}]})
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_sends_asks_nobody_and_leaves_nothing_open() {
    let (gateway, host, key) = gateway().await;
    // The connection on which the gateway asks what the server has counted stays open.
    until(|| (host.connections() > 0).then_some(())).await;
    let before = gateway.sockets();
    for way in [Way::Close, Way::Reset, Way::HalfClose] {
        let mut caller = Caller::connect(&gateway, &key).await;
        caller.send(&asked(false), Some(20)).await;
        until(|| (gateway.sockets() > before).then_some(())).await;
        caller.go(way).await;
        until(|| (gateway.sockets() == before).then_some(())).await;
    }
    assert!(host.requests().is_empty());
    assert!(gateway.ledger().iter().all(|record| record["kind"] != "decision"), "there was nothing to decide");
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_the_upstream_in_every_phase() {
    let (gateway, host, key) = gateway().await;
    let phases = [
        ("before the headers", false, Fault::Silent, None),
        ("before the headers", true, Fault::Silent, None),
        ("before the first byte", false, Fault::StallAfter(0), None),
        ("before the first byte", true, Fault::StallAfter(0), None),
        ("before the first token", true, Fault::StallAfter(1), None),
        ("in the middle", false, Fault::StallAfter(1), None),
        ("in the middle", true, Fault::StallAfter(3), Some("\"content\":\"")),
        ("before `[DONE]`", true, Fault::StallAfter(7), Some("\"finish_reason\":\"stop\"")),
        ("while content flows", true, Fault::Endless(1), Some("on and on")),
    ];
    let mut requests = 0;
    for (phase, stream, fault, reached) in phases {
        for way in [Way::Close, Way::Reset, Way::HalfClose] {
            host.script_next(fault);
            let mut caller = Caller::connect(&gateway, &key).await;
            caller.send(&asked(stream), None).await;
            match reached {
                Some(text) => caller.read_to(text).await,
                None => host.until_running(1).await,
            }
            caller.go(way).await;
            host.until_running(0).await;
            requests += 1;
            let seen = host.requests();
            let last = seen.last().unwrap();
            assert_eq!((seen.len(), last.end), (requests, Some(End::Cancelled)), "{phase}, {way:?}");
            let outcome = gateway.outcome(last.headers["x-request-id"].to_str().unwrap()).await;
            let http = if reached.is_some() { 200 } else { 499 };
            assert_eq!(
                (&outcome["status"], &outcome["http"]),
                (&json!("cancelled"), &json!(http)),
                "{phase}: {outcome}"
            );
        }
    }
    let outcomes = gateway.ledger().iter().filter(|record| record["kind"] == "outcome").count();
    assert_eq!(outcomes, requests, "one for each request");
}

#[tokio::test]
async fn an_idle_connection_that_is_closed_leaves_nothing_behind_but_the_pool() {
    let (gateway, host, key) = gateway().await;
    // The connection on which the gateway asks what the server has counted stays open; requests use it too when it is free.
    until(|| (host.connections() > 0).then_some(())).await;
    let before = gateway.sockets() - host.connections();
    for way in [Way::Close, Way::Reset, Way::HalfClose] {
        let mut caller = Caller::connect(&gateway, &key).await;
        caller.send(&asked(true), None).await;
        caller.read_to("data: [DONE]\n\n\r\n0\r\n\r\n").await;
        // Its own connection, and the upstream's, which is kept for the next request.
        until(|| (gateway.sockets() == before + host.connections() + 1).then_some(())).await;
        caller.go(way).await;
        until(|| (gateway.sockets() == before + host.connections()).then_some(())).await;
    }
    assert!(host.connections() <= 2, "every request used the kept connection");
    assert!(host.requests().iter().all(|request| request.end == Some(End::Answered)));
}

/// While one caller stands still, another reads 128 MiB of the same kind: all that time the first one's answer could have
/// been read from the upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_stands_still_holds_back_its_upstream_and_takes_no_memory() {
    const READ: usize = 128 << 20;
    // What the kernel's buffers of two connections may hold, as Linux bounds them by default, and some of our own.
    const HELD: u64 = 24 << 20;
    let (gateway, host, key) = gateway().await;
    host.script_next(Fault::Endless(0));
    let mut still = Caller::connect(&gateway, &key).await;
    still.send(&asked(true), None).await;
    still.read_to("on and on").await;
    let before = gateway.resident();

    host.script_next(Fault::Endless(0));
    let mut response = gateway.request("POST", "/v1/chat/completions").json(&asked(true)).send().await.unwrap();
    let mut read = 0;
    while read < READ {
        read += response.chunk().await.unwrap().expect("it never ends").len();
    }
    let sent = host.requests()[0].sent;
    assert!(sent < HELD, "{sent} bytes were read ahead of a caller that stands still");
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < HELD, "the gateway's memory grew by {grown} bytes");

    drop((still, response));
    host.until_running(0).await;
    assert!(host.requests().iter().all(|request| request.end == Some(End::Cancelled)));
}
