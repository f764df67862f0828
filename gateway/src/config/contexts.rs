//! Entities, contexts and teams: who uses models, and for what.

use std::{collections::BTreeMap, sync::Arc};

use catalog::Use;

use super::{
    Context, Contexts, Team, Teams,
    decode::Spanned,
    load::Reading,
    raw::Raw,
    report::{Problem, list, nearest},
    yaml::Node,
};

/// The contexts that are in order.
pub(super) fn contexts(reading: &mut Reading<'_>, raw: &Raw, tree: &Node) -> Contexts {
    let entities = names(tree, "entities");
    // Each seat is checked once, however many contexts have it.
    let seats: BTreeMap<&str, Option<String>> =
        raw.entities.iter().map(|(name, entity)| (name.as_str(), country(reading, &entity.seat))).collect();
    let mut contexts = BTreeMap::new();
    for (name, Spanned { value: context, at, .. }) in &raw.contexts {
        if !is_name(name) {
            reading.note(bad_name("context", name), at.clone());
            continue;
        }
        let mut seat = context.seat.as_ref().and_then(|seat| country(reading, seat));
        if let Some(entity) = &context.entity {
            match seats.get(entity.value.as_str()) {
                Some(found) => seat = seat.or_else(|| found.clone()),
                // One that is there but not in order is reported already.
                None if entities.contains(&entity.value.as_str()) => {}
                None => unknown(reading, "entity", "entities", entity, &entities),
            }
        }
        let end_users = context.end_users.iter().filter_map(|code| country(reading, code)).collect();
        let entity = context.entity.as_ref().map(|entity| entity.value.clone());
        let use_ = Use {
            activity: context.activity,
            domains: context.domains.clone(),
            seat,
            end_users,
            entity: entity.clone(),
            context: Some(name.clone()),
            ..Use::new(context.purpose, context.exposure)
        };
        contexts.insert(name.clone(), Arc::new(Context { name: name.clone(), entity, use_: use_.into() }));
    }
    contexts
}

/// The teams; each names contexts that there are.
pub(super) fn teams(reading: &mut Reading<'_>, raw: &Raw, tree: &Node) -> Teams {
    let contexts = names(tree, "contexts");
    let mut teams = BTreeMap::new();
    for (name, team) in &raw.teams {
        if !is_name(name) {
            reading.note(bad_name("team", name), key_at(tree, "teams", name));
            continue;
        }
        if team.contexts.is_empty() {
            let problem =
                Problem::error("no-contexts", format!("team `{name}` has no context, so no key can be made for it"))
                    .hint("name at least one of `contexts`");
            reading.note(problem, key_at(tree, "teams", name));
        }
        for context in &team.contexts {
            if !contexts.contains(&context.value.as_str()) {
                unknown(reading, "context", "contexts", context, &contexts);
            }
        }
        let contexts = team.contexts.iter().map(|context| context.value.clone()).collect();
        teams.insert(name.clone(), Team { contexts });
    }
    teams
}

/// Letters, digits, `.`, `_` and `-`: what fits a header, a metric label and a file name alike.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

pub(super) fn bad_name(what: &str, name: &str) -> Problem {
    Problem::error("bad-name", format!("`{}` cannot be the name of a {what}", name.escape_debug()))
        .hint("up to 64 letters, digits, `.`, `_` and `-`")
}

pub(super) fn unknown(reading: &mut Reading<'_>, what: &str, key: &str, written: &Spanned<String>, known: &[&str]) {
    let problem = Problem::error("unknown-name", format!("there is no {what} {}", written.shown()));
    let hint = match nearest(&written.value, known.iter().copied()) {
        Some(near) if !written.from_environment => format!("did you mean `{near}`?"),
        _ if known.is_empty() => format!("describe it under `{key}`"),
        _ => format!("`{key}` has {}", list(known.iter().copied())),
    };
    reading.note(problem.label(format!("not in `{key}`")).hint(hint), written.at.clone());
}

fn country(reading: &mut Reading<'_>, code: &Spanned<String>) -> Option<String> {
    if catalog::is_country(&code.value) {
        return Some(code.value.clone());
    }
    let hint = match catalog::country_meant(&code.value) {
        Some(meant) if !code.from_environment => format!("did you mean `{meant}`?"),
        _ => "for example DE, FR, KR, US".to_owned(),
    };
    let problem = Problem::error("country", format!("{} is not a country code", code.shown()))
        .label("expected two capital letters, as in ISO 3166")
        .hint(hint);
    reading.note(problem, code.at.clone());
    None
}

/// The names under a key as they are written, those with problems included.
pub(super) fn names<'a>(tree: &'a Node, key: &str) -> Vec<&'a str> {
    tree.get(key).into_iter().flat_map(Node::entries).map(|entry| entry.key.as_str()).collect()
}

pub(super) fn key_at(tree: &Node, section: &str, key: &str) -> std::ops::Range<usize> {
    let entries = tree.get(section).map(Node::entries).unwrap_or_default();
    entries.iter().find(|entry| entry.key == key).map_or(0..0, |entry| entry.key_at.clone())
}
