//! What an expression may call: the closed tables of operators, functions and loops, with their types.

use std::ops::Range;

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators},
};

use super::{
    ConditionError,
    check::{Checker, Part},
    expr::{Affix, Number, Order, Sum, Test, Text},
};
use crate::diag;

/// What an expression may call, for hints.
const FUNCTIONS: [&str; 7] = ["size", "startsWith", "endsWith", "contains", "has", "exists", "all"];

/// How a call looks in the text, where it is not a name and parentheses.
const SIGNS: [(&str, &str); 16] = [
    (operators::CONDITIONAL, "? :"),
    (operators::LOGICAL_AND, "&&"),
    (operators::LOGICAL_OR, "||"),
    (operators::LOGICAL_NOT, "!"),
    (operators::SUBSTRACT, "-"),
    (operators::ADD, "+"),
    (operators::MULTIPLY, "*"),
    (operators::DIVIDE, "/"),
    (operators::MODULO, "%"),
    (operators::EQUALS, "=="),
    (operators::NOT_EQUALS, "!="),
    (operators::GREATER_EQUALS, ">="),
    (operators::LESS_EQUALS, "<="),
    (operators::GREATER, ">"),
    (operators::LESS, "<"),
    (operators::NEGATE, "-"),
];

impl<'a> Checker<'a> {
    /// `exists` and `all`, which the parser has made loops of; and its other loops, which are refused.
    pub(super) fn quantifier(&mut self, part: &'a IdedExpr, loop_: &'a ComprehensionExpr) -> Option<Part> {
        let name = self.source.called(part);
        let sign = &self.source.text[name.clone()];
        let (Expr::Literal(LiteralValue::Boolean(all)), Expr::Call(CallExpr { args, .. })) =
            (&loop_.accu_init.expr, &loop_.loop_step.expr)
        else {
            return self.unknown_function(name);
        };
        let (all, [_, condition]) = (*all.inner(), args.as_slice()) else { return self.unknown_function(name) };
        let wanted = "a list of the request";
        let take = |part| if let Part::List(list) = part { Ok(list) } else { Err(part) };
        let list = self.of(sign, wanted, &loop_.iter_range, take);
        if self.item.is_some() {
            let hint = "the work of a condition has a bound; `in` may stand there";
            self.problem_with_hint(name, format!("`{sign}` stands inside another loop"), "one too many", hint);
            return None;
        }
        self.item = list.map(|list| (loop_.iter_var.as_str(), list));
        // Without a list there is no item, whose name would then be reported too.
        let test = self.item.and_then(|_| self.test(sign, condition));
        self.item = None;
        let (list, test) = (list?, Box::new(test?));
        Some(Part::Test(if all { Test::All(list, test) } else { Test::Exists(list, test) }))
    }

