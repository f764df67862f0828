//! Every tier against a product in `f64` of weights read straight from the format's description.
//!
//! The bound: a term passes at most one rounding for each addition after it and a constant number before. With floats
//! that is `len + 4` roundings; with quantised blocks the sum within a block is exact, so it is one for each block,
//! one for each of at most 32 lanes that are added at the end, and 4 for the scales. Each is relative to the sum of the
//! sizes of the terms. Activations are the same numbers on both sides, so quantising them is no part of it.

use proptest::prelude::*;

use super::*;
use crate::{
    columns::{Q8x32, Q8x256},
    format::Activation,
    quantize::{quantize_q8x32, quantize_q8x256},
    testing::{Numbers, ROUNDING, guarded, read_row, unit_scales, weights},
};

/// Activations in the form of a format, and what they stand for.
struct Input {
    len: usize,
    floats: Vec<f32>,
    q: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i16>,
    activation: Activation,
}

impl Input {
    fn new(format: Format, len: usize, floats: Vec<f32>) -> Self {
        let isa = Isa::at_most(crate::Tier::Scalar);
        let all = floats.len();
        let mut input = Input {
            len,
            q: vec![0; all],
            scales: vec![],
            sums: vec![0; all / 16],
            activation: format.activation(),
            floats,
        };
        match input.activation {
            Activation::F32 => {}
            Activation::Q8x32 => {
                input.scales = vec![0.0; all / 32];
                quantize_q8x32(isa, &input.floats, &mut input.q, &mut input.scales);
            }
            Activation::Q8x256 => {
                input.scales = vec![0.0; all / 256];
                quantize_q8x256(isa, &input.floats, &mut input.q, &mut input.scales, &mut input.sums);
            }
        }
        input
    }

    fn columns(&self) -> Columns<'_> {
        match self.activation {
            Activation::F32 => Columns::f32(self.len, &self.floats),
            Activation::Q8x32 => Columns::q8x32(self.len, Q8x32 { q: &self.q, scales: &self.scales }),
            Activation::Q8x256 => {
                Columns::q8x256(self.len, Q8x256 { q: &self.q, scales: &self.scales, sums: &self.sums })
            }
        }
    }

    fn value(&self, i: usize) -> f64 {
        let group = self.floats.len() / self.scales.len().max(1);
        match self.activation {
            Activation::F32 => self.floats[i].into(),
            Activation::Q8x32 | Activation::Q8x256 => f64::from(self.scales[i / group]) * f64::from(self.q[i]),
        }
    }
}

fn check_every_tier(weights: Matrix<'_>, input: &Input) {
    let (rows, cols, columns) = (weights.rows(), weights.cols(), input.columns().count());
    let roundings = match weights.format() {
        Format::F32 | Format::F16 => cols + 4,
        quantised => cols / quantised.block_len() + 32 + 4,
    };
    let read: Vec<_> = (0..rows).map(|r| read_row(weights.format(), weights.slice(r..r + 1).data())).collect();
    for isa in Isa::available() {
        let y = guarded(rows * columns, |y| matmul(isa, weights, input.columns(), y));
        for (i, &y) in y.iter().enumerate() {
            let (column, row) = (i / rows, &read[i % rows]);
            let terms = || row.iter().enumerate().map(|(j, w)| (w, input.value(column * cols + j)));
            let expected: f64 = terms().map(|(w, x)| w.value * x).sum();
            let size: f64 = terms().map(|(w, x)| w.size * x.abs()).sum();
            let bound = 1.01 * ROUNDING * roundings as f64 * size;
            let off = (f64::from(y) - expected).abs();
            assert!(
                off <= bound,
                "{} {}: row {} column {column} of {rows} x {cols} x {columns}: {y}, expected {expected}, off {off:e}",
                isa.name(),
                weights.format().name(),
                i % rows
            );
        }
    }
}

fn check(format: Format, rows: usize, cols: usize, columns: usize, seed: u64, skip: usize) {
    let mut numbers = Numbers::from(seed);
    let mut data = vec![0; skip];
    data.extend(weights(format, rows, cols, &mut numbers));
    let input = Input::new(format, cols, numbers.floats(cols * columns));
    check_every_tier(Matrix::new(format, rows, cols, &data[skip..]), &input);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_tier_agrees_on_any_product(
        format in prop::sample::select(&Format::ALL[..]),
        rows in 1..70usize,
        blocks in 1..9usize,
        columns in 1..11usize,
        seed: u64,
        skip in 0..64usize,
    ) {
        check(format, rows, blocks * format.block_len(), columns, seed, skip);
    }
}

