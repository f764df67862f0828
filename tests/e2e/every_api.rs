//! What every API has to bear from its callers: bodies that come byte by byte, that are huge, deep, or not what they should
//! be. One table of the APIs, so that a new one is held to the same.

use scripted::{Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::pointsman;

/// Several scripts, several bytes a character.
const TEXT: &str = "日本語 한국어 é \u{1f980}\u{1f469}\u{200d}\u{1f52c}";

/// An API: its path, a good body whose text is `TEXT`, and the field that holds it.
fn apis() -> Vec<(&'static str, Value, &'static str)> {
    let turns = json!([{"role": "user", "content": TEXT}]);
    vec![
        ("/v1/chat/completions", json!({"model": "qwen3-32b", "messages": turns}), "messages"),
        ("/v1/completions", json!({"model": "qwen3-32b", "prompt": TEXT}), "prompt"),
        ("/v1/responses", json!({"model": "qwen3-32b", "input": TEXT}), "input"),
        ("/v1/messages", json!({"model": "qwen3-32b", "max_tokens": 50, "messages": turns}), "messages"),
        ("/v1/embeddings", json!({"model": "bge-m3", "input": TEXT}), "input"),
        ("/v1/rerank", json!({"model": "bge-reranker-v2-m3", "query": TEXT, "documents": [TEXT]}), "query"),
        ("/v1/moderations", json!({"model": "judge", "input": TEXT}), "input"),
        ("/v1/images/generations", json!({"model": "painter", "prompt": TEXT}), "prompt"),
        ("/v1/audio/speech", json!({"model": "speaker", "input": TEXT}), "input"),
        ("/tokenize", json!({"model": "qwen3-32b", "prompt": TEXT}), "prompt"),
        ("/detokenize", json!({"model": "qwen3-32b", "tokens": [1, 2]}), "tokens"),
    ]
}

/// A gateway before a scripted host that can do all of it, but for judging, which nothing here does.
async fn world() -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let model = |id: &str, task: &str| {
        format!(
            "  - {{id: {id}, name: {id}, family: own, developer: own, availability: downloadable, license: apache-2.0, \
             tier: 1, tasks: [{task}]}}\n"
        )
    };
    let models = format!(
        "models:\n{}{}{}",
        model("judge", "moderations"),
        model("painter", "images"),
        model("speaker", "speech")
    );
    let config = format!(
        "deployments:\n\
         - {{id: chat, model: qwen3-32b, server: vllm, base_url: \"{0}\", name: m, shared_cache: true}}\n\
         - {{id: vectors, model: bge-m3, server: vllm, base_url: \"{0}\", name: m}}\n\
         - {{id: ranker, model: bge-reranker-v2-m3, server: vllm, base_url: \"{0}\", name: m}}\n\
         - {{id: painter, model: painter, server: localai, base_url: \"{0}\", name: m}}\n\
         - {{id: speaker, model: speaker, server: localai, base_url: \"{0}\", name: m}}\n\
         - {{id: judge, model: judge, server: vllm, base_url: \"{0}\", name: m}}\n\
         catalog: [models.yaml]\ncontexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{desk: {{contexts: [desk]}}}}\nkeys: keys.yaml\n",
        host.base_url()
    );
    let builder = pointsman().file("models.yaml", &models).config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

/// The status that a good body gets: nothing here judges.
fn good(path: &str) -> u16 {
    if path == "/v1/moderations" { 400 } else { 200 }
}

async fn post(gateway: &Pointsman, path: &str, body: String) -> (u16, Value) {
    gateway.send(gateway.request("POST", path).header("content-type", "application/json").body(body)).await
}

/// The message of an error, in any of the shapes that errors have.
fn message(answer: &Value) -> String {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_the_same_as_one_that_comes_whole() {
    let (gateway, host) = world().await;
    for (path, body, _) in apis() {
        let body = body.to_string();
        let (status, _) = post(&gateway, path, body.clone()).await;
        assert_eq!(status, good(path), "{path}");
        let whole = host.requests().last().unwrap().body.clone();
        let mut stream = TcpStream::connect(gateway.client.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            gateway.key().unwrap(),
            body.len()
        );
        for byte in head.bytes().chain(body.bytes()) {
            stream.write_all(&[byte]).await.unwrap();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        // Sound comes in pieces, whose lengths may stand within a character.
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {}", good(path))), "{path}: {answer}");
        assert_eq!(host.requests().last().unwrap().body, whole, "{path}");
        if good(path) == 200 && path != "/detokenize" {
            assert!(String::from_utf8_lossy(&whole).contains(TEXT), "{path}: no character was split");
        }
    }
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_read_whole_and_a_prompt_of_that_size_is_refused_by_its_length() {
    let (gateway, host) = world().await;
    for (path, mut body, field) in apis() {
        body["x_large"] = "x".repeat(10 << 20).into();
        let (status, answer) = post(&gateway, path, body.to_string()).await;
        assert_eq!(status, good(path), "{path}: {}", answer.to_string().chars().take(500).collect::<String>());
        if ["/v1/chat/completions", "/v1/embeddings"].contains(&path) {
            assert!(host.requests().last().unwrap().body.len() > 10 << 20, "unknown fields reach the host: {path}");
        }
        let limited = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"];
        if limited.contains(&path) {
            let long = Value::from("word ".repeat(2 << 20));
            body[field] = if field == "messages" { json!([{"role": "user", "content": long}]) } else { long };
            let (status, answer) = post(&gateway, path, body.to_string()).await;
            assert_eq!(status, 400, "{path}");
            assert!(message(&answer).contains("context window"), "{path}: {}", message(&answer));
        }
    }
}

#[tokio::test]
async fn a_thousand_tools_reach_the_host_in_their_order() {
    let (gateway, host) = world().await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let names: Vec<String> = (0..1000).map(|n| format!("tool_{n}")).collect();
    for (path, mut body, _) in apis()
        .into_iter()
        .filter(|(_, body, field)| body["model"] == "qwen3-32b" && *field != "prompt" && *field != "tokens")
    {
        let tool = |name: &String| match path {
            "/v1/messages" => json!({"name": name, "input_schema": schema}),
            "/v1/responses" => json!({"type": "function", "name": name, "parameters": schema}),
            _ => json!({"type": "function", "function": {"name": name, "parameters": schema}}),
        };
        body["tools"] = names.iter().map(tool).collect();
        let (status, answer) = post(&gateway, path, body.to_string()).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let sent: Value = serde_json::from_slice(&host.requests().last().unwrap().body).unwrap();
        let sent: Vec<&str> =
            sent["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
        assert_eq!(sent, names, "{path}");
    }
}

#[tokio::test]
async fn what_is_deep_twofold_or_of_another_type_is_refused_with_the_path_of_the_field() {
    let (gateway, host) = world().await;
    for (path, body, field) in apis() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = body.to_string();
        let cases = [
            (text.replacen('{', &format!("{{\"{field}\":{deep},"), 1), None),
            (text.replacen('{', "{\"model\":\"other\",", 1), None),
            (with(&body, "model", json!(7)), Some("model")),
            (with(&body, "model", Value::Null), Some("model")),
            (with(&body, field, json!({"a": {"b": 1}})), Some(field)),
            (with(&body, field, Value::Null), Some(field)),
            ("[1]".to_owned(), None),
            ("{".to_owned(), None),
        ];
        for (number, (wrong, param)) in cases.into_iter().enumerate() {
            let (status, answer) = post(&gateway, path, wrong).await;
            assert_eq!(status, 400, "{path}, case {number}: {answer}");
            if let Some(param) = param {
                assert!(message(&answer).contains(&format!("`{param}")), "{path}, case {number}: {answer}");
            }
        }
    }
    assert_eq!(host.requests().len(), 0, "none of it went out");
}

fn with(body: &Value, field: &str, value: Value) -> String {
    let mut body = body.clone();
    body[field] = value;
    body.to_string()
}

#[tokio::test]
async fn every_path_of_the_openapi_document_is_served() {
    let (gateway, _host) = world().await;
    let (status, document) = gateway.get("/openapi.json").await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let (status, answer) =
                gateway.send(gateway.request(&method.to_uppercase(), &path.replace("{id}", "x"))).await;
            let code = &answer["error"]["code"];
            assert!(status != 405 && code != "unknown_path", "{method} {path}: {status} {answer}");
        }
    }
    for (path, ..) in apis() {
        assert!(paths.contains_key(path), "{path}");
    }
}
