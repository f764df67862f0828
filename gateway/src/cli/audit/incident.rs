//! `pointsman audit incident`: traffic that should not have been: since when, whose, where it went, and what covered it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::{Entry, Told},
    recorded::Recorded,
    standing,
    which::Which,
};

/// Tell when traffic that should not have been began and ended, whose it was, what to shut off, and which waiver covered it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pointsman audit incident --license mistral-research --exposure public")]
pub(super) struct Incident {
    #[command(flatten)]
    which: Which,
}

/// Requests from the first to the last of them.
#[derive(Default)]
struct Span {
    requests: u64,
    first: Option<u64>,
    last: u64,
}

impl Span {
    fn add(&mut self, entry: &Entry) {
        self.requests += 1;
        let time = entry.decision.time;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = self.last.max(time);
    }

    fn cells(&self) -> [Cell; 3] {
        [
            self.requests.into(),
            self.first.map_or(Cell::None, Cell::Time),
            self.first.map_or(Cell::None, |_| Cell::Time(self.last)),
        ]
    }
}

pub(super) fn run(args: &Incident, ask: &Ask) -> anyhow::Result<Document> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut all = Span::default();
    let mut callers: BTreeMap<[String; 3], Span> = BTreeMap::new();
    let mut places: BTreeMap<[String; 3], Span> = BTreeMap::new();
    let mut covers: BTreeMap<String, Span> = BTreeMap::new();
    let (mut keys, mut uncovered, mut unended) = (BTreeSet::new(), 0_u64, 0_u64);
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        // Of one that is open, nothing tells who served it, if anybody did.
        unended += u64::from(entry.is_open() && args.which.may_fit(&entry));
        if !entry.is_served() || !args.which.fits(&entry) {
            continue;
        }
        all.add(&entry);
        let decision = &entry.decision;
        let or_empty = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let key = or_empty(decision.key.as_deref());
        keys.insert(key.clone());
        callers.entry([key, or_empty(decision.team.as_deref()), decision.context.to_string()]).or_default().add(&entry);
        let licensed = entry.licensed();
        let place = [
            or_empty(entry.deployment()),
            or_empty(licensed.map(|licensed| &*licensed.model)),
            or_empty(decision.route.as_deref()),
        ];
        places.entry(place).or_default().add(&entry);
        let rests_on = licensed.map(|licensed| &licensed.rests_on[..]).unwrap_or_default();
        uncovered += u64::from(rests_on.is_empty());
        rests_on.iter().for_each(|id| covers.entry(id.to_string()).or_default().add(&entry));
    }
    let mut document = ask.document("Requests that were served");
    let [requests, first, last] = all.cells();
    document.facts.extend([
        ("requests", requests),
        ("first", first),
        ("last", last),
        ("keys", Cell::Count(keys.len() as u64)),
        ("requests_that_nothing_covered", uncovered.into()),
        ("requests_more_if_those_without_an_end_were_served", unended.into()),
    ]);
    let spans = |name, title, columns: [&'static str; 3], of: BTreeMap<[String; 3], Span>| {
        let columns: Vec<_> = columns.into_iter().chain(["requests", "first", "last"]).collect();
        let mut table = Table::new(name, title, &columns).drawing("requests");
        let cell = |word: String| if word.is_empty() { Cell::None } else { Cell::Text(word) };
        table.rows =
            of.into_iter().map(|(words, span)| words.into_iter().map(cell).chain(span.cells()).collect()).collect();
        table
    };
    let mut covered = Table::new(
        "covered_by",
        "What covered it",
        &["id", "kind", "stands_for_it", "reason", "until", "requests", "first", "last"],
    );
    covered.rows = covers
        .into_iter()
        .map(|(id, span)| {
            let [kind, by, reason, _, until] = standing::cells(&recorded, &id);
            let row = [kind, by, reason, until];
            std::iter::once(id.into()).chain(row).chain(span.cells()).collect()
        })
        .collect();
    document.tables = vec![
        spans("callers", "Whose it was: keys to revoke", ["key", "team", "context"], callers),
        spans("places", "Where it went: what to shut off", ["deployment", "model", "route"], places),
        covered,
    ];
    Ok(document)
}
