//! Findings in the Static Analysis Results Interchange Format, version 2.1.0, as code scanning reads it.
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::{collections::BTreeSet, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policies::{Code, Severity};
use serde_json::{Value, json};

use super::Finding;

/// What stands in the path of a URI as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The log of one run.
pub(super) fn log(findings: &[Finding]) -> Value {
    let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> =
        findings.iter().map(|finding| result(finding, codes.iter().position(|code| *code == finding.code))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pointsman",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    let meaning = Code::ALL.iter().find(|known| known.as_str() == code).map(|known| known.meaning());
    match meaning {
        Some(meaning) => json!({ "id": code, "shortDescription": { "text": meaning } }),
        None => json!({ "id": code }),
    }
}

fn result(finding: &Finding, rule: Option<usize>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let location = finding.file.as_ref().map(|file| {
        let mut region = json!({ "startLine": finding.line });
        if let Some(column) = finding.column {
            region["startColumn"] = column.into();
        }
        json!({ "physicalLocation": { "artifactLocation": { "uri": uri(file) }, "region": region } })
    });
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": finding.message },
        "locations": location.into_iter().collect::<Vec<_>>(),
    })
}

/// A path as a URI: relative paths stay relative, to be resolved by whoever knows the root of the repository.
fn uri(file: &str) -> String {
    let path = utf8_percent_encode(file, PATH).to_string();
    if Path::new(file).is_absolute() { format!("file://{path}") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: &str, file: Option<&str>, column: Option<usize>) -> Finding {
        Finding {
            code: code.to_owned(),
            severity: Severity::Error,
            message: "it is wrong".to_owned(),
            file: file.map(str::to_owned),
            line: 3,
            column,
        }
    }

    /// The properties that the published schema requires or restricts, of every object that the log has.
    #[track_caller]
    fn holds_to_the_schema(log: &Value) {
        assert_eq!(log["version"], "2.1.0", "the only value of sarifLog.version");
        for run in log["runs"].as_array().expect("sarifLog.runs is required") {
            let driver = &run["tool"]["driver"];
            assert!(driver["name"].is_string(), "run.tool, tool.driver and toolComponent.name are required");
            let rules = driver["rules"].as_array().expect("an array of reportingDescriptor");
            let ids: BTreeSet<_> = rules.iter().map(|rule| rule["id"].as_str().expect("id is required")).collect();
            assert_eq!(ids.len(), rules.len(), "toolComponent.rules are unique");
            assert!(
                rules
                    .iter()
                    .all(|rule| rule["shortDescription"].is_null() || rule["shortDescription"]["text"].is_string()),
                "multiformatMessageString.text is required"
            );
            assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().unwrap()));
            for result in run["results"].as_array().expect("an array of result") {
                assert!(result["message"]["text"].is_string(), "result.message is required, with a text or an id");
                assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
                let index = result["ruleIndex"].as_u64().expect("an integer from -1") as usize;
                assert_eq!(rules[index]["id"], result["ruleId"], "the index is that of the rule");
                for location in result["locations"].as_array().expect("an array of location") {
                    let physical = &location["physicalLocation"];
                    assert!(physical["artifactLocation"]["uri"].is_string(), "it or an address is required");
                    let region = physical["region"].as_object().expect("an object");
                    assert!(region["startLine"].as_u64() >= Some(1), "startLine is at least 1");
                    assert!(region.get("startColumn").is_none_or(|column| column.as_u64() >= Some(1)));
                }
            }
        }
    }

    #[test]
    fn a_log_has_what_the_schema_requires() {
        let log = log(&[
            finding("unknown-key", Some("a b/ö.yaml"), Some(9)),
            finding("keys-required", None, None),
            finding("unknown-key", Some("/etc/p.yaml"), None),
        ]);
        holds_to_the_schema(&log);
        let results = &log["runs"][0]["results"];
        let location = |at: usize| &results[at]["locations"][0]["physicalLocation"];
        assert_eq!(location(0)["artifactLocation"]["uri"], "a%20b/%C3%B6.yaml");
        assert_eq!(location(0)["region"], json!({ "startLine": 3, "startColumn": 9 }));
        assert_eq!(location(2)["artifactLocation"]["uri"], "file:///etc/p.yaml");
        assert_eq!(results[1]["locations"], json!([]), "what stands in no file has no place");
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(2));
        holds_to_the_schema(&super::log(&[]));
    }
}
