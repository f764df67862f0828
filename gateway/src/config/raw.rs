//! What a configuration file says, key by key, before anything is looked up: the one list of keys, from which decoding
//! and the JSON Schema both come. A doc comment here is what an editor shows.

use std::{collections::BTreeMap, fmt};

use catalog::{Activity, Domain, Exposure, Purpose};
use schemars::JsonSchema;
use serde::{
    Deserialize,
    de::{self, Deserializer, Visitor},
};

use super::{
    Dimension,
    decode::Spanned,
    units::{Bytes, Memory, Span},
};
use crate::keys::RawScope;

/// The configuration of a Pointsman gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "the configuration", deny_unknown_fields)]
#[schemars(rename = "Pointsman configuration")]
pub(super) struct Raw {
    /// Address and port that clients are served on. Default: 127.0.0.1:8080.
    #[serde(default)]
    pub(super) listen: Option<Spanned<String>>,
    /// Address and port of health, metrics and administration, never the clients' own. Default: 127.0.0.1:8081.
    #[serde(default)]
    pub(super) admin: Option<Spanned<String>>,
    /// Folder of the ledger. Default: pointsman-data.
    #[serde(default)]
    pub(super) data_dir: Option<Spanned<String>>,
    /// How records are written and kept, and who else holds on to what they say.
    #[serde(default)]
    pub(super) ledger: Option<RawLedger>,
    /// Policy files, in the order in which their routes are tried; `default` stands for the built-in policies, which are
    /// also what an absent list means.
    #[serde(default)]
    pub(super) policies: Option<Vec<Spanned<String>>>,
    /// Catalog files: the company's own models, licences and prices, over the built-in catalog.
    #[serde(default)]
    pub(super) catalog: Vec<Spanned<String>>,
    /// Whether every host whose key variable is set gets a deployment for each model that it is known to offer.
    #[serde(default)]
    pub(super) discover: bool,
    /// Models served at places. Policies speak of models; the plan picks deployments.
    #[serde(default)]
    pub(super) deployments: Vec<Spanned<RawDeployment>>,
    /// How models that run in this process share its memory.
    #[serde(default)]
    pub(super) local: RawLocal,
    /// Legal entities, by name.
    #[serde(default)]
    pub(super) entities: BTreeMap<String, RawEntity>,
    /// Uses that requests are made for, by name: what licences are decided on.
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Spanned<RawContext>>,
    /// Teams, by name.
    #[serde(default)]
    pub(super) teams: BTreeMap<String, RawTeam>,
    /// Bounds on what requests may take together, beside the `limits` and the `budget` of a team.
    #[serde(default)]
    pub(super) quotas: Vec<Spanned<RawQuota>>,
    /// Where the gateway tells that a budget runs out.
    #[serde(default)]
    pub(super) webhook: Option<Spanned<RawWebhook>>,
    /// What this gateway shares with others that serve together with it. Default: nothing, it counts for itself. Takes effect
    /// at a start.
    #[serde(default)]
    pub(super) fleet: Option<Spanned<RawFleet>>,
    /// Values of a request that policies may match by name.
    #[serde(default)]
    pub(super) facts: Option<RawFacts>,
    /// File of the admission keys, written by `pointsman keys`. Needed unless there are `tokens`.
    #[serde(default)]
    pub(super) keys: Option<Spanned<String>>,
    /// Issuers of signed tokens (OpenID Connect, JSON Web Tokens) that let their bearers in as a key does.
    #[serde(default)]
    pub(super) tokens: Vec<Spanned<RawIssuer>>,
    /// Bounds of the clients' listener.
    #[serde(default)]
    pub(super) limits: RawLimits,
    /// How many attempts beyond the first all requests together may send to hosts and servers, so that one that fails does
    /// not bring down the next.
    #[serde(default)]
    pub(super) retry_budget: RawRetryBudget,
}

