//! The loop over a model that does what a test tells it, one step at a time.

mod reasoning;
mod waits;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::mpsc::{Receiver, Sender, channel},
};

use backends::{Delta, Event, FinishReason, Sampling, TokenLogprob, Usage};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};

use crate::{
    gguf::File,
    pictures::{PICTURE, Placed, Seen},
    prepare::Echo,
    testing::{Llama, Vocabulary},
};

use super::*;

/// An engine that has nothing to do.
pub(super) const IDLE: Load = Load { wait: Some(Duration::ZERO), ..Load::IDLE };

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Go,
    Panic,
    NoNumbers,
}

/// A model whose next token depends on all tokens of its sequence, and on nothing else. It tells when a step
/// begins and waits for an order, unless the test has let go of it.
struct Toy {
    letters: Vec<u32>,
    vocabulary: usize,
    /// A last letter is followed by this.
    end: u32,
    history: Vec<Vec<u32>>,
    logits: Vec<f32>,
    began: Sender<Vec<Token>>,
    orders: Receiver<Order>,
    /// Asked once an order has come.
    interest: Option<Arc<Interest>>,
    /// Its next token depends on no more than so many before it.
    sees: usize,
    spare: Option<usize>,
    /// How often it has a sequence wait.
    waits: usize,
    draft: Option<Guesser>,
    /// Microseconds since the beginning: what it takes for its steps passes there and nowhere else.
    time: Arc<AtomicU64>,
}

/// What a token of a prompt takes, and a step without any, in microseconds.
const PROMPT_TOKEN: u64 = 1_000;
const ANSWERS: u64 = 10_000;

/// A draft model for the toy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Guesser {
    /// Guesses wrongly when the position can be divided by this.
    Wrong(usize),
    /// Gives tokens that there are not, more than it is asked for, and for fewer answers.
    Nonsense,
    /// Does not come to a guess.
    Reads,
    /// Fails.
    Panics,
}

impl Toy {
    /// What follows some tokens.
    fn next(&self, history: &[u32]) -> u32 {
        if history.ends_with(&[self.letters[25]]) {
            return self.end;
        }
        let mut hasher = DefaultHasher::new();
        history[history.len().saturating_sub(self.sees)..].hash(&mut hasher);
        self.letters[hasher.finish() as usize % 26]
    }

    /// What it will choose itself, but for every so many tokens.
    fn guesses(&self, Ahead { slot, text, most }: Ahead<'_>, every: usize) -> Vec<u32> {
        assert_eq!(text[..text.len() - 1], self.history[slot], "what it holds, and a token more");
        let mut text = text.to_vec();
        for _ in 0..most {
            let next = self.next(&text);
            text.push(if text.len().is_multiple_of(every) { self.letters[0] } else { next });
        }
        text.split_off(text.len() - most)
    }
}

impl Steps for Toy {
    fn most_prompt_tokens(&self) -> usize {
        128
    }

    fn begin(&mut self, _: Start<'_>) -> Option<usize> {
        match self.waits {
            0 => Some(0),
            _ => {
                self.waits -= 1;
                None
            }
        }
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        let _ = self.began.send(tokens.to_vec());
        let order = self.orders.recv().unwrap_or(Order::Go);
        assert!(order != Order::Panic, "a step that was told to fail");
        if self.interest.as_ref().is_some_and(|interest| interest.is_lost()) {
            return Err(Halt::Unwanted);
        }
        self.logits.clear();
        let prompts = tokens.iter().zip(tokens.iter().skip(1)).any(|(token, next)| token.slot == next.slot);
        let took = if prompts { PROMPT_TOKEN * tokens.len() as u64 } else { ANSWERS };
        self.time.fetch_add(took, SeqCst);
        for token in tokens {
            let history = &mut self.history[token.slot];
            history.truncate(token.position);
            assert_eq!(history.len(), token.position, "a gap in slot {}", token.slot);
            history.push(token.id);
            if token.logits {
                let next = self.next(&self.history[token.slot]);
                let from = self.logits.len();
                self.logits.resize(from + self.vocabulary, if order == Order::NoNumbers { f32::NAN } else { 0.0 });
                if order == Order::Go {
                    self.logits[from + next as usize] = 9.0;
                }
            }
        }
        Ok(self.logits.chunks_exact(self.vocabulary).collect())
    }

