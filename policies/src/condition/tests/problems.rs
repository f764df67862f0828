//! What is no condition, word for word, with the place that the caret shows.

use super::{compiled, marked};
use crate::condition::{Condition, Problem};

/// Holds the problems of a text against what is expected: the text with the place marked, message, label and hint.
fn check(cases: &[(&str, &str, &str, &str)]) {
    for (text, message, label, hint) in cases {
        let (text, at) = marked(text);
        let problems = Condition::compile(&text).expect_err(&text);
        let [found] = problems.as_slice() else { panic!("{text}: {problems:#?}") };
        let expected = Problem {
            at,
            message: (*message).to_owned(),
            label: (*label).to_owned(),
            hint: Some((*hint).to_owned()).filter(|hint| !hint.is_empty()),
        };
        assert_eq!(found, &expected, "{text}");
    }
}

#[test]
fn a_name_that_is_not_known_is_pointed_at_with_the_nearest() {
    let facts = "there are `request.use.purpose`, `request.use.exposure`, `request.use.activity`, `request.use.seat`, \
                 `request.use.entity`, `request.use.domains`, `request.use.end_users`";
    let functions = "there are `size`, `startsWith`, `endsWith`, `contains`, `has`, `exists`, `all`";
    check(&[
        (
            "<<request.temp>> == 'a'",
            "there is no `request.temp`",
            "not a fact of a request",
            "did you mean `request.team`?",
        ),
        (
            "'ä' == <<request.modl>>",
            "there is no `request.modl`",
            "not a fact of a request",
            "did you mean `request.model`?",
        ),
        (
            "<<request.use.purpos>> == 'a'",
            "there is no `request.use.purpos`",
            "not a fact of a request",
            "did you mean `request.use.purpose`?",
        ),
        ("<<request.use.qqq>> == 'a'", "there is no `request.use.qqq`", "not a fact of a request", facts),
        (
            "<<request.hour>> > 5",
            "there is no `request.hour`",
            "not a fact of a request",
            "`match.time` has windows of days and hours, with their zone",
        ),
        ("<<team>> == 'a'", "there is no `team`", "not known", "did you mean `request.team`?"),
        ("<<requst>>.team == 'a'", "there is no `requst`", "not known", "did you mean `request`?"),
        (
            "request.needs.exists(n, <<q>> == 'tools')",
            "there is no `q`",
            "not known",
            "what is known of a request begins with `request.`",
        ),
        (
            "request.model.<<startWith>>('a')",
            "there is no function `startWith` in a condition",
            "no function of this name",
            "did you mean `startsWith`?",
        ),
        ("<<foo>>(request.model)", "there is no function `foo` in a condition", "no function of this name", functions),
        (
            "request.needs.<<map>>(n, n) == 1",
            "there is no function `map` in a condition",
            "no function of this name",
            functions,
        ),
        (
            "request.needs.<<exists_one>>(n, true)",
            "there is no function `exists_one` in a condition",
            "no function of this name",
            "did you mean `exists`?",
        ),
        (
            "request.model.<<matches>>('a.*')",
            "there are no regular expressions in a condition",
            "no bound on its work",
            "`startsWith`, `endsWith`, `contains` and `in` look into a string",
        ),
    ]);
}

