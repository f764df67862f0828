//! What a draft gains or costs: milliseconds a token with and without, on the same model, with one caller.
//!
//! `cargo run --release -p native --example draft_gain -- MODEL.gguf DRAFT.gguf`. Without files, on models of random weights and
//! the shape of a billion: one whose layers add nothing but for the first two, with a draft that has these two alone and so says
//! the same, and with one that says something else. Answers with and without take turns, so that whatever else the machine does
//! falls on both; the middle of all rounds is printed, and how many guesses were right.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use backends::{Api, Backend, BackendId, Event, Input, Payload, Prompt, Request, Sampling, Usage};
use engine::{Engine, testing::Llama};
use futures_util::StreamExt;
use native::{Options, Source};

const ROUNDS: usize = 3;
const TOKENS: u32 = 128;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if let [model, draft] = &files[..] {
        return compare("the draft", model, draft).await;
    }
    let folder = tempfile::tempdir()?;
    let write = |name: &str, model: Llama| {
        let path = folder.path().join(name);
        std::fs::write(&path, model.build()).map(|()| path)
    };
    let small = Llama { layers: 2, sharpness: 3.0, ..Llama::billion() };
    let model = write("model.gguf", Llama { idle_layers: 20, ..small.clone() })?;
    let same = write("same.gguf", small.clone())?;
    let other = write("other.gguf", Llama { seed: 2, ..small })?;
    compare("a draft that says the same", &model, &same).await?;
    compare("a draft that says something else", &model, &other).await
}

async fn compare(what: &str, model: &Path, draft: &Path) -> Result<(), Box<dyn Error>> {
    let load = |draft: Option<PathBuf>| {
        let options = Options { context: Some(1_024), max_sequences: Some(1), draft, ..Options::default() };
        native::load(BackendId::new("gain"), Source::File(model.to_owned()), options)
    };
    let engines = [load(None)?, load(Some(draft.to_owned()))?];
    for temperature in [0.0, 1.0] {
        let mut took = [Vec::new(), Vec::new()];
        let before = engines[1].guesses();
        for round in 0..=ROUNDS {
            for (engine, took) in engines.iter().zip(&mut took) {
                let a_token = run(engine, temperature, round as u64).await?;
                // The first round fills caches.
                if round > 0 {
                    took.push(a_token);
                }
            }
        }
        let [without, with] = took.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
        let after = engines[1].guesses();
        println!(
            "{what}, temperature {temperature}: {without:.1} ms a token without, {with:.1} ms with; {} of {} drafted and {} of {} \
             looked up were right in {} answers of {TOKENS} tokens",
            after.drafted_right - before.drafted_right,
            after.drafted - before.drafted,
            after.looked_up_right - before.looked_up_right,
            after.looked_up - before.looked_up,
            ROUNDS + 1,
        );
    }
    Ok(())
}

/// Milliseconds for each token after the first text.
async fn run(engine: &Engine, temperature: f32, seed: u64) -> Result<f64, Box<dyn Error>> {
    // All ways to end are forbidden, so that all have as many tokens.
    let ends = (0..engine.tokenizer().len() as u32).filter(|&id| engine.tokenizer().is_end(id));
    let logit_bias = ends.map(|id| (id, -100.0)).collect();
    let sampling = Sampling { logit_bias, seed: Some(seed), temperature, ..Sampling::default() };
    let input = Input::Prompts(vec![Prompt::Text(format!("The models and their tiers, {seed}:"))]);
    let payload = Payload::new(r#"{"model":"m"}"#.into())?;
    let request =
        Request { sampling, max_tokens: Some(TOKENS), ..Request::new("gain", Api::Completions, payload, input) };
    let mut events = engine.generate(Arc::new(request)).await?;
    let (mut first, mut usage) = (None, Usage::default());
    while let Some(event) = events.next().await {
        match event? {
            Event::Delta(_) => drop(first.get_or_insert_with(Instant::now)),
            Event::Usage(counted) => usage = counted,
            _ => {}
        }
    }
    let first = first.ok_or("an answer without text")?;
    Ok(first.elapsed().as_secs_f64() * 1e3 / (usage.completion_tokens - 1) as f64)
}
