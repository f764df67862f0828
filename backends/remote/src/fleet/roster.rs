//! The endpoints of a fleet now: who they are, which one is next, and who is ejected.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use backends::{Backend, BackendId, Load, Pass, Prefix, Probe};
use metrics::{Gauge, gauge};
use rand::{Rng, seq::IteratorRandom as _};
use tokio::{sync::watch, time::Instant};

use super::{
    affinity,
    endpoint::{Endpoint, Record, Standing},
};
use crate::TargetError;

/// Endpoints that a fleet has.
pub const ENDPOINTS: &str = "pointsman_fleet_endpoints";
/// Those of them that are ejected.
pub const EJECTED: &str = "pointsman_fleet_ejected_endpoints";

type Make = dyn Fn(&str) -> Result<Arc<dyn Backend>, TargetError> + Send + Sync;

/// See the module.
pub(crate) struct Roster {
    id: BackendId,
    make: Box<Make>,
    endpoints: ArcSwap<Vec<Endpoint>>,
    /// Whether somebody has looked for endpoints, whatever came of it.
    looked: watch::Sender<bool>,
    /// Failures are judged, and members changed, one after the other, so that no two endpoints take the last place among
    /// the ejected.
    judging: Mutex<()>,
    epoch: Instant,
    size: Gauge,
    ejected: Gauge,
}

/// What became of a change of the members.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

