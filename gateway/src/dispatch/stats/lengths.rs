//! How long the answers on each route are: what an expected price and an expected time are reckoned with.
//!
//! Only whole answers count; a stream that broke off or was cancelled says nothing of the length that it would have had.

use std::{collections::HashMap, sync::Arc};

use super::decayed::Mean;

/// The mean length of answers, in tokens.
#[derive(Debug, Default)]
pub struct Length(Mean);

impl Length {
    /// The mean; `None` before the first answer.
    pub fn mean(&self) -> Option<f32> {
        self.0.get()
    }

    /// Takes the tokens of a whole answer. None at all is a backend that does not count.
    pub fn add(&self, tokens: u64) {
        if tokens > 0 {
            self.0.add(tokens as f32);
        }
    }
}

/// The lengths of all routes, by name.
#[derive(Debug, Default)]
pub struct Lengths(HashMap<Box<str>, Arc<Length>>);

impl Lengths {
    /// Those of `routes`, going on with what `before` knows of routes of the same names.
    pub fn new<'a>(routes: impl Iterator<Item = &'a str>, before: Option<&Lengths>) -> Self {
        let known = |route: &str| before.and_then(|before| before.0.get(route)).cloned().unwrap_or_default();
        Self(routes.map(|route| (route.into(), known(route))).collect())
    }

    /// That of a route.
    pub fn of(&self, route: &str) -> Option<&Arc<Length>> {
        self.0.get(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_its_length_over_a_reload_and_a_new_one_has_none() {
        let before = Lengths::new(["chat", "gone"].into_iter(), None);
        before.of("chat").unwrap().add(120);
        before.of("chat").unwrap().add(0);
        let after = Lengths::new(["chat", "new"].into_iter(), Some(&before));
        assert_eq!(after.of("chat").unwrap().mean(), Some(120.0));
        assert_eq!(after.of("new").unwrap().mean(), None);
        assert!(after.of("gone").is_none());
        before.of("chat").unwrap().add(240);
        assert_eq!(after.of("chat").unwrap().mean(), Some(180.0), "an answer that was under way counts as well");
    }
}
