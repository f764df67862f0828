//! What an answer says in an API other than OpenAI's chat and completions: Anthropic's Messages and OpenAI's Responses.
//!
//! Read where the caller speaks that API too, so that its bytes go out as they came. Only what the gateway needs to know
//! is read: whether there is content, how much, whether it ended, its token counts, whether it is an error.

use std::borrow::Cow;

use backends::{Api, Convention, Frame, Usage, text_tokens};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chunk::{self, Read};

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Own {
    api: Api,
    convention: Convention,
    /// What was counted so far: Anthropic tells the prompt's tokens first and the answer's last.
    usage: Option<Usage>,
}

/// What an event or a body is.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// A part of an answer, or a whole one; without its bytes.
    Part(Frame),
    /// An error instead; the JSON that tells it.
    Error(&'a str),
    /// JSON of another shape.
    Other,
    /// No JSON.
    Bad,
}

/// The fields of an event or of a body, of both APIs.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    r#type: Option<Cow<'a, str>>,
    /// Of a body of the Responses API.
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
}

/// What Anthropic's deltas and blocks hold.
#[derive(Default, Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    partial_json: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

/// What items of the Responses API hold.
#[derive(Default, Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

impl Own {
    /// For an answer in `api`; `None` where that is read by `chunk`.
    pub(crate) fn new(api: Api) -> Option<Self> {
        let convention = match api {
            Api::Messages => Convention::anthropic(),
            Api::Responses => Convention::responses(),
            _ => return None,
        };
        Some(Self { api, convention, usage: None })
    }

    /// What the data of an event says.
    pub(crate) fn event<'a>(&mut self, data: &'a [u8]) -> Said<'a> {
        let fields = match read(data) {
            Ok(fields) => fields,
            Err(other) => return other,
        };
        let kind = fields.r#type.as_deref().unwrap_or_default();
        if kind == "error" {
            return error(data);
        }
        let frame = Frame { own: true, ..Frame::default() };
        if self.api == Api::Responses {
            return match (kind, fields.response) {
                ("response.completed" | "response.incomplete", Some(response)) => {
                    let usage = read(response.get().as_bytes()).ok().and_then(|response| self.counted(response.usage));
                    Said::Part(Frame { finished: true, done: true, usage, ..frame })
                }
                ("response.failed", Some(response)) => Said::Error(response.get()),
                _ if kind.ends_with(".delta") => {
                    let text: Cow<'_, str> = parsed(fields.delta);
                    Said::Part(Frame { content: !text.is_empty(), text_tokens: text_tokens(&text), ..frame })
                }
                ("response.output_item.done", _) => Said::Part(Frame { content: true, ..frame }),
                _ => Said::Part(frame),
            };
        }
        match kind {
            "message_start" => {
                let head = fields.message.and_then(|message| read(message.get().as_bytes()).ok());
                // Told with the answer's own counts, once it ends.
                self.counted(head.and_then(|head| head.usage));
                Said::Part(frame)
            }
            "content_block_start" => {
                let block: Block<'_> = parsed(fields.content_block);
                let text = matches!(block.r#type.as_deref(), Some("text" | "thinking") | None);
                Said::Part(Frame { content: !text, ..frame })
            }
            "content_block_delta" => {
                let delta: Block<'_> = parsed(fields.delta);
                Said::Part(Frame { content: true, text_tokens: delta.tokens(), ..frame })
            }
            "message_delta" => {
                let delta: Block<'_> = parsed(fields.delta);
                let usage = self.counted(fields.usage);
                Said::Part(Frame { finished: delta.stop_reason.is_some(), usage, ..frame })
            }
            "message_stop" => Said::Part(Frame { done: true, ..frame }),
            _ => Said::Part(frame),
        }
    }

    /// What a whole body says.
    pub(crate) fn body<'a>(&mut self, body: &'a [u8]) -> Said<'a> {
        let fields = match read(body) {
            Ok(fields) => fields,
            Err(other) => return other,
        };
        let text_tokens = match (self.api, fields.content, fields.output) {
            _ if fields.error.is_some() || fields.status.as_deref() == Some("failed") => return error(body),
            (Api::Messages, Some(content), _) => {
                parsed::<Vec<Block<'_>>>(Some(content)).iter().map(Block::tokens).sum()
            }
            (Api::Responses, _, Some(output)) => parsed::<Vec<Item<'_>>>(Some(output)).iter().map(Item::tokens).sum(),
            _ => return Said::Other,
        };
        let finished = fields.stop_reason.is_some() || fields.status.is_some();
        let usage = self.counted(fields.usage);
        Said::Part(Frame { own: true, content: true, finished, text_tokens, usage, ..Frame::default() })
    }

    /// Token counts, with those that were told before.
    fn counted(&mut self, usage: Option<&RawValue>) -> Option<Usage> {
        let told = self.convention.read(b"", usage, true)?;
        let usage = match self.usage {
            // At the end the prompt's tokens are told again, or not at all.
            Some(before) if told.prompt_tokens == 0 => Usage { completion_tokens: told.completion_tokens, ..before },
            _ => told,
        };
        self.usage = Some(usage);
        self.usage
    }
}

impl Block<'_> {
    fn tokens(&self) -> u64 {
        let texts = [&self.text, &self.thinking, &self.partial_json];
        let input = self.input.map_or(0, |input| text_tokens(input.get()));
        texts.into_iter().flatten().map(|text| text_tokens(text)).sum::<u64>() + input
    }
}

impl Item<'_> {
    fn tokens(&self) -> u64 {
        let arguments = self.arguments.as_deref().map_or(0, text_tokens);
        self.content.iter().flatten().map(Block::tokens).sum::<u64>() + arguments
    }
}

fn read(json: &[u8]) -> Result<Fields<'_>, Said<'_>> {
    match chunk::object(json) {
        Read::Object(fields) => Ok(fields),
        Read::Other => Err(Said::Other),
        Read::Bad => Err(Said::Bad),
    }
}

fn error(json: &[u8]) -> Said<'_> {
    std::str::from_utf8(json).map_or(Said::Bad, Said::Error)
}

/// A part of it; the empty one where it has another shape.
fn parsed<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
