//! Every tier against a product in `f64` of weights read straight from the format's description.
//!
//! The bound: a term passes at most one rounding for each addition after it and a constant number before. With floats
//! that is `len + 4` roundings; with quantised weights the sum within a unit is exact, so it is one for each unit and
//! each minimum, and 8 for the scales and for putting blocks together. Each is relative to the sum of the sizes of the
//! terms. Activations are the same numbers on both sides, so quantising them is no part of it.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::{
    q8::quantize,
    testing::{Numbers, ROUNDING, guarded, read_row, unit_scales, weights},
};

/// Columns for which every tier takes its way for many.
const MANY: usize = 33;

fn quantised() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| !format.is_float())
}

/// Columns in the form of a format, and what they stand for.
struct Input {
    floats: Vec<Vec<f32>>,
    /// None for weights that are floats.
    blocks: Option<Vec<Vec<Q8>>>,
}

impl Input {
    fn new(format: Format, floats: Vec<Vec<f32>>) -> Self {
        let quantised = |group| {
            let column = |x: &Vec<f32>| {
                let mut blocks = vec![Q8::default(); Q8::blocks(x.len())];
                quantize(Isa::at_most(crate::Tier::Scalar), group, x, &mut blocks);
                blocks
            };
            floats.iter().map(column).collect()
        };
        let blocks = format.group().map(quantised);
        Input { floats, blocks }
    }

    fn random(format: Format, cols: usize, count: usize, numbers: &mut Numbers) -> Self {
        Input::new(format, (0..count).map(|_| numbers.floats(cols)).collect())
    }

    fn matmul(&self, isa: Isa, weights: Panels<'_>) -> Vec<f32> {
        let results = weights.rows() * self.floats.len();
        match &self.blocks {
            None => {
                let columns: Vec<&[f32]> = self.floats.iter().map(Vec::as_slice).collect();
                let results = guarded(results, |y| matmul(isa, weights, Columns::Floats(&columns), y));
                let mut dense = vec![0.0; results.len()];
                matmul(isa, weights, Columns::Dense(&self.floats.concat()), &mut dense);
                assert_eq!(dense, results);
                results
            }
            Some(blocks) => {
                let columns: Vec<&[Q8]> = blocks.iter().map(Vec::as_slice).collect();
                guarded(results, |y| matmul(isa, weights, Columns::Quantized(&columns), y))
            }
        }
    }

    fn values(&self, column: usize) -> Vec<f64> {
        match &self.blocks {
            None => self.floats[column].iter().map(|&x| x.into()).collect(),
            Some(blocks) => Q8::values(&blocks[column]).collect(),
        }
    }
}

fn check_every_tier(format: Format, rows: usize, cols: usize, data: &[u8], input: &Input) {
    let packed = Packed::new(format, rows, cols, data).unwrap();
    let roundings = match format.is_float() {
        true => cols + 4,
        false => 2 * cols / format.block_len() + 8,
    };
    let read: Vec<_> = data.chunks(format.row_bytes(cols).unwrap()).map(|row| read_row(format, row)).collect();
    for isa in Isa::available() {
        let y = input.matmul(isa, packed.panels());
        for (i, &y) in y.iter().enumerate() {
            let (x, row) = (input.values(i / rows), &read[i % rows]);
            let expected: f64 = row.iter().zip(&x).map(|(w, x)| w.value * x).sum();
            let size: f64 = row.iter().zip(&x).map(|(w, x)| w.size * x.abs()).sum();
            let bound = 1.01 * ROUNDING * roundings as f64 * size;
            let off = (f64::from(y) - expected).abs();
            assert!(
                off <= bound,
                "{} {}: row {} column {} of {rows} x {cols}: {y}, expected {expected}, off {off:e}",
                isa.name(),
                format.name(),
                i % rows,
                i / rows,
            );
        }
    }
}

fn check(format: Format, rows: usize, cols: usize, columns: usize, seed: u64, skip: usize) {
    let mut numbers = Numbers::from(seed);
    let mut data = vec![0; skip];
    data.extend(weights(format, rows, cols, &mut numbers));
    let input = Input::random(format, cols, columns, &mut numbers);
    check_every_tier(format, rows, cols, &data[skip..], &input);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_tier_agrees_on_any_product(
        format in prop::sample::select(&Format::ALL[..]),
        rows in 1..70usize,
        blocks in 1..9usize,
        columns in 1..50usize,
        seed: u64,
        skip in 0..64usize,
    ) {
        check(format, rows, blocks * format.block_len(), columns, seed, skip);
    }
}

