//! What a product and the other loops cost on this machine, as shares of what bounds them.
//!
//! `cargo bench -p kernels` prints the products: a decode step (one column) against a plain read of the same bytes, in
//! the same threads, and a prompt (128 columns) against nothing but the instruction that multiplies. Contenders take turns in each
//! round and the best of the rounds counts, as other load only ever slows one down. The small loops come after, by
//! criterion. Rows have the length of a 1.1 B llama.

#![allow(unsafe_code, reason = "the loop of one instruction")]

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use kernels::{
    Columns, Format, Gate, Group, Isa, Packed, Q8, Scan, exponentials, gate_mul, largest, layer_norm, matmul, quantize,
    rms_norm, scan,
};

const ROW: usize = 2_048;
/// More bytes than any cache, in every format.
const ROWS: usize = 65_536;
/// Rows of a product with many columns.
const FEW_ROWS: usize = 1_024;
const COLUMNS: usize = 128;

fn bytes(len: usize) -> Vec<u8> {
    // Read as halves these lie between 0.06 and 0.08, so no scale is odd.
    (0..len).map(|i| 0x2c + (i % 2) as u8).collect()
}

fn floats(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect()
}

fn packed(format: Format, rows: usize) -> Packed {
    Packed::new(format, rows, ROW, &bytes(rows * format.row_bytes(ROW).expect("whole blocks"))).expect("memory")
}

/// The same columns in each form.
struct Input {
    floats: Vec<f32>,
    narrow: Vec<Q8>,
    wide: Vec<Q8>,
}

impl Input {
    fn new(columns: usize) -> Self {
        let floats = floats(ROW * columns);
        let quantised = |group| {
            let mut blocks = vec![Q8::default(); Q8::blocks(ROW) * columns];
            for (x, blocks) in floats.chunks(ROW).zip(blocks.chunks_mut(Q8::blocks(ROW))) {
                quantize(Isa::best(), group, x, blocks);
            }
            blocks
        };
        Input { narrow: quantised(Group::Of32), wide: quantised(Group::Of256), floats }
    }

    fn multiply(&self, isa: Isa, weights: &Packed, panels: std::ops::Range<usize>, y: &mut [f32]) {
        let part = weights.panels().slice(panels);
        let blocks = match part.format().group() {
            None => {
                let columns: Vec<&[f32]> = self.floats.chunks(ROW).collect();
                return matmul(isa, part, Columns::Floats(&columns), &mut y[..part.rows() * columns.len()]);
            }
            Some(Group::Of32) => &self.narrow,
            Some(Group::Of256) => &self.wide,
        };
        let columns: Vec<&[Q8]> = blocks.chunks(Q8::blocks(ROW)).collect();
        matmul(isa, part, Columns::Quantized(&columns), &mut y[..part.rows() * columns.len()]);
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `work` for each part on a thread of its own, and says how long the slowest took.
fn together(parts: usize, work: impl Fn(usize) + Sync) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for part in 1..parts {
            let work = &work;
            scope.spawn(move || work(part));
        }
        work(0);
    });
    start.elapsed()
}

/// Bytes a second of a decode step against those of a plain read, by all cores.
fn decode(rounds: usize) {
    println!("one column, {ROWS} rows of {ROW}, {} threads: GB/s of weights, share of a plain read", cores());
    let (isa, input) = (Isa::best(), Input::new(1));
    let rows = if rounds == 1 { 64 } else { ROWS };
    for format in Format::ALL {
        let weights = packed(format, rows);
        let parts = cores();
        let (panels, bytes) = (weights.panels().count(), weights.panels().bytes());
        let (mut product, mut read) = (f64::MAX, f64::MAX);
        for _ in 0..rounds {
            product = product.min(seconds(together(parts, |part| {
                let panels = panels * part / parts..panels * (part + 1) / parts;
                let mut y = vec![0.0; panels.len() * 16];
                input.multiply(isa, &weights, panels, &mut y);
                black_box(y);
            })));
            read = read.min(seconds(together(parts, |part| {
                black_box(sum(&weights.bytes()[bytes * part / parts..bytes * (part + 1) / parts]));
            })));
        }
        let rate = |seconds: f64| bytes as f64 / seconds / 1e9;
        println!("  {:<8}{:>8.1}{:>8.1}{:>8.2}", format.name(), rate(product), rate(read), read / product);
    }
}

