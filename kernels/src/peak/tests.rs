use proptest::{collection::vec, prelude::*};

use super::*;

/// So many that the sum has lost whole turns, but where every step is interpreted.
const MANY: u32 = if cfg!(miri) { 1_001 } else { 3_000_001 };

proptest! {
    #[test]
    fn every_tier_reads_what_scalar_reads_at_any_offset(bytes in vec(any::<u8>(), 0..3_000), skip in 0..64usize) {
        let bytes = &bytes[skip.min(bytes.len())..];
        for isa in Isa::available() {
            prop_assert_eq!(read(isa, bytes), scalar::read(bytes), "{}", isa.name());
        }
    }
}

#[test]
fn no_byte_is_left_out_of_a_reading() {
    let mut bytes: Vec<u8> = (0..600).map(|i| (i % 251) as u8).collect();
    for isa in Isa::available() {
        let all = read(isa, &bytes);
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            assert_ne!(read(isa, &bytes), all, "{}: byte {at} was not read", isa.name());
            bytes[at] ^= 0x10;
        }
    }
}

/// Whoever left out a step, or counted one too many, would have another sum.
#[test]
fn every_tier_does_the_products_that_it_counts() {
    for isa in Isa::available() {
        let mut last = 0;
        for steps in [0, 1, 2, 1_000, MANY] {
            let Products { count, sum } = multiply(isa, steps);
            let expected = (count as i64).wrapping_mul(i64::from(LEFT) * i64::from(RIGHT)) as i32;
            assert_eq!(sum, expected, "{}, {steps} steps", isa.name());
            assert!(count > last || steps == 0, "{}: {count} products in {steps} steps", isa.name());
            last = count;
        }
    }
}

#[test]
fn a_field_is_as_long_as_was_asked_for_and_written() {
    for len in [0, 1, 4_096, (2 << 20) + 5] {
        let field = Field::new(len).unwrap();
        assert_eq!(field.bytes().len(), len);
        assert!(field.bytes().iter().all(|&byte| byte == 0x5a));
    }
}
