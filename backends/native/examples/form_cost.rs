//! What keeping to a form costs: microseconds a token with and without, on the same model, with one caller.
//!
//! `cargo run --release -p native --example form_cost -- MODEL.gguf`. Free and kept answers take turns, so that whatever else
//! the machine does falls on both; the middle of all rounds is printed.

use std::{error::Error, sync::Arc, time::Instant};

use backends::{Api, Backend, BackendId, Event, Form, Input, Payload, Prompt, Request, Sampling, Shape, Usage};
use engine::Engine;
use futures_util::StreamExt;
use native::{Options, Source};

const ROUNDS: usize = 40;
const TOKENS: u32 = 150;

/// A list that does not end before the tokens do, of what schemas are mostly made of.
const SCHEMA: &str = r#"{"type": "array", "minItems": 200, "items": {"type": "object", "required": ["name", "tier", "open"],
    "properties": {"name": {"type": "string"}, "tier": {"type": "integer"}, "open": {"type": "boolean"}}, "additionalProperties": false}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: form_cost MODEL.gguf")?;
    let engine = native::load(BackendId::new("cost"), Source::File(path.into()), Options::default())?;
    // All ways to end are forbidden, so that both have as many tokens.
    let ends = (0..engine.tokenizer().len() as u32).filter(|&id| engine.tokenizer().is_end(id));
    let sampling = Sampling { logit_bias: ends.map(|id| (id, -100.0)).collect(), seed: Some(1), ..Sampling::default() };
    let input = Input::Prompts(vec![Prompt::Text("The models and their tiers:".to_owned())]);
    let payload = Payload::new(r#"{"model":"m"}"#.into())?;
    let free = Request { sampling, max_tokens: Some(TOKENS), ..Request::new("cost", Api::Completions, payload, input) };
    let form = Form::JsonSchema { schema: SCHEMA.to_owned(), strict: true };
    let kept = Request { shape: Some(Shape { field: "response_format", form }), ..free.clone() };
    let mut took = [Vec::new(), Vec::new()];
    let mut first = Vec::new();
    for round in 0..=ROUNDS {
        for (request, took) in [&free, &kept].into_iter().zip(&mut took) {
            let (to_first, a_token) = run(&engine, request).await?;
            // The first round fills caches.
            if round > 0 {
                took.push(a_token);
                first.push(to_first);
            }
        }
    }
    let middle = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (free_first, kept_first) = (first.iter().step_by(2).copied(), first.iter().skip(1).step_by(2).copied());
    println!(
        "to the first text: {:.0} us free, {:.0} us kept",
        middle(free_first.collect()),
        middle(kept_first.collect())
    );
    let [free, kept] = took.map(middle);
    println!("a token: {free:.1} us free, {kept:.1} us kept: {:.1} us for the form", kept - free);
    Ok(())
}

/// Microseconds to the first text, and for each token after it.
async fn run(engine: &Engine, request: &Request) -> Result<(f64, f64), Box<dyn Error>> {
    let began = Instant::now();
    let mut events = engine.generate(Arc::new(request.clone())).await?;
    let (mut first, mut usage) = (None, Usage::default());
    while let Some(event) = events.next().await {
        match event? {
            Event::Delta(_) => drop(first.get_or_insert_with(Instant::now)),
            Event::Usage(counted) => usage = counted,
            _ => {}
        }
    }
    let first = first.ok_or("an answer without text")?;
    let tokens = usage.completion_tokens.saturating_sub(1).max(1);
    let us = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e6;
    Ok((us(began, first), us(first, Instant::now()) / tokens as f64))
}
