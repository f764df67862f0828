//! What a model is asked for beside text: vectors, the order of documents, judgements, pictures, tokens. Over hosts that keep
//! to their API and over some that do not, through the same plans, licences and records as a chat.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::multipart::{Form, Part};
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

const POLICY: &str = "\
version: 1
routes:
  - {name: search, match: {model: auto, needs: [embeddings]}, candidates: [bge-m3, any]}
  - {name: rest, match: {model: auto}, candidates: [any]}
";

const MODELS: &str = "\
models:
  - {id: acme-judge, name: Acme Judge, family: acme, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1, tasks: [moderations]}
  - {id: acme-painter, name: Acme Painter, family: acme, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1, tasks: [images]}
  - {id: acme-speaker, name: Acme Speaker, family: acme, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1, tasks: [speech]}
  - {id: acme-support-lora, name: Acme Support, family: acme, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1, parents: [{of: qwen3-8b, by: adapter}]}
";

/// A gateway with a chat model, two of vectors (the first `first`), two that rank, and others, all at one scripted host.
async fn world(first: &str, ranker: &str) -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments:\n\
         - {{id: chat, model: qwen3-8b, server: vllm, base_url: \"{0}\", name: chat}}\n\
         - {{id: vectors, model: bge-m3, server: vllm, base_url: \"{0}\", name: {first}}}\n\
         - {{id: more-vectors, model: qwen3-embedding-0.6b, server: vllm, base_url: \"{0}\", name: good}}\n\
         - {{id: forbidden, model: jina-embeddings-v3, server: vllm, base_url: \"{0}\", name: good}}\n\
         - {{id: ranker, model: bge-reranker-v2-m3, server: llama.cpp, base_url: \"{0}\", name: {ranker}}}\n\
         - {{id: judge, model: acme-judge, server: vllm, base_url: \"{0}\", name: judge}}\n\
         - {{id: painter, model: acme-painter, server: localai, base_url: \"{0}\", name: painter}}\n\
         - {{id: speaker, model: acme-speaker, server: localai, base_url: \"{0}\", name: voice}}\n\
         - {{id: listener, model: whisper-large-v3, server: vllm, base_url: \"{0}\", name: ears}}\n\
         - {{id: adapted, model: acme-support-lora, server: sglang, base_url: \"{0}\", adapter: support}}\n\
         - {{id: demo, model: pointsman-demo, engine: native}}\n\
         catalog: [models.yaml]\npolicies: [policy.yaml]\n\
         contexts: {{shop: {{use: revenue, exposure: public, seat: DE}}}}\nteams: {{shop: {{contexts: [shop]}}}}\n\
         keys: keys.yaml\n",
        host.base_url(),
    );
    let builder = pointsman().file("policy.yaml", POLICY).file("models.yaml", MODELS).config(&config);
    let key = builder.key("shop", "shop");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

fn vectors(answer: &Value) -> Vec<Vec<f32>> {
    let numbers = |item: &Value| match &item["embedding"] {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).unwrap();
            bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
        }
        list => serde_json::from_value(list.clone()).unwrap(),
    };
    answer["data"].as_array().unwrap().iter().map(numbers).collect()
}

#[tokio::test]
async fn vectors_come_in_the_form_that_was_asked_for_also_from_a_host_that_knows_only_one() {
    for name in ["good", "floats"] {
        let (gateway, host) = world(name, "ranker").await;
        let body = json!({"model": "auto", "input": ["one", "two"]});
        let (status, floats) = gateway.post("/v1/embeddings", &body).await;
        assert_eq!((status, &floats["object"]), (200, &json!("list")), "{floats}");
        let mut body = body;
        body["encoding_format"] = "base64".into();
        let (status, base64) = gateway.post("/v1/embeddings", &body).await;
        assert!(status == 200 && base64["data"][0]["embedding"].is_string(), "{base64}");
        assert_eq!(vectors(&floats), vectors(&base64), "{name}");
        let sent: Value = serde_json::from_slice(&host.requests()[1].body).unwrap();
        assert_eq!(sent, json!({"model": name, "input": ["one", "two"], "encoding_format": "base64"}));
    }
}

