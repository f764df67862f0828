//! What is printed for mistakes that people make.

use super::*;

#[test]
fn all_problems_come_in_one_report_each_with_its_place_and_a_hint() {
    let text = "\
listn: 127.0.0.1:8080
admin: localhost
deployments:
  - {id: a, model: qwen3-9b, host: grok}
  - {id: b, model: qwen3-32b}
";
    let expected = "\
error[unknown-key]: the configuration has no key `listn`
 --> pointsman.yaml:1:1
  |
1 | listn: 127.0.0.1:8080
  | ^^^^^
  |
  = hint: did you mean `listen`?

error[keys-required]: the configuration names no `keys` file, so nobody may be let in
 --> pointsman.yaml:1:1
  |
1 | listn: 127.0.0.1:8080
  | ^
  |
  = hint: add `keys: keys.yaml`, then `pointsman keys new --team T --context C` writes the first key

error[address]: `localhost` is not an address
 --> pointsman.yaml:2:8
  |
2 | admin: localhost
  |        ^^^^^^^^^ expected an IP address and a port
  |
  = hint: for example 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080

error[unknown-model]: deployment `a` serves a model the catalog does not have
 --> pointsman.yaml:4:20
  |
4 |   - {id: a, model: qwen3-9b, host: grok}
  |                    ^^^^^^^^ no model with this id
  |
  = hint: did you mean `qwen3-4b`, `qwen3-7b`, `qwen3-8b`? otherwise describe it in a file of `catalog`

error[unknown-host]: there is no host `grok` in the catalog
 --> pointsman.yaml:4:36
  |
4 |   - {id: a, model: qwen3-9b, host: grok}
  |                                    ^^^^
  |
  = hint: did you mean `groq`?

error[no-place]: deployment `b` does not say where it runs
 --> pointsman.yaml:5:6
  |
5 |   - {id: b, model: qwen3-32b}
  |      ^^
  |
  = hint: add one of `host: groq`, `server: vllm`, `engine: native`";
    assert_eq!(Files::new([("pointsman.yaml", text)]).errors(), expected);
}

/// The one problem of these lines is this code, at the marked words, and its text holds these words.
#[track_caller]
fn one(marked: &str, code: &str, words: &[&str]) {
    let (before, rest) = marked.split_once("<<").unwrap();
    let (inside, after) = rest.split_once(">>").unwrap();
    let files =
        Files::new([("pointsman.yaml", &with_keys(&format!("{before}{inside}{after}"))), ("keys.yaml", "keys: []")])
            .environment([("TEST_KEY", "sk-0123456789"), ("TEST_WORD", "confidential")]);
    let report = files.load().expect_err("the configuration is not in order");
    let text = files.plain(&report);
    let [problem] = report.diagnostics.as_slice() else { panic!("one problem is expected:\n{text}") };
    assert_eq!(problem.code, code, "{text}");
    assert_eq!(problem.span, before.len()..before.len() + inside.len(), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing:\n{text}");
    }
    for secret in ["sk-0123456789", "confidential"] {
        assert!(!text.contains(secret), "a value of the environment is shown:\n{text}");
    }
}

#[test]
fn a_size_or_duration_without_its_unit_is_told_what_is_expected() {
    one("limits: {body_bytes: <<64MB>>}", "wrong-value", &["64MiB", "found `64MB`"]);
    one("limits: {header_timeout: <<10>>}", "wrong-value", &["10s", "found a number"]);
    one("limits: {connections: <<0>>}", "out-of-range", &["expected 1 to 1000000"]);
    one("local: {memory: <<12GB>>}", "wrong-value", &["12GiB", "`auto`", "found `12GB`"]);
    one("local: {keep_free: <<1>>}", "out-of-range", &["expected 0 to 0.9"]);
    one("local: {waiting: <<0>>}", "out-of-range", &["expected 1 to 100000"]);
    one("local: {load_within: <<5>>}", "wrong-value", &["5m"]);
    one("local: {while_loading: <<wait>>}", "unknown-value", &["queue", "refuse"]);
    one("local: {<<unload_afte>>: 5m}", "unknown-key", &["did you mean `unload_after`?"]);
    one("retry_budget: {share: <<-0.1>>}", "out-of-range", &["expected 0 to 10"]);
    one("retry_budget: {per_second: <<1000000>>}", "out-of-range", &["expected 0 to 100000"]);
}

