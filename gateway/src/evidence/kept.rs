//! When each page was looked at last: `evidence.json` in the data folder, so that a start does not ask them all again.
//!
//! Nothing is proved by it, that is what the ledger is for. Without it pages are looked at once more.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    io::Read as _,
    path::{Path, PathBuf},
};

use catalog::{Catalog, PageResult};
use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{keys::replace_file, settle::DAY_MS};

const VERSION: u8 = 1;
/// A file larger than that is none of ours.
const MOST_BYTES: u64 = 16 << 20;
/// After how many days a page is looked at again that was not as its row says.
const LOST_DAYS: u64 = 1;

/// What is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    file: PathBuf,
    looks: BTreeMap<String, Last>,
}

/// The last look at the page of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    page: Page,
    /// When, in Unix milliseconds.
    time: u64,
    result: PageResult,
    /// The configuration that it was looked at under.
    config: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u8,
    looks: BTreeMap<String, Last>,
}

impl Kept {
    /// Nothing is known.
    pub(super) fn empty(file: PathBuf) -> Self {
        Self { file, looks: BTreeMap::new() }
    }

    /// What a file says; nothing, where it cannot be read.
    pub(super) fn read(file: PathBuf) -> Self {
        match looks(&file) {
            Ok(looks) => Self { file, looks },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::empty(file),
            Err(error) => {
                tracing::warn!(%error, "`evidence.json` of the data folder cannot be read; its pages are looked at again");
                Self::empty(file)
            }
        }
    }

    /// Writes it.
    pub(super) fn write(&self) -> io::Result<()> {
        let written = Written { version: VERSION, looks: self.looks.clone() };
        replace_file(&self.file, &serde_json::to_vec_pretty(&written)?)
    }

    /// Forgets the pages that no row speaks of any more.
    pub(super) fn keep_to(&mut self, catalog: &Catalog) {
        let pages: BTreeMap<_, _> = (catalog.evidence())
            .filter(|row| row.check_days.is_some())
            .filter_map(|row| Some((row.id.as_str(), Page::of(row)?)))
            .collect();
        self.looks.retain(|id, last| pages.get(id.as_str()) == Some(&last.page));
    }

    /// How many pages are not as their rows say.
    pub(super) fn lost(&self) -> usize {
        self.looks.values().filter(|last| last.result != PageResult::Found).count()
    }

    /// Whether a page has to be looked at now.
    pub(super) fn is_due(&self, id: &str, page: &Page, check_days: u16, config: &str, now_ms: u64) -> bool {
        let Some(last) = self.looks.get(id).filter(|last| last.page == *page) else { return true };
        let is_lost = last.result != PageResult::Found;
        let days = if is_lost { LOST_DAYS } else { check_days.into() };
        // Whoever changed the configuration may have changed what was in the way. A clock that was ahead says nothing.
        (is_lost && last.config != config) || last.time > now_ms || now_ms - last.time >= days * DAY_MS
    }

    /// Takes a look; what came of the one before it at the same page.
    pub(super) fn take(
        &mut self,
        id: &str,
        page: Page,
        result: PageResult,
        config: String,
        now_ms: u64,
    ) -> Option<PageResult> {
        let last = Last { page, time: now_ms, result, config };
        let same = |before: &Last, last: &Last| before.page == last.page;
        let before = self.looks.get(id).filter(|before| same(before, &last)).map(|before| before.result);
        self.looks.insert(id.to_owned(), last);
        before
    }
}

fn looks(file: &Path) -> io::Result<BTreeMap<String, Last>> {
    let mut text = Vec::new();
    File::open(file)?.take(MOST_BYTES).read_to_end(&mut text)?;
    let written: Written = serde_json::from_slice(&text)?;
    match written.version {
        VERSION => Ok(written.looks),
        other => Err(io::Error::other(format!("its version is {other}, and this program knows {VERSION}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str) -> Page {
        Page { url: url.to_owned(), find: Some("x".to_owned()), sha256: None }
    }

    #[test]
    fn a_page_is_due_by_its_days_sooner_where_it_is_lost_and_at_once_where_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::read(folder.path().join("evidence.json"));
        let (here, now) = (page("https://a.example"), 100 * DAY_MS);
        assert!(kept.is_due("a", &here, 7, "c", now), "never looked at");
        assert_eq!(kept.take("a", here.clone(), PageResult::Found, "c".into(), now), None);
        assert!(!kept.is_due("a", &here, 7, "other", now + 7 * DAY_MS - 1));
        assert!(kept.is_due("a", &here, 7, "c", now + 7 * DAY_MS));
        assert!(kept.is_due("a", &page("https://b.example"), 7, "c", now), "the row speaks of another page");
        assert!(kept.is_due("a", &here, 7, "c", now - 1), "the clock was ahead");
        let before = kept.take("a", here.clone(), PageResult::NotFound, "c".into(), now);
        assert_eq!((before, kept.lost()), (Some(PageResult::Found), 1));
        assert!(!kept.is_due("a", &here, 7, "c", now + DAY_MS - 1));
        assert!(kept.is_due("a", &here, 7, "c", now + DAY_MS));
        assert!(kept.is_due("a", &here, 7, "other", now), "under another configuration");
        kept.write().unwrap();
        assert_eq!(Kept::read(folder.path().join("evidence.json")).looks, kept.looks);
        kept.keep_to(&Catalog::builtin());
        assert!(kept.looks.is_empty(), "no row speaks of it");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("evidence.json");
        for text in ["", "{", "{\"version\": 2, \"looks\": {}}", "{\"version\": 1}"] {
            std::fs::write(&file, text).unwrap();
            assert!(Kept::read(file.clone()).looks.is_empty(), "{text}");
        }
    }
}
