//! `pointsman bench engines`: how fast each engine of this build is with certain weights here, how near that is to what the
//! machine could do, and which engine `engine: auto` takes from then on.
//!
//! One engine is loaded at a time and asked by itself. Whatever is measured several times counts as it was best: other load
//! only ever makes one slower. The machine is measured in the same run, before the engines and after each.

mod ask;
mod limit;
mod plot;

use std::{fs, path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context as _, bail};
use backends::{Backend, BackendId};
use clap::Args;
use engine::gguf::File;

use crate::{
    cli::{
        audit::document::{Cell, Document, Form, Table},
        data_folder,
    },
    config::Weights,
    engines::{Asked, Beside, Kind, choose, measured::Measured},
};
use ask::Asker;
use limit::{Bound, Cost, Limits};

const AFTER: &str = "\
Examples:
  pointsman bench engines models/qwen3-0.6b-q4_k_m.gguf
  pointsman bench engines models/qwen3-0.6b-q4_k_m.gguf --all --plot engines.svg
  pointsman bench engines models/qwen3-0.6b-q4_k_m.gguf --engines native,llama-cpp --streams 4,16 --context 8192 --json
  pointsman bench model llama-1b Q4_K_M random.gguf   # random weights, where there is no model

Figures: prompt_tokens is a new prompt of so many, held_prompt the same once more, when it is held from before; streams are
answers of so many requests together; answer_after is one answer after so many tokens. All are tokens a second.

A limit is what this machine cannot go beyond with these weights, whatever the engine: it reads all weights of a token once
for as many streams as write together (memory), and multiplies each with every token (products of 8-bit integers, where one
is a multiplication and an addition). Both are measured in the same run with all threads, with the best instructions that the
processor has for it. What attention reads and multiplies comes on top and is not in it.

What it measures is kept in the data folder, and `engine: auto` takes the fastest from then on. Exit status: 1 where no
engine could be measured.";

/// What `--all` measures.
const ALL_STREAMS: [u32; 4] = [1, 4, 8, 16];
const ALL_CONTEXTS: [u32; 2] = [8_192, 16_384];
/// Tokens of a prompt before an answer of one of several streams.
const BEFORE_STREAM: u32 = 16;

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
    /// Rounds, of which the best counts; long contexts have one
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Answers that are written together
    #[arg(long, value_name = "COUNT,...", value_delimiter = ',', default_values_t = [1, 8],
        value_parser = clap::value_parser!(u32).range(1..=64))]
    streams: Vec<u32>,
    /// Tokens of a long prompt, and before its answer; takes as long as reading so many
    #[arg(long, value_name = "TOKENS,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(8..=1_000_000))]
    context: Vec<u32>,
    /// Everything: 1, 4, 8 and 16 streams, and contexts of 8,192 and 16,384 tokens
    #[arg(long, conflicts_with_all = ["streams", "context"])]
    all: bool,
    /// Engines to measure: native, llama-cpp, mistralrs; default: those of this build
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = named)]
    engines: Vec<Kind>,
    /// File for a picture of it, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Data folder of the gateway, where it is kept; default: that of the configuration
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file; without one, what `pointsman serve` does without one
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// What a rate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Tokens of a prompt of so many.
    Prompt(u32),
    /// The same of one that is held from before.
    Held(u32),
    /// Tokens of answers that so many streams write together.
    Streams(u32),
    /// Tokens of an answer after so many.
    After(u32),
}

/// A rate.
#[derive(Clone, Copy, Debug)]
struct Figure {
    engine: Kind,
    what: What,
    tokens_per_second: f64,
}

/// What was measured of an engine.
#[derive(Debug, Default)]
struct Found {
    /// Tokens of a prompt, and of its answer, in a second.
    prompt: f64,
    answer: f64,
    /// Seconds to the first token of a prompt that is new, and of one that was there before.
    first: f64,
    first_held: f64,
    figures: Vec<(What, f64)>,
}

impl What {
    /// Its name for programs, and the number in it.
    fn parts(self) -> (&'static str, u32) {
        match self {
            Self::Prompt(tokens) => ("prompt_tokens", tokens),
            Self::Held(tokens) => ("held_prompt", tokens),
            Self::Streams(streams) => ("streams", streams),
            Self::After(tokens) => ("answer_after", tokens),
        }
    }

    /// What an engine cannot go beyond.
    fn bound(self, limits: &Limits) -> Bound {
        match self {
            Self::Prompt(tokens) => limits.prompt(tokens),
            Self::Held(tokens) => limits.held(tokens),
            Self::Streams(streams) => limits.answers(streams),
            Self::After(_) => limits.answers(1),
        }
    }
}

