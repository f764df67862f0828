//! Which models of this process are in memory: loaded when a request asks for them, unloaded when they are in the way.
//!
//! A [`Resident`] is a deployment's backend. It has its engine only while that is loaded; all residents share one
//! [`Machine`], which knows the memory that they may take together and decides who is in it (`machine`).
//!
//! | state | a request |
//! |---|---|
//! | unloaded | asks for room and waits, or is refused and the model loaded meanwhile: `while_loading` |
//! | loading | waits, at most `load_within`, or is refused with what is done of it |
//! | loaded | is served |
//! | loaded, its turn over and another waiting for the room | waits for the next turn |
//! | failed | is refused until a pause is over that grows with every failure |
//!
//! Models that do not fit beside each other take turns (`turn`), so that the number of swaps grows with time and not with
//! requests: whoever is loaded serves all that waited for it. The least recently used go first; a pinned one never goes.
//! Models are also unloaded after they were idle for long (`unload_after`), and, idle ones alone, while the machine has
//! little memory left (`memory`).
//!
//! What a model takes is estimated before it is loaded (`estimate`); nothing here measures an engine. Knows nothing of
//! routes, prices or licences: whoever makes a [`Resident`] says how its model is loaded, and checks there what is to be
//! checked.

mod counted;
pub mod estimate;
mod machine;
mod memory;
mod progress;
mod resident;
mod turn;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use backends::{Backend, BoxFuture};

pub use self::{
    machine::{Machine, State, Status},
    memory::Memory,
    progress::Progress,
    resident::Resident,
};

/// The share of the machine's memory that models may take where the configuration names no size, in percent.
const AUTO_PERCENT: u64 = 80;

/// What holds for the models of this process together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Bytes that they may take; by the machine's memory without.
    pub memory: Option<u64>,
    /// While a smaller share of the machine's memory is available, models that are idle are unloaded: 0 to 1.
    pub keep_free: f32,
    /// How long a model is idle before it is unloaded; for good without.
    pub unload_after: Option<Duration>,
    /// What becomes of a request whose model is not loaded.
    pub while_loading: WhileLoading,
    /// How long a request waits for its model at most.
    pub load_within: Duration,
    /// How many requests wait for each model at most.
    pub waiting: usize,
    /// Bytes that packed weights, kept for the next start, may take on disk together; none are kept at 0.
    pub packed_bytes: u64,
}

impl Settings {
    /// Bytes that models may take together.
    pub fn budget(&self) -> u64 {
        // A system that does not tell its memory bounds nothing.
        let auto = || Memory::now().map_or(u64::MAX, |memory| memory.total / 100 * AUTO_PERCENT);
        self.memory.unwrap_or_else(auto)
    }
}

/// What becomes of a request whose model is not loaded. The model is loaded either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileLoading {
    /// It waits.
    Queue,
    /// It is told to come back.
    Refuse,
}

/// How one model is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Whether it is loaded by the first request, not at the start.
    pub on_demand: bool,
    /// Whether it stays once it is loaded.
    pub pinned: bool,
}

/// Why a model could not be loaded: for the log and those who operate the gateway. Callers are told only that it failed, as
/// reasons name files.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// What comes of loading a model.
pub type Loaded = Result<Arc<dyn Backend>, Failure>;

/// Loads a model: as often as it is asked to.
pub type Loader = Arc<dyn Fn(Arc<Progress>) -> BoxFuture<'static, Loaded> + Send + Sync>;

/// A loader that works on a thread where it may block.
pub fn blocking(load: impl Fn(&Arc<Progress>) -> Loaded + Send + Sync + 'static) -> Loader {
    let load = Arc::new(load);
    Arc::new(move |progress| {
        let load = Arc::clone(&load);
        Box::pin(async move {
            let loaded = tokio::task::spawn_blocking(move || load(&progress)).await;
            loaded.unwrap_or_else(|_| Err(Failure("loading it panicked".to_owned())))
        })
    })
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory: None,
            keep_free: 0.05,
            unload_after: None,
            while_loading: WhileLoading::Queue,
            load_within: Duration::from_secs(300),
            waiting: 256,
            packed_bytes: 32 << 30,
        }
    }
}
