//! A power cut: of what was not synced, any sectors may be on disk and any may not.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use tempfile::tempdir;

use super::{append_each, open, read_all};
use crate::{Ledger, Log, Options, segment, ticket::Base, writer::Disk};

const SECTOR: usize = 512;

/// One segment as the disk has it: its bytes, and how many of them are certainly there.
struct Image {
    first: u64,
    bytes: Vec<u8>,
    synced: usize,
}

/// A disk that keeps count of what is synced, and loses power at its last allowed sync.
#[derive(Clone)]
struct Platter {
    segments: Arc<Mutex<Vec<Image>>>,
    syncs_left: usize,
}

impl Disk for Platter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.segments.lock().unwrap().last_mut().unwrap().bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs_left = self.syncs_left.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
        let mut segments = self.segments.lock().unwrap();
        let current = segments.last_mut().unwrap();
        current.synced = current.bytes.len();
        Ok(())
    }

    fn create(&mut self, first: u64) -> io::Result<()> {
        // Creating syncs the header and the name before it returns.
        let bytes = empty_segment(first);
        self.segments.lock().unwrap().push(Image { first, synced: bytes.len(), bytes });
        Ok(())
    }
}

fn empty_segment(first: u64) -> Vec<u8> {
    let dir = tempdir().unwrap();
    segment::create(dir.path(), first).unwrap();
    fs::read(segment::path(dir.path(), first)).unwrap()
}

/// Writes what the disk holds after the cut: of the sectors after what was synced, those that `kept` says, the
/// others as zeros, up to a length that may have been stored before the bytes were.
fn after_the_cut(dir: &Path, image: &Image, kept: &[bool], length: prop::sample::Index) {
    let length = image.synced + length.index(image.bytes.len() - image.synced + 1);
    let mut bytes = image.bytes[..length].to_vec();
    for (sector, kept) in (image.synced / SECTOR..).zip(kept.iter().cycle()) {
        let start = (sector * SECTOR).max(image.synced);
        if start >= length {
            break;
        }
        if !kept {
            bytes[start..length.min((sector + 1) * SECTOR)].fill(0);
        }
    }
    fs::write(segment::path(dir, image.first), bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_acknowledged_record_is_lost_and_nothing_lost_is_called_damage(
        records in vec("[a-z]{1,400}", 1..60),
        wait_every in 1..20usize,
        syncs_left in 0..12usize,
        segment_bytes in 100..6000u64,
        kept in vec(any::<bool>(), 1..8),
        length in any::<prop::sample::Index>(),
    ) {
        let bytes = empty_segment(0);
        let first = Image { first: 0, synced: bytes.len(), bytes };
        let end = Base { segment: 0, offset: first.bytes.len() as u64 };
        let platter = Platter { segments: Arc::new(Mutex::new(vec![first])), syncs_left };
        let options = Options { segment_bytes, pace: Duration::ZERO, ..Options::default() };
        let ledger = Ledger(Arc::new(Log::start(platter.clone(), Path::new("platter"), end, 0, &options).unwrap()));
        let mut tickets = Vec::new();
        let mut acknowledged = 0;
        for (number, record) in records.iter().enumerate() {
            let Ok(ticket) = ledger.append(record) else { break };
            tickets.push(ticket);
            if number % wait_every == 0 {
                acknowledged += tickets.drain(..).filter_map(|ticket| ticket.wait().ok()).count();
            }
        }
        ledger.close().ok();
        acknowledged += tickets.into_iter().filter_map(|ticket| ticket.wait().ok()).count();

        let dir = tempdir().unwrap();
        let segments = platter.segments.lock().unwrap();
        let (newest, older) = segments.split_last().unwrap();
        for image in older {
            fs::write(segment::path(dir.path(), image.first), &image.bytes).unwrap();
        }
        after_the_cut(dir.path(), newest, &kept, length);

        let (ledger, recovery) = open(dir.path(), options);
        let recovered = recovery.records as usize;
        prop_assert!(recovered >= acknowledged, "{recovered} of {acknowledged}");
        append_each(&ledger, &["after"]);
        ledger.close().unwrap();
        let mut expected = records[..recovered].to_vec();
        expected.push("after".into());
        prop_assert_eq!(read_all(dir.path()), expected);
    }
}
