//! The engine against the reference, on random models of every weight type.

mod generated;
mod loading;

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    CacheType,
    gguf::{File, TensorType},
    testing::Llama,
};
use kernels::Isa;

use super::{
    Limits, Model, ModelError, Runner, Token,
    reference::{self, Rounding},
};

const KINDS: [TensorType; 7] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q8_0,
    TensorType::Q4_0,
    TensorType::Q4_K,
    TensorType::Q6_K,
];

const HALVES: Rounding = Rounding::Contract(CacheType::F16);

/// Of each slot, in tokens.
const CONTEXT: usize = 128;

fn load(bytes: Vec<u8>) -> Result<Arc<Model>, ModelError> {
    let file = File::read(Bytes::from(bytes)).expect("a file in order");
    Model::load(&file, 2).map(Arc::new)
}

/// A model with sizes that suit `kind`, groups of two heads and a vocabulary that is no round number.
fn random(kind: TensorType) -> Llama {
    Llama { seed: 7, ..Llama::of("llama", kind) }
}

fn runner(model: &Arc<Model>, isa: Isa, threads: usize) -> Runner {
    keeping(CacheType::F16, model, isa, threads)
}

/// The same with another cache.
fn keeping(cache: CacheType, model: &Arc<Model>, isa: Isa, threads: usize) -> Runner {
    Runner::new(Arc::clone(model), Limits { slots: 3, context: CONTEXT, threads, isa, cache }).unwrap()
}

fn text(len: usize, seed: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (i * i * 31 + i * 17 + seed) % 200).collect()
}

fn chunk(slot: usize, first: usize, ids: &[u32]) -> Vec<Token> {
    ids.iter().enumerate().map(|(i, &id)| Token { slot, position: first + i, id, logits: true }).collect()
}

/// Euclidean distance of two rows, relative to the size of the second.
fn distance(ours: &[f32], theirs: &[f64]) -> f64 {
    let off: f64 = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let size: f64 = theirs.iter().map(|b| b * b).sum();
    (off / size).sqrt()
}

/// How far each row of logits is from the reference.
fn distances(model: &Arc<Model>, isa: Isa, ids: &[u32], rounding: Rounding) -> Vec<f64> {
    let expected = reference::logits(model, CONTEXT, ids, rounding);
    let cache = if let Rounding::Contract(cache) = rounding { cache } else { CacheType::F16 };
    let mut runner = keeping(cache, model, isa, 2);
    let logits = runner.step(&chunk(0, 0, ids));
    logits.chunks(model.shape().vocabulary).zip(&expected).map(|(ours, theirs)| distance(ours, theirs)).collect()
}

/// The forward pass is the contract's, with nothing left out and nothing rounded elsewhere: until some value lies so
/// near the edge between two steps that the order of additions decides, logits differ by the noise of `f32` alone.
///
/// After that first one the roundings that follow are those of another, equally good computation, and the distance is
/// that of two independent ones; the next test bounds it.
#[test]
fn logits_are_the_references_on_every_weight_type_and_tier() {
    let ids = text(70, 3);
    for kind in KINDS {
        let model = load(random(kind).build()).unwrap();
        for (isa, cache) in Isa::available().flat_map(|isa| CacheType::ALL.map(|cache| (isa, cache))) {
            let off = distances(&model, isa, &ids, Rounding::Contract(cache));
            check(&format!("{kind} {cache} {}", isa.name()), kind, cache, &model, &off);
        }
    }
}

/// Of the first some matrices are not packed as they lie in the file.
#[test]
fn heads_that_share_and_states_are_the_references_on_every_weight_type() {
    let ids = text(40, 3);
    for (architecture, kind) in ["minicpm3", "mamba"].into_iter().flat_map(|name| KINDS.map(|kind| (name, kind))) {
        let model = load(Llama { seed: 7, ..Llama::of(architecture, kind) }.build()).unwrap();
        for cache in CacheType::ALL {
            let off = distances(&model, Isa::best(), &ids, Rounding::Contract(cache));
            check(&format!("{architecture} {kind} {cache}"), kind, cache, &model, &off);
        }
    }
}

