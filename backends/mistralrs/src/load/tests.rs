//! The whole engine over small random models: requests in, events out; what it says beside what our own engine says.

mod folders;
mod gemma3;
mod refusals;
mod toy;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{
    Api, Backend, BackendError, Delta, Event, FinishReason, Form, Input, Load, Message, Part, Payload, Probe, Prompt,
    Request, Sampling, Shape, TokenLogprob, Tool, ToolChoice, Tools, Usage,
};
use bytes::Bytes;
use engine::{
    gguf::TensorType,
    testing::{Llama, Vocabulary},
};
use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};

use crate::Device;

use super::*;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(120);

fn engine(model: &Llama) -> Engine {
    gguf(model.build(), Options::default()).unwrap()
}

fn gguf(bytes: Vec<u8>, options: Options) -> Result<Engine, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    load(BackendId::new("toy"), &path, options)
}

/// The same model by our own engine.
fn native(model: &Llama) -> Engine {
    native_of(model.build())
}

fn native_of(bytes: Vec<u8>) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    let options = native::Options { threads: Some(1), ..native::Options::default() };
    native::load(BackendId::new("native"), native::Source::File(path), options).unwrap()
}

fn request(input: Input) -> Request {
    Request {
        sampling: Sampling { seed: Some(5), ..Sampling::default() },
        max_tokens: Some(24),
        stream: true,
        include_usage: true,
        ..Request::new(
            "r",
            if matches!(input, Input::Chat { .. }) { Api::Chat } else { Api::Completions },
            Payload::new(Bytes::from_static(br#"{"model":"toy"}"#)).unwrap(),
            input,
        )
    }
}

fn prompt(text: &str) -> Request {
    request(Input::Prompts(vec![Prompt::Text(text.into())]))
}

fn chat(text: &str) -> Request {
    let message = Message { role: "user".into(), content: vec![Part::Text(text.into())], ..Message::default() };
    request(Input::Chat { messages: vec![message], tools: None, template_kwargs: None })
}

/// Takes the best token, and tells how probable it and two rivals are.
fn greedy(request: Request) -> Request {
    Request { sampling: Sampling { temperature: 0.0, ..Sampling::default() }, logprobs: Some(2), ..request }
}

/// What a request gave, choice by choice.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answer {
    text: String,
    calls: Vec<(String, String)>,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

impl Answer {
    fn ids(&self) -> Vec<u32> {
        self.logprobs.iter().map(|token| token.chosen.id).collect()
    }
}

async fn all(engine: &Engine, request: Request) -> Result<(HashMap<u32, Answer>, Usage), BackendError> {
    let stream = engine.generate(Arc::new(request)).await?;
    let events: Vec<_> = tokio::time::timeout(PATIENCE, stream.collect()).await.expect("the stream should end");
    let mut answers: HashMap<u32, Answer> = HashMap::new();
    let mut counted = Usage::default();
    for event in events {
        match event? {
            Event::Delta(Delta { index, text, logprobs, calls, .. }) => {
                let answer = answers.entry(index).or_default();
                answer.text += &text;
                answer.logprobs.extend(logprobs);
                for part in calls {
                    if let Some((_, name)) = part.begins {
                        answer.calls.push((name, String::new()));
                    }
                    answer.calls.last_mut().unwrap().1 += &part.arguments;
                }
            }
            Event::Finish { index, reason } => answers.entry(index).or_default().finish = Some(reason),
            Event::Usage(usage) => counted = usage,
            other => panic!("a local engine does not send {other:?}"),
        }
    }
    Ok((answers, counted))
}

async fn one(engine: &Engine, request: Request) -> Answer {
    all(engine, request).await.unwrap().0.remove(&0).unwrap()
}

fn wait(engine: &Engine, what: impl Fn(Load) -> bool) {
    let start = Instant::now();
    while !what(engine.load(&Probe::default())) {
        assert!(start.elapsed() < PATIENCE, "{:?}", engine.load(&Probe::default()));
        std::thread::yield_now();
    }
}

/// That two engines say the same of a request: tokens, text, end and counts, and log-probabilities within a bound.
async fn check_alike(ours: &Engine, theirs: &Engine, request: Request, bound: f32) {
    let (mut ours, our_usage) = all(ours, request.clone()).await.unwrap();
    let (mut theirs, their_usage) = all(theirs, request).await.unwrap();
    let (ours, theirs) = (ours.remove(&0).unwrap(), theirs.remove(&0).unwrap());
    assert_eq!((ours.ids(), &ours.text, ours.finish), (theirs.ids(), &theirs.text, theirs.finish));
    assert_eq!(
        (our_usage.prompt_tokens, our_usage.completion_tokens),
        (their_usage.prompt_tokens, their_usage.completion_tokens)
    );
    for (ours, theirs) in ours.logprobs.iter().zip(&theirs.logprobs) {
        let (a, b) = (ours.chosen.logprob.unwrap(), theirs.chosen.logprob.unwrap());
        assert!((a - b).abs() < bound, "{a} and {b}");
    }
}

#[tokio::test]
async fn what_it_says_is_what_our_own_engine_says() {
    for vocabulary in [Vocabulary::Spm, Vocabulary::Bpe] {
        // Sums of 32-bit floats in another order.
        let model = Llama { vocabulary, ..Llama::default() };
        let (ours, theirs) = (native(&model), engine(&model));
        for text in ["hello", "the model is", "x", "é 한 the licence"] {
            check_alike(&ours, &theirs, greedy(prompt(text)), 1e-3).await;
            check_alike(&ours, &theirs, greedy(chat(text)), 1e-3).await;
        }
    }
}

#[tokio::test]
async fn what_it_says_with_packed_weights_is_near_what_our_own_engine_says() {
    // Both round activations to 8 bits, each in its own way: a token of random weights may differ, so the first is compared.
    let model = Llama { kind: TensorType::Q8_0, width: 64, feed_forward: 96, ..Llama::default() };
    let (ours, theirs) = (native(&model), engine(&model));
    for text in ["hello", "the model is", "x"] {
        let first = Request { max_tokens: Some(1), ..greedy(prompt(text)) };
        let (ours, theirs) = (one(&ours, first.clone()).await, one(&theirs, first).await);
        let theirs: HashMap<u32, f32> =
            theirs.logprobs[0].top.iter().map(|rival| (rival.id, rival.logprob.unwrap())).collect();
        let best = ours.logprobs[0].top[0].clone();
        let near = theirs.get(&best.id).is_some_and(|logprob| (logprob - best.logprob.unwrap()).abs() < 0.2);
        assert!(near, "{best:?} {theirs:?}");
    }
}

#[tokio::test]
async fn thirty_two_at_once_get_what_they_get_alone() {
    let model = Llama { context: 1_024, ..Llama::default() };
    let (ours, engine) = (native(&model), engine(&model));
    // Some of one length, which mistralrs would compute together and get wrong; one that grows its cache.
    let asked: Vec<Request> = (0..32)
        .map(|n| {
            let sampling = Sampling { seed: Some(n), logit_bias: vec![(2, -100.0)], ..Sampling::default() };
            let long = if n == 7 { 600 } else { 12 };
            Request { max_tokens: Some(long), sampling, ..prompt(&"the model ".repeat(1 + n as usize % 5)) }
        })
        .collect();
    let together = join_all(asked.iter().map(|request| one(&engine, request.clone()))).await;
    assert!(engine.load(&Probe::default()).is_idle());
    for (request, together) in asked.into_iter().zip(together) {
        assert_eq!(together.finish, Some(FinishReason::Length));
        assert_eq!(one(&engine, request.clone()).await.text, together.text);
        let first = Request { max_tokens: Some(4), ..request };
        assert!(together.text.starts_with(one(&ours, first).await.text.trim_end_matches('\u{FFFD}')));
    }
}

#[tokio::test]
async fn a_seed_gives_the_same_answer_and_choices_differ() {
    let engine = engine(&Llama::default());
    let three = Request { choices: 3, ..chat("hello") };
    let (first, usage) = all(&engine, three.clone()).await.unwrap();
    assert_eq!(first, all(&engine, three.clone()).await.unwrap().0);
    assert_eq!((first.len(), first[&0].text == first[&1].text), (3, false));
    let other = Request { sampling: Sampling { seed: Some(6), ..Sampling::default() }, ..three };
    assert_ne!(first, all(&engine, other).await.unwrap().0);
    let alone = all(&engine, chat("hello")).await.unwrap().1;
    assert_eq!(usage.prompt_tokens, alone.prompt_tokens, "a prompt of three choices counts once");
}

#[tokio::test]
async fn a_seed_gives_the_answer_that_our_own_engine_gives() {
    let model = Llama::default();
    let (ours, theirs) = (native(&model), engine(&model));
    for seed in 0..4 {
        let sampling = Sampling { seed: Some(seed), temperature: 0.9, top_p: 0.9, ..Sampling::default() };
        // Few, as a draw may fall between what the two take a token's probability for.
        let asked = Request { sampling, max_tokens: Some(6), logprobs: Some(0), ..prompt("hello") };
        check_alike(&ours, &theirs, asked, 1e-3).await;
    }
}

#[tokio::test]
async fn a_stop_sequence_ends_the_answer_and_is_no_part_of_it() {
    let engine = engine(&Llama::default());
    let whole = one(&engine, chat("hello")).await.text;
    let stop: String = whole.chars().skip(3).take(2).collect();
    let stopped = one(&engine, Request { stop: vec![stop.clone()], ..chat("hello") }).await;
    assert_eq!((stopped.finish, &*stopped.text), (Some(FinishReason::Stop), &whole[..whole.find(&stop).unwrap()]));
    // The next choice finds the engine as it was.
    assert_eq!(one(&engine, chat("hello")).await.text, whole);
}

#[tokio::test]
async fn an_answer_ends_with_the_models_end_its_limit_or_its_window() {
    let engine = engine(&Llama { context: 32, ..Llama::default() });
    let end = engine.tokenizer().eos().unwrap();
    let biased = |bias| Sampling { logit_bias: vec![(end, bias)], ..Sampling::default() };
    let ended = one(&engine, Request { sampling: biased(100.0), ..prompt("hello") }).await;
    assert_eq!((ended.finish, &*ended.text), (Some(FinishReason::Stop), ""));
    let forever = Request { max_tokens: None, logprobs: Some(0), sampling: biased(-100.0), ..prompt("hello") };
    let tokens = engine.tokenizer().encode_prompt("hello").len();
    let window = one(&engine, forever.clone()).await;
    assert_eq!((window.finish, window.logprobs.len()), (Some(FinishReason::Length), 32 - tokens));
    let limit = one(&engine, Request { max_tokens: Some(3), ..forever }).await;
    assert_eq!((limit.finish, limit.logprobs.len()), (Some(FinishReason::Length), 3));
}

#[tokio::test]
async fn a_window_of_any_size_can_be_filled() {
    for (trained, usable) in [(500, 500), (512, 512), (700, 512), (1_100, 1_024)] {
        let engine = engine(&Llama { context: trained, layers: 1, ..Llama::default() });
        assert_eq!(engine.info().context_tokens, usable, "{trained}");
        let sampling = Sampling { logit_bias: vec![(2, -100.0)], ..Sampling::default() };
        let (answer, usage) = all(&engine, Request { max_tokens: None, sampling, ..prompt("hello") }).await.unwrap();
        assert_eq!(answer[&0].finish, Some(FinishReason::Length));
        assert_eq!((usage.prompt_tokens + usage.completion_tokens) as usize, usable);
    }
}

#[tokio::test]
async fn a_schema_is_kept_and_calls_are_read() {
    let engine = engine(&Llama { context: 2_048, ..Llama::default() });
    let schema = json!({"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 12},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3}},
        "required": ["name", "tags"], "additionalProperties": false});
    let sampling = |seed| Sampling { seed: Some(seed), temperature: 1.5, ..Sampling::default() };
    for seed in 0..4 {
        let form = Form::JsonSchema { schema: schema.to_string(), strict: true };
        let shape = Some(Shape { field: "response_format", form });
        let answer =
            one(&engine, Request { shape, max_tokens: Some(200), sampling: sampling(seed), ..chat("hello") }).await;
        assert_eq!(answer.finish, Some(FinishReason::Stop), "{}", answer.text);
        let value: Value = serde_json::from_str(&answer.text).unwrap();
        assert!(jsonschema::is_valid(&schema, &value), "{value}");
    }
    let offered = vec![Tool::Function {
        name: "count".into(),
        description: None,
        parameters: Some(
            json!({"properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": false})
                .to_string(),
        ),
    }];
    let Input::Chat { messages, .. } = chat("hello").input else { unreachable!() };
    let input = Input::Chat { messages, tools: Some("[]".into()), template_kwargs: None };
    let tools = Tools { offered, choice: ToolChoice::Named("count".into()), parallel: true };
    let called = one(&engine, Request { tools, max_tokens: Some(1_000), ..request(input) }).await;
    assert_eq!(called.finish, Some(FinishReason::ToolCalls), "{called:?}");
    let [(name, arguments)] = &called.calls[..] else { panic!("{called:?}") };
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert!(name == "count" && [json!({"n": 1}), json!({"n": 2})].contains(&arguments), "{arguments}");
}

#[tokio::test]
async fn a_dropped_stream_frees_the_engine() {
    let engine = engine(&Llama { context: 4_096, ..Llama::default() });
    let sampling = Sampling { logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    let long = Request { max_tokens: None, sampling, ..chat("hello") };
    let mut stream = engine.generate(Arc::new(long)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Event::Delta(_)))));
    assert_eq!(engine.load(&Probe::default()).running, 1);
    drop(stream);
    wait(&engine, |load| load.is_idle());
    // In mistralrs too: its one place is free.
    assert!(one(&engine, prompt("hello")).await.finish.is_some());
}

