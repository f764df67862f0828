//! Packed weights, kept in files that later starts map instead of packing anew.
//!
//! One file for each model, in a folder of the operator's. It is written beside its name and renamed, so that a reader sees
//! all of it or none, and is never changed after. What it begins with ([`head`]) is not read but compared, byte for byte, with
//! what this build would write for this model as it is now ([`key`]), its matrices and the layout of the kernels; then its
//! pieces have to sum up. What differs anywhere is as if it were not there: the model is packed from its own file, and that
//! takes its place. Nothing that goes wrong here makes a load fail, and nobody waits for a file to be written.
//!
//! What holds: a model whose file was written to, replaced, cut or touched since is packed anew, as the system keeps the time
//! of each change of a file, which programs cannot set; and so is one whose head, or one of whose spots that are looked at,
//! differs, where a file system keeps no such times. A packed file that was cut or damaged is not used. What does not: on such
//! a file system, weights that were changed elsewhere, with length and times put back, are not noticed; nor is a packed
//! file that somebody made to deceive: who may write into the folder is trusted, as with the models.
//!
//! Every byte is summed up before anything is computed, by all threads, which has the pages in memory when the first token asks
//! for them: a tenth of a second for a model of a billion weights, where packing takes more than a second (`second_start`, an
//! example, measures both). Sums that were taken later would tell too late of answers that were wrong.
//!
//! Files are mapped, not copied: pages are shared with other processes and with the next start, and go first when memory runs
//! short. Computing from them is as fast as from memory of one's own where files have large pages too (ext4 and XFS of today's
//! Linux); copying them into such memory took longer than the rest of a start.

mod budget;
mod head;
mod key;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::SystemTime,
};

use engine::gguf;
use kernels::{Mapped, Packed};
use sha2::{Digest, Sha256};

use crate::tensor::Form;
use head::{Head, MAX_PATH, PIECE};
use key::Seen;

/// How a packed file's name ends, and that of one that is being written.
const EXTENSION: &str = "packed";
const UNFINISHED: &str = "unfinished";
/// Characters of a model's name that its packed file shows.
const SHOWN: usize = 64;

/// Where packed weights are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedFiles {
    /// A folder, made if it is not there. Several gateways may share it.
    pub folder: PathBuf,
    /// Bytes that its packed files take together at most: those that were not used for longest go. One is never written
    /// where it would take more than half of what the disk has left.
    pub most_bytes: u64,
}

/// The place of one model's packed weights.
#[derive(Debug)]
pub(crate) struct Place {
    files: PackedFiles,
    /// Where the model is.
    source: String,
    /// What it was before it was opened: what was read of it later is not older.
    seen: Seen,
    path: PathBuf,
}

impl Place {
    /// That of the model in a file, to be made before the file is opened; none if its path is no text.
    pub(crate) fn of(files: &PackedFiles, model: &Path) -> Option<Self> {
        // Of one that is not there loading tells.
        let source = fs::canonicalize(model).ok()?;
        let seen = Seen::of(&source).ok()?;
        let source = source.to_str().filter(|source| source.len() <= MAX_PATH)?.to_owned();
        let path = files.folder.join(name(&source));
        Some(Self { files: files.clone(), source, seen, path })
    }

    /// The matrices of a model, where its packed file is there and is the one; it counts as used now. Else what is to be
    /// written, unless no file holds so much.
    pub(crate) fn open(
        self,
        model: &gguf::File,
        forms: impl Iterator<Item = Form>,
        threads: usize,
    ) -> Result<Vec<Packed>, Option<Box<Unkept>>> {
        let Some(head) = Head::new(&self.source, self.seen.key(model), forms) else { return Err(None) };
        let Ok(mut file) = File::open(&self.path) else { return Err(Some(Box::new(Unkept { place: self, head }))) };
        match self.mapped(&mut file, &head, threads) {
            Ok(matrices) => {
                // In a folder that cannot be written to it stays as old as it is.
                let _ = file.set_modified(SystemTime::now());
                budget::clear(&self.files, &self.path, head.end());
                tracing::info!(path = %self.path.display(), "mapped packed weights");
                Ok(matrices)
            }
            Err(why) => {
                tracing::info!(path = %self.path.display(), why, "packed weights are not used");
                Err(Some(Box::new(Unkept { place: self, head })))
            }
        }
    }

    fn mapped(&self, file: &mut File, head: &Head, threads: usize) -> Result<Vec<Packed>, String> {
        if head.end() > self.files.most_bytes {
            return Err("they are more than may be kept".to_owned());
        }
        let found = file.metadata().map_err(|error| error.to_string())?.len();
        if found != head.end() {
            return Err(format!("they have {found} bytes, expected {}", head.end()));
        }
        let mut begins = vec![0; head.len()];
        file.read_exact(&mut begins).map_err(|error| error.to_string())?;
        let sums = head.sums_in(&begins).ok_or("they are of another model, layout or version, or damaged")?;
        let map = Arc::new(Mapped::of(file).map_err(|error| error.to_string())?);
        map.ahead();
        let body = map.bytes().get(head.len()..).unwrap_or_default();
        if !adds_up(body, &sums, threads) {
            return Err("they are damaged".to_owned());
        }
        let matrices = head.matrices().map(|(form, at)| Packed::mapped(form.format, form.rows, form.cols, &map, at));
        matrices.collect::<Option<_>>().ok_or_else(|| "they are cut short".to_owned())
    }

