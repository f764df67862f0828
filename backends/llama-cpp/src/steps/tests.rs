//! Steps of a context without a scheduler.

use engine::{gguf::File, testing::Llama};
use llama_cpp_2::model::{LlamaModel, params::LlamaModelParams};

use super::*;
use crate::{
    Options, backend,
    load::{Shape, make},
};

fn token(slot: usize, position: usize) -> Token {
    Token { slot, position, id: 5 + ((position * 7 + slot) % 200) as u32, logits: false }
}

fn begin(context: &mut Context<'_>, slot: usize, prompt: &[u32]) {
    assert_eq!(context.begin(Start { slot, prompt, most: 100, salt: None, anew: true }), Some(0));
}

#[test]
fn a_step_that_nobody_waits_for_is_given_up_and_leaves_each_slot_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, Llama { width: 64, feed_forward: 96, ..Llama::default() }.build()).unwrap();
    let (library, file) = (backend().unwrap(), File::open(&path).unwrap());
    // A graphics card computes a pass to its end.
    let processors = LlamaModelParams::default().with_devices(&[]).unwrap();
    let model = LlamaModel::load_from_file(library, &path, &processors).unwrap();
    // Windows of their own, and then one stream of cells, which has no room for so many windows.
    for cache_bytes in [None, Some(700 * 256)] {
        let options = Options { context: Some(256), max_sequences: Some(4), cache_bytes, ..Options::default() };
        let shape = Shape::of(&file, &model, &options).unwrap();
        let interest = Arc::new(Interest::default());
        let mut context = make(library, &model, &shape, 1, None, Arc::clone(&interest), None).unwrap();
        assert_eq!(matches!(context.cache, Cache::Own(_)), cache_bytes.is_none(), "{shape:?}");
        for slot in [0, 2] {
            begin(&mut context, slot, &[1; 90]);
        }
        let first: Vec<Token> = [0, 2].into_iter().flat_map(|slot| (0..20).map(move |at| token(slot, at))).collect();
        // Of the one most, of the other one token.
        let mut second: Vec<Token> = (20..60).map(|at| token(2, at)).chain([token(0, 20)]).collect();
        second[40].logits = true;
        interest.begin(first.len());
        assert_eq!(context.step(&first), Ok(vec![]));
        interest.begin(second.len());
        interest.lose(40);
        assert_eq!(context.step(&second), Err(Halt::Unwanted));
        assert_eq!((context.cache.held(0), context.cache.held(2)), (20, 20));
        context.end(2);
        interest.begin(1);
        let after = context.step(&second[40..]).unwrap()[0].to_vec();
        // The same without all that.
        begin(&mut context, 3, &[1; 90]);
        let anew: Vec<Token> = (0..21).map(|at| Token { slot: 3, logits: at == 20, ..token(0, at) }).collect();
        interest.begin(anew.len());
        let expected = context.step(&anew).unwrap()[0].to_vec();
        for (found, expected) in after.iter().zip(&expected) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
    }
}
