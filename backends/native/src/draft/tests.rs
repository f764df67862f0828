//! What a draft guesses against what a model of its weights says, one token after the other.

use bytes::Bytes;
use engine::{
    CacheType,
    testing::{Llama, Meta, Vocabulary},
};
use kernels::Isa;

use super::*;

fn shape() -> Llama {
    Llama { kind: gguf::TensorType::F32, context: 512, sharpness: 20.0, seed: 3, ..Llama::default() }
}

fn model(shape: &Llama) -> Model {
    Model::load(&File::read(Bytes::from(shape.build())).unwrap(), 1).unwrap()
}

fn draft(shape: &Llama, context: usize) -> Draft {
    Draft::new(model(shape), Limits { slots: 3, context, threads: 2, isa: Isa::best(), cache: CacheType::F16 }).unwrap()
}

fn text(len: usize, seed: usize) -> Vec<u32> {
    (0..len).map(|i| 5 + ((i * i * 31 + i * 17 + seed * 101) % 200) as u32).collect()
}

/// The likeliest tokens behind a text, with no regard to how likely they are.
fn said(text: &[u32], count: usize) -> Vec<u32> {
    let limits =
        Limits { slots: 1, context: shape().context as usize, threads: 1, isa: Isa::best(), cache: CacheType::F16 };
    let mut runner = Runner::new(Arc::new(model(&shape())), limits).unwrap();
    let mut text = text.to_vec();
    for _ in 0..count {
        let last = text.len() - 1;
        let token = |(position, &id)| Token { slot: 0, position, id, logits: position == last };
        let tokens: Vec<Token> = text.iter().enumerate().map(token).collect();
        let logits = runner.step(&tokens);
        let id = (0..).zip(logits).max_by(|(_, a): &(u32, _), (_, b)| a.total_cmp(b)).unwrap().0;
        text.push(id);
    }
    text.split_off(text.len() - count)
}

fn begin(draft: &mut Draft, slot: usize, salt: Option<&str>) {
    draft.begin(Start { slot, prompt: &[1], most: 500, salt, anew: false });
}

