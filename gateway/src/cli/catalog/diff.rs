//! `pointsman catalog diff`: what changes from one catalog to another, in rows and in licence decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use catalog::{Catalog, Decision};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{company, decisions, seat, use_name};
use crate::cli::{
    check::counted,
    columns::{columns, shown},
    print, print_json,
};

const EXAMPLES: &str = "\
Examples:
  pointsman catalog diff builtin acme.yaml      what a company's file adds
  pointsman catalog diff old.yaml acme.yaml     what a change of it does, decisions included
  pointsman catalog diff --seat DE builtin acme.yaml --json

Exit status: 0 the catalogs are the same, 1 they differ, or one of them cannot be read.";

/// Compare two catalogs: rows added, removed and changed, and decisions that turn out otherwise
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Diff {
    /// A company's catalog file, which is read over the built-in catalog; or `builtin` for that alone
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The other one
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Seat of the company that the decisions are for, as a country code
    #[arg(long, value_name = "COUNTRY")]
    seat: Option<String>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if there is no difference.
pub(super) fn run(args: &Diff) -> anyhow::Result<bool> {
    seat(args.seat.as_ref())?;
    let changes = Changes::between(&*read(&args.before)?, &*read(&args.after)?, args.seat.as_ref())?;
    match args.json {
        true => print_json(&changes)?,
        false => print(&changes.text())?,
    }
    Ok(changes.is_empty())
}

fn read(name: &PathBuf) -> anyhow::Result<Arc<Catalog>> {
    match name.as_os_str() == "builtin" {
        true => Ok(Catalog::builtin()),
        false => Ok(Arc::new(company(std::slice::from_ref(name))?)),
    }
}

/// What changes from one catalog to another.
#[derive(Debug, Default, Serialize)]
struct Changes {
    added: Vec<Whole>,
    removed: Vec<Whole>,
    changed: Vec<Changed>,
    decisions: Vec<Turned>,
}

/// A row by its kind and id. A price goes by host, name and month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    kind: &'static str,
    id: String,
    /// Tells rows apart that are alike in kind and id, as two prices may be.
    #[serde(skip)]
    nth: usize,
}

/// A row that is in one of the catalogs only.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    row: Row,
    fields: Value,
}

#[derive(Debug, Serialize)]
struct Changed {
    #[serde(flatten)]
    row: Row,
    fields: Vec<Field>,
}

/// A field that changed; `None` where it was or is left out.
#[derive(Debug, PartialEq, Serialize)]
struct Field {
    field: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// A decision that turns out otherwise, in outcome, rule or duties.
#[derive(Debug, Serialize)]
struct Turned {
    model: String,
    #[serde(rename = "use")]
    use_: String,
    before: Decision,
    after: Decision,
}

impl Changes {
    fn between(before: &Catalog, after: &Catalog, seat: Option<&String>) -> anyhow::Result<Changes> {
        let (old, new) = (rows(before)?, rows(after)?);
        let missing = |from: &Rows, other: &Rows| {
            let alone = from.iter().filter(|(row, _)| !other.contains_key(row));
            alone.map(|(row, fields)| Whole { row: row.clone(), fields: fields.clone() }).collect()
        };
        let changed = old.iter().filter_map(|(row, old)| {
            let fields = fields(old, new.get(row)?);
            (!fields.is_empty()).then(|| Changed { row: row.clone(), fields })
        });
        Ok(Changes {
            added: missing(&new, &old),
            removed: missing(&old, &new),
            changed: changed.collect(),
            decisions: turned(before, after, seat),
        })
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty() && self.decisions.is_empty()
    }

