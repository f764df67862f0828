//! What a request is, as policies see it: who asks and when, language, size, needs, declared values.
//!
//! Reads the decoded request and the headers that the configuration declares, and nothing else. The size is an estimate
//! that needs no tokenizer. Language and
//! script are told only where a policy asks for them, because telling them costs more than the rest of the decision.

pub mod language;
pub mod prefix;

use std::{collections::HashMap, sync::Arc};

use backends::{Input, Part, Prompt, text_tokens};
use http::HeaderMap;
use policies::{Facts, MAX_VALUE};

use crate::{
    config::{Config, DeclaredFacts},
    keys::Grant,
    settle,
    wire::Decoded,
};

/// The facts of a decoded request of a caller, now.
pub fn of(decoded: &Decoded, caller: &Grant, headers: &HeaderMap, config: &Config) -> Facts {
    let (policies, catalog, team) = (&config.policies, &config.catalog, caller.team.as_deref());
    let tell_language = policies.asks_language(catalog, &decoded.model, team);
    let tell_script = policies.asks_script(catalog, &decoded.model, team);
    let asked = if tell_language || tell_script { asked(&decoded.request.input) } else { None };
    let asked = asked.as_deref();
    let now = settle::now_ms();
    Facts {
        team: team.map(str::to_owned),
        key: caller.key.as_deref().map(str::to_owned),
        scope: caller.scope.clone(),
        context: Some(caller.context.name.clone()),
        use_: Arc::clone(&caller.context.use_),
        today: catalog::Date::of_unix_ms(now),
        now: i64::try_from(now / 1000).ok(),
        model_asked: decoded.model.clone(),
        language: asked.filter(|_| tell_language).and_then(language::detect).map(str::to_owned),
        script: asked.filter(|_| tell_script).and_then(language::script).map(str::to_owned),
        prompt_tokens: prompt_tokens(&decoded.request.input),
        max_tokens: decoded.request.max_tokens.map(u64::from),
        answer_tokens: None,
        arm: None,
        draw: 0,
        needs: decoded.needs,
        // Sound goes out as it comes, whatever the caller asked for.
        stream: decoded.request.stream && decoded.request.api.generates(),
        headers: declared_headers(&config.facts, headers),
        metadata: declared_metadata(&config.facts, decoded),
    }
}

/// The declared headers of a request: of one that stands there twice the first. What no policy can match is left out.
fn declared_headers(declared: &DeclaredFacts, headers: &HeaderMap) -> Vec<(String, String)> {
    let value = |name: &String| headers.get(name.as_str())?.to_str().ok().filter(|value| value.len() <= MAX_VALUE);
    declared.headers.iter().filter_map(|name| Some((name.clone(), value(name)?.to_owned()))).collect()
}

/// The declared entries of a request's `metadata`; one that is no text, or longer than any that a policy can match, is
/// left out.
fn declared_metadata(declared: &DeclaredFacts, decoded: &Decoded) -> Vec<(String, String)> {
    let Some(metadata) = decoded.metadata.as_deref().filter(|_| !declared.metadata.is_empty()) else {
        return Vec::new();
    };
    let values: HashMap<String, serde_json::Value> = serde_json::from_str(metadata.get()).unwrap_or_default();
    let value = |name: &String| values.get(name)?.as_str().filter(|value| value.len() <= MAX_VALUE);
    declared.metadata.iter().filter_map(|name| Some((name.clone(), value(name)?.to_owned()))).collect()
}

/// The text whose language counts: the last turn of the user, or the first prompt.
fn asked(input: &Input) -> Option<String> {
    match input {
        Input::Chat { messages, .. } => {
            messages.iter().rev().find(|message| message.role == "user").map(backends::Message::text)
        }
        Input::Prompts(prompts) => prompts.iter().find_map(|prompt| match prompt {
            Prompt::Text(text) => Some(text.clone()),
            Prompt::Tokens(_) => None,
        }),
        Input::Embed { texts, .. } => texts.iter().find_map(|text| match text {
            Prompt::Text(text) => Some(text.clone()),
            Prompt::Tokens(_) => None,
        }),
        Input::Rank { query, .. } => Some(query.clone()),
        Input::Texts(texts) => texts.first().cloned(),
        Input::Tokenize { text, .. } => Some(text.clone()),
        Input::Detokenize(_) | Input::Form(_) | Input::TokenizerInfo => None,
    }
}

