//! How many tokens a generation took.

use serde::Deserialize;

/// Token counts of one request, in the backend's own tokens. Counts a backend did not report are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens generated, reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens that came from a cache.
    pub cached_tokens: u64,
    /// Generated tokens that were reasoning.
    pub reasoning_tokens: u64,
}

/// The `usage` object of OpenAI's APIs; every field is optional on the wire.
#[derive(Deserialize, Default)]
struct Wire {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize, Default)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl<'de> Deserialize<'de> for Usage {
    /// Reads the `usage` object of OpenAI's chat and completions APIs; unknown fields are skipped.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            prompt_tokens: wire.prompt_tokens.unwrap_or(0),
            completion_tokens: wire.completion_tokens.unwrap_or(0),
            cached_tokens: wire.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
            reasoning_tokens: wire.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_reads_the_openai_object_and_skips_what_it_does_not_know() {
        let usage: Usage = serde_json::from_str(
            r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"x":{},
                "prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":null}"#,
        )
        .unwrap();
        assert_eq!(usage, Usage { prompt_tokens: 12, completion_tokens: 3, cached_tokens: 8, reasoning_tokens: 0 });
    }
}
