//! The text of a key: `pm_`, 256 random bits, 32 bits of checksum, both in hex.
//!
//! The checksum lets a scanner tell a leaked key from a random word, and a typing error from an unknown key.

use std::fmt;

use rand::TryRngCore;
use sha2::{Digest, Sha256};

const PREFIX: &str = "pm_";
const RANDOM: usize = 64;
const CHECKSUM: usize = 8;

/// A new key, to be shown once.
pub struct Token(String);

impl Token {
    /// Makes a key from the operating system's random source.
    ///
    /// # Errors
    /// When that source fails.
    pub fn random() -> Result<Self, rand::rand_core::OsError> {
        let mut bytes = [0; RANDOM / 2];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
        let random = hex(&bytes);
        Ok(Self(format!("{PREFIX}{random}{}", checksum(&random))))
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// SHA-256 over the whole key.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The digest of what was presented, if it has the form of a key.
pub(super) fn digest(presented: &str) -> Option<[u8; 32]> {
    // The length first: it bounds the work that anyone can ask for.
    if presented.len() != PREFIX.len() + RANDOM + CHECKSUM {
        return None;
    }
    let body = presented.strip_prefix(PREFIX)?;
    let (random, sum) = body.split_at_checked(RANDOM)?;
    (checksum(random) == sum).then(|| Sha256::digest(presented).into())
}

fn checksum(random: &str) -> String {
    hex(&Sha256::digest(random)[..CHECKSUM / 2])
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest that a hex text stands for.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}
