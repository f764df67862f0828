//! `pointsman bench engines`: how fast each engine of this build is with certain weights here, for `engine: auto`.
//!
//! One engine is loaded at a time and asked by itself, by turns, so that a slow moment of the machine falls on all. A round
//! is a prompt that nobody has asked before and its answer, of tokens that no form or stop sequence ends. The best round
//! counts: other load only ever makes one slower.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context as _, bail};
use backends::{Api, Backend, BackendId, Event, Input, Payload, Prompt, Request, Sampling};
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;

use crate::{
    cli::{
        audit::document::{Cell, Document, Form, Table},
        data_folder,
    },
    config::Weights,
    engines::{Asked, Beside, Kind, choose, measured::Measured},
};

const AFTER: &str = "\
Examples:
  pointsman bench engines models/qwen3-0.6b-q4_k_m.gguf
  pointsman bench engines models/qwen3-0.6b-q4_k_m.gguf --prompt-tokens 2000 --json

What it measures is kept in the data folder, and `engine: auto` takes the fastest from then on. Exit status: 1 where no
engine could be measured.";

/// Measure how fast each engine of this build is with a model file here
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Engines {
    /// File of weights, or folder of safetensors
    path: PathBuf,
    /// Tokens of a prompt
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    prompt_tokens: u32,
    /// Tokens of an answer
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    answer_tokens: u32,
    /// Rounds, of which the best counts
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Data folder of the gateway, where it is kept; default: that of the configuration
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file; without one, what `pointsman serve` does without one
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// Tokens a second of prompt and of answer.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    prompt: f64,
    answer: f64,
}

pub(super) fn run(args: &Engines) -> anyhow::Result<bool> {
    let data = data_folder(args.data_dir.as_deref(), args.config.as_deref())?;
    let path = &args.path;
    if !path.exists() {
        bail!("there is no file or folder `{}`", path.display());
    }
    let weights = Weights::at(path.clone());
    let mut table = Table::new(
        "engines",
        "Engines",
        &["engine", "loaded_s", "prompt_tokens_per_second", "answer_tokens_per_second", "with", "why_not"],
    );
    let mut measured = Measured::of_folder(&data);
    let mut any = false;
    for kind in Kind::ALL {
        let began = Instant::now();
        match kind.load(BackendId::new("bench"), &weights, &Asked::default(), None, &Arc::default()) {
            Ok((backend, info)) => {
                let loaded = began.elapsed();
                eprintln!("measuring {kind} ({info}) ...");
                let rates = measure(&*backend, args).with_context(|| format!("{kind} loads it and does not answer"))?;
                measured.add(kind.name(), path, rates.prompt, rates.answer)?;
                any = true;
                table.rows.push(vec![
                    kind.name().into(),
                    format!("{:.2}", loaded.as_secs_f64()).into(),
                    format!("{:.1}", rates.prompt).into(),
                    format!("{:.1}", rates.answer).into(),
                    format!("{}, {} threads", info.isa, info.threads).into(),
                    Cell::None,
                ]);
            }
            Err(why) => {
                table.rows.push(vec![kind.name().into(), Cell::None, Cell::None, Cell::None, Cell::None, why.into()])
            }
        }
    }
    measured.write(&data).with_context(|| format!("`{}` cannot be written", data.display()))?;
    let mut document = Document::new("How fast is each engine here?");
    document.facts = vec![("file", path.display().to_string().into())];
    if let Ok(chosen) = choose(&weights, Beside::default(), &measured) {
        document.facts.extend([("auto_takes", chosen.engine.name().into()), ("because", chosen.why.into())]);
    }
    document.tables = vec![table];
    args.form.write(&document)?;
    Ok(any)
}

fn measure(backend: &dyn Backend, args: &Engines) -> anyhow::Result<Rates> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut best = Rates::default();
    for round in 0..args.rounds {
        let rates = runtime.block_on(one(backend, request(args, round)))?;
        best = Rates { prompt: best.prompt.max(rates.prompt), answer: best.answer.max(rates.answer) };
    }
    Ok(best)
}

/// A prompt that parts from those of other rounds at its first token.
fn request(args: &Engines, round: u32) -> Request {
    let tokens = (0..args.prompt_tokens).map(|i| 3 + (i * 7 + round * 13) % 100).collect();
    let payload =
        Payload::new(Bytes::from_static(br#"{"model":"bench"}"#)).unwrap_or_else(|_| unreachable!("it is JSON"));
    Request {
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        max_tokens: Some(args.answer_tokens),
        stream: true,
        ..Request::new("bench", Api::Completions, payload, Input::Prompts(vec![Prompt::Tokens(tokens)]))
    }
}

async fn one(backend: &dyn Backend, request: Request) -> anyhow::Result<Rates> {
    let began = Instant::now();
    let prompt_tokens = match &request.input {
        Input::Prompts(prompts) => {
            prompts.iter().map(|prompt| if let Prompt::Tokens(ids) = prompt { ids.len() } else { 0 }).sum()
        }
        _ => 0,
    };
    let mut events = backend.generate(Arc::new(request)).await?;
    let mut first = None;
    let mut written = 0;
    while let Some(event) = events.next().await {
        first.get_or_insert_with(|| began.elapsed());
        if let Event::Usage(usage) = event? {
            written = usage.completion_tokens;
        }
    }
    let Some(first) = first.filter(|_| written > 1) else {
        bail!("its answer ends at once, and so tells no speed; another --prompt-tokens gives another prompt")
    };
    let answer = began.elapsed().saturating_sub(first).as_secs_f64().max(1e-9);
    Ok(Rates { prompt: prompt_tokens as f64 / first.as_secs_f64().max(1e-9), answer: (written - 1) as f64 / answer })
}
