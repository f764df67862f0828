//! Where a model is served and how that place wants to be called, as data.

use std::{sync::Arc, time::Duration};

use backends::{Api, BackendError, Convention, Count, Input, Request};
use catalog::{Adapters, Detokenize, Dialect, Host, RateLimit, Server, StreamUsage, Tokenize, UsagePaths};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::InvalidUri};
use url::Url;

use crate::{Client, Probing, Secret, quota};

/// What we call ourselves, unless the headers of a target say otherwise.
const USER_AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"));

/// The usual names of the header in which a host names a request.
const REQUEST_IDS: [HeaderName; 2] = [HeaderName::from_static("x-request-id"), HeaderName::from_static("request-id")];

/// How often a host is asked for its list of models: they come and go over days, and lists are long.
const HOST_LISTING: Duration = Duration::from_secs(600);

/// How long a host is taken to keep a prefix that says nothing of it: what Anthropic and OpenAI say of theirs at the least.
const HOST_KEEPS: Duration = Duration::from_secs(300);

/// How long a server of one's own is taken to keep a prefix: until it needs the room, which nobody tells. Where that is
/// sooner, its answers report fewer cached tokens than expected, and less is expected of it.
const SERVER_KEEPS: Duration = Duration::from_secs(3600);

/// A model at a host or server.
#[derive(Clone, Debug)]
pub struct Target {
    /// The API that the place speaks.
    pub dialect: Dialect,
    /// The address below which the API paths lie, such as `https://api.groq.com/openai/v1`.
    pub base_url: String,
    /// The model's name there.
    pub name: String,
    /// How the key is shown.
    pub auth: Auth,
    /// The key; `None` for a server that asks for none.
    pub key: Option<Secret>,
    /// Where the APIs lie.
    pub paths: Paths,
    /// How it is asked for the tokens of a text, and for the text of tokens, where it can.
    pub tokens: (Option<Tokenize>, Option<Detokenize>),
    /// The field that names the adapter that is served, and its value as JSON, where that is not part of the name.
    pub adapter: Option<(String, String)>,
    /// The response header in which it names a request, where that is not one of the usual.
    pub request_id_header: Option<String>,
    /// Headers to send besides, such as an organisation to bill.
    pub headers: Vec<(String, String)>,
    /// Whether a connection is kept for the next request. Without, each request has one of its own.
    pub keep_alive: bool,
    /// Whether a stream is asked for its usage (`stream_options.include_usage`).
    pub asks_usage: bool,
    /// Whether it is told whose prompts may share its cache of prefixes (`cache_salt`).
    pub salts_cache: bool,
    /// How long it keeps the prefix of a prompt that is not asked for again; `None` where it keeps none.
    pub keeps_prefix: Option<Duration>,
    /// The header by which it keeps the requests of a session where their prompts are cached.
    pub session_header: Option<String>,
    /// The names by which it counts tokens and cost.
    pub usage: Arc<Convention>,
    /// Parameters that the place refuses or ignores. A request that depends on one is not sent there.
    pub lacks: Vec<Parameter>,
    /// Request fields that go by another name there, as (ours, theirs).
    pub renames: Vec<(String, String)>,
    /// The response headers in which it tells its limits.
    pub rate_limits: Vec<RateLimit>,
    /// Where the body of a refusal repeats them, as a JSON pointer to an object of headers.
    pub rate_limits_inside: Option<String>,
    /// What it is asked in the background.
    pub probing: Probing,
    /// How much of an answer is held.
    pub limits: Limits,
}

/// Paths below the base address; `None` where the place does not offer the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Chat completions.
    pub chat: Option<String>,
    /// Text completions.
    pub completions: Option<String>,
    /// The list of models.
    pub models: Option<String>,
    /// The other APIs that it offers, each below the base address or at an address of its own.
    pub others: Vec<(Api, String)>,
    /// Replicate's predictions, with `{owner}` and `{name}` for the parts of the model's name.
    pub predictions: Option<String>,
}

