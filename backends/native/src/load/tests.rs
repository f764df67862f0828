//! The whole engine over small random models: requests in, events out.

mod drafts;
mod forms;
mod reading;
mod reasoning;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use backends::{
    Api, Backend, BackendError, Class, Delta, Event, FinishReason, Input, Message, Part, Payload, Probe, Prompt,
    Request, Sampling, TokenLogprob,
};
use bytes::Bytes;
use engine::{
    gguf::TensorType,
    template::Chat,
    testing::{Llama, Meta, Vocabulary},
};
use futures_util::StreamExt;
use proptest::prelude::*;

use super::*;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn engine(model: &Llama) -> Engine {
    load(model.build(), Options { threads: Some(1), ..Options::default() }).unwrap()
}

fn load(bytes: Vec<u8>, options: Options) -> Result<Engine, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    // The map outlives the name.
    super::load(BackendId::new("toy"), Source::File(path), options)
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

/// What a request gave, choice by choice.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

async fn answers(engine: &Engine, request: Request) -> Result<HashMap<u32, Answer>, BackendError> {
    let stream = engine.generate(Arc::new(request)).await?;
    let events: Vec<_> = tokio::time::timeout(PATIENCE, stream.collect()).await.expect("the stream should end");
    let mut answers: HashMap<u32, Answer> = HashMap::new();
    for event in events {
        match event? {
            Event::Delta(Delta { index, text, logprobs, .. }) => {
                let answer = answers.entry(index).or_default();
                answer.text += &text;
                answer.logprobs.extend(logprobs);
            }
            Event::Finish { index, reason } => answers.entry(index).or_default().finish = Some(reason),
            _ => {}
        }
    }
    Ok(answers)
}

async fn text(engine: &Engine, request: Request) -> String {
    answers(engine, request).await.unwrap().remove(&0).unwrap_or_default().text
}

async fn refusal(engine: &Engine, request: Request) -> BackendError {
    answers(engine, request).await.expect_err("the request should be refused")
}

/// What is kept in a folder, once something is.
fn kept(folder: &std::path::Path) -> Vec<PathBuf> {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "something should be kept");
        let all: Vec<PathBuf> = match std::fs::read_dir(folder) {
            Ok(all) => all.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        if all.iter().any(|path| path.extension().is_some_and(|extension| extension == "packed")) {
            return all;
        }
        thread::yield_now();
    }
}

#[tokio::test]
async fn large_models_are_kept_packed_and_the_next_load_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let packed = PackedFiles { folder: folder.path().join("packed"), most_bytes: u64::MAX };
    let load = |model: &Llama| {
        let path = folder.path().join("model.gguf");
        if !path.exists() {
            std::fs::write(&path, model.build()).unwrap();
        }
        let options = Options { threads: Some(1), packed: Some(packed.clone()), ..Options::default() };
        super::load(BackendId::new("toy"), Source::File(path), options).unwrap()
    };
    let large = Llama { width: 512, heads: 8, feed_forward: 5_120, layers: 1, ..Llama::default() };
    let first = load(&large);
    let [kept] = &kept(&packed.folder)[..] else { panic!("one file") };
    let used = || std::fs::metadata(kept).unwrap().modified().unwrap();
    let written = used();
    let second = load(&large);
    assert!(used() > written, "it was mapped");
    assert_eq!(text(&second, prompt("hello")).await, text(&first, prompt("hello")).await);

    std::fs::remove_file(folder.path().join("model.gguf")).unwrap();
    std::fs::remove_dir_all(&packed.folder).unwrap();
    load(&Llama::default());
    assert!(!packed.folder.exists(), "small ones are packed as soon");
}

#[tokio::test]
async fn requests_at_once_get_the_text_that_they_get_alone() {
    for kind in [TensorType::F32, TensorType::Q8_0] {
        let engine = engine(&Llama { kind, width: 64, feed_forward: 96, ..Llama::default() });
        let prompts = ["hello", "the model", "a licence is", "x"];
        let mut alone = Vec::new();
        for text in prompts {
            alone.push(self::text(&engine, prompt(text)).await);
        }
        let together = prompts.map(|text| self::text(&engine, prompt(text)));
        assert_eq!(futures_util::future::join_all(together).await, alone, "{kind}");
        assert!(alone.iter().any(|text| !text.is_empty()));
    }
}

