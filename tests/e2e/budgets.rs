//! What may be spent: exact under load and faults, kept over a power cut, told to a webhook.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::join_all;
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;
use tokio::net::TcpListener;

use crate::pointsman;

/// A gateway whose team has this budget, at a host that takes a dollar for each token of an answer.
async fn world(budget: &str, more: &str) -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted, \
         price: {{input_usd_per_million: 0, output_usd_per_million: 1000000}}}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{desk: {{contexts: [desk], budget: {budget}}}}}\nkeys: keys.yaml\n{more}",
        host.base_url()
    );
    let builder = pointsman().env("HOOK_SECRET", "0123456789abcdef").config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

/// A chat whose answer has four tokens, and may have as many as it says.
fn body(max_tokens: u32) -> Value {
    json!({"model": "qwen3-32b", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hi"}]})
}

/// How the only budget stands.
async fn standing(gateway: &Pointsman) -> Value {
    let (_, quotas) = gateway.send(tests::client().get(format!("{}/quotas", gateway.admin))).await;
    quotas["quotas"][0]["budgets"][0].clone()
}

async fn spent(gateway: &Pointsman) -> f64 {
    standing(gateway).await["spent_usd"].as_f64().unwrap()
}

#[tokio::test]
async fn no_more_is_spent_than_may_be_however_many_ask_and_whatever_fails() {
    let (gateway, host) = world("{usd_per_month: 200}", "").await;
    let mut served = 0;
    for round in 0..4 {
        for fault in [Fault::CutAfter(2), Fault::Status(500, None), Fault::NoUsage, Fault::Reset] {
            host.script_next(fault);
        }
        // Each sets 8 USD aside and costs 4.
        let body = self::body(8);
        let all = join_all((0..32).map(|_| gateway.post("/v1/chat/completions", &body)));
        for (status, answer) in all.await {
            match status {
                200 => served += 1,
                429 => {
                    assert_eq!(answer["error"]["code"], "insufficient_quota", "{answer}");
                    let message = answer["error"]["message"].as_str().unwrap();
                    assert!(message.contains("team `desk` has spent what it may of 200 USD a month"), "{message}");
                }
                other => assert!((500..600).contains(&other), "{round}: {other} {answer}"),
            }
        }
    }
    // After the faults the deployment rests for a while.
    loop {
        match gateway.post("/v1/chat/completions", &body(8)).await.0 {
            200 => served += 1,
            429 => break,
            _ => tokio::task::yield_now().await,
        }
    }
    let costs: f64 = tests::until(|| {
        let (outcomes, decisions): (Vec<Value>, Vec<Value>) =
            gateway.ledger().into_iter().partition(|record| record["kind"] == "outcome");
        let cost = |record: &Value| record["cost_usd"].as_f64().unwrap_or_default();
        // A refusal has no outcome.
        let served = decisions.iter().filter(|decision| decision["verdict"] == "serve").count();
        (outcomes.len() == served).then(|| outcomes.iter().map(cost).sum())
    })
    .await;
    // One more would have been above it.
    assert!(costs <= 200.0 && costs > 192.0 && served >= 40, "{costs} USD for {served}");
    assert_eq!(spent(&gateway).await, costs, "what was set aside for those that failed is there again");
    let answer = gateway.request("POST", "/v1/chat/completions").json(&body(100)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-should-retry"]), (429, &"false".parse().unwrap()));
}

#[tokio::test]
async fn a_stream_that_its_caller_leaves_is_paid_for_as_far_as_it_came() {
    let (gateway, host) = world("{usd_per_day: 100}", "").await;
    host.script_next(Fault::StallAfter(2));
    let stream = json!({"model": "qwen3-32b", "max_tokens": 90, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut running = gateway.request("POST", "/v1/chat/completions").json(&stream).send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    assert_eq!(spent(&gateway).await, 90.0, "while it runs, all that it may cost is set aside");
    assert_eq!(gateway.post("/v1/chat/completions", &body(20)).await.0, 429);
    drop(running);
    while spent(&gateway).await >= 90.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.post("/v1/chat/completions", &body(20)).await.0, 200);
}

#[tokio::test]
async fn after_a_power_cut_no_less_is_taken_for_spent_than_was_and_about_two_hundredths_more_at_most() {
    let (mut gateway, _host) = world("{usd_per_week: 1000}", "").await;
    let mut before = 0.0;
    for round in 1..=4 {
        for _ in 0..10 {
            assert_eq!(gateway.post("/v1/chat/completions", &body(4)).await.0, 200);
        }
        before += 40.0;
        assert_eq!(spent(&gateway).await, before);
        gateway.kill_and_restart();
        // The account is opened by the first request.
        assert_eq!(gateway.post("/v1/chat/completions", &body(4)).await.0, 200);
        let after = spent(&gateway).await;
        assert!(after >= before + 4.0 && after <= before + 4.0 + 30.0, "{round}: {after} after {before}");
        before = after;
    }
}

#[tokio::test]
async fn a_reload_that_changes_a_budget_keeps_what_was_spent() {
    let (gateway, _host) = world("{usd_per_day: 100}", "").await;
    assert_eq!(gateway.post("/v1/chat/completions", &body(4)).await.0, 200);
    let config = std::fs::read_to_string(gateway.folder().join("pointsman.yaml")).unwrap();
    gateway.reload_with("pointsman.yaml", &config.replace("usd_per_day: 100", "usd_per_day: 6")).await;
    assert_eq!(gateway.post("/v1/chat/completions", &body(4)).await.0, 429);
    assert_eq!(spent(&gateway).await, 4.0);
}

#[tokio::test]
async fn a_webhook_is_told_once_that_a_budget_runs_out_and_once_that_it_is_used_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook =
        format!("webhook: {{url: \"http://{}/hook\", secret: \"${{HOOK_SECRET}}\"}}\n", listener.local_addr().unwrap());
    let (gateway, _host) = world("{usd_per_day: 20, warn_at: 0.5}", &hook).await;
    let receive = async || {
        let message = tests::posted(&listener).await;
        let body = String::from_utf8(message.body.clone()).unwrap();
        let signed = format!("{}.{}.{body}", message.header("webhook-id"), message.header("webhook-timestamp"));
        assert_eq!(message.header("webhook-signature"), format!("v1,{}", signature(&signed)));
        message.answer("204 No Content", "", b"").await;
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let ask = async || {
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(gateway.post("/v1/chat/completions", &body(4)).await.0);
        }
        statuses
    };
    let (statuses, (warned, stopped)) = tokio::join!(ask(), async { (receive().await, receive().await) });
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    let mut told = [warned, stopped];
    told.sort_by_key(|one| one["type"].to_string());
    assert_eq!((&told[0]["type"], &told[1]["type"]), (&json!("budget.used_up"), &json!("budget.warning")));
    assert!(
        told.iter().all(|one| one["quota"] == "desk" && one["every"] == "day" && one["budget_usd"] == 20.0),
        "{told:?}"
    );
    assert!(gateway.log().contains("a budget runs out"), "the log says so too");
    let log = gateway.log();
    assert!(!log.contains("0123456789abcdef") && !log.contains("did not take a message"), "{log}");
}

/// HMAC-SHA256 with the secret of the tests, by another library than the gateway's.
fn signature(message: &str) -> String {
    use hmac::{Hmac, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
    mac.update(message.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[test]
fn what_was_spent_that_cannot_be_read_stops_the_start_with_the_remedy() {
    let builder = pointsman()
        .config(
            "contexts: {desk: {use: internal, exposure: internal}}\nteams: {desk: {contexts: [desk], budget: {usd_per_day: 1}}}\n\
             keys: keys.yaml\ndata_dir: data\n",
        )
        .file("data/budgets.json", "half a fi");
    let said = builder.refused();
    assert!(said.contains("`budgets.json`") && said.contains("move it away"), "{said}");
}
