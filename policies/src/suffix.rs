//! `model:cheap`: a preference that a caller may put behind a name, and whether policies let it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::route::Prefer;

/// A preference behind a model's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// `:cheap`: price first.
    Cheap,
    /// `:fast`: time first.
    Fast,
    /// `:quality`: estimated quality first.
    Quality,
}

impl Suffix {
    /// Every suffix.
    pub const ALL: [Suffix; 3] = [Suffix::Cheap, Suffix::Fast, Suffix::Quality];

    /// The word behind the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Fast => "fast",
            Self::Quality => "quality",
        }
    }

    /// What stands before the suffix of `name`, and the suffix; `None` for a name without one.
    pub(crate) fn split(name: &str) -> Option<(&str, Self)> {
        let (base, word) = name.rsplit_once(':')?;
        let suffix = Self::ALL.into_iter().find(|suffix| suffix.as_str() == word)?;
        (!base.is_empty()).then_some((base, suffix))
    }

    /// What it weighs. The weights of the routes `cheap` and `fast` of the built-in policies.
    pub(crate) fn prefer(self) -> Prefer {
        match self {
            Self::Cheap => Prefer { cost: 4.0, quality: 1.0, ..Prefer::default() },
            Self::Fast => Prefer { latency: 3.0, quality: 1.0, ..Prefer::default() },
            Self::Quality => Prefer { quality: 4.0, cost: 1.0, ..Prefer::default() },
        }
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.as_str())
    }
}

impl Serialize for Suffix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether callers may choose a preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suffixes {
    Allow,
    Refuse,
}

impl Suffixes {
    pub(crate) const WORDS: [(&str, Suffixes); 2] = [("allow", Suffixes::Allow), ("refuse", Suffixes::Refuse)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_part_of_a_name_is_a_suffix_and_only_a_known_one() {
        assert_eq!(Suffix::split("auto:cheap"), Some(("auto", Suffix::Cheap)));
        assert_eq!(Suffix::split("lab:qwen3:fast"), Some(("lab:qwen3", Suffix::Fast)));
        for name in ["auto", "auto:dear", ":cheap", "cheap", "auto:cheap:"] {
            assert_eq!(Suffix::split(name), None, "{name}");
        }
    }
}
