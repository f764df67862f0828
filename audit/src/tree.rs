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

/// What proves that the tree over these leaves begins with that over the first `old` of them (RFC 6962, 2.1.2).
pub fn consistency(leaves: &[Hash], old: usize) -> Vec<Hash> {
    match old {
        0 => Vec::new(),
        old => subproof(leaves, old.min(leaves.len()), true),
    }
}

/// `known`: whether the old root is that of these leaves, which whoever checks has.
fn subproof(leaves: &[Hash], old: usize, known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if known { Vec::new() } else { vec![root(leaves)] };
    }
    let split = split(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = match old <= split {
        true => (subproof(left, old, known), root(right)),
        false => (subproof(right, old - split, false), root(left)),
    };
    path.push(sibling);
    path
}

/// Whether a proof leads from the tree of `old` leaves to that of `new` leaves (RFC 9162, 2.1.4.2). Every tree begins with the
/// empty one, which takes no proof.
pub fn extends((old, old_root): (u64, Hash), (new, new_root): (u64, Hash), path: &[Hash]) -> bool {
    if old == 0 || old >= new {
        let is_same = old == new && old_root == new_root;
        return path.is_empty() && (is_same || (old == 0 && old_root == empty()));
    }
    let mut path = path.iter();
    // The old tree itself is the first subtree where it is a perfect one.
    let first = if old.is_power_of_two() { Some(&old_root) } else { path.next() };
    let Some(&first) = first else { return false };
    let (mut index, mut last) = (old - 1, new - 1);
    while index % 2 == 1 {
        (index, last) = (index / 2, last / 2);
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if index % 2 == 1 || index == last {
            old_hash = node(sibling, &old_hash);
            new_hash = node(sibling, &new_hash);
            while index % 2 == 0 && index != 0 {
                (index, last) = (index / 2, last / 2);
            }
        } else {
            new_hash = node(&new_hash, sibling);
        }
        (index, last) = (index / 2, last / 2);
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

/// The largest power of two below a size above one.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// The hash over two subtrees.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
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
    fn consistency_proofs_are_those_of_another_implementation() {
        use rand::{Rng as _, SeedableRng as _};
        let mut random = rand::rngs::StdRng::seed_from_u64(6_962);
        let leaves: Vec<Hash> = (0..1_200_u32).map(|nth| leaf(&nth.to_le_bytes())).collect();
        let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        let (mut theirs_at, mut pairs) = (Vec::new(), 0);
        for new in 0..leaves.len() {
            theirs_at.push(theirs.root());
            for old in [1, new.next_power_of_two() / 2, random.random_range(0..=new), random.random_range(0..=new), new]
            {
                if old == 0 || old > new {
                    continue;
                }
                pairs += 1;
                let path = consistency(&leaves[..new], old);
                let (old_tree, new_tree) = ((old as u64, root(&leaves[..old])), (new as u64, root(&leaves[..new])));
                assert!(extends(old_tree, new_tree, &path), "{old} to {new}");
                let their_proof = theirs.prove_consistency(new - old);
                assert_eq!(path.as_flattened(), their_proof.as_bytes(), "{old} to {new}");
                let proof = ct_merkle::ConsistencyProof::<sha2::Sha256>::try_from_bytes(path.concat()).unwrap();
                assert!(theirs_at[new].verify_consistency(&theirs_at[old], &proof).is_ok(), "{old} to {new}");
                // Of other trees, or of another length, it proves nothing.
                let other = (old_tree.0, new_tree.1);
                assert!(old == new || !extends(other, new_tree, &path), "{old} to {new}");
                assert!(old == new || !extends(old_tree, (new_tree.0, old_tree.1), &path), "{old} to {new}");
                assert!(!extends(old_tree, new_tree, &[&path[..], &[new_tree.1]].concat()), "{old} to {new}");
                assert!(path.is_empty() || !extends(old_tree, new_tree, &path[1..]), "{old} to {new}");
            }
            theirs.push((new as u32).to_le_bytes().to_vec());
        }
        assert!(pairs > 5_000, "{pairs}");
        let whole = (5, root(&leaves[..5]));
        assert!(
            extends((0, empty()), whole, &[])
                && !extends((0, whole.1), whole, &[])
                && !extends(whole, (4, whole.1), &[])
        );
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
