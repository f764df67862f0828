//! Blocks of content, as the caller wrote them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    respond::error::ApiError,
    wire::{
        fields::{missing, unknown},
        text_or_list::{Entry, TextOr, text_or_list},
    },
};

/// A block: the fields of every kind, of which each kind has its own.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "MessagesBlock")]
pub(super) struct Block {
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) thinking: Option<String>,
    #[serde(default)]
    pub(super) source: Option<Source>,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) input: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Block>")]
    pub(super) content: Vec<Block>,
    #[serde(default)]
    pub(super) is_error: Option<bool>,
}

impl Entry for Block {
    type Wire<'de> = Self;

    const EXPECTED: &'static str = "a string or a list of content blocks";

    fn of_text(text: String) -> Self {
        Self { r#type: "text".to_owned(), text: Some(text), ..Self::default() }
    }

    fn of_wire(block: Self) -> Self {
        block
    }
}

/// Where the bytes of an image or a document are.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesSource")]
pub(super) struct Source {
    r#type: String,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

/// What a source comes to.
pub(super) enum Held {
    /// An address: one of the web, or the data itself.
    Address(String),
    /// Text.
    Text(String),
}

impl Source {
    /// What it holds; `at` is its block, for the error.
    pub(super) fn held(&self, at: &str) -> Result<Held, ApiError> {
        let needs = |field: &str| missing(&format!("{at}.source"), field);
        match self.r#type.as_str() {
            "base64" => {
                let media = self.media_type.as_deref().ok_or_else(|| needs("media_type"))?;
                let data = self.data.as_deref().ok_or_else(|| needs("data"))?;
                Ok(Held::Address(format!("data:{media};base64,{data}")))
            }
            "url" => Ok(Held::Address(self.url.clone().ok_or_else(|| needs("url"))?)),
            "text" => Ok(Held::Text(self.data.clone().ok_or_else(|| needs("data"))?)),
            other => Err(unknown(&format!("{at}.source.type"), other, "`base64`, `url` or `text`")),
        }
    }
}
