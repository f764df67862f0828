//! The table of outcomes: every fault against every kind of request, held to `outcomes.md`.
//!
//! With `UPDATE_OUTCOMES=1` the test writes the file anew; what holds in every cell (`promises`) it asserts all the same.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use futures_util::{StreamExt as _, stream};
use scripted::{End, Host, Recorded};
use serde_json::Value;
use tests::until;

use crate::{
    bed::{Bed, SECOND},
    cell::{Api, Cell, rows},
    promises::Evidence,
    saw::{Response, Saw},
};

const TABLE: &str = include_str!("outcomes.md");

const HEAD: &str = "\
# What becomes of every fault

`tests/faults` runs the gateway as a process between two scripted hosts, one that fails as the row says and a healthy one,
and holds this file to what happens; `UPDATE_OUTCOMES=1` writes it anew. Of each cell it also holds, whatever stands here:
exactly one whole answer, one error, or one error after some of an answer; no finish reason that the upstream did not give;
a healthy second candidate answers as long as nothing reached the caller; and one outcome in the ledger, which has the
status, the code and the deployment that the caller saw.

- *caller*: who answered, or status and code of the error; `text, then` a code is an error event after some of an answer.
- *ledger*: the outcome, and the attempts in order, each with its error.
- *upstream*: how the request ended at the failing host: `answered` all that it wanted to, `broke` it off itself, or saw it
  `cancelled`.
- *second*: whether the healthy candidate was asked.

A row is a model name that `pointsman mock` understands, or one of its doors. Rows that only a deadline ends have deadlines
of 500 ms for the connection, 1 s from there to the headers, 2 s for the first token, 1 s between pieces and 3 s in all; the
others have a minute. Chat with `fault-429-as-` a host of the catalog is asked of that host, the doors as DeepInfra, which
nobody asks how it is, all else of a vLLM server.
";

/// A request that was made.
struct Made {
    cell: usize,
    response: Response,
}

/// Sends the requests of a cell, one after the other.
async fn ask(bed: &Bed, cell: &Cell) -> Vec<Made> {
    let mut made = Vec::new();
    for _ in 0..cell.requests() {
        let request = bed.gateway.request("POST", cell.api.path()).json(&cell.body());
        let mut response = request.send().await.expect("a response");
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let mut seen = Response {
            status: response.status().as_u16(),
            id: header("x-request-id").expect("an id"),
            deployment: header("x-pointsman-deployment"),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            body: Vec::new(),
            whole: false,
        };
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => seen.body.extend_from_slice(&bytes),
                Ok(None) => break seen.whole = true,
                Err(_) => break,
            }
        }
        made.push(Made { cell: cell.number, response: seen });
    }
    made
}

/// Sends the requests of all cells. Those of a burst share a count at the host and go one after the other; the others go
/// at once, the ones that wait for a deadline beside a few of the rest at a time.
async fn ask_all(bed: &Bed, cells: &[Cell]) -> Vec<Made> {
    let (bursts, single): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| cell.requests() > 1);
    let (hanging, quick): (Vec<_>, Vec<_>) = single.into_iter().partition(|cell| cell.hangs());
    let at_once = async |cells: Vec<&Cell>, width| -> Vec<Made> {
        let made: Vec<_> = stream::iter(cells).map(|cell| ask(bed, cell)).buffer_unordered(width).collect().await;
        made.into_iter().flatten().collect()
    };
    let (hanging, quick, bursts) = tokio::join!(at_once(hanging, usize::MAX), at_once(quick, 16), at_once(bursts, 1));
    [hanging, quick, bursts].into_iter().flatten().collect()
}

/// Requests by their id.
fn by_id(host: &Host) -> BTreeMap<String, Vec<Recorded>> {
    let mut by_id: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
    for request in host.requests() {
        by_id.entry(request.headers["x-request-id"].to_str().unwrap().to_owned()).or_default().push(request);
    }
    by_id
}

/// What one request came to, in the words of the table: caller, ledger, upstream, second.
fn words(evidence: &Evidence<'_>) -> [String; 4] {
    let who = |id: &str| if id == SECOND { "second" } else { "first" };
    let caller = match &evidence.saw {
        Err(malformed) => format!("malformed: {malformed}"),
        Ok(Saw::Answer { .. }) => {
            format!("answer of {}", who(evidence.response.deployment.as_deref().unwrap_or_default()))
        }
        Ok(Saw::Broken { error, .. }) => format!("text, then `{}`{}", error.code, phase(error.phase())),
        Ok(Saw::Refused { status, retry_after, error }) => {
            let again = retry_after.as_deref().map(|after| again(&evidence.cell.fault, after)).unwrap_or_default();
            format!("{status} `{}`{}{again}", error.code, phase(error.phase()))
        }
    };
    let outcome = evidence.outcomes.first().copied().unwrap_or(&Value::Null);
    let tried: Vec<String> = outcome["tried"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| {
            let who = who(attempt["deployment"].as_str().unwrap_or_default());
            attempt["error"].as_str().map_or_else(|| who.to_owned(), |error| format!("{who} `{error}`"))
        })
        .collect();
    let usage = match (outcome["status"].as_str(), outcome["tokens_by"].as_str()) {
        (Some("completed"), Some("estimate")) => " with estimated tokens",
        _ => "",
    };
    let ledger = format!("{}{usage}: {}", outcome["status"].as_str().unwrap_or("none"), tried.join(", "));
    let end = |request: &&Recorded| match request.end {
        Some(End::Answered) => "answered",
        Some(End::Broken) => "broke",
        Some(End::Cancelled) => "cancelled",
        None => "left open",
    };
    let upstream = evidence.first.iter().map(end).next().unwrap_or("never asked").to_owned();
    let second = if evidence.second.is_empty() { "not asked" } else { "asked" }.to_owned();
    [caller, ledger, upstream, second]
}

