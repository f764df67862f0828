//! One endpoint of a fleet: its backend, and what is held against it.

use std::sync::Arc;

use backends::{Backend, Breaker, Prefix, Probe};

/// One endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) record: Arc<Record>,
}

/// What a request that runs there needs to know of it. It holds no backend, so that an endpoint which has left the fleet
/// is asked nothing more in the background while its last answers stream.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) address: Box<str>,
    pub(super) breaker: Breaker,
}

/// An endpoint as it is now, to compare it with others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'e> {
    pub(super) endpoint: &'e Endpoint,
    /// What speaks against it: the sum of the weights below.
    pub(super) against: u8,
    /// Requests that wait there, then those that run.
    pub(super) busy: (u32, u32),
    /// Tokens of the prompt that it has cached, about.
    pub(super) cached: u32,
}

impl Endpoint {
    pub(super) fn new(address: &str, backend: Arc<dyn Backend>) -> Self {
        let record = Record { address: address.into(), breaker: Breaker::new(rand::random()) };
        Self { backend, record: Arc::new(record) }
    }

    pub(super) fn address(&self) -> &str {
        &self.record.address
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }

    /// Whether it takes no usual requests, as it has failed.
    pub(super) fn is_ejected(&self) -> bool {
        !self.record.breaker.is_closed()
    }

    /// How it is for a request with this prefix, if any.
    pub(super) fn standing(&self, prefix: Option<&Prefix>) -> Standing<'_> {
        let load = self.backend.load(&Probe { prefix, ..Probe::default() });
        let weight = |is: bool, weight: u8| if is { weight } else { 0 };
        let against = weight(self.is_ejected(), Standing::EJECTED)
            + weight(load.throttled_for.is_some(), Standing::THROTTLED)
            + weight(!load.healthy, Standing::UNWELL);
        let cached = load.cached_prefix.unwrap_or(0);
        Standing { endpoint: self, against, busy: (load.queued, load.running), cached }
    }
}

impl Standing<'_> {
    /// It may be well again: only a request can tell.
    pub(super) const EJECTED: u8 = 1;
    /// It has said that it takes nothing now.
    pub(super) const THROTTLED: u8 = 2;
    /// It does not answer its health probe, or says that it cannot serve.
    pub(super) const UNWELL: u8 = 4;
}
