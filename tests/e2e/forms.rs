//! Tools and structured output of the engine in the process, over every API that has them: what is asked for comes, valid,
//! from a model that was never trained for it.

use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

const MODEL: &str = "pointsman-demo";
const QUESTION: &str = "Which licence has Llama 3.3 70B Instruct?";

fn schema() -> Value {
    json!({"type": "object", "properties": {
            "tier": {"type": "integer", "minimum": 1, "maximum": 5},
            "tags": {"type": "array", "items": {"enum": ["open", "closed"]}, "minItems": 1, "maxItems": 3},
            "word": {"type": "string", "maxLength": 6}},
        "required": ["tier", "tags", "word"], "additionalProperties": false})
}

/// A smaller one: the model is told of its tools, and reads 512 tokens in all.
fn arguments() -> Value {
    json!({"type": "object", "properties": {"tier": {"type": "integer", "minimum": 1, "maximum": 5}, "open": {"type": "boolean"}},
        "required": ["tier", "open"], "additionalProperties": false})
}

#[track_caller]
fn check(text: &str, schema: &Value) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(jsonschema::is_valid(schema, &value), "{text}");
}

fn chat(more: Value) -> Value {
    let mut body = json!({"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": QUESTION}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn in_json() -> Value {
    chat(
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema()}}}),
    )
}

fn calling() -> Value {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "Looks.", "parameters": arguments()}});
    chat(
        json!({"tools": [tool("look"), tool("look_up")], "tool_choice": {"type": "function", "function": {"name": "look_up"}}}),
    )
}

/// The data of the events of a stream, but for the end mark.
async fn events(gateway: &Pointsman, path: &str, mut body: Value) -> Vec<Value> {
    body["stream"] = json!(true);
    let text = gateway.request("POST", path).json(&body).send().await.unwrap().text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))).collect()
}

/// Whether every family's template takes an id: Mistral's take nine letters and digits alone.
fn is_short(id: &str) -> bool {
    id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[tokio::test]
async fn chat_gives_json_of_the_schema_whole_and_streamed() {
    let gateway = pointsman().start();
    let (status, whole) = gateway.post("/v1/chat/completions", &in_json()).await;
    assert_eq!((status, &whole["choices"][0]["finish_reason"]), (200, &json!("stop")), "{whole}");
    check(whole["choices"][0]["message"]["content"].as_str().unwrap(), &schema());
    let events = events(&gateway, "/v1/chat/completions", in_json()).await;
    let said: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    check(&said, &schema());
    assert!(events.len() > 5, "it leaves as it comes");
    let (status, body) =
        gateway.post("/v1/completions", &json!({"model": MODEL, "prompt": "x", "regex": "(yes|no)!"})).await;
    assert!(status == 200 && ["yes!", "no!"].contains(&body["choices"][0]["text"].as_str().unwrap()), "{body}");
    let cut = gateway
        .post("/v1/chat/completions", &{
            let mut body = in_json();
            body["max_tokens"] = json!(3);
            body
        })
        .await
        .1;
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn chat_gives_the_call_that_it_must_whole_and_streamed() {
    let gateway = pointsman().start();
    let (status, whole) = gateway.post("/v1/chat/completions", &calling()).await;
    let choice = &whole["choices"][0];
    assert_eq!((status, &choice["finish_reason"]), (200, &json!("tool_calls")), "{whole}");
    let message = &choice["message"];
    assert!(message["content"].is_null() && message["tool_calls"].as_array().unwrap().len() == 1, "{whole}");
    let call = &message["tool_calls"][0];
    assert!(call["id"].as_str().is_some_and(is_short) && call.get("index").is_none(), "{call}");
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("look_up")));
    check(call["function"]["arguments"].as_str().unwrap(), &arguments());

    let events = events(&gateway, "/v1/chat/completions", calling()).await;
    let parts: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|part| part.is_object())
        .collect();
    let first = parts[0];
    assert!(first["id"].as_str().is_some_and(is_short), "{first}");
    assert_eq!(
        (&first["index"], &first["type"], &first["function"]["name"]),
        (&json!(0), &json!("function"), &json!("look_up"))
    );
    assert!(
        parts.len() > 3 && parts[1..].iter().all(|part| part.get("id").is_none() && part["index"] == 0),
        "{parts:?}"
    );
    check(&parts.iter().filter_map(|part| part["function"]["arguments"].as_str()).collect::<String>(), &arguments());
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    // The call and its result go back to the model, whose template knows neither.
    let mut next = calling();
    next["tool_choice"] = json!("none");
    next["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": call["id"], "content": "tier 2"}),
    ]);
    let (status, answer) = gateway.post("/v1/chat/completions", &next).await;
    assert!(status == 200 && answer["choices"][0]["message"].get("tool_calls").is_none(), "{answer}");
}

