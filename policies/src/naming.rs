//! From the name that a request asks for to the name that routes and deployments are found by.
//!
//! Exact names win: what a route matches, a deployment, a served model, an alias, a name that the catalog knows. Only a
//! name that is none of these is taken apart at a suffix such as `:cheap`, because ids of deployments may hold colons.
//! Aliases are followed to their end when policies are compiled, so here it is one look-up.

use std::{collections::HashMap, sync::Arc};

use catalog::Catalog;
use rapidhash::RapidHashMap;
use serde::Serialize;

use crate::{PolicySet, Suffix, read::Spanned};

/// The most aliases from a name to what it stands for.
pub(crate) const MAX_CHAIN: usize = 8;

/// An alias as its author wrote it.
#[derive(Clone, Debug)]
pub(crate) struct AliasText {
    /// The index of its file among the sources.
    pub(crate) source: usize,
    pub(crate) name: Spanned<String>,
    pub(crate) target: Spanned<String>,
}

/// What a name stands for in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) name: Arc<str>,
    pub(crate) suffix: Option<Suffix>,
}

/// Where the chain of aliases that begins with a name ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// At a name that `exact` knows, with the first suffix on the way.
    At(&'a str, Option<Suffix>),
    /// At a name that nobody knows.
    Unknown(&'a str),
    /// Nowhere: it is a circle, or longer than [`MAX_CHAIN`].
    Nowhere,
}

/// Follows aliases from `name` on. A name that is an alias goes on; one that `exact` knows is the end; from any other
/// a suffix is taken off.
pub(crate) fn follow<'a>(
    name: &'a str,
    next: impl Fn(&str) -> Option<&'a str>,
    exact: impl Fn(&str) -> bool,
) -> End<'a> {
    let (mut name, mut suffix, mut hops) = (name, None, 0);
    loop {
        if let Some(target) = next(name) {
            if hops == MAX_CHAIN {
                return End::Nowhere;
            }
            hops += 1;
            name = target;
        } else if exact(name) {
            return End::At(name, suffix);
        } else if let Some((base, found)) = Suffix::split(name) {
            suffix = suffix.or(Some(found));
            name = base;
        } else {
            return End::Unknown(name);
        }
    }
}

/// Aliases by name, each followed to its end. Those without an end are left out; `check` reports them.
pub(crate) fn aliases<'a>(
    texts: impl Iterator<Item = &'a AliasText>,
    exact: impl Fn(&str) -> bool,
) -> RapidHashMap<String, Alias> {
    let mut direct: HashMap<&str, &str> = HashMap::new();
    for alias in texts {
        direct.entry(&alias.name.value).or_insert(&alias.target.value);
    }
    let next = |name: &str| direct.get(name).copied();
    let followed = direct.keys().filter_map(|name| match follow(name, next, &exact) {
        End::At(end, suffix) => Some(((*name).to_owned(), Alias { name: end.into(), suffix })),
        End::Unknown(_) | End::Nowhere => None,
    });
    followed.collect()
}

/// What became of the name that was asked for, where it is not what routes were looked up by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedAs {
    /// The name that routes were looked up by.
    pub name: Arc<str>,
    /// Whether an alias stood for it.
    pub alias: bool,
    /// The preference that the caller or the alias put behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<Suffix>,
}

/// A name, looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    /// The name that routes are looked up by.
    pub(crate) name: &'a str,
    /// The catalog's id, for a name that is no deployment's own and not the id itself: a repository or an alias there.
    pub(crate) id: Option<&'a str>,
    alias: Option<&'a Alias>,
    pub(crate) suffix: Option<Suffix>,
}

impl Name<'_> {
    /// What became of it; `None` where routes were looked up by what was asked.
    pub(crate) fn asked_as(&self) -> Option<AskedAs> {
        let name = || self.alias.map_or_else(|| self.name.into(), |alias| Arc::clone(&alias.name));
        (self.alias.is_some() || self.suffix.is_some()).then(|| AskedAs {
            name: name(),
            alias: self.alias.is_some(),
            suffix: self.suffix,
        })
    }
}

impl PolicySet {
    /// Looks a name up.
    pub(crate) fn name<'a>(&'a self, catalog: &'a Catalog, asked: &'a str) -> Name<'a> {
        if let Some(name) = self.exact(catalog, asked) {
            return name;
        }
        match Suffix::split(asked) {
            Some((base, suffix)) => {
                let name = Name { name: base, id: None, alias: None, suffix: None };
                Name { suffix: Some(suffix), ..self.exact(catalog, base).unwrap_or(name) }
            }
            None => Name { name: asked, id: None, alias: None, suffix: None },
        }
    }

    fn exact<'a>(&'a self, catalog: &'a Catalog, asked: &'a str) -> Option<Name<'a>> {
        if self.knows(asked) {
            return Some(Name { name: asked, id: self.stands_for(asked), alias: None, suffix: None });
        }
        let alias = self.aliases.get(asked);
        let (name, suffix) = alias.map_or((asked, None), |alias| (&*alias.name, alias.suffix));
        let id = match alias.is_some() && self.knows(name) {
            true => self.stands_for(name),
            false => catalog.resolve(name).map(|model| model.id.as_str()),
        };
        (alias.is_some() || id.is_some()).then_some(Name { name, id, alias, suffix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_aliases_is_followed_to_its_end_and_a_circle_has_none() {
        let pairs = [("a", "b:cheap"), ("b", "c:fast"), ("c", "auto"), ("x", "y"), ("y", "x"), ("z", "nobody")];
        let next = |name: &str| pairs.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
        let end = |name| follow(name, next, |name| name == "auto" || name == "tag:fast");
        assert_eq!(end("a"), End::At("auto", Some(Suffix::Cheap)), "the outermost suffix counts");
        assert_eq!(end("c"), End::At("auto", None));
        assert_eq!(end("tag:fast"), End::At("tag:fast", None), "an exact name is never taken apart");
        assert_eq!(end("x"), End::Nowhere);
        let long = |name: &str| {
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].get(name.parse::<usize>().ok()? + 1).copied()
        };
        assert_eq!(follow("1", long, |name| name == "9"), End::At("9", None));
        assert_eq!(follow("0", long, |name| name == "9"), End::Nowhere, "nine in a row");
        assert_eq!(end("z"), End::Unknown("nobody"));
    }
}
