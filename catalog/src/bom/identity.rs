//! Licences as the standards name them: an identifier of the SPDX list, or a reference of our own.

use spdx::{AdditionItem, Expression, LicenseItem, ParseMode, expression::ExprNode};

use crate::{Catalog, License, Model};

/// A licence and its name in SPDX expressions.
#[derive(Clone, Debug)]
pub(super) struct Named<'c> {
    pub(super) row: &'c License,
    pub(super) identity: Identity,
}

/// How SPDX names a licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// An identifier of the SPDX list.
    Listed(&'static str),
    /// `LicenseRef-...`: a text that is on no list.
    Reference(String),
    /// An expression over the SPDX list, such as a licence with an exception.
    Expression(String),
}

impl Identity {
    pub(super) fn text(&self) -> &str {
        match self {
            Identity::Listed(id) => id,
            Identity::Reference(text) | Identity::Expression(text) => text,
        }
    }
}

/// The licences of a model. `None` stands for a licence that is not known.
#[derive(Clone, Debug)]
pub(super) struct Licences<'c> {
    /// What the maker says of the weights.
    pub(super) declared: Option<Named<'c>>,
    /// All that bind. Not known as a whole if one of them is not.
    pub(super) concluded: Option<Vec<Named<'c>>>,
}

impl<'c> Licences<'c> {
    pub(super) fn of(model: Option<&Model>, catalog: &'c Catalog) -> Licences<'c> {
        let Some(model) = model else { return Licences { declared: None, concluded: None } };
        let named = |id: &str| {
            let row = catalog.license(id)?;
            Some(Named { row, identity: identity(row)? })
        };
        Licences { declared: named(&model.license), concluded: model.licenses().map(named).collect() }
    }

    /// The expression of everything that binds; none if it is not known.
    pub(super) fn concluded_expression(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        for named in self.concluded.as_ref()? {
            let part = match &named.identity {
                Identity::Expression(text) => format!("({text})"),
                identity => identity.text().to_owned(),
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        Some(parts.join(" AND "))
    }
}

/// Identifiers that SPDX has withdrawn still name a text. Everything else has to be as the standard says.
const MODE: ParseMode = ParseMode { allow_deprecated: true, ..ParseMode::STRICT };

/// Longer names are nobody's identifier.
const MAX_TEXT: usize = 500;

/// How SPDX names the licence of a row; none where the row stands for "not known".
pub(super) fn identity(license: &License) -> Option<Identity> {
    let text = license.spdx.as_deref().unwrap_or_default().trim();
    if matches!(text, "NOASSERTION" | "NONE") {
        return None;
    }
    Some(stated(text).unwrap_or_else(|| Identity::Reference(reference(&license.id))))
}

/// The identity that a row states, if it is one.
fn stated(text: &str) -> Option<Identity> {
    let parsed = (text.len() <= MAX_TEXT).then(|| Expression::parse_mode(text, MODE).ok()).flatten()?;
    let mut nodes = parsed.iter();
    if let (Some(ExprNode::Req(only)), None) = (nodes.next(), nodes.next()) {
        match (&only.req.license, &only.req.addition) {
            (LicenseItem::Spdx { id, or_later: false }, None) => return Some(Identity::Listed(id.name)),
            (LicenseItem::Other(other), None) if other.doc_ref.is_none() => {
                return Some(Identity::Reference(format!("LicenseRef-{}", other.lic_ref)));
            }
            _ => {}
        }
    }
    // A reference inside an expression would need a text that no row stands for.
    let listed = parsed
        .requirements()
        .all(|part| part.req.license.id().is_some() && !matches!(part.req.addition, Some(AdditionItem::Other(_))));
    listed.then(|| Identity::Expression(text.to_owned()))
}

/// A reference for a row that states no identity. Two rows never get the same: ids have no capital letters.
fn reference(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { 'U' };
    format!("LicenseRef-Pointsman-{}", id.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(spdx: Option<&str>) -> License {
        let mut row = Catalog::builtin().license("mit").expect("a row").clone();
        row.id = "acme_terms-1.0".to_owned();
        row.spdx = spdx.map(str::to_owned);
        row
    }

    fn named(spdx: &str) -> Option<Identity> {
        identity(&row(Some(spdx)))
    }

    #[test]
    fn a_row_is_named_as_it_says_where_that_is_an_identity() {
        assert_eq!(named("Apache-2.0"), Some(Identity::Listed("Apache-2.0")));
        assert_eq!(named("LicenseRef-Acme"), Some(Identity::Reference("LicenseRef-Acme".to_owned())));
        assert_eq!(
            named("Apache-2.0 WITH LLVM-exception"),
            Some(Identity::Expression("Apache-2.0 WITH LLVM-exception".to_owned()))
        );
        assert_eq!(named("GPL-2.0"), Some(Identity::Listed("GPL-2.0")), "withdrawn, and still a name");
    }

    #[test]
    fn not_known_is_no_identity() {
        assert_eq!((named("NOASSERTION"), named("NONE")), (None, None));
    }

    #[test]
    fn a_row_without_an_identity_is_referred_to_by_its_id() {
        let own = Some(Identity::Reference("LicenseRef-Pointsman-acmeUterms-1.0".to_owned()));
        assert_eq!(identity(&row(None)), own);
        for nobodys in ["", "apache2", "MIT AND", "DocumentRef-x:LicenseRef-y", "MIT OR LicenseRef-y", "ü"] {
            assert_eq!(named(nobodys), own, "{nobodys}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_row_states_the_name_is_a_valid_expression(
            text in "[ -~äü]{0,40}|(MIT|WITH|AND|OR|LicenseRef-a|\\(|\\)| ){0,9}",
        ) {
            if let Some(identity) = named(&text) {
                prop_assert!(Expression::parse_mode(identity.text(), MODE).is_ok(), "{identity:?}");
            }
        }
    }
}