/// How records are written and kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "`ledger`", deny_unknown_fields)]
#[schemars(rename = "Ledger")]
pub(super) struct RawLedger {
    /// From this licence tier on, and for whatever a waiver lets through, a decision is on disk before a host hears of the
    /// request; below it, before the first byte of the answer. 1 to 6. Default: 3.
    #[serde(default)]
    pub(super) before_upstream_from_tier: Option<Spanned<u64>>,
    /// Up to this licence tier an answer does not wait for its decision to be on disk, so that a power cut may lose the last
    /// milliseconds of them: 0 or 1. Default: 0, so that every answer waits.
    #[serde(default)]
    pub(super) unwaited_to_tier: Option<Spanned<u64>>,
    /// Days that records are kept for. What is older goes in whole segments; its hashes stay, so that what is kept can still
    /// be proved. Default: all records are kept.
    #[serde(default)]
    pub(super) keep_days: Option<Spanned<u64>>,
    /// Days for which records name a caller by the same pseudonym, counted from 1970 on; after that by another. 0 records the
    /// ids of keys, and values that are personal, as they are. Default: 30.
    #[serde(default)]
    pub(super) pseudonym_days: Option<Spanned<u64>>,
    /// Places that are told of checkpoints, so that nobody who has the gateway's disk and key can write another history.
    #[serde(default)]
    pub(super) anchors: Vec<Spanned<RawAnchor>>,
    /// Who signs checkpoints of a log that only grew, beside the gateway (c2sp.org/tlog-witness): other gateways, say.
    #[serde(default)]
    pub(super) witnesses: Vec<Spanned<RawWitness>>,
    /// Keys of the logs that this gateway is a witness for, at `/add-checkpoint` of its admin listener.
    #[serde(default)]
    pub(super) witness_for: Vec<Spanned<String>>,
    /// Whether checkpoints are signed by ML-DSA-44 too, which a quantum computer does not forge, for records that have to prove
    /// something after many years: 3.3 KB more for each checkpoint. Takes effect at a start. Default: false.
    #[serde(default)]
    pub(super) ml_dsa: Option<bool>,
    /// Records that stay however old they are, for a court say. Taking one away is on record, as every change is.
    #[serde(default)]
    pub(super) holds: Vec<Spanned<RawHold>>,
    /// Networks (`10.1.0.0/16`, or an address) that pages of the catalog's `evidence` may be fetched from beside what everybody
    /// can reach, and without encryption: an intranet's. Metadata of clouds is never fetched. Default: none.
    #[serde(default)]
    pub(super) evidence_from: Vec<Spanned<String>>,
    /// Address of a PostgreSQL, `postgres://`, that is kept an index of the ledger, to be asked in SQL. Nothing is decided by it and
    /// no request waits for it. One with a password comes from the environment. Default: there is none.
    #[serde(default)]
    pub(super) index: Option<Spanned<String>>,
}

/// Records that stay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a hold", deny_unknown_fields)]
#[schemars(rename = "Hold")]
pub(super) struct RawHold {
    /// Its name.
    pub(super) name: Spanned<String>,
    /// Their first day.
    pub(super) from: Spanned<String>,
    /// Their last day. Default: all from then on.
    #[serde(default)]
    pub(super) to: Option<Spanned<String>>,
    /// Why.
    pub(super) reason: String,
}

/// A place that is told of checkpoints: exactly one of `folder`, `url` and `timestamp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "an anchor", deny_unknown_fields)]
#[schemars(rename = "Anchor")]
pub(super) struct RawAnchor {
    /// A folder, in which each checkpoint is a file that is never written again.
    #[serde(default)]
    pub(super) folder: Option<Spanned<String>>,
    /// An address that takes each checkpoint by POST.
    #[serde(default)]
    pub(super) url: Option<Spanned<String>>,
    /// An authority that signs the time of each checkpoint (RFC 3161); its answers are kept beside the ledger.
    #[serde(default)]
    pub(super) timestamp: Option<Spanned<String>>,
    /// How often it is told, where there is something new. Default: 1m, of a `timestamp` 1h.
    #[serde(default)]
    pub(super) every: Option<Spanned<Span>>,
}

/// Somebody who signs checkpoints.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a witness", deny_unknown_fields)]
#[schemars(rename = "Witness")]
pub(super) struct RawWitness {
    /// Below this address is its `add-checkpoint`.
    pub(super) url: Spanned<String>,
    /// Its key, as `pointsman audit witness` prints it.
    pub(super) key: Spanned<String>,
}

