//! Personal data in the ledger: pseudonyms in the log, names beside it, and somebody erased without breaking a proof.

use std::path::Path;

use audit::verify::{Verdict, verify};
use serde_json::Value;
use tests::{Builder, Pointsman, chat, until};

use crate::pointsman;

const CONFIG: &str = "
keys: keys.yaml
policies: [policy.yaml]
deployments: [{id: demo, model: pointsman-demo, engine: auto}]
contexts: {office: {seat: DE, use: internal, exposure: internal}}
teams: {all: {contexts: [office]}}
facts: {headers: [x-user, x-tier], personal: [x-user]}
";
const POLICY: &str = "version: 1\nroutes: [{name: all, match: {model: [auto]}, candidates: [pointsman-demo]}]\n";
const USER: &str = "ann@example.com";

/// A gateway with a key: its id.
fn started(config: &str) -> (Pointsman, String) {
    let builder = pointsman().config(config).file("policy.yaml", POLICY);
    let (id, key) = new_key(&builder);
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, id)
}

fn new_key(builder: &Builder) -> (String, String) {
    let (code, out, error) = builder.command(&[
        "keys",
        "new",
        "--team",
        "all",
        "--context",
        "office",
        "--json",
        "--config",
        "pointsman.yaml",
    ]);
    assert_eq!(code, 0, "{error}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// Asks once, and waits for the outcome.
async fn ask(gateway: &Pointsman) {
    let request = gateway.request("POST", "/v1/chat/completions").header("x-user", USER).header("x-tier", "gold");
    let answer = request.json(&chat("auto", "Hello")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    gateway.outcome(&id).await;
}

/// What a command says, which has to succeed.
fn told(gateway: &Pointsman, arguments: &[&str]) -> String {
    let (code, out, error) = privacy(gateway, arguments);
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

fn privacy(gateway: &Pointsman, arguments: &[&str]) -> (i32, String, String) {
    gateway.command(&[arguments, &["--data-dir", "data", "--config", "pointsman.yaml"]].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

/// The decisions as they stand in the log, oldest first.
fn decisions(gateway: &Pointsman) -> Vec<Value> {
    gateway.ledger().into_iter().filter(|record| record["kind"] == "decision").collect()
}

/// The files of the ledger that hold some bytes, by their paths from there.
fn holding(gateway: &Pointsman, what: &str) -> Vec<String> {
    fn look(folder: &Path, what: &[u8], found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, what, found);
            } else if std::fs::read(&path).unwrap().windows(what.len()).any(|bytes| bytes == what) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    let ledger = gateway.folder().join("data/ledger");
    let mut found = Vec::new();
    look(&ledger, what.as_bytes(), &mut found);
    found.iter().map(|path| path.trim_start_matches(&*ledger.to_string_lossy()).to_owned()).collect()
}

/// The rows of a table about a kind of data.
fn rows<'a>(report: &'a Value, data: &str) -> Vec<&'a Value> {
    let rows = report["tables"]["ledger"].as_array().unwrap();
    rows.iter().filter(|row| row["data"].as_str().unwrap().starts_with(data)).collect()
}

async fn reload(gateway: &Pointsman) {
    let (status, answer) = gateway.send(tests::client().post(format!("{}/reload", gateway.admin))).await;
    assert_eq!(status, 200, "{answer}");
}

fn erasures(gateway: &Pointsman) -> Vec<Value> {
    gateway.records().into_iter().filter(|record| record["kind"] == "erase").collect()
}

#[tokio::test]
async fn the_log_holds_pseudonyms_and_reports_name_who_asked() {
    let (gateway, id) = started(CONFIG);
    ask(&gateway).await;
    ask(&gateway).await;
    for name in [id.as_str(), USER] {
        let found = holding(&gateway, name);
        assert!(found.len() == 1 && found[0].starts_with("/subjects/"), "{name}: {found:?}");
    }
    let recorded = decisions(&gateway);
    let pseudonym = recorded[0]["key"].as_str().unwrap();
    assert!(pseudonym.starts_with("p_") && pseudonym.len() == 34, "{pseudonym}");
    assert_eq!(recorded[1]["key"], pseudonym, "the same within an epoch");
    assert_eq!(recorded[0]["asked"]["headers"][1], serde_json::json!(["x-tier", "gold"]), "not personal");

    let list = json(&told(&gateway, &["audit", "list", "--json"]));
    assert_eq!(list[0]["decision"]["key"], id.as_str());
    assert_eq!(list[0]["decision"]["asked"]["headers"][0], serde_json::json!(["x-user", USER]));
    let usage = json(&told(&gateway, &["audit", "usage", "--key", &id, "--by", "key", "--json"]));
    assert_eq!((&usage["requests"], &usage["tables"]["usage"][0]["key"]), (&2.into(), &id.as_str().into()));
    let request = recorded[0]["request"].as_str().unwrap();
    let (_, explained, _) = gateway.command(&[
        "explain",
        "--decision",
        request,
        "--json",
        "--data-dir",
        "data",
        "--config",
        "pointsman.yaml",
    ]);
    assert_eq!(json(&explained)["facts"]["key"], id.as_str(), "a plan is made again for the key");
    for format in ["jsonl", "ocsf", "cef", "syslog"] {
        let export =
            |more: &[&str]| told(&gateway, &[&["audit", "export", "--format", format, "--key", &id], more].concat());
        let (lines, named) = (export(&[]), export(&["--name-subjects"]));
        assert_eq!((lines.lines().count(), named.lines().count()), (2, 2), "{format}: {lines}");
        assert!(lines.contains(pseudonym) && !lines.contains(&id) && !lines.contains(USER), "{lines}");
        assert!(named.contains(&id) && !named.contains(pseudonym), "{named}");
    }

    let inventory = json(&told(&gateway, &["privacy", "inventory", "--json"]));
    let [caller] = rows(&inventory, "caller")[..] else { panic!("{inventory}") };
    assert_eq!((&caller["held_as"], &caller["personal"]), (&"pseudonym".into(), &"yes".into()));
    assert_eq!((&caller["subjects"], &caller["erased"], &caller["records"]), (&1.into(), &0.into(), &2.into()));
    assert_eq!(caller["erasable"], "pointsman privacy erase --key ID");
    let [user] = rows(&inventory, "header x-user")[..] else { panic!("{inventory}") };
    assert_eq!(
        (&user["held_as"], &user["subjects"], &user["personal"]),
        (&"pseudonym".into(), &1.into(), &"yes".into())
    );
    let [tier] = rows(&inventory, "header x-tier")[..] else { panic!("{inventory}") };
    assert_eq!((&tier["held_as"], &tier["personal"]), (&"as it is".into(), &"not declared so".into()));
    let elsewhere = inventory["tables"]["elsewhere"].as_array().unwrap();
    let other = elsewhere.iter().find(|row| row["place"] == "other files").unwrap();
    assert_eq!(other["files"], 1, "the ledger's lock, and nothing that the inventory does not know: {inventory}");
}

#[tokio::test]
async fn whoever_is_erased_is_nowhere_in_the_ledger_and_every_proof_still_verifies() {
    let (mut gateway, id) = started(CONFIG);
    ask(&gateway).await;
    let before = decisions(&gateway)[0].clone();
    let (code, out, _) = privacy(&gateway, &["privacy", "erase", "--key", "k000000000000"]);
    assert!(code == 1 && out.contains("nothing was found: it never asked"), "{out}");
    let out = told(&gateway, &["privacy", "erase", "--key", &id]);
    assert!(out.contains("every proof still verifies") && out.contains(before["key"].as_str().unwrap()), "{out}");
    assert!(!out.contains(&id), "{out}");
    let erased = json(&told(&gateway, &["privacy", "erase", "--header", &format!("X-User={USER}"), "--json"]));
    assert_eq!((&erased["epochs"], &erased["pseudonyms"]), (&1.into(), &1.into()));
    for name in [id.as_str(), USER] {
        assert_eq!(holding(&gateway, name), Vec::<String>::new(), "{name}");
    }
    let list = json(&told(&gateway, &["audit", "list", "--json"]));
    assert_eq!(list[0]["decision"]["key"], before["key"]);
    let usage = json(&told(&gateway, &["audit", "usage", "--key", &id, "--json"]));
    assert_eq!(usage["requests"], 0);

    // The gateway forgets, says in the log how many, and gives the same key another pseudonym.
    reload(&gateway).await;
    // It may have looked between the two.
    let said = erasures(&gateway);
    assert_eq!(said.iter().map(|erasure| erasure["pseudonyms"].as_u64().unwrap()).sum::<u64>(), 2, "{said:?}");
    assert_eq!(said.last().unwrap()["total"], 2);
    assert!(!serde_json::json!(said).to_string().contains("\"p_"), "not whose: {said:?}");
    ask(&gateway).await;
    let after = decisions(&gateway)[1].clone();
    assert!(after["key"].as_str().unwrap().starts_with("p_") && after["key"] != before["key"], "{after}");
    assert_ne!(after["asked"]["headers"][0], before["asked"]["headers"][0]);
    let usage = json(&told(&gateway, &["audit", "usage", "--key", &id, "--json"]));
    assert_eq!(usage["requests"], 1);
    let inventory = json(&told(&gateway, &["privacy", "inventory", "--json"]));
    let [caller] = rows(&inventory, "caller")[..] else { panic!("{inventory}") };
    assert_eq!((&caller["subjects"], &caller["erased"], &caller["records"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!(inventory["pseudonyms_that_were_erased"], inventory["of_them_on_record"]);

    gateway.stop();
    let key = told(&gateway, &["audit", "key"]).parse().unwrap();
    let report = verify(&gateway.folder().join("data/ledger"), &key, &[]);
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert!(report.signed >= 6, "{report:?}");
}

#[tokio::test]
async fn a_gateway_that_did_not_run_says_at_its_start_that_somebody_was_erased() {
    let (mut gateway, id) = started(CONFIG);
    ask(&gateway).await;
    gateway.stop();
    told(&gateway, &["privacy", "erase", "--key", &id]);
    gateway.start_again();
    let erasure = until(|| erasures(&gateway).pop()).await;
    assert_eq!((&erasure["pseudonyms"], &erasure["total"]), (&1.into(), &1.into()));
    gateway.stop_and_restart();
    ask(&gateway).await;
    assert_eq!(erasures(&gateway).len(), 1, "once");
}

#[tokio::test]
async fn nobody_is_erased_while_a_hold_covers_them_unless_it_is_passed_over_on_record() {
    let config = format!("{CONFIG}ledger: {{holds: [{{name: case-17, from: 2020-01-01, reason: a court}}]}}\n");
    let (gateway, id) = started(&config);
    ask(&gateway).await;
    let (code, out, error) = privacy(&gateway, &["privacy", "erase", "--key", &id]);
    assert!(code == 1 && out.is_empty() && error.contains("the hold `case-17` covers"), "{error}");
    assert_eq!(holding(&gateway, &id).len(), 1);
    let (code, _, error) = privacy(&gateway, &["privacy", "erase", "--key", &id, "--despite-hold", "case-18"]);
    assert!(code == 1 && error.contains("there are: case-17"), "{error}");
    let (code, _, error) = gateway.command(&["privacy", "erase", "--key", &id, "--data-dir", "data"]);
    assert!(code == 1 && error.contains("--config"), "without a configuration nobody knows the holds: {error}");
    told(&gateway, &["privacy", "erase", "--key", &id, "--despite-hold", "case-17"]);
    assert_eq!(holding(&gateway, &id), Vec::<String>::new());
    reload(&gateway).await;
    assert_eq!(erasures(&gateway)[0]["despite_holds"], serde_json::json!(["case-17"]));
    let history = json(&told(&gateway, &["audit", "history", "--json"]));
    assert_eq!(history["tables"]["erased"][0]["despite_holds"], "case-17");
}

#[tokio::test]
async fn ids_are_recorded_as_they_are_where_the_configuration_has_it_so_and_then_stay() {
    let (gateway, id) = started(&format!("{CONFIG}ledger: {{pseudonym_days: 0}}\n"));
    ask(&gateway).await;
    assert_eq!(decisions(&gateway)[0]["key"], id.as_str());
    assert!(!gateway.folder().join("data/ledger/subjects").exists());
    let inventory = json(&told(&gateway, &["privacy", "inventory", "--json"]));
    let [caller] = rows(&inventory, "caller")[..] else { panic!("{inventory}") };
    assert_eq!((&caller["held_as"], &caller["subjects"]), (&"as it is".into(), &1.into()));
    assert!(caller["erasable"].as_str().unwrap().contains("keep_days"), "{caller}");
    let (code, out, _) = privacy(&gateway, &["privacy", "erase", "--key", &id, "--json"]);
    let erased = json(&out);
    assert_eq!((code, &erased["records_that_hold_it_as_it_is"]), (1, &1.into()), "{out}");
}

#[tokio::test]
async fn a_request_whose_caller_cannot_be_named_is_not_served() {
    let (gateway, _) = started(CONFIG);
    std::fs::write(gateway.folder().join("data/ledger/subjects"), "in the way").unwrap();
    let (status, answer) = gateway.chat("auto", "Hello").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &"ledger_unavailable".into()), "{answer}");
    assert_eq!(gateway.ledger(), Vec::<Value>::new(), "nothing is recorded of it");
    std::fs::remove_file(gateway.folder().join("data/ledger/subjects")).unwrap();
    assert_eq!(gateway.chat("auto", "Hello").await.0, 200);
}
