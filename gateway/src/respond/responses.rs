//! An answer in the shapes of OpenAI's Responses API: the events of a stream, and a whole response.
//!
//! | of the answer | becomes |
//! | --- | --- |
//! | reasoning | an item `reasoning`, its text as `reasoning_text` |
//! | text, a refusal | an item `message` of one part |
//! | a tool call | an item `function_call`, or `custom_tool_call` for a tool that the caller offered as such |
//! | `length`, `content_filter` | `incomplete`, with the reason; every other reason is `completed` |
//! | no reason | `incomplete`, without one |
//! | an answer that breaks off | `response.failed`, with all that came before it |
//!
//! An item keeps its id through all its events, and events are numbered without a gap. Calls stay open until the answer ends, as
//! hosts may send several by turns. A silent stream repeats `response.in_progress`: some clients take only events for signs
//! of life.

mod item;

use std::{collections::BTreeMap, sync::Arc};

use backends::{Priority, Usage};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use self::item::{Item, Kind, Part};
use super::{error::ApiError, pieces::Piece, sse::named_event};
use crate::{
    kept::{Kept, Shelf},
    wire::responses::Echo,
};

/// An answer under way.
#[derive(Debug)]
pub struct Writer {
    id: String,
    model: String,
    created: u64,
    echo: Arc<Echo>,
    /// The number of the next event.
    number: u64,
    begun: bool,
    items: Vec<Item>,
    reason: Option<String>,
    usage: Option<Usage>,
    /// Where it is kept.
    shelf: Option<Shelf>,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    background: bool,
    error: Option<Fault<'a>>,
    incomplete_details: Option<Incomplete>,
    instructions: Option<&'a str>,
    max_output_tokens: Option<i64>,
    max_tool_calls: Option<u64>,
    model: &'a str,
    output: Vec<item::Shown<'a>>,
    parallel_tool_calls: bool,
    previous_response_id: Option<&'a str>,
    reasoning: Json<'a>,
    service_tier: &'static str,
    store: bool,
    temperature: f32,
    text: Json<'a>,
    tool_choice: Json<'a>,
    tools: Json<'a>,
    top_logprobs: u8,
    top_p: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    truncation: &'static str,
    usage: Option<Counts>,
    user: Option<&'a str>,
    metadata: Json<'a>,
}

/// What the caller wrote, or what holds where it wrote nothing.
struct Json<'a>(Option<&'a RawValue>, &'static str);

impl Serialize for Json<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.filter(|written| written.get() != "null") {
            Some(written) => written.serialize(serializer),
            None => {
                let usual: &RawValue = serde_json::from_str(self.1).map_err(serde::ser::Error::custom)?;
                usual.serialize(serializer)
            }
        }
    }
}

#[derive(Serialize)]
struct Fault<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Counts {
    input_tokens: u64,
    input_tokens_details: BTreeMap<&'static str, u64>,
    output_tokens: u64,
    output_tokens_details: BTreeMap<&'static str, u64>,
    total_tokens: u64,
}

impl From<Usage> for Counts {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: [
                ("cached_tokens", usage.cached_tokens),
                ("cache_write_tokens", usage.cache_write_tokens),
            ]
            .into(),
            output_tokens: usage.completion_tokens,
            output_tokens_details: [("reasoning_tokens", usage.reasoning_tokens)].into(),
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
        }
    }
}

/// An event; each has some of these fields.
#[derive(Default, Serialize)]
struct Event<'a> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<item::Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

impl Writer {
    /// An answer of `model` to the request `id`, begun at a Unix second.
    pub fn new(id: &str, model: &str, created: u64, echo: Arc<Echo>) -> Self {
        Self {
            id: format!("resp_{}", id.trim_start_matches("req_")),
            model: model.to_owned(),
            created,
            echo,
            number: 0,
            begun: false,
            items: Vec::new(),
            reason: None,
            usage: None,
            shelf: None,
        }
    }

    /// The same, kept there once it is whole.
    pub fn kept_on(self, shelf: Option<Shelf>) -> Self {
        Self { shelf: shelf.filter(|_| self.echo.kept.is_some()), ..self }
    }

