//! What a plan is made from: the request's facts, the deployments, and how they are now.

use std::{fmt, sync::Arc};

use catalog::{Catalog, Date, Use, Weights};

use crate::{PolicySet, Scope};

/// What the gateway knows of a request when it asks for a plan.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The caller's team.
    pub team: Option<String>,
    /// The public id of the caller's key.
    pub key: Option<String>,
    /// What the caller's key may reach; `None` where it is bound to nothing.
    pub scope: Option<Arc<Scope>>,
    /// The context (the product or purpose) that the caller's key stands for.
    pub context: Option<String>,
    /// The use that the licence decision is about.
    pub use_: Arc<Use>,
    /// The day on which it is decided: attestations, agreements and waivers begin and end.
    pub today: Date,
    /// The moment, in seconds since 1970 in UTC; where it is `None`, no time window takes the request.
    pub now: Option<i64>,
    /// The value of `model` in the request.
    pub model_asked: String,
    /// The language of the last user turn, ISO 639-1; `None` where it could not be told.
    pub language: Option<String>,
    /// The script that most of it is written in, one of [`SCRIPTS`](crate::SCRIPTS); `None` where it has no letters.
    pub script: Option<String>,
    /// The prompt's size, an estimate.
    pub prompt_tokens: u64,
    /// The most tokens that the caller wants back.
    pub max_tokens: Option<u64>,
    /// How many tokens an answer on this request's route has, on average; `None` where that was not learnt.
    pub answer_tokens: Option<f32>,
    /// The arm of its route's split that the request is known to be on, where it is not to be drawn: a test or a record
    /// says so. A route that has no such arm draws.
    pub arm: Option<String>,
    /// A random number of this request's own: it breaks ties, draws an arm where nothing else does, says whether the
    /// request is mirrored, and now and then tries a deployment that nothing was heard of lately. 0 is none: the order
    /// of the configuration breaks ties, the heaviest arm is asked, whatever may be mirrored is, and nobody is tried anew.
    pub draw: u64,
    /// What the request asks of a model beyond text.
    pub needs: Needs,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The request headers that the configuration declares, by name in lower case, as far as the request has them.
    pub headers: Vec<(String, String)>,
    /// The entries of the request's `metadata` that the configuration declares, as far as the request has them.
    pub metadata: Vec<(String, String)>,
}

impl Facts {
    /// A request of which nothing is known but what it asks for, for which use and when it is decided.
    pub fn new(model_asked: impl Into<String>, use_: impl Into<Arc<Use>>, today: Date) -> Self {
        Self {
            team: None,
            key: None,
            scope: None,
            context: None,
            use_: use_.into(),
            today,
            now: None,
            model_asked: model_asked.into(),
            language: None,
            script: None,
            prompt_tokens: 0,
            max_tokens: None,
            answer_tokens: None,
            arm: None,
            draw: 0,
            needs: Needs::default(),
            stream: false,
            headers: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

/// The longest value of a header or of `metadata` that a policy can match, in bytes. A longer one matches nothing, and
/// need not be gathered.
pub const MAX_VALUE: usize = 256;

/// What a request asks of a model beyond text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Needs {
    /// It offers tools.
    pub tools: bool,
    /// It asks for an answer in a JSON schema.
    pub json_schema: bool,
    /// It holds an image.
    pub image: bool,
    /// It holds sound.
    pub audio: bool,
    /// It asks for log-probabilities.
    pub logprobs: bool,
    /// It came by the completions API.
    pub completions: bool,
    /// It asks for more than one answer to a prompt.
    pub choices: bool,
    /// It makes tokens more or less likely.
    pub logit_bias: bool,
    /// It names a seed.
    pub seed: bool,
    /// It has a frequency or presence penalty.
    pub penalties: bool,
    /// What it asks for, where that is not text that goes on from its own.
    pub task: Option<Task>,
}

/// What a request asks for that is no generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Vectors of texts.
    Embeddings,
    /// The order of documents by a query.
    Rerank,
    /// Whether a text is harmful.
    Moderations,
    /// Pictures.
    Images,
    /// Sound from a text.
    Speech,
    /// Text from sound.
    Transcriptions,
    /// The tokens of a text, or the text of tokens.
    Tokens,
}

impl Task {
    /// Every task.
    pub const ALL: [Task; 7] = [
        Self::Embeddings,
        Self::Rerank,
        Self::Moderations,
        Self::Images,
        Self::Speech,
        Self::Transcriptions,
        Self::Tokens,
    ];

