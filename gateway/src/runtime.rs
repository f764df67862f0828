//! One loaded configuration, ready to serve, and the gateway that swaps it whole.
//!
//! A request takes one [`Runtime`] at its start and keeps it to its end, so a reload never changes a request in
//! flight. A reload that fails leaves the last good runtime in place. Engines and statistics of deployments that
//! did not change are carried over: a policy edit loads no model again.

mod crowds;
mod local;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use backends::{Backend, BackendId, Prefixes, Probe};
use http::HeaderValue;
use ledger::Ledger;
use metrics_exporter_prometheus::PrometheusHandle;
use policies::{Facts, Live, Snapshot, Verdict};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    anchors,
    answers::Answers,
    batches::Batches,
    config::{self, Access, Config, Environment, Overrides, Target},
    dispatch::{
        Place, Retries, chain,
        stats::{Epoch, Lengths, Size, Stats, Vacancy},
    },
    files::Files,
    fleet,
    handle::shadow,
    instance::Instance,
    kept,
    keys::{Grant, KeysFile},
    observe::{self, Series},
    quota::Quotas,
    residency::{Machine, Resident},
    respond::error::ApiError,
    route::{Cached, caps::Caps, waiting::Waiting},
    settle,
    subjects::{self, Subjects},
    tally,
    tokens::Tokens,
    wire::models::Model,
};

use self::crowds::Crowds;

/// The process: what is shared by all requests and outlives reloads.
#[derive(Debug)]
pub struct Gateway {
    runtime: ArcSwap<Runtime>,
    /// The record of decisions.
    pub ledger: Ledger,
    /// This run of the gateway, as that record has it.
    pub instance: Arc<Instance>,
    /// Who stands behind the pseudonyms of that record.
    pub subjects: Arc<Subjects>,
    /// The witness that it is for other logs.
    pub witness: Arc<anchors::witness::Own>,
    /// Room for requests that are mirrored.
    pub shadows: Arc<Semaphore>,
    /// Requests that callers want answered later, and their files.
    pub batches: Batches,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// How the configuration was found, to find it again.
    source: Source,
    client: remote::Client,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// `--config`; none is the zero-config mode.
    pub file: Option<PathBuf>,
    /// What the command line says over it.
    pub overrides: Overrides,
}

impl Source {
    /// Loads it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(&self) -> Result<(Config, policies::Report), policies::Report> {
        let environment = Environment::process();
        match &self.file {
            Some(file) => config::load(file, &self.overrides, &environment),
            None => config::zero(&self.overrides, &environment),
        }
    }
}

/// A deployment, ready to serve.
#[derive(Debug)]
pub struct Deployed {
    /// What policies see of it.
    pub facts: policies::Deployment,
    /// Its metrics.
    pub series: Series,
    /// Its id as a response header.
    pub id_header: HeaderValue,
    /// Its model as a response header.
    pub model_header: HeaderValue,
    /// Its model in this process, where it runs there.
    pub resident: Option<Arc<Resident>>,
    target: Target,
    shared_cache: bool,
    adapter: Option<String>,
    speaks: Vec<backends::Api>,
}

/// One loaded configuration, ready to serve.
#[derive(Debug)]
pub struct Runtime {
    /// The configuration.
    pub config: Config,
    /// The deployments, in the order that policies know.
    pub deployed: Vec<Arc<Deployed>>,
    /// Their facts, in the same order.
    pub facts: Vec<policies::Deployment>,
    /// Their backends and statistics, in the same order.
    pub places: Vec<Place>,
    /// The digest of its policies as a response header: the first 16 digits.
    pub policy_header: HeaderValue,
    /// How long the answers of each route are.
    pub lengths: Lengths,
    /// Requests that wait for a deployment to be available.
    pub waiting: Arc<Waiting>,
    /// What attempts beyond the first are paid from.
    pub retries: Arc<Retries>,
    /// Whose tokens let their bearers in.
    pub tokens: Tokens,
    /// What waivers may still carry.
    pub caps: Caps,
    /// What may be asked for and spent, and what is left of it.
    pub quotas: Quotas,
    /// Answers that are given again.
    pub answers: Arc<Answers>,
    /// Which places were sent which prompts.
    pub prefixes: Arc<Prefixes>,
    /// Whether some host wants to be told which conversation a request belongs to.
    pub names_sessions: bool,
    /// Answers that callers may go on from.
    pub kept: Arc<kept::Store>,
    /// The memory that models of this process share.
    pub machine: Arc<Machine>,
    /// Those of all statistics.
    epoch: Epoch,
    vacancy: Arc<Vacancy>,
    crowds: Crowds,
    models: Vec<Model>,
}

