//! Keys, contexts and licences: who may use which model for what.

use scripted::{Host, Script};
use serde_json::json;
use tests::Pointsman;

use crate::pointsman;

fn config(host: &Host) -> String {
    format!(
        r#"
deployments:
  - {{id: demo, model: pointsman-demo, engine: native}}
  - {{id: lab-mistral, model: mistral-large-2, server: vllm, base_url: "{base}"}}
  - {{id: lab-qwen, model: qwen3-32b, server: vllm, base_url: "{base}"}}
contexts:
  support-bot: {{use: revenue, exposure: public, seat: DE}}
  lab: {{use: research, exposure: internal, seat: DE}}
teams:
  support: {{contexts: [support-bot]}}
  science: {{contexts: [lab]}}
keys: keys.yaml
"#,
        base = host.base_url()
    )
}

async fn gateway(host: &Host, team: &str, context: &str) -> Pointsman {
    let builder = pointsman().config(&config(host));
    let key = builder.key(team, context);
    let stored = std::fs::read_to_string(builder.folder().join("keys.yaml")).unwrap();
    assert!(!stored.contains(&key), "only a hash is kept");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    gateway
}

#[tokio::test]
async fn a_research_licence_is_refused_to_a_revenue_context_with_the_way_out() {
    let host = Host::start(Script::default()).await.unwrap();
    let gateway = gateway(&host, "support", "support-bot").await;
    let (status, answer) = gateway.chat("mistral-large-2", "hi").await;
    assert_eq!(status, 403, "{answer}");
    let error = &answer["error"];
    assert_eq!(error["license"]["id"], "mistral-research", "{answer}");
    assert!(error["license"]["rule"].is_string() && error["license"]["context"] == "support-bot", "{answer}");
    let alternatives: Vec<_> =
        error["license"]["alternatives"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    assert!(alternatives.contains(&"qwen3-32b"), "{answer}");
    assert!(error["message"].as_str().unwrap().contains("Mistral"), "{answer}");
    assert!(host.requests().is_empty());
    let records = gateway.ledger();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((&records[0]["verdict"], &records[0]["refused"]["outcome"]), (&json!("license"), &json!("deny")));
    // What is refused is not offered.
    let (_, list) = gateway.get("/v1/models").await;
    assert!(!list.to_string().contains("mistral-large-2"), "{list}");
}

#[tokio::test]
async fn the_same_model_serves_a_research_context() {
    let host = Host::start(Script::default()).await.unwrap();
    let gateway = gateway(&host, "science", "lab").await;
    let (status, answer) = gateway.chat("mistral-large-2", "hi").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(host.requests().len(), 1);
    let decision = &gateway.ledger()[0];
    assert_eq!(
        (&decision["team"], &decision["context"], &decision["use"]["purpose"]),
        (&json!("science"), &json!("lab"), &json!("research"))
    );
    assert_eq!(decision["candidates"][0]["license"], "mistral-research");
}

#[tokio::test]
async fn nothing_answers_without_a_key_or_with_a_wrong_one() {
    let host = Host::start(Script::default()).await.unwrap();
    let builder = pointsman().config(&config(&host));
    let right = builder.key("science", "lab");
    let mut gateway = builder.start();
    for path in ["/v1/models", "/metrics"] {
        assert_eq!(gateway.get(path).await.0, 401, "{path}");
    }
    let (status, answer) = gateway.chat("demo", "hi").await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("missing_key")), "{answer}");
    let mut wrong = right.clone();
    wrong.replace_range(10..12, if &right[10..12] == "aa" { "bb" } else { "aa" });
    gateway.with_key(&wrong);
    let (status, answer) = gateway.chat("demo", "hi").await;
    assert_eq!(status, 401);
    assert!(!answer.to_string().contains(&wrong) && !gateway.log().contains(&wrong));
    gateway.with_key(&right);
    assert_eq!(gateway.chat("demo", "hi").await.0, 200);
    // Anthropic's clients send it here.
    let request = tests::client().get(format!("{}/v1/models", gateway.client)).header("x-api-key", right);
    assert_eq!(gateway.send(request).await.0, 200);
}

