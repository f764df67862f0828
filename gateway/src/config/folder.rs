//! A folder of models: what lies in it becomes deployments, or is said not to be served, and why.
//!
//! A GGUF file is a model, of several parts the first; a folder within is one of safetensors, one that `pointsman models` pulled, or
//! has GGUF files. Which model of the catalog it is, its manifest says, else its name, without a quantization at its
//! end. What a file says of itself is not asked: whoever made it wrote that, and a model that is only *made from* one that the
//! catalog knows may be under other terms. What nobody knows is not served.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use catalog::{Catalog, Model};
use policies::Place;

use super::{
    Deployment, NotLive, Target, Weights,
    deployments::{is_id, local, task},
    found::Found,
    report::Problem,
    weights,
};
use crate::{
    engines::{Asked, Beside, Chosen, choose, measured::Measured},
    models::{manifest::Manifest, pick, terms},
    residency::{Keep, estimate::shown},
};

/// Entries that are looked at, in a folder and in each within.
const MOST: usize = 1_000;
/// The file that says that a folder is a model in the layout of Hugging Face.
const CONFIG: &str = "config.json";

/// A model that lies there.
struct Lies {
    name: String,
    weights: Weights,
    /// What the store says of it, if that pulled it.
    manifest: Option<Manifest>,
}

/// The models of a folder that fit into so many bytes of memory.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn models(folder: &Path, catalog: &Catalog, measured: &Measured, memory: u64) -> io::Result<Found> {
    let mut found = Found::default();
    let mut lie = gguf(folder)?;
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = file_name(&path).to_owned();
        match within(&path, &name) {
            Ok(models) if models.is_empty() => {
                let why = format!("the folder has neither `{CONFIG}`, as one of safetensors has, nor a GGUF file");
                found.not_live.push(NotLive { name, why });
            }
            Ok(models) => lie.extend(models),
            Err(error) => found.not_live.push(NotLive { name, why: format!("it cannot be read: {error}") }),
        }
    }
    let mut all = Found::default();
    for one in lie {
        let name = one.name.clone();
        match deployment(one, catalog, measured, memory) {
            Ok(deployment) => all.deployments.push(deployment),
            Err(why) => all.not_live.push(NotLive { name, why }),
        }
    }
    all.join(&mut found.deployments, &mut found.not_live);
    Ok(found)
}

/// The problem that a folder of models cannot be read.
pub(super) fn unreadable(folder: &Path, error: &io::Error) -> Problem {
    Problem::error("unreadable-file", format!("the folder of models `{}` cannot be read: {error}", folder.display()))
}

/// What a folder within has.
fn within(folder: &Path, name: &str) -> io::Result<Vec<Lies>> {
    if folder.join(CONFIG).is_file() {
        return Ok(vec![Lies { name: name.to_owned(), weights: Weights::Folder(folder.to_owned()), manifest: None }]);
    }
    let Some(manifest) = Manifest::read(folder)? else { return gguf(folder) };
    let Some(file) = manifest.files.first() else { return Ok(Vec::new()) };
    let weights = Weights::File(folder.join(&file.name));
    Ok(vec![Lies { name: name.to_owned(), weights, manifest: Some(manifest) }])
}

/// The GGUF files of a folder.
fn gguf(folder: &Path) -> io::Result<Vec<Lies>> {
    let mut models: Vec<Lies> = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_file()) {
        let file = file_name(&path);
        if !file.ends_with(".gguf") {
            continue;
        }
        let name = pick::stem(file).to_owned();
        // Parts come in their order.
        if models.last().is_none_or(|before| before.name != name) {
            models.push(Lies { name, weights: Weights::File(path), manifest: None });
        }
    }
    Ok(models)
}

/// What lies in a folder and is not hidden, by name.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)?.take(MOST) {
        let path = entry?.path();
        if !matches!(file_name(&path).chars().next(), None | Some('.')) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The name of a path; nothing where it is no text.
fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn deployment(one: Lies, catalog: &Catalog, measured: &Measured, memory: u64) -> Result<Deployment, String> {
    let Lies { name, weights, manifest } = one;
    if !is_id(&name) {
        return Err("its name cannot be an id: up to 128 letters, digits, `.`, `_` and `-`".to_owned());
    }
    let model = match manifest {
        Some(manifest) => manifest.license.model.as_deref().and_then(|id| catalog.resolve(id)).ok_or(
            "it was pulled as no model that the catalog knows, and unknown is denied; `pointsman models pull --model` says \
             which it is",
        ),
        None => named(catalog, &name).ok_or(
            "the catalog knows no model of its name, and unknown is denied; rename it, or write a deployment that says \
             which `model` it is",
        ),
    }?;
    let Chosen { engine, why } = choose(&weights, Beside::default(), measured)?;
    let place = Place::Local { engine: engine.name().to_owned() };
    let mut facts = policies::Deployment::new(name, model.id.as_str(), place);
    facts.context_tokens = model.context_tokens;
    if let Some(beside) = catalog.looks_at_weights(&model.id) {
        facts.weights = weights::look(&weights, &beside).map_err(|error| format!("it cannot be read: {error}"))?;
    }
    let purpose = engine.purpose(&weights);
    if !model.does(task(purpose)) {
        return Err(format!("`{engine}` makes {} with it, and `{}` is not asked for that", purpose.name(), model.id));
    }
    let asked = Asked::default();
    let told = engine.told(&weights, &asked)?;
    terms::of_weights(catalog, &facts, terms::FILE, &weights, &told.facts)?;
    if told.bytes > memory {
        return Err(format!("it takes about {}, and models may take {} here", shown(told.bytes), shown(memory)));
    }
    let mut deployment = Deployment {
        facts,
        target: Target::Engine { engine, weights, asked },
        keep: Keep { on_demand: true, pinned: false },
        engine_because: Some(why),
        max_concurrent: None,
        shared_cache: false,
        adapter: None,
        speaks: Vec::new(),
    };
    local(&mut deployment, model, purpose);
    Ok(deployment)
}

/// The model that goes by a name such as `Qwen3-8B-Q4_K_M` or `Qwen_Qwen3-8B`.
pub(super) fn named<'c>(catalog: &'c Catalog, name: &str) -> Option<&'c Model> {
    let mut rest = name;
    loop {
        let model = ["--", "_"].iter().find_map(|between| catalog.resolve(&rest.replacen(between, "/", 1)));
        if let Some(model) = catalog.resolve(rest).or(model) {
            return Some(model);
        }
        let at = rest.rfind(['-', '.']).filter(|at| is_quantization(catalog, &rest[at + 1..]))?;
        rest = &rest[..at];
    }
}

/// Whether the end of a name says how weights are stored.
fn is_quantization(catalog: &Catalog, word: &str) -> bool {
    let word = word.to_lowercase();
    // `q4_0`, `iq4_xs` and their like, of which there are more than the catalog has.
    let digits = word.strip_prefix("iq").or_else(|| word.strip_prefix('q'));
    digits.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
        || catalog.quantization(&word).is_some()
        || ["f32", "f16", "bf16", "mxfp4", "ud", "gguf"].contains(&&*word)
}
