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
            // Products of these short numbers are exact; the difference of two is rounded once.
            let off = (f64::from(out) - expected.value).abs();
            assert!(off <= ROUNDING * expected.size, "{} element {i}: {out}, expected {expected:?}", format.name());
        }
    }
}

#[test]
fn halves_are_rounded_to_the_nearest() {
    let mut bytes = [0; 6];
    encode_f16(&[1.0, 1.0 + 1.0 / 2048.0, 65_519.0], &mut bytes);
    let read: Vec<f32> = bytes.as_chunks::<2>().0.iter().map(|&b| half(b)).collect();
    assert_eq!(read, [1.0, 1.0, 65_504.0]);
}

#[test]
#[should_panic(expected = "dequantize_row: 34 bytes of Q8_0 for 33 values")]
fn a_row_that_does_not_fit_is_named() {
    dequantize_row(Format::Q8_0, &[0; 34], &mut [0.0; 33]);
}
