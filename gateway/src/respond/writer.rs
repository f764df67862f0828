//! How an answer is told in the API that the caller speaks.
//!
//! Where that is the API that the backend answers in, its bytes go out as they are, and what an engine of this process
//! generates is framed. Else each answer is read piece by piece and written anew. Says nothing of when an answer is over:
//! see `sse` and `whole`.

use std::sync::Arc;

use backends::{BackendError, Delta, FinishReason, Frame, Request, Usage};
use bytes::Bytes;

use super::{
    Framer,
    error::ApiError,
    messages,
    pieces::{self, Piece},
    responses,
    sse::Gathered,
};
use crate::{kept::Shelf, wire::Manner};

/// The end of a stream of OpenAI's API.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// See the module.
#[derive(Debug)]
pub enum Writer {
    /// In OpenAI's chat or completions API.
    OpenAi {
        /// Frames what is generated here.
        framer: Framer,
        /// Whether the caller wants the usage chunk that we asked the upstream for.
        include_usage: bool,
    },
    /// In Anthropic's.
    Messages(Box<messages::Writer>),
    /// In the Responses API.
    Responses(Box<responses::Writer>),
}

/// What an answer tells of itself.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// How the caller is answered.
    pub manner: &'a Manner,
    /// The model that answers.
    pub model: &'a str,
    /// Unix seconds.
    pub created: u64,
    /// Whether the caller wants the usage chunk of a stream.
    pub include_usage: bool,
    /// Tokens of the prompt, an estimate.
    pub prompt_tokens: u64,
    /// Where it is kept, if its API and the caller want that.
    pub shelf: Option<&'a Shelf>,
}

impl Writer {
    /// For the answer to a request.
    pub fn new(request: &Request, told: Told<'_>) -> Self {
        let Told { manner, model, created, include_usage, prompt_tokens, shelf } = told;
        match manner {
            Manner::OpenAi => Self::OpenAi { framer: Framer::new(request, model, created), include_usage },
            Manner::Messages { shows_reasoning } => {
                Self::Messages(Box::new(messages::Writer::new(&request.id, model, prompt_tokens, *shows_reasoning)))
            }
            Manner::Responses(echo) => {
                let writer = responses::Writer::new(&request.id, model, created, Arc::clone(echo));
                Self::Responses(Box::new(writer.kept_on(shelf.cloned())))
            }
        }
    }

    /// The same for an answer that is told whole.
    pub(super) fn keeping(request: &Request, told: Told<'_>) -> Self {
        match Self::new(request, told) {
            Self::Messages(writer) => Self::Messages(Box::new(writer.keeping())),
            other => other,
        }
    }

    /// How many choices the answer has.
    pub fn choices(&self) -> usize {
        match self {
            Self::OpenAi { framer, .. } => framer.choices(),
            Self::Messages(_) | Self::Responses(_) => 1,
        }
    }

    /// A piece of an answer that is read, in an API that is not the backend's.
    fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi { .. } => {}
            Self::Messages(writer) => writer.piece(piece, out),
            Self::Responses(writer) => writer.piece(piece, out),
        }
    }

    /// The same for an answer that is told whole, whose events nobody wants.
    pub(super) fn take(&mut self, piece: Piece<'_>) {
        self.piece(piece, &mut Vec::new());
    }

    /// Token counts, likewise.
    pub(super) fn count(&mut self, usage: Usage) {
        match self {
            Self::OpenAi { .. } => {}
            Self::Messages(writer) => writer.usage(usage),
            Self::Responses(writer) => writer.usage(usage),
        }
    }

    /// A frame of an upstream's stream.
    ///
    /// # Errors
    /// When it has to be read and cannot be.
    pub(super) fn frame(&mut self, frame: Frame, out: &mut Gathered) -> Result<(), BackendError> {
        if let Self::OpenAi { include_usage, .. } = self {
            if !frame.usage_only || *include_usage {
                out.frame(frame.bytes);
            }
            return Ok(());
        }
        // A frame may hold several events.
        remote::sse_data(&frame.bytes).try_for_each(|data| pieces::read(&data, |piece| self.piece(piece, out.text())))
    }

    /// Text or parts of calls that were generated here.
    pub(super) fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi { framer, .. } => framer.delta(delta, out),
            _ => pieces::of_delta(delta, |piece| self.piece(piece, out)),
        }
    }

    /// The end of a choice that was generated here.
    pub(super) fn finish(&mut self, index: u32, reason: FinishReason, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi { framer, .. } => framer.finish(index, reason, out),
            _ => self.piece(Piece::Finish { reason: reason.as_str().into(), stop_sequence: None }, out),
        }
    }

    /// The token counts of what was generated here; other APIs tell them at the end.
    pub(super) fn usage(&self, usage: Usage, out: &mut Vec<u8>) {
        if let Self::OpenAi { framer, .. } = self {
            framer.usage(usage, out);
        }
    }

    /// The end of a whole answer. `usage`: what it took, as somebody counted or as it is estimated.
    pub(super) fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        usage.into_iter().for_each(|usage| self.count(usage));
        match self {
            Self::OpenAi { .. } => out.extend_from_slice(DONE),
            Self::Messages(writer) => writer.end(out),
            Self::Responses(writer) => writer.end(out),
        }
    }

    /// The end of an answer that broke off.
    pub(super) fn error(&mut self, error: &ApiError, request_id: &str, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi { .. } => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&error.json(request_id));
                out.extend_from_slice(b"\n\n");
                out.extend_from_slice(DONE);
            }
            Self::Messages(_) => messages::error_event(error, request_id, out),
            Self::Responses(writer) => writer.fail(error, out),
        }
    }

    /// What keeps a silent stream open.
    pub(super) fn heartbeat(&mut self) -> Bytes {
        match self {
            Self::OpenAi { .. } => Bytes::from_static(b": keep-alive\n\n"),
            Self::Messages(_) => Bytes::from_static(messages::PING),
            Self::Responses(writer) => {
                let mut out = Vec::new();
                writer.heartbeat(&mut out);
                out.into()
            }
        }
    }

    /// The whole answer, in an API that is not the backend's.
    pub(super) fn whole(self) -> Vec<u8> {
        match self {
            Self::OpenAi { .. } => Vec::new(),
            Self::Messages(writer) => writer.whole(),
            Self::Responses(writer) => writer.whole(),
        }
    }
}