#[tokio::test]
async fn a_new_key_opens_and_a_revoked_one_closes_without_a_restart() {
    let host = Host::start(Script::default()).await.unwrap();
    let mut gateway = gateway(&host, "science", "lab").await;
    let make = ["keys", "new", "--team", "support", "--context", "support-bot", "--config", "pointsman.yaml"];
    let (code, out, error) = gateway.command(&make);
    assert_eq!(code, 0, "{error}");
    let key = out.split_whitespace().find(|word| word.starts_with("pm_")).unwrap().to_owned();
    let reload = || gateway.send(tests::client().post(format!("{}/reload", gateway.admin)));
    assert_eq!(reload().await.0, 200);
    let with = |key: &str| gateway.send(tests::client().get(format!("{}/v1/models", gateway.client)).bearer_auth(key));
    assert_eq!(with(&key).await.0, 200);
    let (_, list, _) = gateway.command(&["keys", "list", "--json", "--config", "pointsman.yaml"]);
    let keys: serde_json::Value = serde_json::from_str(&list).unwrap();
    let listed = keys.as_array().or(keys["keys"].as_array()).unwrap();
    let id = listed.iter().find(|key| key["team"] == "support").unwrap()["id"].as_str().unwrap().to_owned();
    let (code, _, error) = gateway.command(&["keys", "revoke", &id, "--config", "pointsman.yaml"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(reload().await.0, 200);
    let (status, answer) = with(&key).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("revoked_key")), "{answer}");
    gateway.with_key("pm_");
    assert_eq!(gateway.get("/v1/models").await.0, 401);
}

#[test]
fn a_configuration_without_keys_does_not_start() {
    let said = pointsman().config("deployments: [{id: demo, model: pointsman-demo, engine: native}]\n").refused();
    assert!(said.contains("keys"), "{said}");
}

/// A gateway with a model whose licence asks for the number of users, and a company's catalog file that may say it.
fn llama(host: &Host) -> String {
    format!(
        r#"
catalog: [acme.yaml]
deployments: [{{id: lab-llama, model: llama-3.3-70b-instruct, server: vllm, base_url: "{}"}}]
entities: {{acme: {{seat: DE}}}}
contexts: {{bot: {{entity: acme, use: revenue, exposure: public}}}}
teams: {{support: {{contexts: [bot]}}}}
keys: keys.yaml
"#,
        host.base_url()
    )
}

#[tokio::test]
async fn a_licence_with_a_threshold_is_refused_until_somebody_answers_for_it_and_the_record_names_who() {
    let host = Host::start(Script::default()).await.unwrap();
    let builder = pointsman().config(&llama(&host)).file("acme.yaml", "models: []\n");
    let key = builder.key("support", "bot");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let (status, answer) = gateway.chat("llama-3.3-70b-instruct", "hi").await;
    let error = &answer["error"];
    assert_eq!((status, &error["code"]), (403, &json!("license_needs_attestation")), "{answer}");
    let need = json!([{
        "license": "llama-3.3-community", "metric": "monthly-users", "scope": "group", "month": "2024-11",
        "at_most": 700_000_000,
    }]);
    assert_eq!(error["license"]["missing"], need, "{answer}");
    assert!(host.requests().is_empty());

    let attested = "attestations: [{id: users-2026, entity: acme, metric: monthly-users, at_most: 5000000, \
                    signed_by: CFO, signed: 2026-01-15, valid_until: 9999-12-31}]\n";
    assert_eq!(gateway.reload_with("acme.yaml", attested).await.0, 200);
    let (status, answer) = gateway.chat("llama-3.3-70b-instruct", "hi").await;
    assert_eq!(status, 200, "{answer}");
    let ledger = gateway.ledger();
    let decision = ledger.iter().rfind(|record| record["kind"] == "decision").unwrap();
    assert_eq!(decision["candidates"][0]["rests_on"], json!(["users-2026"]), "{decision}");
    assert_eq!(decision["use"]["entity"], "acme", "{decision}");
}

