//! Puts back who asked, where a record has a pseudonym and the ledger's subjects still say whose it is: reports speak of keys by
//! their ids, and a request is planned again from what it said. Whoever was erased stays a pseudonym.

use std::borrow::Cow;

use anyhow::Context as _;

use super::join::Told;
use crate::{
    settle::record::Decision,
    subjects::{self, Names, is_pseudonym},
};

/// What a ledger tells, with the names of those who are known.
pub(super) fn named(names: &Names, told: anyhow::Result<Told>) -> anyhow::Result<Told> {
    let mut told = told?;
    if let Told::Request(entry) = &mut told {
        put_back(names, &mut entry.decision)?;
    }
    Ok(told)
}

/// Names whom a decision is about.
pub(super) fn put_back(names: &Names, decision: &mut Decision<'_>) -> anyhow::Result<()> {
    if let Some(key) = &mut decision.key {
        put_back_one(names, key, "")?;
    }
    let Some(asked) = &mut decision.asked else { return Ok(()) };
    for (kind, pairs) in [("header", &mut asked.headers), ("metadata", &mut asked.metadata)] {
        for (name, value) in pairs {
            // Most are plain: nothing is put together for them.
            if is_pseudonym(value) {
                put_back_one(names, value, &subjects::of_value(kind, name, ""))?;
            }
        }
    }
    Ok(())
}

/// Puts a subject back that begins so, without that.
fn put_back_one(names: &Names, value: &mut Cow<'_, str>, begins: &str) -> anyhow::Result<()> {
    if is_pseudonym(value)
        && let Some(found) = names.find(value).context("who stands behind the ledger's pseudonyms cannot be read")?
        && let Some(subject) = found.subject.strip_prefix(begins)
    {
        *value = Cow::Owned(subject.to_owned());
    }
    Ok(())
}