#[test]
fn every_tier_agrees_one_off_each_width() {
    for format in [Format::F32, Format::F16, Format::BF16] {
        for cols in (1..=18).chain([31, 32, 33, 127, 128, 129]) {
            check(format, 3, cols, 5, cols as u64, cols % 7);
        }
    }
    for format in quantised() {
        for blocks in [1, 2, 7, 8, 9, 15, 16, 17] {
            check(format, 3, blocks * format.block_len(), 3, blocks as u64, 1);
        }
    }
    for rows in [1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS] {
        for columns in 1..=2 * TILE + 1 {
            check(Format::Q8_0, rows, 64, columns, 7, 0);
        }
    }
}

/// All bytes at their extremes: where 16-bit sums would saturate.
#[test]
fn extreme_values_do_not_saturate() {
    for format in quantised() {
        for byte in [0x00, 0x7f, 0x80, 0x81, 0xff] {
            for sign in [1.0, -1.0] {
                let cols = 2 * format.block_len();
                let mut data = vec![byte; format.row_bytes(cols).unwrap()];
                unit_scales(format, &mut data);
                let input = Input::new(format, vec![vec![sign; cols]; MANY]);
                assert!(input.blocks.iter().flatten().flatten().all(|block| block.q[0].abs() == 127));
                check_every_tier(format, 1, cols, &data, &input);
            }
        }
    }
}

/// With scales of one and small activations every intermediate sum is a whole number below 2^24: no rounding at all.
#[test]
fn whole_numbers_come_out_exactly_on_every_tier() {
    for format in quantised() {
        let (rows, cols) = (19, 1024);
        let mut numbers = Numbers::from(1);
        let mut data = weights(format, rows, cols, &mut numbers);
        unit_scales(format, &mut data);
        let packed = Packed::new(format, rows, cols, &data).unwrap();
        // One of each group is 127, so that its scale is one.
        let x = (0..cols).map(|i| if i % 32 == 0 { 127.0 } else { (numbers.bits() % 3) as f32 - 1.0 }).collect();
        let input = Input::new(format, vec![x; MANY]);
        for isa in Isa::available() {
            let y = input.matmul(isa, packed.panels());
            for (i, y) in y.into_iter().enumerate() {
                let r = i % rows;
                let row = read_row(format, &data[r * data.len() / rows..][..data.len() / rows]);
                let expected: f64 = row.iter().zip(&input.floats[0]).map(|(w, &x)| w.value * f64::from(x)).sum();
                assert_eq!(f64::from(y), expected, "{} {} row {r}", isa.name(), format.name());
            }
        }
    }
}

/// What lets callers split work between threads and steps without changing a result.
#[test]
fn a_result_does_not_depend_on_the_rows_and_columns_beside_it() {
    // Fewer columns than a tile of any tier, as many as one, and more, with some left over.
    for (format, columns) in Format::ALL.into_iter().flat_map(|format| [7, 16, 51].map(|columns| (format, columns))) {
        let (rows, cols) = (37, 512);
        let mut numbers = Numbers::from(3);
        let data = weights(format, rows, cols, &mut numbers);
        let packed = Packed::new(format, rows, cols, &data).unwrap();
        let together = Input::random(format, cols, columns, &mut numbers);
        for isa in Isa::available() {
            let all = together.matmul(isa, packed.panels());
            for (column, x) in together.floats.iter().enumerate() {
                let alone = Input::new(format, vec![x.clone()]);
                for panel in 0..3 {
                    let part = packed.panels().slice(panel..panel + 1);
                    let one = alone.matmul(isa, part);
                    for (one, row) in one.into_iter().zip(packed.panels().rows_of(panel..panel + 1)) {
                        let all = all[column * rows + row];
                        assert_eq!(one.to_bits(), all.to_bits(), "{} {} of {columns}", isa.name(), format.name());
                    }
                }
            }
        }
    }
}

