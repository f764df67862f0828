//! What one whole answer costs this side in CPU time, against a host of its own process.
//!
//! `cargo run --release -p remote --example cost -- BASE_URL [REQUESTS]` asks one after the other, then 32 at a
//! time, and prints the CPU time for each request. It counts this process alone: start the host apart from it.

use std::{env, fs, sync::Arc};

use backends::{Api, Backend, BackendId, Input, Message, Part, Payload, Request};
use futures_util::{StreamExt, future::join_all};
use remote::{Client, ClientOptions, Remote, Target};

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// The unit of the times in `/proc/self/stat`, in microseconds.
const TICK: u64 = 10_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = env::args().skip(1);
    let base_url = arguments.next().expect("the base URL of a host, such as http://127.0.0.1:8080/v1");
    let requests: u64 = arguments.next().map_or(40_000, |number| number.parse().expect("a number of requests"));
    let client = Client::new(&ClientOptions::default()).expect("a client");
    let remote = Remote::new(BackendId::new("host"), Target::new(base_url, "m", None), &client).expect("a backend");
    let remote = Arc::new(remote);
    for at_a_time in [1, 32] {
        ask(&remote, at_a_time, 1000).await;
        let before = cpu_us();
        ask(&remote, at_a_time, requests).await;
        println!("{at_a_time:>2} at a time: {:.1} us a request", (cpu_us() - before) as f64 / requests as f64);
    }
}

async fn ask(remote: &Arc<Remote>, at_a_time: u64, requests: u64) {
    let askers = (0..at_a_time).map(|_| {
        let remote = remote.clone();
        tokio::spawn(async move {
            let request = Arc::new(request());
            for _ in 0..requests / at_a_time {
                let mut events = remote.generate(request.clone()).await.expect("an answer");
                while let Some(event) = events.next().await {
                    event.expect("a whole answer");
                }
            }
        })
    });
    for asker in join_all(askers).await {
        asker.expect("no asker fails");
    }
}

fn request() -> Request {
    Request::new(
        "cost",
        Api::Chat,
        Payload::new(BODY.into()).expect("a body with a model"),
        Input::Chat {
            messages: vec![Message {
                role: "user".into(),
                content: vec![Part::Text("hi".into())],
                ..Message::default()
            }],
            tools: None,
            template_kwargs: None,
        },
    )
}

/// The CPU time of this process so far.
fn cpu_us() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("the kernel's account of this process");
    let fields = stat.rsplit(')').next().expect("fields behind the name").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    ticks * TICK
}