#[test]
fn an_unknown_word_of_a_closed_list_is_told_the_list_and_the_nearest() {
    one(
        "contexts: {bot: {use: <<revenu>>, exposure: public}}",
        "unknown-value",
        &["`revenue`, `internal`, `research`, `personal`", "did you mean `revenue`?"],
    );
}

#[test]
fn a_missing_key_is_named_where_it_should_be() {
    one("contexts: {bot: {<<exposure>>: public}}", "missing-key", &["a context needs the key `use`"]);
    one("deployments: [{<<id>>: a, engine: native}]", "missing-key", &["a deployment needs the key `model`"]);
}

#[test]
fn a_name_that_refers_to_nothing_is_told_the_nearest() {
    one(
        "entities: {acme: {seat: DE}}\ncontexts: {bot: {use: revenue, exposure: public, entity: <<acne>>}}",
        "unknown-name",
        &["there is no entity `acne`", "did you mean `acme`?"],
    );
    one(
        "contexts: {bot: {use: revenue, exposure: public}}\nteams: {t: {contexts: [<<bto>>]}}",
        "unknown-name",
        &["did you mean `bot`?"],
    );
}

#[test]
fn what_refers_to_something_broken_is_not_reported_again() {
    one("contexts: {bot: {use: <<revenu>>, exposure: public}}\nteams: {t: {contexts: [bot]}}", "unknown-value", &[]);
}

#[test]
fn a_country_is_two_capital_letters() {
    one(
        "entities: {acme: {seat: DE}}\ncontexts: {bot: {use: revenue, exposure: public, end_users: [<<Germany>>]}}",
        "country",
        &["DE, FR"],
    );
    one("entities: {acme: {seat: <<EL>>}}", "country", &["`EL` is not a country code", "did you mean `GR`?"]);
    one("contexts: {bot: {use: revenue, exposure: public, seat: <<UK>>}}", "country", &["did you mean `GB`?"]);
}

#[test]
fn a_seat_that_two_contexts_share_is_reported_once() {
    one(
        "entities: {acme: {seat: <<ZZ>>}}\ncontexts:\n  a: {use: revenue, exposure: public, entity: acme}\n  \
         b: {use: internal, exposure: internal, entity: acme}",
        "country",
        &["`ZZ`"],
    );
}

#[test]
fn a_key_in_the_file_itself_is_refused() {
    one(
        "deployments: [{id: a, model: qwen3-32b, host: deepinfra, key: <<sk-abc>>}]",
        "literal-key",
        &["${NAME}", "`key_file`"],
    );
}

