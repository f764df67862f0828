//! The bill as CycloneDX 1.7, the first version that lets a declared licence and a concluded expression stand together.

use serde::Serialize;

use super::{
    ABOUT, Bill, GATEWAY,
    facts::{self, Property, Served, Service, Subject, web_address, word},
    identity::{Identity, Named},
};
use crate::{Catalog, Modality, Model};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<Offered<'a>>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: &'a str,
    lifecycles: [Phase; 1],
    tools: Tools<'a>,
    component: Component<'a>,
    properties: Vec<Pair>,
}

#[derive(Serialize)]
struct Phase {
    phase: &'static str,
}

#[derive(Serialize)]
struct Tools<'a> {
    components: [Component<'a>; 1],
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    bom_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenceChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pedigree: Option<Pedigree<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_card: Option<ModelCard<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Pair>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LicenceChoice<'a> {
    One {
        license: Licence<'a>,
    },
    #[serde(rename_all = "camelCase")]
    Expression {
        expression: String,
        acknowledgement: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        expression_details: Vec<Detail<'a>>,
    },
}

#[derive(Serialize)]
struct Licence<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    acknowledgement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licensing: Option<Licensing>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Licensing {
    alt_ids: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    license_identifier: String,
    url: &'a str,
}

#[derive(Serialize)]
struct Pedigree<'a> {
    ancestors: Vec<Component<'a>>,
}

#[derive(PartialEq, Serialize)]
struct Reference<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelCard<'a> {
    model_parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantitative_analysis: Option<Analysis<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    considerations: Option<Considerations<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture_family: Option<&'a str>,
    model_architecture: &'a str,
    inputs: Vec<Format>,
    outputs: Vec<Format>,
}

#[derive(Serialize)]
struct Format {
    format: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Analysis<'a> {
    performance_metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Metric<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    slice: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Considerations<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    use_cases: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    technical_limitations: Vec<&'a str>,
}

/// A service, as CycloneDX calls a place outside the gateway.
#[derive(Serialize)]
struct Offered<'a> {
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Organisation<'a>>,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<&'a str>,
    authenticated: bool,
    /// Whether requests leave the company; of a server of its own that is not known.
    #[serde(rename = "x-trust-boundary", skip_serializing_if = "Option::is_none")]
    trust_boundary: Option<bool>,
}

#[derive(Serialize)]
struct Organisation<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    of: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

pub(super) fn document<'a>(bill: &'a Bill, catalog: &'a Catalog) -> Document<'a> {
    let served = facts::served(bill, catalog);
    let services = facts::services(bill, catalog);
    Document {
        schema: "http://cyclonedx.org/schema/bom-1.7.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.7",
        serial_number: format!("urn:uuid:{}", bill.serial),
        version: 1,
        metadata: Metadata {
            timestamp: &bill.created,
            lifecycles: [Phase { phase: "operations" }],
            tools: Tools { components: [gateway(bill)] },
            component: Component { bom_ref: Some(GATEWAY.to_owned()), description: Some(ABOUT), ..gateway(bill) },
            properties: pairs(facts::grounds(bill, catalog)),
        },
        dependencies: dependencies(&served, &services),
        components: served.iter().map(|served| model(served, catalog)).collect(),
        services: services.into_iter().map(service).collect(),
    }
}

fn gateway(bill: &Bill) -> Component<'_> {
    Component { kind: "application", name: GATEWAY, version: Some(&bill.version), ..Component::default() }
}

fn model_ref(id: &str) -> String {
    format!("model/{id}")
}

fn model<'a>(served: &Served<'a>, catalog: &'a Catalog) -> Component<'a> {
    let ancestors: Vec<_> = served.bases.iter().map(subject).collect();
    Component {
        bom_ref: Some(model_ref(served.subject.id)),
        version: served.version(),
        pedigree: (!ancestors.is_empty()).then_some(Pedigree { ancestors }),
        external_references: references(served),
        model_card: served.subject.model.map(card),
        properties: pairs(facts::properties(served, catalog)),
        ..subject(&served.subject)
    }
}

/// What is said of a served model and of one that it was made from alike.
fn subject<'a>(subject: &Subject<'a>) -> Component<'a> {
    Component {
        kind: "machine-learning-model",
        name: subject.name(),
        publisher: subject.model.map(|model| model.developer.as_str()),
        licenses: licences(subject),
        purl: subject.purl(),
        ..Component::default()
    }
}