    fn spare(&self) -> Option<usize> {
        self.spare
    }

    fn forget(&mut self, slot: usize, len: usize) {
        assert!(len < self.history[slot].len(), "nothing to forget");
        self.history[slot].truncate(len);
    }

    fn has_draft(&self) -> bool {
        self.draft.is_some()
    }

    fn draft(&mut self, answers: &[Ahead<'_>]) -> Drafted {
        let nonsense = |ahead: &Ahead<'_>| vec![u32::MAX; ahead.most + 3];
        let guesses = match self.draft {
            Some(Guesser::Wrong(every)) => answers.iter().map(|ahead| self.guesses(*ahead, every)).collect(),
            Some(Guesser::Nonsense) => answers[1..].iter().map(nonsense).collect(),
            Some(Guesser::Reads) => return Drafted::CaughtUp(10),
            _ => panic!("a draft that fails"),
        };
        Drafted::Guessed { guesses, steps: 1 }
    }
}

pub(super) struct Words(pub(super) Tokenizer);

impl AsRef<Tokenizer> for Words {
    fn as_ref(&self) -> &Tokenizer {
        &self.0
    }
}

/// Fields are dropped in order: the model must be let go of before the scheduler waits for it.
struct Rig {
    orders: Sender<Order>,
    scheduler: Scheduler,
    words: Arc<Words>,
    began: Receiver<Vec<Token>>,
    clock: Clock,
}

impl Rig {
    fn new(slots: usize, max_queued: u32) -> Self {
        Self::with(slots, max_queued, usize::MAX, None, 0)
    }

    /// A model that sees so many tokens, has time to spare, and has sequences wait a few times.
    fn with(slots: usize, max_queued: u32, sees: usize, spare: Option<usize>, waits: usize) -> Self {
        Self::drafted(slots, max_queued, sees, spare, waits, None)
    }

    /// One that heeds what steps take.
    fn timed(slots: usize, max_queued: u32) -> Self {
        Self::made(slots, max_queued, usize::MAX, None, 0, None, Some(Duration::from_millis(50)))
    }

    /// The same with a draft.
    fn drafted(
        slots: usize,
        max_queued: u32,
        sees: usize,
        spare: Option<usize>,
        waits: usize,
        draft: Option<Guesser>,
    ) -> Self {
        Self::made(slots, max_queued, sees, spare, waits, draft, None)
    }

    fn made(
        slots: usize,
        max_queued: u32,
        sees: usize,
        spare: Option<usize>,
        waits: usize,
        draft: Option<Guesser>,
        step: Option<Duration>,
    ) -> Self {
        let model =
            Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, vocabulary: Vocabulary::Bpe, ..Llama::default() };
        let words = Arc::new(Words(Tokenizer::from_file(&File::read(Bytes::from(model.build())).unwrap()).unwrap()));
        let ((began, begins), (order, orders)) = (channel(), channel());
        let (time, since) = (Arc::new(AtomicU64::default()), Instant::now());
        let passed = Arc::clone(&time);
        let clock = Clock::told_by(move || since + Duration::from_micros(passed.load(SeqCst)));
        let toy = Toy {
            letters: ('a'..='z').map(|letter| words.0.encode(&letter.to_string())[0]).collect(),
            vocabulary: words.0.len(),
            end: words.0.eos().unwrap(),
            history: vec![Vec::new(); slots],
            logits: Vec::new(),
            began,
            orders,
            interest: None,
            sees,
            spare,
            waits,
            draft,
            time,
        };
        let run = move |worker: Worker| {
            let interest = Some(worker.interest());
            worker.work(Toy { interest, ..toy });
        };
        let scheduler =
            Scheduler::start("toy", slots, Arc::clone(&words), max_queued, step, clock.clone(), run).unwrap();
        Self { orders: order, scheduler, words, began: begins, clock }
    }

