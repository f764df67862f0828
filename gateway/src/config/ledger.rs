//! How long an answer waits for its record, how long records are kept, where others hold on to what they say, and from where
//! the pages may be that records tell of.

use std::time::Duration;

use ledger::VerifierKey;
use policies::Plan;
use remote::{BaseUrl, Secret};

use super::{
    decode::Spanned,
    fleet,
    limits::within,
    load::Reading,
    raw::{RawAnchor, RawHold, RawLedger},
    report::Problem,
};
use crate::guard::{Network, NotANetwork};

/// How an anchor that says nothing of it is told: often where that is free, seldom where somebody else signs.
const EVERY: Duration = Duration::from_secs(60);
const EVERY_TIMESTAMP: Duration = Duration::from_secs(3_600);

/// Under half a year, records that some laws ask for are gone.
const HALF_A_YEAR: u64 = 184;

/// The settings of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// From this licence tier on, and for whatever a waiver lets through, the decision is on disk before a host hears of
    /// the request.
    pub before_upstream_from_tier: u8,
    /// Up to this licence tier an answer does not wait for its decision at all.
    pub unwaited_to_tier: u8,
    /// Days that records are kept for at least; all are kept where it is not said.
    pub keep_days: Option<u64>,
    /// Days for which records name a caller by the same pseudonym; 0 where they hold the ids of keys as they are.
    pub pseudonym_days: u32,
    /// Who is told of checkpoints.
    pub anchors: Vec<Anchor>,
    /// Who signs them beside the gateway.
    pub witnesses: Vec<Witness>,
    /// The logs that this gateway signs beside their own, by their keys.
    pub witness_for: Vec<VerifierKey>,
    /// Records that stay, however old they are.
    pub holds: Vec<Hold>,
    /// Whether checkpoints are signed by ML-DSA too.
    pub ml_dsa: bool,
    /// Where pages of evidence may be beside where everybody can reach them.
    pub evidence_from: Vec<Network>,
    /// The address of the PostgreSQL that has an index of it.
    pub index: Option<Secret>,
}

/// Records that have to stay, for a court say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// Their first day.
    pub from: catalog::Date,
    /// Their last day; without one, all from then on.
    pub to: Option<catalog::Date>,
    /// Why.
    pub reason: String,
}

/// A place that holds on to checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Anchor {
    /// What it is.
    pub place: AnchorPlace,
    /// How often it is told.
    pub every: Duration,
}

/// The kinds of such places.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnchorPlace {
    /// A folder, say of a store that nothing can be deleted from.
    Folder(std::path::PathBuf),
    /// An address that takes them by POST.
    Url(String),
    /// An authority that signs the time (RFC 3161).
    Timestamp(String),
}

/// Somebody who signs checkpoints of a log that only grew (c2sp.org/tlog-witness).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Below which its `add-checkpoint` is.
    pub url: String,
    /// Its key.
    pub key: VerifierKey,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its decision is on disk before a host hears of the request.
    BeforeUpstream,
    /// Its first byte waits for that.
    FirstByte,
    /// Nothing.
    Nothing,
}

impl Hold {
    /// Its first moment, in Unix milliseconds.
    pub fn first_ms(&self) -> u64 {
        self.from.unix_ms()
    }

    /// Its last moment, if it has one.
    pub fn last_ms(&self) -> Option<u64> {
        self.to.map(|to| to.plus_days(1).unix_ms().saturating_sub(1))
    }
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            before_upstream_from_tier: 3,
            unwaited_to_tier: 0,
            keep_days: None,
            pseudonym_days: 30,
            anchors: Vec::new(),
            witnesses: Vec::new(),
            witness_for: Vec::new(),
            holds: Vec::new(),
            ml_dsa: false,
            evidence_from: Vec::new(),
            index: None,
        }
    }
}

impl LedgerSettings {
    /// What the answer of a plan waits for, by the strictest of its candidates.
    pub fn wait_for(&self, plan: &Plan, catalog: &catalog::Catalog) -> Wait {
        let decisions = || plan.candidates.iter().map(|candidate| candidate.decision());
        let tier = decisions().map(|decision| decision.tier.number()).max().unwrap_or(u8::MAX);
        let is_waiver = |id: &str| catalog.waivers().any(|waiver| waiver.id == id);
        let waived = || decisions().any(|decision| decision.rests_on.iter().any(|id| is_waiver(id)));
        if tier >= self.before_upstream_from_tier || waived() {
            Wait::BeforeUpstream
        } else if tier <= self.unwaited_to_tier {
            Wait::Nothing
        } else {
            Wait::FirstByte
        }
    }
}

