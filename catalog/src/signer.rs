//! Who signs rows of a company's catalog, and what a signature is over.
//!
//! As soon as a catalog names one signer, every attestation and every waiver has to be signed by those who answer for it: a
//! row that is not is a problem of loading ([`crate::check`]). Whoever can change `signers` can sign as anybody, so they
//! belong in a file that is reviewed.
//!
//! Signed is a text: a first line, `pointsman attestation v1` or `pointsman waiver v1`, and after it the row as JSON on one
//! line: its keys in the order of their bytes, without its signatures and without keys that it leaves out, no space around
//! `:` and `,`, and in texts nothing escaped but `"`, `\` and control characters below U+0020, these in their short form where
//! JSON has one. Signatures are Ed25519 (RFC 8032), in Base64. Knows no private key.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::signature::{ED25519, UnparsedPublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Attestation, Catalog, Waiver};

/// Somebody whose signature counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The name that rows use, unique.
    pub name: String,
    /// Their Ed25519 public key, 32 bytes in Base64; no two signers have the same.
    pub key: String,
}

/// A signature, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The name of the signer.
    pub by: String,
    /// The signature, 64 bytes in Base64.
    pub signature: String,
}

/// A kind of row that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedKind {
    /// An attestation.
    Attestation,
    /// A waiver.
    Waiver,
}

impl SignedKind {
    /// The kind as the signed text and commands write it.
    pub fn name(self) -> &'static str {
        match self {
            SignedKind::Attestation => "attestation",
            SignedKind::Waiver => "waiver",
        }
    }
}

/// A row, and who has to sign it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToSign {
    /// What it is.
    pub kind: SignedKind,
    /// Its id.
    pub id: String,
    /// What is signed.
    pub text: String,
    /// Who has to sign it.
    pub by: Vec<String>,
    /// Those of them whose valid signature it does not have, or who are no signers of the catalog.
    pub lacking: Vec<String>,
}

impl Signer {
    /// Whether a signature in Base64 is theirs, over this text. What cannot be read is nobody's.
    pub fn signed(&self, text: &str, signature: &str) -> bool {
        let (Some(key), Ok(signature)) = (key(&self.key), BASE64_STANDARD.decode(signature)) else { return false };
        UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok()
    }
}

/// The key that a text in Base64 stands for; none where it has another length, or is one of the points that stand for no
/// secret and under which a signature proves nothing.
pub(crate) fn key(text: &str) -> Option<[u8; 32]> {
    let key: [u8; 32] = BASE64_STANDARD.decode(text).ok()?.try_into().ok()?;
    // The sign of a point makes it no better.
    let mut point = key;
    point[31] &= 0x7f;
    (!OF_SMALL_ORDER.contains(&point)).then_some(key)
}

/// The points of Curve25519 whose order divides 8, without their sign, in every encoding.
const OF_SMALL_ORDER: [[u8; 32]; 7] = {
    const fn ends(first: u8, between: u8, last: u8) -> [u8; 32] {
        let mut point = [between; 32];
        (point[0], point[31]) = (first, last);
        point
    }
    [
        ends(0x00, 0x00, 0x00),
        ends(0x01, 0x00, 0x00),
        ends(0xec, 0xff, 0x7f),
        ends(0xed, 0xff, 0x7f),
        ends(0xee, 0xff, 0x7f),
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ]
};

impl Attestation {
    /// What `signed_by` signs.
    pub fn signed_text(&self) -> String {
        text_of(SignedKind::Attestation, &Attestation { signature: None, ..self.clone() })
    }

    /// Who has to sign it, over what, and who has not.
    pub(crate) fn to_sign<'a>(&self, signer: impl Fn(&str) -> Option<&'a Signer>) -> ToSign {
        let text = self.signed_text();
        let by = vec![self.signed_by.clone()];
        let signed = |name: &String| {
            self.signature.as_ref().is_some_and(|it| signer(name).is_some_and(|signer| signer.signed(&text, it)))
        };
        let lacking = by.iter().filter(|name| !signed(name)).cloned().collect();
        ToSign { kind: SignedKind::Attestation, id: self.id.clone(), text, by, lacking }
    }
}

impl Waiver {
    /// What each of `approved_by` signs.
    pub fn signed_text(&self) -> String {
        text_of(SignedKind::Waiver, &Waiver { signatures: Vec::new(), ..self.clone() })
    }

    /// Who has to sign it, over what, and who has not.
    pub(crate) fn to_sign<'a>(&self, signer: impl Fn(&str) -> Option<&'a Signer>) -> ToSign {
        let text = self.signed_text();
        let mut by: Vec<String> = Vec::new();
        for name in &self.approved_by {
            if !by.contains(name) {
                by.push(name.clone());
            }
        }
        let signed = |name: &&String| {
            let mut theirs = self.signatures.iter().filter(|signature| signature.by == **name);
            signer(name).is_some_and(|signer| theirs.any(|it| signer.signed(&text, &it.signature)))
        };
        let lacking = by.iter().filter(|name| !signed(name)).cloned().collect();
        ToSign { kind: SignedKind::Waiver, id: self.id.clone(), text, by, lacking }
    }
}

impl Catalog {
    /// What is signed of the row of this kind and id; `None` where there is no such row. Of a row that is not signed yet,
    /// [`Catalog::to_sign`] tells it: no catalog is made of such rows once there are signers.
    pub fn signed_text(&self, kind: SignedKind, id: &str) -> Option<String> {
        match kind {
            SignedKind::Attestation => self.attestations().find(|row| row.id == id).map(Attestation::signed_text),
            SignedKind::Waiver => self.waivers().find(|row| row.id == id).map(Waiver::signed_text),
        }
    }
}

fn text_of(kind: SignedKind, row: &impl Serialize) -> String {
    let mut json = serde_json::to_value(row).expect("a row of texts, figures and lists of them is JSON");
    // Whether a map keeps the order of its keys depends on what else is compiled into the program.
    json.sort_all_objects();
    format!("pointsman {} v1\n{json}", kind.name())
}

#[cfg(test)]
mod tests;
