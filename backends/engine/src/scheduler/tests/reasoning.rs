//! Reasoning parted from the answer on its way from tokens to events, over a model that writes what a test says.

use crate::{
    calls::{Parser, format, promises},
    form::{Calls, Kept},
    grammar::{Grammars, Source},
    reasoning::Reasoning,
};

use super::*;

/// Writes these tokens behind a prompt of one token, then the end.
struct Script {
    tokens: Vec<u32>,
    end: u32,
    vocabulary: usize,
    logits: Vec<f32>,
}

impl Steps for Script {
    fn most_prompt_tokens(&self) -> usize {
        128
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        self.logits.clear();
        for token in tokens.iter().filter(|token| token.logits) {
            let from = self.logits.len();
            self.logits.resize(from + self.vocabulary, 0.0);
            self.logits[from + *self.tokens.get(token.position).unwrap_or(&self.end) as usize] = 9.0;
        }
        Ok(self.logits.chunks_exact(self.vocabulary).collect())
    }
}

/// What came of an answer.
#[derive(Debug, Default, PartialEq)]
struct Came {
    reasoning: String,
    text: String,
    calls: Vec<String>,
    /// The tokens that log-probabilities were told of.
    told: String,
    reasoning_tokens: u64,
    completion_tokens: u64,
}

/// The events of an answer that is written so; `|` ends it where the model would.
async fn answer(written: &str, kept: impl FnOnce(&Tokenizer) -> Kept) -> (Came, FinishReason) {
    let model = Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, vocabulary: Vocabulary::Bpe, ..Llama::default() };
    let words = Arc::new(Words(Tokenizer::from_file(&File::read(Bytes::from(model.build())).unwrap()).unwrap()));
    let end = words.0.eos().unwrap();
    let mut tokens = Vec::new();
    for (place, part) in written.split('|').enumerate() {
        tokens.extend((place > 0).then_some(end));
        tokens.extend(words.0.encode(part));
    }
    let choice = Choice { max_tokens: 200, logprobs: Some(0), kept: kept(&words.0), ..rig_choice(&words, "x") };
    let choice = Choice { sampling: Arc::new(Sampling { temperature: 0.0, ..Sampling::default() }), ..choice };
    let script = Script { tokens, end, vocabulary: words.0.len(), logits: Vec::new() };
    let scheduler =
        Scheduler::start("script", 1, words, 1, None, Clock::default(), |worker| worker.work(script)).unwrap();
    let (mut came, mut finish) = (Came::default(), None);
    for event in collect(scheduler.submit(vec![choice]).unwrap()).await {
        match event {
            Event::Delta(delta) => {
                assert!(!delta.is_empty());
                assert!(delta.reasoning.is_empty() || came.text.is_empty(), "reasoning comes first");
                came.reasoning += &delta.reasoning;
                came.text += &delta.text;
                came.calls.extend(delta.calls.into_iter().filter_map(|call| call.begins).map(|(_, name)| name));
                let told = delta.logprobs.into_iter().flat_map(|token| token.chosen.bytes);
                came.told += &String::from_utf8(told.collect()).unwrap();
            }
            Event::Finish { reason, .. } => finish = Some(reason),
            Event::Usage(usage) => {
                came.reasoning_tokens = usage.reasoning_tokens;
                came.completion_tokens = usage.completion_tokens;
            }
            other => panic!("a local engine does not send {other:?}"),
        }
    }
    (came, finish.unwrap())
}

fn reasons(opened: bool) -> Kept {
    Kept { reasoning: Some(Box::new(Reasoning::new(opened))), ..Kept::default() }
}

#[tokio::test]
async fn reasoning_leaves_apart_from_the_text_and_its_tokens_are_counted() {
    let (came, finish) = answer("<think>\nhm</think>\n\nyes", |_| reasons(false)).await;
    assert_eq!((&*came.reasoning, &*came.text, &*came.told), ("hm", "yes", "yes"));
    // Here every letter is a token, but for `th` and `in`. The token that completes the opening mark is the first that counts.
    assert_eq!((came.reasoning_tokens, came.completion_tokens, finish), (10, 20, FinishReason::Stop));
    let (came, _) = answer("hm</think>yes", |_| reasons(true)).await;
    assert_eq!((&*came.reasoning, &*came.text, came.reasoning_tokens), ("hm", "yes", 8));
}

#[tokio::test]
async fn an_answer_without_reasoning_keeps_its_text_and_its_log_probabilities() {
    for text in ["<thaw> yes", "\n yes <think>", "<th"] {
        let (came, _) = answer(text, |_| reasons(false)).await;
        assert_eq!((&*came.text, &*came.told, came.reasoning_tokens), (text, text, 0));
        assert_eq!(came.reasoning, "");
    }
}

#[tokio::test]
async fn an_answer_that_never_leaves_its_reasoning_is_all_reasoning() {
    let (came, finish) = answer("hm </thi", |_| reasons(true)).await;
    assert_eq!((&*came.reasoning, &*came.text, finish), ("hm </thi", "", FinishReason::Stop));
    assert_eq!(came.reasoning_tokens + 1, came.completion_tokens);
}

#[tokio::test]
async fn a_call_within_reasoning_is_none_and_one_behind_it_is() {
    let call = r#"<tool_call>{"name": "f", "arguments": {}}</tool_call>"#;
    let kept = |_: &Tokenizer| {
        let parser = Parser::new(format::NEUTRAL, promises::functions(), false, true);
        Kept { calls: Some(Box::new(Calls { parser, parallel: true })), ..reasons(true) }
    };
    let (came, finish) = answer(call, kept).await;
    assert_eq!((&*came.reasoning, &*came.calls, finish), (call, &[][..], FinishReason::Stop));
    let (came, finish) = answer(&format!("hm</think>{call}"), kept).await;
    assert_eq!((&*came.reasoning, &*came.calls, finish), ("hm", &["f".to_owned()][..], FinishReason::ToolCalls));
    assert_eq!(came.text, "");
}

#[tokio::test]
async fn a_form_that_is_asked_for_begins_behind_the_reasoning_that_the_prompt_opened() {
    let kept = |tokenizer: &Tokenizer| {
        let grammars = Grammars::new(tokenizer).unwrap();
        let constraint = grammars.compile(&Source::Regex("[0-9]{3}".into())).unwrap();
        Kept { constraint: Some(Box::new(constraint)), ..reasons(true) }
    };
    // The model would end within its reasoning, and write something else behind it.
    let (came, finish) = answer("h|m</think>12words", kept).await;
    assert_eq!((&*came.reasoning, finish), ("hm", FinishReason::Stop));
    assert!(came.text.starts_with("12") && came.text.len() == 3, "{came:?}");
    assert_eq!((&came.told, came.completion_tokens), (&came.text, 2 + 1 + 6 + 3));
}
