//! The configuration of a machine that has no file: enough to try everything, and closed to everyone else.
//!
//! Loopback only, so that no key is needed. The demo model, every host whose usual key variable is set, and the
//! built-in policies. Requests are taken to be the internal work of a small business: who did not say otherwise is refused
//! the models whose licence forbids that. What is assumed of that business is said at the start, and each record of a
//! decision that rests on it names it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use catalog::{ASSUMED_ENTITY, Catalog, Exposure, Purpose, Use};
use policies::{Place, Report};

use super::{
    Access, Config, Context, DeclaredFacts, Deployment, Environment, LedgerSettings, Limits, Overrides, RetryBudget,
    Target, Text,
    deployments::{DEMO_BITS, DEMO_MODEL, local},
    folder, found,
    load::{ADMIN, DATA_DIR, LISTEN, compiled, default_policies, digest, finished, policy_digest},
    report::{Problem, Problems},
    source::Source,
};
use crate::{
    engines::measured::Measured,
    keys::Grant,
    residency::{Keep, Settings},
};

/// The name of the one context there is.
pub(super) const CONTEXT: &str = "default";

/// The configuration without a file.
///
/// # Errors
/// A listen address that others can reach, or a variable of the environment that is not in order.
pub fn zero(overrides: &Overrides, environment: &Environment) -> Result<(Config, Report), Report> {
    let mut problems = Problems::default();
    let listen = overrides.listen.unwrap_or_else(|| LISTEN.parse().expect("a constant address"));
    let admin = overrides.admin.unwrap_or_else(|| ADMIN.parse().expect("a constant address"));
    for (name, address) in [("--listen", listen), ("--admin", admin)] {
        if !address.ip().is_loopback() {
            let problem = Problem::error(
                "keys-required",
                format!("{address} can be reached by others, and without a configuration there are no keys"),
            )
            .hint("listen on 127.0.0.1, or write a configuration with `keys` and start with `--config FILE`");
            problems.push(problem.of(name));
        }
    }
    let catalog = Catalog::with_assumptions();
    let data_dir = overrides.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR));
    let found = found::hosts(&catalog, environment, &mut problems);
    let mut deployments: Vec<_> = demo(&catalog).into_iter().chain(found.deployments).collect();
    let mut not_live = found.not_live;
    if let Some(folder) = &overrides.models {
        match folder::models(folder, &catalog, &Measured::of_folder(&data_dir), Settings::default().budget()) {
            Ok(models) => models.join(&mut deployments, &mut not_live),
            Err(error) => problems.push(folder::unreadable(folder, &error).of("--models")),
        }
    }
    let entity = Some(ASSUMED_ENTITY.to_owned());
    let use_ = Use { entity: entity.clone(), ..Use::new(Purpose::Internal, Exposure::Internal) };
    let context = Arc::new(Context { name: CONTEXT.to_owned(), entity, use_: use_.into() });
    let sources = [default_policies()];
    let policies = compiled(&sources, &catalog, &deployments, &policies::Declared::default(), &mut problems);
    let config = policies.map(|policies| Config {
        file: None,
        listen,
        admin,
        data_dir,
        ledger: LedgerSettings::default(),
        limits: Limits::default(),
        local: Settings::default(),
        retry_budget: RetryBudget::default(),
        deployments,
        not_live,
        contexts: BTreeMap::from([(CONTEXT.to_owned(), Arc::clone(&context))]),
        teams: BTreeMap::new(),
        quotas: Vec::new(),
        webhook: None,
        fleet: None,
        facts: DeclaredFacts::default(),
        access: Access::Open(Grant::unbound(None, None, context)),
        keys_file: None,
        issuers: Vec::new(),
        digest: digest(&Source::new("", ""), &catalog, &sources),
        policy_digest: policy_digest(&sources),
        catalog: Arc::clone(&catalog),
        policies: Arc::new(policies),
        texts: sources.iter().map(Text::of_policies).collect(),
        policy_files: sources.into(),
        watched: Vec::new(),
    });
    finished(config, problems)
}

/// The deployment of the model that is part of the binary.
fn demo(catalog: &Catalog) -> Option<Deployment> {
    let model = catalog.model(DEMO_MODEL)?;
    let mut facts = policies::Deployment::new("demo", DEMO_MODEL, Place::Local { engine: "native".to_owned() });
    facts.quantization_bits = Some(DEMO_BITS);
    facts.context_tokens = model.context_tokens;
    let mut deployment = Deployment {
        facts,
        target: Target::demo(),
        keep: Keep::default(),
        engine_because: None,
        max_concurrent: None,
        shared_cache: false,
        adapter: None,
        speaks: Vec::new(),
    };
    local(&mut deployment, model, engine::Purpose::Text, false);
    Some(deployment)
}
