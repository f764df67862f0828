//! Who waits for a slot, and who gets the next one that is free.
//!
//! Those of a priority stand in the order in which they came, and the usual ones go first. But of [`ONE_OF`] that are let in
//! while both wait one is of low priority, so that those get on, however many others come. And where there are several slots
//! they never have all of them: an answer takes a while, and whoever comes meanwhile is not to wait for the end of one that
//! nobody waits for.
//!
//! Knows priorities alone; nothing of what waits.

use std::collections::VecDeque;

use backends::Priority;

/// Of so many that are let in while both wait, one is of low priority.
const ONE_OF: u32 = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Line<T> {
    usual: VecDeque<T>,
    low: VecDeque<T>,
    /// Slots that those of low priority may have at a time.
    most_low: usize,
    /// Usual ones that were let in since the last of low priority, while such a one could have been.
    before: u32,
}

impl<T> Line<T> {
    /// Nobody, for so many slots.
    pub(super) fn new(slots: usize) -> Self {
        let kept_free = if slots > 1 { (slots / 4).max(1) } else { 0 };
        Self { usual: VecDeque::new(), low: VecDeque::new(), most_low: slots - kept_free, before: 0 }
    }

    pub(super) fn join(&mut self, priority: Priority, one: T) {
        match priority {
            Priority::Usual => self.usual.push_back(one),
            Priority::Low => self.low.push_back(one),
        }
    }

    /// Who is let in next, where those of low priority have so many slots.
    pub(super) fn first(&self, low: usize) -> Option<(Priority, &T)> {
        let priority = match self.low_may(low) && (self.usual.is_empty() || self.before + 1 >= ONE_OF) {
            true => Priority::Low,
            false => Priority::Usual,
        };
        let first = match priority {
            Priority::Usual => self.usual.front(),
            Priority::Low => self.low.front(),
        };
        first.map(|first| (priority, first))
    }

    /// Lets that one in.
    pub(super) fn take(&mut self, low: usize) -> Option<T> {
        let (priority, _) = self.first(low)?;
        let passes = self.low_may(low);
        match priority {
            Priority::Usual => {
                self.before += u32::from(passes);
                self.usual.pop_front()
            }
            Priority::Low => {
                self.before = 0;
                self.low.pop_front()
            }
        }
    }

    fn low_may(&self, low: usize) -> bool {
        !self.low.is_empty() && low < self.most_low
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.usual.retain(&keep);
        self.low.retain(&keep);
    }

    /// Those of usual priority, in their order.
    pub(super) fn usual(&self) -> impl ExactSizeIterator<Item = &T> {
        self.usual.iter()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.usual.len() + self.low.len()
    }

    /// How many of those are of low priority.
    pub(super) fn low(&self) -> usize {
        self.low.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Comes(bool),
        /// The one that has had a slot for so many others ends.
        Ends(usize),
        Leaves(usize),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            4 => any::<bool>().prop_map(Happens::Comes),
            3 => (0..4usize).prop_map(Happens::Ends),
            1 => (0..9usize).prop_map(Happens::Leaves),
        ]
    }

    const fn priority(low: bool) -> Priority {
        if low { Priority::Low } else { Priority::Usual }
    }

    proptest! {
        #[test]
        fn each_priority_keeps_its_order_and_low_ones_get_on_and_never_have_all_slots(
            slots in 1..6usize,
            steps in vec(happens(), 0..200),
        ) {
            let mut line = Line::new(slots);
            let mut running: Vec<(bool, usize)> = Vec::new();
            let mut waiting: Vec<(bool, usize)> = Vec::new();
            // Usual ones that went before the low one that stands first, while it had a slot to get.
            let mut passed = 0;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Happens::Comes(low) => {
                        line.join(priority(low), (low, number));
                        waiting.push((low, number));
                    }
                    Happens::Ends(nth) if nth < running.len() => {
                        running.remove(nth);
                    }
                    Happens::Leaves(nth) if nth < waiting.len() => {
                        let gone = waiting.remove(nth);
                        line.retain(|one| *one != gone);
                    }
                    _ => {}
                }
                while running.len() < slots {
                    let low = running.iter().filter(|(low, _)| *low).count();
                    let may = waiting.iter().any(|(low, _)| *low) && (slots == 1 || low + 1 < slots);
                    let first = line.first(low).map(|(priority, one)| (priority, *one));
                    let Some(one) = line.take(low) else {
                        prop_assert!(waiting.iter().all(|(low, _)| *low), "a usual one is never kept from a free slot");
                        break;
                    };
                    prop_assert_eq!(first, Some((priority(one.0), one)));
                    let expected = waiting.iter().find(|(low, _)| *low == one.0);
                    prop_assert_eq!(expected, Some(&one), "in the order in which they came");
                    waiting.retain(|other| *other != one);
                    running.push(one);
                    passed = if one.0 { 0 } else { passed + u32::from(may) };
                    prop_assert!(passed < ONE_OF, "a low one that could have a slot waits for {} others", passed);
                }
                let low = running.iter().filter(|(low, _)| *low).count();
                prop_assert!(slots == 1 || low < slots, "one slot at least is free of low ones");
                prop_assert_eq!((line.len(), line.low()), (waiting.len(), waiting.iter().filter(|one| one.0).count()));
            }
        }
    }

    #[test]
    fn of_eight_that_are_let_in_while_both_wait_one_is_of_low_priority() {
        let mut line = Line::new(4);
        (0..100).for_each(|number| line.join(priority(number % 2 == 1), number));
        let low: Vec<usize> = (0..32).filter(|_| line.take(0).is_some_and(|number| number % 2 == 1)).collect();
        assert_eq!(low, [7, 15, 23, 31]);
    }

    #[test]
    fn low_ones_have_three_quarters_of_the_slots_at_most_and_the_only_one() {
        let most = |slots| {
            (0..=slots).find(|low| {
                let mut line = Line::new(slots);
                line.join(Priority::Low, ());
                line.first(*low).is_none()
            })
        };
        assert_eq!([1, 2, 4, 16].map(most), [1, 1, 3, 12].map(Some));
    }
}
