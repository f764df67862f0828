//! The engines of a build that has them all, each behind a deployment of its own.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use engine::testing::{self, Bert, Clip, Llama, Meta, Projection, Vocabulary};
use serde_json::{Value, json};
use tests::chat;

use crate::pointsman;

const DEMO: &[u8] = include_bytes!("../../config/models/pointsman-demo.gguf");

/// A small model of random weights.
fn small() -> Llama {
    Llama { vocabulary: Vocabulary::Bpe, context: 512, ..Llama::default() }
}

/// A small file of random weights whose text splitter only llama.cpp knows.
fn only_llama_cpp() -> Vec<u8> {
    let mut file = small().writer();
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

const MODELS: &str = "\
models:
  - {id: acme-support-lora, name: Acme Support, family: acme, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1, parents: [{of: qwen3-8b, by: adapter}]}
  - {id: acme-sales-lora, name: Acme Sales, family: acme, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1, parents: [{of: qwen3-8b, by: adapter}]}
";

/// A gateway with models of its own that make vectors, order documents and write, the last also with an adapter over it.
fn search() -> tests::Pointsman {
    let config = "discover: false\ncatalog: [models.yaml]\ndeployments:\n  \
        - {id: vectors, model: bge-m3, engine: auto, path: models/vectors.gguf, load: demand}\n  \
        - {id: order, model: bge-reranker-v2-m3, engine: llama-cpp, path: models/order.gguf}\n  \
        - {id: base, model: qwen3-8b, engine: llama-cpp, path: models/base.gguf}\n  \
        - {id: adapted, model: acme-support-lora, engine: auto, path: models/base.gguf, adapter: models/lora.gguf, load: demand}\n  \
        - {id: other, model: acme-sales-lora, engine: llama-cpp, path: models/base.gguf, adapter: models/lora.gguf, load: demand}\n\
        contexts: {desk: {use: internal, exposure: internal, seat: KR}}\nteams: {desk: {contexts: [desk]}}\n\
        keys: keys.yaml\n";
    let builder = pointsman().file("models.yaml", MODELS).file("models/.keep", "").config(config);
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(builder.folder().join(name), bytes).unwrap();
    write("models/vectors.gguf", Bert::default().build());
    let mut order = Bert { pooling: Some(4), ..Bert::default() }.writer();
    order.set("general.license", Meta::Text("apache-2.0".into()));
    write("models/order.gguf", order.finish());
    let base = Llama { context: 512, ..Llama::default() };
    let mut writer = base.writer();
    writer.unset("general.base_model.count");
    write("models/base.gguf", writer.finish());
    write("models/lora.gguf", base.adapter(4, 1).finish());
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    gateway
}

#[tokio::test]
async fn a_file_that_makes_vectors_and_one_that_orders_documents_are_asked_for_that_and_for_nothing_else() {
    let gateway = search();
    let body = json!({"model": "bge-m3", "input": ["hello", "the model is a licence", "hello"]});
    let response = gateway.request("POST", "/v1/embeddings").json(&body).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-pointsman-deployment"]),
        (200, &"vectors".parse().unwrap())
    );
    let answer: Value = response.json().await.unwrap();
    let vectors: Vec<Vec<f64>> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| serde_json::from_value(one["embedding"].clone()).unwrap())
        .collect();
    let cosine = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum::<f64>();
    assert!((cosine(0, 0) - 1.0).abs() < 1e-4 && (cosine(0, 2) - 1.0).abs() < 1e-3 && cosine(0, 1) < 0.99);
    // A token that begins and one that ends each of them, the word, and five words.
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3 + 7 + 3, "total_tokens": 13}));
    let outcome = tests::until(|| gateway.ledger().into_iter().rev().find(|record| record["kind"] == "outcome")).await;
    assert_eq!(outcome["prompt_tokens"], 13, "{outcome}");
    let (status, error) =
        gateway.post("/v1/embeddings", &json!({"model": "bge-m3", "input": "hello", "dimensions": 8})).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("dimensions")), "{error}");

    let body = json!({"model": "bge-reranker-v2-m3", "query": "hello", "documents": ["a", {"text": "the model"}, "is"],
        "top_n": 2, "return_documents": true});
    let (status, answer) = gateway.post("/v1/rerank", &body).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    assert!(results.len() == 2 && results[0]["document"]["text"].is_string(), "{answer}");
    assert!(results[0]["relevance_score"].as_f64() >= results[1]["relevance_score"].as_f64(), "{answer}");

    for model in ["bge-m3", "bge-reranker-v2-m3"] {
        let (status, error) = gateway.chat(model, "hi").await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
    }
    for (path, body) in [
        ("/v1/embeddings", json!({"model": "qwen3-8b", "input": "x"})),
        ("/v1/embeddings", json!({"model": "bge-reranker-v2-m3", "input": "x"})),
        ("/v1/rerank", json!({"model": "bge-m3", "query": "q", "documents": ["x"]})),
    ] {
        let (status, error) = gateway.post(path, &body).await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
    }
    let (status, told) = gateway.post("/tokenize", &json!({"model": "bge-m3", "prompt": "the model"})).await;
    assert_eq!((status, &told["count"]), (200, &json!(4)), "{told}");
}

