//! The bill as SPDX 3.0.1: a graph of elements in JSON-LD, each with an address of its own below the document's.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::{
    ABOUT, Bill, GATEWAY,
    facts::{self, Property, Served, Subject, web_address},
    identity::{Identity, Named},
};
use crate::{Catalog, License};

/// The one blank node: how every element came about.
const CREATION: &str = "_:creation";

/// The licence of which nothing is known, as the context calls it.
const NO_ASSERTION_LICENSE: &str = "expandedlicensing_NoAssertionLicense";

#[derive(Serialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "@graph")]
    graph: Vec<Node<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Node<'a> {
    Creation(Creation<'a>),
    Element(Element<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "CreationInfo", rename_all = "camelCase")]
struct Creation<'a> {
    #[serde(rename = "@id")]
    id: &'static str,
    spec_version: &'static str,
    created: &'a str,
    created_by: [String; 1],
}

/// What every element has, and what its kind adds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Element<'a> {
    spdx_id: String,
    creation_info: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_ref: Vec<ExternalRef<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<[Extension; 1]>,
    #[serde(flatten)]
    kind: Kind<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Kind<'a> {
    SoftwareAgent,
    Organization,
    #[serde(rename_all = "camelCase")]
    SpdxDocument {
        profile_conformance: [&'static str; 4],
        root_element: [String; 1],
        element: Vec<String>,
    },
    #[serde(rename = "software_Sbom", rename_all = "camelCase")]
    Sbom {
        #[serde(rename = "software_sbomType")]
        sbom_type: [&'static str; 1],
        root_element: [String; 1],
        element: Vec<String>,
    },
    #[serde(rename = "software_Package")]
    Package {
        description: &'static str,
        #[serde(rename = "software_packageVersion")]
        version: &'a str,
        #[serde(rename = "software_primaryPurpose")]
        purpose: &'static str,
    },
    #[serde(rename = "ai_AIPackage")]
    Model(Box<Model<'a>>),
    #[serde(rename = "simplelicensing_LicenseExpression")]
    Expression {
        #[serde(rename = "simplelicensing_licenseExpression")]
        expression: String,
        #[serde(rename = "simplelicensing_customIdToUri", skip_serializing_if = "Vec::is_empty")]
        references: Vec<Entry>,
    },
    #[serde(rename = "simplelicensing_SimpleLicensingText")]
    LicenceText {
        #[serde(rename = "simplelicensing_licenseText")]
        text: String,
    },
    #[serde(rename_all = "camelCase")]
    Relationship {
        from: String,
        relationship_type: &'static str,
        to: Vec<String>,
    },
}

/// A package of the AI profile.
#[derive(Serialize)]
struct Model<'a> {
    #[serde(rename = "originatedBy", skip_serializing_if = "Vec::is_empty")]
    developer: Vec<String>,
    #[serde(rename = "releaseTime", skip_serializing_if = "Option::is_none")]
    released: Option<String>,
    #[serde(rename = "software_primaryPurpose")]
    purpose: &'static str,
    #[serde(rename = "software_packageVersion", skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(rename = "software_packageUrl", skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(rename = "software_downloadLocation", skip_serializing_if = "Option::is_none")]
    download: Option<String>,
    #[serde(rename = "ai_domain", skip_serializing_if = "<[String]>::is_empty")]
    domains: &'a [String],
    #[serde(rename = "ai_typeOfModel", skip_serializing_if = "Vec::is_empty")]
    architecture: Vec<&'a str>,
    #[serde(rename = "ai_metric", skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<Entry>,
    #[serde(rename = "ai_limitation", skip_serializing_if = "Option::is_none")]
    limitation: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "DictionaryEntry")]
struct Entry {
    key: String,
    value: String,
}

#[derive(Serialize)]
#[serde(tag = "type")]
struct ExternalRef<'a> {
    #[serde(rename = "externalRefType")]
    kind: &'static str,
    locator: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "extension_CdxPropertiesExtension")]
struct Extension {
    #[serde(rename = "extension_cdxProperty")]
    properties: Vec<Pair>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "extension_CdxPropertyEntry")]
struct Pair {
    #[serde(rename = "extension_cdxPropName")]
    name: String,
    #[serde(rename = "extension_cdxPropValue")]
    value: String,
}

