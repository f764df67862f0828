use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::*;

fn deployment(id: &str, model: &str, place: Place) -> Deployment {
    let quantization_bits = matches!(place, Place::Engine { .. }).then_some(8.5);
    Deployment {
        id: id.to_owned(),
        model: model.to_owned(),
        place,
        region: None,
        retention: None,
        quantization_bits,
        version: None,
    }
}

fn local() -> Place {
    Place::Engine { engine: "native".to_owned() }
}

fn remote(endpoint: &str) -> Remote {
    Remote { endpoint: endpoint.to_owned(), name: "its name".to_owned(), authenticated: true }
}

fn at(host: &str) -> Place {
    Place::Host { host: host.to_owned(), remote: remote("https://api.example.com/v1") }
}

fn bill(deployments: Vec<Deployment>) -> Bill {
    Bill {
        serial: "0193a1b2-0000-7000-8000-000000000001".to_owned(),
        created: "2026-11-25T18:00:00Z".to_owned(),
        version: "1.2.3".to_owned(),
        configuration: "c0ffee".to_owned(),
        deployments,
    }
}

fn in_cyclonedx(bill: &Bill, catalog: &Catalog) -> Value {
    serde_json::to_value(cyclonedx(bill, catalog)).expect("a document")
}

fn in_spdx(bill: &Bill, catalog: &Catalog) -> Value {
    serde_json::to_value(spdx(bill, catalog)).expect("a document")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The values of a property of a CycloneDX component.
fn values<'a>(component: &'a Value, name: &str) -> Vec<&'a str> {
    let of_name = list(&component["properties"]).iter().filter(|property| property["name"] == name);
    of_name.map(|property| text(&property["value"])).collect()
}

/// An SPDX graph by the address of its elements; no two may have the same.
fn graph(document: &Value) -> HashMap<&str, &Value> {
    let elements = list(&document["@graph"]);
    let by_id: HashMap<_, _> =
        elements.iter().map(|element| (text(element.get("spdxId").unwrap_or(&element["@id"])), element)).collect();
    assert_eq!(by_id.len(), elements.len(), "an address stands for two elements");
    by_id
}

/// What an SPDX model is related to in one way.
fn related<'a>(document: &'a Value, model: &str, relation: &str) -> Vec<&'a str> {
    let related = list(&document["@graph"]).iter().filter(|element| {
        element["type"] == "Relationship" && element["relationshipType"] == relation && element["from"] == model
    });
    related.flat_map(|element| list(&element["to"])).map(text).collect()
}

/// The licence expression that an SPDX model is related to in one way.
fn expression<'a>(document: &'a Value, model: &str, relation: &str) -> &'a str {
    let related = related(document, model, relation);
    let [only] = related.as_slice() else { panic!("{model} has {} of {relation}", related.len()) };
    graph(document).get(only).map_or(*only, |element| text(&element["simplelicensing_licenseExpression"]))
}

const MODEL: &str = "https://spdx.org/spdxdocs/pointsman-0193a1b2-0000-7000-8000-000000000001#model/";

#[test]
fn every_model_of_the_catalog_can_stand_in_a_bill_whose_references_all_resolve() {
    let catalog = Catalog::builtin();
    let models: Vec<_> = catalog.models().map(|model| model.id.as_str()).collect();
    let bill = bill(models.iter().map(|id| deployment(&format!("local/{id}"), id, local())).collect());

    let document = in_cyclonedx(&bill, &catalog);
    let components = list(&document["components"]);
    assert_eq!(components.len(), models.len());
    let refs: BTreeSet<_> = components.iter().map(|component| text(&component["bom-ref"])).collect();
    assert_eq!(refs.len(), models.len(), "a reference stands for two components");
    for dependency in list(&document["dependencies"]) {
        let on = list(&dependency["dependsOn"]).iter().map(text);
        assert!(on.clone().all(|on| refs.contains(on)), "{dependency}");
    }

    let document = in_spdx(&bill, &catalog);
    let graph = graph(&document);
    let resolves = |id: &str| graph.contains_key(id) || id == "expandedlicensing_NoAssertionLicense";
    let mut packages = 0;
    for (id, element) in &graph {
        let ends = list(&element["to"]).iter().chain(element.get("from"));
        let parts = list(&element["element"]).iter().chain(list(&element["originatedBy"]));
        assert!(ends.chain(parts).map(text).all(resolves), "{element}");
        for entry in list(&element["simplelicensing_customIdToUri"]) {
            assert!(resolves(text(&entry["value"])), "{element}");
        }
        if let Some(expression) = element.get("simplelicensing_licenseExpression") {
            ::spdx::Expression::parse(text(expression)).unwrap_or_else(|error| panic!("{error}"));
        }
        if element["type"] == "ai_AIPackage" {
            packages += 1;
            expression(&document, id, "hasDeclaredLicense");
            expression(&document, id, "hasConcludedLicense");
        }
    }
    assert!(packages > models.len(), "{packages}: bases without a row are packages too");
}

