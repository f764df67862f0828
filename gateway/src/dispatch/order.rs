//! Which candidate is tried next: the plan's order, changed by what has failed so far.
//!
//! A candidate that answers a failure (`after` of its group) comes next once one of that class has happened, and before
//! it only where nobody else may serve. Those at a site that failed come after all others, so that the few attempts of a
//! request are not spent on one host that is down. A group's own number of attempts is kept here; that of the route is
//! not. Knows candidates by their places in the plan alone.

use policies::{Attempts, FailureClass, FailureClasses};

/// The candidates of one plan that were not tried yet.
#[derive(Debug)]
pub struct Order<'p> {
    attempts: &'p Attempts,
    /// By candidate: its group.
    group: Vec<Option<u8>>,
    /// Those that were not taken, in the plan's order.
    open: Vec<usize>,
    /// By group: how many were taken.
    taken: Vec<u32>,
    /// The failures so far.
    seen: FailureClasses,
    begun: bool,
}

/// The candidate that is tried first, of a plan's candidates by their groups.
pub fn first(attempts: &Attempts, mut groups: impl ExactSizeIterator<Item = Option<u8>>) -> Option<usize> {
    let any = groups.len() > 0;
    // One that answers failures waits for them; there may be no other.
    let free = groups.position(|group| answered(attempts, group).is_empty());
    free.or(any.then_some(0))
}

/// The failures that a candidate of a group answers.
fn answered(attempts: &Attempts, group: Option<u8>) -> FailureClasses {
    group.and_then(|group| attempts.groups.get(usize::from(group))).map(|group| group.after).unwrap_or_default()
}

impl<'p> Order<'p> {
    /// Every candidate of a plan, by its group.
    pub fn new(attempts: &'p Attempts, group: impl Iterator<Item = Option<u8>>) -> Self {
        let group: Vec<Option<u8>> = group.collect();
        let open = (0..group.len()).collect();
        let taken = vec![0; attempts.groups.len()];
        Self { attempts, group, open, taken, seen: FailureClasses::default(), begun: false }
    }

    /// Takes the next one; `failed` says whether a candidate is at a site that failed.
    pub fn next(&mut self, failed: impl Fn(usize) -> bool) -> Option<usize> {
        let free = |candidate: usize| self.group(candidate).is_none_or(|group| self.left(group));
        let answers = |candidate: usize| self.after(candidate).iter().any(|class| self.seen.contains(class));
        let held = |candidate: usize| !self.after(candidate).is_empty() && !answers(candidate);
        let first = |fits: &dyn Fn(usize) -> bool| {
            let fits = |candidate: &&usize| free(**candidate) && fits(**candidate);
            let well = self.open.iter().find(|candidate| fits(candidate) && !failed(**candidate));
            well.or_else(|| self.open.iter().find(fits)).copied()
        };
        let next = first(&answers).or_else(|| first(&|candidate| !held(candidate)));
        let next = next.or_else(|| if self.begun { None } else { first(&|_| true) })?;
        self.open.retain(|candidate| *candidate != next);
        if let Some(group) = self.group(next) {
            self.taken[group] += 1;
        }
        Some(next)
    }

    /// A candidate was tried and failed; whether another may be tried after this failure.
    pub fn failed(&mut self, candidate: usize, class: FailureClass) -> bool {
        self.begun = true;
        self.seen = self.seen.iter().chain([class]).collect();
        let (on, _) = self.attempts.of(self.group[candidate]);
        on.contains(class) || self.open.iter().any(|candidate| self.after(*candidate).contains(class))
    }

    fn group(&self, candidate: usize) -> Option<usize> {
        self.group[candidate].map(usize::from).filter(|group| *group < self.taken.len())
    }

    fn left(&self, group: usize) -> bool {
        self.attempts.groups[group].max.is_none_or(|max| self.taken[group] < max)
    }

    /// The failures that a candidate answers.
    fn after(&self, candidate: usize) -> FailureClasses {
        answered(self.attempts, self.group[candidate])
    }
}

#[cfg(test)]
mod tests {
    use policies::{Deadlines, Group};

    use super::*;

    fn classes(classes: &[FailureClass]) -> FailureClasses {
        classes.iter().copied().collect()
    }

    fn group(after: &[FailureClass], max: Option<u32>, on: FailureClasses) -> Group {
        Group { after: classes(after), max, on, deadlines: Deadlines::default() }
    }

    fn attempts(groups: Vec<Group>) -> Attempts {
        Attempts { groups: groups.into(), ..Attempts::default() }
    }

    const OPEN: fn(usize) -> bool = |_| false;

    #[test]
    fn the_plans_order_is_kept_and_a_site_that_failed_comes_last() {
        let attempts = attempts(Vec::new());
        let mut order = Order::new(&attempts, [None; 3].into_iter());
        assert_eq!(order.next(OPEN), Some(0));
        assert!(order.failed(0, FailureClass::Connect));
        assert_eq!(order.next(|candidate| candidate == 1), Some(2));
        assert_eq!((order.next(|_| true), order.next(OPEN)), (Some(1), None));
    }

    #[test]
    fn one_that_answers_a_failure_comes_after_it_and_before_all_others() {
        let after = [FailureClass::ContextTooLong, FailureClass::ContentFilter];
        let attempts = attempts(vec![group(&after, None, FailureClasses::usual())]);
        let order = || Order::new(&attempts, [None, None, Some(0)].into_iter());
        let mut released = order();
        assert_eq!(released.next(OPEN), Some(0));
        assert!(released.failed(0, FailureClass::ContentFilter), "`on` leaves it out, but somebody answers it");
        assert_eq!((released.next(OPEN), released.next(OPEN), released.next(OPEN)), (Some(2), Some(1), None));
        let mut held = order();
        assert_eq!(held.next(OPEN), Some(0));
        assert!(held.failed(0, FailureClass::Connect));
        assert_eq!(held.next(OPEN), Some(1));
        held.failed(1, FailureClass::Connect);
        assert_eq!(held.next(OPEN), None, "nothing failed that it answers");
    }

    #[test]
    fn one_that_is_held_back_serves_where_nobody_else_may() {
        let attempts = attempts(vec![group(&[FailureClass::ServerError], None, FailureClasses::usual())]);
        let mut order = Order::new(&attempts, [Some(0), Some(0)].into_iter());
        assert_eq!(order.next(OPEN), Some(0));
        order.failed(0, FailureClass::Connect);
        assert_eq!(order.next(OPEN), None);
    }

    #[test]
    fn a_group_is_tried_as_often_as_it_says_and_goes_on_after_its_own_failures() {
        let only_connect = classes(&[FailureClass::Connect]);
        let attempts = attempts(vec![group(&[], Some(1), only_connect)]);
        let mut order = Order::new(&attempts, [Some(0), Some(0), None].into_iter());
        assert_eq!(order.next(OPEN), Some(0));
        assert!(!order.failed(0, FailureClass::ServerError));
        assert!(order.failed(0, FailureClass::Connect));
        assert_eq!((order.next(OPEN), order.next(OPEN)), (Some(2), None));
        assert!(order.failed(2, FailureClass::ServerError), "the route's own");
    }
}
