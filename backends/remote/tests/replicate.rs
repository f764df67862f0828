//! Replicate's predictions against a server that answers in the shapes of its documentation
//! (replicate.com/docs/reference/http, replicate.com/docs/topics/predictions/streaming).

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use backends::{Backend, BackendError, BackendId, Class, Event, FinishReason, Usage};
use catalog::Catalog;
use futures_util::{StreamExt, TryStreamExt};
use http::Method;
use remote::{Client, ClientOptions, Replicate, Secret, Target};
use serde_json::{Value, json};
use support::{
    canned::{self, Answer, Canned, Seen, answer, open_stream},
    chat,
};

const ID: &str = "gm3qorzdhgbfurvjtvhg6dckhu";
const CREATE: &str = "/v1/models/meta/llama-2-70b-chat/predictions";
const GET: &str = "/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu";
const CANCEL: &str = "/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu/cancel";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fn at(server: &Canned) -> Replicate {
    let host = Catalog::builtin();
    let target = Target::at_host(host.host("replicate").unwrap(), "meta/llama-2-70b-chat", Some(Secret::new("r8_key")));
    let target = Target { base_url: server.url("/v1"), ..target };
    Replicate::new(BackendId::new("r"), target, &Client::new(&ClientOptions::default()).unwrap()).unwrap()
}

fn prediction(status: &str, output: Value, more: Value) -> Value {
    let mut prediction = json!({
        "id": ID, "model": "meta/llama-2-70b-chat", "version": "hidden", "input": {"prompt": "hi"}, "logs": "",
        "output": output, "error": null, "status": status, "created_at": "2026-01-01T00:00:00.000Z",
        "urls": {"cancel": "https://api.replicate.com/v1/predictions/x/cancel", "get": "https://api.replicate.com/x"},
    });
    for (name, value) in more.as_object().unwrap() {
        prediction[name] = value.clone();
    }
    prediction
}

fn json_of(status: u16, body: &Value) -> Answer {
    canned::json(status, &[], body.to_string())
}

fn counts() -> Value {
    json!({"metrics": {"input_token_count": 12, "output_token_count": 2, "predict_time": 0.53}})
}

/// A server whose predictions have a stream of these events, and end with `last`.
async fn streaming(events: &'static str, stays_open: bool, last: Value) -> Canned {
    let stream = move |_: &Seen| match stays_open {
        true => open_stream(events),
        false => answer(200, &[("content-type", "text/event-stream")], events),
    };
    Canned::start(move |seen| match (seen.method.clone(), seen.path.as_str()) {
        (Method::POST, CREATE) => {
            let host = seen.headers["host"].to_str().unwrap();
            let urls = json!({"urls": {"stream": format!("http://{host}/stream")}});
            json_of(201, &prediction("starting", Value::Null, urls))
        }
        (Method::GET, "/stream") => stream(seen),
        (Method::GET, GET) => json_of(200, &last),
        (Method::POST, CANCEL) => json_of(200, &prediction("canceled", Value::Null, json!({}))),
        other => panic!("{other:?}"),
    })
    .await
}

/// A server whose predictions have no stream and stand, one question after the other, as `states` say; the last stays.
async fn polled(states: Vec<(u16, Value)>) -> Canned {
    let asked = AtomicUsize::new(0);
    Canned::start(move |seen| match (seen.method.clone(), seen.path.as_str()) {
        (Method::POST, CREATE) => json_of(201, &prediction("starting", Value::Null, json!({}))),
        (Method::GET, GET) => {
            let (status, state) = &states[asked.fetch_add(1, SeqCst).min(states.len() - 1)];
            json_of(*status, state)
        }
        (Method::POST, CANCEL) => json_of(200, &prediction("canceled", Value::Null, json!({}))),
        other => panic!("{other:?}"),
    })
    .await
}

/// The text, how it ended, and the counts; or the text up to the error.
async fn read(replicate: &Replicate) -> (String, Result<Usage, BackendError>) {
    let mut text = String::new();
    let mut events = match replicate.generate(chat(ASK)).await {
        Ok(events) => events,
        Err(error) => return (text, Err(error)),
    };
    let mut finished = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Delta(delta)) => text.push_str(&delta.text),
            Ok(Event::Finish { index: 0, reason: FinishReason::Stop }) => finished = true,
            Ok(Event::Usage(usage)) => {
                assert!(finished && events.next().await.is_none());
                return (text, Ok(usage));
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (text, Err(error)),
        }
    }
    panic!("the events ended without counts");
}

const TWO: Usage = Usage {
    prompt_tokens: 12,
    completion_tokens: 2,
    cached_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    cost_usd: None,
};

