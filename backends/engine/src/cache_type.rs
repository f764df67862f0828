//! How an engine keeps keys and values.

use std::fmt;

/// The numbers that keys and values are kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// Halves: two bytes a number.
    #[default]
    F16,
    /// Bytes with a scale for some of them: 17 for 16 numbers.
    Q8_0,
}

impl CacheType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F16, Self::Q8_0];

    /// Its name, which is that of llama.cpp.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Bytes of so many numbers; none if that overflows.
    pub fn bytes(self, numbers: u64) -> Option<u64> {
        match self {
            Self::F16 => numbers.checked_mul(2),
            Self::Q8_0 => Some(numbers.checked_mul(17)?.div_ceil(16)),
        }
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