    fn text(&self) -> String {
        if self.is_empty() {
            return "no difference\n".to_owned();
        }
        let mut text = String::new();
        let row = |sign, row: &Row, more: &str| format!("{sign} {} {}{more}\n", row.kind, shown(&row.id));
        text.extend(self.removed.iter().map(|removed| row('-', &removed.row, &terms(&removed.fields))));
        text.extend(self.added.iter().map(|added| row('+', &added.row, &terms(&added.fields))));
        for changed in &self.changed {
            text.push_str(&row('~', &changed.row, ""));
            for Field { field, before, after } in &changed.fields {
                text.push_str(&format!("    {}: {} -> {}\n", shown(field), value(before), value(after)));
            }
        }
        if !self.decisions.is_empty() {
            let rows: Vec<_> = self
                .decisions
                .iter()
                .map(|turned| {
                    [turned.model.clone(), turned.use_.clone(), outcome(&turned.before), outcome(&turned.after)]
                })
                .collect();
            text.push_str("\ndecisions that turn out otherwise\n");
            text.push_str(&columns(["MODEL", "USE", "BEFORE", "AFTER"], &rows));
        }
        text + &format!(
            "\n{} added, {} removed, {} changed; {} otherwise\n",
            counted(self.added.len(), "row"),
            self.removed.len(),
            self.changed.len(),
            match self.decisions.len() {
                1 => "1 decision turns out".to_owned(),
                many => format!("{many} decisions turn out"),
            },
        )
    }
}

/// Tier and licences of a row that has them.
fn terms(fields: &Value) -> String {
    let Some(tier) = fields["tier"].as_u64() else { return String::new() };
    let also = fields["also_licenses"].as_array().into_iter().flatten();
    let licenses = also.fold(fields["license"].as_str().map(str::to_owned), |all, also| {
        Some(all.unwrap_or_default() + "+" + also.as_str().unwrap_or_default())
    });
    format!(": tier {tier}{}", licenses.map(|licenses| format!(", {}", shown(&licenses))).unwrap_or_default())
}

type Rows = BTreeMap<Row, Value>;

/// Every row of a catalog.
fn rows(catalog: &Catalog) -> anyhow::Result<Rows> {
    let mut rows = Rows::new();
    let mut add = |kind, id: String, value: serde_json::Result<Value>| {
        let taken = rows.range(Row { kind, id: id.clone(), nth: 0 }..=Row { kind, id: id.clone(), nth: usize::MAX });
        let row = Row { kind, id, nth: taken.count() };
        value.map(|value| rows.insert(row, value)).map(|_| ())
    };
    // Each list has a type of its own, with an id in common.
    macro_rules! add_all {
        ($($kind:literal: $list:ident),* $(,)?) => {
            $(for row in catalog.$list() { add($kind, row.id.clone(), serde_json::to_value(row))?; })*
        };
    }
    add_all! {
        "model": models, "licence": licenses, "host": hosts, "server": servers, "quantization": quantizations,
        "benchmark": benchmarks, "fine-tuning": fine_tunings, "hardware": all_hardware,
    }
    for price in catalog.prices() {
        add("price", format!("{} {} {}", price.host, price.name, price.as_of), serde_json::to_value(price))?;
    }
    Ok(rows)
}

/// The fields that are not the same. A field of a field has both names, with a dot.
fn fields(before: &Value, after: &Value) -> Vec<Field> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), before, &mut old);
    flatten(String::new(), after, &mut new);
    let names: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let fields = names.into_iter().map(|field| {
        let (before, after) = (old.get(&field).cloned(), new.get(&field).cloned());
        Field { field, before, after }
    });
    fields.filter(|field| field.before != field.after).collect()
}

fn flatten(name: String, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(name, value, into);
            }
        }
        other => {
            into.insert(name, other.clone());
        }
    }
}

/// Decisions on models of both catalogs. A reason may be worded anew without a change in what may be done.
fn turned(before: &Catalog, after: &Catalog, seat: Option<&String>) -> Vec<Turned> {
    let mut all = Vec::new();
    for old in before.models() {
        let Some(new) = after.model(&old.id) else { continue };
        let pairs = decisions(before, old, seat).into_iter().zip(decisions(after, new, seat));
        for ((use_, before), (_, after)) in pairs {
            let same = before.outcome == after.outcome
                && before.rule == after.rule
                && before.license == after.license
                && before.obligations == after.obligations;
            if !same {
                all.push(Turned { model: old.id.clone(), use_: use_name(&use_), before, after });
            }
        }
    }
    all.sort_by(|a, b| a.model.cmp(&b.model));
    all
}