#[tokio::test]
async fn responses_gives_json_of_the_schema_and_the_call_that_it_must() {
    let gateway = pointsman().start();
    let mut body = json!({"model": MODEL, "max_output_tokens": 200, "input": QUESTION});
    body["text"] = json!({"format": {"type": "json_schema", "name": "n", "schema": schema()}});
    let (status, whole) = gateway.post("/v1/responses", &body).await;
    assert_eq!((status, &whole["status"]), (200, &json!("completed")), "{whole}");
    check(whole["output"][0]["content"][0]["text"].as_str().unwrap(), &schema());

    body["text"] = Value::Null;
    body["tools"] = json!([{"type": "function", "name": "look_up", "parameters": arguments()}]);
    body["tool_choice"] = json!("required");
    body["parallel_tool_calls"] = json!(false);
    let (status, whole) = gateway.post("/v1/responses", &body).await;
    let item = &whole["output"][0];
    assert_eq!((status, &item["type"], &item["name"]), (200, &json!("function_call"), &json!("look_up")), "{whole}");
    assert!(item["call_id"].as_str().is_some_and(is_short), "{item}");
    check(item["arguments"].as_str().unwrap(), &arguments());
    let events = events(&gateway, "/v1/responses", body).await;
    let delta = |event: &&Value| event["type"] == "response.function_call_arguments.delta";
    let said: String = events.iter().filter(delta).filter_map(|event| event["delta"].as_str()).collect();
    check(&said, &arguments());
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn messages_gives_json_of_the_schema_and_the_call_that_it_must() {
    let gateway = pointsman().start();
    let mut body = json!({"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": QUESTION}]});
    body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema()}});
    let (status, whole) = gateway.post("/v1/messages", &body).await;
    assert_eq!(status, 200, "{whole}");
    check(whole["content"][0]["text"].as_str().unwrap(), &schema());

    body["output_config"] = Value::Null;
    body["tools"] = json!([{"name": "look_up", "input_schema": arguments()}]);
    body["tool_choice"] = json!({"type": "any", "disable_parallel_tool_use": true});
    let (status, whole) = gateway.post("/v1/messages", &body).await;
    let block = &whole["content"][0];
    assert_eq!(
        (status, &whole["stop_reason"], &block["type"]),
        (200, &json!("tool_use"), &json!("tool_use")),
        "{whole}"
    );
    assert!(block["name"] == "look_up" && block["id"].is_string(), "{block}");
    check(&block["input"].to_string(), &arguments());
    let events = events(&gateway, "/v1/messages", body).await;
    check(&events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect::<String>(), &arguments());
    let stop = events.iter().find_map(|event| event["delta"]["stop_reason"].as_str());
    assert_eq!(stop, Some("tool_use"));
}

#[tokio::test]
async fn a_schema_that_cannot_be_kept_to_is_a_400_that_names_the_field() {
    let gateway = pointsman().start();
    let mut body = in_json();
    body["response_format"]["json_schema"]["schema"] = json!({"type": "array", "uniqueItems": true});
    for stream in [false, true] {
        body["stream"] = json!(stream);
        let (status, answer) = gateway.post("/v1/chat/completions", &body).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!("response_format")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("uniqueItems"), "{answer}");
    }
    let mut body = calling();
    body["tools"][1]["function"]["parameters"] = json!({"type": "string"});
    let (status, answer) = gateway.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("tools")), "{answer}");
}
