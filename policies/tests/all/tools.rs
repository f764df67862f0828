//! The offline tools: what tests exercise, what they notice, what a change moves, and what can be proved.

use std::sync::Arc;

use catalog::{Catalog, Exposure, Purpose, Use};
use policies::{
    Caller, Cells, Claim, ClaimError, Coverage, Deployment, Effect, Mutation, Only, Pair, Place, PolicySet, Proof,
    Snapshot, Source, compile, coverage, diff, every_caller, every_use, mutate, pairs, plan, prove, run_tests,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::world::{hosted, local, today};

/// Files, compiled for deployments.
struct Files {
    catalog: Arc<Catalog>,
    sources: Vec<Source>,
    policies: PolicySet,
    deployments: Vec<Deployment>,
}

impl Files {
    #[track_caller]
    fn new(text: &str, deployments: Vec<Deployment>) -> Self {
        Self::of(vec![Source::new("p.yaml", format!("version: 1\n{text}"))], Catalog::builtin(), deployments)
    }

    #[track_caller]
    fn of(sources: Vec<Source>, catalog: Arc<Catalog>, deployments: Vec<Deployment>) -> Self {
        let (policies, _) = compile(&sources, &catalog, &deployments).unwrap_or_else(|report| panic!("{report}"));
        Self { catalog, sources, policies, deployments }
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { catalog: &self.catalog, policies: &self.policies, deployments: &self.deployments, live: &[] }
    }

    fn coverage(&self) -> Coverage {
        coverage(&self.sources, &self.snapshot(), today())
    }

    fn mutation(&self) -> Mutation {
        mutate(&self.sources, &self.snapshot(), &[], today(), |_, _| {})
    }

    fn callers(&self) -> Vec<Caller> {
        every_caller([&self.policies], &every_use(None), &Only::default()).unwrap()
    }

    #[track_caller]
    fn prove(&self, claim: &str) -> Proof {
        let claim: Claim = claim.parse().unwrap_or_else(|error| panic!("{error}"));
        prove(&claim, &self.snapshot(), &self.callers(), today(), &Only::default())
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self, claim: &str) -> String {
        let told = |error: ClaimError| error.to_string();
        let read = claim.parse::<Claim>().map_err(told);
        read.and_then(|claim| prove(&claim, &self.snapshot(), &self.callers(), today(), &Only::default()).map_err(told))
            .map_or_else(|error| error, |proof| panic!("it was read: {proof:?}"))
    }
}

const DESK: &str = "\
routes:
  - name: desk
    match: {team: desk, model: [auto, chat], prompt_tokens: {max: 1_000}}
    require: {license: {max_tier: 2}, region: [eu, local]}
    candidates: [kanana-1.5-8b, qwen3-32b]
  - name: rest
    match: {model: auto}
    candidates: [any]
";

const DESK_TEST: &str = "\
tests:
  - name: the desk asks a free model
    deployed: [kanana-1.5-8b, qwen3-32b]
    request: {team: desk, model: auto}
    expect: {route: desk, first: kanana-1.5-8b}
";

fn desk(tests: &str) -> Files {
    Files::new(&format!("{DESK}{tests}"), vec![local("pointsman-demo")])
}

#[test]
fn what_no_test_exercises_is_named_with_its_line() {
    let files = desk(DESK_TEST);
    let coverage = files.coverage();
    assert_eq!((coverage.routes.all, coverage.routes.exercised), (2, 1));
    assert_eq!((coverage.routes.missed[0].route.as_str(), coverage.routes.missed[0].at.line), ("rest", 7));
    // The one test takes the route and both its candidates serve; nothing is kept out by a rule.
    let missed = |missed: &[policies::Missed]| -> Vec<(String, usize)> {
        missed.iter().map(|m| (m.part.clone().unwrap_or_default(), m.at.line)).collect()
    };
    let rules = ["match.team", "match.model", "match.prompt_tokens", "require.license.max_tier", "require.region"];
    let lines = [4, 4, 4, 5, 5];
    let mut expected: Vec<(String, usize)> = rules.map(str::to_owned).into_iter().zip(lines).collect();
    expected.push(("match.model".to_owned(), 8));
    assert_eq!(missed(&coverage.rules.missed), expected);
    assert_eq!((coverage.candidates.all, coverage.candidates.exercised), (3, 2));
    assert_eq!(missed(&coverage.candidates.missed), [("any".to_owned(), 9)]);
}

#[test]
fn a_rule_is_exercised_once_a_plan_depends_on_it() {
    let more = format!(
        "{DESK_TEST}
  - name: another team does not take the route
    request: {{model: auto}}
    expect: {{route: rest}}
  - name: another name does not take it
    request: {{team: desk, model: other}}
    expect: {{verdict: unknown_model}}
  - name: a long prompt does not take it
    request: {{team: desk, model: auto, prompt_tokens: 1001}}
    expect: {{route: rest}}
  - name: a model of tier 4 is kept out
    deployed: [kanana-1.5-8b, {{model: qwen3-32b, host: together}}]
    request: {{team: desk, model: auto}}
    expect: {{route: desk, never: qwen3-32b}}
"
    );
    let coverage = desk(&more).coverage();
    let missed: Vec<_> = coverage.rules.missed.iter().filter_map(|missed| missed.part.as_deref()).collect();
    assert_eq!(missed, ["require.license.max_tier"], "no model of a stricter tier is in any test");
    assert!(coverage.routes.missed.is_empty() && coverage.candidates.missed.is_empty(), "{coverage:?}");
}

#[test]
fn a_change_that_no_test_notices_is_told_with_a_request_that_it_moves() {
    let mutation = desk(DESK_TEST).mutation();
    let told = |what: &str| mutation.unnoticed.iter().find(|change| change.what == what);
    let change = told("route `desk`: `match.team` left out").expect("it is not noticed");
    assert_eq!((change.at.file.as_str(), change.at.line), ("p.yaml", 4));
    let example = change.example.as_ref().expect("it moves a request");
    assert!(example.team.is_none() && matches!(example.model.as_str(), "auto" | "chat"), "{example}");
    // The test asks for the first candidate and for the route.
    assert!(told("route `desk`: the candidate `kanana-1.5-8b` left out").is_none());
    assert!(told("route `desk`: the candidates `kanana-1.5-8b` and `qwen3-32b` swapped").is_none());
    assert!(told("route `desk` left out").is_none());
    assert_eq!(mutation.tried, mutation.noticed + mutation.equivalent + mutation.unnoticed.len());
    let score = mutation.score.expect("some changes tell");
    assert!((score - mutation.noticed as f64 / (mutation.tried - mutation.equivalent) as f64).abs() < 1e-9);
}

#[test]
fn a_change_that_changes_nothing_is_counted_apart() {
    // No request can take both routes, so their order means nothing; a tier limit of 5 lets everything in, as does none.
    let files = Files::new(
        "\
routes:
  - {name: a, match: {model: a}, require: {license: {max_tier: 5}}, candidates: [qwen3-32b]}
  - {name: b, match: {model: b}, candidates: [qwen3-8b]}
tests:
  - {name: a, deployed: [qwen3-32b], request: {model: a}, expect: {route: a}}
  - {name: b, deployed: [qwen3-8b], request: {model: b}, expect: {route: b}}
  - {name: not a, deployed: [qwen3-32b, qwen3-8b], request: {model: c}, expect: {verdict: unknown_model}}
",
        vec![],
    );
    let mutation = files.mutation();
    let whats: Vec<_> = mutation.unnoticed.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(mutation.equivalent, 3, "left: {whats:?}");
    assert!(whats.is_empty(), "{whats:?}");
    assert_eq!(mutation.score, Some(1.0));
}

#[test]
fn mutation_is_the_same_every_time_and_tells_how_far_it_is() {
    let files = desk(DESK_TEST);
    assert_eq!(files.mutation(), files.mutation());
    let mut told = Vec::new();
    let mutation = mutate(&files.sources, &files.snapshot(), &[], today(), |done, of| told.push((done, of)));
    assert_eq!(told.first(), Some(&(0, mutation.tried)));
    assert_eq!(told.last(), Some(&(mutation.tried, mutation.tried)));
    assert!(told.is_sorted());
}

#[test]
fn the_tests_and_probes_of_the_default_policies_take_every_route() {
    let text = include_str!("../../../config/policies/default.yaml");
    let probes = include_str!("../../../config/policies/probes/default.yaml");
    let files = Files::of(
        vec![Source::builtin("default.yaml", text), Source::probes("probes.yaml", probes)],
        Catalog::builtin(),
        vec![Deployment::new("demo", "pointsman-demo", Place::Local { engine: "native".to_owned() })],
    );
    let results = run_tests(&files.snapshot(), today());
    let failed: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let coverage = files.coverage();
    assert!(coverage.routes.missed.is_empty(), "{:?}", coverage.routes.missed);
    let mutation = files.mutation();
    println!(
        "routes {}/{}, rules {}/{}, candidates {}/{}; {} changes, {} noticed, {} equivalent, score {:?}",
        coverage.routes.exercised,
        coverage.routes.all,
        coverage.rules.exercised,
        coverage.rules.all,
        coverage.candidates.exercised,
        coverage.candidates.all,
        mutation.tried,
        mutation.noticed,
        mutation.equivalent,
        mutation.score,
    );
    assert!(mutation.score >= Some(0.95), "{:#?}", mutation.unnoticed);
}

#[test]
fn a_file_of_tests_alone_is_run_with_the_policies() {
    let probes = "version: 1\ntests:\n  - {name: probe, request: {model: auto}, expect: {first: pointsman-demo}}\n";
    assert!(Source::has(probes, "tests") && !Source::has(probes, "routes"));
    let sources = vec![
        Source::new("p.yaml", "version: 1\nroutes: [{name: r, match: {model: auto}, candidates: [any]}]\n"),
        Source::probes("probes.yaml", probes),
    ];
    let files = Files::of(sources, Catalog::builtin(), vec![local("pointsman-demo")]);
    let results = run_tests(&files.snapshot(), today());
    assert_eq!(results.len(), 1);
    assert!(results[0].passed());
    assert_eq!((results[0].file.as_str(), results[0].line), ("probes.yaml", 3));
    assert!(compile(&[Source::new("p.yaml", probes)], &Catalog::builtin(), &[]).is_err(), "a policy file has routes");
}

fn compared(old: &str, new: &str) -> policies::Diff {
    let deployments = || vec![local("kanana-1.5-8b"), local("qwen3-32b"), local("exaone-3.5-32b")];
    let [old, new] = [old, new].map(|text| Files::new(text, deployments()));
    let callers = every_caller([&old.policies, &new.policies], &every_use(None), &Only::default()).unwrap();
    let (pairs, ..) = pairs(&callers, &callers);
    diff(&old.snapshot(), &new.snapshot(), &pairs, today(), &Only::default()).unwrap()
}

#[test]
fn two_equal_policies_move_nothing() {
    let diff = compared(DESK, DESK);
    assert!(diff.cells > 0);
    assert_eq!((diff.changed, diff.changes.len()), (0, 0));
}

#[test]
fn what_moves_is_told_once_for_all_its_cells_and_tier_crossings_first() {
    let old = "routes:\n  - {name: r, match: {model: auto}, candidates: [kanana-1.5-8b, qwen3-32b]}\n  - {name: s, match: {model: chat, language: ko}, candidates: [qwen3-32b]}\n";
    let new = "routes:\n  - {name: r, match: {model: auto}, candidates: [kanana-1.5-8b, qwen3-32b, exaone-3.5-32b]}\n  - {name: s, match: {model: chat, language: ko}, candidates: [kanana-1.5-8b]}\n";
    let diff = compared(old, new);
    // Only research and personal use may have EXAONE, so only they cross into its tier.
    let crossing = &diff.changes[0];
    assert!(crossing.what.stricter(), "{crossing:?}");
    assert_eq!(crossing.what.added.iter().map(|s| s.model.as_str()).collect::<Vec<_>>(), ["exaone-3.5-32b"]);
    assert_eq!(crossing.what.first, None, "it comes last");
    assert!(crossing.callers.contains("research use") && !crossing.callers.contains("revenue use"), "{crossing:?}");
    let moved = diff.changes.iter().find(|change| change.models.contains("chat")).expect("chat moves");
    assert_eq!(moved.languages.iter().map(String::as_str).collect::<Vec<_>>(), ["ko"]);
    assert_eq!(moved.cells, 4, "one for each purpose");
    assert_eq!(moved.example.model, "chat");
    assert_eq!(diff.changed, diff.changes.iter().map(|change| change.cells).sum::<usize>());
}

#[test]
fn a_boundary_that_moves_by_one_token_is_found() {
    let text = |max: u64| {
        format!(
            "routes:\n  - {{name: short, match: {{model: auto, prompt_tokens: {{max: {max}}}}}, candidates: [qwen3-32b]}}\n  \
             - {{name: long, match: {{model: auto}}, candidates: [kanana-1.5-8b]}}\n"
        )
    };
    let diff = compared(&text(1_000), &text(1_001));
    let sizes: Vec<u64> = diff.changes.iter().map(|change| change.example.prompt_tokens).collect();
    assert_eq!(sizes, [1_001]);
}

#[test]
fn a_context_that_stands_for_something_else_is_a_change() {
    let files = Files::new(DESK, vec![local("exaone-3.5-32b")]);
    let caller = |purpose| Caller {
        team: None,
        context: Some("bot".to_owned()),
        use_: Use::new(purpose, Exposure::Internal).into(),
    };
    let (both, gone, come) = pairs(&[caller(Purpose::Research)], &[caller(Purpose::Revenue)]);
    assert_eq!((both.len(), gone.len(), come.len()), (1, 0, 0));
    let diff = diff(&files.snapshot(), &files.snapshot(), &both, today(), &Only::default()).unwrap();
    assert!(diff.changes.iter().any(|change| change.what.verdict == Some(("serve", "license"))), "{diff:?}");
}

#[test]
fn callers_that_only_one_side_has_are_named() {
    let caller = |context: &str| Caller {
        team: Some("t".to_owned()),
        context: Some(context.to_owned()),
        use_: Use::new(Purpose::Research, Exposure::Internal).into(),
    };
    let (both, gone, come) = pairs(&[caller("a"), caller("b")], &[caller("b"), caller("c")]);
    let both: Vec<_> = both.into_iter().map(|Pair { old, .. }| old.context).collect();
    assert_eq!(both, [Some("b".to_owned())]);
    assert_eq!((gone, come), (vec!["team t, context a".to_owned()], vec!["team t, context c".to_owned()]));
}

#[test]
fn more_cells_than_are_looked_through_is_an_error_that_says_what_to_do() {
    let teams: Vec<String> = (0..1_000).map(|n| format!("team-{n}")).collect();
    let models: Vec<String> = (0..1_000).map(|n| format!("model-{n}")).collect();
    let text = format!(
        "routes: [{{name: r, match: {{team: [{}], model: [{}]}}, candidates: [any]}}]\n",
        teams.join(", "),
        models.join(", ")
    );
    let files = Files::new(&text, vec![local("qwen3-8b")]);
    let callers = files.callers();
    let error = Cells::new(&[&files.snapshot()], &callers, today(), &Only::default()).unwrap_err();
    assert!(error.cells > 1_000_000 && error.to_string().contains("one team, context or model at a time"), "{error}");
    let only = Only { team: Some("team-7".to_owned()), ..Only::default() };
    assert!(Cells::new(&[&files.snapshot()], &callers, today(), &only).is_ok());
}

#[test]
fn a_claim_about_licence_tiers_is_proved_or_met_with_a_counterexample() {
    let text = "routes:\n  - {name: r, match: {model: auto}, candidates: [any]}\n";
    let files = Files::new(text, vec![local("qwen3-32b"), local("exaone-3.5-32b")]);
    let proof = files.prove("no revenue context reaches tier >= 3");
    assert!(proof.holds && proof.cells > 0 && proof.candidates > 0, "{proof:?}");
    let proof = files.prove("no research context reaches tier >= 3");
    assert!(!proof.holds);
    let candidates: Vec<_> = proof.counterexamples.iter().filter_map(|c| c.candidate.as_ref()).collect();
    assert!(candidates.iter().all(|reached| reached.model == "exaone-3.5-32b"), "{candidates:?}");
    assert!(candidates[0].decision.tier.number() >= 3 && candidates[0].decision.outcome.allows());
    assert!(proof.counterexamples[0].cells > 1, "as many as there are requests of that kind");
}

#[test]
fn a_claim_looks_at_every_candidate_and_not_only_the_first() {
    let text = "routes:\n  - {name: r, match: {model: auto}, candidates: [qwen3-32b, exaone-3.5-32b]}\n";
    let files = Files::new(text, vec![local("qwen3-32b"), local("exaone-3.5-32b")]);
    let proof = files.prove("no request reaches family exaone-3.5");
    let reached = proof.counterexamples.iter().find(|c| c.request.model == "auto").and_then(|c| c.candidate.as_ref());
    assert_eq!(reached.map(|reached| reached.rank), Some(2), "{proof:?}");
}

#[test]
fn a_waiver_excuses_what_a_claim_lets_it_excuse() {
    let waiver = "\
waivers:
  - {id: study, rules: [tier4-commercial], models: [exaone-3.5-32b], contexts: [bot],
     reason: a study, requested_by: Kim, approved_by: [Lee, Park], created: 2026-11-01, expires: 2027-01-31}
";
    let catalog = Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), waiver.to_owned())]).unwrap().into();
    let text = "version: 1\nroutes:\n  - {name: r, match: {model: auto, context: bot}, candidates: [any]}\n";
    let files = Files::of(vec![Source::new("p.yaml", text)], catalog, vec![local("exaone-3.5-32b")]);
    let proof = files.prove("no revenue context reaches tier >= 3");
    assert!(!proof.holds, "{proof:?}");
    assert!(proof.counterexamples.iter().all(|c| c.request.context.as_deref() == Some("bot")), "{proof:?}");
    assert!(files.prove("no revenue context reaches tier >= 3 without a waiver").holds);
    assert!(!files.prove("no revenue context reaches tier >= 3 without an agreement").holds);
}