fn outcome(decision: &Decision) -> String {
    let outcome = if decision.outcome.allows() { "allowed" } else { "denied" };
    let duties = match decision.obligations.len() {
        0 => String::new(),
        1 => ", 1 duty".to_owned(),
        many => format!(", {many} duties"),
    };
    format!("{outcome}: {} of {}{duties}", decision.rule, decision.license)
}

/// A value on one line, cut where it is long.
fn value(value: &Option<Value>) -> String {
    const MOST: usize = 80;
    let text = match value {
        None => return "(left out)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(MOST) {
        Some((at, _)) => shown(&format!("{}...", &text[..at])),
        None => shown(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::tests::{ACME, files};

    fn between(before: &str, after: &str) -> Changes {
        let (_folder, paths) = files(&[("before.yaml", before), ("after.yaml", after)]);
        let read = |at: usize| company(&paths[at..=at]).expect("a good file");
        Changes::between(&read(0), &read(1), None).expect("rows are JSON")
    }

    #[test]
    fn a_catalog_does_not_differ_from_itself() {
        let changes = between(ACME, ACME);
        assert!(changes.is_empty());
        assert_eq!(changes.text(), "no difference\n");
    }

    #[test]
    fn rows_that_come_and_go_are_named_and_changed_ones_field_by_field() {
        let after = ACME.replace("tier: 2\n    repo: acme/one", "tier: 2\n    context_tokens: 8192");
        let added =
            format!("{after}benchmarks:\n  - {{id: exam, name: Exam, kind: test, measures: ours, unit: percent}}\n");
        let text = between(ACME, &added).text();
        assert!(text.starts_with("+ benchmark exam\n~ model acme-1\n"), "{text}");
        assert!(text.contains("    context_tokens: (left out) -> 8192\n    repo: acme/one -> (left out)\n"), "{text}");
        assert!(text.ends_with("\n1 row added, 0 removed, 1 changed; 0 decisions turn out otherwise\n"), "{text}");
        let text = between(&added, ACME).text();
        assert!(text.starts_with("- benchmark exam\n~ model acme-1\n"), "{text}");
        let text =
            between("", &ACME.replace("tier: 2\n    repo", "also_licenses: [mit]\n    tier: 2\n    repo")).text();
        assert!(text.starts_with("+ licence acme-terms: tier 2\n+ model acme-1: tier 2, acme-terms+mit\n"), "{text}");
    }

    #[test]
    fn a_licence_that_turns_stricter_shows_the_decisions_that_fall_with_it() {
        let strict = ACME
            .replace("tier: 2\n    allows: [revenue, internal, research, personal]", "tier: 3\n    allows: [research]")
            .replace("tier: 2\n    repo", "tier: 3\n    repo");
        let changes = between(ACME, &strict);
        let fallen: Vec<_> = changes
            .decisions
            .iter()
            .filter(|turned| turned.before.outcome.allows() && !turned.after.outcome.allows())
            .map(|turned| turned.use_.as_str())
            .collect();
        let expected = ["revenue, internal", "revenue, public", "internal, internal", "internal, public"];
        assert_eq!(fallen[..4], expected);
        let text = changes.text();
        assert!(text.contains("~ licence acme-terms\n    allows: "), "{text}");
        assert!(text.contains("\ndecisions that turn out otherwise\nMODEL"), "{text}");
        assert!(text.contains("denied: tier3-commercial of acme-terms"), "{text}");
    }

    #[test]
    fn two_rows_with_one_name_are_both_compared() {
        let fixed = "host: groq, name: acme, relation: exact, as_of: 2026-11, status: listed";
        let price = |usd: &str| format!("  - {{{fixed}, input_usd_per_million: {usd}}}\n");
        let twice = |second: &str| format!("prices:\n{}{}", price("1.0"), price(second));
        let changes = between(&twice("2.0"), &twice("3.0"));
        assert_eq!(changes.changed.len(), 1);
        assert_eq!(changes.changed[0].fields[0].after, Some(3.0.into()));
        assert_eq!(changes.changed[0].row.id, "groq acme 2026-11");
    }
}
