//! Holds an index against its ledger, record by record and column by column: whether it says what the log says.
//!
//! Compared is what is signed when it begins, once the index has that; one that is being kept up is given a moment for it. What the
//! index has beyond that is a surplus only where nobody signed it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    IndexError,
    log::{Entry, Log, LogError},
    table::{Found, Table},
};

/// How long an index is waited for that lacks what was signed last, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);
/// So often it is begun anew because records were pruned meanwhile.
const MOST_ATTEMPTS: usize = 3;
/// So many findings are told one by one.
const MOST_FINDINGS: usize = 100;

/// What came of it.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The first record that was compared: those before it were pruned.
    pub first: u64,
    /// The number after the last one.
    pub next: u64,
    /// How many rows say something else than their record.
    pub differing: u64,
    /// How many records have no row.
    pub missing: u64,
    /// How many rows have no record.
    pub surplus: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The number of the record.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// The columns that differ.
    pub columns: Vec<&'static str>,
}

/// What may be wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says something else than its record.
    Differs,
    /// It is not there.
    Missing,
    /// There is no record of it.
    Surplus,
}

impl Comparison {
    /// Whether the index says what the ledger says.
    pub fn is_good(&self) -> bool {
        self.differing + self.missing + self.surplus == 0
    }

    /// Holds rows against records, both in order.
    fn take(&mut self, batch: &[Entry], found: &[Found]) {
        let mut found = found.iter().peekable();
        for entry in batch {
            while let Some(surplus) = found.next_if(|row| row.number < entry.number) {
                self.finds(surplus.number, Kind::Surplus, Vec::new());
            }
            match found.next_if(|row| row.number == entry.number) {
                None => self.finds(entry.number, Kind::Missing, Vec::new()),
                Some(row) => {
                    let columns = row.differing(entry);
                    if !columns.is_empty() {
                        self.finds(entry.number, Kind::Differs, columns);
                    }
                }
            }
        }
        found.for_each(|row| self.finds(row.number, Kind::Surplus, Vec::new()));
    }

    fn finds(&mut self, number: u64, kind: Kind, columns: Vec<&'static str>) {
        match kind {
            Kind::Differs => self.differing += 1,
            Kind::Missing => self.missing += 1,
            Kind::Surplus => self.surplus += 1,
        }
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { number, kind, columns });
        }
    }
}

/// Compares all of it; `progress` is told how many of how many records were.
///
/// # Errors
/// The ledger cannot be read, or the index not be asked.
pub async fn compare(
    table: &Table,
    log: &Arc<Log>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Comparison, IndexError> {
    table.prepare().await?;
    let mut attempt = 1;
    loop {
        let mark = log.mark()?;
        let comparison = against(table, log, mark, &mut progress).await?;
        if comparison.is_good() || attempt == MOST_ATTEMPTS || log.mark()? == mark {
            return Ok(comparison);
        }
        attempt += 1;
    }
}

async fn against(
    table: &Table,
    log: &Arc<Log>,
    mark: u64,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Comparison, IndexError> {
    let signed = log.signed()?;
    let mut comparison = Comparison { first: mark, next: signed, ..Comparison::default() };
    let begun = Instant::now();
    loop {
        let extent = table.extent().await?;
        let is_whole = extent.map_or(signed <= mark, |extent| extent.first >= mark && extent.next >= signed);
        if is_whole || begun.elapsed() >= PATIENCE {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let (mut reader, mut next) = (None, mark);
    while next < signed {
        let (of, mut records) = (Arc::clone(log), reader);
        let read = tokio::task::spawn_blocking(move || {
            let batch = of.batch(&mut records, next, signed);
            (batch, records)
        });
        let (batch, records) = read.await.map_err(|error| LogError::Thread(error.to_string()))?;
        let batch = batch?;
        reader = records;
        let until = batch.last().map_or(signed, |last| last.number + 1);
        comparison.take(&batch, &table.rows(next, until).await?);
        next = until;
        progress(next - mark, signed - mark);
    }
    // What is there now was signed before, so of what is asked for after that nothing else may be there.
    let until = table.extent().await?.map_or(0, |extent| extent.next);
    let newest = log.signed()?;
    for (from, until) in [(0, mark), (newest.max(signed), until)] {
        let (count, first) = table.count(from, until).await?;
        if let Some(first) = first {
            comparison.finds(first, Kind::Surplus, Vec::new());
            comparison.surplus += count - 1;
        }
    }
    Ok(comparison)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::row::Row;

    fn entry(number: u64) -> Entry {
        let record = format!("{{\"request\":\"{number}\"}}").into_bytes();
        Entry { number, leaf: audit::tree::leaf(&record), row: Row::of(&record), record }
    }

    #[test]
    fn what_is_missing_is_surplus_or_differs_is_found_wherever_it_stands() {
        let batch: Vec<_> = (10..15).map(entry).collect();
        let compared = |numbers: &[(u64, u64)]| {
            // A row of one record under the number of another differs.
            let found: Vec<_> = numbers.iter().map(|(number, of)| Found::of(*number, &entry(*of))).collect();
            let mut comparison = Comparison::default();
            comparison.take(&batch, &found);
            comparison.findings.into_iter().map(|finding| (finding.number, finding.kind)).collect::<Vec<_>>()
        };
        let all = [(10, 10), (11, 11), (12, 12), (13, 13), (14, 14)];
        assert_eq!(compared(&all), []);
        assert_eq!(compared(&[]).len(), 5);
        for at in 0..5 {
            let number = 10 + at as u64;
            let mut gone = all.to_vec();
            gone.remove(at);
            assert_eq!(compared(&gone), [(number, Kind::Missing)]);
            let mut other = all;
            other[at].1 = 99;
            assert_eq!(compared(&other), [(number, Kind::Differs)]);
        }
        let beside = [&[(8, 8), (9, 9)], &all[..], &[(15, 15)]].concat();
        assert_eq!(compared(&beside), [(8, Kind::Surplus), (9, Kind::Surplus), (15, Kind::Surplus)]);
    }

    #[test]
    fn more_findings_than_are_told_are_counted() {
        let mut comparison = Comparison::default();
        let batch: Vec<_> = (0..1_000).map(entry).collect();
        comparison.take(&batch, &[]);
        assert_eq!((comparison.missing, comparison.findings.len()), (1_000, MOST_FINDINGS));
        assert!(!comparison.is_good());
    }
}