impl Default for Paths {
    /// OpenAI's.
    fn default() -> Self {
        Self {
            chat: Some(Api::Chat.path().into()),
            completions: Some(Api::Completions.path().into()),
            models: Some("/models".into()),
            others: [Api::Embeddings, Api::Rerank, Api::Moderations, Api::Images, Api::Speech, Api::Transcriptions]
                .map(|api| (api, api.path().into()))
                .into(),
            predictions: None,
        }
    }
}

/// How a key is shown to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer KEY`
    Bearer,
    /// The key as the value of this header.
    Header(String),
}

/// A request parameter that some places lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `logprobs`, `top_logprobs`
    Logprobs,
    /// `logit_bias`
    LogitBias,
    /// `n` above 1
    Choices,
    /// `tools`
    Tools,
    /// `seed`
    Seed,
    /// `frequency_penalty`
    FrequencyPenalty,
    /// `presence_penalty`
    PresencePenalty,
    /// `echo`
    Echo,
    /// `suffix`
    Suffix,
    /// `best_of` above `n`
    BestOf,
}

impl Parameter {
    const ALL: [(&str, Self); 11] = [
        ("logprobs", Self::Logprobs),
        ("top_logprobs", Self::Logprobs),
        ("logit_bias", Self::LogitBias),
        ("n", Self::Choices),
        ("tools", Self::Tools),
        ("seed", Self::Seed),
        ("frequency_penalty", Self::FrequencyPenalty),
        ("presence_penalty", Self::PresencePenalty),
        ("echo", Self::Echo),
        ("suffix", Self::Suffix),
        ("best_of", Self::BestOf),
    ];

    /// The parameters that are known by these names. The others change no answer that a caller could miss
    /// (`user`, `service_tier`): they are sent, and the place may judge them.
    fn named(names: &[String]) -> Vec<Self> {
        let known = |name: &String| Self::ALL.iter().find(|(known, _)| known == name).map(|(_, parameter)| *parameter);
        let mut all: Vec<Self> = names.iter().filter_map(known).collect();
        all.dedup();
        all
    }
}

/// How much of an answer is held in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A whole answer.
    pub whole: usize,
    /// One event of a stream.
    pub event: usize,
}

impl Default for Limits {
    /// 64 MiB for an answer, 8 MiB for an event: images and audio come in them.
    fn default() -> Self {
        Self { whole: 64 << 20, event: 8 << 20 }
    }
}

impl Target {
    /// A place that wants nothing special: a bearer key if there is one, and it knows every parameter.
    pub fn new(base_url: impl Into<String>, name: impl Into<String>, key: Option<Secret>) -> Self {
        Self {
            dialect: Dialect::Openai,
            base_url: base_url.into(),
            name: name.into(),
            auth: Auth::Bearer,
            key,
            tokens: (None, None),
            adapter: None,
            request_id_header: None,
            headers: Vec::new(),
            keep_alive: true,
            asks_usage: true,
            keeps_prefix: Some(SERVER_KEEPS),
            session_header: None,
            usage: Convention::openai(),
            lacks: Vec::new(),
            paths: Paths::default(),
            renames: Vec::new(),
            salts_cache: false,
            rate_limits: quota::usual(),
            rate_limits_inside: None,
            probing: Probing::default(),
            limits: Limits::default(),
        }
    }

