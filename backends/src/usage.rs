//! How many tokens a generation took, and what the host says that it cost.
//!
//! One record for all backends, whatever words they use: [`Convention`] reads those. What it says always holds: cached
//! and written prompt tokens are part of the prompt, reasoning is part of the answer, a cost is a number from zero up.

mod convention;
mod estimate;

pub use convention::{Convention, Count, Counting};
pub use estimate::text_tokens;

/// Token counts of one request, in the backend's own tokens. Counts a backend did not report are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt, those from and to a cache included.
    pub prompt_tokens: u64,
    /// Tokens generated, reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens that came from a cache.
    pub cached_tokens: u64,
    /// Prompt tokens that were written to a cache, which some hosts charge for.
    pub cache_write_tokens: u64,
    /// Generated tokens that were reasoning.
    pub reasoning_tokens: u64,
    /// What the host says that the request cost, in US dollars; `None` where it does not say.
    pub cost_usd: Option<f64>,
}
