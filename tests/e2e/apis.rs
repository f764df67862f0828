//! One model behind every client API: Anthropic's messages and OpenAI's responses, over a host that speaks chat, and over the
//! engine in the process.

use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

/// A gateway with one deployment at a scripted host.
async fn world() -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         keys: keys.yaml\n",
        host.base_url()
    );
    let builder = pointsman().config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

fn messages(stream: bool) -> Value {
    json!({"model": "qwen3-32b", "max_tokens": 50, "stream": stream, "system": "Be short.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
}

fn responses(stream: bool) -> Value {
    json!({"model": "qwen3-32b", "max_output_tokens": 50, "stream": stream, "instructions": "Be short.", "input": "hi"})
}

/// The events of a stream: name and data.
async fn stream(gateway: &Pointsman, path: &str, body: &Value) -> Vec<(String, Value)> {
    let response = gateway.request("POST", path).json(body).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    };
    text.split_terminator("\n\n").map(event).collect()
}

/// The text of a stream of either API.
fn said(events: &[(String, Value)]) -> String {
    let delta = |(name, data): &(String, Value)| match name.as_str() {
        "content_block_delta" => data["delta"]["text"].as_str().map(str::to_owned),
        "response.output_text.delta" => data["delta"].as_str().map(str::to_owned),
        _ => None,
    };
    events.iter().filter_map(delta).collect()
}

async fn outcome(gateway: &Pointsman) -> Value {
    tests::until(|| gateway.ledger().into_iter().rev().find(|record| record["kind"] == "outcome")).await
}

#[tokio::test]
async fn a_messages_client_is_served_by_a_host_that_speaks_chat() {
    let (gateway, host) = world().await;
    let (status, whole) = gateway.post("/v1/messages", &messages(false)).await;
    assert_eq!(
        (status, &whole["type"], &whole["stop_reason"]),
        (200, &json!("message"), &json!("end_turn")),
        "{whole}"
    );
    let text = whole["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(!text.is_empty() && whole["usage"]["output_tokens"].as_u64().unwrap() > 0);
    let events = stream(&gateway, "/v1/messages", &messages(true)).await;
    assert_eq!(said(&events), text, "streamed and whole say the same");
    assert_eq!((events[0].0.as_str(), events.last().unwrap().0.as_str()), ("message_start", "message_stop"));
    let sent: Value = serde_json::from_slice(&host.requests()[1].body).unwrap();
    assert_eq!(
        sent["messages"],
        json!([{"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}])
    );
    assert_eq!((&sent["model"], &sent["stream_options"]["include_usage"]), (&json!("scripted"), &json!(true)));
    let decision = gateway.ledger().into_iter().find(|record| record["kind"] == "decision").unwrap();
    assert_eq!(decision["api"], "messages");
    let (status, counted) = gateway.post("/v1/messages/count_tokens", &messages(false)).await;
    assert!(status == 200 && counted["input_tokens"].as_u64().unwrap() > 2, "{counted}");
}

#[tokio::test]
async fn a_responses_client_is_served_by_a_host_that_speaks_chat() {
    let (gateway, host) = world().await;
    let (status, whole) = gateway.post("/v1/responses", &responses(false)).await;
    assert_eq!((status, &whole["object"], &whole["status"]), (200, &json!("response"), &json!("completed")), "{whole}");
    let text = whole["output"][0]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(!text.is_empty() && whole["usage"]["output_tokens"].as_u64().unwrap() > 0);
    let events = stream(&gateway, "/v1/responses", &responses(true)).await;
    assert_eq!(said(&events), text, "streamed and whole say the same");
    assert_eq!((events[0].0.as_str(), events.last().unwrap().0.as_str()), ("response.created", "response.completed"));
    let sent: Value = serde_json::from_slice(&host.requests()[1].body).unwrap();
    assert_eq!(
        sent["messages"],
        json!([{"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}])
    );
    let mut body = responses(false);
    body["tools"] = json!([{"type": "web_search"}]);
    let response = gateway.request("POST", "/v1/responses").json(&body).send().await.unwrap();
    assert_eq!(response.headers()["x-pointsman-left-out"], "tools.web_search");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_as_each_api_says_and_never_with_a_made_up_reason() {
    let (gateway, host) = world().await;
    host.script_next(Fault::CutAfter(2));
    let events = stream(&gateway, "/v1/messages", &messages(true)).await;
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["error"]["type"]), ("error", &json!("api_error")), "{events:?}");
    assert!(!events.iter().any(|(name, _)| name == "message_stop" || name == "message_delta"));
    host.script_next(Fault::CutAfter(2));
    let events = stream(&gateway, "/v1/responses", &responses(true)).await;
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["response"]["status"]), ("response.failed", &json!("failed")), "{events:?}");
    assert_eq!(outcome(&gateway).await["status"], "broken");
}

#[tokio::test]
async fn an_error_before_the_answer_has_the_shape_of_the_callers_api() {
    let (gateway, host) = world().await;
    let mut unknown = messages(false);
    unknown["model"] = json!("nobody");
    let response = gateway.request("POST", "/v1/messages").json(&unknown).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let id = response.headers()["request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["type"], &body["error"]["type"], &body["request_id"]),
        (&json!("error"), &json!("not_found_error"), &json!(id))
    );
    for _ in 0..3 {
        host.script_next(Fault::Status(429, None));
    }
    let (status, body) = gateway.post("/v1/messages", &messages(true)).await;
    assert_eq!((status, &body["error"]["type"]), (429, &json!("rate_limit_error")), "{body}");
    let (status, body) =
        gateway.post("/v1/responses", &json!({"model": "qwen3-32b", "input": "x", "background": true})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("background")));
    let response = gateway.request("GET", "/v1/messages").send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["type"], "invalid_request_error");
    let response = gateway.request("GET", "/v1/responses").send().await.unwrap();
    assert_eq!(response.status(), 405, "a client that tries a web socket learns at once that there is none");
    let response = gateway.request("GET", "/v1/models").header("anthropic-version", "2023-06-01").send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    assert!(body["has_more"] == json!(false) && body["data"][0]["type"] == "model", "{body}");
}

#[tokio::test]
async fn the_engine_in_the_process_answers_in_every_api() {
    let gateway = pointsman().start();
    for (path, mut body) in [("/v1/messages", messages(true)), ("/v1/responses", responses(true))] {
        body["model"] = json!("pointsman-demo");
        let events = stream(&gateway, path, &body).await;
        body["stream"] = json!(false);
        let (status, whole) = gateway.post(path, &body).await;
        assert_eq!(status, 200, "{whole}");
        assert!(!said(&events).is_empty(), "{events:?}");
    }
}