    /// A model at a host of the catalog, at its usual address.
    pub fn at_host(host: &Host, name: impl Into<String>, key: Option<Secret>) -> Self {
        let auth = match host.auth {
            catalog::Auth::Bearer => Auth::Bearer,
        };
        Self {
            dialect: host.dialect,
            auth,
            paths: Paths {
                chat: host.paths.chat.clone(),
                completions: host.paths.completions.clone(),
                models: host.paths.models.clone(),
                others: others(
                    [
                        (Api::Embeddings, &host.paths.embeddings),
                        (Api::Rerank, &host.paths.rerank),
                        (Api::Moderations, &host.paths.moderations),
                        (Api::Images, &host.paths.images),
                        (Api::Speech, &host.paths.speech),
                        (Api::Transcriptions, &host.paths.transcriptions),
                    ],
                    String::clone,
                ),
                predictions: host.paths.predictions.clone(),
            },
            request_id_header: host.request_id_header.clone(),
            // A host that sends usage in every stream need not have its caller's bytes changed.
            asks_usage: matches!(host.stream_usage, StreamUsage::OnRequest | StreamUsage::Upstream),
            keeps_prefix: Some(
                host.prefix_cache_seconds.map_or(HOST_KEEPS, |seconds| Duration::from_secs(seconds.into())),
            ),
            session_header: host.session_header.clone(),
            usage: convention(&host.usage),
            lacks: Parameter::named(&host.unsupported),
            renames: host.renames.iter().map(|(ours, theirs)| (ours.clone(), theirs.clone())).collect(),
            rate_limits: host.rate_limits.clone(),
            rate_limits_inside: host.rate_limits_inside.clone(),
            probing: Probing {
                complete_listing: host.complete_listing,
                every_listing: HOST_LISTING,
                ..Probing::default()
            },
            ..Self::new(host.base_url.clone(), name, key)
        }
    }

    /// A model at a server of a kind that the catalog knows, at an address of the company's own.
    pub fn at_server(
        server: &Server,
        base_url: impl Into<String>,
        name: impl Into<String>,
        key: Option<Secret>,
    ) -> Self {
        let base_url = base_url.into();
        let base_path = server.base_path.as_deref().unwrap_or("/v1").trim_end_matches('/');
        let trimmed = base_url.trim_end_matches('/');
        let root = trimmed.strip_suffix(base_path).unwrap_or(trimmed);
        let below = |path: &String| format!("{root}{path}");
        Self {
            probing: Probing {
                health: server.health_path.as_ref().map(below),
                metrics: server.metrics_path.as_ref().map(|path| (below(path), server.metrics.clone())),
                complete_listing: server.complete_listing,
                ..Probing::default()
            },
            paths: Paths {
                others: others(
                    [
                        (Api::Embeddings, &server.paths.embeddings),
                        (Api::Rerank, &server.paths.rerank),
                        (Api::Images, &server.paths.images),
                        (Api::Speech, &server.paths.speech),
                        (Api::Transcriptions, &server.paths.transcriptions),
                        (Api::Tokenize, &server.tokenize.as_ref().map(|how| how.path.clone())),
                        (Api::TokenizerInfo, &server.paths.tokenizer_info),
                        (Api::Detokenize, &server.detokenize.as_ref().map(|how| how.path.clone())),
                    ],
                    below,
                ),
                ..Paths::default()
            },
            tokens: (server.tokenize.clone(), server.detokenize.clone()),
            keep_alive: server.keep_alive != Some(false),
            asks_usage: server.include_usage != Some(false),
            keeps_prefix: (server.prefix_cache != Some(false)).then_some(SERVER_KEEPS),
            usage: convention(&server.usage),
            lacks: Parameter::named(&server.unsupported),
            salts_cache: server.cache_salt,
            ..Self::new(base_url, name, key)
        }
    }
}

impl Target {
    /// The same, which speaks these APIs too, at their usual paths below the base address.
    #[must_use]
    pub fn speaking(mut self, apis: &[Api]) -> Self {
        self.paths.others.extend(apis.iter().map(|api| (*api, api.path().to_owned())));
        self
    }