/// Tokens of the longest prompt, about.
pub fn prompt_tokens(input: &Input) -> u64 {
    /// What a chat template puts around a turn.
    const TURN: u64 = 4;
    /// A picture: what Gemma 3 takes for each. Others take less for a small one and several times as many for a large one, which
    /// only the model can count; an engine in this process does, and refuses what its window does not hold.
    const PICTURE: u64 = 256;
    match input {
        Input::Chat { messages, tools, .. } => {
            let turns: u64 = messages
                .iter()
                .map(|message| {
                    let parts: u64 = message
                        .content
                        .iter()
                        .map(|part| match part {
                            Part::Text(text) => text_tokens(text),
                            Part::Other { kind, .. } if kind.contains("image") => PICTURE,
                            Part::Other { .. } => 0,
                        })
                        .sum();
                    let calls: u64 = message.tool_calls.iter().map(|call| text_tokens(&call.arguments)).sum();
                    parts + calls + TURN
                })
                .sum();
            turns + tools.as_deref().map_or(0, text_tokens)
        }
        Input::Prompts(prompts) | Input::Embed { texts: prompts, .. } => prompts
            .iter()
            .map(|prompt| match prompt {
                Prompt::Text(text) => text_tokens(text),
                Prompt::Tokens(tokens) => tokens.len() as u64,
            })
            .max()
            .unwrap_or(0),
        // Each document is read with the query before it.
        Input::Rank { query, documents, .. } => {
            text_tokens(query) + documents.iter().map(|document| text_tokens(document)).max().unwrap_or(0)
        }
        Input::Texts(texts) => texts.iter().map(|text| text_tokens(text)).max().unwrap_or(0),
        // Nothing is generated, so no window has to hold it.
        Input::Tokenize { .. } | Input::Detokenize(_) | Input::Form(_) | Input::TokenizerInfo => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn only_declared_values_are_gathered_and_none_that_is_too_long() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let declared = DeclaredFacts {
            headers: names(&["x-tier", "x-long", "x-absent"]),
            metadata: names(&["project", "n"]),
            ..DeclaredFacts::default()
        };
        let mut headers = HeaderMap::new();
        headers.append("X-Tier", "gold".parse().unwrap());
        headers.append("X-Tier", "silver".parse().unwrap());
        headers.append("X-Long", "x".repeat(MAX_VALUE + 1).parse().unwrap());
        headers.append("X-Other", "1".parse().unwrap());
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(declared_headers(&declared, &headers), pair("x-tier", "gold"));

        let of = |metadata: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"metadata":{metadata}}}"#);
            let decoded = wire::decode(wire::ClientApi::Chat, "r", body.into()).unwrap();
            declared_metadata(&declared, &decoded)
        };
        assert_eq!(of(r#"{"project":"apollo","n":7,"other":"x"}"#), pair("project", "apollo"));
        for odd in ["null", "[]", "\"project\"", r#"{"project":["apollo"]}"#] {
            assert_eq!(of(odd), [], "{odd}");
        }
    }

    #[test]
    fn every_script_that_can_be_told_can_be_matched() {
        for text in ["Hello there", "안녕하세요", "こんにちは", "你好吗", "Привет", "مرحبا", "Γειά", "สวัสดี"]
        {
            let script = language::script(text).expect(text);
            assert!(policies::SCRIPTS.contains(&script), "{script}");
        }
        assert_eq!(language::script("12 🎉"), None);
    }

    #[test]
    fn size_counts_ascii_by_bytes_other_scripts_by_characters_and_pictures_by_a_number() {
        assert_eq!(text_tokens("abcdefgh"), 2);
        assert_eq!(text_tokens("안녕하세요"), 5);
        assert_eq!(text_tokens(""), 0);
        let part = |kind: &str| Part::Other { kind: kind.into(), digest: 0, held: None };
        let content = vec![part("image_url"), Part::Text("abcdefgh".into()), part("input_audio")];
        let message = backends::Message { role: "user".into(), content, ..backends::Message::default() };
        let chat = Input::Chat { messages: vec![message], tools: None, template_kwargs: None };
        assert_eq!(prompt_tokens(&chat), 256 + 2 + 4);
        let prompts = Input::Prompts(vec![Prompt::Text("ab".into()), Prompt::Tokens(vec![1; 9])]);
        assert_eq!(prompt_tokens(&prompts), 9);
    }
}
