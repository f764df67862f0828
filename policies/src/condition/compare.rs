//! Comparisons: their types, and what each says about the values that a fact can have.

use cel::IdedExpr;

use super::{
    Fact, ListFact, Quoted,
    check::{Checker, Part},
    expr::{Number, Order, Test, Text},
};
use crate::diag;

impl<'a> Checker<'a> {
    pub(super) fn equal(
        &mut self,
        part: &'a IdedExpr,
        sign: &str,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Option<Test> {
        let (l, r) = (self.part(left), self.part(right));
        match (l?, r?) {
            (Part::Test(l), Part::Test(r)) => Some(Test::Same(Box::new([l, r]))),
            (Part::Number(l), Part::Number(r)) => Some(self.compare(Order::Equal, l, r)),
            (Part::Text(l), Part::Text(r)) => {
                self.held_against(&l, &self.quoted(&r, right), true);
                self.held_against(&r, &self.quoted(&l, left), true);
                Some(Test::Is(Box::new([l, r])))
            }
            (l, r) => {
                let message = format!("`{sign}` compares {} with {}", l.kind(), r.kind());
                let list =
                    [&l, &r].iter().any(|part| matches!(part, Part::List(_) | Part::Texts(_) | Part::Numbers(_)));
                let hint = if list {
                    "`in` asks whether something is in a list, `exists` and `all` what its items are"
                } else {
                    "two strings, two numbers, or two of true and false can be the same"
                };
                self.problem_with_hint(self.source.span(part), message, "never the same", hint);
                None
            }
        }
    }

    pub(super) fn order(
        &mut self,
        sign: &str,
        order: Order,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
        swapped: bool,
    ) -> Option<Test> {
        let (left, right) = (self.number(sign, left), self.number(sign, right));
        let (left, right) = (left?, right?);
        Some(if swapped { self.compare(order, right, left) } else { self.compare(order, left, right) })
    }

    fn compare(&mut self, order: Order, left: Number, right: Number) -> Test {
        for (side, other) in [(&left, &right), (&right, &left)] {
            if let Number::Literal(number) = other {
                let mut facts = Vec::new();
                numbers_of(side, &mut facts);
                facts.iter().for_each(|fact| self.uses.compare_number(fact, *number));
            }
        }
        Test::Compare(order, Box::new([left, right]))
    }

    pub(super) fn among(&mut self, part: &'a IdedExpr, left: &'a IdedExpr, right: &'a IdedExpr) -> Option<Test> {
        let (l, r) = (self.part(left), self.part(right));
        match (l?, r?) {
            (Part::Text(l), Part::Texts(list)) => {
                self.held_against(&l, &list, true);
                Some(Test::Among(l, list.into_iter().map(|text| text.value).collect()))
            }
            (Part::Number(l), Part::Numbers(list)) => {
                let mut facts = Vec::new();
                numbers_of(&l, &mut facts);
                for fact in &facts {
                    list.iter().for_each(|number| self.uses.compare_number(fact, *number));
                }
                Some(Test::AmongNumbers(l, list))
            }
            (Part::Text(l), Part::List(list)) => {
                self.against(&Fact::List(list), &self.quoted(&l, left), true);
                Some(Test::In(l, list))
            }
            (Part::Text(Text::Literal(name)), Part::Tags(tags)) => {
                let fact = tags.named(&name);
                self.uses.read(&fact, self.source.span(part));
                Some(Test::Has(fact))
            }
            (Part::Text(_), Part::Tags(_)) => self.not_written_out(left),
            (l, r) => {
                let message = format!("`in` looks for {} in {}", l.kind(), r.kind());
                let hint = "a string can be in a list of strings, a number in one of numbers, and a name in a map";
                self.problem_with_hint(self.source.span(part), message, "never in it", hint);
                None
            }
        }
    }

    /// Notes what a string is compared with; where it must be the `whole` of it, a word that it can never be is a problem.
    pub(super) fn held_against(&mut self, text: &Text, with: &[Quoted], whole: bool) {
        let mut facts = Vec::new();
        texts_of(text, self.item, &mut facts);
        for fact in facts {
            self.against(&fact, with, whole);
        }
    }

    fn against(&mut self, fact: &Fact, with: &[Quoted], whole: bool) {
        let words = fact.words().filter(|_| whole);
        for text in with {
            self.uses.compare_text(fact, text);
            let Some(words) = words.as_ref().filter(|words| !words.contains(&text.value.as_str())) else { continue };
            let hint = match diag::nearest(&text.value, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are `{}`", words.join("`, `")),
            };
            let message = format!("`{fact}` never has the value `{}`", text.value.escape_debug());
            self.problem_with_hint(text.at.clone(), message, "not one of its words", hint);
        }
    }

    /// The strings that a part is, as far as they are written out in it.
    pub(super) fn quoted(&self, text: &Text, part: &IdedExpr) -> Vec<Quoted> {
        match text {
            Text::Literal(value) => vec![Quoted { value: value.clone(), at: self.source.span(part) }],
            Text::If(parts) => [self.quoted(&parts.1, part), self.quoted(&parts.2, part)].concat(),
            Text::Fact(_) | Text::Item => Vec::new(),
        }
    }
}

/// The facts that a string is.
fn texts_of(text: &Text, item: Option<(&str, ListFact)>, into: &mut Vec<Fact>) {
    match text {
        Text::Literal(_) => {}
        Text::Fact(fact) => into.push(Fact::Text(fact.clone())),
        Text::Item => into.extend(item.map(|(_, list)| Fact::List(list))),
        Text::If(parts) => {
            texts_of(&parts.1, item, into);
            texts_of(&parts.2, item, into);
        }
    }
}

/// The numeric facts that a number is made of.
fn numbers_of(number: &Number, into: &mut Vec<Fact>) {
    match number {
        Number::Literal(_) | Number::SizeOfText(_) | Number::SizeOfList(_) => {}
        Number::Fact(fact) => into.push(Fact::Number(*fact)),
        Number::Negate(inner) => numbers_of(inner, into),
        Number::Sum(_, sides) => sides.iter().for_each(|side| numbers_of(side, into)),
        Number::If(parts) => {
            numbers_of(&parts.1, into);
            numbers_of(&parts.2, into);
        }
    }
}
