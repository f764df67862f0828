//! What a backend can be asked in.

/// An API of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/messages`, Anthropic's
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
    /// `GET /tokenizer_info`, likewise
    TokenizerInfo,
}

impl Api {
    /// The path below a host's base address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
            Self::Messages => "/messages",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
            Self::Rerank => "/rerank",
            Self::Moderations => "/moderations",
            Self::Images => "/images/generations",
            Self::Speech => "/audio/speech",
            Self::Transcriptions => "/audio/transcriptions",
            Self::Tokenize => "/tokenize",
            Self::Detokenize => "/detokenize",
            Self::TokenizerInfo => "/tokenizer_info",
        }
    }

    /// The request field that holds what it is about.
    pub fn input(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "messages",
            Self::Completions | Self::Images | Self::Tokenize => "prompt",
            Self::Embeddings | Self::Moderations | Self::Speech | Self::Responses => "input",
            Self::Transcriptions => "file",
            Self::Rerank => "documents",
            Self::Detokenize => "tokens",
            Self::TokenizerInfo => "model",
        }
    }

    /// Whether text is generated. Everything else is answered by one body.
    pub fn generates(self) -> bool {
        matches!(self, Self::Chat | Self::Completions | Self::Messages | Self::Responses)
    }

    /// Whether the answer may be something else than JSON: sound, or a transcript as subtitles.
    pub fn answers_otherwise(self) -> bool {
        matches!(self, Self::Speech | Self::Transcriptions)
    }
}
