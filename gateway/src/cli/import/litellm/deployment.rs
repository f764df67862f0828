//! The entries of `model_list`: each a deployment, or a comment that says why it is none.

mod reach;

use std::collections::{BTreeMap, HashSet};

use catalog::{Availability, Catalog, Relation};

use super::{
    environment, items, number,
    provider::{self, Provider},
    text,
};
use crate::{
    cli::import::{
        finding::{Findings, Grade},
        write::{Entry, literal, scalar},
    },
    config::{report::list, yaml::Node},
};

/// A deployment and what LiteLLM says of its place among others.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) entry: Entry,
    /// The `model_name` that requests ask for.
    pub(super) group: String,
    /// The catalog's id, where it is known.
    pub(super) model: Option<String>,
    /// The lower come first; LiteLLM counts one that says nothing as 1.
    pub(super) order: Option<f64>,
    pub(super) weight: Option<f64>,
    /// Seconds.
    pub(super) timeout: Option<f64>,
    /// Seconds.
    pub(super) stream_timeout: Option<f64>,
    /// Where it stands.
    pub(super) at: usize,
}

impl Deployment {
    /// Whether it can be served.
    pub(super) fn is_on(&self) -> bool {
        self.entry.off.is_none()
    }
}

/// Every entry that has a name and a model.
pub(super) fn all(tree: &Node, catalog: &Catalog, findings: &mut Findings<'_>) -> Vec<Deployment> {
    let mut names = Names::default();
    let list = tree.get("model_list").map(items).unwrap_or_default();
    if list.is_empty() {
        let at = tree.get("model_list").map_or(0, |node| node.at.start);
        let next = "name the file that LiteLLM is started with; models in its database are in no file";
        findings.note(Grade::Manual, at, "model_list", "nothing: there is no model in it", Some(next));
    }
    if let Some(first) = list.get(MODELS) {
        let became = format!("nothing from here on: {MODELS} entries are read");
        let next = "split the file, and import the parts one by one";
        findings.note(Grade::Manual, first.place().start, "model_list", became, Some(next));
    }
    let entries = list.iter().take(MODELS);
    entries.filter_map(|node| One { node, catalog, findings, names: &mut names }.deployment()).collect()
}

/// The most entries that are read.
const MODELS: usize = 2_000;

/// The ids and variables that are taken.
#[derive(Default)]
struct Names {
    ids: HashSet<String>,
    /// Each variable with the secret that it stands for; none for one that the file itself names.
    variables: BTreeMap<String, Option<String>>,
}

struct One<'a, 'f, 's> {
    node: &'a Node,
    catalog: &'a Catalog,
    findings: &'f mut Findings<'s>,
    names: &'f mut Names,
}

/// Parameters that are looked at by name; the others are told.
const KNOWN: [&str; 12] = [
    "model",
    "custom_llm_provider",
    "api_base",
    "base_url",
    "api_key",
    "region_name",
    "weight",
    "order",
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "max_input_tokens",
];

impl<'a> One<'a, '_, '_> {
    fn deployment(&mut self) -> Option<Deployment> {
        let at = self.node.place().start;
        let group = self.node.get("model_name").and_then(text).filter(|name| !name.is_empty()).map(str::to_owned);
        let parameters = self.node.get("litellm_params");
        let model = parameters.and_then(|node| node.get("model")).and_then(text);
        let (Some(group), Some(parameters), Some(model)) = (group, parameters, model) else {
            let next = "give it `model_name`, and `litellm_params` with `model`";
            self.findings.note(Grade::Manual, at, "an entry of model_list", "nothing: it names no model", Some(next));
            return None;
        };
        let mut entry = Entry::default();
        let custom = parameters.get("custom_llm_provider").and_then(text);
        let (prefix, provider, name) = provider::split(model, custom);
        entry.id = self.id(prefix, name);
        let read = format!("{group}: model: {model}");
        let found = self.place(&mut entry, prefix, provider, name, parameters);
        let known = found.and_then(|host| self.model(&mut entry, host, name));
        self.known(&mut entry, parameters);
        match (&entry.off, &known) {
            (None, Some((model, grade, how))) => {
                let became = format!("the deployment `{}` of `{model}`{how}", entry.id);
                self.findings.note(*grade, at, read, became, None);
            }
            (off, _) => {
                let became = format!("a comment: {}", off.as_deref().unwrap_or_default());
                let (grade, next) = match found {
                    None => (
                        Grade::Unsupported,
                        "serve it from a host of `pointsman catalog hosts`, or leave it where it is",
                    ),
                    Some(_) => (Grade::Manual, "put in order what the comment says, and take the `#` away"),
                };
                self.findings.note(grade, at, read, became, Some(next));
            }
        }
        self.told(parameters, &group);
        let of = |key: &str| parameters.get(key).and_then(number);
        Some(Deployment {
            group,
            model: known.map(|(model, ..)| model),
            order: of("order"),
            weight: of("weight"),
            timeout: of("timeout"),
            stream_timeout: of("stream_timeout"),
            at,
            entry,
        })
    }

