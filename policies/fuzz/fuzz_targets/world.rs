//! What both targets share: a catalog, deployments, declared names, and what must be true of every plan.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use catalog::{Catalog, decide};
use policies::{Declared, Deployment, Facts, Place, Plan, PolicySet, Report, Snapshot, Source, Verdict};

/// Loaded once.
pub static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(Catalog::builtin);

/// Models of every tier, here, at hosts and on a server.
pub static DEPLOYMENTS: LazyLock<Vec<Deployment>> = LazyLock::new(|| {
    let local = || Place::Local { engine: "native".to_owned() };
    let host = |id: &str| Place::Host(id.to_owned());
    let priced = |usd: f64, deployment: Deployment| Deployment {
        input_usd_per_million: Some(usd),
        output_usd_per_million: Some(2.0 * usd),
        cached_input_usd_per_million: Some(usd / 4.0),
        region: Some("eu".to_owned()),
        retention: Some("none".to_owned()),
        training_use: Some("none".to_owned()),
        capabilities: vec!["tools".to_owned(), "json_schema".to_owned()],
        ..deployment
    };
    vec![
        Deployment::new("demo", "pointsman-demo", local()),
        Deployment { quantization_bits: Some(4.5), ..Deployment::new("kanana", "kanana-1.5-8b", local()) },
        priced(0.3, Deployment::new("groq-qwen", "qwen3-32b", host("groq"))),
        priced(0.2, Deployment::new("together-qwen", "qwen3-32b", host("together"))),
        Deployment {
            context_tokens: Some(32_768),
            effective_context_tokens: Some(16_384),
            ..Deployment::new("lab:fast", "llama-3.3-70b-instruct", Place::Server("vllm".to_owned()))
        },
        Deployment { lacks: vec!["seed".to_owned()], ..Deployment::new("large", "mistral-large-2", host("together")) },
        Deployment::new("exaone", "exaone-3.5-32b", local()),
        Deployment::new("eyes", "qwen2.5-vl-7b-instruct", host("together")),
    ]
});

/// Compiles a text for a configuration that declares a header and an entry of `metadata`.
pub fn compile(text: &str) -> Result<(PolicySet, Report), Report> {
    let declared = Declared {
        headers: vec!["x-customer-tier".to_owned()],
        metadata: vec!["project".to_owned()],
        ..Declared::default()
    };
    policies::compile_declared(&[Source::new("fuzz.yaml", text)], &CATALOG, &DEPLOYMENTS, &declared)
}

/// The plan of a request, after everything that holds for each.
pub fn planned(facts: &Facts, snapshot: &Snapshot<'_>) -> Plan {
    let plan = policies::plan(facts, snapshot);
    // As text, in which two numbers that are none are the same.
    assert_eq!(format!("{plan:?}"), format!("{:?}", policies::plan(facts, snapshot)), "the same request, two plans");
    assert_eq!(plan.verdict == Verdict::Serve, !plan.candidates.is_empty());
    let mut seen = HashSet::new();
    for candidate in &plan.candidates {
        let deployment = &snapshot.deployments[candidate.deployment];
        assert!(seen.insert(candidate.deployment), "`{}` twice", deployment.id);
        assert!((0.0..=1.0).contains(&candidate.score), "`{}` scores {}", deployment.id, candidate.score);
        let model = snapshot.catalog.model(candidate.model()).expect("a model of the catalog");
        for decision in [&**candidate.decision(), &decide(snapshot.catalog, model, &facts.use_, facts.today)] {
            assert!(decision.outcome.allows(), "`{}` serves, and {}", deployment.id, decision.reason);
        }
    }
    for rejected in plan.rejected() {
        assert!(rejected.deployment.is_none_or(|at| !seen.contains(&at)), "served and rejected: {rejected:?}");
        assert!(!rejected.code().is_empty() && !rejected.reason().is_empty(), "{rejected:?}");
    }
    // What `explain` shows of it.
    assert_eq!(plan.report(snapshot).candidates.len(), plan.candidates.len());
    plan
}