#[test]
fn a_secret_of_the_file_is_in_no_report_whatever_is_wrong_with_its_line() {
    let secret = "gsk_0123456789";
    for lines in [
        "deployments: [{id: a, model: qwen3-32b, host: groq, key: SECRET}]",
        "deployments: [{id: a, model: qwen3-3b, host: grok, key: \"SECRET\", nme: b}]",
        "deployments:\n  - id: a\n    model: qwen3-32b\n    host: groq\n    key: SECRET",
        "deployments:\n  - id: a\n    model: qwen3-32b\n    host: groq\n    key:\n      SECRET",
        "deployments:\n  - id: a\n    model: qwen3-32b\n    host: groq\n    key: >-\n      SECRET",
        "deployments:\n  - {id: a, model: qwen3-32b, host: groq, api_key: 'SECRET'}",
        "deployments:\n  - {\"id\": \"a\", \"model\": \"qwen3-32b\", \"host\": \"groq\", \"key\":\"SECRET\"}",
        "deployments:\n  - key: SECRET: x",
        "deployments: [{id: a, model: qwen3-32b, server: vllm, base_url: \"https://user:SECRET@example.com/v1\"}]",
        "deployments: [{id: a, model: qwen3-3b, server: vlm, base_url: \"https://user:SECRET@example.com/v1\"}]",
    ] {
        let text = with_keys(&lines.replace("SECRET", secret));
        let files = Files::new([("pointsman.yaml", &text), ("keys.yaml", "keys: []")]);
        let report = files.load().expect_err("the configuration is not in order");
        for shown in [report.render(false), report.render(true), report.to_json().to_string(), format!("{report:?}")] {
            assert!(!shown.contains(secret), "{lines}\n{shown}");
        }
    }
    let shown = errors("deployments: [{id: a, model: qwen3-32b, host: groq, key: gsk_1, name: ö, nme: b}]");
    assert!(shown.contains("host: groq, key: *****, name: ö, nme: b}]"), "{shown}");
    let shown = errors("deployments: [{id: a, model: qwen3-32b, host: grok, key: \"${GROQ_API_KEY}\"}]");
    assert!(shown.contains("key: \"${GROQ_API_KEY}\"}]"), "the name of a variable is no secret: {shown}");
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_key_and_nothing_else_is_said_of_it() {
    one(
        "deployments: [{id: a, model: qwen3-32b, host: deepinfra, key: <<\"${DEEPINFRA_API_KEY}\">>}]",
        "unset-variable",
        &["`deployments.0.key` needs the environment variable `DEEPINFRA_API_KEY`"],
    );
    one("listen: <<\"${TEST_WRD}\">>", "unset-variable", &["`TEST_WORD` is set"]);
    one("listen: <<\"${\">>", "variable-name", &["without its `}`"]);
}

#[test]
fn a_value_of_the_environment_is_never_shown() {
    one("listen: <<\"${TEST_WORD}\">>", "address", &["the value from the environment is not an address"]);
    one("discover: <<\"${TEST_WORD}\">>", "wrong-value", &["expected true or false"]);
    one("contexts: {bot: {use: <<\"${TEST_WORD}\">>, exposure: public}}", "unknown-value", &["is not one of"]);
    one("limits: {body_bytes: <<\"${TEST_WORD}\">>}", "wrong-value", &["found the value from the environment"]);
}

#[test]
fn a_host_that_calls_the_model_by_an_unknown_name_asks_for_it() {
    one(
        "deployments: [{<<id>>: a, model: kanana-1.5-8b, host: groq, key: \"${TEST_KEY}\"}]",
        "name-required",
        &["the catalog does not know what Groq calls `kanana-1.5-8b`", "add `name:`"],
    );
}

#[test]
fn a_deployment_needs_the_keys_of_its_place_and_refuses_those_of_others() {
    one("deployments: [{<<id>>: a, model: qwen3-32b, engine: native}]", "missing-key", &["needs the key `path`"]);
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, base_url: <<\"http://127.0.0.1\">>}]",
        "misplaced-key",
        &["`base_url` says nothing about an engine in this process"],
    );
    one("deployments: [{<<id>>: a, model: qwen3-32b, host: deepinfra}]", "no-key", &["${DEEPINFRA_API_KEY}"]);
    one("deployments: [{<<id>>: a, model: qwen3-32b, host: groq, engine: native}]", "two-places", &["keep one of"]);
    one("deployments: [{id: a, model: pointsman-demo, engine: <<llama>>}]", "unknown-engine", &["`native`", "`auto`"]);
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: <<llama-cpp>>}]",
        "missing-key",
        &["built in", "`engine: native`"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, gpu_layers: <<3>>}]",
        "misplaced-key",
        &["`gpu_layers` says nothing about an engine that computes on processors"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, adapter: <<keys.yaml>>}]",
        "not-an-adapter",
        &["which model `pointsman-demo` adapts"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, mmproj: <<keys.yaml>>}]",
        "no-projectors",
        &["the engine `native` loads no projectors", "`llama-cpp` does"],
    );
    one(
        "deployments: [{id: a, model: qwen3-32b, host: groq, key: \"${TEST_KEY}\", mmproj: <<keys.yaml>>}]",
        "misplaced-key",
        &["`mmproj` says nothing about a host"],
    );
    one(
        "deployments: [{id: a, model: qwen3-32b, host: groq, key: \"${TEST_KEY}\", draft: {<<model>>: qwen3-8b, path: a.gguf}}]",
        "misplaced-key",
        &["`draft` says nothing about a host"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, draft: {model: <<qwen3-8>>, path: keys.yaml}}]",
        "unknown-model",
        &["deployment `a` has a draft that the catalog does not have"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, draft: {model: qwen3-8b, path: <<keys.yaml>>}}]",
        "wrong-draft",
        &["the engine `native` cannot have it guess for the weights"],
    );
    one(
        "deployments: [{id: a, model: bge-m3, engine: <<native>>, path: keys.yaml}]",
        "wrong-task",
        &["`native` makes text with the file, and `bge-m3` is not asked for that"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, isq: <<Q4K>>}]",
        "misplaced-key",
        &["`native` takes weights as they are; `engine: mistralrs` with a folder of safetensors does not"],
    );
    one(
        "deployments: [{id: a, model: qwen3-32b, host: groq, key: \"${TEST_KEY}\", isq: <<Q4K>>}]",
        "misplaced-key",
        &["`isq` says nothing about a host"],
    );
    one(
        "deployments: [{id: a, model: qwen3-32b, host: groq, key: \"${TEST_KEY}\", cache_type: <<q8_0>>}]",
        "misplaced-key",
        &["`cache_type` says nothing about a host"],
    );
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, cache_type: <<q8_1>>}]",
        "unknown-value",
        &["q8_0"],
    );
    one("deployments: [{id: a, model: qwen3-32b, server: <<vlm>>}]", "unknown-server", &["did you mean `vllm`?"]);
}

