//! Leaves source code out of a text: what stands in a program says nothing of the language of who asks.
//!
//! A token is code if a character stands in it that prose has not (`f(x)`, `a[i]`, `=`, `->`, `snake_case`); a line is
//! code if a quarter of its tokens are. Of such a line only runs of words are kept that read like a sentence, and of one
//! that ends as statements do not even these; words of other scripts than Latin always are. Errs to the side of prose: a
//! line without any such character is prose, unless it is short and half of the lines or more are code.

use super::letters;

/// Words in a row that make a sentence out of a line with code in it.
const SENTENCE: usize = 3;

/// How much of a line is looked at, in bytes: where nothing breaks the lines, a page is one of them.
const LINE_BYTES: usize = 1_500;

/// The first `chars` characters of the prose in `parts`, each part and line with a space behind it.
pub(super) fn left_out<'a>(parts: impl Iterator<Item = &'a str>, chars: usize) -> String {
    let mut prose = String::new();
    let (mut left, mut code, mut lines) = (chars, 0, 0);
    // Lines without code between lines of code, which are prose only if there are few of the latter.
    let mut doubtful = Vec::new();
    for line in parts.flat_map(|part| part.split('\n')) {
        if left == 0 {
            break;
        }
        let line = &line[..line.floor_char_boundary(LINE_BYTES)];
        let found = Line::of(line);
        lines += usize::from(found.tokens > 0);
        let statement = found.is_statement(line);
        match statement || found.is_code() {
            true => {
                code += 1;
                let kept = found.prose.iter().filter(|run| !statement || run.contains(is_of_another_script));
                kept.for_each(|run| push(&mut prose, run, &mut left));
            }
            false if found.tokens <= SENTENCE && !line.contains(is_of_another_script) => doubtful.push(line),
            false => push(&mut prose, line, &mut left),
        }
    }
    if code * 2 < lines {
        for line in doubtful {
            push(&mut prose, line, &mut left);
        }
    }
    prose
}

fn push(prose: &mut String, text: &str, left: &mut usize) {
    let end = text.char_indices().nth(*left).map_or(text.len(), |(end, _)| end);
    *left -= text[..end].chars().count();
    prose.push_str(&text[..end]);
    prose.push(' ');
}

struct Line<'a> {
    tokens: usize,
    code: usize,
    /// What would be kept if it were code.
    prose: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let mut found = Line { tokens: 0, code: 0, prose: Vec::new() };
        // The run of words that goes on: where it began, and how many there are.
        let mut run: Option<(usize, usize)> = None;
        let mut end = 0;
        for token in line.split_whitespace() {
            let start = token.as_ptr().addr() - line.as_ptr().addr();
            found.tokens += 1;
            if token.contains(is_of_another_script) {
                found.prose.push(token);
            } else if is_code(token) {
                found.code += 1;
                found.keep(line, run.take(), end);
            } else if is_in_capitals(token) {
                found.keep(line, run.take(), end);
            } else {
                run = Some(run.map_or((start, 1), |(from, words)| (from, words + usize::from(is_word(token)))));
            }
            end = start + token.len();
        }
        found.keep(line, run, end);
        found
    }

    fn keep(&mut self, line: &'a str, run: Option<(usize, usize)>, end: usize) {
        if let Some((from, words)) = run
            && words >= SENTENCE
        {
            self.prose.push(&line[from..end]);
        }
    }

    fn is_code(&self) -> bool {
        self.code * 4 >= self.tokens.max(1)
    }

    /// Ends as statements and blocks do. A long line of words may do so too.
    fn is_statement(&self, line: &str) -> bool {
        const LONG: usize = 6;
        (self.code > 0 || self.tokens <= LONG) && line.trim_end().ends_with([';', '{', '}'])
    }
}

fn is_of_another_script(c: char) -> bool {
    letters::script(c).is_some()
}

/// Whether prose would not have the token: an address, an option, a call, or one with signs inside. What prose puts
/// around a word is no sign: `(see`, `that)`.
fn is_code(token: &str) -> bool {
    let option = token.strip_prefix('-').is_some_and(|name| name.starts_with(|c: char| c == '-' || c.is_alphabetic()));
    let call = token.find('(').is_some_and(|at| token[..at].ends_with(char::is_alphanumeric));
    if option || call || token.contains("://") {
        return true;
    }
    let inner = token.trim_matches(|c: char| "()\"'“”‘’.,:;!?*".contains(c));
    match inner {
        "" => token.len() > 1 && token.contains(['(', '{']),
        _ => inner.contains(['{', '}', '[', ']', '(', ')', '<', '>', '=', ';', '_', '|', '\\', '#', '@']),
    }
}

/// A word of two letters or more: single letters are the names of variables.
fn is_word(token: &str) -> bool {
    let letters = token.chars().filter(|c| c.is_alphabetic()).count();
    letters > 1 && token.chars().all(|c| c.is_alphabetic() || "'’.,:;!?\"()".contains(c))
}

/// Such as the keywords of SQL, between which names stand in a row.
fn is_in_capitals(token: &str) -> bool {
    token.len() > 1 && token.chars().all(|c| c.is_uppercase() || c.is_ascii_punctuation())
}
