//! One request at one endpoint, and what its outcome says of the endpoint.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use backends::{BackendError, Class, Event, EventStream, Pass, Request};
use futures_core::Stream;

use super::{
    endpoint::{Endpoint, Record},
    roster::Roster,
};

/// Sends a request to an endpoint. Its outcome counts for or against the endpoint, also while the answer streams.
pub(super) async fn send(
    roster: &Arc<Roster>,
    endpoint: &Endpoint,
    pass: Pass,
    request: Arc<Request>,
) -> Result<EventStream, BackendError> {
    let mut trial = Trial { roster: Arc::downgrade(roster), record: Arc::clone(&endpoint.record), pass, over: false };
    match endpoint.backend.generate(request).await {
        Ok(events) => Ok(Box::pin(Watched { events, trial })),
        Err(error) => {
            trial.failed(&error);
            Err(error)
        }
    }
}

/// A request under way. Dropped before its end it says nothing of the endpoint.
struct Trial {
    /// Gone once the fleet is: then nobody wants to know.
    roster: Weak<Roster>,
    record: Arc<Record>,
    pass: Pass,
    over: bool,
}

impl Trial {
    fn event(&mut self, event: &Event) {
        if self.pass == Pass::Probe {
            // It answers: others need not wait until this answer is whole.
            self.pass = Pass::Usual;
            self.tell(|roster, record| roster.succeeded(record));
        }
        // Whoever reads the stream may stop at its last event.
        if matches!(event, Event::Whole(_) | Event::Usage(_)) || matches!(event, Event::Frame(frame) if frame.done) {
            self.succeeded();
        }
    }

    fn succeeded(&mut self) {
        if !self.over {
            self.over = true;
            self.tell(|roster, record| roster.succeeded(record));
        }
    }

    fn failed(&mut self, error: &BackendError) {
        if !self.over && matches!(error.class(), Class::Connect | Class::ServerError | Class::BadStream) {
            let pass = self.pass;
            self.tell(|roster, record| roster.failed(record, pass));
        }
        self.over = true;
    }

    fn tell(&self, what: impl FnOnce(&Roster, &Record)) {
        if let Some(roster) = self.roster.upgrade() {
            what(&roster, &self.record);
        }
    }
}

/// The events of an answer, as they are.
struct Watched {
    events: EventStream,
    trial: Trial,
}

impl Stream for Watched {
    type Item = Result<Event, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.events.as_mut().poll_next(cx));
        match &next {
            Some(Ok(event)) => self.trial.event(event),
            Some(Err(error)) => self.trial.failed(error),
            None => self.trial.succeeded(),
        }
        Poll::Ready(next)
    }
}
