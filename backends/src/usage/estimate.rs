//! How many tokens a text has, about, without a tokenizer.

/// The tokens of a text: a quarter of one for each byte of ASCII, one for each character elsewhere. An assumption that
/// fits English prose and errs on the high side for most other scripts.
pub fn text_tokens(text: &str) -> u64 {
    // Told for eight bytes at a time, and most long texts are.
    if text.is_ascii() {
        return (text.len() as u64).div_ceil(4);
    }
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    // Bytes that begin a character outside ASCII.
    let wide = text.bytes().filter(|byte| byte & 0xC0 == 0xC0).count() as u64;
    ascii.div_ceil(4) + wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_outside_ascii_is_one_and_four_bytes_of_ascii_are_one() {
        for (text, tokens) in [("", 0), ("a", 1), ("four", 1), ("fives", 2), ("안녕", 2), ("안녕 abc", 3), ("🦀", 1)]
        {
            assert_eq!(text_tokens(text), tokens, "{text}");
        }
    }
}
