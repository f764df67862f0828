//! Any text is a condition or refused with problems that each have a place inside it; a condition has one answer for any
//! request, and says of every fact that makes it fail that it reads it.

#![no_main]

use std::sync::LazyLock;

use catalog::{Domain, Exposure, Purpose, Use};
use libfuzzer_sys::fuzz_target;
use policies::{
    Facts, Needs,
    condition::{Condition, ConditionError, Problem},
};

static REQUESTS: LazyLock<[Facts; 2]> = LazyLock::new(|| {
    let today = "2026-11-25".parse().expect("a date");
    let text = |text: &str| Some(text.to_owned());
    let tag = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let use_ = Use {
        seat: text("DE"),
        entity: text("acme"),
        end_users: vec!["DE".to_owned(), "FR".to_owned()],
        domains: vec![Domain::Medical],
        ..Use::new(Purpose::Revenue, Exposure::Public)
    };
    [
        Facts::new("auto", Use::new(Purpose::Research, Exposure::Internal), today),
        Facts {
            team: text("support"),
            key: text("k1"),
            context: text("bot"),
            language: text("ko"),
            script: text("hangul"),
            prompt_tokens: u64::MAX,
            max_tokens: Some(300),
            needs: Needs { tools: true, image: true, ..Needs::default() },
            stream: true,
            headers: tag("x-customer-tier", "gold"),
            metadata: tag("project", "apollo"),
            ..Facts::new("qwen3-32b", use_, today)
        },
    ]
});

fuzz_target!(|text: &str| {
    let inside = |problem: &Problem| {
        let at = &problem.at;
        assert!(text.get(at.clone()).is_some(), "{at:?} is not in the text: {problem:?}");
        assert!(!problem.message.is_empty() && !problem.label.is_empty(), "{problem:?}");
    };
    match Condition::compile(text) {
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(inside);
        }
        Ok(condition) => {
            condition.warnings().iter().for_each(inside);
            for facts in &*REQUESTS {
                let answer = condition.holds(facts);
                assert_eq!(answer, condition.holds(facts), "the same request, two answers");
                if let Err(ConditionError::Absent(fact)) = &answer {
                    assert!(condition.uses().reads(fact), "`{fact}` is read, and not said to be");
                    assert!(!condition.warnings().is_empty(), "`{fact}` is read unasked, and nothing warns of it");
                }
            }
        }
    }
});
