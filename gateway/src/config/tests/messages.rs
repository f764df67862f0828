use super::*;

#[test]
fn all_problems_come_in_one_report_each_with_its_place_and_a_hint() {
    let files = Files::new([(
        "pointsman.yaml",
        "listn: 127.0.0.1:8080\nadmin: localhost\ndeployments:\n  - {id: a, model: qwen3-9b, host: grok}\n  - {id: b, model: qwen3-32b}\n",
    )]);
    assert_eq!(files.errors(), "");
}
