//! What a LiteLLM configuration becomes: files that our own loader and policy compiler take, and findings that name every
//! key and no secret.

use std::fs;

use super::{finding::Grade::*, *};
use crate::config::{Config, Environment, Overrides, Target, load, source::Source};

/// A proxy as companies run it: groups of several deployments, fallbacks of each kind, limits, callbacks, and secrets.
const FILE: &str = r#"
model_list:
  - model_name: chat
    litellm_params:
      model: groq/llama-3.3-70b-versatile
      api_key: os.environ/GROQ_API_KEY
      rpm: 600
      timeout: 30
    model_info: {id: groq-chat}
  - model_name: chat
    litellm_params:
      model: together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo
      api_key: sk-together-in-clear
      timeout: 60
      stream_timeout: 2.5
  - model_name: small
    litellm_params:
      model: hosted_vllm/Qwen/Qwen3-8B
      api_base: https://lab.example.com/v1/
      api_key: sk-lab-in-clear
      input_cost_per_token: 0.00000059
      output_cost_per_token: 7.9e-07
      order: 1
      temperature: 0.2
  - model_name: small
    litellm_params: {model: ollama/qwen3-8b, api_base: "http://localhost:11434", order: 2}
  - model_name: house
    litellm_params: {model: openai/our-own-7b, api_base: "https://user:pw-in-clear@house.example.com/v1?key=q-in-clear"}
  - model_name: gpt-4o
    litellm_params: {model: azure/gpt-4o-eu, api_key: os.environ/AZURE_API_KEY, api_version: "2024-02-01"}
  - model_name: vectors
    litellm_params: {model: together_ai/BAAI/bge-base-en-v1.5}
    model_info: {mode: embedding}
  - model_name: open
    litellm_params: {model: hosted_vllm/qwen3-32b, api_base: "http://10.0.0.5:8000/v1", api_key: os.environ/LAB_KEY}
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 2
  timeout: 45
  allowed_fails: 3
  model_group_alias: {default-chat: chat, ghost: gpt-4o}
  fallbacks:
    - chat: [small, gpt-4o]
  redis_password: redis-in-clear
litellm_settings:
  drop_params: true
  success_callback: [langfuse]
  context_window_fallbacks: [{small: [chat]}]
  content_policy_fallbacks: [{chat: [small]}]
general_settings:
  master_key: sk-master-in-clear
  database_url: postgresql://u:db-in-clear@db/litellm
environment_variables: {LANGFUSE_SECRET_KEY: lf-in-clear}
sruter_settings: {}
"#;

fn imported(text: &str) -> Imported {
    let source = Source::new("litellm.yaml", text);
    let mut problems = Problems::default();
    let tree = yaml::parse(&source, &mut problems).unwrap_or_else(|| panic!("{}", problems.into_report()));
    litellm::import(&source, &tree, &Catalog::builtin())
}

/// The configuration as our own loader takes it, and what it warns of.
fn loaded(imported: &Imported) -> (Config, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &imported.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("keys.yaml"), "keys: []").unwrap();
    let environment = Environment::of([
        ("GROQ_API_KEY", "g"),
        ("TOGETHER_API_KEY", "t"),
        ("HOSTED_VLLM_QWEN3_8B_API_KEY", "v"),
        ("OPENAI_OUR_OWN_7B_BASE_URL", "https://house.example.com/v1"),
        ("LAB_KEY", "l"),
    ]);
    let (config, warnings) = load(&folder.path().join("pointsman.yaml"), &Overrides::default(), &environment)
        .unwrap_or_else(|report| panic!("{report}\n{}\n{}", imported.files[0].1, imported.files[1].1));
    (config, warnings.to_string())
}

/// The grade and text of the findings whose `read` begins so.
fn found<'a>(imported: &'a Imported, read: &str) -> Vec<(Grade, usize, &'a str)> {
    let all = imported.findings.iter().filter(|finding| finding.read.starts_with(read));
    all.map(|finding| (finding.grade, finding.line, finding.became.as_str())).collect()
}

