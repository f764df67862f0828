//! Plans worked through over backends that are played, under paused time.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use backends::{BackendId, Load, Probe, Usage};
use bytes::Bytes;
use catalog::{Catalog, Exposure, Purpose, Use};
use futures_util::{StreamExt, future::BoxFuture, stream};
use policies::{Deployment, Facts, Live, Place as At, Snapshot, Source, compile};
use tokio::time::sleep;

use super::*;
use crate::{dispatch::stats::Epoch, wire};

/// What a backend does with one request: after some time, an answer or a status.
type Play = (u64, Option<u16>);

/// A backend that plays, in turn, what it is given, and then answers at once.
#[derive(Debug)]
struct Played {
    id: BackendId,
    plays: Mutex<VecDeque<Play>>,
    asked: AtomicUsize,
    /// How many were dropped before they had ended.
    cancelled: Arc<AtomicUsize>,
}

/// Counts as cancelled if it is dropped before it has ended.
struct Running {
    cancelled: Arc<AtomicUsize>,
    ended: bool,
}

impl Running {
    fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancelled.fetch_add(usize::from(!self.ended), SeqCst);
    }
}

impl Backend for Played {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _: &Probe<'_>) -> Load {
        Load::IDLE
    }

    fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        self.asked.fetch_add(1, SeqCst);
        let (ms, status) = self.plays.lock().expect("no panic").pop_front().unwrap_or((0, None));
        let mut running = Running { cancelled: Arc::clone(&self.cancelled), ended: false };
        Box::pin(async move {
            sleep(Duration::from_millis(ms)).await;
            running.end();
            match status {
                Some(status) => Err(BackendError::Status { status, body: Bytes::new(), retry_after: None }),
                None => Ok(stream::iter([Ok(Event::Usage(Usage::default()))]).boxed() as EventStream),
            }
        })
    }
}

/// A backend with nothing to do.
pub(crate) fn idle_backend() -> Arc<dyn Backend> {
    let (plays, asked, cancelled) = (Mutex::default(), AtomicUsize::new(0), Arc::default());
    Arc::new(Played { id: BackendId::new("idle"), plays, asked, cancelled })
}

/// Two deployments under one route, and what became of a request.
struct Bed {
    plan: Plan,
    backends: Vec<Arc<Played>>,
    places: Vec<Place>,
    request: Arc<Request>,
    retries: Retries,
}

impl Bed {
    fn new(attempts: &str, plays: [&[Play]; 2]) -> Self {
        let text = format!(
            "version: 1\nroutes: [{{name: r, match: {{model: auto}}, candidates: [a, b], attempts: {attempts}}}]\n"
        );
        let catalog = Catalog::builtin();
        let deployments = ["a", "b"].map(|id| Deployment::new(id, "qwen3-8b", At::Server("vllm".to_owned())));
        let (policies, _) = compile(&[Source::new("p.yaml", text)], &catalog, &deployments).expect("good policies");
        let use_ = Use::new(Purpose::Research, Exposure::Internal);
        let facts = Facts::new("auto", use_, "2026-11-26".parse().expect("a date"));
        let live = [Live::UNMEASURED; 2];
        let snapshot = Snapshot { catalog: &catalog, policies: &policies, deployments: &deployments, live: &live };
        let plan = policies::plan(&facts, &snapshot);
        let backends: Vec<Arc<Played>> = ["a", "b"]
            .into_iter()
            .zip(plays)
            .map(|(id, plays)| {
                let plays = Mutex::new(plays.iter().copied().collect());
                let (asked, cancelled) = (AtomicUsize::new(0), Arc::default());
                Arc::new(Played { id: BackendId::new(id), plays, asked, cancelled })
            })
            .collect();
        let epoch = Epoch::start();
        let places = backends.iter().map(|backend| Place {
            backend: Arc::clone(backend) as Arc<dyn Backend>,
            stats: Arc::new(Stats::new(epoch, Arc::default())),
            site: backend.id.as_str().into(),
            local: false,
        });
        let body = r#"{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "hi"}]}"#;
        let decoded = wire::decode(wire::ClientApi::Chat, "r", body.into()).unwrap_or_else(|e| panic!("{}", e.message));
        Self {
            plan,
            places: places.collect(),
            backends,
            request: Arc::new(decoded.request),
            retries: Retries::new(RetryBudget::default()),
        }
    }

