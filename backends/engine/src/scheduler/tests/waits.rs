//! Who goes first, who is refused because it would be too late for him, and what is foreseen, over a model whose steps take a
//! time that is known: a millisecond a token of a prompt, ten for answers alone.

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Rig {
    /// An answer of so many tokens, no fewer.
    fn of(&self, prompt: &str, max_tokens: usize) -> Choice {
        let ends = [self.words.0.encode("z")[0], self.words.0.eos().unwrap()];
        let logit_bias = ends.map(|token| (token, -100.0)).to_vec();
        let sampling = Arc::new(Sampling { temperature: 0.0, logit_bias, ..Sampling::default() });
        Choice { sampling, ..self.choice(prompt, max_tokens) }
    }

    fn low(&self, prompt: &str, max_tokens: usize) -> Choice {
        Choice { priority: Priority::Low, ..self.of(prompt, max_tokens) }
    }

    /// One whose caller waits for so long.
    fn by(&self, left: Duration, choice: Choice) -> Choice {
        Choice { begins_by: Some(self.clock.now() + left), ..choice }
    }

    fn take(&self, choice: Choice) -> EventStream {
        self.scheduler.submit(vec![choice]).unwrap()
    }

    /// Lets so many steps pass.
    fn go(&self, steps: usize) {
        for _ in 0..steps {
            self.begins();
            self.order(Order::Go);
        }
    }

    /// Has it answer once, in steps that it is known how many there are of.
    async fn learns(&self, prompt: &str, max_tokens: usize, steps: usize) {
        let answer = self.take(self.of(prompt, max_tokens));
        self.go(steps);
        collect(answer).await;
    }

    /// To the microsecond: numbers are rounded on their way.
    fn is_told(&self, wait: Duration) {
        near(self.scheduler.load().wait.expect("it should be known by now"), wait);
    }
}

fn near(time: Duration, wanted: Duration) {
    assert!(time.abs_diff(wanted) <= Duration::from_micros(1), "{time:?}, expected {wanted:?}");
}

