//! The types of an expression: from the parser's tree to one whose evaluation meets no wrong type, or to every problem.
//!
//! Closed: what is not in the tables of `call` and of `fact` is refused. On the way it notes which facts are read, what
//! they are compared with, and which are read with no `has` before them. Values and types are here, names in `names`,
//! operators and functions in `call`, comparisons in `compare`.

use std::ops::Range;

use cel::{
    IdedExpr,
    common::ast::{Expr, ListExpr, LiteralValue},
};

use super::{
    Fact, ListFact, Problem, Quoted, Uses,
    expr::{Number, Test, Text},
    fact::Tags,
    span::Source,
};

/// The most operators in a row, such as `a + b + c`: each is one call of this checker and of the evaluation.
const MAX_DEPTH: usize = 64;

/// An expression that is sound.
pub(super) struct Checked {
    pub(super) test: Test,
    pub(super) uses: Uses,
    pub(super) warnings: Vec<Problem>,
}

/// Checks an expression; every problem of it where it is not sound.
pub(super) fn check(source: &Source<'_>) -> Result<Checked, Vec<Problem>> {
    let (problems, warnings, uses) = Default::default();
    let mut checker = Checker { source, problems, warnings, uses, item: None, known: Vec::new(), depth: 0 };
    let whole = &source.expression;
    let test = match checker.part(whole) {
        Some(Part::Test(test)) => Some(test),
        Some(other) => {
            let message = format!("a condition is true or false, and this is {}", other.kind());
            checker.problem(source.span(whole), message, other.kind());
            None
        }
        None => None,
    };
    let Checker { mut problems, warnings, uses, .. } = checker;
    match test {
        Some(test) if problems.is_empty() => Ok(Checked { test, uses, warnings }),
        _ => {
            problems.sort_by_key(|problem| problem.at.start);
            Err(problems)
        }
    }
}

/// A part of an expression that is sound by itself.
pub(super) enum Part {
    Test(Test),
    Number(Number),
    Text(Text),
    List(ListFact),
    Texts(Vec<Quoted>),
    Numbers(Vec<i64>),
    Tags(Tags),
    /// `request` or `request.use`.
    Record(&'static str),
}

impl Part {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Test(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) | Self::Texts(_) => "a list of strings",
            Self::Numbers(_) => "a list of numbers",
            Self::Tags(_) => "a map",
            Self::Record(_) => "a record",
        }
    }
}

