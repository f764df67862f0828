//! Licence expressions: licences joined by AND, OR and WITH, as SPDX writes them.
//!
//! A licence is named by the id of its row, by the SPDX identifier that the row states, or by its `LicenseRef-`; one
//! without a row is an error, so that nothing is ever decided on a name alone. AND binds tighter than OR.
//!
//! OR is an offer of the licensor, and an offer binds nobody before it is taken: [`Expression::choose`] records which
//! branch was. Without that, an OR is satisfied by nothing.
//!
//! Own parser rather than that of the `spdx` crate: row ids are no SPDX identifiers, and texts come from outside, so
//! that size and depth need bounds. Knows no model, no use and no decision.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::nearest::{cut, nearest};
use crate::{Catalog, License};

/// A licence expression whose licences all have a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    root: Node,
}

/// A part of an expression. No `All` is directly in an `All`, and no `Any` in an `Any`; each has two parts or more.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    One(Leaf),
    All(Vec<Node>),
    Any { branches: Vec<Node>, chosen: Option<usize> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    /// The id of the licence's row.
    license: String,
    /// As it is printed.
    text: String,
}

/// Why a text is no licence expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// A stable kebab-case name of the kind of problem.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where in the text, in bytes.
    pub span: Range<usize>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Why a choice between branches cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// A licence was chosen that the expression does not name.
    #[error("the licence `{license}` is not in `{expression}`")]
    NotOffered {
        /// The licence.
        license: String,
        /// The expression.
        expression: String,
    },
    /// Two branches fit the choice, and neither asks for all that the other asks for.
    #[error("`{one}` and `{other}` are both chosen, and one of them is enough")]
    Ambiguous {
        /// A branch.
        one: String,
        /// Another branch.
        other: String,
    },
}

/// Longer texts are refused before they are read.
const MAX_BYTES: usize = 2_000;
/// The most licences of one expression.
const MAX_LICENSES: usize = 32;
/// The most parentheses inside each other.
const MAX_DEPTH: usize = 16;