/// A configuration could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A deployment could not be.
    #[error("deployment `{deployment}` cannot be started: {reason}")]
    Deployment {
        /// Its id.
        deployment: String,
        /// What failed.
        reason: String,
    },
    /// Models do not fit into the memory that they may take.
    #[error(
        "{0}; load some on demand (`load: demand`), give them a shorter `context`, or let them have more \
         (`local: {{memory: ...}}`)"
    )]
    Memory(String),
    /// It is not known what was spent.
    #[error(
        "`budgets.json` in the data folder, which says what was spent of the budgets, cannot be read ({0}); put it right, or \
         move it away to begin with nothing spent"
    )]
    Spent(io::Error),
    /// It is not known what capped waivers have carried.
    #[error("the ledger, which says what waivers with a cap have carried, cannot be read: {0}")]
    Carried(ledger::ReadError),
    /// What the gateways of a fleet share cannot be.
    #[error("`fleet` cannot be started: {0}")]
    Fleet(redis::RedisError),
}

#[cfg(test)]
impl Deployed {
    /// A deployment that nothing runs.
    pub(crate) fn for_tests(id: &str, model: &str) -> Self {
        Self {
            facts: policies::Deployment::new(id, model, policies::Place::Server("vllm".into())),
            series: Series::new(id, model),
            id_header: HeaderValue::from_static("d"),
            model_header: HeaderValue::from_static("m"),
            resident: None,
            target: Target::demo(),
            shared_cache: false,
            adapter: None,
            speaks: Vec::new(),
        }
    }
}

