use backends::{Input, Message, Part, Payload, Prompt};
use serde_json::json;

use super::*;
use crate::ClientOptions;

fn target(name: &str) -> Target {
    let catalog = catalog::Catalog::builtin();
    Target::at_host(catalog.host("replicate").unwrap(), name, None)
}

fn host(base_url: &str) -> Host {
    let target = Target { base_url: base_url.into(), ..target("meta/llama-2-70b-chat") };
    let client = Client::new(&ClientOptions::default()).unwrap();
    Arc::into_inner(Replicate::new(BackendId::new("r"), target, &client).unwrap().host).unwrap()
}

#[test]
fn each_form_of_a_name_has_its_path() {
    for (name, path, version) in [
        ("meta/llama-2-70b-chat", "/models/meta/llama-2-70b-chat/predictions", None),
        ("acme/m:5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa", "/predictions", Some("5c7d")),
        ("deployments/acme/m", "/deployments/acme/m/predictions", None),
    ] {
        let (found, stated) = place(&target(name)).unwrap();
        assert_eq!(found, path);
        assert_eq!(stated.map(|stated| stated[..4].to_owned()).as_deref(), version);
    }
    for wrong in ["llama", "a/b/c", "a/../b", "a/..", "a/b?c", "a/", "deployments/a/b:c", "a/b:"] {
        let error = place(&target(wrong)).unwrap_err().to_string();
        assert!(error.starts_with("`name`: expected `owner/name`"), "{wrong}: {error}");
    }
}

#[test]
fn every_model_of_the_price_list_can_be_asked_for() {
    let catalog = catalog::Catalog::builtin();
    let names: Vec<_> = catalog.prices().filter(|price| price.host == "replicate").map(|price| &price.name).collect();
    assert!(names.len() > 10 && names.iter().all(|name| place(&target(name)).is_ok()), "{names:?}");
}

#[test]
fn a_stream_is_opened_where_the_key_may_go_and_nowhere_else() {
    let host = host("http://api.replicate.com/v1");
    for good in ["http://api.replicate.com/v1/s", "http://stream.replicate.com/v1/files/a?b=c"] {
        assert_eq!(host.stream_uri(good).unwrap().to_string(), good);
    }
    for bad in [
        "http://replicate.com.evil.example/s",
        "http://evilreplicate.com/s",
        "http://stream.replicate.com:81/s",
        "https://stream.replicate.com/s",
        "http://replicate.com/s",
        "http://169.254.169.254/s",
        "stream",
    ] {
        assert_eq!(host.stream_uri(bad), None, "{bad}");
    }
    let local = self::host("http://127.0.0.1:9/v1");
    assert!(local.stream_uri("http://127.0.0.1:9/s").is_some());
    assert_eq!(local.stream_uri("http://10.0.0.1:9/s"), None, "addresses have no siblings");
}

fn request(input: Input) -> Request {
    Request::new("r", Api::Chat, Payload::new(Bytes::from_static(br#"{"model":"m"}"#)).unwrap(), input)
}

fn chat(turns: &[(&str, &str)]) -> Request {
    let turn = |(role, text): &(&str, &str)| Message {
        role: (*role).into(),
        content: vec![Part::Text((*text).into())],
        ..Message::default()
    };
    request(Input::Chat { messages: turns.iter().map(turn).collect(), tools: None, template_kwargs: None })
}

#[test]
fn a_conversation_becomes_one_prompt() {
    let asked = |request: &Request| ask::input(request, &target("a/b")).unwrap();
    assert_eq!(
        asked(&chat(&[("system", "Be brief."), ("user", "Hi")])),
        json!({"prompt": "Hi", "system_prompt": "Be brief."})
    );
    assert_eq!(
        asked(&chat(&[("user", "Hi"), ("assistant", "Hello"), ("user", "Bye")])),
        json!({"prompt": "User: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:"})
    );
    assert_eq!(asked(&request(Input::Prompts(vec![Prompt::Text("Once".into())]))), json!({"prompt": "Once"}));
}

#[test]
fn only_what_the_caller_asks_for_is_sent_by_the_names_that_the_host_knows() {
    let mut asks = chat(&[("user", "Hi")]);
    asks.max_tokens = Some(20);
    asks.stop = vec!["a".into(), "b".into()];
    asks.sampling.temperature = 0.7;
    asks.sampling.seed = Some(4);
    let expected =
        json!({"prompt": "Hi", "max_new_tokens": 20, "stop_sequences": "a,b", "temperature": 0.7, "seed": 4});
    assert_eq!(ask::input(&asks, &target("a/b")).unwrap(), expected);
}

#[test]
fn what_a_prediction_cannot_be_asked_for_is_refused_by_field() {
    let param = |request: &Request| match ask::input(request, &target("a/b")) {
        Err(BackendError::Unsupported { param, .. }) => param,
        other => panic!("{other:?}"),
    };
    let mut picture = chat(&[("user", "Hi")]);
    let Input::Chat { messages, .. } = &mut picture.input else { unreachable!() };
    messages[0].content.push(Part::Other { kind: "image_url".into(), digest: 0, held: None });
    assert_eq!(param(&picture), "messages");
    assert_eq!(param(&chat(&[("tool", "5")])), "messages");
    assert_eq!(param(&request(Input::Prompts(vec![Prompt::Tokens(vec![1])]))), "prompt");
    assert_eq!(param(&request(Input::Prompts(Vec::new()))), "prompt");
    assert_eq!(param(&Request { stop: vec!["a,b".into()], ..chat(&[]) }), "stop");
    assert_eq!(param(&Request { echo: true, ..request(Input::Prompts(Vec::new())) }), "echo");
}

#[test]
fn a_prediction_is_read_in_each_of_its_states_and_anything_else_is_none() {
    let usage = target("a/b").usage;
    let read = |json: serde_json::Value| Prediction::read(json.to_string().as_bytes(), &usage);
    let whole = read(json!({"id": "gm3qorzdhgbfurvjtvhg6dckhu", "status": "succeeded", "output": ["Hi", " there"],
        "metrics": {"input_token_count": 12, "output_token_count": 4, "predict_time": 0.53}}))
    .unwrap();
    assert_eq!((whole.status, whole.text), (prediction::Status::Succeeded, Ok("Hi there".into())));
    let counts = whole.usage.unwrap();
    assert_eq!((counts.prompt_tokens, counts.completion_tokens), (12, 4));
    let picture = read(json!({"id": "a", "status": "processing", "output": {"url": "x"}})).unwrap();
    assert!(picture.text.is_err() && picture.usage.is_none());
    for state in ["starting", "processing", "succeeded", "failed", "canceled", "aborted"] {
        assert!(read(json!({"id": "a", "status": state})).is_some(), "{state}");
    }
    for wrong in [json!({"id": "a", "status": "x"}), json!({"id": "../a", "status": "failed"}), json!({"status": 5})] {
        assert!(read(wrong.clone()).is_none(), "{wrong}");
    }
}