/// An issuer of tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "an issuer of `tokens`", deny_unknown_fields)]
#[schemars(rename = "TokenIssuer")]
pub(super) struct RawIssuer {
    /// Its name, to the letter as it stands in the `iss` of its tokens: an `https` address.
    pub(super) issuer: Spanned<String>,
    /// Names of this gateway, one of which has to stand in the `aud` of a token: 1 to 16.
    pub(super) audience: Spanned<Vec<Spanned<String>>>,
    /// Where it publishes the keys that it signs with. Default: what its /.well-known/openid-configuration says.
    #[serde(default)]
    pub(super) jwks_url: Option<Spanned<String>>,
    /// How its tokens may be signed. Default: RS256, ES256 and EdDSA.
    #[serde(default)]
    pub(super) algorithms: Option<Spanned<Vec<RawAlgorithm>>>,
    /// How far the clocks of the issuer and of this machine may be apart: at most 5m. Default: 30s.
    #[serde(default)]
    pub(super) leeway: Option<Spanned<Span>>,
    /// What gives the bearer of a token its team and context: the first that fits. A token that none fits is refused.
    pub(super) rules: Spanned<Vec<Spanned<RawTokenRule>>>,
}

/// A signature by a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "TokenAlgorithm")]
pub(super) enum RawAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    RS256,
    /// The same with SHA-384.
    RS384,
    /// The same with SHA-512.
    RS512,
    /// RSA, PSS, SHA-256.
    PS256,
    /// The same with SHA-384.
    PS384,
    /// The same with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Who the bearer of a token is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a rule of `tokens`", deny_unknown_fields)]
#[schemars(rename = "TokenRule")]
pub(super) struct RawTokenRule {
    /// Claim that has to hold `equals`: a text that is it, a list with it, or a word of `scope`. `realm_access.roles` is the
    /// claim `roles` within `realm_access`. Default: every token of the issuer.
    #[serde(default)]
    pub(super) claim: Option<Spanned<String>>,
    /// What the claim has to hold.
    #[serde(default)]
    pub(super) equals: Option<Spanned<String>>,
    /// Team of the bearer.
    pub(super) team: Spanned<String>,
    /// Context of its requests, one of the team's.
    pub(super) context: Spanned<String>,
    /// Models, routes and endpoints that it may reach, as keys are bound to them. Default: all.
    #[serde(default)]
    pub(super) scope: Option<RawScope>,
}