pub(super) fn document<'a>(bill: &'a Bill, catalog: &'a Catalog) -> Document<'a> {
    let served = facts::served(bill, catalog);
    let mut graph = Graph::new(bill);
    let agent = graph.add("agent".to_owned(), Some(GATEWAY), Kind::SoftwareAgent);
    let gateway = Kind::Package { description: ABOUT, version: &bill.version, purpose: "application" };
    let gateway = graph.add("gateway".to_owned(), Some(GATEWAY), gateway);
    let models: Vec<_> = served.iter().map(|served| graph.model(&served.subject, Some(served), catalog)).collect();
    graph.relate(&gateway, "dependsOn", models.clone(), None);
    for (model, served) in models.iter().zip(&served) {
        let mut child = model.clone();
        for base in &served.bases {
            let parent = graph.model(base, None, catalog);
            graph.descend(child, &parent);
            child = parent;
        }
    }
    for service in facts::services(bill, catalog).iter().filter(|service| service.host.is_some()) {
        let host = graph.organisation(service.name);
        for id in &service.models {
            if let Some(model) = graph.models.get(id).cloned() {
                graph.relate(&model, "availableFrom", vec![host.clone()], None);
            }
        }
    }
    graph.finish(bill, catalog, agent, gateway)
}

/// The elements so far, and which of them stand for what.
struct Graph<'a> {
    address: String,
    elements: Vec<Element<'a>>,
    models: HashMap<&'a str, String>,
    organisations: HashMap<&'a str, String>,
    /// By expression.
    licences: HashMap<String, String>,
    /// By `LicenseRef-...`.
    texts: HashMap<String, String>,
    descents: BTreeSet<(String, String)>,
}

impl<'a> Graph<'a> {
    fn new(bill: &Bill) -> Self {
        Self {
            // The address that the standard suggests to those who have none of their own to give.
            address: format!("https://spdx.org/spdxdocs/{GATEWAY}-{}", bill.serial),
            elements: Vec::new(),
            models: HashMap::new(),
            organisations: HashMap::new(),
            licences: HashMap::new(),
            texts: HashMap::new(),
            descents: BTreeSet::new(),
        }
    }

    /// Adds an element and returns its address.
    fn add(&mut self, local: String, name: Option<&'a str>, kind: Kind<'a>) -> String {
        let element = element(format!("{}#{local}", self.address), name, kind);
        let id = element.spdx_id.clone();
        self.elements.push(element);
        id
    }

    /// A place in the document that no other element has.
    fn next(&self, what: &str) -> String {
        format!("{what}-{}", self.elements.len())
    }

    fn relate(&mut self, from: &str, relationship_type: &'static str, to: Vec<String>, comment: Option<&'static str>) {
        if to.is_empty() {
            return;
        }
        let kind = Kind::Relationship { from: from.to_owned(), relationship_type, to };
        self.add(self.next("relationship"), None, kind);
        if let Some(last) = self.elements.last_mut() {
            last.comment = comment;
        }
    }

    /// Two served models may share a part of their descent.
    fn descend(&mut self, child: String, parent: &str) {
        if self.descents.insert((child.clone(), parent.to_owned())) {
            self.relate(&child, "descendantOf", vec![parent.to_owned()], None);
        }
    }

    fn organisation(&mut self, name: &'a str) -> String {
        if let Some(id) = self.organisations.get(name) {
            return id.clone();
        }
        let id = self.add(self.next("organization"), Some(name), Kind::Organization);
        self.organisations.insert(name, id.clone());
        id
    }

    /// The package of a model, with its licences, added where it is not there yet.
    fn model(&mut self, subject: &Subject<'a>, served: Option<&Served<'a>>, catalog: &Catalog) -> String {
        if let Some(id) = self.models.get(subject.id) {
            return id.clone();
        }
        let row = subject.model;
        let developer = row.map(|row| self.organisation(&row.developer));
        let metrics = row.into_iter().flat_map(|row| &row.benchmarks);
        let package = Model {
            developer: developer.into_iter().collect(),
            released: row.and_then(|row| row.release_date.as_deref()).and_then(day),
            purpose: "model",
            version: served.and_then(Served::version),
            purl: subject.purl(),
            download: subject.repo_url(),
            domains: row.map_or(&[], |row| &row.categories),
            architecture: row.and_then(|row| row.architecture.as_deref()).into_iter().collect(),
            metrics: metrics.map(|(key, value)| Entry { key: key.clone(), value: value.to_string() }).collect(),
            limitation: row.and_then(|row| row.note.as_deref()),
        };
        let local = row.map_or_else(|| self.next("model-without-row"), |row| format!("model/{}", row.id));
        let id = self.add(local, Some(subject.name()), Kind::Model(Box::new(package)));
        if let Some(last) = self.elements.last_mut() {
            last.extension = served.map(|served| extension(facts::properties(served, catalog)));
        }
        self.models.insert(subject.id, id.clone());
        self.licence(&id, subject);
        id
    }