    /// The same for an adapter of the model there, named as requests name one at such a server.
    #[must_use]
    pub fn with_adapter(self, form: &Adapters, adapter: &str) -> Self {
        let text = || serde_json::Value::from(adapter).to_string();
        match form {
            Adapters::Model => Self { name: adapter.to_owned(), ..self },
            Adapters::Suffix => Self { name: format!("{}:{adapter}", self.name), ..self },
            Adapters::Field(field) => Self { adapter: Some((field.clone(), text())), ..self },
            Adapters::Numbered(field) => {
                // The configuration has checked that it is a number.
                Self { adapter: Some((field.clone(), format!(r#"[{{"id":{adapter},"scale":1.0}}]"#))), ..self }
            }
        }
    }
}

/// Those of the APIs that have a path, made an address by `at`.
fn others<const N: usize>(all: [(Api, &Option<String>); N], at: impl Fn(&String) -> String) -> Vec<(Api, String)> {
    all.into_iter().filter_map(|(api, path)| Some((api, at(path.as_ref()?)))).collect()
}

/// OpenAI's names, and those of a row of the catalog.
fn convention(paths: &UsagePaths) -> Arc<Convention> {
    let openai = Convention::openai();
    if *paths == UsagePaths::default() {
        return openai;
    }
    let counts = [
        (Count::Prompt, &paths.prompt),
        (Count::Completion, &paths.completion),
        (Count::Cached, &paths.cached),
        (Count::CacheWrite, &paths.cache_write),
        (Count::Reasoning, &paths.reasoning),
        (Count::CostUsd, &paths.cost_usd),
    ];
    let all = counts.iter().flat_map(|(count, paths)| paths.iter().map(|path| (*count, path)));
    let all = all.chain(paths.fee_only.iter().map(|path| (Count::FeeOnly, path)));
    Arc::new(all.fold(Convention::clone(&openai), |convention, (count, path)| convention.or(count, path)))
}

/// A target that cannot be called.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// The address is none.
    #[error("`base_url`: expected an address such as `https://host/v1`: {reason}")]
    BaseUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The host speaks another dialect.
    #[error("`host`: it does not speak this API")]
    Dialect,
    /// The name at the host has not the form that names have there.
    #[error("`name`: expected {expected}, found `{name}`")]
    NameForm {
        /// The name.
        name: String,
        /// The forms that names have.
        expected: &'static str,
    },
    /// The name at the host is empty.
    #[error("`name`: expected the model's name at the host, found an empty text")]
    Name,
    /// The key has characters that no header can carry.
    #[error("`key`: expected printable characters without line breaks")]
    Key,
    /// A header cannot be sent.
    #[error(
        "`headers`: `{name}` is not a header that can be set: expected a name and a value that HTTP allows, and none of its own"
    )]
    Header {
        /// Its name.
        name: String,
    },
    /// The system has no certificate authorities.
    #[error(
        "`base_url`: no `https` address can be reached, as this system's certificate authorities cannot be read: {reason}"
    )]
    Trust {
        /// What went wrong.
        reason: String,
    },
}

/// A checked target, in the form that a request needs.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) chat: Option<Uri>,
    pub(crate) completions: Option<Uri>,
    pub(crate) models: Option<Uri>,
    pub(crate) others: Vec<(Api, Uri)>,
    pub(crate) health: Option<Uri>,
    pub(crate) metrics: Option<Uri>,
    pub(crate) headers: HeaderMap,
    pub(crate) session_header: Option<HeaderName>,
    /// The response headers in which it may name a request, the best first.
    pub(crate) request_ids: Vec<HeaderName>,
}

impl Target {
    pub(crate) fn check(&self, client: &Client) -> Result<Checked, TargetError> {
        if self.name.is_empty() {
            return Err(TargetError::Name);
        }
        let base = self.base(client)?;
        let below = |path: &Option<String>| -> Result<Option<Uri>, TargetError> {
            let Some(path) = path else { return Ok(None) };
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
            let uri =
                url.as_str().parse().map_err(|error: InvalidUri| TargetError::BaseUrl { reason: error.to_string() });
            uri.map(Some)
        };
        let whole = |address: Option<&String>| -> Result<Option<Uri>, TargetError> {
            let parse = |address: &String| address.parse();
            address
                .map(parse)
                .transpose()
                .map_err(|error: InvalidUri| TargetError::BaseUrl { reason: error.to_string() })
        };
        let others = self.paths.others.iter().map(|(api, path)| {
            let uri = if path.starts_with('/') { below(&Some(path.clone())) } else { whole(Some(path)) };
            uri.map(|uri| uri.map(|uri| (*api, uri)))
        });
        let others: Result<Vec<_>, _> = others.filter_map(Result::transpose).collect();
        let own = self.request_id_header.as_deref().and_then(|name| name.parse().ok());
        Ok(Checked {
            others: others?,
            request_ids: own.into_iter().chain(REQUEST_IDS).collect(),
            health: whole(self.probing.health.as_ref())?,
            metrics: whole(self.probing.metrics.as_ref().map(|(address, _)| address))?,
            chat: below(&self.paths.chat)?,
            completions: below(&self.paths.completions)?,
            models: below(&self.paths.models)?,
            headers: self.all_headers()?,
            session_header: self.session_header.as_deref().and_then(|name| name.parse().ok()),
        })
    }

