//! How long a request that came now would wait until its prompt is begun with, and whether one can answer in time.
//!
//! What is under way and what waits is played through ahead of time: steps give their time to prompts and answers as `turns`
//! and `batch` do, answers end when they are as long as answers usually are, and those that wait take their slots in turn.
//! What a token of a prompt and one of an answer takes is measured, over the last of them, and so is the usual length. Before
//! there was one of what is needed nothing is known.
//!
//! An answer that is longer than usual already is taken to go on for a part of the usual length. What a guess ahead saves is in
//! the time of a token; what of a prompt that waits was computed before is not known until it begins.
//!
//! Others read the moment at which one that came now would begin ([`Begins`]), which needs no lock and stays true while nothing
//! unexpected happens. Knows times and counts; nothing of tokens or callers.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use backends::BackendError;

use super::turns;

/// Of those that wait so many are played through; for what is behind them time goes on at the same rate.
const PLAYED: usize = 256;
/// Of the time of a prompt's token that many of the last are told of, about.
const TOLD: f64 = 4_096.0;
/// An answer that is as long as usual is taken to go on for this part of that.
const GOES_ON: f64 = 0.25;
/// A request is refused for what is expected only where that is so much longer than it has: an estimate may be off.
const OFF: f64 = 1.5;

/// See the module. All in seconds, or tokens.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// Tokens of prompts, and the steps that they were in: a step with few says little of them, as it is the weights that take its
    /// time.
    prompts: [f64; 2],
    /// A step with a prompt in it.
    step: Option<f64>,
    /// A token of an answer, in steps without prompts.
    answer: Option<f64>,
    /// Tokens of an answer.
    length: Option<f64>,
}

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Tokens of prompts in it.
    pub(super) prompts: usize,
    /// Answers in it.
    pub(super) answers: usize,
    /// Tokens that those came on by.
    pub(super) drawn: usize,
    pub(super) time: Duration,
}

/// A choice that has a slot or waits for one: tokens of its prompt and of its answer that are to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ahead {
    pub(super) prompt: f64,
    pub(super) answer: f64,
}

impl Ahead {
    fn left(&self) -> f64 {
        if self.prompt > 0.0 { self.prompt } else { self.answer }
    }
}

impl Outlook {
    pub(super) fn note(&mut self, Taken { prompts, answers, drawn, time }: Taken) {
        let time = time.as_secs_f64();
        if prompts > 0 {
            let tokens = (prompts + answers) as f64;
            let kept = 1.0 - (tokens / TOLD).min(1.0);
            self.prompts = [self.prompts[0] * kept + tokens, self.prompts[1] * kept + time];
            moves(&mut self.step, time, 0.25);
        } else if drawn > 0 {
            moves(&mut self.answer, time * answers as f64 / drawn as f64, 0.125);
        }
    }

    /// An answer has ended after so many tokens.
    pub(super) fn note_length(&mut self, tokens: usize) {
        moves(&mut self.length, tokens as f64, 0.125);
    }

    /// A choice that has so many tokens of its prompt to come and has drawn some of an answer of `most`.
    pub(super) fn ahead(&self, prompt: usize, drawn: usize, most: usize) -> Option<Ahead> {
        let usual = self.length?;
        let answer = (usual - drawn as f64).max(usual * GOES_ON).min(most.saturating_sub(drawn) as f64);
        // The first comes with the last of the prompt.
        let answer = if prompt > 0 { (answer - 1.0).max(0.0) } else { answer };
        Some(Ahead { prompt: prompt as f64, answer })
    }

    /// Seconds until one that comes now behind all that wait would begin, where so many slots are partly taken by those `under`
    /// way. `None` where that cannot be told.
    pub(super) fn wait(
        &self,
        slots: usize,
        mut under: Vec<Ahead>,
        waiting: impl ExactSizeIterator<Item = Ahead>,
    ) -> Option<f64> {
        let behind = waiting.len();
        let mut waiting = waiting.take(PLAYED);
        let mut time = 0.0;
        loop {
            while under.len() < slots {
                let Some(next) = waiting.next() else {
                    let share = (behind as f64 / PLAYED as f64).max(1.0);
                    return Some(time * share + self.begins(under.iter().any(|one| one.prompt > 0.0))?);
                };
                under.push(next);
            }
            time += self.pass(&mut under)?;
            under.retain(|one| one.left() > 0.0);
        }
    }