#[test]
fn what_is_written_loads_and_deploys_what_the_catalog_knows() {
    let imported = imported(FILE);
    let (config, warnings) = loaded(&imported);
    assert_eq!(warnings, "", "{}", imported.files[1].1);
    let ids: Vec<_> = config.deployments.iter().map(|d| (d.facts.id.as_str(), d.facts.model.as_str())).collect();
    assert_eq!(
        ids,
        [
            ("groq-chat", "llama-3.3-70b-instruct"),
            ("together_ai/Llama-3.3-70B-Instruct-Turbo", "llama-3.3-70b-instruct"),
            ("hosted_vllm/Qwen3-8B", "qwen3-8b"),
            ("ollama/qwen3-8b", "qwen3-8b"),
        ]
    );
    let Target::Remote { base_url, name, key, .. } = &config.deployments[2].target else { panic!("remote") };
    assert_eq!(
        (base_url.as_str(), name.as_str(), key.is_some()),
        ("https://lab.example.com/v1", "Qwen/Qwen3-8B", true)
    );
    let Target::Remote { base_url, .. } = &config.deployments[3].target else { panic!("remote") };
    assert_eq!(base_url, "http://localhost:11434/v1");
    let facts = &config.deployments[2].facts;
    assert_eq!((facts.input_usd_per_million, facts.output_usd_per_million), (Some(0.59), Some(0.79)));
}

#[test]
fn each_name_becomes_a_route_with_its_fallbacks_after_it() {
    let policies = &imported(FILE).files[1].1;
    let chat = "  - name: litellm/chat
    match: {model: [chat, default-chat]}
    candidates: [llama-3.3-70b-instruct, hosted_vllm/Qwen3-8B, ollama/qwen3-8b]
    attempts: {max: 4, deadlines: {first_token: 2500ms, total: 60s}}
";
    let small = "  - name: litellm/small
    match: {model: [small]}
    candidates: [hosted_vllm/Qwen3-8B, ollama/qwen3-8b, llama-3.3-70b-instruct]
    attempts: {max: 4, deadlines: {total: 45s}}
";
    assert!(policies.contains(chat) && policies.ends_with(small), "{policies}");
    assert_eq!(policies.matches("- name").count(), 2, "{policies}");
}

#[test]
fn a_group_without_fallbacks_is_weighed_by_the_strategy() {
    let file = |strategy: &str| {
        format!(
            "model_list:
  - {{model_name: a, litellm_params: {{model: groq/llama-3.3-70b-versatile}}}}
  - {{model_name: a, litellm_params: {{model: hosted_vllm/qwen3-8b, api_base: 'https://x.example.com/v1'}}}}
router_settings: {{routing_strategy: {strategy}}}
"
        )
    };
    for (strategy, prefer, grade) in [
        ("latency-based-routing", "prefer: {latency: 1}", Exact),
        ("cost-based-routing", "prefer: {cost: 1}", Exact),
        ("simple-shuffle", "prefer: {latency: 1}", Approximate),
        ("least-busy", "prefer: {latency: 1}", Approximate),
    ] {
        let imported = imported(&file(strategy));
        assert!(imported.files[1].1.contains(prefer), "{strategy}: {}", imported.files[1].1);
        assert_eq!(found(&imported, "a: 2 deployments")[0].0, grade, "{strategy}");
        loaded(&imported);
    }
}

#[test]
fn weights_are_told_to_be_an_order_and_no_share() {
    let imported = imported(
        "model_list:
  - {model_name: a, litellm_params: {model: groq/llama-3.3-70b-versatile, weight: 1}}
  - {model_name: a, litellm_params: {model: hosted_vllm/qwen3-8b, api_base: 'https://x.example.com/v1', weight: 9}}
",
    );
    assert!(imported.files[1].1.contains("candidates: [hosted_vllm/qwen3-8b, groq/llama-3.3-70b-versatile]"));
    let [(Approximate, 2, became)] = found(&imported, "a: 2 deployments")[..] else { panic!("one finding") };
    assert!(became.contains("shares by weight are not kept"), "{became}");
}

