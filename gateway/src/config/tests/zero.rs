//! The configuration of a machine that has no file, and what it finds in the environment.

use super::*;
use crate::config::{Access, Target, Weights, zero};

fn found<const N: usize>(variables: [(&str, &str); N]) -> Config {
    let (config, warnings) = zero(&Overrides::default(), &Environment::of(variables)).unwrap_or_else(|r| panic!("{r}"));
    assert!(warnings.is_empty(), "{warnings}");
    config
}

#[test]
fn without_anything_the_demo_model_answers_on_loopback_and_every_host_says_what_it_lacks() {
    let config = found([]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    let [demo] = config.deployments.as_slice() else { panic!("only the demo: {:?}", config.deployments) };
    assert_eq!((demo.facts.id.as_str(), demo.facts.model.as_str()), ("demo", "pointsman-demo"));
    assert!(matches!(demo.target, Target::Engine { weights: Weights::BuiltIn, .. }));
    assert_eq!(config.not_live.len(), config.catalog.hosts().count());
    let groq = config.not_live.iter().find(|host| host.name == "groq").unwrap();
    assert_eq!(groq.why, "set GROQ_API_KEY");
}

#[test]
fn without_a_file_requests_are_internal_business_use_and_need_no_key() {
    let config = found([]);
    let Access::Open(grant) = &config.access else { panic!("open on loopback") };
    assert_eq!((grant.context.name.as_str(), grant.context.use_.purpose), ("default", catalog::Purpose::Internal));
    let research = config.catalog.models().find(|model| model.tier.number() == 3).unwrap();
    assert!(
        !catalog::decide(&config.catalog, research, &grant.context.use_, crate::settle::today()).outcome.allows(),
        "fails closed"
    );
}

#[test]
fn a_key_in_the_environment_brings_every_model_that_the_host_lists() {
    let config = found([("GROQ_API_KEY", "gsk-1"), ("TOGETHER_API_KEY", "")]);
    let groq: Vec<_> = config.deployments.iter().filter(|d| d.facts.id.starts_with("groq/")).collect();
    assert!(!groq.is_empty());
    assert!(config.deployments.iter().all(|d| !d.facts.id.starts_with("together/")), "an empty key is none");
    for deployment in groq {
        let Target::Remote { host, base_url, key, name } = &deployment.target else { panic!("{deployment:?}") };
        assert_eq!((host.as_deref(), base_url.as_str()), (Some("groq"), "https://api.groq.com/openai/v1"));
        assert_eq!(key.as_ref().unwrap().expose(), "gsk-1");
        let price = config.catalog.price("groq", name).unwrap();
        assert_eq!(price.model.as_deref(), Some(deployment.facts.model.as_str()));
    }
    assert!(!format!("{config:?}").contains("gsk-1"));
}

#[test]
fn a_request_that_a_host_cannot_serve_is_not_planned_to_it() {
    let config = found([("GROQ_API_KEY", "k")]);
    let facts: Vec<_> = config.deployments.iter().map(|deployment| deployment.facts.clone()).collect();
    let snapshot =
        policies::Snapshot { catalog: &config.catalog, policies: &config.policies, deployments: &facts, live: &[] };
    let order = |needs: policies::Needs| {
        let use_ = config.contexts["default"].use_.clone();
        let facts = policies::Facts {
            language: Some("en".to_owned()),
            prompt_tokens: 10,
            max_tokens: Some(10),
            answer_tokens: None,
            draw: 0,
            needs,
            ..policies::Facts::new("auto", use_, crate::settle::today())
        };
        let plan = policies::plan(&facts, &snapshot).report(&snapshot);
        plan.candidates.into_iter().map(|candidate| candidate.deployment).collect::<Vec<_>>()
    };
    let none = policies::Needs::default();
    let all = order(none);
    assert!(all.len() > 1 && all.last().is_some_and(|id| id == "demo"), "{all:?}");
    // Groq takes a seed, and has no completions, several answers, biases or log-probabilities.
    assert_eq!(order(policies::Needs { seed: true, ..none }), all);
    assert_eq!(order(policies::Needs { completions: true, ..none }), ["demo"]);
    assert_eq!(order(policies::Needs { choices: true, ..none }), ["demo"]);
    assert_eq!(order(policies::Needs { logit_bias: true, ..none }), ["demo"]);
    assert_eq!(order(policies::Needs { logprobs: true, ..none }), ["demo"]);
}

#[test]
fn a_host_goes_where_its_base_url_variable_says() {
    let config = found([("GROQ_API_KEY", "k"), ("GROQ_BASE_URL", "http://127.0.0.1:9090/v1/")]);
    let targets = config.deployments.iter().map(|deployment| &deployment.target);
    let addresses: Vec<_> = targets
        .filter_map(|target| match target {
            Target::Remote { base_url, .. } => Some(base_url.as_str()),
            Target::Engine { .. } | Target::Fleet { .. } => None,
        })
        .collect();
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|address| *address == "http://127.0.0.1:9090/v1"));
}

#[test]
fn a_key_of_the_environment_does_not_go_unencrypted_to_another_machine() {
    let environment = Environment::of([("GROQ_API_KEY", "gsk-1"), ("GROQ_BASE_URL", "http://10.0.0.1/v1")]);
    let report = zero(&Overrides::default(), &environment).unwrap_err().render(false);
    assert!(report.contains("`GROQ_BASE_URL` would send the key of Groq unencrypted"), "{report}");
    assert!(!report.contains("gsk-1"));
}

#[test]
fn others_are_not_let_in_without_keys() {
    let overrides = Overrides { listen: Some("0.0.0.0:8080".parse().unwrap()), ..Overrides::default() };
    let report = zero(&overrides, &Environment::default()).unwrap_err().render(false);
    let expected =
        "error[keys-required]: 0.0.0.0:8080 can be reached by others, and without a configuration there are no keys";
    assert!(report.starts_with(expected), "{report}");
    assert!(report.contains("`--config FILE`"), "{report}");
}