    /// Writes the file from `copy`, which appends some bytes of a matrix to a buffer. Once that answers that the model is gone
    /// it is given up.
    ///
    /// # Errors
    /// Why there is none. Whatever was there before stays.
    fn write(
        &self,
        head: &Head,
        mut copy: impl FnMut(usize, Range<usize>, &mut Vec<u8>) -> Option<()>,
    ) -> io::Result<()> {
        if head.end() > self.files.most_bytes {
            return Err(io::Error::other(format!("{} bytes are more than may be kept", head.end())));
        }
        fs::create_dir_all(&self.files.folder)?;
        budget::clear(&self.files, &self.path, head.end());
        let disk = rustix::fs::statvfs(&self.files.folder)?;
        let left = disk.f_bavail.saturating_mul(disk.f_frsize);
        if head.end() > left / 2 {
            return Err(io::Error::other(format!(
                "{} bytes are more than half of the {left} that the disk has left",
                head.end()
            )));
        }
        let mut unfinished =
            tempfile::Builder::new().suffix(&format!(".{UNFINISHED}")).tempfile_in(&self.files.folder)?;
        let file = unfinished.as_file_mut();
        file.write_all(&head.with_sums(&vec![0; head.pieces()]))?;
        let mut sums = Vec::with_capacity(head.pieces());
        let mut piece = Vec::with_capacity(PIECE);
        let mut put = |piece: &mut Vec<u8>| {
            sums.push(crc32fast::hash(piece));
            file.write_all(piece)?;
            piece.clear();
            io::Result::Ok(())
        };
        let mut written = head.len();
        for (index, (_, place)) in head.matrices().enumerate() {
            // Pieces end where a matrix may begin, so that what lies between two matrices is in one of them.
            piece.resize(piece.len() + place - written, 0);
            let bytes = head.bytes(index);
            let mut done = 0;
            while done < bytes {
                if piece.len() == PIECE {
                    put(&mut piece)?;
                }
                let part = done..bytes.min(done + PIECE - piece.len());
                done = part.end;
                copy(index, part, &mut piece).ok_or_else(|| io::Error::other("the model was unloaded meanwhile"))?;
            }
            written = place + bytes;
        }
        if !piece.is_empty() {
            put(&mut piece)?;
        }
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head.with_sums(&sums))?;
        file.sync_all()?;
        if Seen::of(Path::new(&self.source))? != self.seen {
            return Err(io::Error::other("the model's file was changed meanwhile"));
        }
        unfinished.persist(&self.path).map(drop).map_err(|error| error.error)
    }

    fn not_kept(&self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "packed weights are not kept: the next start packs them again");
    }
}

/// Weights that were packed and are not kept yet.
#[derive(Debug)]
pub(crate) struct Unkept {
    place: Place,
    head: Head,
}

impl Unkept {
    /// Keeps them. A failure is logged.
    pub(crate) fn keep(self, copy: impl FnMut(usize, Range<usize>, &mut Vec<u8>) -> Option<()>) {
        match self.place.write(&self.head, copy) {
            Ok(()) => tracing::info!(path = %self.place.path.display(), bytes = self.head.end(), "kept packed weights"),
            Err(error) => self.place.not_kept(&error),
        }
    }

    /// The same on a thread of its own, so that nobody waits for it.
    pub(crate) fn keep_aside(self, copy: impl FnMut(usize, Range<usize>, &mut Vec<u8>) -> Option<()> + Send + 'static) {
        let thread = thread::Builder::new().name("packed-weights".to_owned()).spawn(move || self.keep(copy));
        if let Err(error) = thread {
            tracing::warn!(%error, "packed weights are not kept: the system has no thread for it");
        }
    }
}

/// The name of the packed file of a model: readable, and no other model's.
fn name(source: &str) -> String {
    let stem = Path::new(source).file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let digest = Sha256::digest(source);
    let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digest}.{EXTENSION}", stem.chars().take(SHOWN).map(plain).collect::<String>())
}

/// Whether every piece has its sum.
fn adds_up(body: &[u8], sums: &[u32], threads: usize) -> bool {
    let all: Vec<_> = body.chunks(PIECE).zip(sums).collect();
    thread::scope(|scope| {
        let share = all.len().div_ceil(threads.max(1)).max(1);
        let add_up = |share: &[(&[u8], &u32)]| share.iter().all(|(piece, sum)| crc32fast::hash(piece) == **sum);
        let shares: Vec<_> = all.chunks(share).map(|share| scope.spawn(move || add_up(share))).collect();
        shares.into_iter().all(|share| share.join().unwrap_or(false))
    })
}