pub(super) struct Checker<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) uses: Uses,
    /// The name that `exists` or `all` has for an item here, and the list.
    pub(super) item: Option<(&'a str, ListFact)>,
    /// The facts that a request has if it comes here.
    pub(super) known: Vec<Fact>,
    depth: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn problem(&mut self, at: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.problems.push(Problem::new(at, message, label));
    }

    pub(super) fn problem_with_hint(
        &mut self,
        at: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem::new(at, message, label).hint(hint));
    }

    /// A part, whatever its type; `None` where a problem was noted.
    pub(super) fn part(&mut self, part: &'a IdedExpr) -> Option<Part> {
        if self.depth == MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} operators in a row");
            self.problem(self.source.span(part), message, "too many");
            return None;
        }
        self.depth += 1;
        let found = match &part.expr {
            Expr::Literal(literal) => self.literal(part, literal),
            Expr::Ident(name) => self.name(part, name),
            Expr::Select(select) if select.test => self.has(part, select),
            Expr::Select(select) => self.field(part, select),
            Expr::Call(call) => self.call(part, call),
            Expr::List(list) => self.list(part, list),
            Expr::Comprehension(comprehension) => self.quantifier(part, comprehension),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => self.refuse(part, "a map or a message"),
        };
        self.depth -= 1;
        found
    }

    /// A part that must be of one type: `take` gives it, or it back where it is of another.
    pub(super) fn of<T>(
        &mut self,
        sign: &str,
        wanted: &str,
        part: &'a IdedExpr,
        take: fn(Part) -> Result<T, Part>,
    ) -> Option<T> {
        match take(self.part(part)?) {
            Ok(found) => Some(found),
            Err(other) => {
                let (at, kind) = (self.source.span(part), other.kind());
                self.problem(at.clone(), format!("`{sign}` takes {wanted}, and {} is {kind}", self.quote(at)), kind);
                None
            }
        }
    }

    pub(super) fn test(&mut self, sign: &str, part: &'a IdedExpr) -> Option<Test> {
        let take = |part| if let Part::Test(test) = part { Ok(test) } else { Err(part) };
        self.of(sign, "what is true or false", part, take)
    }

    pub(super) fn number(&mut self, sign: &str, part: &'a IdedExpr) -> Option<Number> {
        let take = |part| if let Part::Number(number) = part { Ok(number) } else { Err(part) };
        self.of(sign, "numbers", part, take)
    }

    pub(super) fn text(&mut self, sign: &str, part: &'a IdedExpr) -> Option<Text> {
        let take = |part| if let Part::Text(text) = part { Ok(text) } else { Err(part) };
        self.of(sign, "strings", part, take)
    }

    /// What is only evaluated where `before` is `outcome`.
    pub(super) fn after<T>(&mut self, before: Option<&Test>, outcome: bool, check: impl FnOnce(&mut Self) -> T) -> T {
        let known = self.known.len();
        if let Some(before) = before {
            asked(before, outcome, &mut self.known);
        }
        let found = check(self);
        self.known.truncate(known);
        found
    }

    fn literal(&mut self, part: &'a IdedExpr, literal: &LiteralValue) -> Option<Part> {
        match literal {
            LiteralValue::Boolean(value) => Some(Part::Test(Test::Literal(*value.inner()))),
            LiteralValue::Int(number) => Some(Part::Number(Number::Literal(*number.inner()))),
            LiteralValue::String(text) => Some(Part::Text(Text::Literal(text.inner().to_owned()))),
            LiteralValue::UInt(_) | LiteralValue::Double(_) => {
                let (at, hint) = (self.source.span(part), "write it without a fraction, an exponent or a `u`");
                let message = format!("{} is not a whole number with a sign", self.quote(at.clone()));
                self.problem_with_hint(at, message, "another kind of number", hint);
                None
            }
            LiteralValue::Null => {
                let (at, hint) = (self.source.span(part), "`!has(request.team)` holds where there is none");
                self.problem_with_hint(at, "nothing is `null` in a condition", "no value", hint);
                None
            }
            LiteralValue::Bytes(_) => self.refuse(part, "bytes"),
        }
    }

    fn refuse(&mut self, part: &'a IdedExpr, what: &str) -> Option<Part> {
        let hint = "values are strings, whole numbers, `true`, `false`, and lists of strings or numbers";
        let message = format!("{what} cannot stand in a condition");
        self.problem_with_hint(self.source.span(part), message, "not a value here", hint);
        None
    }

    fn list(&mut self, part: &'a IdedExpr, list: &'a ListExpr) -> Option<Part> {
        let (mut texts, mut numbers): (Vec<Quoted>, Vec<i64>) = Default::default();
        for element in &list.elements {
            match &element.expr {
                Expr::Literal(LiteralValue::String(text)) => {
                    texts.push(Quoted { value: text.inner().to_owned(), at: self.source.span(element) });
                }
                Expr::Literal(LiteralValue::Int(number)) => numbers.push(*number.inner()),
                _ => {
                    let at = self.source.span(element);
                    let message =
                        format!("{} stands in a list, which holds strings or whole numbers", self.quote(at.clone()));
                    self.problem_with_hint(at, message, "not written out", "`==` and `||` compare with anything else");
                    return None;
                }
            }
        }
        match (texts.is_empty(), numbers.is_empty()) {
            (false, true) => Some(Part::Texts(texts)),
            (true, false) => Some(Part::Numbers(numbers)),
            (true, true) => {
                self.problem(self.source.span(part), "nothing is in an empty list", "empty");
                None
            }
            (false, false) => {
                self.problem(self.source.span(part), "a list holds strings or numbers, not both", "of two types");
                None
            }
        }
    }

    /// A part for a message: as it is written, where that is short and whole.
    pub(super) fn quote(&self, at: Range<usize>) -> String {
        let text = &self.source.text[at];
        let whole = text.matches('(').count() == text.matches(')').count();
        if whole && text.len() <= 40 && !text.contains(char::is_control) {
            format!("`{text}`")
        } else {
            "this".to_owned()
        }
    }
}

/// The facts that are there if `test` is `outcome`.
fn asked(test: &Test, outcome: bool, into: &mut Vec<Fact>) {
    match (test, outcome) {
        (Test::Has(fact), true) => into.push(fact.clone()),
        (Test::Not(inner), _) => asked(inner, !outcome, into),
        (Test::And(sides), true) | (Test::Or(sides), false) => sides.iter().for_each(|side| asked(side, outcome, into)),
        _ => {}
    }
}
