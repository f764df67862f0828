//! Requests to send, and one answer taken in whole.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod canned;

use std::sync::Arc;

use backends::{
    Api, Backend, BackendError, BackendId, Class, Event, EventStream, Frame, Input, Message, Part, Payload, Prompt,
    Request, Usage,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use remote::{Client, ClientOptions, Remote, Target};
use scripted::Host;

/// A backend for a model at a scripted host.
pub fn remote(host: &Host, name: &str) -> Remote {
    remote_to(Target::new(host.base_url(), name, None))
}

pub fn remote_to(target: Target) -> Remote {
    Remote::new(BackendId::new("remote"), target, &Client::new(&ClientOptions::default()).unwrap()).unwrap()
}

/// A request of the chat API, streamed if the body says so.
pub fn chat(body: &str) -> Arc<Request> {
    request(Api::Chat, body).into()
}

/// A request of the completions API, streamed if the body says so.
pub fn completions(body: &str) -> Arc<Request> {
    request(Api::Completions, body).into()
}

pub fn request(api: Api, body: &str) -> Request {
    let input = match api {
        Api::Chat => Input::Chat {
            messages: vec![Message {
                role: "user".into(),
                content: vec![Part::Text("hi".into())],
                ..Message::default()
            }],
            tools: None,
            template_kwargs: None,
        },
        _ => Input::Prompts(vec![Prompt::Text("hi".into())]),
    };
    Request {
        stream: body.contains(r#""stream":true"#),
        ..Request::new("req-test", api, Payload::new(Bytes::copy_from_slice(body.as_bytes())).unwrap(), input)
    }
}

/// All that came of one request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The bytes for the caller.
    pub bytes: Bytes,
    pub usage: Option<Usage>,
    pub finished: bool,
    pub done: bool,
    /// The error as text.
    pub error: Option<String>,
    pub class: Option<Class>,
    /// Whether the error came from `generate`, before any event.
    pub before: bool,
}

impl Outcome {
    fn fail(&mut self, error: &BackendError) {
        self.class = Some(error.class());
        self.error = Some(error.to_string());
    }
}

/// Sends a request and reads its answer to the end.
pub async fn run(remote: &Remote, request: Arc<Request>) -> Outcome {
    drive(remote.generate(request).await).await
}

pub async fn drive(answer: Result<EventStream, BackendError>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut events = match answer {
        Ok(events) => events,
        Err(error) => {
            outcome.before = true;
            outcome.fail(&error);
            return outcome;
        }
    };
    let mut bytes = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Frame(frame) | Event::Whole(frame)) => {
                assert!(outcome.error.is_none() && !outcome.done, "nothing comes after the end: {frame:?}");
                let Frame { bytes: more, finished, usage, done, .. } = frame;
                bytes.extend_from_slice(&more);
                outcome.finished |= finished;
                outcome.done |= done;
                outcome.usage = usage.or(outcome.usage);
            }
            Ok(other) => panic!("an upstream has no {other:?}"),
            Err(error) => outcome.fail(&error),
        }
    }
    outcome.bytes = bytes.into();
    outcome
}

pub async fn next(events: &mut EventStream) -> Option<Result<Event, BackendError>> {
    events.next().await
}

/// What the host sends for a body, seen by a client that does nothing to it.
pub async fn raw(host: &Host, path: &str, body: Bytes) -> Bytes {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let post = http::Request::post(format!("http://{}{path}", host.addr())).body(Full::new(body)).unwrap();
    client.request(post).await.unwrap().into_body().collect().await.unwrap().to_bytes()
}
