//! When each key was last used, kept on disk across restarts.
//!
//! A request stores the second in memory and nothing else. A task writes what changed to one file each minute, and at the
//! end, whole and beside the old one; the file has an entry for each key that is configured and was used, so it grows no
//! further than the keys file. What cannot be written is logged and tried again; it refuses nobody. Each gateway has its
//! own file in its own data folder.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::oneshot;

use super::{Keys, file::replace};
use crate::{config::Access, runtime::Gateway};

/// How often it is written.
const EVERY: Duration = Duration::from_secs(60);
/// The most that is read of the file: that of a hundred thousand keys and more.
const MOST_BYTES: u64 = 8 << 20;

/// The times of last use by the public ids of keys.
pub type LastUse = BTreeMap<String, SystemTime>;

fn place(data_dir: &Path) -> PathBuf {
    data_dir.join("key-uses.json")
}

/// What the file in a data folder says; nothing where there is none.
///
/// # Errors
/// When it cannot be read or holds something else.
pub fn read(data_dir: &Path) -> io::Result<LastUse> {
    let mut text = String::new();
    match File::open(place(data_dir)) {
        Ok(file) => file.take(MOST_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LastUse::new()),
        Err(error) => return Err(error),
    };
    let written: BTreeMap<String, String> = serde_json::from_str(&text)?;
    let read = |(id, time): (String, String)| {
        let time = humantime::parse_rfc3339(&time).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok((id, time))
    };
    written.into_iter().map(read).collect()
}

fn write(data_dir: &Path, uses: &LastUse) -> io::Result<()> {
    let text = |time: &SystemTime| humantime::format_rfc3339_seconds(*time).to_string();
    let written: BTreeMap<&str, String> = uses.iter().map(|(id, time)| (id.as_str(), text(time))).collect();
    replace(&place(data_dir), &serde_json::to_vec(&written)?)
}

/// Writes the last uses of a gateway's keys.
#[derive(Debug)]
pub struct Keeper {
    gateway: Arc<Gateway>,
    /// The folder that the gateway was started with.
    data_dir: PathBuf,
    written: LastUse,
}

impl Keeper {
    /// For a gateway that was just started: takes up what was written before.
    pub fn resume(gateway: &Arc<Gateway>) -> Self {
        let data_dir = gateway.runtime().config.data_dir.clone();
        let written = read(&data_dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "the last uses of keys cannot be read; they begin anew");
            LastUse::new()
        });
        if let Access::Keys(keys) = &gateway.runtime().config.access {
            keys.used_at(&written);
        }
        Self { gateway: Arc::clone(gateway), data_dir, written }
    }

    /// Writes each minute, and once more when `over` resolves.
    pub async fn run(mut self, mut over: oneshot::Receiver<()>) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            let last = tokio::select! {
                _ = every.tick() => false,
                _ = &mut over => true,
            };
            // A disk may be slow.
            let kept = tokio::task::spawn_blocking(move || {
                self.keep();
                self
            });
            match kept.await {
                Ok(keeper) if !last => self = keeper,
                _ => return,
            }
        }
    }

    /// Writes what changed since the last time.
    fn keep(&mut self) {
        let runtime = self.gateway.runtime();
        let Access::Keys(keys) = &runtime.config.access else { return };
        let uses = keys.uses();
        if uses == self.written {
            return;
        }
        match write(&self.data_dir, &uses) {
            Ok(()) => self.written = uses,
            Err(error) => tracing::warn!(%error, "the last uses of keys cannot be written; they are tried again"),
        }
    }
}

impl Keys {
    /// When each key was last used, of those that were.
    pub fn uses(&self) -> LastUse {
        let seconds = |key: &super::Key| key.used.load(std::sync::atomic::Ordering::Relaxed);
        let used = self.0.values().filter_map(|key| Some((key.grant.key.as_deref()?.to_owned(), seconds(key))));
        used.filter(|(_, seconds)| *seconds > 0).map(|(id, at)| (id, UNIX_EPOCH + Duration::from_secs(at))).collect()
    }

    /// Takes up what is known of a time before.
    fn used_at(&self, uses: &LastUse) {
        for key in self.0.values() {
            let at = key.grant.key.as_deref().and_then(|id| uses.get(id));
            let seconds = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs());
            key.used.fetch_max(seconds, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_folder_without_it_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), LastUse::new());
        let uses = LastUse::from([("k1".to_owned(), UNIX_EPOCH + Duration::from_secs(1_793_491_200))]);
        write(folder.path(), &uses).unwrap();
        assert_eq!(read(folder.path()).unwrap(), uses);
        std::fs::write(place(folder.path()), "{\"k1\": \"yesterday\"}").unwrap();
        assert!(read(folder.path()).is_err(), "what is no time is not taken for one");
    }
}
