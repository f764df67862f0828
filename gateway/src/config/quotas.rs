//! Quotas: what requests may take together. The `limits` and the `budget` of a team are one of its name.

use super::{
    Access, Budget, Dimension, Every, Quota, QuotaMatch, Webhook, contexts,
    decode::Spanned,
    load::Reading,
    raw::{Raw, RawBudget, RawQuota, RawQuotaLimits, RawWebhook},
    report::Problem,
    yaml::Node,
};
use remote::{BaseUrl, Secret};

/// The most of anything that is counted: far more than one gateway serves.
const MOST: u64 = 10_000_000_000;
/// The most that may run or wait at a time.
const MOST_AT_ONCE: u64 = 1_000_000;
/// The largest budget, in USD.
const MOST_USD: f64 = 1e9;
/// The share of a budget that is told unless the file says otherwise.
const WARN_AT: f64 = 0.8;
/// The shortest secret that messages are signed with, in bytes.
const SECRET: usize = 16;

/// What names may be matched.
pub(super) struct Known<'a> {
    pub(super) access: Option<&'a Access>,
    pub(super) has_issuers: bool,
    pub(super) policies: Option<&'a policies::PolicySet>,
    pub(super) catalog: &'a catalog::Catalog,
}

/// The quotas that are in order.
pub(super) fn check(reading: &mut Reading<'_>, raw: &Raw, tree: &Node, known: &Known<'_>) -> Vec<Quota> {
    let mut quotas: Vec<Quota> = Vec::new();
    for (name, team) in &raw.teams {
        let of_team = Quota {
            name: name.clone(),
            of_team: true,
            matches: QuotaMatch { teams: vec![name.clone()], ..QuotaMatch::default() },
            ..bounds(reading, &team.limits, &team.budget)
        };
        if !of_team.is_none() {
            quotas.push(of_team);
        }
    }
    for Spanned { value: quota, at, .. } in &raw.quotas {
        if !contexts::is_name(&quota.name.value) {
            reading.note(contexts::bad_name("quota", &quota.name.value), quota.name.at.clone());
        }
        if quotas.iter().any(|other| !other.of_team && other.name == quota.name.value) {
            let problem = Problem::error("duplicate-id", format!("there are two quotas {}", quota.name.shown()));
            reading.note(problem.hint("what is spent is kept by name: give it another"), quota.name.at.clone());
        }
        let named = Quota {
            name: quota.name.value.clone(),
            matches: matches(reading, quota, tree, known),
            per: {
                let mut per = quota.per.clone();
                per.sort_unstable();
                per.dedup();
                per
            },
            ..bounds(reading, &quota.limits, &quota.budget)
        };
        if named.is_none() {
            let problem = Problem::error("no-bound", format!("quota {} bounds nothing", quota.name.shown()));
            reading.note(problem.hint("give it `limits` or a `budget`"), at.clone());
        }
        quotas.push(named);
    }
    quotas
}

/// The requests that a quota counts; each name must be one.
fn matches(reading: &mut Reading<'_>, quota: &RawQuota, tree: &Node, known: &Known<'_>) -> QuotaMatch {
    let texts = |list: &[Spanned<String>]| list.iter().map(|name| name.value.clone()).collect::<Vec<_>>();
    let of = &quota.r#match;
    for (what, key, list) in [("team", "teams", &of.team), ("context", "contexts", &of.context)] {
        let names = contexts::names(tree, key);
        for name in list.iter().filter(|name| !names.contains(&name.value.as_str())) {
            contexts::unknown(reading, what, key, name, &names);
        }
    }
    // Without a keys file, or while it is empty, a key may yet be made; of those whom an issuer lets in nobody has a list.
    if let Some(Access::Keys(keys)) = known.access
        && !keys.is_empty()
        && !known.has_issuers
    {
        let ids: Vec<&str> = keys.ids().collect();
        for key in of.key.iter().filter(|key| !ids.contains(&key.value.as_str())) {
            contexts::unknown(reading, "key", "keys", key, &ids);
        }
    }
    if let Some(policies) = known.policies {
        let routes: Vec<&str> = policies.routes().chain([policies::DIRECT]).collect();
        for route in of.route.iter().filter(|route| !routes.contains(&route.value.as_str())) {
            contexts::unknown(reading, "route", "policies", route, &routes);
        }
    }
    let mut models = Vec::new();
    for model in &of.model {
        match known.catalog.resolve(&model.value) {
            Some(known) => models.push(known.id.clone()),
            None => {
                let problem = Problem::error("unknown-name", format!("there is no model {}", model.shown()));
                let near = known.catalog.nearest(&model.value, 1);
                let hint = match near.first().filter(|_| !model.from_environment) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`pointsman catalog list` prints every model".to_owned(),
                };
                reading.note(problem.label("not in the catalog").hint(hint), model.at.clone());
            }
        }
    }
    QuotaMatch {
        teams: texts(&of.team),
        keys: texts(&of.key),
        contexts: texts(&of.context),
        routes: texts(&of.route),
        models,
    }
}

