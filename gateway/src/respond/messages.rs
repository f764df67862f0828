//! An answer in the shapes of Anthropic's API: the events of a stream, a whole message, and its errors.
//!
//! | of the answer | becomes |
//! | --- | --- |
//! | reasoning | a `thinking` block without a signature, where the caller asked for thinking |
//! | text, a refusal | a `text` block |
//! | a tool call | a `tool_use` block, with the id that the host gave, or one made here |
//! | `stop`, `length`, `tool_calls`, `content_filter` | `end_turn` (or `stop_sequence`), `max_tokens`, `tool_use`, `refusal` |
//! | token counts | `input_tokens` without those from and to a cache, which have fields of their own |
//!
//! A finish reason that has no word there keeps its own. A stream begins with an estimate of the prompt's tokens; the last
//! but one event has the counts. Blocks of tools stay open until the answer ends, as hosts may send several calls by turns.

use std::{borrow::Cow, collections::BTreeMap};

use backends::Usage;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{error::ApiError, pieces::Piece, sse::named_event};

/// What is said on a silent stream.
pub const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// An answer under way.
#[derive(Debug)]
pub struct Writer {
    id: String,
    model: String,
    /// Tokens of the prompt, an estimate.
    prompt_tokens: u64,
    shows_reasoning: bool,
    /// Whether the text of blocks is kept, for a whole message.
    keeps: bool,
    begun: bool,
    blocks: Vec<Block>,
    stop: Option<(String, Option<String>)>,
    usage: Option<Usage>,
}

/// A block of content.
#[derive(Debug)]
struct Block {
    kind: Kind,
    /// The text, the thinking, or the arguments so far, where they are kept.
    text: String,
    closed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Tool {
        /// Its place among the upstream's calls.
        index: u32,
        id: String,
        name: String,
    },
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Content<'a>>,
    stop_reason: Option<&'a str>,
    stop_sequence: Option<&'a str>,
    usage: Counts,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'static str },
    ToolUse { id: &'a str, name: &'a str, input: &'a RawValue },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: usize, content_block: Content<'a> },
    ContentBlockDelta { index: usize, delta: Delta<'a> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: End<'a>, usage: Counts },
    MessageStop,
    Error { error: Fault<'a>, request_id: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Serialize)]
struct End<'a> {
    stop_reason: Option<&'a str>,
    stop_sequence: Option<&'a str>,
}

/// Token counts as Anthropic means them: `input_tokens` are those that neither came from a cache nor went to one.
#[derive(Clone, Copy, Serialize)]
struct Counts {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl From<Usage> for Counts {
    fn from(usage: Usage) -> Self {
        let cached = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        Self {
            input_tokens: usage.prompt_tokens.saturating_sub(cached),
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cached_tokens,
            output_tokens: usage.completion_tokens,
        }
    }
}

#[derive(Serialize)]
struct Fault<'a> {
    r#type: &'static str,
    message: Cow<'a, str>,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(flatten)]
    details: BTreeMap<&'static str, &'a serde_json::Value>,
}

impl Writer {
    /// An answer of `model` to the request `id`, whose prompt has about so many tokens.
    pub fn new(id: &str, model: &str, prompt_tokens: u64, shows_reasoning: bool) -> Self {
        Self {
            id: format!("msg_{}", id.trim_start_matches("req_")),
            model: model.to_owned(),
            prompt_tokens,
            shows_reasoning,
            keeps: false,
            begun: false,
            blocks: Vec::new(),
            stop: None,
            usage: None,
        }
    }

    /// The same for an answer that is told whole.
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// Takes a piece of the answer; `out` gets its events.
    pub fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        match piece {
            Piece::Text(text) | Piece::Refusal(text) => self.text(Kind::Text, &text, out),
            Piece::Reasoning(text) if self.shows_reasoning => self.text(Kind::Thinking, &text, out),
            Piece::Reasoning(_) => {}
            Piece::Call { index, id, name, arguments } => {
                self.call(index, id.as_deref(), name.as_deref(), &arguments, out)
            }
            Piece::Finish { reason, stop_sequence } => {
                self.stop = Some((reason.into_owned(), stop_sequence.map(|stop| stop.into_owned())));
            }
        }
    }

