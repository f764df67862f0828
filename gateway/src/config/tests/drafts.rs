//! Deployments with a draft.

use super::*;
use crate::{
    config::{Target, Weights},
    engines::{DEMO, Kind},
};

#[test]
fn a_draft_is_of_the_catalog_and_of_the_same_tokens_and_counts_in_memory() {
    let of = |lines: &str| {
        let text = with_keys(&format!("deployments: [{{id: a, model: pointsman-demo, {lines}}}]"));
        let files = Files::new([("pointsman.yaml", &text), ("keys.yaml", "keys: []")]);
        fs::write(files.path().join("demo.gguf"), DEMO).unwrap();
        let config = files.config();
        let one = config.deployments.into_iter().find(|one| one.facts.id == "a").unwrap();
        let Target::Engine { engine, weights, asked } = one.target else { panic!("it runs here") };
        let bytes = engine.told(&weights, &asked).unwrap().bytes;
        (engine, one.facts.draft, asked.draft, bytes)
    };
    let (_, none, no_file, alone) = of("engine: native, path: demo.gguf");
    assert_eq!((none, no_file), (None, None));
    for engine in ["native", "auto"] {
        let draft = "draft: {model: pointsman-demo, path: demo.gguf}";
        let (kind, model, file, bytes) = of(&format!("engine: {engine}, path: demo.gguf, {draft}"));
        assert_eq!((kind, model.as_deref()), (Kind::Native, Some("pointsman-demo")));
        assert!(file.is_some_and(|file| file.ends_with("demo.gguf")));
        assert_eq!(bytes, 2 * alone);
    }
}

#[test]
fn an_engine_that_has_no_model_guess_for_another_says_so() {
    for kind in [Kind::LlamaCpp, Kind::MistralRs] {
        let why = kind.drafts(Path::new("draft.gguf"), &Weights::BuiltIn).unwrap_err();
        assert!(why.contains("`native` does"), "{why}");
    }
}
