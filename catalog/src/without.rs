//! The catalog as it would be without a row that decisions rest on: what would fall if it proved false?
//!
//! Everything else stays as it is, so that the same requests can be decided again and compared.

use crate::Catalog;

impl Catalog {
    /// This catalog without the attestation, agreement, waiver or clarification of this id, as if it had never been there;
    /// without all of them where several kinds of rows share it, since a decision that rests on one gives its id alone.
    /// `None` where there is no such row.
    pub fn without(&self, id: &str) -> Option<Catalog> {
        let mut rows = self.rows().clone();
        let count = |rows: &crate::load::Rows| {
            rows.attestations.len() + rows.agreements.len() + rows.waivers.len() + rows.clarifications.len()
        };
        let before = count(&rows);
        rows.attestations.retain(|row| row.id != id);
        rows.agreements.retain(|row| row.id != id);
        rows.waivers.retain(|row| row.id != id);
        rows.clarifications.retain(|row| row.id != id);
        (count(&rows) < before).then(|| self.changed("without", id, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Date, Exposure, Outcome, Purpose, Use, decide};

    const ACME: &str = "attestations:
  - {id: users, entity: acme, metric: monthly-users, at_most: 5, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-01-01}
agreements:
  - {id: m-17, licenses: [mistral-research], entity: acme, valid_from: 2026-01-01, valid_until: 2027-12-31, document: d}
waivers:
  - {id: w-1, rules: [tier4-commercial], models: [command-r-plus], contexts: [bot], reason: a trial, requested_by: Ann,
     approved_by: [Bob, Cy], created: 2026-11-01, expires: 2026-12-31}
clarifications:
  - {id: c-1, model: phi-4, licenses: [mit], weights: ['0000000000000000000000000000000000000000000000000000000000000000'],
     reason: x, signed_by: GC, signed: 2026-01-01, valid_until: 2027-01-01}
";

    #[test]
    fn what_rests_on_a_row_falls_without_it_and_nothing_else_does() {
        let files = [("acme.yaml".to_owned(), ACME.to_owned())];
        let catalog = Catalog::builtin().with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}"));
        let today: Date = "2026-11-25".parse().expect("a date");
        let use_ = Use {
            entity: Some("acme".to_owned()),
            context: Some("bot".to_owned()),
            seat: Some("US".to_owned()),
            ..Use::new(Purpose::Internal, Exposure::Internal)
        };
        for (id, falls) in [("users", "llama-3.3-70b-instruct"), ("m-17", "mistral-large-2"), ("w-1", "command-r-plus")]
        {
            let without = catalog.without(id).expect("a row");
            assert_ne!(without.digest(), catalog.digest());
            assert!(!decide(&without, without.model(falls).expect("a row"), &use_, today).outcome.allows(), "{id}");
            for model in catalog.models() {
                let before = decide(&catalog, model, &use_, today);
                let after = decide(&without, without.model(&model.id).expect("a row"), &use_, today);
                if !before.outcome.allows() {
                    assert!(!after.outcome.allows(), "{}", model.id);
                    continue;
                }
                match before.rests_on.iter().any(|on| &**on == id) {
                    true => assert_ne!(before, after, "{}", model.id),
                    false => assert_eq!(before, after, "{}", model.id),
                }
            }
        }
        let without = catalog.without("c-1").expect("a row");
        assert!(catalog.looks_at_weights("phi-4").is_some() && without.looks_at_weights("phi-4").is_none());
        assert!(catalog.without("no-such-row").is_none() && catalog.without("phi-4").is_none());
        let restored = catalog.without("users").and_then(|catalog| catalog.without("m-17")).expect("both");
        assert_eq!(restored.waivers().count(), 1);
        assert_ne!(Outcome::Deny, decide(&restored, restored.model("phi-4").expect("a row"), &use_, today).outcome);
    }
}
