//! Policies: what is planned is what serves, mistakes are shown where they stand, reloads keep the last good one.

use scripted::{Host, Script};
use serde_json::Value;
use tests::{Pointsman, chat};

use crate::pointsman;

/// Two candidates at scripted hosts: a Korean model and a general one.
async fn gateway() -> (Pointsman, Host) {
    let host = Host::start(Script::default()).await.unwrap();
    let config = format!(
        r#"
deployments:
  - {{id: demo, model: pointsman-demo, engine: native}}
  - {{id: general, model: qwen3-32b, server: vllm, base_url: "{base}"}}
  - {{id: korean, model: kanana-1.5-8b, server: vllm, base_url: "{base}"}}
contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}
teams: {{desk: {{contexts: [desk]}}}}
keys: keys.yaml
"#,
        base = host.base_url()
    );
    let builder = pointsman().config(&config);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    (gateway, host)
}

async fn served_by(gateway: &Pointsman, body: &Value) -> String {
    let response = gateway.request("POST", "/v1/chat/completions").json(body).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.headers()["x-pointsman-deployment"].to_str().unwrap().to_owned()
}

const KOREAN: &str = "환불은 어떻게 받나요? 주문 번호를 잃어버렸어요.";
const ENGLISH: &str = "How do I get a refund? I lost my order number.";

#[tokio::test]
async fn a_korean_prompt_to_auto_goes_to_the_korean_model_and_an_english_one_does_not() {
    let (gateway, _host) = gateway().await;
    assert_eq!(served_by(&gateway, &chat("auto", KOREAN)).await, "korean");
    assert_ne!(served_by(&gateway, &chat("auto", ENGLISH)).await, "korean");
    let decisions = gateway.ledger();
    assert_eq!(decisions.iter().find(|record| record["kind"] == "decision").unwrap()["language"], "ko");
}

#[tokio::test]
async fn explain_prints_the_plan_that_serving_used() {
    let (gateway, _host) = gateway().await;
    for text in [KOREAN, ENGLISH] {
        let body = chat("auto", text);
        let served = served_by(&gateway, &body).await;
        std::fs::write(gateway.folder().join("request.json"), body.to_string()).unwrap();
        let arguments = [
            "explain",
            "--request",
            "request.json",
            "--team",
            "desk",
            "--context",
            "desk",
            "--config",
            "pointsman.yaml",
            "--json",
        ];
        let (code, out, error) = gateway.command(&arguments);
        assert_eq!(code, 0, "{error}");
        let plan = serde_json::from_str::<Value>(&out).unwrap()["plan"].take();
        let decision = gateway.ledger().into_iter().rfind(|record| record["kind"] == "decision").unwrap();
        let ids = |candidates: &Value| -> Vec<Value> {
            candidates.as_array().unwrap().iter().map(|candidate| candidate["deployment"].clone()).collect()
        };
        assert_eq!(ids(&plan["candidates"]), ids(&decision["candidates"]), "{plan}");
        assert_eq!((&plan["route"], &plan["candidates"][0]["deployment"]), (&decision["route"], &Value::from(served)));
    }
}

#[tokio::test]
async fn a_typo_in_a_policy_is_shown_where_it_stands_and_the_last_good_one_serves_on() {
    let (gateway, _host) = gateway().await;
    let good = std::fs::read_to_string(gateway.folder().join("pointsman.yaml")).unwrap();
    std::fs::write(
        gateway.folder().join("routes.yaml"),
        "version: 1\nroutes:\n  - name: r\n    match: {model: [auto]}\n    candidates: [qwen3-32]\n",
    )
    .unwrap();
    let (status, answer) = gateway.reload_with("pointsman.yaml", &format!("policies: [routes.yaml]\n{good}")).await;
    assert_eq!(status, 422, "{answer}");
    let report = answer["report"].as_str().unwrap();
    for part in ["routes.yaml:5:18", "qwen3-32b", "^"] {
        assert!(report.contains(part), "no `{part}` in:\n{report}");
    }
    assert_eq!(gateway.chat("auto", ENGLISH).await.0, 200);
    let (_, metrics) = gateway.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("pointsman_reloads_total{result=\"rejected\"}"));
    // `check` says the same, without a gateway.
    let (code, out, error) = gateway.command(&["check", "--config", "pointsman.yaml"]);
    assert_eq!(code, 1);
    assert!(format!("{out}{error}").contains("routes.yaml:5:18"), "{out}{error}");
}

#[tokio::test]
async fn a_good_policy_takes_effect_without_a_restart() {
    let (gateway, _host) = gateway().await;
    let good = std::fs::read_to_string(gateway.folder().join("pointsman.yaml")).unwrap();
    std::fs::write(
        gateway.folder().join("routes.yaml"),
        "version: 1\nroutes:\n  - name: mine\n    match: {model: [auto]}\n    candidates: [general]\n",
    )
    .unwrap();
    let (status, answer) = gateway.reload_with("pointsman.yaml", &format!("policies: [routes.yaml]\n{good}")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(served_by(&gateway, &chat("auto", KOREAN)).await, "general");
}

#[tokio::test]
async fn a_changed_file_is_loaded_without_being_told() {
    let (gateway, _host) = gateway().await;
    let digest = |gateway: &Pointsman| {
        gateway.ledger().into_iter().rfind(|record| record["kind"] == "decision").map(|record| record["config"].clone())
    };
    gateway.chat("auto", ENGLISH).await;
    let before = digest(&gateway);
    let path = gateway.folder().join("pointsman.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# A remark.\n{text}")).unwrap();
    let begun = std::time::Instant::now();
    loop {
        gateway.chat("auto", ENGLISH).await;
        if digest(&gateway) != before {
            break;
        }
        assert!(begun.elapsed() < tests::HANG, "never reloaded");
    }
}

#[test]
fn a_yaml_bomb_is_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let builder = pointsman().config(&bomb);
    let (code, out, error) = builder.command(&["check", "--config", "pointsman.yaml"]);
    assert_eq!(code, 1, "{out}{error}");
}
