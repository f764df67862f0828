//! Files, and batches of requests that are answered later: by the licence context of whoever made them, across a restart, and
//! told to their own team alone.

use reqwest::multipart::{Form, Part};
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

/// A gateway before a scripted host, with keys of two teams, the first of which is used.
async fn world(script: Script) -> (Pointsman, String, Host) {
    let host = Host::start(script).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{0}\", name: scripted}},\n\
         {{id: forbidden, model: jina-embeddings-v3, server: vllm, base_url: \"{0}\", name: vectors}}]\n\
         contexts: {{shop: {{use: revenue, exposure: public, seat: KR}}}}\n\
         teams: {{red: {{contexts: [shop]}}, blue: {{contexts: [shop]}}}}\nkeys: keys.yaml\n",
        host.base_url()
    );
    let builder = pointsman().config(&config);
    let (red, blue) = (builder.key("red", "shop"), builder.key("blue", "shop"));
    let mut gateway = builder.start();
    gateway.with_key(&red);
    (gateway, blue, host)
}

fn line(id: usize, url: &str, body: &Value) -> String {
    json!({"custom_id": format!("line-{id}"), "method": "POST", "url": url, "body": body}).to_string() + "\n"
}

fn chats(lines: usize) -> String {
    let body = |n| json!({"model": "qwen3-32b", "messages": [{"role": "user", "content": format!("number {n}")}]});
    (0..lines).map(|n| line(n, "/v1/chat/completions", &body(n))).collect()
}

async fn upload(gateway: &Pointsman, content: &str) -> String {
    let part = Part::text(content.to_owned()).file_name("lines.jsonl");
    let form = Form::new().text("purpose", "batch").part("file", part);
    let (status, file) = gateway.send(gateway.request("POST", "/v1/files").multipart(form)).await;
    assert_eq!((status, &file["bytes"]), (200, &json!(content.len())), "{file}");
    file["id"].as_str().unwrap().to_owned()
}

async fn batch(gateway: &Pointsman, file: &str, endpoint: &str) -> (u16, Value) {
    let body =
        json!({"input_file_id": file, "endpoint": endpoint, "completion_window": "24h", "metadata": {"job": "x"}});
    gateway.post("/v1/batches", &body).await
}

/// The batch once it stands so.
async fn until(gateway: &Pointsman, id: &Value, stands: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/batches/{}", id.as_str().unwrap());
    loop {
        let (status, batch) = gateway.get(&path).await;
        assert_eq!(status, 200, "{batch}");
        if stands(&batch) {
            return batch;
        }
        tokio::task::yield_now().await;
    }
}

async fn over(gateway: &Pointsman, id: &Value) -> Value {
    let is_over = |batch: &Value| {
        ["completed", "failed", "cancelled", "expired"].contains(&batch["status"].as_str().unwrap_or_default())
    };
    tokio::time::timeout(tests::HANG, until(gateway, id, is_over)).await.expect("the batch ends")
}

/// The lines of a file of answers, by the caller's names for them.
async fn answers(gateway: &Pointsman, file: &Value) -> Vec<(String, Value)> {
    let path = format!("/v1/files/{}/content", file.as_str().unwrap());
    let text = gateway.request("GET", &path).send().await.unwrap().text().await.unwrap();
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["custom_id"].as_str().unwrap().to_owned(), line["response"].clone())
    };
    let mut all: Vec<_> = text.lines().map(told).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test]
async fn each_line_is_answered_and_each_is_a_decision_of_its_own() {
    let (gateway, blue, _host) = world(Script::default()).await;
    let mut lines = chats(3);
    lines += &line(3, "/v1/chat/completions", &json!({"model": "qwen3-32b", "messages": []}));
    let file = upload(&gateway, &lines).await;
    let (status, made) = batch(&gateway, &file, "/v1/chat/completions").await;
    assert_eq!((status, &made["status"]), (200, &json!("validating")), "{made}");
    let ended = over(&gateway, &made["id"]).await;
    assert_eq!(ended["request_counts"], json!({"total": 4, "completed": 3, "failed": 1}), "{ended}");
    assert_eq!((&ended["status"], &ended["metadata"]), (&json!("completed"), &json!({"job": "x"})));
    let good = answers(&gateway, &ended["output_file_id"]).await;
    for (n, (id, response)) in good.iter().enumerate() {
        assert_eq!((id, &response["status_code"]), (&format!("line-{n}"), &json!(200)));
        let text = &response["body"]["choices"][0]["message"]["content"];
        assert_eq!(text, &json!(format!("scripted answer to: number {n}")));
        let outcome = gateway.outcome(response["request_id"].as_str().unwrap()).await;
        assert_eq!(outcome["status"], "completed");
    }
    let bad = answers(&gateway, &ended["error_file_id"]).await;
    assert_eq!(
        (bad.len(), &bad[0].1["status_code"], &bad[0].1["body"]["error"]["param"]),
        (1, &json!(400), &json!("messages"))
    );
    let decisions = gateway.ledger().into_iter().filter(|record| record["kind"] == "decision");
    assert!(
        decisions
            .map(|record| (record["team"].clone(), record["context"].clone()))
            .all(|who| who == (json!("red"), json!("shop")))
    );

    // Another team finds nothing of it.
    let mut gateway = gateway;
    gateway.with_key(&blue);
    let paths = [
        format!("/v1/files/{file}"),
        format!("/v1/files/{file}/content"),
        format!("/v1/files/{}/content", ended["output_file_id"].as_str().unwrap()),
        format!("/v1/batches/{}", ended["id"].as_str().unwrap()),
    ];
    for path in paths {
        assert_eq!(gateway.get(&path).await.0, 404, "{path}");
    }
    assert_eq!(batch(&gateway, &file, "/v1/chat/completions").await.0, 404);
    for list in ["/v1/files", "/v1/batches"] {
        assert_eq!(gateway.get(list).await.1["data"], json!([]));
    }
    let cancel = format!("/v1/batches/{}/cancel", ended["id"].as_str().unwrap());
    assert_eq!(gateway.post(&cancel, &json!({})).await.0, 404);
}

