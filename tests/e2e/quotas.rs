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
            assert_eq!(error["error"]["code"], "rate_limit_exceeded", "{error}");
        }
    }
    let drained = began.elapsed().as_secs() + 1;
    assert!((60..=60 + drained).contains(&accepted), "{accepted} in {drained} s");
    assert_eq!(host.requests().len() as u64, accepted, "what is refused reaches no host");
    assert_eq!(gateway.ledger().iter().filter(|record| record["kind"] == "decision").count() as u64, accepted);

    let free = tests::client().post(format!("{}/v1/chat/completions", gateway.client)).bearer_auth(&other);
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
    // From when it was counted: what is left then shrinks with each millisecond.
    let reset = told("x-ratelimit-reset-requests");
    let seconds: f64 = reset.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).expect("seconds");
    assert!(seconds <= 30.0 && seconds > 0.0 && reset.len() == "30.000s".len(), "{reset}");
    let messages = json!({"model": "qwen3-32b", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let second = gateway.request("POST", "/v1/messages").json(&messages).send().await.unwrap();
    assert_eq!(second.headers()["anthropic-ratelimit-requests-remaining"], "0");
    assert!(second.headers()["anthropic-ratelimit-requests-reset"].to_str().unwrap().ends_with('Z'));
    let third = gateway.request("POST", "/v1/messages").json(&messages).send().await.unwrap();
    assert_eq!(third.status(), 429);
    assert_eq!(third.headers()["anthropic-ratelimit-requests-limit"], "2", "a refusal says it as well");
    assert_eq!(third.headers()["anthropic-ratelimit-requests-remaining"], "0");
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
            assert_eq!((status, &error["error"]["code"]), (429, &json!("rate_limit_exceeded")), "{error}");
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

/// A chat whose answer of the scripted host has four tokens, and its prompt one.
fn bounded(model: &str) -> Value {
    json!({"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn tokens_are_taken_before_and_put_right_after_so_that_a_minute_has_no_more_than_it_may() {
    // 5 foreseen of the prompt and 4 of the answer, of which 1 and 4 are used.
    let (gateway, _, host) = world("{tokens_per_minute: 500, output_tokens_per_minute: 410}").await;
    let began = std::time::Instant::now();
    let mut used = 0;
    for _ in 0..6 {
        let body = bounded("qwen3-32b");
        let all = join_all((0..40).map(|_| gateway.post("/v1/chat/completions", &body)));
        for (status, answer) in all.await {
            match status {
                200 => used += answer["usage"]["total_tokens"].as_u64().unwrap(),
                429 => assert_eq!(answer["error"]["code"], "rate_limit_exceeded", "{answer}"),
                other => panic!("{other}: {answer}"),
            }
        }
    }
    let drained = 500.0 / 60.0 * began.elapsed().as_secs_f64();
    // One more would not have fitted.
    assert!(used as f64 <= 500.0 + drained && used >= 480, "{used}");
    assert_eq!(host.requests().len() as u64 * 5, used);
}

#[tokio::test]
async fn the_tightest_of_the_tokens_that_are_left_is_told_and_a_request_that_never_fits_is_told_so() {
    let (gateway, _, _host) = world("{tokens_per_minute: 600, input_tokens_per_minute: 60}").await;
    let answer = gateway.request("POST", "/v1/chat/completions").json(&bounded("qwen3-32b")).send().await.unwrap();
    let told = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(told("x-ratelimit-limit-tokens"), "60", "{:?}", answer.headers());
    assert_eq!(told("x-ratelimit-remaining-tokens"), "55");
    let answer = gateway.request("POST", "/v1/messages").json(&bounded("qwen3-32b")).send().await.unwrap();
    let names = ["tokens", "input-tokens"].map(|of| format!("anthropic-ratelimit-{of}-limit"));
    assert_eq!(names.map(|name| answer.headers()[name.as_str()].to_str().unwrap().to_owned()), ["600", "60"]);
    let long = json!({"model": "qwen3-32b", "max_tokens": 601, "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.request("POST", "/v1/chat/completions").json(&long).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-should-retry"]), (429, &"false".parse().unwrap()));
    let error: Value = answer.json().await.unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("606 tokens") && message.contains("600 a minute"), "{message}");
}

/// A gateway with two models of two hosts, two keys of one team, and these quotas.
async fn quotas(quotas: &str) -> (Pointsman, [String; 2], [Host; 2]) {
    let hosts = [Host::start(Script::default()).await.unwrap(), Host::start(Script::default()).await.unwrap()];
    let config = format!(
        "deployments:\n  - {{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted}}\n  \
         - {{id: two, model: qwen3-8b, server: vllm, base_url: \"{}\", name: scripted}}\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         policies: [p.yaml]\nkeys: keys.yaml\nquotas:\n{quotas}",
        hosts[0].base_url(),
        hosts[1].base_url()
    );
    let policies = "version: 1\nroutes: [{name: both, match: {model: [auto]}, candidates: [qwen3-32b, qwen3-8b]}]\n";
    let builder = pointsman().file("p.yaml", policies).config(&config);
    let keys = [builder.key("desk", "desk"), builder.key("desk", "desk")];
    let mut gateway = builder.start();
    gateway.with_key(&keys[0]);
    (gateway, keys, hosts)
}

#[tokio::test]
async fn a_quota_of_a_model_sends_requests_on_to_the_next_one_and_refuses_those_that_ask_for_it_alone() {
    let (gateway, _, hosts) =
        quotas("  - {name: big, match: {model: [qwen3-32b]}, limits: {requests_per_minute: 2}}\n").await;
    for served in ["qwen3-32b", "qwen3-32b", "qwen3-8b", "qwen3-8b"] {
        let answer = gateway.request("POST", "/v1/chat/completions").json(&bounded("auto")).send().await.unwrap();
        assert_eq!(answer.headers()["x-pointsman-model"], served);
    }
    let (status, error) = gateway.post("/v1/chat/completions", &bounded("qwen3-32b")).await;
    assert_eq!((status, &error["error"]["code"]), (429, &json!("rate_limit_exceeded")), "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains("quota `big`"), "{error}");
    assert_eq!(hosts.each_ref().map(|host| host.requests().len()), [2, 2]);
    // The plan that was recorded names whom it could go to.
    let last = gateway.ledger().into_iter().rfind(|record| record["kind"] == "decision").unwrap();
    let names: Vec<&Value> = last["candidates"].as_array().unwrap().iter().map(|one| &one["model"]).collect();
    assert_eq!(names, [&json!("qwen3-8b")]);
}

#[tokio::test]
async fn each_key_has_a_quota_of_its_own_where_it_says_so_and_a_route_and_a_context_can_have_one() {
    let (gateway, keys, _hosts) = quotas(
        "  - {name: each, per: [key], limits: {requests_per_minute: 2}}\n  \
         - {name: route, match: {route: [both], team: [desk]}, per: [context, route], limits: {requests_per_minute: 3}}\n",
    )
    .await;
    let ask = async |key: &str, model: &str| {
        let request = tests::client().post(format!("{}/v1/chat/completions", gateway.client)).bearer_auth(key);
        let answer = request.json(&bounded(model)).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask(&keys[0], "auto").await.0, 200);
    assert_eq!(ask(&keys[0], "auto").await.0, 200);
    let (status, why) = ask(&keys[0], "auto").await;
    assert!(status == 429 && why.contains("(quota `each`)"), "{why}");
    assert_eq!(ask(&keys[1], "auto").await.0, 200, "the other key has its own");
    let (status, why) = ask(&keys[1], "auto").await;
    assert!(status == 429 && why.contains("context desk, route both (quota `route`)"), "{why}");
    assert_eq!(ask(&keys[1], "qwen3-8b").await.0, 200, "what the route refused does not count for the key");
    let (_, quotas) = gateway.send(tests::client().get(format!("{}/quotas", gateway.admin))).await;
    let all = quotas["quotas"].as_array().unwrap();
    let told: Vec<(&str, u64)> =
        all.iter().map(|one| (one["quota"].as_str().unwrap(), one["rates"][0]["left"].as_u64().unwrap())).collect();
    assert_eq!(told, [("each", 0), ("each", 0), ("route", 0)], "{quotas}");
}

#[tokio::test]
async fn of_those_that_wait_for_a_place_a_team_has_no_more_than_it_may() {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted, max_concurrent: 1}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{desk: {{contexts: [desk], limits: {{queued: 0}}}}, free: {{contexts: [desk]}}}}\n\
         policies: [p.yaml]\nkeys: keys.yaml\n",
        host.base_url()
    );
    let policies = "version: 1\nroutes: [{name: r, match: {model: [auto]}, candidates: [any], on_none: {queue: {wait: 60s, max: 9}}}]\n";
    let builder = pointsman().file("p.yaml", policies).config(&config);
    let (desk, free) = (builder.key("desk", "desk"), builder.key("free", "desk"));
    let mut gateway = builder.start();
    gateway.with_key(&free);
    host.script_next(Fault::StallAfter(2));
    let stream = json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut running = gateway.request("POST", "/v1/chat/completions").json(&stream).send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    gateway.with_key(&desk);
    assert_eq!(gateway.post("/v1/chat/completions", &bounded("auto")).await.0, 503, "it may not wait");
    gateway.with_key(&free);
    let body = bounded("auto");
    let (waited, ()) = tokio::join!(gateway.post("/v1/chat/completions", &body), async { drop(running) });
    assert_eq!(waited.0, 200);
}

