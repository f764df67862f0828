//! llama.cpp as a function from tokens to logits or to a vector, and from text to tokens.

use std::{num::NonZeroU32, path::Path};

use llama_cpp_2::{
    context::{
        LlamaContext,
        params::{LlamaContextParams, LlamaPoolingType},
    },
    llama_backend::LlamaBackend,
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};

/// The library as the engine has started it: it starts once in a process.
fn backend() -> &'static LlamaBackend {
    llama_cpp_engine::backend().expect("llama.cpp starts")
}

/// A model in llama.cpp.
pub struct Oracle(LlamaModel);

impl Oracle {
    /// Loads a file.
    pub fn load(path: &Path) -> Self {
        Self::if_read(path).expect("llama.cpp reads the file")
    }

    /// The same; none if llama.cpp does not read it.
    pub fn if_read(path: &Path) -> Option<Self> {
        LlamaModel::load_from_file(backend(), path, &LlamaModelParams::default()).map(Self).ok()
    }

    /// Plain text as tokens, none added.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let tokens = self.0.vocab().tokenize(text.as_bytes(), false, false);
        tokens.into_iter().map(|token| u32::try_from(token.0).expect("a token")).collect()
    }

    /// The row of a text of tokens, of any length, pooled by the number that GGUF has for it.
    pub fn row(&self, tokens: &[u32], pooling: u32) -> Vec<f32> {
        let pooling = match pooling {
            1 => LlamaPoolingType::Mean,
            2 => LlamaPoolingType::Cls,
            3 => LlamaPoolingType::Last,
            _ => LlamaPoolingType::Rank,
        };
        let len = u32::try_from(tokens.len()).expect("a context");
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(len))
            .with_n_batch(len)
            .with_n_ubatch(len)
            .with_embeddings(true)
            .with_pooling_type(pooling);
        let mut context = self.0.new_context(backend(), params).expect("llama.cpp gives a context");
        let mut batch = LlamaBatch::new(tokens.len(), 1);
        let tokens: Vec<_> = tokens.iter().map(|&id| LlamaToken(i32::try_from(id).expect("a token"))).collect();
        batch.add_sequence(&tokens, 0, true).expect("room in the batch");
        context.decode(&mut batch).expect("llama.cpp computes the batch");
        context.embeddings_seq_ith(0).expect("a row").to_vec()
    }

    /// A context for one sequence of up to `len` tokens.
    pub fn sequence(&self, len: usize, threads: usize) -> Sequence<'_> {
        let len = u32::try_from(len).expect("a context");
        let threads = i32::try_from(threads).expect("a number of threads");
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(len))
            .with_n_batch(len)
            .with_n_ubatch(len.min(512))
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let context = self.0.new_context(backend(), params).expect("llama.cpp gives a context");
        Sequence { context, batch: LlamaBatch::new(len as usize, 1), len: 0 }
    }
}

/// A sequence in llama.cpp.
pub struct Sequence<'a> {
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    len: i32,
}

impl Sequence<'_> {
    /// Adds tokens; the logits after each of them, or after the last alone.
    pub fn add(&mut self, tokens: &[u32], all: bool) -> Vec<Vec<f32>> {
        self.batch.clear();
        for (i, &token) in tokens.iter().enumerate() {
            let wanted = all || i + 1 == tokens.len();
            let token = LlamaToken(i32::try_from(token).expect("a token"));
            self.batch.add(token, self.len, &[0], wanted).expect("room in the batch");
            self.len += 1;
        }
        self.context.decode(&mut self.batch).expect("llama.cpp computes the batch");
        let first = if all { 0 } else { tokens.len() - 1 };
        let index = |i: usize| i32::try_from(i).expect("an index");
        (first..tokens.len()).map(|i| self.context.get_logits_ith(index(i)).to_vec()).collect()
    }
}
