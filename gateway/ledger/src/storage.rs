//! Every change that is made to the files of a ledger, in one place.
//!
//! What is written is on disk only once it was synced, and a new name only once its folder was; until then a power cut may take
//! it or leave it. The tests see each change before it is made: they refuse it, cut it short, or note it, to make from the notes
//! what any power cut may leave (`tests/faults.rs`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt as _;

#[cfg(test)]
use crate::tests::faults::before;

/// A change that is about to be made.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "only the tests look"))]
pub(crate) enum Change<'a> {
    /// A new, empty file takes this name.
    Create(&'a Path),
    /// Bytes of a file, from an offset on.
    Write(&'a Path, u64, &'a [u8]),
    /// The length of a file.
    Length(&'a Path, u64),
    /// What was written to a file is on disk afterwards.
    Sync(&'a Path),
    /// A file gets another name.
    Rename(&'a Path, &'a Path),
    /// A name goes, and all below it.
    Remove(&'a Path),
    /// A folder takes this name.
    Folder(&'a Path),
    /// The names in a folder are on disk afterwards.
    SyncFolder(&'a Path),
}

/// Why a change is not made, and how many of its bytes are written all the same.
pub(crate) struct Refused {
    pub(crate) error: io::Error,
    pub(crate) written: usize,
}

#[cfg(not(test))]
fn before(_: Change<'_>) -> Result<(), Refused> {
    Ok(())
}

fn allowed(change: Change<'_>) -> io::Result<()> {
    before(change).map_err(|refused| refused.error)
}

/// A file that is written to, and its path.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    path: PathBuf,
    /// Where the next write goes.
    at: u64,
}

impl Output {
    /// A new file, for its owner only. One of this name must not be there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Self::new(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// The same, in place of one that may be there.
    fn over(path: &Path) -> io::Result<Self> {
        Self::new(path, OpenOptions::new().read(true).write(true).create(true).truncate(true))
    }

    fn new(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        allowed(Change::Create(path))?;
        #[cfg(unix)]
        options.mode(0o600);
        Ok(Self { file: options.open(path)?, path: path.into(), at: 0 })
    }

    /// A file that is there, from its first byte on.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file, path: path.into(), at: 0 })
    }

    /// A file from its end on; a new one, durably, where there is none.
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        let mut this = match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = Self::create(path)?;
                sync_parent(path)?;
                new
            }
            opened => opened?,
        };
        this.at = this.file.seek(SeekFrom::End(0))?;
        Ok(this)
    }

    /// A file that the tests opened.
    #[cfg(test)]
    pub(crate) fn of(file: File, path: &Path) -> Self {
        Self { file, path: path.into(), at: 0 }
    }

    /// To read from; its position is the writer's.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn seek(&mut self, at: u64) -> io::Result<()> {
        self.at = self.file.seek(SeekFrom::Start(at))?;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(Refused { error, written }) = before(Change::Write(&self.path, self.at, bytes)) {
            self.file.write_all(&bytes[..written])?;
            return Err(error);
        }
        self.file.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn set_length(&mut self, length: u64) -> io::Result<()> {
        allowed(Change::Length(&self.path, length))?;
        self.file.set_len(length)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        allowed(Change::Sync(&self.path))?;
        self.file.sync_data()
    }
}

/// Writes a file as a whole, durably: whenever the power is cut, either the old one is there or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_soon(path, bytes, true)?;
    sync_parent(path)
}

/// Writes a file as a whole, so that nobody reads half of it. `synced`: its bytes are on disk before its name is.
pub(crate) fn replace_soon(path: &Path, bytes: &[u8], synced: bool) -> io::Result<()> {
    let beside = beside(path);
    let mut file = Output::over(&beside)?;
    file.write(bytes)?;
    if synced {
        file.sync()?;
    }
    rename(&beside, path)
}

/// Where a file is written before it takes its name.
fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    allowed(Change::Rename(from, to))?;
    fs::rename(from, to)
}

/// Makes what others wrote to a file durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    allowed(Change::Sync(path))?;
    File::open(path)?.sync_data()
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    allowed(Change::Remove(path))?;
    is_gone(fs::remove_file(path))
}

/// Removes a folder and all in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    allowed(Change::Remove(path))?;
    is_gone(fs::remove_dir_all(path))
}

fn is_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes a folder and those above it, where they are not there.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    allowed(Change::Folder(path))?;
    fs::create_dir_all(path)
}

/// Makes the names in a folder durable: a new file whose folder was not synced can be gone after a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    allowed(Change::SyncFolder(path))?;
    File::open(path)?.sync_all()
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_folder(parent.unwrap_or(Path::new(".")))
}
