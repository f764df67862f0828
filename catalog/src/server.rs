//! One row per inference engine that a company runs itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An inference engine: where its server listens and how it departs from the OpenAI API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The name that deployments use.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// Who makes it.
    pub developer: String,
    /// The licence of the software.
    pub software_license: String,
    /// What it is.
    pub kind: ServerKind,
    /// `active`, `maintenance` or `winding-down`.
    pub status: String,
    /// The port it listens on unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_port: Option<u16>,
    /// What goes before `/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// Answers 200 when it can serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// The list of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models_path: Option<String>,
    /// Metrics in the Prometheus format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_path: Option<String>,
    /// Whether it asks for a key unless told otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_key: bool,
    /// Whether `stream_options.include_usage` works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Where an answer reports prompt tokens read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<String>,
    /// Whether prompts that share a prefix share its work without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_cache: Option<bool>,
    /// Formats of weights it loads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<String>,
    /// Hardware it runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<String>,
    /// Request fields that it refuses or ignores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// A server with an HTTP API.
    Server,
    /// A program for one person's desk, with an HTTP API.
    Desktop,
    /// Starts and scales servers.
    Orchestrator,
    /// A library; something else has to serve it.
    Library,
}