#[tokio::test]
async fn tokens_are_embedded_and_sizes_that_a_host_ignores_come_from_another_or_not_at_all() {
    let (gateway, _host) = world("fixed", "ranker").await;
    let (status, answer) = gateway.post("/v1/embeddings", &json!({"model": "auto", "input": [[1, 2], [3]]})).await;
    assert_eq!((status, vectors(&answer).len()), (200, 2), "{answer}");
    let (status, answer) =
        gateway.post("/v1/embeddings", &json!({"model": "auto", "input": "x", "dimensions": 16})).await;
    assert_eq!((status, vectors(&answer)[0].len()), (200, 16), "the next candidate has them: {answer}");
    let (status, error) =
        gateway.post("/v1/embeddings", &json!({"model": "bge-m3", "input": "x", "dimensions": 16})).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("dimensions")), "{error}");
}

#[tokio::test]
async fn each_request_reaches_only_models_that_do_what_it_asks_for_and_whose_licence_allows_it() {
    let (gateway, _host) = world("good", "ranker").await;
    let (status, answer) = gateway.chat("auto", "hi").await;
    assert_eq!((status, &answer["object"]), (200, &json!("chat.completion")), "{answer}");
    let (status, error) = gateway.post("/v1/embeddings", &json!({"model": "qwen3-8b", "input": "x"})).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains("embeddings"), "{error}");
    let (status, error) = gateway.chat("bge-m3", "hi").await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
    let (status, error) = gateway.post("/v1/embeddings", &json!({"model": "jina-embeddings-v3", "input": "x"})).await;
    assert_eq!((status, &error["error"]["code"]), (403, &json!("license_forbids_use")), "{error}");
    let decisions: Vec<Value> = gateway.ledger().into_iter().filter(|record| record["kind"] == "decision").collect();
    assert_eq!(decisions[1]["api"], "embeddings");
    let (status, answer) = gateway.post("/v1/embeddings", &json!({"model": "auto", "input": "x"})).await;
    assert_eq!(status, 200, "{answer}");
    let decision = gateway.ledger().into_iter().rev().find(|record| record["kind"] == "decision").unwrap();
    assert_eq!((&decision["route"], &decision["asked"]["needs"]), (&json!("search"), &json!(["embeddings"])));
    let request = decision["request"].as_str().unwrap().to_owned();
    let outcome = gateway.outcome(&request).await;
    assert_eq!((&outcome["status"], &outcome["prompt_tokens"]), (&json!("completed"), &json!(1)));
    assert_eq!(outcome["tried"][0]["host_request"], "host-2", "what the host calls it: {outcome}");
}

#[tokio::test]
async fn documents_come_the_best_first_in_one_shape_whatever_the_servers_is() {
    let body = json!({"model": "auto", "query": "red fish", "documents": ["a dog", {"text": "a red fish"}, "red"],
        "top_n": 2, "return_documents": true});
    for name in ["ranker", "bare"] {
        let (gateway, host) = world("good", name).await;
        for path in ["/v1/rerank", "/v2/rerank", "/rerank"] {
            let (status, answer) = gateway.post(path, &body).await;
            assert_eq!(status, 200, "{answer}");
            let results = answer["results"].as_array().unwrap();
            let order: Vec<&Value> = results.iter().map(|result| &result["index"]).collect();
            assert_eq!(order, [2, 1], "{answer}");
            assert_eq!(results[1]["document"], json!({"text": "a red fish"}));
        }
        let sent: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_eq!(sent["documents"], json!(["a dog", "a red fish", "red"]), "texts, which every server reads");
    }
}