#[test]
fn two_deployments_with_one_id_are_refused_at_the_second() {
    let demo = "model: pointsman-demo, engine: native";
    one(&format!("deployments: [{{id: a, {demo}}}, {{id: <<a>>, {demo}}}]"), "duplicate-id", &["two deployments `a`"]);
}

#[test]
fn a_key_does_not_travel_unencrypted_beyond_this_machine() {
    one(
        "deployments: [{id: a, model: qwen3-32b, server: vllm, key: \"${TEST_KEY}\", base_url: <<\"http://10.0.0.1/v1\">>}]",
        "unencrypted-key",
        &["use `https`"],
    );
}

#[test]
fn administration_has_an_address_of_its_own() {
    one("listen: 127.0.0.1:1\nadmin: <<127.0.0.1:1>>", "same-address", &["another port"]);
}

#[test]
fn a_file_that_is_named_and_not_there_is_reported_where_it_is_named() {
    one("policies: [<<nope.yaml>>]", "unreadable-file", &["there is no such file"]);
    one("catalog: [<<nope.yaml>>]", "unreadable-file", &["catalog file"]);
    one(
        "deployments: [{id: a, model: pointsman-demo, engine: native, path: <<no.gguf>>}]",
        "unreadable-file",
        &["no such file or folder of weights"],
    );
}

#[test]
fn text_that_is_no_yaml_is_pointed_at() {
    one("deployments:\n  - <<>>{id: a\n    model: b", "yaml", &["unclosed bracket"]);
    one("listen: 127.0.0.1:1\n<<listen>>: 127.0.0.1:2", "duplicate-key", &["`listen` stands twice"]);
    one("deployments: <<3>>", "wrong-value", &["expected a list, found a number"]);
}

#[test]
fn a_yaml_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let report = errors(&text);
    assert!(report.starts_with("error[yaml-limit]"), "{report}");
    let deep = format!("deployments: {}", "[".repeat(100_000));
    assert!(errors(&deep).starts_with("error[yaml"), "deep nesting");
}

