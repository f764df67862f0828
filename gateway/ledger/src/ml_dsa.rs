//! A second signature under each checkpoint, which a quantum computer forges no more than others do: ML-DSA-44 (FIPS 204), in the
//! form of c2sp.org/tlog-cosignature (kind 6), by a key of the log's own name and without a time.
//!
//! For logs that have to prove something after many years. The seed of the key is `tlog/key.ml-dsa`, 32 bytes; it is made when the
//! log is first opened with it, and stays when the other key is rotated. Signing is deterministic, so the same checkpoint has
//! the same signature.

use std::{fs, io, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ml_dsa::{MlDsa44, Seed, SigningKey, signature::Keypair as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use crate::{
    OpenError,
    keys::{self, io_error},
    note::{Checkpoint, hex},
    storage,
};

/// The kind of an ML-DSA-44 key in a note.
const KIND: u8 = 6;

/// The key in the folder of the tree.
pub(crate) const FILE: &str = "key.ml-dsa";

/// What signs.
pub(crate) struct Signer {
    name: String,
    key: SigningKey<MlDsa44>,
    hint: [u8; 4],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

impl Signer {
    /// That of the log of a name, which has none yet where the file is not there. The caller holds the log's lock.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let failed = |action| io_error(action, &path);
        let seed = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                let made = SystemRandom::new().fill(&mut seed).map_err(|_| io::Error::other("no random numbers"));
                made.and_then(|()| storage::replace(&path, &seed)).map_err(failed("write"))?;
                seed.to_vec()
            }
            read => read.map_err(failed("read"))?,
        };
        let not_it = || failed("use")(io::Error::other("it is not the seed of a key: expected 32 bytes"));
        Self::of(name, &seed).ok_or_else(not_it)
    }

    fn of(name: &str, seed: &[u8]) -> Option<Self> {
        let key = SigningKey::from_seed(&Seed::try_from(seed).ok()?);
        let hint = hint(name, &key.verifying_key().encode());
        Some(Self { name: name.to_owned(), key, hint })
    }

    /// The line under a checkpoint of the log.
    pub(crate) fn line(&self, checkpoint: &Checkpoint) -> String {
        let message = message(&self.name, checkpoint);
        let signature = self.key.expanded_key().sign_deterministic(&message, &[]);
        // It fails for contexts of more than 255 bytes alone.
        let signature = signature.map(|signature| signature.encode().to_vec()).unwrap_or_default();
        let line = [&self.hint[..], &[0; 8], &signature].concat();
        format!("\u{2014} {} {}\n", self.name, BASE64_STANDARD.encode(line))
    }

    fn verifier_key(&self) -> String {
        let key = [&[KIND], &self.key.verifying_key().encode()[..]].concat();
        format!("{}+{}+{}", self.name, hex(&self.hint), BASE64_STANDARD.encode(key))
    }
}

/// What whoever verifies the second signatures of the log in `dir` has to know; `None` where it has none.
///
/// # Errors
/// When the keys cannot be read.
pub fn ml_dsa_key(dir: &Path) -> Result<Option<String>, OpenError> {
    let folder = crate::seal::folder(dir);
    if !folder.join(FILE).exists() {
        return Ok(None);
    }
    let keys = keys::Keys::read(&folder)?;
    Signer::open(&folder, keys.name()).map(|signer| Some(signer.verifier_key()))
}

