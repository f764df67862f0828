//! `hf:OWNER/REPO[:FILE][@REVISION]`: which file of which repository of the hub, as people write it.
//!
//! Each part ends up in an address or in a path, so only what can stand in both is taken.

use std::{fmt, str::FromStr};

/// The longest part, in bytes; the hub takes less.
const MOST_PART: usize = 200;
/// What is asked for where no revision is named.
pub const NEWEST: &str = "main";

/// A repository of the hub, with what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `owner/name`.
    pub repository: String,
    /// The file, where one is named.
    pub file: Option<String>,
    /// A branch, a tag or a commit.
    pub revision: String,
}

/// It is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected hf:OWNER/REPO[:FILE][@REVISION], such as hf:Qwen/Qwen3-8B-GGUF:Qwen3-8B-Q4_K_M.gguf; {0}")]
pub struct Unreadable(&'static str);

impl FromStr for Reference {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let rest = text.strip_prefix("hf:").ok_or(Unreadable("only the hub of Hugging Face is known, as `hf:`"))?;
        let (rest, revision) = match rest.split_once('@') {
            Some((rest, revision)) => (rest, revision),
            None => (rest, NEWEST),
        };
        let (repository, file) = match rest.split_once(':') {
            Some((repository, file)) => (repository, Some(file)),
            None => (rest, None),
        };
        let repository = repository.trim_end_matches('/');
        match repository.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => {}
            _ => return Err(Unreadable("a repository is OWNER/NAME of letters, digits, `.`, `-` and `_`")),
        }
        if file.is_some_and(|file| !is_path(file)) {
            return Err(Unreadable("a file is named as the repository lists it"));
        }
        if !revision.split('/').all(is_name) {
            return Err(Unreadable("a revision is a branch, a tag or a commit"));
        }
        let file = file.map(str::to_owned);
        Ok(Self { repository: repository.to_owned(), file, revision: revision.to_owned() })
    }
}

/// As it was written, without the revision: that is said beside it.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}", self.repository)?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

/// Whether it can be one part of a path and of an address.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=MOST_PART).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

/// Whether it is the path of a file in a repository that leads nowhere else.
pub fn is_path(text: &str) -> bool {
    let plain = |part: &str| {
        (1..=MOST_PART).contains(&part.len())
            && !part.starts_with('.')
            && !part
                .chars()
                .any(|c| c.is_control() || matches!(c, '\\' | ':' | '?' | '#' | '%' | '"' | '<' | '>' | '|' | '*'))
    };
    text.split('/').count() <= 8 && text.split('/').all(plain)
}

/// Whether it is a SHA-256 in hex, in small letters.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_repository_and_perhaps_a_file_and_a_revision() {
        let read: Reference = "hf:Qwen/Qwen3-8B-GGUF:q4/Qwen3-8B-Q4_K_M.gguf@refs/pr/1".parse().unwrap();
        assert_eq!(read.repository, "Qwen/Qwen3-8B-GGUF");
        assert_eq!(read.file.as_deref(), Some("q4/Qwen3-8B-Q4_K_M.gguf"));
        assert_eq!(read.revision, "refs/pr/1");
        assert_eq!(read.to_string(), "hf:Qwen/Qwen3-8B-GGUF:q4/Qwen3-8B-Q4_K_M.gguf");
        let read: Reference = "hf:a/b".parse().unwrap();
        assert_eq!((read.file, read.revision.as_str()), (None, NEWEST));
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_reference() {
        for text in [
            "a/b",
            "hf:a",
            "hf:../b",
            "hf:a/..",
            "hf:a/b/c",
            "hf:a/b:../x.gguf",
            "hf:a/b:x//y",
            "hf:a/b@..",
            "hf:a/b@x?y",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        for path in ["/etc/passwd", "a/../b", "a\\b", ".ssh/x", "a%2e%2e/b", "x\n", ""] {
            assert!(!is_path(path), "{path}");
        }
        assert!(is_path("BF16/a model-00001-of-00002.gguf"));
    }
}