    /// An id of its own: the one that the file gives, or provider and model.
    fn id(&mut self, prefix: &str, name: &str) -> String {
        let given = self.node.get("model_info").and_then(|info| info.get("id")).and_then(text);
        let made = format!("{prefix}/{}", name.rsplit('/').next().unwrap_or(name));
        let id: String = given
            .unwrap_or(&made)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-/:".contains(c) { c } else { '-' })
            .take(100)
            .collect();
        let taken = |id: &str| self.names.ids.contains(id);
        let free = (2..).map(|n| format!("{id}-{n}")).find(|id| !taken(id));
        let id = if taken(&id) || id.is_empty() { free.unwrap_or_default() } else { id };
        self.names.ids.insert(id.clone());
        id
    }

    /// Notes where it runs, and how it is reached. `None` where nothing of ours is such a place; within, the host.
    fn place(
        &mut self,
        entry: &mut Entry,
        prefix: &str,
        provider: Option<Provider>,
        name: &str,
        parameters: &Node,
    ) -> Option<Option<&'static str>> {
        let mode = self.node.get("model_info").and_then(|info| info.get("mode")).and_then(text).unwrap_or("chat");
        if !["chat", "completion"].contains(&mode) {
            entry.off = Some(format!("it is for `{}`, and only chat and completions are served", mode.escape_debug()));
            return None;
        }
        let base = parameters.get("api_base").or_else(|| parameters.get("base_url"));
        let at_host = base.and_then(text).and_then(|address| provider::at(address, self.catalog));
        let provider = match provider {
            Some(Provider::Compatible) => at_host.or(provider),
            _ => provider,
        };
        let (place, suffix) = match (provider, base) {
            (Some(Provider::Host(id)), _) if self.catalog.host(id).is_some() => {
                entry.keys.push(("host", scalar(id)));
                (Some(id), "")
            }
            (Some(Provider::Server(id, suffix)), _) => {
                entry.keys.push(("server", scalar(id)));
                (None, suffix)
            }
            // Whatever speaks OpenAI's API behind an address is used as vLLM is, which asks for nothing special.
            (Some(Provider::Compatible), Some(_)) => {
                entry.keys.push(("server", scalar("vllm")));
                (None, "")
            }
            _ => {
                entry.off = Some(format!("`{}` is no host that is spoken to", prefix.escape_debug()));
                return None;
            }
        };
        entry.keys.push(("name", literal(name)));
        if let (None, None) = (place, base) {
            let at = parameters.place().start;
            let next = "state `base_url` of the deployment, if it is elsewhere";
            let became = "the usual port of such a server on this machine";
            self.findings.note(Grade::Approximate, at, format!("{prefix} without api_base"), became, Some(next));
        }
        let address = base.map(|node| self.address(entry, node, suffix));
        self.key(entry, parameters, place, address.flatten());
        Some(place)
    }

    /// The catalog's id of the model, how sure that is, and what is to be said of it.
    fn model(&mut self, entry: &mut Entry, host: Option<&str>, name: &str) -> Option<(String, Grade, &'static str)> {
        let listed = host.and_then(|host| self.catalog.price(host, name));
        let listed = listed.filter(|row| matches!(row.relation, Relation::Exact | Relation::Variant));
        let found = match listed.and_then(|row| row.model.clone()) {
            Some(model) => Some((model, Grade::Exact, "")),
            None => {
                let by_name = [name, name.rsplit('/').next().unwrap_or(name)];
                let model = by_name.into_iter().find_map(|name| self.catalog.resolve(name));
                model.map(|model| match host {
                    Some(_) => (model.id.clone(), Grade::Approximate, ": told by its name, which no price list has"),
                    None => (model.id.clone(), Grade::Exact, ""),
                })
            }
        };
        let id = found.as_ref().map_or("\"\"".to_owned(), |(model, ..)| scalar(model));
        entry.keys.insert(0, ("model", id));
        let row = found.as_ref().and_then(|(model, ..)| self.catalog.model(model));
        if let Some(row) = row.filter(|row| host.is_none() && row.availability != Availability::Downloadable) {
            entry.off =
                Some(format!("{} publishes no weights of `{}` that a server could have", row.developer, row.id));
        }
        if found.is_none() {
            let near = self.catalog.nearest(name.rsplit('/').next().unwrap_or(name), 3);
            let like = if near.is_empty() { String::new() } else { format!(" (is it {}?)", list(near)) };
            entry.off = Some(format!(
                "the catalog does not know `{}`{like}: write its id as `model`, or describe it in a file of `catalog`",
                name.escape_debug()
            ));
        }
        found
    }

    /// What a deployment can say beside its place: window, region, price.
    fn known(&mut self, entry: &mut Entry, parameters: &Node) {
        let info = self.node.get("model_info");
        let either = |key: &str| parameters.get(key).or_else(|| info.and_then(|info| info.get(key)));
        if let Some(node) = either("max_input_tokens")
            && let Some(tokens) = number(node).filter(|tokens| (1.0..1e12).contains(tokens))
        {
            entry.keys.push(("context", format!("{tokens:.0}")));
            self.findings.note(
                Grade::Exact,
                node.at.start,
                format!("max_input_tokens: {tokens:.0}"),
                "`context`",
                None,
            );
        }
        if let Some(node) = parameters.get("region_name") {
            let became = match text(node) {
                Some(region) if environment(region).is_none() => {
                    entry.keys.push(("region", literal(region)));
                    "`region`, which policies may ask for"
                }
                _ => "nothing: it is no name of a region",
            };
            let grade = if became.starts_with('`') { Grade::Exact } else { Grade::Manual };
            self.findings.note(grade, node.at.start, "region_name", became, None);
        }
        let price =
            |key: &str| either(key).and_then(number).filter(|price| (0.0..1.0).contains(price)).map(per_million);
        let costs = ["input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"];
        let Some(first) = costs.iter().find_map(|key| either(key)) else { return };
        match costs.map(price) {
            [Some(input), Some(output), cached] => {
                let cached = cached.map_or(String::new(), |cached| format!(", cached_input_usd_per_million: {cached}"));
                let value = format!("{{input_usd_per_million: {input}, output_usd_per_million: {output}{cached}}}");
                entry.keys.push(("price", value));
                let became = format!("`price`: {input} and {output} USD per million");
                self.findings.note(Grade::Exact, first.at.start, "the costs per token", became, None);
            }
            _ => {
                let next = "state both prices under `price` of the deployment";
                let became = "nothing: one of input and output is missing, or is no price";
                self.findings.note(Grade::Manual, first.at.start, "the costs per token", became, Some(next));
            }
        }
    }

    /// What is told of parameters that a deployment does not have.
    fn told(&mut self, parameters: &Node, group: &str) {
        for entry in parameters.entries() {
            let key = entry.key.as_str();
            let (became, next) = match key {
                "rpm" | "tpm" | "max_parallel_requests" => (
                    "nothing: a deployment has no limit of its own; one that answers 429 is passed over for a while",
                    None,
                ),
                "max_retries" => ("nothing: `attempts` of the route count instead", None),
                "timeout" | "stream_timeout" => {
                    let became = "`attempts.deadlines` of the route, which are the longest that its deployments have";
                    self.findings.note(Grade::Approximate, entry.key_at.start, format!("{group}: {key}"), became, None);
                    continue;
                }
                key if KNOWN.contains(&key) => continue,
                _ => (
                    "nothing: a deployment has no such setting",
                    Some("let callers send it, if it is a parameter of requests"),
                ),
            };
            self.findings.note(Grade::Unsupported, entry.key_at.start, format!("{group}: {key}"), became, next);
        }
        let read = ["id", "mode", "max_input_tokens", "input_cost_per_token", "output_cost_per_token"];
        let info = self.node.get("model_info").map(Node::entries).unwrap_or_default();
        for entry in info
            .iter()
            .filter(|entry| !read.contains(&entry.key.as_str()) && entry.key != "cache_read_input_token_cost")
        {
            let became = "nothing: what a model is and can do stands in the catalog";
            self.findings.note(
                Grade::Unsupported,
                entry.key_at.start,
                format!("{group}: model_info: {}", entry.key),
                became,
                None,
            );
        }
        let parts = ["model_name", "litellm_params", "model_info"];
        for entry in self.node.entries().iter().filter(|entry| !parts.contains(&entry.key.as_str())) {
            let became = "nothing: an entry has no such part";
            self.findings.note(Grade::Unsupported, entry.key_at.start, format!("{group}: {}", entry.key), became, None);
        }
    }
}

/// A price of a token as that of a million, without the noise of the multiplication.
fn per_million(price: f64) -> f64 {
    (price * 1e12).round() / 1e6
}
