//! Which packed files a folder keeps: those that were used last, of models that are still there.
//!
//! Only files that begin as packed ones do are ever removed, whatever else lies in the folder. One that is removed while somebody
//! computes with it stays theirs until they are done.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{EXTENSION, PackedFiles, UNFINISHED, head};

/// After so long without a byte more, whoever wrote a file is gone.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A packed file that is not the one in question.
struct Other {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Removes packed files of models that are gone, and those that were not used for longest until `own`, which has `bytes` or
/// will have, fits in beside the others.
pub(super) fn clear(files: &PackedFiles, own: &Path, bytes: u64) {
    let Ok(entries) = fs::read_dir(&files.folder) else { return };
    let now = SystemTime::now();
    let mut others = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path != own) {
        let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else { continue };
        if ![EXTENSION, UNFINISHED].contains(&extension) {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        let Ok(metadata) = file.metadata() else { continue };
        let Some(source) = head::source(file) else { continue };
        let used = metadata.modified().unwrap_or(now);
        if extension == UNFINISHED {
            if now.duration_since(used).is_ok_and(|since| since > ABANDONED) {
                remove(&path, "whoever wrote it is gone");
            }
        } else if source.is_some_and(|source| is_gone(&source)) {
            remove(&path, "its model is gone");
        } else {
            others.push(Other { path, bytes: metadata.len(), used });
        }
    }
    let mut total = others.iter().fold(bytes, |total, other| total.saturating_add(other.bytes));
    others.sort_by_key(|other| other.used);
    for other in others {
        if total <= files.most_bytes {
            break;
        }
        total = total.saturating_sub(other.bytes);
        remove(&other.path, "others were used since, and all together are more than may be kept");
    }
}

fn is_gone(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn remove(path: &Path, why: &str) {
    match fs::remove_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), why, "removed packed weights"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove packed weights"),
    }
}
