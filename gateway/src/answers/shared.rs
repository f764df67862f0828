//! Answers that the gateways of a fleet share, in their Valkey, encrypted.
//!
//! What is there tells nobody without the fleet's key anything but lengths and times: an entry is named by a keyed hash, and
//! holds AES-256-GCM over the answer and who gave it, bound to that name, so that nothing that is put elsewhere or changed is
//! taken. Looked for where this gateway has no answer of its own, for fifty milliseconds at most, and not at all for a
//! second after that failed; written beside the requests. Whether a caller may have it is decided as for an answer of its
//! own.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use backends::{FinishReason, Usage};
use bytes::{BufMut as _, Bytes, BytesMut};
use redis::{RedisResult, Value, cmd};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};

use super::{Kept, Key};
use crate::{config::AnswersKey, fleet::valkey::Valkey, keys::hex, settle};

/// How long an answer is looked for.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long nothing is looked for after that failed.
const REST_MS: u64 = 1_000;
/// The most answers that are being written; more are not shared.
const WRITTEN: usize = 32;

/// See the module.
pub struct Shared {
    valkey: Valkey,
    cipher: LessSafeKey,
    names: hmac::Key,
    random: SystemRandom,
    written: Arc<Semaphore>,
    /// When it may be asked again, in milliseconds since 1970.
    rests_until: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("valkey", &self.valkey).finish_non_exhaustive()
    }
}

/// What stands before the bytes of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    content_type: Option<Box<str>>,
    request: Box<str>,
    deployment: Box<str>,
    /// Tokens of prompt and answer; cached, written to a cache, of reasoning.
    usage: Option<[u64; 5]>,
    cost_usd: Option<f64>,
    finish: Option<Box<str>>,
    passed: bool,
    /// When it was whole, in milliseconds since 1970.
    at_ms: u64,
    ttl_ms: u64,
}

