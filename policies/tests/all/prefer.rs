//! What each weight of `prefer` makes of the order.

use policies::{Deployment, Facts, Live, Place, Spread};

use crate::world::{World, asks, hosted, local, research};

fn route(prefer: &str) -> String {
    format!("  - {{name: r, match: {{model: auto}}, prefer: {{{prefer}}}, candidates: [any]}}\n")
}

#[test]
fn throughput_prefers_who_writes_quickly_whoever_starts_first() {
    let mut world = World::new(&route("throughput: 1"), vec![local("qwen3-32b"), local("qwen3-8b")]);
    *world.live("qwen3-32b") =
        Live { ttft: Some(Spread::always(10.0)), tpot: Some(Spread::always(100.0)), ..Live::default() };
    *world.live("qwen3-8b") =
        Live { ttft: Some(Spread::always(9_000.0)), tpot: Some(Spread::always(10.0)), ..Live::default() };
    assert_eq!(world.order(&asks("auto")), ["qwen3-8b", "qwen3-32b"]);
}

#[test]
fn locality_prefers_this_process() {
    let server = Deployment::new("server", "qwen3-32b", Place::Server("vllm".to_owned()));
    let world = World::new(&route("locality: 1"), vec![hosted("groq", "qwen3-32b", 1.0), server, local("qwen3-8b")]);
    assert_eq!(world.order(&asks("auto"))[0], "qwen3-8b");
    let why = world.plan(&asks("auto")).candidates[0].reasons();
    assert!(why.iter().any(|reason| reason.code == "locality" && reason.text == "locality 1.00"), "{why:?}");
}

#[test]
fn spread_prefers_who_has_the_least_of_the_running_requests() {
    let mut world = World::new(&route("spread: 1"), vec![local("qwen3-32b"), local("qwen3-8b"), local("phi-4")]);
    world.live("qwen3-32b").running = 7;
    world.live("qwen3-8b").running = 3;
    assert_eq!(world.order(&asks("auto")), ["phi-4", "qwen3-8b", "qwen3-32b"]);
}

#[test]
fn quality_by_a_benchmark_orders_by_its_scores_and_by_nothing_else() {
    let models = ["kanana-1.5-8b", "kanana-1.5-2.1b", "kanana-1.5-15.7b-a3b"];
    let order = |by: &str| {
        let world = World::new(&route(&format!("quality: 1, quality_by: {by}")), models.map(local).into());
        assert!(
            !world.policies.asks_language(&world.catalog, "auto", None),
            "{by}: the request's language is not asked"
        );
        let facts = Facts { use_: research().into(), ..asks("auto") };
        world.order(&facts).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let by_score = |benchmark: &str| {
        let catalog = catalog::Catalog::builtin();
        let mut scored = models.map(|id| (catalog.model(id).unwrap().benchmarks[benchmark], id));
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.map(|(_, id)| id.to_owned())
    };
    assert_eq!(order("kmmlu"), by_score("kmmlu"));
    assert_eq!(order("math"), by_score("math"));
    assert_eq!(order("{language: ko}"), by_score("kmmlu"), "the one Korean benchmark that all of them have");
}

#[test]
fn a_model_without_a_score_counts_as_the_mean_of_those_with_one() {
    let world = World::new(
        &route("quality: 1, quality_by: kmmlu"),
        ["kanana-1.5-8b", "phi-4", "kanana-1.5-2.1b"].map(local).into(),
    );
    assert_eq!(world.order(&asks("auto")), ["kanana-1.5-8b", "phi-4", "kanana-1.5-2.1b"]);
    let plan = world.plan(&asks("auto"));
    assert!(!plan.candidates[1].made_of.quality.known && plan.candidates[0].made_of.quality.known);
}

#[test]
fn a_task_and_a_language_weigh_the_task_by_the_language() {
    let world = World::new(
        &route("quality: 1, quality_by: {language: ko, task: math}"),
        ["kanana-1.5-8b", "phi-4"].map(local).into(),
    );
    let plan = world.plan(&asks("auto"));
    let quality = |id: &str| plan.candidates.iter().find(|c| &**c.model() == id).unwrap().made_of.quality.value;
    assert!(quality("kanana-1.5-8b") > quality("phi-4"), "{} {}", quality("kanana-1.5-8b"), quality("phi-4"));
}
