//! Models that are played, under paused time: loading them takes virtual time, and so do their answers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use backends::{Backend, BackendError, BackendId, BoxFuture, Event, EventStream, Load, Probe, Request, Usage};
use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::*;
use crate::wire;

/// How long a model takes to load.
const LOADS_IN: Duration = Duration::from_secs(2);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A model in memory, which answers every request after the time that it was made with.
#[derive(Debug)]
struct Engine {
    id: BackendId,
    answers_in: Duration,
    model: Arc<Model>,
}

/// What happens to a model, and what is to happen.
#[derive(Debug, Default)]
struct Model {
    loads: AtomicUsize,
    /// Engines that are there.
    there: AtomicUsize,
    served: AtomicUsize,
    fails: AtomicBool,
    dead: AtomicBool,
    /// The progress of the last loading.
    progress: Mutex<Option<Arc<Progress>>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.model.there.fetch_sub(1, SeqCst);
    }
}

impl Backend for Engine {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _: &Probe<'_>) -> Load {
        Load { healthy: !self.model.dead.load(SeqCst), ..Load::IDLE }
    }

    fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        let (after, model) = (self.answers_in, Arc::clone(&self.model));
        let events = stream::once(async move {
            sleep(after).await;
            model.served.fetch_add(1, SeqCst);
            Ok(Event::Usage(Usage::default()))
        });
        Box::pin(async move { Ok(events.boxed() as EventStream) })
    }
}

/// A machine with room for so many models of one size.
struct Bed {
    machine: Arc<Machine>,
}

/// A model of a [`Bed`].
#[derive(Clone)]
struct Of {
    resident: Arc<Resident>,
    model: Arc<Model>,
}

/// What each model takes.
const SIZE: u64 = 100;

impl Bed {
    fn new(room: u64) -> Self {
        Self::with(room, Settings::default())
    }

    fn with(room: u64, settings: Settings) -> Self {
        Self { machine: Arc::new(Machine::new(settings, room * SIZE)) }
    }

    fn model(&self, id: &str, keep: Keep, answers_in: Duration) -> Of {
        let model = Arc::new(Model::default());
        let id = BackendId::new(id);
        let (its, name) = (Arc::clone(&model), id.clone());
        let loader: Loader = Arc::new(move |progress| {
            let (model, id) = (Arc::clone(&its), name.clone());
            *model.progress.lock().unwrap() = Some(progress);
            async move {
                model.loads.fetch_add(1, SeqCst);
                sleep(LOADS_IN).await;
                if model.fails.load(SeqCst) {
                    return Err(Failure("/models/secret.gguf is damaged".into()));
                }
                model.there.fetch_add(1, SeqCst);
                Ok(Arc::new(Engine { id, answers_in, model }) as Arc<dyn Backend>)
            }
            .boxed()
        });
        Of { resident: Arc::new(self.machine.resident(id, SIZE, keep, loader)), model }
    }

    fn on_demand(&self, id: &str) -> Of {
        self.model(id, Keep { on_demand: true, pinned: false }, ms(10))
    }
}

fn request() -> Arc<Request> {
    let body = r#"{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "hi"}]}"#;
    let decoded = wire::decode(wire::ClientApi::Chat, "r", body.into()).unwrap_or_else(|e| panic!("{}", e.message));
    Arc::new(decoded.request)
}

impl Of {
    /// Asks and reads the answer to its end.
    async fn answer(&self) -> Result<(), BackendError> {
        let backend = self.resident.ready().expect("a resident").await?;
        let events: Vec<_> = backend.generate(request()).await?.collect().await;
        assert!(matches!(events.as_slice(), [Ok(Event::Usage(_))]));
        Ok(())
    }

    /// The same on a task of its own.
    fn ask(&self) -> JoinHandle<Result<(), BackendError>> {
        let of = self.clone();
        tokio::spawn(async move { of.answer().await })
    }

    /// A request that is served and not read.
    async fn stream(&self) -> EventStream {
        self.resident.generate(request()).await.unwrap()
    }

    fn status(&self) -> Status {
        self.resident.status().unwrap()
    }

