//! What the ledger says of the gateway itself, and the receipts that its answers carry.

use serde_json::Value;
use tests::chat;

use crate::pointsman;

const CONFIG: &str = "
keys: keys.yaml
policies: [policy.yaml]
deployments: [{id: demo, model: pointsman-demo, engine: auto}]
contexts: {office: {seat: DE, use: internal, exposure: internal}}
teams: {all: {contexts: [office]}}
";
const POLICY: &str = "version: 1\nroutes: [{name: all, match: {model: [auto]}, candidates: [pointsman-demo]}]\n";

fn kinds(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .filter(|record| record["kind"] != "heartbeat")
        .map(|record| record["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn every_run_and_every_text_that_decides_is_in_the_ledger() {
    let mut gateway = pointsman().config(CONFIG).file("policy.yaml", POLICY).start();
    let (status, _) = gateway.reload_with("policy.yaml", &format!("{POLICY}# again\n")).await;
    assert_eq!(status, 200);
    let (status, _) = gateway.reload_with("policy.yaml", "version: 1\nroutes: [{nam: all}]\n").await;
    assert_eq!(status, 422);
    assert_eq!(gateway.reload_with("policy.yaml", POLICY).await.0, 200);
    gateway.stop_and_restart();
    gateway.kill_and_restart();
    let records = gateway.records();
    let of_first: Vec<_> =
        records.iter().filter(|record| record["instance"] == records[0]["instance"]).cloned().collect();
    // The folder is watched as well, and may be loaded again before it is told to.
    let first = kinds(&of_first);
    assert_eq!((first[0], first[1], *first.last().unwrap()), ("start", "activate", "stop"), "{first:?}");
    assert!(first.contains(&"refuse"), "{first:?}");
    let activated: Vec<_> = of_first.iter().filter(|record| record["kind"] == "activate").collect();
    assert_eq!(activated.len(), 3, "{first:?}");
    assert_eq!(activated[1]["replaces"], activated[0]["config"]);
    assert_eq!(activated[2]["config"], activated[0]["config"], "the same texts again");
    let text = |record: &Value, role: &str| {
        let texts = record["texts"].as_array().unwrap();
        let digest = texts.iter().find(|text| text["role"] == role).unwrap()["sha256"].as_str().unwrap();
        std::fs::read_to_string(gateway.folder().join("data/ledger/texts").join(digest)).unwrap()
    };
    assert_eq!(text(activated[0], "configuration"), CONFIG);
    assert_eq!(text(activated[1], "policies"), format!("{POLICY}# again\n"));
    let starts: Vec<_> = records.iter().filter(|record| record["kind"] == "start").collect();
    assert_eq!(starts.len(), 3);
    assert_eq!(starts[1]["records"], of_first.len(), "all that the first run wrote was there");
    assert_eq!(kinds(&records).iter().filter(|kind| **kind == "stop").count(), 1, "a kill is no stop");
}

#[tokio::test]
async fn an_answer_carries_the_place_of_its_decision_in_the_log() {
    let gateway = pointsman().start();
    let (_, key, _) = gateway.command(&["audit", "key", "--data-dir", "data"]);
    let name = key.split('+').next().unwrap().to_owned();
    let mut streamed = chat("auto", "Hello");
    streamed["stream"] = true.into();
    for (body, status) in [(chat("auto", "Hello"), 200), (streamed, 200), (chat("mistral-large-2", "Hello"), 403)] {
        let answer = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let receipt = answer.headers()["x-pointsman-receipt"].to_str().unwrap();
        let (log, number) = receipt.split_once(' ').unwrap();
        assert_eq!(log, name);
        let record = &gateway.records()[number.parse::<usize>().unwrap()];
        assert_eq!(record["kind"], "decision");
        assert_eq!(record["request"], answer.headers()["x-request-id"].to_str().unwrap());
    }
    let refused = gateway.request("POST", "/v1/chat/completions").json(&chat("no-such", "Hello")).send().await.unwrap();
    assert!(!refused.headers().contains_key("x-pointsman-receipt"), "nothing was decided");
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_disk_carries_no_receipt_and_is_recorded_all_the_same() {
    let config = format!("{CONFIG}ledger: {{unwaited_to_tier: 1}}\n");
    let builder = pointsman().config(&config).file("policy.yaml", POLICY);
    let key = builder.key("all", "office");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let answer = gateway.request("POST", "/v1/chat/completions").json(&chat("auto", "Hello")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-pointsman-receipt"));
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(gateway.outcome(&id).await["status"], "completed");
}
