//! Vectors of texts on the native engine beside llama.cpp: texts per second, by turns, in one process.
//!
//! `cargo run --release -p llama-cpp-engine --example vectors_beside_native -- [F32 | F16 | Q8_0 | Q4_0 | Q4_K]...
//! [--threads N]`
//!
//! The model has the shape of BERT base, 12 layers of 768, and random weights of each type. Both sides get the same batches,
//! as many tokens as the engines give at once; the last row is one short text alone, as a query is. What `beside_native` says of
//! how llama.cpp has to be built holds here too. Each figure is the best of the rounds.

#![forbid(unsafe_code)]

use std::{num::NonZeroU32, sync::Arc, thread, time::Instant};

use engine::{
    Purpose,
    gguf::{File, TensorType},
    testing::Bert,
};
use llama_cpp_2::{
    context::{
        LlamaContext,
        params::{LlamaContextParams, LlamaPoolingType},
    },
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use native::{
    Isa,
    encoder::{Encoder, Reader},
};

const ROUNDS: usize = 4;
/// Tokens of a batch.
const BATCH: usize = 512;
/// Tokens of a text, and how many there are of it: a batch, or one alone.
const TEXTS: [(usize, usize); 4] = [(64, 8), (256, 2), (512, 1), (12, 1)];

fn main() {
    let mut kinds = Vec::new();
    let mut threads = thread::available_parallelism().expect("a number of cores").get();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().and_then(|n| n.parse().ok()).expect("a number of threads"),
            name => {
                let kind = TensorType::ALL.iter().copied().find(|kind| kind.name() == name);
                kinds.push(kind.expect("a type of weights"));
            }
        }
    }
    if kinds.is_empty() {
        kinds = vec![TensorType::F16, TensorType::Q8_0, TensorType::Q4_K];
    }
    kinds.into_iter().for_each(|kind| compare(kind, threads));
}

fn base(kind: TensorType) -> Bert {
    Bert {
        kind,
        layers: 12,
        width: 768,
        feed_forward: 3_072,
        heads: 12,
        context: 512,
        pooling: Some(1),
        ..Bert::default()
    }
}

fn compare(kind: TensorType, threads: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("random.gguf");
    std::fs::write(&path, base(kind).build()).expect("a file");
    let file = File::open(&path).expect("a file in order");
    let encoder = Arc::new(Encoder::load(&file, Purpose::Vectors, threads).expect("an encoder that native reads"));
    println!(
        "{kind}: {:.1} M parameters, {:.0} MB; {threads} threads; native on {}",
        encoder.parameters() as f64 / 1e6,
        file.size() as f64 / 1e6,
        Isa::best().name()
    );
    let mut ours = Reader::new(encoder, threads, Isa::best()).expect("threads");
    let backend = llama_cpp_engine::backend().expect("llama.cpp starts");
    let model = LlamaModel::load_from_file(backend, &path, &LlamaModelParams::default()).expect("a model");
    let count = i32::try_from(threads).expect("a number of threads");
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(BATCH as u32))
        .with_n_seq_max(64)
        .with_kv_unified(true)
        .with_n_batch(BATCH as u32)
        .with_n_ubatch(BATCH as u32)
        .with_embeddings(true)
        .with_pooling_type(LlamaPoolingType::Mean)
        .with_n_threads(count)
        .with_n_threads_batch(count);
    let mut theirs = Theirs {
        context: model.new_context(backend, params).expect("llama.cpp gives a context"),
        batch: LlamaBatch::new(BATCH, 1),
    };
    println!("  {:<24}{:>10}{:>12}{:>8}{:>12}", "texts per second", "native", "llama.cpp", "ratio", "off");
    for (len, texts) in TEXTS {
        let texts: Vec<Vec<u32>> = (0..texts).map(|seed| text(len, seed)).collect();
        let mut rates = [0.0f64; 2];
        let mut rows = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (side, rate) in rates.iter_mut().enumerate() {
                let began = Instant::now();
                rows[side] = if side == 0 { ours.read(&texts) } else { theirs.read(&texts) };
                *rate = rate.max(texts.len() as f64 / began.elapsed().as_secs_f64());
            }
        }
        let [we, they] = rates;
        let name = format!("{} of {len} tokens", texts.len());
        println!("  {name:<24}{we:>10.1}{they:>12.1}{:>8.2}{:>12.1e}", we / they, apart(&rows));
    }
}

fn text(len: usize, seed: usize) -> Vec<u32> {
    (0..len).map(|i| ((i * i * 31 + i * 17 + seed * 101) % 78) as u32).collect()
}

/// How far the rows of both sides are apart, as a share of their size: that they compute the same.
fn apart([ours, theirs]: &[Vec<Vec<f32>>; 2]) -> f64 {
    let pairs = || ours.iter().flatten().zip(theirs.iter().flatten()).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let off: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    (off / pairs().map(|(_, b)| b * b).sum::<f64>()).sqrt()
}

/// A bare batch of llama.cpp.
struct Theirs<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'m>,
}

impl Theirs<'_> {
    fn read(&mut self, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        self.batch.clear();
        for (sequence, text) in (0..).zip(texts) {
            for (position, &id) in (0..).zip(text) {
                let token = LlamaToken(i32::try_from(id).expect("a small number"));
                self.batch.add(token, position, &[sequence], true).expect("room in the batch");
            }
        }
        self.context.decode(&mut self.batch).expect("llama.cpp computes the batch");
        let row = |sequence| self.context.embeddings_seq_ith(sequence).expect("a row").to_vec();
        (0..).zip(texts).map(|(sequence, _)| row(sequence)).collect()
    }
}
