//! The files in `config/`: they load, they say every key, and the schema beside them is current.

use std::{path::PathBuf, sync::Arc};

use remote::{FormOf, Replicas};

use super::*;
use crate::config::{Access, Limits, Target, schema};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap()
}

/// The shipped file with the lines that are off turned on.
fn everything_on() -> String {
    let on = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => line.replacen('#', "", 1),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = text("pointsman.yaml").lines().map(on).collect();
    // Where a setting was on and off, the one that was off stands for both.
    lines.join("\n").replace("policies: [default]\n", "")
}

#[test]
fn the_shipped_configuration_loads_as_it_is() {
    let files = Files::new([("pointsman.yaml", &text("pointsman.yaml"))]);
    let (config, warnings) = files.load().unwrap_or_else(|report| panic!("{report}"));
    let codes: Vec<_> = warnings.diagnostics.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["no-keys"], "only that no key was made yet");
    assert_eq!(config.limits, Limits::default(), "the limits in the file are the defaults");
    assert_eq!(config.deployments.len(), 1);
    assert!(matches!(&config.access, Access::Keys(keys) if keys.is_empty()));
    assert_eq!(config.contexts["office"].use_.seat.as_deref(), Some("DE"));
}

#[test]
fn the_shipped_configuration_loads_with_every_setting_on() {
    let everything = everything_on();
    // A build without the feature refuses what asks Kubernetes, or an engine that it lacks.
    let needs = [
        (cfg!(feature = "kubernetes"), "replicas: {kubernetes:"),
        (cfg!(feature = "llama-cpp"), "engine: llama-cpp"),
        (cfg!(feature = "mistralrs"), "engine: mistralrs"),
    ];
    let possible = |line: &&str| needs.iter().all(|(has, what)| *has || !line.contains(what));
    let lines: Vec<_> = everything.lines().filter(possible).collect();
    let files = Files::new([("pointsman.yaml", &*lines.join("\n")), ("keys.yaml", "keys: []")]).environment([
        ("GROQ_API_KEY", "k"),
        ("GROQ_BASE_URL", "http://127.0.0.1:1/v1"),
        ("POINTSMAN_WEBHOOK_SECRET", "0123456789abcdef"),
        ("VALKEY_URL", "rediss://me:secret@valkey.example.com"),
        ("DATABASE_URL", "postgres://me:secret@db.example.com/pointsman"),
        ("LEDGER_INDEX_URL", "postgres://me:secret@db.example.com/ledger"),
        ("POINTSMAN_ANSWERS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    ]);
    for folder in ["models", "secrets", "examples", "policies"] {
        fs::create_dir(files.path().join(folder)).unwrap();
    }
    fs::write(files.path().join("models/qwen3-0.6b-q8_0.gguf"), "").unwrap();
    fs::write(files.path().join("models/acme-support.gguf"), "").unwrap();
    fs::write(files.path().join("models/gemma-3-4b-it-q4_0.gguf"), "").unwrap();
    fs::write(files.path().join("models/mmproj-gemma-3-4b-it-f16.gguf"), "").unwrap();
    // A draft is held against its model when the configuration is read.
    for model in ["models/qwen3-8b-q4_k_m.gguf", "models/qwen3-0.6b-q4_0.gguf"] {
        fs::write(files.path().join(model), engine::testing::Llama::default().build()).unwrap();
    }
    fs::create_dir(files.path().join("models/Qwen3-0.6B")).unwrap();
    fs::write(files.path().join("secrets/deepinfra.key"), "di-1\n").unwrap();
    fs::write(files.path().join("replicas.txt"), "10.0.0.1:8000 # the old one\n").unwrap();
    let company = "examples/company-catalog.yaml";
    fs::write(files.path().join(company), text(company)).unwrap();
    fs::write(files.path().join("policies/acme.yaml"), "version: 1\nroutes:\n  - {name: all, candidates: [any]}\n")
        .unwrap();
    let (config, _) = files.load().unwrap_or_else(|report| panic!("{report}"));

    let deployment = |id: &str| config.deployments.iter().find(|d| d.facts.id == id).unwrap_or_else(|| panic!("{id}"));
    let Target::Remote { key, name, .. } = &deployment("deepinfra-qwen").target else { panic!("remote") };
    assert_eq!((key.as_ref().unwrap().expose(), name.as_str()), ("di-1", "Qwen/Qwen3-32B"));
    assert!(config.catalog.model("acme-support-8b").is_some() && config.catalog.waivers().count() == 1);
    let lab = &deployment("lab-vllm").facts;
    assert_eq!((lab.region.as_deref(), lab.retention.as_deref()), (Some("eu"), Some("none")));
    let Target::Remote { base_url, .. } = &deployment("lab-sglang").target else { panic!("remote") };
    assert_eq!(base_url, "http://127.0.0.1:30000/v1", "the port that the server listens on unless told otherwise");
    let form = |https| FormOf { https, path: "/v1".into() };
    for (id, expected) in [
        ("pair-vllm", Replicas::Urls(vec!["http://10.0.0.1:8000/v1".into(), "http://10.0.0.2:8000/v1".into()])),
        ("pods-vllm", Replicas::Dns { name: "vllm.ml.svc.cluster.local".into(), port: 8000, form: form(false) }),
        ("srv-sglang", Replicas::Srv { name: "_http._tcp.sglang.ml.svc.cluster.local".into(), form: form(true) }),
        ("file-vllm", Replicas::File { path: files.path().join("replicas.txt"), form: form(false) }),
    ] {
        let Target::Fleet { replicas, .. } = &deployment(id).target else { panic!("a fleet") };
        assert_eq!(*replicas, expected);
    }
    let lab = &deployment("lab-sglang").facts;
    assert_eq!(lab.quantization_bits, Some(8.0));
    assert_eq!((lab.input_usd_per_million, lab.output_usd_per_million), (Some(0.1), Some(0.3)));
    assert_eq!(lab.cached_input_usd_per_million, Some(0.05));
    assert_eq!(deployment("local-small").facts.context_tokens, Some(8192));
    let Target::Engine { asked, .. } = &deployment("local-small").target else { panic!("an engine") };
    assert_eq!(asked.cache, engine::CacheType::Q8_0);
    if cfg!(feature = "llama-cpp") {
        let reads = |id| deployment(id).facts.capabilities.iter().any(|capability| capability == "image");
        assert!(reads("local-vision") && !reads("local-support"), "with its projector it reads pictures");
    }
    assert!(config.deployments.iter().any(|d| d.facts.id.starts_with("groq/")), "`discover` is on");
    assert_eq!(config.teams["science"].contexts, ["lab", "office"]);
    let quotas: Vec<_> = config.quotas.iter().map(|quota| (quota.name.as_str(), quota.of_team)).collect();
    assert_eq!(quotas, [("support", true), ("each-key", false), ("large", false), ("by-name", false)]);
    assert!(config.webhook.is_some() && config.ledger.index.is_some());
}

#[test]
fn the_shipped_configuration_says_every_key() {
    let on = everything_on();
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys: Vec<_> = definitions.filter_map(|of| of["properties"].as_object()).flat_map(|keys| keys.keys()).collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(on.contains(&format!("{key}: ")) || on.contains(&format!("{key}:\n")), "`{key}` is not shown");
    }
}

#[test]
fn the_schemas_are_current() {
    let catalog = catalog::overlay_schema().to_value();
    let schemas = [("pointsman", schema()), ("catalog", catalog), ("policy", policies::schema())];
    for (name, mut schema) in schemas {
        // Whether a map keeps the order of its keys depends on what else is compiled into the program.
        schema.sort_all_objects();
        let current = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        let path = shipped(&format!("schema/{name}.schema.json"));
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == current,
            "run `UPDATE_SCHEMA=1 cargo test -p gateway the_schemas_are_current` and commit the files"
        );
    }
}

#[test]
fn the_examples_load() {
    for (name, deployments) in [("examples/hosts.yaml", 3), ("examples/own-servers.yaml", 2)] {
        let files = Files::new([("pointsman.yaml", &text(name)), ("keys.yaml", "keys: []")])
            .environment([("GROQ_API_KEY", "k"), ("DEEPINFRA_API_KEY", "k")]);
        assert_eq!(files.config().deployments.len(), deployments, "{name}");
    }
}

/// A worked example: its files, loaded.
fn worked(name: &str) -> Config {
    let path = |file: &str| format!("examples/{name}/{file}");
    let mut files = vec![("keys.yaml", "keys: []".to_owned())];
    for file in ["pointsman.yaml", "policy.yaml", "catalog.yaml"] {
        if shipped(&path(file)).exists() {
            files.push((file, text(&path(file))));
        }
    }
    let files: Vec<_> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    let files = Files::of(&files).environment([("GROQ_API_KEY", "k"), ("DEEPINFRA_API_KEY", "k")]);
    let (config, warnings) = files.load().unwrap_or_else(|report| panic!("{name}: {report}"));
    assert!(warnings.is_empty(), "{name}: {}", warnings.render(false));
    config
}

/// The policies of a worked example, what they are bound to, and whoever may ask.
fn claimed(config: &Config, claims: &[&str]) {
    let deployments: Vec<_> = config.deployments.iter().map(|deployment| deployment.facts.clone()).collect();
    let (catalog, policies) = (&*config.catalog, &*config.policies);
    let snapshot = policies::Snapshot { catalog, policies, deployments: &deployments, live: &[] };
    let today = crate::settle::today();
    for test in policies::run_tests(&snapshot, today) {
        assert!(test.passed(), "{}: {:?}", test.name, test.failures);
    }
    let coverage = policies::coverage(&config.policy_files, &snapshot, today);
    assert_eq!(coverage.routes.exercised, coverage.routes.all, "{:?}", coverage.routes.missed);
    let callers: Vec<_> = config
        .teams
        .iter()
        .flat_map(|(name, team)| {
            team.contexts.iter().map(|context| policies::Caller {
                team: Some(name.clone()),
                context: Some(context.clone()),
                use_: Arc::clone(&config.contexts[context].use_),
            })
        })
        .collect();
    for claim in claims {
        let claim: policies::Claim = claim.parse().unwrap();
        let proof = policies::prove(&claim, &snapshot, &callers, today, &policies::Only::default()).unwrap();
        assert!(proof.holds && proof.cells > 0, "{proof:?}");
    }
}

#[test]
fn the_startup_reaches_nothing_that_asks_for_anything_in_return() {
    claimed(&worked("startup"), &["no request reaches tier >= 2"]);
}

#[test]
fn the_bank_reaches_only_its_own_region_and_no_research_licence() {
    claimed(&worked("bank"), &["every request reaches only region eu", "no request reaches tier >= 3"]);
}

#[test]
fn the_studio_reaches_no_research_licence() {
    claimed(&worked("studio"), &["no revenue context reaches tier >= 3"]);
}

#[test]
fn a_change_of_any_text_that_decides_changes_the_digest() {
    let digest = |config: &str, policy: &str| {
        let files = Files::new([("pointsman.yaml", &with_keys(config)), ("keys.yaml", "keys: []"), ("p.yaml", policy)]);
        files.load().unwrap_or_else(|report| panic!("{report}")).0.digest
    };
    let policy = "version: 1\nroutes:\n  - {name: all, candidates: [any]}\n";
    let before = digest("policies: [p.yaml]", policy);
    assert_eq!(before.len(), 64);
    assert_eq!(digest("policies: [p.yaml]", policy), before);
    assert_ne!(digest("policies: [p.yaml] # again", policy), before);
    assert_ne!(digest("policies: [p.yaml]", &format!("{policy}# again\n")), before);
}
