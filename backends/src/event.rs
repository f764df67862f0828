//! What a generation gives back, piece by piece.

use bytes::Bytes;

use crate::{Usage, text_tokens};

/// One piece of a generation.
///
/// A local engine sends [`Event::Delta`]s, one [`Event::Finish`] a choice, then one [`Event::Usage`].
/// An upstream that speaks the caller's API sends [`Event::Frame`]s when the answer is streamed and one
/// [`Event::Whole`] when it is not, whose bytes are forwarded untouched.
#[derive(Clone, Debug)]
pub enum Event {
    /// Text of a choice, reasoning that led to it, or a part of a tool call.
    Delta(Delta),
    /// A choice ended.
    Finish {
        /// The choice.
        index: u32,
        /// Why it ended.
        reason: FinishReason,
    },
    /// Token counts of the whole request; the last event of a local generation.
    Usage(Usage),
    /// One server-sent event of an upstream, delimiter included.
    Frame(Frame),
    /// The whole body of an upstream's answer that is not streamed.
    Whole(Frame),
}

/// What a choice gained, with the tokens it came from. Reasoning comes before text, and text before calls.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// The choice.
    pub index: u32,
    /// What the model wrote for itself before its answer, without the marks around it. Valid text, and mostly empty.
    pub reasoning: String,
    /// Valid text; a code point split over tokens is held back until it is whole. May be empty.
    pub text: String,
    /// Parts of tool calls, in their order.
    pub calls: Vec<CallPart>,
    /// One entry a token of the text, when asked for.
    pub logprobs: Vec<TokenLogprob>,
}

impl Delta {
    /// Whether it has nothing for the caller.
    pub fn is_empty(&self) -> bool {
        self.reasoning.is_empty() && self.text.is_empty() && self.logprobs.is_empty() && self.calls.is_empty()
    }

    /// Tokens of the texts in it, as [`text_tokens`] has them.
    pub fn text_tokens(&self) -> u64 {
        let calls = self.calls.iter().map(|call| text_tokens(&call.arguments));
        text_tokens(&self.reasoning) + text_tokens(&self.text) + calls.sum::<u64>()
    }
}

/// A part of a tool call. The parts of a call come one after the other, and calls as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPart {
    /// Its place among the calls of the choice, from 0.
    pub index: u32,
    /// Its id and the function: in its first part, and nowhere else.
    pub begins: Option<(String, String)>,
    /// More of its arguments, as JSON text.
    pub arguments: String,
}

/// A token with its log-probability and its rivals.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token that was taken.
    pub chosen: Alternative,
    /// The most probable tokens at this place, best first, as many as asked for.
    pub top: Vec<Alternative>,
}

/// A token and how probable it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// Id in the model's vocabulary.
    pub id: u32,
    /// The bytes that the token stands for; not always valid UTF-8.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability before temperature and filters. `None` for the first token of an
    /// echoed prompt, which nothing predicts.
    pub logprob: Option<f32>,
}

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended its turn or met a stop sequence.
    Stop,
    /// The token limit or the context window was reached.
    Length,
    /// The model asks for a tool.
    ToolCalls,
    /// A filter ended it.
    ContentFilter,
}

impl FinishReason {
    /// The word of OpenAI's chat API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }

    /// The reason of that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Stop, Self::Length, Self::ToolCalls, Self::ContentFilter].into_iter().find(|it| it.as_str() == word)
    }
}

/// Bytes of an upstream with what the gateway needs to know of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The bytes as they came: a server-sent event with its blank line, or a JSON body.
    pub bytes: Bytes,
    /// Whether it carries content for the caller (text, a tool call, reasoning).
    pub content: bool,
    /// Tokens of the texts in it, as [`text_tokens`](crate::text_tokens) has them: for an upstream that counts none.
    pub text_tokens: u64,
    /// Whether a choice ended in it: it has a `finish_reason`.
    pub finished: bool,
    /// Token counts found in it.
    pub usage: Option<Usage>,
    /// Whether it holds nothing but usage (`choices` is empty): the chunk that `include_usage` asks for.
    pub usage_only: bool,
    /// Whether it is the `[DONE]` that ends a stream, or what ends one in an API of the caller's own.
    pub done: bool,
    /// Whether it is in the API of [`Request::own`](crate::Request::own), and goes out as it is.
    pub own: bool,
    /// What the bytes are, where that is not JSON.
    pub content_type: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_something_for_the_caller_and_is_counted() {
        let delta = Delta { reasoning: "The user greets.".into(), ..Delta::default() };
        assert!(!delta.is_empty() && Delta::default().is_empty());
        assert_eq!(delta.text_tokens(), text_tokens("The user greets."));
    }
}
