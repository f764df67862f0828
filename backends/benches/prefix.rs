//! What the prefixes of a prompt cost on the path of a request: its chain, the look-up for all places, and the note of
//! who has served it, among a million prefixes of others.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{Asker, Input, PlaceId, Prefixes, Prompt};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const OTHERS: usize = 16_000;
const KEEPS: Duration = Duration::from_secs(3600);

fn prompt(nth: usize, bytes: usize) -> Input {
    let text: String =
        (0..).map(|word| format!("{:08x} ", (nth * 7_919 + word) * 2_654_435_761)).take(bytes / 9 + 1).collect();
    Input::Prompts(vec![Prompt::Text(text[..bytes].to_owned())])
}

fn bench(c: &mut Criterion) {
    let epoch = Instant::now();
    let index = Arc::new(Prefixes::new(7, epoch));
    let asker = Asker { team: Some("support"), session: None };
    let places: Vec<PlaceId> = (0..300).map(|_| PlaceId::fresh()).collect();
    for nth in 0..OTHERS {
        let chain = index.chain(asker, &prompt(nth, 16 << 10), 4_000).expect("a chain");
        Arc::clone(&index).look_up(chain, epoch).served_by(places[nth % places.len()], KEEPS, epoch);
    }
    println!("{} prefixes in {} MiB", OTHERS * 64, Prefixes::BYTES >> 20);
    for bytes in [1 << 10, 16 << 10, 256 << 10] {
        let input = prompt(OTHERS + bytes, bytes);
        let chain = index.chain(asker, &input, 4_000).expect("a chain");
        let mut group = c.benchmark_group(format!("{} KiB", bytes >> 10));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("chain", |b| b.iter(|| index.chain(asker, black_box(&input), 4_000)));
        group.bench_function("look up a new prompt", |b| {
            b.iter_with_setup(|| chain.clone(), |chain| Arc::clone(&index).look_up(black_box(chain), epoch));
        });
        let prefix = Arc::clone(&index).look_up(chain.clone(), epoch);
        group.bench_function("note who served it", |b| b.iter(|| prefix.served_by(black_box(places[0]), KEEPS, epoch)));
        group.bench_function("look up one that is known", |b| {
            b.iter_with_setup(|| chain.clone(), |chain| Arc::clone(&index).look_up(black_box(chain), epoch));
        });
        let prefix = Arc::clone(&index).look_up(chain.clone(), epoch);
        group.bench_function("ask for 300 places", |b| {
            b.iter(|| places.iter().map(|place| black_box(&prefix).tokens_at(*place)).max());
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
