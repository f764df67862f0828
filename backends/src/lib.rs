//! What a place is where a model can run, and what passes between it and the gateway.
//!
//! Holds the [`Backend`] trait, the [`Request`] that goes in, the [`Event`]s that come out, [`Usage`],
//! [`BackendError`], what a place has counted itself ([`Tally`]), the [`Breaker`] that leaves a place alone which keeps
//! failing, and the [`Prefixes`] that places were sent. It does no I/O and knows no engine, no host and no HTTP: an
//! in-process engine and a remote host look the same from here.

#![forbid(unsafe_code)]

mod api;
mod ask;
mod breaker;
mod error;
mod event;
mod load;
mod multipart;
mod object;
mod payload;
mod prefix;
mod reading;
mod request;
mod tally;
mod usage;

use std::{borrow::Borrow, fmt, future::Future, pin::Pin, sync::Arc, time::Instant};

use futures_core::Stream;

pub use api::Api;
pub use ask::{Form, Shape, Tool, ToolChoice, Tools};
pub use breaker::{Breaker, FIRST_OPEN, LONGEST_OPEN, Pass, TRIP};
pub use error::{BackendError, Class, Fault, Phase};
pub use event::{Alternative, CallPart, Delta, Event, FinishReason, Frame, TokenLogprob};
pub use load::{Held, Load, Probe};
pub use multipart::{Field, MultipartForm};
pub use object::Object;
pub use payload::{Payload, PayloadError, Rewrite, chooses};
pub use prefix::{Asker, Chain, PlaceId, Prefix, Prefixes, conversation, digest, is_crowded};
pub use reading::{ReadPrompt, Reader, Reading};
pub use request::{Input, Message, Part, Priority, Prompt, Request, Sampling, ToolUse};
pub use tally::Tally;
pub use usage::{Convention, Count, Counting, Usage, text_tokens};

/// A boxed future, as object-safe async methods return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The events of one generation, in order. Ends after the last event; an `Err` is always the last item.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, BackendError>> + Send>>;

/// Somewhere a model can run: an upstream API, or an engine in this process.
///
/// [`Backend::generate`] returns once the backend has taken the request (an upstream: once its response
/// headers are there and say success), not when the first token is there. Dropping the future or the stream
/// cancels the generation and gives its slot back; that holds in every phase.
pub trait Backend: Send + Sync + fmt::Debug {
    /// The id of the deployment that this backend serves.
    fn id(&self) -> &BackendId;

    /// What this backend knows now, without waiting: health, queue, cached prefix.
    fn load(&self, probe: &Probe<'_>) -> Load;

    /// Waits until it can take a request, where that may take longer than any request should: its model has to be loaded
    /// first. The request then goes to what comes back, which stays ready for it until it is dropped. `None` where there is
    /// never anything to wait for. [`Backend::generate`] waits as well, for whoever did not ask.
    ///
    /// # Errors
    /// It will not be ready, or not in time; nothing has been sent to it then.
    fn ready(&self) -> Option<BoxFuture<'_, Result<Arc<dyn Backend>, BackendError>>> {
        None
    }

    /// How much of a request's prompt it has computed before and would not again, if it began now: exactly, where it can tell.
    /// That takes as long as finding out the prompt's tokens; `None` where it cannot tell, also of this request.
    fn held<'a>(&'a self, request: &'a Request) -> Option<BoxFuture<'a, Option<Held>>> {
        let _ = request;
        None
    }

    /// Takes a request and answers with the stream of its events.
    ///
    /// # Errors
    /// Whatever went wrong before the request was taken; nothing has been generated then, so another
    /// candidate may be tried where [`BackendError::try_next`] says so.
    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>>;

    /// The same of a request whose caller waits for the first of its answer until then and no longer: where it is known that this
    /// comes later, it is refused at once, so that another may be asked. Whoever asks keeps to the time himself: it is not
    /// cancelled here.
    ///
    /// # Errors
    /// As of [`Backend::generate`].
    fn generate_by(
        &self,
        request: Arc<Request>,
        begins_by: Instant,
    ) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        let _ = begins_by;
        self.generate(request)
    }

    /// What it has counted itself, asked now; one entry a counter that it stands for. Empty where it counts nothing that can
    /// be read, or does not answer.
    fn tally(&self) -> BoxFuture<'_, Vec<Tally>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// The id of a deployment: a model served at a place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(Arc<str>);

impl BackendId {
    /// Wraps an id; the configuration has checked its characters.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for BackendId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
