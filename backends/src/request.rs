//! A request as the gateway hands it to a backend: what the caller asked for, decoded once.

use std::sync::Arc;

use crate::{Api, MultipartForm, Payload, Prefix, Reading, Shape, Tools};

/// One request for a generation.
///
/// `payload` holds the caller's own bytes, for an upstream that speaks the same API; the other fields hold
/// what those bytes say, for an engine that does not.
#[derive(Clone, Debug)]
pub struct Request {
    /// The gateway's id of the request, for upstream logs.
    pub id: String,
    /// The API the caller speaks.
    pub api: Api,
    /// The caller's bytes.
    pub payload: Payload,
    /// The API that the caller speaks and its own bytes, where `api` and `payload` are a translation of them: for a place
    /// that speaks it too.
    pub own: Option<(Api, Payload)>,
    /// What to continue.
    pub input: Input,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// At most this many tokens a choice; the rest of the context window if `None`.
    pub max_tokens: Option<u32>,
    /// Texts that end a choice; not part of the answer.
    pub stop: Vec<String>,
    /// Number of choices (`n`), at least 1.
    pub choices: u32,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the caller asked for the usage chunk of a stream.
    pub include_usage: bool,
    /// Log-probabilities: `None` if not asked for, else how many rivals a token (may be 0).
    pub logprobs: Option<u8>,
    /// Completions only: the prompt is part of the answer.
    pub echo: bool,
    /// Completions only: the caller gave a text that follows the answer (`suffix`).
    pub suffix: bool,
    /// Completions only: the best of this many answers is asked for.
    pub best_of: Option<u32>,
    /// The tools that the model may call.
    pub tools: Tools,
    /// The shape that the answer's text must have; any if `None`.
    pub shape: Option<Shape>,
    /// What a server's cache of prefixes is split by: prompts with the same salt may share it. `None` where nobody need be
    /// kept apart.
    pub cache_salt: Option<String>,
    /// Which places were sent how much of it before; `None` where nothing can be known of that.
    pub prefix: Option<Arc<Prefix>>,
    /// A name for the conversation that it belongs to, for hosts that keep one where its prompts are cached.
    pub session: Option<String>,
    /// What places have read its prompts as already.
    pub read: Reading,
    /// Whether it gives way to others.
    pub priority: Priority,
}

/// Who goes before whom, the lesser first. It holds in this process alone: a host is told what its caller wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Nobody waits for it at this moment: it gives way to others, and gets on all the same.
    Low,
    /// Somebody waits for it.
    #[default]
    Usual,
}

impl Request {
    /// A request for one whole answer, with the defaults of its API in all other fields.
    pub fn new(id: impl Into<String>, api: Api, payload: Payload, input: Input) -> Self {
        Self {
            id: id.into(),
            api,
            payload,
            own: None,
            input,
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            choices: 1,
            stream: false,
            include_usage: false,
            logprobs: None,
            echo: false,
            suffix: false,
            best_of: None,
            tools: Tools::default(),
            shape: None,
            cache_salt: None,
            prefix: None,
            session: None,
            read: Reading::default(),
            priority: Priority::default(),
        }
    }

    /// How many choices the whole answer has: `choices` for a chat, that many a prompt for completions.
    pub fn answers(&self) -> usize {
        match &self.input {
            Input::Chat { .. } => self.choices as usize,
            Input::Prompts(prompts) => prompts.len() * self.choices as usize,
            Input::Embed { .. }
            | Input::Rank { .. }
            | Input::Texts(_)
            | Input::Form(_)
            | Input::Tokenize { .. }
            | Input::Detokenize(_)
            | Input::TokenizerInfo => 1,
        }
    }
}

/// What is asked about: what to continue, where the API generates.
#[derive(Clone, Debug)]
pub enum Input {
    /// A conversation.
    Chat {
        /// The turns, oldest first.
        messages: Vec<Message>,
        /// The caller's `tools` as JSON text, if any: what a chat template is given. [`Request::tools`] says what is in it.
        tools: Option<String>,
        /// Values for the chat template (`chat_template_kwargs`) as JSON text, if any.
        template_kwargs: Option<String>,
    },
    /// One or more prompts, each continued on its own: choice `i * choices + j` is the `j`-th of prompt `i`.
    Prompts(Vec<Prompt>),
    /// Texts that are to become vectors.
    Embed {
        /// The texts.
        texts: Vec<Prompt>,
        /// Whether a vector is told as the base64 of its numbers in 32 bits, little-endian, and not as a list of them.
        base64: bool,
        /// How many numbers a vector is to have, where the caller says so.
        dimensions: Option<u32>,
    },
    /// Documents that are to be ordered by a query.
    Rank {
        /// The query.
        query: String,
        /// The documents, of each its text.
        documents: Vec<String>,
        /// How many of the best are told; all if `None`.
        top: Option<usize>,
        /// Whether they are told with their texts.
        with_texts: bool,
    },
    /// Texts that are to be judged, or the text that a picture or speech is made from.
    Texts(Vec<String>),
    /// A form with a file of sound.
    Form(MultipartForm),
    /// A text whose tokens are asked for.
    Tokenize {
        /// The text.
        text: String,
        /// Whether the tokens that begin and end a text are among them.
        special: bool,
    },
    /// Tokens whose text is asked for.
    Detokenize(Vec<u32>),
    /// What the model's tokenizer is.
    TokenizerInfo,
}

/// A prompt of the completions API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Text, to be tokenized.
    Text(String),
    /// Token ids of the model's own vocabulary.
    Tokens(Vec<u32>),
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, or what the caller wrote.
    pub role: String,
    /// Its content, in order. Empty where the caller sent null or nothing.
    pub content: Vec<Part>,
    /// The author's name, if given.
    pub name: Option<String>,
    /// Reasoning text that came with an assistant turn.
    pub reasoning: Option<String>,
    /// Tool calls of an assistant turn.
    pub tool_calls: Vec<ToolUse>,
    /// The call that a `tool` turn answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// The text of the turn, parts joined by nothing; other media are left out.
    pub fn text(&self) -> String {
        self.content
            .iter()
            .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
            .collect()
    }
}

/// A piece of a turn's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// Something that is not text.
    Other {
        /// The `type` that the caller gave (`image_url`, `input_audio`, `file`, ...).
        kind: String,
        /// A hash of what it holds, so that one picture is not taken for another.
        digest: u64,
        /// The JSON text of what a picture holds, as the caller wrote it under `image_url`: for engines in this process that
        /// read pictures. `None` of all else.
        held: Option<Arc<str>>,
    },
}

/// A tool call in the conversation so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// Its id.
    pub id: String,
    /// The function.
    pub name: String,
    /// Its arguments as the JSON text the model wrote.
    pub arguments: String,
}

/// How the next token is chosen. The defaults are OpenAI's.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the most probable token.
    pub temperature: f32,
    /// Keeps the smallest set of tokens whose probabilities sum to this.
    pub top_p: f32,
    /// Keeps this many tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps tokens at least this share as probable as the best; 0 keeps all.
    pub min_p: f32,
    /// Subtracted once for each time a token was generated.
    pub frequency_penalty: f32,
    /// Subtracted once if a token was generated.
    pub presence_penalty: f32,
    /// Divides (or multiplies, below zero) the logits of tokens seen in prompt or answer; 1 does nothing.
    pub repetition_penalty: f32,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// The same seed and request give the same answer on the same engine; random if `None`.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}
