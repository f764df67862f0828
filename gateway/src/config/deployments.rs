//! Deployments as they are written: what is missing is filled in from the catalog, what contradicts it is reported.

mod replicas;

use std::{collections::HashSet, ops::Range, path::PathBuf};

use backends::Api;
use catalog::{Adapters, Catalog, Host, Model, Price, Relation, Server, Task};
use engine::{CacheType, Purpose};
use policies::{Capability, Place};
use remote::{BaseUrl, Replicas, Secret};

use super::{
    Deployment, Target, Weights,
    decode::Spanned,
    found::last_known,
    load::Reading,
    local,
    raw::{RawCacheType, RawDeployment, RawDraft, RawSpoken},
    report::{Problem, list, nearest},
    weights,
    yaml::{Node, Value},
};
use crate::engines::{self, measured::Measured};

/// The catalog id of the model whose weights are part of the binary.
pub(super) const DEMO_MODEL: &str = "pointsman-demo";
/// Bits a weight of the demo model (Q8_0).
pub(super) const DEMO_BITS: f32 = 8.5;

/// The engine's name that leaves the choice to us.
const AUTO: &str = "auto";

/// The deployments that are in order. With `catalog_is_whole` false a model may be in a file that could not be read, so
/// that it is unknown is not reported.
pub(super) fn check(
    reading: &mut Reading<'_>,
    written: &[Spanned<RawDeployment>],
    tree: &Node,
    catalog: &Catalog,
    catalog_is_whole: bool,
    measured: &Measured,
) -> Vec<Deployment> {
    let mut seen = HashSet::new();
    let mut deployments = Vec::new();
    for Spanned { value: raw, at, .. } in written {
        let id = &raw.id;
        let good_id = is_id(&id.value);
        if !good_id {
            let problem = Problem::error("bad-name", format!("{} cannot be the id of a deployment", id.shown()))
                .hint("up to 128 letters, digits, `.`, `_`, `-` and `/`");
            reading.note(problem, id.at.clone());
        } else if !seen.insert(&id.value) {
            let problem = Problem::error("duplicate-id", format!("there are two deployments `{}`", id.value))
                .label("again here")
                .hint("give each its own id");
            reading.note(problem, id.at.clone());
        }
        let node = node_at(tree, at);
        let mut one = One { reading: &mut *reading, measured, raw, at, node, catalog, catalog_is_whole };
        let model = one.model();
        let deployment = match one.place() {
            Some(Chosen::Host(id)) => one.at_host(id, model),
            Some(Chosen::Server(id)) => one.at_server(id, model),
            Some(Chosen::Engine(name)) => one.in_engine(name, model),
            None => None,
        };
        deployments.extend(deployment.filter(|_| good_id));
    }
    deployments
}

/// Letters, digits, `.`, `_`, `-`, `/`, and `:` as in model tags.
pub(super) fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b))
}

/// The one of the three places that a deployment names.
enum Chosen<'a> {
    Host(&'a Spanned<String>),
    Server(&'a Spanned<String>),
    Engine(&'a Spanned<String>),
}

/// Where a server of one's own is.
enum At {
    One(String),
    Many(Replicas),
}

/// One deployment being checked.
struct One<'a, 'r> {
    reading: &'a mut Reading<'r>,
    measured: &'a Measured,
    raw: &'a RawDeployment,
    at: &'a Range<usize>,
    node: Option<&'a Node>,
    catalog: &'a Catalog,
    catalog_is_whole: bool,
}

/// The deployment that stands at `at`, as it is written.
fn node_at<'n>(tree: &'n Node, at: &Range<usize>) -> Option<&'n Node> {
    let Value::List(items) = &tree.get("deployments")?.value else { return None };
    items.iter().find(|node| node.place() == *at)
}