#[test]
fn a_file_that_is_too_large_or_not_text_is_refused_unparsed() {
    let files = Files::new([]);
    let path = files.path().join("pointsman.yaml");
    fs::write(&path, vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(files.errors().contains("larger than 4 MiB"));
    fs::write(&path, b"listen: \xff").unwrap();
    assert!(files.errors().contains("not UTF-8 text from byte 8 on"));
    fs::remove_file(&path).unwrap();
    assert!(files.errors().contains("the configuration cannot be read: there is no such file"));
}

#[test]
fn problems_of_policies_and_catalog_files_are_in_the_same_report() {
    let files = Files::new([
        ("pointsman.yaml", &with_keys("policies: [p.yaml]\ncatalog: [c.yaml]\nlisten: here")),
        ("keys.yaml", "keys: []"),
        ("p.yaml", "version: 1\nroutes:\n  - name: a\n    candidates: [qwen3-23b]\n"),
        ("c.yaml", "models:\n  - id: acme-1\n    licens: x\n"),
    ]);
    let report = files.errors();
    for expected in [
        "error[address]: `here` is not an address\n --> pointsman.yaml:3:9",
        "error[unknown-key]: there is no key `licens` here\n --> c.yaml:3:5",
        "error[unknown-model]: route `a` names a model the catalog does not have\n --> p.yaml:4:18",
    ] {
        assert!(report.contains(expected), "`{expected}` is missing:\n{report}");
    }
}

#[test]
fn a_model_of_a_catalog_file_that_cannot_be_read_is_not_called_unknown() {
    let files = Files::new([
        ("pointsman.yaml", &with_keys("catalog: [c.yaml]\ndeployments: [{id: a, model: acme-1, server: vllm}]")),
        ("keys.yaml", "keys: []"),
        ("c.yaml", "models: 3"),
    ]);
    let report = files.errors();
    assert!(!report.contains("unknown-model"), "{report}");
}

#[test]
fn a_fact_that_is_no_header_holds_a_credential_or_stands_twice_is_refused() {
    let shown = errors("facts: {headers: [X-Tier, x-tier, authorization, \"a b\"], metadata: [\"\"]}");
    assert!(shown.contains("error[duplicate-fact]: the header `x-tier` is declared twice"), "{shown}");
    assert!(shown.contains("error[bad-fact]: `authorization` cannot be a fact"), "{shown}");
    assert!(shown.contains("holds a credential"), "{shown}");
    assert!(shown.contains("error[bad-fact]: `a b` cannot be a fact"), "{shown}");
    assert!(shown.contains("error[bad-fact]: `` cannot be a fact"), "{shown}");
}

#[test]
fn what_is_personal_is_declared_and_a_wrong_name_is_told_the_nearest() {
    let shown = errors("facts: {headers: [x-user], metadata: [project], personal: [X-User, project, x-usr]}");
    assert!(shown.contains("error[unknown-name]: `x-usr` is not declared"), "{shown}");
    assert!(shown.contains("did you mean `x-user`?") && shown.matches("error[").count() == 1, "{shown}");
    one("ledger: {pseudonym_days: <<9999>>}", "out-of-range", &["expected 0 to 3660"]);
}

#[test]
fn policies_may_match_what_is_declared_and_are_told_of_what_is_not() {
    let policy =
        "version: 1\nroutes: [{name: gold, match: {header: {x-tier: gold}, team: everyon}, candidates: [any]}]\n";
    let with = |facts: &str| {
        let lines = format!(
            "{facts}\npolicies: [p.yaml]\ndeployments: [{{id: demo, model: pointsman-demo, engine: native}}]\n\
             contexts: {{bot: {{use: internal, exposure: internal}}}}\nteams: {{everyone: {{contexts: [bot]}}}}"
        );
        let files =
            Files::new([("pointsman.yaml", &with_keys(&lines) as &str), ("keys.yaml", "keys: []"), ("p.yaml", policy)]);
        match files.load() {
            Ok((config, warnings)) => (Some(config), files.plain(&warnings)),
            Err(report) => (None, files.plain(&report)),
        }
    };
    let (config, shown) = with("facts: {headers: [X-Tier, x-region]}");
    assert_eq!(config.expect(&shown).facts.headers, ["x-tier", "x-region"]);
    assert!(shown.contains("warning[unused-fact]: no policy matches `x-region`"), "{shown}");
    assert!(shown.contains("warning[unknown-team]") && shown.contains("did you mean `everyone`?"), "{shown}");
    let (config, shown) = with("facts: {headers: [x-tiers]}");
    assert!(config.is_none());
    assert!(shown.contains("error[unknown-fact]") && shown.contains("did you mean `x-tiers`?"), "{shown}");
}

#[test]
fn an_effective_context_is_a_part_of_the_window() {
    let shown = errors(
        "deployments: [{id: a, model: qwen3-32b, server: vllm, base_url: \"http://127.0.0.1:1/v1\", context: 8192, \
         effective_context: 9000}]",
    );
    assert!(shown.contains("error[out-of-range]: `effective_context` is not a part of the context window"), "{shown}");
    assert!(shown.contains("expected 1 to 8192"), "{shown}");
}

#[test]
fn replicas_say_once_where_they_are_and_each_address_is_checked() {
    let one = |replicas: &str, code: &str, words: &[&str]| {
        one(&format!("deployments: [{{id: a, model: qwen3-32b, server: vllm, {replicas}}}]"), code, words);
    };
    one("base_url: <<\"http://a/v1\">>, replicas: {urls: [\"http://b/v1\"]}", "two-addresses", &["keep one of them"]);
    one("replicas: <<{>>}", "no-replicas", &["`urls: [...]`", "`file: FILE`", "`kubernetes: SERVICE`"]);
    one(
        "replicas: {<<dns>>: a, port: 1, urls: [\"http://a\"]}",
        "two-sources",
        &["`urls`, `dns`, `file` and `kubernetes`"],
    );
    one("replicas: {urls: <<3>>}", "wrong-value", &["expected a list"]);
    one("replicas: {<<urls>>: []}", "out-of-range", &["expected 1 to 1000"]);
    one("replicas: {urls: [\"http://a/v1\", <<a>>]}", "address", &["`a` is not a base address"]);
    one("replicas: {urls: [\"http://a/v1\", <<\"http://a/v1/\">>]}", "duplicate-replica", &["stands twice"]);
    one("replicas: {urls: [\"http://a\"], port: <<1>>}", "misplaced-key", &["`port` says nothing"]);
    one("replicas: {dns: <<\"a b\">>, port: 1}", "bad-name", &["_http._tcp.NAME"]);
    one("replicas: {dns: <<a.b>>}", "missing-key", &["needs the key `port`"]);
    one("replicas: {dns: a.b, port: <<70000>>}", "out-of-range", &["1 to 65535"]);
    one("replicas: {dns: a.b, port: <<http>>}", "wrong-value", &["is a number"]);
    one("replicas: {dns: a.b, port: <<true>>}", "wrong-value", &["its number, or its name"]);
    one("replicas: {dns: _http._tcp.a, port: <<80>>}", "misplaced-key", &["tells its ports"]);
    one("replicas: {dns: <<a.b>>, port: 443, scheme: https}", "nameless-replicas", &["certificates"]);
    one("replicas: {dns: _http._tcp.a, scheme: <<htps>>}", "unknown-value", &["did you mean `https`?"]);
    one("replicas: {dns: _http._tcp.a, path: <<v1>>}", "address", &["`/v1`"]);
    one("replicas: {dns: _http._tcp.a, <<pth>>: /v1}", "unknown-key", &["did you mean `path`?"]);
    one("replicas: {file: <<nope.txt>>}", "unreadable-file", &["there is no such file"]);
    one("key: \"${TEST_KEY}\", replicas: {dns: <<_http._tcp.a>>}", "unencrypted-key", &["`scheme: https`"]);
    one("key: \"${TEST_KEY}\", replicas: {urls: [<<\"http://10.0.0.1\">>]}", "unencrypted-key", &["use `https`"]);
    let shown =
        errors("deployments: [{id: a, model: pointsman-demo, engine: native, replicas: {urls: [\"http://a\"]}}]");
    assert!(shown.contains("`replicas` says nothing about an engine in this process"), "{shown}");
}

#[test]
fn a_network_that_evidence_may_be_on_is_pointed_at_where_it_is_none() {
    for (written, words) in [
        ("intranet", &["is no network", "such as 10.1.0.0/16"][..]),
        ("10.1.0.0/33", &["expected an address and how many of its first bits count"]),
        ("10.1.2.3/16", &["it has bits beyond its first 16", "the first address of the network"]),
    ] {
        one(&format!("ledger: {{evidence_from: [127.0.0.1, <<{written}>>]}}"), "bad-network", words);
    }
}

#[test]
fn a_service_in_kubernetes_is_named_as_kubernetes_names_things() {
    let one = |replicas: &str, code: &str, words: &[&str]| {
        one(&format!("deployments: [{{id: a, model: qwen3-32b, server: vllm, {replicas}}}]"), code, words);
    };
    one("replicas: {<<kubernetes>>: a, urls: [\"http://a\"]}", "two-sources", &["keep one of"]);
    one("replicas: {dns: _http._tcp.a, namespace: <<ml>>}", "misplaced-key", &["that Kubernetes does not tell"]);
    let long = "a".repeat(64);
    for name in ["vllm.ml", "Vllm", "-a", "a-", "\"\"", &long] {
        one(&format!("replicas: {{kubernetes: <<{name}>>}}"), "bad-name", &["the name of a service", "lower-case"]);
        one(&format!("replicas: {{kubernetes: a, namespace: <<{name}>>}}"), "bad-name", &["the name of a namespace"]);
        one(&format!("replicas: {{kubernetes: a, port: <<{name}>>}}"), "bad-name", &["the name of a port"]);
    }
    one("replicas: {kubernetes: a, port: <<0>>}", "out-of-range", &["1 to 65535"]);
    one("replicas: {urls: [\"http://a\"], <<namspace>>: b}", "unknown-key", &["did you mean `namespace`?"]);
    one("key: \"${TEST_KEY}\", replicas: {kubernetes: <<a>>}", "unencrypted-key", &["`scheme: https`"]);
}

#[cfg(not(feature = "kubernetes"))]
#[test]
fn a_build_that_cannot_ask_kubernetes_says_how_to_get_one_that_can() {
    let lines = "deployments: [{id: a, model: qwen3-32b, server: vllm, replicas: {kubernetes: <<vllm>>}}]";
    one(lines, "missing-feature", &["this build cannot ask Kubernetes", "build with `--features kubernetes`"]);
}

#[test]
fn when_a_model_is_loaded_is_said_of_engines_alone() {
    let at = |rest: &str| format!("deployments: [{{id: a, model: pointsman-demo, {rest}}}]");
    let elsewhere = "model: qwen3-32b, server: vllm, base_url: \"http://127.0.0.1:1/v1\"";
    one(&format!("deployments: [{{id: a, {elsewhere}, load: <<demand>>}}]"), "misplaced-key", &["about a server"]);
    one(&format!("deployments: [{{id: a, {elsewhere}, pinned: <<true>>}}]"), "misplaced-key", &["remove it"]);
    one(&at("engine: native, load: <<later>>"), "unknown-value", &["start", "demand"]);
    one(&at("engine: native, pinned: <<yes please>>"), "wrong-value", &["true or false"]);
}

#[test]
fn models_of_this_process_are_loaded_at_the_start_and_kept_unless_the_file_says_otherwise() {
    use crate::residency::{Keep, Settings, WhileLoading};
    let read = |lines: &str| {
        let config = Files::new([("pointsman.yaml", &*with_keys(lines)), ("keys.yaml", "keys: []")]).config();
        (config.local, config.deployments.iter().map(|deployment| deployment.keep).collect::<Vec<_>>())
    };
    let usual = read("deployments: [{id: a, model: pointsman-demo, engine: native}]");
    assert_eq!(usual, (Settings::default(), vec![Keep { on_demand: false, pinned: false }]));
    let said = "local: {memory: 2GiB, keep_free: 0, unload_after: 30m, while_loading: refuse, load_within: 1m, waiting: 9, \
                packed_bytes: 0}\n\
                deployments: [{id: a, model: pointsman-demo, engine: native, load: demand, pinned: true}]";
    let settings = Settings {
        memory: Some(2 << 30),
        keep_free: 0.0,
        unload_after: Some(std::time::Duration::from_secs(1_800)),
        while_loading: WhileLoading::Refuse,
        load_within: std::time::Duration::from_secs(60),
        waiting: 9,
        packed_bytes: 0,
    };
    assert_eq!(read(said), (settings, vec![Keep { on_demand: true, pinned: true }]));
    assert_eq!(read("local: {memory: auto}").0.memory, None);
}

#[cfg(feature = "kubernetes")]
#[test]
fn a_service_in_kubernetes_is_watched_as_it_is_written() {
    use crate::config::Target;
    use remote::{FormOf, KubernetesService, Replicas, ServicePort};
    let read = |replicas: &str| {
        let text = format!("deployments: [{{id: a, model: qwen3-32b, server: vllm, replicas: {replicas}}}]");
        let config = Files::new([("pointsman.yaml", &*with_keys(&text)), ("keys.yaml", "keys: []")]).config();
        match &config.deployments[0].target {
            Target::Fleet { replicas: Replicas::Kubernetes(service), .. } => service.clone(),
            other => panic!("{other:?}"),
        }
    };
    let form = |https| FormOf { https, path: "/v1".into() };
    let service = |namespace: Option<&str>, port, https| KubernetesService {
        name: "vllm".into(),
        namespace: namespace.map(str::to_owned),
        port,
        form: form(https),
    };
    assert_eq!(read("{kubernetes: vllm}"), service(None, None, false));
    let named = Some(ServicePort::Named("http".into()));
    assert_eq!(read("{kubernetes: vllm, namespace: ml, port: http}"), service(Some("ml"), named, false));
    let numbered = Some(ServicePort::Numbered(8000));
    assert_eq!(read("{kubernetes: vllm, port: 8000, scheme: https}"), service(None, numbered, true));
}

#[test]
fn a_line_of_a_file_of_replicas_that_cannot_be_used_is_pointed_at_in_that_file() {
    let lines = "deployments: [{id: a, model: qwen3-32b, server: vllm, replicas: {file: replicas.txt}}]";
    let files = |text: &str| {
        Files::new([("pointsman.yaml", &with_keys(lines)), ("keys.yaml", "keys: []"), ("replicas.txt", text)]).errors()
    };
    let expected = "\
error[bad-replica]: this file of replicas cannot be used: it is neither an address such as `http://10.0.0.1:8000/v1` nor `HOST:PORT`
 --> replicas.txt:2:1
  |
2 | 10.0.0.2 # no port
  | ^^^^^^^^
  |
  = hint: one replica a line, as HOST:PORT or as a base address; `#` begins a comment";
    assert_eq!(files("10.0.0.1:8000\n10.0.0.2 # no port\n"), expected);
    assert!(files("# nobody yet\n").contains("it names no endpoint"));
    let many = files(&"x\n".repeat(1000));
    assert_eq!(many.matches("error[bad-replica]").count(), 20, "enough to see what is wrong");
}

/// The one problem of an issuer that is otherwise in order is this code, at the marked words.
#[track_caller]
fn of_tokens(issuer: &str, code: &str, words: &[&str]) {
    let around = format!(
        "contexts: {{office: {{use: internal, exposure: internal}}, lab: {{use: research, exposure: internal}}}}\n\
         teams: {{red: {{contexts: [office]}}}}\ntokens: [{issuer}]"
    );
    one(&around, code, words);
}

#[test]
fn each_mistake_about_an_issuer_of_tokens_is_told_at_its_place() {
    let rest = "audience: [a], rules: [{team: red, context: office}]";
    for (start, code, words) in [
        ("issuer: <<\"http://login.example.com\">>", "unencrypted-issuer", &["use `https`"][..]),
        ("issuer: <<login>>", "address", &["cannot be asked for keys", "https://login.example.com/"]),
        ("issuer: <<\"https://login.example.com/?a=b\">>", "address", &["cannot hold `?`"]),
        ("issuer: \"https://a.example/\", jwks_url: <<\"http://a.example/keys?x\">>", "unencrypted-issuer", &[]),
        ("issuer: \"https://a.example/\", leeway: <<1h>>", "out-of-range", &["at most 300 s"]),
        ("issuer: \"https://a.example/\", algorithms: <<[>>]", "out-of-range", &["expected 1 to 9"]),
        ("issuer: \"https://a.example/\", algorithms: [<<HS256>>]", "unknown-value", &["RS256", "EdDSA"]),
        ("issuer: \"https://a.example/\", algorithms: [<<none>>]", "unknown-value", &[]),
        ("issuer: \"https://a.example/\", <<jwks_uri>>: x", "unknown-key", &["did you mean `jwks_url`?"]),
    ] {
        of_tokens(&format!("{{{start}, {rest}}}"), code, words);
    }
    let start = "issuer: \"https://a.example/\"";
    for (rest, code, words) in [
        ("audience: <<[>>], rules: [{team: red, context: office}]", "out-of-range", &["expected 1 to 16"][..]),
        ("audience: [a], rules: <<[>>]", "out-of-range", &["`rules` has 0 entries"]),
        ("audience: [a], rules: [{team: <<blue>>, context: office}]", "unknown-name", &["there are `red`"]),
        (
            "audience: [a], rules: [{team: red, context: <<lab>>}]",
            "unknown-name",
            &["context of team `red`", "`office`"],
        ),
        ("audience: [a], rules: [{claim: <<groups>>, team: red, context: office}]", "half-a-rule", &["`equals`"]),
        (
            "audience: [a], rules: [{team: red, context: office, scope: {models: <<[>>]}}]",
            "bad-scope",
            &["has 0 names"],
        ),
    ] {
        of_tokens(&format!("{{{start}, {rest}}}"), code, words);
    }
    let twice = format!("{{{start}, audience: [a], rules: [{{team: red, context: office}}]}}");
    of_tokens(
        &format!("{twice}, {}", twice.replace(start, "issuer: <<\"https://a.example/\">>")),
        "duplicate-issuer",
        &[],
    );
}

#[test]
fn tokens_stand_in_for_a_keys_file_and_a_rule_that_is_never_asked_is_a_warning() {
    let text = "\
contexts: {office: {use: internal, exposure: internal}}
teams: {red: {contexts: [office]}}
tokens:
  - issuer: https://a.example:8443/realm
    audience: [gateway]
    rules:
      - {claim: groups, equals: eng, team: red, context: office, scope: {routes: [nowhere], models: [qwen3-8b]}}
      - {team: red, context: office}
      - {claim: groups, equals: ops, team: red, context: office}
";
    let files = Files::new([("pointsman.yaml", text)]);
    let (config, warnings) = files.load().unwrap_or_else(|report| panic!("{report}"));
    let issuer = &config.issuers[0];
    assert_eq!((issuer.host.as_str(), issuer.rules.len(), issuer.algorithms.len()), ("a.example:8443", 3, 3));
    assert_eq!(issuer.rules[0].scope.as_ref().unwrap().models, ["qwen3-8b"]);
    let text = files.plain(&warnings);
    assert!(text.contains("warning[unreachable-rule]") && text.contains("pointsman.yaml:9:10"), "{text}");
    assert!(text.contains("a rule for team `red` is bound to `nowhere`, which is no route"), "{text}");
}
