//! Answers that are given again to the same request.

use futures_util::future::join_all;
use reqwest::{RequestBuilder, Response};
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

/// A gateway with two teams whose route gives answers again, and the second team's key.
async fn world(reuse: &str) -> (Pointsman, String, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted, \
         price: {{input_usd_per_million: 1, output_usd_per_million: 1}}}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{desk: {{contexts: [desk], budget: {{usd_per_day: 1}}}}, free: {{contexts: [desk]}}}}\n\
         policies: [p.yaml]\nkeys: keys.yaml\n",
        host.base_url()
    );
    let policies =
        format!("version: 1\nroutes: [{{name: r, match: {{model: [auto]}}, candidates: [any], reuse: {reuse}}}]\n");
    let builder = pointsman().file("p.yaml", &policies).config(&config);
    let (desk, free) = (builder.key("desk", "desk"), builder.key("free", "desk"));
    let mut gateway = builder.start();
    gateway.with_key(&desk);
    (gateway, free, host)
}

fn body(text: &str, stream: bool) -> Value {
    json!({"model": "auto", "temperature": 0, "stream": stream, "messages": [{"role": "user", "content": text}]})
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn told(response: &Response) -> Option<&str> {
    response.headers().get("x-pointsman-cache").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_without_a_model_at_no_cost_as_a_decision_of_its_own() {
    let (gateway, _, host) = world("{ttl: 10m}").await;
    for (path, stream) in [
        ("/v1/chat/completions", false),
        ("/v1/chat/completions", true),
        ("/v1/messages", false),
        ("/v1/messages", true),
        ("/v1/responses", false),
        ("/v1/responses", true),
    ] {
        let body = match path {
            "/v1/responses" => {
                json!({"model": "auto", "temperature": 0, "stream": stream, "store": false, "input": "hi"})
            }
            _ => {
                let mut body = body("hi", stream);
                body["max_tokens"] = 9.into();
                body
            }
        };
        let before = host.requests().len();
        let first = sent(gateway.request("POST", path).json(&body)).await;
        assert_eq!((first.status().as_u16(), told(&first)), (200, Some("miss")), "{path} {stream}");
        let kind = first.headers()["content-type"].clone();
        let id = first.headers()["x-request-id"].to_str().unwrap().to_owned();
        let bytes = first.bytes().await.unwrap();
        // Who asks is no part of what is asked, and neither is the order of the keys.
        let mut same: serde_json::Map<String, Value> = body.as_object().unwrap().clone().into_iter().rev().collect();
        if path != "/v1/responses" {
            same.insert("user".into(), "somebody".into());
            same.insert("metadata".into(), json!({"user_id": "x"}));
        }
        let again = sent(gateway.request("POST", path).json(&same)).await;
        assert_eq!((again.status().as_u16(), told(&again)), (200, Some("hit")), "{path} {stream}");
        assert_eq!(
            (&again.headers()["content-type"], &again.headers()["x-pointsman-deployment"]),
            (&kind, &"one".parse().unwrap())
        );
        assert!(again.headers().contains_key("age"));
        let own = again.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(again.bytes().await.unwrap(), bytes, "{path} {stream}");
        assert_eq!(host.requests().len(), before + 1, "{path} {stream}");

        let outcome = gateway.outcome(&own).await;
        assert_eq!((&outcome["answer_of"], &outcome["status"]), (&json!(id), &json!("completed")), "{outcome}");
        assert_eq!(
            (&outcome["cost_usd"], &outcome["cost_by"], &outcome["tokens_by"]),
            (&json!(0.0), &json!("cache"), &json!("cache"))
        );
        assert_eq!(outcome["completion_tokens"], gateway.outcome(&id).await["completion_tokens"]);
        let decision = |record: &Value| record["kind"] == "decision" && record["request"] == own.as_str();
        let decision = gateway.ledger().into_iter().find(decision).unwrap();
        assert_eq!(
            (&decision["answer_of"], &decision["candidates"][0]["outcome"]),
            (&json!(id), &json!("allow")),
            "{decision}"
        );
    }
}

#[tokio::test]
async fn what_differs_in_anything_is_asked_anew_and_no_team_gets_anothers_answer() {
    let (gateway, free, host) = world("{ttl: 10m}").await;
    let url = format!("{}/v1/chat/completions", gateway.client);
    let ask = async |key: &str, body: &Value| {
        let response = sent(tests::client().post(&url).bearer_auth(key).json(body)).await;
        told(&response).map(str::to_owned)
    };
    let desk = gateway.key().unwrap().to_owned();
    let with = |field: &str, value: Value| {
        let mut body = body("hi", false);
        body[field] = value;
        body
    };
    assert_eq!(ask(&desk, &body("hi", false)).await.as_deref(), Some("miss"));
    for other in [
        body("Hi", false),
        body("hi", true),
        with("max_tokens", 7.into()),
        with("seed", 1.into()),
        with("top_p", 0.5.into()),
    ] {
        assert_eq!(ask(&desk, &other).await.as_deref(), Some("miss"), "{other}");
    }
    assert_eq!(ask(&free, &body("hi", false)).await.as_deref(), Some("miss"), "another team");
    for drawn in
        [with("temperature", 0.1.into()), json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})]
    {
        assert_eq!((ask(&desk, &drawn).await, ask(&desk, &drawn).await), (None, None), "it is drawn: {drawn}");
    }
    assert_eq!(
        ask(&desk, &with("model", "qwen3-32b".into())).await,
        None,
        "the route asked by name says nothing of it"
    );
    assert_eq!(ask(&desk, &body("hi", false)).await.as_deref(), Some("hit"));
    let asked = host.requests().len();
    let config = std::fs::read_to_string(gateway.folder().join("pointsman.yaml")).unwrap();
    gateway.reload_with("pointsman.yaml", &format!("{config}# another\n")).await;
    assert_eq!(ask(&desk, &body("hi", false)).await.as_deref(), Some("miss"), "another configuration");
    assert_eq!(host.requests().len(), asked + 1);
}