#[tokio::test]
async fn the_stream_is_read_and_the_counts_come_from_the_finished_prediction() {
    let events = "event: output\nid: 1690212292:0\ndata: Once upon\n\n: keep-alive\n\n\
        event: output\nid: 1690212293:0\ndata:  a\ndata: time\n\nevent: done\ndata: {}\n\n";
    let last = prediction("succeeded", json!(["Once upon", " a\ntime"]), counts());
    let server = streaming(events, false, last).await;
    let (text, usage) = read(&at(&server)).await;
    assert_eq!((text.as_str(), usage.unwrap()), ("Once upon a\ntime", TWO));
    let seen = server.seen();
    let created: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(created, json!({"input": {"prompt": "hi"}, "stream": true}));
    assert_eq!(seen[0].headers["authorization"], "Bearer r8_key");
    assert_eq!(seen[1].headers["accept"], "text/event-stream");
    assert!(!seen.iter().any(|seen| seen.path == CANCEL), "what has ended is not cancelled");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_followed_by_questions_and_nothing_is_said_twice() {
    let last = prediction("succeeded", json!(["Once", " upon", " a time"]), counts());
    let server = streaming("event: output\ndata: Once\n\n:408: 408 Request Timeout\n\n", false, last).await;
    let (text, usage) = read(&at(&server)).await;
    assert_eq!((text.as_str(), usage.unwrap()), ("Once upon a time", TWO));
}

#[tokio::test]
async fn each_bad_end_of_a_stream_is_an_error_after_the_text_so_far() {
    for (end, reason) in [
        (
            "event: error\ndata: {\"detail\":\"secret words\"}\n\nevent: done\ndata: {\"reason\":\"error\"}\n\n",
            "failed at",
        ),
        ("event: done\ndata: {\"reason\":\"error\"}\n\n", "failed at the host"),
        ("event: done\ndata: {\"reason\":\"canceled\"}\n\n", "was cancelled at the host"),
    ] {
        let events: &'static str = format!("event: output\ndata: Once\n\n{end}").leak();
        let server = streaming(events, true, Value::Null).await;
        let (text, usage) = read(&at(&server)).await;
        let error = usage.unwrap_err();
        assert_eq!(text, "Once");
        assert!(error.to_string().contains(reason) && !error.to_string().contains("secret"), "{error}");
        assert!(error.try_next(), "another candidate may do better");
    }
}

#[tokio::test]
async fn without_a_stream_the_prediction_is_asked_for_until_it_has_ended() {
    let states = vec![
        (200, prediction("starting", Value::Null, json!({}))),
        (500, json!({})),
        (200, prediction("processing", json!(["Once"]), json!({}))),
        (200, prediction("succeeded", json!(["Once", " upon"]), counts())),
    ];
    let server = polled(states).await;
    let (text, usage) = read(&at(&server)).await;
    assert_eq!((text.as_str(), usage.unwrap()), ("Once upon", TWO));
}

#[tokio::test]
async fn a_prediction_that_says_no_counts_counts_nothing() {
    let server = polled(vec![(200, prediction("succeeded", json!("Once"), json!({})))]).await;
    let (text, usage) = read(&at(&server)).await;
    assert_eq!((text.as_str(), usage.unwrap()), ("Once", Usage::default()));
}

#[tokio::test]
async fn each_bad_state_of_a_prediction_is_an_error() {
    for (states, reason) in [
        (vec![(200, prediction("failed", Value::Null, json!({"error": "secret words"})))], "the prediction failed"),
        (vec![(200, prediction("canceled", Value::Null, json!({})))], "was cancelled"),
        (vec![(200, prediction("aborted", Value::Null, json!({})))], "was cancelled"),
        (vec![(200, prediction("succeeded", json!([{"url": "x"}]), json!({})))], "something else than text"),
        (vec![(200, json!({"hello": 1}))], "did not answer with a prediction"),
        (vec![(404, json!({"detail": "gone"}))], "status 404"),
    ] {
        let server = polled(states).await;
        let error = read(&at(&server)).await.1.unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_sorted_as_with_any_host() {
    for (status, headers, class) in [
        (401, vec![], Class::Auth),
        (402, vec![], Class::Auth),
        (404, vec![], Class::ServerError),
        (422, vec![], Class::Caller),
        (
            429,
            vec![("retry-after", "7"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "7")],
            Class::TooManyRequests,
        ),
        (500, vec![], Class::ServerError),
    ] {
        let body = json!({"title": "x", "detail": "y", "status": status}).to_string();
        let server = Canned::start(move |_| canned::json(status, &headers, body.clone())).await;
        let replicate = at(&server);
        let error = read(&replicate).await.1.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        let load = replicate.load(&backends::Probe::default());
        assert_eq!((load.throttled_for.is_some(), load.running), (status == 429, 0));
    }
}

#[tokio::test]
async fn a_prediction_that_failed_at_once_is_refused_before_any_event() {
    let failed = prediction("failed", Value::Null, json!({"error": "no"}));
    let server = Canned::start(move |_| json_of(201, &failed)).await;
    assert!(at(&server).generate(chat(ASK)).await.is_err());
}

#[tokio::test]
async fn a_dropped_stream_cancels_the_prediction() {
    let server = streaming("event: output\ndata: Once\n\n", true, Value::Null).await;
    let replicate = at(&server);
    let mut events = replicate.generate(chat(ASK)).await.unwrap();
    assert!(matches!(events.try_next().await, Ok(Some(Event::Delta(_)))));
    assert_eq!(replicate.load(&backends::Probe::default()).running, 1);
    drop(events);
    let cancelled = server.wait_for(CANCEL).await;
    assert_eq!(
        (cancelled.method, &cancelled.headers["authorization"]),
        (Method::POST, &"Bearer r8_key".parse().unwrap())
    );
    assert_eq!(replicate.load(&backends::Probe::default()).running, 0);
}

#[tokio::test]
async fn a_caller_who_goes_away_while_it_is_created_cancels_the_prediction_too() {
    let server = polled(vec![(200, prediction("processing", Value::Null, json!({})))]).await;
    let replicate = Arc::new(at(&server));
    let asking = Arc::clone(&replicate);
    let caller = tokio::spawn(async move { asking.generate(chat(ASK)).await.map(drop) });
    server.wait_for(CREATE).await;
    caller.abort();
    server.wait_for(CANCEL).await;
}
