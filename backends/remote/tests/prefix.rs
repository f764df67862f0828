//! Which place is taken to have a prompt cached: one that has answered it, and for its own team.

mod support;

use std::{sync::Arc, time::Instant};

use backends::{Api, Asker, Backend, Input, Message, Part, Prefix, Prefixes, Probe, Request};
use remote::Target;
use scripted::{Fault, Host, Script};
use support::{remote_to, request, run};

fn prefix(index: &Arc<Prefixes>, text: &str) -> Arc<Prefix> {
    let said = Message { role: "user".into(), content: vec![Part::Text(text.into())], ..Message::default() };
    let input = Input::Chat { messages: vec![said], tools: None, template_kwargs: None };
    let chain = index.chain(Asker { team: Some("t"), session: None }, &input, 1_000).unwrap();
    Arc::new(Arc::clone(index).look_up(chain, Instant::now()))
}

fn ask(prefix: &Arc<Prefix>) -> Arc<Request> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}"#;
    Arc::new(Request {
        prefix: Some(Arc::clone(prefix)),
        session: Some("a-session".into()),
        ..request(Api::Chat, body)
    })
}

#[tokio::test]
async fn a_place_that_has_answered_has_the_prompt_and_one_that_has_refused_has_not() {
    let host = Host::start(Script::default()).await.unwrap();
    let index = Arc::new(Prefixes::new(1, Instant::now()));
    let (one, other) =
        (remote_to(Target::new(host.base_url(), "m", None)), remote_to(Target::new(host.base_url(), "m", None)));
    let none = remote_to(Target { keeps_prefix: None, ..Target::new(host.base_url(), "m", None) });
    let text = "word ".repeat(1_024);
    let cached = |remote: &remote::Remote| {
        let prefix = prefix(&index, &text);
        remote.load(&Probe { prefix: Some(&prefix), ..Probe::default() }).cached_prefix
    };
    assert_eq!(one.load(&Probe::default()).cached_prefix, None, "of no prompt nothing is known");
    host.script_next(Fault::Status(503, None));
    run(&one, ask(&prefix(&index, &text))).await;
    assert_eq!(cached(&one), Some(0));
    run(&one, ask(&prefix(&index, &text))).await;
    run(&none, ask(&prefix(&index, &text))).await;
    // All but what follows the last whole block.
    assert!(cached(&one) > Some(940), "{:?}", cached(&one));
    assert_eq!((cached(&other), cached(&none)), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_session_is_named_to_a_host_that_asks_for_it_and_to_no_other() {
    let host = Host::start(Script::default()).await.unwrap();
    let index = Arc::new(Prefixes::new(1, Instant::now()));
    let asks = Target { session_header: Some("x-session-affinity".into()), ..Target::new(host.base_url(), "m", None) };
    run(&remote_to(asks), ask(&prefix(&index, &"word ".repeat(99)))).await;
    run(&remote_to(Target::new(host.base_url(), "m", None)), ask(&prefix(&index, &"word ".repeat(99)))).await;
    let named =
        |at: usize| host.requests()[at].headers.get("x-session-affinity").map(|value| value.as_bytes().to_vec());
    assert_eq!((named(0).as_deref(), named(1)), (Some(b"a-session".as_slice()), None));
    assert_eq!(host.requests()[0].body, host.requests()[1].body);
}
