//! Whether a page shows a text: what a person reads of it, and not what only stands in its source.
//!
//! Marks are left out, and so are comments, scripts, styles and templates; runs of white space are one space; letters count as
//! they are. What a script would write, and what a style hides, is not known. The text of other kinds of document is what they
//! are.

/// Elements whose content nobody reads.
const HIDDEN: [&str; 4] = ["script", "style", "template", "noscript"];
/// Elements that stand within a line. Others begin a new one.
const INLINE: [&str; 17] = [
    "a", "abbr", "b", "bdi", "cite", "code", "em", "font", "i", "mark", "small", "span", "strong", "sub", "sup", "u",
    "wbr",
];

/// Whether a document of this kind shows the text.
pub(super) fn shows(document: &str, media_type: &str, text: &str) -> bool {
    let is_html = match media_type {
        "text/html" | "application/xhtml+xml" => true,
        "" => document.trim_start().starts_with('<'),
        _ => false,
    };
    let read = if is_html { spaced(&without_marks(document)) } else { spaced(document) };
    read.contains(&spaced(text))
}

/// With one space for each run of white space.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced
}

fn without_marks(mut html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    while let Some(at) = html.find('<') {
        decoded(&html[..at], &mut text);
        let mark = &html[at + 1..];
        if let Some(comment) = mark.strip_prefix("!--") {
            html = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        if !mark.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
            text.push('<');
            html = mark;
            continue;
        }
        let name = name(mark.trim_start_matches('/'));
        if !INLINE.iter().any(|inline| name.eq_ignore_ascii_case(inline)) {
            text.push(' ');
        }
        html = after_mark(mark);
        if !mark.starts_with('/') && HIDDEN.iter().any(|hidden| name.eq_ignore_ascii_case(hidden)) {
            html = from_end_of(name, html);
        }
    }
    decoded(html, &mut text);
    text
}

fn name(mark: &str) -> &str {
    let end = mark.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(mark.len());
    &mark[..end]
}

/// What follows a mark. A `>` within quotation marks does not end it.
fn after_mark(mark: &str) -> &str {
    let mut quote = None;
    for (at, byte) in mark.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return &mark[at + 1..],
            _ => {}
        }
    }
    ""
}

/// From the mark on that ends an element.
fn from_end_of<'a>(name: &str, html: &'a str) -> &'a str {
    let ends = |at: usize| html.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
    html.match_indices("</").find(|(at, _)| ends(*at)).map_or("", |(at, _)| &html[at..])
}

/// Adds text with the references in it replaced that people use in sentences.
fn decoded(mut text: &str, to: &mut String) {
    /// The longest that is looked at, such as `&#x10ffff;`.
    const LONGEST: usize = 10;
    while let Some(at) = text.find('&') {
        to.push_str(&text[..at]);
        let reference = &text[at + 1..];
        let end = reference.bytes().take(LONGEST).position(|byte| byte == b';');
        match end.and_then(|end| Some((character(&reference[..end])?, end))) {
            Some((character, end)) => {
                to.push(character);
                text = &reference[end + 1..];
            }
            None => {
                to.push('&');
                text = reference;
            }
        }
    }
    to.push_str(text);
}

fn character(reference: &str) -> Option<char> {
    Some(match reference {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "ndash" => '–',
        "mdash" => '—',
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_found_as_a_person_reads_it() {
        for page in [
            "Built with Llama",
            "<p>Built\n   with Llama</p>",
            "<p>Built with <b>Llama</b></p>",
            "<P>Built&nbsp;with&#32;<A HREF='/x?a=1>2'>Llama</A></P>",
            "<!-- a comment --><script>x</script>Built with Llama",
            "<script>if (a < b) {}</SCRIPT >Built with Llama",
            "1 < 2 & Built with L&#x6c;ama",
        ] {
            assert!(shows(page, "text/html", "Built with Llama"), "{page}");
            assert!(shows(page, "text/html", " Built  with\nLlama"), "{page}");
        }
        assert!(shows("  Built with\r\nLlama ", "text/plain", "Built with Llama"));
        assert!(shows("<p>Built with <i>Llama</i>", "", "Built with Llama"), "a page that says no kind");
    }

    #[test]
    fn what_stands_only_in_the_source_is_not_shown() {
        for page in [
            "<!-- Built with Llama -->",
            "<!-- Built with Llama",
            "<script>Built with Llama</script>",
            "<style>Built with Llama",
            "<template><p>Built with Llama</p></template>",
            "<img alt='Built with Llama'>",
            "<p>Built with</p><p>out Llama</p>",
            "built with llama",
            "Built with Lla<div>ma</div>",
        ] {
            assert!(!shows(page, "text/html", "Built with Llama"), "{page}");
        }
        assert!(!shows("<b>Built</b> with Llama", "text/plain", "Built with Llama"), "its marks are its text");
    }

    proptest! {
        #[test]
        fn any_page_is_read_to_its_end_without_a_panic(page in "(<|>|/|!--|-->|&|;|#x|script|style|b|\"|'|é|🦙|[a-z ]{0,3}){0,40}") {
            without_marks(&page);
        }
    }
}
