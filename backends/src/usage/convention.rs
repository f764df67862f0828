//! By which names an API counts tokens, as data: paths in the JSON of an answer.
//!
//! Reads an answer in one pass, and copies nothing of it. Where several paths tell the same count, the first that holds
//! a number is taken. A count that contradicts itself - more cached tokens than the prompt has - is not believed.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Usage;

/// What a path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Prompt tokens.
    Prompt,
    /// Generated tokens.
    Completion,
    /// Prompt tokens from a cache.
    Cached,
    /// Prompt tokens to a cache.
    CacheWrite,
    /// Generated tokens that were reasoning.
    Reasoning,
    /// The cost in US dollars.
    CostUsd,
    /// True where that cost is a router's fee alone, as the caller pays its upstream with a key of its own. It is then
    /// not the cost of the request.
    FeeOnly,
}

/// How a part relates to its whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// The prompt tokens include those from and to a cache.
    Inclusive,
    /// They are counted beside each other, as Anthropic does.
    Exclusive,
}

/// The words in which one API counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convention {
    fields: Vec<Field>,
    counting: Counting,
    /// Whether a path lies outside `usage`.
    outside: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    count: Count,
    path: Vec<Box<str>>,
}

/// The most paths of a convention: one bit each.
const MOST: usize = 32;

const OPENAI: [(Count, &str); 5] = [
    (Count::Prompt, "usage.prompt_tokens"),
    (Count::Completion, "usage.completion_tokens"),
    (Count::Cached, "usage.prompt_tokens_details.cached_tokens"),
    (Count::CacheWrite, "usage.prompt_tokens_details.cache_write_tokens"),
    (Count::Reasoning, "usage.completion_tokens_details.reasoning_tokens"),
];

const RESPONSES: [(Count, &str); 4] = [
    (Count::Prompt, "usage.input_tokens"),
    (Count::Completion, "usage.output_tokens"),
    (Count::Cached, "usage.input_tokens_details.cached_tokens"),
    (Count::Reasoning, "usage.output_tokens_details.reasoning_tokens"),
];

const ANTHROPIC: [(Count, &str); 4] = [
    (Count::Prompt, "usage.input_tokens"),
    (Count::Completion, "usage.output_tokens"),
    (Count::Cached, "usage.cache_read_input_tokens"),
    (Count::CacheWrite, "usage.cache_creation_input_tokens"),
];

impl Convention {
    /// OpenAI's chat and completions APIs.
    pub fn openai() -> Arc<Self> {
        static OPENAI_S: LazyLock<Arc<Convention>> =
            LazyLock::new(|| Arc::new(Convention::of(&OPENAI, Counting::Inclusive)));
        Arc::clone(&OPENAI_S)
    }

    /// OpenAI's Responses API.
    pub fn responses() -> Self {
        Self::of(&RESPONSES, Counting::Inclusive)
    }

    /// Anthropic's Messages API: cached and written tokens are not among its input tokens.
    pub fn anthropic() -> Self {
        Self::of(&ANTHROPIC, Counting::Exclusive)
    }

    fn of(paths: &[(Count, &str)], counting: Counting) -> Self {
        let none = Self { fields: Vec::new(), counting, outside: false };
        paths.iter().fold(none, |all, (count, path)| all.or(*count, path))
    }

    /// The same, which also looks at a path of keys with dots between them, after those it has. Beyond 32 paths nothing
    /// is added.
    #[must_use]
    pub fn or(mut self, count: Count, path: &str) -> Self {
        let field = Field { count, path: path.split('.').map(Into::into).collect() };
        if self.fields.len() < MOST && !self.fields.contains(&field) {
            self.outside |= *field.path[0] != *"usage";
            self.fields.push(field);
        }
        self
    }

    /// What an answer or a chunk of one says; `usage` is the value of its key `usage`, if it has one that is not null.
    /// `ends` says whether an answer ends here: only then is a chunk without `usage` looked at, where this API counts
    /// outside of it. `None` if nothing is counted.
    pub fn read(&self, answer: &[u8], usage: Option<&RawValue>, ends: bool) -> Option<Usage> {
        if self.outside && (usage.is_some() || ends) {
            let all = self.bits(|_| true);
            let found = self.walk(&mut serde_json::Deserializer::from_slice(answer), all, 0)?;
            return (usage.is_some_and(is_object) || found.counts_tokens()).then(|| found.usage(self.counting));
        }
        let usage = usage.filter(|usage| is_object(usage))?;
        let inside = self.bits(|field| *field.path[0] == *"usage");
        let found = self.walk(&mut serde_json::Deserializer::from_str(usage.get()), inside, 1)?;
        Some(found.usage(self.counting))
    }