#[test]
fn a_model_says_who_made_it_what_binds_and_what_is_owed() {
    let catalog = Catalog::builtin();
    let bill = bill(vec![
        deployment("groq-70b", "llama-3.3-70b-instruct", at("groq")),
        deployment("deepinfra-70b", "llama-3.3-70b-instruct", at("deepinfra")),
    ]);
    let document = in_cyclonedx(&bill, &catalog);
    let [component] = list(&document["components"]) else { panic!("one model, at two places") };
    assert_eq!(component["type"], "machine-learning-model");
    assert_eq!((&component["name"], &component["publisher"]), (&"Llama 3.3 70B Instruct".into(), &"Meta".into()));
    assert_eq!(component["purl"], "pkg:huggingface/meta-llama/Llama-3.3-70B-Instruct", "the case is kept");
    let licences = serde_json::json!([
        {"license": {
            "name": "Llama 3.3 Community License Agreement", "acknowledgement": "declared",
            "url": "https://www.llama.com/llama3_3/license",
            "licensing": {"altIds": ["LicenseRef-Llama-3.3-Community"]},
        }},
        {"license": {
            "name": "Llama 3.3 Community License Agreement", "acknowledgement": "concluded",
            "url": "https://www.llama.com/llama3_3/license",
            "licensing": {"altIds": ["LicenseRef-Llama-3.3-Community"]},
        }},
    ]);
    assert_eq!(component["licenses"], licences);
    assert_eq!(values(component, "pointsman:tier"), ["2"]);
    assert_eq!(values(component, "pointsman:deployment"), ["groq-70b", "deepinfra-70b"]);
    assert_eq!(values(component, "pointsman:deployment:groq-70b:place"), ["host groq"]);
    let display = values(component, "pointsman:obligation:llama-3.3-community:display:service");
    assert!(display[0].contains("Built with Llama"), "{display:?}");
    assert_eq!(component["modelCard"]["modelParameters"]["task"], "text-generation");

    let services: Vec<_> = list(&document["services"]).iter().map(|service| text(&service["bom-ref"])).collect();
    assert_eq!(services, ["host/groq", "host/deepinfra"]);
    let first = &document["dependencies"][0];
    let everything = serde_json::json!(["model/llama-3.3-70b-instruct", "host/groq", "host/deepinfra"]);
    assert_eq!((&first["ref"], &first["dependsOn"]), (&"pointsman".into(), &everything));

    let document = in_spdx(&bill, &catalog);
    let model = format!("{MODEL}llama-3.3-70b-instruct");
    assert_eq!(expression(&document, &model, "hasConcludedLicense"), "LicenseRef-Llama-3.3-Community");
    assert_eq!(related(&document, &model, "availableFrom").len(), 2);
    let package = graph(&document)[model.as_str()];
    assert_eq!(package["software_packageUrl"], component["purl"]);
    let properties = list(&package["extension"][0]["extension_cdxProperty"]);
    assert_eq!(properties.len(), list(&component["properties"]).len(), "both formats have the same properties");
}

#[test]
fn a_list_identifier_stands_as_one_and_weights_in_the_program_have_its_version() {
    let mut demo = deployment("demo", "pointsman-demo", local());
    demo.version = Some("1.2.3".to_owned());
    let document = in_cyclonedx(&bill(vec![demo]), &Catalog::builtin());
    let component = &document["components"][0];
    assert_eq!(component["licenses"][1]["license"]["id"], "Apache-2.0");
    assert_eq!(component["version"], "1.2.3");
    assert!(component.get("purl").is_none() && document.get("services").is_none());
    assert_eq!(values(component, "pointsman:deployment:demo:quantization-bits"), ["8.5"]);
}

#[test]
fn all_licences_that_bind_are_concluded_together_and_the_ancestors_are_named() {
    let catalog = Catalog::builtin();
    let child = catalog.model("deepseek-r1-distill-llama-8b").expect("made from Llama 3.1, taught by DeepSeek R1");
    let bill = bill(vec![deployment("a", &child.id, local())]);
    let document = in_cyclonedx(&bill, &catalog);
    let component = &document["components"][0];
    let concluded = &component["licenses"][1];
    assert_eq!(concluded["acknowledgement"], "concluded");
    assert!(text(&concluded["expression"]).contains(" AND "), "{concluded}");
    assert_eq!(component["pedigree"]["ancestors"][0]["type"], "machine-learning-model");

    let document = in_spdx(&bill, &catalog);
    let model = format!("{MODEL}{}", child.id);
    assert_eq!(expression(&document, &model, "hasConcludedLicense"), text(&concluded["expression"]));
    assert_eq!(related(&document, &model, "descendantOf").len(), 1);
}