/// What the maker declares and what binds in all. What is not known is not listed.
fn licences<'a>(subject: &Subject<'a>) -> Vec<LicenceChoice<'a>> {
    let declared = subject.licences.declared.iter().map(|named| one(named, "declared"));
    let concluded = match subject.licences.concluded.as_deref() {
        None => None,
        Some([only]) => Some(one(only, "concluded")),
        Some(all) => subject.licences.concluded_expression().map(|expression| LicenceChoice::Expression {
            expression,
            acknowledgement: "concluded",
            expression_details: all.iter().filter_map(detail).collect(),
        }),
    };
    declared.chain(concluded).collect()
}

fn one<'a>(named: &Named<'a>, acknowledgement: &'static str) -> LicenceChoice<'a> {
    let url = named.row.url.as_deref().and_then(web_address);
    let unnamed = Licence { id: None, name: None, acknowledgement, url, licensing: None };
    match &named.identity {
        Identity::Listed(id) => LicenceChoice::One { license: Licence { id: Some(id), ..unnamed } },
        Identity::Reference(reference) => {
            let licensing = Some(Licensing { alt_ids: [reference.clone()] });
            LicenceChoice::One { license: Licence { name: Some(&named.row.name), licensing, ..unnamed } }
        }
        Identity::Expression(expression) => LicenceChoice::Expression {
            expression: expression.clone(),
            acknowledgement,
            expression_details: Vec::new(),
        },
    }
}

fn detail<'a>(named: &Named<'a>) -> Option<Detail<'a>> {
    let url = named.row.url.as_deref().and_then(web_address)?;
    let is_identifier = !matches!(named.identity, Identity::Expression(_));
    is_identifier.then(|| Detail { license_identifier: named.identity.text().to_owned(), url })
}

fn references<'a>(served: &Served<'a>) -> Vec<Reference<'a>> {
    let subject = &served.subject;
    let mut references: Vec<_> =
        subject.repo_url().into_iter().map(|url| Reference { kind: "vcs", url, comment: None }).collect();
    let licences = subject.licences.declared.iter().chain(subject.licences.concluded.iter().flatten());
    for named in licences {
        let Some(url) = named.row.url.as_deref().and_then(web_address) else { continue };
        let reference = Reference { kind: "license", url: url.to_owned(), comment: Some(&named.row.name) };
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    references
}

fn card(model: &Model) -> ModelCard<'_> {
    let formats = |list: &[Modality]| list.iter().map(|modality| Format { format: word(modality) }).collect();
    let slice = model.benchmarks_of.as_deref();
    let scores = model.benchmarks.iter();
    let metrics: Vec<_> = scores.map(|(kind, value)| Metric { kind, value: value.to_string(), slice }).collect();
    let limitations: Vec<_> = model.note.iter().map(String::as_str).collect();
    let considered = !(model.categories.is_empty() && limitations.is_empty());
    ModelCard {
        model_parameters: Parameters {
            task: facts::task(model),
            architecture_family: model.architecture.as_deref(),
            model_architecture: &model.family,
            inputs: formats(model.input()),
            outputs: formats(model.output()),
        },
        quantitative_analysis: (!metrics.is_empty()).then_some(Analysis { performance_metrics: metrics }),
        considerations: considered
            .then_some(Considerations { use_cases: &model.categories, technical_limitations: limitations }),
    }
}

fn service(service: Service<'_>) -> Offered<'_> {
    Offered {
        bom_ref: service.id,
        provider: service.host.map(|_| Organisation { name: service.name }),
        name: service.name,
        endpoints: service.endpoints.into_iter().collect(),
        authenticated: service.authenticated,
        trust_boundary: service.host.map(|_| true),
    }
}

/// The gateway needs every model and every service, and a service the models that it runs.
fn dependencies(served: &[Served<'_>], services: &[Service<'_>]) -> Vec<Dependency> {
    let models = || served.iter().map(|served| model_ref(served.subject.id));
    let all = models().chain(services.iter().map(|service| service.id.clone())).collect();
    let mut dependencies = vec![Dependency { of: GATEWAY.to_owned(), depends_on: all }];
    dependencies.extend(models().map(|of| Dependency { of, depends_on: Vec::new() }));
    dependencies.extend(services.iter().map(|service| Dependency {
        of: service.id.clone(),
        depends_on: service.models.iter().copied().map(model_ref).collect(),
    }));
    dependencies
}

fn pairs(properties: Vec<Property>) -> Vec<Pair> {
    properties.into_iter().map(|(name, value)| Pair { name, value }).collect()
}