    /// Takes a piece of the answer; `out` gets its events.
    pub fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        match piece {
            Piece::Text(text) => self.text(Kind::Message, &text, out),
            Piece::Refusal(text) => self.text(Kind::Refusal, &text, out),
            Piece::Reasoning(text) => self.text(Kind::Reasoning, &text, out),
            Piece::Call { index, id, name, arguments } => {
                self.call(index, id.as_deref(), name.as_deref(), &arguments, out);
            }
            Piece::Finish { reason, .. } => self.reason = Some(reason.into_owned()),
        }
    }

    /// Takes token counts; later ones replace earlier ones.
    pub fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// The events that end a whole answer.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close_all(out);
        let kind =
            if self.whole_response().status == "completed" { "response.completed" } else { "response.incomplete" };
        self.tell(kind, State::Whole, out);
        if self.shelf.is_some() {
            self.keep(self.whole_json());
        }
    }

    /// The event that ends an answer which broke off; `begun`: its first events have gone out without this writer.
    pub fn fail(&mut self, error: &ApiError, begun: bool, out: &mut Vec<u8>) {
        self.begun |= begun;
        self.begin(out);
        self.tell("response.failed", State::Failed(error), out);
    }

    /// A sign of life.
    pub fn heartbeat(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.tell("response.in_progress", State::InProgress, out);
    }

    /// The whole response.
    pub fn whole(mut self) -> Vec<u8> {
        self.close_all(&mut Vec::new());
        let json = self.whole_json();
        self.keep(json.clone());
        json.into()
    }

    fn whole_json(&self) -> Bytes {
        serde_json::to_vec(&self.whole_response()).expect("strings and numbers serialise").into()
    }

    /// Keeps the whole response where it is to be kept.
    fn keep(&self, response: Bytes) {
        if let (Some(shelf), Some(input)) = (&self.shelf, &self.echo.kept) {
            shelf.keep(&self.id, Kept { response, input: Arc::clone(input) });
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for kind in ["response.created", "response.in_progress"] {
            self.tell(kind, State::InProgress, out);
        }
    }

    /// Why the answer is not all that the model had to say.
    fn incomplete(&self) -> Option<&'static str> {
        match self.reason.as_deref() {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        }
    }

    fn whole_response(&self) -> Response<'_> {
        let incomplete = self.incomplete();
        let status = if incomplete.is_some() || self.reason.is_none() { "incomplete" } else { "completed" };
        Response {
            incomplete_details: incomplete.map(|reason| Incomplete { reason }),
            usage: self.usage.map(Counts::from),
            ..self.response(status)
        }
    }

    fn response(&self, status: &'static str) -> Response<'_> {
        let Echo { written, .. } = &*self.echo;
        Response {
            id: &self.id,
            object: "response",
            created_at: self.created,
            status,
            background: false,
            error: None,
            incomplete_details: None,
            instructions: self.echo.instructions.as_deref(),
            max_output_tokens: self.echo.max_output_tokens,
            max_tool_calls: None,
            model: &self.model,
            output: self.items.iter().map(Item::shown).collect(),
            parallel_tool_calls: self.echo.parallel_tool_calls,
            previous_response_id: self.echo.previous.as_deref(),
            reasoning: Json(written.reasoning.as_deref(), r#"{"effort":null,"summary":null}"#),
            service_tier: match self.echo.priority {
                Priority::Low => "flex",
                Priority::Usual => "default",
            },
            store: self.shelf.is_some(),
            temperature: self.echo.temperature.unwrap_or(1.0),
            text: Json(written.text.as_deref(), r#"{"format":{"type":"text"}}"#),
            tool_choice: Json(written.tool_choice.as_deref(), r#""auto""#),
            tools: Json(written.tools.as_deref(), "[]"),
            top_logprobs: 0,
            top_p: self.echo.top_p.unwrap_or(1.0),
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            truncation: "disabled",
            usage: None,
            user: self.echo.user.as_deref(),
            metadata: Json(written.metadata.as_deref(), "{}"),
        }
    }

    fn text(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        if self.items.last().is_none_or(|item| item.kind != kind || item.done) {
            self.close_all(out);
            self.open(kind, out);
        }
        let at = self.items.len() - 1;
        self.items[at].text.push_str(text);
        let item = &self.items[at];
        let logprobs = (item.kind == Kind::Message).then_some([]);
        let r#type = item.kind.delta();
        let event = Event { r#type, delta: Some(text), logprobs, content_index: Some(0), ..of(item, at) };
        emit(&mut self.number, event, out);
    }

    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str, out: &mut Vec<u8>) {
        let at = self.items.iter().position(|item| item.call() == Some(index)).unwrap_or_else(|| {
            for at in 0..self.items.len() {
                if self.items[at].call().is_none() {
                    self.close(at, out);
                }
            }
            let name = name.unwrap_or_default().to_owned();
            let call_id =
                id.map_or_else(|| format!("call_{}_{index}", self.id.trim_start_matches("resp_")), str::to_owned);
            let custom = self.echo.custom_tools.contains(&name);
            self.open(Kind::Call { index, call_id, name, custom }, out);
            self.items.len() - 1
        });
        if arguments.is_empty() {
            return;
        }
        self.items[at].text.push_str(arguments);
        let item = &self.items[at];
        // The input of a custom tool is inside of what comes, and known once all of it is there.
        if !matches!(item.kind, Kind::Call { custom: true, .. }) {
            let event = Event { r#type: item.kind.delta(), delta: Some(arguments), ..of(item, at) };
            emit(&mut self.number, event, out);
        }
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let at = self.items.len();
        let id = format!("{}_{}_{at}", kind.prefix(), self.id.trim_start_matches("resp_"));
        self.items.push(Item { id, kind, text: String::new(), done: false });
        let item = &self.items[at];
        let added = Event { r#type: "response.output_item.added", item: Some(item.begun()), ..Event::default() };
        emit(&mut self.number, Event { output_index: Some(at), ..added }, out);
        if let Some(part) = item.empty_part() {
            let r#type = "response.content_part.added";
            let event = Event { r#type, part: Some(part), content_index: Some(0), ..of(item, at) };
            emit(&mut self.number, event, out);
        }
    }

    fn close_all(&mut self, out: &mut Vec<u8>) {
        for at in 0..self.items.len() {
            self.close(at, out);
        }
    }

    fn close(&mut self, at: usize, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.items[at].done, true) {
            return;
        }
        let (item, number) = (&self.items[at], &mut self.number);
        let input = item.custom_input();
        match &item.kind {
            Kind::Call { name, custom: false, .. } => {
                let arguments = Some(item.text.as_str());
                let r#type = "response.function_call_arguments.done";
                emit(number, Event { r#type, name: Some(name), arguments, ..of(item, at) }, out);
            }
            Kind::Call { .. } => {
                let input = input.as_deref();
                let r#type = "response.custom_tool_call_input.delta";
                emit(number, Event { r#type, delta: input, ..of(item, at) }, out);
                let r#type = "response.custom_tool_call_input.done";
                emit(number, Event { r#type, input, ..of(item, at) }, out);
            }
            kind => {
                let text = Some(item.text.as_str());
                let done = Event { r#type: kind.done(), content_index: Some(0), ..of(item, at) };
                let done = match kind {
                    Kind::Refusal => Event { refusal: text, ..done },
                    Kind::Message => Event { text, logprobs: Some([]), ..done },
                    _ => Event { text, ..done },
                };
                emit(number, done, out);
                let r#type = "response.content_part.done";
                emit(number, Event { r#type, part: item.part(), content_index: Some(0), ..of(item, at) }, out);
            }
        }
        let done = Event { r#type: "response.output_item.done", item: Some(item.shown()), ..Event::default() };
        emit(number, Event { output_index: Some(at), ..done }, out);
    }

    /// An event about the response as a whole.
    fn tell(&mut self, r#type: &str, state: State<'_>, out: &mut Vec<u8>) {
        let mut number = self.number;
        let response = match state {
            State::InProgress => self.response("in_progress"),
            State::Whole => self.whole_response(),
            State::Failed(error) => {
                let fault = Fault { code: &error.code, message: &error.message };
                Response { error: Some(fault), ..self.response("failed") }
            }
        };
        emit(&mut number, Event { r#type, response: Some(response), ..Event::default() }, out);
        self.number = number;
    }
}

/// How a response stands.
enum State<'a> {
    InProgress,
    Whole,
    Failed(&'a ApiError),
}

/// The places of an event about an item.
fn of(item: &Item, at: usize) -> Event<'_> {
    Event { item_id: Some(&item.id), output_index: Some(at), ..Event::default() }
}

fn emit(number: &mut u64, event: Event<'_>, out: &mut Vec<u8>) {
    let event = Event { sequence_number: *number, ..event };
    *number += 1;
    named_event(event.r#type, &event, out);
}

#[cfg(test)]
mod tests;
