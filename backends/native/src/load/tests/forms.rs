//! Answers of an asked form, from models of random weights: whatever they would rather say, it is kept to.

use backends::{Form, Shape, Tool, ToolChoice, Tools};
use serde_json::{Value, json};

use super::*;

/// Templates that the families are known by, with a place for what they are told.
const FAMILIES: [(&str, &str); 8] = [
    ("neutral", ""),
    ("hermes", "{{ tools }}<tool_call> \"arguments\""),
    ("qwen-coder", "{{ tools }}<tool_call> <function="),
    ("glm", "{{ tools }}<tool_call> <arg_key>"),
    ("mistral", "{{ tools }}[TOOL_CALLS]"),
    ("mistral-args", "{{ tools }}[TOOL_CALLS][ARGS]"),
    ("phi", "{{ tools }}<|tool_call|>"),
    ("llama", "{{ tools }}<|python_tag|> \"parameters\""),
];

fn speaking(words: &str, seed: u64) -> Engine {
    let mut writer = Llama { seed, context: 4_096, ..Llama::default() }.writer();
    let template = format!(
        "{words}{{% for message in messages %}}<|{{{{ message.role }}}}|>{{{{ message.content }}}}{{% endfor %}}"
    );
    writer.set("tokenizer.chat_template", Meta::Text(template));
    load(writer.finish(), Options { threads: Some(1), ..Options::default() }).unwrap()
}

pub(super) fn json_of(schema: &Value) -> Option<Shape> {
    Some(Shape { field: "response_format", form: Form::JsonSchema { schema: schema.to_string(), strict: true } })
}

fn tools(choice: ToolChoice) -> Tools {
    let function = |name: &str, parameters: Value| Tool::Function {
        name: name.into(),
        description: Some("Does it.".into()),
        parameters: Some(parameters.to_string()),
    };
    let place = json!({"$defs": {"place": {"enum": ["here", "\"there\""]}}, "type": "object",
        "properties": {"at": {"$ref": "#/$defs/place"}}, "required": ["at"], "additionalProperties": false});
    let count = json!({"properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "sure": {"type": "boolean"}},
        "required": ["n"], "additionalProperties": false});
    Tools { offered: vec![function("look", place), function("a \"count\"", count)], choice, parallel: true }
}

fn with_tools(tools: Tools) -> Request {
    let Input::Chat { messages, .. } = chat("hello").input else { unreachable!() };
    let input = Input::Chat { messages, tools: Some("[]".into()), template_kwargs: None };
    Request { tools, max_tokens: Some(1_500), ..request(input) }
}

/// The text and the calls of the only choice, and why it ended.
async fn called(engine: &Engine, request: Request) -> (String, Vec<(String, String)>, FinishReason, u64) {
    let events: Vec<_> = engine.generate(Arc::new(request)).await.unwrap().collect().await;
    let (mut text, mut calls, mut ids) = (String::new(), Vec::<(String, String)>::new(), Vec::new());
    let (mut finish, mut prompt_tokens) = (None, 0);
    for event in events {
        match event.unwrap() {
            Event::Delta(delta) => {
                text += &delta.text;
                for part in delta.calls {
                    if let Some((id, name)) = part.begins {
                        assert!(id.len() == 9 && !ids.contains(&id), "{id}");
                        ids.push(id);
                        calls.push((name, String::new()));
                    }
                    assert_eq!(part.index as usize + 1, calls.len());
                    calls.last_mut().unwrap().1 += &part.arguments;
                }
            }
            Event::Finish { reason, .. } => finish = Some(reason),
            Event::Usage(usage) => prompt_tokens = usage.prompt_tokens,
            other => panic!("a local engine does not send {other:?}"),
        }
    }
    (text, calls, finish.unwrap(), prompt_tokens)
}

fn check(tools: &Tools, (name, arguments): &(String, String)) {
    let schema = tools.offered.iter().find_map(|tool| match tool {
        Tool::Function { name: of, parameters, .. } if of == name => parameters.clone(),
        _ => None,
    });
    let schema: Value = serde_json::from_str(&schema.expect("a function that was offered")).unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"));
    assert!(arguments.is_object() && jsonschema::is_valid(&schema, &arguments), "{arguments} is not of {schema}");
}

