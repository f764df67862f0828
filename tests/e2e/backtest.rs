//! `pointsman backtest`: requests that were served are planned again under a changed configuration.

use scripted::{Host, Script};
use tests::chat;

use crate::pointsman;

fn config(base: &str, candidates: &str) -> (String, String) {
    let config = format!(
        r#"
policies: [policy.yaml]
deployments:
  - {{id: dear, model: qwen3-32b, server: vllm, base_url: "{base}", price: {{input_usd_per_million: 10, output_usd_per_million: 10}}}}
  - {{id: cheap, model: phi-4, server: vllm, base_url: "{base}", price: {{input_usd_per_million: 1, output_usd_per_million: 1}}}}
contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}
teams: {{desk: {{contexts: [desk]}}}}
keys: keys.yaml
"#
    );
    (config, format!("version: 1\nroutes:\n  - {{name: all, match: {{model: auto}}, candidates: [{candidates}]}}\n"))
}

#[tokio::test]
async fn a_changed_policy_is_told_what_it_would_have_moved_and_what_that_costs() {
    let host = Host::start(Script::default()).await.unwrap();
    let base = host.base_url();
    let (before, policy) = config(&base, "qwen3-32b, phi-4");
    let builder = pointsman().config(&before).file("policy.yaml", &policy);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    for text in ["one", "two", "three"] {
        let response = gateway.request("POST", "/v1/chat/completions").json(&chat("auto", text)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["x-pointsman-deployment"], "dear");
        assert_eq!(response.headers()["x-pointsman-policy"].len(), 16);
        response.bytes().await.unwrap();
    }
    // A refusal stays one.
    assert_eq!(gateway.chat("mistral-large-2", "hi").await.0, 403);
    let decision = gateway.ledger().into_iter().find(|record| record["kind"] == "decision").unwrap();
    assert!(decision["asked"]["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{decision}");
    assert_eq!(decision["policy"].as_str().map(str::len), Some(64), "{decision}");

    let (code, out, error) =
        gateway.command(&["backtest", "--config", "pointsman.yaml", "--data-dir", "data", "--since", "1h"]);
    assert_eq!((code, out.lines().next()), (0, Some("4 requests replayed, 0 move")), "{out}{error}");

    let (_, turned) = config(&base, "phi-4");
    std::fs::write(gateway.folder().join("new-policy.yaml"), turned).unwrap();
    let after = before.replace("policy.yaml", "new-policy.yaml");
    std::fs::write(gateway.folder().join("new.yaml"), after).unwrap();
    for against in [&[][..], &["--against", "pointsman.yaml"]] {
        let command = ["backtest", "--config", "new.yaml", "--data-dir", "data", "--json"];
        let (code, out, error) = gateway.command(&[&command[..], against].concat());
        assert_eq!(code, 1, "{error}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&report["replayed"], &report["moved"]["requests"]), (&4.into(), &3.into()), "{report}");
        let moved = &report["moves"][0];
        assert_eq!((&moved["before"]["deployment"], &moved["after"]["deployment"]), (&"dear".into(), &"cheap".into()));
        let (before, after) = (&report["moved"]["usd_before"], &report["moved"]["usd_after"]);
        let (before, after) = (before.as_f64().unwrap(), after.as_f64().unwrap());
        assert!(before > 0.0 && (before / after - 10.0).abs() < 1e-6, "{report}");
    }
    let (_, out, _) = gateway.command(&["backtest", "--config", "new.yaml", "--data-dir", "data"]);
    assert!(out.contains("dear (qwen3-32b, tier 1)") && out.contains("cheap (phi-4, tier 1)"), "{out}");
}
