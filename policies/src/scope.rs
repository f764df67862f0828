//! What a caller's key may reach: models and routes, whatever the policies would let it have besides.
//!
//! A scope takes away and never adds: within it the routes, the licences and everything else decide as for any caller. It
//! is a fact of the request, so that a record of it gives the same plan again. It holds for whoever may get the request:
//! first choice, fallback, degraded list and mirror alike, however the model was asked for.

/// Bounds of a key; an empty list is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Models by their catalog ids, or single deployments by theirs.
    pub models: Vec<String>,
    /// Routes by name; [`DIRECT`](crate::DIRECT) is that of a model asked for by its own name.
    pub routes: Vec<String>,
}

impl Scope {
    /// Whether a deployment of a model, or a model that nothing serves, is within it.
    pub fn reaches(&self, deployment: Option<&str>, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|name| name == model || Some(name.as_str()) == deployment)
    }

    /// Whether a route is within it.
    pub fn takes(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|name| name == route)
    }
}