impl<'a> One<'a, '_> {
    fn note(&mut self, problem: Problem, at: &Range<usize>) {
        self.reading.note(problem, at.clone());
    }

    /// Whether one of these keys is there but broken, which is reported: then nothing may be said of its absence.
    fn broken(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.node.and_then(|node| node.get(key)).is_some_and(|node| node.broken))
    }

    fn model(&mut self) -> Option<&'a Model> {
        self.known(&self.raw.model, "serves a model")
    }

    /// The model of the catalog of this name; of one that there is not, it is said what the deployment does with it.
    fn known(&mut self, written: &Spanned<String>, does: &str) -> Option<&'a Model> {
        let model = self.catalog.model(&written.value);
        if model.is_some() || !self.catalog_is_whole {
            return model;
        }
        let name = self.raw.id.value.as_str();
        let problem = Problem::error("unknown-model", format!("deployment `{name}` {does} the catalog does not have"))
            .label("no model with this id");
        // A name that people use - an alias, a repository - may be exactly one model.
        let near = self
            .catalog
            .resolve(&written.value)
            .map_or_else(|| self.catalog.nearest(&written.value, 3), |model| vec![model.id.as_str()]);
        let hint = if near.is_empty() {
            "describe it in a file of `catalog`; `pointsman catalog list` prints every id".to_owned()
        } else {
            format!("did you mean {}? otherwise describe it in a file of `catalog`", list(near))
        };
        self.note(problem.hint(hint), &written.at);
        None
    }

    fn place(&mut self) -> Option<Chosen<'a>> {
        let raw = self.raw;
        match (&raw.host, &raw.server, &raw.engine) {
            (Some(host), None, None) => Some(Chosen::Host(host)),
            (None, Some(server), None) => Some(Chosen::Server(server)),
            (None, None, Some(engine)) => Some(Chosen::Engine(engine)),
            (None, None, None) if self.broken(&["host", "server", "engine"]) => None,
            (None, None, None) => {
                let problem =
                    Problem::error("no-place", format!("deployment `{}` does not say where it runs", raw.id.value))
                        .hint("add one of `host: groq`, `server: vllm`, `engine: native`");
                self.note(problem, self.at);
                None
            }
            _ => {
                let problem =
                    Problem::error("two-places", format!("deployment `{}` says twice where it runs", raw.id.value))
                        .hint(
                            "keep one of `host`, `server` and `engine`, and make a deployment of its own for the other",
                        );
                self.note(problem, self.at);
                None
            }
        }
    }

    /// Notes each of the keys that is there and has no meaning at the chosen place.
    fn refuse(&mut self, place: &str, keys: &[(&str, Option<&Range<usize>>)]) {
        for (key, at) in keys {
            if let Some(at) = at {
                let problem =
                    Problem::error("misplaced-key", format!("`{key}` says nothing about {place}")).hint("remove it");
                self.note(problem, at);
            }
        }
    }

    fn at_host(&mut self, id: &'a Spanned<String>, model: Option<&'a Model>) -> Option<Deployment> {
        let raw = self.raw;
        self.refuse(
            "a host",
            &[
                ("path", raw.path.as_ref().map(|path| &path.at)),
                ("adapter", raw.adapter.as_ref().map(|adapter| &adapter.at)),
                ("mmproj", raw.mmproj.as_ref().map(|mmproj| &mmproj.at)),
                ("draft", raw.draft.as_ref().map(|draft| &draft.at)),
                ("replicas", raw.replicas.as_ref().map(|replicas| &replicas.at)),
                ("load", raw.load.as_ref().map(|load| &load.at)),
                ("pinned", raw.pinned.as_ref().map(|pinned| &pinned.at)),
                ("gpu_layers", raw.gpu_layers.as_ref().map(|layers| &layers.at)),
                ("isq", raw.isq.as_ref().map(|isq| &isq.at)),
                ("cache_type", raw.cache_type.as_ref().map(|kind| &kind.at)),
            ],
        );
        let key = self.key();
        let base_url = self.base_url();
        let Some(host) = self.catalog.host(&id.value) else {
            let hosts: Vec<_> = self.catalog.hosts().map(|host| host.id.as_str()).collect();
            let problem = Problem::error("unknown-host", format!("there is no host {} in the catalog", id.shown()));
            let hint = match nearest(&id.value, hosts.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the hosts are {}; for a server of your own write `server:`", list(hosts)),
            };
            self.note(problem.hint(hint), &id.at);
            return None;
        };
        if raw.key.is_none() && raw.key_file.is_none() && !self.broken(&["key", "key_file"]) {
            let variable = host.key_env.first().map_or("HOST_API_KEY", String::as_str);
            let problem =
                Problem::error("no-key", format!("deployment `{}` has no key for {}", raw.id.value, host.name))
                    .hint(format!("add `key: \"${{{variable}}}\"`, or `key_file` with the file that holds it"));
            self.note(problem, self.at);
        }
        if !host.openai_compatible() {
            self.refuse("a host that has an API of its own", &[("speaks", raw.speaks.as_ref().map(|it| &it.at))]);
        }
        let model = model?;
        // A row that the host no longer lists still knows its name there.
        let offer = offer(self.catalog, &host.id, &model.id).or_else(|| last_known(self.catalog, &host.id, &model.id));
        let name = match (&raw.name, offer) {
            (Some(name), _) => name.value.clone(),
            (None, Some(offer)) => offer.name.clone(),
            (None, None) if self.broken(&["name"]) => return None,
            (None, None) => {
                let problem = Problem::error(
                    "name-required",
                    format!("the catalog does not know what {} calls `{}`", host.name, model.id),
                );
                let hint = format!("add `name:`, what {} calls `{}` in its documentation", host.name, model.id);
                self.note(problem.hint(hint), self.at);
                return None;
            }
        };
        let base_url = match base_url {
            Some(base_url) => base_url?.text,
            None => host.base_url.clone(),
        };
        let listed = self.catalog.price(&host.id, &name);
        let mut deployment = self.deployment(model, Place::Host(host.id.clone()), listed);
        deployment.facts.region = deployment.facts.region.or_else(|| host.region.clone());
        deployment.facts.retention = deployment.facts.retention.or_else(|| host.retention.clone());
        deployment.facts.lacks = host_lacks(host);
        deployment.target = Target::Remote { host: Some(host.id.clone()), base_url, key: Some(key?), name };
        Some(deployment)
    }

    fn at_server(&mut self, id: &'a Spanned<String>, model: Option<&'a Model>) -> Option<Deployment> {
        let raw = self.raw;
        self.refuse(
            "a server",
            &[
                ("path", raw.path.as_ref().map(|path| &path.at)),
                ("mmproj", raw.mmproj.as_ref().map(|mmproj| &mmproj.at)),
                ("draft", raw.draft.as_ref().map(|draft| &draft.at)),
                ("load", raw.load.as_ref().map(|load| &load.at)),
                ("pinned", raw.pinned.as_ref().map(|pinned| &pinned.at)),
                ("gpu_layers", raw.gpu_layers.as_ref().map(|layers| &layers.at)),
                ("isq", raw.isq.as_ref().map(|isq| &isq.at)),
                ("cache_type", raw.cache_type.as_ref().map(|kind| &kind.at)),
            ],
        );
        let key = self.key();
        let base_url = self.base_url();
        let Some(server) = self.catalog.server(&id.value) else {
            let servers: Vec<_> = self.catalog.servers().map(|server| server.id.as_str()).collect();
            let problem = Problem::error("unknown-server", format!("there is no server {} in the catalog", id.shown()));
            let hint = match nearest(&id.value, servers.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the servers are {}", list(servers)),
            };
            self.note(problem.hint(hint), &id.at);
            return None;
        };
        let path = server.base_path.as_deref().unwrap_or("/v1").trim_end_matches('/');
        let replicas = self.replicas(path);
        let target = match (replicas, base_url, server.default_port) {
            (Some(replicas), _, _) => At::Many(replicas?),
            (None, Some(base_url), _) => At::One(base_url?.text),
            (None, None, _) if self.broken(&["base_url", "replicas"]) => return None,
            (None, None, Some(port)) => At::One(format!("http://127.0.0.1:{port}{path}")),
            (None, None, None) => {
                let problem =
                    Problem::error("missing-key", format!("a deployment at {} needs the key `base_url`", server.name))
                        .hint("for example `base_url: \"http://127.0.0.1:9000/v1\"`; `replicas` for several servers");
                self.note(problem, self.at);
                return None;
            }
        };
        let model = model?;
        let adapter = match &raw.adapter {
            Some(written) => Some(self.adapter(written, server, model)?),
            None => None,
        };
        // An adapter is loaded beside its base, which the server goes by.
        let base = adapter.as_ref().and_then(|_| self.catalog.model(model.adapts()?)).unwrap_or(model);
        // Most servers go by the repository of the weights unless they are told another name.
        let name = match (&raw.name, &base.repo) {
            (Some(name), _) => name.value.clone(),
            (None, Some(repo)) => repo.clone(),
            (None, None) => base.id.clone(),
        };
        let key = match (raw.key.is_some() || raw.key_file.is_some(), key) {
            (true, None) => return None,
            (_, key) => key,
        };
        let mut deployment = self.deployment(model, Place::Server(server.id.clone()), None);
        deployment.adapter = adapter;
        deployment.facts.lacks = server_lacks(server);
        deployment.target = match target {
            At::One(base_url) => Target::Remote { host: None, base_url, key, name },
            At::Many(replicas) => Target::Fleet { replicas, key, name },
        };
        Some(deployment)
    }

    fn in_engine(&mut self, name: &'a Spanned<String>, model: Option<&'a Model>) -> Option<Deployment> {
        let raw = self.raw;
        self.refuse(
            "an engine in this process",
            &[
                ("name", raw.name.as_ref().map(|name| &name.at)),
                ("key", raw.key.as_ref().map(|key| &key.at)),
                ("key_file", raw.key_file.as_ref().map(|file| &file.at)),
                ("base_url", raw.base_url.as_ref().map(|url| &url.at)),
                ("speaks", raw.speaks.as_ref().map(|speaks| &speaks.at)),
                ("replicas", raw.replicas.as_ref().map(|replicas| &replicas.at)),
            ],
        );
        let model = model?;
        let weights = match &raw.path {
            Some(path) => self.weights(path)?,
            None if self.broken(&["path"]) => return None,
            None if model.id == DEMO_MODEL => Weights::BuiltIn,
            None => {
                let problem =
                    Problem::error("missing-key", format!("an engine that runs `{}` needs the key `path`", model.id))
                        .hint("`path: models/FILE.gguf`, or a folder of safetensors; only the demo model is built in");
                self.note(problem, self.at);
                return None;
            }
        };
        let looked_at = match (&raw.path, self.catalog.looks_at_weights(&model.id)) {
            (Some(path), Some(beside)) => self.look(&weights, &beside, &path.at)?,
            _ => None,
        };
        let adapter = match &raw.adapter {
            Some(written) => Some(self.adapter_over(written, model)?),
            None => None,
        };
        let mmproj = match &raw.mmproj {
            Some(written) => Some(self.gguf(written, "a projector")?),
            None => None,
        };
        let draft = match &raw.draft {
            Some(written) => Some(self.draft(&written.value)?),
            None => None,
        };
        let (draft_model, draft) = draft.unzip();
        let beside = engines::Beside {
            adapter: adapter.as_ref(),
            projector: mmproj.is_some(),
            draft: draft.as_deref(),
            cache: self.cache_type(),
        };
        let (engine, because) = self.engine(name, &weights, beside)?;
        let asked = engines::Asked { adapter, mmproj, draft, ..engines::Asked::default() };
        let asked = self.of_engine(engine, &weights, asked)?;
        let purpose = self.purpose(name, engine, &weights, model)?;
        let mut deployment = self.deployment(model, Place::Local { engine: engine.name().to_owned() }, None);
        deployment.engine_because = because;
        deployment.facts.weights = looked_at;
        deployment.facts.draft = draft_model;
        if weights == Weights::BuiltIn {
            deployment.facts.quantization_bits = Some(DEMO_BITS);
        }
        local(&mut deployment, model, purpose, engine.sees(&weights, &asked));
        deployment.target = Target::Engine { engine, weights, asked };
        Some(deployment)
    }

    /// The engine that is named; and where `auto` chose it, why.
    fn engine(
        &mut self,
        name: &Spanned<String>,
        weights: &Weights,
        beside: engines::Beside<'_>,
    ) -> Option<(engines::Kind, Option<String>)> {
        let named = engines::Kind::named(&name.value);
        let built = || list(engines::Kind::built().map(engines::Kind::name));
        let problem = match named {
            Some(engine) if *weights == Weights::BuiltIn && engine != engines::Kind::Native => {
                let message =
                    format!("the weights that are built in are read by `native`, and {} reads files", name.shown());
                Problem::error("missing-key", message).hint("write `engine: native`, or `path` with a file")
            }
            Some(engine) if engine.is_built() => return Some((engine, None)),
            Some(engine) => Problem::error("unknown-engine", format!("this build has no engine {}", name.shown()))
                .hint(format!("build it with `--features {engine}`; the engines of this build are {}", built())),
            None if name.value == AUTO => match engines::choose(weights, beside, self.measured) {
                Ok(engines::Chosen { engine, why }) => return Some((engine, Some(why))),
                Err(why) => {
                    let lacking =
                        engines::Kind::ALL.into_iter().filter(|kind| !kind.is_built()).map(engines::Kind::name);
                    let lacking: Vec<_> = lacking.collect();
                    let hint = match lacking.is_empty() {
                        true => "a server of its own may read it: `server:` instead of `engine:`".to_owned(),
                        false => format!("a build with {} may read it: `--features full`", list(lacking)),
                    };
                    Problem::error("unreadable-weights", format!("no engine of this build reads the weights: {why}"))
                        .hint(hint)
                }
            },
            None => Problem::error("unknown-engine", format!("there is no engine {}", name.shown()))
                .hint(format!("the engines of this build are {}; `auto` takes the best for the file", built())),
        };
        self.note(problem, &name.at);
        None
    }

    /// Whether the engine loads the projector that is written, if one is.
    fn projects(&mut self, engine: engines::Kind) -> Option<()> {
        let Some(written) = self.raw.mmproj.as_ref().filter(|_| !engine.projects()) else { return Some(()) };
        let others = list(engines::Kind::ALL.into_iter().filter(|kind| kind.projects()).map(engines::Kind::name));
        let problem = Problem::error("no-projectors", format!("the engine `{engine}` loads no projectors"))
            .hint(format!("of the engines of this process {others} does, in a build with `--features full`"));
        self.note(problem, &written.at);
        None
    }

    /// What is asked of the engine, if it can do that.
    fn of_engine(
        &mut self,
        engine: engines::Kind,
        weights: &Weights,
        beside: engines::Asked,
    ) -> Option<engines::Asked> {
        let raw = self.raw;
        if let (Some(written), Some(adapter)) = (&raw.adapter, &beside.adapter)
            && let Err(why) = engine.puts(adapter, weights)
        {
            let problem =
                Problem::error("wrong-adapter", format!("the engine `{engine}` cannot put it over the weights"));
            self.note(problem.label(why), &written.at);
            return None;
        }
        self.projects(engine)?;
        if let (Some(written), Some(draft)) = (&raw.draft, &beside.draft)
            && let Err(why) = engine.drafts(draft, weights)
        {
            let message = format!("the engine `{engine}` cannot have it guess for the weights");
            self.note(Problem::error("wrong-draft", message).label(why), &written.value.path.at);
            return None;
        }
        let gpu_layers = raw.gpu_layers.as_ref().and_then(|written| {
            let place = match engine {
                engines::Kind::Native => Some("an engine that computes on processors"),
                engines::Kind::LlamaCpp => None,
                engines::Kind::MistralRs => Some("an engine that places layers itself"),
            };
            if let (Some(place), 1..) = (place, written.value) {
                self.refuse(place, &[("gpu_layers", Some(&written.at))]);
            }
            let layers = u32::try_from(written.value).ok();
            if layers.is_none() {
                let problem = Problem::error("out-of-range", "`gpu_layers` is not a number of layers");
                self.note(problem.hint("leave it out for as many as fit"), &written.at);
            }
            layers
        });
        let cache = self.cache_type();
        if let Some(written) = raw.cache_type.as_ref().filter(|_| !engine.keeps(cache)) {
            let others = list(engines::Kind::ALL.into_iter().filter(|kind| kind.keeps(cache)).map(engines::Kind::name));
            let message = format!("the engine `{engine}` does not keep keys and values as `{cache}`");
            let problem = Problem::error("misplaced-key", message);
            self.note(problem.hint(format!("leave it out; {others} can")), &written.at);
        }
        let isq = raw.isq.as_ref().map(|isq| isq.value.clone());
        if let Some(written) = &raw.isq
            && let Err(why) = engine.quantises(weights, &written.value)
        {
            let problem = Problem::error("misplaced-key", format!("`isq`: {why}"));
            self.note(problem.hint("leave it out for the weights as they are"), &written.at);
        }
        let context_tokens = raw.context.as_ref().map(|tokens| tokens.value);
        let cache = self.cache_type();
        Some(engines::Asked { context_tokens, gpu_layers, isq, cache, ..beside })
    }

    /// What keys and values are to be kept as.
    fn cache_type(&self) -> CacheType {
        match self.raw.cache_type.as_ref().map(|written| written.value) {
            None | Some(RawCacheType::F16) => CacheType::F16,
            Some(RawCacheType::Q8_0) => CacheType::Q8_0,
        }
    }

    /// What the engine makes of texts with the weights, if that is what the catalog's model is asked for.
    fn purpose(
        &mut self,
        name: &Spanned<String>,
        engine: engines::Kind,
        weights: &Weights,
        model: &Model,
    ) -> Option<Purpose> {
        let purpose = engine.purpose(weights);
        if model.does(task(purpose)) {
            return Some(purpose);
        }
        let message =
            format!("`{engine}` makes {} with the file, and `{}` is not asked for that", purpose.name(), model.id);
        let hint = "serve the file as the model that it is, or describe that in a file of `catalog`, with `tasks`";
        self.note(Problem::error("wrong-task", message).hint(hint), &name.at);
        None
    }

    /// The adapter for an engine in this process, if the catalog says what the model adapts.
    fn adapter_over(&mut self, written: &Spanned<String>, model: &Model) -> Option<Weights> {
        if let Some(problem) = no_adapter(model) {
            self.note(problem, &written.at);
            return None;
        }
        self.weights(written)
    }

    /// The draft that is written: its model in the catalog, and its file.
    fn draft(&mut self, written: &RawDraft) -> Option<(String, PathBuf)> {
        let model = self.known(&written.model, "has a draft that")?;
        Some((model.id.clone(), self.gguf(&written.path, "a draft")?))
    }

    /// A GGUF file that is loaded beside weights.
    fn gguf(&mut self, written: &Spanned<String>, what: &str) -> Option<PathBuf> {
        let Weights::File(file) = self.weights(written)? else {
            let problem = Problem::error("unreadable-file", format!("{what} is a GGUF file, and this is none"));
            self.note(problem, &written.at);
            return None;
        };
        Some(file)
    }

    /// The adapter that is written, if requests to such a server can name one and the catalog says what it adapts.
    fn adapter(&mut self, written: &Spanned<String>, server: &Server, model: &Model) -> Option<String> {
        let adapter = &written.value;
        let problem = match (&server.adapters, &self.raw.name) {
            (None, _) => {
                let message = format!("no request to {} names an adapter", server.name);
                Problem::error("no-adapters", message).hint("if the server lists it as a model, write that as `name`")
            }
            (Some(Adapters::Model), Some(_)) => {
                let message =
                    format!("at {} an adapter is a model of its own, and its name stands here twice", server.name);
                Problem::error("two-names", message).hint("keep `adapter` and remove `name`")
            }
            (Some(Adapters::Numbered(_)), _) if adapter.parse::<u16>().is_err() => {
                let message = format!("{} counts its adapters, and {} is no number", server.name, written.shown());
                Problem::error("wrong-value", message).hint("`GET /lora-adapters` lists them with their numbers")
            }
            _ if !is_id(adapter) => Problem::error("bad-name", format!("{} cannot be an adapter", written.shown()))
                .hint("up to 128 letters, digits, `.`, `_`, `-`, `:` and `/`"),
            _ => match no_adapter(model) {
                Some(problem) => problem,
                None => return Some(adapter.clone()),
            },
        };
        self.note(problem, &written.at);
        None
    }

    fn weights(&mut self, path: &Spanned<String>) -> Option<Weights> {
        let found = self.reading.path(&path.value);
        if found.exists() {
            return Some(Weights::at(found));
        }
        let problem = Problem::error("unreadable-file", "there is no such file or folder of weights")
            .label(if path.from_environment { String::new() } else { found.display().to_string() })
            .hint("a relative path is relative to this file");
        self.note(problem, &path.at);
        None
    }

    /// The digests of weights whose licence depends on them; none within of those that are built in.
    fn look(&mut self, weights: &Weights, beside: &[&str], at: &Range<usize>) -> Option<Option<catalog::Weights>> {
        match weights::look(weights, beside) {
            Ok(looked_at) => Some(looked_at),
            Err(error) => {
                let problem = Problem::error("unreadable-file", format!("the weights cannot be read: {error}"));
                self.note(problem.hint("their licence was concluded from their digest, so they have to be read"), at);
                None
            }
        }
    }

    /// The key, if there is one that is in order. A key in the file itself is refused: files are copied and committed.
    fn key(&mut self) -> Option<Secret> {
        let raw = self.raw;
        match (&raw.key, &raw.key_file) {
            (Some(key), Some(_)) => {
                let problem =
                    Problem::error("two-keys", format!("deployment `{}` has `key` and `key_file`", raw.id.value));
                self.note(problem.hint("keep one of them"), &key.at);
                None
            }
            (Some(key), None) if !key.from_environment => {
                let problem = Problem::error("literal-key", "a key may not stand in a configuration file")
                    .label("not from the environment")
                    .hint("write `key: \"${NAME}\"` and set the variable, or `key_file` with the file that holds it");
                self.note(problem, &key.at);
                None
            }
            (Some(key), None) => self.secret(&key.value, "the environment variable", &key.at),
            (None, Some(file)) => {
                let source = self.reading.named_file(file, "key file")?;
                self.secret(&source.text, "the key file", &file.at)
            }
            (None, None) => None,
        }
    }

    fn secret(&mut self, text: &str, from: &str, at: &Range<usize>) -> Option<Secret> {
        let text = text.trim();
        // What a header cannot carry would fail at every request, so it fails here.
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(Secret::new(text));
        }
        let problem = Problem::error("bad-key", format!("{from} does not hold one key"))
            .hint("a key is one line of letters, digits and signs, without spaces");
        self.note(problem, at);
        None
    }

    /// The address that is written: none if there is none, none within if it is not in order.
    fn base_url(&mut self) -> Option<Option<BaseUrl>> {
        let written = self.raw.base_url.as_ref()?;
        Some(self.address(written))
    }

    fn sends_key(&self) -> bool {
        self.raw.key.is_some() || self.raw.key_file.is_some()
    }

    fn address(&mut self, written: &Spanned<String>) -> Option<BaseUrl> {
        match BaseUrl::parse(&written.value) {
            Ok(url) if self.sends_key() && !url.encrypted && !url.loopback => {
                let problem = Problem::error("unencrypted-key", "the key would travel unencrypted")
                    .label("`http` beyond this machine")
                    .hint("use `https`; plain `http` with a key is for loopback addresses only");
                self.note(problem, &written.at);
                None
            }
            Ok(url) => Some(url),
            Err(why) => {
                let problem = Problem::error("address", format!("{} is not a base address: {why}", written.shown()))
                    .hint("for example https://api.example.com/v1");
                self.note(problem, &written.at);
                None
            }
        }
    }

    fn hardware(&mut self) -> Option<String> {
        let written = self.raw.hardware.as_ref()?;
        if self.catalog.hardware(&written.value).is_none() {
            let known: Vec<_> = self.catalog.all_hardware().map(|hardware| hardware.id.as_str()).collect();
            let message = format!("there is no hardware {} in the catalog", written.shown());
            let hint = match nearest(&written.value, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the catalog has {}", list(known)),
            };
            self.note(Problem::error("unknown-hardware", message).hint(hint), &written.at);
        }
        Some(written.value.clone())
    }

    /// What policies see, from the file and then from the price list of the host.
    fn deployment(&mut self, model: &Model, place: Place, listed: Option<&Price>) -> Deployment {
        let raw = self.raw;
        let mut facts = policies::Deployment::new(raw.id.value.as_str(), model.id.as_str(), place);
        facts.region = raw.region.as_ref().map(|region| region.value.clone());
        facts.retention = raw.retention.as_ref().map(|retention| retention.value.clone());
        facts.training_use = raw.training_use.as_ref().map(|word| word.value.clone());
        facts.hardware = self.hardware();
        facts.effective_context_tokens = raw.effective_context.as_ref().map(|tokens| tokens.value);
        facts.quantization_bits = raw.quantization_bits.as_ref().and_then(|bits| {
            let fits = bits.value.is_finite() && (1.0..=32.0).contains(&bits.value);
            if !fits {
                let problem = Problem::error("out-of-range", "`quantization_bits` is not a number of bits a weight");
                self.note(problem.label("expected 1 to 32"), &bits.at);
            }
            fits.then_some(bits.value as f32)
        });
        facts.context_tokens = match &raw.context {
            Some(written) => {
                self.context(written, model);
                Some(written.value)
            }
            None => {
                listed.and_then(|listed| trusted(listed, "context", listed.context_tokens)).or(model.context_tokens)
            }
        };
        if let (Some(written), Some(window)) = (&raw.effective_context, facts.context_tokens)
            && !(1..=window).contains(&written.value)
        {
            let problem = Problem::error("out-of-range", "`effective_context` is not a part of the context window");
            self.note(problem.label(format!("expected 1 to {window}")), &written.at);
        }
        match &raw.price {
            Some(price) => {
                facts.input_usd_per_million = self.amount(&price.input_usd_per_million);
                facts.output_usd_per_million = self.amount(&price.output_usd_per_million);
                facts.cached_input_usd_per_million =
                    price.cached_input_usd_per_million.as_ref().and_then(|amount| self.amount(amount));
            }
            None => {
                if let Some(listed) = listed {
                    facts.input_usd_per_million = trusted(listed, "price", listed.input_usd_per_million);
                    facts.output_usd_per_million = trusted(listed, "price", listed.output_usd_per_million);
                    facts.cached_input_usd_per_million = trusted(listed, "price", listed.cached_input_usd_per_million);
                }
            }
        }
        // The place is filled in by who called; until then it is the demo model's.
        let target = Target::demo();
        let max_concurrent = self.max_concurrent();
        let shared_cache = self.raw.shared_cache.as_ref().is_some_and(|shared| shared.value);
        let spoken = self.raw.speaks.iter().flat_map(|speaks| &speaks.value);
        let speaks = spoken.map(|api| match api {
            RawSpoken::Messages => Api::Messages,
            RawSpoken::Responses => Api::Responses,
        });
        let speaks = speaks.collect();
        let keep = local::keep(raw);
        Deployment { facts, target, keep, engine_because: None, max_concurrent, shared_cache, adapter: None, speaks }
    }

    fn max_concurrent(&mut self) -> Option<u32> {
        let written = self.raw.max_concurrent.as_ref()?;
        let fits = u32::try_from(written.value).ok().filter(|most| *most > 0);
        if fits.is_none() {
            let problem = Problem::error("out-of-range", "`max_concurrent` is not a number of requests");
            self.note(problem.label("expected 1 or more; leave it out for no bound"), &written.at);
        }
        fits
    }

    fn context(&mut self, written: &Spanned<u64>, model: &Model) {
        let longest = model.context_tokens.max(model.context_extended_tokens);
        if written.value == 0 {
            let problem = Problem::error("out-of-range", "a context window of nothing").label("expected 1 or more");
            self.note(problem, &written.at);
        } else if let Some(longest) = longest.filter(|longest| written.value > *longest) {
            let problem = Problem::warning("long-context", format!("`{}` is made for {longest} tokens", model.id))
                .label("longer than the model's window")
                .hint("answers on longer prompts are likely to be poor");
            self.note(problem, &written.at);
        }
    }

    fn amount(&mut self, written: &Spanned<f64>) -> Option<f64> {
        if written.value.is_finite() && written.value >= 0.0 {
            return Some(written.value);
        }
        let problem = Problem::error("out-of-range", "a price is not negative").label("expected 0 or more");
        self.note(problem, &written.at);
        None
    }
}