impl Roster {
    /// Without endpoints yet; `make` makes the backend of one.
    pub(crate) fn new(
        id: BackendId,
        make: impl Fn(&str) -> Result<Arc<dyn Backend>, TargetError> + Send + Sync + 'static,
    ) -> Self {
        let label = || id.as_str().to_owned();
        Self {
            size: gauge!(ENDPOINTS, "deployment" => label()),
            ejected: gauge!(EJECTED, "deployment" => label()),
            id,
            make: Box::new(make),
            endpoints: ArcSwap::default(),
            looked: watch::Sender::new(false),
            judging: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    /// Makes these addresses the endpoints. Those that were there before stay as they are.
    ///
    /// # Errors
    /// When one of them cannot be called; then nothing changes.
    pub(crate) fn set(&self, addresses: &[String]) -> Result<Change, TargetError> {
        let _one = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.endpoints.load_full();
        let known: HashMap<&str, &Endpoint> = before.iter().map(|endpoint| (endpoint.address(), endpoint)).collect();
        let mut change = Change::default();
        let mut now: HashMap<&str, Endpoint> = HashMap::with_capacity(addresses.len());
        for address in addresses {
            if now.contains_key(&**address) {
                continue;
            }
            let endpoint = match known.get(&**address) {
                Some(endpoint) => Endpoint::clone(endpoint),
                None => {
                    change.added += 1;
                    Endpoint::new(address, (self.make)(address)?)
                }
            };
            now.insert(address, endpoint);
        }
        change.removed = before.len() + change.added - now.len();
        if change != Change::default() {
            let now: Vec<Endpoint> = addresses.iter().filter_map(|address| now.remove(&**address)).collect();
            // Of fewer endpoints fewer may be ejected.
            for endpoint in now.iter().filter(|endpoint| endpoint.is_ejected()).skip(now.len() / 2) {
                endpoint.record.breaker.succeeded();
            }
            self.endpoints.store(Arc::new(now));
            self.count();
        }
        Ok(change)
    }

    /// Somebody has looked for endpoints.
    pub(crate) fn looked(&self) {
        self.looked.send_replace(true);
    }

    /// Returns once somebody has.
    pub(crate) async fn known(&self) {
        if !*self.looked.borrow() {
            // The sender is `self`, so it cannot have gone.
            let _ = self.looked.subscribe().wait_for(|looked| *looked).await;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.endpoints.load().len()
    }

    /// The endpoint for the next request: one whose rest is over and that has to be tried, the one that has its prompt
    /// cached, or the less busy one of two.
    pub(super) fn choose(&self, prefix: Option<&Prefix>, random: &mut impl Rng) -> Option<(Endpoint, Pass)> {
        let endpoints = self.endpoints.load();
        if let [only] = endpoints.as_slice() {
            return Some((only.clone(), Pass::Usual));
        }
        let now_ms = self.now_ms();
        // Asked last, as whoever gets this leave has to use it.
        let is_due = |endpoint: &&Endpoint| {
            endpoint.is_ejected()
                && endpoint.standing(None).against == Standing::EJECTED
                && endpoint.record.breaker.pass(now_ms) == Some(Pass::Probe)
        };
        if let Some(endpoint) = endpoints.iter().find(is_due) {
            return Some((endpoint.clone(), Pass::Probe));
        }
        let known = prefix.filter(|prefix| !prefix.is_new() && !random.random_ratio(1, affinity::EXPLORED_ONE_IN));
        if let Some(holder) = known.and_then(|prefix| affinity::holder(&endpoints, prefix, random)) {
            return Some(usual(holder));
        }
        if endpoints.len() > 1 {
            // Mostly all are well, and two draws are enough.
            let first = random.random_range(0..endpoints.len());
            let second = (first + random.random_range(1..endpoints.len())) % endpoints.len();
            let (first, second) = (endpoints[first].standing(None), endpoints[second].standing(None));
            if first.against == 0 && second.against == 0 {
                return Some(usual(if second.busy < first.busy { second } else { first }));
            }
        }
        best(endpoints.iter().map(|endpoint| endpoint.standing(None)).collect(), random)
    }

    /// The endpoint for a request that could not be sent to this one. Never a probe: it has met one failure already.
    pub(super) fn other_than(&self, endpoint: &Endpoint) -> Option<(Endpoint, Pass)> {
        let endpoints = self.endpoints.load();
        let others = endpoints.iter().filter(|other| !other.is(endpoint));
        best(others.map(|other| other.standing(None)).collect(), &mut rand::rng())
    }

    /// See [`Fleet`](super::Fleet).
    pub(crate) fn load(&self, probe: &Probe<'_>) -> Load {
        let endpoints = self.endpoints.load();
        if endpoints.is_empty() {
            return Load { healthy: !*self.looked.borrow(), ..Load::IDLE };
        }
        let mut all = Load { healthy: false, ..Load::IDLE };
        let (mut open, mut caches, mut cache_sum) = (false, 0_u32, 0.0);
        for one in endpoints.iter().map(|endpoint| endpoint.backend.load(&Probe::default())) {
            all.running = all.running.saturating_add(one.running);
            all.queued = all.queued.saturating_add(one.queued);
            if let Some(used) = one.cache_used {
                (caches, cache_sum) = (caches + 1, cache_sum + used);
            }
            if !one.healthy {
                continue;
            }
            all.healthy = true;
            all.quota_left = all.quota_left.into_iter().chain(one.quota_left).max_by(f32::total_cmp);
            match one.throttled_for {
                None => open = true,
                Some(wait) => all.throttled_for = Some(all.throttled_for.map_or(wait, |least| least.min(wait))),
            }
        }
        if open {
            all.throttled_for = None;
        }
        all.cached_prefix = probe.prefix.map(|prefix| {
            let holder = || affinity::holder(&endpoints, prefix, &mut rand::rng());
            (!prefix.is_new()).then(holder).flatten().map_or(0, |holder| holder.cached)
        });
        all.cache_used = (caches > 0).then(|| cache_sum / caches as f32);
        all
    }

    /// A request failed by the fault of this endpoint.
    pub(super) fn failed(&self, record: &Record, pass: Pass) {
        let _one = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoints = self.endpoints.load();
        let ejected = endpoints.iter().filter(|endpoint| endpoint.is_ejected()).count();
        // One that is ejected already takes no further place.
        if record.breaker.is_closed() && (ejected + 1) * 2 > endpoints.len() {
            return;
        }
        if let Some(rest) = record.breaker.failed(self.now_ms(), pass) {
            tracing::warn!(deployment = %self.id, endpoint = &*record.address, ?rest, "the endpoint keeps failing, so it is left out for a while");
            self.count();
        }
    }

    /// This endpoint answers.
    pub(super) fn succeeded(&self, record: &Record) {
        if record.breaker.succeeded() {
            tracing::info!(deployment = %self.id, endpoint = &*record.address, "the endpoint answers again");
            self.count();
        }
    }

    /// Those that there are now.
    pub(super) fn endpoints(&self) -> Arc<Vec<Endpoint>> {
        self.endpoints.load_full()
    }

    #[cfg(all(test, feature = "kubernetes"))]
    pub(crate) fn addresses(&self) -> std::collections::BTreeSet<String> {
        self.endpoints.load().iter().map(|endpoint| endpoint.address().to_owned()).collect()
    }

    fn count(&self) {
        let endpoints = self.endpoints.load();
        self.size.set(endpoints.len() as f64);
        self.ejected.set(endpoints.iter().filter(|endpoint| endpoint.is_ejected()).count() as f64);
    }

    fn now_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }
}

/// Of two of those with the least against them, the less busy one.
fn best(standings: Vec<Standing<'_>>, random: &mut impl Rng) -> Option<(Endpoint, Pass)> {
    let least = standings.iter().map(|standing| standing.against).min()?;
    let two = standings.into_iter().filter(|standing| standing.against == least).choose_multiple(random, 2);
    two.into_iter().min_by_key(|standing| (standing.busy, random.random::<u32>())).map(usual)
}

fn usual(standing: Standing<'_>) -> (Endpoint, Pass) {
    (standing.endpoint.clone(), Pass::Usual)
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster").field("id", &self.id).field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
