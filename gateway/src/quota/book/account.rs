//! One budget in its current period: what was spent of it, and how far it may be spent without another word of where that is
//! kept.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use serde::Serialize;

use super::super::period::Period;
use crate::config::Every;

/// Billionths of a USD.
pub type NanoUsd = u64;

/// A budget has this many parts, of which one is written ahead, or drawn ahead by all gateways of a fleet together.
pub(super) const PARTS: NanoUsd = 100;

/// See the module.
#[derive(Debug)]
pub struct Account {
    every: Every,
    /// How many gateways draw from the budget, where several do.
    gateways: Option<Arc<AtomicU32>>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) begins: i64,
    pub(super) ends: i64,
    /// What was spent or is set aside here.
    pub(super) spent: NanoUsd,
    /// How far it may be spent here: so the file says, or so much was drawn.
    pub(super) mark: NanoUsd,
    /// What all gateways have drawn, as it was heard last; `None` where it was not.
    drawn: Option<NanoUsd>,
    /// What is to be written ahead, a part of the budget.
    part: NanoUsd,
    /// What somebody waits for beyond that.
    pub(super) wanted: NanoUsd,
    /// The budget itself, and the share of it that is to be told.
    most: NanoUsd,
    warn: NanoUsd,
    /// Which of [`Crossed`] were told.
    pub(super) told: u8,
    /// Whether somebody was refused since the others were asked.
    refused: bool,
    /// How often the others were asked since something was set aside.
    idle: u8,
}

/// What was set aside in a period.
#[derive(Clone, Copy, Debug)]
pub struct Aside {
    begins: i64,
    amount: NanoUsd,
}

/// Why nothing was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The budget is used up until then, in seconds since 1970.
    Spent {
        /// When the next period begins.
        ends: i64,
    },
    /// The file does not yet say so; it will.
    NotWritten,
}

/// A share of a budget that was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Crossed {
    /// The share that is to be told.
    Warn = 1,
    /// All of it: requests are refused.
    Stop = 2,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// What was spent or is set aside.
    pub spent: NanoUsd,
    /// Its period.
    pub period: Period,
}

/// What is asked of the budget that several gateways draw from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// When the period begins, and the next one.
    pub period: Period,
    /// Spent already beyond what was drawn.
    pub owed: NanoUsd,
    /// To be had, as far as it is there.
    pub wanted: NanoUsd,
    /// Given back.
    pub returned: NanoUsd,
    /// The budget, and the share of it that is to be told.
    pub most: NanoUsd,
    /// See `most`.
    pub warn: NanoUsd,
    /// Whether somebody was refused.
    pub refused: bool,
}

impl Account {
    /// One of which nothing was spent; `gateways` where several draw from the budget.
    pub(super) fn new(every: Every, gateways: Option<Arc<AtomicU32>>) -> Self {
        Self { every, gateways, state: Mutex::default() }
    }

    /// One of which so much was spent before this start.
    pub(super) fn written(every: Every, begins: i64, spent: NanoUsd, told: u8) -> Self {
        let ends = Period::of(every, begins).ends;
        let state = State { begins, ends, spent, mark: spent, told, ..State::default() };
        Self { every, gateways: None, state: Mutex::new(state) }
    }

    /// Sets `amount` aside of a budget of `most`, all or nothing, and says whether a share was crossed by it. The book has
    /// to be woken where it says so.
    ///
    /// # Errors
    /// When the budget has not that much left, or it is not yet written or drawn that it may be spent.
    pub fn set_aside(&self, amount: NanoUsd, most: NanoUsd, warn: NanoUsd, now: i64) -> Result<Taken, Refused> {
        let gateways = self.gateways.as_ref().map(|gateways| NanoUsd::from(gateways.load(Relaxed).max(1)));
        let mut state = self.state();
        state.enter(self.every, now);
        (state.most, state.warn, state.idle) = (most, warn, 0);
        state.part = (most / (PARTS * gateways.unwrap_or(1))).max(2);
        let spent = state.spent.saturating_add(amount);
        let (left, all) = match gateways {
            None => (spent <= most, state.spent),
            // What the others may yet give back is not there.
            Some(_) => (state.drawn.is_none_or(|drawn| drawn.saturating_sub(state.mark) + spent <= most), state.all()),
        };
        // What costs nothing is refused as well once all is spent.
        if !left || all >= most {
            state.refused = true;
            return Err(Refused::Spent { ends: state.ends });
        }
        if spent > state.mark || state.mark == 0 {
            state.wanted = state.wanted.max(amount);
            return Err(Refused::NotWritten);
        }
        state.spent = spent;
        let crossed = state.cross(gateways.is_none() && spent >= warn, Crossed::Warn);
        Ok(Taken { aside: Aside { begins: state.begins, amount }, crossed, wake: state.runs_low() })
    }