#[tokio::test]
async fn texts_are_judged_and_pictures_made_by_models_that_do_that() {
    let (gateway, _host) = world("good", "ranker").await;
    let (status, error) =
        gateway.post("/v1/moderations", &json!({"model": "acme-judge", "input": "kill the process"})).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "vLLM has no such path: {error}");
    let (status, answer) =
        gateway.post("/v1/images/generations", &json!({"model": "auto", "prompt": "a cat", "n": 2})).await;
    assert_eq!((status, answer["data"].as_array().map(Vec::len)), (200, Some(2)), "{answer}");
    let (status, error) =
        gateway.post("/v1/images/generations", &json!({"model": "auto", "prompt": "a cat", "stream": true})).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("stream")), "{error}");
}

#[tokio::test]
async fn speech_comes_as_sound_and_sound_becomes_text_by_models_that_do_that() {
    let (gateway, host) = world("good", "ranker").await;
    let body = json!({"model": "auto", "input": "hello", "voice": "alloy"});
    let response = gateway.request("POST", "/v1/audio/speech").json(&body).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (200.try_into().unwrap(), &"audio/mpeg".parse().unwrap())
    );
    assert_eq!(response.bytes().await.unwrap(), r#"{"sound":"hello"}"#);

    let sound = [0_u8, 255, 13, 10, 45, 45].repeat(50_000);
    let form = |model: &str| {
        let file = Part::bytes(sound.clone()).file_name("a.wav").mime_str("audio/wav").unwrap();
        Form::new().text("model", model.to_owned()).part("file", file).text("language", "ko")
    };
    let (status, told) =
        gateway.send(gateway.request("POST", "/v1/audio/transcriptions").multipart(form("auto"))).await;
    assert_eq!((status, &told["text"]), (200, &json!("scripted transcript")), "{told}");
    let seen = host.requests().last().unwrap().clone();
    assert!(seen.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary="));
    assert!(seen.body.windows(sound.len()).any(|window| window == sound), "the sound is the caller's");
    assert!(String::from_utf8_lossy(&seen.body).contains("name=\"model\"\r\n\r\nears\r\n"), "the host's own name");
    let (status, error) =
        gateway.send(gateway.request("POST", "/v1/audio/transcriptions").multipart(form("qwen3-8b"))).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
    let (status, error) = gateway.chat("whisper-large-v3", "hi").await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
}

#[tokio::test]
async fn sound_goes_out_as_it_comes_and_what_breaks_off_breaks_the_connection() {
    let (gateway, host) = world("good", "ranker").await;
    let body = json!({"model": "auto", "input": "a longer text than before", "voice": "alloy"});
    let ask = || gateway.request("POST", "/v1/audio/speech").json(&body).send();

    host.script_next(Fault::StallAfter(1));
    let mut response = ask().await.unwrap();
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    let first = response.chunk().await.unwrap().unwrap();
    assert!(!first.is_empty() && host.running() == 1, "the rest has not come yet");
    drop(response);
    host.until_running(0).await;

    host.script_next(Fault::CutAfter(2));
    let response = ask().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "half of a text is not a whole one");
    let broken = tests::until(|| gateway.ledger().into_iter().find(|record| record["status"] == "broken")).await;
    assert_eq!(broken["kind"], "outcome");

    host.script_next(Fault::CutAfter(0));
    let response = ask().await.unwrap();
    assert_eq!(response.status(), 502, "nothing has been said yet, so it can be told");
}

#[tokio::test]
async fn a_host_that_fails_is_replaced_as_for_a_chat() {
    let (gateway, host) = world("good", "ranker").await;
    host.script_next(Fault::Status(500, None));
    let response =
        gateway.request("POST", "/v1/embeddings").json(&json!({"model": "auto", "input": "x"})).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-pointsman-deployment"], "more-vectors");
    host.script_next(Fault::EmptyStream);
    let (status, error) = gateway.post("/v1/embeddings", &json!({"model": "bge-m3", "input": "x"})).await;
    assert_eq!((status, &error["error"]["code"]), (502, &json!("backend.broken_stream")), "{error}");
}