/// What it guesses once it has caught up, and how many tokens that took in each call.
fn guesses(draft: &mut Draft, answers: &[Ahead<'_>]) -> (Vec<Vec<u32>>, Vec<usize>) {
    let mut pieces = Vec::new();
    loop {
        match draft.look_ahead(answers) {
            Drafted::CaughtUp(tokens) => pieces.push(tokens),
            Drafted::Guessed { guesses, .. } => return (guesses, pieces),
        }
    }
}

/// A guess may be shorter, where it is not sure.
fn is_beginning(guess: &[u32], said: &[u32]) {
    assert!(!guess.is_empty() && said.starts_with(guess), "{guess:?} for {said:?}");
}

#[test]
fn it_computes_the_text_in_pieces_and_guesses_what_is_likeliest_as_the_text_goes_on() {
    let mut draft = draft(&shape(), 512);
    begin(&mut draft, 0, None);
    let mut text = text(300, 1);
    let (mut guessed, mut whole) = (0, 0);
    for round in 0..12 {
        let (guess, pieces) = guesses(&mut draft, &[Ahead { slot: 0, text: &text, most: 5 }]);
        assert_eq!(pieces, if round == 0 { vec![128, 128, 43] } else { vec![] }, "{round}");
        let said = said(&text, 5);
        guessed += usize::from(!guess[0].is_empty());
        whole += usize::from(guess[0].len() == 5);
        assert!(said.starts_with(&guess[0]), "{guess:?} for {said:?}");
        // All of it is taken, or a part, or nothing, and something else follows.
        text.extend(&said[..[5, 2, 0][round % 3]]);
        text.push(7 + round as u32);
    }
    assert!(guessed >= 6 && whole > 0, "{guessed} of 12, {whole} of them whole");
}

#[test]
fn of_several_at_once_each_gets_its_own_and_a_text_that_does_not_fit_gets_none() {
    let mut draft = draft(&shape(), 100);
    (0..3).for_each(|slot| begin(&mut draft, slot, None));
    // The seeds are such that it is sure.
    let texts = [text(50, 1), text(98, 1), text(101, 1)];
    let answers: Vec<Ahead<'_>> = (0..).zip(&texts).map(|(slot, text)| Ahead { slot, text, most: 7 }).collect();
    let (guessed, pieces) = guesses(&mut draft, &answers);
    assert_eq!(pieces, [49, 97]);
    for (guess, text) in guessed[..2].iter().zip(&texts) {
        is_beginning(guess, &said(text, 7));
    }
    assert!(guessed[1].len() <= 3, "there is room for no more: {guessed:?}");
    assert!(guessed[2].is_empty());
    let only = [Ahead { slot: 2, text: &texts[2], most: 7 }];
    assert_eq!(draft.look_ahead(&only), Drafted::Guessed { guesses: vec![vec![]], steps: 0 });
}

#[test]
fn what_it_has_computed_of_a_text_is_used_again_by_those_who_may_know_of_it() {
    let mut draft = draft(&shape(), 512);
    begin(&mut draft, 0, None);
    let (first, other) = (text(200, 1), [&text(200, 1)[..150], &text(50, 2)].concat());
    assert_eq!(guesses(&mut draft, &[Ahead { slot: 0, text: &first, most: 3 }]).1, [128, 71]);
    draft.end(0);
    for (slot, salt, pieces) in [(1, None, vec![49]), (2, Some("another team"), vec![128, 71])] {
        begin(&mut draft, slot, salt);
        let (guess, took) = guesses(&mut draft, &[Ahead { slot, text: &other, most: 3 }]);
        assert_eq!(took, pieces);
        assert!(said(&other, 3).starts_with(&guess[0]));
    }
    // A slot that was never asked about has nothing to end.
    draft.end(0);
}

#[test]
fn what_is_not_likely_is_no_guess() {
    let mut draft = draft(&Llama { sharpness: 1.0, ..shape() }, 512);
    begin(&mut draft, 0, None);
    let text = text(5, 1);
    let drafted = draft.look_ahead(&[Ahead { slot: 0, text: &text, most: 7 }]);
    assert_eq!(drafted, Drafted::Guessed { guesses: vec![vec![]], steps: 1 });
    assert_eq!(likeliest(&[f32::NAN, 1.0]), None);
    assert_eq!(likeliest(&[f32::NEG_INFINITY; 3]), None);
    assert_eq!(likeliest(&[0.0, 9.0, 1.0]), Some(1));
}

#[test]
fn a_draft_of_other_tokens_is_refused_with_the_first_that_differs() {
    let file = |writer: &engine::testing::Writer| File::read(Bytes::from(writer.finish())).unwrap();
    let whole = shape().writer();
    assert!(check(&file(&whole), &file(&whole)).is_ok());
    let mut other = shape().writer();
    let Some(Meta::Texts(mut texts)) = other.get("tokenizer.ggml.tokens").cloned() else { panic!("texts") };
    texts[260] = "▁this".into();
    other.set("tokenizer.ggml.tokens", Meta::Texts(texts));
    let why = check(&file(&other), &file(&whole)).unwrap_err().to_string();
    assert!(why.contains("token 260 is the text ` this`, and in the model the text ` the`"), "{why}");
    let bpe = Llama { vocabulary: Vocabulary::Bpe, ..shape() }.writer();
    let why = check(&file(&bpe), &file(&whole)).unwrap_err().to_string();
    assert!(why.contains("token 0 is the control token `<s>`"), "{why}");
    let mut other = shape().writer();
    other.set("general.architecture", Meta::Text("rwkv6".into()));
    assert!(check(&file(&other), &file(&whole)).unwrap_err().to_string().contains("rwkv6"));
    let mamba = Llama::of("mamba", gguf::TensorType::F32).writer();
    for (draft, model, why) in
        [(&mamba, &whole, "a draft that cannot forget"), (&whole, &mamba, "a draft for a model that")]
    {
        let found = check(&file(draft), &file(model)).unwrap_err().to_string();
        assert!(found.contains(why), "{found}");
    }
}
