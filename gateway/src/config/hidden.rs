//! Hides secrets in the text of a file before a problem quotes it.
//!
//! A key does not belong into a file, but people put it there, and any problem of that line would carry it into logs and
//! answers. This works on text and not on the tree, since what is not YAML is quoted too. It hides values whose name
//! ends like that of a secret, and the user and password of addresses; every byte keeps its place.

/// How the names of secrets end.
const NAMES: [&str; 4] = ["key", "token", "secret", "password"];

/// The text with `*` for every byte of a secret.
pub(super) fn hidden(text: &str) -> String {
    let mut bytes = without_users(text).into_bytes();
    let mut start = 0;
    // The column of a name whose value is on the lines below.
    let mut below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end();
        let column = body.len() - body.trim_start().len();
        below = below.filter(|name| body.is_empty() || column > *name);
        if below.is_some() {
            bytes[start + column.min(body.len())..start + body.len()].fill(b'*');
        } else {
            let mut done = 0;
            for (colon, _) in body.match_indices(':') {
                if colon < done {
                    continue;
                }
                let Some(name) = secret_name(&body[..colon]) else { continue };
                let Some(value) = value(body, colon + 1) else { continue };
                if value.is_empty() || body[value.clone()].starts_with(['|', '>', '&', '!']) {
                    below = Some(name);
                }
                done = value.end;
                bytes[start + value.start..start + value.end].fill(b'*');
            }
        }
        start += line.len();
    }
    // Whole characters were replaced, each byte by a `*`.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The text with `*` for the user and password of every address.
pub(super) fn without_users(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, scheme) in text.match_indices("://") {
        let from = at + scheme.len();
        let rest = &text[from..];
        let end = rest.find(|c: char| c.is_whitespace() || "/\"'`,}".contains(c)).unwrap_or(rest.len());
        if let Some(user) = rest[..end].rfind('@') {
            bytes[from..from + user].fill(b'*');
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The column of the name that `before` ends with, if it is that of a secret.
fn secret_name(before: &str) -> Option<usize> {
    let before = before.trim_end().trim_end_matches(['"', '\'']);
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
    let name = before[start..].to_lowercase();
    NAMES.iter().any(|secret| name.ends_with(secret)).then_some(start)
}

/// Where the value stands that begins at `from`; none where it only names a variable of the environment.
fn value(line: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let start = from + line[from..].len() - line[from..].trim_start().len();
    let rest = &line[start..];
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let length = match quote {
        Some(quote) => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
        // Within braces a comma or a brace ends it; a variable has a brace of its own.
        None if line[..from].contains('{') => {
            let skip = if rest.starts_with("${") { rest.find('}').map_or(0, |end| end + 1) } else { 0 };
            rest[skip..].find([',', '}']).map_or(rest.len(), |end| skip + end)
        }
        None => rest.len(),
    };
    let plain = rest[..length].trim().trim_matches(['"', '\'']);
    let variable = plain.strip_prefix("${").and_then(|name| name.strip_suffix('}'));
    let names_one = variable.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    (!names_one).then_some(start..start + length)
}
