//! What a decision rested on, by its name: the waiver, agreement, attestation or clarification, from the texts that are kept.

use catalog::{Catalog, Date};

use super::{document::Cell, recorded::Recorded};

/// What stands behind an allowance.
#[derive(Debug)]
struct Standing {
    /// `waiver`, `agreement`, `attestation` or `clarification`.
    kind: &'static str,
    /// Who stands for it.
    by: String,
    /// Why, or where it is written.
    reason: Option<String>,
    /// Its first day.
    from: Date,
    /// Its last day.
    until: Date,
}

/// What stands behind an id, as the cells of a row: kind, who stands for it, why, from when, until when.
pub(super) fn cells(recorded: &Recorded, id: &str) -> [Cell; 5] {
    match standing(recorded, id) {
        Some(Standing { kind, by, reason, from, until }) => {
            [kind.into(), by.into(), Cell::text(reason), from.to_string().into(), until.to_string().into()]
        }
        None => ["not in any text that is kept".into(), Cell::None, Cell::None, Cell::None, Cell::None],
    }
}

/// The newest text that has it says it.
fn standing(recorded: &Recorded, id: &str) -> Option<Standing> {
    let configs = recorded.activated().iter().rev().map(|one| recorded.catalog(&one.activated.config));
    configs.filter_map(Result::ok).find_map(|catalog| of(&catalog, id))
}

fn of(catalog: &Catalog, id: &str) -> Option<Standing> {
    let waiver = catalog.waivers().find(|row| row.id == id).map(|row| Standing {
        kind: "waiver",
        by: format!("asked by {}, approved by {}", row.requested_by, row.approved_by.join(" and ")),
        reason: Some(row.reason.clone()),
        from: row.created,
        until: row.expires,
    });
    let agreement = || {
        catalog.agreements().find(|row| row.id == id).map(|row| Standing {
            kind: "agreement",
            by: row.entity.clone(),
            reason: Some(row.document.clone()),
            from: row.valid_from,
            until: row.valid_until,
        })
    };
    let attestation = || {
        catalog.attestations().find(|row| row.id == id).map(|row| Standing {
            kind: "attestation",
            by: row.signed_by.clone(),
            reason: row.evidence.clone(),
            from: row.signed,
            until: row.valid_until,
        })
    };
    let clarification = || {
        catalog.clarifications().find(|row| row.id == id).map(|row| Standing {
            kind: "clarification",
            by: row.signed_by.clone(),
            reason: Some(row.reason.clone()),
            from: row.signed,
            until: row.valid_until,
        })
    };
    waiver.or_else(agreement).or_else(attestation).or_else(clarification)
}