#[test]
fn no_secret_of_the_file_is_printed_or_copied() {
    let imported = imported(FILE);
    let json = serde_json::to_string(&imported.findings).unwrap();
    let all = [&imported.files[0].1, &imported.files[1].1, &text(&imported, None), &json].map(String::as_str).concat();
    assert_eq!(FILE.matches("in-clear").count(), 8, "the file holds them");
    assert!(!all.contains("in-clear"), "{all}");
    assert!(imported.files[0].1.contains("key: \"${TOGETHER_API_KEY}\""), "{}", imported.files[0].1);
    assert_eq!(found(&imported, "api_key, in clear").len(), 2);
    assert!(found(&imported, "api_base")[0].2.contains("`OPENAI_OUR_OWN_7B_BASE_URL`"));
}

#[test]
fn what_cannot_be_served_stays_as_a_comment_with_the_reason() {
    let imported = imported(FILE);
    let config = &imported.files[0].1;
    for (comment, why) in [
        ("#- {id: azure/gpt-4o-eu", "`azure` is no host that is spoken to"),
        ("#- {id: openai/our-own-7b", "the catalog does not know `our-own-7b`"),
        ("#- {id: together_ai/bge-base-en-v1.5", "it is for `embedding`, and only chat and completions are served"),
        ("#- {id: hosted_vllm/qwen3-32b", "its key would travel unencrypted"),
    ] {
        let at = config.find(comment).unwrap_or_else(|| panic!("{comment}: {config}"));
        assert!(config[..at].lines().rev().nth(1).is_some_and(|line| line.contains(why)), "{why}: {config}");
    }
    assert_eq!(found(&imported, "gpt-4o: model")[0].0, Unsupported);
    assert_eq!(found(&imported, "house: model")[0].0, Manual);
    assert_eq!(found(&imported, "open: model")[0].0, Manual);
    assert_eq!(found(&imported, "model_name: gpt-4o")[0].0, Manual, "no route without a deployment");
}

#[test]
fn every_key_is_told_with_its_line_and_grade() {
    let imported = imported(FILE);
    let line = |words: &str| FILE.lines().position(|line| line.contains(words)).unwrap() + 1;
    for (read, grade, words) in [
        ("chat: model: groq", Exact, "  - model_name: chat"),
        ("chat: rpm", Unsupported, "rpm: 600"),
        ("chat: timeout", Approximate, "timeout: 30"),
        ("chat: 2 deployments, latency", Approximate, "  - model_name: chat"),
        ("small: temperature", Unsupported, "temperature"),
        ("the costs per token", Exact, "input_cost_per_token"),
        ("router_settings: num_retries", Approximate, "num_retries"),
        ("router_settings: timeout", Exact, "timeout: 45"),
        ("router_settings: allowed_fails", Unsupported, "allowed_fails"),
        ("router_settings: redis_password", Unsupported, "redis_password"),
        ("model_group_alias: default-chat", Exact, "model_group_alias"),
        ("model_group_alias: ghost", Manual, "model_group_alias"),
        ("fallbacks: chat: small, gpt-4o", Manual, "- chat: [small"),
        ("litellm_settings: drop_params", Approximate, "drop_params"),
        ("litellm_settings: success_callback", Unsupported, "success_callback"),
        ("litellm_settings: context_window_fallbacks", Approximate, "context_window"),
        ("litellm_settings: content_policy_fallbacks", Unsupported, "content_policy"),
        ("general_settings: master_key", Manual, "master_key"),
        ("general_settings: database_url", Exact, "database_url"),
        ("environment_variables: LANGFUSE_SECRET_KEY", Manual, "LANGFUSE"),
        ("sruter_settings", Unsupported, "sruter"),
    ] {
        let all = found(&imported, read);
        let Some((found, at, _)) = all.first() else { panic!("{read} is not told") };
        assert_eq!((*found, *at), (grade, line(words)), "{read}");
    }
    assert!(imported.findings.is_sorted_by_key(|finding| finding.line));
    let text = text(&imported, None);
    assert!(text.contains("litellm.yaml:7: chat: rpm"), "{text}");
    assert!(text.lines().last().unwrap().contains("findings: "), "{text}");
}

