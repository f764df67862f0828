//! Models of the process that do not fit into its memory together.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Builder, Pointsman, chat};

use crate::pointsman;

/// Two deployments of the demo model, with what is said of each and of `local`.
fn config(of_each: &str, local: &str) -> String {
    format!(
        "policies: [routes.yaml]\ndiscover: false\nlocal: {local}\n\
         deployments:\n  - {{id: a, model: pointsman-demo, engine: native{of_each}}}\n  \
         - {{id: b, model: pointsman-demo, engine: native{of_each}}}\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         keys: keys.yaml\n"
    )
}

fn builder(of_each: &str, local: &str) -> Builder {
    let routes = "version: 1\nroutes:\n  - {name: a, match: {model: ask-a}, candidates: [a]}\n  \
                  - {name: b, match: {model: ask-b}, candidates: [b]}\n  \
                  - {name: either, match: {model: either}, prefer: {latency: 1}, candidates: [any]}\n";
    pointsman().file("routes.yaml", routes).config(&config(of_each, local))
}

fn started(of_each: &str, local: &str) -> Pointsman {
    let builder = builder(of_each, local);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    gateway
}

/// What the admin listener says of the models.
async fn local(gateway: &Pointsman) -> Value {
    let (status, ready) = gateway.send(tests::client().get(format!("{}/ready", gateway.admin))).await;
    assert_eq!(status, 200, "models that can be loaded make a gateway ready: {ready}");
    ready["local"].clone()
}

/// Room for one of them: 3.7 MiB of weights, and as much as twice that for 8 sequences of 512 tokens.
const ROOM_FOR_ONE: &str = "16MiB";

#[tokio::test]
async fn two_models_with_room_for_one_take_turns_and_every_request_is_answered() {
    let gateway = started(", load: demand", &format!("{{memory: {ROOM_FOR_ONE}}}"));
    assert!(gateway.banner.contains("built in, loaded on demand"), "{}", gateway.banner);
    let before = local(&gateway).await;
    assert_eq!(
        (&before["resident_bytes"], &before["models"]["a"]["state"]),
        (&json!(0), &json!("unloaded")),
        "{before}"
    );
    let ask = |n: u32| {
        let mut body = chat(if n.is_multiple_of(2) { "ask-a" } else { "ask-b" }, "What is Pointsman?");
        body["stream"] = n.is_multiple_of(3).into();
        let request = gateway.request("POST", "/v1/chat/completions").json(&body);
        async move {
            let response = request.send().await.unwrap();
            let of = response.headers()["x-pointsman-deployment"].to_str().unwrap().to_owned();
            assert_eq!(of, if n.is_multiple_of(2) { "a" } else { "b" });
            (response.status().as_u16(), response.text().await.unwrap())
        }
    };
    for (status, text) in join_all((0..60).map(ask)).await {
        assert_eq!(status, 200, "{text}");
    }
    let after = local(&gateway).await;
    let of = |id: &str, what: &str| after["models"][id][what].as_u64().unwrap();
    let loads = of("a", "loads") + of("b", "loads");
    assert!((2..=6).contains(&loads), "{after}");
    assert!(after["resident_bytes"].as_u64() <= after["memory_bytes"].as_u64(), "{after}");
    let (_, metrics) = gateway.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    for name in ["pointsman_model_loads_total{deployment=\"a\",result=\"ok\"}", "reason=\"room\""] {
        assert!(metrics.contains(name), "no `{name}` in:\n{metrics}");
    }
}

