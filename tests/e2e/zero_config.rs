//! One command, nothing configured.

use serde_json::{Value, json};
use tests::chat;

use crate::pointsman;

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_start_up_block_says_what_is_live_and_what_is_missing() {
    let gateway = pointsman().start();
    for part in ["/v1", "auto", "demo", "groq", "set GROQ_API_KEY", "curl", "data", "cpu"] {
        assert!(gateway.banner.contains(part), "no `{part}` in:\n{}", gateway.banner);
    }
}

#[tokio::test]
async fn every_key_of_a_host_at_once_is_no_obstacle() {
    let names = [
        "TOGETHER_API_KEY",
        "FIREWORKS_API_KEY",
        "GROQ_API_KEY",
        "DEEPINFRA_API_KEY",
        "REPLICATE_API_TOKEN",
        "OPENROUTER_API_KEY",
        "HF_TOKEN",
        "CEREBRAS_API_KEY",
        "SAMBANOVA_API_KEY",
    ];
    let gateway = names.iter().fold(pointsman(), |builder, name| builder.env(name, "not-a-real-key")).start();
    assert!(gateway.banner.contains("fireworks/") && !gateway.banner.contains("not-a-real-key"), "{}", gateway.banner);
    assert_eq!(gateway.chat("pointsman-demo", "Hello").await.0, 200);
}

#[tokio::test]
async fn a_question_is_answered_by_the_model_in_the_process() {
    let gateway = pointsman().start();
    let (status, answer) = gateway.chat("auto", "Which licence has Llama 3.3 70B Instruct?").await;
    assert_eq!(status, 200, "{answer}");
    assert!(text(&answer).len() > 10, "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
    assert_eq!(answer["model"], "pointsman-demo");
    let usage = &answer["usage"];
    let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
    assert!(sum > 2 && usage["total_tokens"] == sum, "{usage}");
}

#[tokio::test]
async fn a_stream_says_the_same_as_a_whole_answer_piece_by_piece() {
    let gateway = pointsman().start();
    let mut body = chat("auto", "What is Pointsman?");
    let (_, whole) = gateway.post("/v1/chat/completions", &body).await;
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let events = gateway.stream("/v1/chat/completions", &body).await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let streamed: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(streamed, text(&whole));
    assert!(chunks.len() > 4, "{events:?}");
    let (last, before) = chunks.split_last().unwrap();
    let mut usage = whole["usage"].clone();
    // All of the prompt but its last token is held from the first time.
    usage["prompt_tokens_details"]["cached_tokens"] = json!(usage["prompt_tokens"].as_u64().unwrap() - 1);
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &usage));
    assert!(before.iter().all(|chunk| chunk["usage"].is_null() && chunk["object"] == "chat.completion.chunk"));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    let finishes: Vec<_> = before.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(finishes, ["stop"]);
}

#[tokio::test]
async fn usage_is_not_sent_to_whom_did_not_ask() {
    let gateway = pointsman().start();
    let mut body = chat("auto", "Hello");
    body["stream"] = true.into();
    let events = gateway.stream("/v1/chat/completions", &body).await;
    assert!(events.iter().all(|event| !event.contains("usage")), "{events:?}");
}

#[tokio::test]
async fn logprobs_have_bytes_and_rivals() {
    let gateway = pointsman().start();
    let mut body = chat("auto", "Hello");
    body["logprobs"] = true.into();
    body["top_logprobs"] = 3.into();
    let (_, answer) = gateway.post("/v1/chat/completions", &body).await;
    let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token["bytes"].as_array().unwrap())
        .map(|byte| byte.as_u64().unwrap() as u8)
        .collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), text(&answer));
    for token in tokens {
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        // Greedy: the chosen token is the best one.
        assert_eq!((&top[0]["token"], &top[0]["logprob"]), (&token["token"], &token["logprob"]));
    }
}

