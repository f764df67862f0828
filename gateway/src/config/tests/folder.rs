//! A folder of models: what becomes a deployment, and what is said of the rest.

use std::collections::BTreeMap;

use engine::testing::Clip;
#[cfg(feature = "llama-cpp")]
use engine::testing::Meta;

use super::*;
use crate::{
    config::{Target, Weights, zero},
    engines::Kind,
    models::manifest::{Kept, Manifest, Terms},
};

const DEMO: &[u8] = include_bytes!("../../../../config/models/pointsman-demo.gguf");

/// A folder with models of several kinds.
fn models() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put_models(folder.path());
    folder
}

fn put_models(folder: &Path) {
    let at = |name: &str| folder.join(name);
    for name in ["pointsman-demo.gguf", "pointsman-demo.IQ4_XS.gguf", "mine-q8_0.gguf", ".hidden.gguf"] {
        fs::write(at(name), DEMO).unwrap();
    }
    fs::write(at("qwen3-8b-00001-of-00002.gguf"), "no model").unwrap();
    fs::write(at("qwen3-8b-00002-of-00002.gguf"), "no model").unwrap();
    fs::write(at("notes.txt"), "").unwrap();
    for name in ["empty", "pulled", "kept"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("kept/pointsman-demo.gguf"), DEMO).unwrap();
    fs::write(at("pulled/abc.gguf"), DEMO).unwrap();
    let files = vec![Kept { name: "abc.gguf".into(), sha256: "0".repeat(64), bytes: DEMO.len() as u64 }];
    let terms = Terms { model: Some("pointsman-demo".into()), named: None };
    Manifest::new("hf:a/b:abc.gguf".into(), "0".repeat(40), files, terms, 1).write(&at("pulled")).unwrap();
}

/// What is served: its name, its model and its engine.
type Served<'c> = (&'c str, &'c str, Kind);

/// What is served, and why the rest is not.
fn told(config: &Config) -> (Vec<Served<'_>>, BTreeMap<&str, &str>) {
    let served = config.deployments.iter().filter_map(|deployment| match &deployment.target {
        Target::Engine { engine, weights: Weights::File(_) | Weights::Folder(_), .. } => {
            Some((deployment.facts.id.as_str(), deployment.facts.model.as_str(), *engine))
        }
        _ => None,
    });
    let rest = config.not_live.iter().map(|one| (one.name.as_str(), one.why.as_str()));
    (served.collect(), rest.collect())
}

