//! A folder of models: what lies in it becomes deployments, or is said not to be served, and why.
//!
//! A GGUF file is a model, of several parts the first; a folder within is one of safetensors, one that `pointsman models` pulled, or
//! has GGUF files. Which model of the catalog it is, its manifest says, else its name, without a quantization at its
//! end. What a file says of itself is not asked: whoever made it wrote that, and a model that is only *made from* one that the
//! catalog knows may be under other terms. What nobody knows is not served.
//!
//! A GGUF file with `mmproj` in its name is no model but a projector: what lets the model beside it read pictures. It goes with
//! the one model of its folder, or with that of its name; where that leaves a doubt it goes with none, as a wrong one costs the
//! model, and the start says so.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use catalog::{Catalog, Model};
use engine::Purpose;
use policies::Place;

use super::{
    Deployment, NotLive, Target, Weights,
    deployments::{is_id, local, task},
    found::Found,
    report::Problem,
    weights,
};
use crate::{
    engines::{Asked, Beside, Chosen, Kind, choose, measured::Measured},
    models::{manifest::Manifest, pick, terms},
    residency::{Keep, estimate::shown},
};

/// Entries that are looked at, in a folder and in each within.
const MOST: usize = 1_000;
/// The file that says that a folder is a model in the layout of Hugging Face.
const CONFIG: &str = "config.json";
/// What the name of a projector has in it.
const PROJECTOR: &str = "mmproj";

/// A model that lies there.
struct Lies {
    name: String,
    weights: Weights,
    /// What the store says of it, if that pulled it.
    manifest: Option<Manifest>,
    /// Its projector, if there is one.
    projector: Option<PathBuf>,
}

impl Lies {
    fn new(name: &str, weights: Weights) -> Self {
        Self { name: name.to_owned(), weights, manifest: None, projector: None }
    }
}

/// What lies in one folder: models, and what of it is served with none of them.
#[derive(Default)]
struct Within {
    models: Vec<Lies>,
    rest: Vec<NotLive>,
}

