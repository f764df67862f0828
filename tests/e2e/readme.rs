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

#[test]
fn every_command_of_the_readme_runs_as_it_stands_there() {
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    let mut builder = pointsman();
    // A copy of what the commands name, so that keys and a ledger are written beside it and not into the repository.
    for name in ["config/pointsman.yaml", "config/examples/request.json"] {
        builder = builder.file(name, &std::fs::read_to_string(repository().join(name)).unwrap());
    }
    // What `audit report` reads: the ledger that serving would have begun.
    let ledger = builder.folder().join("config/pointsman-data/ledger");
    drop(ledger::Ledger::open(&ledger, ledger::Options::default()).unwrap());
    for command in commands {
        let words = shlex::split(&command).expect("quotes are closed");
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        // `serve` runs on: that the file serves is shown by `check`, that the arguments are right by the help.
        let (code, out, error) = match arguments.as_slice() {
            ["serve", "--config", _] => builder.command(&["serve", "--help"]),
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
