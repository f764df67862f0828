//! Binds the candidates of a route to deployments, and sets aside those that do not meet what it requires: see `unmet`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use catalog::{Catalog, Mode, Then};

use crate::{
    Attempts, Capabilities, Deployment, Place,
    plan::{Cause, Out},
    preset,
    read::Spanned,
    route::{GroupText, Limits, OnNone, Prefer, Require, RouteText, Selector, When},
    set::{DEGRADED_STAGE, DEMO_STAGE, DIRECT, Entry, HELD_STAGE, Listed, NO_GROUP, Route, SPARE_STAGE, Shadow},
    split::{Arm, Split},
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
            let of_model = |row: &Row| *binder.table.served(row).id == **name;
            let rows = (0u32..).zip(&binder.table.rows).filter(|(_, row)| of_model(row));
            binder.spare.extend(rows.map(|(at, _)| at));
        }
        binder
    }

    /// The rows that a selector reaches by itself, in the order in which it names them; `any` reaches every one.
    pub(crate) fn reach(&self, selector: &Selector) -> Vec<u32> {
        self.steps(selector).into_iter().flatten().collect()
    }

    /// The same, apart where the selector stands for several entries of a list.
    fn steps(&self, selector: &Selector) -> Vec<Vec<u32>> {
        if let Selector::Preset(id) = selector {
            let models = preset::models(id).unwrap_or_default();
            return models.into_iter().map(|model| self.reach(&Selector::Name(model.to_owned()))).collect();
        }
        let reached = |row: &Row| match selector {
            Selector::Any => true,
            Selector::Name(id) => *id == *self.table.served(row).id || *id == self.deployments[row.deployment].id,
            Selector::Host(id) => matches!(&self.deployments[row.deployment].place, Place::Host(host) if host == id),
            Selector::Family(id) => self.table.served(row).model.family == *id,
            Selector::Preset(_) => false,
        };
        vec![(0u32..).zip(&self.table.rows).filter(|(_, row)| reached(row)).map(|(at, _)| at).collect()]
    }

    /// The implicit route of a model or deployment asked for by its own name.
    pub(crate) fn direct(&self, name: &str, suffixes: Suffixes) -> Route {
        let selector = [Spanned { value: Selector::Name(name.to_owned()), at: 0..0 }];
        let (entries, _) = self.entries(&[&selector], &[]);
        Route {
            name: DIRECT.into(),
            when: When::default(),
            leave_out: Capabilities::default(),
            prefer: None,
            ranks_by_language: false,
            mixes_models: false,
            limits: None,
            suffixes,
            attempts: Attempts::default(),
            spare: self.spare(&[&entries], &Require::default()),
            degraded: None,
            queue: None,
            reuse: None,
            split: None,
            shadow: None,
            listed: Listed { entries: entries.into(), out: Arc::default() },
        }
    }

    /// How many deployments may serve on a route, and those that may not.
    pub(crate) fn outcome(&self, text: &RouteText) -> (usize, Vec<Out>) {
        let arms = text.split.iter().flat_map(|split| &split.arms).map(|arm| &arm.candidates[..]);
        let lists: Vec<&[Spanned<Selector>]> = arms.chain([&text.candidates[..], text.on_none.degrade_to()]).collect();
        let Listed { entries, out } = self.listed(&lists, &text.require, &[]);
        (entries.len(), out.to_vec())
    }

    /// A route of a file; `suffixes` is what holds in that file, and `quality_by` the column of the table that its
    /// quality is read from.
    pub(crate) fn route(&self, text: &RouteText, suffixes: Option<Suffixes>, quality_by: Option<u16>) -> Route {
        let prefer = text.prefer.map(|prefer| Prefer { quality_by, ..prefer });
        let listed = |lists: &[&[Spanned<Selector>]]| self.listed(lists, &text.require, &text.groups);
        let own = listed(&[&text.candidates]);
        let split = text.split.as_ref().map(|split| {
            let arms = split.arms.iter().map(|arm| Arm {
                name: arm.name.value.as_str().into(),
                weight: arm.weight,
                listed: listed(&[&arm.candidates, &text.candidates]),
            });
            Box::new(Split { by: split.by.clone(), arms: arms.collect() })
        });
        let degraded = self.degraded(text);
        let arms = split.iter().flat_map(|split| &split.arms).map(|arm| &arm.listed);
        let lists: Vec<&[Entry]> =
            std::iter::once(&own).chain(arms).chain(degraded.as_deref()).map(|listed| &listed.entries[..]).collect();
        let asked = &lists[..lists.len() - usize::from(degraded.is_some())];
        Route {
            name: text.name.value.as_str().into(),
            when: text.when.clone(),
            ranks_by_language: lists.iter().any(|entries| self.ranks_by_language(entries, prefer)),
            mixes_models: lists.iter().any(|entries| self.mixes_models(entries)),
            leave_out: text.leave_out,
            prefer,
            limits: Some(text.require.limits).filter(|limits| *limits != Limits::default()),
            suffixes: text.suffixes.or(suffixes).unwrap_or(Suffixes::Allow),
            attempts: Attempts {
                groups: text.groups.iter().map(|group| group.group.clone()).collect(),
                ..text.attempts.clone()
            },
            spare: self.spare(asked, &text.require),
            queue: match text.on_none {
                OnNone::Queue(queue) => Some(queue),
                OnNone::Refuse | OnNone::DegradeTo(_) => None,
            },
            reuse: text.reuse,
            shadow: text.shadow.as_ref().map(|shadow| {
                let listed = self.listed(&[&shadow.candidates], &text.require, &[]);
                Box::new(Shadow { share: shadow.share, listed })
            }),
            listed: own,
            split,
            degraded,
        }
    }

    /// The deployments that licence rules may ask instead of one that the route asks.
    fn spare(&self, asked: &[&[Entry]], require: &Require) -> Box<[Entry]> {
        let listed = |row: u32| asked.iter().copied().flatten().any(|entry| entry.row == row);
        let meets = |at: u32| {
            let row = &self.table.rows[at as usize];
            unmet(row, &self.deployments[row.deployment], &self.table.served(row).model, require).is_none()
        };
        let rows = self.spare.iter().copied().filter(|row| !listed(*row) && meets(*row));
        (0..).zip(rows).map(|(rank, row)| Entry { row, stage: SPARE_STAGE, rank, group: NO_GROUP }).collect()
    }

    /// Whom a route asks where no candidate may serve. A deployment that is a candidate is asked as one, and not again.
    fn degraded(&self, text: &RouteText) -> Option<Box<Listed>> {
        let degrade_to = text.on_none.degrade_to();
        if degrade_to.is_empty() {
            return None;
        }
        let arms = text.split.iter().flat_map(|split| &split.arms).flat_map(|arm| &arm.candidates);
        let candidates: HashSet<u32> = text.candidates.iter().chain(arms).flat_map(|c| self.reach(&c.value)).collect();
        let deployments: HashSet<usize> =
            candidates.iter().map(|row| self.table.rows[*row as usize].deployment).collect();
        let Listed { entries, out } = self.listed(&[degrade_to], &text.require, &[]);
        let entries = entries
            .into_iter()
            .filter(|entry| !candidates.contains(&entry.row))
            .map(|entry| Entry { stage: DEGRADED_STAGE.saturating_add(entry.stage).min(SPARE_STAGE - 1), ..entry });
        let out = out.iter().filter(|it| it.deployment.is_none_or(|at| !deployments.contains(&at))).cloned();
        Some(Box::new(Listed { entries: entries.collect(), out: out.collect() }))
    }

    /// The deployments of lists that follow one another: those that meet what is required, and those that do not.
    fn listed(&self, lists: &[&[Spanned<Selector>]], require: &Require, groups: &[GroupText]) -> Listed {
        let (mut entries, mut out) = self.entries(lists, groups);
        entries.retain(|entry| {
            let row = &self.table.rows[entry.row as usize];
            let served = self.table.served(row);
            match unmet(row, &self.deployments[row.deployment], &served.model, require) {
                None => true,
                Some((code, reason)) => {
                    out.push(Out {
                        deployment: Some(row.deployment),
                        model: served.id.clone(),
                        cause: Cause::Required { code, reason: reason.into() },
                    });
                    false
                }
            }
        });
        Listed { entries: entries.into(), out: out.into() }
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

    /// The deployments of lists that follow one another, each once, and the candidates that nothing serves.
    fn entries(&self, lists: &[&[Spanned<Selector>]], groups: &[GroupText]) -> (Vec<Entry>, Vec<Out>) {
        let groups = self.groups(groups);
        let (mut entries, mut out) = (Vec::new(), Vec::new());
        let mut taken: HashSet<u32> = HashSet::new();
        let (mut stage, mut rank): (u16, u16) = (0, 0);
        // `any` may stand there as often as somebody likes to write it.
        let next = |stage: u16| (stage + 1).min(HELD_STAGE - 1);
        for candidates in lists {
            let mut named: HashSet<u32> = HashSet::new();
            for candidate in candidates.iter().filter(|c| c.value != Selector::Any) {
                named.extend(self.reach(&candidate.value));
            }
            if !entries.is_empty() {
                stage = next(stage);
            }
            for (at, Spanned { value: selector, .. }) in candidates.iter().enumerate() {
                if *selector == Selector::Any && at > 0 {
                    stage = next(stage);
                }
                let steps = self.steps(selector);
                if steps.iter().all(Vec::is_empty) {
                    let cause = Cause::NotDeployed;
                    out.push(Out { deployment: None, model: selector.to_string().into(), cause });
                }
                for rows in steps {
                    for row in rows {
                        if *selector == Selector::Any && named.contains(&row) || !taken.insert(row) {
                            continue;
                        }
                        let demo = self.table.served(&self.table.rows[row as usize]).demo;
                        let (group, held) = groups.get(&row).copied().unwrap_or((NO_GROUP, false));
                        let stage = match selector {
                            _ if held => HELD_STAGE + stage,
                            Selector::Name(_) => stage,
                            _ if demo => DEMO_STAGE,
                            _ => stage,
                        };
                        entries.push(Entry { row, stage, rank, group });
                    }
                    rank = rank.saturating_add(1);
                }
                if *selector == Selector::Any {
                    stage = next(stage);
                }
            }
        }
        (entries, out)
    }

    /// The group of attempts of each row that is in one, and whether it is held back; the first group that names it has it.
    fn groups(&self, groups: &[GroupText]) -> HashMap<u32, (u8, bool)> {
        let mut of = HashMap::new();
        for (number, group) in (0_u8..).zip(groups) {
            let held = !group.group.after.is_empty();
            for row in group.candidates.iter().flat_map(|candidate| self.reach(&candidate.value)) {
                of.entry(row).or_insert((number, held));
            }
        }
        of
    }
}
