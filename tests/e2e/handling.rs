//! What a route does with a request beside choosing: splits, mirroring, groups of attempts, waiting; and explaining a
//! request of the ledger.

use reqwest::StatusCode;
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::{Pointsman, chat};

use crate::pointsman;

/// Two deployments at two scripted hosts under one route, whose rest is `handling`.
struct World {
    gateway: Pointsman,
    first: Host,
    second: Host,
}

async fn world(handling: &str) -> World {
    let (first, second) =
        (Host::start(Script::default()).await.unwrap(), Host::start(Script::default()).await.unwrap());
    let config = format!(
        r#"
policies: [routes.yaml]
discover: false
deployments:
  - {{id: first, model: qwen3-32b, server: vllm, base_url: "{}", hardware: h100}}
  - {{id: second, model: kanana-1.5-8b, server: vllm, base_url: "{}"}}
contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}
teams: {{desk: {{contexts: [desk]}}}}
keys: keys.yaml
"#,
        first.base_url(),
        second.base_url()
    );
    let routes = format!("version: 1\nroutes:\n  - name: r\n    match: {{model: auto}}\n{handling}");
    let builder = pointsman().file("routes.yaml", &routes).config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    World { gateway, first, second }
}

impl World {
    /// The answer's status, its headers and its text.
    async fn ask(&self, body: &Value) -> (u16, reqwest::header::HeaderMap, String) {
        let response = self.gateway.request("POST", "/v1/chat/completions").json(body).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.text().await.unwrap())
    }

    async fn record(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        tests::until(|| self.gateway.ledger().into_iter().find(|record| wanted(record))).await
    }
}

#[tokio::test]
async fn a_key_stays_on_its_arm_and_answers_and_records_name_it() {
    let split = "    split: {by: key, arms: [{name: a, weight: 1, candidates: [first]}, {name: b, weight: 1}]}\n    \
                 candidates: [second]\n";
    let world = world(split).await;
    let mut arms = Vec::new();
    for _ in 0..4 {
        let (status, headers, _) = world.ask(&chat("auto", "hi")).await;
        assert_eq!(status, 200);
        let arm = headers["x-pointsman-arm"].to_str().unwrap().to_owned();
        let expected = if arm == "a" { "first" } else { "second" };
        assert_eq!(headers["x-pointsman-deployment"], expected);
        arms.push(arm);
    }
    assert!(arms.windows(2).all(|pair| pair[0] == pair[1]), "{arms:?}");
    assert_eq!(world.record(|record| record["kind"] == "decision").await["arm"], arms[0].as_str());
}

#[tokio::test]
async fn a_mirrored_request_is_recorded_and_its_answer_never_shown() {
    let world = world("    candidates: [first]\n    shadow: {share: 1, candidates: [second]}\n").await;
    for stream in [false, true] {
        let mut body = chat("auto", "ping");
        body["stream"] = stream.into();
        let (status, headers, text) = world.ask(&body).await;
        assert_eq!((status, &headers["x-pointsman-deployment"]), (200, &"first".parse().unwrap()));
        assert!(text.contains("ping"), "{text}");
        let id = headers["x-request-id"].to_str().unwrap().to_owned();
        let shadow = format!("{id}-shadow");
        let outcome = world.record(|record| record["kind"] == "outcome" && record["request"] == shadow.as_str()).await;
        assert_eq!((&outcome["status"], &outcome["deployment"]), (&json!("completed"), &json!("second")), "{outcome}");
        assert!(outcome["completion_tokens"].as_u64().unwrap() > 0, "{outcome}");
        let decision =
            world.record(|record| record["kind"] == "decision" && record["request"] == shadow.as_str()).await;
        assert_eq!((&decision["shadow_of"], &decision["verdict"]), (&json!(id), &json!("serve")));
        assert_eq!(decision["candidates"].as_array().map(Vec::len), Some(1));
        let own = world.record(|record| record["kind"] == "decision" && record["request"] == id.as_str()).await;
        assert_eq!((&own["shadow_of"], &own["candidates"][0]["deployment"]), (&Value::Null, &json!("first")));
    }
    assert_eq!((world.first.requests().len(), world.second.requests().len()), (2, 2));
    let (_, metrics) = world.gateway.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("pointsman_mirrored_requests_total{result=\"sent\"} 2"), "{metrics}");
}

#[tokio::test]
async fn a_mirror_that_hangs_or_fails_takes_nothing_from_the_caller() {
    let world = world("    candidates: [first]\n    shadow: {share: 1, candidates: [second]}\n").await;
    for fault in [Fault::Silent, Fault::Status(500, None)] {
        world.second.script_next(fault);
        assert_eq!(world.ask(&chat("auto", "hi")).await.0, 200);
    }
    let failed = world.record(|record| record["kind"] == "outcome" && record["status"] == "failed").await;
    assert!(failed["request"].as_str().unwrap().ends_with("-shadow"), "{failed}");
    assert_eq!(failed["tried"].as_array().map(Vec::len), Some(1), "a mirror is tried once");
}

#[tokio::test]
async fn a_candidate_that_answers_a_failure_is_asked_after_it_alone() {
    let handling = "    candidates: [first, second]\n    attempts: {groups: [{candidates: [second], after: [context_too_long]}]}\n";
    let world = world(handling).await;
    world.first.script_next(Fault::ContextTooLong);
    let (status, headers, _) = world.ask(&chat("auto", "hi")).await;
    assert_eq!((status, &headers["x-pointsman-deployment"]), (200, &"second".parse().unwrap()));
    world.first.script_next(Fault::Status(500, None));
    let (status, _, text) = world.ask(&chat("auto", "hi")).await;
    assert_eq!(status, 502, "{text}");
    assert_eq!(world.second.requests().len(), 1, "a 500 is not what it answers");
}