/// What is wrong with a model that is to be served as an adapter.
fn no_adapter(model: &Model) -> Option<Problem> {
    let message = format!("the catalog does not say which model `{}` adapts", model.id);
    let hint =
        "describe it in a file of `catalog` with `parents: [{of: BASE, by: adapter}]`: the licences of both bind";
    model.adapts().is_none().then(|| Problem::error("not-an-adapter", message).hint(hint))
}

/// What the catalog calls what an engine makes of texts.
pub(super) fn task(purpose: Purpose) -> Task {
    match purpose {
        Purpose::Text => Task::Generation,
        Purpose::Vectors => Task::Embeddings,
        Purpose::Scores => Task::Rerank,
    }
}

/// What holds for every model that runs in this process: nobody else sees the prompt, nobody is paid by the token, and it is
/// for one thing alone.
pub(super) fn local(deployment: &mut Deployment, model: &Model, purpose: Purpose, sees: bool) {
    let facts = &mut deployment.facts;
    facts.retention = facts.retention.take().or_else(|| Some("none".to_owned()));
    facts.training_use = facts.training_use.take().or_else(|| Some("none".to_owned()));
    facts.input_usd_per_million = facts.input_usd_per_million.or(Some(0.0));
    facts.output_usd_per_million = facts.output_usd_per_million.or(Some(0.0));
    let only = match purpose {
        Purpose::Text => Capability::Generation,
        Purpose::Vectors => Capability::Embeddings,
        Purpose::Scores => Capability::Rerank,
    };
    let tasks = policies::Task::ALL.map(policies::Task::capability);
    let others =
        tasks.into_iter().chain([Capability::Generation]).filter(|it| ![only, Capability::Tokens].contains(it));
    facts.lacks = others.map(|it| it.to_string()).collect();
    if purpose != Purpose::Text {
        return;
    }
    // The engine gives log-probabilities, keeps every model to a schema, and tells it of tools. It takes images where it says
    // so of the files, and no sound, whatever the model was trained for.
    let known = |name: &str| model.capabilities.iter().any(|known| known == name);
    facts.capabilities = [
        (Capability::Image, sees),
        (Capability::JsonSchema, true),
        (Capability::Logprobs, true),
        (Capability::Reasoning, known("reasoning")),
        (Capability::Tools, true),
    ]
    .into_iter()
    .filter(|(_, has)| *has)
    .map(|(capability, _)| capability.to_string())
    .collect();
}

