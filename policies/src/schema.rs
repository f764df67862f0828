//! The JSON Schema of a policy file, for editors: which keys there are, what each takes, and what it means.
//!
//! Words come from the lists that the reader itself goes by, and tests hold that it has the reader's keys, takes every
//! file that ships, and refuses every bad file whose shape is wrong. It knows shapes alone: names are for `check`.

use catalog::{Activity, Exposure, Owed, Purpose};
use serde_json::{Map, Value, json};

use crate::{
    Capability, FailureClasses,
    attempts::MOST_AGAIN,
    parse::{LEFT_OUT, NEEDS},
    plan::MAX_CANDIDATES,
    preset,
    quality::Task,
    route::{Held, SCRIPTS, UNKNOWN},
    split::By,
    window::DAYS,
};

/// A key, what it takes, and what it means.
type Key = (&'static str, Value, &'static str);

/// The JSON Schema of a policy file.
pub fn schema() -> Value {
    let mut schema = object(
        "A policy file of Pointsman",
        vec![
            ("version", json!({"const": 1}), "Version of the language."),
            ("aliases", map(text()), "Names that stand for other names: models, deployments, names that routes match."),
            ("suffixes", suffixes(), "Whether `:cheap`, `:fast` and `:quality` behind a name are taken."),
            ("routes", list(json!({"$ref": "#/$defs/route"})), "Asked from the top; the first that matches decides."),
            ("tests", list(json!({"$ref": "#/$defs/test"})), "Requests, and what has to come of them."),
        ],
        &["version"],
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["$defs"] = json!({"route": route(), "test": test(), "candidates": candidates()});
    schema
}

fn route() -> Value {
    object(
        "A route",
        vec![
            ("name", text(), "Its name, in answers, records and reports."),
            ("match", when(), "What a request has to be; every part that is there has to fit."),
            ("require", require(), "What a candidate has to be; what is not known does not meet it."),
            (
                "leave_out",
                many(words(LEFT_OUT.map(Capability::as_str))),
                "What a request is sent without to a candidate that lacks it, rather than not being sent there.",
            ),
            ("prefer", prefer(), "Weights of the score; without it the order of the list decides."),
            ("candidates", listed(), "Who may serve, in this order."),
            ("split", split(), "A share of the requests asks other candidates first."),
            ("shadow", shadow(), "A share of the requests is sent to somebody else too, whose answer is thrown away."),
            ("attempts", attempts(), "How often, how long, and after which failures the next candidate is tried."),
            ("on_none", on_none(), "What becomes of a request that no candidate may serve."),
            ("reuse", reuse(), "Answers are given again to the same request of the same team."),
            ("suffixes", suffixes(), "Whether `:cheap`, `:fast` and `:quality` behind a name are taken."),
            ("tests", list(json!({"$ref": "#/$defs/test"})), "Requests, and what has to come of them."),
        ],
        &["name", "candidates"],
    )
}

fn when() -> Value {
    let unknown = "`unknown` where it could not be told";
    let window = object(
        "A time window",
        vec![
            ("days", many(json!({"type": "string"})), "`mon`, `[mon, fri]` for two days, `mon-fri` for five."),
            ("from", time_of_day(), "From this time of day on."),
            ("to", time_of_day(), "Up to this time of day."),
            ("zone", text(), "IANA name of the time zone; UTC if left out."),
        ],
        &[],
    );
    let mut window = window;
    window["properties"]["days"]["examples"] = json!(DAYS);
    object(
        "`match`",
        vec![
            ("team", many(text()), "The caller's team."),
            ("key", many(text()), "The public id of the caller's key."),
            ("context", many(text()), "The context that the key stands for."),
            ("language", many(text()), "ISO 639-1 code of the last user turn; `unknown` where it could not be told."),
            ("script", many(words(SCRIPTS.into_iter().chain([UNKNOWN]))), unknown),
            ("model", many(text()), "The value of `model` in the request."),
            ("modality", many(words(Held::WORDS.iter().map(|(word, _)| *word))), "What the request holds."),
            ("needs", many(words(NEEDS.map(Capability::as_str))), "It needs all of these."),
            ("prompt_tokens", range(), "The size of the prompt, an estimate."),
            ("stream", json!({"type": "boolean"}), "Whether the answer is to be streamed."),
            ("time", window, "When it comes."),
            ("header", map(many(text())), "Values of request headers that the configuration declares."),
            ("metadata", map(many(text())), "Values of the request's `metadata` that the configuration declares."),
            ("when", text(), "An expression in CEL that has to hold: request.prompt_tokens > 4000 && !request.stream."),
        ],
        &[],
    )
}

fn require() -> Value {
    let tier = json!({"type": "integer", "minimum": 1, "maximum": 5});
    let owed = || words(Owed::NAMES.into_iter().chain(["none"]));
    let license = object(
        "`license`",
        vec![
            ("max_tier", tier, "1 free, 2 conditional, 3 research, 4 non-commercial, 5 closed."),
            ("allow", many(text()), "Licences by catalog id; no other may serve."),
            ("deny", many(text()), "Licences by catalog id that may not serve."),
            ("obligations", many(owed()), "The kinds of duties that the route takes on."),
        ],
        &[],
    );
    let context = object(
        "`context_tokens`",
        vec![
            ("min", count(1), "Tokens."),
            ("effective", json!({"type": "boolean"}), "About what was measured to be of use, not what is stated."),
        ],
        &["min"],
    );
    let max = || object("A limit", vec![("max", amount(), "At most.")], &["max"]);
    let price = object(
        "`price`",
        vec![("input_usd_per_million", max(), "Prompt tokens."), ("output_usd_per_million", max(), "Answer tokens.")],
        &[],
    );
    let floor = object("A floor", vec![("min", amount(), "At least.")], &["min"]);
    let bits = object("`quantization`", vec![("min_bits", amount(), "Bits a weight.")], &["min_bits"]);
    let openness = words(["weights", "weights+code", "fully-open", "closed"]);
    object(
        "`require`",
        vec![
            ("license", license, "What the licence has to be."),
            ("context_tokens", context, "The context window."),
            ("capabilities", many(words(Capability::LISTED.map(Capability::as_str))), "What it has to be able to do."),
            ("region", many(text()), "Where requests are processed; `local` is this process."),
            ("retention", many(text()), "What is kept of a request."),
            ("training_use", many(text()), "What is trained on requests."),
            ("openness", many(openness), "What of the model is open."),
            ("hardware", many(text()), "What it runs on, by catalog id."),
            ("local", json!({"type": "boolean"}), "In this process alone, or never."),
            ("quantization", bits, "How the weights are stored."),
            ("price", price, "USD per million tokens."),
            ("benchmarks", map(floor), "Floors by the catalog's names of benchmarks."),
            ("ttft_p95_ms", max(), "Milliseconds to the first token; not yet measured passes."),
            ("tpot_p95_ms", max(), "Milliseconds per further token; not yet measured passes."),
            ("error_rate", max(), "Share of recent attempts that failed, 0 to 1."),
        ],
        &[],
    )
}

fn prefer() -> Value {
    let kind = object(
        "`quality_by`",
        vec![
            ("language", text(), "How good it is in this language."),
            ("task", words(Task::ALL.map(Task::as_str)), "How good it is at this kind of work."),
        ],
        &[],
    );
    object(
        "`prefer`",
        vec![
            ("quality", amount(), "An estimate, or what `quality_by` says."),
            ("cost", amount(), "The expected price."),
            ("latency", amount(), "The expected time of the answer."),
            ("throughput", amount(), "The time per further token."),
            ("cached_prefix", amount(), "The share of the prompt that is cached there."),
            ("locality", amount(), "In this process."),
            ("spread", amount(), "The share of running requests that are not there."),
            ("quality_by", either(text(), kind), "A benchmark, a language, a task."),
        ],
        &[],
    )
}

fn split() -> Value {
    let by = object(
        "`by`",
        vec![
            ("header", text(), "The value of a header that the configuration declares."),
            ("metadata", text(), "The value of an entry of `metadata` that it declares."),
        ],
        &[],
    );
    let arm = object(
        "An arm",
        vec![
            ("name", text(), "Its name, in answers and records."),
            ("weight", count(0), "Its share, against the sum of all weights."),
            ("candidates", listed(), "Asked before those of the route; none leaves the route as it is."),
        ],
        &["name", "weight"],
    );
    object(
        "`split`",
        vec![
            ("by", either(words(By::WORDS.map(|(word, _)| word)), by), "What keeps a request on its arm; `key`."),
            ("arms", list(arm), "At least two."),
        ],
        &["arms"],
    )
}

fn shadow() -> Value {
    let share = json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1});
    object(
        "`shadow`",
        vec![
            ("share", share, "Of the requests, 0 to 1."),
            ("candidates", listed(), "The first that may serve gets it."),
        ],
        &["share", "candidates"],
    )
}

