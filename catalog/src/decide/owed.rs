//! The kinds of duties that a decision asks for, as a set: what a policy may limit without reading texts.

use std::fmt;

use crate::ObligationKind;

/// Kinds of duties. A duty that no licence row gives a kind - what an agreement asks for, or what takes the place of a
/// missing attestation - counts as "other".
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Owed(u16);

/// The bit of duties without a kind.
const OTHER: u16 = 1 << 15;

impl Owed {
    /// The words of all kinds, in the order in which [`Owed::names`] gives them.
    pub const NAMES: [&str; 11] = [
        "display",
        "notice",
        "use-policy",
        "flow-down",
        "naming",
        "share-alike",
        "threshold",
        "registration",
        "outputs",
        "purpose",
        "other",
    ];

    /// The kind of this name alone.
    pub fn named(name: &str) -> Option<Owed> {
        let at = Owed::NAMES.iter().position(|known| *known == name)?;
        Some(Owed(if name == "other" { OTHER } else { 1 << at }))
    }

    /// One kind alone.
    pub fn kind(kind: ObligationKind) -> Owed {
        match kind {
            ObligationKind::Other => Owed::other(),
            named => Owed(1 << named as u16),
        }
    }

    /// The duties that have no kind.
    pub const fn other() -> Owed {
        Owed(OTHER)
    }

    /// Whether nothing is owed.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds of either.
    #[must_use]
    pub fn and(self, other: Owed) -> Owed {
        Owed(self.0 | other.0)
    }

    /// The kinds of this set that `allowed` has not.
    #[must_use]
    pub fn beyond(self, allowed: Owed) -> Owed {
        Owed(self.0 & !allowed.0)
    }

    /// The words of its kinds.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Owed::NAMES.into_iter().filter(move |name| Owed::named(name).is_some_and(|kind| self.0 & kind.0 != 0))
    }
}

impl fmt::Debug for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, Exposure, Purpose, Use, decide};

    #[test]
    fn every_kind_of_a_licence_row_has_the_name_that_data_files_write() {
        for license in Catalog::builtin().licenses() {
            for obligation in &license.obligations {
                let written = serde_json::to_value(obligation.kind).unwrap();
                assert_eq!(Owed::kind(obligation.kind).names().collect::<Vec<_>>(), [written.as_str().unwrap()]);
            }
        }
        for name in Owed::NAMES {
            let kind: ObligationKind = serde_json::from_value(name.into()).unwrap();
            assert_eq!((Some(Owed::kind(kind)), kind.name()), (Owed::named(name), name));
        }
    }

    #[test]
    fn a_decision_owes_a_kind_exactly_where_it_names_a_duty() {
        let catalog = Catalog::with_assumptions();
        let uses = Purpose::ALL.map(|purpose| Use::new(purpose, Exposure::Public));
        let today = "2026-11-25".parse().unwrap();
        for (use_, model) in uses.iter().flat_map(|use_| catalog.models().map(move |model| (use_, model))) {
            let decision = decide(&catalog, model, use_, today);
            assert_eq!(decision.owed.is_empty(), decision.obligations.is_empty(), "{decision:?}");
        }
    }
}
