//! The one escape of the policy language: a `when:` expression over the facts of a request, in CEL (cel.dev).
//!
//! `Condition::compile` reads an expression, checks its types and says everything that is wrong with it; what it lets
//! through is true, false or an error ([`ConditionError`]) for every request, and on an error the route does not match.
//! The `cel` crate reads the text. Types are checked here, over the closed tables of `check` and [`Fact`], and what was
//! checked is evaluated here: the crate has no checker, and its evaluation takes ten times as long.
//!
//! # What there is
//!
//! - **Facts**: `request.model`, `.team`, `.key`, `.context`, `.language`, `.script`, `.prompt_tokens`, `.max_tokens`,
//!   `.stream`, `.needs`; `request.use.purpose`, `.exposure`, `.activity`, `.seat`, `.entity`, `.domains`, `.end_users`;
//!   and by their names `request.headers["x-customer-tier"]` and `request.metadata.project`. The moment is none: the
//!   windows of `match.time` have a zone.
//! - **Values**: strings, whole numbers (64 bits with a sign; a greater fact counts as the greatest), `true`, `false`, and
//!   lists of strings or of numbers that are written out.
//! - **Operators**: `&& || ! ?:`, `== !=` between values of one type, `< <= > >=` and `+ - * / %` between numbers, `in`.
//! - **Functions**: `size`, `startsWith`, `endsWith`, `contains`, `has`; `exists` and `all` over a list of the request,
//!   none inside another. No regular expressions, nothing that makes strings or lists: the work is bounded by the length
//!   of the expression times that of a fact.
//!
//! # What is absent
//!
//! To read a team, key, context, seat, entity, header, entry of `metadata` or `max_tokens` that a request does not have is
//! an error, as CEL has it for a map: an empty string would be unlike `"support"` and let `!=` hold. `has(request.team)`
//! asks before; [`Condition::warnings`] lists what is read unasked. A language or script that could not be told is
//! `"unknown"`, the word that `match` has for it. `&&` and `||` hold as in CEL where one side decides, although the other
//! is an error.
//!
//! Knows nothing of routes, of the catalog or of which names a configuration declares: [`Condition::uses`] lists those.

mod call;
mod check;
mod compare;
mod expr;
mod fact;
mod names;
mod parse;
mod span;
mod uses;

use std::{fmt, ops::Range};

pub use fact::{Fact, ListFact, NumberFact, TextFact};
pub use uses::{Compared, Quoted, Uses};

use self::{check::Checked, expr::Test};
use crate::Facts;

/// The longest expression that is read, in bytes.
pub const MAX_BYTES: usize = 1_000;

/// An expression that was checked. Two are the same if their texts are.
#[derive(Clone)]
pub struct Condition {
    text: String,
    test: Test,
    uses: Uses,
    warnings: Vec<Problem>,
}

impl Condition {
    /// Reads and checks an expression; where it is not one, everything that is wrong with it, from left to right.
    pub fn compile(text: &str) -> Result<Self, Vec<Problem>> {
        let parsed = parse::parse(text)?;
        let Checked { test, uses, warnings } = check::check(&parsed)?;
        Ok(Self { text: text.to_owned(), test, uses, warnings })
    }

    /// Whether it holds of a request.
    pub fn holds(&self, facts: &Facts) -> Result<bool, ConditionError> {
        self.test.holds(facts)
    }

    /// Which facts it reads, and what it compares them with.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The places that read what a request may not have, with no `has` before them: there such a request is an error.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Something wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The bytes of the expression that it is about.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write under the caret.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    fn new(at: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { at, message: message.into(), label: label.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Why an expression is neither true nor false for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionError {
    /// It reads what the request does not have.
    Absent(Fact),
    /// A number is over what 64 bits hold.
    Overflow,
    /// It divides by zero.
    DivisionByZero,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(fact) => write!(f, "the request has no `{fact}`"),
            Self::Overflow => f.write_str("a number is over what 64 bits hold"),
            Self::DivisionByZero => f.write_str("it divides by zero"),
        }
    }
}

impl std::error::Error for ConditionError {}

#[cfg(test)]
mod tests;