#[tokio::test]
async fn completions_take_text_and_token_ids_with_echo() {
    let gateway = pointsman().start();
    let body = json!({"model": "pointsman-demo", "prompt": ["Hello", "Hi"], "max_tokens": 3, "temperature": 0, "echo": true, "logprobs": 1});
    let (status, answer) = gateway.post("/v1/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 2);
    assert!(
        choices[0]["text"].as_str().unwrap().starts_with("Hello")
            && choices[1]["text"].as_str().unwrap().starts_with("Hi")
    );
    let body = json!({"model": "pointsman-demo", "prompt": [[40, 41, 42]], "max_tokens": 1, "temperature": 0, "echo": true, "logprobs": 1});
    let (status, answer) = gateway.post("/v1/completions", &body).await;
    assert_eq!((status, &answer["usage"]["prompt_tokens"]), (200, &json!(3)), "{answer}");
    // What an evaluation harness reads: one entry a prompt token and one for the answer's.
    let logprobs = answer["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), 4, "{answer}");
    assert!(
        logprobs[0].is_null() && logprobs[1..].iter().all(serde_json::Value::is_number),
        "nothing predicts the first token: {answer}"
    );
}

#[tokio::test]
async fn models_are_listed_and_shown_one_by_one() {
    let gateway = pointsman().start();
    let (_, list) = gateway.get("/v1/models").await;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    for id in ["auto", "chat", "code", "reasoning", "korean", "japanese", "chinese", "cheap", "fast", "pointsman-demo"]
    {
        assert!(ids.contains(&id), "{ids:?}");
    }
    let (status, model) = gateway.get("/v1/models/pointsman-demo").await;
    assert_eq!((status, &model["license"], &model["tier"]), (200, &json!("apache-2.0"), &json!(1)));
    // Every name that a request may use, also one of a deployment.
    assert_eq!(gateway.get("/v1/models/demo").await, (200, model));
    assert_eq!(gateway.get("/v1/models/pointsman-dem").await.1["error"]["code"], "model_not_found");
    let (status, answer) = gateway.get("/v1/models/qwen3-32b").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_deployed")));
}

#[tokio::test]
async fn health_readiness_and_metrics_answer() {
    let gateway = pointsman().start();
    assert_eq!(gateway.get("/health").await.0, 200);
    let (status, ready) = gateway.get("/ready").await;
    assert_eq!((status, &ready["ledger"]), (200, &json!("ok")));
    assert_eq!(gateway.send(gateway.request("HEAD", "/")).await.0, 200);
    gateway.chat("auto", "Hello").await;
    let (_, metrics) = gateway.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    for name in [
        "gen_ai_server_time_to_first_token_seconds_bucket",
        "gen_ai_client_token_usage_total",
        "pointsman_decisions_total{verdict=\"serve\"} 1",
    ] {
        assert!(metrics.contains(name), "no `{name}` in:\n{metrics}");
    }
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_use_a_gateway_without_keys() {
    let gateway = pointsman().start();
    for (name, value) in [("origin", "https://example.com"), ("host", "example.com")] {
        let request = gateway.request("POST", "/v1/chat/completions").header(name, value).json(&chat("auto", "Hello"));
        assert_eq!(gateway.send(request).await.0, 403, "{name}");
    }
    let reload = tests::client().post(format!("{}/reload", gateway.admin)).header("origin", "https://example.com");
    assert_eq!(gateway.send(reload).await.0, 403);
}

#[tokio::test]
async fn eight_clients_at_once_get_what_each_would_get_alone() {
    let gateway = pointsman().start();
    let questions = ["What is Pointsman?", "Hello", "Who made Qwen3 32B?", "What does tier 3 mean?"];
    let mut alone = Vec::new();
    for question in questions {
        alone.push(text(&gateway.chat("auto", question).await.1).to_owned());
    }
    let together = futures_util::future::join_all(
        questions.iter().chain(&questions).map(|question| gateway.chat("auto", question)),
    )
    .await;
    for ((status, answer), expected) in together.iter().zip(alone.iter().chain(&alone)) {
        assert_eq!((*status, text(answer)), (200, expected.as_str()));
    }
}
