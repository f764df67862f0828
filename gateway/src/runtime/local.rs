//! Models that run in this process: whether they fit into its memory, and how each is loaded.
//!
//! Licences are held against what the files say before anything is loaded, and again whenever a model is: a file may have
//! been replaced since the start, and what is loaded is what is served.

use std::{sync::Arc, time::Instant};

use backends::{Backend, BackendId};
use catalog::Catalog;
use native::PackedFiles;

use super::StartError;
use crate::{
    config::{Config, Deployment, Target, Weights, weights},
    engines::{Asked, Kind},
    models::terms,
    residency::{
        Failure, Machine, Progress, Resident, blocking,
        estimate::{self, shown},
    },
};

/// Where packed weights are kept, in the data folder.
const PACKED: &str = "packed";

/// Checks that what has to be in memory together fits into it, and every other model beside what is pinned.
///
/// # Errors
/// What does not, with the numbers.
pub(super) fn fits(config: &Config, budget: u64) -> Result<(), StartError> {
    let mut all = Vec::new();
    for deployment in &config.deployments {
        if matches!(deployment.target, Target::Engine { .. }) {
            all.push((deployment, told(deployment)?.bytes));
        }
    }
    let sum = |which: &dyn Fn(&Deployment) -> bool| -> u64 {
        all.iter().filter(|(deployment, _)| which(deployment)).map(|(_, bytes)| *bytes).fold(0, u64::saturating_add)
    };
    let too_much = |what: String, bytes: u64| {
        let memory =
            if config.local.memory.is_some() { "`local.memory` is" } else { "80 % of this machine\'s memory is" };
        StartError::Memory(format!("{what} {}, and {memory} {}", shown(bytes), shown(budget)))
    };
    let at_start = sum(&|deployment| deployment.keep.pinned || !deployment.keep.on_demand);
    if at_start > budget {
        let which = all.iter().filter(|(one, _)| one.keep.pinned || !one.keep.on_demand);
        let which: Vec<_> = which.map(|(one, bytes)| format!("`{}` {}", one.facts.id, shown(*bytes))).collect();
        let what = format!("the models that are pinned or loaded at the start ({}) take about", which.join(", "));
        return Err(too_much(what, at_start));
    }
    let pinned = sum(&|deployment| deployment.keep.pinned);
    let largest = all.iter().filter(|(deployment, _)| !deployment.keep.pinned).max_by_key(|(_, bytes)| *bytes);
    if let Some((deployment, bytes)) = largest.filter(|(_, bytes)| pinned.saturating_add(*bytes) > budget) {
        let beside = if pinned > 0 { format!(", beside pinned models with {},", shown(pinned)) } else { String::new() };
        return Err(too_much(format!("deployment `{}`{beside} takes about", deployment.facts.id), *bytes));
    }
    Ok(())
}

/// A deployment that runs in this process; its model is in memory already unless it is loaded on demand.
///
/// # Errors
/// Its weights cannot be read, say a stricter licence than they are served under, or cannot be loaded.
pub(super) fn resident(
    deployment: &Deployment,
    config: &Config,
    machine: &Arc<Machine>,
) -> Result<Arc<Resident>, StartError> {
    let bytes = told(deployment)?.bytes;
    let load = loader(deployment, config);
    let began = Instant::now();
    let first = if deployment.keep.on_demand { None } else { Some(load(&Arc::default())?) };
    let loader = blocking(move |progress| load(progress).map_err(|error| Failure(error.to_string())));
    let id = BackendId::new(deployment.facts.id.as_str());
    let resident = machine.resident(id, bytes, deployment.keep, loader);
    match first {
        Some(engine) => resident.is_loaded(engine, began.elapsed()),
        None => check(deployment, &config.catalog)?,
    }
    Ok(Arc::new(resident))
}

/// What loads the model of a deployment, as often as that is asked.
fn loader(
    deployment: &Deployment,
    config: &Config,
) -> impl Fn(&Arc<Progress>) -> Result<Arc<dyn Backend>, StartError> + Send + Sync + use<> {
    let (deployment, catalog) = (deployment.clone(), Arc::clone(&config.catalog));
    let most_bytes = config.local.packed_bytes;
    let packed = (most_bytes > 0).then(|| PackedFiles { folder: config.data_dir.join(PACKED), most_bytes });
    move |progress| {
        check(&deployment, &catalog)?;
        let (engine, weights, asked) = local(&deployment)?;
        let id = BackendId::new(deployment.facts.id.as_str());
        engine
            .load(id, weights, asked, packed.as_ref(), progress)
            .map(|(backend, _)| backend)
            .map_err(|reason| failed(&deployment, reason))
    }
}

/// Whether weights, and what is loaded beside them, may be served as what they are deployed as: by what they say of themselves, and,
/// where the licence was concluded from their digest, by whether they are still those.
fn check(deployment: &Deployment, catalog: &Catalog) -> Result<(), StartError> {
    let (_, weights, asked) = local(deployment)?;
    let facts = &deployment.facts;
    terms::of_weights(catalog, facts, terms::FILE, weights, &told(deployment)?.facts)
        .map_err(|why| failed(deployment, why))?;
    let projector = asked.mmproj.clone().map(Weights::File);
    for (what, by, beside) in [("adapter", terms::ADAPTER, &asked.adapter), ("projector", terms::PROJECTOR, &projector)]
    {
        if let Some(beside) = beside {
            let said = terms::said(beside, what).map_err(|why| failed(deployment, why))?;
            terms::of_weights(catalog, facts, by, beside, &said).map_err(|why| failed(deployment, why))?;
        }
    }
    if let (Some(path), Some(model)) = (&asked.draft, &facts.draft) {
        let draft = Weights::File(path.clone());
        let said = terms::said(&draft, "draft").map_err(|why| failed(deployment, why))?;
        // It is held against its own row.
        let facts = policies::Deployment { model: model.clone(), weights: None, ..facts.clone() };
        terms::of_weights(catalog, &facts, terms::DRAFT, &draft, &said).map_err(|why| failed(deployment, why))?;
    }
    let Some(known) = &facts.weights else { return Ok(()) };
    let beside = catalog.looks_at_weights(&facts.model).unwrap_or_default();
    let now = weights::look(weights, &beside)
        .map_err(|error| failed(deployment, format!("the weights cannot be read: {error}")))?;
    if now.is_some_and(|now| now != *known) {
        let reason = "its weights are others than when the configuration was read, and its licence was concluded from those; \
                      change the configuration file, or start again, to have them looked at";
        return Err(failed(deployment, reason.to_owned()));
    }
    Ok(())
}

fn told(deployment: &Deployment) -> Result<estimate::Told, StartError> {
    let (engine, weights, asked) = local(deployment)?;
    engine.told(weights, asked).map_err(|reason| failed(deployment, reason))
}

/// The engine of a deployment in this process, and what it runs.
fn local(deployment: &Deployment) -> Result<(Kind, &Weights, &Asked), StartError> {
    match &deployment.target {
        Target::Engine { engine, weights, asked } => Ok((*engine, weights, asked)),
        _ => Err(failed(deployment, "it does not run in this process".to_owned())),
    }
}

fn failed(deployment: &Deployment, reason: String) -> StartError {
    StartError::Deployment { deployment: deployment.facts.id.clone(), reason }
}
