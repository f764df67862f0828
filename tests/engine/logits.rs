//! Logits of both engines, and of an exact computation with the same weights.
//!
//! Both round activations to eight bits before a product with quantised weights, each in its own way, so they cannot
//! agree to the last bit; what can be asked is that each is as near to the exact logits as that rounding allows. A
//! step is a 127th of the largest of a group; rounding moves a value by a root mean square of step / sqrt(12). Among
//! 256 normal values the largest is about 3 root mean squares and among 32 about 2.2: one product is off by 0.0068 or
//! 0.005 of its size. A product with a random matrix keeps that ratio; there are four such roundings in a layer and
//! one before the output, independent, each in a part of the stream only, and the product of gate and up has the
//! error of both. For the largest of a hundred rows, three halves of the average:
//! `1.5 * ratio * sqrt(2 * (4 * layers + 1))`. Where heads share what they are made of there are six in a layer. Without quantised weights both keep keys and values as halves, and
//! llama.cpp rounds activations to halves before products with F16: 2^-11 / sqrt(12) in place of the ratio.

use std::{fmt, path::Path, sync::Arc};

use engine::{
    CacheType, Token,
    gguf::{File, TensorType},
    testing::Llama,
};
use native::{
    Isa,
    model::{
        Limits, Model, Runner,
        reference::{self, Rounding},
    },
};

use crate::{demo, oracle::Oracle};

const KINDS: [TensorType; 6] =
    [TensorType::F32, TensorType::F16, TensorType::Q8_0, TensorType::Q4_0, TensorType::Q4_K, TensorType::Q6_K];

/// How far each may be from exact, as derived above.
pub(crate) fn noise(kind: TensorType, layers: usize) -> f64 {
    noise_of(kind, 4 * layers)
}

/// The same of so many roundings in layers.
fn noise_of(kind: TensorType, roundings: usize) -> f64 {
    let ratio = match kind.block_len() {
        256 => 3.0 / 127.0 / 12f64.sqrt(),
        32 => 2.2 / 127.0 / 12f64.sqrt(),
        _ => 1.0 / 2048.0 / 12f64.sqrt(),
    };
    1.5 * ratio * (2.0 * (roundings as f64 + 1.0)).sqrt()
}

/// The distance of two rows relative to the size of the second, for the row where it is largest.
pub(crate) fn farthest<A: Copy + Into<f64>, B: Copy + Into<f64>>(rows: &[Vec<A>], from: &[Vec<B>]) -> f64 {
    assert_eq!(rows.len(), from.len());
    let distance = |(a, b): (&Vec<A>, &Vec<B>)| {
        assert_eq!(a.len(), b.len());
        let off: f64 = a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum();
        let size: f64 = b.iter().map(|&b| b.into().powi(2)).sum();
        (off / size).sqrt()
    };
    rows.iter().zip(from).map(distance).fold(0.0, f64::max)
}

pub(crate) fn model(path: &Path) -> Arc<Model> {
    Arc::new(Model::load(&File::open(path).expect("a file in order"), 2).expect("a model that native reads"))
}

pub(crate) fn runner(model: &Arc<Model>, context: usize) -> Runner {
    let limits = Limits { slots: 1, context, threads: 2, isa: Isa::best(), cache: CacheType::F16 };
    Runner::new(Arc::clone(model), limits).expect("limits within the model's")
}

/// Adds tokens to slot 0; the logits after each of them.
pub(crate) fn add(runner: &mut Runner, first: usize, ids: &[u32]) -> Vec<Vec<f32>> {
    let token = |(i, &id)| Token { slot: 0, position: first + i, id, logits: true };
    let tokens: Vec<Token> = ids.iter().enumerate().map(token).collect();
    let rows = runner.model().shape().vocabulary;
    runner.step(&tokens).chunks(rows).map(<[f32]>::to_vec).collect()
}

/// How far the logits of a whole prompt are from exact ones, and from each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apart {
    native: f64,
    llama_cpp: f64,
    each_other: f64,
}

impl Apart {
    pub(crate) fn of(model: &Arc<Model>, oracle: &Oracle, ids: &[u32]) -> Self {
        let ours = add(&mut runner(model, ids.len()), 0, ids);
        let theirs = oracle.sequence(ids.len(), 2).add(ids, true);
        let exact = reference::logits(model, ids.len(), ids, Rounding::None);
        Apart {
            native: farthest(&ours, &exact),
            llama_cpp: farthest(&theirs, &exact),
            each_other: farthest(&ours, &theirs),
        }
    }

