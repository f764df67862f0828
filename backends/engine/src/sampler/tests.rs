//! Sampling against its definitions, for any logits.

use proptest::prelude::*;

use super::*;

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(&sampling, 7, 0, &[])
}

/// The tokens that come up in many draws from the same logits.
fn drawn(sampling: &Sampling, logits: &[f32]) -> HashSet<u32> {
    (0..300).filter_map(|seed| Sampler::new(sampling, seed, 0, &[]).sample(logits)).collect()
}

fn probabilities(logits: &[f32], temperature: f32) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|&logit| f64::from(logit / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[test]
fn the_same_seed_draws_the_same_tokens_and_another_choice_others() {
    let logits: Vec<f32> = (0..100).map(|i| (i % 7) as f32 * 0.1).collect();
    let draw = |seed, index| -> Vec<u32> {
        let mut sampler = Sampler::new(&Sampling::default(), seed, index, &[]);
        (0..20).filter_map(|_| sampler.sample(&logits)).collect()
    };
    assert_eq!(draw(1, 0), draw(1, 0));
    assert_ne!(draw(1, 0), draw(2, 0));
    assert_ne!(draw(1, 0), draw(1, 1));
}

proptest! {
    #[test]
    fn of_tokens_that_are_not_allowed_none_is_ever_drawn(
        logits in prop::collection::vec(-9f32..9.0, 1..40),
        allowed in prop::collection::vec(any::<bool>(), 40),
        temperature in prop::sample::select(vec![0.0, 0.7, 2.0]),
        top_k in 0..4u32,
        seed: u64,
    ) {
        let sampling = Sampling { temperature, top_k, top_p: 0.9, logit_bias: vec![(0, -100.0)], ..Sampling::default() };
        let among = |id: u32| allowed[id as usize];
        let drawn = Sampler::new(&sampling, seed, 0, &[]).sample_among(&logits, among);
        let any = (1..logits.len() as u32).any(among);
        prop_assert_eq!(drawn.is_some(), any);
        prop_assert!(drawn.is_none_or(|id| among(id) && id != 0));
        let free = Sampler::new(&sampling, seed, 0, &[]).sample(&logits);
        prop_assert_eq!(Sampler::new(&sampling, seed, 0, &[]).sample_among(&logits, |_| true), free);
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [1.0, 2.0, 0.0, 3.0];
    let mut sampler = sampler(Sampling { temperature: 0.7, ..Sampling::default() });
    let mut counts = [0u32; 4];
    const DRAWS: u32 = 20_000;
    for _ in 0..DRAWS {
        counts[sampler.sample(&logits).unwrap() as usize] += 1;
    }
    for (count, p) in counts.iter().zip(probabilities(&logits, 0.7)) {
        // Five standard deviations of a binomial count; the seed is fixed.
        let bound = 5.0 * (f64::from(DRAWS) * p * (1.0 - p)).sqrt();
        assert!((f64::from(*count) - f64::from(DRAWS) * p).abs() < bound, "{counts:?}");
    }
}

#[test]
fn penalties_count_what_was_generated_and_repetition_also_the_prompt() {
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let logits = [1.0, 0.9, 0.5];
    let run = |sampling: Sampling, prompt: &[u32]| -> Vec<u32> {
        let mut sampler = Sampler::new(&sampling, 0, 0, prompt);
        (0..4).filter_map(|_| sampler.sample(&logits)).collect()
    };
    assert_eq!(run(greedy.clone(), &[0]), [0, 0, 0, 0]);
    // 1, .9, .5 -> .8, .9, .5 -> .8, .7, .5 -> .6, .7, .5
    assert_eq!(run(Sampling { frequency_penalty: 0.2, ..greedy.clone() }, &[0]), [0, 1, 0, 1]);
    // 1, .9, .5 -> .8, .9, .5 -> .8, .7, .5 -> the same
    assert_eq!(run(Sampling { presence_penalty: 0.2, ..greedy.clone() }, &[0]), [0, 1, 0, 0]);
    assert_eq!(run(Sampling { repetition_penalty: 1.5, ..greedy }, &[0]), [1, 0, 0, 0]);
}

#[test]
fn a_bias_of_minus_100_forbids_even_the_only_probable_token() {
    let sampling = |id, bias| Sampling { logit_bias: vec![(id, bias)], ..Sampling::default() };
    assert_eq!(drawn(&sampling(1, -100.0), &[0.0, 1e6, 0.0]), HashSet::from([0, 2]));
    assert_eq!(drawn(&sampling(2, 100.0), &[0.0, 0.0, 0.0]), HashSet::from([2]));
    assert_eq!(drawn(&sampling(9, 100.0), &[0.0]), HashSet::from([0]));
}

#[test]
fn logits_that_are_no_numbers_are_never_chosen() {
    assert_eq!(drawn(&Sampling::default(), &[f32::NAN, 1.0, f32::NEG_INFINITY]), HashSet::from([1]));
    assert_eq!(drawn(&Sampling::default(), &[f32::INFINITY, 1.0]), HashSet::from([0]));
    assert_eq!(sampler(Sampling::default()).sample(&[f32::NAN, f32::NEG_INFINITY]), None);
    assert_eq!(sampler(Sampling::default()).sample(&[]), None);
}

#[test]
fn logprobs_are_of_the_raw_logits_best_first() {
    let logits = [1.0, 3.0, 2.0, 3.0];
    let expected: Vec<f32> = probabilities(&logits, 1.0).iter().map(|p| p.ln() as f32).collect();
    let got = logprobs(&logits, 2, 3);
    assert!((got.chosen - expected[2]).abs() < 1e-6);
    assert_eq!(got.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 3, 2]);
    assert_eq!(logprobs(&logits, 2, 0).top, []);
    assert_eq!(logprobs(&[f32::NAN, 0.0], 0, 2), Logprobs { chosen: -9999.0, top: vec![(1, 0.0), (0, -9999.0)] });
    assert!(logprobs(&[f32::NAN], 0, 1).chosen.is_finite());
}

fn any_logits() -> impl Strategy<Value = Vec<f32>> {
    let usual = prop::collection::vec(-30f32..30.0, 1..60);
    let wild = prop::collection::vec(
        prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(0.0f32)],
        0..20,
    );
    prop_oneof![3 => usual, 1 => wild]
}

