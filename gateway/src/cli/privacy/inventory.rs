//! `pointsman privacy inventory`: which personal data the ledger holds, in which form, since when, until when, and how it is erased.
//!
//! Counted are the records as they are. Whose pseudonym is erased is nobody's; an epoch is told where the store or the list of
//! what was erased says it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    path::Path,
};

use super::folder;
use crate::{
    cli::audit::{
        Ask,
        document::{Cell, Document, Table},
        join::Told,
    },
    config::ledger_folder,
    config::{Hold, Kept, Outline},
    instance::Event,
    settle::record::Decision,
    subjects::{Epoch, Found, Names, erased, is_pseudonym},
};

/// What is held of whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Data {
    Caller,
    Header(String),
    Metadata(String),
    Team,
}

/// How it is held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HeldAs {
    /// Of this epoch, where that is known.
    Pseudonym(Option<Epoch>),
    Plain,
}

/// The records that hold it. Who they are about is told apart by hashes, which takes little memory.
#[derive(Default)]
struct Count {
    records: u64,
    span: Option<(u64, u64)>,
    known: HashSet<u64>,
    erased: HashSet<u64>,
}

struct Counting<'a> {
    names: &'a Names,
    erased: &'a HashMap<String, Epoch>,
    hash: RandomState,
    counts: BTreeMap<(Data, HeldAs), Count>,
}

/// The report.
pub(super) fn document(data_dir: &Path, outline: Option<&Outline>) -> anyhow::Result<Document> {
    let (ask, ledger) = (Ask::of(data_dir.to_owned()), ledger_folder(data_dir));
    let names = Names::of(&ledger);
    let gone = erased(&ledger)?;
    let of_gone = gone.iter().filter_map(|gone| Some((gone.pseudonym.clone(), gone.epoch.parse().ok()?))).collect();
    let mut counting = Counting { names: &names, erased: &of_gone, hash: RandomState::new(), counts: BTreeMap::new() };
    let (mut refused, mut said) = (Count::default(), 0);
    for told in ask.as_recorded()? {
        match told? {
            Told::Request(entry) => counting.take(&entry.decision)?,
            Told::Gateway(_, record) => match record.event {
                Event::Refuse { .. } => refused.add(record.time),
                Event::Erase { total, .. } => said = total,
                _ => {}
            },
            Told::Stray(..) => {}
        }
    }
    let kept = outline.map(|outline| &outline.kept);
    let columns = [
        "data", "held_as", "epoch", "subjects", "erased", "records", "first", "last", "personal", "held_by", "erasable",
    ];
    let mut table = Table::new("ledger", "What records hold of people", &columns).drawing("records");
    table.rows = counting.counts.iter().map(|((data, held), count)| row(data, *held, count, outline)).collect();
    if refused.records > 0 {
        let mut row = row(&Data::Caller, HeldAs::Plain, &refused, outline);
        row[0] = "reports of refused configurations".into();
        row[3] = Cell::None;
        row[8] = "where they quote the id of a key".into();
        table.rows.push(row);
    }
    let mut document = ask.document("Personal data that is kept");
    let days = |days: u64| Cell::Text(format!("{days} days"));
    document.facts.extend([
        ("keep_days", kept.map_or(NOT_TOLD.into(), |kept| kept.keep_days.map_or("all records are kept".into(), days))),
        (
            "pseudonym_days",
            kept.map_or(NOT_TOLD.into(), |kept| match kept.pseudonym_days {
                0 => "ids are recorded as they are".into(),
                of => days(of.into()),
            }),
        ),
        ("holds", kept.map_or(NOT_TOLD.into(), |kept| Cell::list(kept.holds.iter().map(shown)))),
        ("subjects_that_are_known", (names.all()?.len() as u64).into()),
        ("pseudonyms_that_were_erased", (gone.len() as u64).into()),
        ("of_them_on_record", said.into()),
        ("last_erased", gone.last().map_or(Cell::None, |gone| Cell::Time(gone.time))),
    ]);
    document.tables = vec![table, folder::table(data_dir, outline)?];
    Ok(document)
}

/// What a configuration would say.
const NOT_TOLD: &str = "not told: name the configuration with --config";