/// What is read beforehand is what the request then finds, and its prompt is read once.
#[tokio::test]
async fn a_request_finds_as_much_as_was_told_before_it_was_sent() {
    let engine = engine(&Llama { context: 512, ..Llama::default() });
    let words = |count| (0..count).map(|n| format!("licence {n} ")).collect::<String>();
    let mut found = Vec::new();
    for (text, salt) in
        [(words(9), None), (words(9), None), (words(12), None), (words(5), None), (words(12), Some("a"))]
    {
        let request = Request { cache_salt: salt.map(str::to_owned), ..prompt(&text) };
        let held = engine.held(&request).expect("an engine that can tell").await.expect("a prompt in order");
        let events: Vec<_> = engine.generate(Arc::new(request)).await.unwrap().collect().await;
        let usage = events.into_iter().find_map(|event| match event.unwrap() {
            Event::Usage(usage) => Some(usage),
            _ => None,
        });
        let usage = usage.expect("the usage of an answer");
        assert_eq!((held.tokens as u64, held.of as u64), (usage.cached_tokens, usage.prompt_tokens), "{text}");
        found.push(held.tokens);
    }
    assert_eq!([0, 1, 2, 3, 4].map(|i| found[i] > 0), [false, true, true, true, false], "{found:?}");
    let refused = prompt(&words(1_000));
    assert_eq!(engine.held(&refused).expect("an engine that can tell").await, None);
    // The tokens that were read are those that are computed.
    let (first, other) = (prompt("hello"), prompt("the model"));
    engine.held(&first).unwrap().await.unwrap();
    let moved = Request { input: other.input.clone(), ..first };
    let read = text(&engine, moved).await;
    assert_eq!((read == text(&engine, prompt("hello")).await, read == text(&engine, other).await), (true, false));
}

#[tokio::test]
async fn a_model_that_keeps_states_answers_as_alone_and_tells_that_nothing_was_held() {
    let engine = engine(&Llama { context: 512, sharpness: 12.0, ..Llama::of("mamba", TensorType::Q8_0) });
    let prompts = ["hello hello hello hello hello", "the model is the model", "hello hello hello hello hello"];
    let mut alone = Vec::new();
    for text in prompts {
        let request = prompt(text);
        let held = engine.held(&request).expect("an engine that can tell").await.expect("a prompt in order");
        assert_eq!(held.tokens, 0);
        alone.push(self::text(&engine, request).await);
    }
    assert_eq!(alone[0], alone[2]);
    let together = prompts.map(|text| self::text(&engine, prompt(text)));
    assert_eq!(futures_util::future::join_all(together).await, alone);
    assert_eq!(engine.guesses(), engine::Guesses::default());
}

#[tokio::test]
async fn a_seed_gives_the_same_answer_and_choices_differ() {
    let engine = engine(&Llama::default());
    let three = Request { choices: 3, ..chat("hello") };
    let first = answers(&engine, three.clone()).await.unwrap();
    assert_eq!(first, answers(&engine, three.clone()).await.unwrap());
    assert_eq!(first.len(), 3);
    assert_ne!(first[&0].text, first[&1].text);
    let other = Request { sampling: Sampling { seed: Some(6), ..Sampling::default() }, ..three.clone() };
    assert_ne!(first, answers(&engine, other).await.unwrap());
    let unseeded = Request { sampling: Sampling::default(), ..three };
    assert_ne!(answers(&engine, unseeded.clone()).await.unwrap(), answers(&engine, unseeded).await.unwrap());
}

#[tokio::test]
async fn prompts_are_continued_each_at_its_own_index() {
    let engine = engine(&Llama::default());
    let ids = engine.tokenizer().encode_prompt("the model");
    let both = Input::Prompts(vec![Prompt::Text("hello".into()), Prompt::Tokens(ids)]);
    let both = answers(&engine, Request { choices: 2, ..request(both) }).await.unwrap();
    assert_eq!(both.len(), 4);
    assert_eq!(both[&0].text, text(&engine, prompt("hello")).await);
    assert_eq!(both[&2].text, text(&engine, prompt("the model")).await);
}

