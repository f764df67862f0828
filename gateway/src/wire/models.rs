//! `GET /v1/models` and `/v1/models/{id}`, as OpenAI and as Anthropic have them.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

/// One model as OpenAI lists it, with what a caller of ours wants to know beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// The name to send as `model`.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When the configuration that offers it was loaded, in Unix seconds.
    pub created: u64,
    /// Who made it; `pointsman` for a virtual model.
    pub owned_by: String,
    /// Context window in tokens, under the name that engines use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u64>,
    /// Licence id of the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Licence tier, 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<u8>,
    /// Engine in this process that runs it, where it runs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<&'static str>,
}

impl Model {
    /// A name that policy gives, behind which a plan stands.
    pub fn virtual_(id: &str, created: u64) -> Self {
        Self {
            id: id.to_owned(),
            object: "model",
            created,
            owned_by: "pointsman".to_owned(),
            max_model_len: None,
            license: None,
            tier: None,
            engine: None,
        }
    }
}

/// One model as Anthropic lists it.
#[derive(Debug, Serialize)]
pub struct AnthropicModel<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    /// RFC 3339.
    created_at: String,
}

impl Model {
    /// The same as Anthropic lists it.
    pub fn in_anthropics(&self) -> AnthropicModel<'_> {
        let created = UNIX_EPOCH + Duration::from_secs(self.created);
        AnthropicModel {
            r#type: "model",
            id: &self.id,
            display_name: &self.id,
            created_at: humantime::format_rfc3339_seconds(created).to_string(),
        }
    }
}

/// Anthropic's list: one page.
#[derive(Debug, Serialize)]
pub struct AnthropicList<'a> {
    data: Vec<AnthropicModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

impl<'a> AnthropicList<'a> {
    /// All of these.
    pub fn of(models: &[&'a Model]) -> Self {
        Self {
            data: models.iter().map(|model| model.in_anthropics()).collect(),
            has_more: false,
            first_id: models.first().map(|model| &*model.id),
            last_id: models.last().map(|model| &*model.id),
        }
    }
}

/// The list.
#[derive(Debug, Serialize)]
pub struct List<'a> {
    /// Always `list`.
    pub object: &'static str,
    /// The models.
    pub data: Vec<&'a Model>,
}
