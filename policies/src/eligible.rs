//! Who of a list may serve requests of one kind: the part of a plan that depends on the use and on what a request needs,
//! and not on its length, on its language or on how anybody is now.
//!
//! Worked out the first time that a list is asked for a use and needs, and then kept: a list may have hundreds of
//! deployments, while the uses and needs of a company are few. What is kept is bounded, and is another for each day, as
//! licence terms are.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use catalog::{Class, Date, Decision};
use rapidhash::RapidHashMap;

use crate::{
    Capabilities, Cause, Snapshot,
    plan::{Licensed, Out},
    set::Entry,
    table::{Row, Served, Table},
};

/// Deployments that are kept together, over all lists, uses and needs; 48 bytes each. Where more come, all of them go.
const MOST_KEPT: usize = 1 << 18;

/// The deployments of a list, for one use and needs.
#[derive(Debug, Default)]
pub(crate) struct Eligible {
    /// Those that may serve, in the order of the list.
    pub(crate) able: Box<[Able]>,
    /// The models of those; deployments of one model share it.
    pub(crate) licensed: Box<[Arc<Licensed>]>,
    /// Those that lack something, or whose licence forbids the use.
    pub(crate) out: Arc<[Out]>,
}

/// A deployment that may serve: all that a plan reads of it, side by side, as a plan reads hundreds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Able {
    /// `u64::MAX` where it is not known.
    pub(crate) context_tokens: u64,
    pub(crate) deployment: u32,
    /// Its row in the table.
    pub(crate) row: u32,
    /// USD per million tokens, NaN where a price is not known.
    pub(crate) input_usd: f32,
    /// Of prompt tokens that the place has in its cache; like the others where that is not known.
    pub(crate) cached_usd: f32,
    pub(crate) output_usd: f32,
    /// As in [`Entry`].
    pub(crate) stage: u16,
    pub(crate) rank: u16,
    pub(crate) group: u8,
    pub(crate) local: bool,
    /// As in [`Row`].
    pub(crate) site: u16,
}

/// What distinguishes what is kept: the list, as the place of its entries in memory, the use, and the needs. The class is
/// held, so that its place in memory is of no other.
type Key = (usize, usize, Capabilities);

/// What was worked out for the lists of one set of policies.
#[derive(Default)]
pub(crate) struct Memo(OnceLock<ArcSwap<Kept>>);

#[derive(Default)]
struct Kept {
    today: Option<Date>,
    able: usize,
    lists: RapidHashMap<Key, (Arc<Class>, Arc<Eligible>)>,
}

impl Memo {
    /// Who of `entries`, a list of the same set, may serve requests with these needs for the use of `allowed`.
    pub(crate) fn of(
        &self,
        entries: &[Entry],
        needs: Capabilities,
        allowed: &Allowed<'_>,
        today: Date,
    ) -> Arc<Eligible> {
        if !allowed.by_number {
            return Arc::new(Eligible::new(entries, needs, allowed));
        }
        let kept = self.0.get_or_init(ArcSwap::default);
        let key = (entries.as_ptr() as usize, Arc::as_ptr(&allowed.class) as usize, needs);
        if let Some((_, known)) = kept.load().lists.get(&key) {
            return Arc::clone(known);
        }
        let new = Arc::new(Eligible::new(entries, needs, allowed));
        kept.rcu(|before| before.with(key, &allowed.class, &new, today));
        new
    }
}

impl Kept {
    /// The same with one more, as far as there is room and it is of the same day.
    fn with(&self, key: Key, class: &Arc<Class>, new: &Arc<Eligible>, today: Date) -> Self {
        let more = new.able.len() + new.out.len();
        let fits = self.today == Some(today) && self.able + more <= MOST_KEPT;
        let (able, mut lists) = if fits { (self.able, self.lists.clone()) } else { Default::default() };
        lists.insert(key, (Arc::clone(class), Arc::clone(new)));
        Self { today: Some(today), able: able + more, lists }
    }
}

/// Other policies have other lists.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}

