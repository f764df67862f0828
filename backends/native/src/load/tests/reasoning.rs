//! Whether an answer has reasoning, from models of random weights: the template says so, and the caller may turn it off.

use serde_json::json;

use super::{forms::json_of, *};

/// Opens a block in the prompt unless the caller wants none, as Qwen 3.5 and others do.
const OPENS: &str = "{% for message in messages %}{{ message.content }}{% endfor %}\
    {% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}\
    {% else %}{{ '<think>\n' }}{% endif %}";
/// Leaves it to the model, as Qwen 3 does.
const KNOWS: &str = "{% for message in messages %}{{ message.content.split('</think>')[-1] }}{% endfor %}";

fn thinking(template: &str) -> Engine {
    let mut writer = Llama::default().writer();
    writer.set("tokenizer.chat_template", Meta::Text(template.into()));
    load(writer.finish(), Options { threads: Some(1), ..Options::default() }).unwrap()
}

/// Reasoning, text and how many tokens of the answer were reasoning.
async fn parts(engine: &Engine, request: Request) -> (String, String, u64) {
    let events: Vec<_> = engine.generate(Arc::new(request)).await.unwrap().collect().await;
    let mut parts = (String::new(), String::new(), 0);
    for event in events {
        match event.unwrap() {
            Event::Delta(delta) => {
                parts.0 += &delta.reasoning;
                parts.1 += &delta.text;
            }
            Event::Usage(usage) => parts.2 = usage.reasoning_tokens,
            _ => {}
        }
    }
    parts
}

fn with_kwargs(kwargs: &str) -> Request {
    let Input::Chat { messages, .. } = chat("hello").input else { unreachable!() };
    request(Input::Chat { messages, tools: None, template_kwargs: Some(kwargs.into()) })
}

#[tokio::test]
async fn what_follows_a_block_that_the_prompt_opened_is_reasoning_unless_the_caller_turned_it_off() {
    let engine = thinking(OPENS);
    let (reasoning, text, tokens) = parts(&engine, chat("hello")).await;
    assert!(!reasoning.is_empty() && text.is_empty() && tokens > 0, "{reasoning:?} {text:?}");
    let (reasoning, text, tokens) = parts(&engine, with_kwargs(r#"{"enable_thinking": false}"#)).await;
    assert!(reasoning.is_empty() && !text.is_empty() && tokens == 0, "{reasoning:?} {text:?}");
}

#[tokio::test]
async fn a_text_that_is_continued_has_no_reasoning() {
    let (reasoning, text, tokens) = parts(&thinking(OPENS), prompt("hello <think>\n")).await;
    assert!(reasoning.is_empty() && !text.is_empty() && tokens == 0, "{reasoning:?} {text:?}");
}

#[tokio::test]
async fn a_form_that_is_asked_for_waits_for_reasoning_that_the_prompt_opened_and_else_begins_at_once() {
    let schema = json!({"enum": ["yes", "no"]});
    let asked = |of: Request| Request { shape: json_of(&schema), ..of };
    let engine = thinking(OPENS);
    // A model without sense never closes the block, and no text of another form leaves.
    let (reasoning, text, _) = parts(&engine, asked(chat("hello"))).await;
    assert!(!reasoning.is_empty() && text.is_empty(), "{reasoning:?} {text:?}");
    for (engine, request) in
        [(&engine, with_kwargs(r#"{"enable_thinking": false}"#)), (&thinking(KNOWS), chat("hello"))]
    {
        let (reasoning, text, tokens) = parts(engine, asked(request)).await;
        assert!(reasoning.is_empty() && ["\"yes\"", "\"no\""].contains(&&*text) && tokens == 0, "{text}");
    }
}
