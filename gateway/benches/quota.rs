//! What quotas and answers that are given again cost a request, beside what it costs without any.
//!
//! `cargo bench -p gateway --bench quota`

use std::{hint::black_box, sync::Arc, time::Duration};

use catalog::{Exposure, Purpose, Use};
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::{
    answers::{self, Answers, Found, Wishes},
    config::{Context, Dimension, Quota, QuotaMatch},
    keys::Grant,
    quota::{Foreseen, Quotas},
    wire::{self, ClientApi},
};
use policies::Reuse;

fn caller() -> Grant {
    let use_ = Arc::new(Use::new(Purpose::Revenue, Exposure::Public));
    let context = Arc::new(Context { name: "desk".into(), entity: None, use_ });
    Grant::unbound(Some("k123456789abc".into()), Some("desk".into()), context)
}

/// A chat of about a kilobyte.
fn body() -> bytes::Bytes {
    let text = "What does the contract say of notice periods? ".repeat(20);
    format!(r#"{{"model":"auto","temperature":0,"messages":[{{"role":"user","content":"{text}"}}]}}"#).into()
}

fn benches(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let caller = caller();
    let body = body();
    let decoded = wire::decode(ClientApi::Chat, "r", body.clone()).expect("a request");
    let team = Quota {
        name: "desk".into(),
        of_team: true,
        matches: QuotaMatch { teams: vec!["desk".into()], ..QuotaMatch::default() },
        requests_per_minute: Some(9_000_000_000),
        tokens_per_minute: Some(9_000_000_000),
        concurrent: Some(1_000),
        ..Quota::default()
    };
    let each = Quota { name: "each".into(), of_team: false, per: vec![Dimension::Key], ..team.clone() };
    let elsewhere = QuotaMatch { teams: vec!["other".into()], ..QuotaMatch::default() };
    let other = Quota { name: "other".into(), matches: elsewhere, ..team.clone() };
    for (name, quotas) in
        [("none", vec![]), ("others", vec![other]), ("team", vec![team.clone()]), ("team and key", vec![team, each])]
    {
        let quotas = Quotas::new(&quotas, folder.path(), None, None).expect("quotas");
        c.bench_function(&format!("quotas/{name}"), |b| {
            b.iter(|| {
                let mut pass = quotas.enter(&caller, ClientApi::Chat).expect("room");
                pass.foresee(Foreseen::of(&decoded.request, 240)).expect("room");
                let usage = backends::Usage { prompt_tokens: 240, completion_tokens: 64, ..Default::default() };
                pass.settle(Some(&usage), Some(0.0001), Some("m"));
                black_box(&pass);
            });
        });
    }
    let reuse = Reuse { ttl: Duration::from_secs(600), sampled: false };
    let answers = Arc::new(Answers::new(64 << 20, None));
    let asked = answers::Asked {
        caller: &caller,
        config: "0123456789abcdef",
        route: [Some("r"), None],
        api: ClientApi::Chat,
        decoded: &decoded,
        body: &body,
    };
    c.bench_function("answers/key of 1 KB", |b| b.iter(|| answers::key(reuse, black_box(&asked))));
    let key = answers::key(reuse, &asked).expect("it is certain");
    if let Found::Asked(leave) = answers.find(key, reuse, Wishes::default(), |_| true) {
        let mut recorder = leave.record("r", "one", None, false);
        recorder.take(&[b'x'; 1024]);
        recorder.ends(None, None);
        recorder.keep();
    }
    c.bench_function("answers/hit", |b| {
        b.iter(|| matches!(answers.find(key, reuse, Wishes::default(), |_| true), Found::Again(_)));
    });
}

criterion_group!(quota, benches);
criterion_main!(quota);
