//! Checkpoints in a folder: `LOG/SIZE` for each, written once and never again. On a store that nothing can be deleted from, that
//! is proof enough; `pointsman-audit verify --anchors FOLDER` holds a ledger against it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

/// Writes a checkpoint, unless it is there.
pub(super) fn write(folder: &Path, log: &str, size: u64, note: &str) -> io::Result<()> {
    // The name of a log has a slash, which is no folder here.
    let folder = folder.join(log.replace('/', "-"));
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{size:020}"));
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return match fs::read_to_string(&path)? == note {
                true => Ok(()),
                false => Err(io::Error::other(format!(
                    "`{}` holds another checkpoint of the same size: somebody wrote another history, or a write broke off",
                    path.display()
                ))),
            };
        }
        Err(error) => return Err(error),
    };
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    File::open(&folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_written_once_and_another_one_of_its_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "pointsman/ab", 7, "one").unwrap();
        write(folder.path(), "pointsman/ab", 7, "one").unwrap();
        let error = write(folder.path(), "pointsman/ab", 7, "two").unwrap_err().to_string();
        assert!(error.contains("another history"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("pointsman-ab/00000000000000000007")).unwrap(), "one");
    }
}
