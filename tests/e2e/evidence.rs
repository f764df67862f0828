//! Pages that show what licences ask for: the gateway looks at them itself, behind its guard, and the ledger tells what it saw.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use scripted::{Host, Script};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::{Builder, Pointsman, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::pointsman;

const SHOWN: &str = "<html><!-- about --><p>Built with <b>Llama</b></p></html>";
const ROW: &str = "context: bot, license: llama-3.3-community, kind: display, checked: 2026-01-15, checked_by: Ann Lee, \
                   valid_until: 9999-12-31, check_days: 7";

/// A site of this machine: a page that may change, one that leads elsewhere, one without an end.
struct Site {
    address: SocketAddr,
    page: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            page: Arc::new(Mutex::new(SHOWN.to_owned())),
            asked: Arc::default(),
        };
        let (page, asked) = (Arc::clone(&site.page), Arc::clone(&site.asked));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&page), Arc::clone(&asked)));
            }
        });
        site
    }

    fn shows(&self, page: &str) {
        page.clone_into(&mut self.page.lock().unwrap());
    }

    /// A row of evidence for one of its pages.
    fn row(&self, id: &str, find: &str) -> String {
        format!("  - {{id: {id}, url: \"http://{}/{id}\", find: {find}, {ROW}}}\n", self.address)
    }
}