#[tokio::test]
async fn a_random_model_writes_json_of_the_schema_or_says_that_it_ran_out_of_tokens() {
    let schema = json!({"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 12},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
            "of": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": -9, "maximum": 9}]}},
        "required": ["name", "tags", "of"], "additionalProperties": false});
    for seed in 0..12 {
        let engine = engine(&Llama {
            seed,
            vocabulary: if seed % 2 == 0 { Vocabulary::Bpe } else { Vocabulary::Spm },
            ..Llama::default()
        });
        let sampling = Sampling { seed: Some(seed), temperature: 1.5, ..Sampling::default() };
        let asked = Request { shape: json_of(&schema), max_tokens: Some(200), sampling, ..chat("hello") };
        let answer = answers(&engine, Request { choices: 2, logprobs: Some(1), ..asked.clone() }).await.unwrap();
        for index in 0..2 {
            let Answer { text, logprobs, finish } = &answer[&index];
            assert_eq!(*finish, Some(FinishReason::Stop), "{text}");
            let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(jsonschema::is_valid(&schema, &value), "{text}");
            assert!(logprobs.len() > 10);
        }
        let cut = answers(&engine, Request { max_tokens: Some(3), ..asked }).await.unwrap().remove(&0).unwrap();
        assert_eq!(cut.finish, Some(FinishReason::Length));
        assert!(serde_json::from_str::<Value>(&cut.text).is_err());
        let prompt = Request {
            shape: Some(Shape { field: "regex", form: Form::Regex("(no|yes) [a-c]+!".into()) }),
            ..prompt("hello")
        };
        let text = text(&engine, Request { max_tokens: Some(90), ..prompt }).await;
        assert!(text.starts_with("no ") || text.starts_with("yes "), "{text}");
    }
}

#[tokio::test]
async fn a_call_that_is_asked_for_comes_whole_and_of_the_tools_schema_in_every_familys_own_words() {
    for (family, template) in FAMILIES {
        for seed in 0..4 {
            let engine = speaking(template, seed);
            for choice in [ToolChoice::Required, ToolChoice::Named("a \"count\"".into())] {
                let tools = tools(choice.clone());
                let sampling = Sampling { seed: Some(seed), ..Sampling::default() };
                let request = Request { sampling, stop: vec!["\"".into()], ..with_tools(tools.clone()) };
                let (text, calls, finish, _) = called(&engine, request.clone()).await;
                assert!(text.is_empty() && !calls.is_empty(), "{family}: {text:?} {calls:?}");
                let whole = finish == FinishReason::ToolCalls;
                // A model without sense may go on calling until it has no tokens left.
                assert!(whole || finish == FinishReason::Length, "{finish:?}");
                calls[..calls.len() - usize::from(!whole)].iter().for_each(|call| check(&tools, call));
                let one = Request { tools: Tools { parallel: false, ..tools.clone() }, ..request };
                let (_, calls, finish, _) = called(&engine, one).await;
                assert_eq!((calls.len(), finish), (1, FinishReason::ToolCalls), "{family}");
                check(&tools, &calls[0]);
                assert!(choice == ToolChoice::Required || calls[0].0 == "a \"count\"");
            }
        }
    }
}