/// The built-in catalog with models and licences of a company over it.
fn with_own(rows: &str) -> Catalog {
    Catalog::builtin()
        .with_overlays(&[("acme.yaml".to_owned(), rows.to_owned())])
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn a_company_finds_its_own_model_and_an_unknown_licence_is_no_assertion() {
    let catalog = with_own(
        "
licenses:
  - {id: acme_terms, name: Acme Terms, tier: 2, allows: [revenue, internal], text: full, url: 'not an address'}
models:
  - {id: acme-1, name: Acme One, family: acme, developer: Acme, availability: downloadable, license: acme_terms,
     tier: 2, base: acme-2, repo: 'not/a/repository', release_date: soon}
  - {id: acme-2, name: Acme Two, family: acme, developer: Acme, availability: downloadable, license: apache-2.0,
     also_licenses: [unknown], tier: 5, base: acme-1}
",
    );
    let bill = bill(vec![deployment("one", "acme-1", local()), deployment("two", "acme-2", local())]);
    let document = in_cyclonedx(&bill, &catalog);
    let [one, two] = list(&document["components"]) else { panic!("two models") };
    let licence = &one["licenses"][1]["license"];
    assert_eq!(licence["licensing"]["altIds"][0], "LicenseRef-Pointsman-acmeUterms");
    assert!(licence.get("url").is_none() && one.get("purl").is_none(), "{one}");
    assert_eq!(list(&one["pedigree"]["ancestors"]).len(), 1, "rows that point at each other end somewhere");
    let declared_only = serde_json::json!([{"license": {
        "id": "Apache-2.0", "acknowledgement": "declared", "url": "https://www.apache.org/licenses/LICENSE-2.0",
    }}]);
    assert_eq!(two["licenses"], declared_only, "one licence that is not known leaves the whole not known");
    assert_eq!(values(two, "pointsman:license:concluded"), ["NOASSERTION"]);

    let document = in_spdx(&bill, &catalog);
    let unknown = "expandedlicensing_NoAssertionLicense";
    assert_eq!(expression(&document, &format!("{MODEL}acme-2"), "hasConcludedLicense"), unknown);
    assert_eq!(expression(&document, &format!("{MODEL}acme-2"), "hasDeclaredLicense"), "Apache-2.0");
    assert!(graph(&document)[format!("{MODEL}acme-1").as_str()].get("releaseTime").is_none());
}

#[test]
fn a_model_without_a_row_is_named_and_nothing_is_said_of_it() {
    let bill = bill(vec![deployment("x", "nobody knows", local())]);
    let document = in_cyclonedx(&bill, &Catalog::builtin());
    let component = &document["components"][0];
    assert_eq!(component["name"], "nobody knows");
    assert!(["licenses", "publisher", "modelCard"].iter().all(|key| component.get(key).is_none()), "{component}");
    let document = in_spdx(&bill, &Catalog::builtin());
    let packages = list(&document["@graph"]).iter().filter(|element| element["type"] == "ai_AIPackage");
    let [package] = packages.collect::<Vec<_>>()[..] else { panic!("one package") };
    let unknown = "expandedlicensing_NoAssertionLicense";
    assert_eq!(expression(&document, text(&package["spdxId"]), "hasDeclaredLicense"), unknown);
    assert_eq!(expression(&document, text(&package["spdxId"]), "hasConcludedLicense"), unknown);
}

#[test]
fn servers_of_one_kind_are_told_apart_by_their_address() {
    let server = |endpoint: &str| Place::Server { server: "vllm".to_owned(), remote: remote(endpoint) };
    let bill = bill(vec![
        deployment("a", "qwen3-32b", server("http://10.0.0.1:9000/v1")),
        deployment("b", "qwen3-32b", server("http://10.0.0.2:9000/v1")),
        deployment("c", "qwen3-0.6b", server("http://10.0.0.1:9000/v1")),
    ]);
    let document = in_cyclonedx(&bill, &Catalog::builtin());
    let services = list(&document["services"]);
    assert_eq!(services.len(), 2);
    assert_eq!(services[0]["name"], "vLLM");
    assert!(services[0].get("x-trust-boundary").is_none(), "nobody said where the server stands");
    let last = list(&document["dependencies"]).last().expect("a service");
    assert_eq!(last["dependsOn"], serde_json::json!(["model/qwen3-32b"]));
}

#[test]
fn a_bill_without_deployments_is_a_document_too() {
    let (bill, catalog) = (bill(Vec::new()), Catalog::builtin());
    assert_eq!(in_cyclonedx(&bill, &catalog)["components"], serde_json::json!([]));
    assert!(list(&in_spdx(&bill, &catalog)["@graph"]).iter().all(|element| element["type"] != "Relationship"));
}
