//! The built-in data: it loads, and every name of the map of open models has a row.

use std::collections::{BTreeMap, BTreeSet};

use catalog::Catalog;
use serde::Deserialize;

#[derive(Deserialize)]
struct Names {
    models: BTreeMap<String, String>,
    families: BTreeMap<String, String>,
    licenses: BTreeMap<String, String>,
    hosts: BTreeMap<String, String>,
    servers: BTreeMap<String, String>,
    quantizations: BTreeMap<String, String>,
    benchmarks: BTreeMap<String, String>,
    fine_tuning: BTreeMap<String, String>,
    hardware: BTreeMap<String, String>,
    without_row: Vec<WithoutRow>,
}

#[derive(Deserialize)]
struct WithoutRow {
    names: Vec<String>,
    why: String,
}

fn names() -> Names {
    serde_saphyr::from_str(include_str!("../data/names.yaml")).expect("names.yaml reads")
}

#[test]
fn every_name_of_the_map_has_a_row() {
    let (names, catalog) = (names(), Catalog::builtin());
    let quantization =
        |id: &str| catalog.quantization(id).is_some() || catalog.quantizations().any(|row| row.format == id);
    // How many names the map has of each kind, counted once by hand: a name that goes missing here is a failure too.
    type Has<'a> = &'a dyn Fn(&str) -> bool;
    let kinds: [(&str, &BTreeMap<String, String>, Has<'_>, usize); 9] = [
        ("models", &names.models, &|id| catalog.model(id).is_some(), 206),
        ("families", &names.families, &|id| catalog.model(id).is_some(), 120),
        ("licences", &names.licenses, &|id| catalog.license(id).is_some(), 18),
        ("hosts", &names.hosts, &|id| catalog.host(id).is_some(), 15),
        ("servers", &names.servers, &|id| catalog.server(id).is_some(), 21),
        ("quantizations", &names.quantizations, &quantization, 20),
        ("benchmarks", &names.benchmarks, &|id| catalog.benchmark(id).is_some(), 33),
        ("fine-tuning", &names.fine_tuning, &|id| catalog.fine_tuning(id).is_some(), 30),
        ("hardware", &names.hardware, &|id| catalog.hardware(id).is_some(), 18),
    ];
    let mut without = Vec::new();
    let mut total = 0;
    for (kind, names, has, count) in kinds {
        println!("{kind}: {} names, {} rows", names.len(), names.values().collect::<BTreeSet<_>>().len());
        assert_eq!(names.len(), count, "{kind}");
        total += count;
        without.extend(names.iter().filter(|(_, id)| !has(id)).map(|(name, id)| format!("{kind}: {name} ({id})")));
    }
    let accounted: usize = names.without_row.iter().map(|group| group.names.len()).sum();
    println!("all: {total} names with a row, and {accounted} that need none");
    assert_eq!(without, Vec::<String>::new());
    assert!(accounted == 18 && names.without_row.iter().all(|group| !group.why.is_empty()));
}

#[test]
fn every_kind_of_row_that_the_map_names_is_there_in_full() {
    let catalog = Catalog::builtin();
    let counts = [
        catalog.benchmarks().count(),
        catalog.fine_tunings().count(),
        catalog.all_hardware().count(),
        catalog.quantizations().count(),
        catalog.servers().count(),
        catalog.hosts().count(),
    ];
    // One server is not of the map: llama-swap.
    assert_eq!(counts, [31, 24, 13, 22, 18, 9]);
    // Besides resolving, which loading checks: nobody measures what no row explains.
    assert!(catalog.models().flat_map(|model| model.benchmarks.keys()).all(|key| catalog.benchmark(key).is_some()));
}

#[test]
fn where_the_map_would_change_a_tier_the_row_says_which() {
    let catalog = Catalog::builtin();
    let wrong: Vec<_> = catalog
        .models()
        .flat_map(|model| model.differs.iter().map(move |differs| (model, differs)))
        .filter_map(|(model, differs)| differs.map_tier.map(|tier| (model, tier)))
        .collect();
    assert!(wrong.iter().all(|(model, tier)| model.tier != *tier));
    assert_eq!(wrong.len(), 26);
}

#[test]
fn a_model_is_found_by_the_name_that_the_map_gives_it() {
    let catalog = Catalog::builtin();
    for (name, id) in names().models {
        assert_eq!(catalog.resolve(&name).map(|model| model.id.as_str()), Some(id.as_str()), "{name}");
    }
}

#[test]
fn a_name_that_several_models_share_resolves_to_none_of_them() {
    let catalog = Catalog::builtin();
    assert!(catalog.resolve("Pythia").is_none());
    assert_eq!(catalog.resolve("QWEN/qwen3-32b").map(|model| model.id.as_str()), Some("qwen3-32b"));
    assert_eq!(catalog.resolve("scout").map(|model| model.id.as_str()), Some("llama-4-scout"));
}

#[test]
fn a_misspelt_name_finds_its_neighbours() {
    let catalog = Catalog::builtin();
    assert_eq!(catalog.nearest("qwen3-33b", 1), ["qwen3-32b"]);
    assert_eq!(catalog.nearest("lama-3.3-70b-instruct", 1), ["llama-3.3-70b-instruct"]);
    assert!(catalog.nearest("Mistral-Large2", 3).contains(&"mistral-large-2"));
    assert!(catalog.nearest("!!!!", 3).is_empty() && catalog.nearest(&"x".repeat(1 << 20), 3).is_empty());
}

#[test]
fn prices_are_found_by_the_hosts_name_and_by_model() {
    let catalog = Catalog::builtin();
    let price = catalog.price("groq", "llama-3.3-70b-versatile").expect("a row");
    assert_eq!((price.model.as_deref(), price.input_usd_per_million), (Some("llama-3.3-70b-instruct"), Some(0.59)));
    assert!(!price.is_offered(), "Groq dropped it in November 2026");
    assert!(catalog.offers("groq", "llama-3.3-70b-instruct").is_empty());
    let offers = catalog.offers("deepinfra", "llama-3.3-70b-instruct");
    assert!(!offers.is_empty() && offers.is_sorted_by_key(|price| price.relation));
    assert!(catalog.price("groq", "no-such-model").is_none() && catalog.offers("nowhere", "qwen3-32b").is_empty());
}

#[test]
fn every_host_says_how_to_reach_it() {
    for host in Catalog::builtin().hosts() {
        assert!(host.base_url.starts_with("https://") && !host.key_env.is_empty(), "{}", host.id);
        let path = if host.openai_compatible() { &host.paths.chat } else { &host.paths.predictions };
        assert!(path.as_ref().is_some_and(|path| path.starts_with('/')), "{}", host.id);
    }
}

#[test]
fn the_digest_names_the_data() {
    let digest = Catalog::builtin().digest().to_owned();
    assert!(digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{digest}");
}
