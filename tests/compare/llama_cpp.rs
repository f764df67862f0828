//! Our engine on llama.cpp beside a bare loop over llama.cpp, as its own `llama-batched-bench` has one: tokens per second of
//! several streams at once, and how long the first token of a prompt takes that begins as one before.
//!
//! `cargo run --release -p tests --features llama-cpp --example compare-llama-cpp -- [FILE.gguf] [STREAMS]`
//!
//! Without a file, or with `-`, it makes a model of random weights in the shape of Llama 3.2 1B, as Q4_K_M. Both sides run in one
//! process, by turns, with the same build, threads and batch; the best of the rounds counts.

#![forbid(unsafe_code)]

use std::{
    fs::File,
    io::BufWriter,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{Api, Backend, BackendId, Event, Input, Payload, Prompt, Request, Sampling, Usage};
use engine::{
    Engine,
    generate::{Mix, Model, Shape},
};
use futures_util::{StreamExt, future::join_all};
use llama_cpp_2::{
    context::params::LlamaContextParams,
    llama_backend::LlamaBackend,
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};

const ROUNDS: usize = 3;
const PROMPT: usize = 128;
const ANSWER: usize = 64;
const PREFIX: usize = 2_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = arguments.next().filter(|path| path != "-").map_or_else(|| billion(&folder), PathBuf::from);
    let streams = arguments.next().map_or(16, |streams| streams.parse().expect("a number of streams"));
    let threads = std::thread::available_parallelism().expect("a number of cores").get();
    let engine = load(&path, streams, threads);
    println!("{}", engine.info());

    let backend = llama_cpp_engine::backend().expect("llama.cpp starts");
    let model = LlamaModel::load_from_file(backend, &path, &LlamaModelParams::default()).expect("a model");
    let (mut ours, mut theirs) = ([0.0f64; 3], [0.0f64; 3]);
    for round in 0..ROUNDS {
        let better = |best: &mut [f64; 3], found: [f64; 3]| *best = std::array::from_fn(|i| best[i].max(found[i]));
        better(&mut ours, together(&engine, streams, round).await);
        better(&mut theirs, bare(backend, &model, streams, threads));
    }
    println!("{streams} streams, prompts of {PROMPT} and answers of {ANSWER} tokens, tokens a second");
    // The engine answers those whose prompts are done while it computes the others', so only the sum compares like with like.
    for (i, what) in ["prompts", "answers", "both   "].into_iter().enumerate() {
        println!("  {what}  engine {:8.1}  bare loop {:8.1}  {:.3}x", ours[i], theirs[i], ours[i] / theirs[i]);
    }

    let (mut cold, mut warm) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        let shared = ids(PREFIX, 1_000 + round);
        for (tail, best) in [(1, &mut cold), (2, &mut warm)] {
            let prompt = [&shared[..], &ids(8, tail)].concat();
            *best = (*best).min(answer(&engine, prompt, 2).await.first);
        }
    }
    println!(
        "first token behind {PREFIX} tokens: computed {:.0} ms, held from before {:.0} ms, {:.1} %",
        cold.as_secs_f64() * 1e3,
        warm.as_secs_f64() * 1e3,
        warm.as_secs_f64() / cold.as_secs_f64() * 100.0
    );
}

fn load(path: &Path, streams: usize, threads: usize) -> Engine {
    let options = llama_cpp_engine::Options {
        threads: Some(threads),
        context: Some((PREFIX + 16).max(PROMPT + ANSWER)),
        max_sequences: Some(streams),
        ..Default::default()
    };
    llama_cpp_engine::load(BackendId::new("bench"), path, &options).expect("a model that llama.cpp reads")
}

