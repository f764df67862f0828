//! Remote hosts: routing by key in the environment, fallback before the first byte, honesty after it.

use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::{Pointsman, chat};

use crate::pointsman;

/// A gateway without a configuration, whose Groq is `host`.
fn with_groq(host: &Host) -> Pointsman {
    pointsman().env("GROQ_API_KEY", "gsk-test").env("GROQ_BASE_URL", host.base_url()).start()
}

async fn host() -> Host {
    Host::start(Script::default()).await.unwrap()
}

fn streamed(model: &str, text: &str) -> Value {
    let mut body = chat(model, text);
    body["stream"] = true.into();
    body
}

#[tokio::test]
async fn a_key_in_the_environment_routes_fast_to_that_host() {
    let host = host().await;
    let gateway = with_groq(&host);
    assert!(
        gateway.banner.contains(&host.base_url()) && !gateway.banner.contains("set GROQ_API_KEY"),
        "{}",
        gateway.banner
    );
    let (status, answer) = gateway.chat("fast", "ping").await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("ping"), "{answer}");
    let seen = host.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["authorization"], "Bearer gsk-test");
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_ne!(body["model"], "fast", "the host's own name of the model is sent");
    assert!(!gateway.banner.contains("gsk-test") && !gateway.log().contains("gsk-test"));
}

#[tokio::test]
async fn the_callers_bytes_reach_the_host_but_for_the_model() {
    let host = host().await;
    let gateway = with_groq(&host);
    let body = r#"{"x_new_field": {"b":1.50,"a":[1,  2]},"messages":[{"role":"user","content":"h\u00e9"}], "model":"fast"  ,"temperature":0.10}"#;
    let request = gateway
        .request("POST", "/v1/chat/completions")
        .header("content-type", "application/json")
        .header("cookie", "a=b")
        .body(body);
    assert_eq!(gateway.send(request).await.0, 200);
    let seen = &host.requests()[0];
    let name = serde_json::from_slice::<Value>(&seen.body).unwrap()["model"].clone();
    assert_eq!(std::str::from_utf8(&seen.body).unwrap(), body.replace("\"fast\"", &name.to_string()));
    assert!(!seen.headers.contains_key("cookie"), "only our own headers travel");
}

#[tokio::test]
async fn a_500_falls_back_to_the_local_model_before_the_first_byte() {
    for stream in [false, true] {
        let host = host().await;
        let gateway = with_groq(&host);
        // As many as there are candidates at the host.
        for _ in 0..20 {
            host.script_next(Fault::Status(500, None));
        }
        let body = if stream { streamed("fast", "Hello") } else { chat("fast", "Hello") };
        let response = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["x-pointsman-deployment"], "demo");
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        response.bytes().await.unwrap();
        let outcome = gateway.outcome(&id).await;
        assert_eq!((&outcome["status"], &outcome["deployment"]), (&json!("completed"), &json!("demo")), "{outcome}");
        let tried = outcome["tried"].as_array().unwrap();
        assert!(
            tried.len() >= 2 && tried[0]["error"] == "backend.failed" && tried.last().unwrap()["deployment"] == "demo",
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn a_cut_after_the_first_byte_ends_with_an_error_and_no_finish_reason() {
    let host = host().await;
    let gateway = with_groq(&host);
    host.script_next(Fault::CutAfter(2));
    let response = gateway
        .request("POST", "/v1/chat/completions")
        .json(&streamed("fast", "one two three four"))
        .send()
        .await
        .unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let events = tests::events(&response.bytes().await.unwrap());
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let error: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["request_id"]),
        (&json!("backend.broken_stream"), &json!(id)),
        "{events:?}"
    );
    assert!(events.iter().any(|event| event.contains("content")), "{events:?}");
    assert!(events.iter().all(|event| !event.contains("\"finish_reason\":\"")), "{events:?}");
    assert_eq!(gateway.outcome(&id).await["status"], "broken");
    assert_eq!(host.requests().len(), 1, "nothing is tried again once the caller has bytes");
}

#[tokio::test]
async fn tokens_that_nobody_counted_are_estimated_and_marked_so() {
    let host = host().await;
    let gateway = with_groq(&host);
    for stream in [false, true] {
        host.script_next(Fault::NoUsage);
        let mut body = chat("llama-3.3-70b-instruct", "one two three four");
        body["stream"] = stream.into();
        let response = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        response.bytes().await.unwrap();
        let outcome = gateway.outcome(&id).await;
        assert_eq!((&outcome["status"], &outcome["tokens_by"]), (&json!("completed"), &json!("estimate")), "{outcome}");
        assert_eq!(outcome["cost_by"], "estimate", "{outcome}");
        let tokens = |key: &str| outcome[key].as_u64().unwrap();
        assert!(
            (5..30).contains(&tokens("prompt_tokens")) && (4..30).contains(&tokens("completion_tokens")),
            "{outcome}"
        );
    }
    let counted = gateway.request("POST", "/v1/chat/completions").json(&chat("llama-3.3-70b-instruct", "counted"));
    let response = counted.send().await.unwrap();
    let outcome = gateway.outcome(response.headers()["x-request-id"].to_str().unwrap()).await;
    assert_eq!((&outcome["tokens_by"], &outcome["cost_by"]), (&json!("backend"), &json!("price")), "{outcome}");
}