fn attempts() -> Value {
    let most = || json!({"type": "integer", "minimum": 1, "maximum": MAX_CANDIDATES});
    let classes = || {
        let mut words: Vec<Value> = FailureClasses::words().into_iter().map(|(word, _)| word.into()).collect();
        // A number as YAML reads it.
        words.push(429.into());
        many(json!({"enum": words}))
    };
    let deadlines = || {
        object(
            "`deadlines`",
            vec![
                ("connect", duration(), "Until the connection stands: 2s."),
                ("headers", duration(), "From there until the response headers of a stream: 10s."),
                ("first_token", duration(), "From the start until the first content of a stream: 15s."),
                ("idle", duration(), "Between two pieces of a stream: 20s."),
                ("total", duration(), "The whole answer: 5m."),
            ],
            &[],
        )
    };
    let group = object(
        "A group of attempts",
        vec![
            ("candidates", listed(), "Whom it is about."),
            ("after", classes(), "Held back, and tried after one of these failures before all others."),
            ("max", most(), "The most attempts at them."),
            ("on", classes(), "The failures of theirs after which the next is tried."),
            ("deadlines", deadlines(), "How long each phase may take."),
        ],
        &["candidates"],
    );
    object(
        "`attempts`",
        vec![
            ("max", most(), "The most attempts at hosts and servers, the first included: 3."),
            (
                "again",
                json!({"type": "integer", "minimum": 0, "maximum": MOST_AGAIN}),
                "How often one deployment is asked once more, where nobody else is left: 0.",
            ),
            (
                "hedge_after",
                either(words(["p95"]), duration()),
                "When the next is asked beside one that has not begun to answer; never if left out.",
            ),
            ("budget", duration(), "No attempt begins later than so after the first: 30s."),
            ("on", classes(), "The failures after which the next is tried; all but `content_filter`."),
            ("deadlines", deadlines(), "How long each phase of an attempt may take."),
            ("groups", list(group), "Rules for some candidates."),
        ],
        &[],
    )
}

