use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(convention: &Convention, answer: &Value) -> Option<Usage> {
    let text = answer.to_string();
    let usage = answer
        .get("usage")
        .filter(|usage| !usage.is_null())
        .map(|usage| serde_json::from_str::<Box<RawValue>>(&usage.to_string()).unwrap());
    convention.read(text.as_bytes(), usage.as_deref(), true)
}

#[test]
fn the_openai_object_is_read_and_what_is_unknown_is_skipped() {
    let usage = json!({"usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "x": {"cached_tokens": 9},
        "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": null}});
    let expected = Usage { prompt_tokens: 12, completion_tokens: 3, cached_tokens: 8, ..Usage::default() };
    assert_eq!(read(&Convention::openai(), &usage), Some(expected));
}

#[test]
fn a_usage_that_is_no_object_is_none_and_an_empty_one_counts_nothing() {
    for nothing in [json!({}), json!({"usage": null}), json!({"usage": "none"}), json!({"usage": [1]})] {
        assert_eq!(read(&Convention::openai(), &nothing), None, "{nothing}");
    }
    assert_eq!(read(&Convention::openai(), &json!({"usage": {}})), Some(Usage::default()));
}

#[test]
fn the_first_path_that_holds_a_number_is_taken_whatever_comes_first_in_the_answer() {
    let convention = Convention::clone(&Convention::openai()).or(Count::Cached, "usage.cached_tokens");
    let both =
        json!({"usage": {"cached_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}, "prompt_tokens": 9}});
    assert_eq!(read(&convention, &both).unwrap().cached_tokens, 2);
    let other =
        json!({"usage": {"cached_tokens": 1, "prompt_tokens_details": {"cached_tokens": null}, "prompt_tokens": 9}});
    assert_eq!(read(&convention, &other).unwrap().cached_tokens, 1);
}

#[test]
fn counts_outside_of_usage_are_read_where_the_answer_ends() {
    let convention = Convention::clone(&Convention::openai())
        .or(Count::Prompt, "x.usage.prompt_tokens")
        .or(Count::Cached, "timings.cache_n");
    let chunk = json!({"choices": [], "x": {"usage": {"prompt_tokens": 7}}, "timings": {"cache_n": 3}}).to_string();
    assert_eq!(convention.read(chunk.as_bytes(), None, false), None);
    let expected = Usage { prompt_tokens: 7, cached_tokens: 3, ..Usage::default() };
    assert_eq!(convention.read(chunk.as_bytes(), None, true), Some(expected));
    assert_eq!(read(&convention, &json!({"timings": {"cache_n": 3}})), None, "a cached share is no usage");
}

#[test]
fn a_cost_that_is_a_fee_alone_is_not_the_cost_of_the_request() {
    let convention =
        Convention::clone(&Convention::openai()).or(Count::CostUsd, "usage.cost").or(Count::FeeOnly, "usage.is_byok");
    let cost =
        |own_key: bool| read(&convention, &json!({"usage": {"cost": 0.25, "is_byok": own_key}})).unwrap().cost_usd;
    assert_eq!((cost(false), cost(true)), (Some(0.25), None));
    assert_eq!(read(&convention, &json!({"usage": {"cost": -1.0}})).unwrap().cost_usd, None);
}

#[test]
fn more_paths_than_can_be_followed_are_left_out() {
    let all = (0..100).fold(Convention::responses(), |all, at| all.or(Count::Cached, &format!("usage.c{at}")));
    assert_eq!(all.fields.len(), MOST);
}

/// A convention with every count in it.
fn everything() -> Convention {
    Convention::clone(&Convention::openai())
        .or(Count::Cached, "timings.cache_n")
        .or(Count::CostUsd, "usage.cost")
        .or(Count::FeeOnly, "usage.is_byok")
}

/// Values that a broken host might send for a count.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..50u64).prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => "[ -~]{0,5}".prop_map(Value::from),
        1 => Just(json!({"cached_tokens": 3})),
        1 => Just(json!([1, 2])),
    ]
}

proptest! {
    #[test]
    fn parts_are_never_more_than_their_whole(
        values in prop::collection::vec(value(), 9), which in 0..4usize,
    ) {
        let convention = match which {
            0 => Convention::clone(&Convention::openai()),
            1 => Convention::responses(),
            2 => Convention::anthropic(),
            _ => everything(),
        };
        let [a, b, c, d, e, f, g, h, i] = &values[..] else { unreachable!() };
        let answer = json!({"usage": {
            "prompt_tokens": a, "completion_tokens": b, "input_tokens": a, "output_tokens": b, "cost": f, "is_byok": g,
            "prompt_tokens_details": {"cached_tokens": c, "cache_write_tokens": d},
            "input_tokens_details": {"cached_tokens": c}, "output_tokens_details": {"reasoning_tokens": e},
            "completion_tokens_details": {"reasoning_tokens": e},
            "cache_read_input_tokens": c, "cache_creation_input_tokens": d,
        }, "timings": {"cache_n": h, "x": i}});
        let usage = read(&convention, &answer).unwrap();
        prop_assert!(usage.cached_tokens.checked_add(usage.cache_write_tokens).unwrap() <= usage.prompt_tokens, "{usage:?}");
        prop_assert!(usage.reasoning_tokens <= usage.completion_tokens, "{usage:?}");
        prop_assert!(usage.cost_usd.is_none_or(|cost| cost.is_finite() && cost >= 0.0), "{usage:?}");
    }

    #[test]
    fn both_ways_of_counting_give_the_same_record(
        fresh in 0..1_000_000u64, cached in 0..1_000_000u64, written in 0..1_000_000u64, completion in 0..1_000_000u64,
    ) {
        let inclusive = json!({"usage": {"prompt_tokens": fresh + cached + written, "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written}}});
        let exclusive = json!({"usage": {"input_tokens": fresh, "output_tokens": completion,
            "cache_read_input_tokens": cached, "cache_creation_input_tokens": written}});
        prop_assert_eq!(read(&Convention::openai(), &inclusive), read(&Convention::anthropic(), &exclusive));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), ends: bool) {
        everything().read(&bytes, None, ends);
    }
}
