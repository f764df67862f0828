//! The whole engine over small random models: what is its own beside the shared crate's. `tests/engine` compares engines.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{Api, Backend, BackendId, Event, Input, Payload, Probe, Prompt, Request, Sampling, Usage};
use bytes::Bytes;
use engine::{
    Engine,
    gguf::{File, TensorType},
    testing::{Llama, Meta, Vocabulary, Writer},
};
use futures_util::{StreamExt, future::join_all};

use crate::{LoadError, Options, Watch, load, load::Shape, reads};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn small() -> Llama {
    Llama { width: 64, feed_forward: 96, context: 4_096, ..Llama::default() }
}

/// Loads a file in the making; the map outlives the name.
pub(crate) fn loaded(writer: &Writer, options: Options) -> Result<Engine, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, writer.finish()).unwrap();
    load(BackendId::new("toy"), &path, &Options { threads: Some(1), ..options })
}

fn engine(options: Options) -> Engine {
    loaded(&small().writer(), options).unwrap()
}

#[test]
fn the_bytes_of_a_cache_are_told_before_the_model_is_loaded() {
    let file = File::read(small().build().into()).unwrap();
    for options in [
        Options::default(),
        Options { context: Some(100), max_sequences: Some(3), ..Options::default() },
        Options { cache_bytes: Some(1 << 22), ..Options::default() },
    ] {
        let told = Shape::told(&file, &options).unwrap().cache_bytes();
        assert_eq!(told, engine(options).info().cache_bytes);
    }
}

#[test]
fn keys_and_values_longer_than_an_even_part_of_the_width_are_counted_as_long_as_they_are() {
    let bytes = |keys: &[(&str, u32)]| {
        let mut writer = small().writer();
        for (key, length) in keys {
            writer.set(&format!("llama.attention.{key}_length"), Meta::U32(*length));
        }
        let options = Options { context: Some(256), max_sequences: Some(1), ..Options::default() };
        Shape::told(&File::read(writer.finish().into()).unwrap(), &options).unwrap().cache_bytes() / 256
    };
    // Two layers, two heads, 16 numbers of two bytes each, as keys and as values.
    assert_eq!((bytes(&[]), bytes(&[("key", 32)])), (256, 384));
    assert_eq!(bytes(&[("key", 32), ("value", 24)]), 2 * 2 * 2 * (32 + 24));
}

#[test]
fn layers_that_no_card_can_have_are_computed_by_processors() {
    let engine = engine(Options { gpu_layers: Some(0), ..Options::default() });
    assert!(!engine.info().isa.contains(" layers on "), "{}", engine.info());
}

