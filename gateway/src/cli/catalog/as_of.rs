//! `pointsman catalog as-of`: the licences of a model on one day, as they were known on another.

use std::time::{SystemTime, UNIX_EPOCH};

use catalog::{Catalog, Date, Model, Terms, Tier, as_of};
use clap::Args;
use serde_json::json;

use super::{find, known};
use crate::cli::{
    ConfigFile,
    columns::{columns, shown},
    print, print_json,
};

const EXAMPLES: &str = "\
Examples:
  pointsman catalog as-of llama-3.1-swallow-8b-instruct --valid 2024-10-08
      the licences that held on that day, by what is known today
  pointsman catalog as-of llama-3.1-swallow-8b-instruct --valid 2024-10-08 --known 2024-10-08
      what a decision of that day had to go by, beside what is known today";

/// Tell which licences held for a model on one day, as known on another
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AsOf {
    /// Catalog id, repository, or another name of the model
    model: String,
    /// The day that the question is about
    #[arg(long, value_name = "DATE")]
    valid: Date,
    /// The day whose knowledge counts; today if left out
    #[arg(long, value_name = "DATE")]
    known: Option<Date>,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// False if nothing was known.
pub(super) fn run(args: &AsOf) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let model = find(&catalog, &args.model)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let today = Date::of_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let answer = Answer::new(&catalog, model, args.valid, args.known.unwrap_or(today), today);
    match args.json {
        true => print_json(&answer.json())?,
        false => print(&answer.text())?,
    }
    Ok(answer.then.is_some())
}

struct Answer<'a> {
    catalog: &'a Catalog,
    model: &'a Model,
    valid: Date,
    known: Date,
    today: Date,
    /// As known on the day that was asked for.
    then: Option<Terms<'a>>,
    /// As known today.
    now: Option<Terms<'a>>,
}

