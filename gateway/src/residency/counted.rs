//! What the engines of a deployment have counted together: each starts at nothing when it is loaded, and the ledger holds
//! one count against its requests.

use backends::Tally;

/// The counts of engines that are gone, with those of the one that is loaded now, if one is.
pub(super) fn joined(past: &[Tally], now: Vec<Tally>) -> Vec<Tally> {
    let mut joined = past.to_vec();
    for tally in now {
        match joined.iter_mut().find(|before| before.source == tally.source) {
            Some(before) => {
                let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
                before.at = tally.at;
                before.requests = sum(before.requests, tally.requests);
                before.prompt_tokens = sum(before.prompt_tokens, tally.prompt_tokens);
                before.completion_tokens = sum(before.completion_tokens, tally.completion_tokens);
                before.exact &= tally.exact;
            }
            None => joined.push(tally),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_model_that_was_loaded_twice_has_counted_since_the_first_time() {
        let at = |second| UNIX_EPOCH + Duration::from_secs(second);
        let tally = |began, asked, requests| Tally {
            source: "engine:a".into(),
            at: at(asked),
            since: Some(at(began)),
            requests: Some(requests),
            prompt_tokens: Some(10 * requests),
            completion_tokens: None,
            exact: true,
        };
        let joined = joined(&[tally(1, 5, 2)], vec![tally(7, 9, 3)]);
        let expected = Tally { requests: Some(5), prompt_tokens: Some(50), ..tally(1, 9, 0) };
        assert_eq!(joined, [expected]);
    }
}