#[test]
fn a_value_of_another_type_is_refused_where_it_stands() {
    let same = "two strings, two numbers, or two of true and false can be the same";
    let values = "values are strings, whole numbers, `true`, `false`, and lists of strings or numbers";
    let whole = "write it without a fraction, an exponent or a `u`";
    let list = "`in` asks whether something is in a list, `exists` and `all` what its items are";
    let among = "a string can be in a list of strings, a number in one of numbers, and a name in a map";
    let declared = "so that it can be checked that the configuration declares it";
    let written = "the name of a header or of an entry of metadata is a string that is written out";
    let looked_up = "`request.headers[\"x-customer-tier\"]` and `request.metadata[\"project\"]` are looked up by name";
    check(&[
        ("<<request.team == 5>>", "`==` compares a string with a number", "never the same", same),
        ("<<request.stream == 'true'>>", "`==` compares true or false with a string", "never the same", same),
        ("!(<<request.use != 'a'>>)", "`!=` compares a record with a string", "never the same", same),
        (
            "<<request.needs == ['tools']>>",
            "`==` compares a list of strings with a list of strings",
            "never the same",
            list,
        ),
        ("<<request.model>>", "a condition is true or false, and this is a string", "a string", ""),
        ("<<request.max_tokens>>", "a condition is true or false, and this is a number", "a number", ""),
        ("<<request.headers>>", "a condition is true or false, and this is a map", "a map", ""),
        ("<<request.model>> > 5", "`>` takes numbers, and `request.model` is a string", "a string", ""),
        ("5 <= <<'5'>>", "`<=` takes numbers, and `'5'` is a string", "a string", ""),
        ("request.stream && <<-5>>", "`&&` takes what is true or false, and `-5` is a number", "a number", ""),
        ("!<<request.model>>", "`!` takes what is true or false, and `request.model` is a string", "a string", ""),
        ("<<request.model>> + 5 == 6", "`+` takes numbers, and `request.model` is a string", "a string", ""),
        (
            "<<request.stream ? 1 : 'a'>>",
            "`? :` gives a number or a string",
            "not of one type",
            "both are strings, numbers, or true or false",
        ),
        ("request.model.startsWith(<<5>>)", "`startsWith` takes strings, and `5` is a number", "a number", ""),
        (
            "<<startsWith>>(request.model, 'a')",
            "`startsWith` is called in another way",
            "with other arguments",
            "as in `request.model.startsWith(\"llama\")`",
        ),
        (
            "request.model.<<size>>(1) == 1",
            "`size` is called in another way",
            "with other arguments",
            "as in `size(request.needs)`",
        ),
        (
            "request.needs.<<all>>(n, true, true)",
            "`all` is called in another way",
            "with other arguments",
            "as in `request.needs.all(need, need == \"tools\")`",
        ),
        (
            "size(<<request.headers>>) > 1",
            "`size` takes a string or a list of the request, and `request.headers` is a map",
            "a map",
            "",
        ),
        (
            "<<request.model>>.exists(a, true)",
            "`exists` takes a list of the request, and `request.model` is a string",
            "a string",
            "",
        ),
        (
            "<<['a']>>.all(a, true)",
            "`all` takes a list of the request, and `['a']` is a list of strings",
            "a list of strings",
            "",
        ),
        (
            "request.needs.exists(a, request.needs.<<all>>(b, a == b))",
            "`all` stands inside another loop",
            "one too many",
            "the work of a condition has a bound; `in` may stand there",
        ),
        (
            "<<request.model.foo>> == 'a'",
            "`request.model` is a string, which has no fields",
            "no field of this name",
            "",
        ),
        ("<<'a' in 'abc'>>", "`in` looks for a string in a string", "never in it", among),
        ("<<5 in ['a']>>", "`in` looks for a number in a list of strings", "never in it", among),
        ("request.model in <<['a', 5]>>", "a list holds strings or numbers, not both", "of two types", ""),
        ("request.model in <<[]>>", "nothing is in an empty list", "empty", ""),
        (
            "request.model in ['a', <<request.team>>]",
            "`request.team` stands in a list, which holds strings or whole numbers",
            "not written out",
            "`==` and `||` compare with anything else",
        ),
        (
            "<<request.needs[0]>> == 'a'",
            "nothing is looked up in a list of strings",
            "neither headers nor metadata",
            looked_up,
        ),
        ("request.headers[<<request.model>>] == 'a'", written, "not a string in quotes", declared),
        ("<<request.model>> in request.headers", written, "not a string in quotes", declared),
        ("<<has(request.model)>>", "every request has `request.model`", "always true", ""),
        (
            "<<has(request.language)>>",
            "every request has `request.language`",
            "always true",
            "`request.language != \"unknown\"` holds where it could be told",
        ),
        (
            "<<has(request.headers)>>",
            "`has` asks about one fact",
            "not a fact",
            "as in `has(request.team)` or `has(request.metadata.project)`",
        ),
        (
            "<<has(has(request.team).x)>>",
            "`has` asks about one fact",
            "not a fact",
            "as in `has(request.team)` or `has(request.metadata.project)`",
        ),
        (
            "has(<<request>>)",
            "`has` asks about one fact",
            "not a fact",
            "as in `has(request.team)` or `has(request.metadata.project)`",
        ),
        ("request.prompt_tokens > <<1u>>", "`1u` is not a whole number with a sign", "another kind of number", whole),
        ("request.prompt_tokens > <<1.5>>", "`1.5` is not a whole number with a sign", "another kind of number", whole),
        (
            "request.team == <<null>>",
            "nothing is `null` in a condition",
            "no value",
            "`!has(request.team)` holds where there is none",
        ),
        ("request.team == <<b'a'>>", "bytes cannot stand in a condition", "not a value here", values),
        ("'a' in <<{>>'a': 1}", "a map or a message cannot stand in a condition", "not a value here", values),
        ("<<1 / 0>> == 1", "`1 / 0` has no value: it divides by zero", "always divides by zero", ""),
        (
            "<<request.prompt_tokens % (1 - 1>>) == 1",
            "this has no value: it divides by zero",
            "always divides by zero",
            "",
        ),
        (
            "<<9223372036854775807 + 1>> > 0",
            "`9223372036854775807 + 1` has no value: a number is over what 64 bits hold",
            "always too large",
            "",
        ),
    ]);
}

