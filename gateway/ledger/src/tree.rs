//! The Merkle tree over the records of a log (RFC 6962, SHA-256), as tiles (c2sp.org/tlog-tiles).
//!
//! A leaf is `SHA-256(0x00 | record)`, a node `SHA-256(0x01 | left | right)`. A tile holds 256 hashes of one level, and the root of
//! a whole tile is one hash of the level of tiles above it. A whole tile never changes; of the last one of each level there is
//! a part. Kept here is the right edge alone, so the tree takes some kilobytes whatever its size.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::storage;

/// A hash of the tree.
pub(crate) type Hash = [u8; 32];

/// Hashes of a whole tile.
pub(crate) const WIDTH: usize = 256;
/// More levels of tiles than a log of 2^64 records has.
const LEVELS: usize = 8;

/// The right edge of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    /// Of each level of tiles, the hashes of the last one, which is not whole.
    levels: Vec<Vec<Hash>>,
    /// Whole tiles that are not on disk yet: level, number, hashes.
    whole: Vec<(usize, u64, Vec<Hash>)>,
}

impl Tree {
    /// How many records it covers.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &[u8]) {
        self.push_leaf(leaf(record));
    }

    /// Adds the first `count` records to an empty tree by their hashes, which are in whole tiles.
    pub(crate) fn push_kept(&mut self, folder: &Path, count: u64) -> io::Result<()> {
        for number in 0..count.div_ceil(WIDTH as u64) {
            let left = usize::try_from(count - self.size).unwrap_or(usize::MAX);
            let hashes = read_whole(folder, 0, number)?;
            hashes.into_iter().take(left).for_each(|hash| self.push_leaf(hash));
        }
        Ok(())
    }

    fn push_leaf(&mut self, mut hash: Hash) {
        self.size += 1;
        for level in 0..LEVELS {
            if self.levels.len() <= level {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            let tile = &mut self.levels[level];
            tile.push(hash);
            if tile.len() < WIDTH {
                return;
            }
            let tile = std::mem::replace(tile, Vec::with_capacity(WIDTH));
            hash = perfect(&tile);
            let number = self.size / (WIDTH as u64).pow(level as u32 + 1) - 1;
            self.whole.push((level, number, tile));
        }
    }

    /// The hash over all of it.
    pub(crate) fn root(&self) -> Hash {
        let mut subtrees = Vec::new();
        for tile in self.levels.iter().rev() {
            let mut rest = &tile[..];
            while !rest.is_empty() {
                let (subtree, after) = rest.split_at(1 << rest.len().ilog2());
                subtrees.push(perfect(subtree));
                rest = after;
            }
        }
        subtrees.into_iter().rev().reduce(|right, left| node(&left, &right)).unwrap_or_else(empty)
    }

    /// Writes the tiles that are whole since, and the parts that this size has; parts of smaller sizes go.
    pub(crate) fn write(&mut self, folder: &Path) -> io::Result<()> {
        for (level, number, tile) in &self.whole {
            let whole = path(folder, *level, *number, WIDTH);
            // One that is there may be all that is left of records that were pruned: it is durable, a new one would not be.
            if fs::read(&whole).ok().as_deref() != Some(tile.as_flattened()) {
                write(&whole, tile)?;
            }
            let parts = path(folder, *level, *number, 1);
            storage::remove_folder(parts.parent().expect("a part lies in a folder"))?;
        }
        self.whole.clear();
        for (level, tile) in self.levels.iter().enumerate().filter(|(_, tile)| !tile.is_empty()) {
            let part = path(folder, level, self.number(level), tile.len());
            if !part.exists() {
                let parts = part.parent().expect("a part lies in a folder");
                let before: Vec<_> = fs::read_dir(parts).into_iter().flatten().flatten().collect();
                write(&part, tile)?;
                before.into_iter().try_for_each(|before| storage::remove(&before.path()))?;
            }
        }
        Ok(())
    }

    /// The right edge of a tree of this size, from its tiles; `None` where they are not there or not whole.
    pub(crate) fn read(folder: &Path, size: u64) -> Option<Self> {
        let mut tree = Self { size, ..Self::default() };
        let mut left = size;
        for level in 0..LEVELS {
            if left == 0 {
                break;
            }
            let width = (left % WIDTH as u64) as usize;
            left /= WIDTH as u64;
            let bytes = match width {
                0 => Vec::new(),
                width => fs::read(path(folder, level, tree.number(level), width)).ok()?,
            };
            let (hashes, rest) = bytes.as_chunks::<32>();
            if hashes.len() != width || !rest.is_empty() {
                return None;
            }
            tree.levels.push(hashes.to_vec());
        }
        Some(tree)
    }

    /// The right edge of a tree of this size, from the whole tiles before it and the hashes of the records after those.
    pub(crate) fn edge(folder: &Path, size: u64, leaves: Vec<Hash>) -> io::Result<Self> {
        let mut tree = Self { size, levels: vec![leaves], whole: Vec::new() };
        let mut left = size / WIDTH as u64;
        while left > 0 {
            let level = tree.levels.len();
            let tiles = left - left % WIDTH as u64..left;
            let roots = tiles.map(|number| Ok(perfect(&read_whole(folder, level - 1, number)?)));
            tree.levels.push(roots.collect::<io::Result<_>>()?);
            left /= WIDTH as u64;
        }
        Ok(tree)
    }

    /// The hashes that lead from the tree of `old` records to that of `new` ones (RFC 6962, 2.1.2), both no larger than this one,
    /// whose tiles are written.
    pub(crate) fn consistency(&self, folder: &Path, old: u64, new: u64) -> io::Result<Vec<Hash>> {
        if old > new || new > self.size {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no proof within the tree"));
        }
        let mut hashes = Vec::new();
        if old > 0 {
            self.subproof(folder, old, 0, new, true, &mut hashes)?;
        }
        Ok(hashes)
    }

    /// `known`: whether the old root is that of these records, which whoever checks has.
    fn subproof(
        &self,
        folder: &Path,
        old: u64,
        start: u64,
        end: u64,
        known: bool,
        hashes: &mut Vec<Hash>,
    ) -> io::Result<()> {
        if old == end {
            if !known {
                hashes.push(self.over(folder, start, end)?);
            }
            return Ok(());
        }
        let middle = start + (end - start).next_power_of_two() / 2;
        if old <= middle {
            self.subproof(folder, old, start, middle, known, hashes)?;
            hashes.push(self.over(folder, middle, end)?);
        } else {
            self.subproof(folder, old, middle, end, false, hashes)?;
            hashes.push(self.over(folder, start, middle)?);
        }
        Ok(())
    }

    /// The hash over the records of a range, as the standard splits one.
    fn over(&self, folder: &Path, start: u64, end: u64) -> io::Result<Hash> {
        let count = end - start;
        if !count.is_power_of_two() {
            let middle = start + count.next_power_of_two() / 2;
            return Ok(node(&self.over(folder, start, middle)?, &self.over(folder, middle, end)?));
        }
        // Of eight levels of the tree a tile holds the lowest.
        let level = (count.ilog2() / 8) as usize;
        let first = start >> (8 * level);
        let (number, at) = (first / WIDTH as u64, (first % WIDTH as u64) as usize);
        let hashes = match self.levels.get(level) {
            Some(last) if number == self.number(level) => last.clone(),
            _ => read_whole(folder, level, number)?,
        };
        let hashes = hashes.get(at..at + (1 << (count.ilog2() % 8)));
        hashes.map(perfect).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a tile is too short"))
    }

    /// The number of the last tile of a level.
    fn number(&self, level: usize) -> u64 {
        self.size / (WIDTH as u64).pow(level as u32 + 1)
    }
}

