//! One row per inference engine that a company runs itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Differs, ErrorShape, UsagePaths};

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
    /// Other ports that it opens, by what for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_ports: BTreeMap<String, u16>,
    /// What goes before `/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// Answers 200 when it can serve, and generates nothing for it: safe to ask every few seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// Other paths that tell its health.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_health_paths: Vec<String>,
    /// The list of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models_path: Option<String>,
    /// Whether a model that it does not list is not served either. Otherwise names are aliases, ignored, or loaded on
    /// demand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete_listing: bool,
    /// Metrics in the Prometheus format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_path: Option<String>,
    /// What turns the metrics on, where they are off unless asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_flag: Option<String>,
    /// The names under which the metrics tell how busy it is.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub metrics: Metrics,
    /// Whether it asks for a key unless told otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_key: bool,
    /// What makes it ask for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_flag: Option<String>,
    /// Paths on the same port that load models, empty caches or the like: not for callers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control_paths: Vec<String>,
    /// Whether a connection may be kept for the next request; `false` where one that waits keeps a thread of the server
    /// from the requests of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<bool>,
    /// Whether `stream_options.include_usage` works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Where an answer counts tokens and cost.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub usage: UsagePaths,
    /// What makes it report them, where it does not unless asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens_flag: Option<String>,
    /// Whether prompts that share a prefix share its work without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_cache: Option<bool>,
    /// Whether a request field `cache_salt` says which prompts may share it.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub cache_salt: bool,
    /// How a request names an adapter (LoRA), where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Adapters>,
    /// What it offers beside chat and completions.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub paths: ServerPaths,
    /// How it is asked for the tokens of a text, where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenize: Option<Tokenize>,
    /// How it is asked for the text of tokens, where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detokenize: Option<Detokenize>,
    /// Formats of weights it loads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<String>,
    /// Hardware it runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<String>,
    /// Request fields that it refuses or ignores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
    /// Tokens after which an answer ends when the request sets no `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// What becomes of a prompt that is longer than the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<LongPrompt>,
    /// The forms that the body of an error takes, the usual one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_shapes: Vec<ErrorShape>,
    /// Statuses that mean something particular there, in plain words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, String>,
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

/// The names of gauges and counters, the newest first; empty where it has none or none is known. A name may ask for labels:
/// `name{label=value}`. Series of one name are added up, and of the fullest cache the share counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Requests that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// Requests that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<String>,
    /// How full the cache of keys and values is, 0 to 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_used: Vec<String>,
    /// Prompt tokens that were found in the cache, or their share; told to people only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_hits: Option<String>,
    /// Requests that it finished since it began, a counter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<String>,
    /// Tokens of prompts since then, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt_tokens: Vec<String>,
    /// Tokens generated since then, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completion_tokens: Vec<String>,
    /// When it began, in Unix seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub began: Vec<String>,
}

impl Metrics {
    /// Whether it counts what it did.
    pub fn count(&self) -> bool {
        ![&self.finished, &self.prompt_tokens, &self.completion_tokens].into_iter().all(Vec::is_empty)
    }
}

/// How a request names the adapter that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Adapters {
    /// It has a model name of its own.
    Model,
    /// It follows the name of its base model, after a colon.
    Suffix,
    /// It is the value of this field.
    Field(String),
    /// This field is a list of adapters by the number that the server gives them, each with its scale.
    Numbered(String),
}

/// Paths of what a server offers beside chat and completions, below its address; absent where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerPaths {
    /// Embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<String>,
    /// Reranking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<String>,
    /// Pictures from a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// Sound from a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<String>,
    /// Text from sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcriptions: Option<String>,
    /// What a model's tokenizer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_info: Option<String>,
}

/// How a server is asked for the tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokenize {
    /// The path, below the server's address.
    pub path: String,
    /// The field of the request that holds the text.
    pub text: String,
    /// The field that says whether the tokens that begin and end a text are added, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<String>,
    /// Whether it also takes `messages`, to which its template is applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub messages: bool,
    /// The field of the answer that lists the tokens; where there is none the answer is a list of objects with an `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
}

/// How a server is asked for the text of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detokenize {
    /// The path, below the server's address.
    pub path: String,
    /// The field of the request that lists the tokens.
    pub tokens: String,
    /// The field of the answer that holds the text.
    pub text: String,
}

/// What becomes of a prompt that is longer than the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LongPrompt {
    /// An error says so.
    Refused,
    /// It is cut, and the answer does not tell.
    Cut,
    /// As the person at the desk has set it.
    Setting,
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