    fn loads(&self) -> usize {
        self.model.loads.load(SeqCst)
    }

    fn served(&self) -> usize {
        self.model.served.load(SeqCst)
    }

    fn is_there(&self) -> bool {
        self.model.there.load(SeqCst) > 0
    }
}

/// Lets all that can happen now happen.
async fn settle() {
    sleep(ms(1)).await;
}

#[tokio::test(start_paused = true)]
async fn many_callers_at_once_have_a_model_loaded_once_and_are_all_served() {
    let bed = Bed::new(1);
    let a = bed.on_demand("a");
    assert!(a.resident.load(&Probe::default()).healthy, "one that is not loaded can serve");
    let answers = join_all((0..100).map(|_| a.ask())).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(())))));
    assert_eq!((a.loads(), a.served()), (1, 100));
    assert_eq!(a.status().load_seconds, 2.0, "measured");
    assert_eq!(bed.machine.memory(), (SIZE, SIZE));
}

#[tokio::test(start_paused = true)]
async fn two_models_that_alternate_with_room_for_one_are_swapped_a_handful_of_times() {
    let bed = Bed::with(1, Settings { waiting: 1_000, ..Settings::default() });
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let began = Instant::now();
    let asked = (0..1_000).map(|n| {
        let of = if n % 2 == 0 { a.clone() } else { b.clone() };
        async move {
            sleep(ms(20) * n).await;
            of.answer().await
        }
    });
    let answers = join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok), "every request is answered");
    assert_eq!((a.served(), b.served()), (500, 500));
    // 20 s of requests, and a turn of 8 s after each loading of 2 s.
    let swaps = a.loads() + b.loads();
    assert!(swaps <= 6, "{swaps} swaps for 1,000 requests in {:?}", began.elapsed());
    assert_eq!(a.model.there.load(SeqCst) + b.model.there.load(SeqCst), 1, "never more than there is room for");
}

