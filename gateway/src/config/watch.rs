//! Tells when a file of the configuration has changed.
//!
//! Folders are watched, not files: editors and `pointsman keys` replace a file by renaming another over it, and
//! Kubernetes swaps a symbolic link beside it. An event only says that it is time to look; a change is reported when
//! the bytes of a file are others than those that were loaded, so that locks, backups and re-reads say nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time};

/// A write is over when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(200);
/// A folder in which something happens all the time is looked at this often nevertheless.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file that was read, or that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of what it held; none if it could not be read.
    digest: Option<[u8; 32]>,
}

impl Watched {
    /// A file with the text that was read from it.
    pub(super) fn new(path: &Path, text: Option<&str>) -> Self {
        Self { path: path.to_owned(), digest: text.map(|text| Sha256::digest(text).into()) }
    }
}

/// Watches the files of a configuration.
#[derive(Debug)]
pub struct Watch {
    files: Vec<Watched>,
    events: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

/// Changes cannot be seen; a reload has to be asked for.
#[derive(Debug, thiserror::Error)]
#[error("changes of the configuration cannot be watched")]
pub struct WatchError(#[from] notify::Error);

/// Watches files as [`Config::watched`](super::Config::watched) lists them.
///
/// # Errors
/// When the operating system gives no more watches.
pub fn watch(files: &[Watched]) -> Result<Watch, WatchError> {
    // One waiting event is enough: it says "look", not what happened.
    let (sender, events) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and looking reads all of them. An error may stand for lost events.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            let _ = sender.try_send(());
        }
    })?;
    for folder in folders(files) {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(Watch { files: files.to_vec(), events, _watcher: watcher })
}

impl Watch {
    /// Returns when a file holds something else than it did when it was loaded, or at the last return.
    /// May be dropped at any time; no change is lost by it.
    pub async fn changed(&mut self) {
        loop {
            if self.look().await {
                return;
            }
            // The sender lives in the watcher, which lives in `self`.
            self.events.recv().await;
            let settled = async { while time::timeout(QUIET, self.events.recv()).await.is_ok() {} };
            let _ = time::timeout(PATIENCE, settled).await;
        }
    }

    /// Reads all files again, and says whether any of them has changed.
    async fn look(&mut self) -> bool {
        let mut now = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let digest = tokio::fs::read(&file.path).await.ok().map(|bytes| Sha256::digest(bytes).into());
            now.push(Watched { path: file.path.clone(), digest });
        }
        let changed = now != self.files;
        self.files = now;
        changed
    }
}

/// The folders that files are in, and those that they are in once symbolic links are followed.
fn folders(files: &[Watched]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for Watched { path, .. } in files {
        let followed = fs::canonicalize(path).ok();
        for path in [Some(path.as_path()), followed.as_deref()].into_iter().flatten() {
            // The folder itself may be still to come; then its own folder tells of it.
            let folder = path.ancestors().skip(1).map(|folder| match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            });
            folders.extend({ folder }.find(|folder| folder.is_dir()).map(Path::to_owned));
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, path).unwrap();
    }

    /// Time is the watcher's thread's own here; the bound only keeps a broken watcher from hanging the test.
    async fn soon(watch: &mut Watch) {
        time::timeout(Duration::from_secs(30), watch.changed()).await.expect("the change is seen");
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_by_a_rename_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one").unwrap();
        let mut watch = watch(&[Watched::new(&file, Some("one"))]).unwrap();
        replace(&file, "two");
        soon(&mut watch).await;
        assert!(!watch.look().await, "a change is told once");
        replace(&file, "three");
        soon(&mut watch).await;
    }

    #[tokio::test]
    async fn a_change_between_loading_and_watching_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "two").unwrap();
        let mut watch = watch(&[Watched::new(&file, Some("one"))]).unwrap();
        soon(&mut watch).await;
    }

    #[tokio::test]
    async fn a_file_that_comes_later_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.yaml");
        let mut watch = watch(&[Watched::new(&file, None)]).unwrap();
        assert!(!watch.look().await);
        fs::write(&file, "keys: []").unwrap();
        soon(&mut watch).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_swapped_symbolic_link_beside_the_file_is_a_change() {
        // What Kubernetes does with a mounted ConfigMap: file -> ..data/file, ..data -> ..version.
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a.yaml"), text).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", at("a.yaml")).unwrap();
        let mut watch = watch(&[Watched::new(&at("a.yaml"), Some("one"))]).unwrap();
        std::os::unix::fs::symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        soon(&mut watch).await;
    }

    #[tokio::test]
    async fn a_file_beside_it_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one").unwrap();
        let mut watch = watch(&[Watched::new(&file, Some("one"))]).unwrap();
        fs::write(folder.path().join("a.yaml.lock"), "").unwrap();
        watch.events.recv().await;
        assert!(!watch.look().await);
    }
}
