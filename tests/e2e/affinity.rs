//! The next request of a conversation goes to the place that has its prompt cached, over real sockets: as far as the hosts
//! themselves count. Load, choice and bounds are proved in simulated time, beside what makes them; here each request
//! comes alone.

use std::collections::BTreeMap;

use scripted::{Asked, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

const SEED: u64 = 7;
const BLOCKS: usize = 20_000;

async fn hosts() -> Vec<Host> {
    let mut hosts = Vec::new();
    for _ in 0..4 {
        hosts.push(Host::start(Script { cached_blocks: BLOCKS, ..Script::default() }).await.unwrap());
    }
    hosts
}

/// A gateway with these deployments, and a key for each team.
fn gateway(deployments: &str, work: &[Asked]) -> (Pointsman, BTreeMap<usize, String>) {
    let teams: BTreeMap<String, Value> =
        work.iter().map(|asked| (format!("team-{}", asked.team), json!({"contexts": ["desk"]}))).collect();
    let config = format!(
        "policies: [routes.yaml]\ndeployments: {deployments}\nteams: {}\nkeys: keys.yaml\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n",
        json!(teams)
    );
    let routes = "version: 1\nroutes: [{name: r, match: {model: auto}, prefer: {cost: 1}, candidates: [any]}]\n";
    let builder = pointsman().file("routes.yaml", routes).config(&config);
    let keys = work.iter().map(|asked| asked.team).collect::<std::collections::BTreeSet<_>>();
    let keys = keys.into_iter().map(|team| (team, builder.key(&format!("team-{team}"), "desk"))).collect();
    (builder.start(), keys)
}

/// Asks all of it, one after the other; the share of prompt tokens that the hosts report as cached, over what one
/// cache for all would have had.
async fn reused((gateway, keys): (Pointsman, BTreeMap<usize, String>), work: &[Asked]) -> f64 {
    let mut cached = 0;
    for asked in work {
        let messages: Vec<Value> =
            asked.turns.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
        let body = json!({"model": "auto", "messages": messages, "max_tokens": 100});
        let request = tests::client().post(format!("{}/v1/chat/completions", gateway.client));
        let (status, answer) = gateway.send(request.bearer_auth(&keys[&asked.team]).json(&body)).await;
        assert_eq!(status, 200, "{answer}");
        cached += answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() as usize;
    }
    let (_, best) = scripted::at_best(work, 4 * BLOCKS);
    println!("{} requests: {cached} tokens cached, {best} in one cache for all", work.len());
    cached as f64 / best as f64
}

#[tokio::test]
async fn conversations_go_on_at_the_deployment_that_has_their_prompt() {
    let (hosts, work) = (hosts().await, scripted::conversations(20, SEED));
    let price =
        json!({"input_usd_per_million": 1.0, "cached_input_usd_per_million": 0.1, "output_usd_per_million": 1.0});
    let deployment = |(at, host): (usize, &Host)| json!({"id": format!("d{at}"), "model": "qwen3-32b", "server": "vllm", "base_url": host.base_url(), "price": price});
    let deployments: Vec<Value> = hosts.iter().enumerate().map(deployment).collect();
    let reused = reused(gateway(&json!(deployments).to_string(), &work), &work).await;
    assert!(reused >= 0.95, "{reused}");
}

#[tokio::test]
async fn conversations_go_on_at_the_replica_that_has_their_prompt() {
    let (hosts, work) = (hosts().await, scripted::conversations(20, SEED));
    let urls: Vec<String> = hosts.iter().map(Host::base_url).collect();
    let fleet = json!([{"id": "fleet", "model": "qwen3-32b", "server": "vllm", "replicas": {"urls": urls}}]);
    let reused = reused(gateway(&fleet.to_string(), &work), &work).await;
    assert!(reused >= 0.95, "{reused}");
}

#[tokio::test]
async fn a_conversation_goes_elsewhere_when_its_place_fails_and_stays_there() {
    let hosts = hosts().await;
    let work = scripted::conversations(1, SEED);
    let urls: Vec<String> = hosts.iter().map(Host::base_url).collect();
    let fleet = json!([{"id": "fleet", "model": "qwen3-32b", "server": "vllm", "replicas": {"urls": urls}}]);
    let (gateway, keys) = gateway(&fleet.to_string(), &work);
    let body = |text: &str| json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
    let ask = async |text: &str| {
        let request = tests::client().post(format!("{}/v1/chat/completions", gateway.client));
        let (status, answer) = gateway.send(request.bearer_auth(&keys[&work[0].team]).json(&body(text))).await;
        assert_eq!(status, 200, "{answer}");
        answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap()
    };
    let mut text = "once upon a time ".repeat(200);
    assert_eq!(ask(&text).await, 0);
    let at = hosts.iter().position(|host| !host.requests().is_empty()).unwrap();
    let mut hosts = hosts;
    hosts.remove(at).shutdown().await;
    text += &"and then ".repeat(200);
    assert_eq!(ask(&text).await, 0, "nobody else has it");
    text += &"and then ".repeat(200);
    // One request in a hundred is sent elsewhere; two in a row hardly ever.
    assert!(ask(&text).await > 0 || ask(&text).await > 0);
}