    /// What a candidate has to be able to do.
    pub fn capability(self) -> Capability {
        match self {
            Self::Embeddings => Capability::Embeddings,
            Self::Rerank => Capability::Rerank,
            Self::Moderations => Capability::Moderations,
            Self::Images => Capability::Images,
            Self::Speech => Capability::Speech,
            Self::Transcriptions => Capability::Transcriptions,
            Self::Tokens => Capability::Tokens,
        }
    }
}

impl Needs {
    /// What is needed, as capabilities.
    pub fn capabilities(self) -> Capabilities {
        let flags = [
            (self.tools, Capability::Tools),
            (self.json_schema, Capability::JsonSchema),
            (self.image, Capability::Image),
            (self.audio, Capability::Audio),
            (self.logprobs, Capability::Logprobs),
            (self.completions, Capability::Completions),
            (self.choices, Capability::Choices),
            (self.logit_bias, Capability::LogitBias),
            (self.seed, Capability::Seed),
            (self.penalties, Capability::Penalties),
        ];
        let task = self.task.map(Task::capability);
        flags.into_iter().filter(|(needed, _)| *needed).map(|(_, capability)| capability).chain(task).collect()
    }

    /// What a candidate has to be able to do: all that, and to write text where nothing else is asked for.
    pub(crate) fn required(self) -> Capabilities {
        let mut all = self.capabilities();
        if self.task.is_none() {
            all.insert(Capability::Generation);
        }
        all
    }
}

/// Something that not every model or place can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// `tools`: calls functions.
    Tools,
    /// `json_schema`: answers in a given schema.
    JsonSchema,
    /// `image`: reads images.
    Image,
    /// `audio`: hears sound.
    Audio,
    /// `logprobs`: tells log-probabilities.
    Logprobs,
    /// `reasoning`: thinks before it answers.
    Reasoning,
    /// `completions`: offers the completions API.
    Completions,
    /// `choices`: gives several answers to a prompt.
    Choices,
    /// `logit_bias`: takes a bias for tokens.
    LogitBias,
    /// `seed`: takes a seed.
    Seed,
    /// `penalties`: takes frequency and presence penalties.
    Penalties,
    /// `generation`: writes text.
    Generation,
    /// `embeddings`: makes vectors of texts.
    Embeddings,
    /// `rerank`: orders documents by a query.
    Rerank,
    /// `moderations`: says whether a text is harmful.
    Moderations,
    /// `images`: makes pictures.
    Images,
    /// `speech`: makes sound of a text.
    Speech,
    /// `transcriptions`: makes text of sound.
    Transcriptions,
    /// `tokens`: tells the tokens of a text, and the text of tokens.
    Tokens,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Capability; 19] = [
        Self::Tools,
        Self::JsonSchema,
        Self::Image,
        Self::Audio,
        Self::Logprobs,
        Self::Reasoning,
        Self::Completions,
        Self::Choices,
        Self::LogitBias,
        Self::Seed,
        Self::Penalties,
        Self::Generation,
        Self::Embeddings,
        Self::Rerank,
        Self::Moderations,
        Self::Images,
        Self::Speech,
        Self::Transcriptions,
        Self::Tokens,
    ];

    /// Those that the policy language and lists of capabilities speak of. The others every place has unless it is said
    /// to lack them.
    pub const LISTED: [Capability; 6] =
        [Self::Tools, Self::JsonSchema, Self::Image, Self::Audio, Self::Logprobs, Self::Reasoning];

    /// Its word in configurations, policies, plans and the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::JsonSchema => "json_schema",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Logprobs => "logprobs",
            Self::Reasoning => "reasoning",
            Self::Completions => "completions",
            Self::Choices => "choices",
            Self::LogitBias => "logit_bias",
            Self::Seed => "seed",
            Self::Penalties => "penalties",
            Self::Generation => "generation",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Moderations => "moderations",
            Self::Images => "images",
            Self::Speech => "speech",
            Self::Transcriptions => "transcriptions",
            Self::Tokens => "tokens",
        }
    }

    /// Whether it is what a request asks for, and not how.
    pub fn is_task(self) -> bool {
        self == Self::Generation || Task::ALL.into_iter().any(|task| task.capability() == self)
    }

    /// The capability of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Whether `capability` is in the set.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Whether every capability of `other` is in the set.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The first capability that both sets have.
    #[inline]
    pub fn first_common(self, other: Self) -> Option<Capability> {
        // Asked for each candidate of a plan, and mostly there is none.
        let common = self.common(other);
        if common.is_empty() { None } else { common.iter().next() }
    }

    /// Whether the set has nothing in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The capabilities of the set.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |c| self.contains(*c))
    }

    /// Those of `names` that this build knows; other words say nothing here.
    pub(crate) fn known(names: &[String]) -> Self {
        names.iter().filter_map(|name| Capability::named(name)).collect()
    }

    /// Those that both sets have.
    #[inline]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of this set that `other` has not.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability as u8;
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::default();
        capabilities.into_iter().for_each(|c| set.insert(c));
        set
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A model served at a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its name in the configuration.
    pub id: String,
    /// The catalog id of the model.
    pub model: String,
    /// The weights that it is served from, where their licence depends on them and they can be looked at.
    pub weights: Option<Weights>,
    /// The catalog id of the model that guesses for it, where one does: its licence binds too.
    pub draft: Option<String>,
    /// Where it runs.
    pub place: Place,
    /// Where requests are processed, as the configuration says it.
    pub region: Option<String>,
    /// What the place keeps of a request: `none`, or as the configuration says it.
    pub retention: Option<String>,
    /// What models the place trains on requests: `none`, or as the configuration says it.
    pub training_use: Option<String>,
    /// The catalog's id of what it runs on, as the configuration says it.
    pub hardware: Option<String>,
    /// Bits a weight.
    pub quantization_bits: Option<f32>,
    /// The context window at this place, where it differs from the model's.
    pub context_tokens: Option<u64>,
    /// How much of the context window was measured to be of use: models lose track late in a window. The catalog states
    /// it of none, so it is known where the operator says it.
    pub effective_context_tokens: Option<u64>,
    /// USD per million prompt tokens.
    pub input_usd_per_million: Option<f64>,
    /// USD per million prompt tokens that the place had in its cache; where it is not known they cost like the others.
    pub cached_input_usd_per_million: Option<f64>,
    /// USD per million answer tokens.
    pub output_usd_per_million: Option<f64>,
    /// Everything that the place can do beyond text. Empty: not known, the catalog's word on the model holds.
    pub capabilities: Vec<String>,
    /// What the place cannot do, by the words of [`Capability`], whatever `capabilities` or the catalog say.
    pub lacks: Vec<String>,
}

