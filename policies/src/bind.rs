//! Binds the candidates of a route to deployments, and sets aside those that do not meet what it requires.

use std::{collections::HashSet, sync::Arc};

use catalog::{Catalog, Mode, Then};

use crate::{
    Attempts, Deployment, Place,
    plan::{Cause, Rejected},
    read::Spanned,
    route::{Prefer, Require, RouteText, Selector, When},
    set::{DEMO_STAGE, DIRECT, Entry, Route, SPARE_STAGE},
    table::{Row, Table},
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
    pub(crate) fn direct(&self, name: &str) -> Route {
        let selector = Spanned { value: Selector::Name(name.to_owned()), at: 0..0 };
        let (entries, _) = self.entries(&[selector]);
        Route {
            name: DIRECT.into(),
            when: When::default(),
            prefer: None,
            ranks_by_language: false,
            attempts: Attempts::default(),
            spare: self.spare(&entries, &Require::default()),
            entries: entries.into(),
            out: Arc::new([]),
        }
    }

    /// A route of a file.
    pub(crate) fn route(&self, text: &RouteText) -> Route {
        let (mut entries, mut out) = self.entries(&text.candidates);
        entries.retain(|entry| {
            let row = &self.table.rows[entry.row as usize];
            match self.unmet(row, &text.require) {
                None => true,
                Some((code, reason)) => {
                    out.push(Rejected {
                        deployment: Some(row.deployment),
                        model: self.table.models[row.model].id.clone(),
                        cause: Cause::Required { code, reason: reason.into() },
                    });
                    false
                }
            }
        });
        Route {
            name: text.name.value.as_str().into(),
            when: text.when.clone(),
            prefer: text.prefer,
            ranks_by_language: self.ranks_by_language(&entries, text.prefer),
            attempts: text.attempts,
            spare: self.spare(&entries, &text.require),
            entries: entries.into(),
            out: out.into(),
        }
    }

    /// The deployments that licence rules may ask instead of one of `entries`.
    fn spare(&self, entries: &[Entry], require: &Require) -> Box<[Entry]> {
        let listed = |row: u32| entries.iter().any(|entry| entry.row == row);
        let meets = |row: u32| self.unmet(&self.table.rows[row as usize], require).is_none();
        let rows = self.spare.iter().copied().filter(|row| !listed(*row) && meets(*row));
        (0..).zip(rows).map(|(rank, row)| Entry { row, stage: SPARE_STAGE, rank }).collect()
    }

    /// Quality depends on the language; it makes a difference where it counts and more than one model is compared.
    fn ranks_by_language(&self, entries: &[Entry], prefer: Option<Prefer>) -> bool {
        if prefer.is_some_and(|prefer| prefer.quality <= 0.0) {
            return false;
        }
        let model = |entry: &Entry| self.table.rows[entry.row as usize].model;
        // Without `prefer` only deployments of one entry are compared.
        entries
            .windows(2)
            .any(|pair| (prefer.is_some() || pair[0].rank == pair[1].rank) && model(&pair[0]) != model(&pair[1]))
    }

    /// The deployments of a list, each once, and the candidates that nothing serves.
    fn entries(&self, candidates: &[Spanned<Selector>]) -> (Vec<Entry>, Vec<Rejected>) {
        let mut named: HashSet<u32> = HashSet::new();
        for candidate in candidates.iter().filter(|c| c.value != Selector::Any) {
            named.extend(self.reach(&candidate.value));
        }
        let (mut entries, mut out) = (Vec::new(), Vec::new());
        let mut taken: HashSet<u32> = HashSet::new();
        let mut stage = 0;
        for (rank, Spanned { value: selector, .. }) in candidates.iter().enumerate() {
            let rank = u16::try_from(rank).unwrap_or(u16::MAX);
            if *selector == Selector::Any && rank > 0 {
                stage += 1;
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
                stage += 1;
            }
        }
        (entries, out)
    }

    /// The first requirement that a deployment does not meet: a code, and why.
    fn unmet(&self, row: &Row, require: &Require) -> Option<(&'static str, String)> {
        let deployment = &self.deployments[row.deployment];
        let model = &self.table.models[row.model].model;
        if let Some(max) = require.max_tier.filter(|max| model.tier > *max) {
            let reason = format!("its licence `{}` is {}; the route allows up to {max}", model.license, model.tier);
            return Some(("required-license", reason));
        }
        if let Some(allow) = &require.allow_licenses
            && let Some(id) = model.licenses().find(|id| allow.iter().all(|allowed| allowed.value != *id))
        {
            return Some(("required-license", format!("its licence `{id}` is not among those the route allows")));
        }
        if let Some(id) = model.licenses().find(|id| require.deny_licenses.iter().any(|denied| denied.value == *id)) {
            return Some(("required-license", format!("the route denies its licence `{id}`")));
        }
        if let Some(min) = require.min_context_tokens {
            match row.context_tokens {
                Some(tokens) if tokens >= min => {}
                Some(tokens) => {
                    let reason = format!("its context window holds {tokens} tokens; the route requires {min}");
                    return Some(("required-context", reason));
                }
                None => {
                    let reason = format!("its context window is not known; the route requires {min} tokens");
                    return Some(("required-context", reason));
                }
            }
        }
        if let Some(missing) = require.capabilities.iter().find(|c| !row.has.contains(*c)) {
            let known = if row.lacks.contains(missing) { "it lacks" } else { "it is not known to have" };
            return Some(("required-capability", format!("{known} `{missing}`, which the route requires")));
        }
        if let Some(regions) = &require.region {
            let local = row.local && regions.iter().any(|region| region == "local");
            if let Some(reason) = outside(local, deployment.region.as_deref(), regions, "region") {
                return Some(("required-region", reason));
            }
        }
        if let Some(retentions) = &require.retention {
            let local = row.local && deployment.retention.is_none() && retentions.iter().any(|r| r == "none");
            if let Some(reason) = outside(local, deployment.retention.as_deref(), retentions, "retention") {
                return Some(("required-retention", reason));
            }
        }
        if let Some(min) = require.min_bits {
            match deployment.quantization_bits {
                Some(bits) if f64::from(bits) >= min => {}
                Some(bits) => {
                    let reason = format!("its weights have {bits} bits; the route requires {min}");
                    return Some(("required-quantization", reason));
                }
                None => {
                    let reason = format!("the bits of its weights are not known; the route requires {min}");
                    return Some(("required-quantization", reason));
                }
            }
        }
        dear("prompt", row.input_usd, require.max_input_usd)
            .or_else(|| dear("answer", row.output_usd, require.max_output_usd))
            .map(|reason| ("required-price", reason))
    }
}

/// Why a place is not among those that the route requires; `excused` where it counts as one of them anyway.
fn outside(excused: bool, has: Option<&str>, required: &[String], what: &str) -> Option<String> {
    let wanted = required.join(", ");
    match has {
        _ if excused => None,
        Some(has) if required.iter().any(|r| r == has) => None,
        Some(has) => Some(format!("its {what} is {has}; the route requires {wanted}")),
        None => Some(format!("its {what} is not known; the route requires {wanted}")),
    }
}

/// Why a price is above its limit.
fn dear(what: &str, usd: Option<f32>, max: Option<f64>) -> Option<String> {
    let max = max?;
    match usd {
        // A price is kept as f32; the limit is rounded alike, so that a price at its limit passes.
        Some(usd) if usd <= max as f32 => None,
        Some(usd) => Some(format!("{usd} USD per million {what} tokens; the route allows {max}")),
        None => Some(format!("its price of {what} tokens is not known; the route allows {max} USD per million")),
    }
}
