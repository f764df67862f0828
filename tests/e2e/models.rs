//! The local store of models: pulled from a hub on terms that are shown and recorded, checked, listed and removed.

mod hub;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::{Builder, until};

use self::hub::{COMMIT, Hub, Play, sha256};
use crate::pointsman;

const TOKEN: &str = "hf_a_very_secret_token";
/// A company whose catalog knows the repository, by [`ACME`].
const CONFIG: &str = "\
deployments: [{id: demo, model: pointsman-demo, engine: native}]
catalog: [acme.yaml]
contexts:
  bot: {use: revenue, exposure: public, seat: DE}
  lab: {use: research, exposure: internal, seat: DE}
teams: {all: {contexts: [bot, lab]}}
keys: keys.yaml
";
const ACME: &str = "\
models:
  - {id: acme-chat, name: Acme Chat, family: acme, developer: Acme, availability: downloadable, repo: acme/chat-GGUF, license: apache-2.0, tier: 1}
";
const PULL: &str = "hf:acme/chat-GGUF:chat.gguf";

fn demo() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config/models/pointsman-demo.gguf");
    std::fs::read(path).unwrap()
}

/// Without a configuration, and so without anybody who knows the repository.
fn plain(hub: &Hub) -> Builder {
    pointsman().env("HF_ENDPOINT", &hub.address)
}

/// With one whose catalog knows it.
fn known(hub: &Hub) -> Builder {
    plain(hub).config(CONFIG).file("acme.yaml", ACME)
}

/// Runs `pointsman models` in the data folder of the gateway.
fn models(builder: &Builder, arguments: &[&str]) -> (i32, String, String) {
    let mut all = vec!["models"];
    all.extend(arguments);
    all.extend(["--data-dir", "data"]);
    if builder.folder().join("pointsman.yaml").exists() {
        all.extend(["--config", "pointsman.yaml"]);
    }
    builder.command(&all)
}

fn pull(builder: &Builder, more: &[&str]) -> (i32, String, String) {
    models(builder, &[&["pull", PULL, "--accept-license"], more].concat())
}

/// What a command says, which has to succeed.
fn told(builder: &Builder, arguments: &[&str]) -> Value {
    let (code, out, error) = models(builder, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}"))
}

fn stored(builder: &Builder) -> PathBuf {
    builder.folder().join("data/models/chat")
}

