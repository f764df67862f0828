//! Verifies a ledger of Pointsman without Pointsman: that nothing which was signed has been changed, removed, put in or moved.
//!
//! It reads the files that a gateway wrote (segments of records, signed checkpoints) by code of its own, so that what it says
//! does not rest on the program that it is about. It knows formats, and of a record a few fields. Everything it reads is taken for
//! hostile.
//!
//! | file | what it is |
//! |---|---|
//! | [`segments`] | the records, in their frames |
//! | [`fields`] | what a record says of itself, as far as it is asked |
//! | [`tree`] | the Merkle tree over them (RFC 6962) |
//! | [`note`] | keys and signatures (signed notes of C2SP) and the checkpoints that they sign |
//! | [`tiles`] | the hashes of records that are not there any more |
//! | [`evidence`] | what is known of the log outside its folder |
//! | [`verify`] | holds all of it against each other |
//! | [`proof`] | that one record is in the log, or that the log only grew, for somebody who has none of the records |
//! | [`range`] | that a run of records is in the log, for somebody who has none of the others |
//!
//! What it cannot see: that a request was never recorded, and that records after the last checkpoint that somebody else has were
//! cut off together with the checkpoints over them.

#![forbid(unsafe_code)]

pub mod evidence;
pub mod fields;
pub mod ml_dsa;
pub mod note;
pub mod proof;
pub mod range;
pub mod segments;
pub mod tiles;
pub mod tree;
pub mod verify;