/// The settings, if they are in order; what is not written is the default.
pub(super) fn check(reading: &mut Reading<'_>, raw: Option<&RawLedger>) -> Option<LedgerSettings> {
    let default = LedgerSettings::default();
    let Some(raw) = raw else { return Some(default) };
    let mut tier = |key: &str, written: &Option<Spanned<u64>>, default: u8, range| {
        within(reading, (key, "is no licence tier"), written.clone(), default.into(), range)
    };
    let before =
        tier("before_upstream_from_tier", &raw.before_upstream_from_tier, default.before_upstream_from_tier, 1..=6);
    // What binds its users waits for its record, always.
    let unwaited = tier("unwaited_to_tier", &raw.unwaited_to_tier, default.unwaited_to_tier, 0..=1);
    if let Some(days) = &raw.keep_days
        && days.value < HALF_A_YEAR
    {
        let problem = Problem::warning("kept-too-short", "records are kept for less than half a year")
            .label(format!("{} days", days.value))
            .hint(format!(
                "Article 26 of the EU's AI Act asks deployers of high-risk systems for six months of logs; {HALF_A_YEAR} or \
                 more is on the safe side"
            ));
        reading.note(problem, days.at.clone());
    }
    let Kept { keep_days, pseudonym_days, holds } = kept(reading, Some(raw));
    let anchors = raw.anchors.iter().filter_map(|anchor| self::anchor(reading, anchor)).collect();
    let witnesses = raw.witnesses.iter().filter_map(|witness| {
        let url = address(reading, &witness.value.url)?;
        let key = verifier_key(reading, &witness.value.key, true)?;
        Some(Witness { url, key })
    });
    let witnesses = witnesses.collect();
    let witness_for = raw.witness_for.iter().filter_map(|key| verifier_key(reading, key, false)).collect();
    let index = index(reading, Some(raw));
    Some(LedgerSettings {
        before_upstream_from_tier: before? as u8,
        unwaited_to_tier: unwaited? as u8,
        keep_days,
        pseudonym_days,
        anchors,
        witnesses,
        witness_for,
        holds,
        ml_dsa: raw.ml_dsa.unwrap_or(default.ml_dsa),
        evidence_from: raw.evidence_from.iter().filter_map(|written| network(reading, written)).collect(),
        index,
    })
}

/// Where the index is, if there is one.
pub(super) fn index(reading: &mut Reading<'_>, raw: Option<&RawLedger>) -> Option<Secret> {
    fleet::postgres(reading, ("index", "the ledger"), raw?.index.as_ref()?)
}

/// What is kept of people, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// See [`LedgerSettings::keep_days`].
    pub keep_days: Option<u64>,
    /// See [`LedgerSettings::pseudonym_days`].
    pub pseudonym_days: u32,
    /// See [`LedgerSettings::holds`].
    pub holds: Vec<Hold>,
}

/// That part of the settings, without those that may take secrets of the serving machine.
pub(super) fn kept(reading: &mut Reading<'_>, raw: Option<&RawLedger>) -> Kept {
    let default = LedgerSettings::default().pseudonym_days;
    let Some(raw) = raw else {
        return Kept { keep_days: None, pseudonym_days: default, holds: Vec::new() };
    };
    let keep_days = raw.keep_days.is_some();
    let keep_days = keep_days.then(|| within(reading, ("keep_days", CANNOT), raw.keep_days.clone(), 1, 1..=36_500));
    let pseudonym_days =
        within(reading, ("pseudonym_days", CANNOT), raw.pseudonym_days.clone(), default.into(), 0..=3_660);
    Kept {
        keep_days: keep_days.flatten(),
        pseudonym_days: pseudonym_days.map_or(default, |days| days as u32),
        holds: raw.holds.iter().filter_map(|hold| self::hold(reading, &hold.value)).collect(),
    }
}

/// What is wrong with a number of days.
const CANNOT: &str = "cannot be that";

fn network(reading: &mut Reading<'_>, written: &Spanned<String>) -> Option<Network> {
    let why = match written.value.parse::<Network>() {
        Ok(network) => return Some(network),
        Err(why) => why,
    };
    let problem = Problem::error("bad-network", format!("{} is no network", written.shown())).label(why.to_string());
    let hint = match why {
        NotANetwork::Unreadable => {
            "expected an address and how many of its first bits count, such as 10.1.0.0/16 or fd00:1::/32"
        }
        NotANetwork::BitsBeyond(_) => "write the first address of the network, such as 10.1.0.0/16, or more bits",
    };
    reading.note(problem.hint(hint), written.at.clone());
    None
}

