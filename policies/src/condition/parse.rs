//! From text to the syntax tree of the `cel` crate, and from its complaints to ours.
//!
//! The crate's parser is a recursive one: it is asked for a bounded text of bounded nesting only, so that no text needs
//! more stack than a thread has. Its messages are those of a parser generator, so they are put into words here.

use std::ops::Range;

use cel::{ParseError, parser::Parser};

use super::{
    MAX_BYTES, Problem,
    names::{ASKED, ASKS},
    span::Source,
};

/// How deep parentheses, brackets, arguments and the last parts of `? :` may stand in one another.
pub(super) const MAX_NESTING: u16 = 16;

/// Reads an expression.
///
/// The parser goes on after an error and makes more of them, which say little: the first alone is reported.
pub(super) fn parse(text: &str) -> Result<Source<'_>, Vec<Problem>> {
    if text.len() > MAX_BYTES {
        let message = format!("an expression of {} bytes; at most {MAX_BYTES} are read", text.len());
        let hint = "several routes, each with a part of it, say the same";
        return Err(vec![Problem::new(0..text.len(), message, "too long").hint(hint)]);
    }
    let parsed = Parser::new().max_recursion_depth(MAX_NESTING).parse_with_source_info(text);
    let (expression, offsets) = parsed.map_err(|errors| {
        // Of syntax first: what the parser says of a tree that is not whole follows from it.
        let first = errors.errors.iter().min_by_key(|error| (!error.msg.starts_with(SYNTAX), error.pos));
        vec![first.map_or_else(|| unreadable(0..text.len(), ""), |error| explain(text, error))]
    })?;
    Ok(Source { text, expression, offsets })
}

const SYNTAX: &str = "Syntax error: ";

fn explain(text: &str, error: &ParseError) -> Problem {
    let start = byte(text, error.pos);
    let found = |marker: &str| {
        let (_, rest) = error.msg.split_once(marker)?;
        let token = rest.split_once("' expecting ").map_or(rest, |(token, _)| token);
        Some(token.strip_suffix('\'').unwrap_or(token).to_owned())
    };
    let here = |token: &str| {
        let end = start + token_len(&text[start..]).max(token.len());
        start..text.ceil_char_boundary(end.min(text.len()))
    };
    if error.msg.contains("Recursion limit") {
        let message = format!("parts stand in one another more than {MAX_NESTING} deep");
        return Problem::new(0..text.len(), message, "too deep")
            .hint("several routes, each with a part of it, say the same");
    }
    if let Some(token) = found("token recognition error at: '") {
        let first = token.chars().next().unwrap_or_default();
        let at = start..start + text[start..].chars().next().map_or(0, char::len_utf8);
        if matches!(first, '\'' | '"') {
            let message = "a string does not end on its line, or has an escape that CEL does not know";
            return Problem::new(at, message, "begins here").hint("`\\\\` is a backslash");
        }
        let problem = Problem::new(at, format!("`{}` is not a part of CEL", first.escape_debug()), "not known");
        return match first {
            '=' => problem.hint("`==` compares"),
            '&' => problem.hint("`&&` is and"),
            '|' => problem.hint("`||` is or"),
            _ => problem,
        };
    }
    if text[start..].trim().is_empty() {
        let end = text.trim_end().len();
        let missing = found("missing '").filter(|_| error.msg.contains("at '<EOF>'"));
        let label = match missing.as_deref().and_then(|rest| rest.split_once('\'')) {
            Some((token, _)) => format!("`{token}` is missing"),
            None => "more is expected".to_owned(),
        };
        return Problem::new(end..end, "the expression ends too early", label);
    }
    if let Some(token) = found("extraneous input '").or_else(|| found("mismatched input '")) {
        let problem =
            Problem::new(here(&token), format!("`{}` does not belong here", token.escape_debug()), "not expected");
        return match token.to_ascii_lowercase().as_str() {
            "and" | "or" | "not" => problem.hint("and is `&&`, or is `||`, not is `!`"),
            _ => problem,
        };
    }
    match error.msg.as_str() {
        "invalid argument to has() macro" => Problem::new(here(""), ASKS, "not a fact").hint(ASKED),
        "argument must be a simple name" => {
            Problem::new(here(""), "`exists` and `all` begin with a name for the item", "not a name")
                .hint("as in `request.needs.exists(need, need == \"tools\")`")
        }
        "invalid int literal" => Problem::new(here(""), "a number is over what 64 bits hold", "too large"),
        msg => {
            let why = msg.strip_prefix(SYNTAX).unwrap_or(msg);
            // What follows these words is a part of the text that the caret shows.
            unreadable(here(""), if why.starts_with("no viable alternative") { "" } else { why })
        }
    }
}

fn unreadable(at: Range<usize>, why: &str) -> Problem {
    let why: String = why.chars().filter(|c| !c.is_control()).take(100).collect();
    let message = if why.is_empty() { "it is not CEL".to_owned() } else { format!("it is not CEL: {why}") };
    Problem::new(at, message, "cannot be read")
}

/// The bytes of the word, number or character that a text begins with.
fn token_len(text: &str) -> usize {
    let word = text.len() - text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    word.max(text.chars().next().map_or(0, char::len_utf8))
}

/// The byte of a line and a column in characters, both from 1; the end of the text for what is none.
fn byte(text: &str, (line, column): (isize, isize)) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(line - 1), usize::try_from(column - 1)) else { return text.len() };
    let Some(found) = text.split_inclusive('\n').nth(line) else { return text.len() };
    let start = found.as_ptr() as usize - text.as_ptr() as usize;
    start + found.char_indices().nth(column).map_or(found.len(), |(at, _)| at)
}