#[tokio::test]
async fn an_echo_scores_the_prompt_as_it_was_generated() {
    let engine = engine(&Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() });
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let written = Request { sampling: greedy.clone(), logprobs: Some(2), max_tokens: Some(6), ..prompt("hello") };
    let written = answers(&engine, written).await.unwrap().remove(&0).unwrap();
    // The same tokens as a prompt get the same log-probabilities, up to how a prompt's sums are rounded.
    let mut ids = engine.tokenizer().encode_prompt("hello");
    let start = ids.len();
    ids.extend(written.logprobs.iter().map(|token| token.chosen.id));
    let scored = request(Input::Prompts(vec![Prompt::Tokens(ids.clone())]));
    let scored = Request { sampling: greedy, logprobs: Some(2), max_tokens: Some(0), echo: true, ..scored };
    let scored = answers(&engine, scored).await.unwrap().remove(&0).unwrap();
    assert_eq!(scored.logprobs.len(), ids.len());
    for (a, b) in scored.logprobs[start..].iter().zip(&written.logprobs) {
        assert_eq!(a.chosen.id, b.chosen.id);
        assert!((a.chosen.logprob.unwrap() - b.chosen.logprob.unwrap()).abs() < 1e-3, "{a:?} {b:?}");
        assert_eq!(a.top[0].id, a.chosen.id, "greedy takes the best");
    }
    assert_eq!(scored.finish, Some(FinishReason::Length));
}

#[tokio::test]
async fn a_stop_sequence_is_no_part_of_the_answer() {
    let engine = engine(&Llama::default());
    let whole = text(&engine, chat("hello")).await;
    let stop: String = whole.chars().skip(3).take(2).collect();
    let stopped =
        answers(&engine, Request { stop: vec![stop.clone()], ..chat("hello") }).await.unwrap().remove(&0).unwrap();
    assert_eq!(stopped.finish, Some(FinishReason::Stop));
    assert_eq!(stopped.text, whole[..whole.find(&stop).unwrap()]);
}