pub(super) fn run(args: &Engines) -> anyhow::Result<bool> {
    let data = data_folder(args.data_dir.as_deref(), args.config.as_deref())?;
    let path = &args.path;
    if !path.exists() {
        bail!("there is no file or folder `{}`", path.display());
    }
    let weights = Weights::at(path.clone());
    let file = weights.path().filter(|path| path.is_file()).and_then(|path| File::open(path).ok());
    let plan = Plan::of(args, file.as_ref())?;
    let cost = file.as_ref().and_then(|file| Cost::of(file, path));
    eprintln!("measuring the machine ...");
    let mut limits = Limits::measure(cost)?;
    let mut table = Table::new(
        "engines",
        "Engines",
        &[
            "engine",
            "loaded_s",
            "prompt_tokens_per_second",
            "answer_tokens_per_second",
            "first_token_s",
            "first_token_held_s",
            "with",
            "why_not",
        ],
    );
    let mut measured = Measured::of_folder(&data);
    let mut figures = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| args.engines.is_empty() || args.engines.contains(kind)) {
        let began = Instant::now();
        match load(kind, &weights, plan.short(kind)) {
            Ok((backend, info)) => {
                let loaded = began.elapsed();
                eprintln!("measuring {kind} ({info}) ...");
                let mut found =
                    plan.measure(kind, &*backend).with_context(|| format!("{kind} loads it and does not answer"))?;
                drop(backend);
                plan.measure_far(kind, &weights, &mut found)?;
                limits.measure_again()?;
                measured.add(kind.name(), path, found.prompt, found.answer)?;
                figures.extend(found.figures.iter().map(|&(what, rate)| Figure {
                    engine: kind,
                    what,
                    tokens_per_second: rate,
                }));
                table.rows.push(vec![
                    kind.name().into(),
                    loaded.as_secs_f64().into(),
                    found.prompt.into(),
                    found.answer.into(),
                    found.first.into(),
                    found.first_held.into(),
                    format!("{}, {} threads", info.isa, info.threads).into(),
                    Cell::None,
                ]);
            }
            Err(why) => {
                let mut row = vec![Cell::None; table.columns.len()];
                row[0] = kind.name().into();
                row[table.columns.len() - 1] = why.into();
                table.rows.push(row);
            }
        }
    }
    measured.write(&data).with_context(|| format!("`{}` cannot be written", data.display()))?;
    // What several engines did stands together.
    figures.sort_by_key(|figure| figure.what);
    let mut document = Document::new("How fast is each engine here?");
    document.facts = vec![("file", path.display().to_string().into())];
    document.facts.extend(limits.facts());
    if let Ok(chosen) = choose(&weights, Beside::default(), &measured) {
        document.facts.extend([("auto_takes", chosen.engine.name().into()), ("because", chosen.why.into())]);
    }
    document.tables = vec![table, of_figures(&figures, &limits)];
    args.form.write(&document)?;
    if let Some(to) = &args.plot {
        let svg = plot::svg(&path.display().to_string(), &figures, &limits)?;
        fs::write(to, svg).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(!figures.is_empty())
}

/// An engine by its name on the command line.
fn named(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| format!("it is one of {}", Kind::ALL.map(Kind::name).join(", ")))
}

fn load(kind: Kind, weights: &Weights, asked: Asked) -> Result<(Arc<dyn Backend>, engine::Info), String> {
    kind.load(BackendId::new("bench"), weights, &asked, None, &Arc::default())
}

fn of_figures(figures: &[Figure], limits: &Limits) -> Table {
    let columns = [
        "figure",
        "count",
        "engine",
        "tokens_per_second",
        "of_the_fastest",
        "limit_tokens_per_second",
        "of_the_limit",
        "limited_by",
    ];
    let mut table = Table::new("figures", "Tokens a second, and what the machine could do", &columns);
    for figure in figures {
        let alike = figures.iter().filter(|other| other.what == figure.what);
        let fastest = alike.map(|other| other.tokens_per_second).fold(0.0, f64::max);
        let (name, count) = figure.what.parts();
        let Bound { tokens_per_second: limit, by } = figure.what.bound(limits);
        table.rows.push(vec![
            name.into(),
            u64::from(count).into(),
            figure.engine.name().into(),
            figure.tokens_per_second.into(),
            (figure.tokens_per_second / fastest).into(),
            limit.into(),
            limit.map(|limit| figure.tokens_per_second / limit).into(),
            Cell::text(by),
        ]);
    }
    table
}

