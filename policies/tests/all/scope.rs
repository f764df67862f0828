//! What a key may reach holds for whoever may get its request, however the model was asked for.

use std::sync::Arc;

use policies::{Cause, DIRECT, Deployment, Facts, Scope, Verdict};
use proptest::{prelude::*, sample::subsequence};

use crate::world::{World, asks, hosted, local, research};

const FILE: &str = "\
version: 1
aliases: {gpt-4o: auto, mini: qwen3-8b}
routes:
  - name: first
    match: {model: auto}
    shadow: {share: 1, candidates: [phi-4, qwen3-32b]}
    candidates: [qwen3-8b, any]
  - name: narrow
    match: {model: narrow}
    prefer: {cost: 1}
    split: {by: request, arms: [{name: a, weight: 1, candidates: [qwen3-14b]}, {name: b, weight: 1}]}
    on_none: {degrade_to: [phi-4, qwen3-32b]}
    candidates: [qwen3-8b]
";

fn world() -> World {
    let mut deployments: Vec<Deployment> = ["qwen3-8b", "phi-4", "qwen3-14b", "mistral-large-2"].map(local).into();
    deployments.extend([hosted("together", "qwen3-32b", 0.9), hosted("deepinfra", "qwen3-32b", 0.2)]);
    World::of(FILE, deployments)
}

fn scope(models: &[&str], routes: &[&str]) -> Option<Arc<Scope>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Some(Arc::new(Scope { models: owned(models), routes: owned(routes) }))
}

fn refused(world: &World, facts: &Facts) -> (&'static str, String, Vec<String>) {
    match world.plan(facts).verdict {
        Verdict::NoneFits { code, reason, alternatives } => (code, reason, alternatives),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn neither_an_alias_nor_a_suffix_nor_a_deployments_name_leads_out_of_a_scope() {
    let world = world();
    let of = |model: &str| Facts { scope: scope(&["phi-4"], &[]), ..asks(model) };
    for asked in ["auto", "gpt-4o", "auto:cheap", "phi-4", "phi-4:fast"] {
        assert_eq!(world.order(&of(asked)), ["phi-4"], "{asked}");
    }
    for asked in ["qwen3-8b", "mini", "mini:cheap", "together-qwen3-32b", "qwen3-32b:quality"] {
        let (code, reason, alternatives) = refused(&world, &of(asked));
        assert_eq!((code, &alternatives[..]), ("out-of-scope", &["phi-4".to_owned()][..]), "{asked}");
        assert!(reason.ends_with("is not a model that the caller's key may use; it may use `phi-4`"), "{reason}");
    }
}

#[test]
fn a_scope_may_name_a_single_deployment() {
    let world = world();
    let facts = Facts { scope: scope(&["deepinfra-qwen3-32b"], &[]), ..asks("qwen3-32b") };
    assert_eq!(world.order(&facts), ["deepinfra-qwen3-32b"]);
    assert_eq!(world.order(&Facts { model_asked: "auto".to_owned(), ..facts.clone() }), ["deepinfra-qwen3-32b"]);
}

#[test]
fn a_route_out_of_scope_is_refused_and_the_next_one_is_not_tried() {
    let world = world();
    let of = |model: &str| Facts { scope: scope(&[], &["narrow"]), ..asks(model) };
    assert!(!world.order(&of("narrow")).is_empty());
    let (code, reason, alternatives) = refused(&world, &of("auto"));
    assert_eq!((code, alternatives.len()), ("out-of-scope", 0));
    assert_eq!(reason, "the route `first` is not one that the caller's key may use; it may use `narrow`");
    assert_eq!(refused(&world, &of("qwen3-8b")).0, "out-of-scope", "its own name is the route `direct`");
    assert_eq!(world.order(&Facts { scope: scope(&[], &[DIRECT]), ..asks("qwen3-8b") }), ["qwen3-8b"]);
}

#[test]
fn what_is_out_of_scope_explains_nothing_else() {
    let mut world = world();
    let of = |model: &str| Facts { scope: scope(&["phi-4"], &[]), ..asks(model) };
    world.live("qwen3-8b").healthy = false;
    assert_eq!(refused(&world, &of("qwen3-8b")).0, "out-of-scope", "that it is down is none of the caller's business");
    world.live("phi-4").healthy = false;
    let Verdict::Unavailable { models, .. } = world.plan(&of("auto")).verdict else { panic!("it is down") };
    assert_eq!(models.iter().map(|model| &**model).collect::<Vec<_>>(), ["phi-4"]);
    let forbidden = Facts { scope: scope(&["mistral-large-2"], &[]), ..asks("auto") };
    assert_eq!(world.plan(&forbidden).verdict.as_str(), "license", "a scope allows nothing that a licence forbids");
    assert_eq!(world.order(&Facts { use_: research().into(), ..forbidden }), ["mistral-large-2"]);
}

proptest! {
    /// The plan under a scope is the plan without it less what is out of it: nothing is added, and whoever the request could
    /// reach - by a fallback, a list that it degrades to, an arm or a mirror - is within.
    #[test]
    fn a_scope_only_takes_away(
        models in subsequence(vec!["qwen3-8b", "phi-4", "qwen3-14b", "qwen3-32b", "deepinfra-qwen3-32b"], 1..4),
        asked in prop::sample::select(vec!["auto", "gpt-4o", "narrow", "narrow:cheap", "qwen3-32b", "mini"]),
        down in subsequence(vec!["qwen3-8b", "phi-4", "qwen3-14b"], 0..3),
        draw in 0_u64..1 << 53,
    ) {
        let mut world = world();
        for id in down {
            world.live(id).healthy = false;
        }
        let scope = scope(&models, &[]).expect("a scope");
        let free = world.plan(&Facts { draw, ..asks(asked) });
        let bound = world.plan(&Facts { draw, scope: Some(Arc::clone(&scope)), ..asks(asked) });
        let within = |deployment: usize, model: &str| scope.reaches(Some(&world.deployments[deployment].id), model);
        for reached in bound.reached() {
            prop_assert!(within(reached.deployment, reached.model()), "{:?}", world.deployments[reached.deployment].id);
        }
        for rejected in bound.rejected() {
            let Some(deployment) = rejected.deployment else { continue };
            prop_assert_eq!(*rejected.cause == Cause::OutOfScope, !within(deployment, rejected.model));
        }
        prop_assert_eq!(&bound.route, &free.route);
        let ids = |plan: &policies::Plan| -> Vec<usize> {
            let mut ids: Vec<usize> = plan.candidates.iter().map(|c| c.deployment).collect();
            ids.sort_unstable();
            ids
        };
        let kept: Vec<usize> = ids(&free).into_iter().filter(|at| within(*at, &world.deployments[*at].model)).collect();
        // Where the route's own list has nobody left, the list that it degrades to may have.
        if !kept.is_empty() {
            prop_assert_eq!(ids(&bound), kept);
        }
    }
}
