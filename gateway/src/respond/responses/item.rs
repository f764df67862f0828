//! Items of a response's output.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// An item, and what of it is there.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Its text, or the arguments of its call.
    pub(super) text: String,
    pub(super) done: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Message,
    /// A message whose part is a refusal.
    Refusal,
    Call {
        /// Its place among the upstream's calls.
        index: u32,
        call_id: String,
        name: String,
        /// Whether the tool was offered as one of the type `custom`.
        custom: bool,
    },
}

/// An item as the caller sees it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Shown<'a> {
    Reasoning { id: &'a str, status: &'static str, summary: [(); 0], content: Vec<Part<'a>> },
    Message { id: &'a str, status: &'static str, role: &'static str, content: Vec<Part<'a>> },
    FunctionCall { id: &'a str, status: &'static str, call_id: &'a str, name: &'a str, arguments: &'a str },
    CustomToolCall { id: &'a str, status: &'static str, call_id: &'a str, name: &'a str, input: Cow<'a, str> },
}

/// A part of an item's content.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    ReasoningText { text: &'a str },
    OutputText { text: &'a str, annotations: [(); 0], logprobs: [(); 0] },
    Refusal { refusal: &'a str },
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    input: Cow<'a, str>,
}

impl Item {
    /// The place of its call among the upstream's, if it is one.
    pub(super) fn call(&self) -> Option<u32> {
        match self.kind {
            Kind::Call { index, .. } => Some(index),
            Kind::Reasoning | Kind::Message | Kind::Refusal => None,
        }
    }

    /// As it is so far.
    pub(super) fn shown(&self) -> Shown<'_> {
        self.with(&self.text, self.part().into_iter().collect())
    }

    /// As it is when it begins: with nothing in it.
    pub(super) fn begun(&self) -> Shown<'_> {
        self.with("", Vec::new())
    }

    fn with<'a>(&'a self, text: &'a str, content: Vec<Part<'a>>) -> Shown<'a> {
        let (id, status) = (&*self.id, if self.done { "completed" } else { "in_progress" });
        match &self.kind {
            Kind::Reasoning => Shown::Reasoning { id, status, summary: [], content },
            Kind::Message | Kind::Refusal => Shown::Message { id, status, role: "assistant", content },
            Kind::Call { call_id, name, custom: false, .. } => {
                Shown::FunctionCall { id, status, call_id, name, arguments: text }
            }
            Kind::Call { call_id, name, .. } => {
                Shown::CustomToolCall { id, status, call_id, name, input: input_in(text) }
            }
        }
    }

    /// Its one part of content, if it is of a kind that has it.
    pub(super) fn part(&self) -> Option<Part<'_>> {
        self.kind.part(&self.text)
    }

    /// The same with nothing in it.
    pub(super) fn empty_part(&self) -> Option<Part<'_>> {
        self.kind.part("")
    }

    /// The text that a custom tool is given.
    pub(super) fn custom_input(&self) -> Option<Cow<'_, str>> {
        matches!(self.kind, Kind::Call { custom: true, .. }).then(|| input_in(&self.text))
    }
}

/// The text in the arguments of a custom tool; what else the model wrote is given as it is.
fn input_in(arguments: &str) -> Cow<'_, str> {
    serde_json::from_str::<Input<'_>>(arguments).map_or(Cow::Borrowed(arguments), |Input { input }| input)
}

impl Kind {
    fn part<'a>(&self, text: &'a str) -> Option<Part<'a>> {
        match self {
            Self::Reasoning => Some(Part::ReasoningText { text }),
            Self::Message => Some(Part::OutputText { text, annotations: [], logprobs: [] }),
            Self::Refusal => Some(Part::Refusal { refusal: text }),
            Self::Call { .. } => None,
        }
    }

    /// What the ids of such items begin with.
    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Self::Reasoning => "rs",
            Self::Message | Self::Refusal => "msg",
            Self::Call { custom: false, .. } => "fc",
            Self::Call { .. } => "ctc",
        }
    }

    /// The event of more of its text.
    pub(super) fn delta(&self) -> &'static str {
        match self {
            Self::Reasoning => "response.reasoning_text.delta",
            Self::Message => "response.output_text.delta",
            Self::Refusal => "response.refusal.delta",
            Self::Call { .. } => "response.function_call_arguments.delta",
        }
    }

    /// The event of the end of its text.
    pub(super) fn done(&self) -> &'static str {
        match self {
            Self::Reasoning => "response.reasoning_text.done",
            Self::Message => "response.output_text.done",
            Self::Refusal => "response.refusal.done",
            Self::Call { .. } => "response.function_call_arguments.done",
        }
    }
}