impl Runtime {
    /// Starts what a configuration names, taking over what `previous` already runs.
    ///
    /// # Errors
    /// The first deployment that cannot be started.
    pub fn start(mut config: Config, client: &remote::Client, previous: Option<&Runtime>) -> Result<Self, StartError> {
        if let (Access::Keys(keys), Some(Access::Keys(before))) =
            (&mut config.access, previous.map(|previous| &previous.config.access))
        {
            keys.follow(before);
        }
        let epoch = previous.map_or_else(Epoch::start, |previous| previous.epoch);
        let vacancy = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.vacancy));
        let budget = config.local.budget();
        local::fits(&config, budget)?;
        let machine = previous.map(|previous| Arc::clone(&previous.machine));
        let machine = machine.unwrap_or_else(|| Arc::new(Machine::new(config.local, budget)));
        let mut deployed = Vec::with_capacity(config.deployments.len());
        let mut places = Vec::with_capacity(config.deployments.len());
        let mut carried_on = Vec::new();
        for deployment in &config.deployments {
            let before = previous.and_then(|previous| {
                let at = previous.deployed.iter().position(|old| old.facts.id == deployment.facts.id)?;
                let place = &previous.places[at];
                let old = &previous.deployed[at];
                let same = old.target == deployment.target
                    && old.shared_cache == deployment.shared_cache
                    && old.adapter == deployment.adapter
                    && old.speaks == deployment.speaks
                    && old.facts.weights == deployment.facts.weights
                    && old.facts.draft == deployment.facts.draft;
                // An engine that died is started anew. A place elsewhere is asked how it is all the time, and is told by that.
                let died = || place.local && !place.backend.load(&Probe::default()).healthy;
                (same && !died()).then(|| (place.clone(), old.resident.clone(), at))
            });
            let (place, resident) = match before {
                Some((place, resident, at)) => {
                    let before = previous.map(|previous| previous.config.deployments[at].keep);
                    carried_on.extend(resident.clone().map(|resident| (resident, deployment.keep, before)));
                    (place, resident)
                }
                None => {
                    let (backend, resident) = backend(deployment, &config, client, &machine)?;
                    let stats = Arc::new(Stats::new(epoch, Arc::clone(&vacancy)));
                    let local = resident.is_some();
                    (Place { backend, stats, site: site(deployment), local }, resident)
                }
            };
            place.stats.set_most(deployment.max_concurrent);
            places.push(place);
            let header = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("?"));
            deployed.push(Arc::new(Deployed {
                series: Series::new(&deployment.facts.id, &deployment.facts.model),
                id_header: header(&deployment.facts.id),
                model_header: header(&deployment.facts.model),
                facts: deployment.facts.clone(),
                resident,
                target: deployment.target.clone(),
                shared_cache: deployment.shared_cache,
                adapter: deployment.adapter.clone(),
                speaks: deployment.speaks.clone(),
            }));
        }
        let facts = config.deployments.iter().map(|deployment| deployment.facts.clone()).collect();
        let models = models(&config);
        // The first request of each context finds its decisions made.
        config.catalog.compile(config.contexts.values().map(|context| &*context.use_), settle::today());
        let policy_header = config.policy_digest.get(..16).and_then(|digest| HeaderValue::from_str(digest).ok());
        let policy_header = policy_header.unwrap_or_else(|| HeaderValue::from_static("?"));
        let routes = config.policies.routes().chain([policies::DIRECT]);
        let (bounds, answers_bytes) = (config.limits.responses, config.limits.answers_bytes);
        let retries = previous.map(|previous| &previous.retries);
        let retries =
            carried(retries, |retries| retries.bounds() == config.retry_budget, || Retries::new(config.retry_budget));
        let kept = previous.map(|previous| &previous.kept);
        let kept = carried(kept, |kept| kept.bounds() == bounds, || kept::Store::new(bounds));
        let answers = previous.map(|previous| &previous.answers);
        let shared = match answers {
            Some(answers) => answers.shared(),
            None => fleet::answers(config.fleet.as_ref()).map_err(StartError::Fleet)?,
        };
        let answers =
            carried(answers, |answers| answers.bytes() == answers_bytes, || Answers::new(answers_bytes, shared));
        let quotas = previous.map(|previous| &previous.quotas);
        let quotas = Quotas::new(&config.quotas, &config.data_dir, config.fleet.as_ref(), quotas);
        let quotas = quotas.map_err(StartError::Spent)?;
        let caps = Caps::new(
            &config.catalog,
            &config::ledger_folder(&config.data_dir),
            previous.map(|previous| &previous.caps),
        );
        let caps = caps.map_err(StartError::Carried)?;
        let prefixes = previous.map_or_else(
            || Arc::new(Prefixes::new(rand::random(), std::time::Instant::now())),
            |previous| Arc::clone(&previous.prefixes),
        );
        let crowds = Crowds::of(&config.deployments);
        let names_sessions = config.deployments.iter().any(|deployment| names_sessions(deployment, &config.catalog));
        let tokens = Tokens::new(&config.issuers, client, previous.map(|previous| &previous.tokens));
        let lengths = Lengths::new(routes, previous.map(|previous| &previous.lengths));
        // Nothing fails from here on: what was refused leaves the memory of before as it was.
        machine.set(config.local, budget);
        for (resident, now, before) in carried_on {
            resident.set_pinned(now.pinned);
            if !now.on_demand && before.is_some_and(|before| before.on_demand) {
                resident.want();
            }
        }
        Ok(Self {
            config,
            deployed,
            facts,
            places,
            policy_header,
            lengths,
            waiting: Arc::new(Waiting::new(Arc::clone(&vacancy))),
            retries,
            tokens,
            caps,
            quotas,
            answers,
            prefixes,
            names_sessions,
            kept,
            machine,
            epoch,
            vacancy,
            crowds,
            models,
        })
    }

    /// Whether it runs the same places as another, and no other.
    fn has_the_places_of(&self, other: &Self) -> bool {
        let has = |all: &[Place], one: &Place| all.iter().any(|place| Arc::ptr_eq(&place.backend, &one.backend));
        self.places.len() == other.places.len() && self.places.iter().all(|place| has(&other.places, place))
    }

    /// How the deployments are now for a prompt of this size, in their order, with what of it is cached where.
    pub fn live(&self, size: Size, cached: &Cached<'_>) -> Vec<Live> {
        let now_ms = self.epoch.ms(Instant::now());
        let prefix = cached.prefix;
        let probe = Probe { prefix, ..Probe::default() };
        let of = |place: &Place| place.stats.live(now_ms, place.backend.load(&probe), size);
        let mut live: Vec<Live> = self.places.iter().map(of).collect();
        if prefix.is_some_and(|prefix| !prefix.is_new()) {
            self.crowds.bound(&mut live);
        }
        for (at, tokens) in &cached.held {
            live[*at].cached_prefix_tokens = Some(*tokens);
        }
        live
    }

    /// What a plan is made of.
    pub fn snapshot<'a>(&'a self, live: &'a [Live]) -> Snapshot<'a> {
        Snapshot { catalog: &self.config.catalog, policies: &self.config.policies, deployments: &self.facts, live }
    }

    /// The models that a caller may ask for: virtual ones, and those deployed whose licence allows its use, as far as its
    /// key reaches them: that a plain request for the name would not be refused for it.
    pub fn models_for(&self, caller: &Grant) -> Vec<&Model> {
        let catalog = &self.config.catalog;
        let (use_, today) = (&caller.context.use_, settle::today());
        let class = catalog.class(use_, today);
        let allowed = |model: &Model| {
            catalog.model(&model.id).is_none_or(|known| class.decision(catalog, known).outcome.allows())
        };
        self.models.iter().filter(|model| allowed(model) && self.reaches(caller, &model.id)).collect()
    }

    /// Whether a caller's key reaches a model by its name: whether a plain request for it would not be refused for that.
    pub fn reaches(&self, caller: &Grant, model: &str) -> bool {
        let Some(scope) = &caller.scope else { return true };
        let facts = Facts {
            team: caller.team.as_deref().map(str::to_owned),
            key: caller.key.as_deref().map(str::to_owned),
            context: Some(caller.context.name.clone()),
            scope: Some(Arc::clone(scope)),
            ..Facts::new(model, Arc::clone(&caller.context.use_), settle::today())
        };
        let verdict = policies::plan(&facts, &self.snapshot(&[])).verdict;
        !matches!(verdict, Verdict::NoneFits { code: "out-of-scope", .. })
    }

    /// The one of `models` that a name means, as a generation request would read it: its id, a deployment, a
    /// repository or an alias.
    ///
    /// # Errors
    /// A 404: nobody knows the name, or nothing deployed serves it for this use.
    pub fn model_named<'a>(&self, name: &str, models: &[&'a Model]) -> Result<&'a Model, ApiError> {
        let listed = |id: &str| models.iter().find(|model| model.id == id).copied();
        let deployment = self.facts.iter().find(|deployment| deployment.id == name);
        let known = self.config.catalog.resolve(name);
        listed(name).or_else(|| listed(&deployment?.model)).or_else(|| listed(&known?.id)).ok_or_else(|| match known {
            Some(known) => crate::route::not_offered(&known.id),
            None => {
                let nearest = self.config.catalog.nearest(name, 3).into_iter().map(str::to_owned).collect::<Vec<_>>();
                crate::route::unknown_model(name, &nearest)
            }
        })
    }
}