fn check(name: &str, kind: TensorType, cache: CacheType, model: &Model, off: &[f64]) {
    // Sums of up to 512 terms, some twenty of them in a row: 20 * sqrt(512) * 2^-24 is 2.7e-5. In deep models, more in a row.
    let order = 3e-5 * (model.shape().layers as f64 / 7.0).max(1.0);
    assert!(off[0] < order, "{name}: {off:?} beyond {order}");
    let bound = std::f64::consts::SQRT_2 * rounding_noise(kind, cache, model);
    assert!(off.iter().all(|&off| off < bound), "{name}: {off:?} beyond {bound}");
}

/// Few tokens, which every worker prepares, and many, which are parted; those that ask, in their order.
#[test]
fn rows_are_what_logits_are_computed_from() {
    for kind in [TensorType::F32, TensorType::Q8_0] {
        let model = load(random(kind).build()).unwrap();
        for (len, isa) in [3, 70].into_iter().flat_map(|len| Isa::available().map(move |isa| (len, isa))) {
            let ids = text(len, 8);
            let expected = reference::rows(&model, CONTEXT, &ids, Rounding::Contract(CacheType::F16));
            let mut tokens = chunk(1, 0, &ids);
            tokens.iter_mut().for_each(|token| token.logits = token.position % 3 != 1);
            let asks = |&at: &usize| tokens[at].logits;
            let mut all = Vec::new();
            for threads in [1, 2, 3] {
                let mut runner = runner(&model, isa, threads);
                let rows = runner.rows(&tokens).to_vec();
                let off: Vec<f64> = rows
                    .chunks(model.shape().width)
                    .zip((0..len).filter(asks).map(|at| &expected[at]))
                    .map(|(row, exact)| distance(row, exact))
                    .collect();
                assert_eq!(off.len(), (0..len).filter(asks).count());
                check(&format!("{kind} {}", isa.name()), kind, CacheType::F16, &model, &off);
                // The slot holds what a step leaves there, and goes on from it.
                let next = runner.step(&chunk(1, len, &[5])).to_vec();
                all.push((rows, next));
            }
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{kind} {}", isa.name());
        }
    }
}

#[test]
fn rounding_moves_logits_no_further_than_its_steps_allow() {
    let ids = text(70, 4);
    for kind in KINDS {
        let model = load(random(kind).build()).unwrap();
        let expected = reference::logits(&model, CONTEXT, &ids, Rounding::None);
        for cache in CacheType::ALL {
            let mut runner = keeping(cache, &model, Isa::best(), 2);
            let logits = runner.step(&chunk(0, 0, &ids));
            let rows = logits.chunks(model.shape().vocabulary).zip(&expected);
            let largest = rows.map(|(ours, theirs)| distance(ours, theirs)).fold(0.0, f64::max);
            let bound = rounding_noise(kind, cache, &model);
            assert!(largest < bound, "{kind} {cache}: {largest} beyond {bound}");
            // Were it far below, the bound would hold nothing.
            assert!(largest > bound / 10.0, "{kind} {cache}: {largest} far below {bound}");
        }
    }
}

/// The relative size of what rounding does to a row of logits.
///
/// Rounding to steps of `s` moves a value by `s / sqrt(12)` on average. For a group the step is a 127th of its largest
/// value, which among 256 normal ones is about 3 root mean squares and among 32 about 2.2: relative to the column 0.0068
/// and 0.005. A product with a random matrix keeps that ratio. Four products of each layer, or six where heads share what they
/// are made of, and the last one round; what they do is independent and each changes a part of the stream only, so together at most the root of
/// their number; the product of gate and up has the error of both: a factor of at most the root of two. For the largest
/// of 70 rows, three halves of the average. Keys and values as halves: two roundings of 2^-11 / sqrt(12) in each layer. As
/// bytes: those and one of queries, each among 32 or more.
fn rounding_noise(kind: TensorType, cache: CacheType, model: &Model) -> f64 {
    let layers = model.shape().layers as f64;
    let activations = match kind.block_len() {
        256 => 3.0 / 127.0 / 12f64.sqrt(),
        32 => 2.2 / 127.0 / 12f64.sqrt(),
        _ => 0.0,
    };
    let products = if model.shape().latent.is_some() { 6.0 } else { 4.0 };
    let cache = match cache {
        CacheType::F16 => (2.0 * layers).sqrt() / 2048.0 / 12f64.sqrt(),
        CacheType::Q8_0 => (3.0 * layers).sqrt() * 2.2 / 127.0 / 12f64.sqrt(),
    };
    1.5 * (activations * (2.0 * (products * layers + 1.0)).sqrt()).max(cache)
}