/// The bounds alone.
fn bounds(reading: &mut Reading<'_>, limits: &RawQuotaLimits, budget: &RawBudget) -> Quota {
    let mut bound = |key: &str, written: &Option<Spanned<u64>>, least: u64, most: u64| {
        let written = written.as_ref()?;
        if (least..=most).contains(&written.value) {
            return Some(written.value);
        }
        let problem = Problem::error("out-of-range", format!("`{key}` cannot be that"));
        let problem = problem.label(format!("expected {least} to {most}; leave it out for no bound"));
        reading.note(problem, written.at.clone());
        None
    };
    let at_once = |bound: Option<u64>| bound.and_then(|bound| u32::try_from(bound).ok());
    let quota = Quota {
        requests_per_minute: bound("requests_per_minute", &limits.requests_per_minute, 1, MOST),
        tokens_per_minute: bound("tokens_per_minute", &limits.tokens_per_minute, 1, MOST),
        input_tokens_per_minute: bound("input_tokens_per_minute", &limits.input_tokens_per_minute, 1, MOST),
        output_tokens_per_minute: bound("output_tokens_per_minute", &limits.output_tokens_per_minute, 1, MOST),
        concurrent: at_once(bound("concurrent", &limits.concurrent, 1, MOST_AT_ONCE)),
        queued: at_once(bound("queued", &limits.queued, 0, MOST_AT_ONCE)),
        ..Quota::default()
    };
    let warn_at = amount(reading, "warn_at", budget.warn_at.as_ref(), 1.0, false).unwrap_or(WARN_AT);
    let periods = [
        (Every::Day, "usd_per_day", &budget.usd_per_day),
        (Every::Week, "usd_per_week", &budget.usd_per_week),
        (Every::Month, "usd_per_month", &budget.usd_per_month),
    ];
    let budget = |(every, key, written): (Every, &str, &Option<Spanned<f64>>)| {
        let usd = amount(reading, key, written.as_ref(), MOST_USD, true)?;
        Some(Budget { every, usd, warn_at })
    };
    Quota { budgets: periods.into_iter().filter_map(budget).collect(), ..quota }
}

/// A number above nothing and up to `most`, which itself is one where `inclusive`.
fn amount(
    reading: &mut Reading<'_>,
    key: &str,
    written: Option<&Spanned<f64>>,
    most: f64,
    inclusive: bool,
) -> Option<f64> {
    let written = written?;
    if written.value > 0.0 && (written.value < most || inclusive && written.value == most) {
        return Some(written.value);
    }
    let bounds = if inclusive { format!("above 0 and at most {most}") } else { format!("above 0 and below {most}") };
    let problem = Problem::error("out-of-range", format!("`{key}` cannot be that")).label(format!("expected {bounds}"));
    reading.note(problem, written.at.clone());
    None
}

/// The webhook, if it is in order.
pub(super) fn webhook(reading: &mut Reading<'_>, raw: Option<&Spanned<RawWebhook>>) -> Option<Webhook> {
    let RawWebhook { url, secret } = &raw?.value;
    let address = match BaseUrl::parse(&url.value) {
        Ok(address) if address.encrypted || address.loopback => Some(address.text),
        Ok(_) => {
            let problem = Problem::error("plain-http", "what is spent would be told without encryption")
                .hint("use https, or an address of this machine");
            reading.note(problem.label("not https"), url.at.clone());
            None
        }
        Err(why) => {
            let problem = Problem::error("bad-url", "`url` of the webhook is not an address").label(why);
            reading.note(problem.hint("for example https://hooks.example.com/pointsman"), url.at.clone());
            None
        }
    };
    let problem = match secret {
        secret if !secret.from_environment => Some(
            Problem::error("literal-key", "a secret may not stand in a configuration file")
                .label("not from the environment")
                .hint("write `secret: \"${NAME}\"` and set the variable"),
        ),
        secret if secret.value.trim().len() < SECRET => Some(
            Problem::error("bad-key", format!("the secret has fewer than {SECRET} bytes"))
                .hint("for example the output of `openssl rand -base64 32`"),
        ),
        _ => None,
    };
    match problem {
        Some(problem) => {
            reading.note(problem, secret.at.clone());
            None
        }
        None => Some(Webhook { url: address?, secret: Secret::new(&secret.value) }),
    }
}

impl Quota {
    /// Whether it bounds nothing.
    fn is_none(&self) -> bool {
        let Self {
            name: _,
            of_team: _,
            matches: _,
            per: _,
            requests_per_minute,
            tokens_per_minute,
            input_tokens_per_minute,
            output_tokens_per_minute,
            concurrent,
            queued,
            budgets,
        } = self;
        let rates = [requests_per_minute, tokens_per_minute, input_tokens_per_minute, output_tokens_per_minute];
        rates.iter().all(|rate| rate.is_none()) && concurrent.is_none() && queued.is_none() && budgets.is_empty()
    }

    /// Whether it can be told which requests it counts only once there is a plan.
    pub fn needs_plan(&self) -> bool {
        let planned = |dimension: &Dimension| matches!(dimension, Dimension::Route | Dimension::Model);
        !self.matches.routes.is_empty() || !self.matches.models.is_empty() || self.per.iter().any(planned)
    }

    /// Whether it counts requests of some models apart from those of others.
    pub fn tells_models(&self) -> bool {
        !self.matches.models.is_empty() || self.per.contains(&Dimension::Model)
    }
}