#[tokio::test]
async fn marks_that_are_control_tokens_are_written_as_those_and_read_as_marks() {
    let marks = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|tool_call|>", "<|/tool_call|>"];
    for (family, template) in FAMILIES {
        let mut writer = Llama { context: 4_096, ..Llama::default() }.writer();
        let Some(Meta::Texts(mut words)) = writer.get("tokenizer.ggml.tokens").cloned() else { unreachable!() };
        let Some(Meta::I32s(mut kinds)) = writer.get("tokenizer.ggml.token_type").cloned() else { unreachable!() };
        // In place of words of several letters, which come behind the control tokens and the 256 bytes.
        for (place, mark) in (259..).zip(marks) {
            (words[place], kinds[place]) = (mark.to_owned(), 3);
        }
        writer.set("tokenizer.ggml.tokens", Meta::Texts(words)).set("tokenizer.ggml.token_type", Meta::I32s(kinds));
        writer.set("tokenizer.chat_template", Meta::Text(format!("{template}{{{{ messages[0].content }}}}")));
        let engine = load(writer.finish(), Options { threads: Some(1), ..Options::default() }).unwrap();
        let tools = Tools { parallel: false, ..tools(ToolChoice::Required) };
        let (text, calls, finish, _) = called(&engine, with_tools(tools.clone())).await;
        assert_eq!((&*text, calls.len(), finish), ("", 1, FinishReason::ToolCalls), "{family}");
        check(&tools, &calls[0]);
    }
}

#[tokio::test]
async fn where_a_call_is_optional_the_answer_is_json_of_the_schema_or_calls_and_without_a_schema_it_is_free() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"], "additionalProperties": false});
    for (_, template) in FAMILIES {
        for seed in 0..6 {
            let engine = speaking(template, seed);
            let tools = Tools { parallel: false, ..tools(ToolChoice::Auto) };
            let free = with_tools(tools.clone());
            let (text, calls, finish, _) = called(&engine, Request { max_tokens: Some(30), ..free.clone() }).await;
            assert!(calls.is_empty() && finish != FinishReason::ToolCalls, "{text}");
            let (text, calls, finish, _) = called(&engine, Request { shape: json_of(&schema), ..free }).await;
            match &calls[..] {
                [] => assert!(jsonschema::is_valid(&schema, &serde_json::from_str(&text).unwrap()), "{text}"),
                [call] => {
                    assert_eq!((&*text, finish), ("", FinishReason::ToolCalls));
                    check(&tools, call);
                }
                _ => panic!("{calls:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_model_is_told_of_its_tools_unless_none_may_be_called() {
    for (family, template) in &FAMILIES[..1] {
        let engine = speaking(template, 1);
        let mut counts = Vec::new();
        for tools in [Tools::default(), tools(ToolChoice::None), tools(ToolChoice::Auto)] {
            counts.push(called(&engine, Request { max_tokens: Some(1), ..with_tools(tools) }).await.3);
        }
        assert!(counts[0] == counts[1] && counts[2] > counts[0] + 50, "{family}: {counts:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_to_is_refused_by_name_before_anything_is_generated() {
    let engine = engine(&Llama { context: 4_096, ..Llama::default() });
    let shape = |field, form| Request { shape: Some(Shape { field, form }), ..chat("hi") };
    let unknown = json!({"type": "array", "uniqueItems": true}).to_string();
    let required = |offered: Vec<Tool>| with_tools(Tools { offered, choice: ToolChoice::Required, parallel: true });
    let of_a_string =
        Tool::Function { name: "f".into(), description: None, parameters: Some(r#"{"type":"string"}"#.into()) };
    for (request, said) in [
        (shape("response_format", Form::JsonSchema { schema: unknown, strict: true }), "`response_format`: "),
        (shape("response_format", Form::Other("verse".into())), "`response_format`: `verse` is not known"),
        (shape("regex", Form::Regex("(".into())), "`regex`: "),
        (shape("ebnf", Form::Grammar("root ::= \"a\"".into())), "`ebnf`: it is written in EBNF"),
        (required(vec![]), "`tool_choice`: "),
        (required(vec![of_a_string]), "`tools`: the `parameters` of tool 0: "),
        (required(vec![Tool::Other("web_search".into())]), "`tools`: tool 0 is of the type `web_search`"),
        (with_tools(tools(ToolChoice::Named("other".into()))), "`tool_choice`: it names a function"),
        (with_tools(tools(ToolChoice::Other("any".into()))), "`tool_choice`: expected"),
    ] {
        let error = refusal(&engine, request).await.to_string();
        assert!(error.starts_with(said), "{error}");
    }
}
