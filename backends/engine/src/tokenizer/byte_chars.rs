//! The printable stand-ins that byte-level BPE vocabularies write bytes with.
//!
//! Bytes that print stand for themselves; the other 68 take the code points from U+0100 on, in order.

/// Whether a byte stands for itself.
const fn prints(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes that do not, in order: byte `HIDDEN[i]` is written as U+0100 + i.
const HIDDEN: [u8; 68] = {
    let mut hidden = [0; 68];
    let (mut byte, mut count) = (0u8, 0);
    loop {
        if !prints(byte) {
            hidden[count] = byte;
            count += 1;
        }
        if byte == u8::MAX {
            break hidden;
        }
        byte += 1;
    }
};

/// The character that a byte is written as.
pub fn byte_char(byte: u8) -> char {
    if prints(byte) {
        return char::from(byte);
    }
    let index = HIDDEN.partition_point(|&hidden| hidden < byte) as u32;
    char::from_u32(0x100 + index).expect("U+0100 to U+0143 are characters")
}

/// The byte that a character stands for, if it is one of the 256.
pub(super) fn char_byte(char: char) -> Option<u8> {
    match u32::from(char) {
        code @ 0..=0xFF => Some(code as u8).filter(|&byte| prints(byte)),
        code => HIDDEN.get(code.checked_sub(0x100)? as usize).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        for byte in 0..=255 {
            assert_eq!(char_byte(byte_char(byte)), Some(byte));
        }
        assert_eq!((byte_char(b' '), byte_char(b'\n'), byte_char(b'a'), byte_char(0xAD)), ('Ġ', 'Ċ', 'a', '\u{143}'));
        assert_eq!((char_byte('\u{144}'), char_byte(' '), char_byte('日')), (None, None, None));
    }
}