/// After how much a request that was refused is asked to come back.
fn refusal(refused: Result<EventStream, BackendError>) -> Duration {
    match refused {
        Err(BackendError::Overloaded { retry_after: Some(after) }) => after,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test]
async fn what_runs_and_waits_tells_when_one_that_came_now_would_begin() {
    let rig = Rig::timed(1, 100);
    assert_eq!(rig.scheduler.load(), IDLE);
    // Its prompt in one step, which gives the first token, and nine more.
    rig.learns("a", 10, 10).await;
    let first = rig.take(rig.of("a", 10));
    let tokens = rig.begins();
    assert_eq!(tokens.len(), 1);
    rig.is_told(ms(100));
    let second = rig.take(rig.of("b", 10));
    rig.is_told(ms(200));
    rig.order(Order::Go);
    rig.begins();
    // 90 of the first, and all of the second.
    rig.is_told(ms(190));
    drop(second);
    rig.order(Order::Go);
    rig.begins();
    rig.is_told(ms(80));
    assert_eq!(rig.scheduler.load(), Load { running: 1, wait: rig.scheduler.load().wait, ..Load::IDLE });
    rig.order(Order::Go);
    rig.go(7);
    collect(first).await;
    rig.idle().await;
}

#[tokio::test]
async fn before_answers_have_ended_nothing_is_told_of_when_one_that_finds_no_slot_would_begin() {
    let rig = Rig::timed(2, 100);
    let _first = rig.take(rig.of("a", 10));
    rig.go(3);
    rig.begins();
    rig.is_told(ms(0));
    let _second = rig.take(rig.of("b", 10));
    rig.order(Order::Go);
    rig.begins();
    assert_eq!(rig.scheduler.load().wait, None);
}

#[tokio::test]
async fn who_would_begin_too_late_is_refused_at_once_and_whoever_may_be_in_time_is_taken() {
    let rig = Rig::timed(1, 100);
    let long = || rig.of(&"x".repeat(3_750), 25);
    // Nothing is known, and nobody waits: it is tried. Thirty steps with the prompt, the last of which gives a token.
    let answer = rig.take(rig.by(ms(0), long()));
    rig.go(30 + 24);
    collect(answer).await;
    let _running = rig.take(long());
    rig.begins();
    rig.is_told(ms(3_990));
    let asks = |left| rig.scheduler.submit(vec![rig.by(ms(left), rig.of("b", 5))]);
    // Then it would be in time.
    near(refusal(asks(2_500)), ms(1_490));
    assert_eq!(rig.scheduler.load().queued, 0, "it waits for nothing");
    let _taken = asks(2_700).expect("an estimate may be off by half");
    // Behind the one that was taken, which is taken to be as long as others were.
    near(refusal(asks(100)), ms(3_990 + 3_990 - 100));
    assert!(rig.scheduler.submit(vec![rig.of("b", 5)]).is_ok(), "its caller says nothing of how long he waits");
}

#[tokio::test]
async fn a_prompt_that_cannot_be_read_in_time_beside_answers_is_not_begun_but_where_nothing_else_is_done_it_is_tried() {
    let rig = Rig::timed(3, 100);
    rig.learns(&"x".repeat(1_024), 1, 8).await;
    let long = || rig.of(&"y".repeat(1_000), 3);
    let answer = rig.take(rig.of("a", 1_000));
    rig.go(2);
    rig.begins();
    // A second alone, and two beside an answer.
    let (late, other) = (rig.take(rig.by(ms(1_200), long())), rig.take(rig.by(ms(1_500), long())));
    rig.order(Order::Go);
    let tokens = rig.begins();
    assert_eq!(tokens.iter().filter(|token| token.slot == 1).count(), 32, "the one that may be in time has begun");
    assert_eq!(last_error(late).await, "at capacity");
    assert_eq!(rig.scheduler.load().running, 2);
    drop((answer, other));
    rig.order(Order::Go);
    rig.idle().await;
    let _tried = rig.take(rig.by(ms(10), long()));
    assert_eq!(rig.begins().len(), 128);
}

#[tokio::test]
async fn one_of_low_priority_gives_way_to_those_that_came_after_it() {
    let rig = Rig::new(1, 100);
    let running = rig.submit("a", 1);
    rig.begins();
    let (low, usual) = (rig.take(rig.low("b", 1)), rig.submit("c", 1));
    let first = |text: &str| rig.words.0.encode(text)[0];
    rig.order(Order::Go);
    assert_eq!(rig.begins()[0].id, first("c"));
    rig.order(Order::Go);
    assert_eq!(rig.begins()[0].id, first("b"));
    rig.order(Order::Go);
    for stream in [running, low, usual] {
        collect(stream).await;
    }
}

#[tokio::test]
async fn of_the_tokens_of_a_step_prompts_of_low_priority_have_an_eighth_and_what_the_others_leave() {
    let rig = Rig::new(3, 100);
    let running = rig.take(rig.of("a", 100));
    rig.begins();
    let _low = rig.take(rig.low(&"x".repeat(1_000), 5));
    rig.order(Order::Go);
    assert_eq!(rig.begins().len(), 129, "alone it has all");
    let _usual = rig.submit(&"x".repeat(150), 5);
    rig.order(Order::Go);
    let count = |slot| move |tokens: &Vec<Token>| tokens.iter().filter(|token| token.slot == slot).count();
    let counts = |tokens: Vec<Token>| [count(0)(&tokens), count(1)(&tokens), count(2)(&tokens)];
    assert_eq!(counts(rig.begins()), [1, 16, 112]);
    rig.order(Order::Go);
    assert_eq!(counts(rig.begins()), [1, 90, 38]);
    drop(running);
    rig.order(Order::Go);
}

#[tokio::test]
async fn those_of_low_priority_take_half_of_the_places_in_the_queue_and_leave_the_others_to_the_usual_ones() {
    let rig = Rig::new(1, 4);
    let _running = rig.submit("a", 10);
    rig.begins();
    let _waiting = [rig.take(rig.low("b", 10)), rig.take(rig.low("c", 10))];
    assert_eq!(refusal(rig.scheduler.submit(vec![rig.low("d", 10)])), ms(1_000));
    let _more = [rig.submit("e", 10), rig.submit("f", 10)];
    assert_eq!(refusal(rig.scheduler.submit(vec![rig.choice("g", 10)])), ms(1_000));
}
