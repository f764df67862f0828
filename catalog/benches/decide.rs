//! What start-up pays to read the built-in data, and what a request pays per candidate.

use std::hint::black_box;
use std::time::Instant;

use catalog::{Catalog, Exposure, Purpose, Use, decide, decision};
use criterion::{Criterion, criterion_group, criterion_main};

fn benches(c: &mut Criterion) {
    let start = Instant::now();
    let catalog = Catalog::builtin();
    println!("the built-in catalog was read in {:?}", start.elapsed());

    let mut group = c.benchmark_group("decide");
    for (what, id, purpose) in [
        ("allow", "qwen3-32b", Purpose::Revenue),
        ("obligations", "llama-3.3-70b-instruct", Purpose::Revenue),
        ("seat", "llama-4-scout", Purpose::Revenue),
        ("deny", "mistral-large-2", Purpose::Revenue),
    ] {
        let model = catalog.model(id).expect("a built-in model");
        let use_ = Use { purpose, exposure: Exposure::Public, seat: Some("US".to_owned()), end_users: Vec::new() };
        group.bench_function(what, |b| b.iter(|| decide(&catalog, black_box(model), black_box(&use_))));
        group.bench_function(format!("{what}, borrowed"), |b| {
            b.iter(|| decision(&catalog, black_box(model), black_box(&use_)).outcome)
        });
    }
    group.finish();
    c.bench_function("model by id", |b| b.iter(|| catalog.model(black_box("llama-3.3-70b-instruct"))));
    c.bench_function("nearest of an unknown name", |b| b.iter(|| catalog.nearest(black_box("lama-3-70b"), 3).len()));
}

criterion_group!(all, benches);
criterion_main!(all);