    /// A rig whose model needs no orders.
    fn free(slots: usize, max_queued: u32) -> Self {
        let mut rig = Self::new(slots, max_queued);
        rig.orders = channel().0;
        rig
    }

    fn choice(&self, prompt: &str, max_tokens: usize) -> Choice {
        let sampling = Arc::new(Sampling { temperature: 0.0, ..Sampling::default() });
        Choice { max_tokens, sampling, ..rig_choice(&self.words, prompt) }
    }

    fn submit(&self, prompt: &str, max_tokens: usize) -> EventStream {
        self.scheduler.submit(vec![self.choice(prompt, max_tokens)]).unwrap()
    }

    /// The tokens of the step that begins now, or next.
    fn begins(&self) -> Vec<Token> {
        self.began.recv_timeout(PATIENCE).expect("a step should begin")
    }

    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }

    /// Tokens a slot has in the steps that begin, each told to go on.
    fn counts(&self, steps: usize, slot: usize) -> Vec<usize> {
        let count = |_| {
            let tokens = self.begins();
            self.order(Order::Go);
            tokens.iter().filter(|token| token.slot == slot).count()
        };
        (0..steps).map(count).collect()
    }

    async fn answer(&self, prompt: &str, max_tokens: usize) -> String {
        text(collect(self.submit(prompt, max_tokens)).await)
    }

    async fn idle(&self) {
        let start = Instant::now();
        while self.scheduler.load() != IDLE {
            assert!(start.elapsed() < PATIENCE, "{:?} should become idle", self.scheduler);
            tokio::task::yield_now().await;
        }
    }
}

async fn collect(stream: EventStream) -> Vec<Event> {
    tokio::time::timeout(PATIENCE, stream.map(Result::unwrap).collect()).await.expect("the stream should end")
}

fn text(events: Vec<Event>) -> String {
    events
        .into_iter()
        .filter_map(|event| if let Event::Delta(delta) = event { Some(delta.text) } else { None })
        .collect()
}

async fn last_error(mut stream: EventStream) -> String {
    let end = async {
        loop {
            match stream.next().await.expect("an error should come before the end") {
                Ok(_) => {}
                Err(error) => break (error.to_string(), stream.next().await.is_none()),
            }
        }
    };
    let (error, last) = tokio::time::timeout(PATIENCE, end).await.expect("the stream should end");
    assert!(last, "nothing comes after an error");
    error
}

#[tokio::test]
async fn requests_at_once_get_the_answers_that_they_get_alone() {
    let rig = Rig::free(3, 100);
    let prompts = ["a", "hello the thing", "model", &"long ".repeat(200), "b", "cc", "ddd"];
    let mut alone = Vec::new();
    for prompt in prompts {
        alone.push(rig.answer(prompt, 40).await);
    }
    let streams: Vec<EventStream> = prompts.iter().map(|prompt| rig.submit(prompt, 40)).collect();
    let mut together = Vec::new();
    for stream in streams {
        together.push(text(collect(stream).await));
    }
    assert_eq!(together, alone);
    assert!(alone.iter().all(|answer| !answer.is_empty()) && alone[0] != alone[1]);
    rig.idle().await;
}

#[tokio::test]
async fn a_new_request_starts_in_the_next_step_and_answers_never_wait_for_prompts() {
    let rig = Rig::new(3, 100);
    let _answer = rig.submit("a", 1_000);
    assert_eq!(rig.begins().len(), 1);
    // While that step runs two prompts come in; the long one first.
    let (_long, _short) = (rig.submit(&"x".repeat(1_000), 5), rig.submit("xx", 5));
    rig.order(Order::Go);
    let tokens = rig.begins();
    let slots: Vec<usize> = [0, 1, 2].map(|slot| tokens.iter().filter(|token| token.slot == slot).count()).into();
    assert_eq!(slots, [1, 126, 2], "one token for the answer, 128 for the prompts");
    rig.order(Order::Go);
    // The short one answers already, the long one has nearly the whole budget.
    let counts = |tokens: Vec<Token>| [0, 1, 2].map(|slot| tokens.iter().filter(|token| token.slot == slot).count());
    assert_eq!(counts(rig.begins()), [1, 128, 1]);
    rig.order(Order::Go);
}

