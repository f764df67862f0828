//! The policy files that ship with Pointsman load without a word, and their own tests hold.

use catalog::{Catalog, Guide};
use policies::{Deployment, Place, Snapshot, Source, compile, run_tests};

const DEFAULT: &str = include_str!("../../../config/policies/default.yaml");
const PROBES: &str = include_str!("../../../config/policies/probes/default.yaml");
const EXAMPLES: [(&str, &str); 3] = [
    ("support-bot.yaml", include_str!("../../../config/policies/examples/support-bot.yaml")),
    ("rollout.yaml", include_str!("../../../config/policies/examples/rollout.yaml")),
    ("research-lab.yaml", include_str!("../../../config/policies/examples/research-lab.yaml")),
];

fn demo() -> [Deployment; 1] {
    [Deployment::new("demo", "pointsman-demo", Place::Local { engine: "native".to_owned() })]
}

#[track_caller]
fn holds(sources: &[Source]) -> usize {
    let (catalog, deployments) = (Catalog::builtin(), demo());
    let (set, report) = compile(sources, &catalog, &deployments).unwrap_or_else(|report| panic!("{report}"));
    assert!(report.is_empty(), "{report}");
    let results = run_tests(
        &Snapshot { catalog: &catalog, policies: &set, deployments: &deployments, live: &[] },
        crate::world::today(),
    );
    let failed: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    results.len()
}

#[test]
fn the_default_policies_load_and_their_tests_hold() {
    assert!(holds(&[Source::builtin("default.yaml", DEFAULT)]) > 10);
}

#[test]
fn the_examples_load_before_the_default_policies_and_their_tests_hold() {
    for (name, text) in EXAMPLES {
        assert!(holds(&[Source::builtin(name, text), Source::builtin("default.yaml", DEFAULT)]) > 10, "{name}");
    }
}

#[test]
fn the_virtual_models_are_those_of_the_documentation() {
    let (set, _) = compile(&[Source::builtin("default.yaml", DEFAULT)], &Catalog::builtin(), &demo()).unwrap();
    let mut names: Vec<_> = set.virtual_models().collect();
    names.sort_unstable();
    let expected = [
        "apple-silicon",
        "auto",
        "chat",
        "cheap",
        "chinese",
        "code",
        "edge",
        "fast",
        "free-license",
        "japanese",
        "korean",
        "reasoning",
        "reproducible",
        "single-gpu",
        "vision",
        "vision-single-gpu",
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_row_of_the_selection_matrix_has_a_probe_that_holds() {
    let (catalog, deployments) = (Catalog::builtin(), demo());
    let sources = [Source::builtin("default.yaml", DEFAULT), Source::probes("probes.yaml", PROBES)];
    let (set, _) = compile(&sources, &catalog, &deployments).unwrap_or_else(|report| panic!("{report}"));
    let snapshot = Snapshot { catalog: &catalog, policies: &set, deployments: &deployments, live: &[] };
    let results = run_tests(&snapshot, crate::world::today());
    let rows = Guide::builtin().scenarios();
    assert_eq!(rows.len(), 17);
    for row in rows {
        let name = format!("row {}, {}: ", row.row, row.id);
        let probes: Vec<_> = results.iter().filter(|result| result.name.starts_with(&name)).collect();
        assert!(!probes.is_empty(), "no probe `{name}...`");
        let failed: Vec<_> = probes.iter().filter(|result| !result.passed()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

#[test]
fn a_test_that_does_not_hold_says_what_came_instead() {
    let text = "\
version: 1
routes: [{name: all, match: {model: auto}, candidates: [any]}]
tests:
  - {name: wrong, request: {model: auto}, expect: {first: qwen3-32b, route: direct, never: pointsman-demo}}
  - {name: order, deployed: [qwen3-32b, phi-4], request: {model: auto}, expect: {order: [phi-4]}}
  - {name: nobody, deployed: [phi-4], request: {model: auto}, expect: {order: [phi-4, qwen3-32b]}}
  - {name: held, deployed: [pointsman-demo, phi-4], request: {model: auto}, expect: {order: [phi-4, pointsman-demo]}}
";
    let (catalog, deployments) = (Catalog::builtin(), demo());
    let (set, _) = compile(&[Source::new("p.yaml", text)], &catalog, &deployments).unwrap();
    let snapshot = Snapshot { catalog: &catalog, policies: &set, deployments: &deployments, live: &[] };
    let results = run_tests(&snapshot, crate::world::today());
    assert_eq!(
        results[0].failures,
        [
            "expected the route `direct`, got `all`",
            "expected `qwen3-32b` first, got `pointsman-demo`",
            "expected `pointsman-demo` never, got it as candidate 1",
        ]
    );
    assert_eq!(results[1].failures, ["expected the order `phi-4`, got `phi-4, qwen3-32b`"], "one more than expected");
    assert_eq!(results[2].failures, ["expected the order `phi-4, qwen3-32b`, got `phi-4`"], "one less than expected");
    assert!(results[3].passed(), "{:?}", results[3].failures);
}
