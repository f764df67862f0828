//! What engines and servers counted, against what the ledger says that they were asked for.

use serde_json::{Value, json};

use crate::pointsman;

fn reconciled(gateway: &tests::Pointsman) -> (i32, Value) {
    let (code, out, error) = gateway.command(&["audit", "reconcile", "--json", "--data-dir", "data"]);
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{error}"));
    (code, report)
}

/// The rows of a deployment, oldest first.
fn windows<'a>(report: &'a Value, deployment: &str) -> Vec<&'a Value> {
    let rows = report["tables"]["windows"].as_array().unwrap();
    rows.iter().filter(|row| row["deployments"] == deployment).collect()
}

#[tokio::test]
async fn the_engine_in_the_process_counts_what_is_recorded_to_the_token() {
    let mut gateway = pointsman().start();
    for ask in ["one", "two", "three"] {
        assert_eq!(gateway.chat("pointsman-demo", ask).await.0, 200);
    }
    let mut streamed = tests::chat("pointsman-demo", "four");
    streamed["stream"] = true.into();
    let events = gateway.stream("/v1/chat/completions", &streamed).await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    gateway.stop();
    let (code, report) = reconciled(&gateway);
    assert_eq!((code, &report["findings"]), (0, &0.into()), "{report:#}");
    let windows = windows(&report, "demo");
    let sum = |column: &str| windows.iter().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("counted"), sum("recorded_most")), (4, 4), "{report:#}");
    assert_eq!(sum("prompt_tokens_counted"), sum("prompt_tokens_recorded"), "{report:#}");
    assert!(sum("completion_tokens_counted") > 4);
}

// The host has to answer while the test waits for the gateway to end.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_a_server_past_the_gateway_is_in_its_count_and_in_no_record() {
    let script = scripted::Script { counts: true, ..scripted::Script::default() };
    let host = scripted::Host::start(script).await.unwrap();
    let silent = scripted::Host::start(scripted::Script::default()).await.unwrap();
    let deployment = |id: &str, host: &scripted::Host| {
        format!("  - {{id: {id}, model: qwen3-8b, server: vllm, base_url: \"{}\", name: scripted}}\n", host.base_url())
    };
    let builder = pointsman().config(&format!(
        "keys: keys.yaml\ncontexts: {{office: {{use: internal, exposure: internal}}}}\n\
         teams: {{all: {{contexts: [office]}}}}\ndeployments:\n{}{}",
        deployment("counts", &host),
        deployment("silent", &silent)
    ));
    let key = builder.key("all", "office");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let ask = async |gateway: &tests::Pointsman, deployment: &str| {
        assert_eq!(gateway.chat(deployment, "hello").await.0, 200);
    };
    ask(&gateway, "counts").await;
    ask(&gateway, "silent").await;
    gateway.stop();
    let (code, report) = reconciled(&gateway);
    assert_eq!((code, &report["findings"]), (0, &0.into()), "{report:#}");
    assert_eq!(report["tables"]["uncounted"], json!([{"deployment": "silent", "attempts": 1}]));

    gateway.start_again();
    ask(&gateway, "counts").await;
    let body = tests::chat("scripted", "past the gateway");
    let past = tests::client().post(format!("{}/chat/completions", host.base_url())).json(&body).send().await.unwrap();
    assert_eq!(past.status(), 200);
    gateway.stop();
    let (code, report) = reconciled(&gateway);
    assert_eq!((code, &report["findings"]), (1, &1.into()), "{report:#}");
    let last = *windows(&report, "counts").last().unwrap();
    assert_eq!(last["finding"], "1 more than are recorded", "{report:#}");
}
