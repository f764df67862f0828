//! Two thousand streams at once, one in a hundred of them faulty: every one ends as it should, and nothing is left behind.
//!
//! Prints how long the pauses between two pieces are, beside those of the same streams straight from the host, and how the
//! gateway's memory and sockets stand after each crowd.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all};
use scripted::{Host, Script};
use serde_json::json;
use tests::{Pointsman, until};

const STREAMS: usize = 2_000;
const ROUNDS: usize = 5;
/// Every hundredth stream is the next of these: what its first candidate does.
const FAULTS: [&str; 10] = [
    "fault-silent",
    "fault-503",
    "fault-429",
    "fault-reset",
    "fault-empty-stream",
    "fault-error-event",
    "fault-malformed-frame",
    "fault-cut-after-4",
    "fault-stall-after-4",
    "fault-reset-after-4",
];
const SCRIPT: (usize, Duration) = (16, Duration::from_millis(50));

/// How a stream ended, as its caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ended {
    /// With its finish reason and `[DONE]`.
    Whole,
    /// With an error event and `[DONE]`, after some content.
    Broken,
    /// With an error instead of a stream.
    Refused(u16),
}

/// A gateway, the host behind it, and what a caller needs.
struct Bed {
    gateway: Pointsman,
    host: Host,
    key: String,
}

async fn bed() -> Bed {
    let (chunks, interval) = SCRIPT;
    let models = std::iter::once("healthy").chain(FAULTS).map(str::to_owned).collect();
    let host = Host::start(Script { chunks, interval, models, record: 0, ..Script::default() }).await.unwrap();
    let mut config = "\
policies: [crowd.yaml]
contexts: {desk: {use: internal, exposure: internal, seat: KR}}
teams: {desk: {contexts: [desk]}}
keys: keys.yaml
deployments:
"
    .to_owned();
    let mut policies = "version: 1\nroutes:\n".to_owned();
    let deadlines = "{connect: 3s, headers: 1s, first_token: 60s, idle: 2s, total: 60s}";
    for fault in std::iter::once("healthy").chain(FAULTS) {
        writeln!(
            config,
            "  - {{id: {fault}, model: qwen3-32b, server: vllm, base_url: \"{}\", name: {fault}}}",
            host.base_url()
        )
        .unwrap();
        for (route, candidates) in [("alone", fault.to_owned()), ("helped", format!("{fault}, healthy"))] {
            writeln!(
                policies,
                "  - {{name: {route}-{fault}, match: {{model: {route}-{fault}}}, candidates: [{candidates}], attempts: \
                 {{deadlines: {deadlines}}}}}"
            )
            .unwrap();
        }
    }
    let builder = tests::Builder::new(env!("CARGO_BIN_EXE_pointsman-under-test"))
        .config(&config)
        .file("crowd.yaml", &policies.replace("[healthy, healthy]", "[healthy]"));
    let key = builder.key("desk", "desk");
    let gateway = builder.start();
    Bed { gateway, host, key }
}

/// What the streams of a crowd ask for: the n-th by its number.
fn model(at: usize) -> String {
    if !at.is_multiple_of(100) {
        return "alone-healthy".to_owned();
    }
    let kind = if (at / 100).is_multiple_of(2) { "helped" } else { "alone" };
    format!("{kind}-{}", FAULTS[at / 200 % FAULTS.len()])
}

/// What may come of it. What fails before its first content is answered by the second candidate, where there is one; so is
/// what would fail later once the breaker of the first is open, and where there is none that is a refusal.
fn wanted(model: &str) -> &'static [Ended] {
    let early = ["silent", "503", "429", "reset", "empty-stream"];
    let fault = model.split_once("fault-").map(|(_, fault)| fault);
    match (fault, model.starts_with("helped")) {
        (None, _) => &[Ended::Whole],
        (Some("malformed-frame"), _) => &[Ended::Whole, Ended::Broken],
        (Some(fault), true) if early.contains(&fault) => &[Ended::Whole],
        (Some("silent"), _) => &[Ended::Refused(504), Ended::Refused(503)],
        (Some("429"), _) => &[Ended::Refused(429), Ended::Refused(503)],
        (Some("503" | "reset" | "empty-stream"), _) => &[Ended::Refused(502), Ended::Refused(503), Ended::Refused(429)],
        (Some(_), true) => &[Ended::Broken, Ended::Whole],
        (Some(_), false) => &[Ended::Broken, Ended::Refused(503)],
    }
}