/// Whether hashes lead from the tree of one size to that of another (RFC 9162, 2.1.4.2). Every tree begins with the empty one,
/// which takes none.
pub(crate) fn extends((old, old_root): (u64, Hash), (new, new_root): (u64, Hash), hashes: &[Hash]) -> bool {
    if old == 0 || old >= new {
        let is_same = old == new && old_root == new_root;
        return hashes.is_empty() && (is_same || (old == 0 && new > 0 && old_root == empty()));
    }
    let mut hashes = hashes.iter();
    // The old tree itself is the first subtree where it is a perfect one.
    let Some(&first) = (if old.is_power_of_two() { Some(&old_root) } else { hashes.next() }) else { return false };
    let trailing = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> trailing, (new - 1) >> trailing);
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            old_hash = node(sibling, &old_hash);
            new_hash = node(sibling, &new_hash);
            let shift = at.trailing_zeros().min(u64::BITS - 1);
            if at > 0 {
                (at, last) = (at >> shift, last >> shift);
            }
        } else {
            new_hash = node(&new_hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

/// The root of no records.
pub(crate) fn empty() -> Hash {
    hashed(&[])
}

/// The hash of a record.
pub(crate) fn leaf(record: &[u8]) -> Hash {
    hashed(&[&[0], record])
}

/// The root of a perfect subtree: of 1, 2, 4, ... hashes.
fn perfect(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node(&perfect(left), &perfect(right))
        }
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hashed(&[&[1], left, right])
}

fn hashed(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Where a tile lies: `tile/0/x001/x234/067`, and a part of it beside in `067.p/12`.
pub(crate) fn path(folder: &Path, level: usize, number: u64, width: usize) -> PathBuf {
    let mut name = format!("{:03}", number % 1_000);
    let mut rest = number / 1_000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1_000);
        rest /= 1_000;
    }
    let whole = folder.join("tile").join(level.to_string()).join(name);
    if width == WIDTH {
        return whole;
    }
    let mut parts = whole.into_os_string();
    parts.push(".p");
    PathBuf::from(parts).join(width.to_string())
}