/// With nothing to compute the loop sleeps until something changes.
#[tokio::test]
async fn who_was_to_wait_begins_when_nobody_computes_anything() {
    let mut rig = Rig::with(2, 100, usize::MAX, None, 1);
    rig.orders = channel().0;
    assert!(!rig.answer("a", 3).await.is_empty());
    rig.idle().await;
}

#[tokio::test]
async fn a_caller_who_goes_frees_the_slot_in_every_phase() {
    let rig = Rig::new(1, 100);
    let running = rig.submit(&"x".repeat(300), 1_000);
    assert_eq!(rig.begins().len(), 128);
    let queued = rig.submit("b", 1_000);
    let last = rig.submit("c", 1_000);
    assert_eq!(rig.scheduler.load(), Load { running: 1, queued: 2, ..Load::IDLE });
    drop(running); // in the middle of its prompt
    drop(queued); // before it had a slot
    rig.order(Order::Go);
    assert_eq!(rig.begins(), [Token { slot: 0, position: 0, id: rig.words.0.encode("c")[0], logits: true }]);
    rig.order(Order::Go);
    rig.begins();
    drop(last); // in the middle of its answer
    rig.order(Order::Go);
    rig.idle().await;
}

#[tokio::test]
async fn a_step_is_given_up_once_most_of_it_is_for_callers_who_are_gone_and_the_others_lose_nothing_of_their_answers() {
    let rig = Rig::new(3, 100);
    let first = rig.submit("a", 3);
    assert_eq!(rig.begins().len(), 1);
    let (long, short) = (rig.submit(&"x".repeat(100), 5), rig.submit("b", 3));
    rig.order(Order::Go);
    // One token of the answer, a hundred of the one prompt, one of the other.
    assert_eq!(rig.begins().len(), 102);
    drop(short);
    rig.order(Order::Go);
    assert_eq!(rig.begins().len(), 2, "what one left was little of the step: it was computed");
    rig.order(Order::Go);
    rig.begins();
    let prompt = rig.submit(&"x".repeat(100), 5);
    rig.order(Order::Go);
    let tokens = rig.begins();
    assert!(tokens.len() > 100);
    drop(prompt);
    rig.order(Order::Go);
    // The same tokens of the others again.
    let others: Vec<Token> =
        tokens.iter().copied().filter(|token| tokens.iter().filter(|t| t.slot == token.slot).count() == 1).collect();
    assert_eq!(rig.begins(), others);
    drop(rig.orders);
    let together = [text(collect(first).await), text(collect(long).await)];
    let alone = Rig::free(1, 100);
    assert_eq!(together, [alone.answer("a", 3).await, alone.answer(&"x".repeat(100), 5).await]);
}

#[tokio::test]
async fn a_slow_reader_pauses_and_stops_nobody_else() {
    let rig = Rig::free(2, 100);
    // Without the letter that the model ends after.
    let endless = || {
        let z = rig.words.0.encode("z")[0];
        let sampling = Sampling { logit_bias: vec![(z, -100.0)], temperature: 0.0, ..Sampling::default() };
        rig.scheduler.submit(vec![Choice { sampling: Arc::new(sampling), ..rig.choice("a", 200) }]).unwrap()
    };
    let alone = text(collect(endless()).await);
    assert!(alone.len() > 4 * request::BUFFER);
    let slow = endless();
    // The slow one fills its buffer, then gets no more steps; others are served meanwhile, over and over.
    for _ in 0..20 {
        assert!(!rig.answer("fast", 30).await.is_empty());
    }
    assert_eq!(rig.scheduler.load().running, 1);
    assert_eq!(text(collect(slow).await), alone, "it goes on where it was");
    rig.idle().await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let rig = Rig::new(1, 2);
    let _running = rig.submit("a", 10);
    rig.begins();
    let waiting = rig.submit("b", 10);
    let _more = rig.submit("c", 10);
    let refused = rig.scheduler.submit(vec![rig.choice("d", 10)]);
    assert!(
        matches!(refused, Err(BackendError::Overloaded { retry_after: Some(after) }) if after >= Duration::from_secs(1))
    );
    drop(waiting);
    rig.order(Order::Go);
    rig.begins();
    assert!(rig.scheduler.submit(vec![rig.choice("d", 10)]).is_ok(), "one who left made room");
}

