//! How well both engines predict a text: the perplexity of the demo model, which small errors anywhere in the graph would show.

use engine::sampler::logprobs;

use crate::{
    demo,
    logits::{add, model, runner},
    oracle::Oracle,
};

/// Tokens that are predicted from those before them, from the first of a piece on.
const PIECE: usize = 256;
/// Pieces of the text.
const PIECES: usize = 16;

/// A text of this repository's own that no model was trained on.
const TEXT: &str = include_str!("../../README.md");

/// The mean of what each token but the first was given, as a logarithm.
fn mean(pieces: &[&[u32]], logits: impl Fn(&[u32]) -> Vec<Vec<f32>>) -> f64 {
    let of_piece = |ids: &&[u32]| {
        let rows = logits(ids);
        let next = ids[1..].iter().zip(&rows).map(|(&id, row)| f64::from(logprobs(row, id, 0).chosen));
        next.sum::<f64>()
    };
    pieces.iter().map(of_piece).sum::<f64>() / pieces.iter().map(|piece| piece.len() - 1).sum::<usize>() as f64
}

/// To four digits, as both are printed.
#[test]
fn the_demo_model_predicts_a_text_as_well_as_in_llama_cpp() {
    let path = demo();
    let oracle = Oracle::load(&path);
    let ids = oracle.tokens(TEXT);
    let pieces: Vec<&[u32]> = ids.chunks_exact(PIECE).take(PIECES).collect();
    assert_eq!(pieces.len(), PIECES);
    let model = model(&path);
    let native = |ids: &[u32]| add(&mut runner(&model, PIECE), 0, ids);
    let (ours, theirs) = (mean(&pieces, native), mean(&pieces, |ids| oracle.sequence(PIECE, 2).add(ids, true)));
    let [ours, theirs] = [ours, theirs].map(|mean| (-mean).exp());
    println!("perplexity of {} tokens: native {ours:.4}, llama.cpp {theirs:.4}", PIECE * PIECES);
    assert!((ours / theirs - 1.0).abs() < 5e-4, "native {ours}, llama.cpp {theirs}");
}
