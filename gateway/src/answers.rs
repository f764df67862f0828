//! Answers that are given again to the same request, where the route says so (`reuse`): in memory, for a time.
//!
//! The same request is one of the same team, context, route, arm and API under the same configuration, whose body says the
//! same: the order of keys and white space may differ, and so may the fields that only say who asks (`user`, `metadata`,
//! `safety_identifier`, `prompt_cache_key`). An answer is given again only if the plan of *this* request has the deployment that
//! gave it among its candidates: its licence is decided anew each time, and nothing crosses from one team to another, as
//! their keys have nothing in common. What a caller sees of times is its own team's.
//!
//! Whoever asks first is served by a model; others that ask the same meanwhile wait for that answer, and the first of them
//! takes its place if it fails. Answers are kept as they went out, so a stream is told again as one. Only whole
//! answers are kept. All of them together have a bound in bytes, and each has one. Gateways of a fleet may share them
//! ([`shared`]). Knows nothing of HTTP.

pub mod shared;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backends::{Input, Usage};
use bytes::{Bytes, BytesMut};
use moka::{Expiry, sync::Cache};
use policies::Reuse;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use self::shared::Shared;
use crate::{
    keys::Grant,
    wire::{ClientApi, Decoded, Manner},
};

/// The longest body of a request whose answer is kept, and the longest answer.
const MOST_BYTES: usize = 4 << 20;
/// What an answer takes beside its bytes, about.
const BESIDE: usize = 256;
/// Fields of a body that say who asks and nothing of what is asked.
const WHO: [&str; 4] = ["user", "metadata", "safety_identifier", "prompt_cache_key"];

/// What tells a request from others.
pub type Key = [u8; 32];

/// The answers of a gateway.
#[derive(Debug)]
pub struct Answers {
    bytes: u64,
    kept: Cache<Key, Arc<Kept>>,
    /// Those of all gateways, where they share them.
    shared: Option<Arc<Shared>>,
    /// Requests that are being answered.
    running: Mutex<HashMap<Key, watch::Receiver<()>>>,
}

/// An answer.
#[derive(Debug)]
pub struct Kept {
    /// As it went out.
    pub bytes: Bytes,
    /// What that is, where it is neither JSON nor an event stream.
    pub content_type: Option<Box<str>>,
    /// The request that it was given to first.
    pub request: Box<str>,
    /// Who gave it.
    pub deployment: Box<str>,
    /// What it took then.
    pub usage: Option<Usage>,
    /// The last finish reason, where it is known.
    pub finish: Option<&'static str>,
    /// Whether the caller's own bytes went there, and its own came back.
    pub passed: bool,
    /// When it was whole.
    pub at: Instant,
    ttl: Duration,
}

/// What a caller says of answers that were given before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// None is taken.
    pub no_cache: bool,
    /// Neither is this one kept.
    pub no_store: bool,
    /// None is taken that is older.
    pub max_age: Option<Duration>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Found {
    /// It gets this answer.
    Again(Arc<Kept>),
    /// It is to be answered; what it gets is kept under this leave.
    Asked(Leave),
    /// Somebody else is being answered.
    Running(watch::Receiver<()>),
}

/// The leave to keep an answer. Others wait for it; dropped, the next of them asks.
#[derive(Debug)]
pub struct Leave {
    answers: Arc<Answers>,
    key: Key,
    ttl: Duration,
    keeps: bool,
    /// The sender of those that wait, if they do for this one.
    tells: Option<watch::Sender<()>>,
}

/// Gathers an answer as it goes out.
#[derive(Debug)]
pub struct Recorder {
    leave: Leave,
    kept: Kept,
    bytes: BytesMut,
    whole: bool,
}

