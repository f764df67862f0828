//! Requests that wait for a deployment that is not available now, as far as their route lets them: `on_none: {queue: ...}`.
//!
//! Those of a route stand in a line, fair by team: each team's first comes before any team's second, however many a team
//! has sent ("start-time fair queueing", each request counted as one). In that order they ask for a plan again, one after
//! the other, as soon as a place becomes free or somebody joins, and every now and then since health and limits change
//! too. One that cannot be served does not keep up those behind it, who may need something else. One that can be served
//! as it comes stands in the line too where there is one, so that it takes nobody's place. A caller that goes away leaves.
//!
//! What was planned comes with a place at the deployment, taken before the next one asks: no two are sent to the last
//! place. Knows nothing of what a plan is made of.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use policies::{Queue, Verdict};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::Planned;
use crate::{
    dispatch::stats::{Standing, Vacancy},
    observe,
};

/// How long a line rests at most before all in it ask again.
const ASKS_AGAIN: Duration = Duration::from_millis(50);

/// How long a line rests at least, for each that has asked: a plan takes some microseconds, and those that wait are to
/// take a small share of a core.
const REST: Duration = Duration::from_micros(100);

/// The lines of all routes.
#[derive(Debug)]
pub struct Waiting {
    lines: Mutex<HashMap<Arc<str>, Line>>,
    vacancy: Arc<Vacancy>,
}

/// Those of one route that wait.
#[derive(Debug)]
struct Line {
    queue: Queue,
    /// In the order in which they ask: the team, and where its turns go.
    places: BTreeMap<Rank, (Box<str>, mpsc::Sender<Turn>)>,
    /// The round of the last that was served.
    round: u64,
    /// How many have come.
    came: u64,
}

/// First the round, then who came first.
type Rank = (u64, u64);

/// The leave to ask; the next one has it after the drop.
#[derive(Debug)]
struct Turn(#[expect(dead_code, reason = "its drop is what it is for")] oneshot::Sender<()>);

/// A place in a line.
struct Place<'a> {
    waiting: &'a Waiting,
    route: Arc<str>,
    rank: Rank,
    turns: mpsc::Receiver<Turn>,
    served: bool,
    _standing: Standing<'a>,
}

impl Waiting {
    /// Without anybody. `vacancy` tells when a place may have become free.
    pub fn new(vacancy: Arc<Vacancy>) -> Self {
        Self { lines: Mutex::default(), vacancy }
    }

    /// Whether others of a route wait.
    pub fn has_line(&self, route: Option<&str>) -> bool {
        !self.vacancy.is_idle() && route.is_some_and(|route| self.lines().contains_key(route))
    }

    /// `planned` if it has its place or can never have one; else the first of `again` that has, or the last before its time
    /// is over. It is not waited for without the leave of `may_wait`, which is held meanwhile.
    pub async fn in_turn<L>(
        self: &Arc<Self>,
        mut planned: Planned,
        team: &str,
        may_wait: impl FnOnce() -> Option<L>,
        mut again: impl FnMut() -> Planned,
    ) -> Planned {
        let Planned { plan, reserved } = &planned;
        if reserved.is_some() || plan.waits.is_none() && plan.verdict != Verdict::Serve {
            return planned;
        }
        let Some(_leave) = may_wait() else { return planned };
        let place = plan.route.clone().and_then(|route| self.enter(route, team, plan.waits));
        let Some((queue, mut place)) = place else { return planned };
        self.vacancy.tell();
        let end = Instant::now() + queue.wait;
        while let Ok(Some(_turn)) = timeout_at(end, place.turns.recv()).await {
            planned = again();
            if planned.plan.waits.is_none() {
                place.served = true;
                break;
            }
        }
        planned
    }