/// A model served at a place: exactly one of `host`, `server` and `engine`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a deployment", deny_unknown_fields)]
#[schemars(rename = "Deployment")]
pub(super) struct RawDeployment {
    /// Its name, unique in this file: letters, digits, `.`, `_`, `-` and `/`.
    pub(super) id: Spanned<String>,
    /// Catalog id of the model.
    pub(super) model: Spanned<String>,
    /// Catalog id of the host that serves it, such as `groq`.
    #[serde(default)]
    pub(super) host: Option<Spanned<String>>,
    /// Catalog id of the inference server that serves it, such as `vllm`.
    #[serde(default)]
    pub(super) server: Option<Spanned<String>>,
    /// Engine in this process that runs it: `native`, `llama-cpp` and `mistralrs` in a build that has them, or `auto` for the
    /// one that reads the weights and was measured fastest here (`pointsman bench engines`).
    #[serde(default)]
    pub(super) engine: Option<Spanned<String>>,
    /// The model's name at the host or server. Default: the name that the catalog knows there.
    #[serde(default)]
    pub(super) name: Option<Spanned<String>>,
    /// Key of the host, from the environment: "${GROQ_API_KEY}".
    #[serde(default)]
    pub(super) key: Option<Spanned<String>>,
    /// File that holds the key of the host.
    #[serde(default)]
    pub(super) key_file: Option<Spanned<String>>,
    /// Address that paths such as /chat/completions are appended to. Default: the host's, or the server's on this
    /// machine.
    #[serde(default)]
    pub(super) base_url: Option<Spanned<String>>,
    /// Addresses of several servers that serve the model alike, instead of one `base_url`.
    #[serde(default)]
    pub(super) replicas: Option<Spanned<RawReplicas>>,
    /// GGUF file of the weights, for an engine; for `mistralrs` also a folder in the layout of Hugging Face, with safetensors,
    /// or a UQFF file in one.
    #[serde(default)]
    pub(super) path: Option<Spanned<String>>,
    /// When an engine loads its model: at the start, or by the first request for it. Default: start.
    #[serde(default)]
    pub(super) load: Option<Spanned<RawLoad>>,
    /// Whether the model of an engine stays in memory once it is loaded. Others are unloaded where `local` says so, and
    /// loaded again by the next request for them. Default: false.
    #[serde(default)]
    pub(super) pinned: Option<Spanned<bool>>,
    /// Layers of the model that a graphics card computes, for an engine that can. Default: as many as fit.
    #[serde(default)]
    pub(super) gpu_layers: Option<Spanned<u64>>,
    /// A type that `mistralrs` quantises safetensors to while it loads them, such as `Q4K` or `Q8_0`.
    /// Default: they stay as they are.
    #[serde(default)]
    pub(super) isq: Option<Spanned<String>>,
    /// What an engine keeps keys and values as. Default: f16.
    #[serde(default)]
    pub(super) cache_type: Option<Spanned<RawCacheType>>,
    /// Region in which requests are processed. Default: what the host documents.
    #[serde(default)]
    pub(super) region: Option<Spanned<String>>,
    /// How long prompts are kept there: `none`, or a time such as `30d`. Default: what the host documents.
    #[serde(default)]
    pub(super) retention: Option<Spanned<String>>,
    /// What is trained on requests there: `none`, or a word of your own. Default: not known.
    #[serde(default)]
    pub(super) training_use: Option<Spanned<String>>,
    /// What it runs on, by the catalog's name (`pointsman catalog hardware`). Default: not known.
    #[serde(default)]
    pub(super) hardware: Option<Spanned<String>>,
    /// Tokens of the context window that were measured to be of use, by RULER or LongBench, say. Default: not known.
    #[serde(default)]
    pub(super) effective_context: Option<Spanned<u64>>,
    /// Context window in tokens. Default: the model's, or what the host lists.
    #[serde(default)]
    pub(super) context: Option<Spanned<u64>>,
    /// Bits a weight is stored in there.
    #[serde(default)]
    pub(super) quantization_bits: Option<Spanned<f64>>,
    /// Most requests that are sent there at a time; further ones go elsewhere. Default: as many as it bears, which is
    /// learnt from its refusals.
    #[serde(default)]
    pub(super) max_concurrent: Option<Spanned<u64>>,
    /// Whether prompts of different teams share the server's cache of prefixes. One team could then tell from times what
    /// another has asked, so servers that can are told to keep teams apart. Default: false.
    #[serde(default)]
    pub(super) shared_cache: Option<Spanned<bool>>,
    /// The adapter (LoRA) of the server's model that this deployment is, as requests there name it; of an engine in this
    /// process its GGUF file or folder. `model` is then the adapter's own row of the catalog.
    #[serde(default)]
    pub(super) adapter: Option<Spanned<String>>,
    /// The file of the model's projector, with which it reads pictures: a GGUF file as llama.cpp has it, mostly named
    /// `mmproj-...`. A part of the model's own weights, under the licence that those are under. Engine `llama-cpp` alone.
    /// Default: none; the model reads text.
    #[serde(default)]
    pub(super) mmproj: Option<Spanned<String>>,
    /// A smaller model of the same vocabulary that guesses what the model will say, which checks several tokens at a time and
    /// answers what it would without: faster, where most guesses are right. Engine `native` alone. Default: none.
    #[serde(default)]
    pub(super) draft: Option<Spanned<RawDraft>>,
    /// APIs beside OpenAI's chat and completions that it speaks itself. Their requests and answers are passed on byte by
    /// byte; without, they are translated to the chat API and back. Default: none, as servers that have them differ in what
    /// they take.
    #[serde(default)]
    pub(super) speaks: Option<Spanned<Vec<RawSpoken>>>,
    /// Price there. Default: what the host lists.
    #[serde(default)]
    pub(super) price: Option<RawPrice>,
}

