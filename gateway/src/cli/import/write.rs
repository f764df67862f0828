//! The two files that an import writes: a configuration with deployments, and policies with a route for each name.
//!
//! Text, not serialised structures, so that what could not be imported stands in it as a comment, and a person can go on
//! from there.

use std::fmt::Write as _;

/// A deployment of the configuration, key by key in the order of the configuration's own examples.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) id: String,
    /// Keys with their values as YAML.
    pub(super) keys: Vec<(&'static str, String)>,
    /// Why it is a comment, where it cannot be served as it is.
    pub(super) off: Option<String>,
}

/// A route of the policies.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) name: String,
    /// The names that it answers to.
    pub(super) models: Vec<String>,
    /// What is weighed, as YAML; none where the order of the candidates decides.
    pub(super) prefer: Option<&'static str>,
    pub(super) candidates: Vec<String>,
    /// `attempts` as YAML.
    pub(super) attempts: Option<String>,
}

/// The name of the policies beside the configuration that names them.
pub(super) const POLICIES: &str = "policies.yaml";
/// The name of the configuration.
pub(super) const CONFIG: &str = "pointsman.yaml";

/// The configuration.
pub(super) fn config(from: &str, entries: &[Entry], has_routes: bool) -> String {
    let mut text = format!(
        "# Made by `pointsman import` from {}. `pointsman check --config {CONFIG}` says what is left to do.\n\n",
        shown(from)
    );
    let policies = if has_routes { POLICIES } else { "default" };
    let _ = writeln!(text, "policies: [{policies}]\n\ndeployments:{}", if entries.is_empty() { " []" } else { "" });
    if !entries.is_empty() && entries.iter().all(|entry| entry.off.is_some()) {
        text = text.trim_end_matches('\n').to_owned() + " []\n";
    }
    for entry in entries {
        let keys: String = entry.keys.iter().map(|(key, value)| format!(", {key}: {value}")).collect();
        let line = format!("- {{id: {}{keys}}}", scalar(&entry.id));
        let _ = match &entry.off {
            None => writeln!(text, "  {line}"),
            Some(why) => writeln!(text, "  # {}:\n  #{line}", shown(why)),
        };
    }
    text + "
# Licences are decided on what models are used for, which the file does not say: here, work inside a company.
contexts:
  office: {use: internal, exposure: internal}

teams:
  everyone: {contexts: [office]}

# Written by `pointsman keys new`.
keys: keys.yaml
"
}

/// The policies.
pub(super) fn policies(from: &str, routes: &[Route]) -> String {
    let mut text = format!("# Made by `pointsman import` from {}.\n\nversion: 1\n\nroutes:\n", shown(from));
    let list = |names: &[String]| names.iter().map(|name| scalar(name)).collect::<Vec<_>>().join(", ");
    for route in routes {
        let _ = writeln!(text, "  - name: {}\n    match: {{model: [{}]}}", scalar(&route.name), list(&route.models));
        if let Some(prefer) = route.prefer {
            let _ = writeln!(text, "    prefer: {prefer}");
        }
        let _ = writeln!(text, "    candidates: [{}]", list(&route.candidates));
        if let Some(attempts) = &route.attempts {
            let _ = writeln!(text, "    attempts: {attempts}");
        }
    }
    text
}

/// A text as a YAML scalar: plain where that is read as nothing else, quoted otherwise.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
        && !["true", "false", "yes", "no", "on", "off", "y", "n", "null"].contains(&&*text.to_ascii_lowercase());
    // JSON's strings are YAML's.
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// A text as a value of the configuration, which would read `${` as a variable.
pub(super) fn literal(text: &str) -> String {
    scalar(&text.replace("${", "$${"))
}

/// A variable of the environment as a value of the configuration.
pub(super) fn variable(name: &str) -> String {
    format!("\"${{{name}}}\"")
}

/// A text within a comment.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_read_as_the_text_that_it_was() {
        for text in ["gpt-4", "a/b:c", "no", "1e3", "", "x: y", "# x", "null", "\"", "é", "a\nb", "*", "~"] {
            let back: serde_json::Value = serde_saphyr::from_str(&scalar(text)).unwrap();
            assert_eq!(back, serde_json::Value::from(text), "{text:?}");
        }
        assert_eq!(scalar("gpt-4"), "gpt-4");
        assert_eq!(literal("${HOME}"), "\"$${HOME}\"");
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        let entry = Entry { id: "a".to_owned(), keys: Vec::new(), off: Some("x\ny".to_owned()) };
        let text = config("f\n- x", &[entry], true);
        assert!(text.contains("# x\u{fffd}y:\n"), "{text}");
        assert!(text.starts_with("# Made by `pointsman import` from f\u{fffd}- x."), "{text}");
    }
}