#[test]
fn a_file_of_weights_that_says_it_is_under_a_stricter_licence_is_not_served() {
    let demo =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config/models/pointsman-demo.gguf");
    let mut weights = std::fs::read(&demo).unwrap();
    let find = |bytes: &[u8], text: &str| bytes.windows(text.len()).position(|at| at == text.as_bytes()).unwrap();
    let key = find(&weights, "general.license");
    let value = key + find(&weights[key..], "apache-2.0");
    weights[value..value + 10].copy_from_slice(b"apple-amlr");
    // Also a model that would be loaded only when somebody asks for it is refused at the start.
    for load in ["start", "demand"] {
        stricter_weights_are_refused(&demo, &weights, load);
    }
}

fn stricter_weights_are_refused(demo: &std::path::Path, weights: &[u8], load: &str) {
    let config = format!(
        "deployments: [{{id: mine, model: qwen3-0.6b, engine: native, path: model.gguf, load: {load}}}]\n\
         contexts: {{office: {{use: internal, exposure: internal}}}}\nteams: {{all: {{contexts: [office]}}}}\n\
         keys: keys.yaml\n"
    );
    let builder = pointsman().config(&config).file("keys.yaml", "keys: []");
    std::fs::write(builder.folder().join("model.gguf"), weights).unwrap();
    let said = builder.refused();
    assert!(said.contains("the file says that the licence is `apple-amlr` (tier 4)"), "{said}");
    assert!(said.contains("serve it as the model that it is"), "{said}");
    // The card of a hub beside it is read too, and lowers rights alike.
    std::fs::copy(demo, builder.folder().join("model.gguf")).unwrap();
    std::fs::write(builder.folder().join("README.md"), "---\nlicense: cc-by-nc-4.0\n---\n# Mine\n").unwrap();
    let said = builder.refused();
    assert!(said.contains("the card beside the file says that the licence is `cc-by-nc-4.0` (tier 4)"), "{said}");
    std::fs::write(builder.folder().join("README.md"), "---\nlicense: [\n---\n").unwrap();
    let said = builder.refused();
    assert!(said.contains("README.md` cannot be read, and may name a stricter licence"), "{said}");
}

#[tokio::test]
async fn a_rule_of_the_company_serves_another_model_instead_and_the_record_names_the_rule() {
    let host = Host::start(Script::default()).await.unwrap();
    let rule = "rules:\n  - {id: mrl-no-business-use, match: {licenses: [mistral-research]}, unless: {purposes: [research]}, \
                then: route, to: [qwen3-32b], reason: daily work is no research}\n  \
                - {id: trial, match: {families: [qwen3]}, then: deny, mode: shadow, reason: to see who is hit}\n";
    let builder = pointsman().config(&format!("catalog: [acme.yaml]\n{}", config(&host))).file("acme.yaml", rule);
    let (office, lab) = (builder.key("support", "support-bot"), builder.key("science", "lab"));
    let mut gateway = builder.start();
    gateway.with_key(&office);
    let (status, answer) = gateway.chat("mistral-large-2", "hi").await;
    assert_eq!((status, &answer["model"]), (200, &json!("Qwen/Qwen3-32B")), "{answer}");
    let decision = &gateway.ledger()[0];
    assert_eq!(decision["model"], "mistral-large-2", "{decision}");
    assert_eq!(decision["candidates"][0]["deployment"], "lab-qwen", "{decision}");
    let said = json!([{"rule": "trial", "outcome": "deny", "enforced": false}]);
    assert_eq!(decision["candidates"][0]["rules"], said, "{decision}");
    assert_eq!(decision["rejected"]["license"], 1, "{decision}");
    // Research goes where it asked to.
    gateway.with_key(&lab);
    let (_, answer) = gateway.chat("mistral-large-2", "hi").await;
    assert!(answer["model"].as_str().is_some_and(|model| model.contains("Mistral-Large")), "{answer}");
}

