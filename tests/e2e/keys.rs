//! The life of a key: bound to models, routes and endpoints, rotated, used, revoked.

use std::time::Instant;

use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::{Builder, Pointsman, chat};

use crate::pointsman;

const ROUTES: &str = "\
version: 1
aliases: {gpt-4o: qwen3-32b}
routes:
  - {name: own, match: {model: own}, candidates: [qwen3-8b, qwen3-32b]}
  - {name: other, match: {model: other}, candidates: [any]}
";

/// A gateway's configuration with two models, each at a host of its own.
async fn world() -> (Builder, String, [Host; 2]) {
    let hosts = [Host::start(Script::default()).await.unwrap(), Host::start(Script::default()).await.unwrap()];
    let config = format!(
        "policies: [routes.yaml]\n\
         deployments:\n  - {{id: small, model: qwen3-8b, server: vllm, base_url: \"{}\", name: scripted}}\n  \
         - {{id: large, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted}}\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{desk: {{contexts: [desk]}}}}\nkeys: keys.yaml\n",
        hosts[0].base_url(),
        hosts[1].base_url()
    );
    (pointsman().config(&config).file("routes.yaml", ROUTES), config, hosts)
}

const CONFIG: [&str; 2] = ["--config", "pointsman.yaml"];

/// A new key, as `pointsman keys new --json` tells of it.
fn key(builder: &Builder, bounds: &[&str]) -> (String, String) {
    let make = [&["keys", "new", "--team", "desk", "--context", "desk", "--json"], bounds, &CONFIG].concat();
    told(builder.command(&make))
}

/// The id and the key that a command tells of.
fn told((code, out, error): (i32, String, String)) -> (String, String) {
    assert_eq!(code, 0, "{error}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// The keys by `pointsman keys list --json`.
fn listed(gateway: &Pointsman) -> Vec<Value> {
    let (code, out, error) =
        gateway.command(&["keys", "list", "--json", "--data-dir", "data", "--config", "pointsman.yaml"]);
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&out).unwrap()
}

async fn refused(gateway: &Pointsman, path: &str, body: &Value) -> String {
    let (status, answer) = gateway.post(path, body).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("key_scope")), "{path} {body}: {answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_for_a_model_reaches_no_other_by_any_name_nor_by_a_fallback() {
    let (builder, _, [small, large]) = world().await;
    let (_, bound) = key(&builder, &["--model", "qwen3-8b"]);
    let mut gateway = builder.start();
    gateway.with_key(&bound);
    for asked in ["qwen3-8b", "small", "own", "other", "other:cheap"] {
        let response = gateway.request("POST", "/v1/chat/completions").json(&chat(asked, "hi")).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-pointsman-model"]),
            (200, &"qwen3-8b".parse().unwrap())
        );
    }
    for asked in ["qwen3-32b", "large", "gpt-4o", "gpt-4o:cheap"] {
        let message = refused(&gateway, "/v1/chat/completions", &chat(asked, "hi")).await;
        assert_eq!(message, "`qwen3-32b` is not a model that the caller's key may use; it may use `qwen3-8b`");
    }
    small.script_next(Fault::Status(500, None));
    assert_eq!(gateway.chat("own", "hi").await.0, 502, "the next candidate is another model");
    assert_eq!(large.requests().len(), 0);
    let (_, models) = gateway.get("/v1/models").await;
    let names: Vec<&str> = models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["own", "other", "qwen3-8b"]);
    assert_eq!(gateway.get("/v1/models/qwen3-32b").await.0, 404);

    // What was decided is what the record gives again.
    let decision = gateway.ledger().into_iter().find(|record| record["model"] == "qwen3-32b").unwrap();
    assert_eq!(decision["asked"]["scope"], json!({"models": ["qwen3-8b"]}));
    assert_eq!(decision["rejected"], json!({"out-of-scope": 1}));
    let id = decision["request"].as_str().unwrap();
    let (code, out, error) =
        gateway.command(&["explain", "--decision", id, "--data-dir", "data", "--json", "--config", "pointsman.yaml"]);
    let explained: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}"));
    assert_eq!(
        (code, &explained["status"], &explained["plan"]["rejected"][0]["code"]),
        (1, &json!(403), &json!("out-of-scope"))
    );
}