/// Several sequences in one batch each step: tokens a second of prompts, of answers and of both, as `llama-batched-bench`
/// counts them.
fn bare(backend: &LlamaBackend, model: &LlamaModel, sequences: usize, threads: usize) -> [f64; 3] {
    let (prompt, answer) = (PROMPT, ANSWER);
    let number = |number: usize| u32::try_from(number).expect("a small number");
    let threads = i32::try_from(threads).expect("a number of threads");
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(number((prompt + answer) * sequences)))
        .with_n_seq_max(number(sequences))
        .with_n_batch(2_048)
        .with_n_ubatch(512)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    let mut context = model.new_context(backend, params).expect("llama.cpp gives a context");
    let mut batch = LlamaBatch::new(prompt.max(sequences), 1);
    let id = |at: usize| LlamaToken(5 + i32::try_from(at % 200).expect("a token"));
    let at = |number: usize| i32::try_from(number).expect("a small number");
    let began = Instant::now();
    for sequence in 0..sequences {
        batch.clear();
        for i in 0..prompt {
            batch.add(id(i * 7 + sequence), at(i), &[at(sequence)], i + 1 == prompt).expect("room");
        }
        context.decode(&mut batch).expect("llama.cpp computes the batch");
    }
    context.synchronize();
    let prompts = began.elapsed();
    for i in prompt..prompt + answer {
        batch.clear();
        for sequence in 0..sequences {
            batch.add(id(i * 7 + sequence), at(i), &[at(sequence)], true).expect("room");
        }
        context.decode(&mut batch).expect("llama.cpp computes the batch");
        context.synchronize();
    }
    let answers = began.elapsed() - prompts;
    let rate = |tokens: usize, time: Duration| tokens as f64 / time.as_secs_f64();
    let (of_prompts, of_answers) = (prompt * sequences, answer * sequences);
    [rate(of_prompts, prompts), rate(of_answers, answers), rate(of_prompts + of_answers, began.elapsed())]
}

/// Tokens a second of prompts, of answers and of both, of streams that begin together.
async fn together(engine: &Engine, streams: usize, round: usize) -> [f64; 3] {
    let began = Instant::now();
    let answers = (0..streams).map(|stream| answer(engine, ids(PROMPT, stream + round * streams), ANSWER as u32));
    let answers = join_all(answers).await;
    let all = began.elapsed();
    // Prompts are over when the last stream has its first token.
    let prompts = answers.iter().map(|answer| answer.first).max().unwrap_or_default();
    let written: u64 = answers.iter().map(|answer| answer.usage.completion_tokens - 1).sum();
    let rate = |tokens: u64, time: Duration| tokens as f64 / time.as_secs_f64();
    let read = (streams * PROMPT) as u64;
    [rate(read, prompts), rate(written, all - prompts), rate(read + written, all)]
}

struct Answer {
    first: Duration,
    usage: Usage,
}

async fn answer(engine: &Engine, prompt: Vec<u32>, tokens: u32) -> Answer {
    // Its end is never chosen.
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    let request = Request {
        sampling,
        max_tokens: Some(tokens),
        stream: true,
        logprobs: Some(0),
        ..Request::new(
            "bench",
            Api::Completions,
            Payload::new(r#"{"model":"bench"}"#.into()).expect("JSON"),
            Input::Prompts(vec![Prompt::Tokens(prompt)]),
        )
    };
    let began = Instant::now();
    let mut events = engine.generate(Arc::new(request)).await.expect("a request in order");
    let (mut first, mut usage) = (None, None);
    while let Some(event) = events.next().await {
        first.get_or_insert_with(|| began.elapsed());
        if let Event::Usage(counts) = event.expect("an answer") {
            usage = Some(counts);
        }
    }
    Answer { first: first.expect("a token"), usage: usage.expect("a usage") }
}

fn ids(len: usize, seed: usize) -> Vec<u32> {
    (0..len).map(|i| 5 + ((i * i * 31 + i * 17 + seed * 101) % 200) as u32).collect()
}

fn billion(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("random.gguf");
    let shape = Shape::named("llama-1b").expect("a shape");
    let file = BufWriter::new(File::create(&path).expect("a file"));
    Model { shape, mix: Mix::Q4_K_M, seed: 1 }.write(file, |_, _| {}).expect("room for it");
    path
}