#[tokio::test]
async fn a_step_that_fails_ends_its_requests_and_no_others() {
    let rig = Rig::new(1, 100);
    let (broken, next) = (rig.submit("a", 3), rig.submit("b", 3));
    rig.begins();
    rig.order(Order::Panic);
    assert_eq!(last_error(broken).await, "failed: the model failed");
    rig.counts(1, 0);
    drop(rig.orders);
    assert!(!text(collect(next).await).is_empty());
    assert!(rig.scheduler.load().healthy);
}

#[tokio::test]
async fn a_model_that_fails_over_and_over_is_not_healthy() {
    let rig = Rig::new(1, 100);
    let streams: Vec<EventStream> = (0..MAX_FAILURES + 1).map(|_| rig.submit("a", 3)).collect();
    for _ in 0..MAX_FAILURES {
        rig.begins();
        rig.order(Order::Panic);
    }
    for stream in streams {
        assert!(last_error(stream).await.starts_with("failed: the "));
    }
    let start = Instant::now();
    while rig.scheduler.load().healthy {
        assert!(start.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    let refused = rig.scheduler.submit(vec![rig.choice("a", 3)]).map(drop).unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.try_next()), ("failed: the engine has stopped", true));
    assert_eq!(rig.scheduler.load(), Load { healthy: false, ..Load::IDLE });
}

#[tokio::test]
async fn logits_that_are_no_numbers_fail_the_request_only() {
    let rig = Rig::new(1, 100);
    let broken = rig.submit("a", 3);
    rig.begins();
    rig.order(Order::NoNumbers);
    assert_eq!(last_error(broken).await, "failed: the model gave no usable logits");
    drop(rig.orders);
    assert!(!text(collect(rig.scheduler.submit(vec![rig_choice(&rig.words, "b")]).unwrap()).await).is_empty());
}

/// [`Rig::choice`] after the rig gave its orders away.
pub(super) fn rig_choice(words: &Words, prompt: &str) -> Choice {
    Choice {
        index: 0,
        prompt: words.0.encode(prompt).into(),
        pictures: Arc::default(),
        max_tokens: 3,
        sampling: Arc::default(),
        seed: 1,
        stream: 0,
        stop: Arc::new([]),
        logprobs: None,
        echo: None,
        salt: None,
        priority: Priority::default(),
        begins_by: None,
        kept: Default::default(),
    }
}

#[tokio::test]
async fn a_picture_is_in_one_step_by_itself_however_many_tokens_it_has() {
    let rig = Rig::new(2, 100);
    // Eight tokens, a picture that is more than a step has, two tokens, two pictures, a token.
    let pictures = [(8, 300), (310, 5), (315, 70)];
    let mut prompt = vec![1; 386];
    for (nth, &(at, tokens)) in (0..).zip(&pictures) {
        prompt[at..at + tokens].fill(PICTURE + nth);
    }
    let placed = pictures.map(|(at, tokens)| Placed { at, seen: Seen { tokens, content: Arc::new(()) } });
    let choice = Choice { prompt: prompt.into(), pictures: Arc::new(placed), ..rig.choice("a", 3) };
    let shows = rig.scheduler.submit(vec![choice]).unwrap();
    let mut steps = Vec::new();
    loop {
        let step = rig.begins();
        rig.order(Order::Go);
        let positions = (step[0].position, step.len());
        steps.push(positions);
        if positions.0 + positions.1 == 386 {
            break;
        }
    }
    assert_eq!(steps, [(0, 8), (8, 300), (308, 2), (310, 5), (315, 70), (385, 1)]);
    drop(rig.orders);
    let events = collect(shows).await;
    assert!(matches!(events.last(), Some(Event::Usage(Usage { prompt_tokens: 386, .. }))), "{events:?}");
}

