//! The engine on llama.cpp with a graphics card: what goes to it, what that takes of its memory beside what was estimated,
//! whether it writes what the processors write, and how fast.
//!
//! `cargo run --release -p llama-cpp-engine --features cuda --example card -- [FILE.gguf]... [--threads N] [--loads N] [--fit]`
//!
//! Without a file it makes a llama-shaped model of 1.1 billion weights, most of them Q4_K, of which two layers are random and
//! the others the same again: rates and bytes are those of any such file. Each model is loaded with as many layers on the card
//! as fit, with half of them, and with none; with `--fit` only with as many as fit. `RUST_LOG=info` shows what llama.cpp says
//! of its buffers. Free memory is the card's own word, so nothing else should use it; a second process that holds most of it
//! shows how layers are placed in the rest.

#![forbid(unsafe_code)]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{Api, Backend, BackendId, Event, Input, Payload, Probe, Prompt, Request, Sampling, TokenLogprob, Usage};
use bytes::Bytes;
use engine::{
    Engine,
    gguf::File,
    testing::{Llama, Meta},
};
use futures_util::{StreamExt, future::join_all};
use llama_cpp_2::{LlamaBackendDeviceType as Kind, list_llama_ggml_backend_devices};
use llama_cpp_engine::{Options, Placed};
use tokio::runtime::Runtime;

