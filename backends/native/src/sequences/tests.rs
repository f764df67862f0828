//! What is held against what is computed anew: the same bits.

use bytes::Bytes;
use engine::{
    CacheType,
    gguf::{File, TensorType},
    testing::Llama,
};
use kernels::Isa;

use super::*;
use crate::model::{Limits, Model};

fn sequences(slots: usize) -> Sequences {
    keeping(CacheType::F16, slots)
}

fn keeping(cache: CacheType, slots: usize) -> Sequences {
    of("llama", cache, slots)
}

/// Of another architecture.
fn of(architecture: &'static str, cache: CacheType, slots: usize) -> Sequences {
    let file = File::read(Bytes::from(Llama::of(architecture, TensorType::F32).build())).unwrap();
    let model = Arc::new(Model::load(&file, 1).unwrap());
    let limits = Limits { slots, context: 200, threads: 2, isa: Isa::best(), cache };
    Sequences::new(Runner::new(model, limits).unwrap(), None, Arc::default())
}

fn text(len: usize, seed: usize) -> Vec<u32> {
    (0..len).map(|i| 5 + ((i * i * 31 + i * 17 + seed * 101) % 200) as u32).collect()
}

/// The rest of a prompt, whose last token asks for logits.
fn rest(slot: usize, prompt: &[u32], held: usize) -> Vec<Token> {
    let token = |position: usize| Token { slot, position, id: prompt[position], logits: position + 1 == prompt.len() };
    (held..prompt.len()).map(token).collect()
}

/// What a prompt found, and the logits behind it. Its slot stays its own.
fn begun(its: &mut Sequences, slot: usize, prompt: &[u32], salt: Option<&str>) -> (usize, Vec<f32>) {
    let held = its.begin(Start { slot, prompt, most: 200, salt, anew: false }).unwrap();
    its.interest.begin(prompt.len());
    (held, its.step(&rest(slot, prompt, held)).unwrap()[0].to_vec())
}

fn alone(prompt: &[u32]) -> Vec<f32> {
    begun(&mut sequences(1), 0, prompt, None).1
}

#[test]
fn what_a_prompt_finds_held_is_to_the_bit_what_computing_it_gives() {
    let mut its = sequences(2);
    let (first, other) = (text(100, 1), [&text(100, 1)[..70], &text(30, 2)].concat());
    assert_eq!(begun(&mut its, 0, &first, None), (0, alone(&first)));
    // A copy of one that is under way; the slot of the other stays whole.
    assert_eq!(begun(&mut its, 1, &other, None), (70, alone(&other)));
    its.end(0);
    its.end(1);
    let longer = [&first[..], &text(20, 3)].concat();
    assert_eq!(begun(&mut its, 1, &longer, None), (100, alone(&longer)));
    assert_eq!(begun(&mut its, 0, &other, None), (99, alone(&other)));
    its.end(1);
    // Who may not know of it does not.
    assert_eq!(begun(&mut its, 1, &longer, Some("another team")), (0, alone(&longer)));
}

#[test]
fn what_is_held_as_bytes_or_for_all_heads_is_to_the_bit_what_computing_it_gives() {
    for (architecture, cache) in
        [("llama", CacheType::Q8_0), ("minicpm3", CacheType::Q8_0), ("minicpm3", CacheType::F16)]
    {
        is_found_again(architecture, cache);
    }
}

fn is_found_again(architecture: &'static str, cache: CacheType) {
    let alone = |prompt: &[u32]| begun(&mut of(architecture, cache, 1), 0, prompt, None).1;
    let mut its = of(architecture, cache, 2);
    let first = text(150, 1);
    assert_eq!(begun(&mut its, 0, &first, None), (0, alone(&first)));
    // Copies of every length but a few, within groups of positions and at their ends.
    for shared in (64..=149).step_by(5).chain([66, 67, 68, 127, 128]) {
        let other = [&first[..shared], &[199 - first[shared] % 2][..], &text(8, shared)].concat();
        assert_eq!(begun(&mut its, 1, &other, None), (shared, alone(&other)), "{architecture} {cache}, {shared}");
        its.end(1);
    }
}

#[test]
fn what_another_is_computing_is_waited_for_and_taken_over() {
    let mut its = sequences(2);
    let (first, other) = (text(190, 6), [&text(190, 6)[..180], &text(10, 7)].concat());
    its.begin(Start { slot: 0, prompt: &first, most: 200, salt: None, anew: false }).unwrap();
    let start = Start { slot: 1, prompt: &other, most: 200, salt: None, anew: false };
    its.interest.begin(100);
    its.step(&rest(0, &first, 0)[..100]).unwrap();
    assert_eq!(its.begin(start), None);
    its.interest.begin(90);
    assert_eq!(its.step(&rest(0, &first, 100)).unwrap(), [&alone(&first)[..]]);
    assert_eq!(begun(&mut its, 1, &other, None), (180, alone(&other)));
}

#[test]
fn a_step_that_is_given_up_leaves_what_was_held_before_and_can_be_made_again() {
    let mut its = sequences(2);
    let prompt = text(90, 4);
    its.begin(Start { slot: 0, prompt: &prompt, most: 200, salt: None, anew: false }).unwrap();
    its.interest.begin(60);
    assert_eq!(its.step(&rest(0, &prompt, 0)[..60]), Ok(vec![]));
    its.interest.begin(30);
    its.interest.lose(30);
    assert_eq!(its.step(&rest(0, &prompt, 60)), Err(Halt::Unwanted));
    its.interest.begin(30);
    assert_eq!(its.step(&rest(0, &prompt, 60)).unwrap(), [&alone(&prompt)[..]]);
}

#[test]
fn a_model_that_cannot_go_back_begins_each_prompt_anew_and_takes_no_guesses() {
    let alone = |prompt: &[u32]| begun(&mut of("mamba", CacheType::F16, 1), 0, prompt, None).1;
    let mut its = of("mamba", CacheType::F16, 2);
    let prompt = text(100, 1);
    for slot in [0, 1, 0] {
        assert_eq!(begun(&mut its, slot, &prompt, None), (0, alone(&prompt)));
        its.end(slot);
    }
    assert_eq!(its.runner.held().held(&prompt, None), 0);
    assert_eq!((its.spare(), sequences(1).spare()), (None, Some(SPARE)));
}

#[test]
fn what_was_guessed_wrongly_is_forgotten_and_what_was_right_is_as_if_computed_alone() {
    let mut its = sequences(1);
    let whole = text(60, 5);
    begun(&mut its, 0, &whole[..50], None);
    let ahead: Vec<Token> = rest(0, &whole, 50).into_iter().map(|token| Token { logits: true, ..token }).collect();
    // Three are right and two are not.
    let guess: Vec<Token> =
        ahead[..5].iter().enumerate().map(|(i, token)| Token { id: token.id + u32::from(i > 2), ..*token }).collect();
    its.interest.begin(5);
    let rows: Vec<Vec<f32>> = its.step(&guess).unwrap().into_iter().map(<[f32]>::to_vec).collect();
    for (i, row) in rows[..3].iter().enumerate() {
        assert_eq!(row, &alone(&whole[..51 + i]));
    }
    its.forget(0, 53);
    its.interest.begin(7);
    assert_eq!(its.step(&ahead[3..]).unwrap().last().unwrap(), &&alone(&whole)[..]);
    its.end(0);
    assert_eq!(begun(&mut its, 0, &[&whole[..], &[9]].concat(), None).0, 60, "all that was right is held");
}
