//! The APIs that a client may speak to a model.

use backends::Api;

/// What a client speaks. Generations go to a backend in one of OpenAI's two APIs: see [`ClientApi::backend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientApi {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
    /// Anthropic's `POST /v1/messages`
    Messages,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/rerank`, in the shape of Cohere and Jina
    Rerank,
    /// `POST /v1/moderations`
    Moderations,
    /// `POST /v1/images/generations`
    Images,
    /// `POST /v1/audio/speech`
    Speech,
    /// `POST /v1/audio/transcriptions`
    Transcriptions,
    /// `POST /tokenize`, in the shape of vLLM
    Tokenize,
    /// `POST /detokenize`, likewise
    Detokenize,
    /// `GET /tokenizer_info`, likewise, with the model in its query
    TokenizerInfo,
}

impl ClientApi {
    /// The one whose requests are posted to a path, if one is.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Completions,
            "/v1/messages" => Self::Messages,
            "/v1/responses" => Self::Responses,
            "/v1/embeddings" => Self::Embeddings,
            // Where clients of Jina, Cohere and others look for it.
            "/v1/rerank" | "/v2/rerank" | "/rerank" => Self::Rerank,
            "/v1/moderations" => Self::Moderations,
            "/v1/images/generations" => Self::Images,
            "/v1/audio/speech" => Self::Speech,
            "/v1/audio/transcriptions" => Self::Transcriptions,
            "/tokenize" => Self::Tokenize,
            "/detokenize" => Self::Detokenize,
            _ => return None,
        })
    }

    /// Its word in records.
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
            Self::Tokenize => "tokenize",
            Self::Detokenize => "detokenize",
            Self::TokenizerInfo => "tokenizer_info",
        }
    }

    /// What a backend is asked in.
    pub fn backend(self) -> Api {
        match self {
            Self::Chat | Self::Messages | Self::Responses => Api::Chat,
            Self::Completions => Api::Completions,
            Self::Embeddings => Api::Embeddings,
            Self::Rerank => Api::Rerank,
            Self::Moderations => Api::Moderations,
            Self::Images => Api::Images,
            Self::Speech => Api::Speech,
            Self::Transcriptions => Api::Transcriptions,
            Self::Tokenize => Api::Tokenize,
            Self::Detokenize => Api::Detokenize,
            Self::TokenizerInfo => Api::TokenizerInfo,
        }
    }
}
