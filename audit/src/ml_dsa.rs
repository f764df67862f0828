//! The second signature of a checkpoint, by ML-DSA-44 (FIPS 204), as c2sp.org/tlog-cosignature has it: kind 6, over the name of who
//! signs, a time or zero, the log's name, and the tree from 0 to its size with its root.

use std::str::FromStr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ml_dsa::{EncodedVerifyingKey, MlDsa44, Signature, VerifyingKey};
use ring::digest::{SHA256, digest};

use crate::note::{Checkpoint, Forged, NoKey, parts};

const KIND: u8 = 6;

/// The key of such signatures: `NAME+HASH+KEY`.
#[derive(Clone, Debug)]
pub struct MlDsaKey {
    name: String,
    hint: [u8; 4],
    /// Some kilobytes.
    key: Box<VerifyingKey<MlDsa44>>,
}

impl FromStr for MlDsaKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let parse = || {
            let mut parts = text.trim().splitn(3, '+');
            let (name, written, key) = (parts.next()?, parts.next()?, parts.next()?);
            let bytes = BASE64_STANDARD.decode(key).ok()?;
            let (&KIND, key) = bytes.split_first()? else { return None };
            let digest = digest(&SHA256, &[name.as_bytes(), &[b'\n', KIND], key].concat());
            let hint: [u8; 4] = *digest.as_ref().first_chunk()?;
            let hash: String = hint.iter().map(|byte| format!("{byte:02x}")).collect();
            let encoded = EncodedVerifyingKey::<MlDsa44>::try_from(key).ok()?;
            let is_whole = !name.is_empty() && hash == written;
            is_whole.then(|| Self { name: name.to_owned(), hint, key: Box::new(VerifyingKey::decode(&encoded)) })
        };
        parse().ok_or(NoKey("an ML-DSA-44 key of a log"))
    }
}

impl MlDsaKey {
    /// The name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checkpoint of a note that this key signed; `None` where it did not.
    ///
    /// # Errors
    /// There is a line of this key that it did not sign.
    pub fn checkpoint(&self, note: &str) -> Result<Option<Checkpoint>, Forged> {
        let Some(checkpoint) = Checkpoint::parse(&self.name, note) else { return Ok(None) };
        let Some((_, signatures)) = parts(note) else { return Ok(None) };
        let mut signed = false;
        for line in signatures.lines() {
            let of_name = || line.strip_prefix("\u{2014} ")?.strip_prefix(&self.name)?.strip_prefix(' ');
            let Some(bytes) = of_name().and_then(|signature| BASE64_STANDARD.decode(signature).ok()) else { continue };
            let Some((hint, signed_at)) = bytes.split_first_chunk::<4>() else { continue };
            if *hint != self.hint {
                continue;
            }
            let (time, signature) = signed_at.split_first_chunk::<8>().ok_or(Forged)?;
            let signature = Signature::<MlDsa44>::try_from(signature).map_err(|_| Forged)?;
            let named = [&[self.name.len() as u8], self.name.as_bytes()].concat();
            let (start, size) = ([0; 8], checkpoint.size.to_be_bytes());
            let message = [b"subtree/v1\n\0", &named[..], time, &named, &start, &size, &checkpoint.root].concat();
            if !self.key.verify_with_context(&message, &[], &signature) {
                return Err(Forged);
            }
            signed = true;
        }
        Ok(signed.then_some(checkpoint))
    }
}
