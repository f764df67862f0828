//! The native engine beside llama.cpp: prompt and answer tokens per second, by turns, in one process.
//!
//! `cargo run --release -p tests --features engines --example compare-engine -- [FILE.gguf] [THREADS]`
//!
//! Without a file, or with `-`, it makes a llama-shaped model of 1.1 billion random Q4_K weights.
//! llama.cpp is only as fast as it is built: set `CMAKE_C_FLAGS=-march=native CMAKE_CXX_FLAGS=-march=native` for its build,
//! or it uses nothing beyond AVX2 (`.cargo/config.toml`). Each figure is the best of the rounds, as other load only ever
//! slows a round down.

#![forbid(unsafe_code)]

#[path = "../engine/oracle.rs"]
mod oracle;

use std::{path::PathBuf, sync::Arc, time::Instant};

use engine::{Token, gguf::File, testing::Llama};
use native::{
    Isa,
    model::{Limits, Model, Runner},
};
use oracle::Oracle;

const ROUNDS: usize = 3;
const PROMPT: usize = 512;
const ANSWER: usize = 64;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = arguments.next().filter(|path| path != "-").map_or_else(|| billion(&folder), PathBuf::from);
    let cores = std::thread::available_parallelism().expect("a number of cores").get();
    let threads = arguments.next().map_or(cores, |threads| threads.parse().expect("a number of threads"));

    let file = File::open(&path).expect("a file in order");
    let model = Arc::new(Model::load(&file).expect("a model that native reads"));
    let (shape, isa) = (model.shape(), Isa::best());
    println!(
        "{:.2} B parameters, {}, {:.0} MB; {threads} threads; native on {}",
        model.parameters() as f64 / 1e9,
        model.quantization(),
        file.size() as f64 / 1e6,
        isa.name()
    );
    let prompt = PROMPT.min(shape.context / 2);
    let answer = ANSWER.min(shape.context - prompt);
    let context = prompt + answer;
    let mut runner = Runner::new(Arc::clone(&model), Limits { slots: 1, context, threads, isa }).expect("limits");
    let oracle = Oracle::load(&path);
    let text = oracle.tokens("Which licence does the model have, and may a company sell what it says? ");
    let ids: Vec<u32> = text.into_iter().cycle().take(prompt).collect();
    let (mut ours, mut theirs) = (Rates::default(), Rates::default());
    for _ in 0..ROUNDS {
        ours.best(prompt, answer, |first, count| {
            let token =
                |i| Token { slot: 0, position: first + i, id: ids[(first + i) % prompt], logits: i + 1 == count };
            runner.step(&(0..count).map(token).collect::<Vec<_>>());
        });
        let mut sequence = oracle.sequence(context, threads);
        theirs.best(prompt, answer, |first, count| {
            let ids: Vec<u32> = (first..first + count).map(|i| ids[i % prompt]).collect();
            sequence.add(&ids, false);
        });
    }
    println!("{:<22}{:>12}{:>12}{:>8}", "tokens per second", "native", "llama.cpp", "ratio");
    for (what, ours, theirs) in
        [("prompt of", ours.prompt, theirs.prompt), ("answer after", ours.answer, theirs.answer)]
    {
        println!("{:<22}{ours:>12.1}{theirs:>12.1}{:>8.2}", format!("{what} {prompt}"), ours / theirs);
    }
}

#[derive(Default)]
struct Rates {
    prompt: f64,
    answer: f64,
}

impl Rates {
    /// Times a prompt at once, then an answer token by token; `step` takes a position and a number of tokens.
    fn best(&mut self, prompt: usize, answer: usize, mut step: impl FnMut(usize, usize)) {
        let start = Instant::now();
        step(0, prompt);
        self.prompt = self.prompt.max(prompt as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        (prompt..prompt + answer).for_each(|position| step(position, 1));
        self.answer = self.answer.max(answer as f64 / start.elapsed().as_secs_f64());
    }
}

fn billion(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("random.gguf");
    std::fs::write(&path, Llama::billion().build()).expect("a file");
    path
}
