//! `pointsman models verify`: reads files anew and compares their digests with those that they were pulled with.

use std::fs::File;

use anyhow::Context as _;
use clap::Args;

use super::{Models, find, progress::Progress};
use crate::{
    cli::audit::document::{Cell, Document, Table},
    digest,
    models::HeldFile,
};

/// Read the files of a model anew, and say whether they are what was pulled
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 1 where a file is missing or changed, or nobody knows its digest.")]
pub(super) struct Verify {
    /// Name of the model, as `pointsman models list` has it; without one, every model of the store
    name: Option<String>,
}

pub(super) fn run(args: &Models, asked: &Verify) -> anyhow::Result<bool> {
    let store = args.store()?;
    let (models, unread) = match &asked.name {
        Some(name) => (vec![find(&store, name)?], Vec::new()),
        None => store.models().with_context(|| format!("the store `{}` cannot be read", store.folder().display()))?,
    };
    let mut table = Table::new("files", "Files", &["name", "file", "bytes", "result", "sha256"]);
    let mut is_right = unread.is_empty();
    for why in &unread {
        eprintln!("warning: {}", why.escape_debug());
    }
    for model in &models {
        for file in &model.files {
            let (result, found) = verified(file);
            is_right &= result == RIGHT;
            let path = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            table.rows.push(vec![
                model.name.clone().into(),
                path.into(),
                file.bytes.into(),
                result.into(),
                Cell::text(found),
            ]);
        }
    }
    let mut document = Document::new("Are the files what was pulled?");
    document.facts = vec![("all_are", if is_right { "yes" } else { "no" }.into())];
    document.tables = vec![table];
    args.form.write(&document)?;
    Ok(is_right)
}

/// What is said of a file that is as it should be.
const RIGHT: &str = "as it was";

/// What became of a file, and its digest now.
fn verified(file: &HeldFile) -> (String, Option<String>) {
    let Some(expected) = &file.sha256 else { return ("nobody knows its digest".to_owned(), None) };
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let mut progress = Progress::of(&name, file.bytes);
    match File::open(&file.path).and_then(|file| digest::of(file, &mut |bytes| progress.at(bytes))) {
        Ok(found) if found == *expected => (RIGHT.to_owned(), Some(found)),
        Ok(found) => (format!("changed: it was {expected}; remove and pull it again"), Some(found)),
        Err(error) => (format!("cannot be read: {error}"), None),
    }
}
