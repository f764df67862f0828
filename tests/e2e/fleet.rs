//! Several replicas behind one deployment: requests spread, one may die and come back, and the list of them may change.

#[cfg(feature = "kubernetes")]
mod kubernetes;

use std::{fmt::Write as _, time::Duration};

use scripted::{End, Host, Script};
use serde_json::json;
use tests::{Builder, Pointsman, chat};

use crate::pointsman;

/// A gateway with one deployment, whose replicas are told so.
fn gateway(replicas: &str, file: &str) -> Pointsman {
    start(builder(replicas).file("replicas.txt", file))
}

fn builder(replicas: &str) -> Builder {
    let config = format!(
        "policies: [routes.yaml]\ndeployments: [{{id: fleet, model: qwen3-32b, server: vllm, replicas: {replicas}}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         keys: keys.yaml\n"
    );
    // One attempt: what the fleet does not mend, the caller sees.
    let routes = "version: 1\nroutes: [{name: r, match: {model: auto}, candidates: [fleet], attempts: {max: 1}}]\n";
    pointsman().file("routes.yaml", routes).config(&config)
}

fn start(builder: Builder) -> Pointsman {
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    gateway
}

async fn hosts(script: &Script) -> [Host; 3] {
    let host = || async { Host::start(script.clone()).await.unwrap() };
    [host().await, host().await, host().await]
}

async fn ask(gateway: &Pointsman) -> u16 {
    gateway.chat("auto", "hi").await.0
}

/// The value of a gauge of the fleet.
async fn gauge(gateway: &Pointsman, name: &str) -> f64 {
    let (_, metrics) = gateway.send(tests::client().get(format!("{}/metrics", gateway.admin))).await;
    let line = format!("{name}{{deployment=\"fleet\"}} ");
    let text = metrics.as_str().unwrap();
    text.lines()
        .find_map(|row| row.strip_prefix(&line))
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

const ENDPOINTS: &str = "pointsman_fleet_endpoints";
const EJECTED: &str = "pointsman_fleet_ejected_endpoints";

#[tokio::test]
async fn a_replica_that_dies_costs_no_caller_a_request_and_takes_its_share_again_once_it_is_back() {
    let [first, second, third] = hosts(&Script::default()).await;
    let urls = [&first, &second, &third].map(Host::base_url);
    let gateway = gateway(&format!("{{urls: {}}}", json!(urls)), "");
    for _ in 0..60 {
        assert_eq!(ask(&gateway).await, 200);
    }
    let shares = [&first, &second, &third].map(|host| host.requests().len());
    assert_eq!(shares.iter().sum::<usize>(), 60);
    assert!(shares.iter().all(|share| *share >= 5), "20 each are expected, and a spread of 4: {shares:?}");

    let addr = third.addr();
    third.shutdown().await;
    let mut asked = 0;
    while gauge(&gateway, EJECTED).await < 1.0 {
        assert_eq!(ask(&gateway).await, 200, "its requests go to another");
        asked += 1;
        assert!(asked < 1000, "it is ejected");
    }

    let listener = tokio::net::TcpListener::bind(addr).await.expect("the port is still free");
    let third = Host::on(listener, Script::default()).unwrap();
    // It rests for five seconds at least; the first request after that is its probe.
    let begun = std::time::Instant::now();
    while third.requests().is_empty() {
        assert_eq!(ask(&gateway).await, 200);
        assert!(begun.elapsed() < tests::HANG, "it is tried again");
    }
    tests::until(|| Some(()).filter(|()| third.running() == 0)).await;
    assert_eq!(gauge(&gateway, EJECTED).await, 0.0);
    for _ in 0..60 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert!(third.requests().len() > 5, "{}", third.requests().len());
    assert_eq!(gauge(&gateway, ENDPOINTS).await, 3.0);
}

#[tokio::test]
async fn a_line_that_leaves_the_file_takes_no_new_request_and_its_streams_end_whole() {
    // Streams of 8 seconds: the file is read every two.
    let script = Script { chunks: 80, interval: Duration::from_millis(100), ..Script::default() };
    let [stays, leaves, comes] = hosts(&script).await;
    let line = |host: &Host| format!("{}\n", host.addr());
    let gateway = gateway("{file: replicas.txt}", &format!("# ours\n{}{}", line(&stays), line(&leaves)));
    let mut text = String::new();
    (0..100).for_each(|word| write!(text, "word{word} ").unwrap());
    let mut body = chat("auto", &text);
    body["stream"] = true.into();
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        answers.push(answer);
    }
    assert_eq!((stays.running(), leaves.running()), (2, 2), "the less busy one takes the next");

    let file = gateway.folder().join("replicas.txt");
    std::fs::write(&file, format!("{}{}", line(&stays), line(&comes))).unwrap();
    tests::until(|| (gateway.log().matches("the endpoints are others").count() == 2).then_some(())).await;
    assert_eq!(leaves.running(), 2, "its streams run on");
    // What cannot be read leaves them as they are.
    std::fs::write(&file, "# nobody\n").unwrap();
    tests::until(|| gateway.log().contains("no endpoints are found").then_some(())).await;
    assert_eq!(gauge(&gateway, ENDPOINTS).await, 2.0);
    let mut new = Vec::new();
    for _ in 0..4 {
        new.push(gateway.request("POST", "/v1/chat/completions").json(&body).send().await.unwrap());
    }
    assert!(comes.running() >= 2, "it is the less busy one");
    drop(new);
    for answer in answers {
        let events = tests::events(&answer.bytes().await.unwrap());
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        assert!(events.iter().any(|event| event.contains("\"finish_reason\":\"stop\"")), "{events:?}");
    }
    let ends: Vec<_> = leaves.requests().into_iter().map(|request| request.end).collect();
    assert_eq!(ends, [Some(End::Answered); 2], "and it was asked nothing more");
}

#[tokio::test]
async fn a_name_with_addresses_is_looked_up_before_the_first_request_is_sent() {
    let host = Host::start(Script::default()).await.unwrap();
    let gateway = gateway(&format!("{{dns: localhost, port: {}}}", host.addr().port()), "");
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!(host.requests().len(), 1);
}
