//! `pointsman catalog conflicts`: where the map of open models and the vendors say different things.

use std::{borrow::Cow, collections::BTreeSet};

use catalog::{Catalog, Differs, Guide, Tier};
use clap::Args;
use serde::Serialize;

use super::known;
use crate::cli::{ConfigFile, check::counted, columns::shown, print, print_json};

const EXAMPLES: &str = "\
Examples:
  pointsman catalog conflicts            every difference; the catalog goes by the vendor
  pointsman catalog conflicts --tier     those that put a model in another licence tier
  pointsman catalog conflicts --json | jq -r '.[] | [.kind, .id, .field] | @tsv'";

/// List where the map of open models differs from the vendors
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Conflicts {
    /// Only differences that put a model in another licence tier
    #[arg(long)]
    tier: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON array instead of text
    #[arg(long)]
    json: bool,
}

/// One field of one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Conflict<'a> {
    kind: &'static str,
    /// The id of the row; of the five questions and the traps, which have none, kind and number.
    id: Cow<'a, str>,
    field: &'a str,
    map: &'a str,
    vendor: &'a str,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    map_tier: Option<Tier>,
    /// The tier of the row, where the map would have another.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<Tier>,
}

/// False if there is none.
pub(super) fn run(args: &Conflicts) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let mut conflicts = conflicts(&catalog, Guide::builtin());
    if args.tier {
        conflicts.retain(|conflict| conflict.tier.is_some());
    }
    match args.json {
        true => print_json(&conflicts)?,
        false => print(&text(&conflicts))?,
    }
    Ok(!conflicts.is_empty())
}

/// Every difference: models first, then the other rows and what advice starts from, each kind in the order of its ids,
/// or of its numbers on the map.
fn conflicts<'a>(catalog: &'a Catalog, guide: &'a Guide) -> Vec<Conflict<'a>> {
    let models = catalog.models().map(|row| ("model", &row.id, &row.differs, &row.sources[..], Some(row.tier)));
    let licenses = catalog.licenses().map(|row| ("licence", &row.id, &row.differs, row.url.as_slice(), Some(row.tier)));
    let hosts = catalog.hosts().map(|row| ("host", &row.id, &row.differs, &row.sources[..], None));
    let servers = catalog.servers().map(|row| ("server", &row.id, &row.differs, &row.sources[..], None));
    let quantizations =
        catalog.quantizations().map(|row| ("quantization", &row.id, &row.differs, &row.sources[..], None));
    let benchmarks = catalog.benchmarks().map(|row| ("benchmark", &row.id, &row.differs, &[][..], None));
    let fine_tuning = catalog.fine_tunings().map(|row| ("fine-tuning", &row.id, &row.differs, &[][..], None));
    let hardware = catalog.all_hardware().map(|row| ("hardware", &row.id, &row.differs, &[][..], None));
    let rest =
        licenses.chain(hosts).chain(servers).chain(quantizations).chain(benchmarks).chain(fine_tuning).chain(hardware);
    let mut all: Vec<_> = models
        .chain(rest)
        .flat_map(|(kind, id, differs, sources, tier)| of(kind, id.into(), differs, sources, tier))
        .collect();
    // The sort keeps the order of what is equal: the kinds, and the fields of a row.
    let order = |kind| KINDS.iter().position(|known| *known == kind);
    all.sort_by(|a, b| order(a.kind).cmp(&order(b.kind)).then_with(|| a.id.cmp(&b.id)));
    let scenarios = guide.scenarios().iter().map(|row| ("scenario", Cow::from(&row.id), &row.differs));
    let questions =
        guide.questions().iter().map(|row| ("question", format!("question-{}", row.n).into(), &row.differs));
    let traps = guide.traps().iter().map(|row| ("trap", format!("trap-{}", row.n).into(), &row.differs));
    all.extend(
        scenarios.chain(questions).chain(traps).flat_map(|(kind, id, differs)| of(kind, id, differs, &[], None)),
    );
    all
}

/// The kinds of rows of the catalog.
const KINDS: [&str; 8] = ["model", "licence", "host", "server", "quantization", "benchmark", "fine-tuning", "hardware"];