impl Wishes {
    /// What `Cache-Control` says; what else it may say has no meaning here.
    pub fn of(control: Option<&str>) -> Self {
        let mut wishes = Self::default();
        for word in control.unwrap_or_default().split(',') {
            match word.trim().split_once('=') {
                None if word.trim().eq_ignore_ascii_case("no-cache") => wishes.no_cache = true,
                None if word.trim().eq_ignore_ascii_case("no-store") => {
                    (wishes.no_cache, wishes.no_store) = (true, true);
                }
                Some((name, seconds)) if name.trim().eq_ignore_ascii_case("max-age") => {
                    wishes.max_age = seconds.trim().parse().ok().map(Duration::from_secs);
                }
                _ => {}
            }
        }
        wishes
    }

    /// Whether it is one that the caller takes, and whom it may have it from.
    fn takes(self, kept: &Kept, serves: impl Fn(&Kept) -> bool) -> bool {
        !self.no_cache && self.max_age.is_none_or(|age| kept.at.elapsed() <= age) && serves(kept)
    }
}

/// A request, as far as others may be the same.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Of which team, and in which context.
    pub caller: &'a Grant,
    /// The digest of the configuration: of the policies and the catalog, and so of what licences say.
    pub config: &'a str,
    /// Its route, and the arm of that.
    pub route: [Option<&'a str>; 2],
    /// The API of the caller.
    pub api: ClientApi,
    /// What it says.
    pub decoded: &'a Decoded,
    /// In its own words.
    pub body: &'a Bytes,
}

/// What tells a request from others; `None` where its answer is not given again.
pub fn key(reuse: Reuse, asked: &Asked<'_>) -> Option<Key> {
    let Asked { caller, config, route, api, decoded, body } = *asked;
    if body.len() > MOST_BYTES || !(reuse.sampled || is_certain(decoded)) || !is_alone(decoded) {
        return None;
    }
    let mut said: Value = serde_json::from_slice(body).ok()?;
    let object = said.as_object_mut()?;
    // An answer of the Responses API says them again.
    if api != ClientApi::Responses {
        object.retain(|field, _| !WHO.contains(&field.as_str()));
    }
    said.sort_all_objects();
    let mut hash = Sha256::new();
    // Each with its length, so that no two lists of parts read alike.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for text in [
        caller.team.as_deref().unwrap_or_default(),
        &caller.context.name,
        config,
        route[0].unwrap_or_default(),
        route[1].unwrap_or_default(),
        api.as_str(),
    ] {
        part(text.as_bytes());
    }
    part(&serde_json::to_vec(&said).ok()?);
    Some(hash.finalize().into())
}

/// Whether nothing is drawn for the answer.
fn is_certain(decoded: &Decoded) -> bool {
    match &decoded.request.input {
        Input::Chat { .. } | Input::Prompts(_) => decoded.request.sampling.temperature == 0.0,
        Input::Embed { .. } | Input::Rank { .. } | Input::Tokenize { .. } | Input::Detokenize(_) => true,
        Input::Texts(_) => decoded.request.api == backends::Api::Moderations,
        Input::Form(_) | Input::TokenizerInfo => false,
    }
}

/// Whether the answer is all that the caller asks for: none that is kept for it, and none to a form.
fn is_alone(decoded: &Decoded) -> bool {
    let kept = matches!(&decoded.manner, Manner::Responses(echo) if echo.kept.is_some());
    !kept && !matches!(decoded.request.input, Input::Form(_) | Input::TokenizerInfo)
}

