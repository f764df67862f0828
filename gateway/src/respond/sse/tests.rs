//! A stream's terminals, deadlines and heartbeats, on paused time.

use std::future::poll_fn;

use backends::{Api, Delta, FinishReason, Frame, Input, Payload, Request, Usage};
use futures_util::{StreamExt as _, stream};

use super::*;
use crate::{
    dispatch::stats::{Epoch, Size, Stats},
    respond::Told,
    runtime::Deployed,
    wire::Manner,
};

const IDLE: Duration = Duration::from_secs(20);

fn request(include_usage: bool) -> Request {
    Request {
        stream: true,
        include_usage,
        ..Request::new(
            "req_1",
            Api::Chat,
            Payload::new(Bytes::from_static(br#"{"model":"m"}"#)).unwrap(),
            Input::Chat { messages: Vec::new(), tools: None, template_kwargs: None },
        )
    }
}

/// Keeps the place of the backend whose events these are.
#[derive(Debug)]
struct Nobody;

impl Backend for Nobody {
    fn id(&self) -> &backends::BackendId {
        unreachable!("the body only keeps it alive")
    }

    fn load(&self, _: &backends::Probe<'_>) -> backends::Load {
        backends::Load::IDLE
    }

    fn generate(&self, _: Arc<Request>) -> backends::BoxFuture<'_, Result<EventStream, BackendError>> {
        unreachable!("the body only keeps it alive")
    }
}

/// A body over these events, and the ledger that its outcome goes to.
fn body(events: EventStream, include_usage: bool) -> (SseBody, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = ledger::Ledger::open(folder.path(), ledger::Options::default()).unwrap();
    let attempt = Arc::new(Stats::new(Epoch::start(), Arc::default())).begin(Size::of(1)).unwrap();
    let mut settlement = Settlement::new(ledger, "req_1".into(), Instant::now(), 5);
    settlement.serves(Arc::new(Deployed::for_tests("d", "m")), attempt, Duration::ZERO, true, None);
    let deadlines = Deadlines { idle: IDLE, total: Instant::now() + Duration::from_secs(300) };
    let answer = Answer { head: Vec::new(), rest: events, backend: Arc::new(Nobody) };
    (SseBody::new(answer, writer(&request(include_usage), include_usage), settlement, deadlines), folder)
}

fn writer(request: &Request, include_usage: bool) -> Writer {
    let told = Told { manner: &Manner::OpenAi, model: "m", created: 7, include_usage, prompt_tokens: 5, shelf: None };
    Writer::new(request, told)
}

async fn rest(body: &mut SseBody) -> String {
    let mut text = Vec::new();
    while let Some(bytes) = poll_fn(|cx| body.poll_bytes(cx)).await {
        text.extend_from_slice(&bytes);
    }
    String::from_utf8(text).unwrap()
}

fn outcome(folder: &tempfile::TempDir) -> serde_json::Value {
    let records: Vec<_> = ledger::read(folder.path()).unwrap().map(|record| record.unwrap().1).collect();
    assert_eq!(records.len(), 1, "one outcome");
    serde_json::from_slice(&records[0]).unwrap()
}

fn delta(text: &str) -> Result<Event, BackendError> {
    Ok(Event::Delta(Delta { index: 0, text: text.into(), ..Delta::default() }))
}

fn finish() -> Result<Event, BackendError> {
    Ok(Event::Finish { index: 0, reason: FinishReason::Stop })
}

fn frame(text: &'static str, finished: bool) -> Result<Event, BackendError> {
    Ok(Event::Frame(Frame { bytes: Bytes::from_static(text.as_bytes()), content: true, finished, ..Frame::default() }))
}

#[tokio::test]
async fn a_local_answer_opens_with_the_role_and_ends_with_done() {
    let usage = Usage { prompt_tokens: 3, completion_tokens: 1, ..Usage::default() };
    let events = stream::iter([delta("Hi"), finish(), Ok(Event::Usage(usage))]).boxed();
    let (mut body, folder) = body(events, true);
    let text = rest(&mut body).await;
    let golden = concat!(
        r#"data: {"id":"chatcmpl-req_1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-req_1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-req_1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-req_1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#,
        "\n\ndata: [DONE]\n\n",
    );
    assert_eq!(text, golden);
    drop(body);
    let outcome = outcome(&folder);
    assert_eq!((&outcome["status"], &outcome["completion_tokens"]), (&"completed".into(), &1.into()));
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_done() {
    let broken = || Err(BackendError::BrokenStream { reason: "reset".into() });
    for events in [vec![delta("Hi"), broken()], vec![delta("Hi")], vec![frame("data: {}\n\n", false)]] {
        let (mut body, folder) = body(stream::iter(events).boxed(), false);
        let text = rest(&mut body).await;
        assert!(text.contains(r#""code":"backend.broken_stream""#) && text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(!text.contains(r#""finish_reason":""#), "{text}");
        drop(body);
        assert_eq!(outcome(&folder)["status"], "broken");
    }
}

#[tokio::test]
async fn done_without_a_finish_reason_is_no_answer() {
    let done =
        Ok(Event::Frame(Frame { bytes: Bytes::from_static(b"data: [DONE]\n\n"), done: true, ..Frame::default() }));
    let (mut body, _folder) = body(stream::iter([frame("data: {}\n\n", false), done]).boxed(), false);
    let text = rest(&mut body).await;
    assert!(text.contains("without a finish reason") && text.matches("[DONE]").count() == 1, "{text}");
}

#[tokio::test]
async fn a_stream_without_done_gets_one_if_it_finished() {
    let (mut body, _folder) = body(stream::iter([frame("data: {}\n\n", true)]).boxed(), false);
    assert_eq!(rest(&mut body).await, "data: {}\n\ndata: [DONE]\n\n");
}

/// Regression: a host that stalled behind the finish reason had its whole answer end with an error.
#[tokio::test(start_paused = true)]
async fn silence_after_the_finish_reason_of_the_only_choice_takes_nothing_from_the_answer() {
    let last = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
    let (mut only, folder) = body(stream::iter([frame(last, true)]).chain(stream::pending()).boxed(), false);
    assert_eq!(rest(&mut only).await, format!("{last}: keep-alive\n\ndata: [DONE]\n\n"));
    assert_eq!(outcome(&folder)["status"], "completed");

    let (mut first_of_two, _folder) = body(stream::iter([frame(last, true)]).chain(stream::pending()).boxed(), false);
    first_of_two.writer = writer(&Request { choices: 2, ..request(false) }, false);
    assert!(rest(&mut first_of_two).await.contains("backend.timeout"), "the other choice is missing");
}

#[tokio::test]
async fn the_usage_chunk_reaches_only_who_asked_for_it() {
    for asked in [false, true] {
        let usage = Frame {
            bytes: Bytes::from_static(b"data: U\n\n"),
            usage_only: true,
            usage: Some(Usage::default()),
            ..Frame::default()
        };
        let (mut body, _folder) =
            body(stream::iter([frame("data: A\n\n", true), Ok(Event::Frame(usage))]).boxed(), asked);
        assert_eq!(rest(&mut body).await.contains("data: U"), asked);
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_is_recorded_as_cancelled() {
    let (mut body, folder) = body(stream::iter([delta("Hi")]).chain(stream::pending()).boxed(), false);
    poll_fn(|cx| body.poll_bytes(cx)).await.unwrap();
    drop(body);
    assert_eq!(outcome(&folder)["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gets_comments_and_then_an_end() {
    let (mut body, folder) = body(stream::iter([delta("Hi")]).chain(stream::pending()).boxed(), false);
    let begun = Instant::now();
    poll_fn(|cx| body.poll_bytes(cx)).await.unwrap();
    let beat = poll_fn(|cx| body.poll_bytes(cx)).await.unwrap();
    assert_eq!((&beat[..], begun.elapsed().as_secs()), (b": keep-alive\n\n".as_slice(), HEARTBEAT.as_secs()));
    // A comment of ours is no sign of life of the upstream.
    let text = rest(&mut body).await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
    assert!(text.contains("timed out waiting for the next bytes"), "{text}");
    drop(body);
    assert_eq!(outcome(&folder)["error"], "backend.timeout");
}