/// What each request is answered, and how many steps that took.
async fn answers(
    sees: usize,
    spare: Option<usize>,
    callers: usize,
    draft: Option<Guesser>,
) -> (Vec<Vec<Event>>, usize) {
    let mut rig = Rig::drafted(4, 100, sees, spare, 0, draft);
    rig.orders = channel().0;
    // Its end is never chosen.
    let never = [rig.words.0.encode("z")[0], rig.words.0.eos().unwrap()].map(|token| (token, -100.0));
    let sampling = |temperature, seed| Choice {
        sampling: Arc::new(Sampling { temperature, logit_bias: never.to_vec(), ..Sampling::default() }),
        logprobs: Some(1),
        seed,
        ..rig.choice("abcabcab", 150)
    };
    let choices = (0..callers).map(|nth| sampling(if nth % 2 == 0 { 0.0 } else { 2.5 }, nth as u64));
    let streams: Vec<_> = choices.map(|choice| rig.scheduler.submit(vec![choice]).unwrap()).collect();
    let all = join_all(streams.into_iter().map(collect)).await;
    (all, rig.began.try_iter().count())
}

#[tokio::test]
async fn guesses_change_no_answer_and_save_steps_where_it_repeats_itself() {
    for callers in [1, 3, 6] {
        for sees in [2, 4, usize::MAX] {
            let (plain, steps) = answers(sees, None, callers, None).await;
            let (guessed, fewer) = answers(sees, Some(8), callers, None).await;
            assert_eq!(deltas(&guessed), deltas(&plain), "{callers} callers, {sees} seen");
            // Of several some may be left out of a step while their readers are slow.
            if callers == 1 {
                let most = if sees == 2 { steps / 2 } else { steps };
                assert!(fewer <= most, "{fewer} steps, {steps} without guesses");
            }
        }
    }
}

/// Texts and log-probabilities.
fn deltas(all: &[Vec<Event>]) -> Vec<Vec<(String, Vec<TokenLogprob>)>> {
    let delta = |event: &Event| match event {
        Event::Delta(Delta { text, logprobs, .. }) => Some((text.clone(), logprobs.clone())),
        _ => None,
    };
    all.iter().map(|events| events.iter().filter_map(delta).collect()).collect()
}

#[tokio::test]
async fn a_draft_changes_no_answer_whatever_it_guesses_and_saves_steps_where_it_is_right() {
    let guessers = [
        Guesser::Wrong(1_000),
        Guesser::Wrong(3),
        Guesser::Wrong(1),
        Guesser::Nonsense,
        Guesser::Reads,
        Guesser::Panics,
    ];
    for callers in [1, 3, 6] {
        let (plain, steps) = answers(usize::MAX, None, callers, None).await;
        for draft in guessers {
            let (guessed, fewer) = answers(usize::MAX, Some(8), callers, Some(draft)).await;
            assert_eq!(deltas(&guessed), deltas(&plain), "{callers} callers, {draft:?}");
            let most = match draft {
                // Eight tokens a step, as long as all are drawn that are likeliest, which they always are at temperature 0.
                Guesser::Wrong(1_000) => steps / 6,
                Guesser::Wrong(3) => steps / 2,
                _ => steps,
            };
            if callers == 1 {
                assert!(fewer <= most, "{fewer} steps with {draft:?}, {steps} without");
            }
        }
    }
}

