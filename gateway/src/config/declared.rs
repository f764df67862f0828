//! `facts`: the headers and the entries of `metadata` that policies may match.
//!
//! A closed list, so that a policy cannot come to rest on a header that nobody meant to trust, and a wrong name in a
//! policy is an error and not a route that never matches. Credentials are refused: they are no facts. Those that tell of people
//! are said to be `personal`, and records hold pseudonyms of them.

use http::HeaderName;
use policies::{Declared, PolicySet};

use super::{
    Access, DeclaredFacts,
    decode::Spanned,
    load::Reading,
    raw::Raw,
    report::{Problem, nearest},
};

/// The most names of a list.
const MAX_NAMES: usize = 32;
/// The longest name of an entry of `metadata`, in characters: as OpenAI's API has it.
const MAX_METADATA_NAME: usize = 64;
/// Headers that hold credentials.
const SECRET: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// The names that are in order.
pub(super) fn check(reading: &mut Reading<'_>, raw: &Raw) -> DeclaredFacts {
    let Some(facts) = &raw.facts else { return DeclaredFacts::default() };
    let headers = names(reading, "header", &facts.headers, |name| {
        let name = name.to_ascii_lowercase();
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => Err(("not the name of a header", "letters, digits and `-`, for example `x-customer-tier`")),
            Ok(_) if SECRET.contains(&name.as_str()) => {
                Err(("holds a credential", "match `team`, `context` or `key`: they are what a credential stands for"))
            }
            Ok(_) => Ok(name),
        }
    });
    let metadata = names(reading, "entry of `metadata`", &facts.metadata, |name| {
        match (1..=MAX_METADATA_NAME).contains(&name.chars().count()) {
            true => Ok(name.to_owned()),
            false => Err(("too long, or empty", "1 to 64 characters, for example `project`")),
        }
    });
    let (mut personal_headers, mut personal_metadata) = (Vec::new(), Vec::new());
    for name in &facts.personal {
        let header = name.value.to_ascii_lowercase();
        let (is_header, is_entry) = (headers.contains(&header), metadata.contains(&name.value));
        if is_header {
            personal_headers.push(header);
        }
        if is_entry {
            personal_metadata.push(name.value.clone());
        }
        if !is_header && !is_entry {
            let problem = Problem::error("unknown-name", format!("{} is not declared", name.shown()));
            let hint = match nearest(&name.value, headers.iter().chain(&metadata).map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name it under `headers` or `metadata` as well".to_owned(),
            };
            reading.note(problem.label("neither of `headers` nor of `metadata`").hint(hint), name.at.clone());
        }
    }
    DeclaredFacts { headers, metadata, personal_headers, personal_metadata }
}

fn names(
    reading: &mut Reading<'_>,
    what: &str,
    written: &[Spanned<String>],
    good: impl Fn(&str) -> Result<String, (&'static str, &'static str)>,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in written {
        match good(&name.value) {
            Err((why, hint)) => {
                let problem = Problem::error("bad-fact", format!("{} cannot be a fact", name.shown()));
                reading.note(problem.label(why).hint(hint), name.at.clone());
            }
            Ok(known) if names.contains(&known) => {
                let problem = Problem::error("duplicate-fact", format!("the {what} `{known}` is declared twice"));
                reading.note(problem.label("again here").hint("remove it"), name.at.clone());
            }
            Ok(_) if names.len() == MAX_NAMES => {
                let problem = Problem::error("too-many-facts", format!("more than {MAX_NAMES} names"));
                reading.note(problem.label("one too many").hint("declare what policies match"), name.at.clone());
                break;
            }
            Ok(known) => names.push(known),
        }
    }
    names
}

/// What policies may speak of.
pub(super) fn declared(raw: &Raw, facts: &DeclaredFacts, access: Option<&Access>) -> Declared {
    Declared {
        keys: match access {
            // The subjects of tokens are known when they come.
            Some(Access::Keys(keys)) if !keys.is_empty() && raw.tokens.is_empty() => {
                Some(keys.ids().map(str::to_owned).collect())
            }
            _ => None,
        },
        teams: Some(raw.teams.keys().cloned().collect()),
        contexts: Some(raw.contexts.keys().cloned().collect()),
        headers: facts.headers.clone(),
        metadata: facts.metadata.clone(),
    }
}

/// Warns of names that no policy matches: they are gathered for nothing.
pub(super) fn unused(reading: &mut Reading<'_>, raw: &Raw, policies: &PolicySet) {
    let Some(facts) = &raw.facts else { return };
    let headers = facts.headers.iter().filter(|name| !policies.asks_header(&name.value.to_ascii_lowercase()));
    let metadata = facts.metadata.iter().filter(|name| !policies.asks_metadata(&name.value));
    for name in headers.chain(metadata) {
        let problem = Problem::warning("unused-fact", format!("no policy matches {}", name.shown()));
        reading.note(problem.label("declared for nothing").hint("remove it, or match it in a route"), name.at.clone());
    }
}
