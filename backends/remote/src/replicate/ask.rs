//! What a caller asks for, as the input of a prediction.
//!
//! | the caller's | the input's |
//! | --- | --- |
//! | `system` and `developer` turns | `system_prompt`, joined by blank lines |
//! | one `user` turn | `prompt` |
//! | several turns | `prompt`: each with its role before it, and `Assistant:` at the end |
//! | `max_tokens`, `stop` | the names that the catalog gives them; several stops with commas between them |
//! | `temperature`, `top_p`, ... | the same names, where the caller departs from the usual value |
//!
//! Each model there has an input schema of its own, so nothing is sent that the caller did not ask for: a model refuses
//! what it does not take with status 422.

use backends::{BackendError, Input, Message, Part, Prompt, Request, Sampling};
use serde_json::{Map, Value};

use crate::Target;

/// The input for a request.
///
/// # Errors
/// What a prediction cannot be asked for, by field.
pub(super) fn input(request: &Request, target: &Target) -> Result<Value, BackendError> {
    let mut input = Map::new();
    match &request.input {
        Input::Chat { messages, .. } => chat(messages, &mut input)?,
        Input::Prompts(prompts) => completion(request, prompts, &mut input)?,
        _ => return Err(unsupported(request.api.input(), "the host is asked for text alone")),
    }
    let name = |ours: &str| {
        let theirs = target.renames.iter().find(|(name, _)| name == ours).map(|(_, theirs)| theirs.clone());
        theirs.unwrap_or_else(|| ours.to_owned())
    };
    if let Some(max) = request.max_tokens {
        input.insert(name("max_tokens"), max.into());
    }
    if !request.stop.is_empty() {
        if request.stop.iter().any(|stop| stop.contains(',')) {
            return Err(unsupported("stop", "the host takes no stop text with a comma in it"));
        }
        input.insert(name("stop"), request.stop.join(",").into());
    }
    sampling(&request.sampling, &mut input);
    Ok(input.into())
}

fn chat(messages: &[Message], input: &mut Map<String, Value>) -> Result<(), BackendError> {
    let mut system = Vec::new();
    let mut turns = Vec::new();
    for message in messages {
        if message.content.iter().any(|part| matches!(part, Part::Other { .. })) {
            return Err(unsupported("messages", "the host takes text only"));
        }
        match message.role.as_str() {
            "system" | "developer" => system.push(message.text()),
            "user" => turns.push(("User", message.text())),
            "assistant" if message.tool_calls.is_empty() => turns.push(("Assistant", message.text())),
            _ => return Err(unsupported("messages", "the host takes no tool calls")),
        }
    }
    let prompt = match &turns[..] {
        [("User", text)] => text.clone(),
        turns => turns.iter().map(|(who, text)| format!("{who}: {text}\n\n")).collect::<String>() + "Assistant:",
    };
    input.insert("prompt".into(), prompt.into());
    if !system.is_empty() {
        input.insert("system_prompt".into(), system.join("\n\n").into());
    }
    Ok(())
}

fn completion(request: &Request, prompts: &[Prompt], input: &mut Map<String, Value>) -> Result<(), BackendError> {
    for (param, asked) in [("echo", request.echo), ("suffix", request.suffix), ("best_of", request.best_of.is_some())] {
        if asked {
            return Err(unsupported(param, "the host has no such parameter"));
        }
    }
    match prompts {
        [Prompt::Text(text)] => {
            input.insert("prompt".into(), text.as_str().into());
            Ok(())
        }
        [Prompt::Tokens(_)] => Err(unsupported("prompt", "the host takes text, not tokens")),
        _ => Err(unsupported("prompt", "the host takes one prompt at a time")),
    }
}

fn sampling(asked: &Sampling, input: &mut Map<String, Value>) {
    let usual = Sampling::default();
    let mut put = |name: &str, value: f32, usual: f32| {
        if value != usual {
            // By way of its shortest text, so that 0.7 stays 0.7.
            let number = value.to_string().parse::<f64>().unwrap_or(f64::from(value));
            input.insert(name.into(), number.into());
        }
    };
    put("temperature", asked.temperature, usual.temperature);
    put("top_p", asked.top_p, usual.top_p);
    put("min_p", asked.min_p, usual.min_p);
    put("frequency_penalty", asked.frequency_penalty, usual.frequency_penalty);
    put("presence_penalty", asked.presence_penalty, usual.presence_penalty);
    put("repetition_penalty", asked.repetition_penalty, usual.repetition_penalty);
    if asked.top_k != usual.top_k {
        input.insert("top_k".into(), asked.top_k.into());
    }
    if let Some(seed) = asked.seed {
        input.insert("seed".into(), seed.into());
    }
}

fn unsupported(param: &'static str, reason: &str) -> BackendError {
    BackendError::Unsupported { param, reason: reason.into() }
}