impl Expression {
    /// Reads an expression. The text is not trusted: it is bounded in length, licences and depth.
    ///
    /// # Errors
    /// The first problem of the text, with its place.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Expression, ExpressionError> {
        if text.len() > MAX_BYTES {
            return Err(ExpressionError {
                code: "license-expression-too-large",
                message: format!("a licence expression of {} bytes; at most {MAX_BYTES} are read", text.len()),
                span: 0..text.len(),
                hint: None,
            });
        }
        let mut parser = Parser { text, catalog, tokens: tokens(text), at: 0, licenses: 0 };
        let root = parser.any(0)?;
        match parser.next() {
            None => Ok(Expression { root }),
            Some(Token::Close(span)) => Err(syntax("a parenthesis is closed that was never opened", span)),
            Some(token) => Err(parser.unexpected("`AND`, `OR` or `WITH`", Some(token))),
        }
    }

    /// The ids of the licences that it names, in its order, each once.
    pub fn licenses(&self) -> Vec<&str> {
        let mut licenses = Vec::new();
        self.root.each_leaf(&mut |leaf| {
            if !licenses.contains(&leaf.license.as_str()) {
                licenses.push(leaf.license.as_str());
            }
        });
        licenses
    }

    /// Records which branch of each OR was taken: the one all of whose licences are in `chosen`, by their ids. Where
    /// several fit, it is the one that asks for everything that the others ask for. An earlier choice is forgotten.
    ///
    /// # Errors
    /// A licence that the expression does not name, or branches that fit equally well.
    pub fn choose(mut self, chosen: &[&str]) -> Result<Expression, ChoiceError> {
        let offered = self.licenses();
        if let Some(license) = chosen.iter().find(|license| !offered.contains(license)) {
            return Err(ChoiceError::NotOffered { license: cut(license), expression: self.to_string() });
        }
        self.root.choose(&chosen.iter().copied().collect())?;
        Ok(self)
    }

    /// The first OR that binds and of which no branch is chosen, as it is printed.
    pub fn undecided(&self) -> Option<String> {
        self.root.undecided().map(ToString::to_string)
    }

    /// Whether it is satisfied: of an AND every part, of an OR the chosen branch. `leaf` is asked for every licence
    /// that binds, by its id, whatever came of the others.
    ///
    /// # Errors
    /// The first error of `leaf`. An expression with one is never satisfied.
    pub fn evaluate<E>(&self, mut leaf: impl FnMut(&str) -> Result<bool, E>) -> Result<bool, E> {
        self.root.evaluate(&mut leaf)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl Node {
    fn each_leaf<'a>(&'a self, visit: &mut impl FnMut(&'a Leaf)) {
        match self {
            Node::One(leaf) => visit(leaf),
            Node::All(parts) | Node::Any { branches: parts, .. } => {
                parts.iter().for_each(|part| part.each_leaf(visit));
            }
        }
    }

    /// The licences that `of` asks for, if all of them are chosen.
    fn choose(&mut self, of: &BTreeSet<&str>) -> Result<Option<BTreeSet<String>>, ChoiceError> {
        match self {
            Node::One(leaf) => Ok(of.contains(leaf.license.as_str()).then(|| BTreeSet::from([leaf.license.clone()]))),
            Node::All(parts) => {
                let asked: Vec<_> = parts.iter_mut().map(|part| part.choose(of)).collect::<Result<_, _>>()?;
                Ok(asked.into_iter().collect::<Option<Vec<_>>>().map(|sets| sets.into_iter().flatten().collect()))
            }
            Node::Any { branches, chosen } => {
                let mut fits = Vec::new();
                for (at, branch) in branches.iter_mut().enumerate() {
                    fits.extend(branch.choose(of)?.map(|asked| (at, asked)));
                }
                // Of equals the first.
                let most = fits.iter().rev().max_by_key(|(_, asked)| asked.len()).cloned();
                *chosen = most.as_ref().map(|(at, _)| *at);
                let Some((at, most)) = most else { return Ok(None) };
                match fits.iter().find(|(_, asked)| !asked.is_subset(&most)) {
                    Some((other, _)) => Err(ChoiceError::Ambiguous {
                        one: branches[at].to_string(),
                        other: branches[*other].to_string(),
                    }),
                    None => Ok(Some(most)),
                }
            }
        }
    }

    fn undecided(&self) -> Option<&Node> {
        match self {
            Node::One(_) => None,
            Node::All(parts) => parts.iter().find_map(Node::undecided),
            Node::Any { branches, chosen } => match chosen.and_then(|at| branches.get(at)) {
                Some(branch) => branch.undecided(),
                None => Some(self),
            },
        }
    }

    fn evaluate<E>(&self, leaf: &mut impl FnMut(&str) -> Result<bool, E>) -> Result<bool, E> {
        match self {
            Node::One(one) => leaf(&one.license),
            // No part is skipped, so that neither the outcome nor what was asked depends on their order.
            Node::All(parts) => parts.iter().try_fold(true, |so_far, part| Ok(part.evaluate(leaf)? && so_far)),
            Node::Any { branches, chosen } => match chosen.and_then(|at| branches.get(at)) {
                Some(branch) => branch.evaluate(leaf),
                None => Ok(false),
            },
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, operator) = match self {
            Node::One(leaf) => return f.write_str(&leaf.text),
            Node::All(parts) => (parts, " AND "),
            Node::Any { branches, .. } => (branches, " OR "),
        };
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                f.write_str(operator)?;
            }
            match part {
                Node::Any { .. } => write!(f, "({part})")?,
                _ => write!(f, "{part}")?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Token<'a> {
    Open(Range<usize>),
    Close(Range<usize>),
    And(Range<usize>),
    Or(Range<usize>),
    With(Range<usize>),
    Word(&'a str, Range<usize>),
}

impl Token<'_> {
    fn span(&self) -> Range<usize> {
        match self {
            Token::Open(span) | Token::Close(span) | Token::And(span) | Token::Or(span) | Token::With(span) => {
                span.clone()
            }
            Token::Word(_, span) => span.clone(),
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let ends = |c: char| c.is_whitespace() || "()".contains(c);
        let length = if ends(first) { first.len_utf8() } else { rest.find(ends).unwrap_or(rest.len()) };
        let (word, span) = (&rest[..length], at..at + length);
        tokens.push(match word {
            "(" => Token::Open(span),
            ")" => Token::Close(span),
            "AND" | "and" => Token::And(span),
            "OR" | "or" => Token::Or(span),
            "WITH" | "with" => Token::With(span),
            word => Token::Word(word, span),
        });
        rest = rest[length..].trim_start();
    }
    tokens
}

fn syntax(message: &str, span: Range<usize>) -> ExpressionError {
    ExpressionError { code: "license-expression-syntax", message: message.to_owned(), span, hint: None }
}

struct Parser<'a> {
    text: &'a str,
    catalog: &'a Catalog,
    tokens: Vec<Token<'a>>,
    at: usize,
    licenses: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn unexpected(&self, expected: &str, found: Option<Token<'a>>) -> ExpressionError {
        let end = self.text.trim_end().len();
        match found {
            None => syntax(&format!("expected {expected}, found the end"), end..end),
            Some(token) => {
                let span = token.span();
                syntax(&format!("expected {expected}, found `{}`", cut(&self.text[span.clone()])), span)
            }
        }
    }

    /// Parts joined by OR.
    fn any(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut branches = Vec::new();
        loop {
            match self.all(depth)? {
                Node::Any { branches: inner, .. } => branches.extend(inner),
                branch => branches.push(branch),
            }
            match self.peek() {
                Some(Token::Or(_)) => self.at += 1,
                _ => break,
            }
        }
        Ok(joined(branches, |branches| Node::Any { branches, chosen: None }))
    }

    /// Parts joined by AND.
    fn all(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut parts = Vec::new();
        loop {
            match self.one(depth)? {
                Node::All(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            match self.peek() {
                Some(Token::And(_)) => self.at += 1,
                _ => break,
            }
        }
        Ok(joined(parts, Node::All))
    }

    /// A licence, or an expression in parentheses.
    fn one(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        match self.next() {
            Some(Token::Open(span)) if depth >= MAX_DEPTH => Err(ExpressionError {
                code: "license-expression-too-large",
                message: format!("more than {MAX_DEPTH} parentheses inside each other"),
                span,
                hint: Some("AND binds tighter than OR: most parentheses can go".to_owned()),
            }),
            Some(Token::Open(open)) => {
                let inner = self.any(depth + 1)?;
                match self.next() {
                    Some(Token::Close(_)) => Ok(inner),
                    None => Err(syntax("a parenthesis is never closed", open)),
                    found => Err(self.unexpected("`AND`, `OR`, `WITH` or `)`", found)),
                }
            }
            Some(Token::Word(word, span)) => {
                self.licenses += 1;
                if self.licenses > MAX_LICENSES {
                    return Err(ExpressionError {
                        code: "license-expression-too-large",
                        message: format!("more than {MAX_LICENSES} licences in one expression"),
                        span,
                        hint: None,
                    });
                }
                self.licence(word, span).map(Node::One)
            }
            None if self.tokens.is_empty() => Err(syntax("no licence is named", 0..self.text.len())),
            found => Err(self.unexpected("a licence or `(`", found)),
        }
    }

    fn licence(&mut self, word: &'a str, span: Range<usize>) -> Result<Leaf, ExpressionError> {
        let Some(Token::With(_)) = self.peek() else {
            let row = self.known(word, span)?;
            return Ok(Leaf { license: row.id.clone(), text: word.to_owned() });
        };
        self.at += 1;
        let (exception, at) = match self.next() {
            Some(Token::Word(exception, at)) => (exception, at),
            found => return Err(self.unexpected("an exception", found)),
        };
        let text = format!("{word} WITH {exception}");
        // A row for both together says best what they ask for.
        if let Some(row) = stating(self.catalog, &text) {
            return Ok(Leaf { license: row.id.clone(), text });
        }
        let row = self.known(word, span)?;
        // Exceptions of the list only add permissions, so that the licence alone never allows more. What an addition
        // that is on no list does, nobody knows.
        if spdx::exception_id(exception).is_none() {
            let known = spdx::identifiers::EXCEPTIONS.iter().map(|exception| exception.name);
            return Err(ExpressionError {
                code: "unknown-exception",
                message: format!("there is no exception `{}` on the SPDX list", cut(exception)),
                span: at,
                hint: nearest(exception, known).map(|near| format!("did you mean `{near}`?")),
            });
        }
        Ok(Leaf { license: row.id.clone(), text })
    }

    /// The row of the licence that goes by `word`.
    fn known(&self, word: &str, span: Range<usize>) -> Result<&'a License, ExpressionError> {
        let catalog = self.catalog;
        if let Some(row) = catalog.license(word).or_else(|| stating(catalog, word)) {
            return Ok(row);
        }
        // "This version or a later one": the licensor offers both, and this version may always be taken.
        let this_version = word.strip_suffix('+').unwrap_or(word);
        let listed = spdx::license_id(this_version).filter(|id| id.name == this_version);
        if let Some(row) = listed.and_then(|id| stating(catalog, id.name)) {
            return Ok(row);
        }
        if let Some(id) = listed {
            return Err(ExpressionError {
                code: "license-without-row",
                message: format!(
                    "the catalog has no row for `{}`, so that nothing is known of what it allows",
                    id.name
                ),
                span,
                hint: Some(format!("add a licence with `spdx: {}` to the company's catalog", id.name)),
            });
        }
        let names = catalog.licenses().flat_map(|row| std::iter::once(row.id.as_str()).chain(row.spdx.as_deref()));
        let hint = match ["AND", "OR", "WITH"].iter().find(|operator| operator.eq_ignore_ascii_case(word)) {
            Some(operator) => Some(format!("write `{operator}`")),
            None => nearest(word, names).map(|near| format!("did you mean `{near}`?")),
        };
        let message = format!("there is no licence `{}` in the catalog", cut(word));
        Err(ExpressionError { code: "unknown-license", message, span, hint })
    }
}

/// The row that states `name` as its SPDX identifier; the first, so that a company's row takes no identifier over.
/// Case does not matter, as in SPDX.
fn stating<'c>(catalog: &'c Catalog, name: &str) -> Option<&'c License> {
    catalog.licenses().find(|row| row.spdx.as_deref().is_some_and(|spdx| spdx.eq_ignore_ascii_case(name)))
}

/// One part is itself; several are joined.
fn joined(mut parts: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

#[cfg(test)]
mod tests;
