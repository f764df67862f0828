//! The cost of reading one server-sent event of a stream, by the way in which events arrive.

use std::hint::black_box;

use backends::{Api, Convention};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use remote::Reader;

/// Events in a stream.
const EVENTS: usize = 64;

/// A chunk as hosts send it, of about 220 bytes.
fn event(index: usize) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-7f3a9c1e5b8d4f60\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"llama-3.3-70b\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{index:02}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
}

fn read(buffers: &[Bytes]) -> usize {
    let mut reader = Reader::new(Api::Chat, 1, 8 << 20, Convention::openai());
    let mut frames = 0;
    for buffer in buffers {
        reader.push(buffer.clone());
        while let Some(frame) = reader.next_frame() {
            frames += usize::from(black_box(frame).is_ok());
        }
    }
    frames
}

fn reader(c: &mut Criterion) {
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    let stream: Bytes = events.concat().into();
    let cases = [
        ("one a buffer", events.iter().cloned().map(Bytes::from).collect()),
        ("all in one buffer", vec![stream.clone()]),
        // No cut falls between two events.
        (
            "cut every 150 bytes",
            (0..stream.len()).step_by(150).map(|at| stream.slice(at..stream.len().min(at + 150))).collect::<Vec<_>>(),
        ),
    ];
    let mut group = c.benchmark_group("reader");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, buffers) in cases {
        group.bench_function(name, |bench| bench.iter(|| read(black_box(&buffers))));
    }
    group.finish();
}

criterion_group!(benches, reader);
criterion_main!(benches);
