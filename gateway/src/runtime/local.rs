//! Models that run in this process: whether they fit into its memory, and how each is loaded.
//!
//! Licences are held against what the files say before anything is loaded, and again whenever a model is: a file may have
//! been replaced since the start, and what is loaded is what is served.

use std::{path::Path, sync::Arc, time::Instant};

use backends::{Backend, BackendId};
use catalog::Catalog;
use engine::{Facts, gguf::File};

use super::{Part, StartError, says_what_it_is};
use crate::{
    config::{Config, Deployment, Target, Weights, weights},
    dispatch::chain,
    engines::Asked,
    residency::{Failure, Machine, Memory, Progress, Resident, Settings, blocking, estimate},
};

/// The share of the machine's memory that models may take where the configuration names no size, in percent.
const AUTO_PERCENT: u64 = 80;

/// Bytes that models may take together.
pub(super) fn budget(settings: &Settings) -> u64 {
    // A system that does not tell its memory bounds nothing.
    let auto = || Memory::now().map_or(u64::MAX, |memory| memory.total / 100 * AUTO_PERCENT);
    settings.memory.unwrap_or_else(auto)
}

/// Checks that what has to be in memory together fits into it, and every other model beside what is pinned.
///
/// # Errors
/// What does not, with the numbers.
pub(super) fn fits(config: &Config, budget: u64) -> Result<(), StartError> {
    let mut all = Vec::new();
    for deployment in &config.deployments {
        if let Target::Engine { weights, asked, .. } = &deployment.target {
            all.push((deployment, bytes(deployment, weights, asked)?));
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
/// Its file cannot be read, says a stricter licence than it is served under, or cannot be loaded.
pub(super) fn resident(
    deployment: &Deployment,
    config: &Config,
    machine: &Arc<Machine>,
) -> Result<Arc<Resident>, StartError> {
    let Target::Engine { weights, asked, .. } = &deployment.target else {
        let reason = "it does not run in this process".to_owned();
        return Err(StartError::Deployment { deployment: deployment.facts.id.clone(), reason });
    };
    let bytes = bytes(deployment, weights, asked)?;
    let load = loader(deployment, &config.catalog);
    let began = Instant::now();
    let first = if deployment.keep.on_demand { None } else { Some(load(&Arc::default())?) };
    let loader = blocking(move |progress| load(progress).map_err(|error| Failure(error.to_string())));
    let id = BackendId::new(deployment.facts.id.as_str());
    let resident = machine.resident(id, bytes, deployment.keep, loader);
    match first {
        Some(engine) => resident.is_loaded(engine, began.elapsed()),
        None => check(deployment, weights, asked, &config.catalog)?,
    }
    Ok(Arc::new(resident))
}

/// What loads the model of a deployment, as often as that is asked.
fn loader(
    deployment: &Deployment,
    catalog: &Arc<Catalog>,
) -> impl Fn(&Arc<Progress>) -> Result<Arc<dyn Backend>, StartError> + Send + Sync + use<> {
    let (deployment, catalog) = (deployment.clone(), Arc::clone(catalog));
    move |progress| {
        let failed = |reason: String| StartError::Deployment { deployment: deployment.facts.id.clone(), reason };
        let Target::Engine { engine, weights, asked } = &deployment.target else {
            return Err(failed("it does not run in this process".to_owned()));
        };
        check(&deployment, weights, asked, &catalog)?;
        let id = BackendId::new(deployment.facts.id.as_str());
        engine.load(id, weights, asked, progress).map(|(backend, _)| backend).map_err(failed)
    }
}

/// Whether a file, and an adapter over it, may be served as what it is deployed as: by what they say of themselves, and, where
/// the licence was concluded from its digest, by whether it is still that file.
fn check(deployment: &Deployment, weights: &Weights, asked: &Asked, catalog: &Catalog) -> Result<(), StartError> {
    let file = if let Weights::File(path) = weights { Some(&**path) } else { None };
    let told = told(deployment, weights, asked)?;
    says_what_it_is(&told.facts, Part::Weights(file), deployment, catalog)?;
    if let Some(adapter) = asked.adapter.as_deref() {
        says_what_it_is(&of_adapter(deployment, adapter)?, Part::Adapter(adapter), deployment, catalog)?;
    }
    let (Some(known), Weights::File(path)) = (&deployment.facts.weights, weights) else { return Ok(()) };
    let beside = catalog.looks_at_weights(&deployment.facts.model).unwrap_or_default();
    let failed = |reason| StartError::Deployment { deployment: deployment.facts.id.clone(), reason };
    let now = weights::look(path, &beside);
    let now = now.map_err(|error| failed(format!("the file of weights cannot be read: {error}")))?;
    if now != *known {
        let reason = "its file of weights is another one than when the configuration was read, and its licence was concluded \
                      from that one; change the configuration file, or start again, to have it looked at";
        return Err(failed(reason.to_owned()));
    }
    Ok(())
}

fn told(deployment: &Deployment, weights: &Weights, asked: &Asked) -> Result<estimate::Told, StartError> {
    estimate::told(weights, asked.context_tokens)
        .map_err(|reason| StartError::Deployment { deployment: deployment.facts.id.clone(), reason })
}

/// What weights take, and an adapter over them.
fn bytes(deployment: &Deployment, weights: &Weights, asked: &Asked) -> Result<u64, StartError> {
    let adapter = asked.adapter.as_ref().and_then(|path| std::fs::metadata(path).ok());
    Ok(told(deployment, weights, asked)?.bytes.saturating_add(adapter.map_or(0, |file| file.len())))
}

/// What the file of an adapter says of itself.
fn of_adapter(deployment: &Deployment, path: &Path) -> Result<Facts, StartError> {
    File::open(path).and_then(|file| Facts::of(&file)).map_err(|error| StartError::Deployment {
        deployment: deployment.facts.id.clone(),
        reason: format!("cannot read the adapter: {}", chain(&error)),
    })
}

/// Bytes as people read them.
fn shown(bytes: u64) -> String {
    match bytes {
        ..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
