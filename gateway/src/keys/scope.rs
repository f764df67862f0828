//! What a key may reach, as the keys file says it.
//!
//! A name that nobody knows reaches nothing: a typing error must not make a key good for more.

use std::{ops::Range, sync::Arc};

use policies::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Known};
use crate::config::{decode::Spanned, report::Problem};

/// Names of a list in a scope.
const MOST_NAMES: usize = 64;

/// What a key, or the bearer of a token, may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "a scope", deny_unknown_fields)]
#[schemars(rename = "Scope")]
pub(crate) struct RawScope {
    /// Models, or single deployments, however they are asked for.
    #[serde(default)]
    pub(super) models: Option<Spanned<Vec<Spanned<String>>>>,
    /// Routes; `direct` is that of a model asked for by its own name.
    #[serde(default)]
    pub(super) routes: Option<Spanned<Vec<Spanned<String>>>>,
    /// Endpoints.
    #[serde(default)]
    pub(super) endpoints: Option<Spanned<Vec<Spanned<Endpoint>>>>,
}

/// What a key may reach, by the words of the file; an empty list is no bound, and is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListedScope {
    /// Models or deployments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Endpoints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

impl RawScope {
    /// The routes that it names.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.routes.iter().flat_map(|routes| &routes.value)
    }

    /// What it stands for. A name that nobody knows is a warning, and reaches nothing.
    pub(crate) fn read(
        &self,
        whose: &str,
        known: &Known<'_>,
        note: &mut impl FnMut(Problem, &Range<usize>),
    ) -> (Option<Arc<Scope>>, Option<Arc<[Endpoint]>>) {
        let lists = [
            self.models.as_ref().map(|list| (list.at.clone(), list.value.len())),
            self.routes.as_ref().map(|list| (list.at.clone(), list.value.len())),
            self.endpoints.as_ref().map(|list| (list.at.clone(), list.value.len())),
        ];
        for (at, len) in lists.into_iter().flatten() {
            if !(1..=MOST_NAMES).contains(&len) {
                let problem = Problem::error("bad-scope", format!("a list in the scope of {whose} has {len} names"));
                note(problem.hint(format!("1 to {MOST_NAMES}; leave the list out for no bound")), &at);
            }
        }
        let mut models = Vec::new();
        for name in self.models.iter().flat_map(|list| &list.value) {
            let deployment = known.deployments.iter().any(|deployment| deployment.facts.id == name.value);
            match known.catalog.resolve(&name.value) {
                _ if deployment => models.push(name.value.clone()),
                Some(model) => models.push(model.id.clone()),
                None => {
                    let message = format!("{whose} is bound to `{}`, which is no model", name.value.escape_debug());
                    let hint = match known.catalog.nearest(&name.value, 1).first() {
                        Some(near) => format!("it reaches nothing by that name; did you mean `{near}`?"),
                        None => "it reaches nothing by that name; `pointsman catalog list` has every model".to_owned(),
                    };
                    note(Problem::warning("unknown-name", message).hint(hint), &name.at);
                    models.push(name.value.clone());
                }
            }
        }
        let routes: Vec<String> = self.routes().map(|route| route.value.clone()).collect();
        let bound = !models.is_empty() || !routes.is_empty();
        let endpoints = self.endpoints.as_ref().map(|list| list.value.iter().map(|endpoint| endpoint.value).collect());
        (bound.then(|| Arc::new(Scope { models, routes })), endpoints)
    }
}

impl From<RawScope> for ListedScope {
    fn from(scope: RawScope) -> Self {
        fn values<T>(list: Option<Spanned<Vec<Spanned<T>>>>) -> Vec<T> {
            list.into_iter().flat_map(|list| list.value).map(|name| name.value).collect()
        }
        Self { models: values(scope.models), routes: values(scope.routes), endpoints: values(scope.endpoints) }
    }
}
