//! Answers of the Responses API that callers look at again and go on from.

use scripted::{Fault, Host, Script};
use serde_json::{Value, json};
use tests::Pointsman;

use crate::pointsman;

/// A gateway before a scripted host, with keys of two teams, the first of which is used.
async fn world(limits: &str) -> (Pointsman, String, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        "deployments: [{{id: one, model: qwen3-32b, server: vllm, base_url: \"{}\", name: scripted}}]\n\
         contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}\n\
         teams: {{red: {{contexts: [desk]}}, blue: {{contexts: [desk]}}}}\nkeys: keys.yaml\nlimits: {{{limits}}}\n",
        host.base_url()
    );
    let builder = pointsman().config(&config);
    let (red, blue) = (builder.key("red", "desk"), builder.key("blue", "desk"));
    let mut gateway = builder.start();
    gateway.with_key(&red);
    (gateway, blue, host)
}

fn asked(input: &str) -> Value {
    json!({"model": "qwen3-32b", "input": input})
}

/// The messages of the last request that reached the host.
fn sent(host: &Host) -> Value {
    let body: Value = serde_json::from_slice(&host.requests().last().unwrap().body).unwrap();
    body["messages"].clone()
}

#[tokio::test]
async fn a_caller_goes_on_from_an_earlier_response_streamed_or_whole() {
    let (gateway, _, host) = world("").await;
    let (status, first) = gateway.post("/v1/responses", &asked("one")).await;
    assert_eq!((status, &first["store"]), (200, &json!(true)), "{first}");
    let text = first["output"][0]["content"][0]["text"].clone();
    let mut second = asked("two");
    second["previous_response_id"] = first["id"].clone();
    second["stream"] = true.into();
    let response = gateway.request("POST", "/v1/responses").json(&second).send().await.unwrap();
    let events = response.text().await.unwrap();
    let last = events.split_terminator("\n\n").last().unwrap().split_once("\ndata: ").unwrap().1;
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["response"]["previous_response_id"], first["id"]);
    let turns = json!([
        {"role": "user", "content": "one"}, {"role": "assistant", "content": text}, {"role": "user", "content": "two"}
    ]);
    assert_eq!(sent(&host), turns);
    let mut third = asked("three");
    third["previous_response_id"] = last["response"]["id"].clone();
    let (status, third) = gateway.post("/v1/responses", &third).await;
    assert_eq!(status, 200, "{third}");
    assert_eq!(sent(&host).as_array().unwrap().len(), 5);
    let (status, counted) = gateway
        .post(
            "/v1/responses/input_tokens",
            &json!({"model": "qwen3-32b", "input": "x", "previous_response_id": third["id"]}),
        )
        .await;
    assert_eq!((status, &counted["object"]), (200, &json!("response.input_tokens")));
    assert!(counted["input_tokens"].as_u64().unwrap() > 20, "the whole conversation counts: {counted}");
}

#[tokio::test]
async fn a_response_is_looked_at_listed_and_forgotten_by_its_own_team_alone() {
    let (mut gateway, blue, _host) = world("").await;
    let body = json!({"model": "qwen3-32b", "input": [
        {"role": "user", "content": "one"}, {"type": "message", "role": "user", "content": "two", "id": "msg_mine"}]});
    let (_, response) = gateway.post("/v1/responses", &body).await;
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    assert_eq!(gateway.get(&path).await, (200, response.clone()));
    let (status, items) = gateway.get(&format!("{path}/input_items?limit=1")).await;
    assert_eq!((status, &items["has_more"], &items["last_id"]), (200, &json!(true), &json!("msg_mine")), "{items}");
    let (_, rest) = gateway.get(&format!("{path}/input_items?limit=1&after=msg_mine")).await;
    assert_eq!((&rest["has_more"], &rest["data"][0]["content"]), (&json!(false), &json!("one")), "{rest}");
    let (_, rising) = gateway.get(&format!("{path}/input_items?order=asc")).await;
    assert_eq!(rising["data"][1]["id"], "msg_mine");
    for wrong in ["limit=0", "limit=x", "order=up", "after=nobody"] {
        let (status, error) = gateway.get(&format!("{path}/input_items?{wrong}")).await;
        assert_eq!((status, &error["error"]["param"]), (400, &json!(wrong.split_once('=').unwrap().0)), "{error}");
    }
    let (status, error) = gateway.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("not_in_progress")), "{error}");
    let (status, error) = gateway.post(&path, &json!({})).await;
    assert_eq!(status, 405, "{error}");

    gateway.with_key(&blue);
    let unknown = |answer: (u16, Value)| {
        assert_eq!((answer.0, &answer.1["error"]["code"]), (404, &json!("response_not_found")), "{}", answer.1);
    };
    unknown(gateway.get(&path).await);
    unknown(gateway.get(&format!("{path}/input_items")).await);
    unknown(gateway.send(gateway.request("DELETE", &path)).await);
    let mut theirs = asked("mine now");
    theirs["previous_response_id"] = response["id"].clone();
    let (status, error) = gateway.post("/v1/responses", &theirs).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("previous_response_not_found")), "{error}");
}

#[tokio::test]
async fn a_response_that_is_deleted_not_to_be_stored_or_broken_is_gone() {
    let (gateway, _, host) = world("").await;
    let (_, response) = gateway.post("/v1/responses", &asked("one")).await;
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    let (status, deleted) = gateway.send(gateway.request("DELETE", &path)).await;
    assert_eq!((status, &deleted["deleted"]), (200, &json!(true)), "{deleted}");
    assert_eq!(gateway.get(&path).await.0, 404);
    let mut body = asked("two");
    body["store"] = false.into();
    let (_, response) = gateway.post("/v1/responses", &body).await;
    assert_eq!(response["store"], false);
    assert_eq!(gateway.get(&format!("/v1/responses/{}", response["id"].as_str().unwrap())).await.0, 404);
    host.script_next(Fault::CutAfter(2));
    let mut body = asked("three");
    body["stream"] = true.into();
    let events = gateway.request("POST", "/v1/responses").json(&body).send().await.unwrap().text().await.unwrap();
    let failed = events.split_terminator("\n\n").last().unwrap().split_once("\ndata: ").unwrap().1;
    let failed: Value = serde_json::from_str(failed).unwrap();
    assert_eq!(failed["type"], "response.failed");
    assert_eq!(gateway.get(&format!("/v1/responses/{}", failed["response"]["id"].as_str().unwrap())).await.0, 404);
}

#[tokio::test]
async fn where_nothing_is_kept_a_caller_is_told_so() {
    let (gateway, _, _host) = world("responses_bytes: 0").await;
    let (_, response) = gateway.post("/v1/responses", &asked("one")).await;
    assert_eq!(response["store"], false, "{response}");
    let mut body = asked("two");
    body["previous_response_id"] = response["id"].clone();
    let (status, error) = gateway.post("/v1/responses", &body).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("previous_response_id")), "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains("keeps no answers"), "{error}");
}