/// What a family has of its own is computed, each in its place: prompts longer than windows, layers with and without.
#[test]
fn every_family_is_its_reference_and_cut_into_steps_as_whole() {
    let ids = text(70, 6);
    for kind in [TensorType::F32, TensorType::Q8_0] {
        let usual = super::architectures().map(|name| (name, Llama::of(name, kind)));
        for (name, llama) in usual.chain(Llama::variants(kind)) {
            let model = load(Llama { seed: 7, ..llama }.build()).unwrap();
            for cache in CacheType::ALL {
                let off = distances(&model, Isa::best(), &ids, Rounding::Contract(cache));
                check(&format!("{name} {cache}"), kind, cache, &model, &off);
                let mut whole = keeping(cache, &model, Isa::best(), 2);
                let whole = whole.step(&chunk(0, 0, &ids)).to_vec();
                let mut pieces = keeping(cache, &model, Isa::best(), 1);
                let mut cut = pieces.step(&chunk(0, 0, &ids[..33])).to_vec();
                for position in 33..ids.len() {
                    cut.extend_from_slice(pieces.step(&chunk(0, position, &ids[position..=position])));
                }
                assert_eq!(cut, whole, "{name} {kind} {cache}");
            }
        }
    }
}

/// With weights of several types, and on any number of threads.
#[test]
fn an_adapter_is_the_references_and_changes_every_matrix() {
    let ids = text(40, 9);
    for kind in [TensorType::F32, TensorType::Q8_0, TensorType::Q4_K] {
        let llama = random(kind);
        let read = |bytes: Vec<u8>| File::read(Bytes::from(bytes)).expect("a file in order");
        let (base, adapter) = (read(llama.build()), read(llama.adapter(5, 3).finish()));
        Model::check_adapter(&adapter, &base).unwrap();
        let mut model = Model::load(&base, 2).unwrap();
        let plain = reference::logits(&model, 128, &ids, HALVES);
        model.adapt(&adapter, &base).unwrap();
        let model = Arc::new(model);
        check("adapted", kind, CacheType::F16, &model, &distances(&model, Isa::best(), &ids, HALVES));
        let adapted = reference::logits(&model, 128, &ids, HALVES);
        let last = |rows: &[Vec<f64>]| rows[39].iter().map(|&x| x as f32).collect::<Vec<_>>();
        assert!(distance(&last(&adapted), &plain[39]) > 0.2, "{kind}: it hardly changes anything");
        let whole = runner(&model, Isa::best(), 1).step(&chunk(0, 0, &ids)).to_vec();
        for threads in [2, 3] {
            let mut runner = runner(&model, Isa::best(), threads);
            let mut cut = runner.step(&chunk(0, 0, &ids[..37])).to_vec();
            for position in 37..40 {
                cut.extend_from_slice(runner.step(&chunk(0, position, &ids[position..=position])));
            }
            assert!(cut == whole, "{kind}, {threads} threads");
        }
    }
}

#[test]
fn an_output_of_its_own_a_shared_one_and_other_groupings_are_the_references() {
    let ids = text(20, 5);
    for (tied, heads, kv_heads, layers) in [(true, 4, 4, 1), (false, 4, 1, 3), (true, 8, 2, 2), (false, 1, 1, 1)] {
        let model = Llama { tied, heads, kv_heads, layers, ..random(TensorType::F32) };
        let model = load(model.build()).unwrap();
        for cache in CacheType::ALL {
            let off = distances(&model, Isa::best(), &ids, Rounding::Contract(cache));
            check(&format!("{heads} heads, {kv_heads} of keys, {cache}"), TensorType::F32, cache, &model, &off);
        }
    }
}

