//! The built-in data: it loads, and every name of the map of open models has a row.

use std::collections::BTreeMap;

use catalog::Catalog;
use serde::Deserialize;

#[derive(Deserialize)]
struct Names {
    models: BTreeMap<String, String>,
    families: BTreeMap<String, String>,
    licenses: BTreeMap<String, String>,
    hosts: BTreeMap<String, String>,
    servers: BTreeMap<String, String>,
}

fn names() -> Names {
    serde_saphyr::from_str(include_str!("../data/names.yaml")).expect("names.yaml reads")
}

/// Names without a row, so that a failure lists all of them.
fn missing(names: &BTreeMap<String, String>, has: impl Fn(&str) -> bool) -> Vec<String> {
    names.iter().filter(|(_, id)| !has(id)).map(|(name, id)| format!("{name} ({id})")).collect()
}

#[test]
fn every_name_of_the_map_has_a_row() {
    let (names, catalog) = (names(), Catalog::builtin());
    let nothing: Vec<String> = Vec::new();
    assert_eq!(missing(&names.models, |id| catalog.model(id).is_some()), nothing);
    assert_eq!(missing(&names.families, |id| catalog.model(id).is_some()), nothing);
    assert_eq!(missing(&names.licenses, |id| catalog.license(id).is_some()), nothing);
    assert_eq!(missing(&names.hosts, |id| catalog.host(id).is_some()), nothing);
    assert_eq!(missing(&names.servers, |id| catalog.server(id).is_some()), nothing);
    assert_eq!(names.models.len(), 206, "the map names 206 models");
}

#[test]
fn a_model_is_found_by_the_name_that_the_map_gives_it() {
    let catalog = Catalog::builtin();
    for (name, id) in names().models {
        assert_eq!(catalog.resolve(&name).map(|model| model.id.as_str()), Some(id.as_str()), "{name}");
    }
}