#[tokio::test]
async fn what_counsel_concluded_of_a_file_of_weights_holds_for_that_file_and_no_other() {
    let demo =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config/models/pointsman-demo.gguf");
    let config = "catalog: [acme.yaml]\ndeployments: [{id: mine, model: odd-1b, engine: native, path: model.gguf}]\n\
                  contexts: {office: {use: internal, exposure: internal}}\nteams: {all: {contexts: [office]}}\n\
                  keys: keys.yaml\n";
    let clarified = |sha256: &str| {
        format!(
            "models: [{{id: odd-1b, name: Odd, family: odd, developer: Odd, availability: downloadable, license: unknown, \
             tier: 5, context_tokens: 512}}]\nclarifications: [{{id: cl-7, model: odd-1b, licenses: [apache-2.0], weights: \
             ['{sha256}'], reason: read in full, signed_by: Jane Roe, signed: 2026-02-01, valid_until: 9999-12-31}}]\n"
        )
    };
    let other = "0".repeat(64);
    let builder = pointsman().config(config).file("acme.yaml", &clarified(&other));
    std::fs::copy(&demo, builder.folder().join("model.gguf")).unwrap();
    let key = builder.key("all", "office");
    let explain = [
        "license",
        "explain",
        "odd-1b",
        "--config",
        "pointsman.yaml",
        "--context",
        "office",
        "--weights",
        "model.gguf",
    ];
    let (code, said, error) = builder.command(&explain);
    assert!(code == 1 && said.contains("weights-not-clarified"), "{said}{error}");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    let (status, answer) = gateway.chat("odd-1b", "hi").await;
    assert_eq!((status, &answer["error"]["license"]["rule"]), (403, &json!("weights-not-clarified")), "{answer}");

    let digest = std::process::Command::new("sha256sum").arg(&demo).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap()[..64].to_owned();
    assert_eq!(gateway.reload_with("acme.yaml", &clarified(&digest)).await.0, 200);
    let (status, answer) = gateway.chat("odd-1b", "hi").await;
    assert_eq!(status, 200, "{answer}");
    let ledger = gateway.ledger();
    let decision = ledger.iter().rfind(|record| record["kind"] == "decision").unwrap();
    let candidate = &decision["candidates"][0];
    assert_eq!((&candidate["weights"], &candidate["rests_on"]), (&json!(digest), &json!(["cl-7"])), "{decision}");
}

const CAPPED: &str = "\
waivers:
  - id: trial
    rules: [tier3-commercial]
    models: [mistral-large-2]
    contexts: [office]
    reason: a trial
    requested_by: Ann Lee
    approved_by: [John Doe, Jane Roe]
    created: 2026-11-01
    expires: 2027-01-20
    at_most_requests: 3
";

