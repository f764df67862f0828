//! Names: which facts there are under `request`, and what it is to read one or to ask whether it is there.

use std::ops::Range;

use cel::{IdedExpr, common::ast::SelectExpr};

use super::{
    Fact, Problem, TextFact,
    check::{Checker, Part},
    expr::{Number, Test, Text},
    fact::{FIELDS, Tags},
};
use crate::diag;

/// What is wrong with a `has`, here or where the parser finds it.
pub(super) const ASKS: &str = "`has` asks about one fact";
pub(super) const ASKED: &str = "as in `has(request.team)` or `has(request.metadata.project)`";

/// What holds facts by name.
const RECORDS: [&str; 2] = ["request", "request.use"];

impl<'a> Checker<'a> {
    pub(super) fn name(&mut self, part: &'a IdedExpr, name: &'a str) -> Option<Part> {
        if self.item.is_some_and(|(item, _)| item == name) {
            return Some(Part::Text(Text::Item));
        }
        if name == RECORDS[0] {
            return Some(Part::Record(RECORDS[0]));
        }
        let near = diag::nearest(name, [RECORDS[0]]).or_else(|| near_field(name));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "what is known of a request begins with `request.`".to_owned(),
        };
        self.problem_with_hint(self.source.span(part), format!("there is no `{name}`"), "not known", hint);
        None
    }

    pub(super) fn field(&mut self, part: &'a IdedExpr, select: &'a SelectExpr) -> Option<Part> {
        let at = self.source.span(part);
        match self.part(&select.operand)? {
            Part::Record(record) => self.member(record, &select.field, at, Self::read),
            Part::Tags(tags) => Some(self.read(tags.named(&select.field), at)),
            other => {
                let message = format!(
                    "{} is {}, which has no fields",
                    self.quote(self.source.span(&select.operand)),
                    other.kind()
                );
                self.problem(at, message, "no field of this name");
                None
            }
        }
    }

    /// What stands under a name in a record; a fact is given to `found`.
    fn member(
        &mut self,
        record: &str,
        name: &str,
        at: Range<usize>,
        found: impl FnOnce(&mut Self, Fact, Range<usize>) -> Part,
    ) -> Option<Part> {
        let path = format!("{record}.{name}");
        if let Some((_, fact)) = FIELDS.iter().find(|(known, _)| *known == path) {
            return Some(found(self, fact.clone(), at));
        }
        if let Some((_, tags)) = Tags::ALL.into_iter().find(|(known, _)| *known == path) {
            return Some(Part::Tags(tags));
        }
        if let Some(record) = RECORDS.into_iter().find(|known| *known == path) {
            return Some(Part::Record(record));
        }
        let hint = match near_field(&path) {
            _ if ["time", "hour", "weekday", "day", "now", "date"].contains(&name) => {
                "`match.time` has windows of days and hours, with their zone".to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let known: Vec<&str> =
                    paths().filter(|path| path.rsplit_once('.').is_some_and(|(r, _)| r == record)).collect();
                format!("there are `{}`", known.join("`, `"))
            }
        };
        self.problem_with_hint(at, format!("there is no `{path}`"), "not a fact of a request", hint);
        None
    }

    /// A fact that is read at a place.
    fn read(&mut self, fact: Fact, at: Range<usize>) -> Part {
        self.uses.read(&fact, at.clone());
        if fact.may_be_absent() && !self.known.contains(&fact) {
            let message = format!("a request that has no `{fact}` does not match, and raises an alert");
            let hint = match &fact {
                Fact::Text(TextFact::Header(name)) => format!("write `{name:?} in request.headers && ...` before it"),
                Fact::Text(TextFact::Metadata(name)) => {
                    format!("write `{name:?} in request.metadata && ...` before it")
                }
                _ => format!("write `has({fact}) && ...` before it"),
            };
            self.warnings.push(Problem::new(at, message, "read without asking whether it is there").hint(hint));
        }
        match fact {
            Fact::Text(text) => Part::Text(Text::Fact(text)),
            Fact::Number(number) => Part::Number(Number::Fact(number)),
            Fact::List(list) => Part::List(list),
            Fact::Stream => Part::Test(Test::Stream),
        }
    }

    pub(super) fn has(&mut self, part: &'a IdedExpr, select: &'a SelectExpr) -> Option<Part> {
        let at = self.source.span(part);
        let asked = |checker: &mut Self, fact: Fact, at: Range<usize>| {
            checker.uses.read(&fact, at);
            Part::Test(Test::Has(fact))
        };
        let found = match self.part(&select.operand)? {
            Part::Record(record) => self.member(record, &select.field, at.clone(), asked)?,
            Part::Tags(tags) => asked(self, tags.named(&select.field), at.clone()),
            _ => return self.not_a_fact(at),
        };
        match found {
            Part::Test(Test::Has(fact)) if fact.may_be_absent() => Some(Part::Test(Test::Has(fact))),
            Part::Test(Test::Has(fact)) => {
                let message = format!("every request has `{fact}`");
                let problem = Problem::new(at, message, "always true");
                let unknown = matches!(fact, Fact::Text(TextFact::Language | TextFact::Script));
                let hint = format!("`{fact} != \"unknown\"` holds where it could be told");
                self.problems.push(if unknown { problem.hint(hint) } else { problem });
                None
            }
            _ => self.not_a_fact(at),
        }
    }

    fn not_a_fact(&mut self, at: Range<usize>) -> Option<Part> {
        self.problem_with_hint(at, ASKS, "not a fact", ASKED);
        None
    }

    pub(super) fn index(&mut self, part: &'a IdedExpr, map: &'a IdedExpr, name: &'a IdedExpr) -> Option<Part> {
        let (found, index) = (self.part(map), self.part(name));
        match (found?, index?) {
            (Part::Tags(tags), Part::Text(Text::Literal(name))) => {
                Some(self.read(tags.named(&name), self.source.span(part)))
            }
            (Part::Tags(_), _) => self.not_written_out(name),
            (other, _) => {
                let hint =
                    "`request.headers[\"x-customer-tier\"]` and `request.metadata[\"project\"]` are looked up by name";
                let message = format!("nothing is looked up in {}", other.kind());
                self.problem_with_hint(self.source.span(part), message, "neither headers nor metadata", hint);
                None
            }
        }
    }

    pub(super) fn not_written_out<T>(&mut self, name: &'a IdedExpr) -> Option<T> {
        let hint = "so that it can be checked that the configuration declares it";
        let message = "the name of a header or of an entry of metadata is a string that is written out";
        self.problem_with_hint(self.source.span(name), message, "not a string in quotes", hint);
        None
    }
}

/// The names of everything under `request`.
fn paths() -> impl Iterator<Item = &'static str> {
    let fields = FIELDS.iter().map(|(path, _)| *path);
    fields.chain(Tags::ALL.map(|(path, _)| path)).chain([RECORDS[1]])
}

/// The fact whose name looks most like `path`; what stands before the last dot is likely to be right, and says little.
fn near_field(path: &str) -> Option<&'static str> {
    let last = |path: &str| path.rsplit_once('.').map_or(path, |(_, name)| name).to_owned();
    let names: Vec<(String, &'static str)> = paths().map(|path| (last(path), path)).collect();
    let near = diag::nearest(&last(path), names.iter().map(|(name, _)| name.as_str()))?;
    names.iter().find(|(name, _)| name == near).map(|(_, path)| *path)
}
