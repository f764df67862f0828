use std::collections::HashMap;

use catalog::Catalog;
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

/// The limits of a host of the catalog; those of a place without a row for any other name.
fn at(host: &str) -> Quota {
    Quota::new(&Catalog::builtin().host(host).map_or_else(usual, |host| host.rate_limits.clone()))
}

/// What a host has documented or was seen to send, and what follows from it: how long nothing passes, what is left.
struct Golden {
    host: &'static str,
    /// Where the shape comes from.
    source: &'static str,
    headers: &'static [(&'static str, &'static str)],
    closed: Option<f64>,
    left: Option<f32>,
}

const GOLDEN: [Golden; 17] = [
    Golden {
        host: "groq",
        source: "console.groq.com/docs/rate-limits: the example of the page",
        headers: &[
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-limit-tokens", "18000"),
            ("x-ratelimit-remaining-requests", "14370"),
            ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ],
        closed: None,
        left: Some(14370.0 / 14400.0),
    },
    Golden {
        host: "groq",
        source: "the same shape, the tokens of the minute used up",
        headers: &[
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-limit-tokens", "60"),
            ("x-ratelimit-remaining-requests", "14370"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "60s"),
        ],
        // It refills, one token a second.
        closed: Some(1.0),
        left: Some(0.0),
    },
    Golden {
        host: "together",
        source: "GitHub togethercomputer/together-python and docs.together.ai/docs/rate-limits: names of the headers",
        headers: &[
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1"),
            ("x-tokenlimit-limit", "30000"),
            ("x-tokenlimit-remaining", "15000"),
        ],
        closed: Some(1.0),
        left: Some(0.0),
    },
    Golden {
        host: "fireworks",
        source: "docs.fireworks.ai/serverless/rate-limits: limits in headers, no reset",
        headers: &[
            ("x-ratelimit-limit-tokens-prompt", "3600000"),
            ("x-ratelimit-remaining-tokens-prompt", "900000"),
            ("x-ratelimit-limit-tokens-generated", "36000"),
            ("x-ratelimit-remaining-tokens-generated", "27000"),
        ],
        closed: None,
        left: Some(0.25),
    },
    Golden {
        host: "fireworks",
        source: "the same, limits alone",
        headers: &[("x-ratelimit-limit-tokens-prompt", "21600000"), ("x-ratelimit-limit-tokens-generated", "216000")],
        closed: None,
        left: None,
    },
    Golden {
        host: "cerebras",
        source: "inference-docs.cerebras.ai/support/rate-limits: resets in seconds",
        headers: &[
            ("x-ratelimit-limit-requests-day", "1000000000"),
            ("x-ratelimit-limit-tokens-minute", "1000000000"),
            ("x-ratelimit-remaining-requests-day", "999997455"),
            ("x-ratelimit-remaining-tokens-minute", "999998298"),
            ("x-ratelimit-reset-requests-day", "33011.382867"),
            ("x-ratelimit-reset-tokens-minute", "11.382867"),
        ],
        closed: None,
        left: Some(999_997_455.0 / 1e9),
    },
    Golden {
        host: "cerebras",
        source: "the same, the day's requests and the minute's tokens used up: the later reset counts",
        headers: &[
            ("x-ratelimit-limit-requests-day", "14400"),
            ("x-ratelimit-remaining-requests-day", "0"),
            ("x-ratelimit-reset-requests-day", "3600.5"),
            ("x-ratelimit-limit-tokens-minute", "60000"),
            ("x-ratelimit-remaining-tokens-minute", "0"),
            ("x-ratelimit-reset-tokens-minute", "11.5"),
        ],
        closed: Some(3600.5),
        left: Some(0.0),
    },
    Golden {
        host: "sambanova",
        source: "docs.sambanova.ai/docs/en/models/rate-limits: names of the headers; durations as others saw them",
        headers: &[
            ("x-ratelimit-limit-requests", "240"),
            ("x-ratelimit-remaining-requests", "60"),
            ("x-ratelimit-reset-requests", "12"),
            ("x-ratelimit-limit-requests-day", "1500"),
            ("x-ratelimit-remaining-requests-day", "1497"),
            ("x-ratelimit-reset-requests-day", "4h17m"),
        ],
        closed: None,
        left: Some(0.25),
    },
    Golden {
        host: "sambanova",
        source: "the same, a moment of the past: the limit is whole again",
        headers: &[
            ("x-ratelimit-limit-requests", "240"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1700000000"),
        ],
        closed: None,
        left: None,
    },
    Golden {
        host: "replicate",
        source: "shared reference, hosts.yaml rate_limits of replicate: no header tells the limit itself",
        headers: &[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")],
        closed: Some(9.0),
        left: Some(0.0),
    },
    Golden {
        host: "replicate",
        source: "the same, with some left",
        headers: &[("ratelimit-remaining", "3"), ("ratelimit-reset", "9")],
        closed: None,
        left: None,
    },
    Golden {
        host: "openrouter",
        source: "shape of error.metadata.headers of a free model's 429; a reset of the past in milliseconds",
        headers: &[("x-ratelimit-limit", "20"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1741305600000")],
        closed: None,
        left: None,
    },
    Golden {
        host: "deepinfra",
        source: "shared reference, hosts.yaml: its limit is on requests at once and in no header",
        headers: &[("x-ratelimit-limit-requests", "200"), ("x-ratelimit-remaining-requests", "0")],
        closed: None,
        left: None,
    },
    Golden {
        host: "huggingface",
        source: "shared reference, hosts.yaml: none",
        headers: &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1s")],
        closed: None,
        left: None,
    },
    Golden {
        host: "openai",
        source: "platform.openai.com/docs/guides/rate-limits; community.openai.com/t/1268905 for values",
        headers: &[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1m0s"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ],
        closed: Some(1.0),
        left: Some(0.0),
    },
    Golden {
        host: "anthropic",
        source: "a recorded answer of 2025-08-21 in the tests of the R package tidyllm; its resets have passed",
        headers: &[
            ("anthropic-ratelimit-input-tokens-limit", "80000"),
            ("anthropic-ratelimit-input-tokens-remaining", "80000"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:59Z"),
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-requests-reset", "2025-08-21T12:40:59Z"),
        ],
        closed: None,
        left: None,
    },
    Golden {
        host: "anthropic",
        source: "the same names without a reset",
        headers: &[
            ("anthropic-ratelimit-output-tokens-limit", "16000"),
            ("anthropic-ratelimit-output-tokens-remaining", "4000"),
        ],
        closed: None,
        left: Some(0.25),
    },
];

#[tokio::test(start_paused = true)]
async fn what_each_host_says_of_its_limits_is_understood() {
    for golden in &GOLDEN {
        let quota = at(golden.host);
        quota.take(&headers(golden.headers));
        let expected = Standing { closed: golden.closed.map(Duration::from_secs_f64), left: golden.left };
        assert_eq!(quota.standing(), expected, "{}: {}", golden.host, golden.source);
    }
}

#[test]
fn every_host_that_tells_limits_has_a_golden_case() {
    let catalog = Catalog::builtin();
    for host in catalog.hosts().filter(|host| !host.rate_limits.is_empty()) {
        assert!(GOLDEN.iter().any(|golden| golden.host == host.id), "{} has none", host.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_used_up_opens_at_its_reset() {
    let quota = at("cerebras");
    let used_up = [
        ("x-ratelimit-limit-tokens-minute", "100"),
        ("x-ratelimit-remaining-tokens-minute", "0"),
        ("x-ratelimit-reset-tokens-minute", "11.5"),
    ];
    quota.take(&headers(&used_up));
    tokio::time::advance(Duration::from_millis(11_499)).await;
    assert_eq!(quota.standing(), Standing { closed: Some(Duration::from_millis(1)), left: Some(0.0) });
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(quota.standing(), Standing::default());
}

#[tokio::test(start_paused = true)]
async fn a_pause_lasts_as_long_as_the_longest_that_was_asked_for() {
    let quota = at("deepinfra");
    assert_eq!(quota.standing(), Standing::default());
    quota.pause(Duration::from_secs(30));
    quota.pause(Duration::from_secs(2));
    assert_eq!(quota.standing().closed, Some(Duration::from_secs(30)));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(quota.standing(), Standing::default());
}

#[tokio::test(start_paused = true)]
async fn the_last_word_on_a_limit_counts_and_other_limits_stay() {
    let quota = at("together");
    quota.take(&headers(&[
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "5"),
        ("x-tokenlimit-limit", "100"),
        ("x-tokenlimit-remaining", "50"),
    ]));
    quota.take(&headers(&[("x-ratelimit-limit", "10"), ("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "5")]));
    assert_eq!(quota.standing(), Standing { closed: None, left: Some(0.5) });
}

proptest! {
    #[test]
    fn no_header_makes_a_share_that_is_none_or_a_wait_without_end(
        values in prop::collection::hash_map(
            prop::sample::select(vec![
                "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
                "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
            ]),
            prop_oneof!["[ -~]*", "-?[0-9]{1,30}(\\.[0-9]{1,3})?(ms|s|m|h)?", Just("inf".to_owned()), Just("NaN".to_owned())],
            0..6,
        )
    ) {
        let values: HashMap<&str, String> = values;
        let quota = at("no such host");
        quota.take(&values.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        }).collect());
        let standing = quota.standing();
        prop_assert!(standing.left.is_none_or(|left| (0.0..=1.0).contains(&left)), "{standing:?}");
        prop_assert!(standing.closed.is_none_or(|wait| wait <= moment::LONGEST), "{standing:?}");
    }

    #[test]
    fn a_limit_with_room_closes_nothing(limit in 1..1_000_000u64, left in 1..1_000_000u64, reset in 0..10_000u32) {
        let quota = at("cerebras");
        let texts = [limit.to_string(), left.to_string(), reset.to_string()];
        quota.take(&headers(&[
            ("x-ratelimit-limit-requests-day", &texts[0]),
            ("x-ratelimit-remaining-requests-day", &texts[1]),
            ("x-ratelimit-reset-requests-day", &texts[2]),
        ]));
        prop_assert_eq!(quota.standing().closed, None);
    }
}
