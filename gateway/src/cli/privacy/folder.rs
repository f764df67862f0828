//! What a gateway writes to its data folder and keeps elsewhere, and what of that may be about people.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    cli::audit::document::{Cell, Table},
    config::Outline,
};

/// The most that is looked through of a file for an id.
const MOST_BYTES: u64 = 64 << 20;

/// A place, by how the paths of its files begin and end.
struct Place {
    begins: &'static str,
    ends: &'static str,
    holds: &'static str,
    purpose: &'static str,
    erasable: &'static str,
}

const PLACES: [Place; 10] = [
    Place {
        begins: "ledger/subjects/",
        ends: "",
        holds: "ids of keys, subjects of tokens and personal values, with their pseudonyms",
        purpose: "to tell who asked",
        erasable: "pointsman privacy erase; an epoch goes after its last record",
    },
    Place {
        begins: "ledger/texts/",
        ends: "",
        holds: "configurations, policies and catalog files that decided: ids of keys that they match, and who asked for, approved and signed waivers, agreements and attestations",
        purpose: "to make decisions again",
        erasable: "no: what was decided rests on them",
    },
    Place {
        begins: "ledger/tlog/",
        ends: "",
        holds: "hashes and signatures: nothing of people",
        purpose: "to prove that no record was changed or removed",
        erasable: "no",
    },
    Place {
        begins: "ledger/",
        ends: ".log",
        holds: "decisions and outcomes: the first table",
        purpose: "to prove what was decided",
        erasable: "as the first table says",
    },
    Place {
        begins: "key-uses.json",
        ends: "",
        holds: "when each key was last used, by its id",
        purpose: "to find keys that nobody uses",
        erasable: "goes once the key is out of the keys file",
    },
    Place {
        begins: "budgets.json",
        ends: "",
        holds: "what was spent of budgets, by the id of the key where a quota is per key",
        purpose: "budgets that hold over restarts",
        erasable: "goes after the period of the budget",
    },
    Place {
        begins: "files/",
        ends: "",
        holds: "files that callers uploaded, batches and their answers: prompts and answers, and the id of the key that made a batch",
        purpose: "requests that are answered later",
        erasable: "files by DELETE /v1/files/ID; batches by removing their files here",
    },
    Place {
        begins: "models/",
        ends: "",
        holds: "model files that were pulled, and in their manifests who accepted the licence, as they said",
        purpose: "to serve models, and to know on which terms",
        erasable: "pointsman models rm",
    },
    Place {
        begins: "accepted/",
        ends: "",
        holds: "which licences were accepted when, and not by whom: nothing of people",
        purpose: "for the gateway to record them",
        erasable: "no",
    },
    Place {
        begins: "witness/",
        ends: "",
        holds: "heads of other gateways' logs: nothing of people",
        purpose: "to be a witness",
        erasable: "no",
    },
];

/// What else is kept, by place and purpose.
pub(super) fn table(data_dir: &Path, outline: Option<&Outline>) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "elsewhere",
        "Where it is, and what else is there",
        &["place", "files", "bytes", "holds", "purpose", "erasable"],
    );
    let mut counts = [(0_u64, 0_u64); PLACES.len()];
    let mut others = (0, 0);
    for (path, bytes) in files(data_dir)? {
        let at = PLACES.iter().position(|place| path.starts_with(place.begins) && path.ends_with(place.ends));
        // A lock is empty, and whatever ends so is half written.
        let count = at.map_or(&mut others, |at| &mut counts[at]);
        *count = (count.0 + 1, count.1 + bytes);
    }
    let mut row = |place: String, count: Option<(u64, u64)>, [holds, purpose, erasable]: [&str; 3]| {
        let (files, bytes) = count.map_or((Cell::None, Cell::None), |(files, bytes)| (files.into(), bytes.into()));
        table.rows.push(vec![place.into(), files, bytes, holds.into(), purpose.into(), erasable.into()]);
    };
    for (place, count) in PLACES.iter().zip(counts) {
        let name =
            if place.ends.is_empty() { place.begins.to_owned() } else { format!("{}*{}", place.begins, place.ends) };
        row(name, Some(count), [place.holds, place.purpose, place.erasable]);
    }
    row("other files".to_owned(), Some(others), ["locks; nothing else that a gateway writes", "", ""]);
    row(
        "memory".to_owned(),
        None,
        [
            "answers of the Responses API and answers that are given again: prompts and answers",
            "to go on from them, and to give them again",
            "goes by itself after `limits.responses_kept_for` and the `reuse` of a route, and with the process",
        ],
    );
    let Some(outline) = outline else { return Ok(table) };
    if let Some(keys) = &outline.keys {
        row(
            keys.display().to_string(),
            None,
            [
                "keys as hashes, with their ids, teams and times",
                "to let callers in",
                "an entry by hand, once it is revoked",
            ],
        );
    }
    if let Some(fleet) = &outline.fleet {
        if fleet.valkey.is_some() {
            row(
                "Valkey of the fleet".to_owned(),
                None,
                [
                    "what is left of limits, by the id of the key where a quota is per key; answers, encrypted",
                    "limits and answers that gateways share",
                    "goes by itself",
                ],
            );
        }
        if fleet.postgres.is_some() {
            row(
                "PostgreSQL of the fleet".to_owned(),
                None,
                [
                    "the keys file; what was spent of budgets, by the id of the key where a quota is per key",
                    "keys and budgets that gateways share",
                    "as the keys file and budgets.json",
                ],
            );
        }
    }
    Ok(table)
}

/// The files of a data folder that name an id as it is: uploads and their answers are not looked through.
pub(super) fn that_name(data_dir: &Path, id: &str) -> anyhow::Result<Vec<String>> {
    let looked_through =
        |path: &str| path.starts_with("ledger/texts/") || path.ends_with(".json") && !path.starts_with("ledger/");
    let mut naming = Vec::new();
    for (path, _) in files(data_dir)?.into_iter().filter(|(path, _)| looked_through(path)) {
        let mut bytes = Vec::new();
        match File::open(data_dir.join(&path)) {
            Ok(file) => file.take(MOST_BYTES).read_to_end(&mut bytes)?,
            // A gateway may have put another one in its place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{path}`")),
        };
        if String::from_utf8_lossy(&bytes).contains(id) {
            naming.push(path);
        }
    }
    Ok(naming)
}

/// The files below a folder, by their paths from there, with their sizes.
fn files(root: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot look into `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(of) if of.is_dir() => folders.push(entry.path()),
                Ok(of) if of.is_file() => {
                    let path = entry.path();
                    let path = path.strip_prefix(root).unwrap_or(&path);
                    found.push((path.to_string_lossy().into_owned(), of.len()));
                }
                // It was removed meanwhile.
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}
