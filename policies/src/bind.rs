//! Binds the candidates of a route to deployments, and sets aside those that do not meet what it requires: see `unmet`.

use std::{collections::HashSet, sync::Arc};

use catalog::{Catalog, Mode, Then};

use crate::{
    Attempts, Deployment, Place,
    plan::{Cause, Rejected},
    read::Spanned,
    route::{Limits, Prefer, Require, RouteText, Selector, When},
    set::{DEGRADED_STAGE, DEMO_STAGE, DIRECT, Degraded, Entry, Route, SPARE_STAGE},
    suffix::Suffixes,
    table::{Row, Table},
    unmet::unmet,
};

/// Finds the deployments that selectors speak of.
pub(crate) struct Binder<'a> {
    table: &'a Table,
    deployments: &'a [Deployment],
    /// The rows of models that the company's licence rules may ask instead of others, in the order of the rules.
    spare: Vec<u32>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(catalog: &Catalog, table: &'a Table, deployments: &'a [Deployment]) -> Self {
        let mut binder = Self { table, deployments, spare: Vec::new() };
        let rules = catalog.company_rules().filter(|rule| rule.then == Then::Route && rule.mode == Mode::Enforce);
        let mut taken = HashSet::new();
        for name in rules.flat_map(|rule| &rule.to).filter(|name| taken.insert(name.as_str())) {
            let of_model = |row: &Row| *binder.table.models[row.model].id == **name;
            let rows = (0u32..).zip(&binder.table.rows).filter(|(_, row)| of_model(row));
            binder.spare.extend(rows.map(|(at, _)| at));
        }
        binder
    }

    /// The rows that a selector reaches by itself; `any` reaches every one.
    pub(crate) fn reach(&self, selector: &Selector) -> Vec<u32> {
        let reached = |row: &Row| match selector {
            Selector::Any => true,
            Selector::Name(id) => *id == *self.table.models[row.model].id || *id == self.deployments[row.deployment].id,
            Selector::Host(id) => matches!(&self.deployments[row.deployment].place, Place::Host(host) if host == id),
            Selector::Family(id) => self.table.models[row.model].model.family == *id,
        };
        (0u32..).zip(&self.table.rows).filter(|(_, row)| reached(row)).map(|(at, _)| at).collect()
    }

    /// The implicit route of a model or deployment asked for by its own name.
    pub(crate) fn direct(&self, name: &str, suffixes: Suffixes) -> Route {
        let selector = Spanned { value: Selector::Name(name.to_owned()), at: 0..0 };
        let (entries, _) = self.entries(&[selector]);
        Route {
            name: DIRECT.into(),
            when: When::default(),
            prefer: None,
            ranks_by_language: false,
            mixes_models: false,
            limits: None,
            suffixes,
            attempts: Attempts::default(),
            spare: self.spare(&entries, &Require::default()),
            degraded: None,
            entries: entries.into(),
            out: Arc::new([]),
        }
    }

    /// How many deployments may serve on a route, and those that may not.
    pub(crate) fn outcome(&self, text: &RouteText) -> (usize, Vec<Rejected>) {
        let (entries, out) = self.bound(&text.candidates, &text.require);
        match self.degraded(text, &out) {
            Some(degraded) => (entries.len() + degraded.entries.len(), degraded.out.to_vec()),
            None => (entries.len(), out),
        }
    }

    /// A route of a file; `suffixes` is what holds in that file, and `quality_by` the column of the table that its
    /// quality is read from.
    pub(crate) fn route(&self, text: &RouteText, suffixes: Option<Suffixes>, quality_by: Option<u16>) -> Route {
        let prefer = text.prefer.map(|prefer| Prefer { quality_by, ..prefer });
        let (entries, out) = self.bound(&text.candidates, &text.require);
        let degraded = self.degraded(text, &out);
        let instead = degraded.as_ref().map_or(&[][..], |degraded| &degraded.entries);
        Route {
            name: text.name.value.as_str().into(),
            when: text.when.clone(),
            ranks_by_language: self.ranks_by_language(&entries, prefer) || self.ranks_by_language(instead, prefer),
            mixes_models: self.mixes_models(&entries) || self.mixes_models(instead),
            prefer,
            limits: Some(text.require.limits).filter(|limits| *limits != Limits::default()),
            suffixes: text.suffixes.or(suffixes).unwrap_or(Suffixes::Allow),
            attempts: text.attempts,
            spare: self.spare(&entries, &text.require),
            degraded: degraded.map(Box::new),
            entries: entries.into(),
            out: out.into(),
        }
    }

    /// The deployments that licence rules may ask instead of one of `entries`.
    fn spare(&self, entries: &[Entry], require: &Require) -> Box<[Entry]> {
        let listed = |row: u32| entries.iter().any(|entry| entry.row == row);
        let meets = |at: u32| {
            let row = &self.table.rows[at as usize];
            unmet(row, &self.deployments[row.deployment], &self.table.models[row.model].model, require).is_none()
        };
        let rows = self.spare.iter().copied().filter(|row| !listed(*row) && meets(*row));
        (0..).zip(rows).map(|(rank, row)| Entry { row, stage: SPARE_STAGE, rank }).collect()
    }

    /// Whom a route asks where no candidate may serve; `out` are those of its candidates that never may. A deployment
    /// that is a candidate is asked as one, and not again.
    fn degraded(&self, text: &RouteText, out: &[Rejected]) -> Option<Degraded> {
        if text.degrade_to.is_empty() {
            return None;
        }
        let candidates: HashSet<u32> = text.candidates.iter().flat_map(|c| self.reach(&c.value)).collect();
        let deployments: HashSet<usize> =
            candidates.iter().map(|row| self.table.rows[*row as usize].deployment).collect();
        let (entries, beyond) = self.bound(&text.degrade_to, &text.require);
        let entries = entries
            .into_iter()
            .filter(|entry| !candidates.contains(&entry.row))
            .map(|entry| Entry { stage: DEGRADED_STAGE.saturating_add(entry.stage).min(SPARE_STAGE - 1), ..entry });
        let beyond = beyond.into_iter().filter(|it| it.deployment.is_none_or(|at| !deployments.contains(&at)));
        Some(Degraded { entries: entries.collect(), out: out.iter().cloned().chain(beyond).collect() })
    }

    /// The deployments of a list that meet what is required, and those that do not.
    fn bound(&self, candidates: &[Spanned<Selector>], require: &Require) -> (Vec<Entry>, Vec<Rejected>) {
        let (mut entries, mut out) = self.entries(candidates);
        entries.retain(|entry| {
            let row = &self.table.rows[entry.row as usize];
            let served = &self.table.models[row.model];
            match unmet(row, &self.deployments[row.deployment], &served.model, require) {
                None => true,
                Some((code, reason)) => {
                    out.push(Rejected {
                        deployment: Some(row.deployment),
                        model: served.id.clone(),
                        cause: Cause::Required { code, reason: reason.into() },
                    });
                    false
                }
            }
        });
        (entries, out)
    }

    /// Quality depends on the language; it makes a difference where it counts and more than one model is compared.
    fn ranks_by_language(&self, entries: &[Entry], prefer: Option<Prefer>) -> bool {
        if prefer.is_some_and(|prefer| prefer.quality <= 0.0 || prefer.quality_by.is_some()) {
            return false;
        }
        let model = |entry: &Entry| self.table.rows[entry.row as usize].model;
        // Without `prefer` only deployments of one entry are compared.
        entries
            .windows(2)
            .any(|pair| (prefer.is_some() || pair[0].rank == pair[1].rank) && model(&pair[0]) != model(&pair[1]))
    }

    /// Whether more than one model is among them.
    fn mixes_models(&self, entries: &[Entry]) -> bool {
        let model = |entry: &Entry| self.table.rows[entry.row as usize].model;
        entries.windows(2).any(|pair| model(&pair[0]) != model(&pair[1]))
    }

    /// The deployments of a list, each once, and the candidates that nothing serves.
    fn entries(&self, candidates: &[Spanned<Selector>]) -> (Vec<Entry>, Vec<Rejected>) {
        let mut named: HashSet<u32> = HashSet::new();
        for candidate in candidates.iter().filter(|c| c.value != Selector::Any) {
            named.extend(self.reach(&candidate.value));
        }
        let (mut entries, mut out) = (Vec::new(), Vec::new());
        let mut taken: HashSet<u32> = HashSet::new();
        let mut stage: u16 = 0;
        // `any` may stand there as often as somebody likes to write it.
        let next = |stage: u16| (stage + 1).min(DEGRADED_STAGE - 1);
        for (rank, Spanned { value: selector, .. }) in candidates.iter().enumerate() {
            let rank = u16::try_from(rank).unwrap_or(u16::MAX);
            if *selector == Selector::Any && rank > 0 {
                stage = next(stage);
            }
            let rows = self.reach(selector);
            if rows.is_empty() {
                let cause = Cause::NotDeployed;
                out.push(Rejected { deployment: None, model: selector.to_string().into(), cause });
            }
            for row in rows {
                if *selector == Selector::Any && named.contains(&row) || !taken.insert(row) {
                    continue;
                }
                let demo = self.table.models[self.table.rows[row as usize].model].demo;
                let stage = if demo && !matches!(selector, Selector::Name(_)) { DEMO_STAGE } else { stage };
                entries.push(Entry { row, stage, rank });
            }
            if *selector == Selector::Any {
                stage = next(stage);
            }
        }
        (entries, out)
    }
}
