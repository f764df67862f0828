//! Writes a conversation as the model's chat template says.
//!
//! The template is the model file's own (Jinja, with the functions and string methods that such templates
//! use in Python). It mixes its markup with what callers wrote, and only the markup may become control
//! tokens. So the first and last characters of all control tokens are swapped for stand-ins in everything
//! that came from a caller (`guard`); whatever the template does with it - trim, split, join, upper case -
//! the caller's text cannot spell a control token. The tokenizer puts the characters back after it has
//! found the control tokens.
//!
//! A template is a program in a model file: its steps and its output are bounded. What it holds in
//! variables is not, so a file from an untrusted source stays a risk to memory.

mod clock;
mod functions;
mod guard;

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use backends::{BackendError, Message, Part};
use minijinja::{Environment, Error as JinjaError, Value, syntax::SyntaxConfig, value::ValueKind};

use crate::{
    calls::Format,
    gguf::{self, File},
    pictures, reasoning,
    tokenizer::Tokenizer,
};

use functions::Raised;
use guard::Guard;

/// Steps a rendering may take. A conversation of a thousand turns takes some hundred thousand.
const FUEL: u64 = 5_000_000;
/// The roles that templates know. Others could complete markup such as `<|{{ message.role }}|>`.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// A model's chat template.
pub struct Template {
    environment: Environment<'static>,
    constants: [(&'static str, Value); 3],
    knows_developer: bool,
    /// Whether what a turn says has to be a list of parts: of a text it writes nothing.
    wants_parts: bool,
    calls: Option<&'static Format>,
    reasoning: Option<Arc<[u32]>>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

/// Why a file's template is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is of the wrong type.
    #[error(transparent)]
    File(#[from] gguf::Error),
    /// The template cannot be read.
    #[error("the chat template is damaged in line {line}")]
    Syntax {
        /// Where.
        line: usize,
        /// What is wrong.
        #[source]
        source: JinjaError,
    },
}

/// A conversation, as the caller sent it.
#[derive(Clone, Copy, Debug)]
pub struct Chat<'a> {
    /// The turns.
    pub messages: &'a [Message],
    /// `tools` as JSON text.
    pub tools: Option<&'a str>,
    /// `chat_template_kwargs` as JSON text.
    pub kwargs: Option<&'a str>,
    /// Whether the model reads pictures.
    pub pictures: bool,
}

/// A conversation as the model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its tokens, up to where the assistant's answer begins, without those of pictures.
    pub tokens: Vec<u32>,
    /// The pictures in the order in which the model sees them: the number of tokens before each, and its number in the
    /// order of the conversation.
    pub pictures: Vec<(usize, usize)>,
    /// Whether the answer begins within reasoning that the template has opened.
    pub opens_reasoning: bool,
}

impl Template {
    /// Reads the template of a model file, if it has one.
    ///
    /// # Errors
    /// When it is no template.
    pub fn from_file(file: &File, tokenizer: &Tokenizer) -> Result<Option<Self>, Error> {
        let source = file.get::<&str>("tokenizer.chat_template")?;
        source.map(|source| Self::new(source, tokenizer)).transpose()
    }

    /// Reads a template's text.
    ///
    /// # Errors
    /// When it is no template.
    pub fn new(source: &str, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let mut environment = Environment::new();
        // As the Python libraries set it, which templates are written for.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|source| Error::Syntax { line: 0, source })?);
        environment.set_fuel(Some(FUEL));
        functions::add(&mut environment);
        environment
            .add_template_owned("chat", source.to_owned())
            .map_err(|source| Error::Syntax { line: source.line().unwrap_or(0), source })?;
        let spelling = |id: Option<u32>| {
            let bytes = id.map(|id| tokenizer.spelling(id)).unwrap_or_default();
            Value::from(String::from_utf8_lossy(bytes))
        };
        let constants = [
            ("bos_token", spelling(tokenizer.bos())),
            ("eos_token", spelling(tokenizer.eos())),
            ("add_generation_prompt", true.into()),
        ];
        let (knows_developer, calls) = (source.contains("developer"), Format::of(source));
        let is_mark = |name: &[u8]| [reasoning::OPEN, reasoning::CLOSE].iter().any(|mark| mark.as_bytes() == name);
        let reasoning = reasoning::is_known_to(source).then(|| tokenizer.controls(is_mark).collect());
        let mut template = Self { environment, constants, knows_developer, wants_parts: false, calls, reasoning };
        template.wants_parts = !template.writes(false) && template.writes(true);
        Ok(template)
    }

    /// Whether it writes what a user says, as a text or as a list of parts.
    fn writes(&self, in_parts: bool) -> bool {
        const SAID: &str = "Pointsman";
        let said = content([SAID.to_owned()].into_iter(), in_parts);
        let turn = Value::from_pairs([("role", Value::from("user")), ("content", said)]);
        let messages = ("messages", [turn].into_iter().collect());
        let context = Value::from_pairs(self.constants.iter().cloned().chain([messages]));
        let written = self.environment.get_template("chat").and_then(|template| template.render(context));
        written.is_ok_and(|text| text.contains(SAID))
    }