/// Asks for one stream and reads it to its end: how that was, and the pauses between its pieces.
async fn stream(client: reqwest::Client, base_url: String, key: String, model: String) -> (Ended, Vec<Duration>) {
    let body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "one two three"}]});
    let request = client.post(format!("{base_url}/chat/completions")).bearer_auth(key).json(&body);
    let response = request.send().await.unwrap_or_else(|error| panic!("{model} has no answer: {error:?}"));
    let status = response.status().as_u16();
    if status != 200 {
        response.bytes().await.expect("its body");
        return (Ended::Refused(status), Vec::new());
    }
    let (mut text, mut pauses, mut last) = (Vec::new(), Vec::new(), None);
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk.expect("the body ends cleanly"));
        let now = Instant::now();
        pauses.extend(last.replace(now).map(|last| now - last));
    }
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(text.ends_with("data: [DONE]\n\n"), "{model} ended without a terminal: {text}");
    assert_eq!(text.matches("[DONE]").count(), 1, "{model}: {text}");
    let (finished, failed) = (text.contains("\"finish_reason\":\"stop\""), text.contains("\"error\":{"));
    assert!(finished != failed, "{model} has to end well or badly, not both: {text}");
    (if finished { Ended::Whole } else { Ended::Broken }, pauses)
}

/// A crowd at once, each stream on a connection of its own; the pauses of all.
async fn crowd(base_url: &str, key: &str, model: impl Fn(usize) -> String, judged: bool) -> Vec<Duration> {
    let client = tests::client();
    let all = (0..STREAMS).map(|at| {
        let (client, base_url, key, model) = (client.clone(), base_url.to_owned(), key.to_owned(), model(at));
        tokio::spawn(async move {
            let (ended, pauses) = stream(client, base_url, key, model.clone()).await;
            assert!(!judged || wanted(&model).contains(&ended), "{model}: {ended:?}");
            pauses
        })
    });
    join_all(all).await.into_iter().flat_map(|pauses| pauses.expect("its promises hold")).collect()
}

fn percentiles(mut pauses: Vec<Duration>) -> String {
    pauses.sort_unstable();
    let at = |share: f64| pauses[(pauses.len() as f64 * share) as usize];
    format!("p50 {:.1?}, p99 {:.1?}, longest {:.1?}", at(0.5), at(0.99), at(0.999_999))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_streams_at_once_with_faults_among_them_all_end_and_leave_nothing_behind() {
    // For the callers, the host and the gateway, which has its limit from here.
    rlimit::increase_nofile_limit(20_000).expect("two sockets a stream on either side");
    let Bed { gateway, host, key } = bed().await;
    let direct = crowd(&host.base_url(), &key, |_| "healthy".to_owned(), false).await;
    println!("straight from the host: {}", percentiles(direct));
    let client = format!("{}/v1", gateway.client);
    let mut after = Vec::new();
    for round in 1..=ROUNDS {
        let pauses = crowd(&client, &key, model, true).await;
        host.until_running(0).await;
        // The callers' sockets are closed; the pool keeps some to the host.
        until(|| (gateway.sockets() < 1_000).then_some(())).await;
        // Every decision, and exactly one outcome for each that let somebody serve.
        let open = until(|| {
            let mut open: HashMap<String, i32> = HashMap::new();
            for record in gateway.ledger() {
                let request = record["request"].as_str().unwrap().to_owned();
                *open.entry(request).or_default() += match (record["kind"].as_str(), record["verdict"].as_str()) {
                    (Some("decision"), Some("serve")) => 1,
                    (Some("outcome"), _) => -1,
                    _ => 0,
                };
            }
            (open.len() == round * STREAMS && open.values().all(|open| *open <= 0)).then_some(open)
        });
        assert!(open.await.values().all(|open| *open == 0), "one outcome, and not two");
        after.push((gateway.resident(), gateway.sockets()));
        println!(
            "crowd {round}: {}; {} MB, {} sockets",
            percentiles(pauses),
            after[round - 1].0 >> 20,
            after[round - 1].1
        );
    }
    // What the first crowds needed is used again by the others.
    let (before, last) = (after[2], after[ROUNDS - 1]);
    assert!(last.0 < before.0 + (32 << 20), "memory grows with each crowd: {after:?}");
    assert!(last.1 <= before.1 + 64, "sockets stay open with each crowd: {after:?}");
}