/// The models of a folder that fit into so many bytes of memory.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn models(folder: &Path, catalog: &Catalog, measured: &Measured, memory: u64) -> io::Result<Found> {
    let mut found = Found::default();
    let Within { models: mut lie, rest } = gguf(folder, catalog)?;
    found.not_live.extend(rest);
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = file_name(&path).to_owned();
        match within(&path, &name, catalog) {
            Ok(Within { models, rest }) if models.is_empty() && rest.is_empty() => {
                let why = format!("the folder has neither `{CONFIG}`, as one of safetensors has, nor a GGUF file");
                found.not_live.push(NotLive { name, why });
            }
            Ok(Within { models, rest }) => {
                lie.extend(models);
                found.not_live.extend(rest);
            }
            Err(error) => found.not_live.push(NotLive { name, why: format!("it cannot be read: {error}") }),
        }
    }
    let mut all = Found::default();
    for one in lie {
        let name = one.name.clone();
        match deployment(one, catalog, measured, memory) {
            Ok((deployment, without)) => {
                all.deployments.push(deployment);
                all.not_live.extend(without);
            }
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
fn within(folder: &Path, name: &str, catalog: &Catalog) -> io::Result<Within> {
    if folder.join(CONFIG).is_file() {
        let model = Lies::new(name, Weights::Folder(folder.to_owned()));
        return Ok(Within { models: vec![model], rest: Vec::new() });
    }
    let Some(manifest) = Manifest::read(folder)? else { return gguf(folder, catalog) };
    let Some(file) = manifest.files.first() else { return Ok(Within::default()) };
    let mut model = Lies::new(pick::stem(&file.name), Weights::File(folder.join(&file.name)));
    let projectors = files(folder)?.into_iter().filter(|path| is_projector(path)).collect();
    let rest = pair(std::slice::from_mut(&mut model), projectors, catalog);
    name.clone_into(&mut model.name);
    model.manifest = Some(manifest);
    Ok(Within { models: vec![model], rest })
}

/// The GGUF files of a folder.
fn gguf(folder: &Path, catalog: &Catalog) -> io::Result<Within> {
    let (projectors, files): (Vec<_>, Vec<_>) = files(folder)?.into_iter().partition(|path| is_projector(path));
    let mut models: Vec<Lies> = Vec::new();
    for path in files {
        let name = pick::stem(file_name(&path)).to_owned();
        // Parts come in their order.
        if models.last().is_none_or(|before| before.name != name) {
            models.push(Lies::new(&name, Weights::File(path)));
        }
    }
    let rest = pair(&mut models, projectors, catalog);
    Ok(Within { models, rest })
}

/// The paths of a folder's GGUF files.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_file() && file_name(path).ends_with(".gguf")).collect())
}

fn is_projector(path: &Path) -> bool {
    file_name(path).to_lowercase().contains(PROJECTOR)
}

/// Gives models their projectors, and tells of those that go with none.
fn pair(models: &mut [Lies], projectors: Vec<PathBuf>, catalog: &Catalog) -> Vec<NotLive> {
    let bare: Vec<String> = models.iter().map(|model| bare(catalog, &model.name)).collect();
    let is_one = bare.windows(2).all(|two| two[0] == two[1]);
    let mut rest = Vec::new();
    for (nth, path) in projectors.iter().enumerate() {
        let whose = |path: &Path| (!is_one).then(|| bare_of_model(catalog, path));
        let name = whose(path);
        let is_its = |bare: &String| name.as_ref().is_none_or(|name| name == bare);
        let rival = projectors.iter().enumerate().find(|(other, path)| *other != nth && whose(path) == name);
        let why = match (bare.iter().any(is_its), rival) {
            (true, None) => {
                for (model, _) in models.iter_mut().zip(&bare).filter(|(_, bare)| is_its(bare)) {
                    model.projector = Some(path.clone());
                }
                continue;
            }
            (true, Some((_, rival))) => format!(
                "it is a projector, and `{}` is another of the same model, which is served without; keep one of the two",
                file_name(rival),
            ),
            (false, _) if models.is_empty() => "it is a projector, and there is no model beside it".to_owned(),
            (false, _) => {
                "it is a projector, and none of the models beside it has its name, `mmproj-` and quantizations \
                           aside; rename it, or write a deployment with `mmproj`"
                    .to_owned()
            }
        };
        rest.push(NotLive { name: pick::stem(file_name(path)).to_owned(), why });
    }
    rest
}

/// The name of the model that a projector is named for.
fn bare_of_model(catalog: &Catalog, path: &Path) -> String {
    let name = pick::stem(file_name(path)).to_lowercase();
    let (before, behind) = name.split_once(PROJECTOR).unwrap_or((&name, ""));
    let between = ['-', '.', '_'];
    let (before, behind) = (before.trim_end_matches(between), behind.trim_start_matches(between));
    let joint = if before.is_empty() || behind.is_empty() { "" } else { "-" };
    bare(catalog, &format!("{before}{joint}{behind}"))
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

/// What is served of a model, and of its projector, where it is served without that.
fn deployment(
    one: Lies,
    catalog: &Catalog,
    measured: &Measured,
    memory: u64,
) -> Result<(Deployment, Option<NotLive>), String> {
    let Lies { name, weights, manifest, projector } = one;
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
    let of_engine = |engine: Kind| Place::Local { engine: engine.name().to_owned() };
    let facts = |engine| policies::Deployment::new(name.clone(), model.id.as_str(), of_engine(engine));
    let mut without = None;
    let seeing = projector.and_then(|path| match sees(&weights, &path, catalog, measured, facts) {
        Ok(chosen) => Some((chosen, path)),
        Err(why) => {
            let why = format!("it is a projector, and `{name}` is served without it: {why}");
            without = Some(NotLive { name: pick::stem(file_name(&path)).to_owned(), why });
            None
        }
    });
    let (Chosen { engine, why }, mmproj) = match seeing {
        Some((chosen, path)) => (chosen, Some(path)),
        None => (choose(&weights, Beside::default(), measured)?, None),
    };
    let mut facts = facts(engine);
    facts.context_tokens = model.context_tokens;
    if let Some(beside) = catalog.looks_at_weights(&model.id) {
        facts.weights = weights::look(&weights, &beside).map_err(|error| format!("it cannot be read: {error}"))?;
    }
    let purpose = engine.purpose(&weights);
    if !model.does(task(purpose)) {
        return Err(format!("`{engine}` makes {} with it, and `{}` is not asked for that", purpose.name(), model.id));
    }
    let asked = Asked { mmproj, ..Asked::default() };
    let told = engine.told(&weights, &asked)?;
    terms::of_weights(catalog, &facts, terms::FILE, &weights, &told.facts)?;
    if told.bytes > memory {
        return Err(format!("it takes about {}, and models may take {} here", shown(told.bytes), shown(memory)));
    }
    let sees = engine.sees(&weights, &asked);
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
    local(&mut deployment, model, purpose, sees);
    Ok((deployment, without))
}

/// The engine that serves a model with a projector.
///
/// # Errors
/// Why none does, or the projector may not be used.
fn sees(
    weights: &Weights,
    projector: &Path,
    catalog: &Catalog,
    measured: &Measured,
    facts: impl Fn(Kind) -> policies::Deployment,
) -> Result<Chosen, String> {
    let chosen = choose(weights, Beside { projector: true, ..Beside::default() }, measured)?;
    let purpose = chosen.engine.purpose(weights);
    if purpose != Purpose::Text {
        return Err(format!("the model makes {}, and pictures are read by one that writes text", purpose.name()));
    }
    let projector = Weights::File(projector.to_owned());
    let said = terms::said(&projector, "projector")?;
    terms::of_weights(catalog, &facts(chosen.engine), terms::PROJECTOR, &projector, &said)?;
    Ok(chosen)
}

/// The model that goes by a name such as `Qwen3-8B-Q4_K_M` or `Qwen_Qwen3-8B`.
pub(super) fn named<'c>(catalog: &'c Catalog, name: &str) -> Option<&'c Model> {
    std::iter::successors(Some(name), |name| shorter(catalog, name)).find_map(|name| {
        let model = || ["--", "_"].iter().find_map(|between| catalog.resolve(&name.replacen(between, "/", 1)));
        catalog.resolve(name).or_else(model)
    })
}

/// A name without the quantizations at its end, in small letters.
fn bare(catalog: &Catalog, name: &str) -> String {
    std::iter::successors(Some(name), |name| shorter(catalog, name)).last().unwrap_or(name).to_lowercase()
}

/// A name without the one quantization at its end, if there is one.
fn shorter<'n>(catalog: &Catalog, name: &'n str) -> Option<&'n str> {
    let at = name.rfind(['-', '.']).filter(|at| is_quantization(catalog, &name[at + 1..]))?;
    Some(&name[..at])
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
