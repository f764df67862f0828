//! Log-likelihoods by the model's own logits, without scheduler, sampler or HTTP: what a gateway's scores must equal.
//!
//! `cargo run --release -p native --example score -- MODEL.gguf [f16|q8_0] < pairs.jsonl`, with what keys and values are kept as:
//! a line `{"context": "...", "continuation": "..."}` in, a line `{"loglikelihood": x, "is_greedy": b}` out. The text is tokenized
//! whole, as the completions API does; the continuation's tokens are those behind as many as the context has by itself, as
//! lm-evaluation-harness counts them.

use std::{
    error::Error,
    io::{BufRead, Write, stdin, stdout},
    sync::Arc,
    thread,
};

use engine::{CacheType, Token, gguf::File, sampler::logprobs, tokenizer::Tokenizer};
use native::{
    Isa,
    model::{Limits, Model, Runner},
};
use serde::{Deserialize, Serialize};

/// Tokens of one step of the model: bounds the memory for logits.
const STEP: usize = 128;

#[derive(Deserialize)]
struct Pair {
    context: String,
    continuation: String,
}

#[derive(Serialize)]
struct Score {
    loglikelihood: f64,
    is_greedy: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    const USAGE: &str = "usage: score MODEL.gguf [f16|q8_0] < pairs.jsonl";
    let path = std::env::args_os().nth(1).ok_or(USAGE)?;
    let cache = std::env::args().nth(2).map_or(Some(CacheType::F16), |name| CacheType::named(&name)).ok_or(USAGE)?;
    let file = File::open(path.as_ref())?;
    let tokenizer = Tokenizer::from_file(&file)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let model = Arc::new(Model::load(&file, threads)?);
    let limits = Limits { slots: 1, context: model.shape().context, threads, isa: Isa::best(), cache };
    let mut runner = Runner::new(model, limits)?;
    let mut out = stdout().lock();
    for (number, line) in stdin().lock().lines().enumerate() {
        let pair: Pair = serde_json::from_str(&line?).map_err(|error| format!("line {}: {error}", number + 1))?;
        let score = score(&pair, &tokenizer, &mut runner).map_err(|error| format!("line {}: {error}", number + 1))?;
        serde_json::to_writer(&mut out, &score)?;
        writeln!(out)?;
    }
    Ok(())
}

fn score(pair: &Pair, tokenizer: &Tokenizer, runner: &mut Runner) -> Result<Score, String> {
    let ids = tokenizer.encode_prompt(&format!("{}{}", pair.context, pair.continuation));
    if ids.len() > runner.limits().context {
        return Err(format!("{} tokens, and the model was made for {}", ids.len(), runner.limits().context));
    }
    // Nothing predicts the first token.
    let from = tokenizer.encode_prompt(&pair.context).len().max(1);
    let vocabulary = runner.model().shape().vocabulary;
    let mut score = Score { loglikelihood: 0.0, is_greedy: true };
    for start in (0..ids.len()).step_by(STEP) {
        let end = (start + STEP).min(ids.len());
        let predicts = |position: usize| position + 1 >= from && position + 1 < ids.len();
        let token = |position| Token { slot: 0, position, id: ids[position], logits: predicts(position) };
        let step: Vec<Token> = (start..end).map(token).collect();
        let rows = runner.step(&step).chunks(vocabulary);
        for (row, position) in rows.zip((start..end).filter(|&position| predicts(position))) {
            let next = ids[position + 1];
            let found = logprobs(row, next, 1);
            // A client adds up the decimal numbers that it is sent, so these are added up here.
            let told = found.chosen.to_string().parse::<f64>().map_err(|error| error.to_string())?;
            score.loglikelihood += told;
            score.is_greedy &= found.top.first().is_some_and(|(best, _)| *best == next);
        }
    }
    Ok(score)
}
