//! Models that other programs keep on this machine, read where they lie and never changed: nothing is copied.
//!
//! | name | where |
//! |---|---|
//! | `hf-cache:OWNER/REPO/FILE` | `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`: the files of its snapshots |
//! | `ollama:MODEL:TAG` | `OLLAMA_MODELS`, else `~/.ollama/models`: manifests, and the blobs that they name |
//! | `lm-studio:OWNER/REPO/FILE` | `~/.lmstudio/models` |
//!
//! What lies there is not trusted: a manifest is bounded, and a digest is looked at before it is a path. What cannot be read is
//! passed over, as it is not ours to repair.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Held, HeldFile, MOST_MODELS, pick::stem, reference::is_sha256};
use crate::config::Environment;

/// Folders within folders that are looked into.
const MOST_DEPTH: usize = 6;
/// The most bytes of a manifest.
const MOST_MANIFEST: u64 = 1 << 20;
/// The layer of a manifest that is the weights.
const WEIGHTS: &str = "application/vnd.ollama.image.model";

/// What other programs keep.
pub fn elsewhere(environment: &Environment) -> Vec<Held> {
    let home = environment.get("HOME").map(PathBuf::from);
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let hub = environment.get("HF_HUB_CACHE").map(PathBuf::from);
    let hub = hub.or_else(|| environment.get("HF_HOME").map(|folder| Path::new(folder).join("hub")));
    let hub = hub.or_else(|| below_home(".cache/huggingface/hub"));
    let ollama = environment.get("OLLAMA_MODELS").map(PathBuf::from).or_else(|| below_home(".ollama/models"));
    let mut held = Vec::new();
    held.extend(hub.map(|folder| hub_cache(&folder)).unwrap_or_default());
    held.extend(ollama.map(|folder| self::ollama(&folder)).unwrap_or_default());
    held.extend(below_home(".lmstudio/models").map(|folder| lm_studio(&folder)).unwrap_or_default());
    held.sort_by(|a, b| a.name.cmp(&b.name));
    held.dedup_by(|a, b| a.name == b.name);
    held
}

/// The files below a folder, by their paths from there; links to files count as files, and links to folders are not followed.
fn files(root: &Path) -> Vec<(String, PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.take(MOST_MODELS).flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth < MOST_DEPTH && folders.len() < MOST_MODELS {
                    folders.push((path, depth + 1));
                }
                continue;
            }
            let (Ok(of), Ok(relative)) = (fs::metadata(&path), path.strip_prefix(root)) else { continue };
            if let (true, Some(relative)) = (of.is_file() && found.len() < MOST_MODELS, relative.to_str()) {
                found.push((relative.to_owned(), path.clone(), of.len()));
            }
        }
    }
    found.sort();
    found
}

/// Models of GGUF files below a folder, parts put together; `name` makes the name of the first file's path.
fn gguf(root: &Path, name: impl Fn(&str) -> Option<String>) -> Vec<Held> {
    let mut models: Vec<Held> = Vec::new();
    let mut before: Option<String> = None;
    for (relative, path, bytes) in files(root).into_iter().filter(|(path, ..)| path.ends_with(".gguf")) {
        // The cache of the hub links to a blob that is called by its digest.
        let target = fs::read_link(&path).ok();
        let sha256 = target.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let sha256 = sha256.filter(|name| is_sha256(name)).map(str::to_owned);
        let file = HeldFile { path, bytes, sha256 };
        let stem = stem(&relative).to_owned();
        match models.last_mut() {
            Some(model) if before.as_ref() == Some(&stem) && relative.strip_suffix(".gguf") != Some(&stem) => {
                model.files.push(file);
            }
            _ => {
                let Some(name) = name(&relative) else { continue };
                models.push(Held { source: name.clone(), name, files: vec![file], manifest: None });
            }
        }
        before = Some(stem);
    }
    models
}