impl Deployment {
    /// A deployment of which nothing is known but what and where it is.
    pub fn new(id: impl Into<String>, model: impl Into<String>, place: Place) -> Self {
        Self {
            id: id.into(),
            model: model.into(),
            weights: None,
            draft: None,
            place,
            region: None,
            retention: None,
            training_use: None,
            hardware: None,
            quantization_bits: None,
            context_tokens: None,
            effective_context_tokens: None,
            input_usd_per_million: None,
            cached_input_usd_per_million: None,
            output_usd_per_million: None,
            capabilities: Vec::new(),
            lacks: Vec::new(),
        }
    }
}

/// Where a model runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Local {
        /// The engine.
        engine: String,
    },
    /// At a company that serves models, by catalog id.
    Host(String),
    /// On a server that the operator runs, by catalog id of its kind.
    Server(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { engine } => write!(f, "local {engine}"),
            Self::Host(id) => write!(f, "host {id}"),
            Self::Server(id) => write!(f, "server {id}"),
        }
    }
}

/// How a deployment is at this moment, for a request of this size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// Whether requests may go there.
    pub healthy: bool,
    /// Whether something was heard of it so lately that these numbers can be relied on.
    pub fresh: bool,
    /// Requests in progress.
    pub running: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Time to the first token, of prompts about as long as this request's.
    pub ttft: Option<Spread>,
    /// Time per further token, likewise.
    pub tpot: Option<Spread>,
    /// The share of recent attempts that failed, 0 to 1.
    pub error_rate: f32,
    /// The share of recent prompt tokens that it reported as cached, 0 to 1; 0 where it reported nothing, so that an
    /// expected price is never too low.
    pub cached_share: f32,
    /// Tokens of this request's prompt that are cached there, about. `None` where nothing can be known of that: then the
    /// share that is usually cached is expected. Where it is known, that share does not count, also where nothing is
    /// cached: else a place that never saw a conversation would look as cheap as the one that holds it.
    pub cached_prefix_tokens: Option<u32>,
    /// For how long it takes nothing more by its own word, because a limit is used up, in milliseconds; 0 where it takes
    /// requests.
    pub throttled_ms: u32,
    /// Whether as many of our requests run there as it may be given.
    pub full: bool,
    /// What is left of the tightest of its limits, 0 to 1; 1 where it says nothing of it.
    pub quota_left: f32,
    /// How full its cache of keys and values is, 0 to 1; 0 where it says nothing of it.
    pub cache_used: f32,
    /// How long a request that came now would wait there until it is begun with, in milliseconds, where it tells: then `queued`
    /// says nothing more. Without what `starts_ms` tells.
    pub wait_ms: Option<u32>,
    /// How long it takes until it can begin, in milliseconds: its model has to be loaded first. 0 where it can begin now.
    pub starts_ms: u32,
}

