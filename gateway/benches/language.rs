//! The cost of telling a request's language and script, by the size of the request.
//!
//! Only the first 16 KB are searched and the first thousand characters of prose looked at, so 64 KB take no longer than
//! 16 KB do; the worst case is a text that begins with that much code.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway::facts::language::{detect, script};

/// Sentences that each text repeats.
const TEXTS: [(&str, &str); 4] = [
    ("english", "Could you look at the report that I sent you yesterday and tell me what is missing? "),
    ("korean", "어제 보내 드린 보고서를 보고 빠진 내용이 있으면 알려 주세요. "),
    ("mixed", "어제 보낸 report를 review하고 missing items를 list로 정리해 주세요. "),
    ("code", "for (int i = 0; i < count; i++) { total += values[i]; }\n"),
];

fn language(c: &mut Criterion) {
    let mut group = c.benchmark_group("language");
    for (name, sentence) in TEXTS {
        for kib in [1, 8, 64] {
            let text = sentence.repeat((kib << 10) / sentence.len());
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new(name, format!("{kib} KB")), |bench| {
                bench.iter(|| detect(black_box(&text)))
            });
        }
    }
    group.finish();
    let text = TEXTS[2].1.repeat(20);
    c.bench_function("script", |bench| bench.iter(|| script(black_box(&text))));
}

criterion_group!(benches, language);
criterion_main!(benches);
