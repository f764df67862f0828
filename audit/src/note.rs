//! Keys and signatures as signed notes have them (c2sp.org/signed-note), and what they sign here: checkpoints
//! (c2sp.org/tlog-checkpoint: name, size and root of a log), rotations of a log's key, and cosignatures of witnesses
//! (c2sp.org/tlog-cosignature).

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};

use crate::tree::Hash;

/// The kind of an Ed25519 key.
const ED25519_KIND: u8 = 1;
/// The kind of an Ed25519 key of a witness, whose signatures say a time.
const COSIGNATURE_KIND: u8 = 4;

/// The first line of a rotation, which begins no checkpoint: the name of a log has no spaces.
const ROTATION: &str = "pointsman key rotation";

/// A key that a log is signed with: `NAME+HASH+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey(Key);

/// A key that a witness cosigns with, in the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey(Key);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    hint: [u8; 4],
    key: [u8; 32],
}

/// What a log says of itself: so many records, under this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many records.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey(pub(crate) &'static str);

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}: NAME+HASH+KEY", self.0)
    }
}

impl std::error::Error for NoKey {}

impl FromStr for VerifierKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let no = NoKey("the key of a log as `pointsman audit key` prints it");
        Key::parse(text, ED25519_KIND).map(Self).ok_or(no)
    }
}

impl FromStr for WitnessKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        Key::parse(text, COSIGNATURE_KIND).map(Self).ok_or(NoKey("the key of a witness, of the kind for cosignatures"))
    }
}

impl Key {
    fn parse(text: &str, kind: u8) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (name, hash, key) = (parts.next()?, parts.next()?, parts.next()?);
        let key = BASE64_STANDARD.decode(key).ok()?;
        let (written_kind, key) = key.split_first()?;
        let key: [u8; 32] = key.try_into().ok()?;
        let hint = hint(name, kind, &key);
        let written: String = hint.iter().map(|byte| format!("{byte:02x}")).collect();
        let holds = *written_kind == kind && !name.is_empty() && hash == written;
        holds.then(|| Self { name: name.to_owned(), hint, key })
    }

    /// What the lines of this key among the signatures of a note hold, without the hint.
    fn lines<'a>(&'a self, signatures: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
        signatures.lines().filter_map(|line| {
            let signature = line.strip_prefix("\u{2014} ")?.strip_prefix(&self.name)?.strip_prefix(' ')?;
            let bytes = BASE64_STANDARD.decode(signature).ok()?;
            let (hint, signature) = bytes.split_first_chunk::<4>()?;
            (*hint == self.hint).then(|| signature.to_vec())
        })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(message, signature).is_ok()
    }
}

/// The first four bytes of the hash that tells a key in a note.
fn hint(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    let digest = digest(&SHA256, &[name.as_bytes(), &[b'\n', kind], key].concat());
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// The text of a note and its signatures.
pub(crate) fn parts(note: &str) -> Option<(&str, &str)> {
    let at = note.find("\n\n")?;
    Some((&note[..=at], &note[at + 2..]))
}

/// A size as a note writes it: without leading zeros.
fn size(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_canonical)
}

fn root(text: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

impl VerifierKey {
    /// The name of the log, as its checkpoints and receipts say it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The checkpoint of a note, if this key signed it. Lines of other keys count for nothing.
    pub fn checkpoint(&self, note: &str) -> Option<Checkpoint> {
        let checkpoint = Checkpoint::parse(&self.0.name, note)?;
        self.signed(note).then_some(checkpoint)
    }

    fn signed(&self, note: &str) -> bool {
        let Some((text, signatures)) = parts(note) else { return false };
        self.0.lines(signatures).any(|signature| self.0.verifies(text.as_bytes(), &signature))
    }
}

impl WitnessKey {
    /// The name of the witness.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// When this witness cosigned a note, in seconds since 1970; `None` where it did not.
    ///
    /// # Errors
    /// There is a line of its key that it did not sign.
    pub fn cosigned(&self, note: &str) -> Result<Option<u64>, Forged> {
        let Some((text, signatures)) = parts(note) else { return Ok(None) };
        let mut newest = None;
        for line in self.0.lines(signatures) {
            let Some((time, signature)) = line.split_first_chunk::<8>() else { return Err(Forged) };
            let time = u64::from_be_bytes(*time);
            if !self.0.verifies(format!("cosignature/v1\ntime {time}\n{text}").as_bytes(), signature) {
                return Err(Forged);
            }
            newest = newest.max(Some(time));
        }
        Ok(newest)
    }
}

/// A line says that a key signed what it did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl Checkpoint {
    /// What a note of the log of this name says, whoever signed it.
    pub(crate) fn parse(name: &str, note: &str) -> Option<Self> {
        let mut lines = parts(note)?.0.lines();
        let is_of_it = lines.next()? == name;
        let (size, root) = (size(lines.next()?)?, root(lines.next()?)?);
        is_of_it.then_some(Self { size, root })
    }
}

/// The keys that a log was signed with, one after the other, and up to which size each was in force.
#[derive(Clone, Debug)]
pub struct Keys {
    keys: Vec<VerifierKey>,
    /// At which checkpoint each key but the last was given up.
    rotations: Vec<Checkpoint>,
}

impl Keys {
    /// A log whose key was never rotated.
    pub fn one(key: &VerifierKey) -> Self {
        Self { keys: vec![key.clone()], rotations: Vec::new() }
    }

