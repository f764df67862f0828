//! Hosts that speak the caller's own API (`speaks`): its bytes go there and theirs come back.

use reqwest::{
    Client,
    header::{HeaderMap, HeaderValue},
};
use scripted::{Fault, Host, Script};
use serde_json::json;
use tests::Pointsman;

use crate::pointsman;

/// Spaces, orders, spellings and fields that no serialiser would give back.
const MESSAGES: &str = r#"{ "max_tokens":50,  "model":"qwen3-32b",
 "system":[{"type":"text","text":"Be \u0073hort.","cache_control":{"type":"ephemeral"}}], "thinking":{"type":"adaptive"},
 "output_config":{"effort":"high"}, "x_unknown":[1e2,1.50,{"b":1,"a":2}],
 "messages":[{"role":"user","content":"caf\u00e9 東京 🎉"}], "stream":STREAM }"#;

const RESPONSES: &str = r#"{ "store":false,"model":"qwen3-32b" , "include":["reasoning.encrypted_content"],
 "reasoning":{"effort":"low"}, "prompt_cache_key":"k", "input":[{"role":"user","content":[{"type":"input_text","text":"caf\u00e9"}]}],
 "stream":STREAM}"#;

/// A gateway with a deployment that speaks all three APIs, by this name there, and another that speaks chat alone.
async fn world(name: &str) -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments:\n  - {{id: one, model: qwen3-32b, server: vllm, base_url: \"{url}\", name: \"{name}\", speaks: [messages, responses]}}\n  \
         - {{id: two, model: qwen3-8b, server: vllm, base_url: \"{url}\", name: second}}\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         keys: keys.yaml\npolicies: [routes.yaml]\n",
        url = host.base_url()
    );
    let routes = "version: 1\nroutes:\n  - {name: both, match: {model: both}, candidates: [one, two]}\n";
    let builder = pointsman().config(&config).file("routes.yaml", routes);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

async fn through(gateway: &Pointsman, path: &str, body: &str) -> (u16, HeaderMap, String) {
    let request = gateway.request("POST", path).header("content-type", "application/json").body(body.to_owned());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
}

#[tokio::test]
async fn requests_and_answers_of_an_api_that_both_sides_speak_pass_byte_for_byte() {
    let (gateway, host) = world("qwen3-32b").await;
    for (path, body) in [("/v1/messages", MESSAGES), ("/v1/responses", RESPONSES)] {
        for stream in ["false", "true"] {
            let body = body.replace("STREAM", stream);
            let (status, headers, answer) = through(&gateway, path, &body).await;
            assert_eq!(status, 200, "{answer}");
            let received = host.requests().pop().unwrap();
            assert_eq!((received.path.as_str(), &*received.body), (path, body.as_bytes()));
            let direct = format!("{}{}", host.base_url(), path.trim_start_matches("/v1"));
            let direct = Client::new().post(direct).body(body).send().await.unwrap().text().await.unwrap();
            assert_eq!(answer, direct, "{path}, streamed: {stream}");
            assert!(!headers.contains_key("x-pointsman-left-out"), "nothing was left out: {headers:?}");
            let version = received.headers.get("anthropic-version").map(HeaderValue::as_bytes);
            assert_eq!(version, (path == "/v1/messages").then_some(&b"2023-06-01"[..]));
        }
    }
}

#[tokio::test]
async fn a_model_that_goes_by_another_name_there_is_all_that_changes() {
    let (gateway, host) = world("other/name").await;
    let body = MESSAGES.replace("STREAM", "false");
    assert_eq!(through(&gateway, "/v1/messages", &body).await.0, 200);
    let sent = host.requests().pop().unwrap().body;
    assert_eq!(std::str::from_utf8(&sent).unwrap(), body.replace("\"qwen3-32b\"", "\"other/name\""));
}

#[tokio::test]
async fn what_the_host_counts_in_its_own_way_is_recorded_in_ours() {
    let (gateway, _host) = world("qwen3-32b").await;
    for stream in ["false", "true"] {
        let (_, headers, _) = through(&gateway, "/v1/messages", &MESSAGES.replace("STREAM", stream)).await;
        let usage = gateway.outcome(headers["x-request-id"].to_str().unwrap()).await;
        // Three words were asked; three tokens came from a cache, which Anthropic counts beside them.
        let (prompt, cached) = (usage["prompt_tokens"].as_u64().unwrap(), usage["cached_tokens"].as_u64().unwrap());
        assert_eq!((prompt, cached), (6, 3), "{usage}");
        assert!(usage["completion_tokens"].as_u64().unwrap() > 0, "{usage}");
    }
}

#[tokio::test]
async fn a_response_that_is_kept_or_offers_tools_that_run_elsewhere_is_translated() {
    let (gateway, host) = world("qwen3-32b").await;
    let chat = "/v1/chat/completions";
    let kept = json!({"model": "qwen3-32b", "input": "hi"});
    let tools = json!({"model": "qwen3-32b", "input": "hi", "store": false, "tools": [{"type": "web_search"}]});
    for body in [kept, tools] {
        let (status, _, answer) = through(&gateway, "/v1/responses", &body.to_string()).await;
        assert_eq!((status, host.requests().pop().unwrap().path.as_str()), (200, chat), "{answer}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_one_error_in_the_callers_api() {
    for (path, body, last) in
        [("/v1/messages", MESSAGES, "event: error\n"), ("/v1/responses", RESPONSES, "event: response.failed\n")]
    {
        for fault in ["fault-cut-after-6", "fault-error-event"] {
            let (gateway, _host) = world(fault).await;
            let (status, headers, answer) = through(&gateway, path, &body.replace("STREAM", "true")).await;
            assert_eq!(status, 200, "{answer}");
            let events: Vec<&str> = answer.split_terminator("\n\n").collect();
            let terminals = events.iter().filter(|event| event.starts_with(last.trim_end())).count();
            assert!(terminals == 1 && events.last().unwrap().starts_with(last.trim_end()), "{fault}: {answer}");
            assert_eq!(
                events.iter().filter(|event| event.contains("\"response.created\"")).count() as u8,
                u8::from(path == "/v1/responses")
            );
            let outcome = gateway.outcome(headers["x-request-id"].to_str().unwrap()).await;
            assert_eq!(outcome["status"], "broken", "{fault}");
        }
    }
}

#[tokio::test]
async fn an_end_that_the_host_leaves_out_is_told_and_one_that_nobody_gave_is_not() {
    let (gateway, _host) = world("fault-no-done").await;
    let (_, _, answer) = through(&gateway, "/v1/messages", &MESSAGES.replace("STREAM", "true")).await;
    assert_eq!(answer.matches("event: message_stop").count(), 1, "{answer}");
    let (gateway, _host) = world("fault-no-finish").await;
    let (_, _, answer) = through(&gateway, "/v1/messages", &MESSAGES.replace("STREAM", "true")).await;
    assert!(answer.contains("event: error") && !answer.contains("message_stop"), "{answer}");
}

#[tokio::test]
async fn an_error_before_the_first_piece_goes_on_to_a_candidate_that_speaks_chat_alone() {
    let (gateway, host) = world("qwen3-32b").await;
    for stream in ["false", "true"] {
        host.script_next(Fault::ErrorFirst(503));
        let body = MESSAGES.replace("STREAM", stream).replace("qwen3-32b", "both");
        let (status, headers, answer) = through(&gateway, "/v1/messages", &body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(headers["x-pointsman-deployment"], "two");
        let paths: Vec<String> = host.requests().iter().rev().take(2).map(|it| it.path.clone()).collect();
        assert_eq!(paths, ["/v1/chat/completions", "/v1/messages"], "the latest first");
        assert_eq!(headers["x-pointsman-left-out"], "output_config.effort");
        assert!(answer.contains("end_turn"), "{answer}");
    }
}
