//! What each key of `require` keeps out, with its reason, and what it lets through.

use policies::{Deployment, Facts, Live, Spread, Verdict};

use crate::world::{World, asks, hosted, local, research};

/// Who may serve under `require`, and the codes of those who may not, each in the order of the deployments.
fn outcome(require: &str, deployments: Vec<Deployment>) -> (Vec<String>, Vec<String>) {
    outcome_of(&World::new(&route(require), deployments))
}

fn route(require: &str) -> String {
    format!("  - {{name: r, match: {{model: auto}}, require: {{{require}}}, candidates: [any]}}\n")
}

fn outcome_of(world: &World) -> (Vec<String>, Vec<String>) {
    let plan = world.plan(&Facts { use_: research().into(), ..asks("auto") });
    let id = |at: usize| world.deployments[at].id.clone();
    let mut served: Vec<usize> = plan.candidates.iter().map(|candidate| candidate.deployment).collect();
    served.sort_unstable();
    let mut out: Vec<(usize, String)> =
        plan.rejected().filter_map(|r| Some((r.deployment?, format!("{} {}", r.code(), id(r.deployment?))))).collect();
    out.sort();
    (served.into_iter().map(id).collect(), out.into_iter().map(|(_, text)| text).collect())
}

#[track_caller]
fn check(require: &str, deployments: Vec<Deployment>, served: &[&str], out: &[&str]) {
    let (got, rejected) = outcome(require, deployments);
    assert_eq!(
        (got.iter().map(String::as_str).collect::<Vec<_>>(), rejected),
        (served.to_vec(), out.iter().map(|s| (*s).to_owned()).collect()),
        "{require}"
    );
}

#[test]
fn effective_context_is_what_was_measured_and_unknown_does_not_meet_it() {
    let measured = |id: &str, tokens| Deployment {
        id: id.to_owned(),
        context_tokens: Some(131_072),
        effective_context_tokens: tokens,
        ..local("qwen3-32b")
    };
    check(
        "context_tokens: {min: 32768, effective: true}",
        vec![measured("long", Some(65_536)), measured("short", Some(16_384)), measured("unknown", None)],
        &["long"],
        &["required-context short", "required-context unknown"],
    );
    check("context_tokens: {min: 32768, effective: false}", vec![measured("unknown", None)], &["unknown"], &[]);
}

#[test]
fn training_on_requests_has_to_be_ruled_out_in_words_but_for_engines_in_this_process() {
    let stated = |id: &str, word: Option<&str>| Deployment {
        id: id.to_owned(),
        training_use: word.map(str::to_owned),
        ..hosted("groq", "qwen3-32b", 1.0)
    };
    check(
        "training_use: none",
        vec![
            local("qwen3-8b"),
            stated("never", Some("none")),
            stated("opt-out", Some("opt-out")),
            stated("silent", None),
        ],
        &["qwen3-8b", "never"],
        &["required-training-use opt-out", "required-training-use silent"],
    );
}

#[test]
fn openness_is_one_of_those_listed() {
    check(
        "openness: [weights+code, fully-open]",
        vec![local("qwen3-32b"), local("olmo-2-7b-instruct")],
        &["olmo-2-7b-instruct"],
        &["required-openness qwen3-32b"],
    );
}

#[test]
fn local_is_this_process() {
    let both = || vec![local("qwen3-8b"), hosted("groq", "qwen3-32b", 1.0)];
    check("local: true", both(), &["qwen3-8b"], &["required-local groq-qwen3-32b"]);
    check("local: false", both(), &["groq-qwen3-32b"], &["required-local qwen3-8b"]);
}

#[test]
fn a_floor_of_a_benchmark_keeps_out_lower_scores_and_models_without_one() {
    let catalog = catalog::Catalog::builtin();
    let score = |id: &str| catalog.model(id).unwrap().benchmarks.get("mmlu").copied();
    let (better, worse) = ("llama-3.3-70b-instruct", "kanana-1.5-2.1b");
    let (high, low) = (score(better).unwrap(), score(worse).unwrap());
    assert!(high > low && score("pointsman-demo").is_none());
    check(
        &format!("benchmarks: {{mmlu: {{min: {high}}}}}"),
        vec![local(better), local(worse), local("pointsman-demo")],
        &[better],
        &[&format!("required-benchmark {worse}"), "required-benchmark pointsman-demo"],
    );
}

#[test]
fn limits_of_time_and_failures_are_asked_of_each_plan() {
    let mut world = World::new(
        &route("ttft_p95_ms: {max: 1000}, tpot_p95_ms: {max: 50}, error_rate: {max: 0.2}"),
        vec![local("qwen3-32b"), local("qwen3-8b"), local("phi-4"), local("qwen3-14b")],
    );
    assert_eq!(outcome_of(&world).0.len(), 4, "what was not measured passes");
    *world.live("qwen3-32b") = Live { ttft: Some(Spread::always(1000.5)), ..Live::default() };
    *world.live("qwen3-8b") =
        Live { ttft: Some(Spread::always(900.0)), tpot: Some(Spread::always(51.0)), ..Live::default() };
    *world.live("phi-4") = Live { error_rate: 0.25, ..Live::default() };
    *world.live("qwen3-14b") = Live {
        ttft: Some(Spread::always(1000.0)),
        tpot: Some(Spread::always(50.0)),
        error_rate: 0.2,
        ..Live::default()
    };
    let (served, out) = outcome_of(&world);
    assert_eq!(served, ["qwen3-14b"], "at the limit is within it");
    assert_eq!(out, ["required-ttft qwen3-32b", "required-tpot qwen3-8b", "required-error-rate phi-4"]);
    let reasons = world.plan(&Facts { use_: research().into(), ..asks("auto") }).explain(&world.snapshot());
    for reason in [
        "its first token takes 1000 ms; the route allows 1000",
        "a token takes 51 ms; the route allows 50",
        "25 % of its recent attempts failed; the route allows 20 %",
    ] {
        assert!(reasons.contains(reason), "{reason} not in\n{reasons}");
    }
    *world.live("qwen3-14b") = Live { error_rate: f32::NAN, ..Live::default() };
    let verdict = world.plan(&Facts { use_: research().into(), ..asks("auto") }).verdict;
    assert!(matches!(verdict, Verdict::Unavailable { .. }), "it may be well again soon: {verdict:?}");
}

#[test]
fn obligations_beyond_those_listed_keep_a_candidate_out() {
    let both = || vec![local("qwen3-8b"), local("llama-3.3-70b-instruct")];
    let (all, _) = outcome("local: true", both());
    assert_eq!(all.len(), 2);
    check("license: {obligations: notice}", both(), &["qwen3-8b"], &["required-obligations llama-3.3-70b-instruct"]);
    let every = catalog::Owed::NAMES.join(", ");
    check(&format!("license: {{obligations: [{every}]}}"), both(), &["qwen3-8b", "llama-3.3-70b-instruct"], &[]);
    let world = World::new(&route("license: {obligations: none}"), both());
    let plan = world.plan(&Facts { use_: research().into(), ..asks("auto") });
    for rejected in plan.rejected() {
        assert!(!rejected.decision().unwrap().obligations.is_empty());
        assert!(rejected.reason().ends_with("the route takes on none"), "{}", rejected.reason());
    }
    for candidate in &plan.candidates {
        assert!(candidate.decision().obligations.is_empty());
    }
}