/// The first four bytes of the hash that tells a key in a note.
fn hint(name: &str, key: &[u8]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', KIND]).chain_update(key).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// What is signed: `cosigned_message` of c2sp.org/tlog-cosignature, for the whole tree of a log that signs itself, at no time.
fn message(name: &str, checkpoint: &Checkpoint) -> Vec<u8> {
    // A name of ours has 26 bytes.
    let named = [&[name.len() as u8], name.as_bytes()].concat();
    let (no_time, start) = ([0; 8], [0; 8]);
    let size = checkpoint.size.to_be_bytes();
    [b"subtree/v1\n\0", &named[..], &no_time, &named, &start, &size, &checkpoint.root].concat()
}

#[cfg(test)]
mod tests {
    use audit::{
        evidence::Evidence,
        verify::{Verdict, verify_against},
    };

    use super::*;
    use crate::{Ledger, Options};

    #[test]
    fn what_is_signed_is_laid_out_as_the_specification_has_it() {
        let message = message("log.example/x", &Checkpoint { size: 258, root: [7; 32] });
        let mut expected = b"subtree/v1\n\0\x0dlog.example/x".to_vec();
        expected.extend([0; 8]);
        expected.extend(b"\x0dlog.example/x");
        expected.extend([0; 8]);
        expected.extend([0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend([7; 32]);
        assert_eq!(message, expected);
    }

    #[test]
    fn the_same_checkpoint_has_the_same_line_and_another_seed_another() {
        let signer = |seed| Signer::of("log.example/x", &[seed; 32]).unwrap();
        let checkpoint = Checkpoint { size: 1, root: [0; 32] };
        assert_eq!(signer(1).line(&checkpoint), signer(1).line(&checkpoint));
        assert_ne!(signer(1).line(&checkpoint), signer(2).line(&checkpoint));
        assert!(Signer::of("log.example/x", &[1; 31]).is_none());
    }

    fn append(dir: &Path, ml_dsa: bool) -> String {
        let options = Options { checkpoints: Some(std::time::Duration::from_millis(1)), ml_dsa, ..Options::default() };
        let (ledger, _) = Ledger::open(dir, options).unwrap();
        ledger.append(&"a record").unwrap().wait().unwrap();
        let key = ledger.verifier_key().unwrap().to_owned();
        ledger.close().unwrap();
        key
    }

    fn verified(dir: &Path, key: &str, second: &str) -> (Verdict, Vec<String>) {
        let evidence = Evidence { ml_dsa: Some(second.parse().unwrap()), ..Evidence::default() };
        let report = verify_against(dir, &key.parse().unwrap(), &evidence);
        (report.verdict, report.findings)
    }

    #[test]
    fn the_verifier_finds_a_newest_checkpoint_that_the_second_key_did_not_sign() {
        let dir = tempfile::tempdir().unwrap();
        let key = append(dir.path(), true);
        let second = ml_dsa_key(dir.path()).unwrap().unwrap();
        assert_eq!(verified(dir.path(), &key, &second), (Verdict::Ok, vec![]));
        // It goes on under the same key, and when the other key is another.
        append(dir.path(), true);
        let rotated = crate::rotate_key(dir.path()).unwrap();
        append(dir.path(), true);
        assert_eq!(verified(dir.path(), &rotated.new, &second), (Verdict::Ok, vec![]));
        assert_eq!(ml_dsa_key(dir.path()).unwrap().unwrap(), second);

        let path = crate::seal::folder(dir.path()).join("checkpoint");
        let note = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = note.lines().collect();
        let (line, first) = (lines[5], lines[..5].join("\n") + "\n");
        assert!(note.len() < 3_600 && lines.len() == 6, "{} bytes", note.len());
        let mut signed = BASE64_STANDARD.decode(line.rsplit_once(' ').unwrap().1).unwrap();
        let written = |bytes: &[u8]| format!("{first}\u{2014} {} {}\n", lines[0], BASE64_STANDARD.encode(bytes));
        for at in [4, 11, 12, 900, signed.len() - 1] {
            signed[at] ^= 1;
            fs::write(&path, written(&signed)).unwrap();
            assert_eq!(verified(dir.path(), &key, &second).0, Verdict::Altered, "{at}");
            signed[at] ^= 1;
        }
        fs::write(&path, &first).unwrap();
        let (verdict, findings) = verified(dir.path(), &key, &second);
        assert_eq!((verdict, &*findings[0]), (Verdict::Altered, "the newest checkpoint has no signature by ML-DSA"));
        fs::write(&path, written(&signed)).unwrap();
        assert_eq!(verified(dir.path(), &key, &second).0, Verdict::Ok);
        let other = tempfile::tempdir().unwrap();
        append(other.path(), true);
        let other = ml_dsa_key(other.path()).unwrap().unwrap();
        assert_eq!(verified(dir.path(), &key, &other).0, Verdict::Altered);
    }

    #[test]
    fn a_log_that_is_not_signed_so_has_no_such_key() {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), false);
        assert_eq!(ml_dsa_key(dir.path()).unwrap(), None);
        fs::write(crate::seal::folder(dir.path()).join(FILE), [1; 31]).unwrap();
        let refused = Ledger::open(dir.path(), Options { ml_dsa: true, ..Options::default() }).unwrap_err();
        assert!(format!("{refused:?}").contains("expected 32 bytes"), "{refused:?}");
    }
}