    /// Seconds until one that has a slot begins: where prompts are under way, those have the step of now.
    pub(super) fn begins(&self, prompts: bool) -> Option<f64> {
        if prompts { self.step } else { Some(0.0) }
    }

    /// Goes on until one of them has its prompt behind it or ends: how long that takes.
    fn pass(&self, under: &mut [Ahead]) -> Option<f64> {
        let prompts = under.iter().filter(|one| one.prompt > 0.0).count();
        let answers = under.len() - prompts;
        let share = turns::share(answers, prompts);
        let answer = if answers > 0 { (1.0 - share) / self.answer? } else { 0.0 };
        let prompt = if prompts > 0 { share / self.token()? } else { 0.0 };
        // Half to the one that was first, and half to the shortest.
        let first = under.iter().position(|one| one.prompt > 0.0);
        let shortest = (0..under.len()).filter(|&at| under[at].prompt > 0.0);
        let shortest = shortest.min_by(|&a, &b| under[a].prompt.total_cmp(&under[b].prompt));
        let rate = |at: usize, one: &Ahead| match one.prompt > 0.0 {
            true => [first, shortest].iter().filter(|favoured| **favoured == Some(at)).count() as f64 * prompt / 2.0,
            false => answer,
        };
        let rates: Vec<f64> = under.iter().enumerate().map(|(at, one)| rate(at, one)).collect();
        let took = under.iter().zip(&rates).map(|(one, rate)| one.left() / rate).fold(f64::INFINITY, f64::min);
        for (one, rate) in under.iter_mut().zip(rates) {
            // Of those that are done at this moment nothing is left over by rounding.
            let left = one.left() - took * rate;
            let left = if left < 1e-6 { 0.0 } else { left };
            if one.prompt > 0.0 {
                one.prompt = left;
            } else {
                one.answer = left;
            }
        }
        took.is_finite().then_some(took)
    }

    /// Seconds of a token of a prompt.
    fn token(&self) -> Option<f64> {
        let [tokens, seconds] = self.prompts;
        (tokens > 0.0).then(|| (seconds / tokens).max(1e-9))
    }

