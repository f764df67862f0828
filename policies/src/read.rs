//! Typed reading of a tree: each method gives a value or says what is wrong and where, and reading goes on.
//!
//! A mapping is read against the closed list of its keys, so unknown, repeated and missing keys are found in one go.
//! Knows the shapes that policies use (words, numbers, durations, lists) and none of their meanings.

use std::{collections::HashSet, fmt::Display, ops::Range, time::Duration};

use crate::{
    diag::{Code, File, Problems, Severity, nearest},
    yaml::{Node, Value},
};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) at: Range<usize>,
}

/// Reads one file and collects what is wrong with it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a File<'a>,
    pub(crate) problems: &'a mut Problems,
}

/// The entries of a mapping whose keys are all known.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    /// What it is, as in "a route".
    what: &'static str,
    at: Range<usize>,
    entries: Vec<(&'n str, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The value of `key`, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(k, _)| *k == key).map(|(_, node)| *node)
    }
}

impl Reader<'_> {
    /// Notes an error at `at`; `label` stands under the caret.
    pub(crate) fn error(&mut self, code: Code, at: &Range<usize>, message: impl Display, label: impl Display) {
        let d = self.file.diagnose(Severity::Error, code, at, message.to_string(), label.to_string());
        self.problems.push(d);
    }

    /// The same with a hint.
    pub(crate) fn error_with_hint(
        &mut self,
        code: Code,
        at: &Range<usize>,
        message: impl Display,
        label: impl Display,
        hint: impl Display,
    ) {
        self.noted(Severity::Error, code, at, message, label, hint);
    }

    /// A warning with a hint: what is written has no effect.
    pub(crate) fn warning(
        &mut self,
        code: Code,
        at: &Range<usize>,
        message: impl Display,
        label: impl Display,
        hint: impl Display,
    ) {
        self.noted(Severity::Warning, code, at, message, label, hint);
    }

    fn noted(
        &mut self,
        severity: Severity,
        code: Code,
        at: &Range<usize>,
        message: impl Display,
        label: impl Display,
        hint: impl Display,
    ) {
        let mut d = self.file.diagnose(severity, code, at, message.to_string(), label.to_string());
        d.hint = Some(hint.to_string());
        self.problems.push(d);
    }

    /// A mapping with no other keys than `known`.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, what: &'static str, known: &[&str]) -> Option<Fields<'n>> {
        let Value::Map(pairs) = &node.value else {
            self.wrong_type(node, &format!("{what} with the keys {}", list(known)));
            return None;
        };
        let mut entries: Vec<(&str, &Node)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Value::Scalar { text: name, .. } = &key.value else {
                self.wrong_type(key, "a key");
                continue;
            };
            if entries.iter().any(|(k, _)| k == name) {
                self.error(Code::DuplicateKey, &key.at, format!("`{name}` stands twice in {what}"), "again here");
            } else if known.contains(&name.as_str()) {
                entries.push((name, value));
            } else {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("{what} has the keys {}", list(known)),
                };
                let label = "no key of this name";
                self.error_with_hint(Code::UnknownKey, &key.at, format!("{what} has no key `{name}`"), label, hint);
            }
        }
        Some(Fields { what, at: node.at.clone(), entries })
    }

    /// The pairs of a mapping whose names are the author's, each name once.
    pub(crate) fn pairs<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<(Spanned<String>, &'n Node)>> {
        let Value::Map(pairs) = &node.value else {
            self.wrong_type(node, what);
            return None;
        };
        let mut named: Vec<(Spanned<String>, &Node)> = Vec::with_capacity(pairs.len());
        let mut seen: HashSet<&str> = HashSet::new();
        for (key, value) in pairs {
            let Some(name) = self.text(key, "a name") else { continue };
            let Value::Scalar { text, .. } = &key.value else { continue };
            if seen.insert(text) {
                named.push((name, value));
            } else {
                self.error(Code::DuplicateKey, &key.at, format!("`{text}` stands twice in one mapping"), "again here");
            }
        }
        Some(named)
    }

    /// The value of a key that must be there.
    pub(crate) fn required<'n>(&mut self, fields: &Fields<'n>, key: &str) -> Option<&'n Node> {
        let found = fields.get(key);
        if found.is_none() {
            let (what, at) = (fields.what, fields.at.clone());
            self.error(Code::MissingKey, &at, format!("{what} needs the key `{key}`"), format!("no `{key}` in here"));
        }
        found
    }

    /// A word or any other text; not empty.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() && !text.is_empty() => {
                Some(Spanned { value: text.clone(), at: node.at.clone() })
            }
            _ => {
                self.wrong_type(node, what);
                None
            }
        }
    }

    /// A list of texts; a single text is a list of one. Nothing empty.
    pub(crate) fn texts(&mut self, node: &Node, what: &str) -> Vec<Spanned<String>> {
        self.items(node, what).into_iter().filter_map(|item| self.text(item, what)).collect()
    }

    /// The items of a list that is not empty; a single value is a list of one.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, what: &str) -> Vec<&'n Node> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.error(
                    Code::WrongValue,
                    &node.at,
                    format!("an empty list where {what} is expected"),
                    "nothing in it",
                );
                Vec::new()
            }
            Value::List(items) => items.iter().collect(),
            _ => vec![node],
        }
    }

    /// One of a closed list of words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = match (nearest(&text.value, known.iter().copied()), known.as_slice()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, [only]) => format!("expected `{only}`"),
                (None, _) => format!("expected one of {}", list(&known)),
            };
            let message = format!("`{}` is not {what}", text.value);
            self.error_with_hint(Code::WrongValue, &text.at, message, "not a value of this key", hint);
        }
        found
    }

    /// `true` or `false`.
    pub(crate) fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        self.word(node, what, &[("true", true), ("false", false)])
    }

    /// A whole number in `range`; `_` may group its digits.
    pub(crate) fn whole(&mut self, node: &Node, what: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.number_text(node, what, &expected)?.parse::<u64>().ok();
        self.in_range(node, what, &expected, number.filter(|n| range.contains(n)))
    }

    /// A finite number that is not negative.
    pub(crate) fn amount(&mut self, node: &Node, what: &str) -> Option<f64> {
        let expected = "a number that is not negative";
        let number = self.number_text(node, what, expected)?.parse::<f64>().ok();
        self.in_range(node, what, expected, number.filter(|n| n.is_finite() && *n >= 0.0))
    }

    /// A duration such as `500ms`, `30s`, `5m` or `1h`; more than nothing and at most a day.
    pub(crate) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let expected = "a duration such as `500ms`, `30s` or `5m`, at most `24h`";
        let text = self.text(node, what)?;
        let digits = text.value.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.value.len());
        let (number, unit) = text.value.split_at(digits);
        let unit = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let millis = number.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
        let millis = millis.filter(|n| (1..=86_400_000).contains(n));
        self.in_range(node, what, expected, millis).map(Duration::from_millis)
    }

    /// The digits of an unquoted number, without the `_` that group them.
    fn number_text(&mut self, node: &Node, what: &str, expected: &str) -> Option<String> {
        match &node.value {
            Value::Scalar { text, quoted: false } if !node.is_null() => Some(text.replace('_', "")),
            _ => {
                self.wrong_type(node, &format!("{what}, {expected},"));
                None
            }
        }
    }

    fn in_range<T>(&mut self, node: &Node, what: &str, expected: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            let found = match &node.value {
                Value::Scalar { text, .. } => text.as_str(),
                _ => node.kind(),
            };
            let message = format!("`{found}` is not {what}");
            self.error(Code::WrongValue, &node.at, message, format!("expected {expected}"));
        }
        value
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str) {
        let message = format!("{} where {expected} is expected", node.kind());
        self.error(Code::WrongType, &node.at, message, format!("this is {}", node.kind()));
    }
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
