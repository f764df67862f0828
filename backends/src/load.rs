//! What a backend knows about itself at this moment.

use std::time::Duration;

use crate::Prefix;

/// What is asked of a backend before it is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe<'a> {
    /// The canonical prompt tokens, for a backend that can match them with its cache; empty if not known.
    pub tokens: &'a [u32],
    /// Which places were sent how much of the prompt before; `None` if not known.
    pub prefix: Option<&'a Prefix>,
}

/// How much of a request's first prompt a place has, in its own tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Leading tokens that it has.
    pub tokens: usize,
    /// Tokens of the prompt.
    pub of: usize,
}

impl Held {
    /// The same of a prompt of so many tokens, as another counts them.
    pub fn among(self, tokens: u64) -> u32 {
        let share = self.tokens as f64 / self.of.max(1) as f64;
        (share * tokens as f64) as u32
    }
}

/// A backend's state now. Read without waiting, so it may be a moment old.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Whether it takes requests.
    pub healthy: bool,
    /// Requests that it works on.
    pub running: u32,
    /// Requests that wait for a slot.
    pub queued: u32,
    /// Leading tokens of the probe that need no prefill; `None` when not known.
    pub cached_prefix: Option<u32>,
    /// How full its cache of keys and values is, 0 to 1, where it says.
    pub cache_used: Option<f32>,
    /// How long it takes nothing more, by its own word: a limit is used up. It may be healthy all the same.
    pub throttled_for: Option<Duration>,
    /// What is left of the tightest of its limits, 0 to 1, by its own word.
    pub quota_left: Option<f32>,
    /// How long it takes until it can begin, where that is not at once: its model has to be loaded first. It is healthy all
    /// the same.
    pub starts_in: Option<Duration>,
    /// How long a request that came now would wait until its own prompt is begun with, by what waits and runs there and how fast
    /// that goes; `None` where that is not known. What [`Load::starts_in`] tells comes before it.
    pub wait: Option<Duration>,
}

impl Load {
    /// A backend that takes requests and has none.
    pub const IDLE: Self = Self {
        healthy: true,
        running: 0,
        queued: 0,
        cached_prefix: None,
        cache_used: None,
        throttled_for: None,
        quota_left: None,
        starts_in: None,
        wait: None,
    };

    /// Whether it takes requests and has none.
    pub fn is_idle(&self) -> bool {
        self.healthy && self.running == 0 && self.queued == 0
    }
}