/// What no deployment at a host can do, in the words of policies.
pub(super) fn host_lacks(host: &Host) -> Vec<String> {
    let mut words = lacks(&host.unsupported);
    let offered = [
        (Capability::Completions, &host.paths.completions),
        (Capability::Embeddings, &host.paths.embeddings),
        (Capability::Rerank, &host.paths.rerank),
        (Capability::Moderations, &host.paths.moderations),
        (Capability::Images, &host.paths.images),
        (Capability::Speech, &host.paths.speech),
        (Capability::Transcriptions, &host.paths.transcriptions),
        (Capability::Tokens, &None),
    ];
    words.extend(missing(offered));
    words
}

/// What no deployment on a server can do.
fn server_lacks(server: &Server) -> Vec<String> {
    let mut words = lacks(&server.unsupported);
    let tokenize = server.tokenize.as_ref().map(|how| how.path.clone());
    let offered = [
        (Capability::Embeddings, &server.paths.embeddings),
        (Capability::Rerank, &server.paths.rerank),
        (Capability::Moderations, &None),
        (Capability::Images, &server.paths.images),
        (Capability::Speech, &server.paths.speech),
        (Capability::Transcriptions, &server.paths.transcriptions),
        (Capability::Tokens, &tokenize),
    ];
    words.extend(missing(offered));
    words
}

