//! `pointsman audit reconcile`: what places counted themselves, against what the ledger says that they were asked for.
//!
//! Between two counts of a place lies a window. What the ledger tells of it has two bounds, as requests begin before a count and
//! end after it, and nobody knows on which side of it they were counted: the least are those that began and ended within the
//! window and ended well, the most are all that were sent there and may have been counted. A place that counted more than the
//! most was asked by somebody else; one that counted less than the least did not do what is recorded of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use clap::Args;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::{Entry, Told},
};
use crate::{
    instance::{Event, SourceTally},
    settle::unix_ms,
};

/// Hold what engines and servers counted themselves against what the ledger says that they were asked for
#[derive(Debug, Args)]
#[command(after_help = "\
A server that counts more than is recorded was asked by another way than this gateway. If other gateways use it, name the folders
of their data with --with. vLLM counts a request for several choices or prompts once for each of them.")]
pub(super) struct Reconcile {
    /// Folder of the data of another gateway that uses the same servers
    #[arg(long, value_name = "DIR")]
    with: Vec<PathBuf>,
}

/// All counters at one moment.
struct Counts {
    sources: HashMap<String, SourceTally>,
    deployments: BTreeMap<String, Vec<String>>,
}

/// What some deployments' counters counted between two moments.
#[derive(Debug, PartialEq)]
struct Window {
    /// All that these counters count for.
    deployments: BTreeSet<String>,
    /// The first and the last moment at which one of the counters was asked before, and after.
    begins: (u64, u64),
    ends: (u64, u64),
    /// What was counted; why it is not known otherwise.
    counted: Result<Counted, &'static str>,
    recorded: Recorded,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    requests: Option<u64>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    exact: bool,
}

/// What the ledger tells of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Recorded {
    least: u64,
    most: u64,
    /// Tokens of the least.
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// False if something was counted that is not recorded, or the other way round.
pub(super) fn run(args: &Reconcile, ask: &Ask) -> anyhow::Result<(Document, bool)> {
    let mut windows = windows(ask)?;
    let mut uncounted: BTreeMap<String, u64> = BTreeMap::new();
    let others: Vec<_> = args.with.iter().cloned().map(Ask::of).collect();
    for (at, ask) in std::iter::once(ask).chain(&others).enumerate() {
        let of: HashMap<String, Vec<usize>> = by_deployment(&windows);
        for told in ask.all()? {
            let Told::Request(entry) = told? else { continue };
            for attempt in attempts(&entry) {
                match of.get(attempt.deployment) {
                    Some(of) => of.iter().for_each(|window| attempt.count(&mut windows[*window])),
                    None if at == 0 => *uncounted.entry(attempt.deployment.to_owned()).or_default() += 1,
                    None => {}
                }
            }
        }
    }
    Ok(report(ask, &windows, uncounted))
}

fn report(ask: &Ask, windows: &[Window], uncounted: BTreeMap<String, u64>) -> (Document, bool) {
    let mut document = ask.document("What places counted, and what is recorded");
    let columns = [
        "deployments",
        "from",
        "to",
        "recorded_least",
        "recorded_most",
        "counted",
        "prompt_tokens_recorded",
        "prompt_tokens_counted",
        "completion_tokens_recorded",
        "completion_tokens_counted",
        "finding",
    ];
    let mut table = Table::new("windows", "Between two counts", &columns);
    let (mut compared, mut findings) = (0_u64, 0_u64);
    for window in windows {
        let (counted, finding) = match &window.counted {
            Ok(counted) => (*counted, window.finding(counted)),
            Err(why) => (Counted::default(), Some(format!("not compared: {why}"))),
        };
        compared += u64::from(window.counted.is_ok());
        findings += u64::from(window.counted.is_ok() && finding.is_some());
        let Recorded { least, most, prompt_tokens, completion_tokens } = window.recorded;
        let count = |count: Option<u64>| count.map_or(Cell::None, Cell::Count);
        table.rows.push(vec![
            Cell::list(&window.deployments),
            Cell::Time(window.begins.0),
            Cell::Time(window.ends.1),
            least.into(),
            most.into(),
            count(counted.requests),
            prompt_tokens.into(),
            count(counted.prompt_tokens),
            completion_tokens.into(),
            count(counted.completion_tokens),
            Cell::text(finding),
        ]);
    }
    document.facts.extend([
        ("findings", Cell::Count(findings)),
        ("windows_compared", compared.into()),
        ("windows_not_compared", (windows.len() as u64 - compared).into()),
    ]);
    let mut nobody = Table::new("uncounted", "Nobody counts these beside the gateway", &["deployment", "attempts"]);
    nobody.rows = uncounted.into_iter().map(|(deployment, count)| vec![deployment.into(), count.into()]).collect();
    document.tables = vec![table, nobody];
    (document, findings == 0)
}

