//! Time-stamps of checkpoints (RFC 3161): an authority signs that it saw a checkpoint at a time.
//!
//! Asked is over SHA-256, with a nonce and for the authority's certificates. Kept are the checkpoint and the answer as they are,
//! `SIZE.note` and `SIZE.tsr`, for `openssl ts -verify -data SIZE.note -in SIZE.tsr -CAfile CA`: checking the signature takes
//! trust in the authority's certificates, which is the verifier's and not the gateway's.

use std::{fs, io, path::Path};

use sha2::{Digest as _, Sha256};

use crate::keys::replace_file;

/// The request for a time-stamp of some bytes (section 2.4.1), in DER.
pub fn request(bytes: &[u8]) -> Vec<u8> {
    // AlgorithmIdentifier: SHA-256 (2.16.840.1.101.3.4.2.1), no parameters.
    const SHA_256: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
    let imprint = sequence(&[&SHA_256[..], &[0x04, 0x20], &Sha256::digest(bytes)].concat());
    let version = [0x02, 0x01, 0x01];
    // A positive integer of eight bytes without leading zeros.
    let mut nonce = rand::random::<u64>().to_be_bytes();
    nonce[0] = nonce[0] & 0x7f | 0x40;
    let wants_certificates = [0x01, 0x01, 0xff];
    sequence(&[&version[..], &imprint, &[0x02, 0x08], &nonce, &wants_certificates].concat())
}

/// Fewer than 128 bytes.
fn sequence(content: &[u8]) -> Vec<u8> {
    [&[0x30, content.len() as u8], content].concat()
}

/// Whether an answer has a time-stamp in it: its status (section 2.4.2) is 0 or 1.
///
/// # Errors
/// It is no answer, or the authority granted none.
pub fn granted(answer: &[u8]) -> Result<(), String> {
    let status = || {
        let status_info = value(value(answer, 0x30)?, 0x30)?;
        match value(status_info, 0x02)? {
            [status] => Some(*status),
            _ => None,
        }
    };
    match status() {
        Some(0 | 1) => Ok(()),
        Some(status) => Err(format!("the authority granted no time-stamp (status {status})")),
        None => Err("what it answered is no time-stamp".to_owned()),
    }
}

/// The value that begins some DER, which has to be of this kind.
fn value(der: &[u8], kind: u8) -> Option<&[u8]> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short if short < 0x80 => (usize::from(short), rest),
        long => {
            let bytes = usize::from(long & 0x7f);
            let (length, rest) = rest.split_at_checked(bytes)?;
            (length.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))?, rest)
        }
    };
    (found == kind).then(|| rest.get(..length)).flatten()
}

/// Keeps a checkpoint and its time-stamp.
pub(super) fn keep(folder: &Path, size: u64, note: &str, answer: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    replace_file(&folder.join(format!("{size:020}.note")), note.as_bytes())?;
    replace_file(&folder.join(format!("{size:020}.tsr")), answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_granted_by_its_status_and_nothing_else_is_an_answer() {
        let answer = |status: u8| vec![0x30, 0x82, 0x00, 0x07, 0x30, 0x03, 0x02, 0x01, status, 0x30, 0x00];
        assert_eq!(granted(&answer(0)), Ok(()));
        assert_eq!(granted(&answer(1)), Ok(()));
        assert!(granted(&answer(2)).unwrap_err().contains("status 2"));
        for nonsense in [&b""[..], b"<html>", &[0x30, 0xff], &[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1], &answer(0)[..7]]
        {
            assert!(granted(nonsense).unwrap_err().contains("no time-stamp"), "{nonsense:?}");
        }
    }

    #[test]
    fn a_request_is_whole_der_with_a_nonce_of_its_own() {
        let (one, other) = (request(b"note"), request(b"note"));
        assert_eq!(one.len(), usize::from(one[1]) + 2);
        assert_ne!(one, other);
        assert_eq!(value(&one, 0x30).map(<[u8]>::len), Some(one.len() - 2));
    }
}
