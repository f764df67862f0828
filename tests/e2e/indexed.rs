//! An index of the ledger in a real PostgreSQL: kept up beside requests, over outages, filled after the fact, and held against the
//! ledger.

use std::time::Instant;

use ledger::{Ledger, Options};
use scripted::{Host, Script};
use serde_json::{Value, json};
use tests::{Builder, Pointsman, seeded, servers::Postgres, until};

use crate::pointsman;

/// The address with a password, which the server does not ask for and nobody may read.
fn address(postgres: &Postgres) -> String {
    postgres.url().replace("postgres@", "postgres:hunter2@")
}

/// A gateway with an index, and the host behind it.
async fn world(postgres: &Postgres) -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\nteams: {{desk: {{contexts: [desk]}}}}\n\
         keys: keys.yaml\nledger: {{index: \"${{INDEX}}\"}}\n",
        host.base_url()
    );
    let builder = pointsman().env("INDEX", address(postgres)).config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

async fn ask(gateway: &Pointsman, times: usize) {
    for _ in 0..times {
        let (status, answer) = gateway.chat("qwen3-32b", "hi").await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// Until so many requests are in the index with their outcomes.
async fn until_indexed(postgres: &Postgres, requests: usize) {
    let count = "SELECT count(*) FROM pointsman_requests WHERE status = 'completed'";
    // The tables are made a moment after the start.
    let is_there = || postgres.try_ask(count).ok().filter(|rows| rows[0][0] == requests.to_string());
    until(is_there).await;
}

/// `pointsman audit index` with a folder's configuration or variable: its report, and whether all is well.
fn index(command: impl Fn(&[&str]) -> (i32, String, String), arguments: &[&str]) -> (bool, Value) {
    let arguments = [&["audit", "index", "--json", "--data-dir", "data"], arguments].concat();
    let (code, out, error) = command(&arguments);
    assert!((0..=1).contains(&code) && !out.is_empty(), "{arguments:?}: {code} {out}{error}");
    assert!(!format!("{out}{error}").contains("hunter2"), "{out}{error}");
    (code == 0, serde_json::from_str(&out).unwrap())
}

fn findings(report: &Value) -> Vec<(u64, String, String)> {
    let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| (row["record"].as_u64().unwrap(), text(&row["what"]), text(&row["columns"]));
    report["tables"]["findings"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_rows_a_moment_after_they_were_signed_and_say_what_the_list_says() {
    let postgres = Postgres::start().await;
    let (gateway, _host) = world(&postgres).await;
    ask(&gateway, 5).await;
    until_indexed(&postgres, 5).await;
    let rows = postgres.ask(
        "SELECT number, request, team, context, asked, verdict, deployment, model, license, tier, status, prompt_tokens, \
         completion_tokens, (extract(epoch FROM time) * 1000)::bigint FROM pointsman_requests ORDER BY number",
    );
    let (code, out, error) = gateway.command(&["audit", "list", "--json", "--data-dir", "data"]);
    assert_eq!(code, 0, "{error}");
    let listed: Vec<Value> = serde_json::from_str(&out).unwrap();
    let expected: Vec<Vec<String>> = listed
        .iter()
        .map(|entry| {
            let (decision, outcome) = (&entry["decision"], &entry["outcome"]);
            let candidate = &decision["candidates"][0];
            let values = [
                &entry["record"],
                &decision["request"],
                &decision["team"],
                &decision["context"],
                &decision["model"],
                &decision["verdict"],
                &outcome["deployment"],
                &outcome["model"],
                &candidate["license"],
                &candidate["tier"],
                &outcome["status"],
                &outcome["prompt_tokens"],
                &outcome["completion_tokens"],
                &decision["time"],
            ];
            values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).into()
        })
        .collect();
    assert_eq!(rows, expected);
    let (good, report) = index(|arguments| gateway.command(arguments), &["--check", "--config", "pointsman.yaml"]);
    assert!(good && report["records_compared"].as_u64() > Some(10), "{report}");
    let begun = Instant::now();
    loop {
        let metrics = tests::client().get(format!("{}/metrics", gateway.admin)).send().await.unwrap();
        if metrics.text().await.unwrap().contains("pointsman_ledger_unindexed_records 0") {
            break;
        }
        assert!(begun.elapsed() < tests::HANG, "it never had all: {}", gateway.log());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_postgresql_is_gone_requests_are_served_and_when_it_is_back_it_gets_all_of_them() {
    let mut postgres = Postgres::start().await;
    let (mut gateway, _host) = world(&postgres).await;
    ask(&gateway, 2).await;
    until_indexed(&postgres, 2).await;
    postgres.stop();
    ask(&gateway, 3).await;
    until(|| gateway.log().contains("the index of the ledger cannot be kept up").then_some(())).await;
    let ready = tests::client().get(format!("{}/ready", gateway.admin)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "it serves without");
    // Killed and started while it is gone, too.
    gateway.kill_and_restart();
    ask(&gateway, 2).await;
    until(|| (gateway.log().matches("the index of the ledger cannot be kept up").count() == 2).then_some(())).await;
    postgres.restart().await;
    until_indexed(&postgres, 7).await;
    until(|| gateway.log().contains("the index of the ledger is kept up again").then_some(())).await;
    let (good, report) = index(|arguments| gateway.command(arguments), &["--check", "--config", "pointsman.yaml"]);
    assert!(good, "{report}");
    let log = gateway.log();
    assert_eq!(
        log.matches("the index of the ledger").count(),
        3,
        "once for each outage and once for the return: {log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_before_is_filled_in_once_and_whatever_is_changed_in_the_index_is_found() {
    let postgres = Postgres::start().await;
    let builder = pointsman().env("INDEX", address(&postgres));
    let truth = seeded::make(builder.folder(), 20_000, 11);
    let run = |arguments: &[&str]| {
        index(|arguments| builder.command(arguments), &[&["--address-from", "INDEX"], arguments].concat())
    };
    let (_, report) = run(&[]);
    assert_eq!((&report["records_added"], &report["records_indexed"]), (&truth.records.into(), &truth.records.into()));
    let (_, report) = run(&[]);
    assert_eq!((&report["records_added"], &report["records_indexed"]), (&0.into(), &truth.records.into()));
    let one = |statement: &str| postgres.ask(statement)[0][0].clone();
    assert_eq!(one("SELECT count(*) FROM pointsman_records"), truth.records.to_string());
    assert_eq!(one("SELECT count(*) FROM pointsman_requests"), truth.requests.to_string());
    let tokens: Vec<_> =
        truth.answer_tokens.iter().map(|(team, tokens)| vec![team.clone(), tokens.to_string()]).collect();
    let sums = "SELECT team, sum(completion_tokens) FROM pointsman_requests GROUP BY team ORDER BY team COLLATE \"C\"";
    assert_eq!(postgres.ask(sums), tokens);
    let (good, report) = run(&["--check"]);
    assert!(good && report["records_compared"] == truth.records, "{report}");

    let changes = [
        ("team = 'other'", "team"),
        ("time = time + interval '1 microsecond'", "time"),
        ("license = NULL", "license"),
        ("rests_on = ARRAY['a waiver']", "rests_on"),
        ("record = record || '\\x20'", "record"),
        ("leaf_hash = sha256(record)", "leaf_hash"),
        ("cost_usd = 1e-9", "cost_usd"),
    ];
    let served = one(
        "SELECT min(number) FROM pointsman_records WHERE kind = 'decision' AND license IS NOT NULL AND number > 3000",
    );
    let served: u64 = served.parse().unwrap();
    for (change, column) in changes {
        postgres.ask(&format!("CREATE TABLE before AS SELECT * FROM pointsman_records WHERE number = {served}"));
        postgres.ask(&format!("UPDATE pointsman_records SET {change} WHERE number = {served}"));
        let (good, report) = run(&["--check"]);
        assert_eq!(findings(&report), [(served, "differs".to_owned(), column.to_owned())], "{change}");
        assert!(!good);
        postgres.ask(&format!("DELETE FROM pointsman_records WHERE number = {served}"));
        postgres.ask("INSERT INTO pointsman_records SELECT * FROM before");
        postgres.ask("DROP TABLE before");
    }
    postgres.ask("DELETE FROM pointsman_records WHERE number IN (50, 7000)");
    postgres.ask("UPDATE pointsman_records SET context = 'elsewhere' WHERE number = 900");
    postgres.ask(
        "INSERT INTO pointsman_records (log, number, rests_on, leaf_hash, record) \
         SELECT log, 9000000, '{}', leaf_hash, record FROM pointsman_records WHERE number = 0",
    );
    let (good, report) = run(&["--check"]);
    let text = |number: u64, what: &str, columns: &str| (number, what.to_owned(), columns.to_owned());
    let expected = [
        text(50, "missing", ""),
        text(900, "differs", "context"),
        text(7_000, "missing", ""),
        text(9_000_000, "surplus", ""),
    ];
    assert_eq!((good, findings(&report)), (false, expected.to_vec()));
    // As the help of the command says.
    postgres.ask("DELETE FROM pointsman_records WHERE number IN (900, 9000000)");
    let (_, report) = run(&[]);
    assert_eq!(report["records_added"], 3);
    assert!(run(&["--check"]).0);
}

/// A ledger of small segments, some records of which no table holds as they are.
fn small(builder: &Builder, records: u64) -> Ledger {
    let options = Options { segment_bytes: 20_000, ..Options::default() };
    let (ledger, _) = Ledger::open(&builder.folder().join("data/ledger"), options).unwrap();
    for nth in 0..records {
        let odd = format!("\u{0}{}", "\u{20ac}".repeat(2_000));
        let record = match nth % 50 {
            7 => json!({"kind": odd, "request": odd, "model": odd, "time": u64::MAX, "rests_on": 1}),
            8 => {
                json!({"kind": "decision", "request": nth.to_string(), "verdict": "serve", "candidates": [{"license": odd, "rests_on": [odd]}]})
            }
            9 => json!([odd]),
            _ => {
                json!({"kind": "decision", "request": nth.to_string(), "team": "desk", "time": nth, "verdict": "license"})
            }
        };
        drop(ledger.append(&record).unwrap());
        if nth % 50 == 0 {
            ledger.append(&"of a group").unwrap().wait().unwrap();
        }
    }
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_table_can_hold_is_fitted_and_what_was_pruned_is_gone_from_the_index_too() {
    let postgres = Postgres::start().await;
    let builder = pointsman().env("INDEX", address(&postgres));
    small(&builder, 1_000).close().unwrap();
    let run = |arguments: &[&str]| {
        index(|arguments| builder.command(arguments), &[&["--address-from", "INDEX"], arguments].concat())
    };
    let (_, report) = run(&[]);
    assert_eq!(report["records_added"], 1_020);
    let (good, report) = run(&["--check"]);
    assert!(good, "{report}");
    let odd = "SELECT count(*) FROM pointsman_records WHERE starts_with(request, U&'\\FFFD\\20AC') AND time IS NULL";
    assert_eq!(postgres.ask(odd), [["20"]]);
    let json = "SELECT count(*) FROM pointsman_records WHERE starts_with(pointsman_json(record) ->> 'request', U&'\\FFFD\\20AC')";
    assert_eq!(postgres.ask(json), [["20"]]);

    let (ledger, _) =
        Ledger::open(&builder.folder().join("data/ledger"), Options { segment_bytes: 20_000, ..Options::default() })
            .unwrap();
    let kept = ledger.prune(700).unwrap().first;
    assert!(kept > 0, "something went");
    ledger.close().unwrap();
    let (_, report) = run(&[]);
    assert_eq!(report["records_added"], 0);
    assert_eq!(postgres.ask("SELECT min(number) FROM pointsman_records"), [[kept.to_string()]]);
    let (good, report) = run(&["--check"]);
    assert!(good && report["first_record"] == kept, "{report}");
}

#[test]
fn an_index_that_is_nowhere_or_whose_password_stands_in_the_file_is_refused_without_it() {
    let config = |index: &str| {
        format!(
            "contexts: {{desk: {{use: internal, exposure: internal}}}}\nkeys: keys.yaml\nledger: {{index: \"{index}\"}}\n"
        )
    };
    for (index, code) in [
        ("mysql://somewhere/x", "bad-url"),
        ("postgres://me:hunter2@somewhere/x", "literal-key"),
        ("${NOT_SET}", "NOT_SET"),
    ] {
        let (status, out, error) = pointsman().config(&config(index)).command(&["check", "--config", "pointsman.yaml"]);
        let said = format!("{out}{error}");
        assert!(status != 0 && said.contains(code), "{index}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let builder = pointsman().config(&config("${NOT_SET}"));
    drop(Ledger::open(&builder.folder().join("data/ledger"), Options::default()).unwrap());
    for (arguments, hint) in [
        (&["--config", "pointsman.yaml"][..], "--address-from"),
        (&["--address-from", "NOT_SET"], "`NOT_SET` is not set"),
        (&["--address-from", "postgres://me:hunter2@somewhere/x"], "the name of an environment variable"),
    ] {
        let arguments = [&["audit", "index", "--data-dir", "data"], arguments].concat();
        let (code, out, error) = builder.command(&arguments);
        assert!(code == 1 && error.contains(hint) && !format!("{out}{error}").contains("hunter2"), "{out}{error}");
    }
}
