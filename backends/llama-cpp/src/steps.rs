//! The context of llama.cpp, on the one thread that owns it: steps of the scheduler as batches, slots as sequence ids.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::{Contents, Halt, Interest, PICTURE, Placed, Start, Steps, Token, Windows};
use llama_cpp_2::{DecodeError, context::LlamaContext, llama_batch::LlamaBatch, token::LlamaToken};

use crate::{
    prefix::{Cells, Id, Prefixes},
    vision::Projector,
};

/// Prompt tokens of a batch, beside one for each answer under way.
pub(crate) const MOST_TOKENS: usize = 512;
/// What llama.cpp returns where it was asked to stop.
const ABORTED: DecodeError = DecodeError::Unknown(2);

/// What holds which tokens.
#[derive(Debug)]
pub(crate) enum Cache {
    /// One stream of cells for all sequences: each takes no more than it has, and what they have in common is there once.
    Shared(Prefixes),
    /// A window for each, which llama.cpp calls a stream: it computes several in one pass only if they stand side by side.
    Own(Windows),
}

/// See the module.
pub(crate) struct Context<'m> {
    context: LlamaContext<'m>,
    /// The context asks it while it computes: let go of after it.
    _interest: Arc<Interest>,
    batch: LlamaBatch<'m>,
    cache: Cache,
    /// Of the batch, the place of each token in the step.
    order: Vec<usize>,
    /// Of the step, the place of each token in the batch.
    places: Vec<usize>,
    /// What computes pictures, where the model reads them.
    vision: Option<Arc<Projector>>,
    /// The pictures of each slot's prompt.
    pictures: Vec<Vec<Shown>>,
}

/// A picture of a prompt.
struct Shown {
    placed: Placed,
    /// How many positions it takes: fewer than it has tokens where a model counts places in pictures in two directions.
    positions: usize,
}

/// The position that comes behind so many tokens of a prompt with these pictures.
fn position(pictures: &[Shown], tokens: usize) -> usize {
    let before = pictures.iter().take_while(|shown| shown.placed.at + shown.placed.seen.tokens <= tokens);
    tokens - before.map(|shown| shown.placed.seen.tokens.saturating_sub(shown.positions)).sum::<usize>()
}

impl<'m> Context<'m> {
    pub(crate) fn new(
        context: LlamaContext<'m>,
        interest: Arc<Interest>,
        cache: Cache,
        slots: usize,
        vision: Option<Arc<Projector>>,
    ) -> Self {
        let batch = LlamaBatch::new(MOST_TOKENS + slots, 1);
        let pictures = (0..slots).map(|_| Vec::new()).collect();
        Self { context, _interest: interest, batch, cache, order: Vec::new(), places: Vec::new(), vision, pictures }
    }

    /// Computes a step: first its pictures, each by itself, then all else in one pass, whose logits are there afterwards.
    fn compute(&mut self, tokens: &[Token]) -> Result<(), Halt> {
        if !tokens.iter().any(|token| token.id >= PICTURE) {
            return self.decode(tokens);
        }
        let mut others = Vec::with_capacity(tokens.len());
        for own in tokens.chunk_by(|a, b| a.slot == b.slot) {
            match own {
                [first, ..] if first.id >= PICTURE => self.look(*first, own.len())?,
                _ => others.extend_from_slice(own),
            }
        }
        if others.is_empty() { Ok(()) } else { self.decode(&others) }
    }

    /// Computes the picture that begins with a token and has so many.
    fn look(&mut self, first: Token, tokens: usize) -> Result<(), Halt> {
        let Token { slot, position, .. } = first;
        let shown = self.pictures[slot].iter().map(|shown| &shown.placed).find(|placed| placed.at == position);
        let (Some(vision), Some(placed)) = (&self.vision, shown.filter(|placed| placed.seen.tokens == tokens)) else {
            return Err(Halt::Failed(format!("no picture of {tokens} tokens at {position}")));
        };
        let position = self::position(&self.pictures[slot], position);
        let (id, batch) = (index(self.cache.id(slot)), i32::try_from(self.context.n_batch()).unwrap_or(i32::MAX));
        vision.compute(&placed.seen, &mut self.context, id, index(position), batch)
    }

    fn decode(&mut self, tokens: &[Token]) -> Result<(), Halt> {
        let failed = |error: &dyn std::fmt::Display| Halt::Failed(error.to_string());
        let cache = &self.cache;
        self.order.clear();
        self.order.extend(0..tokens.len());
        // A pass takes sequences whose ids follow one another.
        self.order.sort_by_key(|&at| cache.id(tokens[at].slot));
        self.places.resize(tokens.len(), 0);
        self.batch.clear();
        for (place, &at) in self.order.iter().enumerate() {
            let token = tokens[at];
            self.places[at] = place;
            let id = i32::try_from(token.id).map(LlamaToken).map_err(|error| failed(&error))?;
            self.batch
                .add(
                    id,
                    index(position(&self.pictures[token.slot], token.position)),
                    &[index(cache.id(token.slot))],
                    token.logits,
                )
                .map_err(|error| failed(&error))?;
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|error| if error == ABORTED { Halt::Unwanted } else { failed(&error) })
    }