#[tokio::test]
async fn of_what_a_draft_guesses_nothing_is_computed_behind_the_end_of_an_answer() {
    let mut rig = Rig::drafted(1, 100, usize::MAX, Some(8), 0, Some(Guesser::Wrong(1_000)));
    rig.orders = channel().0;
    let end = rig.words.0.eos().unwrap();
    let mut longest = 0;
    for text in ["a", "b", "hello the thing", "model"] {
        let prompt = rig.choice(text, 1).prompt.len();
        let answer = rig.answer(text, 100_000).await;
        assert!(answer.ends_with('z'));
        let tokens: Vec<Token> = rig.began.try_iter().flatten().collect();
        assert!(tokens.iter().all(|token| token.id != end));
        let last = |tokens: &[Token]| tokens.iter().map(|token| token.position + 1).max().unwrap();
        assert_eq!(last(&tokens), prompt + answer.len(), "all but the end itself");
        longest = longest.max(answer.len());
        if answer.len() < 2 {
            continue;
        }
        // Nor behind a limit.
        rig.answer(text, answer.len() - 1).await;
        let tokens: Vec<Token> = rig.began.try_iter().flatten().collect();
        assert_eq!(last(&tokens), prompt + answer.len() - 2);
    }
    assert!(longest > 8, "longer than a guess");
}

/// A model that has the first tokens of every prompt from before, and room for one sequence, whatever its slots.
struct Holder {
    held: usize,
    busy: bool,
    ended: Arc<AtomicU32>,
    logits: Vec<f32>,
}

