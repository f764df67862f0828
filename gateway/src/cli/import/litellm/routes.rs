//! Groups of deployments as routes: their order, their fallbacks, how often and how long they are tried.

use super::{deployment::Deployment, items, number, text};
use crate::{
    cli::import::{
        finding::{Findings, Grade},
        write::Route,
    },
    config::{
        report::list,
        yaml::{Entry, Node},
    },
};

/// The most attempts that a route can make.
const MOST: usize = policies::MAX_CANDIDATES;

/// One route for each `model_name` of which something can be served.
pub(super) fn all(tree: &Node, deployments: &[Deployment], findings: &mut Findings<'_>) -> Vec<Route> {
    let mut said = Said::default();
    for section in ["router_settings", "litellm_settings"] {
        for setting in tree.get(section).map(Node::entries).unwrap_or_default() {
            said.take(section, setting, findings);
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for deployment in deployments {
        if !names.contains(&deployment.group.as_str()) {
            names.push(&deployment.group);
        }
    }
    let groups: Vec<Group<'_>> = names.into_iter().map(|name| Group::of(name, deployments)).collect();
    let routes = groups.iter().filter_map(|group| said.route(group, &groups, findings)).collect();
    said.left_over(&groups, findings);
    routes
}

/// The deployments of one `model_name`.
struct Group<'a> {
    name: &'a str,
    at: usize,
    /// Those that can be served, in the order in which they are tried.
    members: Vec<&'a Deployment>,
    /// What a route lists: the model, where its deployments are all of this group, else the deployments.
    entries: Vec<String>,
}

impl<'a> Group<'a> {
    fn of(name: &'a str, deployments: &'a [Deployment]) -> Self {
        let ours = || deployments.iter().filter(|deployment| deployment.group == name);
        let mut members: Vec<_> = ours().filter(|deployment| deployment.is_on()).collect();
        let order = |deployment: &Deployment| deployment.order.unwrap_or(1.0);
        let weight = |deployment: &Deployment| deployment.weight.unwrap_or(1.0);
        members.sort_by(|a, b| order(a).total_cmp(&order(b)).then(weight(b).total_cmp(&weight(a))));
        let mut group = Group { name, at: ours().next().map_or(0, |first| first.at), entries: Vec::new(), members };
        let model = group.members.first().and_then(|first| first.model.as_deref());
        let alike = |deployment: &Deployment| deployment.model.as_deref() == model;
        let alone = deployments.iter().filter(|other| other.is_on() && alike(other)).all(|other| other.group == name);
        group.entries = match model {
            Some(model)
                if group.members.len() > 1
                    && !group.is_ordered()
                    && alone
                    && group.members.iter().all(|m| alike(m)) =>
            {
                vec![model.to_owned()]
            }
            _ => group.members.iter().map(|member| member.entry.id.clone()).collect(),
        };
        group
    }

    /// Whether the file says which come first.
    fn is_ordered(&self) -> bool {
        let differ = |of: fn(&Deployment) -> Option<f64>| {
            self.members.iter().any(|member| of(member) != self.members.first().and_then(|first| of(first)))
        };
        differ(|member| member.order) || differ(|member| member.weight)
    }

    /// The longest of what its deployments say.
    fn longest(&self, of: fn(&Deployment) -> Option<f64>) -> Option<f64> {
        self.members.iter().filter_map(|member| of(member)).max_by(f64::total_cmp)
    }
}

/// Another name of a group.
struct Alias {
    at: usize,
    name: String,
    group: String,
    /// Whether LiteLLM does not list it.
    hidden: bool,
}

/// What the settings say of all routes.
#[derive(Default)]
struct Said {
    /// Where it stands, whom it is for, and the groups that follow.
    fallbacks: Vec<(usize, String, Vec<String>)>,
    default_fallbacks: Vec<String>,
    aliases: Vec<Alias>,
    retries: Option<f64>,
    timeout: Option<f64>,
    stream_timeout: Option<f64>,
    strategy: Option<String>,
}

impl Said {
    fn take(&mut self, section: &str, setting: &Entry, findings: &mut Findings<'_>) {
        let (key, node, at) = (setting.key.as_str(), &setting.node, setting.key_at.start);
        let read = format!("{section}: {key}");
        let mut note = |grade, became: &str| findings.note(grade, at, &*read, became, None);
        match key {
            "fallbacks" => self.fallbacks(node),
            "context_window_fallbacks" => {
                self.fallbacks(node);
                note(
                    Grade::Approximate,
                    "candidates at the end of the route, which are tried after any failure, a prompt that is too long among them",
                );
            }
            "content_policy_fallbacks" => {
                note(Grade::Unsupported, "nothing: an answer that a content filter ended is the caller's to see")
            }
            "default_fallbacks" => {
                self.default_fallbacks.extend(items(node).iter().filter_map(text).map(str::to_owned));
                note(Grade::Exact, "candidates at the end of every route");
            }
            "model_group_alias" => self.aliases(node),
            "routing_strategy" => self.strategy = text(node).map(str::to_owned),
            "num_retries" => {
                self.retries = number(node);
                note(Grade::Approximate, "`attempts.max`: each attempt goes to another deployment, where there is one");
            }
            "timeout" | "request_timeout" => {
                self.timeout = self.timeout.or(number(node));
                note(Grade::Exact, "`attempts.deadlines.total` of every route");
            }
            "stream_timeout" => {
                self.stream_timeout = number(node);
                note(Grade::Approximate, "`attempts.deadlines.first_token` of every route");
            }
            "enable_pre_call_checks" => {
                note(
                    Grade::Exact,
                    "nothing to set: a prompt that does not fit a deployment's window is never sent there",
                );
            }
            "allowed_fails" | "cooldown_time" | "disable_cooldowns" | "retry_after" => note(
                Grade::Unsupported,
                "nothing: a deployment that fails is scored lower and left alone for a while, by what is measured of it",
            ),
            "drop_params" => note(
                Grade::Approximate,
                "nothing to set: a deployment that lacks what a request asks for is passed over, and nothing is dropped",
            ),
            "cache" | "cache_params" => note(Grade::Unsupported, "nothing: answers are not cached"),
            "callbacks" | "success_callback" | "failure_callback" => {
                note(Grade::Unsupported, "nothing: every decision is in the ledger, and /metrics has the counts")
            }
            _ => note(Grade::Unsupported, "nothing: there is no setting for it"),
        }
    }

    /// `[{a: [b, c]}]`
    fn fallbacks(&mut self, node: &Node) {
        for entry in items(node).iter().flat_map(Node::entries) {
            let targets: Vec<_> = items(&entry.node).iter().filter_map(text).map(str::to_owned).collect();
            match entry.key.as_str() {
                "*" => self.default_fallbacks.extend(targets),
                from => self.fallbacks.push((entry.key_at.start, from.to_owned(), targets)),
            }
        }
    }

    /// `{alias: group}` or `{alias: {model: group}}`
    fn aliases(&mut self, node: &Node) {
        self.aliases.extend(node.entries().iter().filter_map(|entry| {
            let group = text(&entry.node).or_else(|| entry.node.get("model").and_then(text))?.to_owned();
            let hidden = entry.node.get("hidden").is_some();
            Some(Alias { at: entry.key_at.start, name: entry.key.clone(), group, hidden })
        }));
    }

    fn route(&self, group: &Group<'_>, groups: &[Group<'_>], findings: &mut Findings<'_>) -> Option<Route> {
        let wildcard = group.name.contains('*');
        if wildcard || group.members.is_empty() {
            let (became, next) = match wildcard {
                true => (
                    "no route: a name with `*` stands for names that are not known",
                    "write a route for each name that is asked for",
                ),
                false => (
                    "no route: none of its deployments can be served yet",
                    "put a deployment of it in order, then write a route",
                ),
            };
            findings.note(Grade::Manual, group.at, format!("model_name: {}", group.name), became, Some(next));
            return None;
        }
        let mut candidates = group.entries.clone();
        // The deployments that fallbacks add. More candidates than a plan lists would never be tried.
        let mut followers = 0;
        let wanted =
            self.fallbacks.iter().filter(|(_, from, _)| from == group.name).flat_map(|(_, _, targets)| targets);
        for target in wanted.chain(&self.default_fallbacks) {
            let target = self.aliases.iter().find(|alias| alias.name == *target).map_or(target, |alias| &alias.group);
            let Some(other) = groups.iter().find(|other| other.name == target) else { continue };
            let new: Vec<_> = other.entries.iter().filter(|entry| !candidates.contains(entry)).cloned().collect();
            if new.is_empty() || candidates.len() >= MOST {
                continue;
            }
            followers += other.members.len();
            candidates.extend(new);
        }
        let has_fallbacks = followers > 0;
        let prefer = self.prefer(group, has_fallbacks, findings);
        let aliases = self.aliases.iter().filter(|alias| alias.group == group.name).map(|alias| alias.name.clone());
        let models: Vec<_> = [group.name.to_owned()].into_iter().chain(aliases).collect();
        let attempts = self.attempts(group, followers);
        Some(Route { name: format!("litellm/{}", group.name), models, prefer, candidates, attempts })
    }

    /// What is weighed within a group of several. Where fallbacks follow, weights would mix them in, so the order decides.
    fn prefer(&self, group: &Group<'_>, has_fallbacks: bool, findings: &mut Findings<'_>) -> Option<&'static str> {
        if group.members.len() < 2 {
            return None;
        }
        let strategy = self.strategy.as_deref().unwrap_or("simple-shuffle");
        let read = format!("{}: {} deployments, {strategy}", group.name, group.members.len());
        let mut note = |grade, became: &str| findings.note(grade, group.at, &*read, became, None);
        if group.is_ordered() {
            let weighed = group.members.iter().any(|member| member.weight.is_some());
            match weighed {
                true => note(Grade::Approximate, "the heaviest first, then the next: shares by weight are not kept"),
                false => note(Grade::Exact, "candidates in their order"),
            }
            return None;
        }
        if has_fallbacks {
            let became = match group.entries.len() {
                1 => "the best of them by score, then the fallbacks",
                _ => "candidates in the order of the file, then the fallbacks: the first serves while it can",
            };
            note(Grade::Approximate, became);
            return None;
        }
        let (prefer, grade, became) = match strategy {
            "cost-based-routing" => ("{cost: 1}", Grade::Exact, "the cheapest first"),
            "latency-based-routing" => ("{latency: 1}", Grade::Exact, "the quickest first"),
            _ => ("{latency: 1}", Grade::Approximate, "the best by latency, load and errors, rather than by turns"),
        };
        note(grade, became);
        Some(prefer)
    }

    /// How often and how long a route is tried, of which `followers` fallbacks are the last.
    fn attempts(&self, group: &Group<'_>, followers: usize) -> Option<String> {
        /// What `attempts` says when it says nothing.
        const USUAL: usize = 3;
        let mut parts = Vec::new();
        let retries =
            self.retries.filter(|retries| (0.0..=100.0).contains(retries)).map(|retries| retries as usize + 1);
        // Every fallback has its turn.
        let all = if followers > 0 { group.members.len() + followers } else { 0 };
        let most = retries.unwrap_or(USUAL).max(all).clamp(1, MOST);
        if retries.is_some() || most > USUAL {
            parts.push(format!("max: {most}"));
        }
        let seconds = [
            ("first_token", group.longest(|member| member.stream_timeout).or(self.stream_timeout)),
            ("total", group.longest(|member| member.timeout).or(self.timeout)),
        ];
        let deadlines: Vec<_> = seconds
            .into_iter()
            .filter_map(|(key, seconds)| seconds.and_then(duration).map(|duration| format!("{key}: {duration}")))
            .collect();
        if !deadlines.is_empty() {
            parts.push(format!("deadlines: {{{}}}", deadlines.join(", ")));
        }
        (!parts.is_empty()).then(|| format!("{{{}}}", parts.join(", ")))
    }

    /// Tells of each fallback, and of names that nothing has.
    fn left_over(&self, groups: &[Group<'_>], findings: &mut Findings<'_>) {
        let known = |name: &str| groups.iter().any(|group| group.name == name && !group.members.is_empty());
        let named =
            |name: &str| known(name) || self.aliases.iter().any(|alias| alias.name == name && known(&alias.group));
        for (at, from, targets) in &self.fallbacks {
            let read = format!("fallbacks: {from}: {}", targets.join(", "));
            let lost: Vec<_> = targets.iter().chain([from]).filter(|name| !named(name)).map(String::as_str).collect();
            match lost.is_empty() {
                true => {
                    findings.note(Grade::Exact, *at, read, format!("candidates at the end of the route `{from}`"), None)
                }
                false => {
                    let became = format!("what there is of it: nothing is served under {}", list(lost));
                    let next = "put its deployments in order, then name them in the route";
                    findings.note(Grade::Manual, *at, read, became, Some(next));
                }
            }
        }
        for Alias { at, name, group, hidden } in &self.aliases {
            let (grade, became) = match (known(group), hidden) {
                (false, _) => (Grade::Manual, format!("nothing: nothing is served under `{group}`")),
                (true, false) => (Grade::Exact, format!("another name of the route of `{group}`")),
                (true, true) => {
                    (Grade::Approximate, format!("another name of the route of `{group}`, which GET /v1/models lists"))
                }
            };
            findings.note(grade, *at, format!("model_group_alias: {name}"), became, None);
        }
    }
}

/// Seconds as policies write a time, where it is one that they can say.
fn duration(seconds: f64) -> Option<String> {
    let millis = (seconds * 1000.0).round();
    let fits = (1.0..=86_400_000.0).contains(&millis);
    fits.then(|| if millis % 1000.0 == 0.0 { format!("{}s", millis / 1000.0) } else { format!("{millis}ms") })
}