fn on_none() -> Value {
    let queue = object(
        "`queue`",
        vec![("wait", duration(), "At most `5m`."), ("max", count(1), "The most that wait at a time: 100.")],
        &["wait"],
    );
    let other = object(
        "`on_none`",
        vec![
            ("degrade_to", listed(), "Who is asked instead."),
            ("queue", queue, "Waits for somebody who is not available now."),
        ],
        &[],
    );
    either(words(["refuse"]), other)
}

fn reuse() -> Value {
    let sampled = json!({"type": "boolean"});
    object(
        "`reuse`",
        vec![
            ("ttl", duration(), "For how long."),
            ("sampled", sampled, "Also answers whose tokens were drawn: false if left out."),
        ],
        &["ttl"],
    )
}

fn test() -> Value {
    let use_ = object(
        "`use`",
        vec![
            ("purpose", words(Purpose::ALL.map(Purpose::name)), "`revenue` if left out."),
            ("exposure", words([Exposure::Internal, Exposure::Public].map(Exposure::name)), "`public` if left out."),
            ("activity", words(Activity::ALL.map(Activity::name)), "What becomes of the answers."),
            ("seat", text(), "Country of the licensee."),
            ("end_users", many(text()), "Countries that it is offered to."),
            ("entity", text(), "The legal entity."),
        ],
        &[],
    );
    let request = object(
        "`request`",
        vec![
            ("model", text(), "The model asked for."),
            ("team", text(), "The team."),
            ("key", text(), "The public id of the key."),
            ("context", text(), "The context."),
            ("language", text(), "ISO 639-1 code."),
            ("script", text(), "The script."),
            ("prompt_tokens", count(0), "100 if left out."),
            ("max_tokens", count(0), "The most tokens of the answer."),
            ("needs", many(words(NEEDS.map(Capability::as_str))), "What it needs."),
            ("stream", json!({"type": "boolean"}), "Whether it is streamed."),
            ("arm", text(), "The arm of the route's split."),
            ("time", text(), "The moment, RFC 3339."),
            ("header", map(text()), "Request headers."),
            ("metadata", map(text()), "Entries of `metadata`."),
            ("use", use_, "What licences are decided on."),
        ],
        &["model"],
    );
    let usd = object(
        "A price",
        vec![
            ("input_usd_per_million", amount(), "Prompt tokens."),
            ("output_usd_per_million", amount(), "Answer tokens."),
        ],
        &["input_usd_per_million", "output_usd_per_million"],
    );
    let deployed = object(
        "A deployment of a test",
        vec![
            ("model", text(), "A catalog id, or a deployment of the configuration."),
            ("host", text(), "The host that it is at."),
            ("region", text(), "As in the configuration."),
            ("retention", text(), "As in the configuration."),
            ("training_use", text(), "As in the configuration."),
            ("hardware", text(), "As in the configuration."),
            ("quantization_bits", amount(), "As in the configuration."),
            ("context", count(1), "As in the configuration."),
            ("effective_context", count(1), "As in the configuration."),
            ("price", usd, "As in the configuration."),
        ],
        &["model"],
    );
    let verdicts = words(["serve", "unknown_model", "license", "unavailable", "none_fits"]);
    let expect = object(
        "`expect`",
        vec![
            ("route", text(), "The route that takes it."),
            ("arm", text(), "The arm of its split."),
            ("first", text(), "Who is tried first."),
            ("order", many(text()), "All who would be tried, in this order, and nobody else."),
            ("never", many(text()), "Who does not get it."),
            ("shadow", text(), "Whom it is mirrored to."),
            ("verdict", verdicts, "`serve` if left out."),
        ],
        &[],
    );
    object(
        "A test",
        vec![
            ("name", text(), "What it promises."),
            ("deployed", many(either(text(), deployed)), "What is deployed; the configuration's if left out."),
            ("request", request, "What is asked."),
            ("expect", expect, "What has to come of it."),
        ],
        &["name", "request", "expect"],
    )
}