/// Tokens of a prompt, of an answer, and of what is said at once.
const PROMPT: u32 = 1_024;
const ANSWER: u32 = 64;
const STREAMS: usize = 16;
/// Callers who leave, by turns in a prompt and in an answer.
const LEAVING: u32 = 10;
/// Rounds, of which the best counts.
const ROUNDS: u32 = 3;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let (mut files, mut threads, mut loads, mut fit) = (Vec::new(), None, 20, false);
    let mut arguments = std::env::args().skip(1);
    let number = |value: Option<String>| value.and_then(|n| n.parse::<usize>().ok()).expect("a number");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = Some(number(arguments.next())),
            "--loads" => loads = number(arguments.next()),
            "--fit" => fit = true,
            file => files.push(PathBuf::from(file)),
        }
    }
    llama_cpp_engine::backend().expect("llama.cpp starts");
    for device in list_llama_ggml_backend_devices() {
        println!(
            "{}: {}, {} of {} MiB free",
            device.name,
            device.description,
            device.memory_free >> 20,
            device.memory_total >> 20
        );
    }
    if free().is_none() {
        println!(
            "no card: llama.cpp sees processors alone. Built with `--features cuda`, it needs a driver that works."
        );
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    if files.is_empty() {
        let path = folder.path().join("random.gguf");
        std::fs::write(&path, billion()).expect("a file");
        files.push(path);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for path in &files {
        let options = Options { threads, context: None, max_sequences: Some(STREAMS), ..Options::default() };
        if let Err(error) = measure(&runtime, path, &options, loads, fit) {
            println!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Bytes of cards that are free; `None` without any.
fn free() -> Option<u64> {
    let devices = list_llama_ggml_backend_devices();
    let cards = devices.iter().filter(|device| matches!(device.device_type, Kind::Gpu | Kind::IntegratedGpu));
    cards.map(|card| card.memory_free as u64).reduce(u64::saturating_add)
}

/// See the module.
fn billion() -> Vec<u8> {
    let whole = Llama::billion();
    let few = Llama { layers: 2, more_tokens: 31_600, sharpness: 12.0, ..whole.clone() };
    let mut writer = few.writer();
    let file = File::read(writer.finish().into()).expect("a file in order");
    writer.set("llama.block_count", Meta::U32(whole.layers));
    for layer in few.layers..whole.layers {
        let from = format!("blk.{}.", layer % few.layers);
        for tensor in file.tensors() {
            if let Some(name) = tensor.name.strip_prefix(&from) {
                writer.tensor(&format!("blk.{layer}.{name}"), tensor.kind, tensor.dims, tensor.data.to_vec());
            }
        }
    }
    writer.finish()
}

/// What was seen of a model with some layers on cards.
struct Seen {
    label: &'static str,
    placed: Option<Placed>,
    /// Bytes of cards that were free before it was there, with it, after it had worked, and when it was gone.
    free: [Option<u64>; 4],
    loaded_in: Duration,
    /// Tokens per second: of a prompt, of one answer, of several at once.
    rates: [f64; 3],
    /// How long a prompt takes whose beginning is held, as a share of one that is computed.
    held: f64,
    /// The longest until a caller who left cost nothing any more.
    left: Duration,
    text: Vec<TokenLogprob>,
}

fn measure(
    runtime: &Runtime,
    path: &Path,
    options: &Options,
    loads: usize,
    fit: bool,
) -> Result<(), llama_cpp_engine::LoadError> {
    let all = llama_cpp_engine::placed(path, &Options { gpu_layers: Some(0), ..options.clone() })?;
    let half = all.as_ref().map(|placed| (placed.of / 2) as u32);
    let cases = [("as many as fit", None), ("half", half), ("none", Some(0))];
    let mut seen = Vec::new();
    let cases = match (all.is_some(), fit) {
        (true, false) => &cases[..],
        (true, true) => &cases[..1],
        (false, _) => &cases[2..],
    };
    for &(label, gpu_layers) in cases {
        seen.push(case(runtime, label, path, &Options { gpu_layers, ..options.clone() })?);
    }
    let mib = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| format!("{}", bytes >> 20));
    println!(
        "\n  {:<16}{:>9}{:>11}{:>9}{:>9}{:>9}{:>8}{:>9}",
        "MiB of the card", "layers", "estimated", "loaded", "worked", "ratio", "left", "load s"
    );
    for Seen { label, placed, free: [before, loaded, worked, gone], loaded_in, .. } in &seen {
        let taken = |now: &Option<u64>| before.zip(*now).map(|(before, now)| before.saturating_sub(now));
        let estimated = placed.as_ref().map(|placed| placed.bytes);
        let ratio = taken(worked).zip(estimated).filter(|(_, estimated)| *estimated > 0);
        println!(
            "  {label:<16}{:>9}{:>11}{:>9}{:>9}{:>9}{:>8}{:>9.2}",
            placed.as_ref().map_or("-".to_owned(), |placed| format!("{}/{}", placed.layers, placed.of)),
            mib(estimated),
            mib(taken(loaded)),
            mib(taken(worked)),
            ratio.map_or("-".to_owned(), |(taken, estimated)| format!("{:.3}", taken as f64 / estimated as f64)),
            mib(taken(gone)),
            loaded_in.as_secs_f64(),
        );
    }
    println!(
        "\n  {:<16}{:>12}{:>10}{:>12}{:>14}{:>12}  text",
        "tokens a second",
        format!("prompt {PROMPT}"),
        "1 answer",
        format!("{STREAMS} answers"),
        "held prompt",
        "leaving"
    );
    let last = seen.last().map(|seen| seen.text.clone()).unwrap_or_default();
    for Seen { label, rates: [prompt, one, several], held, left, text, .. } in &seen {
        let held = format!("{:.1} %", held * 100.0);
        let left = format!("{:.0} ms", left.as_secs_f64() * 1e3);
        println!(
            "  {label:<16}{prompt:>12.0}{one:>10.1}{several:>12.1}{held:>14}{left:>12}  {}",
            compared(text, &last)
        );
    }
    let before = free();
    let mut most = 0;
    let start = Instant::now();
    for _ in 0..loads {
        drop(llama_cpp_engine::load(BackendId::new("card"), path, options)?);
        most = most.max(before.zip(free()).map_or(0, |(before, now)| before.saturating_sub(now)));
    }
    println!(
        "\n  loaded and let go of {loads} times, {:.2} s each: at most {} MiB of the card stay taken\n",
        start.elapsed().as_secs_f64() / loads.max(1) as f64,
        most >> 20
    );
    Ok(())
}

fn case(
    runtime: &Runtime,
    label: &'static str,
    path: &Path,
    options: &Options,
) -> Result<Seen, llama_cpp_engine::LoadError> {
    let placed = llama_cpp_engine::placed(path, options)?;
    let before = free();
    let start = Instant::now();
    let engine = llama_cpp_engine::load(BackendId::new("card"), path, options)?;
    let loaded_in = start.elapsed();
    let loaded = free();
    println!("{label}: {}", engine.info());
    let (mut rates, mut held) = ([0.0f64; 3], f64::MAX);
    // On processors one round of all this takes as long as many on a card.
    let rounds = if placed.as_ref().is_some_and(|placed| placed.layers > 0) { ROUNDS } else { 1 };
    for round in 0..rounds {
        runtime.block_on(async {
            let mut beginning = tokens(round, prompt_of(&engine));
            let cold = answer(&engine, request(beginning.clone(), 1)).await;
            if let Some(last) = beginning.last_mut() {
                *last += 1;
            }
            let warm = answer(&engine, request(beginning, 1)).await;
            held = held.min(warm.first.as_secs_f64() / cold.first.as_secs_f64());
            let rate = cold.usage.prompt_tokens as f64 / cold.first.as_secs_f64();
            rates[0] = rates[0].max(rate);
            let one = answer(&engine, request(tokens(100 + round, 16), ANSWER)).await;
            rates[1] = rates[1].max(one.rate());
            let start = Instant::now();
            let requests = (0..STREAMS as u32)
                .map(|stream| answer(&engine, request(tokens(200 + round * 100 + stream, 16), ANSWER)));
            let written: u64 = join_all(requests).await.iter().map(|answer| answer.usage.completion_tokens).sum();
            rates[2] = rates[2].max(written as f64 / start.elapsed().as_secs_f64());
        });
    }
    let worked = free();
    let left = runtime.block_on(leaving(&engine));
    let text = runtime.block_on(answer(&engine, Request { logprobs: Some(2), ..request(tokens(7, 48), ANSWER) })).text;
    drop(engine);
    Ok(Seen { label, placed, free: [before, loaded, worked, free()], loaded_in, rates, held, left, text })
}

/// Tokens of a prompt that leaves room for an answer.
fn prompt_of(engine: &Engine) -> u32 {
    PROMPT.min(engine.info().context_tokens as u32 / 2)
}

/// The longest that it takes until an engine has nothing to do, after callers left it in their prompts and answers.
async fn leaving(engine: &Engine) -> Duration {
    let mut longest = Duration::ZERO;
    for turn in 0..LEAVING {
        let len = if turn % 2 == 0 { prompt_of(engine) } else { 16 };
        let wanted = request(tokens(1_000 + turn, len), ANSWER);
        let mut stream = engine.generate(Arc::new(wanted)).await.expect("room for a request");
        match turn % 2 {
            0 => tokio::time::sleep(Duration::from_millis(1 + u64::from(turn))).await,
            _ => while !matches!(stream.next().await, Some(Ok(Event::Delta(_))) | None) {},
        }
        let start = Instant::now();
        drop(stream);
        while !engine.load(&Probe::default()).is_idle() {
            tokio::task::yield_now().await;
        }
        longest = longest.max(start.elapsed());
    }
    longest
}

/// Where a text parts from what the processors write, and how near to each other both tokens are there.
fn compared(text: &[TokenLogprob], expected: &[TokenLogprob]) -> String {
    let pairs = text.iter().zip(expected);
    let parted = pairs.enumerate().find(|(_, (ours, theirs))| ours.chosen.id != theirs.chosen.id);
    let Some((at, (ours, theirs))) = parted else { return format!("the same {} tokens", text.len()) };
    let mut said = format!("parts at token {at}");
    for (whose, token) in [("here", ours), ("there", theirs)] {
        let [Some(first), Some(second)] = [0, 1].map(|n| token.top.get(n).and_then(|rival| rival.logprob)) else {
            continue;
        };
        let _ = write!(said, ", the second best {whose} {:.3} behind", first - second);
    }
    said
}

/// Tokens of the vocabulary that every model has, others for each number.
fn tokens(from: u32, len: u32) -> Vec<u32> {
    (0..len).map(|i| 5 + (i * i % 8_191 * 31 + i * 17 + from * 101) % 200).collect()
}

fn request(prompt: Vec<u32>, answer: u32) -> Request {
    // Its end is not chosen, so that an answer is as long as it may be.
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    Request {
        sampling,
        max_tokens: Some(answer),
        stream: true,
        ..Request::new(
            "card",
            Api::Completions,
            Payload::new(Bytes::from_static(br#"{"model":"card"}"#)).expect("a payload"),
            Input::Prompts(vec![Prompt::Tokens(prompt)]),
        )
    }
}

/// An answer, and when its first and its last part came.
struct Answer {
    text: Vec<TokenLogprob>,
    usage: Usage,
    first: Duration,
    last: Duration,
}

impl Answer {
    /// Tokens per second, behind the first.
    fn rate(&self) -> f64 {
        self.usage.completion_tokens.saturating_sub(1) as f64 / (self.last - self.first).as_secs_f64()
    }
}

async fn answer(engine: &Engine, request: Request) -> Answer {
    let start = Instant::now();
    let mut stream = engine.generate(Arc::new(request)).await.expect("room for a request");
    let (mut text, mut usage, mut first, mut last) = (Vec::new(), None, None, Duration::ZERO);
    while let Some(event) = stream.next().await {
        match event.expect("an answer") {
            Event::Delta(delta) => {
                last = start.elapsed();
                first.get_or_insert(last);
                text.extend(delta.logprobs);
            }
            Event::Usage(counts) => usage = Some(counts),
            _ => {}
        }
    }
    Answer { text, usage: usage.expect("a usage"), first: first.unwrap_or_else(|| start.elapsed()), last }
}