#[tokio::test]
async fn a_request_whose_model_is_not_loaded_is_refused_with_when_to_come_back_where_it_is_not_to_wait() {
    let gateway = started(", load: demand", "{while_loading: refuse}");
    let response = gateway.request("POST", "/v1/chat/completions").json(&chat("ask-a", "Hello")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-should-retry"]), (503, &"true".parse().unwrap()));
    assert!(response.headers().contains_key("retry-after"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "backend.loading", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("% done"), "{answer}");
    let loaded = async { while local(&gateway).await["models"]["a"]["state"] != "loaded" {} };
    tokio::time::timeout(tests::HANG, loaded).await.expect("it is loaded though it was refused");
    assert_eq!(gateway.chat("ask-a", "Hello").await.0, 200);
}

#[tokio::test]
async fn a_route_that_prefers_short_times_takes_the_model_that_is_loaded() {
    let gateway = started(", load: demand", "{}");
    assert_eq!(gateway.chat("ask-b", "Hello").await.0, 200);
    for _ in 0..5 {
        let response =
            gateway.request("POST", "/v1/chat/completions").json(&chat("either", "Hello")).send().await.unwrap();
        assert_eq!(response.headers()["x-pointsman-deployment"], "b");
    }
    assert_eq!(local(&gateway).await["models"]["a"]["loads"], 0);
    std::fs::write(gateway.folder().join("ask.json"), chat("either", "Hello").to_string()).unwrap();
    let (_, out, error) = gateway.command(&["explain", "--request", "ask.json", "--config", "pointsman.yaml"]);
    assert!(out.contains("its model is loaded first, in about 0.1 s"), "{out}{error}");
}

#[tokio::test]
async fn a_reload_keeps_what_is_loaded_and_heeds_what_is_said_anew_of_it() {
    let gateway = started(", load: demand", "{}");
    assert_eq!(gateway.chat("ask-a", "Hello").await.0, 200);
    let said = config(", load: demand, pinned: true", &format!("{{memory: {}}}", "48MiB"));
    assert_eq!(gateway.reload_with("pointsman.yaml", &said).await.0, 200);
    let now = local(&gateway).await;
    let a = &now["models"]["a"];
    assert_eq!((&a["state"], &a["loads"], &a["pinned"]), (&json!("loaded"), &json!(1), &json!(true)), "{now}");
    assert_eq!(now["memory_bytes"], 48 << 20);
    let (status, refused) = gateway.reload_with("pointsman.yaml", &config("", "{memory: 1MiB}")).await;
    assert_eq!(status, 422, "{refused}");
    assert_eq!(local(&gateway).await["memory_bytes"], 48 << 20, "what is refused changes nothing");
}

#[test]
fn models_that_have_to_be_in_memory_together_and_do_not_fit_are_refused_with_the_numbers() {
    let said = builder("", &format!("{{memory: {ROOM_FOR_ONE}}}")).refused();
    for part in ["loaded at the start (`a`", "MiB, `b`", "`local.memory` is 16.0 MiB", "load: demand"] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
    let said = builder(", load: demand", "{memory: 1MiB}").refused();
    assert!(said.contains("takes about") && said.contains("`local.memory` is 1.0 MiB"), "{said}");
}

#[tokio::test]
async fn a_file_that_was_replaced_by_one_under_a_stricter_licence_is_not_loaded() {
    let demo =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config/models/pointsman-demo.gguf");
    let weights = std::fs::read(demo).unwrap();
    let builder = pointsman().config(
        "deployments: [{id: mine, model: qwen3-0.6b, engine: native, path: model.gguf, load: demand}]\n\
         contexts: {office: {use: internal, exposure: internal}}\nteams: {all: {contexts: [office]}}\nkeys: keys.yaml\n",
    );
    let file = builder.folder().join("model.gguf");
    std::fs::write(&file, &weights).unwrap();
    let key = builder.key("all", "office");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let find = |bytes: &[u8], text: &str| bytes.windows(text.len()).position(|at| at == text.as_bytes()).unwrap();
    let mut stricter = weights.clone();
    let key = find(&weights, "general.license");
    let value = key + find(&weights[key..], "apache-2.0");
    stricter[value..value + 10].copy_from_slice(b"apple-amlr");
    std::fs::write(&file, stricter).unwrap();
    let (status, answer) = gateway.chat("qwen3-0.6b", "hi").await;
    assert_eq!(status, 502, "{answer}");
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(
        said.ends_with("its model could not be loaded)"),
        "what a file is called is not the caller's business: {said}"
    );
    let (_, ready) = gateway.send(tests::client().get(format!("{}/ready", gateway.admin))).await;
    let of = &ready["local"]["models"]["mine"];
    assert_eq!(of["state"], "failed", "{ready}");
    assert!(of["error"].as_str().unwrap().contains("the licence is `apple-amlr` (tier 4)"), "{ready}");
    assert!(gateway.log().contains("a model cannot be loaded"), "{}", gateway.log());
}
