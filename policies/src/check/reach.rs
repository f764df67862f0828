//! Routes that no request reaches, as a whole or with some of what they match, because earlier ones take it.

use super::Checker;
use crate::{
    diag::{Code, Problems},
    route::RouteText,
};

/// Lists with more values than this are looked at as a whole only.
const MAX_VALUES: usize = 16;
/// A route with more routes before it than this is looked at as a whole only: each of its values is compared with each of
/// them, and a check has to stay quick.
const MAX_EARLIER: usize = 2_000;

impl Checker<'_> {
    /// Warns where earlier routes take everything that `route` matches, or every request with one of its values.
    pub(super) fn reach(&self, route: &RouteText, earlier: &[&RouteText], problems: &mut Problems) {
        let name = &route.name.value;
        if let Some(first) = earlier.iter().find(|earlier| earlier.when.takes_all_of(&route.when)) {
            let message = format!("route `{name}` is never reached");
            let hint = format!("{} takes every request it matches; move it up", self.named(first));
            let mut reader = self.reader(route.source, problems);
            let label = "every request goes to an earlier route";
            reader.warning(Code::UnreachableRoute, &route.name.at, message, label, hint);
            return;
        }
        if earlier.len() > MAX_EARLIER {
            return;
        }
        for (key, values) in route.when.lists() {
            let Some(values) = values.as_ref().filter(|values| (2..=MAX_VALUES).contains(&values.len())) else {
                continue;
            };
            let taken: Vec<(&String, &RouteText)> = values
                .iter()
                .filter_map(|value| {
                    let only = route.when.only(key, value);
                    Some((value, *earlier.iter().find(|earlier| earlier.when.takes_all_of(&only))?))
                })
                .collect();
            let whole = taken.len() == values.len();
            let Some((_, by)) = taken.first() else { continue };
            let listed: Vec<String> =
                taken.iter().map(|(value, by)| format!("`{value}` to `{}`", by.name.value)).collect();
            let mut reader = self.reader(route.source, problems);
            if whole {
                let message = format!("route `{name}` is never reached");
                let hint = format!("by `{key}`, {}; move it up", listed.join(", "));
                let label = "every request goes to an earlier route";
                reader.warning(Code::UnreachableRoute, &route.name.at, message, label, hint);
                return;
            }
            let shadowed: Vec<String> = taken.iter().map(|(value, _)| format!("`{value}`")).collect();
            let message = format!("route `{name}` never gets a request with the {key} {}", shadowed.join(", "));
            let hint = match taken.len() {
                1 => format!("{} takes it; move this route up, or remove the value", self.named(by)),
                _ => format!("{} go elsewhere; move this route up, or remove the values", listed.join(", ")),
            };
            let label = "shadowed by an earlier route";
            reader.warning(Code::ShadowedRoute, &route.name.at, message, label, hint);
        }
    }

    fn named(&self, route: &RouteText) -> String {
        format!("`{}` at {}", route.name.value, self.place(route.source, &route.name.at))
    }
}