#[test]
fn a_quota_that_is_none_is_refused_with_its_place() {
    for (quota, why) in [
        ("{name: a}", "bounds nothing"),
        ("{name: a, match: {team: [dsk]}, limits: {concurrent: 1}}", "did you mean `desk`?"),
        ("{name: a, match: {model: [qwen3-32bb]}, limits: {concurrent: 1}}", "did you mean"),
        ("{name: a, match: {route: [nowhere]}, limits: {concurrent: 1}}", "there is no route `nowhere`"),
        ("{name: a, per: [user], limits: {concurrent: 1}}", "user"),
        ("{name: a, budget: {usd_per_day: 0}}", "usd_per_day"),
        ("{name: a, budget: {usd_per_day: 1, warn_at: 1}}", "warn_at"),
        ("{name: a b, limits: {concurrent: 1}}", "cannot be the name of a quota"),
        ("{name: a, limits: {tokens_per_second: 1}}", "tokens_per_second"),
    ] {
        let config = format!(
            "contexts: {{desk: {{use: internal, exposure: internal}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
             keys: keys.yaml\nquotas:\n  - {quota}\n"
        );
        let (code, out, error) = pointsman().config(&config).command(&["check", "--config", "pointsman.yaml"]);
        let said = format!("{out}{error}");
        assert!(code != 0 && said.contains(why) && said.contains("pointsman.yaml:"), "{quota}: {said}");
    }
}