#[tokio::test]
async fn a_stream_passes_through_byte_for_byte_also_in_writes_of_one_byte() {
    let host = host().await;
    let gateway = with_groq(&host);
    let mut answers = Vec::new();
    for fault in [None, Some(Fault::Drip)] {
        fault.into_iter().for_each(|fault| host.script_next(fault));
        // One deployment serves it: among several, now and then another is tried anew.
        let mut body = streamed("llama-3.3-70b-instruct", "안녕 🦀 there");
        body["stream_options"] = json!({"include_usage": true});
        let events = gateway.stream("/v1/chat/completions", &body).await;
        answers.push(
            events.into_iter().map(|event| event.split("\"choices\"").last().unwrap().to_owned()).collect::<Vec<_>>(),
        );
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].concat().contains("🦀"));
}

#[tokio::test]
async fn usage_is_asked_of_the_host_and_kept_from_whom_did_not_ask() {
    let host = host().await;
    let gateway = with_groq(&host);
    let response = gateway.request("POST", "/v1/chat/completions").json(&streamed("fast", "hi")).send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let events = tests::events(&response.bytes().await.unwrap());
    assert!(events.iter().all(|event| !event.contains("prompt_tokens")), "{events:?}");
    assert_eq!(
        serde_json::from_slice::<Value>(&host.requests()[0].body).unwrap()["stream_options"]["include_usage"],
        true
    );
    assert!(gateway.outcome(&id).await["completion_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_host_in_every_phase() {
    for (stream, fault) in
        [(true, Fault::Silent), (false, Fault::Silent), (true, Fault::StallAfter(2)), (false, Fault::StallAfter(1))]
    {
        let host = host().await;
        let gateway = with_groq(&host);
        host.script_next(fault);
        let body = if stream { streamed("fast", "hi") } else { chat("fast", "hi") };
        let sending = gateway.request("POST", "/v1/chat/completions").json(&body).send();
        let mut sending = Box::pin(sending);
        // The request is under way once the host has it; then its future, or its half-read body, is dropped.
        let response = tokio::select! {
            response = &mut sending => Some(response.unwrap()),
            () = async { host.until_running(1).await; if stream && matches!(fault, Fault::StallAfter(_)) { std::future::pending::<()>().await } } => None,
        };
        drop((response, sending));
        host.until_running(0).await;
        let outcome = tests::until(|| gateway.ledger().into_iter().find(|record| record["kind"] == "outcome")).await;
        // What had been answered until then is billed, and nobody counts it.
        let by = if matches!(fault, Fault::StallAfter(2)) { json!("estimate") } else { Value::Null };
        assert_eq!((&outcome["status"], &outcome["cost_by"]), (&json!("cancelled"), &by), "{fault:?}: {outcome}");
    }
}

#[tokio::test]
async fn a_body_cannot_choose_another_model_or_host() {
    let host = host().await;
    let gateway = with_groq(&host);
    for field in [r#""models":["x"]"#, r#""provider":{"only":["x"]}"#, r#""MODEL":"x""#, r#""model":"x""#] {
        let body = format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"hi"}}],{field}}}"#);
        let (status, answer) = gateway.send(gateway.request("POST", "/v1/chat/completions").body(body)).await;
        assert_eq!(status, 400, "{field}: {answer}");
    }
    assert!(host.requests().is_empty());
}

#[tokio::test]
async fn what_a_host_cannot_do_goes_to_whom_can() {
    let host = host().await;
    let gateway = with_groq(&host);
    let (status, answer) =
        gateway.post("/v1/completions", &json!({"model": "auto", "prompt": "Hello", "max_tokens": 3})).await;
    assert_eq!((status, &answer["model"]), (200, &json!("pointsman-demo")), "{answer}");
    let mut body = chat("auto", "Hello");
    body["n"] = 3.into();
    let (status, answer) = gateway.post("/v1/chat/completions", &body).await;
    assert_eq!((status, answer["choices"].as_array().map(Vec::len)), (200, Some(3)), "{answer}");
}

#[tokio::test]
async fn the_local_model_answers_when_every_host_is_down() {
    // Bound and dropped at once: nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let names = ["GROQ", "TOGETHER", "FIREWORKS", "DEEPINFRA", "CEREBRAS", "SAMBANOVA"];
    let builder = names.iter().fold(pointsman(), |builder, name| {
        builder.env(&format!("{name}_API_KEY"), "k").env(&format!("{name}_BASE_URL"), format!("http://{gone}/v1"))
    });
    let gateway = builder.start();
    for model in ["auto", "fast", "cheap"] {
        let (status, answer) = gateway.chat(model, "Hello").await;
        assert_eq!((status, &answer["model"]), (200, &json!("pointsman-demo")), "{model}: {answer}");
    }
}

#[tokio::test]
async fn a_hosts_400_reaches_the_caller_in_its_own_words() {
    let host = host().await;
    let gateway = with_groq(&host);
    host.script_next(Fault::Status(422, None));
    let (status, answer) = gateway.chat("fast", "hi").await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(host.requests().len(), 1, "a request that is wrong is wrong everywhere");
}

#[tokio::test]
async fn a_host_that_keeps_failing_is_left_alone() {
    let host = host().await;
    let gateway = with_groq(&host);
    for _ in 0..100 {
        host.script_next(Fault::Status(503, None));
    }
    for _ in 0..30 {
        assert_eq!(gateway.chat("fast", "hi").await.0, 200);
    }
    let (_, ready) = gateway.send(tests::client().get(format!("{}/ready", gateway.admin))).await;
    assert_eq!(ready["deployments"]["demo"], "ready");
    assert!(ready["deployments"].as_object().unwrap().values().any(|state| state == "resting"), "{ready}");
    assert!(host.requests().len() < 30, "the breaker opened: {}", host.requests().len());
}
