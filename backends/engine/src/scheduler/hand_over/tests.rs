//! Choices handed to a model that computes each on a thread of its own.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        atomic::AtomicU64,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use backends::{BackendError, Delta, Event, EventStream, FinishReason, Load, Priority, Sampling, Usage};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::{
    gguf::File,
    prepare::Echo,
    scheduler::{
        Clock, Scheduler,
        tests::{IDLE, Words, rig_choice},
    },
    testing::{Llama, Vocabulary},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A model whose next token depends on all tokens before it; the first 26 are letters. It takes a permit for each token,
/// unless the test has let go of them.
struct Threads {
    vocabulary: usize,
    letters: Vec<u32>,
    permits: Arc<Mutex<Receiver<bool>>>,
}

impl Writes for Threads {
    fn begin(&mut self, mut writing: Writing) {
        let (vocabulary, letters, permits) = (self.vocabulary, self.letters.clone(), Arc::clone(&self.permits));
        thread::spawn(move || {
            let mut tokens = writing.prompt().to_vec();
            loop {
                // Without a permit it breaks down, and drops the choice.
                let permit = permits.lock().unwrap().recv();
                if permit == Ok(false) {
                    return;
                }
                let mut hasher = DefaultHasher::new();
                tokens.hash(&mut hasher);
                let mut logits = vec![0.0; vocabulary];
                logits[letters[hasher.finish() as usize % letters.len()] as usize] = 9.0;
                let Some(next) = writing.advance(&logits) else { return };
                tokens.push(next);
            }
        });
    }
}

struct Rig {
    permits: Sender<bool>,
    scheduler: Scheduler,
    words: Arc<Words>,
    /// Milliseconds since the beginning.
    time: Arc<AtomicU64>,
}

impl Rig {
    fn new(slots: usize) -> Self {
        let model =
            Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, vocabulary: Vocabulary::Bpe, ..Llama::default() };
        let words = Arc::new(Words(Tokenizer::from_file(&File::read(Bytes::from(model.build())).unwrap()).unwrap()));
        let (permits, permitted) = channel();
        let model = Threads {
            vocabulary: words.0.len(),
            letters: ('a'..='z').map(|letter| words.0.encode(&letter.to_string())[0]).collect(),
            permits: Arc::new(Mutex::new(permitted)),
        };
        let (time, since) = (Arc::new(AtomicU64::default()), Instant::now());
        let passed = Arc::clone(&time);
        let clock = Clock::told_by(move || since + Duration::from_millis(passed.load(SeqCst)));
        let run = |worker: Worker| worker.hand_over(model);
        let scheduler = Scheduler::start("toy", slots, Arc::clone(&words), 100, None, clock, run).unwrap();
        Self { permits, scheduler, words, time }
    }

    /// A rig whose model needs no permits.
    fn free(slots: usize) -> Self {
        let mut rig = Self::new(slots);
        rig.permits = channel().0;
        rig
    }

    fn choice(&self, prompt: &str, max_tokens: usize) -> Choice {
        let sampling = Arc::new(Sampling { temperature: 0.0, ..Sampling::default() });
        Choice { max_tokens, sampling, ..rig_choice(&self.words, prompt) }
    }

    fn submit(&self, prompt: &str, max_tokens: usize) -> EventStream {
        self.scheduler.submit(vec![self.choice(prompt, max_tokens)]).unwrap()
    }

    fn wait(&self, what: impl Fn(Load) -> bool) {
        let start = Instant::now();
        while !what(self.scheduler.load()) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.scheduler.load());
            thread::yield_now();
        }
    }
}

async fn events(stream: EventStream) -> Vec<Result<Event, BackendError>> {
    tokio::time::timeout(PATIENCE, stream.collect()).await.expect("the stream should end")
}

fn text(events: &[Result<Event, BackendError>]) -> String {
    let text = |event: &Result<Event, BackendError>| match event {
        Ok(Event::Delta(Delta { text, .. })) => text.clone(),
        _ => String::new(),
    };
    events.iter().map(text).collect()
}

