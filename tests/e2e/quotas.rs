//! How much a team may ask of a gateway: requests a minute, and at a time.

use futures_util::future::join_all;
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

/// A gateway with two teams, of which one has these limits.
async fn world(limits: &str) -> (Pointsman, String, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = config(&host, limits);
    let builder = pointsman().config(&config);
    let (key, other) = (builder.key("desk", "desk"), builder.key("free", "desk"));
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, other, host)
}

fn config(host: &Host, limits: &str) -> String {
    format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams:\n  desk: {{contexts: [desk], limits: {limits}}}\n  free: {{contexts: [desk]}}\nkeys: keys.yaml\n",
        host.base_url()
    )
}

fn body(stream: bool) -> Value {
    json!({"model": "qwen3-32b", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn of_three_times_as_many_as_it_may_send_a_team_gets_what_it_may_and_others_are_not_hindered() {
    let (gateway, other, host) = world("{requests_per_minute: 60}").await;
    let began = std::time::Instant::now();
    // 64 clients at once, until 180 requests are sent.
    let mut accepted = 0;
    for at_once in [64, 64, 52] {
        let all =
            join_all((0..at_once).map(|_| gateway.request("POST", "/v1/chat/completions").json(&body(false)).send()));
        for response in all.await {
            let response = response.unwrap();
            if response.status() == 200 {
                accepted += 1;
                continue;
            }
            assert_eq!(response.status(), 429);
            let headers = response.headers().clone();
            let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=2).contains(&seconds), "one drains each second: {headers:?}");
            let error: Value = response.json().await.unwrap();
            assert_eq!(error["error"]["code"], "team_limit_reached", "{error}");
        }
    }
    let drained = began.elapsed().as_secs() + 1;
    assert!((60..=60 + drained).contains(&accepted), "{accepted} in {drained} s");
    assert_eq!(host.requests().len() as u64, accepted, "what is refused reaches no host");
    assert_eq!(gateway.ledger().iter().filter(|record| record["kind"] == "decision").count() as u64, accepted);

    let free = reqwest::Client::new().post(format!("{}/v1/chat/completions", gateway.client)).bearer_auth(&other);
    let free = free.json(&body(false)).send().await.unwrap();
    assert_eq!(free.status(), 200);
    assert!(!free.headers().contains_key("x-ratelimit-limit-requests"), "it has none");
}

#[tokio::test]
async fn what_is_left_is_told_by_the_names_of_the_callers_api_and_a_refusal_has_its_shape() {
    let (gateway, _, _host) = world("{requests_per_minute: 2}").await;
    let first = gateway.request("POST", "/v1/chat/completions").json(&body(true)).send().await.unwrap();
    let told = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(told("x-ratelimit-limit-requests"), "2");
    assert_eq!(told("x-ratelimit-remaining-requests"), "1");
    assert_eq!(told("x-ratelimit-reset-requests"), "30.000s");
    let messages = json!({"model": "qwen3-32b", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let second = gateway.request("POST", "/v1/messages").json(&messages).send().await.unwrap();
    assert_eq!(second.headers()["anthropic-ratelimit-requests-remaining"], "0");
    assert!(second.headers()["anthropic-ratelimit-requests-reset"].to_str().unwrap().ends_with('Z'));
    let third = gateway.request("POST", "/v1/messages").json(&messages).send().await.unwrap();
    assert_eq!(third.status(), 429);
    let error: Value = third.json().await.unwrap();
    assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("rate_limit_error")), "{error}");
}

#[tokio::test]
async fn a_place_is_taken_until_the_answer_ends_however_it_ends() {
    let (gateway, _, host) = world("{concurrent: 1}").await;
    for ends in ["dropped", "cut"] {
        host.script_next(if ends == "cut" { Fault::CutAfter(2) } else { Fault::StallAfter(2) });
        let mut running = gateway.request("POST", "/v1/chat/completions").json(&body(true)).send().await.unwrap();
        assert!(running.chunk().await.unwrap().is_some());
        if ends == "dropped" {
            let (status, error) = gateway.post("/v1/chat/completions", &body(false)).await;
            assert_eq!((status, &error["error"]["code"]), (429, &json!("team_limit_reached")), "{error}");
            drop(running);
            host.until_running(0).await;
        } else {
            let _ = running.text().await;
        }
        let free = async || gateway.post("/v1/chat/completions", &body(false)).await.0 == 200;
        while !free().await {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_reload_gives_nobody_more_unless_the_limits_are_others() {
    let (gateway, _, host) = world("{requests_per_minute: 1}").await;
    assert_eq!(gateway.post("/v1/chat/completions", &body(false)).await.0, 200);
    gateway.reload_with("pointsman.yaml", &format!("{}# the same\n", config(&host, "{requests_per_minute: 1}"))).await;
    assert_eq!(gateway.post("/v1/chat/completions", &body(false)).await.0, 429);
    gateway.reload_with("pointsman.yaml", &config(&host, "{requests_per_minute: 2}")).await;
    assert_eq!(gateway.post("/v1/chat/completions", &body(false)).await.0, 200);
}

#[test]
fn a_limit_that_is_none_is_refused_with_its_place() {
    for limits in ["{requests_per_minute: 0}", "{concurrent: 1000001}", "{requests_per_second: 1}"] {
        let config = format!(
            "contexts: {{desk: {{use: internal, exposure: internal}}}}\nteams: {{desk: {{contexts: [desk], limits: {limits}}}}}\n"
        );
        let (code, out, error) = pointsman().config(&config).command(&["check", "--config", "pointsman.yaml"]);
        let key = limits.trim_start_matches('{').split(':').next().unwrap();
        assert!(code != 0 && format!("{out}{error}").contains(key), "{out}{error}");
    }
}
