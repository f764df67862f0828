//! The decisions of one use on one day, each worked out once and then looked up.
//!
//! Uses that no row of the catalog tells apart share a class, so that a company with thousands of contexts has few. Equal
//! decisions are one allocation. A class that was made yesterday is made anew: terms begin and end with the day.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rapidhash::RapidHashMap;

use super::{Decision, decide, decide_as_stated, decide_served, stricter};
use crate::standing::Stated;
use crate::{Catalog, CompanyRule, Date, Model, Use};

/// Uses that are kept. More are decided all the same, each time afresh.
const MAX_CLASSES: usize = 4096;

/// The decisions of one use on one day.
pub struct Class {
    use_: Use,
    today: Date,
    stated: Stated,
    /// By the number of the model's row.
    cells: Box<[OnceLock<Arc<Decision>>]>,
}

impl Class {
    /// The decision for `model`. A model that is not a row of `catalog` is decided afresh.
    pub fn decision(&self, catalog: &Catalog, model: &Model) -> Arc<Decision> {
        match self.kept(catalog, model) {
            Some(decision) => Arc::clone(decision),
            None => Arc::new(decide(catalog, model, &self.use_, self.today)),
        }
    }

    /// The decision for `model` with a draft beside it, by its name in the catalog: both bind ([`decide_served`]).
    pub fn with_draft(&self, catalog: &Catalog, model: &Model, draft: &str) -> Arc<Decision> {
        let Some(other) = catalog.model(draft) else {
            return Arc::new(decide_served(catalog, model, &[draft], &self.use_, self.today));
        };
        let [model, other] = [model, other].map(|model| Decision::clone(&self.decision(catalog, model)));
        Arc::new(stricter(model, other))
    }

    /// The decision for the row `at` of `catalog`, as [`Catalog::row_of`] counts them; `None` where there is no such row.
    pub fn of_row(&self, catalog: &Catalog, at: usize) -> Option<&Arc<Decision>> {
        let cell = self.cells.get(at)?;
        if let Some(decision) = cell.get() {
            return Some(decision);
        }
        let model = catalog.row(at)?;
        // Worked out the first time.
        Some(cell.get_or_init(|| {
            let decision = decide_as_stated(catalog, model, &self.use_, self.today, &self.stated);
            catalog.classes().shared(decision)
        }))
    }

    fn kept(&self, catalog: &Catalog, model: &Model) -> Option<&Arc<Decision>> {
        self.of_row(catalog, catalog.row_of(model)?)
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class").field("use", &self.use_).field("today", &self.today).finish_non_exhaustive()
    }
}

/// The classes of a catalog.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// Looked up for every request.
    by_use: ArcSwap<RapidHashMap<Use, Arc<Class>>>,
    decisions: Mutex<HashSet<Arc<Decision>>>,
}

impl Classes {
    /// One allocation for all decisions that are equal.
    fn shared(&self, decision: Decision) -> Arc<Decision> {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = decisions.get(&decision) {
            return Arc::clone(known);
        }
        let decision = Arc::new(decision);
        decisions.insert(Arc::clone(&decision));
        decision
    }

    fn find(&self, use_: &Use, today: Date) -> Option<Arc<Class>> {
        self.by_use.load().get(use_).filter(|class| class.today == today).cloned()
    }

    /// Keeps classes under their uses, as far as there is room. Those of another day go all at once, and with them the
    /// decisions that no class holds any more.
    fn keep(&self, new: &[(Use, Arc<Class>)], today: Date) {
        let before = self.by_use.rcu(|known| {
            let mut next: RapidHashMap<_, _> = match known.values().next() {
                Some(any) if any.today != today => RapidHashMap::default(),
                _ => (**known).clone(),
            };
            for (use_, class) in new {
                if next.len() < MAX_CLASSES {
                    next.insert(use_.clone(), Arc::clone(class));
                }
            }
            next
        });
        if before.values().next().is_some_and(|any| any.today != today) {
            drop(before);
            let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
            decisions.retain(|decision| Arc::strong_count(decision) > 1);
        }
    }
}

impl Catalog {
    /// The class of a use on a day. Looked up once a request; the decisions are then a matter of nanoseconds.
    pub fn class(&self, use_: &Use, today: Date) -> Arc<Class> {
        if let Some(class) = self.classes().find(use_, today) {
            return class;
        }
        let alike = self.alike(use_);
        let class = self.classes().find(&alike, today).unwrap_or_else(|| self.new_class(&alike, today));
        self.classes().keep(&[(alike, Arc::clone(&class)), (use_.clone(), Arc::clone(&class))], today);
        class
    }

