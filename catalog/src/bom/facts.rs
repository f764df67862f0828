//! What both formats say of a model: names, addresses, ancestors, and the properties under `pointsman:`.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use serde::Serialize;
use serde_json::Value;

use super::{Bill, Deployment, Place, Remote, identity::Licences};
use crate::{Catalog, Derivation, Modality, Model};

/// A model that is served, or that one was made from.
#[derive(Clone, Debug)]
pub(super) struct Subject<'c> {
    /// The catalog id; of a base without a row, what its child calls it.
    pub(super) id: &'c str,
    /// Its row.
    pub(super) model: Option<&'c Model>,
    pub(super) licences: Licences<'c>,
}

impl<'c> Subject<'c> {
    fn new(id: &'c str, model: Option<&'c Model>, catalog: &'c Catalog) -> Self {
        Self { id, model, licences: Licences::of(model, catalog) }
    }

    /// The name that people use.
    pub(super) fn name(&self) -> &'c str {
        self.model.map_or(self.id, |model| &model.name)
    }

    /// `owner/name` on the model hub, if it is of that shape.
    pub(super) fn repo(&self) -> Option<&'c str> {
        let repo = self.model?.repo.as_deref()?;
        let (owner, name) = repo.split_once('/')?;
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) && part != ".."
        };
        (plain(owner) && plain(name)).then_some(repo)
    }

    /// The package URL. Owner and name keep their case: only a revision would be written in lower case.
    pub(super) fn purl(&self) -> Option<String> {
        Some(format!("pkg:huggingface/{}", self.repo()?))
    }

    /// Where the weights are published.
    pub(super) fn repo_url(&self) -> Option<String> {
        Some(format!("https://huggingface.co/{}", self.repo()?))
    }
}

/// A model that is served, and where.
#[derive(Clone, Debug)]
pub(super) struct Served<'c> {
    pub(super) subject: Subject<'c>,
    pub(super) deployments: Vec<&'c Deployment>,
    /// What it was made from, the nearest first.
    pub(super) bases: Vec<Subject<'c>>,
}

impl<'c> Served<'c> {
    /// The version of the weights, if every deployment has the same.
    pub(super) fn version(&self) -> Option<&'c str> {
        let mut versions = self.deployments.iter().map(|deployment| deployment.version.as_deref());
        let first = versions.next()??;
        versions.all(|version| version == Some(first)).then_some(first)
    }
}

/// The models of a bill, each once, in the order of their first deployment.
pub(super) fn served<'c>(bill: &'c Bill, catalog: &'c Catalog) -> Vec<Served<'c>> {
    let mut at: HashMap<&str, usize> = HashMap::new();
    let mut served: Vec<Served<'_>> = Vec::new();
    for deployment in &bill.deployments {
        let id = deployment.model.as_str();
        let at = *at.entry(id).or_insert_with(|| {
            let model = catalog.model(id);
            let bases = model.map(|model| bases(model, catalog)).unwrap_or_default();
            served.push(Served { subject: Subject::new(id, model, catalog), deployments: Vec::new(), bases });
            served.len() - 1
        });
        served[at].deployments.push(deployment);
    }
    served
}

/// Nobody stacks more models on each other.
const MAX_BASES: usize = 8;

/// The models whose weights went into one, the nearest first. What it only learnt from is none.
fn bases<'c>(model: &'c Model, catalog: &'c Catalog) -> Vec<Subject<'c>> {
    let mut bases = Vec::new();
    let mut seen = HashSet::from([model.id.as_str()]);
    let mut open = VecDeque::from([model]);
    while let Some(child) = open.pop_front() {
        let of_weights = |by| !matches!(by, Derivation::Distillation | Derivation::TrainedOn);
        let parents = child.parents.iter().filter(|parent| of_weights(parent.by));
        for name in parents.map(|parent| parent.of.as_str()).chain(child.base.as_deref()) {
            let row = catalog.resolve(name);
            let id = row.map_or(name, |row| &row.id);
            // Rows of a company may point at each other.
            if bases.len() < MAX_BASES && seen.insert(id) {
                bases.push(Subject::new(id, row, catalog));
                open.extend(row);
            }
        }
    }
    bases
}

/// A place outside the gateway, with all deployments there.
#[derive(Clone, Debug)]
pub(super) struct Service<'c> {
    /// `host/groq`, or `server/vllm@http://...`: servers of one kind are told apart by their address.
    pub(super) id: String,
    /// The catalog id of the host; none for a server of one's own.
    pub(super) host: Option<&'c str>,
    /// The name that people use.
    pub(super) name: &'c str,
    pub(super) endpoints: BTreeSet<&'c str>,
    pub(super) authenticated: bool,
    pub(super) models: BTreeSet<&'c str>,
}

/// The places of a bill that are outside the gateway, in the order of their first deployment.
pub(super) fn services<'c>(bill: &'c Bill, catalog: &'c Catalog) -> Vec<Service<'c>> {
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut services: Vec<Service<'_>> = Vec::new();
    for deployment in &bill.deployments {
        let (id, host, name, remote) = match &deployment.place {
            Place::Engine { .. } => continue,
            Place::Host { host, remote } => {
                let name = catalog.host(host).map_or(host.as_str(), |row| &row.name);
                (format!("host/{host}"), Some(host.as_str()), name, remote)
            }
            Place::Server { server, remote } => {
                let name = catalog.server(server).map_or(server.as_str(), |row| &row.name);
                (format!("server/{server}@{}", remote.endpoint), None, name, remote)
            }
        };
        let at = *at.entry(id.clone()).or_insert_with(|| {
            let (endpoints, models) = (BTreeSet::new(), BTreeSet::new());
            services.push(Service { id, host, name, endpoints, authenticated: false, models });
            services.len() - 1
        });
        let service = &mut services[at];
        service.endpoints.extend(web_address(&remote.endpoint));
        service.authenticated |= remote.authenticated;
        service.models.insert(&deployment.model);
    }
    services
}

