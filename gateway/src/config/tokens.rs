//! `tokens`: the issuers whose tokens let their bearers in, and who these are.

use std::{ops::Range, sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;
use remote::BaseUrl;

use super::{
    Issuer, TokenRule,
    decode::Spanned,
    load::Reading,
    raw::{Raw, RawAlgorithm, RawIssuer, RawTokenRule},
    report::{Problem, list, nearest},
};
use crate::keys::{Known, ScopedTo};

const MOST_ISSUERS: usize = 16;
const MOST_AUDIENCES: usize = 16;
const MOST_RULES: usize = 1_000;
const LEEWAY: Duration = Duration::from_secs(30);
/// More would let tokens live that are long over.
const MOST_LEEWAY: Duration = Duration::from_secs(300);

/// The issuers that are in order.
pub(super) fn check(reading: &mut Reading<'_>, raw: &Raw, known: &Known<'_>) -> Vec<Issuer> {
    let mut issuers: Vec<Issuer> = Vec::new();
    if let Some(more) = raw.tokens.get(MOST_ISSUERS) {
        let problem = Problem::error("too-many-issuers", format!("more than {MOST_ISSUERS} issuers"));
        reading.note(problem.label("one too many"), more.at.clone());
    }
    for Spanned { value: issuer, .. } in raw.tokens.iter().take(MOST_ISSUERS) {
        let name = &issuer.issuer;
        if issuers.iter().any(|before| before.name == name.value) {
            let problem = Problem::error("duplicate-issuer", format!("the issuer {} is there twice", name.shown()));
            reading.note(problem.label("again here").hint("put its audiences and rules together"), name.at.clone());
            continue;
        }
        issuers.extend(checked(reading, issuer, known));
    }
    issuers
}

fn checked(reading: &mut Reading<'_>, raw: &RawIssuer, known: &Known<'_>) -> Option<Issuer> {
    let url = address(reading, &raw.issuer, "issuer");
    let jwks_url = raw.jwks_url.as_ref().map(|written| address(reading, written, "jwks_url").map(|_| &written.value));
    let Spanned { value: audience, at, .. } = &raw.audience;
    bounded(reading, "audience", audience.len(), MOST_AUDIENCES, at);
    for name in audience.iter().filter(|name| name.value.is_empty()) {
        reading.note(Problem::error("bad-audience", "an audience without a name"), name.at.clone());
    }
    let algorithms = match &raw.algorithms {
        None => vec![RawAlgorithm::RS256, RawAlgorithm::ES256, RawAlgorithm::EdDsa],
        Some(written) => {
            bounded(reading, "algorithms", written.value.len(), 9, &written.at);
            written.value.clone()
        }
    };
    let leeway = raw.leeway.as_ref().map_or(LEEWAY, |written| written.value.0);
    if let Some(written) = raw.leeway.as_ref().filter(|_| leeway > MOST_LEEWAY) {
        let problem = Problem::error("out-of-range", "`leeway` would let tokens live that are over");
        reading.note(problem.label(format!("at most {} s", MOST_LEEWAY.as_secs())), written.at.clone());
    }
    let Spanned { value: rules, at, .. } = &raw.rules;
    bounded(reading, "rules", rules.len(), MOST_RULES, at);
    let rules: Vec<TokenRule> = rules.iter().filter_map(|rule| self::rule(reading, &rule.value, known)).collect();
    let open = raw.rules.value.iter().position(|rule| rule.value.claim.is_none());
    if let Some(never) = open.and_then(|open| raw.rules.value.get(open + 1)) {
        let problem = Problem::warning("unreachable-rule", "the rule before it takes every token of the issuer");
        reading.note(problem.label("never asked").hint("put it before the rule without a `claim`"), never.at.clone());
    }
    let url = url?;
    let keys_at = match jwks_url {
        Some(checked) => Some(checked?.clone()),
        None => None,
    };
    Some(Issuer {
        name: raw.issuer.value.clone(),
        host: url.text.split("://").nth(1)?.split('/').next()?.to_owned(),
        audience: audience.iter().map(|name| name.value.clone()).collect(),
        keys_at,
        algorithms: algorithms.into_iter().map(algorithm).collect(),
        leeway,
        rules,
    })
}

fn bounded(reading: &mut Reading<'_>, key: &str, len: usize, most: usize, at: &Range<usize>) {
    // Of a list whose entries are all broken, each is reported already.
    let written = reading.source.text.get(at.start..).and_then(|text| text.strip_prefix('['));
    if len == 0 && !written.is_some_and(|rest| rest.trim_start().starts_with(']')) {
        return;
    }
    if !(1..=most).contains(&len) {
        let problem = Problem::error("out-of-range", format!("`{key}` has {len} entries"));
        reading.note(problem.label(format!("expected 1 to {most}")), at.clone());
    }
}

/// An address whose answers are trusted, so that nobody on the way may change them.
fn address(reading: &mut Reading<'_>, written: &Spanned<String>, key: &str) -> Option<BaseUrl> {
    // Where the keys are may have a query.
    let plain = if key == "issuer" { &written.value } else { written.value.split('?').next().unwrap_or_default() };
    match BaseUrl::parse(plain) {
        Ok(url) if url.encrypted || url.loopback => Some(url),
        Ok(_) => {
            let problem = Problem::error("unencrypted-issuer", format!("`{key}` would be asked unencrypted"))
                .label("`http` beyond this machine")
                .hint("use `https`: whoever can change the answer on its way could sign tokens");
            reading.note(problem, written.at.clone());
            None
        }
        Err(why) => {
            let problem = Problem::error("address", format!("{} cannot be asked for keys: {why}", written.shown()))
                .hint("for example https://login.example.com/");
            reading.note(problem, written.at.clone());
            None
        }
    }
}

fn rule(reading: &mut Reading<'_>, raw: &RawTokenRule, known: &Known<'_>) -> Option<TokenRule> {
    let needs = match (&raw.claim, &raw.equals) {
        (Some(claim), Some(equals)) => Some((claim.value.clone(), equals.value.clone())),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            let problem = Problem::error("half-a-rule", "a rule has both `claim` and `equals`, or neither")
                .hint("for example {claim: groups, equals: engineering, team: T, context: C}");
            reading.note(problem, alone.at.clone());
            None
        }
    };
    let (mut scope, mut endpoints) = (None, None);
    if let Some(written) = &raw.scope {
        let whose = format!("a rule for team {}", raw.team.shown());
        let source = reading.source.clone();
        let routes = written.routes().cloned().map(|route| ScopedTo { whose: whose.clone(), route });
        reading.scoped.extend(routes.map(|route| (source.clone(), route)));
        (scope, endpoints) = written.read(&whose, known, &mut |problem, at| reading.note(problem, at.clone()));
    }
    let mut unknown = |what: &str, written: &Spanned<String>, names: Vec<&str>| {
        let hint = match nearest(&written.value, names.iter().copied()) {
            Some(near) if !written.from_environment => format!("did you mean `{near}`?"),
            _ if names.is_empty() => "there is none".to_owned(),
            _ => format!("there are {}", list(names)),
        };
        let problem = Problem::error("unknown-name", format!("there is no {what} {}", written.shown())).hint(hint);
        reading.note(problem, written.at.clone());
    };
    let Some(team) = known.teams.get(&raw.team.value) else {
        unknown("team", &raw.team, known.teams.keys().map(String::as_str).collect());
        return None;
    };
    if !team.contexts.contains(&raw.context.value) {
        let what = format!("context of team {}", raw.team.shown());
        unknown(&what, &raw.context, team.contexts.iter().map(String::as_str).collect());
        return None;
    }
    // One that is there but not in order is reported already.
    let context = Arc::clone(known.contexts.get(&raw.context.value)?);
    Some(TokenRule { needs, team: raw.team.value.as_str().into(), context, scope, endpoints })
}

fn algorithm(raw: RawAlgorithm) -> Algorithm {
    match raw {
        RawAlgorithm::RS256 => Algorithm::RS256,
        RawAlgorithm::RS384 => Algorithm::RS384,
        RawAlgorithm::RS512 => Algorithm::RS512,
        RawAlgorithm::PS256 => Algorithm::PS256,
        RawAlgorithm::PS384 => Algorithm::PS384,
        RawAlgorithm::PS512 => Algorithm::PS512,
        RawAlgorithm::ES256 => Algorithm::ES256,
        RawAlgorithm::ES384 => Algorithm::ES384,
        RawAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