    /// Takes token counts; later ones replace earlier ones.
    pub fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// The events that end a whole answer.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        for index in 0..self.blocks.len() {
            self.close(index, out);
        }
        let (stop_reason, stop_sequence) = self.stop_reason();
        event(&Event::MessageDelta { delta: End { stop_reason, stop_sequence }, usage: self.counts() }, out);
        event(&Event::MessageStop, out);
    }

    /// The whole message, of one that keeps its text.
    pub fn whole(&self) -> Vec<u8> {
        let (stop_reason, stop_sequence) = self.stop_reason();
        let inputs: Vec<Option<Box<RawValue>>> = self.blocks.iter().map(Block::input).collect();
        let content = self.blocks.iter().zip(&inputs).map(|(block, input)| match (&block.kind, input) {
            (Kind::Tool { id, name, .. }, Some(input)) => Content::ToolUse { id, name, input },
            (Kind::Thinking, _) => Content::Thinking { thinking: &block.text, signature: "" },
            _ => Content::Text { text: &block.text },
        });
        let message =
            Message { content: content.collect(), stop_reason, stop_sequence, usage: self.counts(), ..self.message() };
        serde_json::to_vec(&message).expect("strings and numbers serialise")
    }

    fn message(&self) -> Message<'_> {
        Message {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: Usage { prompt_tokens: self.prompt_tokens, ..Usage::default() }.into(),
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            event(&Event::MessageStart { message: self.message() }, out);
        }
    }

    fn text(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        let last = self.blocks.last();
        if last.is_none_or(|block| block.kind != kind) {
            for index in 0..self.blocks.len() {
                self.close(index, out);
            }
            self.open(kind, out);
        }
        let index = self.blocks.len() - 1;
        let block = &mut self.blocks[index];
        if self.keeps {
            block.text.push_str(text);
        }
        let delta = match block.kind {
            Kind::Thinking => Delta::Thinking { thinking: text },
            _ => Delta::Text { text },
        };
        event(&Event::ContentBlockDelta { index, delta }, out);
    }

    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str, out: &mut Vec<u8>) {
        let known =
            |block: &Block| matches!(block.kind, Kind::Tool { index: known, .. } if known == index && !block.closed);
        let at = self.blocks.iter().position(known).unwrap_or_else(|| {
            let made = || format!("toolu_{}_{index}", self.id.trim_start_matches("msg_"));
            let id = id.map_or_else(made, str::to_owned);
            for index in 0..self.blocks.len() {
                if !matches!(self.blocks[index].kind, Kind::Tool { .. }) {
                    self.close(index, out);
                }
            }
            self.open(Kind::Tool { index, id, name: name.unwrap_or_default().to_owned() }, out);
            self.blocks.len() - 1
        });
        if !arguments.is_empty() {
            if self.keeps {
                self.blocks[at].text.push_str(arguments);
            }
            event(&Event::ContentBlockDelta { index: at, delta: Delta::InputJson { partial_json: arguments } }, out);
        }
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let empty = no_input();
        let content_block = match &kind {
            Kind::Text => Content::Text { text: "" },
            Kind::Thinking => Content::Thinking { thinking: "", signature: "" },
            Kind::Tool { id, name, .. } => Content::ToolUse { id, name, input: &empty },
        };
        event(&Event::ContentBlockStart { index: self.blocks.len(), content_block }, out);
        self.blocks.push(Block { kind, text: String::new(), closed: false });
    }

    fn close(&mut self, index: usize, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.blocks[index].closed, true) {
            event(&Event::ContentBlockStop { index }, out);
        }
    }

    fn counts(&self) -> Counts {
        self.usage.map_or_else(|| self.message().usage, Counts::from)
    }

    fn stop_reason(&self) -> (Option<&str>, Option<&str>) {
        let Some((reason, sequence)) = &self.stop else { return (None, None) };
        let called = self.blocks.iter().any(|block| matches!(block.kind, Kind::Tool { .. }));
        let word = match (reason.as_str(), sequence) {
            // Some hosts say `stop` after a tool call.
            ("tool_calls" | "function_call", _) => "tool_use",
            ("stop", _) if called => "tool_use",
            ("stop", Some(_)) | ("stop_sequence", _) => "stop_sequence",
            ("stop" | "eos" | "eos_token", None) => "end_turn",
            ("length", _) => "max_tokens",
            ("content_filter", _) => "refusal",
            (other, _) => other,
        };
        (Some(word), sequence.as_deref().filter(|_| word == "stop_sequence"))
    }
}

impl Block {
    /// The arguments of a tool as the object that they are; what the model wrote instead stands under one key.
    fn input(&self) -> Option<Box<RawValue>> {
        if !matches!(self.kind, Kind::Tool { .. }) {
            return None;
        }
        if self.text.trim().is_empty() {
            return Some(no_input());
        }
        let written = serde_json::from_str::<Box<RawValue>>(self.text.trim()).ok();
        let object = written.filter(|written| written.get().starts_with('{'));
        object.or_else(|| serde_json::value::to_raw_value(&serde_json::json!({"unparsed": self.text})).ok())
    }
}

fn no_input() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("it is JSON")
}

/// The body of an error.
pub fn error(error: &ApiError, request_id: &str) -> Vec<u8> {
    serde_json::to_vec(&fault(error, request_id)).expect("strings and numbers serialise")
}

/// The event that ends the stream of a whole answer.
pub fn stop_event(out: &mut Vec<u8>) {
    event(&Event::MessageStop, out);
}

/// The event of an error that ends a stream.
pub fn error_event(error: &ApiError, request_id: &str, out: &mut Vec<u8>) {
    event(&fault(error, request_id), out);
}

fn fault<'a>(error: &'a ApiError, request_id: &'a str) -> Event<'a> {
    Event::Error {
        error: Fault {
            r#type: match error.status.as_u16() {
                401 => "authentication_error",
                402 => "billing_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                400..500 => "invalid_request_error",
                503 => "overloaded_error",
                504 => "timeout_error",
                _ => "api_error",
            },
            message: match &*error.code {
                // Claude Code makes its conversation shorter when it reads these words.
                "context_length_exceeded" => format!("prompt is too long: {}", error.message).into(),
                _ => error.message.as_str().into(),
            },
            code: &error.code,
            param: error.param.as_deref(),
            hint: error.hint.as_deref(),
            details: error.details.as_deref().map(|(key, value)| (*key, value)).into_iter().collect(),
        },
        request_id,
    }
}

fn event(event: &Event<'_>, out: &mut Vec<u8>) {
    let name = match event {
        Event::MessageStart { .. } => "message_start",
        Event::ContentBlockStart { .. } => "content_block_start",
        Event::ContentBlockDelta { .. } => "content_block_delta",
        Event::ContentBlockStop { .. } => "content_block_stop",
        Event::MessageDelta { .. } => "message_delta",
        Event::MessageStop => "message_stop",
        Event::Error { .. } => "error",
    };
    named_event(name, event, out);
}

#[cfg(test)]
mod tests;