fn hub_cache(folder: &Path) -> Vec<Held> {
    gguf(folder, |relative| {
        let mut parts = relative.splitn(4, '/');
        let repository = parts.next()?.strip_prefix("models--")?.replacen("--", "/", 1);
        (parts.next()? == "snapshots").then_some(())?;
        parts.next()?;
        Some(format!("hf-cache:{repository}/{}", parts.next()?))
    })
}

fn lm_studio(folder: &Path) -> Vec<Held> {
    gguf(folder, |relative| Some(format!("lm-studio:{relative}")))
}

#[derive(Deserialize)]
struct Layers {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
}

fn ollama(folder: &Path) -> Vec<Held> {
    let model = |(relative, path, _): (String, PathBuf, u64)| {
        let mut text = Vec::new();
        File::open(path).ok()?.take(MOST_MANIFEST).read_to_end(&mut text).ok()?;
        let layers: Layers = serde_json::from_slice(&text).ok()?;
        let weights = layers.layers.into_iter().filter(|layer| layer.media_type == WEIGHTS);
        let file = |layer: Layer| {
            let sha256 = layer.digest.strip_prefix("sha256:").filter(|digest| is_sha256(digest))?.to_owned();
            let path = folder.join("blobs").join(format!("sha256-{sha256}"));
            Some(HeldFile { path, bytes: layer.size, sha256: Some(sha256) })
        };
        let files = weights.map(file).collect::<Option<Vec<_>>>().filter(|files| !files.is_empty())?;
        // Its own registry and namespace go without saying, as on its command line.
        let relative = relative.strip_prefix("registry.ollama.ai/").unwrap_or(&relative);
        let (name, tag) = relative.strip_prefix("library/").unwrap_or(relative).rsplit_once('/')?;
        let name = format!("ollama:{name}:{tag}");
        Some(Held { source: name.clone(), name, files, manifest: None })
    };
    files(&folder.join("manifests")).into_iter().filter_map(model).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::State;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_other_programs_keep_is_found_with_the_digests_that_they_know() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        let digest = "ab".repeat(32);
        let cache = ".cache/huggingface/hub/models--Qwen--Qwen3-8B-GGUF";
        write(at(&format!("{cache}/blobs/{digest}")), "abc");
        let snapshot = at(&format!("{cache}/snapshots/0123"));
        fs::create_dir_all(&snapshot).unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{digest}"), snapshot.join("q.gguf")).unwrap();
        let layers =
            |digest: &str| format!(r#"{{"layers":[{{"mediaType":"{WEIGHTS}","digest":"{digest}","size":3}}]}}"#);
        let manifests = ".ollama/models/manifests/registry.ollama.ai";
        write(at(&format!("{manifests}/library/qwen3/8b")), &layers(&format!("sha256:{digest}")));
        write(at(&format!("{manifests}/ann/own/latest")), &layers("sha256:../../../etc/passwd"));
        write(at(&format!(".ollama/models/blobs/sha256-{digest}")), "abc");
        write(at(".lmstudio/models/a/b/m-00001-of-00002.gguf"), "abc");
        write(at(".lmstudio/models/a/b/m-00002-of-00002.gguf"), "abc");
        let found = elsewhere(&Environment::of([("HOME", home.path().to_str().unwrap())]));
        let names: Vec<_> = found.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(
            names,
            ["hf-cache:Qwen/Qwen3-8B-GGUF/q.gguf", "lm-studio:a/b/m-00001-of-00002.gguf", "ollama:qwen3:8b"]
        );
        assert_eq!(found[0].files[0].sha256.as_deref(), Some(digest.as_str()));
        assert_eq!((found[1].files.len(), found[1].bytes()), (2, 6));
        assert_eq!(found[1].files[0].sha256, None);
        assert_eq!(found[2].files[0].sha256.as_deref(), Some(digest.as_str()));
        assert!(found.iter().all(|model| model.state() == State::Whole));
        assert!(elsewhere(&Environment::of([])).is_empty());
    }
}