    pub(super) fn call(&mut self, part: &'a IdedExpr, call: &'a CallExpr) -> Option<Part> {
        let func = call.func_name.as_str();
        let sign = SIGNS.iter().find(|(known, _)| *known == func).map_or(func, |(_, sign)| sign);
        let test = |test| Some(Part::Test(test));
        match (func, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND, None, [left, right]) => {
                let left = self.test(sign, left);
                let right = self.after(left.as_ref(), true, |checker| checker.test(sign, right));
                test(Test::And(Box::new([left?, right?])))
            }
            (operators::LOGICAL_OR, None, [left, right]) => {
                let left = self.test(sign, left);
                let right = self.after(left.as_ref(), false, |checker| checker.test(sign, right));
                test(Test::Or(Box::new([left?, right?])))
            }
            (operators::LOGICAL_NOT, None, [inner]) => test(Test::Not(Box::new(self.test(sign, inner)?))),
            (operators::CONDITIONAL, None, [condition, yes, no]) => self.choice(part, condition, yes, no),
            (operators::EQUALS, None, [left, right]) => test(self.equal(part, sign, left, right)?),
            (operators::NOT_EQUALS, None, [left, right]) => {
                test(Test::Not(Box::new(self.equal(part, sign, left, right)?)))
            }
            (operators::LESS, None, [left, right]) => test(self.order(sign, Order::Less, left, right, false)?),
            (operators::GREATER, None, [left, right]) => test(self.order(sign, Order::Less, left, right, true)?),
            (operators::LESS_EQUALS, None, [left, right]) => {
                test(self.order(sign, Order::LessOrEqual, left, right, false)?)
            }
            (operators::GREATER_EQUALS, None, [left, right]) => {
                test(self.order(sign, Order::LessOrEqual, left, right, true)?)
            }
            (operators::IN, None, [left, right]) => test(self.among(part, left, right)?),
            (operators::INDEX, None, [map, name]) => self.index(part, map, name),
            (operators::NEGATE, None, [inner]) => {
                // A number with its sign is one literal, so nothing is left to work out.
                Some(Part::Number(Number::Negate(Box::new(self.number(sign, inner)?))))
            }
            (operators::ADD, None, [left, right]) => self.sum(part, sign, Sum::Add, left, right),
            (operators::SUBSTRACT, None, [left, right]) => self.sum(part, sign, Sum::Subtract, left, right),
            (operators::MULTIPLY, None, [left, right]) => self.sum(part, sign, Sum::Multiply, left, right),
            (operators::DIVIDE, None, [left, right]) => self.sum(part, sign, Sum::Divide, left, right),
            (operators::MODULO, None, [left, right]) => self.sum(part, sign, Sum::Remainder, left, right),
            ("size", None, [of]) | ("size", Some(of), []) => self.size(of),
            ("startsWith", Some(text), [of]) => test(self.affix(sign, Affix::Start, text, of)?),
            ("endsWith", Some(text), [of]) => test(self.affix(sign, Affix::End, text, of)?),
            ("contains", Some(text), [of]) => test(self.affix(sign, Affix::Anywhere, text, of)?),
            _ => self.unknown_function(self.source.called(part)),
        }
    }

    fn unknown_function(&mut self, name: Range<usize>) -> Option<Part> {
        let called = &self.source.text[name.clone()];
        let (message, label, hint) = match called {
            "matches" => (
                "there are no regular expressions in a condition".to_owned(),
                "no bound on its work",
                "`startsWith`, `endsWith`, `contains` and `in` look into a string".to_owned(),
            ),
            known if FUNCTIONS.contains(&known) => {
                let example = match known {
                    "size" => "size(request.needs)".to_owned(),
                    "has" => "has(request.team)".to_owned(),
                    "exists" | "all" => format!("request.needs.{known}(need, need == \"tools\")"),
                    _ => format!("request.model.{known}(\"llama\")"),
                };
                (format!("`{known}` is called in another way"), "with other arguments", format!("as in `{example}`"))
            }
            _ => {
                let hint = match diag::nearest(called, FUNCTIONS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are `{}`", FUNCTIONS.join("`, `")),
                };
                let message = format!("there is no function `{}` in a condition", called.escape_debug());
                (message, "no function of this name", hint)
            }
        };
        self.problem_with_hint(name, message, label, hint);
        None
    }

    fn choice(
        &mut self,
        part: &'a IdedExpr,
        condition: &'a IdedExpr,
        yes: &'a IdedExpr,
        no: &'a IdedExpr,
    ) -> Option<Part> {
        let condition = self.test("? :", condition);
        let yes = self.after(condition.as_ref(), true, |checker| checker.part(yes));
        let no = self.after(condition.as_ref(), false, |checker| checker.part(no));
        let condition = condition?;
        match (yes?, no?) {
            (Part::Test(yes), Part::Test(no)) => Some(Part::Test(Test::If(Box::new([condition, yes, no])))),
            (Part::Number(yes), Part::Number(no)) => Some(Part::Number(Number::If(Box::new((condition, yes, no))))),
            (Part::Text(yes), Part::Text(no)) => Some(Part::Text(Text::If(Box::new((condition, yes, no))))),
            (yes, no) => {
                let message = format!("`? :` gives {} or {}", yes.kind(), no.kind());
                let hint = "both are strings, numbers, or true or false";
                self.problem_with_hint(self.source.span(part), message, "not of one type", hint);
                None
            }
        }
    }

    fn sum(
        &mut self,
        part: &'a IdedExpr,
        sign: &str,
        sum: Sum,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Option<Part> {
        let (left, right) = (self.number(sign, left), self.number(sign, right));
        let (left, right) = (left?, right?);
        let fails = match (&left, &right) {
            (Number::Literal(left), Number::Literal(right)) => match sum.of(*left, *right) {
                Ok(number) => return Some(Part::Number(Number::Literal(number))),
                Err(error) => Some(error),
            },
            (_, Number::Literal(0)) => sum.of(0, 0).err(),
            _ => None,
        };
        if let Some(error) = fails {
            let label = match error {
                ConditionError::DivisionByZero => "always divides by zero",
                _ => "always too large",
            };
            self.problem(
                self.source.span(part),
                format!("{} has no value: {error}", self.quote(self.source.span(part))),
                label,
            );
            return None;
        }
        Some(Part::Number(Number::Sum(sum, Box::new([left, right]))))
    }

    fn size(&mut self, of: &'a IdedExpr) -> Option<Part> {
        match self.part(of)? {
            Part::Text(text) => Some(Part::Number(Number::SizeOfText(text))),
            Part::List(list) => Some(Part::Number(Number::SizeOfList(list))),
            other => {
                let at = self.source.span(of);
                let message = format!(
                    "`size` takes a string or a list of the request, and {} is {}",
                    self.quote(at.clone()),
                    other.kind()
                );
                self.problem(at, message, other.kind());
                None
            }
        }
    }

    fn affix(&mut self, sign: &str, affix: Affix, text: &'a IdedExpr, of: &'a IdedExpr) -> Option<Test> {
        let (found, inner) = (self.text(sign, text), self.text(sign, of));
        let (found, inner) = (found?, inner?);
        self.held_against(&found, &self.quoted(&inner, of), false);
        Some(Test::Affix(affix, Box::new([found, inner])))
    }
}