#[test]
fn no_columns_give_nothing_on_any_tier() {
    for format in Format::ALL {
        let data = weights(format, 3, format.block_len(), &mut Numbers::from(5));
        let packed = Packed::new(format, 3, format.block_len(), &data).unwrap();
        for isa in Isa::available() {
            assert!(Input::new(format, Vec::new()).matmul(isa, packed.panels()).is_empty());
        }
    }
}

#[test]
fn a_row_comes_out_as_it_went_in() {
    for format in Format::ALL {
        let (rows, cols) = (21, 3 * format.block_len());
        let data = weights(format, rows, cols, &mut Numbers::from(12));
        let packed = Packed::new(format, rows, cols, &data).unwrap();
        for (r, row) in data.chunks(data.len() / rows).enumerate() {
            let (mut packed_row, mut plain) = (vec![f32::NAN; cols], vec![f32::NAN; cols]);
            packed.panels().row(r, &mut packed_row);
            crate::dequantize_row(format, row, &mut plain);
            assert_eq!(packed_row, plain, "{} row {r}", format.name());
        }
    }
}

#[test]
fn parts_together_are_the_whole() {
    for rows in [1, 16, 37, 100] {
        let data = weights(Format::Q6_K, rows, 512, &mut Numbers::from(14));
        let whole = Packed::new(Format::Q6_K, rows, 512, &data).unwrap();
        for count in [1, 2, 3, 50] {
            let mut packed = Packed::zeroed(Format::Q6_K, rows, 512).unwrap();
            let parts = packed.parts(&data, count);
            assert!(parts.len() <= count);
            parts.into_iter().for_each(Part::pack);
            assert!(packed.bytes() == whole.bytes(), "{rows} rows, {count} parts");
        }
    }
}

/// What packed files of other builds hold: the digest of each format.
const GOLDEN: [(&str, u64); 15] = [
    ("F32", 0xc048f9c71b5c72c0),
    ("F16", 0x69a0ff7849cf952a),
    ("BF16", 0x7962ade9bbdd5d85),
    ("Q8_0", 0xf05487bf36fd9a9c),
    ("Q4_0", 0x0f4116e40b9041e4),
    ("Q4_1", 0xc99bbd51602aec3a),
    ("Q5_0", 0x3eef47b6077f730f),
    ("Q5_1", 0x6c1e4e16f3234a70),
    ("IQ4_NL", 0x0f4116e40b9041e4),
    ("Q2_K", 0xb8a07e1936b7b695),
    ("Q3_K", 0x50f81ceb82626f1a),
    ("Q4_K", 0x04d1ac7e0312bfa2),
    ("Q5_K", 0x4df5162c2013f762),
    ("Q6_K", 0x6619b3aab04f77ae),
    ("IQ4_XS", 0x35380be297f81765),
];

/// If this fails, what others packed is not what this build computes with: raise [`LAYOUT`] and write the new digests here.
#[test]
fn what_is_packed_is_what_the_number_of_the_layout_says() {
    let digest = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    };
    let packed = Format::ALL.map(|format| {
        // Rows and blocks that leave some places of a panel empty.
        let (rows, cols) = (21, 11 * format.block_len());
        let data = weights(format, rows, cols, &mut Numbers::from(15));
        (format.name(), digest(Packed::new(format, rows, cols, &data).unwrap().bytes()))
    });
    assert_eq!((LAYOUT, packed), (1, GOLDEN));
}

/// A file with these bytes from byte `at` on.
fn file(at: usize, bytes: &[u8]) -> Arc<Mapped> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![0xa5; at]).unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(Mapped::of(&file).unwrap())
}

