use super::*;
use crate::Catalog;

fn day(text: &str) -> Date {
    text.parse().expect("a day")
}

/// A model of Swallow's kind, with these entries of what its row said earlier.
fn model(release_date: Option<&str>, was: &[(&str, [Option<&str>; 4])]) -> Model {
    let builtin = Catalog::builtin();
    let mut model = builtin.model("llama-3.1-swallow-8b-instruct").expect("a row").clone();
    model.release_date = release_date.map(str::to_owned);
    let entry = |(license, [valid_from, valid_to, recorded, corrected]): &(&str, [Option<&str>; 4])| Was {
        license: (*license).to_owned(),
        also_licenses: Vec::new(),
        valid_from: day(valid_from.expect("a first day")),
        valid_to: valid_to.map(day),
        recorded: day(recorded.expect("a first day")),
        corrected: corrected.map(day),
        why: "a test".to_owned(),
    };
    model.was = was.iter().map(entry).collect();
    model
}

fn licenses(model: &Model, valid_at: &str, known_at: &str) -> Option<String> {
    as_of(model, day(valid_at), day(known_at)).map(|terms| terms.licenses().collect::<Vec<_>>().join("+"))
}

const NOW: Option<&str> = Some("llama-3.1-community+gemma-terms");

#[test]
fn swallow_was_thought_free_of_gemma_terms_until_its_makers_corrected_that() {
    let catalog = Catalog::builtin();
    let swallow = catalog.model("llama-3.1-swallow-8b-instruct").expect("a row");
    let told = |valid: &str, known: &str| licenses(swallow, valid, known);
    // What was said on the first day, of the first day.
    assert_eq!(told("2024-10-08", "2024-10-08").as_deref(), Some("llama-3.1-community"));
    // What is known since, of the same day: the Gemma terms had applied all along.
    assert_eq!(told("2024-10-08", "2024-10-09").as_deref(), NOW);
    assert_eq!(told("2026-11-25", "2026-11-25").as_deref(), NOW);
    // On the first day, nobody knew better of later days either.
    assert_eq!(told("2026-11-25", "2024-10-08").as_deref(), Some("llama-3.1-community"));
    // Before the release there was nothing to know and nothing that held.
    assert_eq!((told("2024-10-07", "2026-11-25"), told("2024-10-08", "2024-10-07")), (None, None));
}

#[test]
fn terms_that_changed_hold_until_the_day_of_the_change_whoever_asks_later() {
    let changed = [("mit", [Some("2024-01-01"), Some("2025-01-01"), Some("2024-01-01"), None])];
    let model = model(Some("2024-01-01"), &changed);
    assert_eq!(licenses(&model, "2024-12-31", "2026-01-01").as_deref(), Some("mit"));
    assert_eq!(licenses(&model, "2025-01-01", "2026-01-01").as_deref(), NOW);
    assert_eq!(licenses(&model, "2024-12-31", "2023-12-31"), None, "nobody knew before the first record");
}

#[test]
fn the_first_and_the_last_day_belong_to_what_the_interval_says() {
    let entry = [("mit", [Some("2024-02-01"), Some("2024-03-01"), Some("2024-02-10"), Some("2024-02-20")])];
    let model = model(Some("2024-01-01"), &entry);
    for (valid, known, expected) in [
        ("2024-02-01", "2024-02-10", Some("mit")),
        ("2024-02-29", "2024-02-19", Some("mit")),
        ("2024-03-01", "2024-02-19", NOW),
        ("2024-02-29", "2024-02-20", NOW),
        ("2024-01-31", "2024-02-19", NOW),
        ("2024-02-01", "2024-02-09", None),
        ("2023-12-31", "2024-02-19", None),
    ] {
        assert_eq!(licenses(&model, valid, known).as_deref(), expected, "{valid} known {known}");
    }
}

#[test]
fn a_row_without_history_says_the_same_of_every_day_since_its_release() {
    let released = model(Some("2024-10-08"), &[]);
    assert_eq!(licenses(&released, "2024-10-08", "2024-10-08").as_deref(), NOW);
    assert_eq!(licenses(&released, "2024-10-07", "2026-01-01"), None);
    let undated = model(None, &[]);
    assert_eq!(licenses(&undated, "1999-01-01", "1999-01-01").as_deref(), NOW);
}

#[test]
fn entries_meet_where_both_clocks_do() {
    let pair = |a: [Option<&str>; 4], b: [Option<&str>; 4]| {
        let model = model(None, &[("mit", a), ("apache-2.0", b)]);
        (model.was[0].meets(&model.was[1]), model.was[1].meets(&model.was[0]))
    };
    let mine = [Some("2024-01-01"), Some("2024-06-01"), Some("2024-01-01"), None];
    let later_terms = [Some("2024-06-01"), Some("2024-09-01"), Some("2024-01-01"), None];
    let other_record = [Some("2024-01-01"), None, Some("2023-01-01"), Some("2024-01-01")];
    let both = [Some("2024-05-31"), None, Some("2025-01-01"), Some("2026-01-01")];
    assert_eq!(pair(mine, later_terms), (false, false));
    assert_eq!(pair(mine, other_record), (false, false));
    assert_eq!(pair(mine, both), (true, true));
}
