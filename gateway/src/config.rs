//! What this gateway is to do: YAML text -> `Raw` (what was written) -> [`Config`] (what is meant, all of it valid).
//!
//! [`load`] reads one file and everything it names - the company's catalog, the policies, the keys - and answers
//! with a [`Config`] or with *every* problem it found, each with file, line, column and a hint. [`zero`] is the
//! configuration of a machine with no file at all. Both read the environment through [`Environment`], so that a
//! test states the environment it means.
//!
//! Nothing here opens a socket, starts an engine or knows a request. A relative path is relative to the file that
//! names it. Values of the environment, and secrets least of all, appear in no message.

mod contexts;
mod declared;
pub(crate) mod decode;
mod deployments;
mod environment;
mod fleet;
mod folder;
mod found;
mod hidden;
mod ledger;
mod limits;
mod load;
mod local;
mod quotas;
mod raw;
pub(crate) mod report;
mod schema;
pub(crate) mod source;
mod tokens;
mod units;
mod watch;
pub(crate) mod weights;
pub(crate) mod yaml;
mod zero;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use catalog::Catalog;
use policies::{PolicySet, Scope};
use remote::{Replicas, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::load::{BUILT_IN, default_policies, of_catalog};
pub use self::{
    environment::Environment,
    ledger::{Anchor, AnchorPlace, Hold, Kept, LedgerSettings, Wait, Witness},
    load::{DATA_DIR, Outline, load, outline},
    schema::schema,
    watch::{Watch, WatchError, Watched, watch},
    zero::zero,
};
use crate::{
    dispatch::RetryBudget,
    engines,
    keys::{Endpoint, Grant, Keys},
    residency::{Keep, Settings},
};

/// A whole configuration, checked: a listener may be bound and an engine started on the strength of it.
#[derive(Debug)]
pub struct Config {
    /// The file it came from; none in the zero-config mode.
    pub file: Option<PathBuf>,
    /// Where clients are served.
    pub listen: SocketAddr,
    /// Where health, metrics, reload and the console are served: never the clients' listener.
    pub admin: SocketAddr,
    /// Where the ledger lives.
    pub data_dir: PathBuf,
    /// How records are written and kept.
    pub ledger: LedgerSettings,
    /// The bounds of the clients' listener.
    pub limits: Limits,
    /// How many attempts beyond the first all requests together may send.
    pub retry_budget: RetryBudget,
    /// How models of this process share its memory.
    pub local: Settings,
    /// Every place a model can run, in the order in which policies see them.
    pub deployments: Vec<Deployment>,
    /// Hosts that are known but not used, and what would make them live.
    pub not_live: Vec<NotLive>,
    /// The uses that requests can be made for, by name.
    pub contexts: Contexts,
    /// The teams, by name.
    pub teams: Teams,
    /// What requests may take together.
    pub quotas: Vec<Quota>,
    /// Where the gateway tells that a budget runs out.
    pub webhook: Option<Webhook>,
    /// What it shares with other gateways, where there are some.
    pub fleet: Option<Fleet>,
    /// The values of a request that policies may match by name.
    pub facts: DeclaredFacts,
    /// Who is let in.
    pub access: Access,
    /// Whose tokens let their bearers in as well.
    pub issuers: Vec<Issuer>,
    /// The keys file, if one is named.
    pub keys_file: Option<PathBuf>,
    /// The built-in catalog with the company's own entries over it.
    pub catalog: Arc<Catalog>,
    /// The compiled policies.
    pub policies: Arc<PolicySet>,
    /// The files that they were compiled from, in their order: tools point at their lines.
    pub policy_files: Vec<policies::Source>,
    /// Every text that went in, but for the keys: the ledger keeps them.
    pub texts: Vec<Text>,
    /// SHA-256, in hex, over every text that went in: which configuration a ledger record was decided under.
    pub digest: String,
    /// The same over the policies alone.
    pub policy_digest: String,
    /// Every file whose change should be followed by a reload.
    pub watched: Vec<Watched>,
}

/// A text that decides requests, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is.
    pub role: Role,
    /// How messages call it.
    pub name: String,
    /// The text.
    pub text: Arc<str>,
}

/// What a text is to a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The configuration itself.
    Configuration,
    /// A policy file.
    Policies,
    /// A file of the company's catalog.
    Catalog,
}

