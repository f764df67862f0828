//! What start-up pays to read the built-in data and to compile decisions, and what a request pays per candidate.

use std::hint::black_box;
use std::time::Instant;

use catalog::{Affiliate, Catalog, Date, Exposure, Metric, Purpose, Use, acquired, decide, duties, health};
use criterion::{Criterion, criterion_group, criterion_main};

/// Contexts of a large company.
const CONTEXTS: usize = 2_000;

fn today() -> Date {
    "2026-11-25".parse().expect("a date")
}

/// A company's file that speaks of every one of its contexts, so that no two share a class.
fn company() -> String {
    let rows = (0..CONTEXTS).map(|n| {
        format!(
            "  - {{id: a{n}, entity: acme, contexts: [c{n}], metric: monthly-users, at_most: {n}, signed_by: CFO, \
             signed: 2026-01-01, valid_until: 2027-01-01}}\n"
        )
    });
    format!("attestations:\n{}", rows.collect::<String>())
}

fn uses() -> Vec<Use> {
    let one = |n: usize| Use {
        seat: Some(["DE", "US", "KR", "FR"][n % 4].to_owned()),
        entity: Some("acme".to_owned()),
        context: Some(format!("c{n}")),
        ..Use::new(Purpose::ALL[n % 4], if n % 8 < 4 { Exposure::Internal } else { Exposure::Public })
    };
    (0..CONTEXTS).map(one).collect()
}

fn benches(c: &mut Criterion) {
    let start = Instant::now();
    let catalog = Catalog::builtin();
    println!("the built-in catalog was read in {:?}", start.elapsed());
    let models = catalog.models().count();
    let uses = uses();
    let start = Instant::now();
    catalog.compile(&uses, today());
    println!("{models} models x {CONTEXTS} contexts that no row tells apart were compiled in {:?}", start.elapsed());
    let company = catalog.with_overlays(&[("acme.yaml".to_owned(), company())]).expect("a good file");
    let start = Instant::now();
    company.compile(&uses, today());
    println!("{models} models x {CONTEXTS} contexts of {CONTEXTS} classes were compiled in {:?}", start.elapsed());

    let mut group = c.benchmark_group("decide");
    let use_ = Use { seat: Some("US".to_owned()), ..Use::new(Purpose::Revenue, Exposure::Public) };
    for (what, id) in [
        ("allow", "qwen3-32b"),
        ("obligations", "gemma-3-27b-it"),
        ("attestation", "llama-4-scout"),
        ("deny", "mistral-large-2"),
    ] {
        let model = catalog.model(id).expect("a built-in model");
        group.bench_function(format!("{what}, worked out"), |b| {
            b.iter(|| decide(&catalog, black_box(model), black_box(&use_), today()))
        });
        let class = catalog.class(&use_, today());
        group.bench_function(format!("{what}, looked up"), |b| {
            b.iter(|| class.decision(&catalog, black_box(model)).outcome)
        });
    }
    group.bench_function("class of a use", |b| b.iter(|| catalog.class(black_box(&use_), today())));
    group.finish();
    let llama = catalog.model("llama-3.3-70b-instruct").expect("a built-in model");
    c.bench_function("duties of a use", |b| b.iter(|| duties(&company, black_box(llama), &uses[0], today()).len()));
    c.bench_function("health of every model", |b| b.iter(|| health(&catalog, today()).len()));
    let affiliate = Affiliate { entity: "acme", figures: &[(Metric::MonthlyUsers, 1)], seat: Some("FR") };
    let named: Vec<_> = uses.iter().take(100).map(|use_| (use_.context.as_deref().expect("a name"), use_)).collect();
    let ids: Vec<_> = catalog.models().map(|model| model.id.as_str()).collect();
    let start = Instant::now();
    let changes = acquired(&company, &named, &affiliate, today(), ids.iter().copied()).len();
    println!("{models} models x 100 contexts with an affiliate: {changes} changes in {:?}", start.elapsed());
    c.bench_function("model by id", |b| b.iter(|| catalog.model(black_box("llama-3.3-70b-instruct"))));
    c.bench_function("nearest of an unknown name", |b| b.iter(|| catalog.nearest(black_box("lama-3-70b"), 3).len()));
}

criterion_group!(all, benches);
criterion_main!(all);
