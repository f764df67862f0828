//! Signed notes (c2sp.org/signed-note): keys, signatures, and the two texts that are signed here, checkpoints
//! (c2sp.org/tlog-checkpoint) and rotations of a log's key. And histories: files of notes one after the other, each with an
//! empty line behind it, of which a crash may tear the last.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    str::FromStr,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::tree::Hash;

/// The kind of an Ed25519 key in a note.
const ED25519_KIND: u8 = 1;
/// The kind of an Ed25519 key whose signatures say a time (c2sp.org/tlog-cosignature).
const COSIGNATURE_KIND: u8 = 4;

/// The end of a history that is read at a start; a note has some hundred bytes.
const TAIL_BYTES: u64 = 64 << 10;

/// What somebody's signatures are told and verified by: name, hash and key, as signed notes write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    pub(crate) name: String,
    kind: u8,
    key: [u8; 32],
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a key as signed notes write it: NAME+HASH+KEY, an Ed25519 key of a log or of a witness")]
pub struct NoKey;

impl VerifierKey {
    /// The name of the log or witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of a log.
    pub(crate) fn of_log(name: String, pair: &Ed25519KeyPair) -> Self {
        Self { name, kind: ED25519_KIND, key: public(pair) }
    }

    /// The key of a witness.
    pub(crate) fn of_witness(name: String, pair: &Ed25519KeyPair) -> Self {
        Self { name, kind: COSIGNATURE_KIND, key: public(pair) }
    }

    /// Whether it is the key of a witness, not of a log.
    pub fn is_of_witness(&self) -> bool {
        self.kind == COSIGNATURE_KIND
    }

    pub(crate) fn is_of(&self, pair: &Ed25519KeyPair) -> bool {
        self.key == public(pair)
    }

    /// The first four bytes of the hash that tells a key in a note.
    fn hint(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', self.kind]);
        hash.update(self.key);
        let digest = hash.finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Signs a text, which ends in a newline: the line that a note has for it.
    pub(crate) fn sign(&self, pair: &Ed25519KeyPair, text: &str) -> String {
        self.line(pair.sign(text.as_bytes()).as_ref())
    }

    /// Cosigns a checkpoint's text at a time, in seconds since 1970.
    pub(crate) fn cosign(&self, pair: &Ed25519KeyPair, text: &str, time: u64) -> String {
        let signature = pair.sign(cosigned(text, time).as_bytes());
        self.line(&[&time.to_be_bytes(), signature.as_ref()].concat())
    }

    fn line(&self, signature: &[u8]) -> String {
        let signed = [&self.hint(), signature].concat();
        format!("\u{2014} {} {}\n", self.name, BASE64_STANDARD.encode(signed))
    }

    /// Whether a line is a signature of this key; `None` where it is another's.
    pub(crate) fn verify(&self, text: &str, line: &str) -> Option<bool> {
        let signature = line.strip_prefix("\u{2014} ")?.strip_prefix(self.name.as_str())?.strip_prefix(' ')?;
        let signed = BASE64_STANDARD.decode(signature).ok()?;
        let (hint, signature) = signed.split_first_chunk::<4>()?;
        if *hint != self.hint() {
            return None;
        }
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        Some(match self.kind {
            COSIGNATURE_KIND => signature.split_first_chunk::<8>().is_some_and(|(time, signature)| {
                key.verify(cosigned(text, u64::from_be_bytes(*time)).as_bytes(), signature).is_ok()
            }),
            _ => key.verify(text.as_bytes(), signature).is_ok(),
        })
    }

    /// Whether this key signed a note.
    pub(crate) fn signed(&self, note: &str) -> bool {
        split(note)
            .is_some_and(|(text, signatures)| signatures.lines().any(|line| self.verify(text, line) == Some(true)))
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = BASE64_STANDARD.encode([&[self.kind], &self.key[..]].concat());
        write!(f, "{}+{}+{key}", self.name, hex(&self.hint()))
    }
}

impl FromStr for VerifierKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let parse = || {
            let mut parts = text.trim().splitn(3, '+');
            let (name, hint, key) = (parts.next()?, parts.next()?, parts.next()?);
            let key = BASE64_STANDARD.decode(key).ok()?;
            let (&kind, key) = key.split_first()?;
            let this = Self { name: name.to_owned(), kind, key: key.try_into().ok()? };
            let is_whole = is_name(name) && hint == hex(&this.hint());
            (is_whole && [ED25519_KIND, COSIGNATURE_KIND].contains(&kind)).then_some(this)
        };
        parse().ok_or(NoKey)
    }
}

/// Whether a key may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    pair.public_key().as_ref().try_into().expect("a public key of Ed25519 has 32 bytes")
}

/// What a cosignature signs.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A checkpoint: so many records, under this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

impl Checkpoint {
    /// Its text, for the log of a name.
    pub(crate) fn text(&self, name: &str) -> String {
        format!("{name}\n{}\n{}\n", self.size, BASE64_STANDARD.encode(self.root))
    }

    /// The checkpoint that a note's text says, and the log's name. The signatures are another matter.
    pub(crate) fn parse(text: &str) -> Option<(&str, Self)> {
        let mut lines = text.lines();
        let (name, checkpoint) = (lines.next()?, Self { size: number(lines.next()?)?, root: hash(lines.next()?)? });
        Some((name, checkpoint))
    }
}

/// A number as notes write it: without leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_canonical)
}

/// A hash as notes write it.
pub(crate) fn hash(text: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

pub(crate) fn hash_line(hash: &Hash) -> String {
    format!("{}\n", BASE64_STANDARD.encode(hash))
}

/// The text of a note and its signatures.
pub(crate) fn split(note: &str) -> Option<(&str, &str)> {
    let at = note.find("\n\n")?;
    Some((&note[..=at], &note[at + 2..]))
}

/// The end of a history, and how many bytes are before it.
pub(crate) fn tail(mut file: &File) -> io::Result<(String, u64)> {
    let before = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // The first line may be cut in two; else all of it is text.
    let first =
        if before > 0 { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) } else { 0 };
    Ok((text(&bytes[first..])?, before + first as u64))
}

/// The text of a history whose end a crash may have torn: in the middle of a character, or from zeros on, which are parts of the
/// last write that the disk did not have yet.
pub(crate) fn text(bytes: &[u8]) -> io::Result<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) if error.error_len().is_none() => {
            Ok(String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned())
        }
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Where the last whole note ends: with an empty line after its signatures.
pub(crate) fn whole(history: &str) -> usize {
    let mut end = history.len();
    while let Some(at) = history[..end].rfind("\n\n") {
        let paragraph = history[..at].rfind("\n\n").map_or(0, |before| before + 2);
        if history[paragraph..at].starts_with('\u{2014}') {
            return at + 2;
        }
        end = at + 1;
    }
    0
}

/// The last of some whole notes, without the empty line after it.
pub(crate) fn last_note(history: &str) -> &str {
    let Some(history) = history.strip_suffix("\n\n") else { return "" };
    let Some(text_ends) = history.rfind("\n\n") else { return "" };
    let begins = history[..text_ends].rfind("\n\n").map_or(0, |before| before + 2);
    &history[begins..]
}

/// All of some whole notes.
pub(crate) fn all_notes(history: &str) -> Vec<String> {
    let mut parts = history.split("\n\n");
    let mut notes = Vec::new();
    while let (Some(text), Some(signatures)) = (parts.next(), parts.next()) {
        notes.push(format!("{text}\n\n{signatures}\n"));
    }
    notes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