fn failure(events: &[Result<Event, BackendError>]) -> String {
    let Some(Err(error)) = events.last() else { panic!("{events:?}") };
    error.to_string()
}

#[tokio::test]
async fn choices_at_once_are_each_what_they_are_alone_and_counted() {
    let rig = Rig::free(3);
    let mut alone = Vec::new();
    for prompt in ["a", "b c", "xyz", "q"] {
        alone.push(text(&events(rig.submit(prompt, 9)).await));
    }
    assert!(alone.iter().all(|text| text.len() == 9) && alone[0] != alone[1], "{alone:?}");
    let streams: Vec<EventStream> = ["a", "b c", "xyz", "q"].map(|prompt| rig.submit(prompt, 9)).into();
    for (stream, alone) in streams.into_iter().zip(&alone) {
        let events = events(stream).await;
        assert_eq!(text(&events), *alone);
        let [.., Ok(Event::Finish { reason, .. }), Ok(Event::Usage(Usage { completion_tokens, .. }))] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((*reason, *completion_tokens), (FinishReason::Length, 9));
    }
    assert_eq!(rig.scheduler.load(), IDLE);
    assert_eq!(rig.scheduler.tally("toy".into()).requests, Some(8));
}

/// How far an answer is, such an engine knows alone.
#[tokio::test]
async fn one_that_finds_no_slot_is_told_to_wait_by_how_often_one_becomes_free() {
    let rig = Rig::new(1);
    let first = rig.submit("a", 1);
    // None has become free yet.
    rig.wait(|load| load.running == 1 && load.wait.is_none());
    rig.time.store(1_000, SeqCst);
    rig.permits.send(true).unwrap();
    events(first).await;
    assert_eq!(rig.scheduler.load(), IDLE);
    let told = |queued: u32| {
        move |load: Load| load.queued == queued && load.wait == Some(Duration::from_secs(1 + u64::from(queued)))
    };
    let _running = rig.submit("b", 1);
    rig.wait(told(0));
    let _waiting = rig.submit("c", 1);
    rig.wait(told(1));
}

#[tokio::test]
async fn of_low_priority_one_waits_for_those_that_came_after_it_and_never_has_the_last_slot() {
    let rig = Rig::new(2);
    let low = |prompt| {
        let choice = Choice { priority: Priority::Low, ..rig.choice(prompt, 1) };
        rig.scheduler.submit(vec![choice]).unwrap()
    };
    let (first, second) = (low("a"), low("b"));
    rig.wait(|load| (load.running, load.queued) == (1, 1));
    let usual = rig.submit("c", 1);
    rig.wait(|load| (load.running, load.queued) == (2, 1));
    drop(rig.permits);
    for stream in [first, second, usual] {
        assert_eq!(text(&events(stream).await).len(), 1);
    }
}

#[tokio::test]
async fn a_stop_sequence_ends_a_choice() {
    let rig = Rig::free(1);
    let whole = text(&events(rig.submit("a", 30)).await);
    let stop = whole[4..6].to_owned();
    let choice = Choice { stop: Arc::new([stop.clone()]), ..rig.choice("a", 30) };
    let stopped = text(&events(rig.scheduler.submit(vec![choice]).unwrap()).await);
    assert_eq!(stopped, whole[..whole.find(&stop).unwrap()]);
}

#[tokio::test]
async fn a_caller_who_is_gone_frees_the_slot_at_the_next_row() {
    let rig = Rig::new(1);
    let stream = rig.submit("a", 1_000);
    let next = rig.submit("b", 3);
    rig.wait(|load| (load.running, load.queued) == (1, 1));
    drop(stream);
    rig.permits.send(true).unwrap();
    for _ in 0..3 {
        rig.permits.send(true).unwrap();
    }
    assert_eq!(text(&events(next).await).len(), 3);
    assert_eq!(rig.scheduler.load(), IDLE);
}