/// What the command line says over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--admin`
    pub admin: Option<SocketAddr>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--models`
    pub models: Option<PathBuf>,
}

/// The bounds of the clients' listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, counted while it streams in.
    pub body_bytes: u64,
    /// The largest request head.
    pub header_bytes: usize,
    /// How long a request head may take to arrive.
    pub header_timeout: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// How long running requests may go on once the gateway is told to stop.
    pub drain_timeout: Duration,
    /// Bytes of the files of each team; takes effect at a start.
    pub files_bytes: u64,
    /// Bytes of answers that are kept to be given again.
    pub answers_bytes: u64,
    /// What is kept of the answers of the Responses API.
    pub responses: crate::kept::Bounds,
}

/// A model served at a place: what policies see of it, and what it takes to reach it.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// What `policies::plan` chooses by.
    pub facts: policies::Deployment,
    /// Where it runs.
    pub target: Target,
    /// How its model is kept, where it runs in this process.
    pub keep: Keep,
    /// Why it is run by the engine that runs it, where `auto` chose that.
    pub engine_because: Option<String>,
    /// The most requests that are sent there at a time, where the file says so.
    pub max_concurrent: Option<u32>,
    /// Whether prompts of different teams share the server's cache of prefixes.
    pub shared_cache: bool,
    /// The adapter of the server's model that it is, as requests there name it.
    pub adapter: Option<String>,
    /// The APIs that it speaks besides OpenAI's chat and completions.
    pub speaks: Vec<backends::Api>,
}

/// Where a deployment runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// In this process.
    Engine {
        /// By which engine.
        engine: engines::Kind,
        /// The weights.
        weights: Weights,
        /// What is asked of the engine.
        asked: engines::Asked,
    },
    /// Behind an OpenAI-compatible HTTP address.
    Remote {
        /// The catalog's id of the host; none for a server of one's own.
        host: Option<String>,
        /// The address that paths such as `/chat/completions` are appended to; no slash at its end.
        base_url: String,
        /// The key to present.
        key: Option<Secret>,
        /// The model's name there.
        name: String,
    },
    /// Behind several such addresses, at servers of one's own that serve it alike.
    Fleet {
        /// Where they are.
        replicas: Replicas,
        /// The key to present to each.
        key: Option<Secret>,
        /// The model's name there.
        name: String,
    },
}

impl Target {
    /// The demo model by our own engine.
    pub(crate) fn demo() -> Self {
        let (engine, asked) = (engines::Kind::Native, engines::Asked::default());
        Self::Engine { engine, weights: Weights::BuiltIn, asked }
    }
}

/// Where an engine in this process gets a model's weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The demo model that is part of the binary.
    BuiltIn,
    /// A GGUF file.
    File(PathBuf),
    /// A folder in the layout of Hugging Face, or a UQFF file in one.
    Folder(PathBuf),
}

impl Weights {
    /// What is at a path.
    pub fn at(path: PathBuf) -> Self {
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "uqff") {
            Self::Folder(path)
        } else {
            Self::File(path)
        }
    }

    /// Where they are.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::File(path) | Self::Folder(path) => Some(path),
        }
    }

    /// The folder that has a model card and licence files beside them.
    pub fn surroundings(&self) -> Option<&Path> {
        let path = self.path()?;
        if path.is_dir() { Some(path) } else { path.parent() }
    }
}

/// What could serve and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLive {
    /// The catalog's id of a host, or what a file or folder of the folder of models is called.
    pub name: String,
    /// What would make it live, such as "set GROQ_API_KEY".
    pub why: String,
}

/// A use that requests are made for: what the licence decision is taken on.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The legal entity that uses the model.
    pub entity: Option<String>,
    /// The facts of the use.
    pub use_: Arc<catalog::Use>,
}

/// The folder of the ledger in a data folder.
pub fn ledger_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger")
}

/// Contexts by name.
pub type Contexts = BTreeMap<String, Arc<Context>>;

/// Teams by name.
pub type Teams = BTreeMap<String, Team>;

/// A group of people or services that hold keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// The contexts that the team's keys may be made for.
    pub contexts: Vec<String>,
}

/// A bound on what some requests may take together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quota {
    /// Its name, of which there is one.
    pub name: String,
    /// Whether it is the `limits` and the `budget` of a team, whose name it has.
    pub of_team: bool,
    /// The requests that it counts.
    pub matches: QuotaMatch,
    /// What each has a quota of its own by, each once.
    pub per: Vec<Dimension>,
    /// Requests a minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens of prompts and answers a minute.
    pub tokens_per_minute: Option<u64>,
    /// Tokens of prompts a minute.
    pub input_tokens_per_minute: Option<u64>,
    /// Tokens of answers a minute.
    pub output_tokens_per_minute: Option<u64>,
    /// Requests that run at a time.
    pub concurrent: Option<u32>,
    /// Requests that wait at a time.
    pub queued: Option<u32>,
    /// What may be spent in periods of time.
    pub budgets: Vec<Budget>,
}

/// The requests that a quota counts: those that fit every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaMatch {
    /// Of these teams.
    pub teams: Vec<String>,
    /// With these keys.
    pub keys: Vec<String>,
    /// In these contexts.
    pub contexts: Vec<String>,
    /// On these routes.
    pub routes: Vec<String>,
    /// Served by these models.
    pub models: Vec<String>,
}

/// What requests differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename = "a dimension", rename_all = "lowercase")]
#[schemars(rename = "Dimension")]
pub enum Dimension {
    /// The caller's team.
    Team,
    /// The caller's key.
    Key,
    /// The caller's context.
    Context,
    /// The route that the policies chose.
    Route,
    /// The model that serves.
    Model,
}

/// What may be spent in a period of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The period.
    pub every: Every,
    /// In USD.
    pub usd: f64,
    /// The share that is told once it is spent.
    pub warn_at: f64,
}

/// A period of a budget, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

/// An address that is told of what happens to budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// What messages are signed with.
    pub secret: Secret,
}

/// What gateways that serve together share, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The address of the Valkey or Redis with what is left of limits, and answers.
    pub valkey: Option<Secret>,
    /// The address of the PostgreSQL with what was spent, and the keys.
    pub postgres: Option<Secret>,
    /// What its entries there are named by, so that two fleets may share a server.
    pub name: String,
    /// About how many gateways there are, until that is heard.
    pub gateways: u32,
    /// What answers are encrypted with, where they are shared.
    pub answers_key: Option<AnswersKey>,
}

/// The 32 bytes of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswersKey(pub [u8; 32]);

impl std::fmt::Debug for AnswersKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswersKey(..)")
    }
}

/// An issuer of signed tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name, as it stands in its tokens.
    pub name: String,
    /// The host of that address: what its subjects are recorded under.
    pub host: String,
    /// Names of this gateway, one of which a token has to be for.
    pub audience: Vec<String>,
    /// Where its keys are; by discovery without.
    pub keys_at: Option<String>,
    /// How its tokens may be signed: by public keys alone.
    pub algorithms: Vec<jsonwebtoken::Algorithm>,
    /// How far its clock and ours may be apart.
    pub leeway: Duration,
    /// Who its bearers are; the first that fits.
    pub rules: Vec<TokenRule>,
}

/// What gives the bearer of a token its team and context.
#[derive(Clone, Debug)]
pub struct TokenRule {
    /// A claim, and what it has to hold; every token without.
    pub needs: Option<(String, String)>,
    /// The team.
    pub team: Arc<str>,
    /// The context.
    pub context: Arc<Context>,
    /// The only models and routes that it may reach.
    pub scope: Option<Arc<Scope>>,
    /// The only endpoints, likewise.
    pub endpoints: Option<Arc<[Endpoint]>>,
}

/// The values of a request that are facts because the configuration declares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredFacts {
    /// Request headers, in lower case.
    pub headers: Vec<String>,
    /// Entries of a request's `metadata`.
    pub metadata: Vec<String>,
    /// Those of the headers whose values are personal.
    pub personal_headers: Vec<String>,
    /// Those of the entries, likewise.
    pub personal_metadata: Vec<String>,
}

/// Who is let in.
#[derive(Debug)]
pub enum Access {
    /// Whoever reaches the listener, which is a loopback address: the zero-config mode only.
    Open(Grant),
    /// Who presents a key of this file.
    Keys(Keys),
}