fn hold(reading: &mut Reading<'_>, raw: &RawHold) -> Option<Hold> {
    let mut day = |written: &Spanned<String>| match written.value.parse::<catalog::Date>() {
        Ok(day) => Some(day),
        Err(_) => {
            let problem = Problem::error("date", format!("{} is not a day", written.shown()));
            reading.note(problem.hint("for example 2026-01-31"), written.at.clone());
            None
        }
    };
    let from = day(&raw.from)?;
    let to = match &raw.to {
        Some(to) => Some(day(to)?),
        None => None,
    };
    let (name, reason) = (raw.name.value.clone(), raw.reason.clone());
    Some(Hold { name, from, to, reason })
}

fn anchor(reading: &mut Reading<'_>, Spanned { value: raw, at, .. }: &Spanned<RawAnchor>) -> Option<Anchor> {
    let (place, every) = match (&raw.folder, &raw.url, &raw.timestamp) {
        (Some(folder), None, None) => (AnchorPlace::Folder(reading.path(&folder.value)), EVERY),
        (None, Some(url), None) => (AnchorPlace::Url(address(reading, url)?), EVERY),
        (None, None, Some(url)) => (AnchorPlace::Timestamp(address(reading, url)?), EVERY_TIMESTAMP),
        _ => {
            let problem = Problem::error("anchor", "an anchor is exactly one of `folder`, `url` and `timestamp`");
            let problem = problem.hint("write one entry of `anchors` for each place");
            reading.note(problem, at.clone());
            return None;
        }
    };
    let every = raw.every.as_ref().map_or(every, |every| every.value.0);
    // A checkpoint is made each second.
    Some(Anchor { place, every: every.max(Duration::from_secs(1)) })
}

/// An address without its last slash. What it is told is signed and holds no secret, so it need not be encrypted.
fn address(reading: &mut Reading<'_>, url: &Spanned<String>) -> Option<String> {
    match BaseUrl::parse(&url.value) {
        Ok(address) => Some(address.text),
        Err(why) => {
            let problem = Problem::error("bad-url", format!("{} is not an address", url.shown())).label(why);
            reading.note(problem.hint("for example https://archive.example.com/pointsman"), url.at.clone());
            None
        }
    }
}

fn verifier_key(reading: &mut Reading<'_>, key: &Spanned<String>, of_witness: bool) -> Option<VerifierKey> {
    let (what, hint) = match of_witness {
        true => ("a witness", "`pointsman audit witness` prints that of a gateway's witness"),
        false => ("a log", "`pointsman audit key` prints that of a gateway's log"),
    };
    match key.value.parse::<VerifierKey>() {
        Ok(known) if known.is_of_witness() == of_witness => return Some(known),
        Ok(_) => {
            let problem = Problem::error("bad-key", format!("{} is a key, but not of {what}", key.shown()));
            reading.note(problem.hint(hint), key.at.clone());
        }
        Err(why) => {
            let problem = Problem::error("bad-key", format!("{} is not the key of {what}", key.shown()));
            reading.note(problem.label(why.to_string()).hint(hint), key.at.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use policies::{Facts, Place, Snapshot};

    use super::*;
    use crate::config::default_policies;

    #[test]
    fn a_decision_is_on_disk_before_the_host_hears_where_its_licence_is_strict() {
        let catalog = catalog::Catalog::builtin();
        let deployment = |id: &str, model: &str| policies::Deployment::new(id, model, Place::Server("vllm".to_owned()));
        let deployments = [deployment("free", "qwen3-32b"), deployment("research", "mistral-large-2")];
        let (policies, _) = policies::compile(&[default_policies()], &catalog, &deployments).unwrap();
        let snapshot = Snapshot { catalog: &catalog, policies: &policies, deployments: &deployments, live: &[] };
        let use_ = catalog::Use::new(catalog::Purpose::Research, catalog::Exposure::Internal);
        let plan =
            |model: &str| policies::plan(&Facts::new(model, use_.clone(), "2026-11-27".parse().unwrap()), &snapshot);
        let (free, research) = (plan("qwen3-32b"), plan("mistral-large-2"));
        assert_eq!((free.candidates.len(), research.candidates.len()), (1, 1), "{:?}", research.verdict);
        let default = LedgerSettings::default();
        assert_eq!(default.wait_for(&free, &catalog), Wait::FirstByte);
        assert_eq!(default.wait_for(&research, &catalog), Wait::BeforeUpstream);
        let unwaited = LedgerSettings { unwaited_to_tier: 1, ..LedgerSettings::default() };
        assert_eq!(unwaited.wait_for(&free, &catalog), Wait::Nothing);
        assert_eq!(unwaited.wait_for(&research, &catalog), Wait::BeforeUpstream);
    }
}
