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

/// A hash of the tree.
pub(crate) type Hash = [u8; 32];

/// Hashes of a whole tile.
const WIDTH: usize = 256;
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
        let mut hash = hashed(&[&[0], record]);
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
        subtrees.into_iter().rev().reduce(|right, left| node(&left, &right)).unwrap_or_else(|| hashed(&[]))
    }

    /// Writes the tiles that are whole since, and the parts that this size has; parts of smaller sizes go.
    pub(crate) fn write(&mut self, folder: &Path) -> io::Result<()> {
        for (level, number, tile) in &self.whole {
            write(&path(folder, *level, *number, WIDTH), tile)?;
            let parts = path(folder, *level, *number, 1);
            remove(parts.parent().expect("a part lies in a folder"))?;
        }
        self.whole.clear();
        for (level, tile) in self.levels.iter().enumerate().filter(|(_, tile)| !tile.is_empty()) {
            let part = path(folder, level, self.number(level), tile.len());
            if !part.exists() {
                let parts = part.parent().expect("a part lies in a folder");
                let before: Vec<_> = fs::read_dir(parts).into_iter().flatten().flatten().collect();
                write(&part, tile)?;
                before.into_iter().try_for_each(|before| fs::remove_file(before.path()))?;
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

    /// The number of the last tile of a level.
    fn number(&self, level: usize) -> u64 {
        self.size / (WIDTH as u64).pow(level as u32 + 1)
    }
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
fn path(folder: &Path, level: usize, number: u64, width: usize) -> PathBuf {
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

/// Written beside and renamed, so that nobody reads half of it.
fn write(path: &Path, hashes: &[Hash]) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("a tile lies in a folder"))?;
    let beside = path.with_extension("new");
    fs::write(&beside, hashes.as_flattened())?;
    fs::rename(beside, path)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
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
        }
    }
}