#[tokio::test(start_paused = true)]
async fn neither_of_two_models_starves_while_the_other_is_asked_without_a_pause() {
    let bed = Bed::new(1);
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    // Four callers that ask again as soon as they are answered, of one model; and now and then a request for the other.
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { while a.answer().await.is_ok() {} })
        })
        .collect();
    for _ in 0..5 {
        sleep(secs(30)).await;
        let asked = Instant::now();
        b.answer().await.unwrap();
        assert!(asked.elapsed() < secs(5), "its turn is long over: {:?}", asked.elapsed());
        let before = a.served();
        sleep(secs(15)).await;
        assert!(a.served() > before, "it has its turn again");
    }
    busy.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_works_on_a_stream_is_not_unloaded_under_it() {
    let bed = Bed::new(1);
    let a = bed.model("a", Keep::default(), secs(60));
    let b = bed.on_demand("b");
    let mut stream = a.stream().await;
    sleep(secs(20)).await;
    let asked = b.ask();
    settle().await;
    assert_eq!(a.status().state, State::Leaving, "its turn is over, and it has a request yet");
    let again = a.ask();
    let first = stream.next().await;
    assert!(matches!(first, Some(Ok(Event::Usage(_)))), "it ends in its own time");
    assert!(!asked.is_finished() && !b.is_there());
    drop(stream);
    asked.await.unwrap().unwrap();
    assert!(!a.is_there() || !b.is_there());
    again.await.unwrap().unwrap();
    assert_eq!((a.loads(), b.loads()), (2, 1), "who came after the turn was over has the next one");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_turn_is_served_all_at_once_when_it_comes() {
    let bed = Bed::new(1);
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    a.answer().await.unwrap();
    let first = b.ask();
    let stream = a.stream().await;
    // Its turn is over, and those that come now wait for the next one.
    sleep(secs(9)).await;
    assert_eq!(a.status().state, State::Leaving);
    let waiting: Vec<_> = (0..50).map(|_| a.ask()).collect();
    settle().await;
    assert_eq!(a.status().waiting, 50);
    drop(stream);
    first.await.unwrap().unwrap();
    join_all(waiting).await.into_iter().for_each(|answer| answer.unwrap().unwrap());
    assert_eq!((a.loads(), b.loads()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_goes_and_a_pinned_one_never() {
    let bed = Bed::new(3);
    let pinned = bed.model("pinned", Keep { on_demand: true, pinned: true }, ms(10));
    let (old, new, more) = (bed.on_demand("old"), bed.on_demand("new"), bed.on_demand("more"));
    pinned.answer().await.unwrap();
    old.answer().await.unwrap();
    sleep(secs(60)).await;
    new.answer().await.unwrap();
    sleep(secs(60)).await;
    more.answer().await.unwrap();
    settle().await;
    assert!(pinned.is_there() && new.is_there() && more.is_there() && !old.is_there());
    for _ in 0..10 {
        bed.machine.tend_with(0.0);
        sleep(secs(3_600)).await;
    }
    assert!(pinned.is_there(), "neither for others, nor for want of memory, nor as it is idle");
    assert!(!new.is_there() && !more.is_there());
    assert_eq!(pinned.status().unloads, 0);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_idle_for_long_is_unloaded_and_loaded_again_by_the_next_request() {
    let bed = Bed::with(2, Settings { unload_after: Some(secs(600)), ..Settings::default() });
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let _stream = b.stream().await;
    a.answer().await.unwrap();
    sleep(secs(599)).await;
    bed.machine.tend_with(1.0);
    settle().await;
    assert!(a.is_there());
    sleep(secs(1)).await;
    bed.machine.tend_with(1.0);
    settle().await;
    assert!(!a.is_there() && b.is_there(), "one with a request is not idle");
    assert_eq!((a.status().state, a.status().unloads), (State::Unloaded, 1));
    a.answer().await.unwrap();
    assert_eq!(a.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_memory_is_short_idle_models_go_one_after_the_other() {
    let bed = Bed::new(3);
    let (a, b, c) = (bed.on_demand("a"), bed.on_demand("b"), bed.on_demand("c"));
    for of in [&a, &b, &c] {
        of.answer().await.unwrap();
        sleep(secs(1)).await;
    }
    let stream = a.stream().await;
    bed.machine.tend_with(0.06);
    settle().await;
    assert!(a.is_there() && b.is_there() && c.is_there(), "there is enough");
    bed.machine.tend_with(0.04);
    settle().await;
    assert!(a.is_there() && !b.is_there() && c.is_there(), "the oldest that is idle");
    bed.machine.tend_with(0.04);
    settle().await;
    assert!(a.is_there() && !c.is_there());
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_all_who_wait_without_its_words_and_tried_again_after_a_growing_pause() {
    let bed = Bed::new(1);
    let a = bed.on_demand("a");
    a.model.fails.store(true, SeqCst);
    let told = join_all((0..3).map(|_| a.ask())).await;
    for error in told.into_iter().map(|answer| answer.unwrap().unwrap_err()) {
        assert_eq!(error.to_string(), "failed: its model could not be loaded", "files are not the caller's business");
    }
    let status = a.status();
    assert_eq!((status.state, status.error.as_deref()), (State::Failed, Some("/models/secret.gguf is damaged")));
    assert!(!a.resident.load(&Probe::default()).healthy);
    assert!(a.answer().await.is_err());
    assert_eq!(a.loads(), 1, "not before the pause is over");
    assert_eq!(bed.machine.memory().1, 0, "it takes no room");
    sleep(secs(2)).await;
    assert!(a.resident.load(&Probe::default()).healthy, "worth another try");
    assert!(a.answer().await.is_err());
    sleep(secs(3)).await;
    assert!(a.answer().await.is_err());
    assert_eq!(a.loads(), 2, "the second pause is longer");
    a.model.fails.store(false, SeqCst);
    sleep(secs(1)).await;
    a.answer().await.unwrap();
    assert_eq!((a.loads(), a.status().error), (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_it_waits_leaves_no_claim() {
    let bed = Bed::new(1);
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let mut stream = a.stream().await;
    sleep(secs(30)).await;
    let leaves = b.ask();
    settle().await;
    assert_eq!(a.status().state, State::Leaving);
    let waits = a.ask();
    settle().await;
    assert_eq!(a.status().waiting, 1);
    leaves.abort();
    settle().await;
    assert_eq!((a.status().state, a.status().waiting), (State::Loaded, 0), "it is open again, also for who waited");
    waits.await.unwrap().unwrap();
    stream.next().await;
    drop(stream);
    sleep(secs(60)).await;
    assert_eq!((b.loads(), a.loads()), (0, 1));
    // One that leaves while its model is being loaded takes no seat with it.
    let leaves = b.ask();
    sleep(secs(1)).await;
    leaves.abort();
    sleep(secs(2)).await;
    assert_eq!((b.status().state, b.status().in_use, b.status().waiting), (State::Loaded, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_to_wait_is_told_how_far_it_is_and_when_to_come_back() {
    let bed = Bed::with(1, Settings { while_loading: WhileLoading::Refuse, ..Settings::default() });
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let told = |error: BackendError| (error.to_string(), error.retry_after().unwrap());
    let (text, after) = told(a.answer().await.unwrap_err());
    assert_eq!((text.as_str(), after), ("its model is being loaded, 0 % done", secs(1)));
    sleep(secs(1)).await;
    a.model.progress.lock().unwrap().as_ref().unwrap().set(400);
    let (text, _) = told(a.answer().await.unwrap_err());
    assert_eq!(text, "its model is being loaded, 40 % done");
    sleep(ms(1_100)).await;
    a.answer().await.unwrap();
    // The other has to wait for the room, whose turn of 8 s is not over.
    let stream = a.stream().await;
    let (text, after) = told(b.answer().await.unwrap_err());
    assert_eq!(text, "its model is to be loaded, and waits for room in memory");
    assert!(after > secs(7) && after < secs(9), "{after:?}");
    sleep(secs(8)).await;
    drop(stream);
    sleep(after).await;
    b.answer().await.unwrap();
    assert_eq!((a.loads(), b.loads()), (1, 1), "no request is needed beside the one that was refused");
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_told_to_come_back_find_their_model_though_another_wants_the_room() {
    let settings = Settings { while_loading: WhileLoading::Refuse, ..Settings::default() };
    let bed = Bed::with(1, settings);
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let caller = |of: &Of| {
        let of = of.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                while let Err(error) = of.answer().await {
                    // Seconds, rounded up, as the header has them.
                    sleep(secs(error.retry_after().unwrap().as_millis().div_ceil(1_000) as u64)).await;
                }
            }
        })
    };
    let began = Instant::now();
    for caller in [caller(&a), caller(&b)] {
        caller.await.unwrap();
    }
    assert_eq!((a.served(), b.served()), (20, 20));
    assert!(began.elapsed() < secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_so_at_once() {
    let bed = Bed::with(1, Settings { waiting: 2, ..Settings::default() });
    let a = bed.on_demand("a");
    let waiting = [a.ask(), a.ask()];
    settle().await;
    let error = a.answer().now_or_never().expect("at once").unwrap_err();
    assert!(matches!(error, BackendError::Overloaded { retry_after: Some(_) }), "{error:?}");
    assert_eq!(join_all(waiting).await.into_iter().filter(|answer| matches!(answer, Ok(Ok(())))).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_is_allowed() {
    let bed = Bed::with(1, Settings { load_within: ms(500), ..Settings::default() });
    let a = bed.on_demand("a");
    let began = Instant::now();
    let error = a.answer().await.unwrap_err();
    assert!(matches!(error, BackendError::Loading { percent: Some(_), retry_after: Some(_) }), "{error:?}");
    assert_eq!(began.elapsed().as_millis(), 500);
    sleep(secs(2)).await;
    a.answer().await.unwrap();
    assert_eq!(a.loads(), 1, "it was loaded meanwhile");
}

#[tokio::test(start_paused = true)]
async fn room_is_what_the_sizes_add_up_to_and_nobody_overtakes_in_the_line() {
    let bed = Bed::new(2);
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let load: Loader = Arc::clone(&never());
    let large = bed.machine.resident(BackendId::new("large"), 2 * SIZE, Keep::default(), load);
    a.answer().await.unwrap();
    b.answer().await.unwrap();
    assert_eq!(bed.machine.memory(), (2 * SIZE, 2 * SIZE), "both fit");
    sleep(secs(60)).await;
    large.want();
    let behind = a.ask();
    settle().await;
    assert!(!a.is_there() && !b.is_there(), "one that is as large as both needs the room of both");
    assert_eq!(large.status().unwrap().state, State::Loading);
    sleep(secs(60)).await;
    assert!(!behind.is_finished());
    bed.machine.set(Settings::default(), 3 * SIZE);
    behind.await.unwrap().unwrap();
}

/// A model that is never loaded.
fn never() -> Loader {
    Arc::new(|_| futures_util::future::pending().boxed())
}

#[tokio::test(start_paused = true)]
async fn plans_see_how_long_it_takes_until_a_model_can_begin() {
    let bed = Bed::new(1);
    let (a, b) = (bed.on_demand("a"), bed.on_demand("b"));
    let starts_in = |of: &Of| of.resident.load(&Probe::default()).starts_in;
    assert_eq!(starts_in(&a), Some(ms(100)), "estimated by its size");
    let asked = a.ask();
    sleep(ms(60)).await;
    assert!(starts_in(&a).is_some_and(|left| left < ms(50)), "{:?}", starts_in(&a));
    assert_eq!(a.resident.load(&Probe::default()).queued, 1);
    asked.await.unwrap().unwrap();
    assert_eq!(starts_in(&a), None);
    let stream = a.stream().await;
    let swap = starts_in(&b).unwrap();
    assert!(swap > secs(7) && swap < ms(8_200), "the turn of the other, and its own loading: {swap:?}");
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_resident_that_is_replaced_gives_its_room_back_once_its_streams_have_ended() {
    let bed = Bed::new(1);
    let a = bed.model("a", Keep::default(), secs(5));
    let Of { resident, model } = a;
    let mut stream = resident.generate(request()).await.unwrap();
    drop(resident);
    settle().await;
    assert_eq!(model.there.load(SeqCst), 1);
    assert!(stream.next().await.is_some());
    drop(stream);
    settle().await;
    assert_eq!((model.there.load(SeqCst), bed.machine.memory().1), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_resident_that_is_replaced_while_it_is_loaded_is_wanted_no_more_whether_its_loader_gives_up_or_not() {
    for gives_up in [true, false] {
        let bed = Bed::new(1);
        let Of { resident, model } = bed.on_demand("a");
        resident.want();
        settle().await;
        let progress = model.progress.lock().unwrap().clone().unwrap();
        assert!(progress.is_wanted());
        drop(resident);
        assert!(!progress.is_wanted());
        model.fails.store(gives_up, SeqCst);
        // Its room is taken until the loader is done.
        assert_eq!(bed.machine.memory().1, SIZE);
        sleep(LOADS_IN).await;
        settle().await;
        assert_eq!((model.there.load(SeqCst), bed.machine.memory().1), (0, 0), "{gives_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_died_is_unloaded_even_where_it_is_pinned_and_loaded_anew_when_it_is_asked_for() {
    let bed = Bed::new(1);
    let a = bed.model("a", Keep { on_demand: true, pinned: true }, ms(10));
    a.answer().await.unwrap();
    a.model.dead.store(true, SeqCst);
    assert!(!a.resident.load(&Probe::default()).healthy);
    bed.machine.tend_with(1.0);
    settle().await;
    assert!(!a.is_there() && a.resident.load(&Probe::default()).healthy);
    a.model.dead.store(false, SeqCst);
    a.answer().await.unwrap();
    assert_eq!(a.loads(), 2);
}

#[tokio::test]
async fn a_loader_that_panics_is_a_failure_like_any_other() {
    let loader = blocking(|_| panic!("out of range"));
    assert_eq!(loader(Arc::default()).await.unwrap_err().to_string(), "loading it panicked");
}