#[tokio::test]
async fn a_licence_that_forbids_the_use_forbids_it_in_a_batch() {
    let (gateway, _, host) = world(Script::default()).await;
    let file =
        upload(&gateway, &line(0, "/v1/embeddings", &json!({"model": "jina-embeddings-v3", "input": "x"}))).await;
    let (_, made) = batch(&gateway, &file, "/v1/embeddings").await;
    let ended = over(&gateway, &made["id"]).await;
    let bad = answers(&gateway, &ended["error_file_id"]).await;
    assert_eq!(
        (&bad[0].1["status_code"], &bad[0].1["body"]["error"]["code"]),
        (&json!(403), &json!("license_forbids_use"))
    );
    assert_eq!(host.requests().len(), 0);
}

#[tokio::test]
async fn a_batch_goes_on_after_the_gateway_was_killed_and_no_answered_line_is_asked_again() {
    let (mut gateway, _, host) = world(Script::default()).await;
    // Three lines get no answer; the fourth place is left for the others.
    for _ in 0..3 {
        host.script_next(Fault::Silent);
    }
    let file = upload(&gateway, &chats(6)).await;
    let (_, made) = batch(&gateway, &file, "/v1/chat/completions").await;
    tests::until(|| (written(&gateway) == 3).then_some(())).await;
    gateway.kill_and_restart();
    let ended = over(&gateway, &made["id"]).await;
    assert_eq!(ended["request_counts"], json!({"total": 6, "completed": 6, "failed": 0}), "{ended}");
    let names: Vec<String> =
        answers(&gateway, &ended["output_file_id"]).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["line-0", "line-1", "line-2", "line-3", "line-4", "line-5"], "each once");
    assert_eq!(host.requests().len(), 9, "only the three were asked again");
}

/// Lines that batches have written down as answered.
fn written(gateway: &Pointsman) -> usize {
    let teams = std::fs::read_dir(gateway.folder().join("data/files")).unwrap();
    let files = teams.flat_map(|team| std::fs::read_dir(team.unwrap().path()).unwrap());
    let text =
        |file: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
    files.map(text).map(|text| text.lines().filter(|line| line.starts_with("{\"id\":\"batch_req_")).count()).sum()
}

#[tokio::test]
async fn a_batch_that_is_cancelled_begins_no_other_line_and_keeps_what_was_answered() {
    let (gateway, _, host) = world(Script::default()).await;
    let file = upload(&gateway, &chats(40)).await;
    for _ in 0..4 {
        host.script_next(Fault::SlowHeaders(300));
    }
    let (_, made) = batch(&gateway, &file, "/v1/chat/completions").await;
    host.until_running(4).await;
    let (status, cancelling) =
        gateway.post(&format!("/v1/batches/{}/cancel", made["id"].as_str().unwrap()), &json!({})).await;
    assert_eq!((status, &cancelling["status"]), (200, &json!("cancelling")), "{cancelling}");
    let ended = over(&gateway, &made["id"]).await;
    assert_eq!((&ended["status"], &ended["request_counts"]["completed"]), (&json!("cancelled"), &json!(4)), "{ended}");
    assert_eq!(answers(&gateway, &ended["output_file_id"]).await.len(), 4);
    let (status, error) =
        gateway.post(&format!("/v1/batches/{}/cancel", made["id"].as_str().unwrap()), &json!({})).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("batch_over")), "{error}");
}

#[tokio::test]
async fn a_busy_host_is_asked_again_and_lines_that_cannot_be_asked_are_named() {
    let (gateway, _, host) = world(Script::default()).await;
    host.script_next(Fault::Status(503, None));
    let file = upload(&gateway, &chats(1)).await;
    let (_, made) = batch(&gateway, &file, "/v1/chat/completions").await;
    let ended = over(&gateway, &made["id"]).await;
    assert_eq!(ended["request_counts"]["completed"], 1, "{ended}");

    let file = upload(&gateway, &(chats(1) + "nonsense\n")).await;
    let (_, made) = batch(&gateway, &file, "/v1/chat/completions").await;
    let ended = over(&gateway, &made["id"]).await;
    assert_eq!((&ended["status"], &ended["errors"]["data"][0]["line"]), (&json!("failed"), &json!(2)), "{ended}");
    for (endpoint, file, status, param) in [
        ("/v1/files", &*file, 400, "endpoint"),
        ("/v1/chat/completions", "file-00000000000000000000000000000000", 404, ""),
        ("/v1/chat/completions", "../../keys", 404, ""),
    ] {
        let (found, error) = batch(&gateway, file, endpoint).await;
        assert_eq!((found, error["error"]["param"].as_str().unwrap_or_default()), (status, param), "{error}");
    }
    let form = Form::new().text("purpose", "fine-tune").part("file", Part::text("x").file_name("x"));
    let (status, error) = gateway.send(gateway.request("POST", "/v1/files").multipart(form)).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("purpose")), "{error}");
    let (status, gone) = gateway
        .send(gateway.request("DELETE", &format!("/v1/files/{}", made["input_file_id"].as_str().unwrap())))
        .await;
    assert_eq!((status, &gone["deleted"]), (200, &json!(true)));
}
