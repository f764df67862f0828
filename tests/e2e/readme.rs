//! What the README tells people to type works as it stands there.

use std::path::{Path, PathBuf};

use crate::pointsman;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The `pointsman ...` lines of the README, without their remarks.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let lines = readme.lines().filter(|line| line.starts_with("pointsman "));
    lines.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

/// A configuration with the team and the context that the README speaks of.
const CONFIG: &str = "deployments: [{id: demo, model: pointsman-demo, engine: native}]\n\
    contexts: {bot: {use: revenue, exposure: public, seat: DE}}\nteams: {support: {contexts: [bot]}}\nkeys: keys.yaml\n";

#[test]
fn every_command_of_the_readme_runs() {
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    let builder = pointsman()
        .config(CONFIG)
        .env("POINTSMAN_CONFIG", "pointsman.yaml")
        .file("request.json", &tests::chat("auto", "Hello").to_string())
        .file("keys.yaml", "keys: []\n");
    // What `audit report` reads.
    drop(ledger::Ledger::open(&builder.folder().join("pointsman-data/ledger"), ledger::Options::default()).unwrap());
    for command in commands {
        let arguments: Vec<&str> = command
            .split_whitespace()
            .skip(1)
            .map(|word| if word == "FILE" { "pointsman.yaml" } else { word })
            .collect();
        // `serve` runs on; that its arguments are right is seen from its help.
        let (code, out, error) = match arguments[0] {
            "serve" => builder.command(&["serve", "--help"]),
            _ => builder.command(&arguments),
        };
        assert_eq!(code, 0, "{command}\n{out}{error}");
    }
}

#[test]
fn the_shipped_configuration_has_no_error() {
    let config = repository().join("config/pointsman.yaml");
    let (code, out, error) = pointsman().command(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{error}");
}
