//! `GET /v1/models` and `/v1/models/{id}`.

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
