//! The Merkle tree of RFC 6962 over the records of a log, by the standard's own definition.

use ring::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN, digest};

/// A hash of the tree.
pub type Hash = [u8; SHA256_OUTPUT_LEN];

/// The hash of a record.
pub fn leaf(record: &[u8]) -> Hash {
    let mut hash = Context::new(&SHA256);
    hash.update(&[0]);
    hash.update(record);
    bytes(&hash.finish())
}

/// The root over these leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The roots at some sizes, in rising order, each at most the number of leaves; every leaf is looked at once.
pub fn roots(leaves: &[Hash], sizes: &[usize]) -> Vec<Hash> {
    let mut subtrees: Vec<(usize, Hash)> = Vec::new();
    let mut at = 0;
    sizes
        .iter()
        .map(|size| {
            for leaf in leaves.get(at..*size).unwrap_or_default() {
                let mut grown = (1, *leaf);
                while let Some(&(width, left)) = subtrees.last().filter(|(width, _)| *width == grown.0) {
                    subtrees.pop();
                    grown = (2 * width, node(&left, &grown.1));
                }
                subtrees.push(grown);
            }
            at = at.max(*size);
            let folded = subtrees.iter().rev().map(|(_, hash)| *hash).reduce(|right, left| node(&left, &right));
            folded.unwrap_or_else(empty)
        })
        .collect()
}

/// What proves that the leaf at `index` is under the root over `leaves` (RFC 6962, 2.1.1).
pub fn inclusion(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let split = split(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = match index < split {
        true => (inclusion(left, index), root(right)),
        false => (inclusion(right, index - split), root(left)),
    };
    path.push(sibling);
    path
}

/// The root that a leaf and its proof lead to in a tree of `size` leaves (RFC 9162, 2.1.3.2); `None` where the proof has
/// another length.
pub fn root_by(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut index, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if index % 2 == 1 || index == last {
            hash = node(sibling, &hash);
            while index % 2 == 0 && index != 0 {
                (index, last) = (index / 2, last / 2);
            }
        } else {
            hash = node(&hash, sibling);
        }
        (index, last) = (index / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

/// The largest power of two below a size above one.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 1 + 2 * SHA256_OUTPUT_LEN];
    both[1..=SHA256_OUTPUT_LEN].copy_from_slice(left);
    both[1 + SHA256_OUTPUT_LEN..].copy_from_slice(right);
    bytes(&digest(&SHA256, &both))
}

/// Of no leaves.
fn empty() -> Hash {
    bytes(&digest(&SHA256, &[]))
}

fn bytes(digest: &Digest) -> Hash {
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_and_proofs_are_those_of_another_implementation() {
        let records: Vec<Vec<u8>> = (0..300_u32).map(|nth| nth.to_le_bytes().to_vec()).collect();
        let leaves: Vec<Hash> = records.iter().map(|record| leaf(record)).collect();
        let sizes: Vec<usize> = (0..=records.len()).collect();
        let all = roots(&leaves, &sizes);
        let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        for size in sizes {
            assert_eq!(all[size], root(&leaves[..size]), "{size}");
            assert_eq!(all[size][..], theirs.root().as_bytes()[..], "{size}");
            for index in (0..size).step_by(7) {
                let path = inclusion(&leaves[..size], index);
                assert_eq!(path.as_flattened(), theirs.prove_inclusion(index).as_bytes(), "{index} of {size}");
                assert_eq!(root_by(leaves[index], index as u64, size as u64, &path), Some(all[size]));
            }
            if let Some(record) = records.get(size) {
                theirs.push(record.clone());
            }
        }
    }

    #[test]
    fn a_proof_of_another_length_place_or_leaf_leads_nowhere_or_elsewhere() {
        let leaves: Vec<Hash> = (0..21_u8).map(|nth| leaf(&[nth])).collect();
        let whole = root(&leaves);
        for index in 0..21 {
            let path = inclusion(&leaves, index);
            let leads = |leaf, index: usize, path: &[Hash]| root_by(leaf, index as u64, 21, path) == Some(whole);
            assert!(leads(leaves[index], index, &path));
            assert!(!leads(leaves[(index + 1) % 21], index, &path));
            assert!(!leads(leaves[index], (index + 1) % 21, &path));
            assert!(!leads(leaves[index], index, &path[1..]));
            assert!(!leads(leaves[index], index, &[&path[..], &[whole]].concat()));
            assert!(!leads(leaves[index], 21, &path));
        }
    }
}