#[tokio::test]
async fn an_adapter_over_a_file_is_a_model_of_its_own_that_writes_otherwise_than_its_base() {
    let gateway = search();
    let text = async |model: &str| {
        let body = json!({"model": model, "prompt": "the model", "temperature": 0, "max_tokens": 20});
        let (status, answer) = gateway.post("/v1/completions", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["text"].as_str().unwrap().to_owned()
    };
    let (base, adapted) = (text("qwen3-8b").await, text("acme-support-lora").await);
    assert_ne!(base, adapted);
    assert_eq!(text("acme-support-lora").await, adapted);
    // The one is computed by `native`, which `auto` takes, the other by `llama-cpp`.
    assert_eq!(text("acme-sales-lora").await, adapted);
}

/// A gateway with a model that reads pictures at one of its deployments, and one that reads none.
fn vision() -> tests::Pointsman {
    let config = "discover: false\ndeployments:\n  \
        - {id: blind, model: qwen3-8b, engine: native, path: models/base.gguf}\n  \
        - {id: sees, model: qwen3-8b, engine: auto, path: models/base.gguf, mmproj: models/mmproj.gguf, load: demand}\n  \
        - {id: other, model: qwen3-4b, engine: llama-cpp, path: models/base.gguf}\n  \
        - {id: whole, model: qwen3-1.7b, engine: auto, path: models/whole, load: demand}\n\
        contexts: {desk: {use: internal, exposure: internal, seat: KR}}\nteams: {desk: {contexts: [desk]}}\n\
        keys: keys.yaml\n";
    let builder = pointsman().file("models/whole/.keep", "").config(config);
    let model = Llama { architecture: "gemma3", tied: true, layers: 6, ..small() };
    let projector = Clip { projection: Projection::Gemma3, ..Clip::default() };
    mistralrs_engine::testing::seeing(&model, &projector, &builder.folder().join("models/whole"));
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(builder.folder().join(name), bytes).unwrap();
    let mut base = Llama { context: 512, ..Llama::default() }.writer();
    write("models/base.gguf", base.unset("general.base_model.count").finish());
    write("models/mmproj.gguf", Clip::default().build());
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    gateway
}

#[tokio::test]
async fn a_picture_is_read_by_the_deployment_with_a_projector_in_every_api_and_by_no_other() {
    let gateway = vision();
    let base64 = |number| BASE64_STANDARD.encode(testing::picture(40, 30, number));
    let url = |number| format!("data:image/png;base64,{}", base64(number));
    let ask = |model: &str, url: &str| {
        let content = json!([{"type": "text", "text": "the "}, {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "?"}]);
        json!({"model": model, "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 12,
            "logprobs": true, "top_logprobs": 3})
    };
    let response = gateway.request("POST", "/v1/chat/completions").json(&ask("qwen3-8b", &url(1)));
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-pointsman-deployment"], "sees");
    let whole: Value = response.json().await.unwrap();
    let tokens = whole["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(tokens > u64::from(Clip::default().tokens()), "{whole}");
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty());

    let mut streamed = ask("qwen3-8b", &url(1));
    streamed["stream"] = true.into();
    let response = gateway.request("POST", "/v1/chat/completions").json(&streamed).send().await.unwrap();
    let body = response.text().await.unwrap();
    let chunks = body.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let pieces = chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()));
    assert_eq!(pieces.collect::<String>(), text);
    let (_, other) = gateway.post("/v1/chat/completions", &ask("qwen3-8b", &url(2))).await;
    assert_eq!(other["usage"]["prompt_tokens"], tokens);
    assert_ne!(other["choices"][0]["logprobs"], whole["choices"][0]["logprobs"]);

    let source = json!({"type": "base64", "media_type": "image/png", "data": base64(1)});
    let content =
        json!([{"type": "text", "text": "the "}, {"type": "image", "source": source}, {"type": "text", "text": "?"}]);
    let body = json!({"model": "qwen3-8b", "max_tokens": 12, "messages": [{"role": "user", "content": content}]});
    let (status, answer) = gateway.post("/v1/messages", &body).await;
    let usage = |name: &str| answer["usage"][name].as_u64().unwrap_or(0);
    assert_eq!((status, usage("input_tokens") + usage("cache_read_input_tokens")), (200, tokens), "{answer}");
    let content = json!([{"type": "input_text", "text": "the "}, {"type": "input_image", "image_url": url(1)},
        {"type": "input_text", "text": "?"}]);
    let body = json!({"model": "qwen3-8b", "max_output_tokens": 12, "input": [{"role": "user", "content": content}]});
    let (status, answer) = gateway.post("/v1/responses", &body).await;
    assert_eq!((status, answer["usage"]["input_tokens"].as_u64()), (200, Some(tokens)), "{answer}");

    for (url, why) in [
        ("data:image/png;base64,aGVsbG8=", "is no picture that is read here; expected PNG, JPEG, WebP or GIF"),
        ("data:image/png;base64,a", "is a data URL whose base64 is damaged"),
        ("https://example.com/a.png", "is an address, and a model in this process fetches nothing"),
    ] {
        let (status, error) = gateway.post("/v1/chat/completions", &ask("qwen3-8b", url)).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("the picture at messages[0].content[1] ") && message.contains(why), "{message}");
        assert_eq!((status, &error["error"]["param"]), (400, &json!("messages")), "{error}");
    }
    let (status, error) = gateway.post("/v1/chat/completions", &ask("qwen3-4b", &url(1))).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("no_model_fits")), "{error}");
    let (status, _) = gateway.chat("qwen3-4b", "hi").await;
    assert_eq!(status, 200);

    // A folder of safetensors has what reads pictures among its weights.
    let logprobs = async |number| {
        let (status, answer) = gateway.post("/v1/chat/completions", &ask("qwen3-1.7b", &url(number))).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["logprobs"].clone()
    };
    assert_ne!(logprobs(1).await, logprobs(2).await);
    let mut two = ask("qwen3-1.7b", &url(1));
    let content = two["messages"][0]["content"].as_array_mut().unwrap();
    content.push(content[1].clone());
    let (status, error) = gateway.post("/v1/chat/completions", &two).await;
    let message = error["error"]["message"].as_str().unwrap();
    assert!(status == 400 && message.contains("`engine: llama-cpp`"), "{error}");
}