#[test]
fn a_result_depends_on_its_own_sequence_alone() {
    let prompts = [text(40, 1), text(33, 2), text(50, 9)];
    let plain = [TensorType::Q8_0, TensorType::Q4_K, TensorType::F16].map(random);
    let experts = [TensorType::Q8_0, TensorType::F32].map(|kind| Llama::of("qwen3moe", kind));
    // Whose heads are normed all together.
    let olmo = Llama::of("olmo2", TensorType::Q8_0);
    // Whose heads share what they are made of.
    let minicpm = [TensorType::Q8_0, TensorType::F16].map(|kind| Llama::of("minicpm3", kind));
    // Whose layers keep states.
    let mamba = [TensorType::Q8_0, TensorType::F16].map(|kind| Llama { normed: true, ..Llama::of("mamba", kind) });
    let bytes = [random(TensorType::F32), minicpm[0].clone()].map(|llama| (llama, CacheType::Q8_0));
    let all =
        plain.into_iter().chain(experts).chain([olmo]).chain(minicpm).chain(mamba).map(|llama| (llama, CacheType::F16));
    for (llama, cache) in all.chain(bytes) {
        let (name, kind) = (llama.architecture, llama.kind);
        let model = load(llama.build()).unwrap();
        let rows = model.shape().vocabulary;
        // Each by itself, whole, on one thread.
        let alone: Vec<Vec<f32>> =
            prompts.iter().map(|ids| keeping(cache, &model, Isa::best(), 1).step(&chunk(0, 0, ids)).to_vec()).collect();
        // The last are more than some matrices have panels.
        for threads in [1, 2, 3, 7] {
            let mut runner = keeping(cache, &model, Isa::best(), threads);
            let mut done = [0; 3];
            let mut round = 0;
            // All together, in pieces of changing sizes.
            while (0..3).any(|slot| done[slot] < prompts[slot].len()) {
                let mut tokens = Vec::new();
                for slot in 0..3 {
                    let piece = [1, 7, 3][(slot + round) % 3].min(prompts[slot].len() - done[slot]);
                    tokens.extend(chunk(slot, done[slot], &prompts[slot][done[slot]..][..piece]));
                    done[slot] += piece;
                }
                let logits = runner.step(&tokens);
                for (token, logits) in tokens.iter().zip(logits.chunks(rows)) {
                    let expected = &alone[token.slot][token.position * rows..][..rows];
                    assert!(
                        logits == expected,
                        "{name} {kind}, {threads} threads, slot {}, {}",
                        token.slot,
                        token.position
                    );
                }
                round += 1;
            }
        }
    }
}

/// What is mixed of many spans, each by itself: by one worker, by one for each head of keys, by several for one.
#[test]
fn looking_back_far_is_the_reference_and_the_same_on_any_number_of_threads() {
    let ids = text(1_300, 8);
    let all = ["llama", "gemma3", "minicpm3"].into_iter().flat_map(|name| CacheType::ALL.map(|cache| (name, cache)));
    for (architecture, cache) in all {
        let layers = if architecture == "gemma3" { 6 } else { 2 };
        let of = Llama::of(architecture, TensorType::F32);
        let llama = Llama {
            architecture,
            layers,
            tied: true,
            context: 1_300,
            kv_heads: of.kv_heads,
            ..random(TensorType::F32)
        };
        let model = load(llama.build()).unwrap();
        let last = |threads: usize, steps: &[usize]| {
            let limits = Limits { slots: 1, context: 1_300, threads, isa: Isa::best(), cache };
            let mut runner = Runner::new(Arc::clone(&model), limits).unwrap();
            let (mut done, mut logits) = (0, Vec::new());
            for (i, &count) in steps.iter().enumerate() {
                let mut tokens = chunk(0, done, &ids[done..done + count]);
                tokens.iter_mut().for_each(|token| token.logits = i + 3 >= steps.len());
                logits.extend_from_slice(runner.step(&tokens));
                done += count;
            }
            assert_eq!(done, ids.len());
            logits
        };
        let steps = [500, 500, 290, 1, 3, 6];
        let logits = last(1, &steps);
        let expected = reference::logits(&model, 1_300, &ids, Rounding::Contract(cache));
        for (ours, theirs) in logits.chunks(model.shape().vocabulary).zip(&expected[1_290..]) {
            let off = distance(ours, theirs);
            assert!(off < rounding_noise(TensorType::F32, cache, &model), "{architecture} {cache}: {off}");
        }
        for threads in [2, 3, 5] {
            assert!(last(threads, &steps) == logits, "{architecture} {cache}, {threads} threads");
        }
    }
}

