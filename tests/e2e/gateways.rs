//! Several gateways that serve together: limits and answers over a real Valkey, budgets and keys over a real PostgreSQL, while
//! those are there and while they are not.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::{
    Builder, Pointsman,
    servers::{Postgres, Valkey},
};

use crate::pointsman;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What all gateways of a test are configured with.
fn config(host: &Host, team: &str, fleet: &str) -> String {
    format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted, \
         price: {{input_usd_per_million: 0, output_usd_per_million: 1000000}}}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{desk: {{contexts: [desk]{team}}}, free: {{contexts: [desk]}}}}\nkeys: keys.yaml\nfleet: {fleet}\n",
        host.base_url()
    )
}

fn builder(config: &str, url: &str) -> Builder {
    pointsman().env("STORE", url).env("ANSWERS_KEY", KEY).config(config)
}

/// So many gateways with one configuration and one keys file, once each of them can ask the store; and the key.
async fn gateways(count: usize, config: &str, store: &str, url: &str) -> Vec<Pointsman> {
    let first = builder(config, url);
    let key = first.key("desk", "desk");
    let keys = std::fs::read_to_string(first.folder().join("keys.yaml")).unwrap();
    let others = (1..count).map(|_| builder(config, url).file("keys.yaml", &keys));
    let mut all: Vec<Pointsman> = [first].into_iter().chain(others).map(Builder::start).collect();
    for gateway in &mut all {
        gateway.with_key(&key);
        until_store(gateway, store, true).await;
    }
    all
}

/// Until a gateway can, or cannot, ask its store.
async fn until_store(gateway: &Pointsman, store: &str, up: bool) {
    let line = format!("pointsman_fleet_store_up{{store=\"{store}\"}} {}", u8::from(up));
    let began = Instant::now();
    loop {
        let metrics = tests::client().get(format!("{}/metrics", gateway.admin)).send().await.unwrap();
        if metrics.text().await.unwrap().contains(&line) {
            return;
        }
        assert!(began.elapsed() < tests::HANG, "the store never was {up}: {}", gateway.log());
        tokio::task::yield_now().await;
    }
}

