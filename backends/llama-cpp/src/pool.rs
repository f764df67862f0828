//! Models that read texts and write none: each text of a batch is a sequence of its own, whose numbers llama.cpp pools as
//! the file says.
//!
//! A vector has the length 1, as that of llama.cpp's server; a score is between 0 and 1, as the API has it, and not the number
//! before the sigmoid that the server gives.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use engine::{
    Purpose,
    encoder::{DEFAULT_CONTEXT, Makes, Pooling, Pools, Room, share, unit},
    gguf::File,
};
use llama_cpp_2::{
    context::{
        LlamaContext,
        params::{LlamaContextParams, LlamaPoolingType},
    },
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};

use crate::{
    load::{LoadError, within},
    words,
};

/// Texts of a batch at most.
const MOST_TEXTS: usize = 64;
/// Tokens of a batch of several texts: each costs something for every other of its batch, though it does not look at it.
const BATCH: usize = 512;

/// How a model is made to read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Tokens of a text.
    pub(crate) context: usize,
    pub(crate) makes: Makes,
    pooling: LlamaPoolingType,
    /// Whether it is an encoder that llama.cpp would take for a model that writes.
    encodes: bool,
}

impl Reading {
    /// Reads it from the file.
    ///
    /// # Errors
    /// It cannot be read so: an option is out of range, or it wants what is not built.
    pub(crate) fn of(
        file: &File,
        model: &LlamaModel,
        purpose: Purpose,
        context: Option<usize>,
    ) -> Result<Self, LoadError> {
        let trained = (model.n_ctx_train() as usize).max(2);
        let context = within("context", context.unwrap_or(trained.min(DEFAULT_CONTEXT)), 2, trained)?;
        let architecture = file.get::<&str>("general.architecture")?.unwrap_or_default();
        let (makes, pooling) = match purpose {
            Purpose::Scores => (Makes::Scores { between: between(file, model)? }, LlamaPoolingType::Rank),
            _ => {
                let width = model.n_embd_out().max(0) as usize;
                (Makes::Vectors { width }, named(Pooling::of(file, architecture)?))
            }
        };
        Ok(Self { context, makes, pooling, encodes: architecture == "t5encoder" })
    }

    /// Texts that are worked on at once.
    pub(crate) fn texts(&self) -> usize {
        MOST_TEXTS
    }

    /// Tokens of the largest batch, which has to be computed in one piece.
    fn most_tokens(&self) -> usize {
        self.context.max(BATCH)
    }

    pub(crate) fn params(&self) -> LlamaContextParams {
        let most = u32::try_from(self.most_tokens()).unwrap_or(u32::MAX);
        LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(most))
            .with_n_seq_max(MOST_TEXTS as u32)
            .with_kv_unified(true)
            .with_n_batch(most)
            .with_n_ubatch(most)
            .with_embeddings(true)
            .with_pooling_type(self.pooling)
    }
}

/// The library's name for it.
fn named(pooling: Pooling) -> LlamaPoolingType {
    match pooling {
        Pooling::Mean => LlamaPoolingType::Mean,
        Pooling::First => LlamaPoolingType::Cls,
        Pooling::Last => LlamaPoolingType::Last,
    }
}

/// The tokens between a query and a document.
fn between(file: &File, model: &LlamaModel) -> Result<Vec<u32>, LoadError> {
    let refused = |reason: &str| Err(LoadError::Reranker { reason: reason.to_owned() });
    if file.get::<&str>("tokenizer.chat_template.rerank")?.is_some() {
        return refused("its file asks for a template around query and document, and those are not read");
    }
    if !["cls.weight", "cls.output.weight"].iter().any(|name| file.tensor(name).is_some()) || model.n_cls_out() != 1 {
        return refused("its file has no head that gives one score");
    }
    let vocab = model.vocab();
    let (sep, eos) = (vocab.sep(), vocab.eos());
    let parts = match words::are_word_pieces(file)? {
        true => vec![(true, sep)],
        false => vec![(vocab.should_add_eos(), if eos.0 < 0 { sep } else { eos }), (vocab.should_add_sep(), sep)],
    };
    Ok(parts.into_iter().filter(|(is, _)| *is).filter_map(|(_, token)| u32::try_from(token.0).ok()).collect())
}

/// A context that reads, on the one thread that owns it.
pub(crate) struct Pool<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'m>,
    reading: Reading,
}

impl<'m> Pool<'m> {
    pub(crate) fn new(context: LlamaContext<'m>, reading: Reading) -> Self {
        Self { context, batch: LlamaBatch::new(reading.most_tokens(), 1), reading }
    }

    fn compute(&mut self, texts: &[Vec<u32>]) -> Result<(), String> {
        self.batch.clear();
        for (sequence, text) in (0..).zip(texts) {
            for (position, &id) in (0..).zip(text) {
                let id = i32::try_from(id).map(LlamaToken).map_err(|_| format!("token {id}"))?;
                self.batch.add(id, position, &[sequence], true).map_err(|error| error.to_string())?;
            }
        }
        if self.reading.encodes {
            return self.context.encode(&mut self.batch).map_err(|error| error.to_string());
        }
        // What was kept of texts before, by a model that looks back only.
        self.context.clear_kv_cache();
        self.context.decode(&mut self.batch).map_err(|error| error.to_string())
    }
}

impl Pools for Pool<'_> {
    fn room(&self) -> Room {
        Room { texts: MOST_TEXTS, tokens: BATCH }
    }

    fn pool(&mut self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String> {
        self.compute(texts)?;
        let rows = (0..).zip(texts).map(|(sequence, _)| {
            let row = self.context.embeddings_seq_ith(sequence).map_err(|error| error.to_string())?;
            Ok(match self.reading.makes {
                Makes::Vectors { .. } => unit(row),
                Makes::Scores { .. } => row.iter().take(1).copied().map(share).collect(),
            })
        });
        rows.collect()
    }
}
