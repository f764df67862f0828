//! The five licence tiers: a coarse label, ordered from free to closed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a licence holds back. A greater tier is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Tier {
    /// Commercial use, redistribution and derivatives are free; notices stay.
    Free = 1,
    /// Commercial use is allowed under a use policy, a threshold, a naming or attribution rule.
    Conditional = 2,
    /// Free for research; commercial use needs a licence of its own.
    Research = 3,
    /// No commercial use at all.
    NonCommercial = 4,
    /// No weights, or no known licence: only a contract opens it.
    Closed = 5,
}

impl Tier {
    /// Every tier, the freest first.
    pub const ALL: [Tier; 5] = [Tier::Free, Tier::Conditional, Tier::Research, Tier::NonCommercial, Tier::Closed];

    /// The tier as policies and data files write it, 1 to 5.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tier {}", self.number())
    }
}

/// A tier is a number from 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tier {0} does not exist: expected a number from 1 (free) to 5 (closed)")]
pub struct UnknownTier(u8);

impl TryFrom<u8> for Tier {
    type Error = UnknownTier;

    fn try_from(number: u8) -> Result<Self, UnknownTier> {
        Tier::ALL.into_iter().find(|tier| tier.number() == number).ok_or(UnknownTier(number))
    }
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> u8 {
        tier.number()
    }
}

impl JsonSchema for Tier {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tier".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer",
            "minimum": 1,
            "maximum": 5,
            "description": "1 free, 2 conditional, 3 research, 4 non-commercial, 5 closed or unknown",
        })
    }
}