#[test]
fn models_whose_name_or_manifest_the_catalog_knows_are_served_and_the_others_are_named_with_why_not() {
    let folder = models();
    let overrides = Overrides { models: Some(folder.path().to_owned()), ..Overrides::default() };
    let (config, _) = zero(&overrides, &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    let (served, rest) = told(&config);
    let demo = "pointsman-demo";
    assert_eq!(
        served,
        [("pointsman-demo.IQ4_XS", demo, Kind::Native), (demo, demo, Kind::Native), ("pulled", demo, Kind::Native),]
    );
    assert!(config.deployments.iter().all(|one| one.keep.on_demand != (one.facts.id == "demo")), "on demand");
    assert!(rest["mine-q8_0"].starts_with("the catalog knows no model of its name, and unknown is denied"));
    assert!(rest["qwen3-8b"].starts_with("native does not read it"), "{}", rest["qwen3-8b"]);
    assert!(rest["empty"].starts_with("the folder has neither `config.json`"));
    assert_eq!(rest[demo], "there is another deployment of this id");
    assert!(!rest.contains_key(".hidden") && !rest.contains_key("notes.txt"));
}

#[test]
fn a_file_names_the_folder_and_what_it_says_of_a_deployment_comes_first() {
    let yaml = with_keys(
        "local: {models: models}\ndiscover: false\ndeployments: [{id: pulled, model: pointsman-demo, engine: native}]",
    );
    let files = Files::new([("pointsman.yaml", &*yaml), ("keys.yaml", "keys: []")]);
    let errors = files.errors();
    assert!(errors.contains("the folder of models") && errors.contains("a relative path is relative to this file"));
    fs::create_dir(files.path().join("models")).unwrap();
    put_models(&files.path().join("models"));
    let config = files.config();
    let (served, rest) = told(&config);
    assert_eq!(served.len(), 2, "{served:?}");
    assert_eq!(rest["pulled"], "there is another deployment of this id");
}

#[test]
fn a_model_that_is_larger_than_the_memory_that_models_may_take_is_not_served() {
    let yaml = with_keys("local: {models: models, memory: 1MiB}\ndiscover: false\ndeployments: []");
    let files = Files::new([("pointsman.yaml", &*yaml), ("keys.yaml", "keys: []")]);
    fs::create_dir(files.path().join("models")).unwrap();
    put_models(&files.path().join("models"));
    let config = files.config();
    let (served, rest) = told(&config);
    assert!(served.is_empty(), "{served:?}");
    assert!(rest["pulled"].ends_with("and models may take 1.0 MiB here"), "{}", rest["pulled"]);
}

#[test]
fn a_stricter_licence_that_weights_or_their_card_name_keeps_them_from_being_served() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pointsman-demo.gguf"), DEMO).unwrap();
    fs::write(folder.path().join("README.md"), "---\nlicense: cc-by-nc-4.0\n---\n").unwrap();
    let overrides = Overrides { models: Some(folder.path().to_owned()), ..Overrides::default() };
    let (config, _) = zero(&overrides, &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    let (served, rest) = told(&config);
    assert!(served.is_empty() && rest["pointsman-demo"].contains("`cc-by-nc-4.0` (tier 4)"), "{rest:?}");
}

/// The projector of each model that is served, by the names of the files.
fn projectors(config: &Config) -> BTreeMap<&str, Option<&str>> {
    let served = config.deployments.iter().filter_map(|one| {
        let Target::Engine { asked, weights: Weights::File(_), .. } = &one.target else { return None };
        let projector = asked.mmproj.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let sees = one.facts.capabilities.iter().any(|capability| capability == "image");
        assert_eq!(sees, projector.is_some(), "{}", one.facts.id);
        Some((one.facts.id.as_str(), projector))
    });
    served.collect()
}

/// Puts files into a folder, of which those with `mmproj` in their names are projectors.
fn put(folder: &Path, names: &[&str]) {
    for name in names {
        let projector = name.to_lowercase().contains("mmproj");
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if projector { Clip::default().build() } else { DEMO.to_vec() }).unwrap();
    }
}

/// Looks into a folder with these files; gives what is served with which projector, and why the rest is not.
fn paired(names: &[&str]) -> (Vec<String>, BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), names);
    let overrides = Overrides { models: Some(folder.path().to_owned()), ..Overrides::default() };
    let (config, _) = zero(&overrides, &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    let served = projectors(&config).into_iter().map(|(id, with)| format!("{id} {}", with.unwrap_or("-"))).collect();
    let rest = told(&config).1.into_iter().filter(|(name, _)| name.to_lowercase().contains("mmproj"));
    (served, rest.map(|(name, why)| (name.to_owned(), why.to_owned())).collect())
}

#[test]
fn a_projector_beside_the_one_model_of_a_folder_goes_with_it_where_an_engine_can() {
    let (served, rest) = paired(&["pointsman-demo-Q8_0.gguf", "mmproj-model-f16.gguf"]);
    if Kind::LlamaCpp.is_built() {
        assert_eq!(served, ["pointsman-demo-Q8_0 mmproj-model-f16.gguf"]);
        assert!(rest.is_empty(), "{rest:?}");
    } else {
        assert_eq!(served, ["pointsman-demo-Q8_0 -"]);
        let why = &rest["mmproj-model-f16"];
        assert!(why.contains("served without it") && why.contains("native loads no projectors"), "{why}");
    }
}

