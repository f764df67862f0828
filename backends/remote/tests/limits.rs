//! What a host says of its limits, seen in the load of the deployment and in the error of a refusal.

mod support;

use std::time::{Duration, SystemTime};

use backends::{Backend, BackendError, Load, Probe};
use catalog::Catalog;
use remote::{Remote, Target};
use support::{
    canned::{Canned, json},
    chat, remote_to, run,
};

const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
const ASK: &str = r#"{"model":"m","messages":[]}"#;

/// A deployment at a host of the catalog that is reached at the server.
fn at(host: &str, server: &Canned) -> Remote {
    let target = Target::at_host(Catalog::builtin().host(host).unwrap(), "m", None);
    remote_to(Target { base_url: server.url("/v1"), ..target })
}

fn load(remote: &Remote) -> Load {
    remote.load(&Probe::default())
}

async fn refused(remote: &Remote) -> Option<Duration> {
    match remote.generate(chat(ASK)).await {
        Err(BackendError::Overloaded { retry_after }) => retry_after,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test]
async fn a_good_answer_tells_what_is_left() {
    let headers = [("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "25")];
    let server = Canned::start(move |_| json(200, &headers, ANSWER)).await;
    let remote = at("sambanova", &server);
    assert_eq!(load(&remote), Load::IDLE, "nothing is known before the first answer");
    assert_eq!(run(&remote, chat(ASK)).await.error, None);
    assert_eq!(load(&remote), Load { quota_left: Some(0.25), ..Load::IDLE });
}

#[tokio::test]
async fn a_host_that_asks_for_a_pause_is_throttled_and_still_healthy() {
    let server = Canned::start(|_| json(429, &[("retry-after", "30")], "{}")).await;
    let remote = at("deepinfra", &server);
    assert_eq!(refused(&remote).await, Some(Duration::from_secs(30)));
    let load = load(&remote);
    assert!(load.healthy);
    let wait = load.throttled_for.unwrap();
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
}

#[tokio::test]
async fn a_refusal_without_retry_after_is_told_by_the_reset_of_the_limit() {
    let headers = [("x-ratelimit-remaining-tokens-minute", "0"), ("x-ratelimit-reset-tokens-minute", "41.5")];
    let server = Canned::start(move |_| json(429, &headers, "{}")).await;
    let wait = refused(&at("cerebras", &server)).await.unwrap();
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs_f64(41.5), "{wait:?}");
}

#[tokio::test]
async fn limits_that_stand_in_the_body_of_a_refusal_are_found() {
    let reset = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() + 60_000;
    // The shape of OpenRouter for its free models.
    let body = format!(
        r#"{{"error":{{"message":"Rate limit exceeded: free-models-per-min","code":429,"metadata":{{"headers":
            {{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"{reset}"}},"provider_name":null}}}}}}"#
    );
    let server = Canned::start(move |_| json(429, &[], body.clone())).await;
    let remote = at("openrouter", &server);
    let wait = refused(&remote).await.unwrap();
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
    assert_eq!(load(&remote).quota_left, Some(0.0));
}

#[tokio::test]
async fn a_place_without_a_row_is_read_as_openai_and_anthropic_write() {
    let headers = [("anthropic-ratelimit-requests-limit", "10"), ("anthropic-ratelimit-requests-remaining", "5")];
    let server = Canned::start(move |_| json(200, &headers, ANSWER)).await;
    let remote = remote_to(Target::new(server.url("/v1"), "m", None));
    run(&remote, chat(ASK)).await;
    assert_eq!(load(&remote).quota_left, Some(0.5));
}
