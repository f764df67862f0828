//! Events of a local generation -> the chunks and objects of OpenAI's chat and completions APIs.
//!
//! A [`Framer`] is the identity that all chunks of one answer share (id, time, model). Every required key of the
//! API is there, nullable ones as `null`; with `include_usage` every chunk but the last says `"usage": null`.

use backends::{Alternative, Api, CallPart, Delta, FinishReason, TokenLogprob, Usage};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// What all chunks of one answer share.
#[derive(Debug, Clone)]
pub struct Framer {
    api: Api,
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
    logprobs: bool,
    /// Choices whose first chunk, which carries the role, is out.
    opened: Vec<bool>,
    /// Characters of text so far by choice: where a completions token stands in its text.
    offsets: Vec<usize>,
}

impl Framer {
    /// The frame of the answer to `request`.
    pub fn new(request: &backends::Request, model: &str, created: u64) -> Self {
        let choices = request.answers();
        let prefix = if request.api == Api::Completions { "cmpl-" } else { "chatcmpl-" };
        Self {
            api: request.api,
            id: format!("{prefix}{}", request.id),
            created,
            model: model.to_owned(),
            include_usage: request.include_usage,
            logprobs: request.logprobs.is_some(),
            opened: vec![false; choices],
            offsets: vec![0; choices],
        }
    }

    /// How many choices the answer has.
    pub fn choices(&self) -> usize {
        self.opened.len()
    }

    /// Appends the chunk or chunks of a piece of text, or of a part of a call.
    pub fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        self.open(delta.index, out);
        if !delta.reasoning.is_empty() {
            let said = DeltaOut { reasoning: Reasoning::of(&delta.reasoning), ..DeltaOut::default() };
            self.chunk(delta.index, said, None, None, out);
        }
        if !delta.text.is_empty() || !delta.logprobs.is_empty() {
            let said = DeltaOut { content: Some(&delta.text), ..DeltaOut::default() };
            self.chunk(delta.index, said, self.logprobs(delta.index, &delta.logprobs), None, out);
        }
        for part in &delta.calls {
            let said = DeltaOut { tool_calls: vec![CallOut::part(part)], ..DeltaOut::default() };
            self.chunk(delta.index, said, None, None, out);
        }
        if let Some(offset) = self.offsets.get_mut(delta.index as usize) {
            *offset += delta.text.chars().count();
        }
    }

    /// Appends the chunk that ends a choice.
    pub fn finish(&mut self, index: u32, reason: FinishReason, out: &mut Vec<u8>) {
        self.open(index, out);
        self.chunk(index, DeltaOut::default(), None, Some(reason), out);
    }

    /// Appends the usage chunk, if the caller asked for it.
    pub fn usage(&self, usage: Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            event(&self.envelope(Vec::new(), Some(Some(UsageOut(usage))), true), out);
        }
    }

    /// The whole answer as one object.
    pub fn whole(&self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        let choices = choices
            .iter()
            .enumerate()
            .map(|(index, choice)| ChoiceOut {
                index: index as u32,
                message: (self.api == Api::Chat).then(|| MessageOut {
                    role: "assistant",
                    // A turn of calls alone says nothing.
                    content: Some(&*choice.text).filter(|text| !text.is_empty() || choice.calls.is_empty()),
                    reasoning: Reasoning::of(&choice.reasoning),
                    refusal: None,
                    tool_calls: choice.calls.iter().map(CallOut::whole).collect(),
                }),
                text: (self.api == Api::Completions).then_some(&*choice.text),
                delta: None,
                logprobs: self.logprobs_at(0, &choice.logprobs),
                finish_reason: choice.finish,
            })
            .collect();
        serde_json::to_vec(&self.envelope(choices, Some(Some(UsageOut(usage))), false))
            .expect("strings and numbers serialise")
    }

    /// The role comes first, once a choice, as OpenAI sends it; completions have none.
    fn open(&mut self, index: u32, out: &mut Vec<u8>) {
        let Some(opened) = self.opened.get_mut(index as usize) else { return };
        if !std::mem::replace(opened, true) && self.api == Api::Chat {
            let opens =
                DeltaOut { role: Some("assistant"), content: Some(""), refusal: Some(()), ..DeltaOut::default() };
            self.chunk(index, opens, None, None, out);
        }
    }

    fn chunk(
        &self,
        index: u32,
        delta: DeltaOut<'_>,
        logprobs: Option<LogprobsOut<'_>>,
        finish_reason: Option<FinishReason>,
        out: &mut Vec<u8>,
    ) {
        let choice = ChoiceOut {
            index,
            message: None,
            text: (self.api == Api::Completions).then_some(delta.content.unwrap_or("")),
            delta: (self.api == Api::Chat).then_some(delta),
            logprobs,
            finish_reason,
        };
        let usage = self.include_usage.then_some(None);
        event(&self.envelope(vec![choice], usage, true), out);
    }

    fn envelope<'a>(
        &'a self,
        choices: Vec<ChoiceOut<'a>>,
        usage: Option<Option<UsageOut>>,
        chunk: bool,
    ) -> Envelope<'a> {
        Envelope {
            id: &self.id,
            object: match (self.api, chunk) {
                (Api::Completions, _) => "text_completion",
                (_, true) => "chat.completion.chunk",
                (_, false) => "chat.completion",
            },
            created: self.created,
            model: &self.model,
            choices,
            usage,
        }
    }

    fn logprobs<'a>(&self, index: u32, tokens: &'a [TokenLogprob]) -> Option<LogprobsOut<'a>> {
        self.logprobs_at(self.offsets.get(index as usize).copied().unwrap_or(0), tokens)
    }

    fn logprobs_at<'a>(&self, offset: usize, tokens: &'a [TokenLogprob]) -> Option<LogprobsOut<'a>> {
        if !self.logprobs {
            return None;
        }
        Some(match self.api {
            Api::Completions => LogprobsOut::completions(offset, tokens),
            _ => LogprobsOut::Chat { content: tokens.iter().map(ChatToken).collect(), refusal: None },
        })
    }
}