#[tokio::test]
async fn a_folder_with_three_kinds_of_models_is_served_each_by_the_engine_that_reads_it_and_the_unknown_is_not() {
    let builder = pointsman().file("models/unheard-of/README.md", "");
    let models = builder.folder().join("models");
    std::fs::write(models.join("Qwen3-0.6B-Q8_0.gguf"), small().build()).unwrap();
    std::fs::write(models.join("qwen3-1.7b.gguf"), only_llama_cpp()).unwrap();
    std::fs::write(models.join("mine.gguf"), small().build()).unwrap();
    let folder = models.join("Qwen3-4B");
    std::fs::create_dir(&folder).unwrap();
    mistralrs_engine::testing::write(&small(), &folder);
    let served = [
        ("qwen3-0.6b", "Qwen3-0.6B-Q8_0", "native"),
        ("qwen3-1.7b", "qwen3-1.7b", "llama-cpp"),
        ("qwen3-4b", "Qwen3-4B", "mistralrs"),
    ];

    let builder = builder.file("request.json", &chat("qwen3-4b", "hi").to_string());
    let explain = ["explain", "--request", "request.json", "--models", "models", "--json"];
    let (status, out, error) = builder.command(&explain);
    assert_eq!(status, 0, "{error}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let why = |deployment: &str| {
        let engines = report["engines"].as_array().unwrap();
        let of = engines.iter().find(|one| one["deployment"] == deployment).unwrap();
        (of["engine"].as_str().unwrap().to_owned(), of["because"].as_str().unwrap().to_owned())
    };
    for (_, deployment, engine) in served {
        assert_eq!(why(deployment).0, engine, "{report}");
    }
    assert!(why("qwen3-1.7b").1.contains("native does not read it"), "{report}");
    let whole = why("Qwen3-4B").1;
    assert!(whole.contains("native does not read it: it reads GGUF files") && whole.ends_with("the one that reads it"));

    let gateway = builder.env("POINTSMAN_MODELS", "models").start();
    for line in [
        "mine        the catalog knows no model of its name, and unknown is denied",
        "unheard-of  the folder has neither `config.json`",
    ] {
        let (name, why) = line.split_once("  ").unwrap();
        let told = gateway.banner.lines().any(|line| line.contains(name) && line.contains(why.trim_start()));
        assert!(told, "{line}: {}", gateway.banner);
    }
    let (_, listed) = gateway.get("/v1/models").await;
    for (model, deployment, engine) in served {
        let listed = listed["data"].as_array().unwrap();
        let of = listed.iter().find(|one| one["id"] == model).unwrap_or_else(|| panic!("{model}: {listed:?}"));
        assert_eq!((&of["engine"], &of["license"]), (&engine.into(), &"apache-2.0".into()), "{of}");
        let request = gateway.request("POST", "/v1/chat/completions").json(&chat(model, "hello"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{model}: {}", gateway.log());
        assert_eq!(response.headers()["x-pointsman-deployment"], deployment);
        let answer: serde_json::Value = response.json().await.unwrap();
        assert!(answer["usage"]["completion_tokens"].as_u64() > Some(0), "{answer}");
    }
    assert!(!gateway.log().contains("mistralrs_core"), "{}", gateway.log());
}

#[tokio::test]
async fn an_adapter_over_a_folder_is_a_folder_and_is_refused_over_and_as_anything_else() {
    let config = "discover: false\nkeys: keys.yaml\ncatalog: [models.yaml]\ndeployments:\n  \
        - {id: base, model: qwen3-8b, engine: mistralrs, path: models/whole}\n  \
        - {id: adapted, model: acme-support-lora, engine: auto, path: models/whole, adapter: models/lora}\n\
        contexts: {desk: {use: internal, exposure: internal, seat: KR}}\nteams: {desk: {contexts: [desk]}}\n";
    let builder = pointsman().file("models.yaml", MODELS).file("models/whole/LICENSE", "");
    let builder = builder.file("models/lora/.keep", "").config(config);
    let models = builder.folder().join("models");
    mistralrs_engine::testing::write(&small(), &models.join("whole"));
    mistralrs_engine::testing::adapter(&small(), &models.join("lora"), 0.5);
    std::fs::write(models.join("base.gguf"), small().build()).unwrap();
    for (engine, path, adapter, why) in [
        ("mistralrs", "models/whole", "models/base.gguf", "is a folder with `adapter_config.json`"),
        ("mistralrs", "models/base.gguf", "models/lora", "puts an adapter on a safetensors folder"),
        ("mistralrs", "models/whole", "models/whole", "there is no `"),
        ("llama-cpp", "models/base.gguf", "models/lora", "an adapter of `llama-cpp` is a GGUF file"),
        ("native", "models/base.gguf", "models/lora", "an adapter of `native` is a GGUF file"),
        ("native", "models/base.gguf", "models/base.gguf", "expected `adapter`"),
    ] {
        let other = format!("{{id: a, model: acme-support-lora, engine: {engine}, path: {path}, adapter: {adapter}}}");
        std::fs::write(
            builder.folder().join("other.yaml"),
            format!("discover: false\ncatalog: [models.yaml]\ndeployments: [{other}]\n"),
        )
        .unwrap();
        let (status, out, error) = builder.command(&["check", "--config", "other.yaml"]);
        assert!(status != 0 && (out.clone() + &error).contains("[wrong-adapter]"), "{out}{error}");
        assert!((out.clone() + &error).contains(why), "{out}{error}");
    }
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let text = async |model: &str| {
        let body = json!({"model": model, "prompt": "the model", "temperature": 0, "max_tokens": 20});
        let (status, answer) = gateway.post("/v1/completions", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_ne!(text("qwen3-8b").await, text("acme-support-lora").await);
}

#[tokio::test]
async fn safetensors_are_quantised_while_they_are_loaded_where_a_deployment_says_so() {
    let model = Llama { width: 256, feed_forward: 256, ..small() };
    let config = "discover: false\nkeys: keys.yaml\ndeployments:\n  \
        - {id: packed, model: qwen3-4b, engine: auto, path: models/whole, isq: Q8_0}\n\
        contexts: {desk: {use: internal, exposure: internal, seat: KR}}\nteams: {desk: {contexts: [desk]}}\n";
    let builder = pointsman().file("models/whole/LICENSE", "").config(config);
    mistralrs_engine::testing::write(&model, &builder.folder().join("models/whole"));
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let (status, answer) = gateway.post("/v1/chat/completions", &chat("qwen3-4b", "hello")).await;
    assert_eq!(status, 200, "{answer}");
    let (status, out, error) = {
        let builder = pointsman().file("model.gguf", "").config(
            &config
                .replace("path: models/whole, isq: Q8_0", "path: model.gguf, isq: Q8_0")
                .replace("auto", "mistralrs"),
        );
        builder.command(&["check", "--config", "pointsman.yaml"])
    };
    assert_eq!(status, 1);
    let told = out + &error;
    assert!(told.contains("`isq`: a file is quantised as it is"), "{told}");
}
