//! What is known of a log outside of its folder: checkpoints that were put away, receipts that callers were given, and
//! witnesses that are trusted. What the folder says of itself may have been made anew with the log's own key; this may not.

use std::{fs, io, path::Path};

use crate::{
    ml_dsa::MlDsaKey,
    note::{WitnessKey, notes},
};

/// The largest file of a folder of anchors that is looked at.
const MOST_ANCHOR_BYTES: u64 = 64 << 20;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Checkpoints that were put away, as notes.
    pub checkpoints: Vec<String>,
    /// Receipts, in any order.
    pub receipts: Vec<Receipt>,
    /// Witnesses that are trusted.
    pub witnesses: Vec<WitnessKey>,
    /// The key of the second signatures, which the newest checkpoint must have then.
    pub ml_dsa: Option<MlDsaKey>,
    /// How many of the witnesses must have cosigned a checkpoint for it to count as known outside.
    pub quorum: usize,
    /// How many records may be after the newest checkpoint that somebody outside has.
    pub most_unanchored: Option<u64>,
}

/// What a caller was told: the record of this number says what was decided on its request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// The number of the record.
    pub number: u64,
    /// The request, where the caller noted it.
    pub request: Option<String>,
}

/// The receipts of a text, one a line: `NAME NUMBER`, as the header `x-pointsman-receipt` says them, and the request's id if it
/// was noted. Empty lines are left out.
///
/// # Errors
/// A line is no receipt of the log of this name.
pub fn receipts(name: &str, text: &str) -> Result<Vec<Receipt>, String> {
    let mut all = Vec::new();
    for (nth, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let nth = nth + 1;
        let mut words = line.split_whitespace();
        let (log, number, request, more) = (words.next(), words.next(), words.next(), words.next());
        let number = number.and_then(|number| number.parse().ok());
        let (Some(log), Some(number), None) = (log, number, more) else {
            return Err(format!("line {nth} is no receipt: expected NAME NUMBER [REQUEST-ID]"));
        };
        if log != name {
            return Err(format!("line {nth} is a receipt of the log `{log}`, the key is of `{name}`"));
        }
        all.push(Receipt { number, request: request.map(str::to_owned) });
    }
    all.sort();
    Ok(all)
}

/// The checkpoints of the log of this name in the files of a folder; other files are left out.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn anchors(name: &str, folder: &Path) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        if metadata.is_file() && metadata.len() <= MOST_ANCHOR_BYTES {
            all.extend(
                checkpoints(&String::from_utf8_lossy(&fs::read(&path)?))
                    .into_iter()
                    .filter(|note| note.split_once('\n').is_some_and(|(first, _)| first == name)),
            );
        }
    }
    Ok(all)
}

/// The notes of a file, which may be one note or a history of them.
pub fn checkpoints(text: &str) -> Vec<String> {
    // A single note lacks the empty line behind it.
    notes(&format!("{}\n\n", text.trim_end_matches('\n'))).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_a_name_a_number_and_perhaps_a_request() {
        let read = receipts("a/b", "a/b 7\n\na/b 3 r-1\r\n").unwrap();
        assert_eq!(read[0], Receipt { number: 3, request: Some("r-1".into()) });
        assert_eq!(read[1], Receipt { number: 7, request: None });
        for bad in ["a/b", "a/b x", "a/b 1 r more", "a/b -1"] {
            let why = receipts("a/b", bad).unwrap_err();
            assert_eq!(why, "line 1 is no receipt: expected NAME NUMBER [REQUEST-ID]", "{bad}");
        }
        let why = receipts("a/b", "a/b 1\na/c 1").unwrap_err();
        assert_eq!(why, "line 2 is a receipt of the log `a/c`, the key is of `a/b`");
    }

    #[test]
    fn anchors_are_the_notes_of_this_log_in_whichever_files() {
        let folder = tempfile::tempdir().unwrap();
        let note = |name: &str, size: u64| format!("{name}\n{size}\nroot\n\n\u{2014} {name} s\n");
        fs::write(folder.path().join("one"), note("a", 1)).unwrap();
        fs::write(folder.path().join("two"), format!("{}\n{}\n", note("a", 2), note("a", 3))).unwrap();
        fs::write(folder.path().join("other"), note("b", 4)).unwrap();
        fs::write(folder.path().join("picture"), [0xff; 100]).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        let mut found = anchors("a", folder.path()).unwrap();
        found.sort();
        assert_eq!(found, [note("a", 1), note("a", 2), note("a", 3)]);
    }
}