impl Window {
    /// What is wrong with it.
    fn finding(&self, counted: &Counted) -> Option<String> {
        let Recorded { least, most, prompt_tokens, completion_tokens } = self.recorded;
        match counted.requests {
            Some(requests) if requests > most => return Some(format!("{} more than are recorded", requests - most)),
            Some(requests) if requests < least => return Some(format!("{} less than are recorded", least - requests)),
            _ => {}
        }
        let tokens = (counted.prompt_tokens, counted.completion_tokens);
        // Of those that may or may not have been counted, nobody knows which tokens were.
        let differ = counted.exact && least == most && tokens != (Some(prompt_tokens), Some(completion_tokens));
        differ.then(|| "other tokens than are recorded".to_owned())
    }
}

/// The windows between the counts that the ledger holds, as far as they lie in the time that is asked for.
fn windows(ask: &Ask) -> anyhow::Result<Vec<Window>> {
    let mut before: Option<Counts> = None;
    let mut windows = Vec::new();
    for told in ask.all()? {
        let Told::Gateway(_, said) = told? else { continue };
        let Event::Tally { sources, deployments } = said.event else { continue };
        let sources = sources.into_iter().map(|tally| (tally.source.clone(), tally)).collect();
        let now = Counts { sources, deployments };
        if let Some(before) = &before {
            windows.extend(between(before, &now).into_iter().filter(|window| {
                ask.from.is_none_or(|from| window.begins.0 >= unix_ms(from))
                    && ask.to.is_none_or(|to| window.ends.1 < unix_ms(to))
            }));
        }
        before = Some(now);
    }
    Ok(windows)
}

/// The windows between two counts: one for all deployments that share counters.
fn between(before: &Counts, after: &Counts) -> Vec<Window> {
    let mut groups: Vec<(BTreeSet<&str>, BTreeSet<&str>)> = Vec::new();
    for (deployment, sources) in before.deployments.iter().chain(&after.deployments) {
        let mut group = (BTreeSet::from([&**deployment]), sources.iter().map(String::as_str).collect::<BTreeSet<_>>());
        let shares =
            |other: &(BTreeSet<&str>, BTreeSet<&str>)| !other.0.is_disjoint(&group.0) || !other.1.is_disjoint(&group.1);
        let (joined, others) = groups.into_iter().partition(shares);
        groups = others;
        let joined: Vec<_> = joined;
        for (deployments, sources) in joined {
            group.0.extend(deployments);
            group.1.extend(sources);
        }
        groups.push(group);
    }
    groups.into_iter().filter_map(|(deployments, sources)| window(before, after, &deployments, &sources)).collect()
}

/// The window of some counters; `None` where none of them was there before, or none is there any more.
fn window(before: &Counts, after: &Counts, deployments: &BTreeSet<&str>, sources: &BTreeSet<&str>) -> Option<Window> {
    let of = |counts: &Counts| -> Vec<SourceTally> {
        sources.iter().filter_map(|source| counts.sources.get(*source).cloned()).collect()
    };
    let (then, now) = (of(before), of(after));
    let span = |tallies: &[SourceTally]| -> Option<(u64, u64)> {
        let at = tallies.iter().map(|tally| tally.at);
        Some((at.clone().min()?, at.max()?))
    };
    let (begins, ends) = (span(&then)?, span(&now)?);
    let counted = match then.len() == sources.len() && now.len() == sources.len() {
        true => counted(&then, &now),
        false => Err("a counter was not there at one of the two times"),
    };
    let deployments = deployments.iter().map(|name| (*name).to_owned()).collect();
    Some(Window { deployments, begins, ends, counted, recorded: Recorded::default() })
}

