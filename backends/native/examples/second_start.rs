//! How long a start takes until the first token is written: packing weights, and mapping those that were kept.
//!
//! `cargo run --release -p native --example second_start -- [FILE.gguf] [--tokens N]`
//!
//! Without a file it is a llama-shaped model of 1.1 billion random weights as Q4_K_M, with as many tokens as `--tokens` says
//! beside a few hundred; a file that is not there becomes that. All files are in the cache of the system, as after a restart of the program alone. Starts take turns,
//! so that whatever else the machine does falls on all; the best and the middle of the rounds are printed.

#![forbid(unsafe_code)]

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use backends::{Api, Backend, BackendId, Event, Input, Payload, Prompt, Request, Sampling};
use engine::{
    gguf::File,
    template::Template,
    testing::{Llama, Vocabulary},
    tokenizer::Tokenizer,
};
use futures_util::StreamExt;
use native::{Options, PackedFiles, Source};

const ROUNDS: usize = 7;
const TOKENS: u32 = 33;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut tokens = 0;
    let mut path = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tokens" => tokens = arguments.next().ok_or("a number of tokens")?.parse()?,
            _ => path = Some(PathBuf::from(argument)),
        }
    }
    let folder = tempfile::tempdir()?;
    let path = path.unwrap_or_else(|| folder.path().join("random.gguf"));
    if !path.exists() {
        let model = Llama { vocabulary: Vocabulary::Bpe, more_tokens: tokens, ..Llama::billion() };
        std::fs::write(&path, model.build())?;
    }
    let packed = folder.path().join("packed");
    let files = PackedFiles { folder: packed.clone(), most_bytes: u64::MAX };
    let is_kept = || {
        std::fs::read_dir(&packed).is_ok_and(|mut all| {
            all.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|end| end == "packed")))
        })
    };
    println!("{:.0} MB, the best and the middle of {ROUNDS} starts", std::fs::metadata(&path)?.len() as f64 / 1e6);
    println!("{:<24}{:>16}{:>18}{:>22}", "", "loaded, ms", "first token, ms", "then, tokens a second");
    let first = start(&path, Some(files.clone())).await?;
    print("packed and kept, once", vec![first]);
    let began = Instant::now();
    while !is_kept() {
        if began.elapsed() > Duration::from_secs(120) {
            return Err("nothing was kept; is there room?".into());
        }
        thread::yield_now();
    }
    let (mut packs, mut maps) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        packs.push(start(&path, None).await?);
        maps.push(start(&path, Some(files.clone())).await?);
    }
    print("packed", packs);
    print("mapped", maps);
    parts(&path)
}

/// What the best of the rounds takes for what every start does before it has weights.
fn parts(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut best = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let file = File::open(path)?;
        let opened = began.elapsed();
        let tokenizer = Tokenizer::from_file(&file)?;
        let tokenized = began.elapsed();
        Template::from_file(&file, &tokenizer)?;
        let took = [opened, tokenized - opened, began.elapsed() - tokenized];
        best.iter_mut().zip(took).for_each(|(best, took)| *best = best.min(took.as_secs_f64() * 1e3));
    }
    println!(
        "of each: {:.1} ms for the file's head, {:.1} for the tokenizer, {:.1} for the template",
        best[0], best[1], best[2]
    );
    Ok(())
}

/// Milliseconds until it is loaded and until the first token is there, and tokens a second from then on.
async fn start(path: &Path, packed: Option<PackedFiles>) -> Result<[f64; 3], Box<dyn Error>> {
    let began = Instant::now();
    let options = Options { packed, ..Options::default() };
    let engine = native::load(BackendId::new("start"), Source::File(path.to_owned()), options)?;
    let loaded = began.elapsed();
    let ends = (0..engine.tokenizer().len() as u32).filter(|&id| engine.tokenizer().is_end(id));
    let sampling = Sampling { logit_bias: ends.map(|id| (id, -100.0)).collect(), seed: Some(1), ..Sampling::default() };
    let input = Input::Prompts(vec![Prompt::Tokens(vec![5, 6, 7, 8])]);
    let payload = Payload::new(r#"{"model":"m"}"#.into())?;
    // Each token is told with its probability, though its text may have to wait for the next.
    let request = Request {
        sampling,
        max_tokens: Some(TOKENS),
        logprobs: Some(0),
        stream: true,
        ..Request::new("start", Api::Completions, payload, input)
    };
    let mut events = engine.generate(Arc::new(request)).await?;
    let mut first = None;
    while let Some(event) = events.next().await {
        if let Event::Delta(_) = event? {
            first.get_or_insert_with(|| began.elapsed());
        }
    }
    let first = first.ok_or("no token")?;
    let rate = f64::from(TOKENS - 1) / (began.elapsed() - first).as_secs_f64();
    Ok([loaded.as_secs_f64() * 1e3, first.as_secs_f64() * 1e3, rate])
}

fn print(name: &str, starts: Vec<[f64; 3]>) {
    let column = |index: usize| {
        let mut all: Vec<f64> = starts.iter().map(|start| start[index]).collect();
        all.sort_by(f64::total_cmp);
        (all[0], all[all.len() / 2], all[all.len() - 1])
    };
    let [loaded, first, rate] = [0, 1, 2].map(column);
    println!(
        "{name:<24}{:>8.0}{:>8.0}{:>9.0}{:>9.0}{:>11.1}{:>11.1}",
        loaded.0, loaded.1, first.0, first.1, rate.2, rate.1
    );
}
