//! The APIs that a client may speak for generations.

use backends::Api;

/// What a client speaks. What goes to a backend is one of OpenAI's two: see [`ClientApi::backend`].
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
}

impl ClientApi {
    /// Its word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Messages => "messages",
            Self::Responses => "responses",
        }
    }

    /// What a backend is asked in.
    pub fn backend(self) -> Api {
        match self {
            Self::Chat | Self::Messages | Self::Responses => Api::Chat,
            Self::Completions => Api::Completions,
        }
    }
}
