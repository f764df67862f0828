//! The endpoints that the scope of a key can name.
//!
//! `GET /v1/models` is not among them: a client that may ask anything has to find out for what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::ClientApi;

/// What a key may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/messages` and what counts its tokens
    Messages,
    /// `/v1/responses` and all below it
    Responses,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/rerank` and its other addresses
    Rerank,
    /// `/v1/moderations`
    Moderations,
    /// `/v1/images/generations`
    Images,
    /// `/v1/audio/speech`
    Speech,
    /// `/v1/audio/transcriptions`
    Transcriptions,
    /// `/tokenize`, `/detokenize` and `/tokenizer_info`
    Tokens,
    /// `/v1/files` and all below it
    Files,
    /// `/v1/batches` and all below it; each line needs its own endpoint as well
    Batches,
    /// `/metrics` at the clients' listener
    Metrics,
}

impl Endpoint {
    /// Its word in scopes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Moderations => "moderations",
            Self::Images => "images",
            Self::Speech => "speech",
            Self::Transcriptions => "transcriptions",
            Self::Tokens => "tokens",
            Self::Files => "files",
            Self::Batches => "batches",
            Self::Metrics => "metrics",
        }
    }
}

impl From<ClientApi> for Endpoint {
    fn from(api: ClientApi) -> Self {
        match api {
            ClientApi::Chat => Self::Chat,
            ClientApi::Completions => Self::Completions,
            ClientApi::Messages => Self::Messages,
            ClientApi::Responses => Self::Responses,
            ClientApi::Embeddings => Self::Embeddings,
            ClientApi::Rerank => Self::Rerank,
            ClientApi::Moderations => Self::Moderations,
            ClientApi::Images => Self::Images,
            ClientApi::Speech => Self::Speech,
            ClientApi::Transcriptions => Self::Transcriptions,
            ClientApi::Tokenize | ClientApi::Detokenize | ClientApi::TokenizerInfo => Self::Tokens,
        }
    }
}
