//! What the offline tools look at: policies, the deployments that they are bound to, and whoever may ask.
//!
//! Deployments count as healthy, idle and not yet measured: only a running gateway knows better.

use std::{path::Path, sync::Arc};

use catalog::{ASSUMED_ENTITY, Date};
use clap::Args;
use policies::{
    Caller, Declared, Only, PolicySet, Report, Severity, Snapshot, Source, TestResult, TooManyCells, every_caller,
    every_use,
};

use super::ConfigFile;
use crate::{
    config::{Access, BUILT_IN, Config, DeclaredFacts, default_policies, source},
    settle,
};

/// Part of the requests; what is not said is every value.
#[derive(Debug, Args)]
pub(super) struct Part {
    /// Look at requests of this team only
    #[arg(long)]
    team: Option<String>,
    /// Look at requests in this context only
    #[arg(long)]
    context: Option<String>,
    /// Look at requests for this model only
    #[arg(long)]
    model: Option<String>,
}

impl Part {
    pub(super) fn only(&self) -> Only {
        Only { team: self.team.clone(), context: self.context.clone(), model: self.model.clone() }
    }
}

/// Policies under a configuration.
#[derive(Debug)]
pub(super) struct World {
    pub(super) config: Config,
    pub(super) policies: Arc<PolicySet>,
    pub(super) sources: Vec<Source>,
    pub(super) deployments: Vec<policies::Deployment>,
}

impl World {
    /// A configuration with its own policies.
    pub(super) fn of(config: Config) -> Self {
        let deployments = config.deployments.iter().map(|deployment| deployment.facts.clone()).collect();
        let (policies, sources) = (Arc::clone(&config.policies), config.policy_files.clone());
        Self { config, policies, sources, deployments }
    }

    /// A configuration with the policy files of `files` in place of its own, where one of them has routes, and with the
    /// tests of the others beside them.
    pub(super) fn with_files(config: &ConfigFile, files: &[impl AsRef<Path>]) -> anyhow::Result<Self> {
        let mut world = Self::of(config.source().load()?.0);
        if files.is_empty() {
            return Ok(world);
        }
        let read = files.iter().map(|file| read(file.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let (probes, policies): (Vec<Source>, Vec<Source>) = read.into_iter().partition(|source| source.probes);
        if !policies.is_empty() {
            world.sources = policies;
        }
        world.sources.extend(probes);
        // Teams and contexts of another configuration may stand in the files: any name will do.
        let DeclaredFacts { headers, metadata, .. } = world.config.facts.clone();
        let declared = Declared { headers, metadata, ..Declared::default() };
        let compiled = policies::compile_declared(&world.sources, &world.config.catalog, &world.deployments, &declared);
        // Warnings, such as of what is not deployed here, would hide the errors.
        let (policies, _) = compiled.map_err(|mut report| {
            report.diagnostics.retain(|problem| problem.severity == Severity::Error);
            report
        })?;
        world.policies = policies.into();
        Ok(world)
    }

    /// A side of a comparison: a configuration, or a policy file under another.
    pub(super) fn side(file: &Path, config: &ConfigFile) -> anyhow::Result<Self> {
        let source = read(file)?;
        if source.builtin || Source::has(&source.text, "routes") {
            return Self::with_files(config, &[file]);
        }
        Ok(Self::of(ConfigFile::at(file).source().load()?.0))
    }

    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { catalog: &self.config.catalog, policies: &self.policies, deployments: &self.deployments, live: &[] }
    }

    pub(super) fn today(&self) -> Date {
        settle::today()
    }

    /// Runs the tests of the policies.
    pub(super) fn run_tests(&self) -> Vec<TestResult> {
        policies::run_tests(&self.snapshot(), self.today())
    }

    /// Whether anybody may ask, since no configuration says who.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.config.access, Access::Open(_))
    }

    /// Whoever may ask: each team in each of its contexts. Where no configuration says who, every team and context that a
    /// route of `policies` names, for every purpose.
    pub(super) fn callers<'p>(
        &self,
        policies: impl IntoIterator<Item = &'p PolicySet>,
        only: &Only,
    ) -> Result<Vec<Caller>, TooManyCells> {
        if self.is_open() {
            return every_caller(policies, &every_use(Some(ASSUMED_ENTITY)), only);
        }
        Ok(self.configured())
    }

    /// Each team in each of its contexts; nobody where no configuration says who may ask.
    pub(super) fn configured(&self) -> Vec<Caller> {
        let teams = self.config.teams.iter();
        let callers = teams.flat_map(|(name, team)| {
            team.contexts.iter().filter_map(|context| self.config.contexts.get(context)).map(|context| Caller {
                team: Some(name.clone()),
                context: Some(context.name.clone()),
                use_: Arc::clone(&context.use_),
            })
        });
        callers.collect()
    }
}

/// A policy file, or one of tests alone; `default` is the built-in policies.
fn read(file: &Path) -> Result<Source, Report> {
    if file == Path::new(BUILT_IN) {
        return Ok(default_policies());
    }
    let read = source::Source::read(file, "policy file").map_err(|problem| Report { diagnostics: vec![*problem] })?;
    let alone = Source::has(&read.text, "tests") && !Source::has(&read.text, "routes");
    Ok(if alone { Source::probes(&*read.name, &*read.text) } else { Source::new(&*read.name, &*read.text) })
}

/// What is said of the callers where no configuration names them.
pub(super) const EVERYBODY: &str =
    "without a configuration, every team and context that a route names may ask, for every purpose";
