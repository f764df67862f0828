//! Shares time between answers under way and prompts that wait.
//!
//! A step with a piece of a prompt takes many times as long as one with answers alone, and every answer waits for it. So prompts
//! pause after it until the answers have been given as many steps as make up for that: over time an answer's tokens take at most
//! [`GROWTH`] times as long as they do without any prompt, and prompts get the rest of the time. Where more prompts wait than
//! there are answers, each of them counts as much as an answer: of sixteen requests that come together the first does not hold up
//! the others, with which it will share its steps. Prompts of low priority leave answers of the usual one more: those take at most
//! [`GROWTH_FOR_LOW`] times as long for them, however many they are.
//!
//! Knows durations and counts only.

use std::time::Duration;

/// How much longer the tokens of answers may take for the sake of prompts.
const GROWTH: f64 = 2.0;
/// The same where all prompts are of low priority and not all answers.
const GROWTH_FOR_LOW: f64 = 1.25;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// A decayed mean of the seconds that a step of answers alone takes; none before there was one.
    alone: Option<f64>,
    /// Seconds that prompts have had and answers have not been given for it; below zero, what they have been given too many, of
    /// one step at most.
    owed: f64,
}

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Answers in it.
    pub(super) answers: usize,
    /// Whether there were prompts in it.
    pub(super) prompts: bool,
    /// Prompts that were to be computed, in it or later.
    pub(super) waiting: usize,
    /// Whether these are all of low priority, and the answers are not.
    pub(super) give_way: bool,
    pub(super) time: Duration,
}

/// How much longer the tokens of so many answers may take for the sake of so many prompts.
fn growth(answers: usize, waiting: usize) -> f64 {
    GROWTH.max((answers + waiting) as f64 / answers as f64)
}

/// The share of the time that so many prompts have beside so many answers.
pub(super) fn share(answers: usize, waiting: usize) -> f64 {
    match (answers, waiting) {
        (_, 0) => 0.0,
        (0, _) => 1.0,
        _ => 1.0 - 1.0 / growth(answers, waiting),
    }
}

impl Turns {
    /// Whether answers are to be alone in the next step, if there are any.
    pub(super) fn answers_are_due(&self) -> bool {
        self.owed > 0.0
    }

    pub(super) fn note(&mut self, Taken { answers, prompts, waiting, give_way, time }: Taken) {
        if answers == 0 {
            // Nobody waited for it.
            self.owed = 0.0;
            return;
        }
        let time = time.as_secs_f64();
        if !prompts {
            self.alone = Some(self.alone.map_or(time, |mean| mean + (time - mean) / 4.0));
        }
        let growth = if give_way { GROWTH_FOR_LOW } else { growth(answers, waiting) };
        let given = growth * self.alone.unwrap_or_default();
        self.owed = (self.owed + time - given).max(-given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn alone(answers: usize, waiting: usize) -> Taken {
        Taken { answers, prompts: false, waiting, give_way: false, time: ms(20) }
    }

    /// How many of some steps have prompts, which then take `long`, and what a token of an answer takes over all of them.
    fn run(turns: &mut Turns, of: Taken, long: Duration) -> (u32, Duration) {
        const STEPS: u32 = 2_000;
        let (mut with, mut all) = (0, Duration::ZERO);
        for _ in 0..STEPS {
            let prompts = !turns.answers_are_due();
            let time = if prompts { long } else { ms(20) };
            turns.note(Taken { prompts, time, ..of });
            with += u32::from(prompts);
            all += time;
        }
        (with, all / STEPS)
    }

    #[test]
    fn an_answer_takes_twice_as_long_beside_a_prompt_which_has_all_that_leaves() {
        let mut turns = Turns::default();
        turns.note(alone(1, 0));
        for (answers, long) in [(1, ms(640)), (5, ms(100)), (16, ms(45))] {
            let (with, each) = run(&mut turns, alone(answers, 1), long);
            assert!((ms(39)..=ms(41)).contains(&each), "{each:?} with steps of {long:?}");
            assert!(with > 0);
        }
        // Where prompts cost next to nothing they are in every step.
        assert_eq!(run(&mut turns, alone(1, 1), ms(39)).0, 2_000);
    }

    #[test]
    fn of_many_that_come_together_the_first_does_not_hold_up_the_others() {
        let mut turns = Turns::default();
        turns.note(alone(1, 0));
        let (_, each) = run(&mut turns, alone(1, 15), ms(1_000));
        assert!((ms(315)..=ms(325)).contains(&each), "{each:?}: a sixteenth of the time");
    }

    #[test]
    fn prompts_of_low_priority_take_a_quarter_more_of_an_answers_time_and_no_more_however_many_they_are() {
        let mut turns = Turns::default();
        turns.note(alone(1, 0));
        let (with, each) = run(&mut turns, Taken { give_way: true, ..alone(1, 15) }, ms(200));
        assert!((ms(24)..=ms(26)).contains(&each) && with > 0, "{each:?}");
    }

    #[test]
    fn prompts_have_the_time_that_answers_leave() {
        assert_eq!([share(0, 0), share(3, 0), share(0, 5)], [0.0, 0.0, 1.0]);
        assert_eq!([share(1, 1), share(8, 2), share(1, 3)], [0.5, 0.5, 0.75]);
    }

    #[test]
    fn prompts_without_answers_never_pause_and_owe_nothing() {
        let mut turns = Turns::default();
        turns.note(Taken { prompts: true, ..alone(1, 1) });
        assert!(turns.answers_are_due());
        turns.note(Taken { prompts: true, ..alone(0, 1) });
        assert!(!turns.answers_are_due());
    }

    /// Before any step of answers alone it is not known what one takes.
    #[test]
    fn the_first_answer_is_soon_alone_in_a_step() {
        let mut turns = Turns::default();
        turns.note(Taken { prompts: true, time: ms(95), ..alone(1, 1) });
        let mut steps = 0;
        while turns.answers_are_due() {
            turns.note(alone(1, 1));
            steps += 1;
        }
        assert_eq!(steps, 5);
    }
}