    /// Works out the decisions of these uses ahead.
    pub fn compile<'a>(&self, uses: impl IntoIterator<Item = &'a Use>, today: Date) {
        let mut made: HashMap<Use, Arc<Class>> = HashMap::new();
        for use_ in uses {
            let alike = self.alike(use_);
            let class = match made.get(&alike) {
                Some(class) => Arc::clone(class),
                None => {
                    let class = self.classes().find(&alike, today).unwrap_or_else(|| self.new_class(&alike, today));
                    for model in self.models() {
                        class.decision(self, model);
                    }
                    made.insert(alike, Arc::clone(&class));
                    class
                }
            };
            made.insert(use_.clone(), class);
        }
        self.classes().keep(&made.into_iter().collect::<Vec<_>>(), today);
    }

    fn new_class(&self, use_: &Use, today: Date) -> Arc<Class> {
        let cells = std::iter::repeat_with(OnceLock::new).take(self.row_count()).collect();
        Arc::new(Class { use_: use_.clone(), today, stated: Stated::of(self, use_, today), cells })
    }

    /// The use without what no row asks after: it is decided as `use_` is.
    fn alike(&self, use_: &Use) -> Use {
        let entity = use_.entity.as_ref().filter(|entity| {
            self.attestations().any(|row| row.entity == **entity)
                || self.agreements().any(|row| row.entity == **entity)
                || self.company_rules().any(|rule| rule.asks_entity(entity))
        });
        let context = use_.context.as_ref().filter(|context| {
            self.attestations().any(|row| row.contexts.contains(context))
                || self.agreements().any(|row| row.contexts.contains(context))
                || self.waivers().any(|row| row.contexts.contains(context))
                || self.company_rules().any(|rule| rule.asks_context(context))
        });
        let asks_end_users = self.company_rules().any(CompanyRule::asks_end_users);
        let end_users = if asks_end_users { use_.end_users.clone() } else { Vec::new() };
        Use { entity: entity.cloned(), context: context.cloned(), end_users, ..use_.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exposure, Purpose};

    fn day(text: &str) -> Date {
        text.parse().expect("a date")
    }

    #[test]
    fn uses_that_no_row_tells_apart_share_a_class_and_others_do_not() {
        let catalog = Catalog::builtin();
        let today = day("2026-11-25");
        let of = |context: &str, seat: &str| Use {
            context: Some(context.to_owned()),
            entity: Some("acme".to_owned()),
            seat: Some(seat.to_owned()),
            ..Use::new(Purpose::Internal, Exposure::Internal)
        };
        let class = |context, seat| catalog.class(&of(context, seat), today);
        assert!(Arc::ptr_eq(&class("a", "DE"), &class("b", "DE")));
        assert!(!Arc::ptr_eq(&class("a", "DE"), &class("a", "US")), "territories ask for the seat");
    }

    #[test]
    fn with_a_draft_the_licences_of_both_bind() {
        let catalog = Catalog::builtin();
        let (use_, today) = (Use::new(Purpose::Revenue, Exposure::Public), day("2026-11-25"));
        let class = catalog.class(&use_, today);
        let models: Vec<&Model> = catalog.models().step_by(17).collect();
        for model in &models {
            for draft in &models {
                let both = class.with_draft(&catalog, model, &draft.id);
                assert_eq!(*both, decide_served(&catalog, model, &[draft.id.as_str()], &use_, today));
                let outcomes = [model, draft].map(|model| class.decision(&catalog, model).outcome);
                assert_eq!(both.outcome, outcomes[0].max(outcomes[1]));
            }
        }
        let unknown = class.with_draft(&catalog, models[0], "no-such-model");
        assert!(!unknown.outcome.allows() && unknown.rule == "adapter-unknown");
    }

    #[test]
    fn a_new_day_makes_new_classes_and_lets_go_of_the_decisions_of_the_old() {
        let catalog = Catalog::with_assumptions().with_overlays(&[]).expect("a catalog of its own");
        let use_ = Use::new(Purpose::Revenue, Exposure::Public);
        catalog.compile([&use_], day("2026-11-25"));
        let kept = || catalog.classes().decisions.lock().expect("no panic").len();
        let before = kept();
        assert!(before > 100);
        let old = catalog.class(&use_, day("2026-11-25"));
        let new = catalog.class(&use_, day("2026-11-26"));
        assert!(!Arc::ptr_eq(&old, &new));
        drop(old);
        drop(new);
        drop(catalog.class(&use_, day("2026-11-27")));
        assert_eq!(kept(), 0, "nothing was decided on the new days");
    }
}
