//! Models that read texts and write none: encoders, which are started here, and decoders that make vectors.

use std::sync::Arc;

use backends::BackendId;
use engine::{Engine, Facts, Info, Purpose, Speech, encoder::DEFAULT_CONTEXT, gguf::File, tokenizer::Tokenizer};
use kernels::Isa;

use super::{LoadError, NAME, Options, threads, within};
use crate::{
    encoder::{self, Encoder, Reader},
    model::{Model, ModelError},
    texts::{Encodes, MOST_TEXTS},
};

/// Whether [`super::load`] would load a file, and if not why: reads its head alone, of several parts the first.
///
/// # Errors
/// Why it would not.
pub fn reads(file: &File) -> Result<(), LoadError> {
    let facts = Facts::of(file)?;
    let tokenizer = Tokenizer::from_file(file)?;
    if is_encoder(&facts) {
        Encoder::check(file, facts.purpose)?;
        between(file, &facts, &tokenizer)?;
        return Ok(());
    }
    check_decoder(file, &facts)?;
    Ok(Model::check(file)?)
}

pub(super) fn is_encoder(facts: &Facts) -> bool {
    encoder::architectures().any(|name| name == facts.architecture)
}

/// Whether a decoder can do what its file is for.
pub(super) fn check_decoder(file: &File, facts: &Facts) -> Result<(), ModelError> {
    if facts.purpose == Purpose::Scores {
        return Err(ModelError::unsupported("the order of documents by a model that could write"));
    }
    let key = format!("{}.attention.causal", facts.architecture);
    match file.get::<bool>(&key)? {
        Some(false) => Err(ModelError::unsupported(format!("a decoder that looks ahead (`{key}`)"))),
        _ => Ok(()),
    }
}

/// Starts the engine of an encoder.
pub(super) fn load(id: BackendId, file: &File, facts: Facts, options: &Options) -> Result<Engine, LoadError> {
    if options.adapter.is_some() {
        return Err(ModelError::unsupported("an adapter over an encoder").into());
    }
    let tokenizer = Tokenizer::from_file(file)?;
    let between = between(file, &facts, &tokenizer)?;
    let threads = threads(options)?;
    let encoder = Arc::new(Encoder::load(file, facts.purpose, threads)?);
    if encoder.vocabulary() != tokenizer.len() {
        return Err(LoadError::Vocabulary { weights: encoder.vocabulary(), vocabulary: tokenizer.len() });
    }
    let trained = encoder.context();
    // Room for the tokens that begin and end a text.
    let context = within("context", options.context.unwrap_or(trained.min(DEFAULT_CONTEXT)), 2, trained)?;
    let isa = options.isa.unwrap_or_else(Isa::best);
    let reader = Reader::new(Arc::clone(&encoder), threads, isa)?;
    let scores = facts.purpose == Purpose::Scores;
    let info = Info {
        engine: NAME,
        facts,
        parameters: encoder.parameters(),
        context_tokens: context,
        trained_context_tokens: trained,
        quantization: encoder.quantization().to_owned(),
        isa: isa.name().to_owned(),
        threads,
        max_sequences: MOST_TEXTS,
        file_bytes: file.size(),
        cache_bytes: 0,
    };
    let speech = Speech::new(tokenizer, None, context);
    Engine::start_encoder(id, info, speech, encoder.makes(between), move |worker| {
        worker.work(Encodes::new(reader, scores));
    })
    .map_err(LoadError::Thread)
}

/// The tokens between a query and a document, of an encoder that orders documents; of others none.
fn between(file: &File, facts: &Facts, tokenizer: &Tokenizer) -> Result<Vec<u32>, LoadError> {
    if facts.purpose != Purpose::Scores {
        return Ok(Vec::new());
    }
    if file.get::<&str>("tokenizer.chat_template.rerank")?.is_some() {
        return Err(ModelError::unsupported("a template around query and document").into());
    }
    // What ends a text parts two as well, with word pieces; other tokenizers have other ways.
    match tokenizer.kind() {
        "bert" => Ok(tokenizer.eos().into_iter().collect()),
        other => Err(ModelError::unsupported(format!("the order of documents with the tokenizer `{other}`")).into()),
    }
}