    /// What was set aside cost `cost`.
    pub fn settle(&self, aside: Aside, cost: NanoUsd, warn: NanoUsd, now: i64) -> Option<Crossed> {
        let mut state = self.state();
        state.enter(self.every, now);
        // A request that began in the period before is paid for in this one; what it set aside went with the other.
        let given_back = if state.begins == aside.begins { aside.amount } else { 0 };
        state.spent = state.spent.saturating_sub(given_back).saturating_add(cost);
        let warns = self.gateways.is_none() && cost > 0 && state.spent >= warn;
        state.cross(warns, Crossed::Warn)
    }

    /// A request was refused, since all is spent; whether that is news. Where several gateways draw from it, the place that
    /// they draw at says which of them tells.
    pub fn stopped(&self) -> Option<Crossed> {
        self.state().cross(self.gateways.is_none(), Crossed::Stop)
    }

    /// How it stands: with all gateways together, as far as they were heard.
    pub fn standing(&self, now: i64) -> Standing {
        let mut state = self.state();
        state.enter(self.every, now);
        Standing { spent: state.all(), period: Period { begins: state.begins, ends: state.ends } }
    }

    /// What is to be asked of the budget that several gateways draw from; `None` where there is nothing to ask. All that are
    /// of use are asked for `regularly`. What is given back may not be spent from now on.
    pub fn draw(&self, regularly: bool, now: i64) -> Option<Draw> {
        /// So often it is asked for regularly after its last use.
        const IDLE: u8 = 10;
        let mut state = self.state();
        state.enter(self.every, now);
        if state.most == 0 || state.idle >= IDLE && state.mark == state.spent {
            return None;
        }
        state.idle = state.idle.saturating_add(u8::from(regularly));
        let ahead = if state.idle < IDLE { state.part.max(state.wanted.saturating_mul(2)) } else { 0 };
        let next = state.spent.saturating_add(ahead);
        let spare = next.saturating_add(ahead) < state.mark;
        let returned = if spare { state.mark - next } else { 0 };
        state.mark -= returned;
        let wanted = if ahead > 0 && state.runs_low() { next.saturating_sub(state.mark.max(state.spent)) } else { 0 };
        let owed = state.spent.saturating_sub(state.mark);
        if !regularly && owed + wanted + returned == 0 {
            return None;
        }
        Some(Draw {
            period: Period { begins: state.begins, ends: state.ends },
            owed,
            wanted,
            returned,
            most: state.most,
            warn: state.warn,
            refused: std::mem::take(&mut state.refused),
        })
    }

    /// Gives back all that was drawn and not spent: nothing is spent after.
    pub fn close(&self, now: i64) -> Option<Draw> {
        let draw = self.draw(true, now)?;
        let mut state = self.state();
        let returned = draw.returned + state.mark.saturating_sub(state.spent);
        state.mark = state.mark.min(state.spent);
        Some(Draw { wanted: 0, returned, ..draw })
    }

    /// What was asked for is done, `given` of what was wanted is there, and all gateways have drawn so much.
    pub fn drew(&self, draw: Draw, given: NanoUsd, drawn: NanoUsd) {
        let mut state = self.state();
        // A period may have begun meanwhile.
        if state.begins != draw.period.begins {
            return;
        }
        // No more than was asked for, whatever is said there.
        state.mark = state.mark.saturating_add(draw.owed).saturating_add(given.min(draw.wanted));
        state.drawn = Some(drawn);
        state.written();
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Held for a few instructions; a state is right after every one of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something was set aside.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// What.
    pub aside: Aside,
    /// A share that was spent by it for the first time.
    pub crossed: Option<Crossed>,
    /// Whether the book has to be written soon.
    pub wake: bool,
}

impl State {
    /// Begins a new period where the last one is over. A clock that goes back begins none.
    fn enter(&mut self, every: Every, now: i64) {
        if now >= self.ends {
            let Period { begins, ends } = Period::of(every, now);
            *self = Self { begins, ends, ..Self::default() };
        }
    }

    /// What was spent by all together; of what others drew it is not known what they spent.
    fn all(&self) -> NanoUsd {
        self.drawn.map_or(self.spent, |drawn| drawn.saturating_sub(self.mark).saturating_add(self.spent))
    }