/// What has no path, in the words of policies.
fn missing<const N: usize>(offered: [(Capability, &Option<String>); N]) -> impl Iterator<Item = String> {
    offered.into_iter().filter(|(_, path)| path.is_none()).map(|(capability, _)| capability.to_string())
}

/// What is lost where these request fields are not taken. A field without a word here changes no answer that a caller
/// could miss, or is so rare that the backend turns it away when it comes.
fn lacks(unsupported: &[String]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for field in unsupported {
        let capability = match field.as_str() {
            "n" => Capability::Choices,
            "logprobs" | "top_logprobs" => Capability::Logprobs,
            "logit_bias" => Capability::LogitBias,
            "tools" => Capability::Tools,
            "response_format" => Capability::JsonSchema,
            "seed" => Capability::Seed,
            "frequency_penalty" | "presence_penalty" => Capability::Penalties,
            _ => continue,
        };
        if !words.iter().any(|word| word == capability.as_str()) {
            words.push(capability.to_string());
        }
    }
    words
}

/// The best row of a host's list that is this very model, perhaps quantized. Another checkpoint of its line is another
/// model with perhaps another licence, and never stands in for it.
pub(super) fn offer<'c>(catalog: &'c Catalog, host: &str, model: &str) -> Option<&'c Price> {
    let offers = catalog.offers(host, model);
    offers.into_iter().find(|price| matches!(price.relation, Relation::Exact | Relation::Variant))
}

/// A figure of a price list, unless the list's figure looks like a placeholder.
pub(super) fn trusted<T>(listed: &Price, what: &str, figure: Option<T>) -> Option<T> {
    figure.filter(|_| !listed.suspect.iter().any(|suspect| suspect == what))
}