#[tokio::test]
async fn a_caller_may_ask_for_a_new_answer_and_that_its_own_is_not_kept() {
    let (gateway, _, host) = world("{ttl: 10m, sampled: true}").await;
    let drawn = json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}]});
    let ask = async |control: &str| {
        let request = gateway.request("POST", "/v1/chat/completions").header("cache-control", control);
        let response = sent(request.json(&drawn)).await;
        (told(&response).map(str::to_owned), host.requests().len())
    };
    let miss = |asked| (Some("miss".to_owned()), asked);
    assert_eq!(ask("no-store").await, miss(1));
    assert_eq!(ask("max-age=60").await, miss(2), "that was not kept");
    assert_eq!(ask("max-age=60").await, (Some("hit".to_owned()), 2), "the route gives drawn ones too");
    assert_eq!(ask("max-age=0, private").await.0.as_deref(), Some("miss"));
    assert_eq!(ask("No-Cache").await, miss(4));
    assert_eq!(ask("").await, (Some("hit".to_owned()), 4));
}

#[tokio::test]
async fn equal_requests_at_once_are_asked_once_and_the_next_one_asks_where_that_fails() {
    let (gateway, _, host) = world("{ttl: 10m}").await;
    let request = |stream: bool| gateway.request("POST", "/v1/chat/completions").json(&body("hi", stream)).send();
    // The first one stalls until its caller goes away; all others wait for it.
    host.script_next(Fault::StallAfter(2));
    let mut first = request(true).await.unwrap();
    assert!(first.chunk().await.unwrap().is_some());
    let others = join_all((0..20).map(|_| request(true)));
    let (others, ()) = tokio::join!(others, async {
        host.until_running(1).await;
        drop(first);
    });
    let mut bytes = Vec::new();
    for other in others {
        bytes.push(other.unwrap().bytes().await.unwrap());
    }
    assert!(bytes.iter().all(|one| *one == bytes[0] && one.ends_with(b"data: [DONE]\n\n")));
    assert_eq!(host.requests().len(), 2, "the one that was left, and the one that took its place");
}

#[tokio::test]
async fn what_breaks_off_or_fails_is_not_given_again() {
    let (gateway, _, host) = world("{ttl: 10m}").await;
    for (fault, stream) in [(Fault::CutAfter(2), true), (Fault::NoFinish, true), (Fault::Status(400, None), false)] {
        host.script_next(fault);
        let broken = sent(gateway.request("POST", "/v1/chat/completions").json(&body("hi", stream))).await;
        let _ = broken.bytes().await;
        let good = sent(gateway.request("POST", "/v1/chat/completions").json(&body("hi", stream))).await;
        assert_eq!((good.status().as_u16(), told(&good)), (200, Some("miss")), "{fault:?}");
        let _ = good.bytes().await;
        let again = sent(gateway.request("POST", "/v1/chat/completions").json(&body("hi", stream))).await;
        assert_eq!(told(&again), Some("hit"));
        let config = std::fs::read_to_string(gateway.folder().join("pointsman.yaml")).unwrap();
        gateway.reload_with("pointsman.yaml", &format!("{config}#\n")).await;
    }
}