/// How long something takes, in milliseconds, over recent requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// On average.
    pub mean: f32,
    /// Half of the requests took no longer.
    pub p50: f32,
    /// 95 of 100 requests took no longer.
    pub p95: f32,
}

impl Spread {
    /// Every request takes `ms`.
    pub const fn always(ms: f32) -> Self {
        Self { mean: ms, p50: ms, p95: ms }
    }
}

impl Live {
    /// Healthy, idle, not yet measured.
    pub const UNMEASURED: Live = Live {
        healthy: true,
        fresh: false,
        running: 0,
        queued: 0,
        ttft: None,
        tpot: None,
        error_rate: 0.0,
        cached_share: 0.0,
        cached_prefix_tokens: None,
        throttled_ms: 0,
        full: false,
        quota_left: 1.0,
        cache_used: 0.0,
        wait_ms: None,
        starts_ms: 0,
    };
}

impl Default for Live {
    fn default() -> Self {
        Self::UNMEASURED
    }
}

/// Everything beside the request that a plan depends on, taken at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The catalog that the policies were compiled with.
    pub catalog: &'a Catalog,
    /// The policies.
    pub policies: &'a PolicySet,
    /// The deployments that the policies were compiled with, in the same order.
    pub deployments: &'a [Deployment],
    /// How they are, in the same order. A deployment without an entry counts as healthy, idle and not yet measured.
    pub live: &'a [Live],
}

impl From<Capabilities> for Needs {
    fn from(capabilities: Capabilities) -> Self {
        Self {
            tools: capabilities.contains(Capability::Tools),
            json_schema: capabilities.contains(Capability::JsonSchema),
            image: capabilities.contains(Capability::Image),
            audio: capabilities.contains(Capability::Audio),
            logprobs: capabilities.contains(Capability::Logprobs),
            completions: capabilities.contains(Capability::Completions),
            choices: capabilities.contains(Capability::Choices),
            logit_bias: capabilities.contains(Capability::LogitBias),
            seed: capabilities.contains(Capability::Seed),
            penalties: capabilities.contains(Capability::Penalties),
            task: Task::ALL.into_iter().find(|task| capabilities.contains(task.capability())),
        }
    }
}