fn manifest(builder: &Builder) -> Value {
    serde_json::from_slice(&std::fs::read(stored(builder).join("manifest.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn a_model_is_pulled_on_terms_that_are_shown_and_the_ledger_says_that_they_were_accepted() {
    let hub = Hub::start(&[("README.md", b"# Chat".to_vec()), ("chat.gguf", demo())]);
    let builder = known(&hub);
    let (code, out, error) = models(&builder, &["pull", PULL]);
    assert!(code == 1 && out.is_empty() && error.contains("the licence was not accepted; --accept-license"), "{error}");
    assert!(error.contains("licence: apache-2.0, of `acme-chat`") && error.contains("context `bot`: allow"), "{error}");
    assert!(hub.files().is_empty(), "nothing is loaded before");

    let (code, out, error) = pull(&builder, &["--as", "ann", "--json"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("chat.gguf: ") && error.contains("(100 %)"), "{error}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown["architecture"], &shown["model_of_the_catalog"]), (&json!("llama"), &json!("acme-chat")));
    assert_eq!(std::fs::read(stored(&builder).join("chat.gguf")).unwrap(), demo());
    let kept = manifest(&builder);
    assert_eq!((&kept["source"], &kept["revision"]), (&json!(PULL), &json!(COMMIT)));
    assert_eq!(kept["files"], json!([{"name": "chat.gguf", "sha256": sha256(&demo()), "bytes": demo().len()}]));
    assert_eq!(
        (&kept["license"], &kept["accepted_by"]),
        (&json!({"model": "acme-chat", "named": "apache-2.0"}), &json!("ann"))
    );
    let asked = hub.files().len();
    let (code, _, error) = pull(&builder, &[]);
    assert!(code == 0 && error.contains("is there already") && hub.files().len() == asked, "{error}");

    let gateway = builder.start();
    let accepts = || gateway.records().into_iter().find(|record| record["kind"] == "accept");
    let accept = until(accepts).await;
    assert_eq!((&accept["source"], &accept["revision"], &accept["number"]), (&json!(PULL), &json!(COMMIT), &json!(1)));
    assert_eq!((&accept["sha256"], &accept["license"]), (&json!([sha256(&demo())]), &json!("apache-2.0")));
    assert!(!accept.to_string().contains("ann"), "who accepted is beside the model only: {accept}");
    let (code, out, error) = gateway.command(&["audit", "history", "--data-dir", "data", "--json"]);
    assert_eq!(code, 0, "{error}");
    let history: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(history["tables"]["accepted"][0]["source"], PULL);
    assert_eq!(history["tables"]["accepted"][0]["for_research"], "no");
}

#[test]
fn a_connection_that_breaks_is_made_again_and_goes_on_where_it_was() {
    let hub = Hub::start(&[("chat.gguf", demo())]);
    let builder = known(&hub);
    hub.plays(&[Play::Cut, Play::Cut]);
    let (code, _, error) = pull(&builder, &[]);
    assert_eq!(code, 0, "{error}");
    let ranges: Vec<_> = hub.files().into_iter().map(|asked| asked.range).collect();
    assert_eq!((ranges.len(), &ranges[0]), (3, &None));
    assert!(ranges[1].as_deref().unwrap().starts_with("bytes="), "{ranges:?}");
    assert_eq!(std::fs::read(stored(&builder).join("chat.gguf")).unwrap(), demo());
}

#[test]
fn what_another_run_left_is_gone_on_from_also_at_a_hub_without_ranges() {
    for second in [Play::Whole, Play::WithoutRanges] {
        let hub = Hub::start(&[("chat.gguf", demo())]);
        let builder = known(&hub);
        hub.plays(&[Play::Cut, Play::Status(404), second]);
        let (code, _, error) = pull(&builder, &[]);
        assert!(code == 1 && error.contains("no such repository, revision or file"), "{error}");
        let part = std::fs::metadata(stored(&builder).join("chat.gguf.part")).unwrap().len();
        assert!(part > 0 && part < demo().len() as u64);
        assert_eq!(told(&builder, &["list"])["models_of_the_store"], 0, "half a model is none");
        let (code, _, error) = pull(&builder, &[]);
        assert_eq!(code, 0, "{error}");
        assert_eq!(hub.files().last().unwrap().range, Some(format!("bytes={part}-")));
        assert_eq!(std::fs::read(stored(&builder).join("chat.gguf")).unwrap(), demo());
        let left: Vec<_> =
            std::fs::read_dir(stored(&builder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "the file, its manifest and a lock: {left:?}");
    }
}

#[test]
fn a_file_with_another_digest_is_removed_and_no_model() {
    let hub = Hub::start(&[("chat.gguf", demo())]);
    let builder = known(&hub);
    hub.plays(&[Play::Wrong]);
    let (code, _, error) = pull(&builder, &[]);
    assert!(
        code == 1 && error.contains("is not the file that the hub lists") && error.contains("it was removed"),
        "{error}"
    );
    assert!(!stored(&builder).join("chat.gguf.part").exists() && !stored(&builder).join("chat.gguf").exists());
    assert!(!builder.folder().join("data/accepted").exists(), "nothing is on record of what did not come");
    assert_eq!(pull(&builder, &[]).0, 0, "and the next one is whole");
}

#[test]
fn a_hub_that_wants_to_know_who_asks_says_what_to_do_and_the_token_is_shown_to_nobody_else() {
    let (hub, other) = (Hub::start(&[("chat.gguf", demo())]), Hub::start(&[("chat.gguf", demo())]));
    hub.token(TOKEN).elsewhere(&other);
    let (code, _, error) = pull(&known(&hub), &[]);
    assert!(code == 1 && error.contains("put a token that may read it into HF_TOKEN"), "{error}");
    let (code, _, error) = pull(&known(&hub).env("HF_TOKEN", "hf_wrong"), &[]);
    assert!(code == 1 && error.contains("does not take the token") && !error.contains("hf_wrong"), "{error}");
    let builder = known(&hub).env("HF_TOKEN", TOKEN);
    let (code, out, error) = pull(&builder, &[]);
    assert_eq!(code, 0, "{error}");
    assert!(!error.contains(TOKEN) && !out.contains(TOKEN) && !manifest(&builder).to_string().contains(TOKEN));
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert_eq!(hub.files().last().unwrap().authorization, bearer);
    assert_eq!(other.asked().len(), 1, "the file came from elsewhere");
    assert_eq!(other.asked()[0].authorization, None);
}

#[test]
fn of_several_files_one_has_to_be_named_and_a_split_one_comes_with_all_its_parts() {
    let (first, second) = ("big-00001-of-00002.gguf", "big-00002-of-00002.gguf");
    let hub = Hub::start(&[(first, b"one".to_vec()), (second, b"two".to_vec()), ("chat.gguf", demo())]);
    let builder = known(&hub);
    let (code, _, error) = models(&builder, &["pull", "hf:acme/chat-GGUF", "--accept-license"]);
    assert!(code == 1 && error.contains("name one after a colon") && error.contains(first), "{error}");
    let (code, _, error) = models(&builder, &["pull", "hf:acme/chat-GGUF:none.gguf"]);
    assert!(code == 1 && error.contains("no file `none.gguf`; it has"), "{error}");
    let (code, _, error) = models(&builder, &["pull", "hf:acme/nothing"]);
    assert!(code == 1 && error.contains("no such repository"), "{error}");
    let big = format!("hf:acme/chat-GGUF:{first}@v1");
    let (code, _, error) = models(&builder, &["pull", &big, "--accept-license"]);
    assert_eq!(code, 0, "{error}");
    let folder = builder.folder().join("data/models/big");
    assert_eq!(
        (std::fs::read(folder.join(first)).unwrap(), std::fs::read(folder.join(second)).unwrap()),
        (b"one".to_vec(), b"two".to_vec())
    );
    let rows = told(&builder, &["verify", "big"]);
    assert_eq!(rows["tables"]["files"].as_array().unwrap().len(), 2);
    assert!(hub.asked().iter().any(|asked| asked.path.contains("/revision/v1?")), "the revision that was named");
}

#[test]
fn what_no_context_may_use_is_pulled_for_research_only_and_on_record() {
    let hub = Hub::start(&[("chat.gguf", demo())]);
    hub.card(json!({"license": "mit", "base_model": "nobody/base"}));
    let builder = plain(&hub);
    let (code, _, error) = pull(&builder, &[]);
    assert!(code == 1 && error.contains("no context of the built-in configuration may use it"), "{error}");
    assert!(error.contains("licence: mit, as its page names it") && error.contains("--for-research"), "{error}");
    assert!(error.contains("made from, as its page says: nobody/base"), "{error}");
    let (code, _, error) = pull(&builder, &["--model", "qwen3-8b"]);
    assert!(code == 1 && error.contains("was made from nobody/base"), "{error}");
    assert!(hub.files().is_empty());
    let (code, _, error) = pull(&builder, &["--for-research"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(
        (&manifest(&builder)["for_research"], &manifest(&builder)["license"]),
        (&json!(true), &json!({"named": "mit"}))
    );
    let left = std::fs::read_to_string(builder.folder().join("data/accepted/accepted.jsonl")).unwrap();
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!((&left["for_research"], &left["license"]), (&json!(true), &json!("mit")));
    let shown = told(&builder, &["show", "chat"]);
    assert_eq!(shown["tables"]["contexts"][0]["outcome"], "deny");
}

#[test]
fn a_licence_that_refuses_every_context_is_told_with_the_reason() {
    let hub = Hub::start(&[("chat.gguf", demo())]);
    let config = CONFIG.replace("  lab: {use: research, exposure: internal, seat: DE}\n", "").replace(", lab", "");
    let builder = plain(&hub).config(&config).file("acme.yaml", ACME);
    let (code, _, error) = models(&builder, &["pull", "hf:mistralai/Mistral-Large-Instruct-2407", "--accept-license"]);
    assert!(code == 1 && error.contains("context `bot`: deny - ") && error.contains("mistral-research"), "{error}");
    let builder = known(&hub);
    let (code, _, error) = models(&builder, &["pull", "hf:mistralai/Mistral-Large-Instruct-2407", "--accept-license"]);
    assert!(code == 0 && error.contains("context `lab`: allow"), "one context is enough: {error}");
}

#[test]
fn nothing_is_asked_offline_and_nothing_begun_that_the_disk_cannot_hold() {
    let hub = Hub::start(&[("chat.gguf", demo())]);
    let (code, _, error) = pull(&known(&hub).env("HF_HUB_OFFLINE", "1"), &[]);
    assert!(code == 1 && error.contains("HF_HUB_OFFLINE is set") && hub.asked().is_empty(), "{error}");
    hub.claims(1 << 60);
    let (code, _, error) = pull(&known(&hub), &[]);
    assert!(code == 1 && error.contains("it needs 1152921504.61 GB more and the disk"), "{error}");
    assert!(hub.files().is_empty());
    hub.claims(1);
    let (code, _, error) = pull(&known(&hub), &[]);
    assert!(code == 1 && error.contains("is longer than the 1 bytes"), "{error}");
    let (code, _, error) = models(&known(&hub), &["pull", "hf:../etc"]);
    assert!(code == 2 && error.contains("hf:OWNER/REPO"), "{error}");
}

#[test]
fn a_changed_byte_is_found_and_only_what_is_in_the_store_is_removed() {
    let hub = Hub::start(&[("chat.gguf", demo())]);
    let cache = "hub/models--a--b/snapshots/0/other.gguf";
    let builder = known(&hub).file(cache, "no model");
    let home = builder.folder().to_str().unwrap().to_owned();
    let builder = builder.env("HF_HOME", home);
    assert_eq!(pull(&builder, &[]).0, 0);
    let list = told(&builder, &["list"]);
    let row = |at: usize| &list["tables"]["models"][at];
    assert_eq!(
        (&row(0)["name"], &row(0)["license"], &row(0)["state"]),
        (&json!("chat"), &json!("apache-2.0"), &json!("whole"))
    );
    assert_eq!(
        (&row(1)["name"], &row(1)["state"]),
        (&json!("hf-cache:a/b/other.gguf"), &json!("no GGUF that can be read"))
    );
    let shown = told(&builder, &["show", "chat", "--context", "256"]);
    assert_eq!((&shown["context_tokens"], &shown["memory_for_tokens"]), (&json!(512), &json!(256)));
    assert!(shown["bytes_of_memory"].as_u64() > shown["bytes_of_weights"].as_u64(), "{shown}");
    assert_eq!(shown["tables"]["engines"][0]["loads"], "yes");
    assert_eq!(told(&builder, &["verify"])["all_are"], "yes");

    let file = stored(&builder).join("chat.gguf");
    let mut bytes = demo();
    bytes[1_000_000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, out, _) = models(&builder, &["verify", "chat"]);
    assert!(code == 1 && out.contains("changed: it was "), "{out}");

    let (code, _, error) = models(&builder, &["rm", "hf-cache:a/b/other.gguf", "--yes"]);
    assert!(code == 1 && error.contains("another program's") && builder.folder().join(cache).exists(), "{error}");
    let (code, _, error) = models(&builder, &["rm", "chat"]);
    assert!(code == 1 && error.contains("`--yes`") && file.exists(), "{error}");
    assert_eq!(models(&builder, &["rm", "chat", "--yes"]).0, 0);
    assert!(!stored(&builder).exists());
    let (code, _, error) = models(&builder, &["show", "chat"]);
    assert!(code == 1 && error.contains("there is no model `chat`"), "{error}");
}
