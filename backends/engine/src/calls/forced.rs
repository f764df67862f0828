//! The grammar of an answer that must be tool calls, or calls or a JSON document.
//!
//! The calls are written as the family of the model writes them, but for families that write arguments as bare text: those get
//! the JSON that most others write. So the parser reads them as any others, and the arguments are of the tools' own schemas:
//! what comes out is valid, whatever the model is.

use crate::{
    calls::{Format, Function, format::Several},
    grammar::{Source, json},
    tokenizer::Tokenizer,
};

/// The grammar of at least one call of one of these functions, and of several where `parallel`; or of `otherwise`, a JSON
/// schema, where that is given.
///
/// # Errors
/// Which function's schema cannot be used, by its place, and why.
pub(crate) fn grammar(
    format: &Format,
    functions: &[Function],
    parallel: bool,
    otherwise: Option<&serde_json::Value>,
    tokenizer: &Tokenizer,
) -> Result<Source, (usize, String)> {
    let mark = |text: &str| {
        let control = tokenizer.controls(|name| !text.is_empty() && name == text.as_bytes()).next();
        control.map_or_else(|| quoted(text), |id| format!("<[{id}]>"))
    };
    let (start, end) = (mark(format.marks[0].start), mark(format.marks[0].end));
    let (lead, tail, between) = (quoted(format.lead), quoted(format.tail), quoted(format.between));
    let answer = if otherwise.is_some() { "calls | document" } else { "calls" };
    let calls = match (format.marks[0].several == Several::List, parallel) {
        (true, true) => format!("{start} {lead} \"[\" call ({between} call)* \"]\" {tail} {end}"),
        (true, false) => format!("{start} {lead} \"[\" call \"]\" {tail} {end}"),
        (false, true) => format!("marked ({between} marked)*\nmarked: {start} {lead} call {tail} {end}"),
        (false, false) => format!("{start} {lead} call {tail} {end}"),
    };
    let names: Vec<String> = (0..functions.len()).map(|place| format!("call_{place}")).collect();
    let mut text = format!("start: {answer}\ncalls: {calls}\ncall: {}\n", names.join(" | "));
    for (place, function) in functions.iter().enumerate() {
        let schema = arguments(function.parameters.as_deref()).map_err(|reason| (place, reason))?;
        let (opening, then) = format.opening(&function.name);
        let (opening, then, closing) = (quoted(&opening), mark(then), quoted(format.closing()));
        text += &format!("call_{place}: {opening} {then} args_{place} {closing}\nargs_{place}: %json {schema}\n");
    }
    if let Some(schema) = otherwise {
        text += &format!("document: %json {schema}\n");
    }
    Ok(Source::Lark(text))
}

/// The schema of a function's arguments: always of an object.
fn arguments(parameters: Option<&str>) -> Result<serde_json::Value, String> {
    let mut schema = json(parameters.unwrap_or(r#"{"properties": {}, "additionalProperties": false}"#), false)?;
    match schema.get("type") {
        None => schema["type"] = "object".into(),
        Some(kind) if kind == "object" => {}
        Some(kind) => {
            return Err(format!("the arguments of a function are an object, and the schema says `type`: {kind}"));
        }
    }
    Ok(schema)
}

/// A text as a literal of the grammar.
fn quoted(text: &str) -> String {
    // The grammar has JSON's strings, but for the one control character that JSON leaves alone.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