/// A model that guesses for another one. Its licence binds as that of the model does.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a draft", deny_unknown_fields)]
#[schemars(rename = "Draft")]
pub(super) struct RawDraft {
    /// Model of the catalog.
    pub(super) model: Spanned<String>,
    /// GGUF file of its weights.
    pub(super) path: Spanned<String>,
}

/// When a model is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Load")]
pub(super) enum RawLoad {
    /// At the start.
    Start,
    /// By the first request for it.
    Demand,
}

/// What keys and values are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "CacheType")]
pub(super) enum RawCacheType {
    /// As halves.
    F16,
    /// As bytes with scales, for engines that can: little more than half the memory.
    Q8_0,
}

/// How models that run in this process share its memory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`local`", deny_unknown_fields)]
#[schemars(rename = "Local")]
pub(super) struct RawLocal {
    /// Bytes that they may take together, with the keys and values of requests; `auto`: four fifths of the memory of this
    /// machine, or of its control group where that has less. Default: auto.
    #[serde(default)]
    pub(super) memory: Option<Spanned<Memory>>,
    /// While a smaller share of the memory of this machine (or control group) is available, models that are idle and not
    /// pinned are unloaded, one after the other, the least recently used first: 0 (never) to 0.9. Default: 0.05.
    #[serde(default)]
    pub(super) keep_free: Option<Spanned<f64>>,
    /// How long a model is idle before it is unloaded. Default: it stays until others need its room.
    #[serde(default)]
    pub(super) unload_after: Option<Spanned<Span>>,
    /// What becomes of a request whose model is not in memory: it waits (`queue`), or is refused with 503 and when to come back
    /// (`refuse`). The model is loaded either way. Default: queue.
    #[serde(default)]
    pub(super) while_loading: Option<Spanned<RawWhileLoading>>,
    /// How long such a request waits at most. Default: 5m.
    #[serde(default)]
    pub(super) load_within: Option<Spanned<Span>>,
    /// How many requests wait for each model at most; 1 to 100000. Default: 256.
    #[serde(default)]
    pub(super) waiting: Option<Spanned<u64>>,
    /// Bytes of disk that packed weights may take together: `engine: native` keeps them in the folder `packed` of `data_dir`, so
    /// that the next load of a model maps them instead of packing again. Those that were not used for longest go, and none
    /// takes more than half of what the disk has left; 0 keeps none. Default: 32GiB.
    #[serde(default)]
    pub(super) packed_bytes: Option<Spanned<Bytes>>,
    /// A folder of models: each GGUF file and each folder of safetensors in it whose name the catalog knows is a deployment by
    /// its name, with `engine: auto` and `load: demand`. A GGUF file with `mmproj` in its name is the projector of the model beside
    /// it, by its name where there are several. The start tells which are not served, and why. Default: none.
    #[serde(default)]
    pub(super) models: Option<Spanned<String>>,
}

/// What becomes of a request whose model is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "WhileLoading")]
pub(super) enum RawWhileLoading {
    /// It waits.
    Queue,
    /// It is refused.
    Refuse,
}

/// An API that a host or server may speak besides.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Spoken")]
pub(super) enum RawSpoken {
    /// Anthropic's, at /messages below `base_url`.
    Messages,
    /// OpenAI's Responses, at /responses.
    Responses,
}

