//! One row per host: how to reach it and where it departs from the OpenAI API.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Differs, RateLimit, UsagePaths};

/// A company that serves models over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The name that deployments use.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// Runs the models itself, or hands requests on.
    pub kind: HostKind,
    /// The API it speaks.
    pub dialect: Dialect,
    /// Where the paths start; no slash at the end.
    pub base_url: String,
    /// Base addresses that keep requests in a region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regional_base_urls: BTreeMap<String, String>,
    /// Environment variables that usually hold the key, the vendor's own first.
    pub key_env: Vec<String>,
    /// How the key travels.
    pub auth: Auth,
    /// Paths under the base address.
    pub paths: Paths,
    /// Request fields that it refuses or ignores. `n` means any `n` other than 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
    /// Request fields that go by another name there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renames: BTreeMap<String, String>,
    /// Request fields of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_parameters: Vec<String>,
    /// The values of `tool_choice` that it takes, where it does not take all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_choices: Vec<String>,
    /// Request headers of its own, and what each is for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_headers: BTreeMap<String, String>,
    /// The one of them by which it keeps the requests of a session where their prompts are cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_header: Option<String>,
    /// How long it keeps the cached prefix of a prompt that is not asked for again, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_cache_seconds: Option<u32>,
    /// When a stream carries usage.
    pub stream_usage: StreamUsage,
    /// Where an answer counts tokens and cost.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub usage: UsagePaths,
    /// Where an answer reports how long its parts took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<String>,
    /// The forms that the body of an error takes, the usual one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_shapes: Vec<ErrorShape>,
    /// Whether a model that its list does not hold is not served either. Otherwise names have suffixes, or models of the
    /// customer's own are left out of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete_listing: bool,
    /// Response headers that tell limits, beside `retry-after`, which every host may send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Where the body of a refusal repeats such headers, as a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limits_inside: Option<String>,
    /// Statuses that mean something particular there, in plain words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, String>,
    /// The response header in which it names a request, where that is not `x-request-id` or `request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id_header: Option<String>,
    /// How models are named, with an example.
    pub model_names: String,
    /// A model name of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_model: Option<String>,
    /// The country of the company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company_country: Option<String>,
    /// The one region in which the base address processes requests, where the host documents one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How long it keeps prompts, where the host documents it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// Where the map of open models says something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// Where the row was checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Host {
    /// Whether it takes OpenAI requests as they are.
    pub fn openai_compatible(&self) -> bool {
        self.dialect == Dialect::Openai
    }
}

/// The place of a host in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostKind {
    /// Runs the models.
    Host,
    /// Picks another company's host for each request; region and terms follow that one.
    Router,
}

/// The API of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// OpenAI's.
    Openai,
    /// Replicate's predictions.
    Replicate,
}

/// How a key travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `authorization: Bearer KEY`.
    Bearer,
}

/// When a stream carries usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamUsage {
    /// When `stream_options.include_usage` asks for it.
    OnRequest,
    /// In every stream.
    Always,
    /// As the company that serves the model does.
    Upstream,
    /// In events of its own dialect.
    Native,
}

/// The form of an error's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorShape {
    /// OpenAI's: `error` is an object with a `message`.
    Openai,
    /// `message`, `type` and `code` at the top.
    Flat,
    /// `error` is a text, sometimes with an `error_type` beside it.
    Text,
    /// `detail` is a text or a list of what is wrong with each field.
    Detail,
    /// An answer with a good status that says inside that it failed.
    InsideSuccess,
}

/// Paths under the base address, one per API; absent where the host does not offer it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Chat completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// Text completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,
    /// Embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<String>,
    /// The list of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<String>,
    /// Responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<String>,
    /// Anthropic messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<String>,
    /// Reranking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<String>,
    /// Moderation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moderations: Option<String>,
    /// Pictures from a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// Sound from a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<String>,
    /// Text from sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcriptions: Option<String>,
    /// Replicate's predictions; `{owner}` and `{name}` stand for the parts of the model name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<String>,
}