    /// Whether native is as near to exact as rounding allows, and no farther from llama.cpp than both roundings.
    pub(crate) fn agree(&self, noise: f64) -> bool {
        self.native < noise && self.each_other < noise + self.llama_cpp
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Apart { native, llama_cpp, each_other } = self;
        write!(f, "native {native:.2e} and llama.cpp {llama_cpp:.2e} from exact, {each_other:.2e} apart")
    }
}

/// Checks a whole prompt; `noise` as derived above, or a quarter more than an exact computation with native's rounding has:
/// in a model that was trained a few values are far larger than the others, and take the small ones' steps.
pub(crate) fn check(name: &str, path: &Path, ids: &[u32], noise: Option<f64>) {
    let model = model(path);
    let apart = Apart::of(&model, &Oracle::load(path), ids);
    let logits = |rounding| reference::logits(&model, ids.len(), ids, rounding);
    let contract = Rounding::Contract(CacheType::F16);
    let noise = noise.unwrap_or_else(|| 1.25 * farthest(&logits(contract), &logits(Rounding::None)));
    println!("{name}: {apart}; bound {noise:.2e}");
    assert!(apart.agree(noise), "{name}: {apart}, beyond {noise:e}");
}

#[test]
fn every_weight_type_is_as_near_to_exact_as_its_rounding_allows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for kind in KINDS {
        let layers = 2;
        let llama = Llama { kind, layers, width: 256, feed_forward: 512, seed: 11, ..Llama::default() };
        let path = folder.path().join(format!("{kind}.gguf"));
        std::fs::write(&path, llama.build()).expect("a file");
        let ids: Vec<u32> = (0..100).map(|i: u32| (i * i * 31 + i * 17 + 5) % 300).collect();
        check(kind.name(), &path, &ids, Some(noise(kind, layers as usize)));
    }
}

/// Prompts longer than windows, and layers with and without.
#[test]
fn every_family_is_as_near_to_exact_as_its_rounding_allows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for kind in [TensorType::F32, TensorType::Q8_0, TensorType::Q4_K] {
        let usual = native::model::architectures().map(|name| (name, Llama::of(name, kind)));
        for (name, llama) in usual.chain(Llama::variants(kind)) {
            let path = folder.path().join(format!("{name}-{kind}.gguf"));
            std::fs::write(&path, Llama { seed: 12, ..llama }.build()).expect("a file");
            let ids: Vec<u32> = (0..100).map(|i: u32| (i * i * 31 + i * 17 + 5) % 300).collect();
            let products = if llama.architecture == "minicpm3" { 6 } else { 4 };
            check(&format!("{name} {kind}"), &path, &ids, Some(noise_of(kind, products * llama.layers as usize)));
        }
    }
}

#[test]
fn the_demo_model_is_as_near_to_exact_as_its_rounding_allows() {
    let path = demo();
    let text = "Which licence does Llama 3.3 have, and may a company sell a service that runs on it? ".repeat(6);
    let ids = Oracle::load(&path).tokens(&text);
    assert!(ids.len() >= 64, "{} tokens", ids.len());
    let ids = &ids[..ids.len().min(120)];
    check("demo", &path, ids, None);
}

/// Both engines read what llama.cpp would answer; where native would have said another token, the two must have been
/// nearly as likely.
#[test]
fn the_demo_model_says_what_llama_cpp_says() {
    let path = demo();
    let (model, oracle) = (model(&path), Oracle::load(&path));
    let mut runner = runner(&model, 256);
    let mut sequence = oracle.sequence(256, 2);
    let mut ids = oracle.tokens("What is the licence of Mistral 7B?");
    let (mut ours, mut theirs) = (add(&mut runner, 0, &ids), sequence.add(&ids, false));
    let (mut agreed, steps) = (0, 64);
    for _ in 0..steps {
        let (our, their) = (ours.pop().expect("a row"), theirs.pop().expect("a row"));
        let (we, they) = (largest(&our), largest(&their));
        agreed += usize::from(we == they);
        let size = (their.iter().map(|x| x * x).sum::<f32>() / their.len() as f32).sqrt();
        let bound = noise(TensorType::Q8_0, model.shape().layers) as f32 * size;
        assert!(their[they] - their[we] <= 2.0 * 4.0 * bound, "token {}: {they} by far, native says {we}", ids.len());
        let next = u32::try_from(they).expect("a token");
        ours = add(&mut runner, ids.len(), &[next]);
        theirs = sequence.add(&[next], false);
        ids.push(next);
    }
    println!("demo: {agreed} of {steps} greedy tokens are the same");
    assert!(agreed * 10 >= steps * 9, "only {agreed} of {steps} greedy tokens are the same");
}

fn largest(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a vocabulary")
}
