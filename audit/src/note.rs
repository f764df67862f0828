//! Keys and signatures as signed notes have them (c2sp.org/signed-note), and the checkpoints that they sign
//! (c2sp.org/tlog-checkpoint): name, size and root of a log.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};

use crate::tree::Hash;

/// The kind of an Ed25519 key.
const ED25519_KIND: u8 = 1;

/// A key that a log is signed with: `NAME+HASH+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
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
pub struct NoKey;

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected the key of a log as `pointsman audit key` prints it: NAME+HASH+KEY")
    }
}

impl std::error::Error for NoKey {}

impl FromStr for VerifierKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(NoKey) };
        let key = BASE64_STANDARD.decode(key).map_err(|_| NoKey)?;
        let [ED25519_KIND, key @ ..] = &key[..] else { return Err(NoKey) };
        let key: [u8; 32] = key.try_into().map_err(|_| NoKey)?;
        let hint = hint(name, ED25519_KIND, &key);
        let written: String = hint.iter().map(|byte| format!("{byte:02x}")).collect();
        if name.is_empty() || hash != written {
            return Err(NoKey);
        }
        Ok(Self { name: name.to_owned(), hint, key })
    }
}

/// The first four bytes of the hash that tells a key in a note.
fn hint(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    let digest = digest(&SHA256, &[name.as_bytes(), &[b'\n', kind], key].concat());
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

impl VerifierKey {
    /// The checkpoint of a note, if this key signed it. Lines of other keys count for nothing.
    pub fn checkpoint(&self, note: &str) -> Option<Checkpoint> {
        let at = note.find("\n\n")?;
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        let mut lines = text.lines();
        let (name, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let signed = |line: &str| {
            let signature = line.strip_prefix("\u{2014} ")?.strip_prefix(&self.name)?.strip_prefix(' ')?;
            let bytes = BASE64_STANDARD.decode(signature).ok()?;
            let (hint, signature) = bytes.split_first_chunk::<4>()?;
            let key = UnparsedPublicKey::new(&ED25519, &self.key);
            (*hint == self.hint && key.verify(text.as_bytes(), signature).is_ok()).then_some(())
        };
        let is_canonical = size == "0" || !size.starts_with(['0', '+']);
        let root = BASE64_STANDARD.decode(root).ok()?.try_into().ok()?;
        let checkpoint = Checkpoint { size: size.parse().ok()?, root };
        (name == self.name && is_canonical && signatures.lines().any(|line| signed(line).is_some()))
            .then_some(checkpoint)
    }
}

/// The notes of a history: each is a text, an empty line, signatures, an empty line. The last one may be torn: it is left out
/// then, and the second value says so.
pub fn notes(history: &str) -> (Vec<String>, bool) {
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
            assert_eq!(bad.parse::<VerifierKey>(), Err(NoKey), "{bad}");
        }
    }

    fn key(name: &str, key: &[u8; 32]) -> String {
        let hash: String = hint(name, ED25519_KIND, key).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}+{hash}+{}", BASE64_STANDARD.encode([&[ED25519_KIND], &key[..]].concat()))
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