/// What the configuration before has, if that still fits, else a new one.
fn carried<T>(before: Option<&Arc<T>>, fits: impl FnOnce(&T) -> bool, new: impl FnOnce() -> T) -> Arc<T> {
    before.filter(|before| fits(before)).map_or_else(|| Arc::new(new()), Arc::clone)
}

fn models(config: &Config) -> Vec<Model> {
    let created = settle::now_ms() / 1000;
    let mut models: Vec<Model> = config.policies.virtual_models().map(|name| Model::virtual_(name, created)).collect();
    for deployment in &config.deployments {
        let id = &deployment.facts.model;
        let engine = if let Target::Engine { engine, .. } = &deployment.target { Some(engine.name()) } else { None };
        if let Some(model) = models.iter_mut().find(|model| model.id == *id) {
            model.engine = model.engine.or(engine);
            continue;
        }
        let known = config.catalog.model(id);
        models.push(Model {
            id: id.clone(),
            object: "model",
            created,
            owned_by: known.map_or_else(|| "unknown".to_owned(), |model| model.developer.clone()),
            max_model_len: deployment.facts.context_tokens.or_else(|| known.and_then(|model| model.context_tokens)),
            license: known.map(|model| model.license.clone()),
            tier: known.map(|model| model.tier.number()),
            engine,
        });
    }
    models
}

