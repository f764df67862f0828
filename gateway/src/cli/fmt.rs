//! `pointsman fmt`: policy files in their canonical layout, comments kept.
//!
//! A file is replaced whole, by way of a new one beside it, and only where the layout is sure to say the same
//! ([`policies::layout()`]).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{check::counted, print, print_json};
use crate::config::source::{Source, reason};

const EXAMPLES: &str = "\
Examples:
  pointsman fmt policies/*.yaml             writes the files that are laid out otherwise
  pointsman fmt --check policies/*.yaml     names them and writes nothing

Two spaces a level, list items inside their key, the keys of a route in one order, one blank line
between routes. A file that cannot be laid out for certain is left alone, with the reason.

Exit status: 0 every file has its layout, 1 one has not, 2 the command line itself is wrong.";

/// Lay out policy files
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Fmt {
    /// Policy files and files of tests
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Write nothing; tell which files are laid out otherwise
    #[arg(long)]
    check: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What became of a file.
enum Done {
    /// It had its layout.
    Kept,
    /// It was laid out otherwise.
    Changed,
    /// It was left alone.
    Refused(String),
}

/// True if every file has its layout now; with `--check`, if every file had it.
pub(super) fn run(args: &Fmt) -> anyhow::Result<bool> {
    let done: Vec<(&PathBuf, Done)> = args.files.iter().map(|file| (file, one(file, !args.check))).collect();
    let named = |which: fn(&Done) -> bool| -> Vec<String> {
        done.iter().filter(|(_, done)| which(done)).map(|(file, _)| file.display().to_string()).collect()
    };
    let changed = named(|done| matches!(done, Done::Changed));
    let refused = done.iter().filter_map(|(file, done)| match done {
        Done::Refused(why) => Some((file.display().to_string(), why.as_str())),
        Done::Kept | Done::Changed => None,
    });
    let refused: Vec<(String, &str)> = refused.collect();
    if args.json {
        let refused: Vec<_> = refused.iter().map(|(file, why)| json!({ "file": file, "why": why })).collect();
        print_json(&json!({ "files": done.len(), "changed": changed, "refused": refused }))?;
    } else {
        let verb = if args.check { "would be laid out otherwise" } else { "laid out" };
        let mut text: String = changed.iter().map(|file| format!("{file}: {verb}\n")).collect();
        text.extend(refused.iter().map(|(file, why)| format!("{file}: left alone: {why}\n")));
        text.push_str(&format!("{}, {} changed\n", counted(done.len(), "file"), changed.len()));
        print(&text)?;
    }
    Ok(refused.is_empty() && (changed.is_empty() || !args.check))
}

fn one(file: &Path, write: bool) -> Done {
    let text = match Source::read(file, "policy file") {
        Ok(source) => source.text,
        Err(problem) => return Done::Refused(problem.message),
    };
    match policies::layout(&text) {
        Err(error) => Done::Refused(error.to_string()),
        Ok(laid_out) if *laid_out == *text => Done::Kept,
        Ok(_) if !write => Done::Changed,
        Ok(laid_out) => match replace(file, &laid_out) {
            Ok(()) => Done::Changed,
            Err(error) => Done::Refused(format!("it cannot be written: {}", reason(&error))),
        },
    }
}

/// Writes a file beside `path`, makes it durable, and renames it over `path`, which keeps its permissions. A link is followed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut new = path.clone().into_os_string();
    new.push(".new");
    let written = File::create_new(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_is_replaced_behind_its_link_and_keeps_its_permissions() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("p.yaml"), folder.path().join("link.yaml"));
        fs::write(&file, "version: 1\n\n\nroutes: []\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        assert!(matches!(one(&link, false), Done::Changed));
        assert!(matches!(one(&link, true), Done::Changed));
        assert!(matches!(one(&link, true), Done::Kept));
        assert_eq!(fs::read_to_string(&file).unwrap(), "version: 1\n\nroutes: []\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }
}
