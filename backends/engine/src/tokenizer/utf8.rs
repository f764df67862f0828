//! Turns the bytes of tokens into text, holding back a character until its last byte is there.

/// A decoder for one text.
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    /// The start of a character: at most three bytes.
    held: Vec<u8>,
}

impl Utf8 {
    /// Takes bytes and appends to `out` what is text now. Bytes that can never become a character are
    /// replaced by U+FFFD, as `String::from_utf8_lossy` does.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        self.held.extend_from_slice(bytes);
        let mut from = 0;
        loop {
            let rest = &self.held[from..];
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    self.held.clear();
                    return;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    out.push_str(std::str::from_utf8(good).unwrap_or_default());
                    from += good.len();
                    let Some(len) = error.error_len().map(|len| len.min(bad.len())) else {
                        self.held.drain(..from);
                        return;
                    };
                    out.push(char::REPLACEMENT_CHARACTER);
                    from += len;
                }
            }
        }
    }

    /// Ends the text: what is still held back will never be a character.
    pub fn finish(&mut self, out: &mut String) {
        if !self.held.is_empty() {
            self.held.clear();
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// Whether the start of a character is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut decoder, mut out) = (Utf8::default(), String::new());
        for piece in pieces {
            decoder.push(piece, &mut out);
            assert!(decoder.held.len() <= 3);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn a_character_comes_only_when_it_is_whole() {
        let (mut decoder, mut out) = (Utf8::default(), String::new());
        for (byte, expected) in "a한😀".bytes().zip(["a", "a", "a", "a한", "a한", "a한", "a한", "a한😀"]) {
            decoder.push(&[byte], &mut out);
            assert_eq!(out, expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_decode_as_the_whole_does(
            pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![b'a', 0x80, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0xFF]), 0..6), 0..8),
        ) {
            let whole = String::from_utf8_lossy(&pieces.concat()).into_owned();
            prop_assert_eq!(decode(pieces.iter().map(Vec::as_slice)), whole);
        }
    }
}
