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
pub struct Writer {
    told: Telling,
    /// Whether the upstream's own bytes go out, in an API that is not OpenAI's chat or completions.
    passed: Option<Passed>,
}

#[derive(Debug)]
enum Telling {
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
    /// Sound, or a transcript piece by piece: the upstream's bytes, in which nothing can be said.
    Bytes,
}

/// How far an answer is whose bytes go out as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Begun,
    /// Its own end has gone out too.
    Ended,
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
        let told = match manner {
            Manner::OpenAi if request.api.answers_otherwise() => Telling::Bytes,
            Manner::OpenAi => Telling::OpenAi { framer: Framer::new(request, model, created), include_usage },
            Manner::Messages { shows_reasoning } => {
                let writer = messages::Writer::new(&request.id, model, prompt_tokens, *shows_reasoning);
                Telling::Messages(Box::new(writer))
            }
            Manner::Responses(echo) => {
                let writer = responses::Writer::new(&request.id, model, created, Arc::clone(echo));
                Telling::Responses(Box::new(writer.kept_on(shelf.cloned())))
            }
        };
        Self { told, passed: None }
    }

    /// The same for an answer that is told whole.
    pub(super) fn keeping(request: &Request, told: Told<'_>) -> Self {
        let told = match Self::new(request, told).told {
            Telling::Messages(writer) => Telling::Messages(Box::new(writer.keeping())),
            other => other,
        };
        Self { told, passed: None }
    }

    /// How many choices the answer has.
    pub fn choices(&self) -> usize {
        match &self.told {
            Telling::OpenAi { framer, .. } => framer.choices(),
            Telling::Messages(_) | Telling::Responses(_) | Telling::Bytes => 1,
        }
    }

    /// A piece of an answer that is read, in an API that is not the backend's.
    fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) {
        match &mut self.told {
            Telling::OpenAi { .. } | Telling::Bytes => {}
            Telling::Messages(writer) => writer.piece(piece, out),
            Telling::Responses(writer) => writer.piece(piece, out),
        }
    }

    /// The same for an answer that is told whole, whose events nobody wants.
    pub(super) fn take(&mut self, piece: Piece<'_>) {
        self.piece(piece, &mut Vec::new());
    }

    /// Token counts, likewise.
    pub(super) fn count(&mut self, usage: Usage) {
        match &mut self.told {
            Telling::OpenAi { .. } | Telling::Bytes => {}
            Telling::Messages(writer) => writer.usage(usage),
            Telling::Responses(writer) => writer.usage(usage),
        }
    }

    /// A frame of an upstream's stream.
    ///
    /// # Errors
    /// When it has to be read and cannot be.
    pub(super) fn frame(&mut self, frame: Frame, out: &mut Gathered) -> Result<(), BackendError> {
        if frame.own {
            self.passed = Some(if frame.done { Passed::Ended } else { Passed::Begun });
            out.frame(frame.bytes);
            return Ok(());
        }
        match self.told {
            Telling::OpenAi { include_usage: false, .. } if frame.usage_only => return Ok(()),
            Telling::OpenAi { .. } | Telling::Bytes => {
                out.frame(frame.bytes);
                return Ok(());
            }
            Telling::Messages(_) | Telling::Responses(_) => {}
        }
        // A frame may hold several events.
        remote::sse_data(&frame.bytes).try_for_each(|data| pieces::read(&data, |piece| self.piece(piece, out.text())))
    }

    /// Text or parts of calls that were generated here.
    pub(super) fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match &mut self.told {
            Telling::OpenAi { framer, .. } => framer.delta(delta, out),
            _ => pieces::of_delta(delta, |piece| self.piece(piece, out)),
        }
    }

    /// The end of a choice that was generated here.
    pub(super) fn finish(&mut self, index: u32, reason: FinishReason, out: &mut Vec<u8>) {
        match &mut self.told {
            Telling::OpenAi { framer, .. } => framer.finish(index, reason, out),
            _ => self.piece(Piece::Finish { reason: reason.as_str().into(), stop_sequence: None }, out),
        }
    }

    /// The token counts of what was generated here; other APIs tell them at the end.
    pub(super) fn usage(&self, usage: Usage, out: &mut Vec<u8>) {
        if let Telling::OpenAi { framer, .. } = &self.told {
            framer.usage(usage, out);
        }
    }

    /// The end of a whole answer. `usage`: what it took, as somebody counted or as it is estimated.
    pub(super) fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        usage.into_iter().for_each(|usage| self.count(usage));
        match (&mut self.told, self.passed) {
            (_, Some(Passed::Ended)) | (Telling::Bytes, _) => {}
            (Telling::OpenAi { .. }, _) => out.extend_from_slice(DONE),
            (Telling::Messages(_), Some(Passed::Begun)) => messages::stop_event(out),
            (Telling::Messages(writer), None) => writer.end(out),
            // Its end is in one with the reason for it, without which no answer is whole.
            (Telling::Responses(_), Some(Passed::Begun)) => {}
            (Telling::Responses(writer), None) => writer.end(out),
        }
    }

    /// The end of an answer that broke off.
    pub(super) fn error(&mut self, error: &ApiError, request_id: &str, out: &mut Vec<u8>) {
        match &mut self.told {
            Telling::OpenAi { .. } => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&error.json(request_id));
                out.extend_from_slice(b"\n\n");
                out.extend_from_slice(DONE);
            }
            Telling::Bytes => {}
            Telling::Messages(_) => messages::error_event(error, request_id, out),
            Telling::Responses(writer) => writer.fail(error, self.passed.is_some(), out),
        }
    }

    /// Whether an answer that broke off can say so.
    pub(super) fn tells_errors(&self) -> bool {
        !matches!(self.told, Telling::Bytes)
    }

    /// What keeps a silent stream open; nothing where nothing can be said.
    pub(super) fn heartbeat(&mut self) -> Bytes {
        match &mut self.told {
            Telling::Bytes => Bytes::new(),
            Telling::Messages(_) => Bytes::from_static(messages::PING),
            Telling::Responses(writer) if self.passed.is_none() => {
                let mut out = Vec::new();
                writer.heartbeat(&mut out);
                out.into()
            }
            _ => Bytes::from_static(b": keep-alive\n\n"),
        }
    }

    /// The whole answer, in an API that is not the backend's.
    pub(super) fn whole(self) -> Vec<u8> {
        match self.told {
            Telling::OpenAi { .. } | Telling::Bytes => Vec::new(),
            Telling::Messages(writer) => writer.whole(),
            Telling::Responses(writer) => writer.whole(),
        }
    }
}