/// Until when that stays which records hold as it is.
pub(super) fn plainly_kept(kept: Option<&Kept>) -> String {
    match kept.map(|kept| kept.keep_days) {
        Some(Some(days)) => format!("with its records, after {days} days (`ledger.keep_days`)"),
        Some(None) => "never: all records are kept (`ledger.keep_days` is not set)".to_owned(),
        None => "with its records, after `ledger.keep_days`".to_owned(),
    }
}

impl Counting<'_> {
    fn take(&mut self, decision: &Decision<'_>) -> anyhow::Result<()> {
        let time = decision.time;
        if let Some(key) = &decision.key {
            self.count(Data::Caller, key, time)?;
        }
        if let Some(team) = &decision.team {
            self.count(Data::Team, team, time)?;
        }
        if let Some(asked) = &decision.asked {
            asked
                .headers
                .iter()
                .try_for_each(|(name, value)| self.count(Data::Header(name.to_string()), value, time))?;
            let mut metadata = asked.metadata.iter();
            metadata.try_for_each(|(name, value)| self.count(Data::Metadata(name.to_string()), value, time))?;
        }
        Ok(())
    }

    fn count(&mut self, data: Data, value: &str, time: u64) -> anyhow::Result<()> {
        let (held, is_known) = match is_pseudonym(value) {
            false => (HeldAs::Plain, true),
            true => match self.names.find(value)? {
                Some(Found { epoch, .. }) => (HeldAs::Pseudonym(Some(epoch)), true),
                None => (HeldAs::Pseudonym(self.erased.get(value).copied()), false),
            },
        };
        let count = self.counts.entry((data, held)).or_default();
        count.add(time);
        let of = if is_known { &mut count.known } else { &mut count.erased };
        of.insert(self.hash.hash_one(value));
        Ok(())
    }
}

impl Count {
    fn add(&mut self, time: u64) {
        self.records += 1;
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
    }
}

fn row(data: &Data, held: HeldAs, count: &Count, outline: Option<&Outline>) -> Vec<Cell> {
    let kept = outline.map(|outline| &outline.kept);
    let declared = |is_personal: fn(&Outline) -> &Vec<String>, name: &String| match outline {
        Some(outline) if is_personal(outline).contains(name) => "yes",
        Some(_) => "not declared so",
        None => NOT_TOLD,
    };
    let (what, personal, how) = match data {
        Data::Caller => {
            ("caller: key or subject of a token".to_owned(), "yes", "pointsman privacy erase --key ID".to_owned())
        }
        Data::Header(name) => (
            format!("header {name}"),
            declared(|outline| &outline.facts.personal_headers, name),
            format!("pointsman privacy erase --header {name}=VALUE"),
        ),
        Data::Metadata(name) => (
            format!("metadata {name}"),
            declared(|outline| &outline.facts.personal_metadata, name),
            format!("pointsman privacy erase --metadata {name}=VALUE"),
        ),
        Data::Team => ("team".to_owned(), "where a team is one person", String::new()),
    };
    let (held_as, epoch, how) = match held {
        HeldAs::Plain => ("as it is", Cell::None, plainly_kept(kept)),
        HeldAs::Pseudonym(epoch) => {
            let how = if count.known.is_empty() { "erased".to_owned() } else { how };
            ("pseudonym", Cell::text(epoch.map(|epoch| epoch.to_string())), how)
        }
    };
    let (first, last) = count.span.unwrap_or_default();
    let is_held = |hold: &&Hold| match held {
        HeldAs::Pseudonym(Some(epoch)) => epoch.is_held(hold),
        _ => hold.first_ms() <= last && hold.last_ms().is_none_or(|end| first <= end),
    };
    let holds = kept.map(|kept| kept.holds.iter().filter(is_held).map(|hold| &hold.name));
    vec![
        what.into(),
        held_as.into(),
        epoch,
        (count.known.len() as u64).into(),
        (count.erased.len() as u64).into(),
        count.records.into(),
        count.span.map_or(Cell::None, |(first, _)| Cell::Time(first)),
        count.span.map_or(Cell::None, |(_, last)| Cell::Time(last)),
        personal.into(),
        holds.map_or(Cell::None, Cell::list),
        how.into(),
    ]
}

fn shown(hold: &Hold) -> String {
    let to = hold.to.map_or_else(|| "on".to_owned(), |to| format!("to {to}"));
    format!("{} (from {} {to}: {})", hold.name, hold.from, hold.reason)
}
