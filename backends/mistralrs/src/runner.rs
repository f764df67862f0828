//! Choices in, rows of logits out: one request of mistralrs a choice, with one logits processor. A prompt goes in as tokens, or,
//! where it has pictures, as `gemma3` writes it.
//!
//! A processor sees every row, that behind the prompt included, as numbers of 32 bits on the CPU, on a thread of mistralrs.
//! It never fails: an error would cost the other sequences of the step their tokens. When the choice is over, or its caller
//! is gone, it lets a token win that ends an answer, and mistralrs forgets the sequence, sometimes after a row more. What
//! cannot be stopped is a prompt that is being computed.
//!
//! No text is streamed by mistralrs; its answer at the end, whose text is numbers, matters only where it is an error. The
//! receiver lives as long as the sequence: where it is gone, mistralrs breaks down over an error that it cannot tell, and where
//! it is full, mistralrs waits. When a sequence is dropped for whatever reason, processor and choice go with it, and a
//! choice that is not over fails.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{Writes, Writing};
use mistralrs::{
    Constraint, CustomLogitsProcessor, MistralRs, NormalRequest, Request, RequestMessage, Response, SamplingParams,
    Tensor,
};
use tokio::sync::mpsc;

use crate::gemma3::Reader;

/// Answers that may come between two rows.
const ANSWERS: usize = 8;

/// A model that mistralrs runs. Dropped, it ends.
pub(crate) struct Runner {
    pub(crate) mistralrs: Arc<MistralRs>,
    /// The token that ends a sequence.
    pub(crate) end: u32,
    /// What reads pictures, where the model does.
    pub(crate) reader: Option<Arc<Reader>>,
}

impl Writes for Runner {
    fn begin(&mut self, mut writing: Writing) {
        let messages = match &self.reader {
            Some(reader) if !writing.pictures().is_empty() => reader.message(&writing),
            _ => Ok(RequestMessage::CompletionTokens(writing.prompt().to_vec())),
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(reason) => return writing.fail(reason),
        };
        let (response, answers) = mpsc::channel(ANSWERS);
        let request = NormalRequest {
            id: self.mistralrs.next_request_id(),
            messages,
            sampling_params: SamplingParams {
                // The best token, which is the one that was drawn.
                temperature: Some(0.0),
                // The choice says when it is over; this is in case that it cannot.
                max_len: Some(writing.max_tokens() + 1),
                ..SamplingParams::neutral()
            },
            logits_processors: Some(vec![Arc::new(Drawn {
                end: self.end,
                state: Mutex::new(State { writing, answers, error: None }),
            })]),
            response,
            return_logprobs: false,
            is_streaming: false,
            constraint: Constraint::None,
            suffix: None,
            tools: None,
            tool_choice: None,
            return_raw_logits: false,
            web_search_options: None,
            model_id: None,
            truncate_sequence: false,
        };
        // Its queue holds thousands. Where it takes nothing the request is dropped, and the choice fails.
        let sender = self.mistralrs.get_sender(None);
        if sender.map(|sender| sender.try_send(Request::Normal(Box::new(request))).is_err()).unwrap_or(true) {
            tracing::error!("mistralrs takes no requests");
        }
    }
}

/// Draws a choice's tokens.
struct Drawn {
    end: u32,
    state: Mutex<State>,
}

struct State {
    writing: Writing,
    answers: mpsc::Receiver<Response>,
    /// What mistralrs said last, if that was an error.
    error: Option<String>,
}

impl State {
    fn hear(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.error = match answer {
                Response::InternalError(error) | Response::ValidationError(error) => Some(error.to_string()),
                Response::CompletionModelError(error, _) | Response::ModelError(error, _) => Some(error),
                _ => None,
            };
        }
    }
}

impl CustomLogitsProcessor for Drawn {
    fn apply(&self, logits: &Tensor, _context: &[u32]) -> mistralrs::Result<Tensor> {
        // Nothing that panics happens under it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.hear();
        let row = logits.to_vec1::<f32>().unwrap_or_default();
        let token = state.writing.advance(&row).unwrap_or(self.end);
        let mut only = vec![0.0f32; token as usize + 1];
        only[token as usize] = 1.0;
        let len = only.len();
        Tensor::from_vec(only, len, logits.device())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // An error is said before the sequence is dropped.
        self.hear();
        if self.writing.is_wanted() {
            let error = self.error.as_deref().and_then(|error| error.lines().next());
            tracing::error!(error = error.unwrap_or("it dropped the sequence"), "mistralrs failed");
        }
    }
}
