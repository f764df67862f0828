//! Which endpoint has most of a prompt cached, where it is worth going there.
//!
//! An endpoint that was sent a small part of the prompt saves little: then load decides. One that is busier than
//! the others gets no request for its cache ("consistent hashing with bounded loads", with the bound that is usual
//! there), so that a prefix which all requests share spreads. Of those that have about the same cached, such as a team's
//! system prompt, the least busy takes the request.

use backends::{Prefix, is_crowded};
use rand::Rng;

use super::endpoint::{Endpoint, Standing};

/// One request in so many is sent as if nothing were cached, so that prefixes which many ask for come to be in several
/// places, and a wrong guess is found out.
pub(super) const EXPLORED_ONE_IN: u32 = 100;
/// One part in so many of the prompt has to be cached, and so many tokens: fewer are read in the time of a few tokens of the
/// answer.
const WORTH_ONE_IN: u64 = 10;
const WORTH_TOKENS: u64 = 256;
/// About the same: nine tenths of the most.
const ABOUT: u64 = 10;

/// The endpoint that has the prompt; `None` where load is to decide.
pub(super) fn holder<'e>(endpoints: &'e [Endpoint], prefix: &Prefix, random: &mut impl Rng) -> Option<Standing<'e>> {
    let standings = endpoints.iter().map(|endpoint| endpoint.standing(Some(prefix)));
    let mut standings: Vec<Standing<'_>> = standings.filter(|standing| standing.against == 0).collect();
    let (all, count) = (standings.iter().map(requests).sum(), standings.len() as u64);
    let worth_it = |standing: &Standing<'_>| {
        let cached = u64::from(standing.cached);
        cached >= WORTH_TOKENS && cached * WORTH_ONE_IN >= u64::from(prefix.tokens())
    };
    standings.retain(|standing| worth_it(standing) && !is_crowded(requests(standing), all, count));
    let most = standings.iter().map(|standing| standing.cached).max()?;
    standings
        .into_iter()
        .filter(|standing| u64::from(standing.cached) * ABOUT >= u64::from(most) * (ABOUT - 1))
        .min_by_key(|standing| (standing.busy, random.random::<u32>()))
}

fn requests(standing: &Standing<'_>) -> u64 {
    let (queued, running) = standing.busy;
    u64::from(queued) + u64::from(running)
}

#[cfg(test)]
mod tests;