#[test]
fn a_region_that_is_not_known_speaks_against_a_claim() {
    let text = "routes:\n  - {name: r, match: {model: auto}, candidates: [any]}\n";
    let eu = Deployment { region: Some("eu".to_owned()), ..hosted("together", "qwen3-32b", 1.0) };
    let unknown = hosted("deepinfra", "qwen3-32b", 1.0);
    let known = Files::new(text, vec![eu.clone()]);
    assert!(known.prove("every request reaches only region eu").holds);
    let proof = known.prove("no request reaches region us");
    assert!(proof.holds && proof.notes[0].contains("`us`"), "{proof:?}");
    let files = Files::new(text, vec![eu, unknown]);
    assert!(!files.prove("every request reaches only region eu").holds);
    let proof = files.prove("no request reaches region us");
    assert!(!proof.holds && proof.counterexamples[0].why.contains("not known"), "{proof:?}");
}

#[test]
fn every_request_reaches_what_it_should_or_the_one_that_does_not_is_shown() {
    let files = desk("");
    assert!(!files.prove("every request reaches model pointsman-demo").holds, "the desk's candidates are not deployed");
    let proof = files.prove("every team desk reaches model pointsman-demo");
    let against = &proof.counterexamples[0];
    assert_eq!(against.route.as_deref(), Some("desk"));
    assert!(against.candidate.is_none() && against.why.contains("nobody serves it"), "{against:?}");
}

