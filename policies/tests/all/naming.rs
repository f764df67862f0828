//! Aliases and suffixes: what a name leads to, and that a plan says so.

use policies::{AskedAs, Deployment, Facts, Suffix, Verdict};

use crate::world::{World, asks, hosted, local};

const FILE: &str = "
version: 1
aliases: {gpt-4o: auto, prod-chat: gpt-4o, thrifty: \"prod-chat:cheap\", small: qwen3-8b}
routes:
  - {name: auto, match: {model: auto}, candidates: [qwen3-32b, qwen3-8b, pointsman-demo]}
  - {name: fixed, match: {model: fixed}, suffixes: refuse, candidates: [qwen3-32b, qwen3-8b]}
";

fn world() -> World {
    let tagged = Deployment { id: "lab:fast".to_owned(), ..local("phi-4") };
    let slow = Deployment { id: "lab".to_owned(), ..local("qwen3-32b") };
    World::of(FILE, vec![hosted("groq", "qwen3-32b", 5.0), hosted("together", "qwen3-8b", 0.1), tagged, slow])
}

fn asked_as(world: &World, name: &str) -> Option<AskedAs> {
    world.plan(&asks(name)).asked_as
}

#[test]
fn an_alias_takes_the_route_of_the_name_that_it_leads_to_and_the_plan_says_so() {
    let world = world();
    for name in ["gpt-4o", "prod-chat"] {
        let plan = world.plan(&asks(name));
        assert_eq!(plan.route.as_deref(), Some("auto"), "{name}");
        assert_eq!(plan.asked_as, Some(AskedAs { name: "auto".into(), alias: true, suffix: None }));
        assert!(plan.explain(&world.snapshot()).contains("asked as auto, by an alias\n"));
    }
    assert_eq!(world.plan(&asks("auto")).asked_as, None);
    assert_eq!(world.plan(&asks("small")).route.as_deref(), Some("direct"));
}

#[test]
fn a_suffix_orders_the_candidates_of_the_route_anew() {
    let world = world();
    assert_eq!(world.order(&asks("auto"))[..2], ["lab", "groq-qwen3-32b"], "the order of the list");
    let cheap = world.order(&asks("auto:cheap"));
    assert_eq!(cheap[..2], ["lab", "together-qwen3-8b"], "free, then the cheaper");
    assert_eq!(
        asked_as(&world, "auto:cheap"),
        Some(AskedAs { name: "auto".into(), alias: false, suffix: Some(Suffix::Cheap) })
    );
    let report = serde_json::to_value(world.plan(&asks("auto:cheap")).report(&world.snapshot())).unwrap();
    assert_eq!(report["asked_as"], serde_json::json!({"name": "auto", "alias": false, "suffix": "cheap"}));
}

#[test]
fn a_suffix_stands_behind_an_alias_and_in_one_and_the_callers_own_wins() {
    let world = world();
    let suffix = |name| asked_as(&world, name).and_then(|asked| asked.suffix);
    assert_eq!(suffix("thrifty"), Some(Suffix::Cheap));
    assert_eq!(suffix("gpt-4o:quality"), Some(Suffix::Quality));
    assert_eq!(suffix("thrifty:fast"), Some(Suffix::Fast));
    assert_eq!(world.plan(&asks("thrifty:fast")).route.as_deref(), Some("auto"));
}

#[test]
fn an_exact_name_is_never_taken_apart() {
    let world = world();
    assert_eq!(world.order(&asks("lab:fast")), ["lab:fast"]);
    assert_eq!(asked_as(&world, "lab:fast"), None);
    // Here the part before the suffix is a deployment of its own.
    assert_eq!(world.order(&asks("lab:cheap")), ["lab"]);
    assert_eq!(world.order(&asks("lab:fast:cheap")), ["lab:fast"]);
}

#[test]
fn a_model_of_the_catalog_takes_a_suffix_behind_any_of_its_names() {
    let world = world();
    assert_eq!(world.order(&asks("qwen3-32b:cheap")), ["lab", "groq-qwen3-32b"]);
    assert_eq!(world.order(&asks("Qwen/Qwen3-32B:cheap")), ["lab", "groq-qwen3-32b"]);
}

#[test]
fn a_route_that_refuses_suffixes_says_so_and_names_what_to_ask_for() {
    let world = world();
    let plan = world.plan(&asks("fixed:cheap"));
    let Verdict::NoneFits { code, reason, alternatives } = plan.verdict else { panic!("{:?}", plan.verdict) };
    assert_eq!((code, alternatives), ("suffix-refused", vec!["fixed".to_owned()]));
    assert!(reason.contains("`fixed`") && reason.contains("`:cheap`"), "{reason}");
    assert_eq!(world.plan(&asks("fixed")).verdict, Verdict::Serve);
}

#[test]
fn a_file_refuses_suffixes_for_its_routes_and_for_models_by_their_own_names() {
    let text = "
version: 1
suffixes: refuse
routes:
  - {name: auto, match: {model: auto}, candidates: [any]}
  - {name: open, match: {model: open}, suffixes: allow, candidates: [any]}
";
    let world = World::of(text, vec![local("qwen3-32b"), local("qwen3-8b")]);
    let served = |name: &str| world.plan(&asks(name)).verdict == Verdict::Serve;
    assert!(!served("auto:fast") && !served("qwen3-32b:fast"));
    assert!(served("open:fast") && served("auto") && served("qwen3-32b"));
}

#[test]
fn aliases_are_listed_among_the_names_that_can_be_asked_for() {
    let world = world();
    let mut names: Vec<&str> = world.policies.virtual_models().collect();
    names.sort_unstable();
    assert_eq!(names, ["auto", "fixed", "gpt-4o", "prod-chat", "small", "thrifty"]);
}

#[test]
fn a_suffix_for_quality_needs_the_language_of_the_request() {
    let world = world();
    let asks_language = |name: &str| world.policies.asks_language(&world.catalog, name, None);
    assert!(!asks_language("auto"), "the list decides");
    assert!(asks_language("auto:quality") && asks_language("thrifty"));
}

#[test]
fn a_name_with_a_suffix_that_nobody_has_is_answered_with_the_nearest() {
    let world = world();
    let Verdict::UnknownModel { nearest } = world.plan(&asks("qwen3-33b:cheap")).verdict else { panic!() };
    assert!(nearest.iter().any(|name| name.starts_with("qwen3")), "{nearest:?}");
}

#[test]
fn a_repository_that_a_route_names_still_stands_for_its_model_where_the_route_does_not_take_the_request() {
    let routes = "  - {name: theirs, match: {team: a, model: Qwen/Qwen3-32B}, candidates: [phi-4]}\n";
    let world = World::new(routes, vec![local("qwen3-32b"), local("phi-4")]);
    let asks = |team: &str| Facts { team: Some(team.to_owned()), ..asks("Qwen/Qwen3-32B") };
    assert_eq!(world.order(&asks("a")), ["phi-4"]);
    assert_eq!(world.order(&asks("b")), ["qwen3-32b"]);
    assert_eq!(world.plan(&asks("b")).route.as_deref(), Some(policies::DIRECT));
}