    /// The keys of a log, by its history of rotations: of each, both the key that goes and the key that comes signed it. So
    /// whoever trusts one of them can trust them all.
    ///
    /// # Errors
    /// A rotation was not signed by both its keys, does not follow the one before, or none of the keys is the one given.
    pub fn follow(key: &VerifierKey, history: &[String]) -> Result<Self, String> {
        let mut keys: Vec<VerifierKey> = Vec::new();
        let mut rotations: Vec<Checkpoint> = Vec::new();
        for (nth, note) in history.iter().enumerate() {
            let nth = nth + 1;
            let (at, old, new) =
                rotation(key.name(), note).ok_or_else(|| format!("rotation {nth} of the key is none of this log"))?;
            if !(old.signed(note) && new.signed(note)) {
                return Err(format!("rotation {nth} of the key was not signed by both its keys"));
            }
            let follows = keys.last().is_none_or(|last| *last == old)
                && rotations.last().is_none_or(|last| last.size <= at.size)
                && !keys.contains(&new);
            if !follows {
                return Err(format!("rotation {nth} of the key does not follow the one before"));
            }
            if keys.is_empty() {
                keys.push(old);
            }
            keys.push(new);
            rotations.push(at);
        }
        match keys.is_empty() {
            true => Ok(Self::one(key)),
            false if keys.contains(key) => Ok(Self { keys, rotations }),
            false => Err("the rotations of the key are not of the key that was given".to_owned()),
        }
    }

    /// The name of the log.
    pub fn name(&self) -> &str {
        self.keys[0].name()
    }

    /// What the log said of itself at each rotation.
    pub fn rotations(&self) -> &[Checkpoint] {
        &self.rotations
    }

    /// The checkpoint of a note, if the key that was in force at its size signed it.
    pub fn checkpoint(&self, note: &str) -> Option<Checkpoint> {
        let checkpoint = Checkpoint::parse(self.name(), note)?;
        let in_force = self.rotations.partition_point(|rotation| rotation.size < checkpoint.size);
        self.keys[in_force].signed(note).then_some(checkpoint)
    }
}

/// What a rotation says: the log at that time, the key that goes, and the key that comes.
fn rotation(name: &str, note: &str) -> Option<(Checkpoint, VerifierKey, VerifierKey)> {
    let mut lines = parts(note)?.0.lines();
    let is_of_it = lines.next()? == ROTATION && lines.next()? == name;
    let at = Checkpoint { size: size(lines.next()?)?, root: root(lines.next()?)? };
    let (old, new): (VerifierKey, VerifierKey) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    let is_of_it = is_of_it && lines.next().is_none() && old.name() == name && new.name() == name;
    is_of_it.then_some((at, old, new))
}

/// The notes of a history: each is a text, an empty line, signatures, an empty line. The last one may be torn: it is left out
/// then, and the second value says so. So is what follows a zero, a part of the last write that the disk did not have yet.
pub fn notes(history: &str) -> (Vec<String>, bool) {
    if let Some((before, _)) = history.split_once('\0') {
        return (notes(before).0, true);
    }
    let mut parts = history.split("\n\n").peekable();
    let mut notes = Vec::new();
    while let Some(text) = parts.next() {
        // What follows the last note is nothing.
        if text.is_empty() && parts.peek().is_none() {
            return (notes, false);
        }
        match parts.next() {
            // Behind a whole note there is something, be it nothing.
            Some(signatures) if parts.peek().is_some() => notes.push(format!("{text}\n\n{signatures}\n")),
            _ => return (notes, true),
        }
    }
    (notes, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the note of the specification's own example (c2sp.org/signed-note).
    const KEY: &str = "example.com/foo+530d903a+Ab8/cqBcNB7Q+yyHMTdwgRNlq33X3x5qUu7WyAQU5yvW";

    #[test]
    fn a_key_whose_hash_is_not_its_own_is_none() {
        let good = key("log.example/x", &[7; 32]);
        assert!(good.parse::<VerifierKey>().is_ok());
        for bad in ["", "a+b", KEY, &good.replace("log", "lug"), &good.replace('+', "-")] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        }
    }

    fn key(name: &str, key: &[u8; 32]) -> String {
        let hash: String = hint(name, ED25519_KIND, key).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}+{hash}+{}", BASE64_STANDARD.encode([&[ED25519_KIND], &key[..]].concat()))
    }

    #[test]
    fn the_key_of_a_witness_is_not_the_key_of_a_log() {
        let log = key("log.example/x", &[7; 32]);
        assert!(log.parse::<WitnessKey>().is_err());
        let said = log.parse::<WitnessKey>().unwrap_err().to_string();
        assert_eq!(said, "expected the key of a witness, of the kind for cosignatures: NAME+HASH+KEY");
    }

    #[test]
    fn a_history_is_its_whole_notes() {
        assert_eq!(notes(""), (vec![], false));
        let two = "a\n1\nr\n\n\u{2014} a s\n\na\n2\nr\n\n\u{2014} a s\n\n";
        let (whole, torn) = notes(two);
        assert_eq!((whole.len(), torn), (2, false));
        assert_eq!(whole[1], "a\n2\nr\n\n\u{2014} a s\n");
        for cut in (two.len() / 2 + 1)..two.len() {
            if two.is_char_boundary(cut) {
                let (whole, torn) = notes(&two[..cut]);
                assert_eq!((whole.len(), torn), (1, true), "{:?}", &two[..cut]);
            }
        }
    }
}
