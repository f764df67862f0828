//! The decisions of one use on one day, each worked out once and then looked up.
//!
//! Uses that no row of the catalog tells apart share a class, so that a company with thousands of contexts has few. Equal
//! decisions are one allocation. A class that was made yesterday is made anew: terms begin and end with the day.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use super::{Decision, decide};
use crate::{Catalog, Date, Model, Use};

/// Uses that are kept. More are decided all the same, each time afresh.
const MAX_CLASSES: usize = 4096;

/// The decisions of one use on one day.
pub struct Class {
    use_: Use,
    today: Date,
    /// By the number of the model's row.
    cells: Box<[OnceLock<Arc<Decision>>]>,
}

impl Class {
    /// The decision for `model`. A model that is not a row of `catalog` is decided afresh.
    pub fn decision(&self, catalog: &Catalog, model: &Model) -> Arc<Decision> {
        let Some(cell) = catalog.row_of(model).and_then(|at| self.cells.get(at)) else {
            return Arc::new(decide(catalog, model, &self.use_, self.today));
        };
        Arc::clone(cell.get_or_init(|| catalog.classes().shared(decide(catalog, model, &self.use_, self.today))))
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
    by_use: ArcSwap<HashMap<Use, Arc<Class>>>,
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

    fn make(&self, use_: &Use, alike: Use, rows: usize, today: Date) -> Arc<Class> {
        let class = self.find(&alike, today).unwrap_or_else(|| {
            let cells = std::iter::repeat_with(OnceLock::new).take(rows).collect();
            Arc::new(Class { use_: alike.clone(), today, cells })
        });
        self.by_use.rcu(|known| {
            // Yesterday's go all at once, and with them their decisions.
            let mut next: HashMap<_, _> = match known.values().next() {
                Some(any) if any.today != today => HashMap::new(),
                _ => (**known).clone(),
            };
            if next.len() + 2 <= MAX_CLASSES {
                next.insert(alike.clone(), Arc::clone(&class));
                next.insert(use_.clone(), Arc::clone(&class));
            }
            next
        });
        class
    }

    /// Forgets decisions that no class holds any more.
    fn tidy(&self) {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.retain(|decision| Arc::strong_count(decision) > 1);
    }
}

impl Catalog {
    /// The class of a use on a day. Looked up once a request; the decisions are then a matter of nanoseconds.
    pub fn class(&self, use_: &Use, today: Date) -> Arc<Class> {
        if let Some(class) = self.classes().find(use_, today) {
            return class;
        }
        self.classes().make(use_, self.alike(use_), self.rows().models.len(), today)
    }

    /// Works out the decisions of these uses ahead.
    pub fn compile<'a>(&self, uses: impl IntoIterator<Item = &'a Use>, today: Date) {
        self.classes().tidy();
        for use_ in uses {
            let class = self.class(use_, today);
            for model in self.models() {
                class.decision(self, model);
            }
        }
    }

    /// The use without what no row asks after: it is decided as `use_` is.
    fn alike(&self, use_: &Use) -> Use {
        let entity = use_.entity.as_ref().filter(|entity| {
            self.attestations().any(|row| row.entity == **entity) || self.agreements().any(|row| row.entity == **entity)
        });
        let context = use_.context.as_ref().filter(|context| {
            self.attestations().any(|row| row.contexts.contains(context))
                || self.agreements().any(|row| row.contexts.contains(context))
                || self.waivers().any(|row| row.contexts.contains(context))
        });
        Use { entity: entity.cloned(), context: context.cloned(), end_users: Vec::new(), ..use_.clone() }
    }
}
