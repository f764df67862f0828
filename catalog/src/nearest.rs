//! Names that look alike, for "did you mean".

/// Longer names are cut before they are compared: comparing takes time that grows with the product of both lengths.
const MAX_NAME: usize = 96;

/// Below this likeness a suggestion would only confuse.
pub(crate) const LIKE_ENOUGH: f64 = 0.5;

/// How alike two names are, 0 to 1. Case does not matter. Names that cannot be [`LIKE_ENOUGH`] score 0.
pub(crate) fn likeness(a: &str, b: &str) -> f64 {
    let fold = |name: &str| name.chars().take(MAX_NAME).collect::<String>().to_lowercase();
    let (a, b) = (fold(a), fold(b));
    let (a_len, b_len) = (a.chars().count(), b.chars().count());
    let longer = a_len.max(b_len);
    // Each missing character is an edit, so lengths alone can rule a pair out; most pairs end here.
    if longer == 0 || a_len.abs_diff(b_len) as f64 > (1.0 - LIKE_ENOUGH) * longer as f64 {
        return 0.0;
    }
    1.0 - strsim::osa_distance(&a, &b) as f64 / longer as f64
}

/// The candidate most like `name`, if one is like enough. Among equals the first in the alphabet.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(score, _)| *score >= LIKE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// The first characters of a text that came from outside, for a message: what would break its line or move a cursor
/// is escaped.
pub(crate) fn cut(text: &str) -> String {
    const MOST: usize = 120;
    let mut shown = String::with_capacity(text.len().min(MOST));
    for c in text.chars().take(MOST) {
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_stays_on_its_line_and_is_cut() {
        assert_eq!(
            cut("m\nit \u{1b}[2K\u{2028}\u{202e} it's \"é\" a\\b"),
            r#"m\nit \u{1b}[2K\u{2028}\u{202e} it's "é" a\b"#
        );
        assert_eq!(cut(&"ü".repeat(120)), "ü".repeat(120));
        assert_eq!(cut(&"ü".repeat(121)), format!("{}...", "ü".repeat(120)));
    }
}