    /// Exactly one declared and one concluded licence, as the AI profile asks.
    fn licence(&mut self, model: &str, subject: &Subject<'a>) {
        let licences = &subject.licences;
        let declared = licences.declared.as_ref().map(|named| named.identity.text().to_owned());
        let declared = self.expression(declared, licences.declared.as_slice());
        let all = licences.concluded.as_deref().unwrap_or_default();
        let concluded = self.expression(licences.concluded_expression(), all);
        let comment = match (concluded == NO_ASSERTION_LICENSE, concluded == declared) {
            (true, _) => Some("not every licence that binds is known"),
            (false, false) => Some("all licences that bind: that of the weights, and those that hold beside it"),
            (false, true) => None,
        };
        self.relate(model, "hasDeclaredLicense", vec![declared], None);
        self.relate(model, "hasConcludedLicense", vec![concluded], comment);
    }

    /// The element of an expression over `named`.
    fn expression(&mut self, expression: Option<String>, named: &[Named<'a>]) -> String {
        let Some(expression) = expression else { return NO_ASSERTION_LICENSE.to_owned() };
        if let Some(id) = self.licences.get(&expression) {
            return id.clone();
        }
        let mut references = Vec::new();
        for Named { row, identity } in named {
            if let Identity::Reference(key) = identity {
                let value = self.text(key, row);
                // Rows that state the same reference mean the same text.
                if references.iter().all(|entry: &Entry| entry.key != *key) {
                    references.push(Entry { key: key.clone(), value });
                }
            }
        }
        let kind = Kind::Expression { expression: expression.clone(), references };
        let id = self.add(self.next("license"), None, kind);
        self.licences.insert(expression, id.clone());
        id
    }

    /// The element that a reference stands for. It says where the text is; the text itself is its licensor's.
    fn text(&mut self, reference: &str, row: &'a License) -> String {
        if let Some(id) = self.texts.get(reference) {
            return id.clone();
        }
        let version = row.version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
        let url = row.url.as_deref().and_then(web_address);
        let place = url.map(|url| format!(" It stands at {url}.")).unwrap_or_default();
        let text = format!("{}{version}. The text is not part of this document.{place}", row.name);
        let id = self.add(reference.to_owned(), Some(&row.name), Kind::LicenceText { text });
        if let Some(last) = self.elements.last_mut() {
            last.external_ref = url.map(|url| ExternalRef { kind: "license", locator: [url] }).into_iter().collect();
        }
        self.texts.insert(reference.to_owned(), id.clone());
        id
    }

    /// Wraps the elements into a bill, and the bill into a document.
    fn finish(mut self, bill: &'a Bill, catalog: &Catalog, agent: String, gateway: String) -> Document<'a> {
        let ids = |elements: &[Element<'_>]| elements.iter().map(|element| element.spdx_id.clone()).collect();
        let sbom = Kind::Sbom { sbom_type: ["deployed"], root_element: [gateway], element: ids(&self.elements) };
        let sbom = self.add("bill".to_owned(), None, sbom);
        let kind = Kind::SpdxDocument {
            profile_conformance: ["core", "software", "simpleLicensing", "extension"],
            root_element: [sbom],
            element: ids(&self.elements),
        };
        let mut document = element(self.address, Some("models that the gateway serves"), kind);
        document.comment = Some(
            "models are packages of the AI profile; conformance to it is not claimed, since it asks for the version, \
             supplier, release time and download address of every model, and what is not known is left out here",
        );
        document.extension = Some(extension(facts::grounds(bill, catalog)));
        let creation = Creation { id: CREATION, spec_version: "3.0.1", created: &bill.created, created_by: [agent] };
        let elements = std::iter::once(document).chain(self.elements).map(Node::Element);
        Document {
            context: "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
            graph: std::iter::once(Node::Creation(creation)).chain(elements).collect(),
        }
    }
}

fn element<'a>(spdx_id: String, name: Option<&'a str>, kind: Kind<'a>) -> Element<'a> {
    Element { spdx_id, creation_info: CREATION, name, comment: None, external_ref: Vec::new(), extension: None, kind }
}

fn extension(properties: Vec<Property>) -> [Extension; 1] {
    [Extension { properties: properties.into_iter().map(|(name, value)| Pair { name, value }).collect() }]
}

/// The start of a day that is written `2026-11-25`; none if there is no such day.
fn day(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<u32>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (year > 0 && (1..=days).contains(&day) && parts.next().is_none()).then(|| format!("{text}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_exists_has_a_start() {
        assert_eq!(day("2024-02-29").as_deref(), Some("2024-02-29T00:00:00Z"));
        for no_day in ["", "2024", "2024-07", "2023-02-29", "2024-13-01", "2024-00-10", "2024-1-1", "2024-01-01-", "x"]
        {
            assert_eq!(day(no_day), None, "{no_day}");
        }
    }
}
