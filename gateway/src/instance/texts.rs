//! The texts that decisions rest on, each once, under its digest: `texts/SHA256` in the ledger's folder.
//!
//! A record names a text by its digest, so whoever has the ledger has proof of the text. A text that is there is never written
//! again, and one that does not fit its name is not read.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::keys::{hex, replace_file};

/// No text that a gateway reads is larger.
const MOST_BYTES: u64 = 64 << 20;

/// Where the texts of a ledger are.
#[derive(Debug, Clone)]
pub struct Texts(PathBuf);

impl Texts {
    /// Those of the ledger in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self(folder.join("texts"))
    }

    /// Keeps a text; its digest. Returns once it is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, text: &str) -> io::Result<String> {
        let digest = hex(&Sha256::digest(text));
        if self.read(&digest).is_ok() {
            return Ok(digest);
        }
        if !self.0.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        }
        replace_file(&self.0.join(&digest), text.as_bytes())?;
        Ok(digest)
    }

    /// The text of a digest.
    ///
    /// # Errors
    /// When it is not there, or is not what its name says.
    pub fn read(&self, digest: &str) -> io::Result<String> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the text {digest} {why}"));
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong("has no digest for a name"));
        }
        let mut text = String::new();
        File::open(self.0.join(digest))?.take(MOST_BYTES).read_to_string(&mut text)?;
        match hex(&Sha256::digest(&text)) == digest {
            true => Ok(text),
            false => Err(wrong("is not what its name says")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_by_its_digest_and_a_changed_one_is_not_read_but_mended() {
        let folder = tempfile::tempdir().unwrap();
        let texts = Texts::of(folder.path());
        let digest = texts.keep("version: 1\n").unwrap();
        assert_eq!(texts.keep("version: 1\n").unwrap(), digest);
        assert_eq!(texts.read(&digest).unwrap(), "version: 1\n");
        fs::write(folder.path().join("texts").join(&digest), "version: 2\n").unwrap();
        assert!(texts.read(&digest).unwrap_err().to_string().contains("is not what its name says"));
        assert!(texts.read("../key").is_err(), "no path");
        texts.keep("version: 1\n").unwrap();
        assert_eq!(texts.read(&digest).unwrap(), "version: 1\n");
    }
}
