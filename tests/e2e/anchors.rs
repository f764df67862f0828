//! What others hold of the ledger's checkpoints: a folder, an address, a real time-stamping authority, another gateway.

use std::{path::Path, process::Command};

use audit::{
    evidence::{self, Evidence},
    note::{VerifierKey, WitnessKey},
    verify::{Verdict, verify_against},
};
use tests::{posted, until};
use tokio::net::TcpListener;

use crate::pointsman;

fn config(ledger: &str) -> String {
    format!(
        "keys: keys.yaml\ndeployments: [{{id: demo, model: pointsman-demo, engine: auto}}]\n\
         contexts: {{office: {{seat: DE, use: internal, exposure: internal}}}}\nteams: {{all: {{contexts: [office]}}}}\n\
         ledger: {{{ledger}}}\n"
    )
}

fn key(gateway: &tests::Pointsman, command: &str) -> String {
    let (code, out, error) = gateway.command(&["audit", command, "--data-dir", "data"]);
    assert_eq!(code, 0, "{error}");
    out.trim().to_owned()
}

/// A time-stamping authority: OpenSSL's, with a certificate of its own.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        std::fs::write(authority.0.path().join("serial"), "01\n").unwrap();
        std::fs::write(
            authority.0.path().join("ts.cnf"),
            "[tsa]\nserial = serial\nsigner_cert = tsa.crt\nsigner_key = tsa.key\nsigner_digest = sha256\n\
             default_policy = 1.2.3.4.1\ndigests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n",
        )
        .unwrap();
        let subject = ["-subj", "/CN=TSA", "-addext", "extendedKeyUsage=critical,timeStamping"];
        let make =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.crt", "-days", "30"];
        authority.openssl(&[&make[..], &subject].concat());
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let ran =
            Command::new("openssl").args(arguments).current_dir(self.0.path()).output().expect("openssl is installed");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    fn stamp(&self, query: &[u8]) -> Vec<u8> {
        std::fs::write(self.0.path().join("query.tsq"), query).unwrap();
        self.openssl(&[
            "ts",
            "-reply",
            "-config",
            "ts.cnf",
            "-section",
            "tsa",
            "-queryfile",
            "query.tsq",
            "-out",
            "reply.tsr",
        ]);
        std::fs::read(self.0.path().join("reply.tsr")).unwrap()
    }

    fn verify(&self, note: &Path, stamp: &Path) {
        let (note, stamp) = (note.to_str().unwrap(), stamp.to_str().unwrap());
        self.openssl(&["ts", "-verify", "-data", note, "-in", stamp, "-CAfile", "tsa.crt"]);
    }
}

#[tokio::test]
async fn checkpoints_reach_a_folder_an_address_and_a_time_stamping_authority() {
    let (archive, tsa) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let authority = Authority::new();
    let anchors = format!(
        "anchors: [{{folder: anchors, every: 1s}}, {{url: \"http://{}/archive\", every: 1s}}, {{timestamp: \"http://{}/tsa\", every: 1s}}]",
        archive.local_addr().unwrap(),
        tsa.local_addr().unwrap()
    );
    let gateway = pointsman().config(&config(&anchors)).start();
    let log: VerifierKey = key(&gateway, "key").parse().unwrap();
    let archived = posted(&archive).await;
    assert!(archived.head.starts_with("POST /archive "), "{}", archived.head);
    let note = String::from_utf8(archived.body.clone()).unwrap();
    assert!(log.checkpoint(&note).is_some(), "{note}");
    archived.answer("204 No Content", "", b"").await;
    let query = posted(&tsa).await;
    assert!(query.head.contains("content-type: application/timestamp-query"), "{}", query.head);
    let stamp = authority.stamp(&query.body);
    query.answer("200 OK", "content-type: application/timestamp-reply\r\n", &stamp).await;
    let timestamps = gateway.folder().join("data/ledger/tlog/timestamps");
    let stamped = until(|| {
        let mut files = std::fs::read_dir(&timestamps).ok()?.map(|file| file.unwrap().path());
        files.find(|file| file.extension().is_some_and(|kind| kind == "tsr"))
    })
    .await;
    authority.verify(&stamped.with_extension("note"), &stamped);
    let of_log = gateway.folder().join("anchors").join(log.name().replace('/', "-"));
    until(|| std::fs::read_dir(&of_log).ok()?.next()?.ok()).await;
    let kept = Evidence { checkpoints: evidence::anchors(log.name(), &of_log).unwrap(), ..Evidence::default() };
    let report = verify_against(&gateway.folder().join("data/ledger"), &log, &kept);
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert!(report.anchored > 0, "{report:?}");
    let (_, metrics) = gateway.send(tests::client().get(format!("{}/metrics", gateway.admin))).await;
    assert!(metrics.as_str().unwrap().contains("pointsman_ledger_unanchored_records"), "{metrics}");
}