    fn bits(&self, keep: impl Fn(&Field) -> bool) -> u32 {
        let bit = |(at, field)| if keep(field) { 1_u32 << at } else { 0 };
        self.fields.iter().enumerate().map(bit).sum()
    }

    fn walk<'de, D: Deserializer<'de>>(&self, json: D, fields: u32, depth: usize) -> Option<Found> {
        let mut found = Found::default();
        Walk { convention: self, fields, depth, found: &mut found }.deserialize(json).ok()?;
        Some(found)
    }
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// The numbers found so far, each with the place of its path.
#[derive(Debug, Default)]
struct Found {
    tokens: [Option<(usize, u64)>; 5],
    cost: Option<(usize, f64)>,
    fee_only: bool,
}

impl Found {
    fn number(&mut self, place: usize, count: Count, number: f64, whole: Option<u64>) {
        let tokens = match count {
            Count::Prompt => &mut self.tokens[0],
            Count::Completion => &mut self.tokens[1],
            Count::Cached => &mut self.tokens[2],
            Count::CacheWrite => &mut self.tokens[3],
            Count::Reasoning => &mut self.tokens[4],
            Count::CostUsd => {
                if number.is_finite() && number >= 0.0 && self.cost.is_none_or(|(before, _)| place < before) {
                    self.cost = Some((place, number));
                }
                return;
            }
            Count::FeeOnly => return,
        };
        if number >= 0.0 && tokens.is_none_or(|(before, _)| place < before) {
            // A float above all counts becomes the largest.
            *tokens = Some((place, whole.unwrap_or(number as u64)));
        }
    }

    fn counts_tokens(&self) -> bool {
        self.tokens[0].is_some() || self.tokens[1].is_some()
    }

    fn usage(&self, counting: Counting) -> Usage {
        let [prompt, completion, cached, written, reasoning] =
            self.tokens.map(|found| found.map_or(0, |(_, count)| count));
        let prompt_tokens = match counting {
            Counting::Inclusive => prompt,
            Counting::Exclusive => prompt.saturating_add(cached).saturating_add(written),
        };
        let part = |part: u64, whole: u64| if part <= whole { part } else { 0 };
        let cached_tokens = part(cached, prompt_tokens);
        Usage {
            prompt_tokens,
            completion_tokens: completion,
            cached_tokens,
            cache_write_tokens: part(written, prompt_tokens - cached_tokens),
            reasoning_tokens: part(reasoning, completion),
            cost_usd: self.cost.map(|(_, cost)| cost).filter(|_| !self.fee_only),
        }
    }
}

/// Walks down the JSON along the paths of some fields, and past everything else.
struct Walk<'a> {
    convention: &'a Convention,
    /// The fields whose paths have led here, a bit each.
    fields: u32,
    /// How many of their keys that took.
    depth: usize,
    found: &'a mut Found,
}

impl<'a> Walk<'a> {
    fn here(&self) -> impl Iterator<Item = (usize, &'a Field)> + use<'a> {
        let (fields, depth) = (self.fields, self.depth);
        let led_here = move |(at, field): &(usize, &Field)| fields & 1 << at != 0 && field.path.len() >= depth;
        self.convention.fields.iter().enumerate().filter(led_here)
    }

    fn number(self, number: f64, whole: Option<u64>) {
        let depth = self.depth;
        for (at, field) in self.here().filter(|(_, field)| field.path.len() == depth) {
            self.found.number(at, field.count, number, whole);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.depth;
        while let Some(fields) = map.next_key_seed(Key(&self))? {
            if fields == 0 {
                map.next_value::<IgnoredAny>()?;
            } else {
                let below = Walk { convention: self.convention, fields, depth: depth + 1, found: &mut *self.found };
                map.next_value_seed(below)?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.number(number as f64, Some(number));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.number(number as f64, None);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.number(number, None);
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        let depth = self.depth;
        if flag && self.here().any(|(_, field)| field.count == Count::FeeOnly && field.path.len() == depth) {
            self.found.fee_only = true;
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The fields that a key leads on to, a bit each.
struct Key<'a, 'w>(&'a Walk<'w>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u32, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<u32, E> {
        let depth = self.0.depth;
        let leads = |(_, field): &(usize, &Field)| field.path.get(depth).is_some_and(|step| **step == *key);
        Ok(self.0.here().filter(leads).map(|(at, _)| 1_u32 << at).sum())
    }
}

#[cfg(test)]
mod tests;