#[test]
fn a_claim_that_cannot_be_read_says_what_was_expected() {
    let files = desk("");
    for (claim, expected) in [
        ("some request reaches tier >= 3", "expected `no` or `every`, found `some`"),
        ("no request", "the claim ends where `reaches` is expected"),
        ("no revenue team reaches tier >= 3", "expected `context`, found `team`"),
        ("no request reaches tier > 3", "expected `>=` or `<=`, found `>`"),
        ("no request reaches tier >= 9", "expected a licence tier from 1 to 5, found `9`"),
        ("no request reaches license mitt", "there is no licence `mitt`; did you mean `mit`?"),
        ("no request reaches model qwen3-33b", "there is no model `qwen3-33b`; did you mean `qwen3-32b`?"),
        ("no request reaches host togther", "there is no host `togther`; did you mean `together`?"),
        ("no team dask reaches tier >= 3", "there is no team `dask`; did you mean `desk`?"),
        ("every request reaches only tier <= 2 without a waiver", "`without` does not go with `only`"),
        ("no request reaches tier >= 3 please", "expected `without` or the end of the claim, found `please`"),
        ("no request reaches tier >= 3 without an waiver", "expected `attestation` or `agreement`, found `waiver`"),
    ] {
        let error = files.error(claim);
        assert!(error.contains(expected), "{claim}: {error}");
    }
}