/// Servers that serve one model alike: exactly one of `urls`, `dns`, `file` and `kubernetes`. Each request goes to one of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "`replicas`", deny_unknown_fields)]
#[schemars(rename = "Replicas")]
pub(super) struct RawReplicas {
    /// Their base addresses, as `base_url` is one.
    #[serde(default)]
    pub(super) urls: Option<Vec<Spanned<String>>>,
    /// A name whose addresses they are (with `port`); or a service, which begins with `_` and tells their ports
    /// (`_http._tcp.NAME`). It is looked up again while serving.
    #[serde(default)]
    pub(super) dns: Option<Spanned<String>>,
    /// Their port, where `dns` is a name with addresses. With `kubernetes`: the name of the port in the service, or the
    /// number that the pods listen on; needed where there is more than one.
    #[serde(default)]
    pub(super) port: Option<Spanned<RawPort>>,
    /// A file that names one a line, as HOST:PORT or a base address; `#` begins a comment. It is read again while serving.
    #[serde(default)]
    pub(super) file: Option<Spanned<String>>,
    /// A Kubernetes service whose EndpointSlices are watched, in a build with the feature `kubernetes`. Pods that serve and
    /// do not terminate are used. Needs a Role with the verbs get, list and watch on `endpointslices` of the API group
    /// `discovery.k8s.io`; the cluster is that of the pod, or of the file that KUBECONFIG names.
    #[serde(default)]
    pub(super) kubernetes: Option<Spanned<String>>,
    /// Namespace of the service of `kubernetes`. Default: that of the gateway's own pod.
    #[serde(default)]
    pub(super) namespace: Option<Spanned<String>>,
    /// How those of `dns`, `kubernetes` and HOST:PORT are spoken to. Default: http.
    #[serde(default)]
    pub(super) scheme: Option<Spanned<RawScheme>>,
    /// Path below which their APIs lie. Default: the server's own, mostly /v1.
    #[serde(default)]
    pub(super) path: Option<Spanned<String>>,
}

/// A port of replicas.
#[derive(Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, rename = "Port")]
pub(super) enum RawPort {
    /// Its number.
    Number(u64),
    /// Its name.
    Name(String),
}

impl<'de> Deserialize<'de> for RawPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = RawPort;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port: its number, or its name")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawPort, E> {
                Ok(RawPort::Number(number))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<RawPort, E> {
                Ok(RawPort::Name(name.to_owned()))
            }
        }
        // A number of the environment is text, and meant as a number.
        deserializer.deserialize_u64(Any)
    }
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Scheme")]
pub(super) enum RawScheme {
    /// Unencrypted.
    Http,
    /// Over TLS.
    Https,
}

/// Prices in US dollars for a million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a price", deny_unknown_fields)]
#[schemars(rename = "Price")]
pub(super) struct RawPrice {
    /// Prompt tokens.
    pub(super) input_usd_per_million: Spanned<f64>,
    /// Tokens of the answer.
    pub(super) output_usd_per_million: Spanned<f64>,
    /// Prompt tokens that the host had in its cache.
    #[serde(default)]
    pub(super) cached_input_usd_per_million: Option<Spanned<f64>>,
}

/// A legal entity.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "an entity", deny_unknown_fields)]
#[schemars(rename = "Entity")]
pub(super) struct RawEntity {
    /// Country of its seat, as two capital letters.
    pub(super) seat: Spanned<String>,
}

/// A use that requests are made for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a context", deny_unknown_fields)]
#[schemars(rename = "Context")]
pub(super) struct RawContext {
    /// Entity that uses the model; gives the seat.
    #[serde(default)]
    pub(super) entity: Option<Spanned<String>>,
    /// What the model is used for.
    #[serde(rename = "use")]
    pub(super) purpose: Purpose,
    /// Who sees what the model writes.
    pub(super) exposure: Exposure,
    /// What becomes of what the model writes. Default: inference.
    #[serde(default, rename = "purpose")]
    pub(super) activity: Activity,
    /// Fields of use that it is part of, which some licences forbid.
    #[serde(default)]
    pub(super) domains: Vec<Domain>,
    /// Country of the seat, as two capital letters, where no entity gives it.
    #[serde(default)]
    pub(super) seat: Option<Spanned<String>>,
    /// Countries of the people that it is offered to.
    #[serde(default)]
    pub(super) end_users: Vec<Spanned<String>>,
}

/// A team.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a team", deny_unknown_fields)]
#[schemars(rename = "Team")]
pub(super) struct RawTeam {
    /// Contexts that the team's keys may be made for.
    pub(super) contexts: Vec<Spanned<String>>,
    /// How much it may ask of this gateway, with all its keys together. Default: no bound.
    #[serde(default)]
    pub(super) limits: RawQuotaLimits,
    /// How much it may spend, with all its keys together. Default: no bound.
    #[serde(default)]
    pub(super) budget: RawBudget,
}

