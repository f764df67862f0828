//! `pointsman audit export`: requests as the lines that other systems read.
//!
//! - `jsonl`: a decision with its outcome, as recorded;
//! - `ocsf`: API Activity (class 6003) of the Open Cybersecurity Schema Framework 1.8, with the profiles `ai_operation` and
//!   `security_control`; what that has no field for, the licence above all, stands under `unmapped`;
//! - `cef`: ArcSight's Common Event Format; `syslog`: the same as RFC 5424 messages.
//!
//! What another system has cannot be erased from here, so lines say pseudonyms as the records do, unless names are asked for.

use std::io::{self, BufWriter, Write};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Ask, join::Entry, names, requests, which::Which, written};

/// Write requests as lines for other systems: JSON, OCSF, CEF, syslog
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    which: Which,
    /// What the lines are
    #[arg(long, value_enum)]
    format: Format,
    /// Say who stands behind pseudonyms; the system that takes the lines has to erase that itself
    #[arg(long)]
    name_subjects: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Jsonl,
    Ocsf,
    Cef,
    Syslog,
}

pub(super) fn run(args: &Export, ask: &Ask, out: impl Write) -> anyhow::Result<bool> {
    let mut out = BufWriter::new(out);
    let which = args.which.as_recorded(&ask.names)?;
    for entry in requests(ask.as_recorded()?) {
        let mut entry = entry?;
        if !ask.wants(&entry) || !which.fits(&entry) {
            continue;
        }
        if args.name_subjects {
            names::put_back(&ask.names, &mut entry.decision)?;
        }
        let line = match args.format {
            Format::Jsonl => serde_json::to_string(&entry)?,
            Format::Ocsf => ocsf(&entry).to_string(),
            Format::Cef => cef(&entry),
            Format::Syslog => syslog(&entry),
        };
        match writeln!(out, "{line}") {
            // A reader that has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
            written => written?,
        }
    }
    out.flush()?;
    Ok(true)
}

/// Whether the request was let through.
fn is_allowed(entry: &Entry) -> bool {
    entry.decision.verdict == "serve"
}

fn ocsf(entry: &Entry) -> Value {
    let decision = &entry.decision;
    let licensed = entry.licensed();
    let allowed = is_allowed(entry);
    let completed = entry.outcome.as_ref().is_some_and(|outcome| outcome.status == "completed");
    let (status_id, status) = match (allowed, completed) {
        (true, true) => (1, "Success"),
        (true, false) if entry.outcome.is_none() => (0, "Unknown"),
        _ => (2, "Failure"),
    };
    json!({
        "class_uid": 6003, "class_name": "API Activity", "category_uid": 6, "category_name": "Application Activity",
        "activity_id": 99, "activity_name": "Generate", "type_uid": 600_399, "type_name": "API Activity: Other",
        "time": decision.time,
        "severity_id": if allowed { 1 } else { 3 }, "severity": if allowed { "Informational" } else { "Medium" },
        "status_id": status_id, "status": status, "status_detail": entry.ended(),
        "action_id": if allowed { 1 } else { 2 }, "action": if allowed { "Allowed" } else { "Denied" },
        "metadata": {
            "version": "1.8.0", "profiles": ["ai_operation", "security_control"],
            "product": {"name": "Pointsman", "vendor_name": "Pointsman", "version": env!("CARGO_PKG_VERSION")},
            "uid": decision.request, "sequence": entry.record,
        },
        "actor": {"user": {"uid": decision.key, "groups": decision.team.iter().map(|team| json!({"name": team})).collect::<Vec<_>>()}},
        "api": {"operation": decision.api, "service": {"name": "pointsman"}, "request": {"uid": decision.request}},
        "src_endpoint": {"name": "not recorded"},
        "ai_model": {
            "name": licensed.map_or(&decision.model, |licensed| &licensed.model),
            "ai_provider": entry.deployment().unwrap_or("none"),
            "version": licensed.and_then(|licensed| licensed.weights.as_deref()),
        },
        "policy": {"name": decision.route.as_deref().unwrap_or("none"), "uid": decision.policy, "version": decision.config},
        "unmapped": {
            "context": decision.context, "use": decision.r#use, "verdict": decision.verdict,
            "license": licensed.map(|licensed| json!({
                "id": licensed.license, "tier": licensed.tier, "decision": licensed.outcome, "rule": licensed.rule,
                "rests_on": licensed.rests_on,
            })),
            "prompt_tokens": entry.outcome.as_ref().and_then(|outcome| outcome.prompt_tokens),
            "completion_tokens": entry.outcome.as_ref().and_then(|outcome| outcome.completion_tokens),
        },
    })
}

