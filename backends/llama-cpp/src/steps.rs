//! The context of llama.cpp, on the one thread that owns it: steps of the scheduler as batches, slots as sequence ids.

use engine::{Start, Steps, Token};
use llama_cpp_2::{context::LlamaContext, llama_batch::LlamaBatch, token::LlamaToken};

use crate::prefix::{Cells, Id, Prefixes};

/// Prompt tokens of a batch, beside one for each answer under way.
pub(crate) const MOST_TOKENS: usize = 512;

/// See the module.
pub(crate) struct Context<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'m>,
    prefixes: Prefixes,
}

impl<'m> Context<'m> {
    pub(crate) fn new(context: LlamaContext<'m>, prefixes: Prefixes, slots: usize) -> Self {
        Self { context, batch: LlamaBatch::new(MOST_TOKENS + slots, 1), prefixes }
    }

    fn decode(&mut self, tokens: &[Token]) -> Result<(), String> {
        self.batch.clear();
        for token in tokens {
            let id = i32::try_from(token.id).map(LlamaToken).map_err(|_| format!("token {}", token.id))?;
            self.batch
                .add(id, index(token.position), &[index(token.slot)], token.logits)
                .map_err(|error| error.to_string())?;
        }
        self.context.decode(&mut self.batch).map_err(|error| error.to_string())
    }
}

impl Steps for Context<'_> {
    fn most_prompt_tokens(&self) -> usize {
        MOST_TOKENS
    }

    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        self.prefixes.begin(start, &mut Sequences(&mut self.context))
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, String> {
        if let Err(reason) = self.decode(tokens) {
            for token in tokens {
                self.prefixes.spoiled(token.slot);
            }
            return Err(reason);
        }
        for token in tokens {
            self.prefixes.computed(token.slot, token.id, &mut Sequences(&mut self.context));
        }
        let asked = tokens.iter().enumerate().filter(|(_, token)| token.logits);
        Ok(asked.map(|(place, _)| self.context.get_logits_ith(index(place))).collect())
    }

    fn end(&mut self, slot: usize) {
        self.prefixes.end(slot, &mut Sequences(&mut self.context));
    }
}

/// Sequence ids of a context.
struct Sequences<'c, 'm>(&'c mut LlamaContext<'m>);

impl Cells for Sequences<'_, '_> {
    fn share(&mut self, of: Id, with: Id, from: usize, to: usize) {
        // Fails for positions beyond 31 bits only, and no context has so many.
        let _ = self.0.kv_cache_seq_cp(index(of), index(with), Some(from as u32), Some(to as u32));
    }

    fn cut(&mut self, id: Id, from: usize, to: Option<usize>) {
        // The same; and a state that cannot be cut in part is only ever cut whole.
        let _ = self.0.kv_cache_seq_rm(index(id), Some(from as u32), to.map(|to| to as u32));
    }
}

/// A number of llama.cpp's. Slots, positions and batches are far below its limit.
fn index(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
