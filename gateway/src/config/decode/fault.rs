//! What serde found wrong with a node, kept in parts so that the message can be ours.

use std::{fmt, ops::Range};

use serde::de::{self, Expected, Unexpected};

use policies::Diagnostic;

use crate::config::{
    report::{Problem, list, nearest},
    source::Source,
};

/// One error of one decoding pass.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: Kind,
    /// Indices from the document down to the part that is wrong.
    path: Vec<usize>,
    at: Option<Range<usize>>,
    secret: bool,
}

#[derive(Debug)]
enum Kind {
    UnknownKey {
        key: String,
        of: &'static str,
        known: &'static [&'static str],
    },
    MissingKey {
        key: &'static str,
        of: &'static str,
    },
    /// A key is missing because it was broken, which is already reported.
    Implied,
    UnknownValue {
        found: String,
        known: &'static [&'static str],
    },
    Unfit {
        expected: String,
        found: Found,
    },
    Other(String),
}

#[derive(Debug)]
enum Found {
    Kind(&'static str),
    Value(String),
}

impl Fault {
    pub(super) fn unknown_key(key: &str, of: &'static str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::UnknownKey { key: key.to_owned(), of, known })
    }

    fn of(kind: Kind) -> Self {
        Self { kind, path: Vec::new(), at: None, secret: false }
    }

    /// The name of the key that is missing, if that is the fault.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.kind {
            Kind::MissingKey { key, .. } if self.at.is_none() => Some(key),
            _ => None,
        }
    }

    pub(super) fn implied(mut self) -> Self {
        self.kind = Kind::Implied;
        self
    }

    /// Says in what a key is missing.
    pub(super) fn in_struct(mut self, name: &'static str) -> Self {
        if let Kind::MissingKey { of, .. } = &mut self.kind
            && of.is_empty()
        {
            *of = name;
        }
        self
    }

    /// Says where the fault is, unless an inner node said so already.
    pub(super) fn at(mut self, at: &Range<usize>, from_environment: bool) -> Self {
        if self.at.is_none() {
            self.at = Some(at.clone());
            self.secret = from_environment;
        }
        self
    }

    /// Adds a step towards the document's root.
    pub(super) fn under(mut self, step: usize) -> Self {
        self.path.insert(0, step);
        self
    }

    pub(super) fn path(&self) -> &[usize] {
        &self.path
    }

    /// The problem to report, if it is news.
    pub(super) fn problem(&self, source: &Source) -> Option<Diagnostic> {
        let problem = match &self.kind {
            Kind::Implied => return None,
            Kind::UnknownKey { key, of, known } => Problem::error("unknown-key", format!("{of} has no key `{key}`"))
                .hint(match nearest(key, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys are {}", list(known.iter().copied())),
                }),
            Kind::MissingKey { key, of } => Problem::error("missing-key", format!("{of} needs the key `{key}`")),
            Kind::UnknownValue { known, .. } if self.secret => {
                let known = list(known.iter().copied());
                Problem::error("unknown-value", format!("the value from the environment is not one of {known}"))
            }
            Kind::UnknownValue { found, known } => {
                let message = format!("`{found}` is not one of {}", list(known.iter().copied()));
                let near = nearest(found, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                near.into_iter().fold(Problem::error("unknown-value", message), Problem::hint)
            }
            Kind::Unfit { expected, found } => {
                let found = match found {
                    Found::Value(_) if self.secret => "the value from the environment".to_owned(),
                    Found::Value(value) => format!("`{value}`"),
                    Found::Kind(kind) => (*kind).to_owned(),
                };
                Problem::error("wrong-value", format!("expected {expected}, found {found}"))
            }
            Kind::Other(message) => Problem::error("wrong-value", message.clone()),
        };
        Some(problem.at(source, self.at.clone().unwrap_or(0..0)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that does not fit")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Kind::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = Found::Kind(match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => "text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            _ => "nothing",
        });
        Self::of(Kind::Unfit { expected: plain(expected), found })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => Found::Value(text.to_owned()),
            Unexpected::Signed(number) => Found::Value(number.to_string()),
            Unexpected::Unsigned(number) => Found::Value(number.to_string()),
            Unexpected::Float(number) => Found::Value(number.to_string()),
            _ => Found::Kind("another value"),
        };
        Self::of(Kind::Unfit { expected: plain(expected), found })
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::UnknownValue { found: found.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of(Kind::MissingKey { key, of: "" })
    }
}

/// serde's own words for what was expected, in the words of YAML.
fn plain(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        other => match other.strip_prefix("struct ") {
            Some(name) => format!("a mapping with the keys of {name}"),
            None => other.to_owned(),
        },
    }
}