impl<'a> Answer<'a> {
    fn new(catalog: &'a Catalog, model: &'a Model, valid: Date, known: Date, today: Date) -> Answer<'a> {
        let (then, now) = (as_of(model, valid, known), as_of(model, valid, today));
        Answer { catalog, model, valid, known, today, then, now }
    }

    fn text(&self) -> String {
        let Answer { model, valid, known, .. } = self;
        let mut text = format!("{} ({}) on {valid}, as known on {known}\n\n", shown(&model.name), model.id);
        if self.then.is_none() && self.now.is_none() {
            return text + &self.nothing();
        }
        let then: Vec<_> = self.then.iter().flat_map(Terms::licenses).collect();
        let now: Vec<_> = self.now.iter().flat_map(Terms::licenses).collect();
        let mut all = now.clone();
        all.extend(then.iter().filter(|id| !now.contains(id)));
        let tier = |id: &str| self.catalog.license(id).map(|license| license.tier.number().to_string());
        let said = |said: &[&str], id: &str| if said.contains(&id) { "yes" } else { "no" }.to_owned();
        let rows: Vec<_> = all
            .iter()
            .map(|id| [(*id).to_owned(), tier(id).unwrap_or_default(), said(&then, id), said(&now, id)])
            .collect();
        if self.known == self.today {
            let rows: Vec<_> = rows.into_iter().map(|[id, tier, ..]| [id, tier]).collect();
            text.push_str(&columns(["LICENCE", "TIER"], &rows));
        } else {
            let headings = ["LICENCE", "TIER", &format!("KNOWN ON {known}"), &format!("KNOWN TODAY, {}", self.today)];
            text.push_str(&columns(headings, &rows));
        }
        if self.then.is_none() {
            text.push_str(&format!("\n{}", self.nothing()));
        }
        for was in [self.then, self.now].into_iter().flatten().filter_map(|terms| terms.was) {
            let what = match (was.corrected, was.valid_to) {
                (Some(corrected), _) => format!("corrected on {corrected}"),
                (None, Some(to)) => format!("changed on {to}"),
                (None, None) => "noted".to_owned(),
            };
            let told = format!("\n{what}: {}\n", shown(&was.why));
            // Both views may rest on the same entry.
            if !text.contains(&told) {
                text.push_str(&told);
            }
        }
        let duties = self.duties(now.iter().copied().filter(|id| !then.contains(id)));
        if !duties.is_empty() {
            text.push_str("\nduties that are known today and were not known then:\n");
            text.extend(duties.iter().map(|duty| format!("  {}\n", shown(duty))));
        }
        text
    }

    /// Why there is no answer.
    fn nothing(&self) -> String {
        match &self.model.release_date {
            Some(date) => format!("nothing was known: the model was released on {date}\n"),
            None => "nothing was known of that day\n".to_owned(),
        }
    }

    /// What licences ask for.
    fn duties<'b>(&self, licenses: impl Iterator<Item = &'b str>) -> Vec<String> {
        let licenses = licenses.filter_map(|id| self.catalog.license(id));
        let duties = licenses
            .flat_map(|license| license.obligations.iter().map(move |duty| format!("{}: {}", license.name, duty.text)));
        duties.collect()
    }

    fn json(&self) -> serde_json::Value {
        let view = |terms: Option<Terms<'_>>| {
            terms.map(|terms| {
                let licenses: Vec<_> = terms.licenses().collect();
                let tier: Option<Tier> =
                    licenses.iter().filter_map(|id| self.catalog.license(id)).map(|license| license.tier).max();
                json!({ "licenses": licenses, "tier": tier, "entry": terms.was })
            })
        };
        json!({
            "model": self.model.id,
            "valid": self.valid,
            "known": self.known,
            "as_known": view(self.then),
            "today": self.today,
            "as_known_today": view(self.now),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(valid: &str, known: &str) -> (String, serde_json::Value) {
        let catalog = Catalog::builtin();
        let model = catalog.model("llama-3.1-swallow-8b-instruct").expect("a row");
        let day = |text: &str| text.parse().expect("a day");
        let answer = Answer::new(&catalog, model, day(valid), day(known), day("2026-11-25"));
        (answer.text(), answer.json())
    }

    #[test]
    fn both_views_of_one_day_stand_side_by_side_with_what_was_corrected_and_the_duties_that_came_with_it() {
        let (text, json) = answer("2024-10-08", "2024-10-08");
        for told in [
            "LICENCE              TIER  KNOWN ON 2024-10-08  KNOWN TODAY, 2026-11-25\n",
            "llama-3.1-community  2     yes                  yes\n",
            "gemma-terms          2     no                   yes\n",
            "\ncorrected on 2024-10-09: At release the makers named the Llama 3.1 licence alone.",
            "\nduties that are known today and were not known then:\n  Gemma Terms of Use",
        ] {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert_eq!(json["as_known"]["licenses"], json!(["llama-3.1-community"]));
        assert_eq!(json["as_known_today"]["licenses"], json!(["llama-3.1-community", "gemma-terms"]));
        assert_eq!(
            (&json["as_known"]["entry"]["corrected"], &json["as_known_today"]["entry"]),
            (&json!("2024-10-09"), &json!(null))
        );
    }

    #[test]
    fn the_knowledge_of_today_needs_one_column_only() {
        let (text, _) = answer("2024-10-08", "2026-11-25");
        assert!(text.contains("LICENCE              TIER\nllama-3.1-community  2\ngemma-terms          2\n"), "{text}");
        assert!(!text.contains("corrected") && !text.contains("duties"), "{text}");
    }

    #[test]
    fn before_the_release_nothing_is_known_and_that_is_said() {
        let (text, json) = answer("2024-10-07", "2026-11-25");
        assert!(text.ends_with("\n\nnothing was known: the model was released on 2024-10-08\n"), "{text}");
        assert!(json["as_known"].is_null() && json["as_known_today"].is_null());
    }
}
