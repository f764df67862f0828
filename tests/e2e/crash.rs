//! `kill -9` under load: what was acknowledged is there afterwards.

use std::collections::HashSet;

use serde_json::Value;
use tests::chat;

use crate::pointsman;

#[tokio::test]
async fn no_acknowledged_decision_is_missing_after_a_kill() {
    let mut gateway = pointsman().start();
    for round in 0..3 {
        // Sixteen clients ask until the gateway is gone; the ids of all answers they got are kept.
        let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let request = gateway.request("POST", "/v1/chat/completions").json(&chat("auto", "Hello"));
                let answered = answered.clone();
                tokio::spawn(async move {
                    while let Ok(response) = request.try_clone().expect("a body in memory").send().await {
                        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
                        if answered.send(id).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        drop(answered);
        let mut acknowledged = HashSet::new();
        while acknowledged.len() < 100 {
            acknowledged.insert(answers.recv().await.expect("the gateway answers"));
        }
        gateway.kill_and_restart();
        while let Some(id) = answers.recv().await {
            acknowledged.insert(id);
        }
        for client in clients {
            client.await.unwrap();
        }
        let decided: HashSet<String> = gateway
            .ledger()
            .iter()
            .filter(|record| record["kind"] == "decision")
            .map(|record| record["request"].as_str().unwrap().to_owned())
            .collect();
        let missing: Vec<_> = acknowledged.difference(&decided).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
        assert_eq!(gateway.chat("auto", "Hello").await.0, 200, "it serves on");
    }
}

#[tokio::test]
async fn a_report_counts_what_the_ledger_holds() {
    let gateway = pointsman().start();
    for _ in 0..3 {
        gateway.chat("auto", "Hello").await;
    }
    let ids: HashSet<Value> = tests::until(|| {
        let ledger = gateway.ledger();
        (ledger.len() == 6).then(|| ledger.iter().map(|record| record["request"].clone()).collect())
    })
    .await;
    assert_eq!(ids.len(), 3);
    let (code, out, error) = gateway.command(&["audit", "report", "--json", "--data-dir", "data"]);
    assert_eq!(code, 0, "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["total"]["requests"], 3, "{report}");
}