#[test]
fn only_the_tokens_that_ask_get_logits_in_their_order() {
    let model = load(random(TensorType::Q8_0).build()).unwrap();
    let (mut runner, rows) = (runner(&model, Isa::best(), 2), model.shape().vocabulary);
    let mut tokens = chunk(0, 0, &text(9, 1));
    let all = runner.step(&tokens).to_vec();
    for token in &mut tokens {
        token.logits = [2, 3, 8].contains(&token.position);
    }
    let some = runner.step(&tokens);
    assert_eq!(some.len(), 3 * rows);
    for (row, position) in [2, 3, 8].into_iter().enumerate() {
        assert_eq!(some[row * rows..][..rows], all[position * rows..][..rows]);
    }
    tokens.iter_mut().for_each(|token| token.logits = false);
    assert!(runner.step(&tokens).is_empty());
    assert!(runner.step(&[]).is_empty());
}

#[test]
fn going_back_in_a_slot_forgets_what_was_behind() {
    let model = load(random(TensorType::F32).build()).unwrap();
    let rows = model.shape().vocabulary;
    let (first, second) = (text(12, 1), text(12, 2));
    let expected = runner(&model, Isa::best(), 1).step(&chunk(0, 0, &[&first[..5], &second[5..]].concat())).to_vec();
    let mut runner = runner(&model, Isa::best(), 1);
    runner.step(&chunk(0, 0, &first));
    let again = runner.step(&chunk(0, 5, &second[5..]));
    assert!(again == &expected[5 * rows..]);
}

#[test]
fn a_step_that_breaks_off_leaves_states_as_they_were_and_position_0_begins_anew() {
    let model = load(Llama::of("mamba", TensorType::Q8_0).build()).unwrap();
    let ids = text(40, 3);
    let rows = model.shape().vocabulary;
    let expected = runner(&model, Isa::best(), 1).step(&chunk(0, 0, &ids)).to_vec();
    for threads in [1, 2, 7] {
        let mut runner = runner(&model, Isa::best(), threads);
        runner.step(&chunk(0, 0, &ids[..20]));
        runner.step(&chunk(1, 0, &ids[..3]));
        for layers in [0, 1] {
            let asked = std::cell::Cell::new(0);
            let goes_on = || asked.replace(asked.get() + 1) < layers;
            let both = [chunk(0, 20, &ids[20..25]), chunk(1, 3, &ids[3..5])].concat();
            assert_eq!(runner.step_while(&both, &goes_on), None);
        }
        // In a step with tokens of another slot between its own.
        let parts = [chunk(0, 20, &ids[20..30]), chunk(1, 3, &ids[3..4]), chunk(0, 30, &ids[30..])].concat();
        let logits = runner.step(&parts).to_vec();
        assert_eq!(logits[..10 * rows], expected[20 * rows..30 * rows], "{threads} threads");
        assert_eq!(logits[10 * rows..11 * rows], expected[3 * rows..4 * rows], "{threads} threads");
        assert_eq!(logits[11 * rows..], expected[30 * rows..], "{threads} threads");
        assert_eq!(runner.step(&chunk(0, 0, &ids)), expected, "{threads} threads");
    }
}