fn any_sampling() -> impl Strategy<Value = Sampling> {
    (any::<f32>(), any::<f32>(), 0u32..70, any::<f32>(), any::<f32>(), any::<f32>(), any::<f32>()).prop_map(
        |(temperature, top_p, top_k, min_p, frequency_penalty, presence_penalty, repetition_penalty)| Sampling {
            temperature,
            top_p,
            top_k,
            min_p,
            frequency_penalty,
            presence_penalty,
            repetition_penalty,
            ..Sampling::default()
        },
    )
}

proptest! {
    #[test]
    fn temperature_zero_takes_the_best_and_of_equals_the_first(logits in prop::collection::vec(-3i8..3, 1..40)) {
        let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
        let best = logits.iter().copied().fold(f32::MIN, f32::max);
        let first = logits.iter().position(|&logit| logit == best).unwrap();
        let chosen = sampler(Sampling { temperature: 0.0, ..Sampling::default() }).sample(&logits);
        prop_assert_eq!(chosen, Some(first as u32));
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_is_probable_enough(logits in prop::collection::vec(-5f32..5.0, 1..60), p in 0.015625f32..0.984375) {
        let probabilities = probabilities(&logits, 1.0);
        let mut candidates: Vec<Candidate> =
            probabilities.iter().zip(0..).map(|(&weight, id)| Candidate { id, weight: weight as f32 }).collect();
        filter::top_p(&mut candidates, p);
        let kept: f64 = candidates.iter().map(|c| f64::from(c.weight)).sum();
        let least = candidates.iter().fold(f32::MAX, |least, c| least.min(c.weight));
        // Weights are f32: 60 of them round by less than this.
        prop_assert!(kept >= f64::from(p) - 1e-5);
        prop_assert!(kept - f64::from(least) < f64::from(p) + 1e-5, "one less would do");
        let left_out = probabilities.iter().zip(0..).filter(|&(_, id)| candidates.iter().all(|c| c.id != id));
        prop_assert!(left_out.map(|(&w, _)| w as f32).all(|weight| weight <= least), "a better one was left out");
    }

    #[test]
    fn top_k_keeps_the_k_best_and_min_p_the_probable_enough(logits in prop::collection::vec(-5f32..5.0, 1..60), k in 1usize..70, share in 0.015625f32..1.0) {
        let all: Vec<Candidate> = logits.iter().zip(0..).map(|(&weight, id)| Candidate { id, weight: weight.exp() }).collect();
        let mut sorted = all.clone();
        sorted.sort_by(filter::best_first);
        let mut kept = all.clone();
        filter::top_k(&mut kept, k);
        kept.sort_by(filter::best_first);
        prop_assert_eq!(&kept[..], &sorted[..k.min(sorted.len())]);
        let mut kept = all.clone();
        filter::min_p(&mut kept, share);
        let expected: Vec<Candidate> = all.iter().copied().filter(|c| c.weight >= share * sorted[0].weight).collect();
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn any_numbers_give_a_possible_token_or_none(logits in any_logits(), sampling in any_sampling(), seed: u64) {
        let mut sampler = Sampler::new(&sampling, seed, 0, &[0, 3, 99]);
        for _ in 0..3 {
            if let Some(id) = sampler.sample(&logits) {
                prop_assert!((id as usize) < logits.len());
                prop_assert!(!logits[id as usize].is_nan() && logits[id as usize] != f32::NEG_INFINITY);
            }
        }
        let logprobs = logprobs(&logits, 0, 5);
        prop_assert!(logprobs.chosen.is_finite() && logprobs.chosen <= 0.0);
        prop_assert!(logprobs.top.iter().all(|(_, log)| log.is_finite() && *log <= 0.0));
    }

    #[test]
    fn probabilities_of_all_tokens_sum_to_one(logits in prop::collection::vec(-30f32..30.0, 1..60)) {
        let all = logprobs(&logits, 0, logits.len());
        let sum: f64 = all.top.iter().map(|&(_, log)| f64::from(log).exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }
}
