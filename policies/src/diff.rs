//! What a change of policies or configuration does to requests: every cell whose plan comes to something else.
//!
//! Two snapshots, the same callers, every kind of request that the routes of either tell apart (see [`crate::Cells`]),
//! each planned twice by the function that serves. What changes alike is told once, with the number of cells and an
//! example; a change that moves the strictest licence tier that a request can reach comes first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use catalog::{Date, Use};
use serde::Serialize;

use crate::{Caller, Cells, Effect, Example, Facts, Only, Serves, Snapshot, TooManyCells};

/// The most ways of changing that are told apart.
const MAX_CHANGES: usize = 10_000;

/// Somebody who may ask on both sides, with what the context stands for on each.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Before.
    pub old: Caller,
    /// What the context stands for after.
    pub new: Arc<Use>,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// How many kinds of request were planned.
    pub cells: usize,
    /// How many of them are planned otherwise.
    pub changed: usize,
    /// The changes, those that move a licence tier first, then by the number of their cells.
    pub changes: Vec<Change>,
    /// How many cells change in yet another way, beyond the 10,000 ways that are told.
    pub left_off: usize,
}

/// What changes alike for some cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// How many cells.
    pub cells: usize,
    /// The models that they ask for.
    pub models: BTreeSet<String>,
    /// Their teams and contexts.
    pub callers: BTreeSet<String>,
    /// Their languages.
    pub languages: BTreeSet<String>,
    /// One of them.
    pub example: Example,
}

/// What is other after than before; an absent part is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct What {
    /// The strictest licence tier that the request can reach; 0 where nobody serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strictest_tier: Option<(u8, u8)>,
    /// The verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<(&'static str, &'static str)>,
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<(Option<String>, Option<String>)>,
    /// Who is tried first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<(Option<Serves>, Option<Serves>)>,
    /// Who may serve after and might not before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Serves>,
    /// Who might serve before and may not after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Serves>,
    /// Whether those that stay come in another order.
    pub reordered: bool,
    /// Who else gets the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<(Option<Serves>, Option<Serves>)>,
}

impl What {
    /// What two effects differ in; `None` where they do not.
    fn of(old: &Effect, new: &Effect) -> Option<Self> {
        if old == new {
            return None;
        }
        fn pair<T: PartialEq>(old: T, new: T) -> Option<(T, T)> {
            (old != new).then_some((old, new))
        }
        fn beside(these: &[Serves], those: &[Serves]) -> Vec<Serves> {
            let known: BTreeSet<&Serves> = those.iter().collect();
            let mut rest: Vec<Serves> = these.iter().filter(|serves| !known.contains(serves)).cloned().collect();
            rest.sort();
            rest
        }
        let (added, removed) = (beside(&new.candidates, &old.candidates), beside(&old.candidates, &new.candidates));
        let stay = |all: &[Serves], gone: &[Serves]| -> Vec<Serves> {
            all.iter().filter(|serves| gone.binary_search(serves).is_err()).cloned().collect()
        };
        Some(Self {
            strictest_tier: pair(old.strictest_tier(), new.strictest_tier()),
            verdict: pair(old.verdict, new.verdict),
            route: pair(old.route.clone(), new.route.clone()),
            first: pair(old.candidates.first().cloned(), new.candidates.first().cloned()),
            shadow: pair(old.shadow.clone(), new.shadow.clone()),
            reordered: stay(&old.candidates, &removed) != stay(&new.candidates, &added),
            added,
            removed,
        })
    }

    /// Whether a request can reach a stricter licence tier than before.
    pub fn stricter(&self) -> bool {
        self.strictest_tier.is_some_and(|(old, new)| new > old)
    }
}

/// Everything that is planned otherwise under `new` than under `old`, for these callers on the day `today`.
///
/// # Errors
/// Too many cells to look through.
pub fn diff(
    old: &Snapshot<'_>,
    new: &Snapshot<'_>,
    callers: &[Pair],
    today: Date,
    only: &Only,
) -> Result<Diff, TooManyCells> {
    let asking: Vec<Caller> = callers.iter().map(|pair| pair.old.clone()).collect();
    let cells = Cells::new(&[old, new], &asking, today, only)?;
    let mut changes: Vec<Change> = Vec::new();
    let mut known: HashMap<What, usize> = HashMap::new();
    let (mut changed, mut left_off) = (0, 0);
    for cell in cells.iter() {
        let after = Facts { use_: Arc::clone(&callers[cell.caller].new), ..cell.facts.clone() };
        let Some(what) = What::of(&Effect::of(&cell.facts, old), &Effect::of(&after, new)) else { continue };
        changed += 1;
        if changes.len() >= MAX_CHANGES && !known.contains_key(&what) {
            left_off += 1;
            continue;
        }
        let at = *known.entry(what.clone()).or_insert_with(|| {
            changes.push(Change {
                what,
                cells: 0,
                models: BTreeSet::new(),
                callers: BTreeSet::new(),
                languages: BTreeSet::new(),
                example: (&cell.facts).into(),
            });
            changes.len() - 1
        });
        let change = &mut changes[at];
        change.cells += 1;
        change.models.insert(cell.facts.model_asked.clone());
        change.callers.insert(called(&asking[cell.caller]));
        change.languages.insert(cell.facts.language.clone().unwrap_or_else(|| "not told".to_owned()));
    }
    changes.sort_by_key(|change| {
        (!change.what.stricter(), change.what.strictest_tier.is_none(), std::cmp::Reverse(change.cells))
    });
    Ok(Diff { cells: cells.len(), changed, changes, left_off })
}

/// The callers that two sides share, and the names of those that only one has.
pub fn pairs(old: &[Caller], new: &[Caller]) -> (Vec<Pair>, Vec<String>, Vec<String>) {
    let key = |caller: &Caller| (caller.team.clone(), caller.context.clone(), alone(caller));
    // Without a context there is nothing to find the other side by but the use itself.
    fn alone(caller: &Caller) -> Option<Arc<Use>> {
        caller.context.is_none().then(|| Arc::clone(&caller.use_))
    }
    let mut rest: BTreeMap<usize, &Caller> = new.iter().enumerate().collect();
    let (mut both, mut gone) = (Vec::new(), Vec::new());
    for caller in old {
        let found = rest.iter().find(|(_, other)| key(other) == key(caller)).map(|(at, _)| *at);
        match found.and_then(|at| rest.remove(&at)) {
            Some(other) => both.push(Pair { old: caller.clone(), new: Arc::clone(&other.use_) }),
            None => gone.push(called(caller)),
        }
    }
    (both, gone, rest.into_values().map(called).collect())
}

/// A caller in a few words.
fn called(caller: &Caller) -> String {
    let team = caller.team.as_deref().map(|team| format!("team {team}, "));
    let context = match &caller.context {
        Some(context) => format!("context {context}"),
        None => format!("{} use", caller.use_.purpose.name()),
    };
    team.unwrap_or_default() + &context
}