/// A bound on what some requests may take together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a quota", deny_unknown_fields)]
#[schemars(rename = "Quota")]
pub(super) struct RawQuota {
    /// Its name: refusals, metrics and reports tell it.
    pub(super) name: Spanned<String>,
    /// The requests that it counts. Default: all.
    #[serde(default)]
    pub(super) r#match: RawQuotaMatch,
    /// What each has a quota of its own by. Default: nothing, so all that it counts share one.
    #[serde(default)]
    pub(super) per: Vec<Dimension>,
    /// How much may be asked for.
    #[serde(default)]
    pub(super) limits: RawQuotaLimits,
    /// How much may be spent.
    #[serde(default)]
    pub(super) budget: RawBudget,
}

/// The requests that a quota counts: those that fit every list that is given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`match` of a quota", deny_unknown_fields)]
#[schemars(rename = "QuotaMatch")]
pub(super) struct RawQuotaMatch {
    /// Of these teams.
    #[serde(default)]
    pub(super) team: Vec<Spanned<String>>,
    /// With these keys, by their ids.
    #[serde(default)]
    pub(super) key: Vec<Spanned<String>>,
    /// In these contexts.
    #[serde(default)]
    pub(super) context: Vec<Spanned<String>>,
    /// On these routes of the policies.
    #[serde(default)]
    pub(super) route: Vec<Spanned<String>>,
    /// Served by these models, whatever name was asked for.
    #[serde(default)]
    pub(super) model: Vec<Spanned<String>>,
}

/// How much may be asked for; what is left out has no bound.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`limits`", deny_unknown_fields)]
#[schemars(rename = "QuotaLimits")]
pub(super) struct RawQuotaLimits {
    /// Requests a minute. That many may come at once after a silent minute, and then one each time that one of them has
    /// drained.
    #[serde(default)]
    pub(super) requests_per_minute: Option<Spanned<u64>>,
    /// Tokens a minute, of prompts and answers together.
    #[serde(default)]
    pub(super) tokens_per_minute: Option<Spanned<u64>>,
    /// Tokens of prompts a minute.
    #[serde(default)]
    pub(super) input_tokens_per_minute: Option<Spanned<u64>>,
    /// Tokens of answers a minute.
    #[serde(default)]
    pub(super) output_tokens_per_minute: Option<Spanned<u64>>,
    /// Requests that run at a time, from when their bodies have been read to the last byte of their answers.
    #[serde(default)]
    pub(super) concurrent: Option<Spanned<u64>>,
    /// Requests that wait at a time for a deployment to be available, where a route lets them. 0: none waits.
    #[serde(default)]
    pub(super) queued: Option<Spanned<u64>>,
}

/// How much may be spent at hosts, in USD; what is left out has no bound. Days, weeks (from Monday) and months are those of
/// UTC.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`budget`", deny_unknown_fields)]
#[schemars(rename = "Budget")]
pub(super) struct RawBudget {
    /// A day.
    #[serde(default)]
    pub(super) usd_per_day: Option<Spanned<f64>>,
    /// A week.
    #[serde(default)]
    pub(super) usd_per_week: Option<Spanned<f64>>,
    /// A month.
    #[serde(default)]
    pub(super) usd_per_month: Option<Spanned<f64>>,
    /// The share that, once spent, is told to the log, the metrics and the webhook: more than 0, less than 1. Default: 0.8.
    #[serde(default)]
    pub(super) warn_at: Option<Spanned<f64>>,
}

/// An address that is told of what happens to budgets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "`webhook`", deny_unknown_fields)]
#[schemars(rename = "Webhook")]
pub(super) struct RawWebhook {
    /// The address, as `https://...`; `http` only on this machine.
    pub(super) url: Spanned<String>,
    /// What messages are signed with: at least 16 bytes, from the environment.
    pub(super) secret: Spanned<String>,
}

