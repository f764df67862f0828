//! A configuration of the LiteLLM proxy, section by section.
//!
//! `model_list` becomes deployments ([`deployment`]) and one route for each `model_name` ([`routes`]), with what
//! `router_settings` and `litellm_settings` say of fallbacks, retries and deadlines. The rest is told: keys, database,
//! cache and callbacks belong to a gateway that works otherwise. A key that is not known here is told too, since LiteLLM
//! itself passes over its misspellings.

mod deployment;
mod provider;
mod routes;

use catalog::Catalog;

use super::{
    Imported,
    finding::{Findings, Grade},
    write::{self, CONFIG, POLICIES},
};
use crate::config::{
    source::Source,
    yaml::{Entry, Node, Value},
};

/// What the file becomes.
pub(super) fn import(source: &Source, tree: &Node, catalog: &Catalog) -> Imported {
    let mut findings = Findings::of(source);
    let deployments = deployment::all(tree, catalog, &mut findings);
    let routes = routes::all(tree, &deployments, &mut findings);
    general(tree, &mut findings);
    let entries: Vec<_> = deployments.into_iter().map(|deployment| deployment.entry).collect();
    let config = write::config(&source.name, &entries, !routes.is_empty());
    let policies = write::policies(&source.name, &routes);
    Imported { files: [(CONFIG, config), (POLICIES, policies)], findings: findings.in_order() }
}

/// What is said beside models and routes.
fn general(tree: &Node, findings: &mut Findings<'_>) {
    for entry in tree.entries() {
        match entry.key.as_str() {
            "model_list" | "router_settings" | "litellm_settings" => {}
            "general_settings" => entry.node.entries().iter().for_each(|setting| server(setting, findings)),
            "environment_variables" => {
                for variable in entry.node.entries() {
                    findings.note(
                        Grade::Manual,
                        variable.key_at.start,
                        format!("environment_variables: {}", variable.key),
                        "nothing: values of the environment do not stand in files",
                        Some("set it where the gateway is started, if something names it"),
                    );
                }
            }
            "include" => findings.note(
                Grade::Manual,
                entry.key_at.start,
                "include",
                "nothing: other files are not read",
                Some("import them one by one, and put the results together"),
            ),
            key => findings.note(
                Grade::Unsupported,
                entry.key_at.start,
                key,
                "nothing: no section of this name is known",
                None,
            ),
        }
    }
    findings.note(
        Grade::Manual,
        0,
        "who uses the models for what",
        "the context `office`: use inside a company, without an entity",
        Some("state entities, contexts and teams as they are: licences are decided on them"),
    );
}

fn server(setting: &Entry, findings: &mut Findings<'_>) {
    let (grade, became, next) = match setting.key.as_str() {
        "master_key" => (
            Grade::Manual,
            "nothing: a key is made by Pointsman, which keeps only its hash",
            Some("`pointsman keys new --config pointsman.yaml --team everyone --context office`"),
        ),
        "database_url" => (
            Grade::Exact,
            "nothing: keys and the ledger are files under `data_dir`, so there is no database to name",
            None,
        ),
        _ => (Grade::Unsupported, "nothing: there is no setting for it", None),
    };
    findings.note(grade, setting.key_at.start, format!("general_settings: {}", setting.key), became, next);
}

/// A text.
fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// A number, also one that is written as a text.
fn number(node: &Node) -> Option<f64> {
    let number = match &node.value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The items of a list; none of what is no list.
fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

/// The name in `os.environ/NAME`, if it is one that a configuration can name.
fn environment(text: &str) -> Option<&str> {
    let name = text.strip_prefix("os.environ/")?;
    let first = name.bytes().next()?;
    let good = (first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then_some(name)
}
