//! A deployment whose engine is in memory only while it is loaded, as a backend.
//!
//! Each request has a [`Seat`] from when its model is there to the end of its stream; a model with a seat taken is not
//! unloaded. Dropping the future of a request, or its stream, gives the seat or the place in the queue back.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use backends::{Backend, BackendError, BackendId, BoxFuture, Event, EventStream, Held, Load, Probe, Request, Tally};
use futures_core::Stream;

use super::{
    counted::joined,
    machine::{Asked, Key, Machine, Status},
};

/// See the module.
pub struct Resident {
    id: BackendId,
    key: Key,
    machine: Arc<Machine>,
}

impl Resident {
    pub(super) fn new(id: BackendId, key: Key, machine: Arc<Machine>) -> Self {
        Self { id, key, machine }
    }

    /// It was loaded already, in this time, by whoever starts the gateway. It is not asked whether there is room for it.
    pub fn is_loaded(&self, backend: Arc<dyn Backend>, took: Duration) {
        self.machine.loaded(self.key, Ok(backend), took);
    }

    /// Loads it as soon as there is room, though no request asks.
    pub fn want(&self) {
        self.machine.want(self.key);
    }

    /// Whether it stays once it is loaded.
    pub fn set_pinned(&self, pinned: bool) {
        self.machine.set_pinned(self.key, pinned);
    }

    /// How it is.
    pub fn status(&self) -> Option<Status> {
        self.machine.status(self.key)
    }

    async fn seat(&self) -> Result<Seat, BackendError> {
        match self.machine.ask(self.key)? {
            Asked::Seat(seat) => Ok(seat),
            Asked::Wait(ticket) => ticket.wait().await,
        }
    }
}

impl Backend for Resident {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, probe: &Probe<'_>) -> Load {
        self.machine.load_of(self.key, probe)
    }

    fn held<'a>(&'a self, request: &'a Request) -> Option<BoxFuture<'a, Option<Held>>> {
        let loaded = self.machine.live(self.key)?;
        Some(Box::pin(async move { loaded.held(request)?.await }))
    }

    fn ready(&self) -> Option<BoxFuture<'_, Result<Arc<dyn Backend>, BackendError>>> {
        Some(Box::pin(async { Ok(Arc::new(self.seat().await?) as Arc<dyn Backend>) }))
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async move { self.seat().await?.generate(request).await })
    }

    fn tally(&self) -> BoxFuture<'_, Vec<Tally>> {
        Box::pin(async {
            let (backend, past) = self.machine.counts(self.key);
            let now = match backend {
                Some(backend) => backend.tally().await,
                None => Vec::new(),
            };
            joined(&past, now)
        })
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resident({}, {:?})", self.id, self.status())
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.machine.forget(self.key);
    }
}

/// A loaded model, kept so for one request: until it and the stream that it gave are dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Occupied>);

#[derive(Debug)]
struct Occupied {
    // Dropped in this order: the machine hears of it once the engine is not held any more.
    backend: Arc<dyn Backend>,
    _taken: Taken,
}

#[derive(Debug)]
struct Taken {
    machine: Arc<Machine>,
    key: Key,
}

impl Seat {
    pub(super) fn new(backend: Arc<dyn Backend>, machine: Arc<Machine>, key: Key) -> Self {
        Self(Arc::new(Occupied { backend, _taken: Taken { machine, key } }))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.machine.left(self.key);
    }
}

/// What a request that waited goes to.
impl Backend for Seat {
    fn id(&self) -> &BackendId {
        self.0.backend.id()
    }

    fn load(&self, probe: &Probe<'_>) -> Load {
        self.0.backend.load(probe)
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(self.seated(|backend| backend.generate(request)))
    }

    fn generate_by(
        &self,
        request: Arc<Request>,
        begins_by: Instant,
    ) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(self.seated(move |backend| backend.generate_by(request, begins_by)))
    }
}

impl Seat {
    async fn seated(
        &self,
        generate: impl for<'a> FnOnce(&'a Arc<dyn Backend>) -> BoxFuture<'a, Result<EventStream, BackendError>> + Send,
    ) -> Result<EventStream, BackendError> {
        let held = Arc::clone(&self.0);
        let events = generate(&held.backend).await?;
        Ok(Box::pin(Seated { events, _held: held }) as EventStream)
    }
}

/// The events of a request, with its seat.
struct Seated {
    // The stream first: it may hold what the engine needs to end.
    events: EventStream,
    _held: Arc<Occupied>,
}

impl Stream for Seated {
    type Item = Result<Event, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}
