//! Where the parts of a route stand in its file, for reports that name a line.
//!
//! Read from the text once more, since a route that is bound has no need of it. Knows files that compile.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    Source,
    diag::File,
    rules::Part,
    yaml::{self, Node, Value},
};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Spot {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// The parts of one route.
#[derive(Debug)]
pub(crate) struct Places {
    file: String,
    /// Its first line.
    line: usize,
    /// By key, with a dot before a key below it: `require.license.max_tier`.
    keys: HashMap<String, usize>,
    candidates: Vec<usize>,
}

impl Places {
    /// The routes of all files, in their order.
    pub(crate) fn of(sources: &[Source]) -> Vec<Self> {
        let mut places = Vec::new();
        for source in sources {
            let file = File::new(&source.name, &source.text);
            let Ok(root) = yaml::parse(&source.text) else { continue };
            let Some(Node { value: Value::List(routes), .. }) = get(&root, "routes") else { continue };
            places.extend(routes.iter().map(|route| Self::of_route(route, &file)));
        }
        places
    }

    fn of_route(route: &Node, file: &File<'_>) -> Self {
        let mut keys = HashMap::new();
        note_keys(route, "", 3, file, &mut keys);
        let candidates = match get(route, "candidates") {
            Some(Node { value: Value::List(items), .. }) => items.iter().map(|n| file.line(n.at.start)).collect(),
            Some(one) => vec![file.line(one.at.start)],
            None => Vec::new(),
        };
        Self { file: file.name().to_owned(), line: file.line(route.at.start), keys, candidates }
    }

    /// Where a part stands; the route's own line where it is not found.
    pub(crate) fn place(&self, part: &Part) -> Spot {
        let line = match part {
            Part::Route => None,
            Part::Match(key) => self.key("match", key),
            Part::Require(key) => self.key("require", key),
            Part::LeaveOut => self.keys.get("leave_out").copied(),
            Part::OnNone => self.keys.get("on_none").copied(),
            Part::Split => self.keys.get("split").copied(),
            Part::Shadow => self.keys.get("shadow").copied(),
            Part::Prefer => self.keys.get("prefer").copied(),
            Part::Candidate(at) => self.candidates.get(*at).copied(),
        };
        Spot { file: self.file.clone(), line: line.unwrap_or(self.line) }
    }

    fn key(&self, section: &str, key: &str) -> Option<usize> {
        self.keys.get(&format!("{section}.{key}")).copied()
    }
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(k, _)| matches!(&k.value, Value::Scalar { text, .. } if text == key)).map(|(_, value)| value)
}

fn note_keys(node: &Node, prefix: &str, depth: usize, file: &File<'_>, keys: &mut HashMap<String, usize>) {
    let (Value::Map(pairs), true) = (&node.value, depth > 0) else { return };
    for (key, value) in pairs {
        let Value::Scalar { text, .. } = &key.value else { continue };
        let path = format!("{prefix}{text}");
        note_keys(value, &format!("{path}."), depth - 1, file, keys);
        keys.insert(path, file.line(key.at.start));
    }
}