    /// Its text, as the file has it.
    pub(crate) fn source(&self) -> String {
        self.environment.get_template("chat").map(|template| template.source().to_owned()).unwrap_or_default()
    }

    /// How the model writes tool calls, where the template can tell it of tools in a way that is known here.
    pub(crate) fn calls(&self) -> Option<&'static Format> {
        self.calls
    }

    /// Those of the marks around reasoning that are control tokens, where the model writes reasoning.
    pub(crate) fn reasoning(&self) -> Option<&Arc<[u32]>> {
        self.reasoning.as_ref()
    }

    /// Writes a conversation, up to where the assistant's answer begins.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] where the template refuses the conversation or something in it is not
    /// text, [`BackendError::PromptTooLong`] where it cannot fit `limit` tokens.
    pub fn encode(&self, chat: Chat<'_>, tokenizer: &Tokenizer, limit: usize) -> Result<Written, BackendError> {
        let turns = chat.messages.iter().map(|message| self.turn(message, chat.pictures));
        let turns = turns.collect::<Result<Vec<_>, _>>()?;
        let tools = chat.tools.map(|text| parse("tools", text)).transpose()?.unwrap_or_default();
        let kwargs = match chat.kwargs.map(|text| parse("chat_template_kwargs", text)).transpose()? {
            Some(kwargs) if kwargs.kind() == ValueKind::Map => kwargs,
            Some(_) => return unsupported("chat_template_kwargs", "expected a JSON object"),
            None => Value::from_pairs(std::iter::empty::<(Value, Value)>()),
        };
        let template = self.environment.get_template("chat").map_err(|_| damaged())?;
        let guard =
            Guard::new(tokenizer, turns.iter().map(|turn| &turn.fields).chain([&tools, &kwargs]), template.source());

        // Each is a token at least.
        let shown: usize = turns.iter().map(|turn| turn.pictures).sum();
        if shown > limit {
            return Err(BackendError::PromptTooLong { got: shown, limit });
        }
        let mut marks = guard.marks();
        // In order, as their marks are.
        let mut pictures = Vec::with_capacity(shown);
        let mut messages: Vec<Value> = Vec::with_capacity(turns.len());
        for (turn, message) in turns.into_iter().zip(chat.messages) {
            let from = pictures.len();
            pictures.extend(marks.by_ref().take(turn.pictures));
            if pictures.len() - from < turn.pictures {
                return unsupported("messages", "more pictures than can be told apart");
            }
            messages.push(turn.hidden(&guard, message, &pictures[from..], self.wants_parts));
        }
        let ours = self.constants.iter().map(|(key, value)| (Value::from(*key), value.clone()));
        let ours = ours.chain([("messages".into(), messages.into()), ("tools".into(), guard.hide(&tools))]);
        // Later pairs replace earlier ones: what the caller adds cannot stand in for the conversation.
        let context = Value::from_pairs(guard.hidden_pairs(&kwargs).into_iter().chain(ours));
        let most = limit.saturating_mul(tokenizer.longest());
        let Some(text) = render(&template, context, &guard, most)? else {
            return Err(BackendError::PromptTooLong { got: limit + 1, limit });
        };
        // Stand-ins are in place: where the mark is a token of its own, no caller can have written it.
        let opens_reasoning = self.reasoning.is_some() && reasoning::is_opened_by(&text);
        let restore = |char| guard.restore(char);
        let (mut tokens, mut seen, mut rest) = (Vec::new(), Vec::with_capacity(pictures.len()), &*text);
        let mark = |(at, char): (usize, char)| Some((at, char, pictures.binary_search(&char).ok()?));
        // Where there are none, all of it is one piece.
        while !pictures.is_empty()
            && let Some((at, char, nth)) = rest.char_indices().find_map(mark)
        {
            tokenizer.encode_markup_after(&mut tokens, &rest[..at], restore);
            seen.push((tokens.len(), nth));
            rest = &rest[at + char.len_utf8()..];
        }
        tokenizer.encode_markup_after(&mut tokens, rest, restore);
        let mut each: Vec<usize> = seen.iter().map(|(_, nth)| *nth).collect();
        each.sort_unstable();
        if !each.into_iter().eq(0..pictures.len()) {
            return unsupported(
                "messages",
                "the model's chat template does not write each picture of the conversation once",
            );
        }
        Ok(Written { tokens, pictures: seen, opens_reasoning })
    }