    /// A place in the line of a route, and what holds there; `None` where there is no room. One that need not wait, which
    /// comes without a queue, opens no line.
    fn enter(self: &Arc<Self>, route: Arc<str>, team: &str, queue: Option<Queue>) -> Option<(Queue, Place<'_>)> {
        let mut lines = self.lines();
        if !lines.contains_key(&route) {
            lines.insert(Arc::clone(&route), Line::new(queue?));
            tokio::spawn(drive(Arc::clone(self), Arc::clone(&route)));
        }
        let line = lines.get_mut(&route)?;
        if line.places.len() >= line.queue.max as usize {
            return None;
        }
        let (turn, turns) = mpsc::channel(1);
        let rank = line.join(team, turn);
        observe::waiting(1.0);
        let place = Place { waiting: self, route, rank, turns, served: false, _standing: self.vacancy.stand() };
        Some((line.queue, place))
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Arc<str>, Line>> {
        // A line is right after every step.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that asks after `rank`.
    fn next(&self, route: &str, rank: Option<Rank>) -> Option<(Rank, mpsc::Sender<Turn>)> {
        let after = (rank.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let lines = self.lines();
        let (rank, (_, turns)) = lines.get(route)?.places.range(after).next()?;
        Some((*rank, turns.clone()))
    }

    /// Whether nobody is left in a line; then it is gone.
    fn ended(&self, route: &str) -> bool {
        let mut lines = self.lines();
        let ended = lines.get(route).is_none_or(|line| line.places.is_empty());
        if ended {
            lines.remove(route);
        }
        ended
    }
}

/// Lets those of a line ask in their order until nobody is left.
async fn drive(waiting: Arc<Waiting>, route: Arc<str>) {
    let vacancy = Arc::clone(&waiting.vacancy);
    while !waiting.ended(&route) {
        // From here on, so that what becomes free while they ask is not missed.
        let mut told = pin!(vacancy.told());
        told.as_mut().enable();
        let (mut last, mut asked) = (None, 0);
        while let Some((rank, turns)) = waiting.next(&route, last) {
            let (turn, over) = oneshot::channel();
            // One that has left meanwhile takes no turn.
            if turns.send(Turn(turn)).await.is_ok() {
                let _ = over.await;
                asked += 1;
            }
            last = Some(rank);
        }
        sleep(REST * asked).await;
        let _ = timeout(ASKS_AGAIN, told).await;
    }
}

impl Line {
    fn new(queue: Queue) -> Self {
        Self { queue, places: BTreeMap::new(), round: 0, came: 0 }
    }

    /// One more of a team: a round after the team's last, and after the one that is served now.
    fn join(&mut self, team: &str, turns: mpsc::Sender<Turn>) -> Rank {
        self.came += 1;
        let last = self.places.iter().rev().find(|(_, (whose, _))| **whose == *team);
        let round = last.map_or(0, |((round, _), _)| *round).max(self.round) + 1;
        let rank = (round, self.came);
        self.places.insert(rank, (team.into(), turns));
        rank
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        observe::waiting(-1.0);
        let mut lines = self.waiting.lines();
        let Some(line) = lines.get_mut(&self.route) else { return };
        line.places.remove(&self.rank);
        if self.served {
            line.round = line.round.max(self.rank.0);
        }
        let empty = line.places.is_empty();
        drop(lines);
        if empty {
            // The line ends now rather than after its rest.
            self.waiting.vacancy.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Poll};

    use catalog::{Catalog, Exposure, Purpose, Use};
    use futures_util::{StreamExt as _, stream::FuturesUnordered};
    use policies::{Deployment, Facts, Live, Place as At, Plan, Snapshot, Source, compile};

    use super::*;
    use crate::dispatch::{
        self,
        stats::{Attempt, Epoch, Size, Stats},
    };

    /// A route with a queue, whose only candidate bears so many requests at a time.
    struct Bed {
        waiting: Arc<Waiting>,
        place: dispatch::Place,
        healthy: bool,
        queue: String,
    }

    impl Bed {
        fn new(most: u32, queue: &str) -> Self {
            let vacancy = Arc::new(Vacancy::default());
            let stats = Arc::new(Stats::new(Epoch::start(), Arc::clone(&vacancy)));
            stats.set_most(Some(most));
            let place =
                dispatch::Place { backend: dispatch::tests::idle_backend(), stats, site: "a".into(), local: false };
            Self { waiting: Arc::new(Waiting::new(vacancy)), place, healthy: true, queue: queue.to_owned() }
        }

        fn plan(&self, healthy: bool) -> Plan {
            let text =
                format!("version: 1\nroutes: [{{name: r, candidates: [any], on_none: {{queue: {}}}}}]\n", self.queue);
            let catalog = Catalog::builtin();
            let deployments = [Deployment::new("a", "qwen3-8b", At::Server("vllm".to_owned()))];
            let (policies, _) = compile(&[Source::new("p.yaml", text)], &catalog, &deployments).expect("good policies");
            let full = self.place.stats.live(0, backends::Load::IDLE, Size::of(1)).full;
            let live = [Live { healthy, full, ..Live::UNMEASURED }];
            let use_ = Use::new(Purpose::Research, Exposure::Internal);
            let facts = Facts::new("auto", use_, "2026-11-26".parse().expect("a date"));
            let snapshot = Snapshot { catalog: &catalog, policies: &policies, deployments: &deployments, live: &live };
            policies::plan(&facts, &snapshot)
        }

        fn planned(&self, healthy: bool) -> Planned {
            let plan = self.plan(healthy);
            let reserved = dispatch::reserve(&plan, std::slice::from_ref(&self.place), Size::of(1));
            Planned { plan, reserved }
        }

        fn take(&self) -> Attempt {
            self.place.stats.begin(Size::of(1)).expect("a free place")
        }

        async fn ask(&self, team: &str) -> Planned {
            let first = match self.waiting.has_line(Some("r")) {
                true => Planned { plan: self.plan(self.healthy), reserved: None },
                false => self.planned(self.healthy),
            };
            self.waiting.in_turn(first, team, free, || self.planned(self.healthy)).await
        }
    }

    /// Leave to wait.
    fn free() -> Option<()> {
        Some(())
    }

    /// Until nothing more happens at this moment.
    async fn settle() {
        sleep(Duration::from_millis(5)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_is_served_as_soon_as_a_place_is_free() {
        let bed = Bed::new(1, "{wait: 2s, max: 5}");
        let taken = bed.take();
        let begun = Instant::now();
        let free = async {
            sleep(Duration::from_millis(707)).await;
            drop(taken);
        };
        let (served, ()) = tokio::join!(bed.ask("a"), free);
        assert!(served.reserved.is_some());
        assert_eq!(begun.elapsed(), Duration::from_millis(707), "it did not wait for the next look");
        drop(served);
        settle().await;
        assert!(bed.waiting.lines().is_empty() && bed.waiting.vacancy.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_health_looks_again_every_now_and_then() {
        let bed = Bed::new(1, "{wait: 2s, max: 5}");
        let (begun, recovers) = (Instant::now(), Instant::now() + Duration::from_millis(720));
        let served =
            bed.waiting.in_turn(bed.planned(false), "a", free, || bed.planned(Instant::now() >= recovers)).await;
        assert_eq!(served.plan.verdict, Verdict::Serve);
        assert!(begun.elapsed() <= Duration::from_millis(720) + ASKS_AGAIN + REST, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_ends_and_it_leaves_its_place() {
        let bed = Bed::new(1, "{wait: 2s, max: 5}");
        let (begun, _taken) = (Instant::now(), bed.take());
        let refused = bed.ask("a").await;
        assert!(matches!(refused.plan.verdict, Verdict::Unavailable { .. }) && refused.reserved.is_none());
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        settle().await;
        assert!(bed.waiting.lines().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_the_route_lets_and_one_that_goes_away_makes_room() {
        let bed = Bed::new(1, "{wait: 2s, max: 1}");
        let (begun, taken) = (Instant::now(), bed.take());
        let mut first = Box::pin(bed.ask("a"));
        assert!(std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
        let second = bed.ask("a").await;
        assert!(second.plan.waits.is_some() && begun.elapsed().is_zero(), "there is no room for it");
        drop(first);
        let third = async {
            settle().await;
            drop(taken);
        };
        let (third, ()) = tokio::join!(bed.ask("a"), third);
        assert!(third.reserved.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_team_that_sends_little_is_served_before_the_many_of_another_and_nobody_is_passed_over() {
        let bed = Bed::new(1, "{wait: 60s, max: 100}");
        let taken = bed.take();
        let mut all = FuturesUnordered::new();
        let come = |team: &'static str, number: usize| {
            let bed = &bed;
            async move { (team, number, bed.ask(team).await) }
        };
        (0..20).for_each(|number| all.push(come("many", number)));
        assert!(futures_util::poll!(all.next()).is_pending());
        (0..3).for_each(|number| all.push(come("few", number)));
        assert!(futures_util::poll!(all.next()).is_pending());
        drop(taken);
        let mut served = VecDeque::new();
        while let Some((team, number, planned)) = all.next().await {
            assert!(planned.reserved.is_some());
            served.push_back((team, number));
            sleep(Duration::from_millis(10)).await;
        }
        let few: Vec<usize> = (0..served.len()).filter(|at| served[*at].0 == "few").collect();
        assert_eq!(few, [1, 3, 5], "every second one until it has no more: {served:?}");
        let many: Vec<usize> = served.iter().filter(|(team, _)| *team == "many").map(|(_, number)| *number).collect();
        assert_eq!(many, (0..20).collect::<Vec<_>>(), "within a team in the order in which they came");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_while_others_wait_takes_no_place_before_them() {
        let bed = Bed::new(1, "{wait: 60s, max: 100}");
        let taken = bed.take();
        let mut first = Box::pin(bed.ask("a"));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        settle().await;
        // The place is free, and the first has not yet been told.
        drop(taken);
        let mut second = Box::pin(bed.ask("b"));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        let first = first.await;
        assert!(first.reserved.is_some());
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(second.await.reserved.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_served_does_not_keep_up_those_behind_it() {
        let bed = Bed::new(2, "{wait: 60s, max: 100}");
        let (one, other) = (bed.take(), bed.take());
        let never = bed.waiting.in_turn(bed.planned(false), "a", free, || bed.planned(false));
        let mut never = Box::pin(never);
        assert!(futures_util::poll!(never.as_mut()).is_pending());
        let mut behind = Box::pin(bed.ask("a"));
        assert!(futures_util::poll!(behind.as_mut()).is_pending());
        drop((one, other));
        let mut served = None;
        while served.is_none() {
            tokio::select! {
                _ = never.as_mut() => panic!("nobody serves it"),
                planned = behind.as_mut() => served = Some(planned),
            }
        }
        assert!(served.is_some_and(|planned| planned.reserved.is_some()));
    }
}