#[test]
fn a_file_without_models_becomes_files_that_load() {
    for text in
        ["", "model_list: []", "model_list: [1, {model_name: a}]", "router_settings: {fallbacks: [{a: [b]}, 3]}"]
    {
        let imported = imported(text);
        let (config, _) = loaded(&imported);
        assert!(config.deployments.is_empty(), "{text}");
        assert!(imported.findings.iter().any(|finding| finding.grade == Manual), "{text}");
    }
}

#[test]
fn names_of_any_kind_become_files_that_load() {
    for name in ["direct", "a b", "x: y", "\"q\"", "오늘", "${HOME}", "no", "1", "# x", "a\nb", "[", "-"] {
        // JSON is YAML.
        let file = serde_json::json!({"model_list": [
            {"model_name": name, "litellm_params": {"model": "groq/llama-3.3-70b-versatile"}, "model_info": {"id": name}},
            {"model_name": "other", "litellm_params": {"model": format!("ollama/{name}")}},
        ]});
        let imported = imported(&file.to_string());
        let (config, _) = loaded(&imported);
        assert_eq!(config.deployments.len(), 1, "{name}: {}", imported.files[0].1);
        assert!(imported.files[1].1.contains("litellm/"), "{name}: {}", imported.files[1].1);
    }
}

#[test]
fn a_closed_model_behind_an_address_is_no_deployment_and_a_server_without_one_is_told() {
    let imported = imported(
        "model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o, api_base: 'https://api.openai.com/v1'}}
  - {model_name: b, litellm_params: {model: hosted_vllm/qwen3-8b}}
  - {model_name: c, litellm_params: {model: openai/qwen3-8b, api_base: 'http://[::1]:9/v1', api_key: os.environ/LAB_KEY}}
  - {model_name: d, litellm_params: {model: openai/llama-3.3-70b-versatile, api_base: 'https://api.groq.com/openai/v1/'}}
",
    );
    let (config, _) = loaded(&imported);
    let ids: Vec<_> = config.deployments.iter().map(|deployment| deployment.facts.id.as_str()).collect();
    assert_eq!(ids, ["hosted_vllm/qwen3-8b", "openai/qwen3-8b", "openai/llama-3.3-70b-versatile"]);
    let Target::Remote { host, .. } = &config.deployments[2].target else { panic!("remote") };
    assert_eq!(host.as_deref(), Some("groq"), "a host's own address is the host");
    assert!(found(&imported, "a: model")[0].2.contains("OpenAI publishes no weights of `gpt-4o`"));
    assert_eq!(found(&imported, "hosted_vllm without api_base")[0].0, Approximate);
}

#[test]
fn no_more_entries_are_read_than_the_bound_and_that_is_told() {
    let mut file = "model_list:\n".to_owned();
    for _ in 0..2_001 {
        file += "  - {model_name: a, litellm_params: {model: groq/llama-3.3-70b-versatile}}\n";
    }
    let imported = imported(&file);
    assert_eq!(imported.files[0].1.matches("- {id").count(), 2_000);
    assert_eq!(found(&imported, "model_list"), [(Manual, 2_002, "nothing from here on: 2000 entries are read")]);
}

#[test]
fn files_that_are_there_are_replaced_by_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("pointsman.yaml", "a".to_owned()), ("policies.yaml", "b".to_owned())];
    fs::write(folder.path().join("policies.yaml"), "mine").unwrap();
    let error = write(folder.path(), &files, false).unwrap_err().to_string();
    assert!(error.contains("policies.yaml is there already; --force replaces it"), "{error}");
    assert!(!folder.path().join("pointsman.yaml").exists(), "neither is written");
    write(folder.path(), &files, true).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("policies.yaml")).unwrap(), "b");
}
