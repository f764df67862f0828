//! How much longer the tokens of an answer take while a long prompt is read beside it, and how much longer that takes for it.
//!
//! `cargo run --release -p native --example beside -- [PROMPT_TOKENS] [ROUNDS]`: a llama-shaped model of 1.1 billion random
//! weights as Q4_K_M, and a prompt of 4,000 tokens or as many as are given. First what pieces of a prompt take by their size:
//! what the engine chooses from. Then the same engine as the gateway has, round by round: the prompt alone, and again beside an
//! answer that is timed token by token before it, meanwhile and behind it.

#![forbid(unsafe_code)]

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{Api, Backend, BackendId, Event, EventStream, Input, Payload, Prompt, Request, Sampling};
use engine::{
    CacheType, Engine, Token,
    gguf::File,
    testing::{Llama, Vocabulary},
};
use futures_util::StreamExt;
use native::{
    Isa, Options, Source,
    model::{Limits, Model, Runner},
};

/// Tokens of the answer that are timed before the prompt comes, and behind it.
const ALONE: usize = 96;
/// Sizes of pieces.
const PIECES: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let tokens: usize = arguments.next().map_or(Ok(4_000), |tokens| tokens.parse())?;
    let rounds: u32 = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("random.gguf");
    let context = u32::try_from(tokens + 4_096)?;
    std::fs::write(&path, Llama { vocabulary: Vocabulary::Bpe, context, ..Llama::billion() }.build())?;
    pieces(&path)?;
    let options = Options { context: Some(context as usize), max_sequences: Some(2), ..Options::default() };
    let engine = native::load(BackendId::new("beside"), Source::File(path), options)?;
    for round in 0..rounds {
        let began = Instant::now();
        first(&mut take(&engine, prompt(tokens, 2 * round), 1).await?).await?;
        let alone = began.elapsed();
        let mut answer = take(&engine, prompt(4, 0), 4_000).await?;
        // The first few warm it up.
        timed(&mut answer, 16).await?;
        let before = timed(&mut answer, ALONE).await?;
        let began = Instant::now();
        let mut other = take(&engine, prompt(tokens, 2 * round + 1), 1).await?;
        let (mut meanwhile, mut last) = (Vec::new(), Instant::now());
        let took = loop {
            tokio::select! {
                biased;
                read = first(&mut other) => {
                    read?;
                    break began.elapsed();
                }
                token = first(&mut answer) => {
                    token?;
                    meanwhile.push(last.elapsed());
                    last = Instant::now();
                }
            }
        };
        let behind = timed(&mut answer, ALONE).await?;
        let usual = (mean(&before) + mean(&behind)) / 2.0;
        println!(
            "round {round}: the prompt takes {:.1} s alone, {:.1} s beside",
            alone.as_secs_f64(),
            took.as_secs_f64()
        );
        for (name, mut times) in [("before", before), ("beside", meanwhile), ("behind", behind)] {
            let (mean, count) = (mean(&times), times.len());
            times.sort_unstable();
            let at = |share: f64| 1e3 * times[((count - 1) as f64 * share) as usize].as_secs_f64();
            println!(
                "  {name}: {count:>5} tokens of the answer, {:>6.1} ms on average ({:.2} x), half {:>6.1}, 99 of 100 {:>7.1}, most {:>7.1}",
                1e3 * mean,
                mean / usual,
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
    Ok(())
}

/// What a token of a prompt takes in pieces of each size, the best of some; after 1,024 tokens, so that there is something to
/// look back at.
fn pieces(path: &Path) -> Result<(), Box<dyn Error>> {
    const AFTER: usize = 1_024;
    const TRIES: usize = 3;
    let file = File::open(path)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let model = Arc::new(Model::load(&file, threads)?);
    let context = AFTER + PIECES.iter().sum::<usize>() * TRIES;
    let limits = Limits { slots: 1, context, threads, isa: Isa::best(), cache: CacheType::default() };
    let mut runner = Runner::new(model, limits)?;
    let mut at = 0;
    let mut piece = |tokens: usize| {
        let token = |position: usize| Token { slot: 0, position, id: 5 + (position * 31 % 200) as u32, logits: false };
        let piece: Vec<Token> = (at..at + tokens).map(token).collect();
        at += tokens;
        let began = Instant::now();
        runner.step(&piece);
        began.elapsed()
    };
    piece(AFTER / 2);
    piece(AFTER / 2);
    for tokens in PIECES {
        let best = (0..TRIES).map(|_| piece(tokens)).min().unwrap_or_default();
        let rate = tokens as f64 / best.as_secs_f64();
        println!("a piece of {tokens:>3} tokens: {:>7.1} ms, {rate:>6.1} tokens a second", 1e3 * best.as_secs_f64());
    }
    Ok(())
}

/// Tokens that no other number has the beginning of.
fn prompt(tokens: usize, number: u32) -> Vec<u32> {
    (0..tokens as u32).map(|at| 5 + (at * 31 + (at + 1) * (number + 1) * 17) % 200).collect()
}

async fn take(engine: &Engine, prompt: Vec<u32>, most: u32) -> Result<EventStream, Box<dyn Error>> {
    let ends = (0..engine.tokenizer().len() as u32).filter(|&id| engine.tokenizer().is_end(id));
    let sampling = Sampling { logit_bias: ends.map(|id| (id, -100.0)).collect(), seed: Some(1), ..Sampling::default() };
    // Each token is told with its probability, though its text may have to wait for the next.
    let request = Request {
        sampling,
        max_tokens: Some(most),
        logprobs: Some(0),
        stream: true,
        ..Request::new(
            "beside",
            Api::Completions,
            Payload::new(r#"{"model":"m"}"#.into())?,
            Input::Prompts(vec![Prompt::Tokens(prompt)]),
        )
    };
    Ok(engine.generate(Arc::new(request)).await?)
}

/// The next token.
async fn first(events: &mut EventStream) -> Result<(), Box<dyn Error>> {
    while let Some(event) = events.next().await {
        if let Event::Delta(_) = event? {
            return Ok(());
        }
    }
    Err("the answer has ended".into())
}

/// How long each of the next tokens takes.
async fn timed(events: &mut EventStream, tokens: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut times = Vec::with_capacity(tokens);
    for _ in 0..tokens {
        let began = Instant::now();
        first(events).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

fn mean(times: &[Duration]) -> f64 {
    times.iter().sum::<Duration>().as_secs_f64() / times.len().max(1) as f64
}
