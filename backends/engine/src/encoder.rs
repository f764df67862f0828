//! Models that read texts and write none: vectors of texts, and the order of documents by a query.
//!
//! `texts` turns a request into texts in tokens, `queue` is the thread that computes them, those of several requests
//! together, and `answer` tells what came of it in the shape of the API. What computes is behind [`Pools`], with `rows` for
//! what engines do alike.

mod answer;
mod queue;
mod rows;
mod texts;

#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Instant};

use backends::{BackendError, EventStream, Input, Load, Request, Tally};
use futures_util::stream;

use crate::prepare::Speech;

use queue::Queue;

pub use queue::{Pools, Room, Worker};
pub use rows::{Pooling, share, unit};

/// Tokens of a text of a model that can take more, if nobody says otherwise: room is taken for what each token of one might
/// be followed by, though nobody asks, and in many languages that is a megabyte.
pub const DEFAULT_CONTEXT: usize = 2_048;

/// What such a model makes of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Makes {
    /// A vector of each.
    Vectors {
        /// Numbers of a vector.
        width: usize,
    },
    /// A number from 0 to 1 of a query and a document: how much the one has to do with the other.
    Scores {
        /// The tokens that part the two.
        between: Vec<u32>,
    },
}

/// A model of this kind, and the thread that computes.
pub(crate) struct Encoder {
    makes: Makes,
    queue: Queue,
}

impl Makes {
    /// How many numbers come of a text.
    fn numbers(&self) -> usize {
        match self {
            Self::Vectors { width } => *width,
            Self::Scores { .. } => 1,
        }
    }

    fn refusal(&self, request: &Request) -> BackendError {
        let reason = match self {
            Self::Vectors { .. } => "this model makes vectors of texts, and nothing else",
            Self::Scores { .. } => "this model orders documents by a query, and does nothing else",
        };
        BackendError::Unsupported { param: request.api.input(), reason: reason.to_owned() }
    }
}

impl Encoder {
    pub(crate) fn start(name: &str, makes: Makes, run: impl FnOnce(Worker) + Send + 'static) -> io::Result<Self> {
        let queue = Queue::start(name, makes.numbers(), run)?;
        Ok(Self { makes, queue })
    }

    pub(crate) fn load(&self) -> Load {
        self.queue.load()
    }

    pub(crate) fn tally(&self, source: String) -> Tally {
        self.queue.tally(source)
    }

    /// Takes the texts of a request; the stream has the one event that is its answer. Dropping either cancels it.
    pub(crate) async fn take(
        &self,
        speech: &Arc<Speech>,
        request: Arc<Request>,
        begins_by: Option<Instant>,
    ) -> Result<EventStream, BackendError> {
        let between: Option<Arc<[u32]>> = match (&self.makes, &request.input) {
            (Makes::Vectors { width }, Input::Embed { dimensions, .. }) => {
                let width = *width;
                // A part of a vector means something for few models, and no file says for which.
                if let Some(asked) = dimensions.filter(|asked| *asked as usize != width) {
                    let reason = format!("{asked} were asked for, and this model makes vectors of {width}");
                    return Err(BackendError::Unsupported { param: "dimensions", reason });
                }
                None
            }
            (Makes::Scores { between }, Input::Rank { .. }) => Some(between.as_slice().into()),
            _ => return Err(self.makes.refusal(&request)),
        };
        let (speech, asked) = (Arc::clone(speech), Arc::clone(&request));
        let texts = tokio::task::spawn_blocking(move || speech.texts(&asked, between.as_ref()))
            .await
            .map_err(|_| BackendError::Internal { reason: "the texts could not be tokenized".into() })??;
        let pooled = self.queue.submit(texts, begins_by)?;
        Ok(Box::pin(stream::once(async move {
            let stopped = |_| BackendError::Internal { reason: "the engine has stopped".into() };
            let pooled = pooled.await.map_err(stopped)??;
            // Some thousand vectors are tens of megabytes of JSON.
            tokio::task::spawn_blocking(move || answer::told(&request, &pooled))
                .await
                .map_err(|_| BackendError::Internal { reason: "the answer could not be written".into() })?
        })))
    }
}
