//! Records what places have counted themselves: at the start, each hour, around a configuration that changes places, and at the end.
//!
//! The ledger shows that nothing was removed from it, and not that everything came into it. Local engines and most servers count
//! their requests, and whoever asked one of them by another way than this gateway is in that count: `pointsman audit
//! reconcile` holds the two against each other. Hosts count nothing that they tell.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use backends::Tally;
use futures_util::future::join_all;

use crate::{
    instance::{Event, Instance, SourceTally},
    runtime::{Gateway, Runtime},
    settle::unix_ms,
};

/// How often places are asked.
const EVERY: Duration = Duration::from_secs(3_600);

/// The most counters that a record holds; a record has 64 KiB at most. Those beyond are not compared.
const MOST: usize = 200;

/// Asks the places of the configuration that serves, now and every hour, for as long as it is polled.
pub async fn keep(gateway: Arc<Gateway>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        record(&gateway.runtime(), &gateway.instance).await;
    }
}

/// Asks the places of a configuration and records what they say, if any of them counts.
pub async fn record(runtime: &Runtime, instance: &Instance) {
    let asked = runtime.places.iter().map(|place| place.backend.tally());
    let told = join_all(asked).await;
    let names = runtime.deployed.iter().map(|deployed| deployed.facts.id.clone());
    let event = event(names.zip(told));
    if let Event::Tally { sources, .. } = &event
        && !sources.is_empty()
    {
        instance.say(event);
    }
}

fn event(told: impl Iterator<Item = (String, Vec<Tally>)>) -> Event {
    let mut sources: Vec<SourceTally> = Vec::new();
    let mut known = HashSet::new();
    let mut deployments = BTreeMap::new();
    for (deployment, tallies) in told.filter(|(_, tallies)| !tallies.is_empty()) {
        let names = tallies.iter().map(|tally| tally.source.clone()).collect();
        for tally in tallies {
            if sources.len() < MOST && known.insert(tally.source.clone()) {
                sources.push(of(tally));
            }
        }
        deployments.insert(deployment, names);
    }
    deployments.retain(|_, names: &mut Vec<String>| names.iter().all(|name| known.contains(name)));
    Event::Tally { sources, deployments }
}

fn of(tally: Tally) -> SourceTally {
    SourceTally {
        source: tally.source,
        at: unix_ms(tally.at),
        since: tally.since.map(unix_ms),
        requests: tally.requests,
        prompt_tokens: tally.prompt_tokens,
        completion_tokens: tally.completion_tokens,
        exact: tally.exact,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn tally(source: &str) -> Tally {
        Tally {
            source: source.to_owned(),
            at: UNIX_EPOCH + Duration::from_millis(5),
            since: None,
            requests: Some(1),
            prompt_tokens: None,
            completion_tokens: None,
            exact: false,
        }
    }

    #[test]
    fn a_place_that_two_deployments_use_is_recorded_once_and_more_than_fit_are_left_out_whole() {
        let two = [("a", vec![tally("s")]), ("b", vec![tally("s"), tally("t")]), ("host", vec![])];
        let Event::Tally { sources, deployments } = event(two.map(|(id, told)| (id.to_owned(), told)).into_iter())
        else {
            panic!("another event");
        };
        assert_eq!(sources.iter().map(|source| &*source.source).collect::<Vec<_>>(), ["s", "t"]);
        assert_eq!(deployments["b"], ["s", "t"]);
        assert!(!deployments.contains_key("host"));

        let many = (0..=MOST).map(|at| (format!("d{at}"), vec![tally(&at.to_string())]));
        let Event::Tally { sources, deployments } = event(many) else { panic!("another event") };
        assert_eq!((sources.len(), deployments.len()), (MOST, MOST));
    }
}
