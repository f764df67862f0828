//! What a request asks for, as far as a scripted answer depends on it.

use serde::Deserialize;
use serde_json::Value;

/// The fields that shape an answer; all others are ignored.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Ask {
    #[serde(default)]
    pub(crate) model: String,
    #[serde(default)]
    pub(crate) stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    messages: Vec<Turn>,
    #[serde(default)]
    prompt: Value,
    /// Of the Responses API: a text, or items.
    #[serde(default)]
    input: Value,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    /// How many of its tokens the host's cache had.
    #[serde(skip)]
    pub(crate) cached: usize,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Turn {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Value,
}

impl Turn {
    fn of(item: &Value) -> Self {
        Self::deserialize(item).unwrap_or_default()
    }

    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        }
    }
}

impl Ask {
    /// Whether the stream is to end with a usage chunk.
    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    /// Number of choices: `n` for each prompt. Bounded, as the request comes from anyone.
    pub(crate) fn choices(&self) -> u32 {
        let prompts = match &self.prompt {
            Value::Array(prompts) if prompts.iter().any(|prompt| !prompt.is_number()) => prompts.len(),
            _ => 1,
        };
        let prompts = u32::try_from(prompts).unwrap_or(u32::MAX);
        self.n.unwrap_or(1).max(1).saturating_mul(prompts).min(128)
    }

    /// The last user turn, or the first prompt.
    pub(crate) fn last_text(&self) -> String {
        if let Some(turn) = self.messages.iter().rev().find(|turn| turn.role == "user") {
            return turn.text();
        }
        match (&self.prompt, &self.input) {
            (Value::String(text), _) | (Value::Null, Value::String(text)) => text.clone(),
            (Value::Null, Value::Array(items)) => items.last().map(Turn::of).unwrap_or_default().text(),
            (Value::Array(prompts), _) => prompts.first().and_then(Value::as_str).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }

    /// The texts of the turns of a chat, or of a prompt, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.messages.iter().map(Turn::text).chain(self.prompt.as_str().map(str::to_owned)).collect()
    }

    /// A prompt size that depends on the prompt alone: its words.
    pub(crate) fn prompt_tokens(&self) -> usize {
        let turns: usize = self.messages.iter().map(|turn| turn.text().split_whitespace().count()).sum();
        let prompts = match &self.prompt {
            Value::String(text) => text.split_whitespace().count(),
            Value::Array(prompts) => {
                prompts.iter().map(|prompt| prompt.as_str().map_or(1, |text| text.split_whitespace().count())).sum()
            }
            _ => 0,
        };
        let input = match &self.input {
            Value::String(text) => text.split_whitespace().count(),
            Value::Array(items) => items.iter().map(|item| Turn::of(item).text().split_whitespace().count()).sum(),
            _ => 0,
        };
        turns + prompts + input
    }

    /// The function to call: the first one offered, once a user turn comes last.
    pub(crate) fn tool(&self) -> Option<&str> {
        let of_input = |items: &Vec<Value>| items.last().is_some_and(|item| item["role"] == "user");
        let user_is_last = self.messages.last().is_some_and(|turn| turn.role == "user")
            || self.input.is_string()
            || self.input.as_array().is_some_and(of_input);
        if !user_is_last || self.tool_choice == "none" {
            return None;
        }
        let tool = self.tools.first()?;
        // Anthropic's and the Responses API name it outside of `function`.
        tool["function"]["name"].as_str().or_else(|| tool["name"].as_str())
    }
}
