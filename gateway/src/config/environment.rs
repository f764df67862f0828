//! The environment, and `${NAME}` in the values of a configuration file.
//!
//! A variable that is empty counts as not set: that is what an unfilled line of an env file gives. Keys are never
//! replaced, only values; `$${` stands for a literal `${`. No message holds a variable's value.

use std::{collections::BTreeMap, fmt};

use super::{
    report::{Problem, Problems, nearest},
    source::Source,
    yaml::{Node, Value},
};

/// The environment variables a configuration is read with.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// That of this process; variables that are not UTF-8 are left out.
    pub fn process() -> Self {
        let vars = std::env::vars_os();
        Self(vars.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect())
    }

    /// One that holds just these variables.
    pub fn of<const N: usize>(vars: [(&str, &str); N]) -> Self {
        Self(vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Replaces every `${NAME}` of a tree's values. A value that names an unset variable is reported and marked broken.
pub(super) fn expand(node: &mut Node, source: &Source, environment: &Environment, problems: &mut Problems) {
    expand_at(node, &mut Vec::new(), &mut |node, path| {
        let Value::Text(text) = &mut node.value else { return };
        if !text.contains('$') {
            return;
        }
        match expanded(text, environment) {
            Ok(Some(value)) => {
                *text = value;
                node.from_environment = true;
            }
            Ok(None) => *text = text.replace("$${", "${"),
            Err(fault) => {
                problems.push(fault.problem(&path.join(".")).at(source, node.at.clone()));
                node.broken = true;
            }
        }
    });
}

fn expand_at(node: &mut Node, path: &mut Vec<String>, visit: &mut impl FnMut(&mut Node, &[String])) {
    visit(node, path);
    match &mut node.value {
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                expand_at(item, path, visit);
                path.pop();
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                path.push(entry.key.clone());
                expand_at(&mut entry.node, path, visit);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Why a value could not be filled in.
enum Fault {
    NotSet { name: String, near: Option<String> },
    NoName,
    NotClosed,
}

impl Fault {
    fn problem(self, key: &str) -> Problem {
        match self {
            Self::NotSet { name, near } => {
                Problem::error("unset-variable", format!("`{key}` needs the environment variable `{name}`"))
                    .label("not set, or empty")
                    .hint(match near {
                        Some(near) => format!("`{near}` is set; otherwise `export {name}=...` before the start"),
                        None => format!("`export {name}=...` before the start, or remove the key"),
                    })
            }
            Self::NoName => {
                Problem::error("variable-name", format!("`{key}` has a `${{...}}` without a variable name"))
                    .label("letters, digits and `_` only")
                    .hint("write `${NAME}`; a literal `${` is written `$${`")
            }
            Self::NotClosed => Problem::error("variable-name", format!("`{key}` has a `${{` without its `}}`"))
                .hint("write `${NAME}`; a literal `${` is written `$${`"),
        }
    }
}

/// The text with its variables filled in; none if it names no variable.
fn expanded(text: &str, environment: &Environment) -> Result<Option<String>, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut any = false;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or(Fault::NotClosed)?;
        let name = &inner[..end];
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !is_name {
            return Err(Fault::NoName);
        }
        let value = environment.get(name).ok_or_else(|| Fault::NotSet {
            name: name.to_owned(),
            near: nearest(name, environment.0.keys().map(String::as_str)).map(str::to_owned),
        })?;
        out.push_str(value);
        any = true;
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(any.then_some(out))
}