/// A property: a name under `pointsman:` and a value.
pub(super) type Property = (String, String);

/// What the standards have no field for.
pub(super) fn properties(served: &Served<'_>, catalog: &Catalog) -> Vec<Property> {
    let mut properties = Properties::default();
    properties.add("model", served.subject.id);
    if let Some(model) = served.subject.model {
        properties.add("tier", model.tier.number());
        properties.add_some("release-date", model.release_date.as_deref());
        properties.add_some("parameters-billions", model.parameters_b);
        properties.add_some("context-tokens", model.context_tokens);
        properties.add_some("benchmarks-by", model.benchmarks_by.as_deref());
    }
    let concluded = served.subject.licences.concluded_expression();
    properties.add("license:concluded", concluded.as_deref().unwrap_or(NO_ASSERTION));
    for deployment in &served.deployments {
        properties.add("deployment", &deployment.id);
        let mut add = |what: &str, value: Option<String>| {
            properties.add_some(&format!("deployment:{}:{what}", deployment.id), value);
        };
        let (place, remote) = match &deployment.place {
            Place::Engine { engine } => (format!("engine {engine}"), None),
            Place::Host { host, remote } => (format!("host {host}"), Some(remote)),
            Place::Server { server, remote } => (format!("server {server}"), Some(remote)),
        };
        add("place", Some(place));
        if let Some(Remote { endpoint, name, .. }) = remote {
            add("endpoint", Some(endpoint.clone()));
            add("name", Some(name.clone()));
        }
        add("region", deployment.region.clone());
        add("retention", deployment.retention.clone());
        add("quantization-bits", deployment.quantization_bits.map(|bits| bits.to_string()));
    }
    let ids = served.subject.model.into_iter().flat_map(Model::licenses);
    for license in ids.filter_map(|id| catalog.license(id)) {
        let id = &license.id;
        properties.add("license", id);
        for duty in &license.obligations {
            properties.add(&format!("obligation:{id}:{}:{}", word(duty.kind), word(duty.applies)), &duty.text);
        }
        for territory in &license.territories {
            properties.add(&format!("territory:{id}"), &territory.text);
        }
        for condition in &license.conditions {
            properties.add(&format!("condition:{id}:{}", condition.metric.name()), &condition.text);
        }
        for domain in &license.prohibits {
            properties.add(&format!("prohibits:{id}"), domain.name());
        }
        if license.hosted_service.needs_contract {
            properties.add("no-third-party-service", id);
        }
        properties.add(&format!("outputs-training:{id}"), word(license.outputs.training));
    }
    properties.0
}

/// What a bill says where it says nothing.
pub(super) const NO_ASSERTION: &str = "NOASSERTION";

/// What the bill as a whole rests on.
pub(super) fn grounds(bill: &Bill, catalog: &Catalog) -> Vec<Property> {
    let mut properties = Properties::default();
    properties.add("catalog:sha256", catalog.digest());
    properties.add("configuration:sha256", &bill.configuration);
    properties.0
}

#[derive(Default)]
struct Properties(Vec<Property>);

impl Properties {
    fn add(&mut self, name: &str, value: impl ToString) {
        self.0.push((format!("pointsman:{name}"), value.to_string()));
    }

    fn add_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

/// A value as data files write it.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// What a model does, in the words of the model hub; none where those would be a guess.
pub(super) fn task(model: &Model) -> Option<&'static str> {
    let (reads, writes) = (model.input(), model.output());
    match (reads, writes) {
        (_, [Modality::Embedding]) => Some("feature-extraction"),
        ([Modality::Text], [Modality::Text]) => Some("text-generation"),
        (_, [Modality::Text]) if reads.contains(&Modality::Image) && !reads.contains(&Modality::Audio) => {
            Some("image-text-to-text")
        }
        _ => None,
    }
}

/// The address, if it may stand in a document as one: rows of a company are not checked for that. One with a user
/// name in it may not, and neither an IPv6 address, over whose `::` validators stumble.
pub(super) fn web_address(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let host_is_one = !host.is_empty() && host.chars().all(plain);
    let port_is_one = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&'()*+,;=%".contains(c);
    let escaped = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let path_is_one = path.chars().all(plain) && path.split('%').skip(1).all(escaped) && path.matches('#').count() < 2;
    (host_is_one && port_is_one && path_is_one).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_stand_in_a_document_if_it_is_one() {
        for good in ["https://ai.meta.com/llama/license", "http://127.0.0.1:9000/v1", "https://x.org:8443/a%20b?c=d#e"]
        {
            assert_eq!(web_address(good), Some(good));
        }
        let odd = ["https://x/ y", "https://x/[y]", "https://x/%2", "https://x/#a#b", "https://x:y/", "https://ü.org"];
        let no_host = ["", "x.org", "https://", "ftp://x", "http://[::1]:9000/v1"];
        for bad in odd.iter().chain(&no_host).chain(&["https://user:secret@x.org"]) {
            assert_eq!(web_address(bad), None, "{bad}");
        }
    }
}
