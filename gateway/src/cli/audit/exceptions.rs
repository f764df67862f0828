//! `pointsman audit exceptions`: every waiver there was, what went through it, and whether it was relied on out of its time.
//!
//! A request that nothing tells the end of, as after a crash, counts for every waiver that one of its candidates rests on: a
//! waiver never seems less used than it was.

use std::collections::{BTreeMap, BTreeSet};

use catalog::{Date, Waiver};
use clap::Args;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::Told,
    recorded::Recorded,
};

/// List waivers: which end soon, which are unused, which carry much, and whether one was relied on out of its time
#[derive(Debug, Args)]
pub(super) struct Exceptions {
    /// Days before its end within which a waiver is said to end soon
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    soon: u32,
    /// Only waivers that carried more requests than this
    #[arg(long, value_name = "COUNT")]
    over: Option<u64>,
    /// The day to look at it from [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
}

#[derive(Default)]
struct Used {
    requests: u64,
    unended: u64,
    last: u64,
    out_of_time: u64,
    contexts: BTreeSet<String>,
}

/// Whether a waiver may be relied on that day.
fn is_in_force(waiver: &Waiver, day: Date) -> bool {
    (waiver.created..=waiver.expires).contains(&day) && waiver.revoked.is_none_or(|revoked| day < revoked)
}

pub(super) fn run(args: &Exceptions, ask: &Ask) -> anyhow::Result<Document> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut used: BTreeMap<String, Used> = BTreeMap::new();
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        let ids: BTreeSet<_> = entry.may_rest_on().flat_map(|licensed| &licensed.rests_on).collect();
        if ids.is_empty() {
            continue;
        }
        let catalog = recorded.catalog(&entry.decision.config).ok();
        for id in ids {
            let used = used.entry(id.to_string()).or_default();
            used.requests += 1;
            used.unended += u64::from(entry.is_open());
            used.last = used.last.max(entry.decision.time);
            used.contexts.insert(entry.decision.context.to_string());
            let day = Date::of_unix_ms(entry.decision.time);
            let row = catalog.as_ref().and_then(|catalog| catalog.waivers().find(|row| row.id == **id));
            if row.is_some_and(|row| !is_in_force(row, day)) {
                used.out_of_time += 1;
            }
        }
    }
    let on = args.on.unwrap_or_else(crate::settle::today);
    // The newest text that has a waiver speaks for it.
    let mut waivers: BTreeMap<String, (Waiver, bool)> = BTreeMap::new();
    let newest = recorded.activated().len();
    for (at, one) in recorded.activated().iter().enumerate() {
        for waiver in recorded.catalog(&one.activated.config).iter().flat_map(|catalog| catalog.waivers()) {
            waivers.insert(waiver.id.clone(), (waiver.clone(), at + 1 == newest));
        }
    }
    let mut table = Table::new(
        "waivers",
        "Waivers",
        &[
            "id",
            "state",
            "days_left",
            "rules",
            "models",
            "contexts",
            "requested_by",
            "approved_by",
            "reason",
            "created",
            "expires",
            "requests",
            "unended",
            "at_most",
            "last_used",
            "used_out_of_time",
        ],
    )
    .drawing("requests");
    let none = Used::default();
    for (id, (waiver, is_current)) in &waivers {
        let used = used.get(id).unwrap_or(&none);
        if args.over.is_some_and(|over| used.requests <= over) {
            continue;
        }
        let days = waiver.expires.days_since(on);
        let state = match () {
            () if !is_current => "taken away",
            () if waiver.revoked.is_some_and(|revoked| revoked <= on) => "revoked",
            () if on < waiver.created => "not begun",
            () if days < 0 => "over",
            () if days <= i64::from(args.soon) => "ends soon",
            () => "in force",
        };
        table.rows.push(vec![
            id.as_str().into(),
            state.into(),
            if days < 0 || !is_current { Cell::None } else { Cell::Count(days as u64) },
            Cell::list(&waiver.rules),
            Cell::list(&waiver.models),
            Cell::list(&waiver.contexts),
            waiver.requested_by.as_str().into(),
            Cell::list(&waiver.approved_by),
            waiver.reason.as_str().into(),
            waiver.created.to_string().into(),
            waiver.expires.to_string().into(),
            used.requests.into(),
            used.unended.into(),
            waiver.at_most_requests.map_or(Cell::None, Cell::Count),
            if used.requests == 0 { Cell::None } else { Cell::Time(used.last) },
            used.out_of_time.into(),
        ]);
    }
    let mut document = ask.document("Waivers");
    let count = |state: &str| table.rows.iter().filter(|row| row[1] == Cell::from(state)).count() as u64;
    document.facts.push(("end_soon", count("ends soon").into()));
    document.facts.push(("unused", (table.rows.iter().filter(|row| row[11] == Cell::Count(0)).count() as u64).into()));
    let out_of_time: u64 = used.values().map(|used| used.out_of_time).sum();
    document.facts.push(("requests_out_of_time", out_of_time.into()));
    document.tables = vec![table];
    Ok(document)
}