#[test]
fn a_matrix_in_a_file_is_the_one_that_was_written() {
    for format in Format::ALL {
        let (rows, cols) = (21, 3 * format.block_len());
        let mut numbers = Numbers::from(16);
        let own = Packed::new(format, rows, cols, &weights(format, rows, cols, &mut numbers)).unwrap();
        assert_eq!(Packed::size(format, rows, cols), Some(own.bytes().len()));
        let file = file(64, own.bytes());
        let mapped = Packed::mapped(format, rows, cols, &file, 64).unwrap();
        let input = Input::random(format, cols, 3, &mut numbers);
        for isa in Isa::available() {
            assert_eq!(input.matmul(isa, mapped.panels()), input.matmul(isa, own.panels()), "{}", format.name());
        }
        let more = rows + ROWS;
        for (rows, at) in [(rows, 65), (more, 64), (rows, usize::MAX), (usize::MAX, 64)] {
            assert!(Packed::mapped(format, rows, cols, &file, at).is_none(), "{rows} rows at {at}");
        }
        assert!(Packed::mapped(format, 1, usize::MAX / format.block_len() * format.block_len(), &file, 64).is_none());
        assert!(format.is_float() || Packed::mapped(format, 1, cols + 1, &file, 64).is_none());
    }
}

/// Packed files may be damaged: whatever the bytes are, nothing is read that is not there, and no sum overflows.
#[test]
fn bytes_of_any_value_do_no_harm() {
    for format in Format::ALL {
        let (rows, cols) = (35, 9 * format.block_len());
        let len = Packed::size(format, rows, cols).unwrap();
        let mut numbers = Numbers::from(17);
        // As many columns as the widest tiles want.
        let columns = (0..33).map(|column| match column {
            0 => vec![1.0; cols],
            1 => vec![-1.0; cols],
            _ => numbers.floats(cols),
        });
        let input = Input::new(format, columns.collect());
        let random: Vec<u8> = (0..len).map(|_| numbers.bits() as u8).collect();
        let fillings = [0x00, 0x7f, 0x80, 0xff].map(|byte| vec![byte; len]);
        for bytes in fillings.into_iter().chain([random]) {
            let mapped = Packed::mapped(format, rows, cols, &file(0, &bytes), 0).unwrap();
            for isa in Isa::available() {
                let mut results = vec![0.0; rows * 33];
                match &input.blocks {
                    None => {
                        let columns: Vec<&[f32]> = input.floats.iter().map(Vec::as_slice).collect();
                        matmul(isa, mapped.panels(), Columns::Floats(&columns), &mut results);
                    }
                    Some(blocks) => {
                        let columns: Vec<&[Q8]> = blocks.iter().map(Vec::as_slice).collect();
                        matmul(isa, mapped.panels(), Columns::Quantized(&columns), &mut results);
                    }
                }
            }
            (0..rows).for_each(|row| mapped.panels().row(row, &mut vec![0.0; cols]));
        }
    }
}

#[test]
fn halves_written_as_rows_or_columns_are_read_as_a_matrix() {
    let (rows, cols, stride) = (21, 5, 32 * 9);
    let mut numbers = Numbers::from(13);
    let values: Vec<Vec<f32>> = (0..rows).map(|_| numbers.floats(cols)).collect();
    let (mut by_rows, mut by_columns) = (vec![0; 2 * stride], vec![0; 2 * stride]);
    for (r, row) in values.iter().enumerate() {
        pack_f16_row(row, r, stride, &mut by_rows);
    }
    for col in 0..cols {
        let column: Vec<f32> = values.iter().map(|row| row[col]).collect();
        pack_f16_column(&column, col, stride, &mut by_columns);
    }
    assert_eq!(by_rows, by_columns);
    for (r, row) in values.iter().enumerate() {
        let mut out = vec![0.0; cols];
        Panels::f16(rows, cols, stride, &by_rows).row(r, &mut out);
        let expected: Vec<f32> = row.iter().map(|&x| f16::from_f32(x).to_f32()).collect();
        assert_eq!(out, expected);
    }
}