#[tokio::test]
async fn a_key_for_a_route_or_an_endpoint_is_good_for_nothing_else() {
    let (builder, _, _hosts) = world().await;
    let (id, bound) =
        key(&builder, &["--route", "own", "--endpoint", "chat", "--endpoint", "batches", "--endpoint", "files"]);
    let mut gateway = builder.start();
    gateway.with_key(&bound);
    assert_eq!(gateway.chat("own", "hi").await.0, 200);
    let message = refused(&gateway, "/v1/chat/completions", &chat("other", "hi")).await;
    assert_eq!(message, "the route `other` is not one that the caller's key may use; it may use `own`");
    refused(&gateway, "/v1/chat/completions", &chat("qwen3-8b", "hi")).await;
    let (_, models) = gateway.get("/v1/models").await;
    assert_eq!(models["data"].as_array().unwrap().len(), 1, "{models}");
    // Nothing of the body is looked at.
    for path in ["/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings", "/rerank", "/tokenize"]
    {
        let response = gateway.request("POST", path).body("no JSON at all").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 403, "{path}");
        let error: Value = response.json().await.unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.ends_with("it is good for `chat`, `batches`, `files`"), "{path}: {message}");
    }
    for path in ["/v1/responses/resp_1", "/tokenizer_info?model=own", "/metrics"] {
        assert_eq!(gateway.get(path).await.0, 403, "{path}");
    }
    let batch = json!({"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"});
    refused(&gateway, "/v1/batches", &batch).await;
    let (code, out, error) =
        gateway.command(&["explain", "--key", &id, "--request", "r.json", "--config", "pointsman.yaml"]);
    assert_eq!((code, out.as_str()), (1, ""), "there is no such file: {error}");
    std::fs::write(gateway.folder().join("r.json"), chat("other", "hi").to_string()).unwrap();
    let (_, out, _) = gateway.command(&["explain", "--key", &id, "--request", "r.json", "--config", "pointsman.yaml"]);
    assert!(out.contains("the route `other` is not one"), "{out}");
}

#[test]
fn a_key_is_bound_only_to_what_there_is() {
    let builder = tokio::runtime::Runtime::new().unwrap().block_on(world()).0;
    for (bounds, expected) in [
        (["--model", "qwen3-8c"], "there is no model or deployment `qwen3-8c`; near it: `qwen3-8b`"),
        (["--route", "owm"], "there is no route `owm`; there are `own`, `other`, `direct`"),
        (["--endpoint", "chats"], "invalid value 'chats'"),
    ] {
        let make = [&["keys", "new", "--team", "desk", "--context", "desk"], &bounds[..], &CONFIG].concat();
        let (code, out, error) = builder.command(&make);
        assert!(code != 0 && out.is_empty() && error.contains(expected), "{error}");
    }
    assert!(!builder.folder().join("keys.yaml").exists(), "nothing was made");
}

