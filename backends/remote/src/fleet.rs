//! Several endpoints that serve one model under one deployment, as one [`Backend`].
//!
//! **Affinity.** A request goes to the endpoint that has most of its prompt cached, as far as is known, unless that is
//! too little or the endpoint is busier than the others: see `affinity`.
//!
//! **Choice.** Else of two endpoints drawn at random the one with the lower load takes the request (queued first, then
//! running: "the power of two choices"). Only endpoints that are healthy, not throttled and not ejected are drawn; where
//! there is none, the best of the others, since the gateway has decided to send.
//!
//! **Ejection.** Each endpoint has a [`Breaker`]:
//!
//! ```text
//! in use -- three failures in a row, by its own fault --> ejected for 5 s, longer each time, 60 s at most, jittered
//! ejected -- the time is over --> the next request is its probe -- it answers --> in use
//!                                                               -- it fails  --> ejected, for twice as long
//! ```
//!
//! A failure is a connection that does not come about, a status of 5xx, or a stream that breaks. A limit that is used
//! up, a key that is refused, a caller's mistake and a request that is dropped (a deadline of the gateway's) count neither
//! way. Never is more than half of a fleet ejected, rounded down: while it is, further failures are not counted, and
//! a fleet of one has the gateway's breaker alone.
//!
//! **Connections.** A request whose connection did not come about was not sent, so it goes to one other endpoint, as to
//! the next address of a name. Nothing else is tried again here.
//!
//! **Membership.** Endpoints come and go while serving (`discovery`). One that stays keeps all that is known of it; one
//! that has gone takes nothing new, and what runs there ends in its own time.

mod affinity;
mod endpoint;
mod roster;
mod trial;

use std::sync::Arc;

use backends::{Backend, BackendError, BackendId, BoxFuture, Class, EventStream, Load, Probe, Request, Tally};

pub(crate) use self::roster::{Change, Roster};
pub use self::roster::{EJECTED, ENDPOINTS};
use crate::{
    Client, Remote, Target, TargetError,
    discovery::{Discovery, Replicas},
};

/// Several endpoints that serve one model.
#[derive(Debug)]
pub struct Fleet {
    id: BackendId,
    roster: Arc<Roster>,
    /// Ends with the fleet.
    _discovery: Discovery,
}

impl Fleet {
    /// A fleet of the endpoints that `replicas` tells, each with the target that `target` makes for its base address.
    /// Connects to none of them yet. Within a runtime it begins to look for those that are not listed one by one.
    ///
    /// # Errors
    /// When a listed one cannot be called as it stands; the message names the field.
    pub fn new(
        id: BackendId,
        replicas: &Replicas,
        target: impl Fn(&str) -> Target + Send + Sync + 'static,
        client: &Client,
    ) -> Result<Self, TargetError> {
        let keyed = target("http://127.0.0.1").key.is_some();
        let (client, of) = (client.clone(), id.clone());
        let make = move |address: &str| -> Result<Arc<dyn Backend>, TargetError> {
            Ok(Arc::new(Remote::new(of.clone(), target(address), &client)?))
        };
        let roster = Arc::new(Roster::new(id.clone(), make));
        if let Replicas::Urls(urls) = replicas {
            roster.set(urls)?;
        }
        let discovery = Discovery::start(&id, replicas, keyed, &roster);
        Ok(Self { id, roster, _discovery: discovery })
    }
}

impl Backend for Fleet {
    fn id(&self) -> &BackendId {
        &self.id
    }

    /// Healthy if any endpoint is, with the requests of all. Throttled only if all that are healthy are, until the first
    /// of them is free. Before the first look for endpoints is over it counts as healthy: requests wait for that look.
    fn load(&self, probe: &Probe<'_>) -> Load {
        self.roster.load(probe)
    }

    /// Those of all endpoints.
    fn tally(&self) -> BoxFuture<'_, Vec<Tally>> {
        Box::pin(async move {
            let endpoints = self.roster.endpoints();
            let asked = endpoints.iter().map(|endpoint| endpoint.backend.tally());
            futures_util::future::join_all(asked).await.concat()
        })
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async move {
            self.roster.known().await;
            let Some((endpoint, pass)) = self.roster.choose(request.prefix.as_deref(), &mut rand::rng()) else {
                return Err(BackendError::Connect("no endpoint is known".into()));
            };
            let outcome = trial::send(&self.roster, &endpoint, pass, Arc::clone(&request)).await;
            match outcome {
                Err(error) if error.class() == Class::Connect => match self.roster.other_than(&endpoint) {
                    Some((other, pass)) => {
                        tracing::debug!(deployment = %self.id, from = endpoint.address(), to = other.address(), "no connection, so another endpoint is asked");
                        trial::send(&self.roster, &other, pass, request).await
                    }
                    None => Err(error),
                },
                outcome => outcome,
            }
        })
    }
}

#[cfg(test)]
mod tests;
