//! What the gateway signed is verified by a program that is not the gateway.

use audit::{
    note::VerifierKey,
    proof,
    verify::{Verdict, verify},
};

use crate::pointsman;

#[tokio::test]
async fn what_was_served_is_signed_over_kills_and_stops_and_one_record_can_be_proved() {
    let mut gateway = pointsman().start();
    let folder = gateway.folder().join("data/ledger");
    let mut key: Option<VerifierKey> = None;
    for round in 0..3 {
        for _ in 0..5 {
            assert_eq!(gateway.chat("auto", "Hello").await.0, 200);
        }
        match round {
            0 => gateway.kill_and_restart(),
            _ => gateway.stop_and_restart(),
        }
        let (code, out, error) = gateway.command(&["audit", "key", "--data-dir", "data"]);
        assert_eq!(code, 0, "{error}");
        let now: VerifierKey = out.parse().unwrap();
        assert_eq!(*key.get_or_insert(now.clone()), now, "one key for the life of the log");
        let report = verify(&folder, &now, &[]);
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
        // A stop signs all that there is.
        assert!(round == 0 || report.signed >= 10, "{report:?}");
    }
    let key = key.unwrap();
    let (_, record) = ledger::read(&folder).unwrap().nth(3).unwrap().unwrap();
    let proof = proof::prove(&folder, &key, 3).unwrap();
    assert_eq!(proof::check(&proof, &record, &key).unwrap(), 3);
}

#[tokio::test]
async fn a_gateway_does_not_start_on_a_ledger_that_lost_what_was_signed() {
    let mut gateway = pointsman().start();
    for _ in 0..3 {
        assert_eq!(gateway.chat("auto", "Hello").await.0, 200);
    }
    gateway.stop_and_restart();
    let folder = gateway.folder().to_owned();
    let builder = pointsman();
    let copied = builder.folder().join("data/ledger");
    std::fs::create_dir_all(copied.join("tlog")).unwrap();
    for name in ["tlog/key", "tlog/checkpoints"] {
        std::fs::copy(folder.join("data/ledger").join(name), copied.join(name)).unwrap();
    }
    let said = builder.refused();
    assert!(said.contains("rolled back"), "{said}");
}
