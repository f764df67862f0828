//! What the metadata of a file says of its records: which they are of which log, the checkpoint that was signed over them, and the
//! hashes that lead from them to it.
//!
//! All of it is read strictly, each entry once and no other: an entry that this version does not know could tell a reader of the
//! file to take its columns for something else.

use audit::{range::Around, tree::Hash};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use parquet::file::metadata::KeyValue;

/// How the names of all entries begin.
const PREFIX: &str = "pointsman.";
/// The version of all of this.
const FORMAT: &str = "1";
/// On either side of a run there are fewer hashes.
const MOST_HASHES: usize = 64;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// The name of the log.
    pub(super) origin: String,
    /// The number of the first record.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: u64,
    /// The note of the checkpoint.
    pub(super) checkpoint: String,
    /// The rotations of the log's key, as its history has them; empty where there was none.
    pub(super) keys: String,
    /// What leads to the root.
    pub(super) around: Around,
}

impl Claims {
    /// The entries.
    pub(super) fn entries(&self) -> Vec<KeyValue> {
        let entry = |(name, value): (&str, String)| KeyValue::new(format!("{PREFIX}{name}"), value);
        let entries = [
            ("format", FORMAT.to_owned()),
            ("origin", self.origin.clone()),
            ("first", self.first.to_string()),
            ("count", self.count.to_string()),
            ("checkpoint", self.checkpoint.clone()),
            ("keys", self.keys.clone()),
            ("left", written(&self.around.left)),
            ("right", written(&self.around.right)),
        ];
        entries.map(entry).into()
    }

    /// What entries say.
    ///
    /// # Errors
    /// They are not those of such a file.
    pub(super) fn of(entries: &[KeyValue]) -> Result<Self, String> {
        let text = |name: &str| {
            let named = format!("{PREFIX}{name}");
            let mut entries = entries.iter().filter(|entry| entry.key == named);
            let one = entries.next().and_then(|entry| entry.value.as_deref());
            one.filter(|_| entries.next().is_none()).ok_or_else(|| format!("its metadata does not say `{named}` once"))
        };
        let format = text("format")?;
        if format != FORMAT {
            return Err(format!("its metadata is of format `{format}`, this version reads {FORMAT}"));
        }
        let number = |name: &str| {
            let written = text(name)?;
            let number = written.parse::<u64>().ok().filter(|number| number.to_string() == written);
            number.ok_or_else(|| format!("`{PREFIX}{name}` of its metadata is no number"))
        };
        let hashes = |name: &str| {
            let hashes = read(text(name)?);
            hashes.ok_or_else(|| format!("`{PREFIX}{name}` of its metadata is no list of hashes"))
        };
        let claims = Self {
            origin: text("origin")?.to_owned(),
            first: number("first")?,
            count: number("count")?,
            checkpoint: text("checkpoint")?.to_owned(),
            keys: text("keys")?.to_owned(),
            around: Around { left: hashes("left")?, right: hashes("right")? },
        };
        // All of them are there once, so there is another where there are more.
        match entries.len() == claims.entries().len() {
            true => Ok(claims),
            false => Err("its metadata has entries that no export writes".to_owned()),
        }
    }
}

/// Hashes, one a line.
fn written(hashes: &[Hash]) -> String {
    hashes.iter().map(|hash| format!("{}\n", BASE64_STANDARD.encode(hash))).collect()
}

fn read(text: &str) -> Option<Vec<Hash>> {
    let lines = text.lines().take(MOST_HASHES + 1);
    let hashes: Option<Vec<Hash>> = lines.map(|line| BASE64_STANDARD.decode(line).ok()?.try_into().ok()).collect();
    hashes.filter(|hashes| hashes.len() <= MOST_HASHES && written(hashes) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_as_they_were_written_and_in_no_other_way() {
        let claims = Claims {
            origin: "a/b".to_owned(),
            first: 7,
            count: 3,
            checkpoint: "a/b\n12\nroot\n\n\u{2014} a/b s\n".to_owned(),
            keys: String::new(),
            around: Around { left: vec![[1; 32], [2; 32]], right: Vec::new() },
        };
        let good = claims.entries();
        assert_eq!(Claims::of(&good), Ok(claims));
        let changed = |at: usize, value: &str| {
            let mut entries = good.clone();
            entries[at].value = Some(value.to_owned());
            Claims::of(&entries).unwrap_err()
        };
        assert_eq!(changed(0, "2"), "its metadata is of format `2`, this version reads 1");
        for number in ["", "+7", "07", "-1", "18446744073709551616"] {
            assert_eq!(changed(2, number), "`pointsman.first` of its metadata is no number", "{number}");
        }
        let long = written(&[[0; 32]; MOST_HASHES + 1]);
        for hashes in ["AAAA\n", &written(&[[1; 32]])[1..], written(&[[1; 32]]).trim_end(), &long] {
            assert_eq!(changed(6, hashes), "`pointsman.left` of its metadata is no list of hashes", "{hashes}");
        }
        for at in 0..good.len() {
            let (mut fewer, mut twice) = (good.clone(), good.clone());
            fewer.remove(at);
            twice.push(good[at].clone());
            assert!(Claims::of(&fewer).is_err() && Claims::of(&twice).is_err(), "{at}");
        }
        let more = [&good[..], &[KeyValue::new("ARROW:schema".to_owned(), "x".to_owned())]].concat();
        assert_eq!(Claims::of(&more).unwrap_err(), "its metadata has entries that no export writes");
    }
}
