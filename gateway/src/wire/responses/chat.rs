//! A request of the Responses API, written as one of the chat API.

use serde_json::value::RawValue;

use super::{Format, Item, Part as Given, Responses, Tool};
use crate::{
    respond::error::{ApiError, clip},
    wire::{
        chat_body::{Body, Call, Content, Part, Schema, Tool as Function, Turn, named, system_says, user_says, word},
        fields::{missing, unknown},
    },
};

/// The body, and what of the request is not in it.
pub(super) fn of(asked: Responses) -> Result<(Body, Vec<String>), ApiError> {
    refuse_what_is_not_kept(&asked)?;
    if asked.input.is_empty() {
        return Err(ApiError::invalid(
            "input".to_owned(),
            "`input` has to hold a text or at least one item, found none",
        ));
    }
    let (tools, left_out) = tools(asked.tools.unwrap_or_default())?;
    let tool_choice = asked.tool_choice.map(|choice| choice_of(&choice)).transpose()?.flatten();
    let mut turns = Turns::default();
    turns.system.extend(asked.instructions);
    for (number, item) in asked.input.into_iter().enumerate() {
        turns.take(item, &format!("input[{number}]"))?;
    }
    let body = Body {
        model: asked.model,
        messages: turns.end(),
        tools,
        tool_choice,
        parallel_tool_calls: asked.parallel_tool_calls,
        response_format: asked.text.and_then(|text| text.format).map(format).transpose()?.flatten(),
        max_tokens: asked.max_output_tokens,
        temperature: asked.temperature,
        top_p: asked.top_p,
        user: asked.user,
        stream: asked.stream.unwrap_or(false),
        ..Body::default()
    };
    Ok((body, left_out))
}

/// Refuses what would need a memory of earlier answers.
fn refuse_what_is_not_kept(asked: &Responses) -> Result<(), ApiError> {
    let given = |value: &Option<Box<RawValue>>| value.as_ref().is_some_and(|value| value.get() != "null");
    let refuse = |field: &str, why: &str, hint: &str| {
        Err(ApiError::invalid(field.to_owned(), format!("`{field}`: {why}")).hint(hint.to_owned()))
    };
    if given(&asked.conversation) {
        return refuse("conversation", "this gateway keeps no conversations", "send the whole conversation as `input`");
    }
    if given(&asked.prompt) {
        return refuse("prompt", "this gateway keeps no prompts", "send its text as `instructions` or `input`");
    }
    if asked.background == Some(true) {
        return refuse("background", "answers are given while the caller waits", "leave it out");
    }
    Ok(())
}

/// The messages so far.
#[derive(Default)]
struct Turns {
    /// Texts that go before everything.
    system: Vec<String>,
    turns: Vec<Turn>,
    /// The turn of the assistant that is not over yet.
    text: Vec<String>,
    reasoning: Vec<String>,
    calls: Vec<Call>,
    /// What outputs of tools hold beside text; it follows them.
    beside: Vec<Part>,
}

impl Turns {
    fn take(&mut self, item: Item, at: &str) -> Result<(), ApiError> {
        let kind = item.r#type.as_deref().unwrap_or("message").to_owned();
        match kind.as_str() {
            "message" => self.message(item, at),
            "reasoning" => {
                self.outputs_end();
                let texts = if item.content.is_empty() { item.summary } else { item.content };
                self.reasoning.extend(texts.into_iter().filter_map(|part| part.text).filter(|text| !text.is_empty()));
                Ok(())
            }
            "function_call" | "custom_tool_call" => {
                self.outputs_end();
                let id = item.call_id.ok_or_else(|| missing(at, "call_id"))?;
                let name = item.name.ok_or_else(|| missing(at, "name"))?;
                let arguments = match kind.as_str() {
                    "function_call" => item.arguments.ok_or_else(|| missing(at, "arguments"))?,
                    _ => {
                        let input = item.input.ok_or_else(|| missing(at, "input"))?;
                        serde_json::json!({"input": input}).to_string()
                    }
                };
                self.calls.push(Call::new(id, name, arguments));
                Ok(())
            }
            "function_call_output" | "custom_tool_call_output" => {
                self.assistant_ends();
                let id = item.call_id.ok_or_else(|| missing(at, "call_id"))?;
                let mut texts = Vec::new();
                for (number, given) in item.output.into_iter().enumerate() {
                    match part(given, &format!("{at}.output[{number}]"))? {
                        Part::Text { text } => texts.push(text),
                        other => self.beside.push(other),
                    }
                }
                self.turns.push(Turn { tool_call_id: Some(id), ..Turn::new("tool", Content::Text(texts.join("\n"))) });
                Ok(())
            }
            "item_reference" => {
                let message = format!("`{at}`: this gateway keeps no items that could be referred to");
                Err(ApiError::invalid(at.to_owned(), message).hint("send the item itself"))
            }
            other => {
                let expected = "`message`, `reasoning`, `function_call`, `custom_tool_call` or an output of one";
                Err(unknown(&format!("{at}.type"), other, expected))
            }
        }
    }

