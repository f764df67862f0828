//! Fields that the chat and the completions API share, with their ranges.

use std::collections::BTreeMap;

use backends::{Priority, Sampling};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::respond::error::{ApiError, clip};

/// Most choices a request may ask for; each costs a slot.
const MAX_CHOICES: u32 = 16;
/// Most stop sequences.
const MAX_STOPS: usize = 16;

/// The sampling fields of both APIs and the engines' own extras.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SamplingFields")]
pub(super) struct Fields {
    pub model: String,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub max_tokens: Option<i64>,
    #[serde(default)]
    pub max_completion_tokens: Option<i64>,
    #[serde(default)]
    pub n: Option<i64>,
    #[serde(default)]
    pub stop: Option<Stop>,
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default)]
    pub temperature: Option<f32>,
    #[serde(default)]
    pub top_p: Option<f32>,
    #[serde(default)]
    pub top_k: Option<i64>,
    #[serde(default)]
    pub min_p: Option<f32>,
    #[serde(default)]
    pub frequency_penalty: Option<f32>,
    #[serde(default)]
    pub presence_penalty: Option<f32>,
    #[serde(default)]
    pub repetition_penalty: Option<f32>,
    #[serde(default)]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    #[serde(default)]
    pub metadata: Option<Box<RawValue>>,
    #[serde(default)]
    pub service_tier: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub(super) enum Stop {
    One(String),
    Many(Vec<String>),
}

/// What a `service_tier` says of who goes first in this process. `flex` gives way to others, as it does where it is sold; that
/// anybody goes before others is not a caller's to say.
pub(super) fn priority(service_tier: Option<&str>) -> Priority {
    match service_tier {
        Some("flex") => Priority::Low,
        _ => Priority::Usual,
    }
}

impl Fields {
    /// The token limit; the newer name wins where both are there.
    pub fn max_tokens(&self) -> Result<Option<u32>, ApiError> {
        let (param, value) = match (self.max_completion_tokens, self.max_tokens) {
            (Some(value), _) => ("max_completion_tokens", value),
            (None, Some(value)) => ("max_tokens", value),
            (None, None) => return Ok(None),
        };
        // A caller's huge number means "as many as fit".
        if value < 0 {
            Err(out_of_range(param, "at least 0", value))
        } else {
            Ok(Some(u32::try_from(value).unwrap_or(u32::MAX)))
        }
    }

    pub fn choices(&self) -> Result<u32, ApiError> {
        let n = self.n.unwrap_or(1);
        u32::try_from(n)
            .ok()
            .filter(|n| (1..=MAX_CHOICES).contains(n))
            .ok_or_else(|| out_of_range("n", &format!("between 1 and {MAX_CHOICES}"), n))
    }

    pub fn stop(&mut self) -> Result<Vec<String>, ApiError> {
        let stops = match self.stop.take() {
            None => Vec::new(),
            Some(Stop::One(one)) => vec![one],
            Some(Stop::Many(many)) => many,
        };
        if stops.len() > MAX_STOPS {
            return Err(out_of_range("stop", &format!("at most {MAX_STOPS} sequences"), stops.len()));
        }
        // An empty sequence would stop before the first token.
        Ok(stops.into_iter().filter(|stop| !stop.is_empty()).collect())
    }

    pub fn sampling(&self) -> Result<Sampling, ApiError> {
        let defaults = Sampling::default();
        let top_k = self.top_k.unwrap_or(0);
        Ok(Sampling {
            temperature: range("temperature", self.temperature, 0.0..=2.0, defaults.temperature)?,
            top_p: range("top_p", self.top_p, 0.0..=1.0, defaults.top_p)?,
            // -1 is the engines' word for "all".
            top_k: if top_k == -1 {
                0
            } else {
                u32::try_from(top_k).map_err(|_| out_of_range("top_k", "-1 or more", top_k))?
            },
            min_p: range("min_p", self.min_p, 0.0..=1.0, defaults.min_p)?,
            frequency_penalty: range(
                "frequency_penalty",
                self.frequency_penalty,
                -2.0..=2.0,
                defaults.frequency_penalty,
            )?,
            presence_penalty: range("presence_penalty", self.presence_penalty, -2.0..=2.0, defaults.presence_penalty)?,
            repetition_penalty: range(
                "repetition_penalty",
                self.repetition_penalty,
                0.01..=10.0,
                defaults.repetition_penalty,
            )?,
            logit_bias: self.logit_bias()?,
            seed: self.seed.map(|seed| seed as u64),
        })
    }

    /// What these fields ask of a place; not every host takes them.
    pub fn needs(&self) -> policies::Needs {
        let penalty = |penalty: Option<f32>| penalty.is_some_and(|penalty| penalty != 0.0);
        policies::Needs {
            choices: self.n.is_some_and(|n| n > 1),
            logit_bias: self.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()),
            seed: self.seed.is_some(),
            penalties: penalty(self.frequency_penalty) || penalty(self.presence_penalty),
            ..Default::default()
        }
    }

    fn logit_bias(&self) -> Result<Vec<(u32, f32)>, ApiError> {
        let Some(map) = &self.logit_bias else { return Ok(Vec::new()) };
        map.iter()
            .map(|(key, &bias)| {
                let id = key.parse().map_err(|_| {
                    ApiError::invalid(
                        "logit_bias".to_owned(),
                        format!("`logit_bias`: expected token ids as keys, found `{}`", clip(key, 40)),
                    )
                })?;
                Ok((id, range("logit_bias", Some(bias), -100.0..=100.0, 0.0)?))
            })
            .collect()
    }
}

/// 400 for a word that is none of those expected.
pub(super) fn unknown(param: &str, found: &str, expected: &str) -> ApiError {
    let found = clip(found, 100);
    ApiError::invalid(param.to_owned(), format!("`{param}`: expected {expected}, found `{found}`"))
}

/// 400 for a field of an object at `at` that has to be there.
pub(super) fn missing(at: &str, field: &str) -> ApiError {
    let param = format!("{at}.{field}");
    ApiError::invalid(param.clone(), format!("`{param}` is missing"))
}

/// A number within its range, or its default.
fn range(param: &str, value: Option<f32>, range: std::ops::RangeInclusive<f32>, default: f32) -> Result<f32, ApiError> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(value),
        Some(value) => Err(out_of_range(param, &format!("between {} and {}", range.start(), range.end()), value)),
    }
}

pub(super) fn out_of_range(param: &str, expected: &str, found: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(param.to_owned(), format!("`{param}`: expected {expected}, found {found}"))
}
