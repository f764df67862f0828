//! What is assumed of a company that has stated nothing of itself: that it is small. Only where nobody could have stated
//! it, which is said wherever a decision is shown that rests on it.

use std::sync::{Arc, OnceLock};

use crate::Catalog;

/// The entity that the assumptions are about.
pub const ASSUMED_ENTITY: &str = "assumed-small-company";

/// What is assumed, in words.
pub const ASSUMED: &str = "fewer than 1 million users a month and under 1 million USD of revenue a year";

const TEXT: &str = "\
attestations:
  - {id: assumed-few-users, entity: assumed-small-company, metric: monthly-users, at_most: 999999,
     signed_by: nobody, signed: 2026-01-01, valid_until: 9999-12-31}
  - {id: assumed-small-revenue, entity: assumed-small-company, metric: yearly-revenue-usd, at_most: 999999,
     signed_by: nobody, signed: 2026-01-01, valid_until: 9999-12-31}
";

impl Catalog {
    /// The built-in catalog, and what is assumed of [`ASSUMED_ENTITY`]. Parsed once.
    pub fn with_assumptions() -> Arc<Catalog> {
        static CATALOG: OnceLock<Arc<Catalog>> = OnceLock::new();
        CATALOG
            .get_or_init(|| {
                let file = ("what is assumed".to_owned(), TEXT.to_owned());
                Arc::new(Catalog::builtin().with_overlays(&[file]).expect("a test loads it"))
            })
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assumptions_load_and_are_of_a_small_company() {
        let catalog = Catalog::with_assumptions();
        assert!(catalog.attestations().all(|row| row.entity == ASSUMED_ENTITY && row.signed_by == "nobody"));
        assert!(catalog.attestations().all(|row| row.at_most.is_some_and(|most| most < 1_000_000)));
        assert_eq!(catalog.attestations().count(), 2);
    }
}