impl Answers {
    /// None yet, and never more than so many bytes; shared with other gateways where that says how.
    pub fn new(bytes: u64, shared: Option<Arc<Shared>>) -> Self {
        /// Each has its own time.
        struct Ttl;
        impl Expiry<Key, Arc<Kept>> for Ttl {
            fn expire_after_create(&self, _: &Key, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
                Some(kept.ttl)
            }
        }
        let kept = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Key, kept: &Arc<Kept>| u32::try_from(kept.bytes.len() + BESIDE).unwrap_or(u32::MAX))
            .expire_after(Ttl)
            .build();
        Self { bytes, kept, shared, running: Mutex::default() }
    }

    /// How many bytes there may be.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What becomes of a request that these candidates may serve.
    pub fn find(self: &Arc<Self>, key: Key, reuse: Reuse, wishes: Wishes, serves: impl Fn(&Kept) -> bool) -> Found {
        if let Some(kept) = self.kept.get(&key).filter(|kept| wishes.takes(kept, serves)) {
            return Found::Again(kept);
        }
        let mut running = self.running();
        let (tells, waits) = match running.get(&key) {
            Some(waits) if !wishes.no_cache => return Found::Running(waits.clone()),
            Some(_) => (None, None),
            None => {
                let (tells, waits) = watch::channel(());
                (Some(tells), Some(waits))
            }
        };
        waits.into_iter().for_each(|waits| {
            running.insert(key, waits);
        });
        drop(running);
        Found::Asked(Leave { answers: Arc::clone(self), key, ttl: reuse.ttl, keeps: !wishes.no_store, tells })
    }

    /// The answer that another gateway gave to the request of this leave, for it and for those that wait.
    pub async fn elsewhere(&self, leave: &Leave, wishes: Wishes, serves: impl Fn(&Kept) -> bool) -> Option<Arc<Kept>> {
        let shared = self.shared.as_ref().filter(|_| !wishes.no_cache)?;
        let kept = Arc::new(shared.find(&leave.key).await?);
        if leave.keeps {
            self.kept.insert(leave.key, Arc::clone(&kept));
        }
        wishes.takes(&kept, serves).then_some(kept)
    }

    /// How they are shared with other gateways, where they are.
    pub fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.clone()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<()>>> {
        // The map is right after every step.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave {
    /// Gathers the answer of a deployment to a request.
    pub fn record(self, request: &str, deployment: &str, content_type: Option<Box<str>>, passed: bool) -> Recorder {
        let kept = Kept {
            bytes: Bytes::new(),
            content_type,
            request: request.into(),
            deployment: deployment.into(),
            usage: None,
            finish: None,
            passed,
            at: Instant::now(),
            ttl: self.ttl,
        };
        Recorder { leave: self, kept, bytes: BytesMut::new(), whole: false }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if self.tells.is_some() {
            self.answers.running().remove(&self.key);
        }
    }
}

impl Recorder {
    /// More of it went out.
    pub fn take(&mut self, bytes: &[u8]) {
        if self.leave.keeps {
            self.bytes.extend_from_slice(bytes);
            // It will not be kept; those that wait have to.
            if self.bytes.len() > MOST_BYTES {
                self.leave.keeps = false;
                self.bytes = BytesMut::new();
            }
        }
    }

    /// It is whole, and took so much.
    pub fn ends(&mut self, usage: Option<Usage>, finish: Option<&'static str>) {
        (self.kept.usage, self.kept.finish, self.whole) = (usage, finish, true);
    }

    /// Keeps it, if it is whole: one that broke off is nobody's.
    pub fn keep(self) {
        let Self { leave, kept, bytes, whole } = self;
        if leave.keeps && whole {
            let kept = Arc::new(Kept { bytes: bytes.freeze(), at: Instant::now(), ..kept });
            leave.answers.kept.insert(leave.key, Arc::clone(&kept));
            if let Some(shared) = &leave.answers.shared {
                shared.put(leave.key, kept);
            }
        }
    }
}

impl Kept {
    /// How old it is, in whole seconds.
    pub fn age(&self) -> u64 {
        self.at.elapsed().as_secs()
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Exposure, Purpose, Use};
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{config::Context, wire};

    const REUSE: Reuse = Reuse { ttl: Duration::from_secs(600), sampled: false };

    fn caller(team: &str, context: &str) -> Grant {
        let use_ = Arc::new(Use::new(Purpose::Research, Exposure::Internal));
        let context = Context { name: context.to_owned(), entity: None, use_ };
        Grant::unbound(None, Some(team.into()), Arc::new(context))
    }

    fn decoded(body: &str) -> (Decoded, Bytes) {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        (wire::decode(ClientApi::Chat, "r", bytes.clone()).unwrap(), bytes)
    }

    fn key_of(body: &str) -> Option<Key> {
        let (decoded, body) = decoded(body);
        let (caller, route) = (caller("a", "c"), [Some("r"), None]);
        key(REUSE, &Asked { caller: &caller, config: "d", route, api: ClientApi::Chat, decoded: &decoded, body: &body })
    }