/// As the format's own rule has them: what a file would hold, in the layout of a file that was packed.
#[test]
fn rows_written_as_bytes_are_those_of_a_file_over_whatever_was_there() {
    let mut numbers = Numbers::from(21);
    for cols in [1_usize, 31, 32, 64, 80, 256, 300, 512] {
        let (rows, padded) = (37, cols.next_multiple_of(32));
        let values: Vec<Vec<f32>> = (0..rows).map(|_| numbers.floats(cols)).collect();
        let mut written = vec![0xa5; Panels::q8_0_bytes(rows, padded)];
        let mut file = Vec::new();
        for (r, row) in values.iter().enumerate() {
            pack_q8_0_row(&vec![1e3; cols], r, &mut written);
            pack_q8_0_row(row, r, &mut written);
            let zeros = vec![0.0; padded - cols];
            for block in [&row[..], &zeros].concat().chunks(32) {
                let largest = block.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                let scale = f16::from_f32(largest / 127.0);
                file.extend(scale.to_le_bytes());
                let code = |x: f32| (f64::from(x) / scale.to_f64()).round_ties_even().clamp(-127.0, 127.0);
                file.extend(block.iter().map(|&x| if scale == f16::ZERO { 0 } else { code(x) as i8 as u8 }));
            }
        }
        let packed = Packed::new(Format::Q8_0, rows, padded, &file).unwrap();
        for row in 0..rows {
            let (mut ours, mut theirs) = (vec![f32::NAN; padded], vec![f32::NAN; padded]);
            Panels::q8_0(rows, padded, &written).row(row, &mut ours);
            packed.panels().row(row, &mut theirs);
            let step = theirs.iter().fold(0.0f32, |largest, x| largest.max(x.abs())) / 127.0;
            // A number near the middle of two steps may go to either: here it is multiplied by an inverse.
            let near = ours.iter().zip(&theirs).filter(|(a, b)| a != b);
            assert!(near.clone().count() <= cols / 100, "{cols} columns, row {row}");
            assert!(near.into_iter().all(|(a, b)| (a - b).abs() <= step * 1.001), "{cols} columns, row {row}");
        }
        let input = Input::random(Format::Q8_0, padded, 3, &mut numbers);
        for isa in Isa::available() {
            let whole = input.matmul(isa, Panels::q8_0(rows, padded, &written));
            let first = input.matmul(isa, Panels::q8_0(5, padded, &written));
            for (whole, first) in whole.chunks(rows).zip(first.chunks(5)) {
                assert_eq!(&whole[..5], first, "{}", isa.name());
            }
        }
    }
}

#[test]
#[should_panic(expected = "Panels::q8_0: 100 bytes for 17 rows of 32")]
fn bytes_that_are_no_matrix_are_named() {
    Panels::q8_0(17, 32, &[0; 100]);
}

#[test]
#[should_panic(expected = "matmul: rows of 64 and a column of 32")]
fn lengths_that_do_not_match_are_named() {
    let packed = Packed::new(Format::F32, 1, 64, &[0; 256]).unwrap();
    matmul(Isa::best(), packed.panels(), Columns::Floats(&[&[0.0; 32]]), &mut [0.0]);
}

#[test]
#[should_panic(expected = "matmul: rows of 64 and 96 numbers")]
fn numbers_that_are_no_whole_columns_are_named() {
    let packed = Packed::new(Format::F32, 1, 64, &[0; 256]).unwrap();
    matmul(Isa::best(), packed.panels(), Columns::Dense(&[0.0; 96]), &mut [0.0]);
}

#[test]
#[should_panic(expected = "matmul: floats for Q8_0")]
fn activations_of_the_wrong_form_are_named() {
    let packed = Packed::new(Format::Q8_0, 1, 32, &[0; 34]).unwrap();
    matmul(Isa::best(), packed.panels(), Columns::Floats(&[&[0.0; 32]]), &mut [0.0]);
}

#[test]
#[should_panic(expected = "matmul: columns of the wrong group for Q8_0")]
fn activations_of_the_wrong_group_are_named() {
    let packed = Packed::new(Format::Q8_0, 1, 256, &[0; 8 * 34]).unwrap();
    let mut blocks = [Q8::default()];
    quantize(Isa::best(), crate::Group::Of256, &[1.0; 256], &mut blocks);
    matmul(Isa::best(), packed.panels(), Columns::Quantized(&[&blocks]), &mut [0.0]);
}

#[test]
#[should_panic(expected = "Packed::parts: 33 bytes for 1 rows of 32 Q8_0")]
fn a_matrix_of_the_wrong_size_is_named() {
    let _ = Packed::new(Format::Q8_0, 1, 32, &[0; 33]);
}

#[test]
#[should_panic(expected = "Panels::f16: 100 bytes for 17 rows of 3 with a stride of 96")]
fn halves_that_leave_their_bytes_are_named() {
    Panels::f16(17, 3, 96, &[0; 100]);
}
