//! When a loaded model has to give way to another that waits for its room.
//!
//! A turn is over after four times the time that loading takes, so that at most a fifth of the time goes into loading
//! however requests come. It is over sooner once the model has been idle for as long as loading takes: keeping it longer
//! would cost the one that waits more than loading it again costs ("ski rental": never twice the least that is possible).
//! One that nobody has used yet was loaded for callers who were told to come back, and is kept until they can have done so.

use std::time::Duration;

/// A model that loads faster is taken to load in this time: each swap costs more than the loading.
const LEAST: Duration = Duration::from_millis(250);
/// The times of loading that a turn lasts.
const TURN: u32 = 4;
/// How long a model is kept that nobody has used yet: the second that a caller is told to wait at the least, and some.
const UNUSED: Duration = Duration::from_secs(5);

/// How a loaded model is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// How long it takes to load.
    pub(super) loads_in: Duration,
    /// How long ago it was loaded.
    pub(super) loaded_for: Duration,
    /// How long it has been idle, if it is.
    pub(super) idle_for: Option<Duration>,
    /// Whether somebody has used it.
    pub(super) used: bool,
}

/// How long a turn lasts for a model that is used without a pause.
pub(super) fn lasts(loads_in: Duration) -> Duration {
    loads_in.max(LEAST).saturating_mul(TURN)
}

impl Turn {
    /// How long its turn goes on, if nothing changes; nothing where it is over.
    pub(super) fn left(&self) -> Duration {
        let whole = lasts(self.loads_in).saturating_sub(self.loaded_for);
        match self.idle_for {
            Some(_) if !self.used => UNUSED.saturating_sub(self.loaded_for),
            Some(idle_for) => whole.min(self.loads_in.max(LEAST).saturating_sub(idle_for)),
            None => whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_turn_is_as_long_as_four_loads_and_ends_sooner_where_a_load_would_fit_into_the_pause() {
        let turn = Turn { loads_in: ms(2_000), loaded_for: ms(1_000), idle_for: None, used: true };
        assert_eq!(turn.left(), ms(7_000));
        assert_eq!(Turn { idle_for: Some(ms(500)), ..turn }.left(), ms(1_500));
        assert_eq!(Turn { idle_for: Some(ms(2_000)), ..turn }.left(), ms(0));
        assert_eq!(Turn { loaded_for: ms(9_000), ..turn }.left(), ms(0));
        assert_eq!(Turn { loaded_for: ms(9_000), idle_for: Some(ms(1)), ..turn }.left(), ms(0));
        assert_eq!(lasts(ms(1)), ms(1_000), "whatever loads at once is kept for a second");
    }

    #[test]
    fn a_model_that_was_loaded_for_callers_who_are_yet_to_come_back_is_kept_for_them() {
        let turn = Turn { loads_in: ms(1), loaded_for: ms(2_000), idle_for: Some(ms(2_000)), used: false };
        assert_eq!(turn.left(), ms(3_000));
    }
}