#[tokio::test]
async fn who_is_gone_while_waiting_is_never_begun() {
    let rig = Rig::new(1);
    let running = rig.submit("a", 1);
    let waiting = rig.submit("b", 1);
    rig.wait(|load| (load.running, load.queued) == (1, 1));
    drop(waiting);
    rig.wait(|load| load.queued == 0);
    rig.permits.send(true).unwrap();
    assert_eq!(text(&events(running).await).len(), 1);
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up_and_gets_everything() {
    let rig = Rig::free(2);
    let slow = rig.submit("a", 500);
    let fast = rig.submit("a", 500);
    let all = text(&events(fast).await);
    rig.wait(|load| load.running == 0);
    assert_eq!(text(&events(slow).await), all);
    assert_eq!(all.len(), 500);
}

#[tokio::test]
async fn a_choice_that_the_model_drops_fails_and_others_go_on() {
    let rig = Rig::new(1);
    let broken = rig.submit("a", 3);
    rig.permits.send(true).unwrap();
    rig.permits.send(false).unwrap();
    assert_eq!(failure(&events(broken).await), "failed: the model failed");
    let next = rig.submit("a", 1);
    rig.permits.send(true).unwrap();
    assert_eq!(text(&events(next).await).len(), 1);
    assert!(rig.scheduler.load().healthy);
}

#[tokio::test]
async fn a_model_that_fails_over_and_over_is_not_healthy() {
    let rig = Rig::new(1);
    for _ in 0..MAX_FAILURES {
        let broken = rig.submit("a", 3);
        rig.permits.send(false).unwrap();
        assert_eq!(failure(&events(broken).await), "failed: the model failed");
    }
    rig.wait(|load| !load.healthy);
    let refused = rig.scheduler.submit(vec![rig.choice("a", 3)]).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "failed: the engine has stopped");
}

#[tokio::test]
async fn rows_that_are_too_short_or_no_numbers_fail_the_request() {
    struct Odd(Vec<f32>);
    impl Writes for Odd {
        fn begin(&mut self, mut writing: Writing) {
            assert_eq!(writing.advance(&self.0), None);
            assert!(!writing.is_wanted());
        }
    }
    let Rig { words, .. } = Rig::free(1);
    let len = words.0.len();
    for (row, reason) in [
        (vec![0.0; len - 1], "the model gave too few logits"),
        (vec![f32::NAN; len], "the model gave no usable logits"),
    ] {
        let tokenizer = Arc::clone(&words);
        let scheduler =
            Scheduler::start("odd", 1, tokenizer, 9, None, Clock::default(), |worker| worker.hand_over(Odd(row)))
                .unwrap();
        let rig = Rig { permits: channel().0, scheduler, words: Arc::clone(&words), time: Arc::default() };
        assert_eq!(failure(&events(rig.submit("a", 3)).await), format!("failed: {reason}"));
    }
}

#[tokio::test]
async fn a_prompt_that_is_only_to_be_echoed_needs_no_model() {
    let rig = Rig::new(1);
    let echo = Some(Echo { text: "abc".into(), added: 0 });
    let events = events(rig.scheduler.submit(vec![Choice { echo, ..rig.choice("abc", 0) }]).unwrap()).await;
    assert_eq!(text(&events), "abc");
    assert!(matches!(events[..], [.., Ok(Event::Finish { reason: FinishReason::Length, .. }), Ok(Event::Usage(_))]));
}

#[tokio::test]
async fn dropping_the_engine_ends_every_stream_with_an_error() {
    let rig = Rig::new(1);
    let running = rig.submit("a", 1_000);
    let queued = rig.submit("b", 1_000);
    rig.wait(|load| (load.running, load.queued) == (1, 1));
    drop(rig.scheduler);
    for stream in [running, queued] {
        assert_eq!(failure(&events(stream).await), "failed: the engine has stopped");
    }
    drop(rig.permits);
}
