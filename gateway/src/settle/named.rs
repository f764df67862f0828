//! How the record of a request names who asked, and the values that it declared: by pseudonyms, where the configuration does
//! not have it otherwise.
//!
//! The pseudonyms are those of the epoch that the record's time is in. Of a caller who is known already this is a look-up.

use std::sync::Arc;

use policies::Facts;

use super::now_ms;
use crate::{
    config::Config,
    keys::Grant,
    subjects::{self, Epoch, SubjectError, Subjects},
};

/// The names in the record of a request.
#[derive(Clone, Debug, Default)]
pub struct Named {
    key: Option<Arc<str>>,
    /// In the place of the declared headers, the pseudonym of each that is personal; empty where none can be.
    headers: Vec<Option<Arc<str>>>,
    /// The same of the declared entries of `metadata`.
    metadata: Vec<Option<Arc<str>>>,
}

impl Named {
    /// The names of a caller's request; each is on disk.
    ///
    /// # Errors
    /// A pseudonym cannot be kept.
    pub async fn of(
        subjects: &Arc<Subjects>,
        config: &Config,
        caller: &Grant,
        facts: &Facts,
    ) -> Result<Self, SubjectError> {
        let now = facts
            .now
            .and_then(|second| u64::try_from(second).ok())
            .map_or_else(now_ms, |second| second.saturating_mul(1000));
        let Some(epoch) = Epoch::of(now, config.ledger.pseudonym_days) else { return Ok(Self::plain(caller)) };
        let declared = &config.facts;
        Ok(Self {
            key: match &caller.key {
                Some(key) => Some(subjects.pseudonym(epoch, key).await?),
                None => None,
            },
            headers: values(subjects, epoch, "header", &facts.headers, &declared.personal_headers).await?,
            metadata: values(subjects, epoch, "metadata", &facts.metadata, &declared.personal_metadata).await?,
        })
    }

    /// Everything as it is.
    pub fn plain(caller: &Grant) -> Self {
        Self { key: caller.key.clone(), ..Self::default() }
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(super) fn headers(&self) -> &[Option<Arc<str>>] {
        &self.headers
    }

    pub(super) fn metadata(&self) -> &[Option<Arc<str>>] {
        &self.metadata
    }
}

/// The pseudonyms of those declared values that are personal.
async fn values(
    subjects: &Arc<Subjects>,
    epoch: Epoch,
    kind: &str,
    values: &[(String, String)],
    personal: &[String],
) -> Result<Vec<Option<Arc<str>>>, SubjectError> {
    if personal.is_empty() {
        return Ok(Vec::new());
    }
    let mut named = Vec::with_capacity(values.len());
    for (name, value) in values {
        named.push(match personal.contains(name) {
            true => Some(subjects.pseudonym(epoch, &subjects::of_value(kind, name, value)).await?),
            false => None,
        });
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use policies::Facts;

    use super::*;
    use crate::config::{Access, Environment, Overrides, zero};

    #[tokio::test]
    async fn a_record_names_callers_and_personal_values_by_pseudonyms_and_all_else_as_it_is() {
        let ledger = tempfile::tempdir().unwrap();
        let subjects = Arc::new(Subjects::of(ledger.path()));
        let (mut config, _) = zero(&Overrides::default(), &Environment::of([])).unwrap();
        config.facts.personal_headers = vec!["x-user".to_owned()];
        let Access::Open(open) = &config.access else { panic!("nobody needs a key") };
        let caller = Grant::unbound(Some("k1".into()), None, Arc::clone(&open.context));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let facts = Facts {
            now: Some(86_400),
            headers: vec![pair("x-tier", "gold"), pair("x-user", "ann")],
            metadata: vec![pair("x-user", "ann")],
            ..Facts::new("m", Arc::clone(&caller.context.use_), catalog::Date::of_unix_ms(86_400_000))
        };
        let named = Named::of(&subjects, &config, &caller, &facts).await.unwrap();
        let key = named.key().unwrap();
        assert!(subjects::is_pseudonym(key));
        let [None, Some(user)] = named.headers() else { panic!("{named:?}") };
        assert!(subjects::is_pseudonym(user) && **user != *key);
        assert_eq!(named.metadata(), []);
        let names = subjects::Names::of(ledger.path());
        assert_eq!(&*names.find(user).unwrap().unwrap().subject, "header:x-user:ann");

        config.ledger.pseudonym_days = 0;
        let plain = Named::of(&subjects, &config, &caller, &facts).await.unwrap();
        assert_eq!((plain.key(), plain.headers()), (Some("k1"), &[][..]));
    }
}