impl Steps for Holder {
    fn most_prompt_tokens(&self) -> usize {
        128
    }

    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        if self.busy {
            return None;
        }
        self.busy = true;
        assert_eq!(start.most, start.prompt.len() + 3);
        Some(if start.anew || start.salt.is_some() { 0 } else { self.held })
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        let rows = tokens.iter().filter(|token| token.logits).count();
        Ok(vec![&self.logits; rows])
    }

    fn end(&mut self, _: usize) {
        self.busy = false;
        self.ended.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn what_a_slot_holds_is_not_computed_again_and_is_counted_and_who_finds_no_room_waits() {
    let rig = Rig::new(1, 1);
    let ended = Arc::new(AtomicU32::new(0));
    let holder = Holder { held: 2, busy: false, ended: Arc::clone(&ended), logits: vec![0.0; rig.words.0.len()] };
    let words = Arc::clone(&rig.words);
    let scheduler =
        Scheduler::start("holder", 4, words, 10, None, Clock::default(), |worker| worker.work(holder)).unwrap();
    let salted = Choice { salt: Some("a".into()), ..rig.choice("abcd", 3) };
    let choices = [rig.choice("abcd", 3), rig.choice("xyz", 3), salted, rig.choice("hello", 3)];
    let streams: Vec<_> = choices.into_iter().map(|choice| scheduler.submit(vec![choice]).unwrap()).collect();
    let mut cached = Vec::new();
    for stream in streams {
        let events = collect(stream).await;
        cached.push(
            events
                .iter()
                .find_map(|event| if let Event::Usage(usage) = event { Some(usage.cached_tokens) } else { None }),
        );
    }
    assert_eq!(cached, [Some(2), Some(2), Some(0), Some(2)]);
    drop(scheduler);
    assert_eq!(ended.load(SeqCst), 4);
}

#[tokio::test]
async fn dropping_the_engine_ends_every_stream_with_an_error() {
    let rig = Rig::new(1, 100);
    // Its end is never chosen, and it is longer than what an unread stream holds: so it cannot be over, nor can the
    // one behind it begin, before the scheduler is told to stop.
    let never = [rig.words.0.encode("z")[0], rig.words.0.eos().unwrap()];
    let sampling =
        Sampling { temperature: 0.0, logit_bias: never.map(|token| (token, -100.0)).to_vec(), ..Sampling::default() };
    let endless = Choice { sampling: Arc::new(sampling), ..rig.choice("a", 1_000) };
    let running = rig.scheduler.submit(vec![endless]).unwrap();
    let queued = rig.submit("b", 1_000);
    rig.begins();
    drop(rig.orders); // the model goes on by itself from here
    drop(rig.scheduler);
    for stream in [running, queued] {
        assert_eq!(last_error(stream).await, "failed: the engine has stopped");
    }
}

#[tokio::test]
async fn every_choice_finishes_and_the_usage_comes_last() {
    let rig = Rig::free(2, 100);
    let one = rig.choice("a b c", 5);
    let two = Choice { index: 1, ..one.clone() };
    let other = Choice { index: 2, ..rig.choice("xyz", 7) };
    let prompt_tokens = (one.prompt.len() + other.prompt.len()) as u64;
    let events = collect(rig.scheduler.submit(vec![one, two, other]).unwrap()).await;
    let mut finished: Vec<u32> = events
        .iter()
        .filter_map(|event| if let Event::Finish { index, .. } = event { Some(*index) } else { None })
        .collect();
    finished.sort_unstable();
    assert_eq!(finished, [0, 1, 2]);
    let Some(Event::Usage(usage)) = events.last() else { panic!("{events:?}") };
    assert_eq!(usage.prompt_tokens, prompt_tokens, "a prompt of two choices counts once");
    assert!(usage.completion_tokens <= 17 && usage.completion_tokens >= 3, "{usage:?}");
}

#[tokio::test]
async fn an_answer_ends_at_its_limit_its_stop_sequence_or_the_models_end() {
    let rig = Rig::free(1, 100);
    // Long enough to meet the last letter, after which the model ends.
    let whole = collect(rig.submit("a", 100_000)).await;
    let [.., Event::Finish { reason: FinishReason::Stop, .. }, Event::Usage(usage)] = &whole[..] else {
        panic!("{whole:?}")
    };
    let answer = text(whole.clone());
    assert!(answer.ends_with('z') && usage.completion_tokens == answer.len() as u64 + 1);

    let cut = collect(rig.submit("a", 2)).await;
    assert!(matches!(
        cut[..],
        [.., Event::Finish { reason: FinishReason::Length, .. }, Event::Usage(Usage { completion_tokens: 2, .. })]
    ));
    assert_eq!(text(cut), answer[..2]);

    let stop = answer[answer.len().saturating_sub(3)..].to_owned();
    let stopped = collect(
        rig.scheduler.submit(vec![Choice { stop: Arc::new([stop.clone()]), ..rig.choice("a", 100_000) }]).unwrap(),
    )
    .await;
    assert!(matches!(stopped[..], [.., Event::Finish { reason: FinishReason::Stop, .. }, Event::Usage(_)]));
    assert_eq!(text(stopped), answer[..answer.find(&stop).unwrap()]);
}

#[tokio::test]
async fn an_echo_has_a_logprob_for_every_token_but_the_first() {
    let rig = Rig::free(1, 100);
    let prompt = "the thing ".repeat(40); // more than one step's budget
    let echo = Echo { text: prompt.as_str().into(), added: 0 };
    let choice = Choice { logprobs: Some(2), echo: Some(echo.clone()), ..rig.choice(&prompt, 0) };
    let tokens = choice.prompt.clone();
    assert!(tokens.len() > 128);
    let events = collect(rig.scheduler.submit(vec![choice.clone()]).unwrap()).await;
    let [
        Event::Delta(Delta { text, logprobs, .. }),
        Event::Finish { reason: FinishReason::Length, .. },
        Event::Usage(usage),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((text, usage.completion_tokens), (&prompt, 0));
    assert_eq!(logprobs.iter().map(|token| token.chosen.id).collect::<Vec<_>>(), &tokens[..]);
    assert!(logprobs[0].chosen.logprob.is_none() && logprobs[0].top.is_empty());
    assert!(logprobs[1..].iter().all(|token| token.chosen.logprob.is_some() && token.top.len() == 2));

    // With an answer its tokens follow; a token that was added stays out.
    let choice = Choice { max_tokens: 1, echo: Some(Echo { added: 1, ..echo }), ..choice };
    let events = collect(rig.scheduler.submit(vec![choice]).unwrap()).await;
    let counts: Vec<usize> = events
        .iter()
        .filter_map(|event| if let Event::Delta(delta) = event { Some(delta.logprobs.len()) } else { None })
        .collect();
    assert_eq!(counts, [tokens.len() - 1, 1]);
}