/// Routes that a generated request can be told apart by in every way that the language has.
fn routes() -> impl Strategy<Value = String> {
    let list = |words: Vec<&'static str>| option::of(vec(select(words), 1..3));
    let route = (
        list(vec!["a", "b"]),
        list(vec!["ko", "ja"]),
        list(vec!["auto", "chat", "qwen3-32b"]),
        option::of(select(vec!["tools", "image"])),
        option::of((0u64..300, 0u64..300)),
        option::of(any::<bool>()),
        (select(vec!["any", "qwen3-32b", "kanana-1.5-8b, any", "exaone-3.5-32b"]), any::<bool>()),
    );
    vec(route, 1..5).prop_map(|routes| {
        let mut text = "routes:\n".to_owned();
        for (at, (team, language, model, needs, size, stream, (candidates, ranked))) in routes.into_iter().enumerate() {
            let listed = |names: Vec<&str>| format!("[{}]", names.join(", "));
            let mut keys = Vec::new();
            keys.extend(team.map(|names| format!("team: {}", listed(names))));
            keys.extend(language.map(|names| format!("language: {}", listed(names))));
            keys.extend(model.map(|names| format!("model: {}", listed(names))));
            keys.extend(needs.map(|need| format!("needs: [{need}]")));
            keys.extend(size.map(|(a, b)| format!("prompt_tokens: {{min: {}, max: {}}}", a.min(b), a.max(b))));
            keys.extend(stream.map(|stream| format!("stream: {stream}")));
            let prefer = if ranked { ", prefer: {quality: 1}" } else { "" };
            text.push_str(&format!(
                "  - {{name: r{at}, match: {{{}}}, candidates: [{candidates}]{prefer}}}\n",
                keys.join(", ")
            ));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the cells are for: no request is of a kind that none of them stands for.
    #[test]
    fn whatever_a_request_reaches_some_cell_reaches_too(
        routes in routes(),
        team in option::of(select(vec!["a", "b", "c"])),
        language in option::of(select(vec!["ko", "ja", "fr", "xx"])),
        model in select(vec!["auto", "chat", "qwen3-32b", "kanana-1.5-8b", "nobody"]),
        purpose in select(Purpose::ALL.to_vec()),
        needs in (any::<bool>(), any::<bool>(), any::<bool>()),
        prompt_tokens in 0u64..40_000,
        stream in any::<bool>(),
    ) {
        let files = Files::new(&routes, vec![local("qwen3-32b"), local("kanana-1.5-8b"), local("exaone-3.5-32b")]);
        let snapshot = files.snapshot();
        let callers = files.callers();
        let named = |name: &str| callers.iter().any(|caller| caller.team.as_deref() == Some(name));
        let team = team.filter(|team| named(team)).map(str::to_owned);
        let caller = callers.iter().find(|c| c.team == team && c.use_.purpose == purpose).expect("a caller");
        let facts = policies::Facts {
            team: team.clone(),
            language: language.map(str::to_owned),
            prompt_tokens,
            needs: policies::Needs { tools: needs.0, image: needs.1, logprobs: needs.2, ..Default::default() },
            stream,
            ..policies::Facts::new(model, Arc::clone(&caller.use_), today())
        };
        let reached = plan(&facts, &snapshot);
        let cells = Cells::new(&[&snapshot], &callers, today(), &Only::default()).unwrap();
        let covers = |cell: &Effect| {
            cell.route.as_deref() == reached.route.as_deref()
                && reached.candidates.iter().all(|candidate| {
                    let id = &files.deployments[candidate.deployment].id;
                    cell.candidates.iter().any(|serves| serves.deployment == *id)
                })
        };
        let alike = |cell: &policies::Facts| cell.team == team && cell.use_.purpose == purpose;
        prop_assert!(cells.len() == cells.iter().count());
        prop_assert!(
            cells.iter().any(|cell| alike(&cell.facts) && covers(&Effect::of(&cell.facts, &snapshot))),
            "{facts:?}"
        );
    }
}