    /// The slots of a step, each once.
    fn slots(tokens: &[Token]) -> impl Iterator<Item = usize> {
        tokens.chunk_by(|a, b| a.slot == b.slot).map(|own| own[0].slot)
    }
}

impl Steps for Context<'_> {
    fn most_prompt_tokens(&self) -> usize {
        MOST_TOKENS
    }

    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        let sequences = &mut Sequences(&mut self.context, &self.pictures[start.slot]);
        match &mut self.cache {
            Cache::Shared(prefixes) => prefixes.begin(start, sequences),
            Cache::Own(windows) => Some(windows.begin(start, sequences)),
        }
    }

    fn shows(&mut self, slot: usize, pictures: &[Placed]) {
        let shown = pictures.iter().map(|placed| Shown {
            positions: Projector::positions(&placed.seen).unwrap_or(placed.seen.tokens),
            placed: placed.clone(),
        });
        self.pictures[slot] = shown.collect();
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        if let Cache::Own(windows) = &mut self.cache {
            windows.close_gap(Self::slots(tokens), &mut Sequences(&mut self.context, &[]));
        }
        if let Err(halt) = self.compute(tokens) {
            for slot in Self::slots(tokens) {
                match &halt {
                    // What of the batch was computed before it was given up.
                    Halt::Unwanted => {
                        let (id, held) = (self.cache.id(slot), self.cache.held(slot));
                        let sequences = &mut Sequences(&mut self.context, &self.pictures[slot]);
                        Cells::cut(sequences, id, held, None);
                    }
                    Halt::Failed(_) => self.cache.spoiled(slot),
                }
            }
            return Err(halt);
        }
        for token in tokens {
            match &mut self.cache {
                Cache::Shared(prefixes) => {
                    prefixes.computed(token.slot, token.id, &mut Sequences(&mut self.context, &[]))
                }
                Cache::Own(windows) => windows.computed(token.slot, token.id),
            }
        }
        let others = tokens.iter().filter(|token| token.id < PICTURE);
        let asked = others.zip(&self.places).filter(|(token, _)| token.logits);
        Ok(asked.map(|(_, &place)| self.context.get_logits_ith(index(place))).collect())
    }

    fn end(&mut self, slot: usize) {
        self.pictures[slot].clear();
        let sequences = &mut Sequences(&mut self.context, &[]);
        match &mut self.cache {
            Cache::Shared(prefixes) => prefixes.end(slot, sequences),
            Cache::Own(windows) => windows.end(slot, sequences),
        }
    }
}

impl Cache {
    /// The sequence id of a slot.
    fn id(&self, slot: usize) -> Id {
        match self {
            Self::Shared(_) => slot,
            Self::Own(windows) => windows.of(slot),
        }
    }

    /// Tokens that a slot holds.
    fn held(&self, slot: usize) -> usize {
        match self {
            Self::Shared(prefixes) => prefixes.held(slot),
            Self::Own(windows) => windows.held(slot),
        }
    }

    fn spoiled(&mut self, slot: usize) {
        match self {
            Self::Shared(prefixes) => prefixes.spoiled(slot),
            Self::Own(windows) => windows.spoiled(slot),
        }
    }
}

/// Sequence ids of a context, and the pictures of the prompt that they are asked for. Where positions are not tokens each
/// sequence has a window of its own: one is cut in part only where it begins as the prompt does, or is it.
struct Sequences<'c, 'm>(&'c mut LlamaContext<'m>, &'c [Shown]);

// These fail for positions beyond 31 bits only, and no context has so many; and a state that cannot be cut in part is only ever
// cut whole.
impl Cells for Sequences<'_, '_> {
    fn share(&mut self, of: Id, with: Id, from: usize, to: usize) {
        let _ = self.0.kv_cache_seq_cp(index(of), index(with), Some(from as u32), Some(to as u32));
    }

    fn cut(&mut self, id: Id, from: usize, to: Option<usize>) {
        let from = position(self.1, from) as u32;
        let _ = self.0.kv_cache_seq_rm(index(id), Some(from), to.map(|to| to as u32));
    }
}

impl Contents for Sequences<'_, '_> {
    fn copy(&mut self, of: Id, to: Id, _: usize) {
        // All of it: llama.cpp copies no part of a stream to another.
        let _ = self.0.kv_cache_seq_cp(index(of), index(to), None, None);
    }

    fn cut(&mut self, id: Id, from: usize) {
        Cells::cut(self, id, from, None);
    }
}

/// A number of llama.cpp's. Slots, positions and batches are far below its limit.
fn index(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