#[test]
fn a_word_that_a_fact_never_has_is_refused() {
    let label = "not one of its words";
    check(&[
        (
            "request.use.purpose == <<'revenu'>>",
            "`request.use.purpose` never has the value `revenu`",
            label,
            "did you mean `revenue`?",
        ),
        (
            "<<'secret'>> != request.use.exposure",
            "`request.use.exposure` never has the value `secret`",
            label,
            "there are `internal`, `public`",
        ),
        (
            "request.use.activity in ['agent', <<'agents'>>]",
            "`request.use.activity` never has the value `agents`",
            label,
            "did you mean `agent`?",
        ),
        (
            "request.script == <<'cyrilic'>>",
            "`request.script` never has the value `cyrilic`",
            label,
            "did you mean `cyrillic`?",
        ),
        ("<<'tool'>> in request.needs", "`request.needs` never has the value `tool`", label, "did you mean `tools`?"),
        (
            "request.use.domains.all(d, d != <<'medicine'>>)",
            "`request.use.domains` never has the value `medicine`",
            label,
            "did you mean `medical`?",
        ),
    ]);
    compiled("request.use.purpose.startsWith('re') && request.script == 'unknown'");
}

#[test]
fn what_is_not_cel_is_pointed_at_in_plain_words() {
    let early = "the expression ends too early";
    let unended = "a string does not end on its line, or has an escape that CEL does not know";
    let words = "and is `&&`, or is `||`, not is `!`";
    check(&[
        ("<<>>", early, "more is expected", ""),
        ("<<>>  ", early, "more is expected", ""),
        ("request.stream &&<<>> ", early, "more is expected", ""),
        ("(request.stream<<>>", early, "`)` is missing", ""),
        ("request.stream ? true<<>>", early, "more is expected", ""),
        ("request.stream<<)>>", "`)` does not belong here", "not expected", ""),
        ("request.stream <<and>> request.stream", "`and` does not belong here", "not expected", words),
        ("request.prompt_tokens > 5<<k>>", "`k` does not belong here", "not expected", ""),
        ("request.model <<=>> 'a'", "`=` is not a part of CEL", "not known", "`==` compares"),
        ("request.stream <<&>> true", "`&` is not a part of CEL", "not known", "`&&` is and"),
        ("request.stream <<|>> true", "`|` is not a part of CEL", "not known", "`||` is or"),
        ("'ä' == 'ö' &&\n <<é>> == 1", "`é` is not a part of CEL", "not known", ""),
        ("request.model == <<'>>abc", unended, "begins here", "`\\\\` is a backslash"),
        ("request.model == <<'>>a\\qb'", unended, "begins here", "`\\\\` is a backslash"),
        ("request.<<.>>model == 'a'", "it is not CEL", "cannot be read", ""),
        ("<<as>> == 1", "it is not CEL: reserved identifier: as", "cannot be read", ""),
        ("<<99999999999999999999>> > 1", "a number is over what 64 bits hold", "too large", ""),
        (
            "request.needs.exists(<<1>>, true)",
            "`exists` and `all` begin with a name for the item",
            "not a name",
            "as in `request.needs.exists(need, need == \"tools\")`",
        ),
    ]);
}

#[test]
fn every_problem_is_reported_at_once_from_left_to_right() {
    let text = "size(5) > 1 && request.tem == 'a' || request.needs.exists(n, n == 7) ? 'b' : x";
    let problems = Condition::compile(text).expect_err(text);
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`size` takes a string or a list of the request, and `5` is a number",
            "there is no `request.tem`",
            "`==` compares a string with a number",
            "there is no `x`",
        ]
    );
}
