//! Looks at pages of evidence that a ledger tells of: the newest at each row, and when it was found last.

use std::collections::BTreeMap;

use catalog::{Catalog, Date, PageCheck, PageChecks, PageResult};

use super::join::Told;
use crate::{evidence::page::Page, instance::Event};

/// The looks of a ledger up to a day, as far as it has been read.
#[derive(Debug)]
pub(super) struct Looks {
    until: Date,
    newest: BTreeMap<String, Newest>,
}

#[derive(Debug)]
struct Newest {
    page: Page,
    check: PageCheck,
    sha256: Option<String>,
}

impl Looks {
    /// None has been read yet; those after this day are passed over.
    pub(super) fn until(day: Date) -> Self {
        Self { until: day, newest: BTreeMap::new() }
    }

    /// Takes what a ledger tells.
    pub(super) fn take(&mut self, told: &Told) {
        let Told::Gateway(_, said) = told else { return };
        let Event::Evidence(looked) = &said.event else { return };
        let on = Date::of_unix_ms(said.time);
        if on > self.until {
            return;
        }
        let before = self.newest.get(&looked.id).filter(|newest| newest.page == looked.page);
        let last_found = match looked.look.result {
            PageResult::Found => Some(on),
            _ => before.and_then(|newest| newest.check.last_found),
        };
        let check = PageCheck { on, result: looked.look.result, last_found };
        let newest = Newest { page: looked.page.clone(), check, sha256: looked.look.sha256.clone() };
        self.newest.insert(looked.id.clone(), newest);
    }

    /// What a catalog's rows may be held against: looks at the pages that they speak of.
    pub(super) fn checks(&self, catalog: &Catalog) -> PageChecks {
        let of = |row: &catalog::Evidence| {
            let newest = self.newest.get(&row.id).filter(|newest| Page::of(row).as_ref() == Some(&newest.page))?;
            Some((row.id.clone(), newest.check))
        };
        catalog.evidence().filter(|row| row.check_days.is_some()).filter_map(of).collect()
    }

    /// The digest of what was there at the newest look.
    pub(super) fn sha256(&self, id: &str) -> Option<&str> {
        self.newest.get(id)?.sha256.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settle::DAY_MS;

    fn looked(day: &str, url: &str, result: &str) -> Told {
        let time = day.parse::<Date>().unwrap().unix_ms() + DAY_MS - 1;
        let record = json!({
            "v": 1, "kind": "evidence", "id": "e-1", "page": {"url": url, "find": "Built with Llama"}, "result": result,
            "sha256": format!("digest of {day}"), "http": 200, "bytes": 9, "config": "c", "time": time, "instance": "run", "up_ms": 1
        });
        Told::Gateway(1, serde_json::from_value(record).unwrap())
    }

    #[test]
    fn the_newest_look_at_the_page_of_a_row_counts_and_when_it_was_found_last_is_known() {
        let row = "evidence:\n  - {id: e-1, context: bot, license: llama-3.3-community, kind: display, checked: 2026-10-01, \
                   checked_by: a check, valid_until: 2026-12-31, url: 'https://a.example', find: Built with Llama, check_days: 7}\n";
        let catalog = Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), row.to_owned())]).unwrap();
        let read = |until: &str, told: &[Told]| {
            let mut looks = Looks::until(until.parse().unwrap());
            told.iter().for_each(|told| looks.take(told));
            looks
        };
        let here = "https://a.example";
        let told = [
            looked("2026-10-02", here, "found"),
            looked("2026-10-09", here, "not_found"),
            looked("2026-10-10", here, "unreachable"),
        ];
        let day = |text: &str| text.parse::<Date>().unwrap();
        let looks = read("2026-10-10", &told);
        let check =
            PageCheck { on: day("2026-10-10"), result: PageResult::Unreachable, last_found: Some(day("2026-10-02")) };
        assert_eq!(looks.checks(&catalog), PageChecks::from([("e-1".to_owned(), check)]));
        let earlier = read("2026-10-08", &told);
        assert_eq!(earlier.checks(&catalog)["e-1"].result, PageResult::Found);
        assert_eq!(earlier.sha256("e-1"), Some("digest of 2026-10-02"));
        let elsewhere = read("2026-10-10", &[looked("2026-10-02", "https://b.example", "found")]);
        assert!(elsewhere.checks(&catalog).is_empty(), "the row speaks of another page now");
        assert!(looks.checks(&Catalog::builtin()).is_empty());
    }
}