#[test]
fn every_tier_agrees_one_off_each_width() {
    for format in [Format::F32, Format::F16] {
        for cols in (1..=66).chain([95, 96, 97, 127, 128, 129, 255, 256, 257]) {
            check(format, 3, cols, 5, cols as u64, cols % 7);
        }
    }
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4K, Format::Q6K] {
        for blocks in [1, 2, 3, 4, 5, 15, 16, 17] {
            check(format, 3, blocks * format.block_len(), 3, blocks as u64, 1);
        }
    }
    for rows in [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS] {
        for columns in 1..=2 * TILE + 1 {
            check(Format::Q8_0, rows, 64, columns, 7, 0);
        }
    }
}

/// All bytes at their extremes: where 16-bit sums would saturate.
#[test]
fn extreme_values_do_not_saturate() {
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4K, Format::Q6K] {
        for byte in [0x00, 0x7f, 0x80, 0x81, 0xff] {
            for sign in [1.0, -1.0] {
                let cols = 2 * format.block_len();
                let mut data = vec![byte; format.row_bytes(cols).unwrap()];
                unit_scales(format, &mut data);
                let input = Input::new(format, cols, vec![sign; cols]);
                assert!(input.q.iter().all(|q| q.abs() == 127));
                check_every_tier(Matrix::new(format, 1, cols, &data), &input);
            }
        }
    }
}

/// With scales of one and small activations every intermediate sum is a whole number below 2^24: no rounding at all.
#[test]
fn whole_numbers_come_out_exactly_on_every_tier() {
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4K, Format::Q6K] {
        let (rows, cols) = (9, 1024);
        let mut numbers = Numbers::from(1);
        let mut data = weights(format, rows, cols, &mut numbers);
        unit_scales(format, &mut data);
        let weights = Matrix::new(format, rows, cols, &data);
        let mut input = Input::new(format, cols, vec![0.0; cols]);
        input.q.iter_mut().for_each(|q| *q = (numbers.bits() % 3) as i8 - 1);
        input.scales.fill(1.0);
        for (sum, q) in input.sums.iter_mut().zip(input.q.chunks(16)) {
            *sum = q.iter().map(|&q| i16::from(q)).sum();
        }
        for isa in Isa::available() {
            let y = guarded(rows, |y| matmul(isa, weights, input.columns(), y));
            for (r, y) in y.into_iter().enumerate() {
                let row = read_row(format, weights.slice(r..r + 1).data());
                let expected: f64 = row.iter().enumerate().map(|(i, w)| w.value * input.value(i)).sum();
                assert_eq!(f64::from(y), expected, "{} {} row {r}", isa.name(), format.name());
            }
        }
    }
}

/// What lets callers split work between threads and steps without changing a result.
#[test]
fn a_result_does_not_depend_on_the_rows_and_columns_beside_it() {
    for format in Format::ALL {
        let (rows, cols, columns) = (37, 512, 7);
        let mut numbers = Numbers::from(3);
        let data = weights(format, rows, cols, &mut numbers);
        let weights = Matrix::new(format, rows, cols, &data);
        let floats = numbers.floats(cols * columns);
        let together = Input::new(format, cols, floats.clone());
        for isa in Isa::available() {
            let all = guarded(rows * columns, |y| matmul(isa, weights, together.columns(), y));
            for (column, x) in floats.chunks(cols).enumerate() {
                let alone = Input::new(format, cols, x.to_vec());
                for row in 0..rows {
                    let one = guarded(1, |y| matmul(isa, weights.slice(row..row + 1), alone.columns(), y));
                    assert_eq!(
                        one[0].to_bits(),
                        all[column * rows + row].to_bits(),
                        "{} {}",
                        isa.name(),
                        format.name()
                    );
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "matmul: rows of 64 and columns of 32")]
fn lengths_that_do_not_match_are_named() {
    let (data, x) = ([0; 256], [0.0; 32]);
    matmul(Isa::best(), Matrix::new(Format::F32, 1, 64, &data), Columns::f32(32, &x), &mut [0.0]);
}

#[test]
#[should_panic(expected = "matmul: F32 columns for Q8_0")]
fn activations_of_the_wrong_form_are_named() {
    let (data, x) = ([0; 34], [0.0; 32]);
    matmul(Isa::best(), Matrix::new(Format::Q8_0, 1, 32, &data), Columns::f32(32, &x), &mut [0.0]);
}

#[test]
#[should_panic(expected = "Matrix::new: 33 bytes for 1 rows of 32 Q8_0")]
fn a_matrix_of_the_wrong_size_is_named() {
    Matrix::new(Format::Q8_0, 1, 32, &[0; 33]);
}