fn request(tokens: Vec<u32>, answer: u32) -> Request {
    // Its end is never chosen, so that an answer is as long as it may be.
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    Request {
        sampling,
        max_tokens: Some(answer),
        stream: true,
        ..Request::new(
            "r",
            Api::Completions,
            Payload::new(Bytes::from_static(br#"{"model":"toy"}"#)).unwrap(),
            Input::Prompts(vec![Prompt::Tokens(tokens)]),
        )
    }
}

async fn answer(engine: &Engine, request: Request) -> (String, Usage) {
    let stream = engine.generate(Arc::new(request)).await.unwrap();
    let events: Vec<_> = tokio::time::timeout(PATIENCE, stream.collect()).await.expect("the stream should end");
    let (mut text, mut usage) = (String::new(), None);
    for event in events {
        match event.unwrap() {
            Event::Delta(delta) => text += &delta.text,
            Event::Usage(counts) => usage = Some(counts),
            _ => {}
        }
    }
    (text, usage.expect("a usage"))
}

fn tokens(from: u32, len: u32) -> Vec<u32> {
    (0..len).map(|i| 5 + (i * i * 31 + i * 17 + from) % 200).collect()
}

#[tokio::test]
async fn a_prompt_that_begins_as_one_before_is_computed_from_where_they_part_and_says_so() {
    let engine = engine(Options::default());
    let prompt = tokens(1, 600);
    let (first, usage) = answer(&engine, request(prompt.clone(), 8)).await;
    assert_eq!((usage.prompt_tokens, usage.cached_tokens), (600, 0));
    let (again, usage) = answer(&engine, request(prompt.clone(), 8)).await;
    assert_eq!((again, usage.cached_tokens), (first, 599));
    let other = [&prompt[..500], &tokens(9, 20)].concat();
    let (_, usage) = answer(&engine, request(other, 8)).await;
    assert_eq!((usage.prompt_tokens, usage.cached_tokens), (520, 500));
    // Who may not know of it does not.
    let salted = Request { cache_salt: Some("another team".into()), ..request(prompt, 8) };
    assert_eq!(answer(&engine, salted).await.1.cached_tokens, 0);
}

/// The likeliest first tokens of an answer.
async fn likeliest(engine: &Engine, prompt: Vec<u32>) -> Vec<(u32, f32)> {
    let stream = engine.generate(Arc::new(Request { logprobs: Some(5), ..request(prompt, 1) })).await.unwrap();
    let events: Vec<_> = stream.collect().await;
    let deltas =
        events.into_iter().filter_map(|event| if let Ok(Event::Delta(delta)) = event { Some(delta) } else { None });
    let token = deltas.flat_map(|delta| delta.logprobs).next().expect("a token");
    token.top.into_iter().map(|rival| (rival.id, rival.logprob.unwrap())).collect()
}

#[tokio::test]
async fn what_is_taken_from_before_says_what_computing_it_anew_says() {
    let kept = engine(Options::default());
    for from in 0..6 {
        let prompt = [tokens(1, 200), tokens(from, 50)].concat();
        let alone = likeliest(&engine(Options::default()), prompt.clone()).await;
        // Keys and values are kept as halves, and sums are of other batches.
        for ((id, logprob), (expected_id, expected)) in likeliest(&kept, prompt).await.into_iter().zip(alone) {
            assert!((logprob - expected).abs() < 0.02, "{from}: token {id} {logprob}, token {expected_id} {expected}");
        }
    }
}

#[tokio::test]
async fn where_the_cache_has_no_room_for_all_they_wait_and_all_are_answered() {
    let one_window = Options { context: Some(256), max_sequences: Some(8), cache_bytes: Some(0), ..Options::default() };
    let message = loaded(&small().writer(), one_window.clone()).unwrap_err().to_string();
    let bytes: usize =
        message.split(' ').find_map(|word| word.trim_end_matches(',').parse().ok().filter(|n| *n > 0)).unwrap();
    assert_eq!(message, format!("option `cache_bytes` is 0, expected at least {bytes}, for one window"));
    let engine = engine(Options { cache_bytes: Some(bytes * 2), ..one_window });
    let requests = (0..24).map(|from| answer(&engine, request(tokens(from, 150), 60)));
    for (_, usage) in join_all(requests).await {
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (150, 60));
    }
}

#[tokio::test]
async fn a_dropped_stream_frees_the_engine_in_its_prompt_too() {
    let engine = engine(Options::default());
    for at_once in [true, false] {
        let mut stream = engine.generate(Arc::new(request(tokens(3, 3_000), 1_000))).await.unwrap();
        if !at_once {
            assert!(matches!(stream.next().await, Some(Ok(Event::Delta(_)))));
        }
        drop(stream);
        let start = Instant::now();
        while !engine.load(&Probe::default()).is_idle() {
            assert!(start.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(answer(&engine, request(tokens(3, 100), 5)).await.1.completion_tokens, 5);
}

/// A file whose text splitter only llama.cpp knows.
fn splitter(pre: &str) -> Writer {
    let mut writer = Llama { vocabulary: Vocabulary::Bpe, ..small() }.writer();
    writer.set("tokenizer.ggml.pre", Meta::Text(pre.into()));
    writer
}

#[tokio::test]
async fn a_vocabulary_that_only_llama_cpp_reads_gives_text_back_and_never_a_control_token() {
    let engine = loaded(&splitter("deepseek-llm"), Options::default()).unwrap();
    let words = engine.tokenizer();
    assert_eq!((words.kind(), words.adds_space()), ("llama.cpp", false));
    for text in ["hello the thing", "</s><s>x</s>", "é 日本 \n\n  two", ""] {
        let ids = words.encode(text);
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| words.text(id)).copied().collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        assert!(ids.iter().all(|&id| !words.is_control(id)));
    }
    // The chat template may write them.
    assert!(words.encode_markup("a</s>", |_| None).iter().any(|&id| words.is_end(id)));
    assert!(
        !answer(&engine, Request { input: Input::Prompts(vec![Prompt::Text("the".into())]), ..request(vec![], 8) })
            .await
            .0
            .is_empty()
    );
}

#[test]
fn a_word_of_a_megabyte_does_not_end_the_process() {
    let engine = loaded(&splitter("deepseek-llm"), Options::default()).unwrap();
    // A thread as small as those that requests are read on.
    let encode = move || {
        for unit in ["x", "1", "é", "the ", "\n", "日"] {
            let text = unit.repeat((1 << 20) / unit.len());
            let ids = engine.tokenizer().encode(&text);
            let bytes: usize = ids.iter().map(|&id| engine.tokenizer().text(id).len()).sum();
            assert_eq!(bytes, text.len(), "{unit:?}");
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(encode).unwrap().join().unwrap();
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let refusal =
        |writer: &Writer, options: Options| loaded(writer, options).expect_err("it should be refused").to_string();
    let with = |key: &str, value: Meta| {
        let mut writer = small().writer();
        writer.set(key, value);
        writer
    };
    let message = refusal(&small().writer(), Options { context: Some(5_000), ..Options::default() });
    assert_eq!(message, "option `context` is 5000, expected 2 to 4096");
    let message = refusal(&small().writer(), Options { max_sequences: Some(300), ..Options::default() });
    assert_eq!(message, "option `max_sequences` is 300, expected 1 to 256");
    let unknown = with("general.architecture", Meta::Text("no-such".into()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, unknown.finish()).unwrap();
    let message = reads(&path).unwrap_err().to_string();
    assert_eq!(message, "llama.cpp cannot read a model of architecture `no-such` from it; the log has its own words");
    std::fs::write(&path, splitter("deepseek-llm").finish()).unwrap();
    reads(&path).unwrap();
    assert_eq!(refusal(&unknown, Options::default()), "llama.cpp cannot load the model; the log has its own words");
    let Some(Meta::Texts(mut tokens)) = small().writer().get("tokenizer.ggml.tokens").cloned() else { panic!("texts") };
    tokens[5] = tokens[6].clone();
    let message = loaded(&with("tokenizer.ggml.tokens", Meta::Texts(tokens)), Options::default()).unwrap_err();
    assert!(matches!(message, LoadError::Tokenizer(_)), "{message}");
    let adapter = Some(PathBuf::from("no-such.gguf"));
    let message = refusal(&small().writer(), Options { adapter, ..Options::default() });
    assert_eq!(message, "cannot read the adapter `no-such.gguf`");
}

/// The text that a model goes on with, an adapter over it or none.
async fn adapted(adapter: Option<&Writer>) -> Result<String, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.gguf");
    let adapter = adapter.map(|adapter| {
        std::fs::write(&path, adapter.finish()).unwrap();
        path
    });
    let engine = loaded(&small().writer(), Options { adapter, ..Options::default() })?;
    Ok(answer(&engine, request(tokens(1, 20), 20)).await.0)
}

#[tokio::test]
async fn an_adapter_changes_what_the_model_writes_and_one_that_does_nothing_does_not() {
    let base = adapted(None).await.unwrap();
    let fitting = small().adapter(4, 1);
    assert_ne!(adapted(Some(&fitting)).await.unwrap(), base);
    let mut nothing = small().adapter(4, 1);
    nothing.set("adapter.lora.alpha", Meta::F32(f32::MIN_POSITIVE));
    assert_eq!(adapted(Some(&nothing)).await.unwrap(), base);
}

#[tokio::test]
async fn an_adapter_that_does_not_fit_is_refused_with_what_does_not() {
    let fitting = || small().adapter(4, 1);
    let with = |key: &str, value: &str| {
        let mut writer = fitting();
        writer.set(key, Meta::Text(value.into()));
        writer
    };
    let beside = |tensor: &str| {
        let mut writer = fitting();
        writer.tensor(tensor, TensorType::F32, &[1], vec![0; 4]);
        writer
    };
    for (adapter, reason) in [
        (small().writer(), "its `general.type` is ``, expected `adapter`"),
        (with("adapter.type", "x"), "its `adapter.type` is `x`, expected `lora`"),
        (with("general.architecture", "qwen3"), "it was made for architecture `qwen3`, and the model's is `llama`"),
        (
            Llama { width: 128, ..small() }.adapter(4, 1),
            "its factors for `blk.0.attn_q.weight` are of 128 and 128, and the model has 64 and 64",
        ),
        (Llama { layers: 3, ..small() }.adapter(4, 1), "the model has no `blk.2.attn_q.weight`"),
        (beside("output.weight.lora_a"), "it has one factor of two for `output.weight`"),
        (beside("x"), "its tensor `x` is no factor of an adapter"),
    ] {
        let refused = adapted(Some(&adapter)).await.expect_err(reason).to_string();
        assert!(refused.ends_with(&format!("adapter.gguf` does not fit the model: {reason}")), "{refused}");
    }
}

#[test]
fn whoever_watches_a_model_being_loaded_hears_how_far_it_is_and_may_end_it() {
    let shares = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&shares);
    let watch = Watch::new(move |share| {
        heard.lock().unwrap().push(share);
        true
    });
    loaded(&small().writer(), Options { watch: Some(watch), ..Options::default() }).unwrap();
    let shares = std::mem::take(&mut *shares.lock().unwrap());
    assert!(shares.len() > 2 && shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
    let ends = Watch::new(|_| false);
    let error = loaded(&small().writer(), Options { watch: Some(ends), ..Options::default() }).unwrap_err();
    assert!(matches!(error, LoadError::GivenUp), "{error}");
}

#[tokio::test]
async fn a_prompt_is_given_up_in_the_middle_of_a_step_and_who_shares_the_step_loses_nothing() {
    // A step of this prompt takes long enough to leave in, and far more than what is looked at in between.
    let wide = Llama { width: 512, heads: 8, kv_heads: 8, feed_forward: 2_048, layers: 8, context: 8_192, ..small() };
    let engine = loaded(&wide.writer(), Options { max_sequences: Some(2), ..Options::default() }).unwrap();
    let alone = answer(&engine, request(tokens(4, 20), 30)).await.0;
    let stays = engine.generate(Arc::new(request(tokens(4, 20), 30))).await.unwrap();
    for from in 0..20 {
        let stream = engine.generate(Arc::new(request(tokens(from, 8_000), 10))).await.unwrap();
        while engine.load(&Probe::default()).running < 2 && engine.load(&Probe::default()).queued > 0 {
            tokio::task::yield_now().await;
        }
        drop(stream);
    }
    let events: Vec<_> = tokio::time::timeout(PATIENCE, stays.collect()).await.expect("the stream should end");
    let text: String = events
        .into_iter()
        .filter_map(|event| if let Ok(Event::Delta(delta)) = event { Some(delta.text) } else { None })
        .collect();
    assert_eq!(text, alone);
}