/// What is measured of each engine.
struct Plan {
    prompt: u32,
    answer: u32,
    rounds: u32,
    streams: Vec<u32>,
    contexts: Vec<u32>,
    asker: Asker,
}

impl Plan {
    fn of(args: &Engines, file: Option<&File>) -> anyhow::Result<Self> {
        let (mut streams, mut contexts) = match args.all {
            true => (ALL_STREAMS.to_vec(), ALL_CONTEXTS.to_vec()),
            false => (args.streams.clone(), args.context.clone()),
        };
        streams.sort_unstable();
        streams.dedup();
        contexts.sort_unstable();
        contexts.dedup();
        // It has a figure already.
        contexts.retain(|tokens| *tokens != args.prompt_tokens);
        let trained = file.and_then(|file| {
            let architecture: &str = file.get("general.architecture").ok()??;
            file.get::<u64>(&format!("{architecture}.context_length")).ok()?
        });
        let longest = contexts.last().copied().unwrap_or(0).max(args.prompt_tokens);
        let longest = u64::from(longest) + u64::from(args.answer_tokens);
        if let Some(trained) = trained.filter(|trained| longest > *trained) {
            bail!(
                "prompt and answer have {longest} tokens, and the model was made for {trained}; give smaller numbers for \
                 --prompt-tokens, --answer-tokens and --context"
            );
        }
        Ok(Self {
            prompt: args.prompt_tokens,
            answer: args.answer_tokens,
            rounds: args.rounds,
            streams,
            contexts,
            asker: Asker::new(file, args.answer_tokens)?,
        })
    }

    /// What an engine is loaded with for all but long contexts.
    fn short(&self, kind: Kind) -> Asked {
        let tokens = self.prompt.max(BEFORE_STREAM) + self.answer;
        // mistralrs computes one sequence after the other, and is told no number of them.
        let streams = self.streams.last().copied().filter(|_| kind != Kind::MistralRs);
        let sequences = streams.map(|streams| streams as usize);
        Asked { context_tokens: Some(tokens.into()), sequences, ..Asked::default() }
    }

    fn measure(&self, kind: Kind, backend: &dyn Backend) -> anyhow::Result<Found> {
        let mut found = Found { first: f64::MAX, first_held: f64::MAX, ..Found::default() };
        for round in 0..self.rounds {
            eprintln!("  {kind}: a prompt of {} tokens and its answer, {} of {}", self.prompt, round + 1, self.rounds);
            let key = u64::from(round);
            let new = self.asker.one(backend, key, self.prompt)?;
            // The same again is there already, but for its end.
            let held = self.asker.one(backend, key, self.prompt)?;
            found.first = found.first.min(new.first.as_secs_f64());
            found.first_held = found.first_held.min(held.first.as_secs_f64());
            found.answer = found.answer.max(new.tokens_per_second).max(held.tokens_per_second);
        }
        found.prompt = f64::from(self.prompt) / found.first.max(1e-9);
        found.figures = vec![
            (What::Prompt(self.prompt), found.prompt),
            (What::Held(self.prompt), f64::from(self.prompt) / found.first_held.max(1e-9)),
            (What::After(self.prompt), found.answer),
        ];
        for &streams in &self.streams {
            let mut best = 0f64;
            for round in 0..self.rounds {
                eprintln!("  {kind}: {streams} streams, {} of {}", round + 1, self.rounds);
                best = best.max(self.asker.together(backend, streams, round, BEFORE_STREAM)?);
            }
            found.figures.push((What::Streams(streams), best));
        }
        Ok(found)
    }

    /// Prompts and answers in long contexts, for which an engine is loaded anew: room for many streams of such a length is more than
    /// there may be.
    fn measure_far(&self, kind: Kind, weights: &Weights, found: &mut Found) -> anyhow::Result<()> {
        let Some(longest) = self.contexts.last() else { return Ok(()) };
        let context_tokens = Some((longest + self.answer).into());
        let asked = Asked { context_tokens, sequences: Some(1), ..Asked::default() };
        let (backend, _) = match load(kind, weights, asked) {
            Ok(loaded) => loaded,
            Err(why) => bail!("{kind} does not load it for a context of {longest}: {why}"),
        };
        for (key, &context) in (1_000..).zip(&self.contexts) {
            eprintln!("  {kind}: a prompt of {context} tokens and its answer");
            let answered = self.asker.one(&*backend, key, context)?;
            let prompt = f64::from(context) / answered.first.as_secs_f64().max(1e-9);
            found.figures.extend([(What::Prompt(context), prompt), (What::After(context), answered.tokens_per_second)]);
        }
        Ok(())
    }
}