    #[test]
    fn the_order_of_keys_and_who_asks_do_not_matter_and_everything_else_does() {
        let one = key_of(r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"hi"}]}"#).unwrap();
        for same in [
            r#"{"messages": [{"content": "hi", "role": "user"}], "temperature": 0, "model": "m"}"#,
            r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"hi"}],"user":"u","metadata":{"a":"b"}}"#,
        ] {
            assert_eq!(key_of(same), Some(one), "{same}");
        }
        for other in [
            r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"hi "}]}"#,
            r#"{"model":"n","temperature":0,"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"m","temperature":0,"messages":[{"role":"system","content":"hi"}]}"#,
            r#"{"model":"m","temperature":0,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"m","temperature":0,"unknown":1,"messages":[{"role":"user","content":"hi"}]}"#,
        ] {
            assert!(key_of(other).is_some_and(|key| key != one), "{other}");
        }
        assert_eq!(key_of(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#), None, "it is drawn");
    }

    /// A million requests of four teams in three contexts under two configurations on two routes, with 64 texts: each gets
    /// what was kept for its like, or nothing.
    #[test]
    fn of_a_million_requests_none_gets_the_answer_of_another_team_use_policy_or_text() {
        let mut all = Vec::new();
        for text in 0..64 {
            let body = format!(r#"{{"model":"m","temperature":0,"messages":[{{"role":"user","content":"{text}"}}]}}"#);
            let (decoded, body) = decoded(&body);
            for team in ["a", "b", "ab", "c"] {
                for context in ["x", "bx", "y"] {
                    for (config, route) in [("d", "r"), ("d", "s"), ("e", "r")] {
                        let (caller, route_of) = (caller(team, context), [Some(route), None]);
                        let (api, decoded, body) = (ClientApi::Chat, &decoded, &body);
                        let asked = Asked { caller: &caller, config, route: route_of, api, decoded, body };
                        all.push((format!("{text}/{team}/{context}/{config}/{route}"), key(REUSE, &asked).unwrap()));
                    }
                }
            }
        }
        // Room for some of them, so that answers come and go.
        let answers = Arc::new(Answers::new(300_000, None));
        let mut random = StdRng::seed_from_u64(1);
        let mut again = 0;
        for _ in 0..1_000_000 {
            let (name, key) = &all[random.random_range(0..all.len())];
            match answers.find(*key, REUSE, Wishes::default(), |_| true) {
                Found::Again(kept) => {
                    assert_eq!((&*kept.request, &kept.bytes[..]), (name.as_str(), name.as_bytes()));
                    again += 1;
                }
                Found::Asked(leave) => {
                    let mut recorder = leave.record(name, "one", None, false);
                    recorder.take(name.as_bytes());
                    recorder.ends(None, None);
                    recorder.keep();
                }
                Found::Running(_) => panic!("nobody else asks"),
            }
        }
        answers.kept.run_pending_tasks();
        assert!(again > 100_000 && answers.kept.weighted_size() <= 300_000, "{again}");
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_a_deployment_that_may_no_longer_serve_gives_nothing() {
        let answers = Arc::new(Answers::new(64 << 20, None));
        let keep = |key: Key, bytes: usize| {
            let Found::Asked(leave) = answers.find(key, REUSE, Wishes::default(), |_| true) else { panic!("asked") };
            let mut recorder = leave.record("r", "one", None, false);
            recorder.take(&vec![b'x'; bytes]);
            recorder.ends(None, None);
            recorder.keep();
        };
        keep([1; 32], MOST_BYTES + 1);
        keep([2; 32], 10);
        let find = |key: Key, serves: bool| answers.find(key, REUSE, Wishes::default(), |_| serves);
        assert!(matches!(find([1; 32], true), Found::Asked(_)));
        assert!(matches!(find([2; 32], true), Found::Again(_)));
        assert!(matches!(find([2; 32], false), Found::Asked(_)));
    }
}
