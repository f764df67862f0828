//! Where the parts of an expression stand.
//!
//! The parser keeps one token for each part: the operator of `a + b`, the dot of `a.b`, the parenthesis of `f(a)`. The whole
//! of a part is found from that and from the parts in it. For carets: where a comment or a needless parenthesis stands
//! inside, the end may be a few characters early.

use std::ops::Range;

use cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, SourceInfo},
};

/// An expression as it was read.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) expression: IdedExpr,
    pub(super) offsets: SourceInfo,
}

impl Source<'_> {
    /// The bytes of a part.
    pub(super) fn span(&self, part: &IdedExpr) -> Range<usize> {
        let own = self.token(part);
        match &part.expr {
            Expr::Literal(LiteralValue::Int(number)) if *number.inner() < 0 => {
                // Its token is the number without its sign.
                let before = self.text[..own.start].trim_end();
                before.strip_suffix('-').map_or(own.start, str::len)..own.end
            }
            Expr::Select(select) if select.test => {
                let inner = self.span(&select.operand);
                self.name_before(own.start)..self.closing(self.field(inner.end, &select.field), ')')
            }
            Expr::Select(select) => {
                let inner = self.span(&select.operand);
                inner.start..self.field(inner.end, &select.field)
            }
            Expr::Call(call) => {
                let parts: Vec<_> =
                    call.target.as_deref().into_iter().chain(&call.args).map(|p| self.span(p)).collect();
                let start = parts.iter().map(|part| part.start).fold(own.start, usize::min);
                let end = parts.iter().map(|part| part.end).fold(own.end, usize::max);
                match self.text.as_bytes().get(own.start) {
                    Some(b'(') if call.target.is_none() => self.name_before(own.start)..self.closing(end, ')'),
                    Some(b'(') => start..self.closing(end, ')'),
                    Some(b'[') => start..self.closing(end, ']'),
                    _ => start..end,
                }
            }
            Expr::List(list) => {
                let end = list.elements.last().map_or(own.end, |last| self.span(last).end);
                own.start..self.closing(end, ']')
            }
            Expr::Comprehension(comprehension) => {
                let start = self.span(&comprehension.iter_range).start;
                let end = match &comprehension.loop_step.expr {
                    Expr::Call(step) => step.args.iter().map(|part| self.span(part).end).fold(own.end, usize::max),
                    _ => own.end,
                };
                start..self.closing(end, ')')
            }
            _ => own,
        }
    }

    /// The name before the parenthesis of a call.
    pub(super) fn called(&self, part: &IdedExpr) -> Range<usize> {
        let parenthesis = self.token(part).start;
        let start = self.name_before(parenthesis);
        start..start + self.text[start..parenthesis].trim_end().len()
    }

    /// The one token that the parser keeps of a part.
    fn token(&self, part: &IdedExpr) -> Range<usize> {
        // Both ends are within the token.
        let (first, last) = self.offsets.offset_for(part.id).unwrap_or_default();
        let start = self.text.floor_char_boundary(first as usize);
        start..self.text.ceil_char_boundary((last as usize + 1).min(self.text.len())).max(start)
    }

    /// The end of `.field`, whose dot follows `from`.
    fn field(&self, from: usize, field: &str) -> usize {
        let rest = &self.text[from..];
        let name = rest.find('.').map(|dot| rest[dot + 1..].trim_start());
        name.and_then(|name| name.strip_prefix(field)).map_or(from, |after| self.text.len() - after.len())
    }

    fn closing(&self, from: usize, bracket: char) -> usize {
        self.text[from..].find(bracket).map_or(from, |at| from + at + bracket.len_utf8())
    }

    fn name_before(&self, at: usize) -> usize {
        let before = self.text[..at].trim_end();
        before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
    }
}