fn candidates() -> Value {
    let presets: Vec<String> = preset::ids().map(|id| format!("preset:{id}")).collect();
    let examples: Vec<String> = std::iter::once("any".to_owned()).chain(presets).collect();
    many(json!({
        "type": ["string", "number"],
        "description": "A catalog model, a deployment, host:ID, family:ID, preset:ID, or any.",
        "examples": examples,
    }))
}

fn listed() -> Value {
    json!({"$ref": "#/$defs/candidates"})
}

fn suffixes() -> Value {
    words(["allow", "refuse"])
}

fn object(title: &str, keys: Vec<Key>, required: &[&str]) -> Value {
    let properties: Map<String, Value> = keys
        .into_iter()
        .map(|(key, mut takes, means)| {
            takes["description"] = means.into();
            (key.to_owned(), takes)
        })
        .collect();
    let mut object = json!({"title": title, "type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// Any scalar: what is a number or a truth value to YAML may be a name here.
fn text() -> Value {
    json!({"type": ["string", "number", "boolean"], "minLength": 1})
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    json!({"enum": words.into_iter().collect::<Vec<_>>()})
}

/// A list that is not empty; a single value is a list of one.
fn many(item: Value) -> Value {
    json!({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})
}

fn list(item: Value) -> Value {
    many(item)
}

fn either(one: Value, other: Value) -> Value {
    json!({"anyOf": [one, other]})
}

/// Names of the author's own.
fn map(value: Value) -> Value {
    json!({"type": "object", "additionalProperties": value})
}

fn range() -> Value {
    object("A range", vec![("min", count(0), "At least."), ("max", count(0), "At most.")], &[])
}

/// A whole number; `_` may group its digits, which makes it a text to YAML.
fn count(least: u64) -> Value {
    json!({"anyOf": [{"type": "integer", "minimum": least}, {"type": "string", "pattern": "^[0-9][0-9_]*$"}]})
}

fn amount() -> Value {
    json!({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9][0-9_.eE+-]*$"}]})
}

fn duration() -> Value {
    json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"})
}

fn time_of_day() -> Value {
    json!({"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"})
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use catalog::Catalog;

    use super::*;
    use crate::{
        Source, compile,
        yaml::{self, Node},
    };

    fn json_of(node: &Node) -> Value {
        match &node.value {
            yaml::Value::List(items) => items.iter().map(json_of).collect(),
            yaml::Value::Map(pairs) => {
                let key = |node: &Node| match &node.value {
                    yaml::Value::Scalar { text, .. } => text.clone(),
                    _ => String::new(),
                };
                pairs.iter().map(|(name, value)| (key(name), json_of(value))).collect::<Map<_, _>>().into()
            }
            yaml::Value::Scalar { text, quoted: true } => text.as_str().into(),
            yaml::Value::Scalar { .. } if node.is_null() => Value::Null,
            yaml::Value::Scalar { text, .. } => match serde_json::from_str(text) {
                Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
                _ => text.as_str().into(),
            },
        }
    }

    fn files(folder: &str) -> Vec<(String, String)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(path).expect("a text")));
            }
        }
        assert!(!found.is_empty(), "{}", folder.display());
        found
    }

    #[test]
    fn it_takes_every_policy_file_that_ships() {
        let validator = jsonschema::validator_for(&schema()).expect("a schema");
        let folders = ["../config/policies", "../config/policies/examples", "../config/policies/probes"];
        let examples = ["startup", "bank", "studio"].map(|name| format!("../config/examples/{name}"));
        let mut seen = 0;
        for folder in folders.into_iter().map(str::to_owned).chain(examples) {
            for (name, text) in files(&folder).into_iter().filter(|(_, text)| text.contains("version: 1")) {
                let tree = json_of(&yaml::parse(&text).expect("a tree"));
                let wrong: Vec<String> =
                    validator.iter_errors(&tree).map(|error| format!("{}: {error}", error.instance_path)).collect();
                assert!(wrong.is_empty(), "{folder}/{name}: {wrong:#?}");
                seen += 1;
            }
        }
        assert!(seen >= 7, "{seen} files");
    }

    #[test]
    fn it_refuses_what_has_the_wrong_shape_and_nothing_that_the_reader_takes() {
        let validator = jsonschema::validator_for(&schema()).expect("a schema");
        let shape = ["unknown-key", "missing-key"];
        let mut refused = 0;
        for (name, text) in files("tests/all/diagnostics") {
            let Ok(tree) = yaml::parse(&text) else { continue };
            let valid = validator.is_valid(&json_of(&tree));
            let report = match compile(&[Source::new(&name, &text)], &Catalog::builtin(), &[]) {
                Ok((_, report)) | Err(report) => report,
            };
            let has = |codes: &[&str]| report.diagnostics.iter().any(|found| codes.contains(&found.code));
            assert!(valid || report.has_errors(), "{name} is read, and the schema refuses it");
            // What a quality is read from has no key of its own that could be missing.
            let of_meaning = report.diagnostics.iter().any(|found| found.message.contains("names no measure"));
            assert!(!valid || !has(&shape) || of_meaning, "{name} has the wrong shape:\n{report}");
            refused += usize::from(!valid);
        }
        assert!(refused >= 30, "{refused} files");
    }
}