fn of<'a>(
    kind: &'static str,
    id: Cow<'a, str>,
    differs: &'a [Differs],
    sources: &'a [String],
    tier: Option<Tier>,
) -> impl Iterator<Item = Conflict<'a>> {
    differs.iter().map(move |one| Conflict {
        kind,
        id: id.clone(),
        field: &one.field,
        map: &one.map,
        vendor: &one.vendor,
        seen: one.seen.clone().unwrap_or_else(|| sources.join("; ")),
        map_tier: one.map_tier,
        tier: one.map_tier.and(tier),
    })
}

/// What several rows have in common is told once, with all their ids.
fn text(conflicts: &[Conflict<'_>]) -> String {
    let mut groups: Vec<(&Conflict<'_>, Vec<&str>)> = Vec::new();
    for conflict in conflicts {
        let same = |other: &Conflict<'_>| Conflict { id: conflict.id.clone(), ..other.clone() } == *conflict;
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, ids)) => ids.push(&conflict.id),
            None => groups.push((conflict, vec![&conflict.id])),
        }
    }
    let mut text = String::new();
    for (first, ids) in groups {
        let tiers = match (first.map_tier, first.tier) {
            (Some(map), Some(row)) => format!(", {map} in the map and {row} at the vendor"),
            _ => String::new(),
        };
        text.push_str(&format!("{} {}: {}{tiers}\n", first.kind, shown(&ids.join(", ")), shown(first.field)));
        for (who, says) in [("map", first.map), ("vendor", first.vendor), ("seen", first.seen.as_str())] {
            text.push_str(&format!("  {who:<7} {}\n", shown(says)));
        }
        text.push('\n');
    }
    let rows: BTreeSet<_> = conflicts.iter().map(|conflict| (conflict.kind, &*conflict.id)).collect();
    let tiers = conflicts.iter().filter(|conflict| conflict.tier.is_some()).count();
    text + &format!(
        "{} in {}; {tiers} of them put a model in another licence tier\n",
        counted(conflicts.len(), "difference"),
        counted(rows.len(), "row"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_of_every_kind_of_row_is_listed_with_where_it_was_seen() {
        let catalog = Catalog::builtin();
        let all = conflicts(&catalog, Guide::builtin());
        let of = |kind| all.iter().filter(|conflict| conflict.kind == kind).count();
        assert_eq!(KINDS.map(of), [119, 13, 5, 9, 6, 2, 4, 3]);
        assert_eq!(["scenario", "question", "trap"].map(of), [15, 2, 8]);
        let unseen: Vec<_> = all.iter().filter(|conflict| conflict.seen.is_empty()).collect();
        assert!(unseen.is_empty(), "{unseen:?}");
        assert_eq!(all.iter().filter(|conflict| conflict.tier.is_some()).count(), 26);
    }

    #[test]
    fn each_row_of_the_matrix_and_each_trap_of_which_vendors_say_otherwise_is_listed() {
        let catalog = Catalog::builtin();
        let all = conflicts(&catalog, Guide::builtin());
        let of = |kind: &str| {
            let mut ids: Vec<_> =
                all.iter().filter(|conflict| conflict.kind == kind).map(|conflict| &*conflict.id).collect();
            ids.dedup();
            ids.join(" ")
        };
        // Rows 2, 3, 4, 5, 7, 8, 10, 12, 14, 16 and 17 of the matrix.
        assert_eq!(
            of("scenario"),
            "english-cheap korean japanese chinese code single-gpu vision free-license fast fine-tune pretrain"
        );
        assert_eq!(of("question"), "question-1 question-4");
        assert_eq!(of("trap"), "trap-1 trap-2 trap-3 trap-6 trap-8 trap-9 trap-10");
    }

    #[test]
    fn what_several_rows_share_is_told_once_and_a_tier_is_told_on_both_sides() {
        let catalog = Catalog::builtin();
        let mut some = conflicts(&catalog, Guide::builtin());
        some.retain(|conflict| conflict.id.starts_with("falcon-3-") && conflict.field == "license");
        let text = text(&some);
        assert_eq!(text.matches("  map     Apache-2.0\n").count(), 1, "{text}");
        let ids = "falcon-3-10b-instruct, falcon-3-1b-instruct, falcon-3-3b-instruct, falcon-3-7b-instruct";
        assert!(
            text.starts_with(&format!("model {ids}: license, tier 1 in the map and tier 2 at the vendor\n")),
            "{text}"
        );
        let end = "4 differences in 4 rows; 4 of them put a model in another licence tier\n";
        assert!(text.ends_with(end), "{text}");
    }
}
