//! What a condition means, what it says of itself, and its bounds. The messages are in `problems`; that the evaluation of
//! the `cel` crate agrees is in `oracle`.

mod oracle;
mod problems;

use catalog::{Activity, Domain, Exposure, Purpose, Use};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::Needs;

/// A request of which everything is known.
fn known() -> Facts {
    let text = |text: &str| Some(text.to_owned());
    let tag = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let use_ = Use {
        seat: text("DE"),
        entity: text("acme"),
        end_users: vec!["DE".to_owned(), "FR".to_owned()],
        domains: vec![Domain::Medical],
        activity: Activity::Agent,
        ..Use::new(Purpose::Revenue, Exposure::Public)
    };
    Facts {
        team: text("support"),
        key: text("k1"),
        context: text("bot"),
        language: text("ko"),
        script: text("hangul"),
        prompt_tokens: 1_000,
        max_tokens: Some(300),
        needs: Needs { tools: true, image: true, ..Needs::default() },
        stream: true,
        headers: tag("x-customer-tier", "gold"),
        metadata: tag("project", "apollo"),
        ..Facts::new("qwen3-32b", use_, "2026-11-25".parse().expect("a date"))
    }
}

/// A request of which nothing is known.
fn bare() -> Facts {
    let use_ = Use::new(Purpose::Research, Exposure::Internal);
    Facts::new("auto", use_, "2026-11-25".parse().expect("a date"))
}

