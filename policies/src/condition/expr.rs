//! An expression after it was checked: one type of node for each type of value, so that evaluation meets no wrong type.
//!
//! Follows CEL: numbers are 64 bits with a sign and checked, the size of a string is in code points, and where one side of
//! `&&` or `||`, or one item of a list, decides, an error of the others does not matter.

use super::{ConditionError, Fact, ListFact, NumberFact, TextFact};
use crate::Facts;

/// A part that is true or false.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Literal(bool),
    Stream,
    Has(Fact),
    Not(Box<Test>),
    And(Box<[Test; 2]>),
    Or(Box<[Test; 2]>),
    If(Box<[Test; 3]>),
    Same(Box<[Test; 2]>),
    Is(Box<[Text; 2]>),
    Among(Text, Vec<String>),
    In(Text, ListFact),
    Affix(Affix, Box<[Text; 2]>),
    Compare(Order, Box<[Number; 2]>),
    AmongNumbers(Number, Vec<i64>),
    /// One item of the list meets it.
    Exists(ListFact, Box<Test>),
    /// All items of the list meet it.
    All(ListFact, Box<Test>),
}

/// A part that is a string.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Literal(String),
    Fact(TextFact),
    /// The item that `exists` or `all` looks at.
    Item,
    If(Box<(Test, Text, Text)>),
}

/// A part that is a number.
#[derive(Clone, Debug)]
pub(super) enum Number {
    Literal(i64),
    Fact(NumberFact),
    SizeOfText(Text),
    SizeOfList(ListFact),
    Negate(Box<Number>),
    Sum(Sum, Box<[Number; 2]>),
    If(Box<(Test, Number, Number)>),
}

/// Where a string is looked for in another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Affix {
    Start,
    End,
    Anywhere,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
}

/// How two numbers become one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Sum {
    pub(super) fn of(self, left: i64, right: i64) -> Result<i64, ConditionError> {
        let sum = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide | Self::Remainder if right == 0 => return Err(ConditionError::DivisionByZero),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
        };
        sum.ok_or(ConditionError::Overflow)
    }
}

impl Test {
    /// Whether it holds of a request.
    pub(super) fn holds(&self, facts: &Facts) -> Result<bool, ConditionError> {
        self.eval(Scope { facts, item: "" })
    }

    fn eval(&self, scope: Scope<'_>) -> Result<bool, ConditionError> {
        let facts = scope.facts;
        Ok(match self {
            Self::Literal(value) => *value,
            Self::Stream => facts.stream,
            Self::Has(fact) => fact.is_there(facts),
            Self::Not(test) => !test.eval(scope)?,
            Self::And(tests) => !decided(false, tests.iter().map(|test| test.eval(scope)))?,
            Self::Or(tests) => decided(true, tests.iter().map(|test| test.eval(scope)))?,
            Self::If(parts) => {
                let [test, yes, no] = &**parts;
                if test.eval(scope)? { yes.eval(scope)? } else { no.eval(scope)? }
            }
            Self::Same(tests) => tests[0].eval(scope)? == tests[1].eval(scope)?,
            Self::Is(texts) => texts[0].eval(scope)? == texts[1].eval(scope)?,
            Self::Among(text, list) => {
                let text = text.eval(scope)?;
                list.iter().any(|known| known == text)
            }
            Self::In(text, list) => {
                let text = text.eval(scope)?;
                list.find(facts, |item| (item == text).then_some(())).is_some()
            }
            Self::Affix(affix, texts) => {
                let (text, part) = (texts[0].eval(scope)?, texts[1].eval(scope)?);
                match affix {
                    Affix::Start => text.starts_with(part),
                    Affix::End => text.ends_with(part),
                    Affix::Anywhere => text.contains(part),
                }
            }
            Self::Compare(order, numbers) => {
                let (left, right) = (numbers[0].eval(scope)?, numbers[1].eval(scope)?);
                match order {
                    Order::Equal => left == right,
                    Order::Less => left < right,
                    Order::LessOrEqual => left <= right,
                }
            }
            Self::AmongNumbers(number, list) => list.contains(&number.eval(scope)?),
            Self::Exists(list, test) => list.decided(true, test, facts)?,
            Self::All(list, test) => !list.decided(false, test, facts)?,
        })
    }
}

/// Whether one of `answers` is `deciding`; an error counts only where none is.
fn decided(
    deciding: bool,
    answers: impl Iterator<Item = Result<bool, ConditionError>>,
) -> Result<bool, ConditionError> {
    let mut error = None;
    for answer in answers {
        match answer {
            Ok(answer) if answer == deciding => return Ok(true),
            Ok(_) => {}
            Err(found) => error = error.or(Some(found)),
        }
    }
    error.map_or(Ok(false), Err)
}

impl ListFact {
    /// Whether `test` is `deciding` of one of the items; an error counts only where it is of none.
    fn decided(self, deciding: bool, test: &Test, facts: &Facts) -> Result<bool, ConditionError> {
        let mut error = None;
        let found = self.find(facts, |item| match test.eval(Scope { facts, item }) {
            Ok(answer) => (answer == deciding).then_some(()),
            Err(found) => {
                error.get_or_insert(found);
                None
            }
        });
        match (found, error) {
            (Some(()), _) => Ok(true),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(false),
        }
    }
}

impl Text {
    fn eval<'s>(&'s self, scope: Scope<'s>) -> Result<&'s str, ConditionError> {
        match self {
            Self::Literal(text) => Ok(text),
            Self::Fact(fact) => fact.read(scope.facts).ok_or_else(|| ConditionError::Absent(Fact::Text(fact.clone()))),
            Self::Item => Ok(scope.item),
            Self::If(parts) => {
                let (test, yes, no) = &**parts;
                if test.eval(scope)? { yes.eval(scope) } else { no.eval(scope) }
            }
        }
    }
}

impl Number {
    fn eval(&self, scope: Scope<'_>) -> Result<i64, ConditionError> {
        match self {
            Self::Literal(number) => Ok(*number),
            Self::Fact(fact) => fact.read(scope.facts).ok_or(ConditionError::Absent(Fact::Number(*fact))),
            Self::SizeOfText(text) => size(text.eval(scope)?.chars().count()),
            Self::SizeOfList(list) => size(list.size(scope.facts)),
            Self::Negate(number) => number.eval(scope)?.checked_neg().ok_or(ConditionError::Overflow),
            Self::Sum(sum, numbers) => sum.of(numbers[0].eval(scope)?, numbers[1].eval(scope)?),
            Self::If(parts) => {
                let (test, yes, no) = &**parts;
                if test.eval(scope)? { yes.eval(scope) } else { no.eval(scope) }
            }
        }
    }
}

fn size(count: usize) -> Result<i64, ConditionError> {
    i64::try_from(count).map_err(|_| ConditionError::Overflow)
}

/// What the parts of an expression read from.
#[derive(Clone, Copy)]
struct Scope<'s> {
    facts: &'s Facts,
    /// Empty outside of `exists` and `all`, where nothing reads it.
    item: &'s str,
}