/// One choice of a whole answer.
#[derive(Debug, Default, Clone)]
pub struct Choice {
    /// What the model wrote for itself before its text.
    pub reasoning: String,
    /// Its text.
    pub text: String,
    /// Its tool calls.
    pub calls: Vec<Call>,
    /// Its tokens, if asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
}

/// A tool call of a whole answer.
#[derive(Debug, Default, Clone)]
pub struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Choice {
    /// Takes what it gained.
    pub fn take(&mut self, delta: Delta) {
        self.reasoning.push_str(&delta.reasoning);
        self.text.push_str(&delta.text);
        self.logprobs.extend(delta.logprobs);
        for part in delta.calls {
            if let Some((id, name)) = part.begins {
                self.calls.push(Call { id, name, arguments: String::new() });
            }
            if let Some(call) = self.calls.get_mut(part.index as usize) {
                call.arguments.push_str(&part.arguments);
            }
        }
    }
}

fn event(envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, envelope).expect("strings and numbers serialise into memory");
    out.extend_from_slice(b"\n\n");
}

#[derive(Serialize)]
struct Envelope<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ChoiceOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageOut>>,
}

#[derive(Serialize)]
struct ChoiceOut<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<DeltaOut<'a>>,
    logprobs: Option<LogprobsOut<'a>>,
    #[serde(serialize_with = "reason")]
    finish_reason: Option<FinishReason>,
}

fn reason<S: Serializer>(reason: &Option<FinishReason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(FinishReason::as_str).serialize(serializer)
}

#[derive(Serialize)]
struct MessageOut<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(flatten)]
    reasoning: Option<Reasoning<'a>>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
}

/// Reasoning under both names that clients look for: DeepSeek's and that of vLLM and OpenRouter.
#[derive(Clone, Copy, Serialize)]
struct Reasoning<'a> {
    reasoning_content: &'a str,
    reasoning: &'a str,
}

impl<'a> Reasoning<'a> {
    fn of(text: &'a str) -> Option<Self> {
        (!text.is_empty()).then_some(Self { reasoning_content: text, reasoning: text })
    }
}

#[derive(Default, Serialize)]
struct DeltaOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(flatten)]
    reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
}

/// A call, or a part of one: its place in a stream only, its id, type and name where it begins.
#[derive(Serialize)]
struct CallOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionOut<'a>,
}

#[derive(Serialize)]
struct FunctionOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl<'a> CallOut<'a> {
    fn part(part: &'a CallPart) -> Self {
        let begins = part.begins.as_ref();
        Self {
            index: Some(part.index),
            id: begins.map(|(id, _)| id.as_str()),
            r#type: begins.map(|_| "function"),
            function: FunctionOut { name: begins.map(|(_, name)| name.as_str()), arguments: &part.arguments },
        }
    }

    fn whole(call: &'a Call) -> Self {
        Self {
            index: None,
            id: Some(&call.id),
            r#type: Some("function"),
            function: FunctionOut { name: Some(&call.name), arguments: &call.arguments },
        }
    }
}

struct UsageOut(Usage);

impl Serialize for UsageOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let usage = &self.0;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("prompt_tokens", &usage.prompt_tokens)?;
        map.serialize_entry("completion_tokens", &usage.completion_tokens)?;
        map.serialize_entry("total_tokens", &(usage.prompt_tokens + usage.completion_tokens))?;
        map.serialize_entry("prompt_tokens_details", &serde_json::json!({"cached_tokens": usage.cached_tokens}))?;
        map.serialize_entry(
            "completion_tokens_details",
            &serde_json::json!({"reasoning_tokens": usage.reasoning_tokens}),
        )?;
        map.end()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum LogprobsOut<'a> {
    Chat {
        content: Vec<ChatToken<'a>>,
        refusal: Option<()>,
    },
    Completions {
        tokens: Vec<String>,
        token_logprobs: Vec<Option<f32>>,
        top_logprobs: Vec<Option<Rivals>>,
        text_offset: Vec<usize>,
    },
}