#[test]
fn a_model_that_keeps_states_does_not_go_back() {
    let model = load(Llama::of("mamba", TensorType::F32).build()).unwrap();
    let message = |go_back: &dyn Fn(&mut Runner)| {
        let mut runner = runner(&model, Isa::best(), 1);
        runner.step(&chunk(0, 0, &[1, 2, 3]));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| go_back(&mut runner)));
        *outcome.unwrap_err().downcast::<String>().unwrap()
    };
    assert_eq!(
        message(&|runner| drop(runner.step(&chunk(0, 2, &[9])).to_vec())),
        "step: position 2 of slot 0, which holds 3"
    );
    assert_eq!(message(&|runner| runner.forget(0, 2)), "forget: all but 2 tokens of slot 0, which holds 3");
    let mut runner = runner(&model, Isa::best(), 1);
    runner.step(&chunk(0, 0, &[1, 2, 3]));
    runner.forget(0, 3);
    runner.forget(0, 0);
}

fn refused(tokens: &[Token]) -> String {
    let model = load(random(TensorType::F32).build()).unwrap();
    let mut runner = runner(&model, Isa::best(), 1);
    runner.step(&chunk(0, 0, &[1, 2, 3]));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runner.step(tokens).len()));
    *outcome.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn tokens_out_of_range_or_order_are_named() {
    let token = Token { slot: 0, position: 3, id: 1, logits: false };
    assert_eq!(refused(&[Token { slot: 3, ..token }]), "step: slot 3 of 3");
    assert_eq!(refused(&[Token { position: 128, ..token }]), "step: position 128 of 128");
    assert!(refused(&[Token { id: 9_999, ..token }]).starts_with("step: token 9999 of "));
    assert_eq!(refused(&[Token { position: 4, ..token }]), "step: position 4 of slot 0, which holds 3");
    assert_eq!(refused(&[token, token]), "step: position 3 of slot 0, which holds 4");
}

#[test]
fn limits_beyond_the_model_or_of_nothing_are_refused() {
    let model = load(random(TensorType::F32).build()).unwrap();
    let good = Limits { slots: 1, context: 256, threads: 1, isa: Isa::best(), cache: CacheType::F16 };
    let message = |limits| Runner::new(Arc::clone(&model), limits).unwrap_err().to_string();
    assert!(
        Runner::new(Arc::clone(&model), good).is_ok_and(|runner| runner.cache_bytes() == 4 * 2 * (256 + 64) * 2 * 16)
    );
    // Heads of 16: keys in blocks of 32 with a half and up to whole lines of the cache, values with a single.
    let bytes = 4 * (256 + 64) * (36 + 16 + 4);
    let small = Limits { cache: CacheType::Q8_0, ..good };
    assert!(Runner::new(Arc::clone(&model), small).is_ok_and(|runner| runner.cache_bytes() == bytes));
    // One head of what all are made of: of 32 numbers and 8 that turn, which in bytes are two blocks of 32.
    let latent = load(Llama::of("minicpm3", TensorType::F32).build()).unwrap();
    for (cache, bytes) in [(CacheType::F16, 2 * (40 + 32)), (CacheType::Q8_0, 68 + 32 + 4)] {
        let runner = Runner::new(Arc::clone(&latent), Limits { cache, ..good }).unwrap();
        assert_eq!(runner.cache_bytes(), 2 * (256 + 64) * bytes, "{cache}");
    }
    // Twice the last three values and the state of each of 128 channels, for any context.
    let states = load(Llama::of("mamba", TensorType::F32).build()).unwrap();
    for context in [1, 256] {
        let runner = Runner::new(Arc::clone(&states), Limits { slots: 3, context, ..good }).unwrap();
        assert_eq!(runner.cache_bytes(), 3 * 2 * 2 * 128 * (3 + 16) * 4);
    }
    assert_eq!(message(Limits { context: 257, ..good }), "a context of 257; expected 1 to 256");
    assert_eq!(message(Limits { slots: 0, ..good }), "a number of slots of 0; expected 1 to 4096");
    assert_eq!(message(Limits { threads: 5_000, ..good }), "a number of threads of 5000; expected 1 to 1024");
}

#[test]
fn a_model_says_how_large_it_is_and_of_what_type() {
    let model = load(random(TensorType::Q4_K).build()).unwrap();
    let shape = model.shape();
    let layer = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 512;
    assert_eq!(model.parameters(), 2 * layer + 2 * 256 * shape.vocabulary as u64);
    assert_eq!(model.quantization(), "Q4_K");
}
