//! A request of Anthropic's API, written as one of OpenAI's chat API.

use serde_json::value::RawValue;

use super::{
    Format, Messages, Metadata, Tool, ToolChoice,
    content::{Block, Held},
};
use crate::{
    respond::error::{ApiError, clip},
    wire::{
        chat_body::{Body, Call, Content, Part, Schema, Tool as Function, Turn, named, system_says, user_says, word},
        fields::{missing, unknown},
    },
};

/// The body.
pub(super) fn of(asked: Messages, metadata: Option<&RawValue>) -> Result<Body, ApiError> {
    for (field, value) in [("container", &asked.container), ("mcp_servers", &asked.mcp_servers)] {
        if value.as_ref().is_some_and(|value| !matches!(value.get(), "null" | "[]")) {
            let message = format!("`{field}` would need Anthropic's own service, and no backend here has it");
            return Err(ApiError::invalid(field.to_owned(), message).hint("leave it out"));
        }
    }
    if let Some(found) = asked.max_tokens.filter(|most| *most < 1) {
        let message = format!("`max_tokens` has to be at least 1, found {found}");
        return Err(ApiError::invalid("max_tokens".to_owned(), message));
    }
    if asked.messages.is_empty() {
        return Err(ApiError::invalid(
            "messages".to_owned(),
            "`messages` has to hold at least one message, found none",
        ));
    }
    let mut turns = Vec::with_capacity(asked.messages.len() + 1);
    if !asked.system.is_empty() {
        turns.push(Turn::new("system", Content::Text(texts(asked.system, "system")?)));
    }
    for (number, turn) in asked.messages.into_iter().enumerate() {
        let at = format!("messages[{number}]");
        match turn.role.as_str() {
            "user" => from_user(turn.content, &at, &mut turns)?,
            "assistant" => turns.push(from_assistant(turn.content, &at)?),
            "system" => system_says(&mut turns, &texts(turn.content, &format!("{at}.content"))?),
            other => return Err(unknown(&format!("{at}.role"), other, "`user` or `assistant`")),
        }
    }
    let user: Option<Metadata> = metadata.and_then(|metadata| serde_json::from_str(metadata.get()).ok());
    let format = asked.output_config.and_then(|config| config.format).or(asked.output_format);
    let (tool_choice, one_at_a_time) = asked.tool_choice.map(choice).transpose()?.unwrap_or_default();
    Ok(Body {
        model: asked.model,
        messages: turns,
        max_tokens: asked.max_tokens,
        stop: asked.stop_sequences.filter(|stops| !stops.is_empty()),
        temperature: asked.temperature,
        top_p: asked.top_p,
        top_k: asked.top_k,
        tools: asked.tools.unwrap_or_default().into_iter().enumerate().map(tool).collect::<Result<_, _>>()?,
        tool_choice,
        parallel_tool_calls: one_at_a_time.then_some(false),
        response_format: format.map(schema).transpose()?,
        user: user.and_then(|metadata| metadata.user_id),
        stream: asked.stream.unwrap_or(false),
    })
}

/// Blocks that can only be text, as one text.
fn texts(blocks: Vec<Block>, at: &str) -> Result<String, ApiError> {
    let mut texts = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.into_iter().enumerate() {
        match (block.r#type.as_str(), block.text) {
            ("text", Some(text)) => texts.push(text),
            (other, _) => return Err(unknown(&format!("{at}[{number}].type"), other, "`text`, with a `text`")),
        }
    }
    Ok(texts.join("\n"))
}

/// The messages of a turn of the user: results of tools first, as the chat API wants them right after the calls.
fn from_user(blocks: Vec<Block>, at: &str, turns: &mut Vec<Turn>) -> Result<(), ApiError> {
    let mut parts = Vec::new();
    for (number, block) in blocks.into_iter().enumerate() {
        let at = format!("{at}.content[{number}]");
        if block.r#type != "tool_result" {
            parts.push(part(block, &at)?);
            continue;
        }
        let id = block.tool_use_id.ok_or_else(|| missing(&at, "tool_use_id"))?;
        let (mut texts, failed) = (Vec::new(), block.is_error == Some(true));
        for (number, block) in block.content.into_iter().enumerate() {
            match part(block, &format!("{at}.content[{number}]"))? {
                Part::Text { text } => texts.push(text),
                // A message of a tool can hold no image.
                other => parts.push(other),
            }
        }
        let text = texts.join("\n");
        let text = if failed { format!("Error: {text}") } else { text };
        turns.push(Turn { tool_call_id: Some(id), ..Turn::new("tool", Content::Text(text)) });
    }
    user_says(turns, parts);
    Ok(())
}

