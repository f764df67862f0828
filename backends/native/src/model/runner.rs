//! Computes with a model: which tokens go into a step, and what comes out.

use std::{fmt, sync::Arc};

use engine::{CacheType, Holds, Start, Token};
use kernels::Isa;

use super::{
    Model, ModelError, Shape,
    cache::Cache,
    prefixes::Prefixes,
    shape::Latent,
    states::States,
    step::{Gives, Step},
};

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
    /// What keys and values are kept as.
    pub cache: CacheType,
}

/// A model with a cache and threads to run it.
pub struct Runner {
    model: Arc<Model>,
    limits: Limits,
    cache_bytes: usize,
    prefixes: Prefixes,
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
        let pages = Prefixes::pages(limits.slots, limits.context).unwrap_or(usize::MAX);
        let cache_bytes = Cache::bytes(shape, limits.cache, pages)
            .and_then(|pages| pages.checked_add(States::bytes(shape, limits.slots)?))
            .unwrap_or(usize::MAX);
        within("a cache (bytes, by slots and context)", cache_bytes, MAX_CACHE_BYTES)?;
        let prefixes = Prefixes::new(limits.slots, limits.context, even(shape));
        let cache = Cache::new(shape, limits.cache, pages);
        let step = Step::new(Arc::clone(&model), limits, cache)?;
        Ok(Self { prefixes, model, limits, cache_bytes, step })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What it was given.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes that keys and values take once every page is used, or what is kept of sequences otherwise.
    pub fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Gives a slot to a sequence, as [`engine::Steps::begin`] does: what earlier ones computed is used again, and what this one
    /// computes may be. A slot may do without: then it begins at position 0 and shares nothing.
    ///
    /// # Panics
    /// If the prompt is empty or longer than the context.
    pub fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        assert!((1..=self.limits.context).contains(&start.prompt.len()), "begin: a prompt of {}", start.prompt.len());
        if !self.model.shape().goes_back() {
            // What another sequence had at the end of a beginning that they share is gone.
            self.prefixes.cut(start.slot, 0);
            return Some(0);
        }
        let held = self.prefixes.begin(start, &mut |copy| self.step.copy(copy));
        self.prefixes.tell();
        held
    }

    /// What a prompt would find held if it began now, for other threads to ask.
    pub fn held(&self) -> Arc<dyn Holds> {
        self.prefixes.held()
    }

    /// The sequence of a slot is over; what it computed stays for others.
    pub fn end(&mut self, slot: usize) {
        self.prefixes.end(slot);
        self.prefixes.tell();
    }

    /// All but the first `len` tokens of a slot are forgotten.
    ///
    /// # Panics
    /// If the model cannot go back ([`Shape::goes_back`]), and that is not all or nothing.
    pub fn forget(&mut self, slot: usize, len: usize) {
        let holds = self.prefixes.len(slot);
        let may = self.model.shape().goes_back() || len == 0 || len >= holds;
        assert!(may, "forget: all but {len} tokens of slot {slot}, which holds {holds}");
        self.prefixes.cut(slot, len);
    }

    /// Leaves the processors to another runner until the next step: its threads sleep, where they would wait for that awake.
    pub fn rest(&self) {
        self.step.rest();
    }

    /// Computes some tokens of some sequences, and answers with the logits of those that asked, in order, as rows of
    /// [`super::Shape::vocabulary`] numbers.
    ///
    /// Tokens of a slot stand in order of their positions without a gap, the first at most one behind what the slot
    /// holds: position 0 starts it anew, and where a model cannot go back ([`Shape::goes_back`]) no other may be less. A result
    /// depends on the tokens of its own sequence alone: not on the others in the step, not on how a prompt was cut into steps,
    /// not on the number of threads.
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
        self.compute(tokens, Gives::Logits, goes_on)
    }

    /// The same as a step, but instead of logits the rows of [`super::Shape::width`] numbers that they are computed from: what
    /// the model makes of each token that asks, and of all before it.
    ///
    /// # Panics
    /// As [`Runner::step`].
    pub fn rows(&mut self, tokens: &[Token]) -> &[f32] {
        self.compute(tokens, Gives::Rows, &|| true).unwrap_or_default()
    }

    fn compute(&mut self, tokens: &[Token], gives: Gives, goes_on: &dyn Fn() -> bool) -> Option<&[f32]> {
        self.take(tokens);
        let given = self.step.run(tokens, &self.prefixes, gives, goes_on);
        for token in tokens {
            match given {
                Some(_) => self.prefixes.keep(token.slot),
                None => self.prefixes.undo(token.slot),
            }
        }
        self.prefixes.tell();
        given
    }

    /// Makes room for the tokens of a step.
    fn take(&mut self, tokens: &[Token]) {
        let vocabulary = self.model.shape().vocabulary;
        for (index, &Token { slot, position, id, .. }) in tokens.iter().enumerate() {
            assert!(slot < self.limits.slots, "step: slot {slot} of {}", self.limits.slots);
            assert!(position < self.limits.context, "step: position {position} of {}", self.limits.context);
            assert!((id as usize) < vocabulary, "step: token {id} of {vocabulary}");
            let first = !tokens[..index].iter().rev().any(|before| before.slot == slot);
            if first {
                // What a step that broke off has left.
                self.prefixes.undo(slot);
            }
            let filled = self.prefixes.len(slot);
            let goes_back = position == 0 || self.model.shape().goes_back();
            assert!(
                position == filled || first && position < filled && goes_back,
                "step: position {position} of slot {slot}, which holds {filled}"
            );
            self.prefixes.extend(slot, position, id, &mut |copy| self.step.copy(copy));
        }
    }
}

/// The position at which looking back takes as many multiplications as the weights of a token.
fn even(shape: &Shape) -> f64 {
    let Shape { width, heads, kv_heads, head, value, .. } = *shape;
    let attention = match shape.latent {
        None => width * 2 * (heads + kv_heads) * head,
        Some(latent) => {
            let Latent { query, rank, plain, turned, value } = latent;
            width * (query + rank + turned + heads * value)
                + heads * (query * (plain + turned) + rank * (plain + value))
        }
    };
    (attention + 3 * width * shape.feed_forward) as f64 / (heads * (head + value)).max(1) as f64
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("limits", &self.limits).field("prefixes", &self.prefixes).finish_non_exhaustive()
    }
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), ModelError> {
    if (1..=limit).contains(&found) {
        return Ok(());
    }
    Err(ModelError::Limit { what, expected: format!("1 to {limit}"), found })
}