#[tokio::test]
async fn a_capped_waiver_carries_no_request_more_over_restarts_and_reloads() {
    let host = scripted::Host::start(scripted::Script::default()).await.unwrap();
    let builder = pointsman()
        .config(&format!(
            "keys: keys.yaml\ncatalog: [acme.yaml]\ncontexts: {{office: {{seat: DE, use: internal, exposure: internal}}}}\n\
             teams: {{all: {{contexts: [office]}}}}\n\
             deployments: [{{id: big, model: mistral-large-2, server: vllm, base_url: \"{}\", name: scripted}}]\n",
            host.base_url()
        ))
        .file("acme.yaml", CAPPED);
    let key = builder.key("all", "office");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    assert_eq!(gateway.chat("mistral-large-2", "Hello").await.0, 200);
    gateway.kill_and_restart();
    assert_eq!(gateway.chat("mistral-large-2", "Hello").await.0, 200);
    assert_eq!(gateway.reload_with("acme.yaml", &format!("{CAPPED}# again\n")).await.0, 200);
    assert_eq!(gateway.chat("mistral-large-2", "Hello").await.0, 200);
    let (status, refused) = gateway.chat("mistral-large-2", "Hello").await;
    assert_eq!((status, &refused["error"]["code"]), (403, &"license_forbids_use".into()), "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("`trial` has carried the 3 requests"), "{refused}");
    let last = gateway.ledger().pop().unwrap();
    assert_eq!((&last["kind"], &last["verdict"]), (&"decision".into(), &"none_fits".into()), "{last}");
    let (code, out, error) = gateway.command(&["audit", "exceptions", "--json", "--data-dir", "data"]);
    assert_eq!(code, 0, "{error}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let waiver = &report["tables"]["waivers"][0];
    assert_eq!((&waiver["requests"], &waiver["at_most"]), (&3.into(), &3.into()), "{waiver}");
    let raised = CAPPED.replace("at_most_requests: 3", "at_most_requests: 4");
    assert_eq!(gateway.reload_with("acme.yaml", &raised).await.0, 200);
    assert_eq!(gateway.chat("mistral-large-2", "Hello").await.0, 200);
    assert_eq!(gateway.chat("mistral-large-2", "Hello").await.0, 403);
}

#[test]
fn a_waiver_is_signed_by_those_who_approve_it_and_no_other_text_passes() {
    let builder = pointsman();
    let run = |arguments: &[&str]| {
        let (code, out, error) = builder.command(arguments);
        assert_eq!(code, 0, "{error}");
        out
    };
    let mut signers = String::new();
    for (name, key) in [("John Doe", "john.key"), ("Jane Roe", "jane.key")] {
        let row = run(&["license", "signer", "--key", key, "--name", name]);
        signers.push_str(row.trim().strip_prefix("signers: [").unwrap().strip_suffix(']').unwrap());
        signers.push_str(", ");
    }
    let unsigned = format!("signers: [{}]\n{CAPPED}", signers.trim_end_matches(", "));
    std::fs::write(builder.folder().join("acme.yaml"), &unsigned).unwrap();
    let (code, out, error) = builder.command(&["catalog", "validate", "acme.yaml"]);
    assert!(code != 0 && format!("{out}{error}").contains("license sign waiver trial"), "{out}{error}");
    let signatures: Vec<_> = [("John Doe", "john.key"), ("Jane Roe", "jane.key")]
        .map(|(name, key)| {
            let told =
                run(&["license", "sign", "waiver", "trial", "--catalog", "acme.yaml", "--key", key, "--by", name]);
            let line = told.lines().last().unwrap();
            line.strip_prefix("signatures: [").unwrap().strip_suffix(']').unwrap().to_owned()
        })
        .into();
    let signed = format!("{unsigned}    signatures: [{}]\n", signatures.join(", "));
    std::fs::write(builder.folder().join("acme.yaml"), &signed).unwrap();
    run(&["catalog", "validate", "acme.yaml"]);
    std::fs::write(builder.folder().join("acme.yaml"), signed.replace("at_most_requests: 3", "at_most_requests: 9"))
        .unwrap();
    let (code, ..) = builder.command(&["catalog", "validate", "acme.yaml"]);
    assert_ne!(code, 0, "a cap that nobody signed");
    let (code, _, error) = builder.command(&[
        "license",
        "sign",
        "waiver",
        "trial",
        "--catalog",
        "acme.yaml",
        "--key",
        "jane.key",
        "--by",
        "Mallory",
    ]);
    assert!(code == 1 && error.contains("has to be signed by John Doe and Jane Roe"), "{error}");
}

#[test]
fn an_acquisition_and_a_notice_are_told_from_the_configuration() {
    let builder = pointsman()
        .config(
            "keys: keys.yaml\ncatalog: [acme.yaml]\nentities: {acme: {seat: DE}}\n\
             contexts: {product: {entity: acme, use: revenue, exposure: public}}\nteams: {all: {contexts: [product]}}\n\
             deployments: [{id: llama, model: llama-3.3-70b-instruct, server: vllm, base_url: \"http://127.0.0.1:9/v1\"}]\n",
        )
        .file(
            "acme.yaml",
            "attestations:\n  - {id: users, entity: acme, metric: monthly-users, at_most: 100000000, signed_by: Jane Roe, \
             signed: 2026-01-15, valid_until: 2027-01-31}\n",
        );
    let acquire = |figure: &str| {
        let figure = format!("monthly-users={figure}");
        builder.command(&[
            "license",
            "acquire",
            "acme",
            "--config",
            "pointsman.yaml",
            "--deployed",
            "--figure",
            &figure,
        ])
    };
    let (code, out, error) = acquire("1000");
    assert_eq!((code, out.as_str()), (0, "nothing changes\n"), "{error}");
    let (code, out, error) = acquire("650000000");
    assert!(code == 1 && out.contains("llama-3.3-70b-instruct") && out.contains("require_attestation"), "{out}{error}");
    let (code, text, error) =
        builder.command(&["license", "notice", "--config", "pointsman.yaml", "--context", "product"]);
    assert!(code == 0 && text.contains("Built with Llama"), "{text}{error}");
    let (_, page, _) = builder.command(&["license", "notice", "--config", "pointsman.yaml", "--html"]);
    assert!(page.contains("<html") && !page.contains("<script"), "{page}");
}