fn from_assistant(blocks: Vec<Block>, at: &str) -> Result<Turn, ApiError> {
    let (mut texts, mut reasoning, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for (number, block) in blocks.into_iter().enumerate() {
        let at = format!("{at}.content[{number}]");
        match block.r#type.as_str() {
            "text" => texts.push(block.text.ok_or_else(|| missing(&at, "text"))?),
            "thinking" => reasoning.extend(block.thinking.filter(|text| !text.is_empty())),
            "redacted_thinking" => {}
            "tool_use" => calls.push(Call::new(
                block.id.ok_or_else(|| missing(&at, "id"))?,
                block.name.ok_or_else(|| missing(&at, "name"))?,
                block.input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned()),
            )),
            other => {
                let expected = "`text`, `thinking`, `redacted_thinking` or `tool_use` in a turn of the assistant";
                return Err(unknown(&format!("{at}.type"), other, expected));
            }
        }
    }
    Ok(Turn {
        content: (!texts.is_empty() || calls.is_empty()).then(|| Content::Text(texts.join("\n"))),
        reasoning_content: (!reasoning.is_empty()).then(|| reasoning.join("\n")),
        tool_calls: calls,
        ..Turn::new("assistant", Content::Text(String::new()))
    })
}

/// A part of a turn of the user.
fn part(block: Block, at: &str) -> Result<Part, ApiError> {
    match block.r#type.as_str() {
        "text" => Ok(Part::text(block.text.ok_or_else(|| missing(at, "text"))?)),
        "image" => match block.source.ok_or_else(|| missing(at, "source"))?.held(at)? {
            Held::Address(url) => Ok(Part::image(url)),
            Held::Text(_) => Err(unknown(&format!("{at}.source.type"), "text", "`base64` or `url` for an image")),
        },
        "document" => match block.source.ok_or_else(|| missing(at, "source"))?.held(at)? {
            Held::Address(data) if data.starts_with("data:") => Ok(Part::file(block.title, data)),
            Held::Address(_) => Err(unknown(&format!("{at}.source.type"), "url", "`base64` or `text` for a document")),
            Held::Text(text) => Ok(Part::text(text)),
        },
        other => {
            let expected = "`text`, `image`, `document` or `tool_result` in a turn of the user";
            Err(unknown(&format!("{at}.type"), other, expected))
        }
    }
}

fn tool((number, tool): (usize, Tool)) -> Result<Function, ApiError> {
    if let Some(kind) = tool.r#type.filter(|kind| kind != "custom") {
        let param = format!("tools[{number}].type");
        let message =
            format!("`{param}`: `{}` is a tool of Anthropic's own, which no backend here has", clip(&kind, 100));
        return Err(ApiError::invalid(param, message).hint("describe it as a tool of your own, with an `input_schema`"));
    }
    let schema = tool.input_schema.ok_or_else(|| missing(&format!("tools[{number}]"), "input_schema"))?;
    Ok(Function::function(tool.name, tool.description, Some(schema), tool.strict))
}

/// The choice, and whether one tool may be called at a time.
fn choice(choice: ToolChoice) -> Result<(Option<Box<RawValue>>, bool), ApiError> {
    let chosen = match (choice.r#type.as_str(), &choice.name) {
        ("auto", _) => word("auto"),
        ("any", _) => word("required"),
        ("none", _) => word("none"),
        ("tool", Some(name)) => named(name),
        ("tool", None) => return Err(missing("tool_choice", "name")),
        (other, _) => return Err(unknown("tool_choice.type", other, "`auto`, `any`, `tool` or `none`")),
    };
    Ok((Some(chosen), choice.disable_parallel_tool_use == Some(true)))
}

fn schema(format: Format) -> Result<Schema, ApiError> {
    match (format.r#type.as_str(), format.schema) {
        ("json_schema", Some(schema)) => Ok(Schema::named("answer".to_owned(), true, schema)),
        ("json_schema", None) => Err(missing("output_config.format", "schema")),
        (other, _) => Err(unknown("output_config.format.type", other, "`json_schema`")),
    }
}