fn compiled(text: &str) -> Condition {
    Condition::compile(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

#[test]
fn every_fact_operator_and_function_means_what_cel_says() {
    for text in [
        "true",
        "request.model == 'qwen3-32b' && request.team == \"support\" && request.key == 'k1' && request.context == 'bot'",
        "request.language == 'ko' && request.script == 'hangul' && request.stream",
        "request.use.purpose == 'revenue' && request.use.exposure == 'public' && request.use.activity == 'agent'",
        "request.use.seat == 'DE' && request.use.entity == 'acme'",
        "'medical' in request.use.domains && 'FR' in request.use.end_users && !('IT' in request.use.end_users)",
        "request.prompt_tokens == 1000 && request.max_tokens in [100, 300]",
        "request.prompt_tokens >= 1000 && request.prompt_tokens <= 1000 && 999 < request.prompt_tokens && 1001 > request.prompt_tokens",
        "request.prompt_tokens + request.max_tokens - 1 == 1299 && request.max_tokens * -2 == -600",
        "request.prompt_tokens / 300 == 3 && request.prompt_tokens % 300 == 100 && -request.max_tokens == -(299 + 1)",
        "request.headers[\"x-customer-tier\"] == 'gold' && request.headers['X-Customer-Tier'] == 'gold'",
        "request.metadata.project == 'apollo' && request.metadata['project'] != 'gemini'",
        "has(request.metadata.project) && !has(request.metadata.other) && 'x-customer-tier' in request.headers",
        "request.model.startsWith('qwen') && request.model.endsWith('32b') && request.model.contains('n3-')",
        "request.language in ['ja', 'ko'] && request.team != 'ops' && size(request.model) == 9 && size('äöü') == 3",
        "request.needs.size() == 2 && size(request.use.end_users) == 2 && request.team.size() == 7",
        "request.needs.exists(need, need == 'tools') && !request.needs.all(need, need == 'tools')",
        "request.use.end_users.all(country, country in ['DE', 'FR']) && request.use.domains.exists(d, d.startsWith('med'))",
        "(request.stream ? request.team : 'nobody') == 'support' && (request.stream ? 1 : 2) == 1",
        "request.stream ? request.max_tokens > 1 : false",
        "request.stream == (request.max_tokens == 300) && (request.stream != false) // said so",
        "request.model == r'qwen3-32b' && '''a''' == 'a' && '\\u00e4' == 'ä'",
    ] {
        assert_eq!(compiled(text).holds(&known()), Ok(true), "{text}");
    }
}

#[test]
fn what_a_request_does_not_have_is_an_error_that_names_it() {
    for (text, said) in [
        ("request.team == 'a'", "the request has no `request.team`"),
        ("request.key != 'a'", "the request has no `request.key`"),
        ("request.context in ['a']", "the request has no `request.context`"),
        ("request.use.seat in request.use.end_users", "the request has no `request.use.seat`"),
        ("request.use.entity.startsWith('a')", "the request has no `request.use.entity`"),
        ("request.max_tokens > 1", "the request has no `request.max_tokens`"),
        ("request.headers['X-Tier'] == 'a'", "the request has no `request.headers[\"x-tier\"]`"),
        ("request.metadata.project == 'a'", "the request has no `request.metadata[\"project\"]`"),
        ("false || request.team == 'a'", "the request has no `request.team`"),
        ("1 / request.prompt_tokens == 1", "it divides by zero"),
        ("1 % request.prompt_tokens == 1", "it divides by zero"),
        ("9223372036854775807 - request.prompt_tokens + 1 > 0", "a number is over what 64 bits hold"),
        ("-(-9223372036854775807 - 1 - request.prompt_tokens) > 0", "a number is over what 64 bits hold"),
    ] {
        let answer = compiled(text).holds(&bare());
        assert_eq!(answer.map_err(|error| error.to_string()), Err(said.to_owned()), "{text}");
    }
    let vast = Facts { prompt_tokens: u64::MAX, ..bare() };
    assert_eq!(compiled("request.prompt_tokens == 9223372036854775807").holds(&vast), Ok(true));
}

#[test]
fn an_error_does_not_matter_where_something_else_decides() {
    for (text, holds) in [
        ("request.team == 'a' || true", true),
        ("request.team == 'a' && false", false),
        ("has(request.team) && request.team == 'a'", false),
        ("!has(request.team) || request.team == 'a'", true),
        ("request.language == 'unknown' && request.script == 'unknown'", true),
        ("request.needs.exists(n, 1 / request.prompt_tokens == 1)", false),
    ] {
        assert_eq!(compiled(text).holds(&bare()), Ok(holds), "{text}");
    }
    let some_fail = "request.use.end_users.exists(c, c == 'FR' || 1 / request.prompt_tokens == 1)";
    assert_eq!(compiled(some_fail).holds(&Facts { prompt_tokens: 0, ..known() }), Ok(true));
    let others = some_fail.replace("'FR'", "'IT'");
    assert_eq!(compiled(&others).holds(&Facts { prompt_tokens: 0, ..known() }), Err(ConditionError::DivisionByZero));
}

#[test]
fn what_is_read_with_no_has_before_it_is_warned_of_and_nothing_else() {
    for asked in [
        "has(request.team) && request.team == 'a'",
        "has(request.team) && request.stream && request.prompt_tokens > 5 && request.team == 'a'",
        "!has(request.team) || request.team == 'a'",
        "!(has(request.team) && has(request.key)) || request.team == request.key",
        "has(request.max_tokens) ? request.max_tokens > 5 : true",
        "!has(request.max_tokens) ? true : request.max_tokens > 5",
        "'X-Tier' in request.headers && request.headers['x-tier'] == 'gold'",
        "has(request.metadata.project) && request.metadata['project'] == 'apollo'",
        "request.model == 'auto' && request.language == 'ko'",
    ] {
        assert_eq!(compiled(asked).warnings(), [], "{asked}");
    }
    for (unasked, hint) in [
        ("<<request.team>> == 'a' && has(request.team)", "write `has(request.team) && ...` before it"),
        ("has(request.team) || <<request.team>> == 'a'", "write `has(request.team) && ...` before it"),
        (
            "has(request.team) && request.stream || <<request.team>> == 'a'",
            "write `has(request.team) && ...` before it",
        ),
        ("has(request.key) && <<request.use.seat>> == 'DE'", "write `has(request.use.seat) && ...` before it"),
        (
            "'a' in request.headers && <<request.headers['b']>> == ''",
            "write `\"b\" in request.headers && ...` before it",
        ),
        ("<<request.metadata.b>> == ''", "write `\"b\" in request.metadata && ...` before it"),
    ] {
        let (text, at) = marked(unasked);
        let condition = compiled(&text);
        let [warning] = condition.warnings() else { panic!("{text}: {:#?}", condition.warnings()) };
        assert_eq!((&warning.at, warning.hint.as_deref()), (&at, Some(hint)), "{text}");
        let read = condition.uses().facts.keys().find(|fact| warning.message.contains(&fact.to_string()));
        assert!(read.is_some(), "{}", warning.message);
    }
}

/// The text without `<<` and `>>`, and what was between them.
fn marked(text: &str) -> (String, Range<usize>) {
    let (before, rest) = text.split_once("<<").expect("a mark");
    let (inside, after) = rest.split_once(">>").expect("the end of it");
    (format!("{before}{inside}{after}"), before.len()..before.len() + inside.len())
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_before_it_costs_anything() {
    let message = |text: &str| Condition::compile(text).expect_err("too much")[0].message.clone();
    let long = format!("request.model == '{}'", "a".repeat(MAX_BYTES - 19));
    assert_eq!(long.len(), MAX_BYTES);
    compiled(&long);
    assert_eq!(message(&format!("{long} ")), "an expression of 1001 bytes; at most 1000 are read");
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    compiled(&nested(usize::from(parse::MAX_NESTING) - 1));
    assert_eq!(message(&nested(usize::from(parse::MAX_NESTING) + 2)), "parts stand in one another more than 16 deep");
    let row = |count: usize| format!("1{} > 0", "+1".repeat(count));
    compiled(&row(62));
    assert_eq!(message(&row(400)), "more than 64 operators in a row");
    // The parser makes a tree of few levels of these.
    compiled(&format!("true{}", " && true".repeat(100)));
    for hostile in
        ["(", "[", "{", "!", "-", "a(", "a[", "a?", "a.", "{a:", "A{a:", "a.all(a,", "'", "\\", "\u{1F980}", "?:"]
    {
        Condition::compile(&hostile.repeat(MAX_BYTES / hostile.len())).expect_err(hostile);
    }
}

#[test]
fn it_says_which_facts_it_reads_and_what_it_compares_them_with() {
    let text = "request.model == 'auto' && 'ko' != request.language && request.team in ['a', 'b', 'a'] \
                && request.prompt_tokens + request.max_tokens > 4 * 1024 && request.prompt_tokens in [9, 5] \
                && request.needs.exists(n, n == 'tools' || n.startsWith('im')) && 'audio' in request.needs \
                && has(request.metadata.project) && request.headers['X-Tier'].contains('gold') && request.stream \
                && (has(request.key) ? request.key : 'none') == 'k1'";
    let condition = compiled(text);
    let facts: Vec<String> = condition
        .uses()
        .facts
        .iter()
        .map(|(fact, compared)| {
            let places: Vec<&str> = compared.at.iter().map(|at| &text[at.clone()]).collect();
            let texts: Vec<&str> = compared.texts.iter().map(|quoted| quoted.value.as_str()).collect();
            for quoted in &compared.texts {
                assert_eq!(text[quoted.at.clone()].trim_matches('\''), quoted.value);
            }
            format!("{fact} {places:?} {texts:?} {:?}", compared.numbers)
        })
        .collect();
    assert_eq!(
        facts,
        [
            r#"request.model ["request.model"] ["auto"] []"#,
            r#"request.team ["request.team"] ["a", "b"] []"#,
            r#"request.key ["has(request.key)", "request.key"] ["k1"] []"#,
            r#"request.language ["request.language"] ["ko"] []"#,
            r#"request.headers["x-tier"] ["request.headers['X-Tier']"] ["gold"] []"#,
            r#"request.metadata["project"] ["has(request.metadata.project)"] [] []"#,
            r#"request.prompt_tokens ["request.prompt_tokens", "request.prompt_tokens"] [] [5, 9, 4096]"#,
            r#"request.max_tokens ["request.max_tokens"] [] [4096]"#,
            r#"request.needs ["request.needs", "request.needs"] ["tools", "im", "audio"] []"#,
            r#"request.stream ["request.stream"] [] []"#,
        ]
    );
    assert!(condition.uses().reads(&Fact::Stream) && !condition.uses().reads(&Fact::Text(TextFact::Script)));
}

#[test]
fn every_fact_has_a_name_that_reads_it_and_no_two_the_same() {
    for (path, fact) in fact::FIELDS {
        assert_eq!(fact.to_string(), path);
        let text = match &fact {
            Fact::Text(_) => format!("{path} == '' || true"),
            Fact::Number(_) => format!("{path} == 0"),
            Fact::List(_) => format!("size({path}) == 0"),
            Fact::Stream => path.to_owned(),
        };
        let read = Condition::compile(&text).or_else(|_| Condition::compile(&format!("size({path}) == 0")));
        assert_eq!(read.expect("a condition").uses().facts.keys().collect::<Vec<_>>(), [&fact]);
    }
}

#[test]
fn two_conditions_are_the_same_if_their_texts_are() {
    let (one, other) = (compiled("request.stream"), compiled(" request.stream"));
    assert_eq!(one, compiled(one.text()));
    assert_ne!(one, other);
    assert_eq!(
        (one.to_string().as_str(), format!("{other:?}").as_str()),
        ("request.stream", "Condition(\" request.stream\")")
    );
}

/// Pieces of which expressions are made, and some of which none is.
const PIECES: [&str; 44] = [
    "request",
    ".",
    "model",
    "team",
    "needs",
    "use",
    "purpose",
    "headers",
    "metadata",
    "prompt_tokens",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "?",
    ":",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "/",
    "in",
    "has",
    "exists",
    "all",
    "size",
    "'a'",
    "\"ä\"",
    "1",
    "9223372036854775807",
    "true",
    "n",
    " ",
    "\n",
    "'",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_a_condition_or_refused_with_places_inside_it(
        text in prop_oneof![
            any::<String>(),
            vec(prop::sample::select(&PIECES[..]), 0..40).prop_map(|pieces| pieces.concat()),
        ]
    ) {
        match Condition::compile(&text) {
            Ok(condition) => {
                for facts in [known(), bare()] {
                    prop_assert_eq!(condition.holds(&facts), condition.holds(&facts));
                }
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(text.get(problem.at.clone()).is_some(), "{problem:?}");
                    prop_assert!(!problem.message.contains(char::is_control), "{problem:?}");
                }
            }
        }
    }
}
