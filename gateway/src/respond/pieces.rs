//! What an answer says, piece by piece, for callers that speak another API than OpenAI's: an upstream's in the chat API, or
//! what an engine of this process generates.
//!
//! Of several choices only the first is read: no other API here has more. Reads both names of reasoning, tool calls with and
//! without ids and places, ids that are numbers, arguments that are objects, and the function call of old. What is no piece
//! of an answer (roles, log-probabilities, fields of a host's own) is passed over.

use std::borrow::Cow;

use backends::{BackendError, Delta};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text for the caller.
    Text(Cow<'a, str>),
    /// The model's reasoning.
    Reasoning(Cow<'a, str>),
    /// A refusal, in the model's words.
    Refusal(Cow<'a, str>),
    /// Part of a tool call.
    Call {
        /// Its place among the calls of the answer.
        index: u32,
        /// Its id, mostly in its first part only.
        id: Option<Cow<'a, str>>,
        /// The function, likewise.
        name: Option<Cow<'a, str>>,
        /// More of its arguments, as JSON text.
        arguments: Cow<'a, str>,
    },
    /// The answer ended.
    Finish {
        /// Why, in the chat API's words or the host's own.
        reason: Cow<'a, str>,
        /// The stop sequence that ended it, where the host tells.
        stop_sequence: Option<Cow<'a, str>>,
    },
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Said<'a>>,
    #[serde(borrow, default)]
    message: Option<Said<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    /// vLLM's word for the stop sequence (or the id of the token) that ended the answer.
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
    /// SGLang's.
    #[serde(borrow, default)]
    matched_stop: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Called<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// Calls `each` with the pieces of a chunk or of a whole answer, in their order.
///
/// # Errors
/// When it is no answer of the chat API.
pub fn read<'a>(json: &'a [u8], mut each: impl FnMut(Piece<'a>)) -> Result<(), BackendError> {
    let answer: Answer<'a> = serde_json::from_slice(json)
        .map_err(|error| BackendError::BrokenStream { reason: format!("it cannot be read as an answer: {error}") })?;
    let first = |choice: &Choice<'a>| choice.index.unwrap_or(0) == 0;
    for choice in answer.choices.into_iter().filter(first) {
        let said = choice.delta.or(choice.message).unwrap_or_default();
        let some = |text: Option<Text<'a>>| text.map(|Text(text)| text).filter(|text| !text.is_empty());
        some(said.reasoning_content).or(some(said.reasoning)).map(Piece::Reasoning).map(&mut each);
        some(said.content).map(Piece::Text).map(&mut each);
        some(said.refusal).map(Piece::Refusal).map(&mut each);
        let old = said.function_call.map(|function| Called { index: Some(0), id: None, function: Some(function) });
        for (place, call) in said.tool_calls.unwrap_or_default().into_iter().chain(old).enumerate() {
            let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
            each(Piece::Call {
                index: call.index.unwrap_or(place as u32),
                id: call.id.and_then(text).filter(|id| !id.is_empty()),
                name: some(name),
                arguments: arguments.and_then(text).unwrap_or_default(),
            });
        }
        if let Some(reason) = some(choice.finish_reason) {
            let stop = choice.stop_reason.or(choice.matched_stop);
            // A number is the id of a token that ends every answer.
            let stop = stop.filter(|stop| stop.get().starts_with('"')).and_then(text);
            each(Piece::Finish { reason, stop_sequence: stop });
        }
    }
    Ok(())
}

/// The same of a delta of an engine in this process.
pub fn of_delta<'a>(delta: &'a Delta, mut each: impl FnMut(Piece<'a>)) {
    if delta.index != 0 {
        return;
    }
    if !delta.reasoning.is_empty() {
        each(Piece::Reasoning(delta.reasoning.as_str().into()));
    }
    if !delta.text.is_empty() {
        each(Piece::Text(delta.text.as_str().into()));
    }
    for part in &delta.calls {
        let begins = part.begins.as_ref();
        each(Piece::Call {
            index: part.index,
            id: begins.map(|(id, _)| id.as_str().into()),
            name: begins.map(|(_, name)| name.as_str().into()),
            arguments: part.arguments.as_str().into(),
        });
    }
}

/// A string as it is meant, and anything else but null as it is written.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(value.get()).ok().map(|Text(text)| text),
        b'n' => None,
        _ => Some(Cow::Borrowed(value.get())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(json: &str) -> Vec<Piece<'_>> {
        let mut all = Vec::new();
        read(json.as_bytes(), |piece| all.push(piece)).unwrap();
        all
    }

    #[test]
    fn text_reasoning_and_refusals_are_read_by_every_name_and_empty_ones_are_none() {
        assert_eq!(
            pieces(
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"a\n","reasoning_content":null,"reasoning":"r"}}]}"#
            ),
            [Piece::Reasoning("r".into()), Piece::Text("a\n".into())]
        );
        assert_eq!(
            pieces(r#"{"choices":[{"delta":{"content":"","reasoning_content":"","refusal":"no"}}]}"#),
            [Piece::Refusal("no".into())]
        );
        assert_eq!(pieces(r#"{"choices":[],"usage":{}}"#), []);
        assert_eq!(pieces(r#"{"choices":[{"index":1,"delta":{"content":"other"}}]}"#), [], "there is one choice");
    }

    #[test]
    fn tool_calls_are_read_whatever_their_host_makes_of_ids_places_and_arguments() {
        let call = |index, id: Option<&'static str>, name: Option<&'static str>, arguments: &'static str| Piece::Call {
            index,
            id: id.map(Into::into),
            name: name.map(Into::into),
            arguments: arguments.into(),
        };
        assert_eq!(
            pieces(
                r#"{"choices":[{"message":{"content":null,"tool_calls":[
                    {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
                    {"id":7,"function":{"name":"g","arguments":{"b":2}}},
                    {"index":5,"id":null,"function":{"arguments":null}}]},"finish_reason":"tool_calls"}]}"#
            ),
            [
                call(0, Some("c1"), Some("f"), "{\"a\":1}"),
                call(1, Some("7"), Some("g"), "{\"b\":2}"),
                call(5, None, None, ""),
                Piece::Finish { reason: "tool_calls".into(), stop_sequence: None },
            ]
        );
        assert_eq!(
            pieces(r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{}"}}}]}"#),
            [call(0, None, Some("f"), "{}")]
        );
    }

    #[test]
    fn the_stop_sequence_is_told_where_the_host_tells_it() {
        for (extra, stop) in [
            (r#","stop_reason":"END""#, Some("END")),
            (r#","matched_stop":"END""#, Some("END")),
            (r#","stop_reason":128009"#, None),
            ("", None),
        ] {
            let json = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop"{extra}}}]}}"#);
            let stop_sequence = stop.map(Into::into);
            assert_eq!(pieces(&json), [Piece::Finish { reason: "stop".into(), stop_sequence }]);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for json in ["", "7", r#"{"choices":{}}"#, r#"{"choices":[{"delta":{"content":7}}]}"#] {
            assert!(read(json.as_bytes(), |_| ()).is_err(), "{json}");
        }
    }
}