    /// How long so many tokens of a prompt take beside answers and other prompts, where that is known.
    pub(super) fn prompt(&self, tokens: usize, answers: usize, prompts: usize) -> Option<Duration> {
        let seconds = tokens as f64 * self.token()? / turns::share(answers, prompts + 1);
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Moves a mean a part of the way to a new value.
fn moves(mean: &mut Option<f64>, value: f64, part: f64) {
    *mean = Some(mean.map_or(value, |mean| mean + (value - mean) * part));
}

/// When whoever is refused is told to come back, at the earliest and the latest.
const COMES_BACK: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Refuses one for whom there is room in about so long.
pub(crate) fn refusal(room_in: Duration) -> BackendError {
    let [soonest, latest] = COMES_BACK;
    BackendError::Overloaded { retry_after: Some(room_in.clamp(soonest, latest)) }
}

/// Refuses one whose caller waits until `begins_by`, where it is known that it would begin too late.
pub(crate) fn in_time(wait: Option<Duration>, begins_by: Option<Instant>, now: Instant) -> Result<(), BackendError> {
    let Some((wait, by)) = wait.zip(begins_by) else { return Ok(()) };
    too_late(wait, by.saturating_duration_since(now)).map_or(Ok(()), |late| Err(refusal(late)))
}

/// By how much what is to take `wait` would come too late for one that has `left`; `None` where it may be in time.
pub(super) fn too_late(wait: Duration, left: Duration) -> Option<Duration> {
    (wait > left.mul_f64(OFF)).then(|| wait - left)
}

/// The moment at which one that came now would begin, for other threads.
#[derive(Debug)]
pub(super) struct Begins {
    since: Instant,
    /// Nanoseconds from then on; [`UNKNOWN`] where nothing can be told.
    at: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Begins {
    /// One that came at any time from now on would begin at once.
    pub(super) fn at_once(now: Instant) -> Self {
        Self { since: now, at: AtomicU64::new(0) }
    }

    /// One that came now would begin in so many seconds.
    pub(super) fn tell(&self, now: Instant, seconds: Option<f64>) {
        let at = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(|wait| self.ns(now, wait));
        self.at.store(at.unwrap_or(UNKNOWN), SeqCst);
    }

    /// One more waits: the next begins so much later.
    pub(super) fn put_off(&self, now: Instant, by: Duration) {
        let now = self.ns(now, Duration::ZERO);
        let by = u64::try_from(by.as_nanos()).unwrap_or(UNKNOWN);
        let later = |at: u64| (at != UNKNOWN).then(|| at.max(now).saturating_add(by).min(UNKNOWN - 1));
        let _ = self.at.fetch_update(SeqCst, SeqCst, later);
    }

    /// How long one that came now would wait.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let at = self.at.load(SeqCst);
        (at != UNKNOWN).then(|| Duration::from_nanos(at.saturating_sub(self.ns(now, Duration::ZERO))))
    }

    fn ns(&self, now: Instant, wait: Duration) -> u64 {
        let since = now.saturating_duration_since(self.since).saturating_add(wait);
        u64::try_from(since.as_nanos()).unwrap_or(UNKNOWN).min(UNKNOWN - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A millisecond a token of a prompt, ten a token of an answer, answers of a hundred tokens, steps of a fifth of a second.
    fn known() -> Outlook {
        Outlook { prompts: [1_000.0, 1.0], step: Some(0.2), answer: Some(0.01), length: Some(100.0) }
    }

    fn wait(slots: usize, under: &[Ahead], waiting: &[Ahead]) -> Option<Duration> {
        let seconds = known().wait(slots, under.to_vec(), waiting.iter().copied());
        seconds.map(|seconds| Duration::from_micros((seconds * 1e6).round() as u64))
    }

    fn answer(left: usize) -> Ahead {
        Ahead { prompt: 0.0, answer: left as f64 }
    }

    fn prompt(left: usize) -> Ahead {
        Ahead { prompt: left as f64, answer: 100.0 }
    }

    #[test]
    fn one_that_finds_a_slot_waits_for_nothing_but_the_step_of_other_prompts() {
        assert_eq!(wait(2, &[], &[]), Some(ms(0)));
        assert_eq!(wait(2, &[answer(50)], &[]), Some(ms(0)));
        assert_eq!(wait(2, &[prompt(4_000)], &[]), Some(ms(200)));
    }

    #[test]
    fn one_that_finds_none_waits_for_the_first_answer_that_ends_and_for_those_before_it() {
        assert_eq!(wait(2, &[answer(50), answer(80)], &[]), Some(ms(500)));
        // The one before it has the slot of the first, and the second ends meanwhile.
        let waiting = [Ahead { prompt: 0.0, answer: 100.0 }];
        assert_eq!(wait(2, &[answer(50), answer(80)], &waiting), Some(ms(800)));
        // Its prompt takes 200 ms alone, and as long again for the other answer, which takes twice as long meanwhile: of its 30
        // tokens 20. Then those 10, and nobody else.
        assert_eq!(wait(2, &[answer(50), answer(80)], &[prompt(200)]), Some(ms(500 + 400 + 100)));
    }

    #[test]
    fn prompts_under_way_hold_up_the_answers_whose_slots_are_waited_for() {
        // While the prompt takes 2 s, which are 4 beside the answer, that gets on by 200 tokens.
        assert_eq!(wait(2, &[answer(300), prompt(2_000)], &[]), Some(ms(4_000 + 1_000)));
        // Alone it has all the time; and then its answer.
        assert_eq!(wait(1, &[prompt(2_000)], &[]), Some(ms(2_000 + 1_000)));
    }

    #[test]
    fn many_that_wait_are_told_at_the_rate_of_the_first_of_them() {
        let waiting = vec![answer(100); 1_024];
        let told = wait(4, &[answer(100); 4], &waiting).unwrap();
        assert!((ms(256_000)..ms(262_000)).contains(&told), "{told:?}: 1,028 answers of a second, four at a time");
    }

    #[test]
    fn nothing_is_told_of_what_was_not_measured() {
        let none = Outlook::default();
        assert_eq!(none.wait(1, vec![], [].into_iter()), Some(0.0), "a slot is free");
        assert_eq!(none.ahead(5, 0, 10), None);
        assert_eq!(none.wait(1, vec![answer(5)], [].into_iter()), None);
        assert_eq!(none.prompt(100, 0, 0), None);
    }

    #[test]
    fn an_answer_is_as_long_as_usual_goes_on_for_a_part_of_that_and_ends_at_its_limit() {
        let left = |prompt, drawn, most| known().ahead(prompt, drawn, most).unwrap();
        let answers = [left(0, 0, 1_000), left(0, 40, 1_000), left(0, 99, 1_000), left(0, 500, 1_000)];
        assert_eq!(answers.map(|one| one.answer), [100.0, 60.0, 25.0, 25.0]);
        assert_eq!([left(0, 990, 1_000), left(0, 0, 30)].map(|one| one.answer), [10.0, 30.0]);
        assert_eq!(left(7, 0, 1_000), Ahead { prompt: 7.0, answer: 99.0 }, "the first comes with the prompt's last");
        assert_eq!(left(7, 0, 0).answer, 0.0);
    }

    #[test]
    fn what_steps_take_is_learned_from_them() {
        let mut outlook = Outlook::default();
        for _ in 0..100 {
            outlook.note(Taken { prompts: 127, answers: 1, drawn: 1, time: ms(256) });
            // Two tokens of each: one was guessed.
            outlook.note(Taken { prompts: 0, answers: 4, drawn: 8, time: ms(40) });
            outlook.note_length(60);
        }
        let near = |value: Option<f64>, wanted: f64| assert!((value.unwrap() / wanted - 1.0).abs() < 1e-6, "{value:?}");
        near(outlook.token(), 0.002);
        near(outlook.step, 0.256);
        near(outlook.answer, 0.02);
        near(outlook.length, 60.0);
        // Beside an answer prompts have half of the time; of four, three of which are answers, no less than that.
        near(outlook.prompt(500, 0, 2).map(|time| time.as_secs_f64()), 1.0);
        near(outlook.prompt(500, 3, 0).map(|time| time.as_secs_f64()), 2.0);
        // A few tokens of a prompt, most of whose time is that of the weights, say little.
        outlook.note(Taken { prompts: 1, answers: 0, drawn: 0, time: ms(20) });
        assert!(outlook.token().unwrap() < 0.0021);
    }

    #[test]
    fn the_moment_that_is_told_comes_nearer_is_put_off_and_passes() {
        let since = Instant::now();
        let begins = Begins::at_once(since);
        let wait = |after| begins.wait(since + ms(after));
        assert_eq!(wait(5), Some(ms(0)));
        begins.tell(since + ms(10), Some(0.5));
        assert_eq!([wait(10), wait(400), wait(600)], [Some(ms(500)), Some(ms(110)), Some(ms(0))]);
        begins.put_off(since + ms(400), ms(100));
        assert_eq!(wait(400), Some(ms(210)));
        begins.put_off(since + ms(1_000), ms(100));
        assert_eq!(wait(1_000), Some(ms(100)), "from now on, where it has passed");
        begins.tell(since, None);
        begins.put_off(since, ms(100));
        assert_eq!(wait(0), None);
    }

    #[test]
    fn what_may_be_in_time_is_not_too_late_and_an_estimate_may_be_off_by_half() {
        assert_eq!(too_late(ms(1_500), ms(1_000)), None);
        assert_eq!(too_late(ms(1_600), ms(1_000)), Some(ms(600)));
        assert_eq!(too_late(ms(0), ms(0)), None);
        assert_eq!(too_late(ms(1), ms(0)), Some(ms(1)));
    }
}
