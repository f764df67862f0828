//! `pointsman audit history`: which texts decided from when to when, what changed in them, and what traffic they had.

use std::collections::BTreeMap;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::Told,
    recorded::{Activation, Recorded},
};
use crate::instance::Event;

#[derive(Default)]
struct Traffic {
    served: u64,
    refused: u64,
    models: BTreeMap<String, u64>,
}

pub(super) fn run(ask: &Ask) -> anyhow::Result<Document> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut traffic: Vec<Traffic> = Vec::new();
    let mut runs =
        Table::new("runs", "Runs of the gateway", &["instance", "version", "record", "began", "bytes_cut", "ended"]);
    let mut refused = Table::new("refused", "Configurations that were refused", &["record", "time", "report"]);
    let mut erased = Table::new(
        "erased",
        "Pseudonyms that were erased, and the holds that were passed over",
        &["record", "time", "pseudonyms", "total", "despite_holds"],
    );
    let mut accepted = Table::new(
        "accepted",
        "Licences that were accepted when a model was pulled",
        &["record", "time", "source", "revision", "license", "model", "for_research", "sha256"],
    );
    for told in ask.all()? {
        let told = told?;
        recorded.take(&told);
        match told {
            Told::Gateway(record, said) => match said.event {
                Event::Start { version, records: _, bytes_cut } => runs.rows.push(vec![
                    said.instance.into(),
                    version.into(),
                    record.into(),
                    Cell::Time(said.time),
                    bytes_cut.into(),
                    Cell::None,
                ]),
                Event::Stop => {
                    let of = runs.rows.iter_mut().rfind(|row| row[0] == Cell::Text(said.instance.clone()));
                    if let Some(row) = of {
                        row[5] = Cell::Time(said.time);
                    }
                }
                Event::Refuse { report, .. } => {
                    let first = report.lines().next().unwrap_or_default().to_owned();
                    refused.rows.push(vec![record.into(), Cell::Time(said.time), first.into()]);
                }
                Event::Erase { pseudonyms, total, despite_holds } => erased.rows.push(vec![
                    record.into(),
                    Cell::Time(said.time),
                    pseudonyms.into(),
                    total.into(),
                    Cell::list(despite_holds),
                ]),
                Event::Accept { accepted: of, .. } => accepted.rows.push(vec![
                    record.into(),
                    Cell::Time(of.accepted),
                    of.source.into(),
                    of.revision.into(),
                    Cell::text(of.license),
                    Cell::text(of.model),
                    if of.for_research { "yes" } else { "no" }.into(),
                    Cell::list(of.sha256),
                ]),
                Event::Activate(_)
                | Event::Evidence(_)
                | Event::Heartbeat
                | Event::Tally { .. }
                | Event::Prune { .. } => {}
            },
            Told::Request(entry) => {
                // By the record, not by its place: requests end after others began.
                let at = recorded
                    .activated()
                    .iter()
                    .rposition(|one| one.record < entry.record && one.activated.config == *entry.decision.config);
                let Some(at) = at else { continue };
                traffic.resize_with(recorded.activated().len().max(traffic.len()), Traffic::default);
                let of = &mut traffic[at];
                match entry.decision.verdict == "serve" {
                    true => of.served += 1,
                    false => of.refused += 1,
                }
                if let Some(licensed) = entry.licensed() {
                    *of.models.entry(licensed.model.to_string()).or_default() += 1;
                }
            }
            Told::Stray(..) => {}
        }
    }
    traffic.resize_with(recorded.activated().len(), Traffic::default);
    let mut changes = Table::new(
        "history",
        "Texts that decided",
        &[
            "record",
            "since",
            "config",
            "policy",
            "changed",
            "served",
            "refused",
            "share_refused",
            "share_refused_before",
            "models",
        ],
    )
    .drawing("served");
    for (at, one) in recorded.activated().iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &recorded.activated()[before]);
        let share = |traffic: &Traffic| match traffic.served + traffic.refused {
            0 => Cell::None,
            all => Cell::Text(format!("{:.1} %", traffic.refused as f64 * 100.0 / all as f64)),
        };
        let of = &traffic[at];
        let mut models: Vec<_> = of.models.iter().collect();
        models.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
        changes.rows.push(vec![
            one.record.into(),
            Cell::Time(one.time),
            short(&one.activated.config),
            short(&one.activated.policy),
            Cell::list(changed(&recorded, before, one)),
            of.served.into(),
            of.refused.into(),
            share(of),
            at.checked_sub(1).map_or(Cell::None, |before| share(&traffic[before])),
            Cell::list(models.iter().take(5).map(|(name, count)| format!("{name} {count}"))),
        ]);
    }
    let mut document = ask.document("Which texts decided, and when");
    document.facts.push(("configurations", (changes.rows.len() as u64).into()));
    let killed = runs.rows.iter().rev().skip(1).filter(|row| row[5] == Cell::None).count();
    document.facts.push(("runs_that_did_not_end_in_good_order", (killed as u64).into()));
    document.tables = vec![changes, runs, refused, erased, accepted];
    Ok(document)
}

fn short(digest: &str) -> Cell {
    digest.get(..16).unwrap_or(digest).into()
}

/// What is other than in the configuration before: each text with the lines that came and went.
fn changed(recorded: &Recorded, before: Option<&Activation>, now: &Activation) -> Vec<String> {
    let Some(before) = before else { return vec!["the first".to_owned()] };
    let (old, new) = (&before.activated, &now.activated);
    let mut changed = Vec::new();
    for text in &new.texts {
        match old.texts.iter().find(|other| (other.role, &other.name) == (text.role, &text.name)) {
            Some(same) if same.sha256 == text.sha256 => {}
            Some(other) => {
                let lines = recorded.text(&other.sha256).zip(recorded.text(&text.sha256));
                let lines = lines.map(|(old, new)| lines_between(&old, &new));
                let lines = lines.map_or(String::new(), |(more, less)| format!(" (+{more} -{less} lines)"));
                changed.push(format!("{}{lines}", text.name));
            }
            None => changed.push(format!("{} is new", text.name)),
        }
    }
    let gone = old
        .texts
        .iter()
        .filter(|text| !new.texts.iter().any(|other| (other.role, &other.name) == (text.role, &text.name)));
    changed.extend(gone.map(|text| format!("{} is gone", text.name)));
    if old.version != new.version {
        changed.push(format!("version {} to {}", old.version, new.version));
    }
    changed
}

/// How many lines came and went, wherever they stand.
fn lines_between(old: &str, new: &str) -> (usize, usize) {
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    new.lines().for_each(|line| *count.entry(line).or_default() += 1);
    old.lines().for_each(|line| *count.entry(line).or_default() -= 1);
    let sum = |of: fn(i64) -> i64| count.values().map(|count| of(*count).max(0) as usize).sum();
    (sum(|count| count), sum(|count| -count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_only_moved_did_not_change() {
        assert_eq!(lines_between("a\nb\nc\n", "c\na\nd\nd\n"), (2, 1));
    }
}