async fn answer(mut connection: TcpStream, page: Arc<Mutex<String>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    asked.lock().unwrap().push(head.clone());
    if head.starts_with("GET /endless ") {
        let mut piece = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        // Until whoever reads it has had enough.
        while connection.write_all(piece.as_bytes()).await.is_ok() {
            piece = format!("400\r\n{}\r\n", "x".repeat(0x400));
        }
        return;
    }
    let (status, header, body) = match head.split(' ').nth(1).unwrap_or_default() {
        "/about" => ("200 OK", "content-type: text/html; charset=utf-8", page.lock().unwrap().clone()),
        "/moved" => ("302 Found", "location: http://10.0.0.1/about", String::new()),
        _ => ("404 Not Found", "content-type: text/plain", String::new()),
    };
    let answer =
        format!("HTTP/1.1 {status}\r\n{header}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = connection.write_all(answer.as_bytes()).await;
}

fn digest(page: &str) -> String {
    Sha256::digest(page).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A company that answers for its users, with these rows of evidence.
fn company(rows: &str) -> String {
    format!(
        "attestations: [{{id: users, entity: acme, metric: monthly-users, at_most: 5000000, signed_by: CFO, \
         signed: 2026-01-15, valid_until: 9999-12-31}}]\nevidence:\n{rows}"
    )
}

fn config(host: &Host, ledger: &str) -> String {
    format!(
        r#"
catalog: [acme.yaml]
deployments: [{{id: lab-llama, model: llama-3.3-70b-instruct, server: vllm, base_url: "{}"}}]
entities: {{acme: {{seat: US}}}}
contexts: {{bot: {{entity: acme, use: revenue, exposure: public}}}}
teams: {{support: {{contexts: [bot]}}}}
keys: keys.yaml
ledger: {{{ledger}}}
"#,
        host.base_url()
    )
}

const ALLOWED: &str = "evidence_from: [127.0.0.0/8]";

fn gateway(host: &Host, ledger: &str, rows: &str) -> (Builder, String) {
    let builder = pointsman().config(&config(host, ledger)).file("acme.yaml", &company(rows));
    let key = builder.key("support", "bot");
    (builder, key)
}

/// The looks at a page that are on record.
fn looks(gateway: &Pointsman, id: &str) -> Vec<Value> {
    gateway.records().into_iter().filter(|record| record["kind"] == "evidence" && record["id"] == id).collect()
}

/// The look that comes after so many others.
async fn look(gateway: &Pointsman, id: &str, after: usize) -> Value {
    until(|| looks(gateway, id).into_iter().nth(after)).await
}

/// The duty to show the model's name, as the report tells it.
fn owed(gateway: &Pointsman) -> Value {
    let (code, out, error) = gateway.command(&["audit", "obligations", "--json", "--data-dir", "data"]);
    assert!((0..=1).contains(&code) && error.is_empty(), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let rows = report["tables"]["obligations"].as_array().unwrap();
    rows.iter().find(|row| row["kind"] == "display").unwrap_or_else(|| panic!("{report}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_looked_at_and_what_was_seen_is_recorded_and_says_whether_the_duty_is_met() {
    let (site, host) = (Site::start().await, Host::start(Script::default()).await.unwrap());
    let rows = site.row("about", "Built with Llama");
    let (builder, key) = gateway(&host, ALLOWED, &rows);
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let (status, answer) = gateway.chat("llama-3.3-70b-instruct", "hi").await;
    assert_eq!(status, 200, "{answer}");

    let seen = look(&gateway, "about", 0).await;
    assert_eq!((&seen["result"], &seen["http"]), (&json!("found"), &json!(200)), "{seen}");
    assert_eq!((&seen["sha256"], &seen["bytes"]), (&json!(digest(SHOWN)), &json!(SHOWN.len())), "{seen}");
    let page = json!({"url": format!("http://{}/about", site.address), "find": "Built with Llama"});
    assert_eq!(seen["page"], page, "{seen}");
    let serving = gateway.records().into_iter().find(|record| record["kind"] == "activate").unwrap();
    assert_eq!(seen["config"], serving["config"]);
    assert!(site.asked.lock().unwrap()[0].to_lowercase().contains("user-agent: pointsman/"));
    let duty = owed(&gateway);
    assert_eq!((&duty["state"], &duty["evidence"]), (&json!("met"), &json!("about")), "{duty}");
    assert_eq!(duty["sha256"], json!(digest(SHOWN)), "{duty}");
    let today = duty["checked"].clone();
    assert_ne!(today, "2026-01-15", "the gateway's own look is newer than the person's");

    // A start does not ask again what is not due.
    let kept = gateway.folder().join("data/evidence.json");
    until(|| kept.exists().then_some(())).await;
    site.shows("<p>About us</p><!-- Built with Llama -->");
    gateway.stop();
    // As if a week had passed.
    std::fs::remove_file(&kept).unwrap();
    gateway.start_again();
    let seen = look(&gateway, "about", 1).await;
    assert_eq!(seen["result"], "not_found", "{seen}");
    let duty = owed(&gateway);
    assert_eq!((&duty["state"], &duty["last_found"]), (&json!("not found"), &today), "{duty}");
    until(|| gateway.log().contains("a page does not show what a licence asks for").then_some(())).await;
    let (_, metrics) = gateway.send(tests::client().get(format!("{}/metrics", gateway.admin))).await;
    assert!(metrics.as_str().unwrap().contains("pointsman_evidence_looks_total{result=\"not_found\"} 1"), "{metrics}");

    // It is right again, and somebody loads the configuration anew.
    site.shows(SHOWN);
    assert_eq!(gateway.reload_with("acme.yaml", &format!("{}# again\n", company(&rows))).await.0, 200);
    let seen = look(&gateway, "about", 2).await;
    assert_eq!(seen["result"], "found", "{seen}");
    assert_eq!(owed(&gateway)["state"], "met");
    // A row that asks for another page's digest is another question.
    let other = rows.replace(", find:", &format!(", sha256: \"{}\", find:", digest("another page")));
    assert_eq!(gateway.reload_with("acme.yaml", &company(&other)).await.0, 200);
    let seen = look(&gateway, "about", 3).await;
    assert_eq!((&seen["result"], &seen["sha256"]), (&json!("changed"), &json!(digest(SHOWN))), "{seen}");
    let duty = owed(&gateway);
    assert_eq!((&duty["state"], &duty["last_found"]), (&json!("changed"), &json!("2026-01-15")), "{duty}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_addresses_that_are_allowed_are_asked_and_what_is_too_long_or_leads_inside_is_refused() {
    let (site, host) = (Site::start().await, Host::start(Script::default()).await.unwrap());
    let rows: String = ["about", "moved", "endless", "gone"].map(|id| site.row(id, "Built with Llama")).concat();
    let (builder, key) = gateway(&host, "", &rows);
    let mut gateway = builder.start();
    gateway.with_key(&key);
    assert_eq!(gateway.chat("llama-3.3-70b-instruct", "hi").await.0, 200);
    for id in ["about", "moved", "endless", "gone"] {
        let seen = look(&gateway, id, 0).await;
        let why = seen["error"].as_str().unwrap_or_default();
        assert_eq!(seen["result"], "unreachable", "{seen}");
        assert!(why.contains("127.0.0.1 is loopback") && why.contains("`ledger.evidence_from`"), "{seen}");
    }
    assert!(site.asked.lock().unwrap().is_empty(), "nobody connected");
    let duty = owed(&gateway);
    assert_eq!((&duty["state"], &duty["last_found"]), (&json!("unreachable"), &json!("2026-01-15")), "{duty}");

    // Once the network is named, the pages that could not be had are looked at anew.
    assert_eq!(gateway.reload_with("pointsman.yaml", &config(&host, ALLOWED)).await.0, 200);
    assert_eq!(look(&gateway, "about", 1).await["result"], "found");
    for (id, why) in
        [("moved", "10.0.0.1 is private"), ("endless", "it is longer than 1048576 bytes"), ("gone", "it answered 404")]
    {
        let seen = look(&gateway, id, 1).await;
        assert_eq!(seen["result"], "unreachable", "{seen}");
        assert!(seen["error"].as_str().unwrap_or_default().contains(why), "{seen}");
        assert!(seen.get("sha256").is_none(), "{seen}");
    }
    assert_eq!(owed(&gateway)["state"], "met", "one page is enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_looks_at_the_pages_from_the_command_line_and_nothing_is_recorded() {
    let (site, host) = (Site::start().await, Host::start(Script::default()).await.unwrap());
    let unasked = site.row("other", "x").replace(", check_days: 7", "");
    let (builder, _) = gateway(&host, ALLOWED, &(site.row("about", "Built with Llama") + &unasked));
    let asked = |arguments: &[&str]| {
        builder.command(&[&["license", "check-evidence", "--config", "pointsman.yaml"], arguments].concat())
    };
    let (code, out, error) = asked(&[]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("about") && out.contains("found") && out.contains(&digest(SHOWN)), "{out}");
    assert!(!out.contains("other") && error.contains("nothing was recorded"), "{out}{error}");
    site.shows("something else");
    let (code, out, _) = asked(&["--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told[0]["id"], &told[0]["look"]["result"]), (1, &json!("about"), &json!("not_found")), "{out}");
    assert_eq!(told[0]["look"]["sha256"], json!(digest("something else")));
    let (code, out, _) = asked(&["other"]);
    assert!(code == 1 && out.contains("it answered 404"), "{out}");
    let (code, _, error) = asked(&["abut"]);
    assert!(code == 1 && error.contains("has no evidence `abut`; it has `about`, `other`"), "{error}");
    assert!(!builder.folder().join("data").exists() && !builder.folder().join("pointsman-data").exists());
}
