//! What each key of `match` takes, and what it leaves to the routes below.

use catalog::Date;
use policies::{Facts, Needs, run_tests};

use crate::world::{World, asks, local};

/// A world in which `matched` takes what its `match` says and `rest` everything else.
fn world(when: &str) -> World {
    let routes =
        format!("  - {{name: matched, match: {{{when}}}, candidates: [any]}}\n  - {{name: rest, candidates: [any]}}\n");
    World::new(&routes, vec![local("qwen3-32b"), local("qwen2.5-vl-7b-instruct")])
}

#[track_caller]
fn check(when: &str, taken: &[Facts], left: &[Facts]) {
    let world = world(when);
    for (facts, expected) in taken.iter().map(|f| (f, "matched")).chain(left.iter().map(|f| (f, "rest"))) {
        assert_eq!(world.plan(facts).route.as_deref(), Some(expected), "{when}: {facts:?}");
    }
}

fn auto() -> Facts {
    asks("auto")
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn at(moment: &str) -> Facts {
    Facts { now: Some(moment.parse::<jiff::Timestamp>().expect("a moment").as_second()), ..auto() }
}

#[test]
fn a_key_is_matched_by_its_public_id() {
    let with = |key| Facts { key: text(key), ..auto() };
    check("key: [ci, cd]", &[with("ci"), with("cd")], &[with("me"), auto()]);
}

#[test]
fn a_script_is_matched_apart_from_the_language() {
    let with = |script: Option<&str>| Facts { script: script.map(str::to_owned), ..auto() };
    check("script: hangul", &[with(Some("hangul"))], &[with(Some("latin")), with(None)]);
    check("script: [unknown, cyrillic]", &[with(None), with(Some("cyrillic"))], &[with(Some("latin"))]);
}

#[test]
fn a_language_that_could_not_be_told_is_a_language_to_match() {
    let with = |language: Option<&str>| Facts { language: language.map(str::to_owned), ..auto() };
    check("language: [unknown, ko]", &[with(None), with(Some("ko"))], &[with(Some("en"))]);
    check("language: ko", &[with(Some("ko"))], &[with(None)]);
}

#[test]
fn a_modality_is_what_the_request_holds_and_text_is_text_alone() {
    let with = |image, audio| Facts { needs: Needs { image, audio, ..Needs::default() }, ..auto() };
    check("modality: text", &[with(false, false)], &[with(true, false), with(true, true)]);
    check("modality: [image, audio]", &[with(true, false), with(false, true), with(true, true)], &[with(false, false)]);
    check("modality: [text, audio]", &[with(false, false), with(true, true)], &[with(true, false)]);
}

#[test]
fn a_time_window_is_read_on_the_clock_of_its_zone() {
    let window = "time: {days: mon-fri, from: \"08:00\", to: \"18:00\", zone: Europe/Berlin}";
    let taken = [at("2026-11-25T08:00:00+01:00"), at("2026-07-01T06:00:00Z")];
    let left = [at("2026-11-25T18:00:00+01:00"), at("2026-11-28T12:00:00+01:00"), auto()];
    check(window, &taken, &left);
    let night = "time: {from: \"22:00\", to: \"06:00\", days: [fri], zone: Asia/Seoul}";
    check(
        night,
        &[at("2026-11-28T05:59:00+09:00")],
        &[at("2026-11-28T06:00:00+09:00"), at("2026-11-27T05:00:00+09:00")],
    );
    check("time: {to: \"12:00\"}", &[at("2026-11-25T11:59:59Z")], &[at("2026-11-25T12:00:00Z")]);
    check("time: {from: \"12:00\", to: \"24:00\"}", &[at("2026-11-25T23:59:59Z")], &[at("2026-11-25T11:00:00Z")]);
}

#[test]
fn declared_headers_and_metadata_are_matched_by_value_and_all_of_them_have_to_fit() {
    let headers = |value| Facts { headers: pair("x-customer-tier", value), ..auto() };
    check(
        "header: {X-Customer-Tier: [gold, silver]}",
        &[headers("gold"), headers("silver")],
        &[headers("Gold"), auto()],
    );
    let both = |tier, project| Facts { metadata: pair("project", project), ..headers(tier) };
    let when = "header: {x-customer-tier: gold}, metadata: {project: apollo}";
    check(when, &[both("gold", "apollo")], &[headers("gold"), both("gold", "x"), both("tin", "apollo")]);
}

#[test]
fn a_policy_asks_for_what_its_routes_match_and_for_nothing_else() {
    let world = world("script: hangul, model: auto, header: {x-customer-tier: gold}");
    let (policies, catalog) = (&world.policies, &world.catalog);
    assert!(policies.asks_script(catalog, "auto", None) && !policies.asks_script(catalog, "chat", None));
    assert!(policies.asks_header("x-customer-tier") && !policies.asks_metadata("project"));
    let unknown = self::world("language: unknown, model: auto");
    assert!(unknown.policies.asks_language(&unknown.catalog, "auto", None), "to tell that it cannot be told");
}

#[test]
fn a_test_of_a_policy_file_states_the_same_facts() {
    let text = "
version: 1
routes:
  - name: night
    match:
      key: ci
      script: hangul
      language: unknown
      time: {from: \"22:00\", to: \"06:00\", zone: Asia/Seoul}
      header: {x-customer-tier: gold}
      metadata: {project: apollo}
    candidates: [any]
  - {name: rest, candidates: [any]}
tests:
  - name: at night
    request: &request
      model: auto
      key: ci
      script: hangul
      language: unknown
      time: 2026-11-25T23:00:00+09:00
      header: {X-Customer-Tier: gold}
      metadata: {project: apollo}
    expect: {route: night}
  - name: by day
    request: {model: auto, key: ci, script: hangul, time: 2026-11-25T21:00:00+09:00, header: {x-customer-tier: gold}, metadata: {project: apollo}}
    expect: {route: rest}
  - name: a test that states no time is in no window
    request: {model: auto, key: ci, script: hangul, header: {x-customer-tier: gold}, metadata: {project: apollo}}
    expect: {route: rest}
";
    let world = World::of(text, vec![local("qwen3-32b")]);
    for result in run_tests(&world.snapshot(), Date::of_unix_ms(0)) {
        assert!(result.passed(), "{result:?}");
    }
}

#[test]
fn an_expression_is_asked_of_what_the_keys_cannot_say() {
    let long = |prompt_tokens, stream| Facts { prompt_tokens, stream, ..auto() };
    check(
        "when: 'request.prompt_tokens > 4000 || request.stream && request.prompt_tokens * 2 > 4000'",
        &[long(4_001, false), long(2_001, true)],
        &[long(4_000, false), long(2_000, true)],
    );
    let metadata = |value| Facts { metadata: pair("project", value), ..auto() };
    check(
        "when: 'has(request.metadata.project) && request.metadata.project.startsWith(\"x-\")'",
        &[metadata("x-1")],
        &[metadata("y"), auto()],
    );
}

#[test]
fn an_expression_that_is_an_error_takes_no_request_and_raises_an_alert() {
    let world = world("when: 'request.team != \"support\"'");
    let plan = world.plan(&auto());
    assert_eq!(plan.route.as_deref(), Some("rest"));
    let alerts: Vec<(&str, String)> =
        plan.alerts.iter().map(|alert| (&*alert.route, alert.error.to_string())).collect();
    assert_eq!(alerts, [("matched", "the request has no `request.team`".to_owned())]);
    let shown = plan.explain(&world.snapshot());
    assert!(shown.contains("alert    route matched was passed over"), "{shown}");
    let with = Facts { team: text("sales"), ..auto() };
    assert_eq!((world.plan(&with).route.as_deref(), world.plan(&with).alerts.len()), (Some("matched"), 0));
}

#[test]
fn what_an_expression_reads_is_gathered_and_told_apart() {
    let world = world(
        "when: 'request.language == \"ko\" || request.script == \"han\" || \"x-customer-tier\" in request.headers'",
    );
    let policies = &world.policies;
    assert!(policies.asks_language(&world.catalog, "auto", None) && policies.asks_script(&world.catalog, "auto", None));
    assert!(policies.asks_header("x-customer-tier") && !policies.asks_metadata("project"));
}