#[tokio::test]
async fn a_dropped_stream_frees_the_engine() {
    let engine = engine(&Llama { context: 4_096, ..Llama::default() });
    let long = Request {
        max_tokens: None,
        sampling: Sampling { logit_bias: vec![(2, -100.0)], ..Sampling::default() },
        ..chat("hello")
    };
    let mut stream = engine.generate(Arc::new(long)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Event::Delta(_)))));
    assert_eq!(engine.load(&Probe::default()).running, 1);
    drop(stream);
    let start = Instant::now();
    while !engine.load(&Probe::default()).is_idle() {
        assert!(start.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_before_anything_is_computed() {
    let engine = engine(&Llama::default());
    let size = engine.tokenizer().len() as u32;
    let cases = [
        (request(Input::Prompts(vec![Prompt::Tokens(vec![1, size])])), "`prompt`: token "),
        (Request { stop: vec![String::new()], ..chat("a") }, "`stop`: expected at most"),
        (
            Request { sampling: Sampling { logit_bias: vec![(size, 1.0)], ..Sampling::default() }, ..chat("a") },
            "`logit_bias`: token ",
        ),
        (Request { choices: 5_000, ..chat("a") }, "`n`: 5000 choices in all, expected at most 1024"),
    ];
    for (request, expected) in cases {
        let error = refusal(&engine, request).await;
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(error.class(), Class::Caller);
    }
    assert!(engine.load(&Probe::default()).is_idle());
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_with_both_numbers_and_at_once() {
    let engine = engine(&Llama { context: 64, ..Llama::default() });
    let ids = vec![5; 64];
    let error = refusal(&engine, request(Input::Prompts(vec![Prompt::Tokens(ids)]))).await;
    assert_eq!(error.to_string(), "the prompt has 64 tokens and the context window holds 63");
    let start = Instant::now();
    for request in
        [prompt(&"word ".repeat(4_000_000)), chat(&"word ".repeat(4_000_000)), prompt(&"x".repeat(5_000_000))]
    {
        assert!(matches!(refusal(&engine, request).await, BackendError::PromptTooLong { limit: 64, .. }));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "20 MB took {:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_ends_with_the_context_window() {
    let engine = engine(&Llama { context: 32, ..Llama::default() });
    let forever = Sampling { logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    let request = Request { max_tokens: None, logprobs: Some(0), sampling: forever, ..prompt("hello") };
    let answer = answers(&engine, request).await.unwrap().remove(&0).unwrap();
    let prompt = engine.tokenizer().encode_prompt("hello").len();
    assert_eq!((answer.finish, answer.logprobs.len()), (Some(FinishReason::Length), 32 - prompt));
}

#[tokio::test]
async fn an_empty_prompt_starts_from_the_begin_token() {
    let engine = engine(&Llama::default());
    assert!(answers(&engine, prompt("")).await.unwrap()[&0].finish.is_some());
}

#[test]
fn a_model_that_cannot_be_served_is_refused_with_the_reason() {
    let refusal = |bytes: Vec<u8>, options: Options| {
        let error = load(bytes, options).expect_err("the model should be refused");
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    let model = Llama::default();
    assert!(
        refusal(b"GGUF".to_vec(), Options::default()).starts_with("cannot read the model file: not a valid GGUF file")
    );
    let mut writer = model.writer();
    writer.set("tokenizer.ggml.model", Meta::Text("t5".into()));
    assert!(refusal(writer.finish(), Options::default()).contains("tokenizer `t5` is not read yet"));
    let message = refusal(model.build(), Options { context: Some(257), ..Options::default() });
    assert!(message.starts_with("option `context` is 257, expected 2 to 256"), "{message}");
    let mut writer = model.writer();
    let spm = Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, ..Llama::default() };
    writer.set("general.architecture", Meta::Text("rwkv6".into()));
    assert!(refusal(writer.finish(), Options::default()).contains("`rwkv6`"));
    let mut writer = Llama { vocabulary: Vocabulary::Bpe, ..model }.writer();
    // The tokenizer of another model: as many scores and types as its own tokens, and other weights.
    for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.model"] {
        writer.set(key, spm.writer().get(key).unwrap().clone());
    }
    assert!(refusal(writer.finish(), Options::default()).contains("and its vocabulary has"));
}

#[test]
fn info_tells_what_runs() {
    let engine = engine(&Llama::default());
    let info = engine.info();
    assert_eq!(
        (info.facts.architecture.as_str(), info.facts.license.as_deref(), info.context_tokens),
        ("llama", Some("apache-2.0"), 256)
    );
    assert_eq!(info.facts.base_models, ["acme/base", "Some other"]);
    assert!(info.to_string().starts_with("llama, 0.1 M parameters, F32, context 256, 8 at once, 1 threads"), "{info}");
}

proptest! {
    #[test]
    fn a_damaged_model_is_taken_or_refused(
        vocabulary in prop::sample::select(vec![Vocabulary::Spm, Vocabulary::Bpe]),
        architecture in prop::sample::select(vec!["llama", "phi3", "qwen3moe", "minicpm3", "mamba"]),
        edits in prop::collection::vec((0..16_000usize, any::<u8>()), 1..4),
    ) {
        let of = Llama::of(architecture, TensorType::F32);
        // Heads of sixteen.
        let [heads, kv_heads] = [of.heads / 2, of.kv_heads / 2];
        let sizes = Llama { layers: 1, width: 32, feed_forward: 32, heads, kv_heads, vocabulary, ..of };
        let mut bytes = sizes.build();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        if let Ok(file) = File::read(Bytes::from(bytes)) {
            let _ = Model::load(&file, 1);
            if let Ok(tokenizer) = Tokenizer::from_file(&file) {
                let ids = tokenizer.encode("The <s> of\n 12345 ké 한");
                prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
                let chat = Chat { messages: &[], tools: None, kwargs: None, pictures: false };
                let template = Template::from_file(&file, &tokenizer);
                let _ = template.map(|template| template.map(|template| template.encode(chat, &tokenizer, 100)));
            }
        }
    }
}