impl Shared {
    /// Those of a fleet.
    ///
    /// # Errors
    /// Never: the key has the length that the cipher asks for.
    pub fn new(valkey: Valkey, key: &AnswersKey) -> Result<Self, Unspecified> {
        // Each use has a key of its own.
        let root = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
        let cipher = UnboundKey::new(&AES_256_GCM, hmac::sign(&root, b"pointsman answers: cipher").as_ref())?;
        let names = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"pointsman answers: names").as_ref());
        Ok(Self {
            valkey,
            cipher: LessSafeKey::new(cipher),
            names,
            random: SystemRandom::new(),
            written: Arc::new(Semaphore::new(WRITTEN)),
            rests_until: AtomicU64::new(0),
        })
    }

    /// The answer of another gateway, if there is one that can be had in time.
    pub async fn find(&self, key: &Key) -> Option<Kept> {
        if settle::now_ms() < self.rests_until.load(Relaxed) {
            return None;
        }
        let name = self.name(key);
        let mut get = cmd("GET");
        get.arg(self.valkey.entry(&name));
        let mut connection = self.valkey.connection();
        let found: RedisResult<Value> = match timeout(PATIENCE, get.query_async(&mut connection)).await {
            Ok(found) => found,
            Err(_) => Err((redis::ErrorKind::Io, "no answer in time").into()),
        };
        match found {
            Ok(Value::BulkString(sealed)) => {
                let kept = self.open(&name, sealed);
                if kept.is_none() {
                    tracing::warn!("an answer in the Valkey of the fleet is not one of its gateways'; it is not used");
                }
                kept
            }
            Ok(_) => None,
            Err(error) => {
                self.rests_until.store(settle::now_ms() + REST_MS, Relaxed);
                tracing::debug!(%error, "no answer of another gateway can be had");
                None
            }
        }
    }

    /// Shares an answer beside the request, unless too many are being written.
    pub fn put(self: &Arc<Self>, key: Key, kept: Arc<Kept>) {
        let (Ok(place), Ok(tasks)) =
            (Arc::clone(&self.written).try_acquire_owned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let shared = Arc::clone(self);
        tasks.spawn(async move {
            let _place = place;
            let name = shared.name(&key);
            let Some(sealed) = shared.seal(&name, &kept) else { return };
            let left = kept.ttl.saturating_sub(kept.at.elapsed()).as_millis() as u64;
            let mut set = cmd("SET");
            set.arg(shared.valkey.entry(&name)).arg(sealed).arg("PX").arg(left.max(1));
            let written: RedisResult<()> = set.query_async(&mut shared.valkey.connection()).await;
            if let Err(error) = written {
                tracing::debug!(%error, "an answer could not be shared");
            }
        });
    }

    fn name(&self, key: &Key) -> String {
        format!("answer:{}", hex(hmac::sign(&self.names, key).as_ref()))
    }

    fn seal(&self, name: &str, kept: &Kept) -> Option<Vec<u8>> {
        let head = Head {
            content_type: kept.content_type.clone(),
            request: kept.request.clone(),
            deployment: kept.deployment.clone(),
            usage: kept.usage.map(|usage| {
                let Usage { prompt_tokens, completion_tokens, .. } = usage;
                let Usage { cached_tokens, cache_write_tokens, reasoning_tokens, .. } = usage;
                [prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens]
            }),
            cost_usd: kept.usage.and_then(|usage| usage.cost_usd),
            finish: kept.finish.map(Box::from),
            passed: kept.passed,
            at_ms: settle::now_ms().saturating_sub(kept.at.elapsed().as_millis() as u64),
            ttl_ms: kept.ttl.as_millis() as u64,
        };
        let head = serde_json::to_vec(&head).ok()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut said = BytesMut::with_capacity(4 + head.len() + kept.bytes.len());
        said.put_u32(u32::try_from(head.len()).ok()?);
        said.put_slice(&head);
        said.put_slice(&kept.bytes);
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher.seal_in_place_separate_tag(nonce_of, Aad::from(name), &mut said).ok()?;
        Some([&nonce[..], &said, tag.as_ref()].concat())
    }

    fn open(&self, name: &str, mut sealed: Vec<u8>) -> Option<Kept> {
        let (nonce, said) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let said = self.cipher.open_in_place(nonce, Aad::from(name), said).ok()?;
        let (length, rest) = said.split_first_chunk::<4>()?;
        let (head, bytes) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        let age = Duration::from_millis(settle::now_ms().saturating_sub(head.at_ms));
        let ttl = Duration::from_millis(head.ttl_ms);
        let usage = |[prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens]: [u64;
                         5]| {
            let cost_usd = head.cost_usd;
            Usage { prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_usd }
        };
        Some(Kept {
            bytes: Bytes::copy_from_slice(bytes),
            content_type: head.content_type,
            request: head.request,
            deployment: head.deployment,
            usage: head.usage.map(usage),
            finish: head.finish.as_deref().and_then(FinishReason::named).map(FinishReason::as_str),
            passed: head.passed,
            // A clock that is ahead of another makes no answer younger than it is.
            at: Instant::now().checked_sub(age)?,
            ttl: ttl.checked_sub(age)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use remote::Secret;

    use super::*;

    fn shared(key: u8) -> Shared {
        let valkey = Valkey::new(&Secret::new("redis://127.0.0.1:1"), "pointsman").unwrap();
        Shared::new(valkey, &AnswersKey([key; 32])).unwrap()
    }

    fn kept() -> Kept {
        Kept {
            bytes: Bytes::from_static(b"{\"id\": \"x\"}"),
            content_type: None,
            request: "r1".into(),
            deployment: "one".into(),
            usage: Some(Usage { prompt_tokens: 3, completion_tokens: 2, cost_usd: Some(0.5), ..Usage::default() }),
            finish: Some("stop"),
            passed: true,
            at: Instant::now(),
            ttl: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn an_answer_comes_back_as_it_was_and_only_under_its_name_and_with_its_key() {
        let (one, other) = (shared(1), shared(2));
        let (name, elsewhere) = (one.name(&[1; 32]), one.name(&[2; 32]));
        let sealed = one.seal(&name, &kept()).unwrap();
        let opened = one.open(&name, sealed.clone()).unwrap();
        let (bytes, usage, finish) = (opened.bytes, opened.usage, opened.finish);
        assert_eq!((bytes, usage, finish), (kept().bytes, kept().usage, kept().finish));
        assert_eq!((&*opened.request, &*opened.deployment, opened.passed), ("r1", "one", true));
        assert!(opened.ttl <= Duration::from_secs(60));
        assert!(one.open(&elsewhere, sealed.clone()).is_none(), "it was put elsewhere");
        assert!(other.open(&name, sealed.clone()).is_none(), "another fleet's");
        assert_ne!(name, other.name(&[1; 32]), "names tell nothing without the key");
        assert!(!sealed.windows(4).any(|window| window == b"\"id\""), "nobody can read it");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(one.open(&name, changed).is_none(), "byte {at}");
            assert!(one.open(&name, sealed[..at].to_vec()).is_none(), "cut at {at}");
        }
        assert_ne!(one.seal(&name, &kept()), Some(sealed), "no two are alike");
    }

    #[tokio::test]
    async fn where_nobody_answers_nothing_is_found_and_nothing_is_asked_for_a_while() {
        let shared = shared(1);
        assert!(shared.find(&[1; 32]).await.is_none());
        assert!(shared.rests_until.load(Relaxed) > 0);
        assert!(shared.find(&[1; 32]).await.is_none());
    }
}