/// What was counted between two readings of the same counters.
fn counted(then: &[SourceTally], now: &[SourceTally]) -> Result<Counted, &'static str> {
    let anew = "a counter began anew between the two times";
    if then.iter().zip(now).any(|(then, now)| then.since != now.since) {
        return Err(anew);
    }
    let sum = |of: fn(&SourceTally) -> Option<u64>| {
        let pairs = then.iter().zip(now).map(|(then, now)| of(then).zip(of(now)));
        let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let deltas = pairs.into_iter().map(|(then, now)| now.checked_sub(then));
        deltas.sum::<Option<u64>>().map(Some).ok_or(anew)
    };
    Ok(Counted {
        requests: sum(|tally| tally.requests)?,
        prompt_tokens: sum(|tally| tally.prompt_tokens)?,
        completion_tokens: sum(|tally| tally.completion_tokens)?,
        exact: now.iter().all(|tally| tally.exact),
    })
}

fn by_deployment(windows: &[Window]) -> HashMap<String, Vec<usize>> {
    let mut of: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, window) in windows.iter().enumerate() {
        for deployment in &window.deployments {
            of.entry(deployment.clone()).or_default().push(at);
        }
    }
    of
}

/// Something that was sent to a deployment.
struct Sent<'a> {
    deployment: &'a str,
    /// Within which time that was, in Unix milliseconds.
    within: (u64, u64),
    /// The most times.
    most: u64,
    /// Whether a place that counts exactly counts such a thing at all.
    generates: bool,
    /// Its tokens, where it surely was counted.
    surely: Option<(u64, u64)>,
}

impl Sent<'_> {
    fn count(&self, window: &mut Window) {
        let (from, to) = self.within;
        if to < window.begins.0 || from > window.ends.1 {
            return;
        }
        if !self.generates && window.counted.is_ok_and(|counted| counted.exact) {
            return;
        }
        window.recorded.most += self.most;
        let inside = from >= window.begins.1 && to <= window.ends.0;
        if let Some((prompt, completion)) = self.surely.filter(|_| inside) {
            window.recorded.least += 1;
            window.recorded.prompt_tokens += prompt;
            window.recorded.completion_tokens += completion;
        }
    }
}

