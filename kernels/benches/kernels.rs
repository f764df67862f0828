//! What a product and the other loops cost on each tier of this machine.
//!
//! Rows have the lengths of a 1.1 B llama (2,048 and 5,632) and of the demo model. The bytes counted are those of the
//! weights, as they decide the speed of a decode step: compare them with the memory's own rate.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::{
    Activation, Columns, Format, Isa, Matrix, Q8x32, Q8x256, matmul, quantize_q8x32, quantize_q8x256, rms_norm,
    silu_mul, softmax, weighted_sum_f16,
};

const ROW: usize = 2_048;
/// More bytes than the second-level cache holds in every format but few enough to stay in the third.
const ROWS: usize = 2_048;

fn bytes(len: usize) -> Vec<u8> {
    // Read as halves these lie between 0.06 and 0.08, so no scale is odd.
    (0..len).map(|i| 0x2c + (i % 2) as u8).collect()
}

fn floats(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect()
}

fn matmuls(c: &mut Criterion) {
    for format in Format::ALL {
        let data = bytes(ROWS * format.row_bytes(ROW).expect("whole blocks"));
        let weights = Matrix::new(format, ROWS, ROW, &data);
        for columns in [1, 4, 16] {
            let x = floats(ROW * columns);
            let (mut q, mut sums) = (vec![0; x.len()], vec![0; x.len() / 16]);
            let (mut scales, mut wide_scales) = (vec![0.0; x.len() / 32], vec![0.0; x.len() / 256]);
            let input = match format.activation() {
                Activation::F32 => Columns::f32(ROW, &x),
                Activation::Q8x32 => {
                    quantize_q8x32(Isa::best(), &x, &mut q, &mut scales);
                    Columns::q8x32(ROW, Q8x32 { q: &q, scales: &scales })
                }
                Activation::Q8x256 => {
                    quantize_q8x256(Isa::best(), &x, &mut q, &mut wide_scales, &mut sums);
                    Columns::q8x256(ROW, Q8x256 { q: &q, scales: &wide_scales, sums: &sums })
                }
            };
            let mut y = vec![0.0; ROWS * columns];
            let mut group = c.benchmark_group(format!("matmul/{}/{columns}", format.name()));
            group.throughput(Throughput::Bytes(data.len() as u64));
            for isa in Isa::available() {
                group.bench_function(BenchmarkId::from_parameter(isa.name()), |bench| {
                    bench.iter(|| matmul(isa, black_box(weights), black_box(input), &mut y));
                });
            }
        }
    }
}

fn others(c: &mut Criterion) {
    let (x, weight) = (floats(ROW), floats(ROW));
    let (mut q, mut scales, mut sums) = (vec![0; ROW], vec![0.0; ROW / 256], vec![0; ROW / 16]);
    let mut out = vec![0.0; ROW];
    let (values, mut head) = (bytes(2 * 64 * ROW), [0.0; 64]);
    let mut group = c.benchmark_group("others");
    group.throughput(Throughput::Bytes(4 * ROW as u64));
    for isa in Isa::available() {
        group.bench_function(BenchmarkId::new("quantize_q8x256", isa.name()), |bench| {
            bench.iter(|| quantize_q8x256(isa, black_box(&x), &mut q, &mut scales, &mut sums));
        });
        group.bench_function(BenchmarkId::new("rms_norm", isa.name()), |bench| {
            bench.iter(|| rms_norm(isa, black_box(&x), &weight, 1e-5, &mut out));
        });
        group.bench_function(BenchmarkId::new("softmax", isa.name()), |bench| {
            out.copy_from_slice(&x);
            bench.iter(|| softmax(isa, black_box(&mut out), 0.125));
        });
        group.bench_function(BenchmarkId::new("silu_mul", isa.name()), |bench| {
            out.copy_from_slice(&x);
            bench.iter(|| silu_mul(isa, black_box(&mut out), &weight));
        });
        group.bench_function(BenchmarkId::new("weighted_sum_f16/64", isa.name()), |bench| {
            bench.iter(|| weighted_sum_f16(isa, black_box(&x), &values, &mut head));
        });
    }
}

criterion_group!(benches, matmuls, others);
criterion_main!(benches);
