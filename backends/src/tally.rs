//! What a place has counted itself of the work it did, to be held against what the gateway says that it was asked for.

use std::time::SystemTime;

/// The count of a place, from its beginning to the moment of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What counts: the same for all who ask the same place, whatever they use it for.
    pub source: String,
    /// When it was asked.
    pub at: SystemTime,
    /// When it began to count, where it says so: another time means another count.
    pub since: Option<SystemTime>,
    /// Requests that it finished.
    pub requests: Option<u64>,
    /// Tokens of prompts.
    pub prompt_tokens: Option<u64>,
    /// Tokens generated.
    pub completion_tokens: Option<u64>,
    /// Whether it counts as [`crate::Usage`] does, and only what a caller was sent whole.
    pub exact: bool,
}