    pub(crate) fn base(&self, client: &Client) -> Result<Url, TargetError> {
        let wrong = |reason: &str| TargetError::BaseUrl { reason: reason.into() };
        let url = Url::parse(&self.base_url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(&format!("the scheme is `{}`, not `http` or `https`", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a user name or password; give the key as `key`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it holds a `?` or a `#`"));
        }
        if url.scheme() == "https"
            && let Err(reason) = client.trust()
        {
            return Err(TargetError::Trust {
                reason: format!("{reason}; install `ca-certificates` or set SSL_CERT_FILE"),
            });
        }
        Ok(url)
    }

    fn all_headers(&self) -> Result<HeaderMap, TargetError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in &self.headers {
            let wrong = || TargetError::Header { name: name.clone() };
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.insert(header_name(name).ok_or_else(wrong)?, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A compressed stream would have to be unpacked to be read, and arrives in lumps.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if !self.keep_alive {
            // With HTTP/2 the library leaves it out, and there one connection serves all requests anyway.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(key) = &self.key {
            let (name, text) = match &self.auth {
                Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {}", key.expose())),
                Auth::Header(name) => {
                    let name = header_name(name).ok_or_else(|| TargetError::Header { name: name.clone() })?;
                    (name, key.expose().to_owned())
                }
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| TargetError::Key)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Says which parameter of a request this place lacks, before it is sent there in vain.
    pub(crate) fn fits(&self, request: &Request) -> Result<(), BackendError> {
        for parameter in &self.lacks {
            let sampling = &request.sampling;
            let (param, used) = match parameter {
                Parameter::Logprobs => ("logprobs", request.logprobs.is_some()),
                Parameter::LogitBias => ("logit_bias", !sampling.logit_bias.is_empty()),
                Parameter::Choices => ("n", request.choices > 1),
                Parameter::Tools => ("tools", matches!(&request.input, Input::Chat { tools: Some(_), .. })),
                Parameter::Seed => ("seed", sampling.seed.is_some()),
                Parameter::FrequencyPenalty => ("frequency_penalty", sampling.frequency_penalty != 0.0),
                Parameter::PresencePenalty => ("presence_penalty", sampling.presence_penalty != 0.0),
                Parameter::Echo => ("echo", request.echo),
                Parameter::Suffix => ("suffix", request.suffix),
                Parameter::BestOf => ("best_of", request.best_of.is_some_and(|best| best > request.choices)),
            };
            if used {
                return Err(BackendError::Unsupported { param, reason: "the host does not support it".into() });
            }
        }
        Ok(())
    }
}

/// Headers of one connection (RFC 9110, section 7.6.1), and those that say how a message is cut out of it. Only the HTTP
/// library knows what they must say.
const CONNECTION: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A header that may be set; `None` if HTTP has no such name, or the header belongs to the connection.
fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !CONNECTION.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientOptions;

    fn check(target: &Target) -> Result<Checked, TargetError> {
        target.check(&Client::new(&ClientOptions::default()).unwrap())
    }

    #[test]
    fn paths_are_put_below_the_base_address_with_or_without_a_slash() {
        for base in ["http://h:9/openai/v1", "http://h:9/openai/v1/"] {
            let checked = check(&Target::new(base, "m", None)).unwrap();
            assert_eq!(checked.chat.unwrap().to_string(), "http://h:9/openai/v1/chat/completions");
            assert_eq!(checked.completions.unwrap().to_string(), "http://h:9/openai/v1/completions");
            assert_eq!(checked.models.unwrap().to_string(), "http://h:9/openai/v1/models");
        }
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_with_the_reason() {
        for (base, reason) in [
            ("api.example.com/v1", "relative URL"),
            ("ftp://h/v1", "scheme is `ftp`"),
            ("https://user:hunter2@h/v1", "give the key as `key`"),
            ("https://h/v1?key=1", "holds a `?`"),
        ] {
            let error = check(&Target::new(base, "m", None)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_key_that_breaks_a_header_is_refused_without_being_shown() {
        let target = Target::new("http://h/v1", "m", Some(Secret::new("sk-1\r\nx: y")));
        assert_eq!(check(&target).unwrap_err(), TargetError::Key);
    }

    #[test]
    fn a_header_that_would_break_the_message_is_refused() {
        for (name, value) in
            [("Content-Length", "1"), ("host", "h"), ("Upgrade", "h2c"), ("a b", "c"), ("x", "1\r\ny: 2")]
        {
            let mut target = Target::new("http://h/v1", "m", None);
            target.headers = vec![(name.into(), value.into())];
            assert_eq!(check(&target).unwrap_err(), TargetError::Header { name: name.into() });
        }
        for name in ["content-length", "Transfer-Encoding", "a b"] {
            let mut target = Target::new("http://h/v1", "m", Some(Secret::new("5")));
            target.auth = Auth::Header(name.into());
            assert_eq!(check(&target).unwrap_err(), TargetError::Header { name: name.into() });
        }
    }

    #[test]
    fn the_key_goes_into_the_header_that_the_host_wants_and_prints_nowhere() {
        let mut target = Target::new("http://h/v1", "m", Some(Secret::new("sk-1")));
        assert_eq!(check(&target).unwrap().headers["authorization"], "Bearer sk-1");
        target.auth = Auth::Header("x-api-key".into());
        let checked = check(&target).unwrap();
        assert_eq!(checked.headers["x-api-key"], "sk-1");
        assert!(!checked.headers.contains_key("authorization"));
        assert!(!format!("{target:?} {checked:?}").contains("sk-1"));
    }

    #[test]
    fn every_host_of_the_catalog_that_speaks_the_dialect_can_be_called() {
        let catalog = catalog::Catalog::builtin();
        for host in catalog.hosts().filter(|host| host.openai_compatible()) {
            let target = Target::at_host(host, "m", Some(Secret::new("k")));
            let chat = check(&target).unwrap().chat.unwrap().to_string();
            assert!(chat.starts_with(&host.base_url) && chat.ends_with("/chat/completions"), "{chat}");
        }
        let other: Vec<_> = catalog.hosts().filter(|host| !host.openai_compatible()).map(|host| &host.id).collect();
        assert_eq!(other, ["replicate"]);
    }

    #[test]
    fn what_a_host_lacks_and_renames_comes_from_the_catalog() {
        let catalog = catalog::Catalog::builtin();
        let groq = Target::at_host(catalog.host("groq").unwrap(), "m", None);
        assert_eq!(groq.lacks, [Parameter::Logprobs, Parameter::LogitBias, Parameter::Choices]);
        let deepinfra = Target::at_host(catalog.host("deepinfra").unwrap(), "m", None);
        assert_eq!(deepinfra.renames, [("max_completion_tokens".to_owned(), "max_tokens".to_owned())]);
        assert_eq!(groq.paths.completions, None);
        let llama_cpp = Target::at_server(catalog.server("llama.cpp").unwrap(), "http://h/v1", "m", None);
        assert_eq!(llama_cpp.lacks, [Parameter::Echo, Parameter::Suffix, Parameter::BestOf]);
        assert!(!llama_cpp.keep_alive && groq.keep_alive);
    }
}