/// What was sent where for a request.
fn attempts(entry: &Entry) -> Vec<Sent<'_>> {
    let decision = &entry.decision;
    let generates = matches!(&*decision.api, "chat" | "completions" | "messages" | "responses");
    let Some(outcome) = &entry.outcome else {
        // Nobody knows how often it was tried, and where: once and once more at most.
        let candidates = decision.candidates.iter().filter_map(|candidate| candidate.deployment.as_deref());
        let within = (decision.time, u64::MAX);
        return candidates.map(|deployment| Sent { deployment, within, most: 2, generates, surely: None }).collect();
    };
    let within = (decision.time, outcome.time);
    let served = outcome.answer_of.is_none().then_some(entry.deployment()).flatten();
    let tried = outcome.tried.iter().filter_map(|tried| {
        let deployment = tried["deployment"].as_str()?;
        let answered = tried.get("error").is_none() && served == Some(deployment);
        let ended = generates && outcome.status == "completed" && entry.counted_by() == Some("backend");
        let surely =
            (answered && ended).then(|| (outcome.prompt_tokens.unwrap_or(0), outcome.completion_tokens.unwrap_or(0)));
        Some(Sent { deployment, within, most: 1, generates, surely })
    });
    tried.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::join::tests::{decision, joined_all, outcome},
        *,
    };

    fn counts(at: u64, of: &[(&str, &str, u64)]) -> Counts {
        let tally = |source: &str, requests| SourceTally {
            source: source.to_owned(),
            at,
            since: Some(1),
            requests: Some(requests),
            prompt_tokens: Some(requests * 7),
            completion_tokens: Some(requests * 3),
            exact: true,
        };
        Counts {
            sources: of.iter().map(|(_, source, requests)| ((*source).to_owned(), tally(source, *requests))).collect(),
            deployments: of.iter().map(|(name, source, _)| ((*name).to_owned(), vec![(*source).to_owned()])).collect(),
        }
    }

    /// A request to `b` from one time to another.
    fn asked(begins: u64, ends: u64, change: impl FnOnce(&mut serde_json::Value)) -> Entry {
        let mut ended = outcome("1", "completed");
        ended["time"] = ends.into();
        ended["tried"] = json!([{"deployment": "b", "ms": 1}]);
        change(&mut ended);
        joined_all(&[decision("1", begins, "serve"), ended]).remove(0)
    }

    fn found(requests: u64, entries: &[Entry]) -> (u64, u64, Option<String>) {
        let mut windows = between(&counts(100, &[("b", "s", 10)]), &counts(200, &[("b", "s", 10 + requests)]));
        assert_eq!(windows.len(), 1);
        for entry in entries {
            attempts(entry).iter().filter(|sent| sent.deployment == "b").for_each(|sent| sent.count(&mut windows[0]));
        }
        let counted = windows[0].counted.unwrap();
        (windows[0].recorded.least, windows[0].recorded.most, windows[0].finding(&counted))
    }

    #[test]
    fn what_is_counted_and_not_recorded_is_found_and_what_is_recorded_and_not_counted() {
        let two = [asked(110, 120, |_| ()), asked(130, 199, |_| ())];
        assert_eq!(found(2, &two), (2, 2, None));
        assert_eq!(found(3, &two), (2, 2, Some("1 more than are recorded".to_owned())));
        assert_eq!(found(1, &two), (2, 2, Some("1 less than are recorded".to_owned())));
        let other = [asked(110, 120, |ended| ended["completion_tokens"] = 4.into())];
        assert_eq!(found(1, &other), (1, 1, Some("other tokens than are recorded".to_owned())));
    }

    #[test]
    fn what_may_have_been_counted_is_no_finding_either_way() {
        let astride = || asked(90, 120, |_| ());
        let cancelled = || asked(110, 120, |ended| ended["status"] = "cancelled".into());
        let failed = || asked(110, 120, |ended| ended["tried"][0]["error"] = "timeout".into());
        let open = joined_all(&[decision("1", 110, "serve")]).remove(0);
        for entry in [astride(), cancelled(), failed(), open] {
            let most = if entry.is_open() { 2 } else { 1 };
            assert_eq!(found(0, std::slice::from_ref(&entry)), (0, most, None));
            assert_eq!(found(1, &[entry]), (0, most, None));
        }
        assert_eq!(found(0, &[asked(10, 20, |_| ()), asked(201, 210, |_| ())]), (0, 0, None));
        let again = asked(110, 120, |ended| {
            ended["answer_of"] = "0".into();
            ended["tried"] = json!([]);
        });
        assert_eq!(found(0, &[again]), (0, 0, None));
    }

    #[test]
    fn deployments_at_one_counter_are_one_window_and_a_counter_that_began_anew_is_not_compared() {
        let before = counts(100, &[("a", "s", 5), ("b", "s", 5), ("c", "t", 1)]);
        let after = counts(200, &[("a", "s", 9), ("b", "s", 9), ("c", "t", 0)]);
        let windows = between(&before, &after);
        let of = |names: &[&str]| {
            let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
            windows.iter().find(|window| window.deployments == names).unwrap()
        };
        assert_eq!(of(&["a", "b"]).counted.unwrap().requests, Some(4));
        assert!(of(&["c"]).counted.is_err());
        let mut later = counts(200, &[("a", "s", 9)]);
        later.sources.get_mut("s").unwrap().since = Some(2);
        assert!(between(&counts(100, &[("a", "s", 5)]), &later)[0].counted.is_err());
        assert!(between(&counts(100, &[("a", "s", 5)]), &counts(200, &[("d", "u", 1)])).is_empty());
    }
}