#[cfg(feature = "llama-cpp")]
#[test]
fn of_several_models_a_projector_goes_with_that_of_its_name() {
    let names = ["pointsman-demo-Q8_0.gguf", "pointsman-demo.IQ4_XS.gguf", "other-Q8_0.gguf"];
    let (served, rest) = paired(&[&names[..], &["pointsman-demo-MMProj-BF16.gguf", "mmproj-third-f16.gguf"]].concat());
    let its = "pointsman-demo-MMProj-BF16.gguf";
    assert_eq!(served, [format!("pointsman-demo-Q8_0 {its}"), format!("pointsman-demo.IQ4_XS {its}")]);
    assert_eq!(rest.len(), 1);
    assert!(rest["mmproj-third-f16"].contains("none of the models beside it has its name"), "{rest:?}");
    // The same in two quantizations is one model.
    let (served, _) = paired(&["pointsman-demo-Q8_0.gguf", "pointsman-demo-Q4_0.gguf", "mmproj-F16.gguf"]);
    assert_eq!(served, ["pointsman-demo-Q4_0 mmproj-F16.gguf", "pointsman-demo-Q8_0 mmproj-F16.gguf"]);
}

#[test]
fn projectors_that_leave_a_doubt_go_with_no_model_and_are_named() {
    let (served, rest) =
        paired(&["pointsman-demo-Q8_0.gguf", "mmproj-F16.gguf", "mmproj-BF16.gguf", "a/mmproj-F16.gguf"]);
    assert_eq!(served, ["pointsman-demo-Q8_0 -"]);
    assert!(rest["mmproj-BF16"].contains("`mmproj-F16.gguf` is another of the same model"), "{rest:?}");
    assert!(rest["mmproj-F16"].contains("it is a projector, and"), "{rest:?}");
}

#[cfg(feature = "llama-cpp")]
#[test]
fn a_projector_under_a_stricter_licence_is_not_loaded_and_the_model_is_served_without() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &["pointsman-demo.gguf"]);
    let mut clip = Clip::default().writer();
    clip.set("general.license", Meta::Text("cc-by-nc-4.0".into()));
    fs::write(folder.path().join("mmproj.gguf"), clip.finish()).unwrap();
    let overrides = Overrides { models: Some(folder.path().to_owned()), ..Overrides::default() };
    let (config, _) = zero(&overrides, &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(projectors(&config)["pointsman-demo"], None);
    let (_, rest) = told(&config);
    assert!(rest["mmproj"].contains("served without it") && rest["mmproj"].contains("tier 4"), "{rest:?}");
}

#[cfg(feature = "llama-cpp")]
#[test]
fn a_projector_beside_a_model_that_was_pulled_goes_with_it() {
    let folder = models();
    put(folder.path(), &["pulled/mmproj-abc-F16.gguf"]);
    let overrides = Overrides { models: Some(folder.path().to_owned()), ..Overrides::default() };
    let (config, _) = zero(&overrides, &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    let projectors = projectors(&config);
    assert_eq!((projectors["pulled"], projectors["pointsman-demo"]), (Some("mmproj-abc-F16.gguf"), None));
}

#[test]
fn names_are_told_from_the_quantizations_at_their_ends() {
    let catalog = catalog::Catalog::builtin();
    let named = |name: &str| crate::config::folder::named(&catalog, name).map(|model| model.id.as_str());
    for name in [
        "Qwen3-8B",
        "qwen3-8b",
        "Qwen3-8B-Q4_K_M",
        "Qwen3-8B.i1-IQ4_XS",
        "Qwen3-8B-UD-Q4_K_XL",
        "Qwen_Qwen3-8B-BF16",
        "Qwen--Qwen3-8B",
    ] {
        let expected = if name.contains("i1") { None } else { Some("qwen3-8b") };
        assert_eq!(named(name), expected, "{name}");
    }
    assert_eq!(named("Qwen3-8B-abliterated-Q4_K_M"), None, "another model");
    assert_eq!(named("Q4_K_M"), None);
}