/// Every byte once, as fast as the compiler's own instructions do it.
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in bytes.as_chunks::<256>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *sum ^= u64::from_le_bytes(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Products a second with many columns, against the instruction alone, on one core.
fn prompt(rounds: usize) {
    println!("{COLUMNS} columns, {FEW_ROWS} rows of {ROW}, one thread: G products/s, share of the instruction's");
    let input = Input::new(COLUMNS);
    let rows = if rounds == 1 { 16 } else { FEW_ROWS };
    let mut y = vec![0.0; rows * COLUMNS];
    for format in Format::ALL {
        let weights = packed(format, rows);
        for isa in Isa::available() {
            let (mut product, mut peak) = (f64::MAX, f64::MAX);
            // The lower tiers would take most of the time.
            let rounds = if isa.tier() >= Isa::best().tier().min(kernels::Tier::Avx512Vnni) { rounds } else { 1 };
            for _ in 0..rounds {
                let start = Instant::now();
                input.multiply(isa, &weights, 0..weights.panels().count(), &mut y);
                product = product.min(seconds(start.elapsed()));
                peak = peak.min(instruction(isa, format.is_float()));
            }
            let rate = (rows * ROW * COLUMNS) as f64 / product / 1e9;
            let share = if peak < f64::MAX { format!("{:.2}", rate * peak) } else { "-".to_owned() };
            println!("  {:<8}{:<12}{rate:>8.1}{share:>8}", format.name(), isa.name());
        }
    }
}

/// Nanoseconds for one product of the tier's best multiplying instruction on vectors, in chains that do not wait for each
/// other. Tiles are held against it too: a share above one is what they gain.
fn instruction(isa: Isa, floats: bool) -> f64 {
    const TIMES: usize = 100_000;
    let start = Instant::now();
    let products = match isa.tier() {
        #[cfg(target_arch = "x86_64")]
        kernels::Tier::Avx512Vnni | kernels::Tier::Amx if !floats => {
            // SAFETY: an `Isa` of this tier exists only on a CPU that reported its features.
            black_box(unsafe { x86::dpbusd(TIMES) });
            64
        }
        #[cfg(target_arch = "x86_64")]
        kernels::Tier::Avx512Vnni | kernels::Tier::Amx | kernels::Tier::Avx512 => {
            // SAFETY: likewise.
            black_box(unsafe { x86::fmadd(TIMES) });
            16
        }
        _ => return f64::NAN,
    };
    seconds(start.elapsed()) * 1e9 / (TIMES * 16 * products) as f64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::{arch::x86_64::*, hint::black_box};

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn dpbusd(times: usize) -> i32 {
        let (a, b) = (_mm512_set1_epi32(black_box(3)), _mm512_set1_epi32(black_box(5)));
        let mut sums = [_mm512_setzero_si512(); 16];
        for _ in 0..times {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_epi32(*sum)).fold(0, i32::wrapping_add)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn fmadd(times: usize) -> f32 {
        let (a, b) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.25)));
        let mut sums = [_mm512_setzero_ps(); 16];
        for _ in 0..times {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_ps(*sum)).sum()
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn others(c: &mut Criterion) {
    let (x, weight) = (floats(ROW), floats(ROW));
    let mut blocks = vec![Q8::default(); Q8::blocks(ROW)];
    let mut out = vec![0.0; ROW];
    let mut group = c.benchmark_group("others");
    group.throughput(Throughput::Bytes(4 * ROW as u64));
    for isa in Isa::available() {
        for (name, groups) in [("quantize by 32", Group::Of32), ("quantize by 256", Group::Of256)] {
            group.bench_function(BenchmarkId::new(name, isa.name()), |bench| {
                bench.iter(|| quantize(isa, groups, black_box(&x), &mut blocks));
            });
        }
        group.bench_function(BenchmarkId::new("rms_norm", isa.name()), |bench| {
            bench.iter(|| rms_norm(isa, black_box(&x), &weight, 1e-5, &mut out));
        });
        group.bench_function(BenchmarkId::new("layer_norm", isa.name()), |bench| {
            bench.iter(|| layer_norm(isa, black_box(&x), &weight, &weight, 1e-12, &mut out));
        });
        group.bench_function(BenchmarkId::new("exponentials", isa.name()), |bench| {
            out.copy_from_slice(&x);
            bench.iter(|| exponentials(isa, black_box(&mut out), 0.125, 1.0));
        });
        group.bench_function(BenchmarkId::new("largest", isa.name()), |bench| {
            bench.iter(|| largest(isa, black_box(&x)));
        });
        group.bench_function(BenchmarkId::new("scan", isa.name()), |bench| {
            let mut state = vec![[0.0; 16]; ROW];
            let (decay, numbers) = (vec![[-1.0; 16]; ROW], floats(16));
            let read = Scan { decay: &decay, input: &numbers, output: &numbers, step: &weight, x: &x };
            bench.iter(|| scan(isa, black_box(read), &mut state, &mut out));
        });
        for kind in [Gate::Silu, Gate::Gelu] {
            group.bench_function(BenchmarkId::new(format!("{kind:?} gate"), isa.name()), |bench| {
                out.copy_from_slice(&x);
                bench.iter(|| gate_mul(isa, kind, black_box(&mut out), &weight));
            });
        }
    }
}

criterion_group!(benches, others);

fn main() {
    // Under `--test` everything runs once.
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { 20 };
    decode(rounds);
    prompt(rounds);
    benches();
    Criterion::default().configure_from_args().final_summary();
}