/// What gateways that serve together share. No request waits for any of it but as the manual says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "`fleet`", deny_unknown_fields)]
#[schemars(rename = "Fleet")]
pub(super) struct RawFleet {
    /// Address of a Valkey or Redis, `redis://` or `rediss://`: the gateways share what is left of limits there, and answers
    /// where there is an `answers_key`. One with a password comes from the environment.
    #[serde(default)]
    pub(super) valkey: Option<Spanned<String>>,
    /// Address of a PostgreSQL, `postgres://`: the gateways share what was spent of budgets there, and the admission keys. One
    /// with a password comes from the environment.
    #[serde(default)]
    pub(super) postgres: Option<Spanned<String>>,
    /// What its entries are named by in both, so that two fleets may share a server. Default: pointsman.
    #[serde(default)]
    pub(super) name: Option<Spanned<String>>,
    /// About how many gateways there are: each keeps to its part of every limit while it cannot hear the others. Once heard,
    /// their true number counts where it is larger. Default: 1.
    #[serde(default)]
    pub(super) gateways: Option<Spanned<u64>>,
    /// What answers that are given again (`reuse` of a route) are encrypted with in the Valkey: 32 bytes in Base64, from the
    /// environment. Default: each gateway keeps its own answers.
    #[serde(default)]
    pub(super) answers_key: Option<Spanned<String>>,
}

/// Values of a request that policies may match by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`facts`", deny_unknown_fields)]
#[schemars(rename = "Facts")]
pub(super) struct RawFacts {
    /// Request headers, such as `x-customer-tier`: what a proxy before this gateway sets, or callers that are trusted.
    #[serde(default)]
    pub(super) headers: Vec<Spanned<String>>,
    /// Entries of the request's `metadata`, such as `project`.
    #[serde(default)]
    pub(super) metadata: Vec<Spanned<String>>,
    /// Those of these headers and entries whose values tell of people, such as `x-user`: records hold pseudonyms of them, which
    /// can be erased.
    #[serde(default)]
    pub(super) personal: Vec<Spanned<String>>,
}

/// How many attempts beyond the first there may be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`retry_budget`", deny_unknown_fields)]
#[schemars(rename = "RetryBudget")]
pub(super) struct RawRetryBudget {
    /// For each request of the last ten seconds: 0 to 10. Default: 0.2.
    #[serde(default)]
    pub(super) share: Option<Spanned<f64>>,
    /// In each second, however few requests there were. Default: 10.
    #[serde(default)]
    pub(super) per_second: Option<Spanned<u64>>,
}

/// Bounds of the clients' listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename = "`limits`", deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(super) struct RawLimits {
    /// Largest request body. Default: 64MiB.
    #[serde(default)]
    pub(super) body_bytes: Option<Spanned<Bytes>>,
    /// Largest request head. Default: 64KiB.
    #[serde(default)]
    pub(super) header_bytes: Option<Spanned<Bytes>>,
    /// Longest time that a request head may take to arrive. Default: 10s.
    #[serde(default)]
    pub(super) header_timeout: Option<Spanned<Span>>,
    /// Most connections open at once. Default: 10000.
    #[serde(default)]
    pub(super) connections: Option<Spanned<u64>>,
    /// Longest time that running requests may go on after the gateway is told to stop. Default: 30s.
    #[serde(default)]
    pub(super) drain_timeout: Option<Spanned<Span>>,
    /// Largest total of the files of each team, those that its batches write included; at a start. Default: 1GiB.
    #[serde(default)]
    pub(super) files_bytes: Option<Spanned<Bytes>>,
    /// Bytes of all answers that are kept to be given again, where a route says `reuse`; 0 keeps none. Default: 64MiB.
    #[serde(default)]
    pub(super) answers_bytes: Option<Spanned<Bytes>>,
    /// How long answers of the Responses API are kept in memory, for callers who go on from them. Default: 1h.
    #[serde(default)]
    pub(super) responses_kept_for: Option<Spanned<Span>>,
    /// How many bytes of them are kept for each team; 0 keeps none. Default: 16MiB.
    #[serde(default)]
    pub(super) responses_bytes: Option<Spanned<Bytes>>,
}