    fn turn(&self, message: &Message, pictures: bool) -> Result<Turn, BackendError> {
        if !ROLES.contains(&&*message.role) {
            let reason = format!("role `{}`, expected one of {}", short(&message.role), ROLES.join(", "));
            return unsupported("messages", reason);
        }
        let others = message.content.iter();
        let others = others.filter_map(|part| if let Part::Other { kind, .. } = part { Some(kind) } else { None });
        let others: Vec<&String> = others.collect();
        if let Some(kind) = others.iter().find(|kind| !(pictures && pictures::is_picture(kind))) {
            let what = if pictures { "text and pictures" } else { "text" };
            return unsupported("messages", format!("content of type `{}`; this model reads {what} only", short(kind)));
        }
        let developer = message.role == "developer" && !self.knows_developer;
        let role = if developer { "system" } else { &message.role };
        let mut fields: Vec<(&str, Value)> = vec![("content", message.text().into())];
        for (key, text) in [
            ("name", &message.name),
            ("reasoning_content", &message.reasoning),
            ("tool_call_id", &message.tool_call_id),
        ] {
            fields.extend(text.as_ref().map(|text| (key, Value::from(text.as_str()))));
        }
        if !message.tool_calls.is_empty() {
            let calls = message.tool_calls.iter().map(|call| {
                // Templates write the arguments with `tojson`, so they must not be JSON text already.
                let parsed = serde_json::from_str(&call.arguments);
                let arguments: Value = parsed.unwrap_or_else(|_| call.arguments.as_str().into());
                let function = Value::from_pairs([("name", call.name.as_str().into()), ("arguments", arguments)]);
                Value::from_pairs([
                    ("id", call.id.as_str().into()),
                    ("type", "function".into()),
                    ("function", function),
                ])
            });
            fields.push(("tool_calls", calls.collect()));
        }
        Ok(Turn { role: role.to_owned(), fields: Value::from_pairs(fields), pictures: others.len() })
    }
}

/// One turn: its role, the fields that hold what a caller wrote, and how many pictures are among that.
struct Turn {
    role: String,
    fields: Value,
    pictures: usize,
}

impl Turn {
    /// With stand-ins, and a mark in place of each picture of the message.
    fn hidden(self, guard: &Guard<'_>, message: &Message, marks: &[char], in_parts: bool) -> Value {
        let hide = |value: &Value| {
            if self.role == "assistant" { guard.hide_assistant(value) } else { guard.hide(value) }
        };
        let mut fields = hide(&self.fields);
        if in_parts || !marks.is_empty() {
            let mut marks = marks.iter();
            let pieces = message.content.iter().filter_map(|part| match part {
                Part::Text(text) => hide(&Value::from(text.as_str())).as_str().map(str::to_owned),
                Part::Other { .. } => marks.next().map(char::to_string),
            });
            let content = content(pieces, in_parts);
            fields = Value::from_pairs(guard::pairs(&fields).into_iter().chain([("content".into(), content)]));
        }
        let role = (Value::from("role"), Value::from(self.role));
        Value::from_pairs(guard::pairs(&fields).into_iter().chain([role]))
    }
}

/// What a turn says, for a template: a text, or a list of parts.
fn content(pieces: impl Iterator<Item = String>, in_parts: bool) -> Value {
    let part = |text| Value::from_pairs([("type", Value::from("text")), ("text", Value::from(text))]);
    if in_parts { pieces.map(part).collect() } else { Value::from(pieces.collect::<String>()) }
}

/// The text, stand-ins in place; `None` when it is longer than `most` bytes.
fn render(
    template: &minijinja::Template<'_, '_>,
    context: Value,
    guard: &Guard<'_>,
    most: usize,
) -> Result<Option<String>, BackendError> {
    let mut out = Bounded { bytes: Vec::new(), most, full: false };
    let rendered = template.render_captured_to(context, &mut out).map(drop);
    if out.full {
        return Ok(None);
    }
    rendered.map_err(|error| refused(&error, guard))?;
    // A template writes strings only.
    Ok(Some(String::from_utf8_lossy(&out.bytes).into_owned()))
}

/// A sink for at most so many bytes.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse(param: &'static str, text: &str) -> Result<Value, BackendError> {
    serde_json::from_str(text).or_else(|_| unsupported(param, "expected valid JSON"))
}

/// `Template::from_file` has put the template there.
fn damaged() -> BackendError {
    BackendError::Internal { reason: "the chat template is gone".into() }
}

fn unsupported<T>(param: &'static str, reason: impl Into<String>) -> Result<T, BackendError> {
    Err(BackendError::Unsupported { param, reason: reason.into() })
}

/// A template's own words where it raised an exception; else the kind and place, which hold no prompt text.
fn refused(error: &JinjaError, guard: &Guard<'_>) -> BackendError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(source) = cause {
        if let Some(Raised(message)) = source.downcast_ref() {
            let message: String = message.chars().map(|char| guard.restore(char).unwrap_or(char)).collect();
            let reason = format!("the model's chat template refuses the conversation: {}", short(&message));
            return BackendError::Unsupported { param: "messages", reason };
        }
        cause = source.source();
    }
    let line = error.line().unwrap_or(0);
    let reason = format!("the model's chat template fails in line {line}: {}", error.kind());
    BackendError::Unsupported { param: "messages", reason }
}

/// The start of a text that a message may quote.
fn short(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}