/// Whether a deployment is at a host that keeps a session where its prompts are cached.
fn names_sessions(deployment: &config::Deployment, catalog: &catalog::Catalog) -> bool {
    let Target::Remote { host: Some(host), .. } = &deployment.target else { return false };
    catalog.host(host).is_some_and(|host| host.session_header.is_some())
}

/// What fails together with a deployment.
fn site(deployment: &config::Deployment) -> Arc<str> {
    match &deployment.target {
        Target::Engine { .. } => deployment.facts.id.as_str().into(),
        Target::Remote { base_url, .. } => base_url.as_str().into(),
        // One of many does not fail with the others.
        Target::Fleet { .. } => deployment.facts.id.as_str().into(),
    }
}

/// A backend, and what it is in this process if it runs there.
type Started = (Arc<dyn Backend>, Option<Arc<Resident>>);

/// Starts a deployment: loads its weights or sees to it that they can be loaded, or makes a client for it.
fn backend(
    deployment: &config::Deployment,
    config: &Config,
    client: &remote::Client,
    machine: &Arc<Machine>,
) -> Result<Started, StartError> {
    let id = BackendId::new(deployment.facts.id.as_str());
    let failed = |error: &(dyn std::error::Error + 'static)| StartError::Deployment {
        deployment: deployment.facts.id.clone(),
        reason: chain(error),
    };
    match &deployment.target {
        Target::Engine { .. } => {
            let resident = local::resident(deployment, config, machine)?;
            Ok((Arc::clone(&resident) as Arc<dyn Backend>, Some(resident)))
        }
        Target::Remote { host, base_url, key, name } => {
            let catalog = &config.catalog;
            let target = match host.as_deref().and_then(|host| catalog.host(host)) {
                Some(host) => {
                    remote::Target { base_url: base_url.clone(), ..remote::Target::at_host(host, name, key.clone()) }
                }
                None => at_server(deployment, catalog, base_url, name, key.clone()),
            };
            let backend = remote::backend(id, target.speaking(&deployment.speaks), client);
            Ok((backend.map_err(|error| failed(&error))?, None))
        }
        Target::Fleet { replicas, key, name } => {
            let (deployment, catalog) = (deployment.clone(), Arc::clone(&config.catalog));
            let (key, name) = (key.clone(), name.clone());
            let target = move |base_url: &str| {
                at_server(&deployment, &catalog, base_url, &name, key.clone()).speaking(&deployment.speaks)
            };
            let fleet = remote::Fleet::new(id, replicas, target, client).map_err(|error| failed(&error))?;
            Ok((Arc::new(fleet), None))
        }
    }
}

/// A model at an address of the company's own.
fn at_server(
    deployment: &config::Deployment,
    catalog: &catalog::Catalog,
    base_url: &str,
    name: &str,
    key: Option<remote::Secret>,
) -> remote::Target {
    let server = match &deployment.facts.place {
        policies::Place::Server(server) => catalog.server(server),
        _ => None,
    };
    let Some(server) = server else { return remote::Target::new(base_url, name, key) };
    let target = remote::Target::at_server(server, base_url, name, key);
    let target = remote::Target { salts_cache: target.salts_cache && !deployment.shared_cache, ..target };
    match (&server.adapters, &deployment.adapter) {
        (Some(form), Some(adapter)) => target.with_adapter(form, adapter),
        _ => target,
    }
}

