//! The golden cases: what a company states, who uses which model for what and when, and what comes of it.
//!
//! They are data, so that the test of the decision (`golden.rs`) and the test of the command line (`tests/e2e/golden.rs`)
//! hold both to the same promises. A case with `each` is one case a row: `{model}` and the like stand for the row's
//! values. What a case leaves out of its use is the company `acme` with a seat in the United States, in its context `bot`,
//! seen inside the company only, on 2026-11-25.

use catalog::{Date, Outcome, Use};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The files, by theme.
const FILES: [(&str, &str); 5] = [
    ("thresholds.yaml", include_str!("thresholds.yaml")),
    ("uses.yaml", include_str!("uses.yaml")),
    ("outputs.yaml", include_str!("outputs.yaml")),
    ("parents.yaml", include_str!("parents.yaml")),
    ("exceptions.yaml", include_str!("exceptions.yaml")),
];

/// A case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it promises, in plain words.
    pub name: String,
    /// The company's own catalog file.
    #[serde(default)]
    pub company: Option<String>,
    /// Who uses the model for what.
    #[serde(rename = "use")]
    pub use_: Use,
    /// The day of the decision.
    pub day: Date,
    /// The model's id.
    pub model: String,
    /// The adapters that are loaded over it.
    #[serde(default)]
    pub adapters: Vec<String>,
    /// What comes of it.
    pub expect: Expected,
}

/// What comes of a case. Of what is left out nothing is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub outcome: Outcome,
    pub rule: String,
    /// The licence that decides.
    #[serde(default)]
    license: Option<String>,
    /// Each need in turn, by the fields that are named.
    #[serde(default)]
    missing: Option<Vec<Map<String, Value>>>,
    /// Words of an obligation.
    #[serde(default)]
    owes: Vec<String>,
    /// Words of no obligation.
    #[serde(default)]
    owes_not: Vec<String>,
    /// Words of a finding.
    #[serde(default)]
    finds: Vec<String>,
    /// Words of the reason.
    #[serde(default)]
    says: Vec<String>,
    /// All that it rests on.
    #[serde(default)]
    rests_on: Option<Vec<String>>,
    #[serde(default)]
    valid_until: Option<String>,
}

impl Expected {
    /// What a decision, as its JSON says it, has otherwise.
    pub fn differences(&self, decision: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let mut same = |field: &str, expected: Value| {
            if decision[field] != expected {
                found.push(format!("{field}: expected {expected}, found {}", decision[field]));
            }
        };
        same("outcome", json!(self.outcome));
        same("rule", json!(self.rule));
        for (field, expected) in [("license", &self.license), ("valid_until", &self.valid_until)] {
            if let Some(expected) = expected {
                same(field, json!(expected));
            }
        }
        if let Some(expected) = &self.rests_on {
            // What is empty is left out of the JSON.
            same("rests_on", if expected.is_empty() { Value::Null } else { json!(expected) });
        }
        if let Some(expected) = &self.missing {
            let needs = decision["missing"].as_array().map_or(&[][..], Vec::as_slice);
            let holds = |expected: &Map<String, Value>, need: &Value| {
                expected.iter().all(|(field, value)| need[field.as_str()] == *value)
            };
            if needs.len() != expected.len() || !expected.iter().zip(needs).all(|(wanted, need)| holds(wanted, need)) {
                found.push(format!("missing: expected {}, found {}", json!(expected), decision["missing"]));
            }
        }
        let said = |field: &str, words: &str| {
            decision[field]
                .as_array()
                .into_iter()
                .flatten()
                .any(|text| text.as_str().is_some_and(|text| text.contains(words)))
        };
        for (field, words, wanted) in
            [("obligations", &self.owes, true), ("obligations", &self.owes_not, false), ("findings", &self.finds, true)]
        {
            for words in words.iter().filter(|words| said(field, words) != wanted) {
                found.push(format!("{field}: expected `{words}`: {wanted}, found {}", decision[field]));
            }
        }
        for words in
            self.says.iter().filter(|words| !decision["reason"].as_str().is_some_and(|text| text.contains(*words)))
        {
            found.push(format!("reason: expected `{words}`, found {}", decision["reason"]));
        }
        found
    }
}

/// Every case of every file.
pub fn all() -> Vec<Case> {
    FILES.into_iter().flat_map(|(file, text)| read(file, text)).collect()
}

fn read(file: &str, text: &str) -> Vec<Case> {
    let rows: Vec<Value> = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    rows.into_iter().flat_map(expanded).map(|row| case(file, row)).collect()
}

/// The rows that a row with `each` stands for.
fn expanded(mut row: Value) -> Vec<Value> {
    let Some(each) = row.as_object_mut().and_then(|row| row.remove("each")) else { return vec![row] };
    let each: Vec<Map<String, Value>> = serde_json::from_value(each).expect("a list of maps under `each`");
    let one = |values: Map<String, Value>| {
        let mut row = row.clone();
        row["name"] = format!("{} ({})", row["name"].as_str().expect("a name"), words(&values)).into();
        filled(&mut row, &values);
        row
    };
    each.into_iter().map(one).collect()
}

fn words(values: &Map<String, Value>) -> String {
    values.values().map(|value| value.as_str().expect("a text")).collect::<Vec<_>>().join(", ")
}

/// Puts the values in the place of their names, in every text of the row.
fn filled(row: &mut Value, values: &Map<String, Value>) {
    match row {
        Value::String(text) => {
            for (name, value) in values {
                *text = text.replace(&format!("{{{name}}}"), value.as_str().expect("a text"));
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| filled(one, values)),
        Value::Object(all) => all.values_mut().for_each(|one| filled(one, values)),
        _ => {}
    }
}

fn case(file: &str, mut row: Value) -> Case {
    let name = row["name"].clone();
    let mut use_ = json!({"exposure": "internal", "seat": "US", "entity": "acme", "context": "bot"});
    if let (Some(use_), Some(said)) = (use_.as_object_mut(), row["use"].as_object()) {
        use_.extend(said.clone());
    }
    row["use"] = use_;
    if row["day"].is_null() {
        row["day"] = "2026-11-25".into();
    }
    serde_json::from_value(row).unwrap_or_else(|error| panic!("{file}: {name}: {error}"))
}
