//! What goes over the wire when nothing fails: bytes out, bytes back, headers, connections.

mod support;

use std::sync::Arc;

use backends::{Api, Backend, Event, Probe, Request};
use remote::{Auth, Probing, Secret, Target};
use scripted::{Fault, Host, Script};
use support::{Outcome, chat, completions, drive, remote, remote_to, run};

#[tokio::test]
async fn the_host_gets_the_callers_bytes_with_only_the_model_and_the_usage_option_changed() {
    let host = Host::start(Script::default()).await.unwrap();
    let body = r#"{ "temperature":1.50, "model" : "asked","unknown":{"z":[1,2]},"messages":[{"role":"user","content":"h\u00e9"}] }"#;
    run(&remote(&host, "name-at-host"), chat(body)).await;
    run(&remote(&host, "name-at-host"), chat(&body.replace(r#""temperature":1.50"#, r#""stream":true"#))).await;
    let requests = host.requests();
    let whole = std::str::from_utf8(&requests[0].body).unwrap();
    assert_eq!(whole, body.replace("asked", "name-at-host"));
    let streamed = std::str::from_utf8(&requests[1].body).unwrap();
    let model = r#""model" : "name-at-host","stream_options":{"include_usage":true}"#;
    assert_eq!(
        streamed,
        body.replace(r#""temperature":1.50"#, r#""stream":true"#).replace(r#""model" : "asked""#, model)
    );
}

#[tokio::test]
async fn each_api_has_its_path_and_the_key_goes_where_the_host_wants_it() {
    let host = Host::start(Script::default()).await.unwrap();
    let mut target = Target::new(host.base_url(), "m", Some(Secret::new("sk-test")));
    target.headers = vec![("X-Title".into(), "Pointsman".into())];
    run(&remote_to(target.clone()), chat(r#"{"model":"m","messages":[]}"#)).await;
    target.auth = Auth::Header("api-key".into());
    run(&remote_to(target), completions(r#"{"model":"m","prompt":"a","stream":true}"#)).await;
    let requests = host.requests();
    let header = |at: usize, name: &str| requests[at].headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[1].path, "/v1/completions");
    assert_eq!(header(0, "authorization").as_deref(), Some("Bearer sk-test"));
    assert_eq!((header(1, "authorization"), header(1, "api-key").as_deref()), (None, Some("sk-test")));
    assert_eq!(header(0, "x-title").as_deref(), Some("Pointsman"));
    assert_eq!(header(0, "x-request-id").as_deref(), Some("req-test"));
    assert_eq!(header(0, "content-type").as_deref(), Some("application/json"));
    assert_eq!(header(0, "accept-encoding").as_deref(), Some("identity"));
    assert_eq!(
        (header(0, "accept").unwrap(), header(1, "accept").unwrap()),
        ("application/json".into(), "text/event-stream".into())
    );
    assert!(header(0, "user-agent").unwrap().starts_with("pointsman/"));
}

#[tokio::test]
async fn the_caller_gets_the_hosts_bytes() {
    let host = Host::start(Script { chunks: 7, ..Script::default() }).await.unwrap();
    let remote = remote(&host, "m");
    for request in [chat, completions] {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"日本 😀"}],"prompt":"x"}"#;
        let mut outcomes = Vec::new();
        for body in [body.to_owned(), body.replacen('{', r#"{"stream":true,"#, 1)] {
            let outcome = run(&remote, request(&body)).await;
            assert_eq!(outcome.error, None);
            let received = host.requests().pop().unwrap();
            assert_eq!(outcome.bytes, support::raw(&host, &received.path, received.body).await, "{}", received.path);
            outcomes.push(outcome);
        }
        let [whole, streamed] = &outcomes[..] else { unreachable!() };
        assert_eq!(whole.usage.unwrap().completion_tokens, 7);
        assert_eq!(streamed.usage, whole.usage);
    }
}

#[tokio::test]
async fn one_byte_at_a_time_gives_the_same_bytes() {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote(&host, "m");
    for body in [
        r#"{"model":"m","messages":[{"role":"user","content":"日本 😀"}]}"#,
        r#"{"stream":true,"model":"m","messages":[{"role":"user","content":"日本 😀"}]}"#,
    ] {
        let plain = run(&remote, chat(body)).await;
        host.script_next(Fault::Drip);
        let dripped = run(&remote, chat(body)).await;
        assert_eq!((dripped.error, plain.error), (None, None));
        assert_eq!(dripped.bytes, plain.bytes);
        assert_eq!(dripped.usage, plain.usage);
    }
}

#[tokio::test]
async fn a_finished_stream_gives_its_connection_back() {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote(&host, "m");
    for _ in 0..20 {
        // The body ends after the caller has stopped reading, which is at `[DONE]`.
        host.script_next(Fault::LateEnd(5));
        let mut events = remote.generate(chat(r#"{"stream":true,"model":"m","messages":[]}"#)).await.unwrap();
        loop {
            match support::next(&mut events).await {
                Some(Ok(Event::Frame(frame))) if frame.done => break,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        drop(events);
        host.until_running(0).await;
    }
    // The next request may come before the last connection is back, so a second one is no fault; a third
    // would mean that finished streams throw theirs away.
    assert!(host.connections() <= 2, "{} connections", host.connections());
}

/// llama.cpp has a few threads for connections, and one that waits for its next request keeps a thread for 5 s: of 24
/// requests at once to a server with two slots, the last was answered after 15.8 s, and after 0.5 s without.
#[tokio::test]
async fn a_server_that_a_waiting_connection_holds_up_has_a_new_one_for_each_request() {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote_to(Target { keep_alive: false, ..Target::new(host.base_url(), "m", None) });
    for body in [r#"{"model":"m","messages":[]}"#, r#"{"stream":true,"model":"m","messages":[]}"#] {
        assert_eq!(run(&remote, chat(body)).await.error, None);
        host.until_running(0).await;
    }
    assert_eq!(host.connections(), 2);
    assert!(host.requests().iter().all(|request| request.headers["connection"] == "close"));
}

#[tokio::test]
async fn load_counts_the_requests_under_way() {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote(&host, "m");
    host.script_next(Fault::StallAfter(1));
    let events = remote.generate(chat(r#"{"stream":true,"model":"m","messages":[]}"#)).await.unwrap();
    assert_eq!(remote.load(&Probe::default()).running, 1);
    drop(events);
    assert_eq!(remote.load(&Probe::default()).running, 0);
}

#[tokio::test]
async fn a_place_that_lacks_a_parameter_is_not_asked_for_it() {
    let host = Host::start(Script::default()).await.unwrap();
    let mut target = Target::new(host.base_url(), "m", None);
    target.lacks = vec![remote::Parameter::Choices];
    let mut request = support::request(backends::Api::Chat, r#"{"model":"m","n":2,"messages":[]}"#);
    request.choices = 2;
    let Outcome { error, .. } = drive(remote_to(target).generate(request.into()).await).await;
    assert_eq!(error.as_deref(), Some("`n`: the host does not support it"));
    assert!(host.requests().is_empty());
}

/// llama.cpp answers such a request as if the field were not there (seen of that in `xllamacpp` 2026.10.11549): a prompt that was to be part
/// of the answer is missing, and nothing says so.
#[tokio::test]
async fn what_a_server_would_pass_over_in_silence_is_turned_away_before_it() {
    let host = Host::start(Script::default()).await.unwrap();
    let catalog = catalog::Catalog::builtin();
    let target = Target::at_server(catalog.server("llama.cpp").unwrap(), host.base_url(), "m", None);
    let remote = remote_to(Target { probing: Probing::default(), ..target });
    let plain = support::request(Api::Completions, r#"{"model":"m","prompt":"a"}"#);
    for (param, request) in [
        ("echo", Request { echo: true, ..plain.clone() }),
        ("suffix", Request { suffix: true, ..plain.clone() }),
        ("best_of", Request { best_of: Some(2), ..plain.clone() }),
    ] {
        let outcome = run(&remote, Arc::new(request)).await;
        assert_eq!(outcome.error, Some(format!("`{param}`: the host does not support it")));
    }
    assert!(host.requests().is_empty());
    let as_many = Request { best_of: Some(2), choices: 2, ..plain };
    assert_eq!(run(&remote, Arc::new(as_many)).await.error, None, "the best two of two are all of them");
}

#[tokio::test]
async fn check_tells_a_good_key_from_a_refused_one_and_from_no_host() {
    let host = Host::start(Script::default()).await.unwrap();
    let remote = remote(&host, "m");
    remote.check().await.unwrap();
    host.shutdown().await;
    assert!(matches!(remote.check().await, Err(backends::BackendError::Connect(_))));
}
