//! Which endpoint a request goes to, and what becomes of one that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use backends::{Api, FIRST_OPEN, Frame, Input, LONGEST_OPEN, Pass, Payload, TRIP};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use tokio::time::advance;

use super::*;

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Good,
    Status(u16),
    Busy,
    NoConnection,
    /// The first event comes, then the stream breaks.
    Breaks,
    /// The first event comes, then nothing.
    Stalls,
}

/// An endpoint that answers as it is told.
#[derive(Debug)]
struct Fake {
    id: BackendId,
    state: Mutex<(Answer, Load)>,
    asked: AtomicUsize,
}

impl Fake {
    fn is(&self, answer: Answer) {
        self.state.lock().unwrap().0 = answer;
    }

    fn has(&self, load: Load) {
        self.state.lock().unwrap().1 = load;
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

impl Backend for Fake {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _: &Probe<'_>) -> Load {
        self.state.lock().unwrap().1
    }

    fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        self.asked.fetch_add(1, SeqCst);
        let answer = self.state.lock().unwrap().0;
        let event = |done| backends::Event::Frame(Frame { done, ..Frame::default() });
        let broken = BackendError::BrokenStream { reason: "x".into() };
        let outcome: Result<EventStream, BackendError> = match answer {
            Answer::Good => Ok(Box::pin(stream::iter([Ok(event(false)), Ok(event(true))]))),
            Answer::Breaks => Ok(Box::pin(stream::iter([Ok(event(false)), Err(broken)]))),
            Answer::Stalls => Ok(Box::pin(stream::iter([Ok(event(false))]).chain(stream::pending()))),
            Answer::Status(status) => Err(BackendError::Status { status, body: Bytes::new(), retry_after: None }),
            Answer::Busy => Err(BackendError::Overloaded { retry_after: None }),
            Answer::NoConnection => Err(BackendError::Connect("refused".into())),
        };
        Box::pin(async move { outcome })
    }
}

/// A fleet of fakes.
struct World {
    fleet: Fleet,
    fakes: Arc<Mutex<BTreeMap<String, Arc<Fake>>>>,
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("e{at}")).collect()
}

impl World {
    fn of(count: usize) -> Self {
        let id = BackendId::new("fleet");
        let fakes = Arc::new(Mutex::new(BTreeMap::new()));
        let made = Arc::clone(&fakes);
        let make = move |address: &str| -> Result<Arc<dyn Backend>, TargetError> {
            if address.contains('!') {
                return Err(TargetError::Name);
            }
            let fake = Arc::new(Fake {
                id: BackendId::new(address),
                state: Mutex::new((Answer::Good, Load::IDLE)),
                asked: AtomicUsize::new(0),
            });
            made.lock().unwrap().insert(address.to_owned(), Arc::clone(&fake));
            Ok(fake)
        };
        let roster = Arc::new(Roster::new(id.clone(), make));
        roster.set(&names(count)).unwrap();
        let discovery = Discovery::start(&id, &Replicas::Urls(Vec::new()), false, &roster);
        Self { fleet: Fleet { id, roster, _discovery: discovery }, fakes }
    }

    fn fake(&self, at: usize) -> Arc<Fake> {
        Arc::clone(&self.fakes.lock().unwrap()[&format!("e{at}")])
    }

    fn load(&self) -> Load {
        self.fleet.load(&Probe::default())
    }

    async fn begin(&self) -> Result<EventStream, BackendError> {
        self.fleet.generate(request()).await
    }

    /// Sends a request and reads its answer to the end; whether all went well.
    async fn ask(&self) -> bool {
        match self.begin().await {
            Ok(events) => events.all(|event| async move { event.is_ok() }).await,
            Err(_) => false,
        }
    }

    /// Asks until this endpoint has been asked so often.
    async fn until_asked(&self, at: usize, times: usize) {
        let mut left = 10_000;
        while self.fake(at).asked() < times {
            self.ask().await;
            left -= 1;
            assert!(left > 0, "e{at} is never asked");
        }
    }

    /// How often each endpoint is asked in so many requests.
    async fn shares<const N: usize>(&self, requests: usize) -> [usize; N] {
        let before: [usize; N] = std::array::from_fn(|at| self.fake(at).asked());
        for _ in 0..requests {
            self.ask().await;
        }
        std::array::from_fn(|at| self.fake(at).asked() - before[at])
    }

    fn ejected(&self) -> BTreeSet<String> {
        let endpoints = self.fleet.roster.endpoints();
        let ejected = endpoints.iter().filter(|endpoint| endpoint.is_ejected());
        ejected.map(|endpoint| endpoint.address().to_owned()).collect()
    }
}

