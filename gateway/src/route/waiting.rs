//! Requests that wait for a deployment that is not available now, as far as their route lets them: `on_none: {queue: ...}`.
//!
//! One that waits asks for a plan again every now and then, until somebody may serve it or its time is over. Nothing is
//! held for it: whoever asks first after a recovery is served first. A caller that goes away leaves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use policies::{Plan, Queue};
use tokio::time::{Instant, sleep_until};

use crate::observe;

/// How long one waits before it asks again. A plan takes some microseconds.
const ASKS_AGAIN: Duration = Duration::from_millis(50);

/// How many wait, by route.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<Arc<str>, u32>>);

/// One that waits.
struct Place<'a> {
    waiting: &'a Waiting,
    route: Arc<str>,
}

impl Waiting {
    /// A place among those that wait; `None` where there is none left.
    fn enter(&self, route: &Arc<str>, queue: Queue) -> Option<Place<'_>> {
        let mut routes = self.routes();
        let here = routes.entry(Arc::clone(route)).or_default();
        if *here >= queue.max {
            return None;
        }
        *here += 1;
        observe::waiting(1.0);
        Some(Place { waiting: self, route: Arc::clone(route) })
    }

    fn routes(&self) -> MutexGuard<'_, HashMap<Arc<str>, u32>> {
        // A count is right after every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `plan`, or the first of `again` that need not wait, or the last before its time is over.
    pub async fn until_served(&self, mut plan: Plan, mut again: impl FnMut() -> Plan) -> Plan {
        let Some((queue, route)) = plan.waits.zip(plan.route.clone()) else { return plan };
        let Some(_place) = self.enter(&route, queue) else { return plan };
        let end = Instant::now() + queue.wait;
        while plan.waits.is_some() && Instant::now() < end {
            sleep_until(end.min(Instant::now() + ASKS_AGAIN)).await;
            plan = again();
        }
        plan
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        observe::waiting(-1.0);
        let mut routes = self.waiting.routes();
        if let Some(here) = routes.get_mut(&self.route) {
            *here -= 1;
            if *here == 0 {
                routes.remove(&self.route);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Exposure, Purpose, Use};
    use policies::{Deployment, Facts, Live, Place as At, Snapshot, Source, Verdict, compile};

    use super::*;

    /// A plan of a route with this queue, whose only candidate is available or not.
    fn plan(max: u32, healthy: bool) -> Plan {
        let text = format!(
            "version: 1\nroutes: [{{name: r, candidates: [any], on_none: {{queue: {{wait: 2s, max: {max}}}}}}}]\n"
        );
        let catalog = Catalog::builtin();
        let deployments = [Deployment::new("a", "qwen3-8b", At::Server("vllm".to_owned()))];
        let (policies, _) = compile(&[Source::new("p.yaml", text)], &catalog, &deployments).expect("good policies");
        let live = [Live { healthy, ..Live::UNMEASURED }];
        let use_ = Use::new(Purpose::Research, Exposure::Internal);
        let facts = Facts::new("auto", use_, "2026-11-26".parse().expect("a date"));
        let snapshot = Snapshot { catalog: &catalog, policies: &policies, deployments: &deployments, live: &live };
        policies::plan(&facts, &snapshot)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_is_served_as_soon_as_somebody_is_available() {
        let (waiting, begun) = (Waiting::default(), Instant::now());
        let recovered = begun + Duration::from_millis(700);
        let served = waiting.until_served(plan(1, false), || plan(1, Instant::now() >= recovered)).await;
        assert_eq!(served.verdict, Verdict::Serve);
        assert_eq!(begun.elapsed(), Duration::from_millis(700));
        assert!(waiting.routes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_ends_and_it_leaves_its_place() {
        let (waiting, begun) = (Waiting::default(), Instant::now());
        let refused = waiting.until_served(plan(1, false), || plan(1, false)).await;
        assert!(matches!(refused.verdict, Verdict::Unavailable { .. }));
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        assert!(waiting.routes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_the_route_lets_and_one_that_goes_away_makes_room() {
        let (waiting, begun) = (Waiting::default(), Instant::now());
        let mut first = Box::pin(waiting.until_served(plan(1, false), || plan(1, false)));
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        let second = waiting.until_served(plan(1, false), || plan(1, true)).await;
        assert!(second.waits.is_some() && begun.elapsed().is_zero(), "there is no place for it");
        drop(first);
        let third = waiting.until_served(plan(1, false), || plan(1, true)).await;
        assert_eq!(third.verdict, Verdict::Serve);
    }
}