#[tokio::test]
async fn more_than_can_wait_is_refused_with_a_time_to_come_back() {
    let engine = engine(&Llama { context: 4_096, ..Llama::default() });
    let sampling = Sampling { logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    let long = Arc::new(Request { max_tokens: None, sampling, ..chat("hello") });
    let mut streams = Vec::new();
    let refused = loop {
        match engine.generate(Arc::clone(&long)).await {
            Ok(stream) => streams.push(stream),
            Err(error) => break error,
        }
        assert!(streams.len() < 100);
    };
    assert!(matches!(refused, BackendError::Overloaded { retry_after: Some(_) }), "{refused}");
    drop(streams);
    wait(&engine, |load| load.is_idle());
}

#[tokio::test]
async fn dropping_the_engine_ends_its_streams() {
    let engine = engine(&Llama { context: 4_096, ..Llama::default() });
    let sampling = Sampling { logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    let long = Request { max_tokens: None, sampling, ..chat("hello") };
    let stream = engine.generate(Arc::new(long)).await.unwrap();
    wait(&engine, |load| load.running == 1);
    drop(engine);
    let events: Vec<_> = tokio::time::timeout(PATIENCE, stream.collect()).await.expect("the stream should end");
    let Some(Err(error)) = events.last() else { panic!("{events:?}") };
    assert_eq!(error.to_string(), "failed: the engine has stopped");
}

#[tokio::test]
async fn a_prompt_is_echoed_and_its_logprobs_are_refused_with_who_has_them() {
    let engine = engine(&Llama::default());
    let echo = Request { echo: true, max_tokens: Some(0), ..prompt("hello the") };
    assert_eq!(one(&engine, echo.clone()).await.text, "hello the");
    let error = all(&engine, Request { logprobs: Some(1), ..echo }).await.unwrap_err().to_string();
    assert!(error.starts_with("`echo`: ") && error.contains("`engine: llama-cpp`"), "{error}");
}

#[tokio::test]
async fn a_picture_is_refused() {
    let engine = engine(&Llama::default());
    let picture = Part::Other { kind: "image_url".into(), digest: 0, held: None };
    let message = Message { role: "user".into(), content: vec![picture], ..Message::default() };
    let input = Input::Chat { messages: vec![message], tools: None, template_kwargs: None };
    let error = all(&engine, request(input)).await.unwrap_err().to_string();
    assert!(error.contains("content of type `image_url`"), "{error}");
}

#[tokio::test]
async fn it_can_be_loaded_on_a_thread_of_a_runtime() {
    // What it needs a runtime for must not stand within this one.
    let engine = engine(&Llama::default());
    assert!(one(&engine, prompt("hello")).await.finish.is_some());
}

#[test]
fn info_tells_what_runs() {
    let engine = engine(&Llama::default());
    let info = engine.info();
    assert_eq!(
        (info.engine, info.facts.architecture.as_str(), info.facts.license.as_deref(), info.context_tokens),
        ("mistralrs", "llama", Some("apache-2.0"), 256)
    );
    assert_eq!(info.cache_bytes, 2 * 2 * 2 * 16 * 4 * 256);
    assert!(info.to_string().starts_with("llama, 0.1 M parameters, F32, context 256, 1 at once, "), "{info}");
}
