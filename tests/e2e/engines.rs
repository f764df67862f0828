//! The engines of a build that has them all, each behind a deployment of its own.

use engine::testing::{Llama, Meta, Vocabulary};
use tests::chat;

use crate::pointsman;

const DEMO: &[u8] = include_bytes!("../../config/models/pointsman-demo.gguf");

/// A small file of random weights whose text splitter only llama.cpp knows.
fn only_llama_cpp() -> Vec<u8> {
    let mut file = Llama { vocabulary: Vocabulary::Bpe, context: 512, ..Llama::default() }.writer();
    file.set("tokenizer.ggml.pre", Meta::Text("deepseek-llm".into())).unset("general.base_model.count");
    file.finish()
}

const ROUTES: &str = "version: 1\nroutes:\n  - {name: ours, match: {model: ask-ours}, candidates: [ours]}\n  \
    - {name: theirs, match: {model: ask-theirs}, candidates: [theirs]}\n  \
    - {name: best, match: {model: ask-best}, candidates: [best]}\n  \
    - {name: other, match: {model: ask-other}, candidates: [other]}\n";

const CONFIG: &str = "policies: [routes.yaml]\ndiscover: false\ndeployments:\n  \
    - {id: ours, model: pointsman-demo, engine: native, path: models/demo.gguf}\n  \
    - {id: theirs, model: pointsman-demo, engine: llama-cpp, path: models/demo.gguf}\n  \
    - {id: best, model: pointsman-demo, engine: auto, path: models/demo.gguf}\n  \
    - {id: other, model: pointsman-demo, engine: auto, path: models/other.gguf}\n\
    contexts: {desk: {use: internal, exposure: internal, seat: KR}}\nteams: {desk: {contexts: [desk]}}\n\
    keys: keys.yaml\n";

#[tokio::test]
async fn each_engine_answers_and_auto_takes_what_reads_the_file_and_was_measured_fastest_and_says_why() {
    let builder = pointsman().file("routes.yaml", ROUTES).file("models/README", "").config(CONFIG);
    std::fs::write(builder.folder().join("models/demo.gguf"), DEMO).unwrap();
    std::fs::write(builder.folder().join("models/other.gguf"), only_llama_cpp()).unwrap();
    let builder = builder.file("request.json", &chat("ask-best", "hi").to_string());

    let why = |deployment: &str| {
        let (status, out, error) =
            builder.command(&["explain", "--request", "request.json", "--config", "pointsman.yaml", "--json"]);
        assert_eq!(status, 0, "{error}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        let engines = report["engines"].as_array().unwrap();
        let of = engines.iter().find(|one| one["deployment"] == deployment).unwrap();
        (of["engine"].as_str().unwrap().to_owned(), of["because"].as_str().unwrap().to_owned())
    };
    let (engine, because) = why("best");
    assert_eq!(engine, "native");
    assert!(because.contains("`pointsman bench engines` measures"), "{because}");
    let (engine, because) = why("other");
    assert_eq!(engine, "llama-cpp");
    assert!(because.contains("native does not read it") && because.contains("`deepseek-llm`"), "{because}");

    let bench =
        ["bench", "engines", "models/demo.gguf", "--prompt-tokens", "32", "--answer-tokens", "8", "--rounds", "1"];
    let (status, out, error) = builder.command(&[&bench[..], &["--config", "pointsman.yaml", "--json"]].concat());
    assert_eq!(status, 0, "{error}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let (engine, because) = why("best");
    assert_eq!(report["auto_takes"], engine, "{report}");
    assert!(because.contains("it is the fastest"), "{because}");

    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    for (model, deployment) in
        [("ask-ours", "ours"), ("ask-theirs", "theirs"), ("ask-best", "best"), ("ask-other", "other")]
    {
        let mut body = chat(model, "What is Pointsman?");
        body["temperature"] = 0.into();
        let response = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-pointsman-deployment"], deployment);
        let answer: serde_json::Value = response.json().await.unwrap();
        assert!(answer["usage"]["completion_tokens"].as_u64() > Some(0), "{answer}");
    }
    let (_, models) = gateway.get("/v1/models").await;
    let models = models["data"].as_array().unwrap();
    let demo = models.iter().find(|model| model["id"] == "pointsman-demo").unwrap();
    assert_eq!((&demo["engine"], &demo["license"]), (&"native".into(), &"apache-2.0".into()), "{demo}");
}