fn body(max_tokens: u32) -> Value {
    json!({"model": "qwen3-32b", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hi"}]})
}

/// Sends so many requests by 64 clients at once, each to one gateway after the other; how many were served.
async fn served(gateways: &[Pointsman], count: usize) -> usize {
    let client = |nth: usize| async move {
        let mut served = 0;
        for at in (nth..count).step_by(64) {
            let (status, answer) = gateways[at % gateways.len()].post("/v1/chat/completions", &body(4)).await;
            match status {
                200 => served += 1,
                429 => assert_eq!(answer["error"]["code"], "rate_limit_exceeded", "{answer}"),
                other => panic!("{other}: {answer}"),
            }
        }
        served
    };
    join_all((0..64).map(client)).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn four_gateways_let_in_together_what_one_would_also_while_the_valkey_is_gone_and_when_it_comes_back_empty() {
    const LIMIT: usize = 600;
    let (host, mut valkey) = (Host::start(Script::default()).await.unwrap(), Valkey::start().await);
    let config =
        config(&host, &format!(", limits: {{requests_per_minute: {LIMIT}}}"), "{valkey: \"${STORE}\", gateways: 4}");
    let gateways = gateways(4, &config, "valkey", &valkey.url()).await;
    let began = Instant::now();
    // What a minute has at once, what drains, and half of what is there when all are asked within one word of each other.
    let most = |began: Instant| LIMIT + LIMIT / 2 + (began.elapsed().as_secs_f64() * LIMIT as f64 / 60.0) as usize + 4;
    let together = served(&gateways, 3 * LIMIT).await;
    let took = began.elapsed();
    let one = LIMIT as f64 + took.as_secs_f64() * LIMIT as f64 / 60.0;
    println!("four gateways: {together} of {} in {took:.1?}; one would have let in {one:.0}", 3 * LIMIT);
    assert!(together <= most(began), "{together}");
    assert!(together as f64 >= 0.9 * one, "{together} of {one}");
    assert_eq!(host.requests().len(), together, "what is refused reaches no host");

    valkey.kill();
    for gateway in &gateways {
        until_store(gateway, "valkey", false).await;
        let ready = tests::client().get(format!("{}/ready", gateway.admin)).send().await.unwrap();
        assert_eq!(ready.status(), 200, "it serves without");
    }
    let apart = served(&gateways, LIMIT).await;
    println!("without the Valkey: {apart} more, {} in {:.1?}", together + apart, began.elapsed());
    assert!(together + apart <= most(began), "{together} and {apart}");

    valkey.restart().await;
    for gateway in &gateways {
        until_store(gateway, "valkey", true).await;
    }
    let again = served(&gateways, LIMIT).await;
    println!("with an empty one: {again} more, {} in {:.1?}", together + apart + again, began.elapsed());
    assert!(together + apart + again <= most(began), "{together}, {apart} and {again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_shared_and_those_of_a_gateway_that_died_are_free_again() {
    let (host, valkey) = (Host::start(Script::default()).await.unwrap(), Valkey::start().await);
    let config = config(&host, ", limits: {concurrent: 8}", "{valkey: \"${STORE}\"}");
    let mut gateways = gateways(2, &config, "valkey", &valkey.url()).await;
    let stream = json!({"model": "qwen3-32b", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut running = Vec::new();
    let mut refused = 0;
    // Until nobody lets anybody in any more: eight, and at most half of what was free when they last heard of each other.
    while refused < 40 {
        for gateway in &gateways {
            host.script_next(Fault::StallAfter(2));
            let mut answer = gateway.request("POST", "/v1/chat/completions").json(&stream).send().await.unwrap();
            if answer.status() == 200 {
                assert!(answer.chunk().await.unwrap().is_some());
                running.push(answer);
            } else {
                assert_eq!(answer.status(), 429);
                refused += 1;
            }
        }
    }
    assert!((8..=12).contains(&running.len()), "{}", running.len());
    // The first one dies with its answers; what it had is free after its claim has run out.
    drop(gateways.remove(0));
    let began = Instant::now();
    loop {
        host.script_next(Fault::StallAfter(2));
        let mut answer = gateways[0].request("POST", "/v1/chat/completions").json(&stream).send().await.unwrap();
        if answer.status() == 200 {
            assert!(answer.chunk().await.unwrap().is_some());
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "its places never were free");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_one_gateway_is_another_ones_as_well_and_nobody_can_read_it_in_between() {
    let (host, mut valkey) = (Host::start(Script::default()).await.unwrap(), Valkey::start().await);
    let config =
        format!("{}policies: [p.yaml]\n", config(&host, "", "{valkey: \"${STORE}\", answers_key: \"${ANSWERS_KEY}\"}"));
    let policies = "version: 1\nroutes: [{name: r, match: {model: [auto]}, candidates: [any], reuse: {ttl: 10m}}]\n";
    let first = builder(&config, &valkey.url()).file("p.yaml", policies);
    let (desk, free) = (first.key("desk", "desk"), first.key("free", "desk"));
    let keys = std::fs::read_to_string(first.folder().join("keys.yaml")).unwrap();
    let second = builder(&config, &valkey.url()).file("p.yaml", policies).file("keys.yaml", &keys);
    let gateways = [first.start(), second.start()];
    let ask = async |gateway: &Pointsman, key: &str, text: &str| {
        let body =
            json!({"model": "auto", "temperature": 0, "stream": true, "messages": [{"role": "user", "content": text}]});
        let request = tests::client().post(format!("{}/v1/chat/completions", gateway.client)).bearer_auth(key);
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let told = answer.headers()["x-pointsman-cache"].to_str().unwrap().to_owned();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        (told, id, answer.bytes().await.unwrap())
    };
    let (told, id, bytes) = ask(&gateways[0], &desk, "a secret plan").await;
    assert_eq!(told, "miss");
    // It is shared beside the request.
    let shared = loop {
        let all = valkey.everything().await;
        if let Some(shared) = all.iter().find(|(name, _)| name.contains(":answer:")) {
            break shared.1.clone();
        }
        tokio::task::yield_now().await;
    };
    let reads = |word: &[u8]| shared.windows(word.len()).any(|window| window == word);
    assert!(shared.len() > bytes.len() && !reads(b"data:") && !reads(id.as_bytes()), "it is encrypted");
    let (told, again, same) = ask(&gateways[1], &desk, "a secret plan").await;
    assert_eq!((told.as_str(), &same), ("hit", &bytes), "to the byte");
    let decision = gateways[1].ledger().into_iter().find(|record| record["request"] == again.as_str()).unwrap();
    assert_eq!(decision["answer_of"], id, "{decision}");
    assert_eq!(ask(&gateways[1], &free, "a secret plan").await.0, "miss", "another team has nothing of it");
    assert_eq!(host.requests().len(), 2);
    valkey.kill();
    assert_eq!(ask(&gateways[1], &desk, "another plan").await.0, "miss", "without a Valkey it serves as before");
    assert_eq!(ask(&gateways[1], &desk, "a secret plan").await.0, "hit", "and has what it heard");
}

/// What all budgets together have drawn, as a gateway knows it.
async fn spent(gateway: &Pointsman) -> f64 {
    let (_, quotas) = gateway.send(tests::client().get(format!("{}/quotas", gateway.admin))).await;
    quotas["quotas"][0]["budgets"][0]["spent_usd"].as_f64().unwrap_or_default()
}

fn costs(gateways: &[Pointsman]) -> f64 {
    let records = gateways.iter().flat_map(Pointsman::ledger);
    records.filter(|record| record["kind"] == "outcome").filter_map(|record| record["cost_usd"].as_f64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn four_gateways_spend_one_budget_and_no_more_whatever_fails_and_whichever_dies() {
    const BUDGET: f64 = 400.0;
    let (host, postgres) = (Host::start(Script::default()).await.unwrap(), Postgres::start().await);
    let config = config(&host, ", budget: {usd_per_month: 400}", "{postgres: \"${STORE}\"}");
    let mut gateways = gateways(4, &config, "postgres", &postgres.url()).await;
    let mut served = 0;
    for round in 0..3 {
        for fault in [Fault::CutAfter(2), Fault::Status(500, None), Fault::NoUsage, Fault::Reset] {
            host.script_next(fault);
        }
        // Each sets 8 USD aside and costs 4.
        let body = self::body(8);
        let all = join_all((0..32).map(|nth| gateways[nth % 4].post("/v1/chat/completions", &body)));
        for (status, answer) in all.await {
            match status {
                200 => served += 1,
                429 => assert_eq!(answer["error"]["code"], "insufficient_quota", "{answer}"),
                other => assert!((500..600).contains(&other), "{round}: {other} {answer}"),
            }
        }
        // What it had drawn goes with it, and no more than that.
        gateways[round].kill_and_restart();
        until_store(&gateways[round], "postgres", true).await;
    }
    // After the faults the deployment rests for a while, and what others hold comes back.
    let began = Instant::now();
    let mut refused = 0;
    while refused < 200 && began.elapsed() < tests::HANG {
        for gateway in &gateways {
            match gateway.post("/v1/chat/completions", &body(8)).await.0 {
                200 => (served, refused) = (served + 1, 0),
                429 => refused += 1,
                _ => {}
            }
        }
    }
    let all = gateways.iter();
    let asked = join_all(all.map(spent)).await;
    let costs = costs(&gateways);
    println!("{served} served for {costs} of {BUDGET} USD; the gateways say {asked:?}");
    assert!(costs <= BUDGET, "{costs}");
    // Three gateways died with what they had set aside and drawn.
    assert!(costs >= BUDGET - 3.0 * 70.0 && served > 0, "{costs}");
    assert!(asked.iter().all(|spent| *spent >= costs), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_postgres_a_budget_lasts_as_far_as_it_was_drawn_and_what_has_none_is_served() {
    let (host, mut postgres) = (Host::start(Script::default()).await.unwrap(), Postgres::start().await);
    let config = config(&host, ", budget: {usd_per_month: 4000}", "{postgres: \"${STORE}\"}");
    let gateways = gateways(1, &config, "postgres", &postgres.url()).await;
    let ask = async || gateways[0].post("/v1/chat/completions", &body(4)).await;
    assert_eq!(ask().await.0, 200);
    postgres.stop();
    until_store(&gateways[0], "postgres", false).await;
    // A hundredth was drawn ahead.
    let mut more = 0;
    let refused = loop {
        let (status, answer) = ask().await;
        if status != 200 {
            break answer;
        }
        more += 1;
    };
    assert!((1..=12).contains(&more), "{more}");
    assert_eq!(refused["error"]["code"], "budget_unavailable", "{refused}");
    postgres.restart().await;
    until_store(&gateways[0], "postgres", true).await;
    assert_eq!(ask().await.0, 200);
    assert_eq!(spent(&gateways[0]).await, 4.0 * f64::from(more + 2), "nothing was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_for_all_gateways_and_taken_back_at_all() {
    let (host, mut postgres) = (Host::start(Script::default()).await.unwrap(), Postgres::start().await);
    let config = config(&host, "", "{postgres: \"${STORE}\"}");
    let (first, second) = (builder(&config, &postgres.url()), builder(&config, &postgres.url()));
    let old = first.key("desk", "desk");
    let gateways = [first.start(), second.start()];
    let status = async |gateway: &Pointsman, key: &str| {
        let request = tests::client().post(format!("{}/v1/chat/completions", gateway.client)).bearer_auth(key);
        request.json(&body(4)).send().await.unwrap().status().as_u16()
    };
    let until = async |gateway: &Pointsman, key: &str, wanted: u16| {
        let began = Instant::now();
        while status(gateway, key).await != wanted {
            assert!(began.elapsed() < tests::HANG, "never {wanted}: {}", gateway.log());
        }
    };
    let keys = |gateway: &Pointsman, arguments: &[&str]| {
        let (code, out, error) =
            gateway.command(&[&["keys"], arguments, &["--config", "pointsman.yaml", "--json"]].concat());
        (code, serde_json::from_str::<Value>(&out).unwrap_or_default(), error)
    };
    // The second gateway had no keys file.
    until(&gateways[1], &old, 200).await;
    let (code, made, error) = keys(&gateways[1], &["new", "--team", "desk", "--context", "desk"]);
    assert_eq!(code, 0, "{error}");
    let (id, new) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    until(&gateways[0], new, 200).await;
    assert_eq!(status(&gateways[0], &old).await, 200, "the others stay");
    let began = Instant::now();
    assert_eq!(keys(&gateways[0], &["revoke", id]).0, 0);
    until(&gateways[1], new, 401).await;
    println!("a key that was revoked at one gateway was refused at the other after {:.1?}", began.elapsed());

    postgres.stop();
    let (code, _, error) = keys(&gateways[0], &["new", "--team", "desk", "--context", "desk"]);
    assert!(code != 0 && error.contains("its keys cannot be changed"), "{error}");
    assert_eq!(status(&gateways[1], &old).await, 200, "those that are known are good");
    let before = std::fs::read_to_string(gateways[0].folder().join("keys.yaml")).unwrap();
    assert_eq!(before.matches("\"id\":").count(), 2, "{before}");
    postgres.restart().await;
    let (code, made, error) = keys(&gateways[0], &["new", "--team", "desk", "--context", "desk"]);
    assert_eq!(code, 0, "{error}");
    until(&gateways[1], made["key"].as_str().unwrap(), 200).await;
}

#[test]
fn a_fleet_that_cannot_be_is_refused_with_its_place_and_no_secret() {
    for (fleet, code) in [
        ("{}", "no-store"),
        ("{valkey: \"ftp://somewhere\"}", "bad-url"),
        ("{postgres: \"redis://somewhere\"}", "bad-url"),
        ("{valkey: \"redis://me:hunter2@somewhere\"}", "literal-key"),
        ("{postgres: \"postgres://me:hunter2@somewhere/x\"}", "literal-key"),
        ("{valkey: \"${STORE}\", answers_key: \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"}", "literal-key"),
        ("{valkey: \"${STORE}\", answers_key: \"${STORE}\"}", "bad-key"),
        ("{postgres: \"postgres://somewhere/x\", answers_key: \"${ANSWERS_KEY}\"}", "no-store"),
        ("{valkey: \"${STORE}\", gateways: 0}", "out-of-range"),
        ("{valkey: \"${STORE}\", name: \"a b\"}", "bad-name"),
    ] {
        let config =
            format!("contexts: {{desk: {{use: internal, exposure: internal}}}}\nkeys: keys.yaml\nfleet: {fleet}\n");
        let builder = builder(&config, "redis://me:hunter2@somewhere");
        let (status, out, error) = builder.command(&["check", "--config", "pointsman.yaml"]);
        let said = format!("{out}{error}");
        assert!(status != 0 && said.contains(code), "{fleet}: {said}");
        assert!(fleet.contains("hunter2") || !said.contains("hunter2"), "{said}");
    }
}
