//! Blocks of content, as the caller wrote them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    respond::error::ApiError,
    wire::fields::{missing, unknown},
};

/// A block: the fields of every kind, of which each kind has its own.
#[derive(Default, Deserialize)]
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
    #[serde(default, deserialize_with = "contents")]
    pub(super) content: Vec<Block>,
    #[serde(default)]
    pub(super) is_error: Option<bool>,
}

impl Block {
    fn text(text: String) -> Self {
        Self { r#type: "text".to_owned(), text: Some(text), ..Self::default() }
    }
}

/// Where the bytes of an image or a document are.
#[derive(Deserialize)]
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

/// A text, which is one block, or a list of blocks, or null.
pub(super) fn contents<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Block>, D::Error> {
    struct Contents;

    impl<'de> Visitor<'de> for Contents {
        type Value = Vec<Block>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of content blocks")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Block::text(text.to_owned())])
        }

        fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
            Ok(vec![Block::text(text)])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(block) = blocks.next_element()? {
                all.push(block);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(Contents)
}
