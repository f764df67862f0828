//! What looking back costs: milliseconds a token after a long prompt, with keys and values as halves and as bytes, by turns.
//!
//! `cargo run --release -p native --example depth -- [TOKENS] [LAYERS]`: a llama-shaped model of 1.1 billion random weights, or
//! of fewer layers, after 8,192 tokens or as many as are given. The best of the rounds counts, as other load only ever slows
//! one down. The first line of each is a prompt of 512 tokens and the answer after it: what is left when there is little to
//! look back at.

use std::{sync::Arc, time::Instant};

use engine::{CacheType, Token, gguf::File, testing::Llama};
use native::{
    Isa,
    model::{Limits, Model, Runner},
};

const STEP: usize = 512;
const ANSWER: usize = 16;
const ROUNDS: usize = 4;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let (after, billion) = (arguments.next().unwrap_or(8_192), Llama::billion());
    let layers = arguments.next().map_or(billion.layers, |layers| layers as u32);
    let context = u32::try_from(after + ANSWER).expect("a context");
    let file = File::read(Llama { context, layers, ..billion }.build().into()).expect("a file in order");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let model = Arc::new(Model::load(&file, threads).expect("a model that native reads"));
    drop(file);
    let mut runners = CacheType::ALL.map(|cache| {
        let limits = Limits { slots: 1, context: after + ANSWER, threads, isa: Isa::best(), cache };
        (cache, Runner::new(Arc::clone(&model), limits).expect("limits"))
    });
    for depth in [STEP, after] {
        for (cache, runner) in &mut runners {
            let took = time(|| {
                for first in (0..depth).step_by(STEP) {
                    step(runner, first, depth.min(first + STEP));
                }
            });
            println!("{cache:<6} a prompt of {depth}: {:.1} tokens/s", depth as f64 / took);
        }
        let mut best = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            for ((_, runner), best) in runners.iter_mut().zip(&mut best) {
                let took = time(|| (depth..depth + ANSWER).for_each(|at| step(runner, at, at + 1)));
                *best = best.min(took / ANSWER as f64);
            }
        }
        for ((cache, _), best) in runners.iter().zip(best) {
            println!("{cache:<6} a token after {depth}: {:.2} ms, {:.1} tokens/s", 1e3 * best, 1.0 / best);
        }
    }
}

/// Tokens of positions from one to another; the last asks for logits.
fn step(runner: &mut Runner, first: usize, end: usize) {
    let id = |position: usize| 5 + ((position * position * 31 + position * 17) % 200) as u32;
    let token = |position| Token { slot: 0, position, id: id(position), logits: position + 1 == end };
    runner.step(&(first..end).map(token).collect::<Vec<_>>());
}

fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