impl Gateway {
    /// A gateway that serves `runtime`.
    pub fn new(
        source: Source,
        client: remote::Client,
        runtime: Runtime,
        (ledger, instance): (Ledger, Instance),
        metrics: PrometheusHandle,
    ) -> Self {
        let files = Files::new(runtime.config.data_dir.join("files"), runtime.config.limits.files_bytes);
        let subjects = Arc::new(Subjects::of(&config::ledger_folder(&runtime.config.data_dir)));
        Self {
            batches: Batches::new(files),
            runtime: ArcSwap::from_pointee(runtime),
            ledger,
            instance: Arc::new(instance),
            subjects,
            witness: Arc::default(),
            shadows: Arc::new(Semaphore::new(shadow::MOST)),
            metrics,
            source,
            client,
            reloading: tokio::sync::Mutex::default(),
        }
    }

    /// What speaks to other hosts.
    pub fn client(&self) -> &remote::Client {
        &self.client
    }

    /// The configuration that serves now.
    pub fn runtime(&self) -> Arc<Runtime> {
        self.runtime.load_full()
    }

    /// Loads the configuration again and serves it from the next request on; its digest. Whoever was erased from the ledger's
    /// subjects is forgotten first.
    ///
    /// # Errors
    /// The report of what is wrong with it; the last good one stays.
    pub async fn reload(&self) -> Result<String, String> {
        let _one = self.reloading.lock().await;
        subjects::heed(&self.subjects, &self.instance).await;
        let (source, client, before) = (self.source.clone(), self.client.clone(), self.runtime());
        let instance = Arc::clone(&self.instance);
        let loaded = tokio::task::spawn_blocking(move || {
            let (config, _warnings) = source.load().map_err(|report| {
                heed_revocations(&before.config);
                report.render(false)
            })?;
            // The digest says what decides; that files hold the same says more: also the keys are the same.
            if config.watched == before.config.watched {
                return Ok(None);
            }
            let fixed = |config: &Config| {
                let witnesses = config.ledger.witnesses.clone();
                (config.listen, config.admin, config.data_dir.clone(), config.fleet.clone(), witnesses)
            };
            if fixed(&config) != fixed(&before.config) {
                tracing::warn!(
                    "`listen`, `admin`, `data_dir`, `fleet` or the ledger's `witnesses` changed; that takes effect at the next start"
                );
            }
            let refused = |error: String| {
                heed_revocations(&before.config);
                error
            };
            let started = Runtime::start(config, &client, Some(&before)).map_err(|error| refused(error.to_string()))?;
            let (now, then) = (&started.config, &before.config);
            if now.digest != then.digest {
                instance.activate(now, Some(&then.digest)).map_err(|error| refused(error.to_string()))?;
            }
            Ok(Some(started))
        })
        .await
        .unwrap_or_else(|error| Err(format!("loading failed: {error}")));
        match loaded {
            Ok(Some(runtime)) => {
                let (runtime, before) = (Arc::new(runtime), self.runtime());
                let digest = runtime.config.digest.clone();
                // Counters of places that go are read for the last time, and those of new ones begin to count.
                let are_others = !runtime.has_the_places_of(&before);
                if are_others {
                    tally::record(&before, &self.instance).await;
                }
                self.runtime.store(Arc::clone(&runtime));
                if are_others {
                    tally::record(&runtime, &self.instance).await;
                }
                observe::reloaded(true);
                tracing::info!(config = digest, "configuration reloaded");
                Ok(digest)
            }
            Ok(None) => Ok(self.runtime().config.digest.clone()),
            Err(report) => {
                observe::reloaded(false);
                self.instance.refuse(&self.runtime().config.digest, &report);
                tracing::error!("the new configuration is refused, the last good one stays:\n{report}");
                Err(report)
            }
        }
    }
}

/// Takes back what the keys file says is revoked, where the configuration as a whole cannot be loaded: what is wrong
/// elsewhere must not keep a leaked key alive.
fn heed_revocations(config: &Config) {
    let (Access::Keys(keys), Some(file)) = (&config.access, &config.keys_file) else { return };
    if let Ok(listed) = KeysFile::list(file) {
        let revoked = keys.heed(&listed);
        if revoked > 0 {
            tracing::info!(revoked, "keys were revoked, though the new configuration is refused");
        }
    }
}

/// How often metrics that gather samples are tidied.
pub const UPKEEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