    /// Works the plan through: who answered, and each attempt.
    async fn run(&self) -> (Option<usize>, Vec<(String, Option<&'static str>)>) {
        let mut tried = Vec::new();
        let Self { plan, places, request, retries, .. } = self;
        let work = Work { plan, places, request, size: Size::of(10), retries };
        let outcome = dispatch(work, reserve(plan, places, work.size), &mut tried).await;
        let tried = tried.into_iter().map(|tried| (tried.deployment, tried.error)).collect();
        (outcome.ok().map(|committed| committed.candidate), tried)
    }

    fn asked(&self) -> [usize; 2] {
        [0, 1].map(|at| self.backends[at].asked.load(SeqCst))
    }

    fn cancelled(&self) -> [usize; 2] {
        [0, 1].map(|at| self.backends[at].cancelled.load(SeqCst))
    }
}

fn noted<'a>(tried: &'a [(String, Option<&'static str>)]) -> Vec<(&'a str, Option<&'static str>)> {
    tried.iter().map(|(id, error)| (id.as_str(), *error)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_second_candidate_is_asked_beside_a_slow_one_and_whoever_loses_is_cancelled_and_noted() {
    let bed = Bed::new("{hedge_after: 300ms}", [&[(5_000, None)], &[(100, None)]]);
    let begun = Instant::now();
    let (answered, tried) = bed.run().await;
    assert_eq!((answered, begun.elapsed()), (Some(1), Duration::from_millis(400)));
    assert_eq!((bed.asked(), bed.cancelled()), ([1, 1], [1, 0]));
    assert_eq!(noted(&tried), [("a", Some("hedge.lost")), ("b", None)]);
}

#[tokio::test(start_paused = true)]
async fn the_first_may_still_win_and_nobody_is_asked_beside_one_that_answers_in_time() {
    let slow = Bed::new("{hedge_after: 300ms}", [&[(500, None)], &[(5_000, None)]]);
    let (answered, tried) = slow.run().await;
    assert_eq!((answered, slow.cancelled()), (Some(0), [0, 1]));
    assert_eq!(noted(&tried), [("b", Some("hedge.lost")), ("a", None)]);
    let quick = Bed::new("{hedge_after: 300ms}", [&[(200, None)], &[]]);
    assert_eq!((quick.run().await.0, quick.asked()), (Some(0), [1, 0]));
}

#[tokio::test(start_paused = true)]
async fn one_of_two_that_fails_leaves_the_other_and_a_mistake_of_the_callers_ends_both() {
    let bed = Bed::new("{hedge_after: 300ms}", [&[(1_000, None)], &[(100, Some(500))]]);
    let (answered, tried) = bed.run().await;
    assert_eq!((answered, bed.cancelled()), (Some(0), [0, 0]));
    assert_eq!(noted(&tried), [("b", Some("backend.failed")), ("a", None)]);
    let refused = Bed::new("{hedge_after: 300ms}", [&[(1_000, None)], &[(100, Some(400))]]);
    let (answered, tried) = refused.run().await;
    assert_eq!((answered, refused.cancelled()), (None, [1, 0]));
    assert_eq!(noted(&tried), [("b", Some("backend.refused")), ("a", Some("hedge.lost"))]);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_by_what_was_measured_waits_for_a_measure() {
    let bed = Bed::new("{hedge_after: p95}", [&[(5_000, None)], &[]]);
    assert_eq!((bed.run().await.0, bed.asked()), (Some(0), [1, 0]), "nothing was measured");
    for _ in 0..20 {
        let mut attempt = bed.places[0].stats.begin(Size::of(10)).expect("it takes requests");
        sleep(Duration::from_millis(100)).await;
        attempt.first_token();
        attempt.succeeded(Usage::default(), true);
    }
    bed.backends[0].plays.lock().expect("no panic").push_back((5_000, None));
    let begun = Instant::now();
    assert_eq!(bed.run().await.0, Some(1));
    assert!((90..200).contains(&begun.elapsed().as_millis()), "after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_is_asked_once_more_after_a_pause_where_nobody_else_is_left() {
    let bed = Bed::new("{again: 1, max: 4}", [&[(0, Some(500))], &[(0, Some(503)), (0, Some(503))]]);
    let begun = Instant::now();
    let (answered, tried) = bed.run().await;
    assert!(answered == Some(0) || tried.len() == 4, "{tried:?}");
    assert_eq!((answered, bed.asked()[0]), (Some(0), 2));
    assert!(begun.elapsed() <= Duration::from_millis(400), "{:?}", begun.elapsed());
    let never = Bed::new("{max: 4}", [&[(0, Some(500))], &[(0, Some(503))]]);
    assert_eq!((never.run().await.0, never.asked()), (None, [1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_retry_budget_that_is_used_up_leaves_the_first_attempt_alone() {
    let bed = Bed::new("{max: 3}", [&[(0, Some(500)), (0, Some(500)), (0, Some(500))], &[]]);
    let spent = Bed { retries: Retries::new(RetryBudget { share: 0.0, per_second: 0 }), ..bed };
    assert_eq!((spent.run().await.0, spent.asked()), (None, [1, 0]));
    let bed = Bed { retries: Retries::new(RetryBudget { share: 1.0, per_second: 0 }), ..spent };
    assert_eq!((bed.run().await.0, bed.asked()), (Some(1), [2, 1]), "the request has earned one");
}

#[tokio::test(start_paused = true)]
async fn one_that_says_it_has_too_many_is_given_fewer_and_the_others_take_the_rest() {
    let bed = Bed::new("{max: 3}", [&[(1_000, Some(429)); 4], &[]]);
    sleep(Duration::from_secs(1)).await;
    let runs = futures_util::future::join_all((0..4).map(|_| bed.run())).await;
    assert!(runs.iter().all(|(answered, _)| *answered == Some(1)));
    let stats = &bed.places[0].stats;
    let kept: Vec<_> = (0..4).map_while(|_| stats.begin(Size::of(10))).collect();
    assert_eq!(kept.len(), 2, "seven tenths of the four that ran there");
    drop(kept);
    let (first, _) = bed.run().await;
    assert_eq!(first, Some(0), "it is well, and takes what it bears");
}

/// A backend whose model has to be loaded first, which takes so long.
#[derive(Debug)]
struct Loads(Arc<Played>, Duration);

impl Backend for Loads {
    fn id(&self) -> &BackendId {
        self.0.id()
    }

    fn load(&self, probe: &Probe<'_>) -> Load {
        self.0.load(probe)
    }

    fn ready(&self) -> Option<BoxFuture<'_, Result<Arc<dyn Backend>, BackendError>>> {
        Some(Box::pin(async {
            sleep(self.1).await;
            Ok(Arc::clone(&self.0) as Arc<dyn Backend>)
        }))
    }

    fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async { Err(BackendError::Internal { reason: "it is not ready".into() }) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_loaded_first_has_its_deadlines_from_then_on_and_is_not_taken_for_slow() {
    let mut bed = Bed::new("{deadlines: {headers: 1s, first_token: 1s, total: 2s}}", [&[(300, None)], &[]]);
    bed.places[0].backend = Arc::new(Loads(Arc::clone(&bed.backends[0]), Duration::from_secs(60)));
    let mut tried = Vec::new();
    let Bed { plan, places, request, retries, .. } = &bed;
    let work = Work { plan, places, request, size: Size::of(10), retries };
    let committed = dispatch(work, reserve(plan, places, work.size), &mut tried).await.expect("it answers");
    assert_eq!((committed.candidate, committed.first_token), (0, Duration::from_millis(300)));
    assert_eq!(tried[0].ms, 60_300, "the record tells all of it");
    committed.attempt.succeeded(Usage::default(), true);
    assert_eq!(places[0].stats.ttft(work.size).map(|ttft| ttft.mean < 400.0), Some(true));
}

/// An engine where a request waits for so long.
#[derive(Debug)]
struct Busy(Arc<Played>, Duration);

impl Backend for Busy {
    fn id(&self) -> &BackendId {
        self.0.id()
    }

    fn load(&self, probe: &Probe<'_>) -> Load {
        self.0.load(probe)
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        self.0.generate(request)
    }

    fn generate_by(
        &self,
        request: Arc<Request>,
        begins_by: std::time::Instant,
    ) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        match begins_by < Instant::now().into_std() + self.1 {
            true => Box::pin(async { Err(BackendError::Overloaded { retry_after: Some(Duration::from_secs(4)) }) }),
            false => self.0.generate(request),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_would_begin_too_late_says_so_at_once_and_the_next_candidate_answers() {
    for (first_token, answers) in [("4s", 1), ("6s", 0)] {
        let deadlines = format!("{{deadlines: {{first_token: {first_token}, total: 60s}}}}");
        let mut bed = Bed::new(&deadlines, [&[], &[]]);
        bed.places[0].backend = Arc::new(Busy(Arc::clone(&bed.backends[0]), Duration::from_secs(5)));
        let begun = Instant::now();
        let (answered, tried) = bed.run().await;
        assert_eq!((answered, begun.elapsed()), (Some(answers), Duration::ZERO));
        let refused = [("a", Some("backend.overloaded")), ("b", None)];
        assert_eq!(noted(&tried), if answers == 1 { &refused[..] } else { &[("a", None)] });
    }
}
