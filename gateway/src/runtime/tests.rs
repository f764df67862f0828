//! What a reload takes over.

use super::*;

fn config(replicas: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.yaml");
    let text = format!(
        "deployments:\n  - {{id: fleet, model: qwen3-32b, server: vllm, replicas: {replicas}}}\n\
         contexts: {{office: {{use: internal, exposure: internal}}}}\n\
         teams: {{everyone: {{contexts: [office]}}}}\nkeys: keys.yaml\n"
    );
    std::fs::write(&file, text).unwrap();
    let (config, _) = config::load(&file, &Overrides::default(), &Environment::of([])).unwrap();
    config
}

#[test]
fn a_fleet_is_kept_over_a_reload_unless_its_replicas_are_told_elsewhere() {
    let client = remote::Client::new(&remote::ClientOptions::default()).unwrap();
    let of = |replicas: &str, before: Option<&Runtime>| Runtime::start(config(replicas), &client, before).unwrap();
    // Nobody looks without a runtime, so this fleet is empty and not healthy: it is kept all the same.
    let dns = "{dns: vllm.invalid, port: 8000}";
    let first = of(dns, None);
    assert!(!first.places[0].backend.load(&Probe::default()).healthy);
    let same = of(dns, Some(&first));
    assert!(Arc::ptr_eq(&first.places[0].backend, &same.places[0].backend));
    let other = of("{dns: vllm.invalid, port: 8001}", Some(&same));
    assert!(!Arc::ptr_eq(&first.places[0].backend, &other.places[0].backend));
}