#[tokio::test]
async fn a_revoked_key_is_refused_without_a_reload_and_a_stream_that_runs_ends_as_it_is() {
    let (builder, _, [small, _]) = world().await;
    let (id, revoked) = key(&builder, &[]);
    let mut gateway = builder.start();
    gateway.with_key(&revoked);
    small.script_next(Fault::StallAfter(2));
    let body = json!({"model": "qwen3-8b", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut stream = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let (code, _, error) = gateway.command(&["keys", "revoke", &id, "--config", "pointsman.yaml"]);
    assert_eq!(code, 0, "{error}");
    // Nobody reloads: the file is watched.
    let begun = Instant::now();
    let answer = loop {
        let (status, answer) = gateway.get("/v1/models").await;
        if status != 200 {
            break answer;
        }
        assert!(begun.elapsed() < tests::HANG, "never refused");
        tokio::task::yield_now().await;
    };
    println!("refused {:?} after the file changed", begun.elapsed());
    assert_eq!(answer["error"]["code"], "revoked_key", "{answer}");
    assert_eq!(small.running(), 1, "the stream goes on");
    drop(stream);
    small.until_running(0).await;
}

#[tokio::test]
async fn a_key_is_revoked_though_the_rest_of_the_configuration_is_broken() {
    let (builder, config, _hosts) = world().await;
    let ((gone, revoked), (_, kept)) = (key(&builder, &[]), key(&builder, &[]));
    let mut gateway = builder.start();
    let (code, _, error) = gateway.command(&["keys", "revoke", &gone, "--config", "pointsman.yaml"]);
    assert_eq!(code, 0, "{error}");
    let (status, answer) = gateway.reload_with("pointsman.yaml", &format!("{config}nonsense: true\n")).await;
    assert_eq!(status, 422, "{answer}");
    gateway.with_key(&revoked);
    assert_eq!(gateway.get("/v1/models").await.0, 401);
    gateway.with_key(&kept);
    assert_eq!(gateway.get("/v1/models").await.0, 200);
}

#[tokio::test]
async fn a_rotated_key_overlaps_the_one_in_its_place_and_what_was_used_last_survives_a_restart() {
    let (builder, _, _hosts) = world().await;
    let (id, old) = key(&builder, &["--model", "qwen3-8b", "--expires", "90d"]);
    let mut gateway = builder.start();
    gateway.with_key(&old);
    assert_eq!(gateway.chat("own", "hi").await.0, 200);
    let (new_id, new) =
        told(gateway.command(&["keys", "rotate", &id, "--overlap", "1h", "--json", "--config", "pointsman.yaml"]));
    assert_eq!(gateway.send(tests::client().post(format!("{}/reload", gateway.admin))).await.0, 200);
    assert_eq!(gateway.chat("own", "hi").await.0, 200, "the old one is still good");
    gateway.with_key(&new);
    refused(&gateway, "/v1/chat/completions", &chat("qwen3-32b", "hi")).await;
    gateway.stop_and_restart();
    let keys = listed(&gateway);
    let told = |at: usize, name: &str| keys[at][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [told(0, "id"), told(0, "state"), told(0, "replaced_by")],
        [id.clone(), "replaced".to_owned(), new_id.clone()]
    );
    assert_eq!([told(1, "id"), told(1, "state"), told(1, "replaces")], [new_id, "active".to_owned(), id]);
    assert_eq!(keys[1]["scope"], json!({"models": ["qwen3-8b"]}));
    assert!(told(0, "last_used").ends_with('Z') && told(1, "last_used") >= told(0, "last_used"), "{keys:?}");
    let (_, text, _) = gateway.command(&["keys", "list", "--data-dir", "data", "--config", "pointsman.yaml"]);
    assert!(text.contains("expires in 59m") && text.contains("models qwen3-8b"), "{text}");
    let file = std::fs::read_to_string(gateway.folder().join("data/key-uses.json")).unwrap();
    assert!(!file.contains(&new[3..]) && file.contains(&told(1, "last_used")), "{file}");
}

#[tokio::test]
async fn a_key_is_told_what_it_may_use_what_it_owes_for_that_and_what_it_may_not() {
    let builder = pointsman().config(
        "keys: keys.yaml
entities: {acme: {seat: DE}}
contexts: {product: {entity: acme, use: revenue, exposure: public, end_users: [DE]}}
teams: {desk: {contexts: [product]}}
deployments:
  - {id: free, model: qwen3-32b, server: vllm, base_url: \"http://127.0.0.1:9/v1\"}
  - {id: owes, model: kimi-k2-instruct, server: vllm, base_url: \"http://127.0.0.1:9/v1\"}
  - {id: research, model: mistral-large-2, server: vllm, base_url: \"http://127.0.0.1:9/v1\"}
",
    );
    let key = builder.key("desk", "product");
    let mut gateway = builder.start();
    assert_eq!(gateway.get("/v1/whoami").await.0, 401);
    gateway.with_key(&key);
    let (status, told) = gateway.get("/v1/whoami").await;
    assert_eq!(status, 200);
    assert_eq!((&told["team"], &told["context"]), (&json!("desk"), &json!("product")));
    let usable: Vec<_> = told["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(usable, ["qwen3-32b", "kimi-k2-instruct"], "{told}");
    assert_eq!(told["models"][1]["show"], json!(["Kimi K2"]), "{told}");
    let refused = &told["refused"][0];
    assert_eq!((&refused["id"], &refused["tier"]), (&json!("mistral-large-2"), &json!(3)), "{told}");
    assert!(refused["reason"].as_str().unwrap().contains("mistral"), "{told}");
}
