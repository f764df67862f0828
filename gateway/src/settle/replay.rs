//! The facts of a request from its record: what a policy is asked again when somebody wants to know what it would do.
//!
//! The record holds everything that a plan depends on but the state of the deployments at that moment. Of a record that an
//! older version wrote, what it did not keep counts as absent.

use std::{borrow::Cow, sync::Arc};

use catalog::{Activity, Date, Domain, Exposure, Purpose, Use};
use policies::{Capability, Facts, Needs, Scope};

use super::record::{Decision, ScopeRecord, UseRecord};

/// A record says something that this version has no word for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the record of request `{request}`: {}", self.why())]
pub struct UnknownWord {
    request: String,
    what: &'static str,
    word: String,
}

impl UnknownWord {
    /// What is not known, without the request.
    pub fn why(&self) -> String {
        format!("it has the {} `{}`, which this version does not know", self.what, self.word.escape_debug())
    }
}

/// The facts that a decision was made from.
///
/// # Errors
/// The use has a word that this version does not know: nothing may be guessed of a use.
pub fn facts(record: &Decision<'_>) -> Result<Facts, UnknownWord> {
    let unknown =
        |(what, word): (&'static str, String)| UnknownWord { request: record.request.to_string(), what, word };
    let use_ = use_of(&record.r#use, &record.context).map_err(unknown)?;
    let asked = record.asked.as_ref();
    let needs = asked.iter().flat_map(|asked| &asked.needs).filter_map(|need| Capability::named(need)).collect();
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    Ok(Facts {
        team: owned(&record.team),
        key: owned(&record.key),
        scope: asked.and_then(|asked| asked.scope.as_ref()).map(|scope| Arc::new(scope_of(scope))),
        context: Some(record.context.to_string()),
        now: i64::try_from(record.time / 1000).ok(),
        language: owned(&record.language),
        script: asked.and_then(|asked| owned(&asked.script)),
        prompt_tokens: asked.map_or(0, |asked| asked.prompt_tokens),
        max_tokens: asked.and_then(|asked| asked.max_tokens),
        answer_tokens: asked.and_then(|asked| asked.answer_tokens),
        draw: asked.map_or(0, |asked| asked.draw),
        needs: Needs::from(policies::Capabilities::from_iter::<Vec<_>>(needs)),
        stream: asked.is_some_and(|asked| asked.stream),
        headers: asked.map(|asked| pairs(&asked.headers)).unwrap_or_default(),
        metadata: asked.map(|asked| pairs(&asked.metadata)).unwrap_or_default(),
        ..Facts::new(record.model.to_string(), use_, Date::of_unix_ms(record.time))
    })
}

fn pairs(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn scope_of(record: &ScopeRecord<'_>) -> Scope {
    let owned = |names: &[Cow<'_, str>]| names.iter().map(|name| name.to_string()).collect();
    Scope { models: owned(&record.models), routes: owned(&record.routes) }
}

fn use_of(record: &UseRecord<'_>, context: &str) -> Result<Use, (&'static str, String)> {
    fn word<T: Copy>(
        what: &'static str,
        all: &[T],
        name: fn(T) -> &'static str,
        word: &str,
    ) -> Result<T, (&'static str, String)> {
        all.iter().copied().find(|known| name(*known) == word).ok_or_else(|| (what, word.to_owned()))
    }
    let activity = match &*record.activity {
        "" => Activity::default(),
        name => word("activity", &Activity::ALL, Activity::name, name)?,
    };
    let domains = record.domains.iter().map(|name| word("field of use", &Domain::ALL, Domain::name, name));
    Ok(Use {
        purpose: word("purpose", &Purpose::ALL, Purpose::name, &record.purpose)?,
        exposure: word("exposure", &Exposure::ALL, Exposure::name, &record.exposure)?,
        activity,
        domains: domains.collect::<Result<_, _>>()?,
        seat: record.seat.as_deref().map(str::to_owned),
        end_users: record.end_users.iter().map(|country| country.to_string()).collect(),
        entity: record.entity.as_deref().map(str::to_owned),
        context: Some(context.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: serde_json::Value) -> Decision<'static> {
        serde_json::from_value(json).expect("a record")
    }

    fn json() -> serde_json::Value {
        serde_json::json!({
            "v": 1, "kind": "decision", "time": 1_793_491_200_000_u64, "request": "r-1", "api": "chat", "team": "support",
            "key": "k1", "context": "bot", "model": "auto", "language": "ko", "route": "r", "config": "c",
            "use": {"purpose": "revenue", "exposure": "public", "activity": "agent", "seat": "DE", "domains": ["medical"],
                    "end_users": ["FR"], "entity": "acme"},
            "asked": {"prompt_tokens": 12, "max_tokens": 34, "needs": ["tools", "seed"], "stream": true,
                      "script": "hangul", "headers": [["x-tier", "gold"]]},
            "verdict": "serve", "candidates": [], "rejected": {}
        })
    }

    #[test]
    fn a_record_gives_back_the_facts_that_it_was_decided_from() {
        let facts = facts(&record(json())).expect("known words");
        assert_eq!((facts.team.as_deref(), facts.model_asked.as_str()), (Some("support"), "auto"));
        assert_eq!((facts.prompt_tokens, facts.max_tokens, facts.stream), (12, Some(34), true));
        assert_eq!(facts.needs, Needs { tools: true, seed: true, ..Needs::default() });
        assert_eq!((facts.key.as_deref(), facts.script.as_deref()), (Some("k1"), Some("hangul")));
        assert_eq!(
            (facts.now, &facts.headers[..]),
            (Some(1_793_491_200), &[("x-tier".to_owned(), "gold".to_owned())][..])
        );
        assert_eq!((facts.language.as_deref(), facts.today.to_string().as_str()), (Some("ko"), "2026-11-01"));
        let use_ = &facts.use_;
        assert_eq!((use_.purpose, use_.activity), (Purpose::Revenue, Activity::Agent));
        assert_eq!((&use_.domains[..], &use_.end_users[..]), (&[Domain::Medical][..], &["FR".to_owned()][..]));
        assert_eq!((use_.entity.as_deref(), use_.context.as_deref()), (Some("acme"), Some("bot")));
    }

    #[test]
    fn a_use_with_a_word_that_is_not_known_is_not_guessed_and_an_old_record_still_reads() {
        let mut strange = json();
        strange["use"]["purpose"] = "espionage".into();
        let error = facts(&record(strange)).expect_err("a strange word").to_string();
        assert!(error.contains("request `r-1`") && error.contains("purpose `espionage`"), "{error}");
        let mut old = json();
        old.as_object_mut().expect("an object").remove("asked");
        assert_eq!(facts(&record(old)).expect("an old record").prompt_tokens, 0);
    }
}
