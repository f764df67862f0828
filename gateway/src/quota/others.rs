//! What a gateway knows of the others of its fleet, as far as it changes what it lets in: how many there are, and whether
//! they can be heard. Who hears them is not known here.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU32, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use super::{bucket::Nanos, meters::Meters};

/// The moment of those that are heard.
const HEARD: Nanos = Nanos::MAX;
/// The moment of those that were never heard: so long ago that nothing is left of what they took.
const NEVER: Nanos = Nanos::MIN / 4;

/// See the module.
#[derive(Debug)]
pub struct Others {
    /// How many gateways there are, this one among them.
    gateways: AtomicU32,
    /// How many there are taken to be until that is heard.
    expected: u32,
    /// When they were heard last.
    unheard_since: AtomicI64,
    /// Those that have to hear of them.
    calls: mpsc::UnboundedSender<Arc<Meters>>,
}

impl Others {
    /// Nothing was heard yet, and about so many gateways are expected. What has to hear of the others comes out of the other
    /// end: each at most once until it was heard for.
    pub fn new(expected: u32) -> (Arc<Self>, mpsc::UnboundedReceiver<Arc<Meters>>) {
        let (calls, called) = mpsc::unbounded_channel();
        let expected = expected.max(1);
        let (gateways, unheard_since) = (AtomicU32::new(expected), AtomicI64::new(NEVER));
        (Arc::new(Self { gateways, expected, unheard_since, calls }), called)
    }

    /// How many gateways there are.
    pub fn gateways(&self) -> u32 {
        self.gateways.load(Relaxed)
    }

    /// When the others were heard last; `None` while they are.
    pub fn unheard_since(&self) -> Option<Nanos> {
        Some(self.unheard_since.load(Relaxed)).filter(|since| *since != HEARD)
    }

    /// There are so many; whether they were not heard until now.
    pub fn hear(&self, gateways: u32) -> bool {
        self.gateways.store(gateways.max(1), Relaxed);
        self.unheard_since.swap(HEARD, Relaxed) != HEARD
    }

    /// They cannot be heard; whether they were until now.
    pub fn lose(&self, now: Nanos) -> bool {
        // Those that are gone may be cut off as this one is.
        self.gateways.fetch_max(self.expected, Relaxed);
        self.unheard_since.compare_exchange(HEARD, now, Relaxed, Relaxed).is_ok()
    }

    pub(super) fn call(&self, meters: Arc<Meters>) {
        // Nobody listens any more once the gateway stops.
        let _ = self.calls.send(meters);
    }
}