impl<'a> LogprobsOut<'a> {
    fn completions(mut offset: usize, tokens: &'a [TokenLogprob]) -> Self {
        // A part of a character has no text of its own; OpenAI spells its bytes, which keeps rivals apart.
        let text = |token: &Alternative| match std::str::from_utf8(&token.bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => token.bytes.iter().fold("bytes:".to_owned(), |text, byte| format!("{text}\\x{byte:02x}")),
        };
        let mut text_offset = Vec::with_capacity(tokens.len());
        for token in tokens {
            text_offset.push(offset);
            // Bytes that begin a character; those of a control token have no text.
            offset += token.chosen.bytes.iter().filter(|byte| *byte & 0xC0 != 0x80).count();
        }
        Self::Completions {
            tokens: tokens.iter().map(|token| text(&token.chosen)).collect(),
            token_logprobs: tokens.iter().map(|token| token.chosen.logprob).collect(),
            top_logprobs: tokens
                .iter()
                .map(|token| token.chosen.logprob.map(|_| Rivals::of(with_chosen(token), text)))
                .collect(),
            text_offset,
        }
    }
}

/// Tokens of one place by their text, the best first, in the same precision as the chosen one: harnesses compare the two.
struct Rivals(Vec<(String, Option<f32>)>);

impl Rivals {
    fn of<'a>(rivals: impl Iterator<Item = &'a Alternative>, text: impl Fn(&Alternative) -> String) -> Self {
        let mut all: Vec<(String, Option<f32>)> = Vec::new();
        for rival in rivals {
            let text = text(rival);
            if all.iter().all(|(known, _)| *known != text) {
                all.push((text, rival.logprob));
            }
        }
        Self(all)
    }
}

impl Serialize for Rivals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(text, logprob)| (text, logprob)))
    }
}

/// The best tokens, and the chosen one if it is not among them.
fn with_chosen(token: &TokenLogprob) -> impl Iterator<Item = &Alternative> {
    let among = token.top.iter().any(|rival| rival.id == token.chosen.id);
    token.top.iter().chain((!among).then_some(&token.chosen))
}

/// A token of the chat API: its text may be a part of a character, its bytes are exact.
struct ChatToken<'a>(&'a TokenLogprob);

/// JSON has no minus infinity; OpenAI's own floor for a token that cannot be.
const FLOOR: f32 = -9999.0;

fn chat_alternative<S: SerializeMap>(map: &mut S, token: &Alternative) -> Result<(), S::Error> {
    map.serialize_entry("token", &String::from_utf8_lossy(&token.bytes))?;
    map.serialize_entry("logprob", &token.logprob.unwrap_or(0.0).max(FLOOR))?;
    map.serialize_entry("bytes", &token.bytes)
}

impl Serialize for ChatToken<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Rival<'a>(&'a Alternative);
        impl Serialize for Rival<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(3))?;
                chat_alternative(&mut map, self.0)?;
                map.end()
            }
        }
        let mut map = serializer.serialize_map(Some(4))?;
        chat_alternative(&mut map, &self.0.chosen)?;
        map.serialize_entry("top_logprobs", &self.0.top.iter().map(Rival).collect::<Vec<_>>())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use backends::{Input, Payload};
    use serde_json::Value;

    use super::*;

    fn framer() -> Framer {
        let payload = Payload::new(br#"{"model":"m"}"#[..].into()).unwrap();
        let input = Input::Chat { messages: Vec::new(), tools: None, template_kwargs: None };
        Framer::new(&backends::Request::new("r", Api::Chat, payload, input), "m", 7)
    }

    #[test]
    fn reasoning_goes_out_before_the_text_under_both_of_its_names() {
        let delta = Delta { reasoning: "hm".to_owned(), text: "yes".to_owned(), ..Delta::default() };
        let mut out = Vec::new();
        framer().delta(&delta, &mut out);
        let out = String::from_utf8(out).unwrap();
        let chunks = out.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
        let deltas: Vec<Value> =
            chunks.map(|chunk| serde_json::from_str::<Value>(chunk).unwrap()["choices"][0]["delta"].clone()).collect();
        assert_eq!(deltas[1], serde_json::json!({"reasoning_content": "hm", "reasoning": "hm"}));
        assert_eq!(deltas[2], serde_json::json!({"content": "yes"}));

        let mut choice = Choice::default();
        choice.take(delta);
        let whole: Value = serde_json::from_slice(&framer().whole(&[choice], Usage::default())).unwrap();
        let message = &whole["choices"][0]["message"];
        assert_eq!((&message["reasoning_content"], &message["content"]), (&"hm".into(), &"yes".into()));
        let plain: Value = serde_json::from_slice(&framer().whole(&[Choice::default()], Usage::default())).unwrap();
        assert_eq!(plain["choices"][0]["message"].as_object().unwrap().len(), 3, "role, content, refusal: {plain}");
    }
}
