//! Text over lines that fit a terminal.

use super::columns::shown;

/// The most characters of a line.
const WIDTH: usize = 118;

/// A text over lines of at most 118 characters, the first with `prefix` and the others in line with it. What others wrote
/// is shown without control characters, and no name is broken at its hyphens.
pub(super) fn wrapped(prefix: &str, text: &str) -> String {
    let words = text.split_whitespace().map(shown).collect::<Vec<_>>().join(" ");
    let indent = " ".repeat(prefix.chars().count().min(WIDTH / 2));
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(prefix)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(&words, options).iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_wrapped_in_line_and_cannot_move_the_cursor() {
        assert_eq!(wrapped("  ", "a\nb \u{1b}[2Jc"), "  a b \u{fffd}[2Jc\n");
        let long = wrapped("> ", &"some-long-word ".repeat(20));
        assert!(long.lines().all(|line| line.chars().count() <= WIDTH) && long.lines().count() == 3, "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("  some-long-word")), "{long}");
    }
}
