//! Requests that wait for a place at a deployment: in turn by team, and nobody is sent away who may wait.

use std::time::Duration;

use futures_util::future::join_all;
use scripted::{Host, Script};
use tests::{Pointsman, chat};

use crate::pointsman;

/// A gateway with one deployment that takes `places` requests at a time, the keys of two teams, and its host, whose
/// streams take a while.
async fn world(places: u32) -> (Pointsman, Host, [String; 2]) {
    let script = Script { chunks: 10, interval: Duration::from_millis(20), ..Script::default() };
    let host = Host::start(script).await.unwrap();
    let config = format!(
        "policies: [routes.yaml]\n\
         deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", max_concurrent: {places}}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{many: {{contexts: [desk]}}, few: {{contexts: [desk]}}}}\nkeys: keys.yaml\n",
        host.base_url()
    );
    let routes = "version: 1\nroutes: [{name: r, match: {model: auto}, candidates: [one], \
                  on_none: {queue: {wait: 60s, max: 200}}}]\n";
    let builder = pointsman().file("routes.yaml", routes).config(&config);
    let keys = ["many", "few"].map(|team| builder.key(team, "desk"));
    (builder.start(), host, keys)
}

/// A streamed answer to a text: its status.
async fn ask(gateway: &Pointsman, key: &str, text: &str) -> u16 {
    let mut body = chat("auto", text);
    body["stream"] = true.into();
    let request = gateway.request("POST", "/v1/chat/completions").bearer_auth(key).json(&body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{status} {text}");
    status
}

#[tokio::test]
async fn one_request_of_a_team_is_not_behind_all_those_that_another_team_has_sent() {
    let (gateway, host, [many, few]) = world(1).await;
    let (gateway, host) = (&gateway, &host);
    let crowd = join_all((0..12).map(|_| ask(gateway, &many, "one of many")));
    let alone = async {
        // By then the first of them runs, and some wait.
        tests::until(|| (!host.requests().is_empty()).then_some(())).await;
        ask(gateway, &few, "the only one").await
    };
    let (crowd, alone) = tokio::join!(crowd, alone);
    assert!(crowd.iter().all(|status| *status == 200) && alone == 200, "{crowd:?} {alone}");
    let requests = host.requests();
    assert_eq!(requests.len(), 13);
    let at =
        requests.iter().position(|request| String::from_utf8_lossy(&request.body).contains("the only one")).unwrap();
    assert!(at < 8, "it was served as number {at} of 13");
}

#[tokio::test]
async fn at_a_full_deployment_everyone_who_may_wait_is_served_in_the_end_and_once() {
    let (gateway, host, [many, few]) = world(4).await;
    let keys = [&many, &few];
    let answers = join_all((0..100).map(|at| ask(&gateway, keys[at % 2], "hi"))).await;
    assert_eq!(answers, [200; 100]);
    assert_eq!(host.requests().len(), 100, "none was sent twice");
}