#[tokio::test]
async fn a_gateway_cosigns_the_checkpoints_of_another_that_only_grew() {
    let witness = pointsman().config(&config("")).start();
    let witness_key = key(&witness, "witness");
    let asks = format!("witnesses: [{{url: \"{}\", key: \"{witness_key}\"}}]", witness.admin);
    let builder = pointsman().config(&config(&asks));
    let bearer = builder.key("all", "office");
    let mut gateway = builder.start();
    gateway.with_key(&bearer);
    let log = key(&gateway, "key");
    // Nobody is cosigned who is not named.
    let submitted = tests::client().post(format!("{}/add-checkpoint", witness.admin));
    let note = until(|| std::fs::read_to_string(gateway.folder().join("data/ledger/tlog/checkpoint")).ok()).await;
    let refused = submitted.body(format!("old 0\n\n{note}")).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 404);
    let (status, _) = witness.reload_with("pointsman.yaml", &config(&format!("witness_for: [\"{log}\"]"))).await;
    assert_eq!(status, 200);
    assert_eq!(gateway.chat("auto", "Hello").await.0, 200);
    let folder = gateway.folder().join("data/ledger");
    let cosigned = folder.join("tlog/cosignatures");
    until(|| std::fs::read_to_string(&cosigned).ok().filter(|notes| !notes.is_empty())).await;
    let key: WitnessKey = witness_key.parse().unwrap();
    let evidence = Evidence { witnesses: vec![key], quorum: 1, ..Evidence::default() };
    let report = verify_against(&folder, &log.parse().unwrap(), &evidence);
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    let strange =
        tests::client().post(format!("{}/add-checkpoint", witness.admin)).body("old x\n\n").send().await.unwrap();
    assert_eq!(strange.status().as_u16(), 400);
    let large = tests::client()
        .post(format!("{}/add-checkpoint", witness.admin))
        .body(vec![b'x'; 1 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(large.status().as_u16(), 413);
}

#[tokio::test]
async fn a_key_is_rotated_between_two_runs_and_the_old_one_leads_to_the_new() {
    let mut gateway = pointsman().start();
    assert_eq!(gateway.chat("auto", "Hello").await.0, 200);
    let (code, _, error) = gateway.command(&["audit", "rotate-key", "--data-dir", "data"]);
    assert_eq!(code, 1);
    assert!(error.contains("another") || error.contains("in use") || error.contains("lock"), "{error}");
    let old = key(&gateway, "key");
    gateway.stop();
    let (code, out, error) = gateway.command(&["audit", "rotate-key", "--data-dir", "data", "--json"]);
    assert_eq!(code, 0, "{error}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["old"], old);
    gateway.start_again();
    assert_eq!(gateway.chat("auto", "Hello").await.0, 200);
    gateway.stop();
    let folder = gateway.folder().join("data/ledger");
    for known in [old, key(&gateway, "key")] {
        let report = verify_against(&folder, &known.parse().unwrap(), &Evidence::default());
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    }
}
