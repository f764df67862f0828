//! What the ledger writes is read by implementations of the same texts that are not ours: notes by `signed_note`, tiles and
//! proofs by `tlog_tiles`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ledger::{Ledger, Options, witness::Witness};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    record_hash,
};

/// The tiles of a ledger's folder, as a server of static files would give them.
struct Tiles(PathBuf);

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            // The text leaves out the height, which is always 8.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let width = tile.width() as usize * 32;
            // A part of a tile that grew is the beginning of it.
            let parts = self.0.join(&path);
            let whole = path.split(".p/").next().map(|whole| self.0.join(whole));
            let bytes = fs::read(parts).or_else(|_| fs::read(whole.unwrap())).map_err(|_| Error::InvalidTile)?;
            Ok(bytes[..width.min(bytes.len())].to_vec())
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn options() -> Options {
    Options { segment_bytes: 20_000, checkpoints: Some(Duration::from_secs(3_600)), ..Options::default() }
}

fn append(ledger: &Ledger, from: u64, count: u64) {
    for nth in from..from + count {
        drop(ledger.append(&serde_json::json!({"kind": "decision", "request": format!("r-{nth}")})).unwrap());
    }
}

/// The checkpoint of a note, as they read it, with how many of its signatures they could verify by the key.
fn theirs(note: &str, key: &str) -> (Checkpoint, usize) {
    let note = Note::from_bytes(note.as_bytes()).unwrap();
    let key = Box::new(StandardVerifier::new(key).unwrap());
    let (verified, _) = note.verify(&VerifierList::new(vec![key])).unwrap();
    (Checkpoint::from_bytes(note.text()).unwrap(), verified.len())
}

#[test]
fn checkpoints_tiles_and_proofs_are_those_of_other_implementations() {
    let folder = tempfile::tempdir().unwrap();
    let mut from = 0;
    let mut old: Option<Checkpoint> = None;
    // Around the sizes at which tiles become whole, on two levels.
    for count in [1, 254, 1, 1, 256, 300, 64_723, 1, 500] {
        let (ledger, _) = Ledger::open(folder.path(), options()).unwrap();
        append(&ledger, from, count);
        ledger.close().unwrap();
        from += count;
        let tlog = folder.path().join("tlog");
        let (new, signatures) =
            theirs(&fs::read_to_string(tlog.join("checkpoint")).unwrap(), ledger.verifier_key().unwrap());
        assert_eq!((new.origin(), new.size(), signatures), (ledger.log_name().unwrap(), from, 1));
        let tiles = Tiles(tlog);
        let reader = TileHashReader::new(from, *new.hash(), &tiles);
        for (number, record) in sampled(folder.path(), from) {
            let proof = prove_record(from, number, &reader).unwrap();
            check_record(&proof, from, *new.hash(), number, record_hash(&record)).unwrap();
        }
        if let Some(old) = &old {
            let proof = prove_tree(from, old.size(), &reader).unwrap();
            check_tree(&proof, from, *new.hash(), old.size(), *old.hash()).unwrap();
            // What is sent to a witness is the same proof.
            let (ledger, _) = Ledger::open(folder.path(), options()).unwrap();
            let body = ledger.submission(&ledger.checkpoint().unwrap().unwrap(), old.size()).unwrap();
            let hashes = body.lines().skip(1).take_while(|line| !line.is_empty());
            let hashes: Vec<Hash> = hashes.map(|line| Hash::parse_hash(line).unwrap()).collect();
            assert_eq!(hashes, proof);
        }
        old = Some(new);
    }
    assert!(from > 65_536);
}

/// Some records of a ledger, the first and the last among them.
fn sampled(folder: &Path, size: u64) -> Vec<(u64, Vec<u8>)> {
    let numbers =
        [0, 1, 255, 256, size / 3, size.saturating_sub(2), size - 1].into_iter().filter(|number| *number < size);
    numbers.map(|number| (number, audit::proof::record(folder, number).unwrap())).collect()
}

#[test]
fn a_cosigned_checkpoint_is_a_note_that_others_read_and_signs_what_the_text_says() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let witness = Witness::open(aside.path(), "witness.example/w1").unwrap();
    let options = Options { witnesses: vec![witness.verifier_key()], ..options() };
    let (ledger, _) = Ledger::open(folder.path(), options).unwrap();
    append(&ledger, 0, 9);
    ledger.append(&"the last").unwrap().wait().unwrap();
    // Signs and keeps what there is.
    ledger.prune(0).unwrap();
    let checkpoint = ledger.checkpoint().unwrap().unwrap();
    let known = [ledger.verifier_key().unwrap().parse().unwrap()];
    let answer = witness.add_checkpoint(ledger.submission(&checkpoint, 0).unwrap().as_bytes(), &known).unwrap();
    ledger.cosigned(&checkpoint, &answer).unwrap();
    let cosigned = fs::read_to_string(folder.path().join("tlog/cosigned")).unwrap();
    let (read, signatures) = theirs(&cosigned, ledger.verifier_key().unwrap());
    assert_eq!((read.size(), signatures), (10, 1));
    // By the text itself: hint, time and signature, over a header, the time and the checkpoint.
    let line = cosigned.lines().last().unwrap().strip_prefix("\u{2014} witness.example/w1 ").unwrap();
    let bytes = BASE64_STANDARD.decode(line).unwrap();
    assert_eq!(bytes.len(), 4 + 8 + 64);
    let key = BASE64_STANDARD.decode(witness.verifier_key().splitn(3, '+').nth(2).unwrap()).unwrap();
    assert_eq!((key.len(), key[0]), (33, 0x04));
    let mut named = b"witness.example/w1\n\x04".to_vec();
    named.extend(&key[1..]);
    assert_eq!(ring::digest::digest(&ring::digest::SHA256, &named).as_ref()[..4], bytes[..4]);
    let time = u64::from_be_bytes(bytes[4..12].try_into().unwrap());
    let text = checkpoint.split_once("\n\n").unwrap().0;
    let message = format!("cosignature/v1\ntime {time}\n{text}\n");
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &key[1..]);
    key.verify(message.as_bytes(), &bytes[12..]).unwrap();
}
