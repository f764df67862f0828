//! What a request is, as policies see it: language, size, needs.
//!
//! Reads the decoded request only. The size is an estimate that needs no tokenizer: a quarter of a token
//! for each byte of ASCII, one for each character elsewhere. Language is told only where a policy asks for it,
//! because telling it costs more than the rest of the decision.

pub mod language;

use std::sync::Arc;

use backends::{Input, Part, Prompt};
use policies::Facts;

use crate::{keys::Grant, wire::Decoded};

/// The facts of a decoded request of a caller. `tell_language`: whether the policies for this model ask for it.
pub fn of(decoded: &Decoded, caller: &Grant, tell_language: bool) -> Facts {
    Facts {
        team: caller.team.as_deref().map(str::to_owned),
        context: Some(caller.context.name.clone()),
        use_: Arc::clone(&caller.context.use_),
        today: crate::settle::today(),
        model_asked: decoded.model.clone(),
        language: if tell_language {
            asked(&decoded.request.input).and_then(|text| language::detect(&text)).map(str::to_owned)
        } else {
            None
        },
        prompt_tokens: prompt_tokens(&decoded.request.input),
        max_tokens: decoded.request.max_tokens.map(u64::from),
        answer_tokens: None,
        draw: 0,
        needs: decoded.needs,
        stream: decoded.request.stream,
    }
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
    }
}

/// Tokens of the longest prompt, about.
fn prompt_tokens(input: &Input) -> u64 {
    /// What a chat template puts around a turn.
    const TURN: u64 = 4;
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
                            Part::Other(_) => 0,
                        })
                        .sum();
                    let calls: u64 = message.tool_calls.iter().map(|call| text_tokens(&call.arguments)).sum();
                    parts + calls + TURN
                })
                .sum();
            turns + tools.as_deref().map_or(0, text_tokens)
        }
        Input::Prompts(prompts) => prompts
            .iter()
            .map(|prompt| match prompt {
                Prompt::Text(text) => text_tokens(text),
                Prompt::Tokens(tokens) => tokens.len() as u64,
            })
            .max()
            .unwrap_or(0),
    }
}

fn text_tokens(text: &str) -> u64 {
    // Told for eight bytes at a time, and most long texts are.
    if text.is_ascii() {
        return (text.len() as u64).div_ceil(4);
    }
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    // Bytes that begin a character outside ASCII.
    let wide = text.bytes().filter(|byte| byte & 0xC0 == 0xC0).count() as u64;
    ascii.div_ceil(4) + wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_counts_ascii_by_bytes_and_other_scripts_by_characters() {
        assert_eq!(text_tokens("abcdefgh"), 2);
        assert_eq!(text_tokens("안녕하세요"), 5);
        assert_eq!(text_tokens(""), 0);
        let prompts = Input::Prompts(vec![Prompt::Text("ab".into()), Prompt::Tokens(vec![1; 9])]);
        assert_eq!(prompt_tokens(&prompts), 9);
    }
}