/// The hashes of a whole tile.
pub(crate) fn read_whole(folder: &Path, level: usize, number: u64) -> io::Result<Vec<Hash>> {
    let bytes = fs::read(path(folder, level, number, WIDTH))?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    match hashes.len() == WIDTH && rest.is_empty() {
        true => Ok(hashes.to_vec()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "a tile is not whole")),
    }
}

/// Not synced: a tile that a power cut took is made again from the records.
fn write(path: &Path, hashes: &[Hash]) -> io::Result<()> {
    storage::folder(path.parent().expect("a tile lies in a folder"))?;
    storage::replace_soon(path, hashes.as_flattened(), false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As RFC 6962 has it, word for word.
    fn by_definition(records: &[Vec<u8>]) -> Hash {
        match records {
            [] => hashed(&[]),
            [one] => hashed(&[&[0], one]),
            more => {
                let split = more.len().next_power_of_two() / 2;
                node(&by_definition(&more[..split]), &by_definition(&more[split..]))
            }
        }
    }

    fn records(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|nth| format!("{{\"nth\":{nth}}}").into_bytes()).collect()
    }

    #[test]
    fn the_root_is_that_of_the_standards_definition_at_every_size_around_a_tile() {
        let records = records(1_030);
        let mut tree = Tree::default();
        for (size, record) in records.iter().enumerate() {
            assert_eq!(tree.root(), by_definition(&records[..size]), "{size}");
            tree.push(record);
        }
        // The test vector of an empty tree.
        assert_eq!(Tree::default().root()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }

    #[test]
    fn tiles_lie_where_the_specification_says() {
        let at = |number, width| path(Path::new("l"), 0, number, width).to_str().unwrap().to_owned();
        assert_eq!(at(1_234_067, WIDTH), "l/tile/0/x001/x234/067");
        assert_eq!(at(70, 12), "l/tile/0/070.p/12");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// Wherever it is written and read again.
        #[test]
        fn a_tree_goes_on_from_its_tiles(cuts in proptest::collection::vec(0_usize..700, 1..6)) {
            let folder = tempfile::tempdir().unwrap();
            let (mut tree, mut whole) = (Tree::default(), Tree::default());
            for record in cuts.iter().flat_map(|cut| records(*cut).into_iter().map(Some).chain([None])) {
                match record {
                    Some(record) => {
                        tree.push(&record);
                        whole.push(&record);
                    }
                    None => {
                        tree.write(folder.path()).unwrap();
                        tree = Tree::read(folder.path(), tree.size()).unwrap();
                    }
                }
                prop_assert_eq!(tree.root(), whole.root());
            }
            prop_assert!(Tree::read(folder.path(), tree.size() + 1).is_none(), "of no other size");
            // From whole tiles and the last records too.
            let all: Vec<Vec<u8>> = cuts.iter().flat_map(|cut| records(*cut)).collect();
            let last = all[all.len() / 256 * 256..].iter().map(|record| leaf(record)).collect();
            prop_assert_eq!(&Tree::edge(folder.path(), tree.size(), last).unwrap(), &Tree { whole: Vec::new(), ..whole });
            // And by the hashes of its records alone, as far as whole tiles have them.
            let mut kept = Tree::default();
            kept.push_kept(folder.path(), tree.size() / 256 * 256).unwrap();
            let leaves: Vec<Vec<u8>> = cuts.iter().flat_map(|cut| records(*cut)).take(kept.size() as usize).collect();
            prop_assert_eq!(kept.root(), by_definition(&leaves));
        }

        #[test]
        fn a_larger_tree_is_proved_to_begin_with_a_smaller_one_and_no_other_is(
            size in 1_usize..1_500, old in any::<prop::sample::Index>(), new in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (mut tree, records) = (Tree::default(), records(size));
            records.iter().for_each(|record| tree.push(record));
            tree.write(folder.path()).unwrap();
            let new = 1 + new.index(size);
            let old = old.index(new + 1);
            let hashes = tree.consistency(folder.path(), old as u64, new as u64).unwrap();
            let old_tree = (old as u64, by_definition(&records[..old]));
            let new_tree = (new as u64, by_definition(&records[..new]));
            prop_assert!(extends(old_tree, new_tree, &hashes), "{} to {}", old, new);
            let longer = [&hashes[..], &[old_tree.1]].concat();
            prop_assert!(!extends(old_tree, new_tree, &longer), "{} to {}", old, new);
            if old > 0 && old < new {
                let another = (old_tree.0, new_tree.1);
                prop_assert!(!extends(another, new_tree, &hashes), "{} to {}", old, new);
                prop_assert!(!extends(old_tree, (new_tree.0, old_tree.1), &hashes), "{} to {}", old, new);
            }
        }
    }
}
