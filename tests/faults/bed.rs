//! The gateway under test between two scripted hosts: one that fails as asked, and a healthy one.

use std::fmt::Write as _;

use scripted::{Door, Host, Script};
use tests::Pointsman;

use crate::cell::Cell;

/// Deadlines of the cells that only a deadline ends: each phase is told from the next, and a healthy answer takes a
/// hundredth of the shortest. The others keep deadlines that no answer comes near.
const SHORT: &str = "{connect: 500ms, headers: 1s, first_token: 2s, idle: 1s, total: 3s}";
const LONG: &str = "{connect: 60s, headers: 60s, first_token: 60s, idle: 60s, total: 60s}";

/// The id of the healthy deployment.
pub const SECOND: &str = "second";

/// A gateway between its hosts.
pub struct Bed {
    pub gateway: Pointsman,
    /// The host that fails.
    pub faulty: Host,
    /// The host of the second candidate.
    pub healthy: Host,
}

impl Bed {
    /// Starts it with a route and a deployment for each cell.
    pub async fn start(cells: &[Cell]) -> Self {
        // Each request is looked up at the end.
        let script = Script { record: 10_000, ..Script::default() };
        let faulty = Host::start(script.clone()).await.unwrap();
        let healthy = Host::start(script).await.unwrap();
        let mut doors = Vec::new();
        for (door, ..) in Door::TABLE {
            doors.push((door, faulty.open(door).await.unwrap()));
        }
        let mut config = format!(
            "\
policies: [cells.yaml]
contexts: {{desk: {{use: internal, exposure: internal, seat: KR}}}}
teams: {{desk: {{contexts: [desk]}}}}
keys: keys.yaml
# Half of all requests fail at their first candidate; what a budget does to that is tested elsewhere.
retry_budget: {{share: 10}}
deployments:
  - {{id: {SECOND}, model: qwen3-32b, server: vllm, base_url: \"{}\", name: healthy}}
",
            healthy.base_url()
        );
        let mut policies = "version: 1\nroutes:\n".to_owned();
        for cell in cells {
            let (name, base_url) = match cell.door() {
                None => (cell.fault.as_str(), faulty.base_url()),
                Some(door) => ("healthy", doors.iter().find(|(at, _)| *at == door).unwrap().1.clone()),
            };
            let place = match cell.host() {
                // A server is asked how it is, and would be known to be down before the row is played; a host is not.
                None if cell.door().is_some() => "host: deepinfra, key: \"${HOST_KEY}\"".to_owned(),
                None => "server: vllm".to_owned(),
                Some(host) => format!("host: {host}, key: \"${{HOST_KEY}}\""),
            };
            let first = cell.first();
            let second = if cell.second { format!(", {SECOND}") } else { String::new() };
            let deadlines = if cell.hangs() { SHORT } else { LONG };
            writeln!(
                config,
                "  - {{id: {first}, model: qwen3-32b, {place}, base_url: \"{base_url}\", name: \"{name}\"}}"
            )
            .unwrap();
            writeln!(
                policies,
                "  - {{name: {model}, match: {{model: {model}}}, candidates: [{first}{second}], \
                 attempts: {{max: 2, budget: 60s, deadlines: {deadlines}}}}}",
                model = cell.model(),
            )
            .unwrap();
        }
        let builder = tests::Builder::new(env!("CARGO_BIN_EXE_pointsman-under-test"))
            .env("HOST_KEY", "key-of-the-host")
            .config(&config)
            .file("cells.yaml", &policies);
        let key = builder.key("desk", "desk");
        let mut gateway = builder.start();
        gateway.with_key(&key);
        Self { gateway, faulty, healthy }
    }
}