#[tokio::test]
async fn a_request_waits_for_a_deployment_that_rests_and_is_then_served() {
    let world = world("    candidates: [first]\n    on_none: {queue: {wait: 30s}}\n").await;
    for _ in 0..3 {
        world.first.script_next(Fault::Status(500, None));
    }
    // Until the breaker opens; then the next one waits, and is the probe.
    let mut answers = Vec::new();
    while answers.last() != Some(&200) {
        answers.push(world.ask(&chat("auto", "hi")).await.0);
        assert!(answers.len() < 10, "{answers:?}");
    }
    assert_eq!(answers, [502, 502, 502, 200], "nobody was told that nothing is healthy");
}

#[tokio::test]
async fn a_request_of_the_ledger_is_explained_under_the_policies_of_now() {
    let world = world("    candidates: [first, second]\n").await;
    let (_, headers, _) = world.ask(&chat("auto", "hi")).await;
    let id = headers["x-request-id"].to_str().unwrap();
    let explain = |more: &[&str]| {
        let arguments =
            [&["explain", "--decision", id, "--config", "pointsman.yaml", "--data-dir", "data"], more].concat();
        world.gateway.command(&arguments)
    };
    let (code, out, error) = explain(&[]);
    assert_eq!(code, 0, "{error}");
    for part in [
        "by this configuration: route r, verdict serve, served by first, completed",
        "now, with nothing measured",
        "1  first",
    ] {
        assert!(out.contains(part), "no `{part}` in:\n{out}");
    }
    let json: Value = serde_json::from_str(&explain(&["--json"]).1).unwrap();
    assert_eq!((&json["recorded"]["outcome"]["deployment"], &json["plan"]["route"]), (&json!("first"), &json!("r")));
    let arguments = ["explain", "--decision", "req_none", "--config", "pointsman.yaml", "--data-dir", "data"];
    let (code, _, error) = world.gateway.command(&arguments);
    assert!(code == 1 && error.contains("has no request `req_none`"), "{error}");
}

#[tokio::test]
async fn a_parameter_that_a_host_lacks_is_left_out_where_the_route_says_so_and_everybody_is_told() {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "policies: [routes.yaml]\ndiscover: false\n\
         deployments: [{{id: one, model: qwen3-32b, host: cerebras, name: m, key: \"${{K}}\", base_url: \"{}\"}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         keys: keys.yaml\n",
        host.base_url()
    );
    let routes = "version: 1\nroutes:\n  - {name: lenient, match: {model: auto}, leave_out: [penalties, logit_bias], \
                  candidates: [one]}\n  - {name: strict, match: {model: exact}, candidates: [one]}\n";
    let builder = pointsman().file("routes.yaml", routes).config(&config).env("K", "k");
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let mut body = chat("auto", "hi");
    body["presence_penalty"] = json!(0.5);
    body["logit_bias"] = json!({"5": 1});
    let response = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-pointsman-left-out"], "logit_bias, penalties");
    let sent: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
    assert_eq!((sent.get("presence_penalty"), sent.get("logit_bias")), (None, None));
    assert_eq!(sent["max_tokens"], body["max_tokens"]);
    let decision = tests::until(|| gateway.ledger().into_iter().find(|record| record["kind"] == "decision")).await;
    assert_eq!(decision["candidates"][0]["leaves_out"], json!(["logit_bias", "penalties"]));

    body["model"] = json!("exact");
    let response = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.text().await.unwrap().contains("`logit_bias`"));
    let response = gateway.request("POST", "/v1/chat/completions").json(&chat("exact", "hi")).send().await.unwrap();
    assert!(response.status() == StatusCode::OK && !response.headers().contains_key("x-pointsman-left-out"));
}

#[tokio::test]
async fn teams_are_kept_apart_in_the_cache_of_a_server_whatever_a_caller_says() {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "discover: false\npolicies: [routes.yaml]\ndeployments:\n\
         - {{id: apart, model: qwen3-32b, server: vllm, base_url: \"{0}\", name: m}}\n\
         - {{id: shared, model: qwen3-8b, server: vllm, base_url: \"{0}\", name: m, shared_cache: true}}\n\
         - {{id: unsalted, model: phi-4, server: tgi, base_url: \"{0}\", name: m}}\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{a: {{contexts: [desk]}}, b: {{contexts: [desk]}}}}\nkeys: keys.yaml\n",
        host.base_url()
    );
    let routes = "version: 1\nroutes: [{name: r, match: {model: auto}, candidates: [apart]}]\n";
    let builder = pointsman().file("routes.yaml", routes).config(&config);
    let keys = ["a", "b"].map(|team| builder.key(team, "desk"));
    let gateway = builder.start();
    let ask = async |model: &str, key: &str| {
        let mut body = chat(model, "hi");
        body["cache_salt"] = json!("that of another");
        let request = gateway.request("POST", "/v1/chat/completions").bearer_auth(key).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 200);
        let sent: Value = serde_json::from_slice(&host.requests().pop().unwrap().body).unwrap();
        sent["cache_salt"].as_str().unwrap().to_owned()
    };
    let (first, second) = (ask("apart", &keys[0]).await, ask("apart", &keys[1]).await);
    assert!(first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert!(first != second && first == ask("apart", &keys[0]).await);
    for model in ["shared", "unsalted"] {
        assert_eq!(ask(model, &keys[0]).await, "that of another", "{model} is not told whose it is");
    }
}
