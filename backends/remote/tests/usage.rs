//! The token counts and costs of recorded and documented answers of every host and server: one JSON file each in
//! `usage/`, with the source of its shape.
//!
//! `at` is `host:ID` or `server:ID` of the catalog, whose answer goes through a whole exchange, or `api:NAME`, whose
//! convention reads it. `basis` says how sure the shape is: `recorded`, `documented`, `reference` (gathered from vendors
//! and price lists), or `constructed` (an edge of one of those). `usage` is null where nothing is counted.

mod support;

use std::{collections::BTreeSet, fs, path::Path};

use backends::{Convention, Usage};
use catalog::Catalog;
use remote::Target;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use support::{
    canned::{Canned, answer},
    chat, remote_to, run,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    at: String,
    basis: String,
    source: String,
    answer: Option<Value>,
    events: Option<Vec<Value>>,
    usage: Option<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    prompt: u64,
    completion: u64,
    cached: u64,
    cache_write: u64,
    reasoning: u64,
    cost_usd: Option<f64>,
}

impl From<&Expected> for Usage {
    fn from(expected: &Expected) -> Self {
        Self {
            prompt_tokens: expected.prompt,
            completion_tokens: expected.completion,
            cached_tokens: expected.cached,
            cache_write_tokens: expected.cache_write,
            reasoning_tokens: expected.reasoning,
            cost_usd: expected.cost_usd,
        }
    }
}

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/usage");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let case = serde_json::from_str(&fs::read_to_string(file).unwrap());
        (name.clone(), case.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    files.iter().map(read).collect()
}

/// The place of a case, reached at `base_url`; `None` for an API of which only the convention is known.
fn target(at: &str, base_url: String) -> Option<Target> {
    let catalog = Catalog::builtin();
    match at.split_once(':').unwrap() {
        ("api", "openai") => Some(Target::new(base_url, "m", None)),
        ("api", _) => None,
        ("host", id) => Some(Target { base_url, ..Target::at_host(catalog.host(id).unwrap(), "m", None) }),
        ("server", id) => Some(Target::at_server(catalog.server(id).unwrap(), base_url, "m", None)),
        other => panic!("{other:?}"),
    }
}

async fn exchanged(case: &Case) -> Option<Usage> {
    let (headers, body) = match (&case.events, &case.answer) {
        (Some(events), None) => {
            let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            ([("content-type", "text/event-stream")], events + "data: [DONE]\n\n")
        }
        (None, Some(answer)) => ([("content-type", "application/json")], answer.to_string()),
        _ => panic!("a case has an answer or events"),
    };
    let server = Canned::start(move |_| answer(200, &headers, body.clone())).await;
    let target = target(&case.at, server.url("/v1")).unwrap();
    let ask = match case.events {
        Some(_) => r#"{"model":"m","messages":[],"stream":true}"#,
        None => r#"{"model":"m","messages":[]}"#,
    };
    let outcome = run(&remote_to(target), chat(ask)).await;
    assert_eq!(outcome.error, None, "{}", case.source);
    outcome.usage
}

#[tokio::test]
async fn each_answer_is_counted_as_its_host_means_it() {
    for (name, case) in cases() {
        let counted = match case.at.as_str() {
            "api:anthropic" => of_whole(&Convention::anthropic(), &case),
            "api:responses" => of_whole(&Convention::responses(), &case),
            _ => exchanged(&case).await,
        };
        assert_eq!(counted, case.usage.as_ref().map(Usage::from), "{name}: {}", case.source);
    }
}

fn of_whole(convention: &Convention, case: &Case) -> Option<Usage> {
    let answer = case.answer.as_ref().unwrap();
    let usage: Box<RawValue> = serde_json::from_str(&answer["usage"].to_string()).unwrap();
    convention.read(answer.to_string().as_bytes(), Some(&usage), true)
}

#[test]
fn every_host_and_every_server_is_in_the_corpus() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    for (name, case) in &cases {
        assert!(["recorded", "documented", "reference", "constructed"].contains(&&*case.basis), "{name}");
        assert!(case.source.len() > 10, "{name} names no source");
    }
    let catalog = Catalog::builtin();
    let at: BTreeSet<&str> = cases.iter().map(|(_, case)| case.at.as_str()).collect();
    let hosts = catalog.hosts().filter(|host| host.openai_compatible()).map(|host| format!("host:{}", host.id));
    let served = |server: &&catalog::Server| server.kind != catalog::ServerKind::Library;
    let servers = catalog.servers().filter(served).map(|server| format!("server:{}", server.id));
    let missing: Vec<_> = hosts.chain(servers).filter(|place| !at.contains(place.as_str())).collect();
    // Triton serves what its back ends count, which are those of vLLM and TensorRT-LLM.
    assert_eq!(missing, ["server:triton"]);
}
