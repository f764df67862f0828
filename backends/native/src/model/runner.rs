//! Computes with a model: which tokens go into a step, and what comes out.

use std::{fmt, sync::Arc};

use engine::Token;
use kernels::Isa;

use super::{Model, ModelError, cache::Cache, step::Step};

/// More than one engine should ever hold; keeps sizes far from overflow.
const MAX_SLOTS: usize = 4_096;
const MAX_THREADS: usize = 1_024;
const MAX_CACHE_BYTES: usize = 1 << 42;

/// What a runner may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sequences at once.
    pub slots: usize,
    /// Tokens of a sequence: at least 1, at most what the model was made for.
    pub context: usize,
    /// Threads, the calling one included.
    pub threads: usize,
    /// Instruction set.
    pub isa: Isa,
}

/// A model with a cache and threads to run it.
pub struct Runner {
    model: Arc<Model>,
    limits: Limits,
    cache_bytes: usize,
    /// How many positions of each slot hold keys and values.
    filled: Vec<usize>,
    step: Step,
}

impl Runner {
    /// Takes the cache and starts the threads.
    ///
    /// # Errors
    /// When a limit is zero, or more than the model or the machine allows.
    pub fn new(model: Arc<Model>, limits: Limits) -> Result<Self, ModelError> {
        let shape = model.shape();
        within("a number of slots", limits.slots, MAX_SLOTS)?;
        within("a context", limits.context, shape.context)?;
        within("a number of threads", limits.threads, MAX_THREADS)?;
        let cache_bytes = Cache::bytes(shape, limits.slots, limits.context).unwrap_or(usize::MAX);
        within("a cache (bytes, by slots and context)", cache_bytes, MAX_CACHE_BYTES)?;
        let cache = Cache::new(shape, limits.slots, limits.context);
        let step = Step::new(Arc::clone(&model), limits, cache)?;
        Ok(Self { filled: vec![0; limits.slots], model, limits, cache_bytes, step })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What it was given.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes that keys and values take once every slot is full.
    pub fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Computes some tokens of some sequences, and answers with the logits of those that asked, in order, as rows of
    /// [`super::Shape::vocabulary`] numbers.
    ///
    /// Tokens of a slot stand in order of their positions without a gap, the first at most one behind what the slot
    /// holds: position 0 starts it anew. A result depends on the tokens of its own sequence alone: not on the others
    /// in the step, not on how a prompt was cut into steps, not on the number of threads.
    ///
    /// # Panics
    /// If a slot, position or id is out of range or out of order: the caller checks what comes from outside.
    pub fn step(&mut self, tokens: &[Token]) -> &[f32] {
        self.step_while(tokens, &|| true).unwrap_or_default()
    }

    /// The same, unless `goes_on` says no, which is asked before each layer: then each slot holds what it held before its
    /// first token of the step.
    ///
    /// # Panics
    /// As [`Runner::step`].
    pub fn step_while(&mut self, tokens: &[Token], goes_on: &dyn Fn() -> bool) -> Option<&[f32]> {
        self.take(tokens);
        let logits = self.step.run(tokens, goes_on);
        if logits.is_none() {
            for token in tokens.iter().rev() {
                self.filled[token.slot] = token.position;
            }
        }
        logits
    }

    /// Puts the first `len` tokens of one slot into another one, whose own are forgotten.
    ///
    /// # Panics
    /// If it does not hold so many, or the two are one.
    pub fn copy(&mut self, of: usize, to: usize, len: usize) {
        assert!(of != to && len <= self.filled[of], "copy: {len} tokens of slot {of}, which holds {}", self.filled[of]);
        self.step.copy(of, to, len);
        self.filled[to] = len;
    }

    /// Counts the tokens of a step in.
    fn take(&mut self, tokens: &[Token]) {
        let vocabulary = self.model.shape().vocabulary;
        for (index, &Token { slot, position, id, .. }) in tokens.iter().enumerate() {
            assert!(slot < self.limits.slots, "step: slot {slot} of {}", self.limits.slots);
            assert!(position < self.limits.context, "step: position {position} of {}", self.limits.context);
            assert!((id as usize) < vocabulary, "step: token {id} of {vocabulary}");
            let first = !tokens[..index].iter().rev().any(|before| before.slot == slot);
            let filled = self.filled[slot];
            assert!(
                position == filled || first && position < filled,
                "step: position {position} of slot {slot}, which holds {filled}"
            );
            self.filled[slot] = position + 1;
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("limits", &self.limits).field("filled", &self.filled).finish_non_exhaustive()
    }
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), ModelError> {
    if (1..=limit).contains(&found) {
        return Ok(());
    }
    Err(ModelError::Limit { what, expected: format!("1 to {limit}"), found })
}