fn phase(phase: Option<&str>) -> String {
    phase.map(|phase| format!(" ({phase})")).unwrap_or_default()
}

/// When the caller is told to come back. A moment in whole seconds lies up to a second nearer than the seconds it was
/// made from.
fn again(fault: &str, after: &str) -> String {
    let near = |about: u64| after.parse().is_ok_and(|after: u64| (about - 1..=about).contains(&after));
    match fault {
        "fault-503-retry-after-date-60" if near(60) => ", again in about 60 s".into(),
        "fault-429-as-sambanova" if near(2) => ", again in about 2 s".into(),
        // Its limit refills within microseconds, which may be over by then.
        "fault-429-as-openai" if after == "1" => String::new(),
        _ => format!(", again in {after} s"),
    }
}

/// The table of all cells, from the words of their requests.
fn table(cells: &[Cell], words: &BTreeMap<usize, Vec<[String; 4]>>) -> String {
    let mut table = HEAD.to_owned();
    for api in Api::ALL {
        for stream in [false, true] {
            let form = if stream { "streamed" } else { "whole" };
            write!(
                table,
                "\n## {}, {form}\n\n| fault | caller | ledger | upstream | caller, with a second | second | ledger | \
                 upstream |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
                api.title()
            )
            .unwrap();
            for fault in rows() {
                let cell = |second: bool| {
                    let is = |cell: &&Cell| {
                        (cell.api, cell.stream, cell.second, &cell.fault) == (api, stream, second, &fault)
                    };
                    let number = cells.iter().find(is).expect("a cell").number;
                    let requests = words.get(&number).map(Vec::as_slice).unwrap_or_default();
                    [0, 1, 2, 3].map(|column| {
                        let said: Vec<&str> = requests.iter().map(|request| request[column].as_str()).collect();
                        said.join("; then ")
                    })
                };
                let ([caller, ledger, upstream, _], [caller2, ledger2, upstream2, second]) = (cell(false), cell(true));
                writeln!(
                    table,
                    "| `{fault}` | {caller} | {ledger} | {upstream} | {caller2} | {second} | {ledger2} | {upstream2} |"
                )
                .unwrap();
            }
        }
    }
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_the_outcome_that_the_table_says() {
    let cells = Cell::all();
    let bed = Bed::start(&cells).await;
    let made = ask_all(&bed, &cells).await;
    // What is still open is being cancelled.
    bed.faulty.until_running(0).await;
    bed.healthy.until_running(0).await;
    let of_kind = |records: &[Value], kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    let records = until(|| Some(bed.gateway.ledger()).filter(|all| of_kind(all, "outcome") >= made.len())).await;
    // Whatever failed and was tried elsewhere: nothing was served that was not decided.
    let (code, crossings, error) = bed.gateway.command(&["audit", "crossings", "--data-dir", "data"]);
    assert_eq!(code, 0, "{crossings}{error}");
    let (first, second) = (by_id(&bed.faulty), by_id(&bed.healthy));

    let mut words_of: BTreeMap<usize, Vec<[String; 4]>> = BTreeMap::new();
    let mut broken = String::new();
    for Made { cell, response } in &made {
        let cell = &cells[*cell];
        let of = |kind: &str| -> Vec<&Value> {
            records.iter().filter(|record| record["kind"] == kind && record["request"] == *response.id).collect()
        };
        let evidence = Evidence {
            cell,
            response,
            saw: Saw::read(cell, response),
            decisions: of("decision").len(),
            outcomes: of("outcome"),
            first: first.get(&response.id).into_iter().flatten().collect(),
            second: second.get(&response.id).into_iter().flatten().collect(),
        };
        for promise in evidence.broken_promises() {
            let kind = (cell.api, if cell.stream { "streamed" } else { "whole" }, cell.second);
            writeln!(broken, "{} {kind:?}: not held: {promise}: {:?}", cell.fault, words(&evidence)).unwrap();
        }
        words_of.entry(cell.number).or_default().push(words(&evidence));
    }
    let table = table(&cells, &words_of);
    assert!(!table.contains("|  |"), "a cell is empty");
    if std::env::var_os("UPDATE_OUTCOMES").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/outcomes.md"), &table).unwrap();
    }
    assert!(broken.is_empty(), "promises that are not held:\n{broken}");
    if std::env::var_os("UPDATE_OUTCOMES").is_none() {
        let changes: Vec<_> = table.lines().filter(|line| !TABLE.lines().any(|old| old == *line)).collect();
        assert!(
            table == TABLE,
            "outcomes.md differs from what happens; with UPDATE_OUTCOMES=1 this test writes it anew. Lines that are \
             new:\n{}",
            changes.join("\n")
        );
    }
}
