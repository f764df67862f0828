use super::*;
use crate::testing::{Numbers, ROUNDING, read_row, weights};

#[test]
fn every_format_reads_as_it_is_described() {
    for format in Format::ALL {
        let cols = 3 * format.block_len();
        let row = weights(format, 1, cols, &mut Numbers::from(11));
        let mut out = vec![f32::NAN; cols];
        dequantize_row(format, &row, &mut out);
        for (i, (out, expected)) in out.into_iter().zip(read_row(format, &row)).enumerate() {
            // Products of a half and two small numbers are exact but for a third factor; the difference is rounded once.
            let off = (f64::from(out) - expected.value).abs();
            assert!(
                off <= 2.0 * ROUNDING * expected.size,
                "{} element {i}: {out}, expected {expected:?}",
                format.name()
            );
        }
    }
}

#[test]
#[should_panic(expected = "dequantize_row: 34 bytes of Q8_0 for 33 values")]
fn a_row_that_does_not_fit_is_named() {
    dequantize_row(Format::Q8_0, &[0; 34], &mut [0.0; 33]);
}