    /// Whether little is left of what was written ahead.
    fn runs_low(&self) -> bool {
        self.spent.saturating_add((self.part / 2).max(self.wanted)) > self.mark
    }

    /// How far the file is to let it be spent next.
    pub(super) fn next_mark(&self) -> NanoUsd {
        let ahead = self.part.max(self.wanted.saturating_mul(2));
        let next = self.spent.saturating_add(ahead);
        if self.runs_low() || next.saturating_add(ahead) < self.mark { next } else { self.mark }
    }

    /// The mark is where it was asked to be.
    pub(super) fn written(&mut self) {
        // Somebody may have come while it was written, and waits for the next time.
        if self.spent.saturating_add(self.wanted) <= self.mark {
            self.wanted = 0;
        }
    }

    fn cross(&mut self, crossed: bool, what: Crossed) -> Option<Crossed> {
        let news = crossed && self.told & what as u8 == 0;
        news.then(|| {
            self.told |= what as u8;
            what
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const MOST: NanoUsd = 1_000_000;
    const NOW: i64 = 1_800_000_000;

    fn account(gateways: u32) -> Account {
        Account::new(Every::Month, Some(Arc::new(AtomicU32::new(gateways))))
    }

    /// Draws from what all have drawn, as `fleet/budgets.rs` does.
    fn drawn(drawn: &mut NanoUsd, account: &Account, regularly: bool) {
        if let Some(draw) = account.draw(regularly, NOW) {
            *drawn = *drawn + draw.owed - draw.returned;
            let given = draw.wanted.min(MOST.saturating_sub(*drawn));
            *drawn += given;
            account.drew(draw, given, *drawn);
        }
    }

    #[test]
    fn what_was_drawn_and_not_used_goes_back_after_a_while_or_at_the_end() {
        let (mut all, account) = (0, account(4));
        assert_eq!(account.set_aside(100, MOST, MOST, NOW).unwrap_err(), Refused::NotWritten, "nothing is drawn yet");
        drawn(&mut all, &account, false);
        let taken = account.set_aside(100, MOST, MOST, NOW).unwrap();
        assert_eq!(all, MOST / 400, "a hundredth by four gateways together");
        account.settle(taken.aside, 40, MOST, NOW);
        for _ in 0..20 {
            drawn(&mut all, &account, true);
        }
        assert_eq!(all, 40);
        assert_eq!(account.draw(true, NOW), None, "it is asked for no more");
        assert_eq!(account.standing(NOW).spent, 40);
        let _ = account.set_aside(500, MOST, MOST, NOW);
        drawn(&mut all, &account, false);
        let closed = account.close(NOW).unwrap();
        assert_eq!(all - closed.returned, 40);
    }

    #[test]
    fn a_budget_that_others_have_drawn_is_spent_and_one_of_them_tells() {
        let (mut all, account) = (MOST - 50, account(2));
        assert_eq!(account.set_aside(100, MOST, MOST, NOW).unwrap_err(), Refused::NotWritten);
        drawn(&mut all, &account, false);
        assert!(matches!(account.set_aside(100, MOST, MOST, NOW), Err(Refused::Spent { .. })));
        assert_eq!(account.stopped(), None, "that is told where all draw");
        assert!(account.draw(true, NOW).is_some_and(|draw| draw.refused));
    }

    proptest! {
        /// However they draw, settle and die.
        #[test]
        fn what_gateways_spend_together_is_never_more_than_was_drawn_nor_that_more_than_there_is(
            steps in vec((0_usize..3, 1_u64..30_000, 0_u64..30_000, 0_u8..6), 1..200),
        ) {
            let mut all = 0;
            let mut gateways = [account(3), account(3), account(3)];
            let mut running: [Vec<(Aside, NanoUsd)>; 3] = Default::default();
            let mut spent = 0;
            for (at, amount, cost, what) in steps {
                match what {
                    0 => drawn(&mut all, &gateways[at], true),
                    1 => drawn(&mut all, &gateways[at], false),
                    2 => if let Some((aside, cost)) = running[at].pop() {
                        gateways[at].settle(aside, cost, MOST, NOW);
                    },
                    // It dies, and what ran there has cost what it may.
                    3 if amount < 3_000 => {
                        running[at].clear();
                        gateways[at] = account(3);
                    }
                    _ => if let Ok(taken) = gateways[at].set_aside(amount, MOST, MOST, NOW) {
                        let cost = cost.min(amount);
                        running[at].push((taken.aside, cost));
                        spent += cost;
                    },
                }
                prop_assert!(spent <= all && all <= MOST, "{spent} of {all} of {MOST}");
            }
        }
    }
}