fn request() -> Arc<Request> {
    Arc::new(Request {
        stream: true,
        ..Request::new(
            "r",
            Api::Chat,
            Payload::new(Bytes::from_static(br#"{"model":"m"}"#)).unwrap(),
            Input::Prompts(Vec::new()),
        )
    })
}

/// Longer than a first rest with its jitter, shorter than two.
const RESTED: Duration = Duration::from_millis(FIRST_OPEN.as_millis() as u64 * 13 / 10);

#[tokio::test]
async fn requests_spread_over_endpoints_that_are_equally_busy() {
    let world = World::of(3);
    let shares: [usize; 3] = world.shares(600).await;
    // Each has 200 expected, and a spread of 12 around it.
    assert!(shares.iter().all(|share| (100..300).contains(share)), "{shares:?}");
}

#[tokio::test]
async fn of_two_the_one_with_the_shorter_queue_is_taken_then_the_one_that_runs_less() {
    let world = World::of(2);
    for (busy, idle) in [
        (Load { queued: 1, ..Load::IDLE }, Load { running: 9, ..Load::IDLE }),
        (Load { running: 2, ..Load::IDLE }, Load { running: 1, ..Load::IDLE }),
    ] {
        world.fake(0).has(busy);
        world.fake(1).has(idle);
        assert_eq!(world.shares(50).await, [0, 50]);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_unwell_or_throttled_is_passed_over_while_there_is_another() {
    let world = World::of(3);
    world.fake(0).has(Load { healthy: false, ..Load::IDLE });
    world.fake(1).has(Load { throttled_for: Some(Duration::from_secs(1)), ..Load::IDLE });
    assert_eq!(world.shares(50).await, [0, 0, 50]);
    world.fake(2).has(Load { healthy: false, ..Load::IDLE });
    assert_eq!(world.shares(50).await, [0, 50, 0], "it may take it all the same");
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_eject_an_endpoint_and_one_good_answer_brings_it_back() {
    for bad in [Answer::Status(500), Answer::NoConnection, Answer::Breaks] {
        let world = World::of(2);
        world.fake(0).is(bad);
        world.until_asked(0, TRIP as usize).await;
        assert_eq!(world.ejected(), ["e0".to_owned()].into());
        assert_eq!(world.shares(50).await, [0, 50], "{bad:?}");
        assert!(world.load().healthy);

        advance(RESTED).await;
        world.fake(0).is(Answer::Stalls);
        let mut probe = world.begin().await.unwrap();
        assert_eq!(world.shares(20).await, [0, 20], "one request alone is the probe");
        probe.next().await.unwrap().unwrap();
        world.fake(0).is(Answer::Good);
        assert!(world.ejected().is_empty(), "its first event says that it answers");
        let [back, _] = world.shares(200).await;
        assert!(back > 50, "{back}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_ejects_it_for_twice_as_long_up_to_a_minute() {
    let world = World::of(2);
    world.fake(0).is(Answer::Status(503));
    world.until_asked(0, TRIP as usize).await;
    let mut rest = FIRST_OPEN;
    for _ in 0..6 {
        advance(rest.mul_f32(0.99)).await;
        assert_eq!(world.shares(5).await, [0, 5], "not before {rest:?}");
        advance(rest.mul_f32(0.27)).await;
        assert_eq!(world.shares(5).await, [1, 4], "one probe after {rest:?}");
        rest = (rest * 2).min(LONGEST_OPEN);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_lets_another_try() {
    let world = World::of(2);
    world.fake(0).is(Answer::Status(500));
    world.until_asked(0, TRIP as usize).await;
    advance(RESTED).await;
    world.fake(0).is(Answer::Stalls);
    drop(world.begin().await.unwrap());
    assert_eq!(world.shares(5).await, [0, 5]);
    world.fake(0).is(Answer::Good);
    advance(RESTED).await;
    world.ask().await;
    assert!(world.ejected().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_half_of_a_fleet_is_ejected() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let world = World::of(count);
        (0..count).for_each(|at| world.fake(at).is(Answer::Status(500)));
        for _ in 0..100 {
            world.ask().await;
        }
        assert_eq!(world.ejected().len(), most, "of {count}");
    }
}

#[tokio::test]
async fn what_is_not_the_endpoints_fault_ejects_nobody() {
    for answer in [Answer::Status(400), Answer::Status(401), Answer::Busy, Answer::Stalls] {
        let world = World::of(2);
        world.fake(0).is(answer);
        for _ in 0..50 {
            // A stream that stalls is given up, as a deadline would.
            drop(world.begin().await);
        }
        assert!(world.ejected().is_empty(), "{answer:?}");
        assert!(world.fake(0).asked() > TRIP as usize);
    }
}

#[tokio::test]
async fn a_good_answer_between_failures_forgives_them() {
    let world = World::of(2);
    for _ in 0..10 {
        for answer in [Answer::Status(500), Answer::Breaks, Answer::Good] {
            world.fake(0).is(answer);
            let asked = world.fake(0).asked() + 1;
            world.until_asked(0, asked).await;
        }
    }
    assert!(world.ejected().is_empty());
}

#[tokio::test]
async fn a_request_that_could_not_be_sent_goes_to_one_other_endpoint() {
    let world = World::of(2);
    world.fake(0).is(Answer::NoConnection);
    for _ in 0..20 {
        assert!(world.ask().await);
    }
    assert_eq!(world.fake(1).asked(), 20);

    let world = World::of(3);
    (0..3).for_each(|at| world.fake(at).is(Answer::NoConnection));
    let shares: [usize; 3] = world.shares(1).await;
    assert_eq!(shares.iter().sum::<usize>(), 2, "two are asked, never all: {shares:?}");
    assert!(shares.iter().all(|share| *share <= 1), "and never one twice: {shares:?}");
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    for answer in [Answer::Status(500), Answer::Breaks, Answer::Busy] {
        let world = World::of(2);
        (0..2).for_each(|at| world.fake(at).is(answer));
        let shares: [usize; 2] = world.shares(1).await;
        assert_eq!(shares.iter().sum::<usize>(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_stays_keeps_its_state_and_one_that_leaves_ends_its_streams_in_its_own_time() {
    let world = World::of(3);
    world.fake(0).is(Answer::Status(500));
    world.until_asked(0, TRIP as usize).await;
    (1..3).for_each(|at| world.fake(at).is(Answer::Stalls));
    let mut running = world.begin().await.unwrap();
    let change = world.fleet.roster.set(&["e0".into(), "e3".into(), "e3".into()]).unwrap();
    assert_eq!(change, Change { added: 1, removed: 2 });
    assert_eq!(world.ejected(), ["e0".to_owned()].into());
    assert!(running.next().await.unwrap().is_ok(), "it goes on");
    let gone = world.fake(1).asked() + world.fake(2).asked();
    let alone = world.fake(3);
    for _ in 0..20 {
        assert!(world.ask().await);
    }
    assert_eq!((alone.asked(), world.fake(1).asked() + world.fake(2).asked()), (20, gone));
}

#[test]
fn one_endpoint_that_cannot_be_called_changes_nothing() {
    let world = World::of(2);
    assert!(world.fleet.roster.set(&["e7".into(), "no!".into()]).is_err());
    assert_eq!(world.fleet.roster.endpoints().len(), 2);
}

#[test]
fn the_load_is_that_of_all_and_a_limit_counts_only_where_all_are_at_it() {
    let world = World::of(3);
    let second = Duration::from_secs(1);
    let limited = |wait, quota_left| Load { throttled_for: Some(wait), quota_left: Some(quota_left), ..Load::IDLE };
    world.fake(0).has(Load { running: 2, queued: 1, cache_used: Some(0.2), ..limited(2 * second, 0.1) });
    world.fake(1).has(Load { running: 3, queued: 0, cache_used: Some(0.6), ..limited(second, 0.4) });
    // What is unwell has running requests, and no say about limits.
    world.fake(2).has(Load { healthy: false, running: 4, ..Load::IDLE });
    let load = world.load();
    assert_eq!((load.healthy, load.running, load.queued), (true, 9, 1));
    assert_eq!((load.throttled_for, load.quota_left), (Some(second), Some(0.4)));
    assert!((load.cache_used.unwrap() - 0.4).abs() < 1e-6);
    world.fake(2).has(Load::IDLE);
    assert_eq!(world.load().throttled_for, None);
    (0..3).for_each(|at| world.fake(at).has(Load { healthy: false, ..Load::IDLE }));
    assert!(!world.load().healthy);
}

proptest! {
    #[test]
    fn whatever_fails_and_whoever_leaves_at_least_half_is_in_use(
        steps in prop::collection::vec((0..8_usize, any::<bool>(), 0..9_usize), 0..60)
    ) {
        let world = World::of(8);
        for (at, probe, count) in steps {
            let endpoints = world.fleet.roster.endpoints();
            let record = endpoints.get(at % endpoints.len().max(1)).map(|endpoint| Arc::clone(&endpoint.record));
            let pass = if probe { Pass::Probe } else { Pass::Usual };
            for record in record.iter().cycle().take(TRIP as usize) {
                world.fleet.roster.failed(record, pass);
            }
            if count > 0 {
                world.fleet.roster.set(&names(count)).unwrap();
            }
            let all = world.fleet.roster.endpoints().len();
            prop_assert!(world.ejected().len() * 2 <= all, "{} of {all}", world.ejected().len());
        }
    }
}