impl Eligible {
    fn new(entries: &[Entry], needs: Capabilities, allowed: &Allowed<'_>) -> Self {
        let table = &allowed.snapshot.policies.table;
        let (mut able, mut licensed, mut out) = (Vec::with_capacity(entries.len()), Vec::new(), Vec::new());
        let mut of_model: Vec<Option<Arc<Licensed>>> = vec![None; table.models.len()];
        for entry in entries {
            let row = &table.rows[entry.row as usize];
            let model = table.served(row).id.clone();
            match decision(needs, row, allowed) {
                Ok(decision) => {
                    able.push(Able::new(entry, row));
                    let shared =
                        of_model[row.model as usize].get_or_insert_with(|| Licensed { model, decision }.into());
                    licensed.push(Arc::clone(shared));
                }
                Err(cause) => {
                    out.push(Out { deployment: Some(row.deployment), model, cause });
                }
            }
        }
        Self { able: able.into(), licensed: licensed.into(), out: out.into() }
    }
}

impl Able {
    fn new(entry: &Entry, row: &Row) -> Self {
        Self {
            context_tokens: row.context_tokens.unwrap_or(u64::MAX),
            deployment: row.deployment as u32,
            row: entry.row,
            input_usd: row.input_usd.unwrap_or(f32::NAN),
            cached_usd: row.cached_usd.or(row.input_usd).unwrap_or(f32::NAN),
            output_usd: row.output_usd.unwrap_or(f32::NAN),
            stage: entry.stage,
            rank: entry.rank,
            group: entry.group,
            local: row.local,
            site: row.site,
        }
    }

    /// The model that it serves.
    pub(crate) fn served<'a>(&self, table: &'a Table) -> &'a Served {
        table.served(&table.rows[self.row as usize])
    }
}

/// Why the licence allows a deployment to serve such requests; else what keeps it from them, however long they are and
/// however it is now.
pub(crate) fn decision(needs: Capabilities, row: &Row, allowed: &Allowed<'_>) -> Result<Arc<Decision>, Cause> {
    if let Some(missing) = needs.first_common(row.lacks) {
        return Err(Cause::Lacks(missing));
    }
    let decision = allowed.decision(row);
    if decision.outcome.allows() { Ok(decision) } else { Err(Cause::License(decision)) }
}

/// The licence decisions for one use.
pub(crate) struct Allowed<'a> {
    class: Arc<Class>,
    snapshot: &'a Snapshot<'a>,
    /// Whether the table was made with this catalog, and its models can be found by the numbers of their rows.
    by_number: bool,
}

impl<'a> Allowed<'a> {
    pub(crate) fn new(facts: &crate::Facts, snapshot: &'a Snapshot<'a>) -> Self {
        let Snapshot { catalog, policies, .. } = *snapshot;
        let by_number = policies.table.made_with(catalog);
        Self { class: catalog.class(&facts.use_, facts.today), snapshot, by_number }
    }

    /// The decision about a row's model, and what guesses for it.
    pub(crate) fn decision(&self, row: &Row) -> Arc<Decision> {
        let Snapshot { catalog, policies, .. } = *self.snapshot;
        let served = policies.table.served(row);
        if let Some(draft) = &served.draft {
            return self.class.with_draft(catalog, served.in_catalog(catalog), draft);
        }
        let kept = self.by_number.then(|| self.class.of_row(catalog, served.place)).flatten();
        match kept {
            Some(decision) => Arc::clone(decision),
            None => self.class.decision(catalog, served.in_catalog(catalog)),
        }
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Exposure, Purpose, Use};

    use super::*;

    #[test]
    fn what_is_kept_is_of_one_day_and_bounded() {
        let catalog = Catalog::builtin();
        let today: Date = "2026-11-26".parse().unwrap();
        let class = catalog.class(&Use::new(Purpose::Revenue, Exposure::Public), today);
        let able = Able {
            context_tokens: 0,
            deployment: 0,
            row: 0,
            input_usd: 0.0,
            cached_usd: 0.0,
            output_usd: 0.0,
            stage: 0,
            rank: 0,
            group: 0,
            local: false,
            site: 0,
        };
        let third = Arc::new(Eligible { able: vec![able; MOST_KEPT / 3].into(), ..Eligible::default() });
        let with = |kept: &Kept, list, today| kept.with((list, 0, Capabilities::default()), &class, &third, today);
        let mut kept = Kept::default();
        for (list, len) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 2)] {
            kept = with(&kept, list, today);
            assert_eq!((kept.lists.len(), kept.able), (len, len * (MOST_KEPT / 3)));
        }
        assert_eq!(with(&kept, 6, "2026-11-27".parse().unwrap()).lists.len(), 1);
    }
}