    fn message(&mut self, item: Item, at: &str) -> Result<(), ApiError> {
        let role = item.role.as_deref().ok_or_else(|| missing(at, "role"))?;
        let mut parts = Vec::with_capacity(item.content.len());
        for (number, given) in item.content.into_iter().enumerate() {
            parts.push(part(given, &format!("{at}.content[{number}]"))?);
        }
        self.outputs_end();
        match role {
            "user" => {
                self.assistant_ends();
                user_says(&mut self.turns, parts);
            }
            "system" | "developer" => {
                self.assistant_ends();
                let text = texts(parts, at)?;
                match self.turns.is_empty() {
                    true => self.system.push(text),
                    false => system_says(&mut self.turns, &text),
                }
            }
            "assistant" => {
                if !self.calls.is_empty() {
                    self.assistant_ends();
                }
                self.text.push(texts(parts, at)?);
            }
            other => return Err(unknown(&format!("{at}.role"), other, "`user`, `assistant`, `system` or `developer`")),
        }
        Ok(())
    }

    fn assistant_ends(&mut self) {
        let (text, reasoning) = (std::mem::take(&mut self.text), std::mem::take(&mut self.reasoning));
        let calls = std::mem::take(&mut self.calls);
        if text.is_empty() && calls.is_empty() {
            // Reasoning that led to nothing has no turn to stand in.
            return;
        }
        self.turns.push(Turn {
            content: (!text.is_empty()).then(|| Content::Text(text.join("\n"))),
            reasoning_content: (!reasoning.is_empty()).then(|| reasoning.join("\n")),
            tool_calls: calls,
            ..Turn::new("assistant", Content::Text(String::new()))
        });
    }

    fn outputs_end(&mut self) {
        user_says(&mut self.turns, std::mem::take(&mut self.beside));
    }

    fn end(mut self) -> Vec<Turn> {
        self.assistant_ends();
        self.outputs_end();
        if !self.system.is_empty() {
            self.turns.insert(0, Turn::new("system", Content::Text(self.system.join("\n\n"))));
        }
        self.turns
    }
}

/// Parts that can only be text, as one text.
fn texts(parts: Vec<Part>, at: &str) -> Result<String, ApiError> {
    let text = |part| match part {
        Part::Text { text } => Ok(text),
        Part::ImageUrl { .. } | Part::File { .. } => {
            let message = format!("`{at}.content`: only a message of the role `user` may hold images and files");
            Err(ApiError::invalid(format!("{at}.content"), message))
        }
    };
    Ok(parts.into_iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn part(given: Given, at: &str) -> Result<Part, ApiError> {
    match given.r#type.as_str() {
        "input_text" | "output_text" | "text" => Ok(Part::text(given.text.ok_or_else(|| missing(at, "text"))?)),
        "refusal" => Ok(Part::text(given.refusal.ok_or_else(|| missing(at, "refusal"))?)),
        "input_image" => {
            let url = given.image_url.ok_or_else(|| missing(at, "image_url"))?;
            Ok(Part::image(url))
        }
        "input_file" => {
            let data = given.file_data.ok_or_else(|| missing(at, "file_data"))?;
            Ok(Part::file(given.filename, data))
        }
        other => {
            Err(unknown(&format!("{at}.type"), other, "`input_text`, `input_image`, `input_file` or `output_text`"))
        }
    }
}

/// The tools that a model can be told of, and the types of the others.
fn tools(given: Vec<Tool>) -> Result<(Vec<Function>, Vec<String>), ApiError> {
    let (mut tools, mut left_out) = (Vec::new(), Vec::new());
    for (number, tool) in given.into_iter().enumerate() {
        let name = || tool.name.clone().ok_or_else(|| missing(&format!("tools[{number}]"), "name"));
        match tool.r#type.as_str() {
            "function" => tools.push(Function::function(name()?, tool.description, tool.parameters, tool.strict)),
            "custom" => tools.push(Function::function(name()?, tool.description, Some(one_text()), None)),
            other => {
                let kind = format!("tools.{}", clip(other, 50));
                if !left_out.contains(&kind) {
                    left_out.push(kind);
                }
            }
        }
    }
    Ok((tools, left_out))
}

/// The schema of a tool that takes a text of no form.
fn one_text() -> Box<RawValue> {
    let schema = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;
    RawValue::from_string(schema.to_owned()).expect("it is JSON")
}

fn choice_of(choice: &RawValue) -> Result<Option<Box<RawValue>>, ApiError> {
    let value: serde_json::Value = serde_json::from_str(choice.get()).unwrap_or_default();
    let of = |key: &str| value.get(key).and_then(|value| value.as_str());
    match (&value, of("type"), of("name")) {
        (serde_json::Value::Null, ..) => Ok(None),
        (serde_json::Value::String(choice), ..) if ["auto", "none", "required"].contains(&choice.as_str()) => {
            Ok(Some(word(choice)))
        }
        (_, Some("function" | "custom"), Some(name)) => Ok(Some(named(name))),
        (_, Some("function" | "custom"), None) => Err(missing("tool_choice", "name")),
        (_, kind, _) => {
            let found = kind.map_or_else(|| choice.get().to_owned(), str::to_owned);
            let expected = "`auto`, `none`, `required` or a tool of the type `function` or `custom`";
            Err(unknown("tool_choice", &found, expected))
        }
    }
}

fn format(format: Format) -> Result<Option<Schema>, ApiError> {
    match (format.r#type.as_str(), format.schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Schema::any_object())),
        ("json_schema", Some(schema)) => {
            let name = format.name.unwrap_or_else(|| "answer".to_owned());
            Ok(Some(Schema::named(name, format.strict.unwrap_or(true), schema)))
        }
        ("json_schema", None) => Err(missing("text.format", "schema")),
        (other, _) => Err(unknown("text.format.type", other, "`text`, `json_object` or `json_schema`")),
    }
}