fn cef(entry: &Entry) -> String {
    let decision = &entry.decision;
    let licensed = entry.licensed();
    let (name, severity) = if is_allowed(entry) { ("Request served", 3) } else { ("Request refused", 6) };
    let mut line = format!(
        "CEF:0|Pointsman|Pointsman|{}|{}|{name}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        in_header(&format!("decision.{}", decision.verdict))
    );
    let tier = licensed.map(|licensed| licensed.tier.to_string()).unwrap_or_default();
    let rests_on = licensed.map(|licensed| licensed.rests_on.join(" ")).unwrap_or_default();
    let fields = [
        ("rt", decision.time.to_string()),
        ("externalId", decision.request.to_string()),
        ("suid", decision.key.as_deref().unwrap_or_default().to_owned()),
        ("act", if is_allowed(entry) { "allowed" } else { "denied" }.to_owned()),
        ("outcome", entry.ended().to_owned()),
        ("cs1Label", "team".to_owned()),
        ("cs1", decision.team.as_deref().unwrap_or_default().to_owned()),
        ("cs2Label", "context".to_owned()),
        ("cs2", decision.context.to_string()),
        ("cs3Label", "model".to_owned()),
        ("cs3", licensed.map_or(&decision.model, |licensed| &licensed.model).to_string()),
        ("cs4Label", "license".to_owned()),
        ("cs4", licensed.map(|licensed| licensed.license.to_string()).unwrap_or_default()),
        ("cs5Label", "policy".to_owned()),
        ("cs5", decision.policy.to_string()),
        ("cs6Label", "rests_on".to_owned()),
        ("cs6", rests_on),
        ("cn1Label", "tier".to_owned()),
        ("cn1", tier),
        ("cn2Label", "record".to_owned()),
        ("cn2", entry.record.to_string()),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", in_value(value))).collect();
    line.push_str(&fields.join(" "));
    line
}

/// RFC 5424: facility 13 (log audit), severity 6 or 4.
fn syslog(entry: &Entry) -> String {
    let priority = 13 * 8 + if is_allowed(entry) { 6 } else { 4 };
    format!("<{priority}>1 {} - pointsman - decision - {}", written(entry.decision.time), cef(entry))
}

fn in_header(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn in_value(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('=', "\\=")
}

/// What others wrote cannot begin a line of its own.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::join::tests::{decision, joined_all, outcome},
        *,
    };

    fn entries() -> Vec<Entry> {
        let mut refused = decision("2", 2, "license");
        refused["model"] = "a=b|c\nCEF:0|forged".into();
        refused["refused"]["model"] = "a=b|c\nCEF:0|forged".into();
        joined_all(&[decision("1", 1, "serve"), outcome("1", "completed"), refused])
    }

    #[test]
    fn a_request_is_an_api_activity_with_its_model_and_licence() {
        let entries = entries();
        let served = ocsf(&entries[0]);
        assert_eq!((&served["class_uid"], &served["type_uid"]), (&json!(6003), &json!(600_399)));
        assert_eq!((&served["action_id"], &served["status_id"]), (&json!(1), &json!(1)));
        assert_eq!(served["ai_model"]["name"], "m");
        assert_eq!(served["unmapped"]["license"]["id"], "apache-2.0");
        let refused = ocsf(&entries[1]);
        assert_eq!((&refused["action_id"], &refused["status_id"]), (&json!(2), &json!(2)));
    }

    #[test]
    fn a_line_of_cef_is_one_line_whatever_somebody_calls_a_model() {
        let entries = entries();
        let line = cef(&entries[1]);
        assert!(!line.contains('\n') && line.starts_with("CEF:0|Pointsman|Pointsman|"), "{line}");
        assert!(line.contains("cs3=a\\=b|c CEF:0|forged cs4Label"), "{line}");
        assert!(line.contains("|decision.license|Request refused|6|rt=2 externalId=2 suid=k1 act=denied"), "{line}");
        assert!(syslog(&entries[0]).starts_with("<110>1 1970-01-01T00:00:00.001Z - pointsman - decision - CEF:0|"));
    }
}
