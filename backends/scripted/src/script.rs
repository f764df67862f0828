//! How a scripted host answers when nothing is to fail.

use std::time::Duration;

/// How a host answers when nothing is to fail.
#[derive(Clone, Debug)]
pub struct Script {
    /// Pieces that a streamed text is cut into; at least 1.
    pub chunks: usize,
    /// Pause before each piece but the first.
    pub interval: Duration,
    /// Names that `GET /models` lists.
    pub models: Vec<String>,
    /// How many requests are kept for [`Host::requests`](crate::Host::requests); older ones are forgotten.
    pub record: usize,
    /// For benchmarks: answers are built once and sent to everyone, whatever was asked; faults by model name
    /// do not work.
    pub fast: bool,
    /// How many blocks of 16 words its cache of prompts keeps; answers then tell how much of the prompt was cached. 0 is no
    /// cache.
    pub cached_blocks: usize,
    /// Whether it tells at `/metrics` how many generations it finished, as vLLM does.
    pub counts: bool,
}

impl Script {
    /// A host for benchmarks: `chunks` pieces, `interval` apart, all built once.
    pub fn fast(chunks: usize, interval: Duration) -> Self {
        Self { chunks, interval, record: 0, fast: true, ..Self::default() }
    }
}

impl Default for Script {
    /// Four pieces without pause, the last 1,024 requests kept.
    fn default() -> Self {
        Self {
            chunks: 4,
            interval: Duration::ZERO,
            models: vec!["scripted".into()],
            record: 1024,
            fast: false,
            cached_blocks: 0,
            counts: false,
        }
    }
}