#[tokio::test]
async fn tokens_are_told_by_the_engine_in_the_process_and_by_servers() {
    let (gateway, host) = world("good", "ranker").await;
    let (status, told) =
        gateway.post("/tokenize", &json!({"model": "pointsman-demo", "prompt": "Which licence has Llama 3?"})).await;
    assert!(status == 200 && told["count"].as_u64().unwrap() > 3, "{told}");
    assert_eq!(told["tokens"].as_array().unwrap().len() as u64, told["count"].as_u64().unwrap());
    let (status, text) =
        gateway.post("/detokenize", &json!({"model": "pointsman-demo", "tokens": told["tokens"]})).await;
    assert!(status == 200 && text["prompt"].as_str().unwrap().contains("Which licence has Llama 3?"), "{text}");
    let turns = json!([{"role": "user", "content": "Which licence has Llama 3?"}]);
    let (status, chat) = gateway.post("/tokenize", &json!({"model": "pointsman-demo", "messages": turns})).await;
    assert!(status == 200 && chat["count"].as_u64() > told["count"].as_u64(), "with its template: {chat}");
    let info = |query: &str| gateway.request("GET", &format!("/tokenizer_info{query}"));
    let (status, told) = gateway.send(info("?model=pointsman-demo")).await;
    assert_eq!((status, told["vocab_size"].as_u64().is_some_and(|size| size > 100)), (200, true), "{told}");
    assert!(told["chat_template"].as_str().is_some_and(|template| template.contains("messages")), "{told}");
    let (status, told) = gateway.send(info("?model=qwen3-8b")).await;
    assert_eq!((status, &told["tokenizer_class"]), (200, &json!("Scripted")), "as the server tells it: {told}");
    let (status, error) = gateway.send(info("")).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("model")), "{error}");
    let (status, error) = gateway.post("/detokenize", &json!({"model": "pointsman-demo", "tokens": [4_000_000]})).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("tokens")), "{error}");
    let (status, told) = gateway.post("/tokenize", &json!({"model": "qwen3-8b", "prompt": "one two"})).await;
    assert_eq!((status, &told["tokens"]), (200, &json!([3, 3])), "{told}");
    let sent: Value = serde_json::from_slice(&host.requests().last().unwrap().body).unwrap();
    assert_eq!(sent, json!({"model": "chat", "prompt": "one two", "add_special_tokens": true}));
}

#[tokio::test]
async fn an_adapter_is_named_as_its_server_wants_it_and_by_nobody_else() {
    let (gateway, host) = world("good", "ranker").await;
    let (status, answer) = gateway.chat("acme-support-lora", "hi").await;
    assert_eq!(status, 200, "{answer}");
    let sent: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
    assert_eq!((&sent["model"], &sent["lora_path"]), (&json!("Qwen/Qwen3-8B"), &json!("support")));
    for field in ["lora_path", "adapter_id", "adapters", "lora"] {
        let mut body = tests::chat("qwen3-8b", "hi");
        body[field] = "mine".into();
        let (status, error) = gateway.post("/v1/chat/completions", &body).await;
        assert_eq!((status, &error["error"]["param"]), (400, &json!(field)), "{error}");
    }
}

#[tokio::test]
async fn an_adapter_that_no_licence_is_known_of_or_no_request_can_name_is_refused_at_the_start() {
    let refused = |deployment: &str| {
        let config = format!("deployments: [{deployment}]\ncatalog: [models.yaml]\n");
        pointsman().file("models.yaml", MODELS).config(&config).refused()
    };
    let at = |model: &str, rest: &str| {
        refused(&format!("{{id: a, model: {model}, base_url: \"http://127.0.0.1:1/v1\", {rest}}}"))
    };
    assert!(at("qwen3-8b", "server: vllm, adapter: x").contains("[not-an-adapter]"));
    assert!(at("acme-support-lora", "server: ollama, adapter: x").contains("[no-adapters]"));
    assert!(at("acme-support-lora", "server: vllm, adapter: x, name: y").contains("[two-names]"));
    assert!(at("acme-support-lora", "server: llama.cpp, adapter: x").contains("is no number"));
    let ours = refused("{id: a, model: acme-support-lora, engine: native, path: models.yaml, adapter: models.yaml}");
    assert!(ours.contains("[wrong-adapter]") && ours.contains("models.yaml"), "{ours}");
}
