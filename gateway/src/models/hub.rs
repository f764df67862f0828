//! What the hub says of a repository, and the bytes of its files.
//!
//! Own code over [`remote::Client`] and not the crate `hf-hub`: that one (1.0.0) takes no download up where it broke off,
//! and brings the hub's own transfer protocol with it. The client here is the one that hosts are asked with, so proxies and
//! certificate authorities are the same.
//!
//! The token goes to the hub's own address and to no other: files lie elsewhere, and a redirect there is followed without it.
//! What the hub says is not trusted: answers are bounded, names are checked before they are paths, and bytes are taken for the
//! file only once their digest is the one that was said for the commit.

use std::{collections::BTreeMap, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use remote::{Client, Secret, Streamed};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::reference::{Reference, is_name, is_path, is_sha256};
use crate::config::Environment;

/// The hub, unless `HF_ENDPOINT` names another one.
const HUB: &str = "https://huggingface.co";
/// The most bytes of what is said of a repository; the largest have some ten thousand files.
const MOST_LISTED: usize = 16 << 20;
/// The most base models that are kept of what a repository says.
const MOST_BASES: usize = 16;
/// The longest licence that is kept of what a repository says, in characters.
const MOST_LICENSE: usize = 120;
/// How long an answer may take to begin, and how long its bytes may pause.
const SILENCE: Duration = Duration::from_secs(60);
/// How often what a repository has is asked for again, where it may be otherwise in a moment.
const AGAIN: u32 = 3;
/// The pause before the first time; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;
/// What a path keeps as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
/// Who asks.
const AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"));

/// The hub that is asked.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    endpoint: Url,
    token: Option<Secret>,
}

/// What a repository has at one commit.
#[derive(Debug)]
pub struct Listing {
    /// The commit.
    pub commit: String,
    /// The licence, as its card names it.
    pub license: Option<String>,
    /// The models that it says it was made from.
    pub base_models: Vec<String>,
    /// Its files whose digest is known and whose name can be a path.
    pub files: Vec<Offered>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its path there.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
}

/// Why the hub gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It may be otherwise in a moment.
    #[error("{0}")]
    Again(String),
    /// It stays so until somebody does something.
    #[error("{0}")]
    Final(String),
}

#[derive(Deserialize)]
struct Said {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default, rename = "cardData")]
    card: Option<Card>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: String,
    size: u64,
}

/// Cards are written by people, so nothing of one is required to be of a type.
#[derive(Deserialize)]
struct Card {
    #[serde(flatten)]
    entries: BTreeMap<String, serde_json::Value>,
}

impl Hub {
    /// The hub that the environment names.
    ///
    /// # Errors
    /// The environment forbids to ask, or names none that can be asked.
    pub fn of(environment: &Environment, client: Client) -> Result<Self, HubError> {
        if environment.get("HF_HUB_OFFLINE").is_some_and(|value| !matches!(value, "0" | "false" | "no" | "off")) {
            let what = "HF_HUB_OFFLINE is set, so the hub is not asked; unset it, or bring the file to this machine by \
                        other means and name it as `path` of a deployment";
            return Err(HubError::Final(what.to_owned()));
        }
        let text = environment.get("HF_ENDPOINT").unwrap_or(HUB).trim_end_matches('/');
        let wrong = || HubError::Final("HF_ENDPOINT is no `https` or `http` address of a hub".to_owned());
        let endpoint = Url::parse(text).map_err(|_| wrong())?;
        let is_plain = endpoint.username().is_empty() && endpoint.password().is_none() && endpoint.query().is_none();
        if !matches!(endpoint.scheme(), "https" | "http") || endpoint.host_str().is_none() || !is_plain {
            return Err(wrong());
        }
        Ok(Self { client, endpoint, token: environment.get("HF_TOKEN").map(Secret::new) })
    }

    /// What a repository has at a revision, and which commit that is.
    ///
    /// # Errors
    /// The hub does not say.
    pub async fn listing(&self, reference: &Reference) -> Result<Listing, HubError> {
        for attempt in 0..AGAIN {
            match self.listed(reference).await {
                Err(HubError::Again(_)) => tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await,
                listed => return listed,
            }
        }
        self.listed(reference).await
    }

    async fn listed(&self, reference: &Reference) -> Result<Listing, HubError> {
        let Reference { repository, revision, .. } = reference;
        let revision = utf8_percent_encode(revision, NON_ALPHANUMERIC);
        let url = self.address(&format!("api/models/{repository}/revision/{revision}?blobs=true"))?;
        let answer = self.asked(url, None, repository).await?;
        let body = timeout(SILENCE, answer.whole(MOST_LISTED)).await;
        let body =
            body.map_err(|_| silent())?.map_err(|why| HubError::Again(format!("the hub's list of files: {why}")))?;
        let said: Said = serde_json::from_slice(&body)
            .map_err(|error| HubError::Final(format!("the hub's list of files cannot be read: {error}")))?;
        listing(said)
    }

    /// The bytes of a file at a commit from `from` on.
    ///
    /// # Errors
    /// The hub does not give them.
    pub async fn file(&self, repository: &str, commit: &str, path: &str, from: u64) -> Result<Streamed, HubError> {
        let path = utf8_percent_encode(path, PATH);
        let url = self.address(&format!("{repository}/resolve/{commit}/{path}"))?;
        let range = (from > 0).then(|| format!("bytes={from}-"));
        self.asked(url, range.as_deref(), repository).await
    }

    /// The next bytes of a file; none at its end.
    ///
    /// # Errors
    /// The connection broke, or is silent for too long.
    pub async fn next(&self, file: &mut Streamed) -> Result<Option<bytes::Bytes>, HubError> {
        let next = timeout(SILENCE, file.next()).await.map_err(|_| silent())?;
        next.map_err(|why| HubError::Again(format!("the connection broke: {why}")))
    }

    fn address(&self, path: &str) -> Result<Url, HubError> {
        let url = format!("{}/{path}", self.endpoint.as_str().trim_end_matches('/'));
        Url::parse(&url).map_err(|_| HubError::Final(format!("no address of the hub: {}", path.escape_debug())))
    }

    /// Asks, and follows redirects; the token stays at the hub.
    async fn asked(&self, mut url: Url, range: Option<&str>, repository: &str) -> Result<Streamed, HubError> {
        for _ in 0..=MOST_REDIRECTS {
            let bearer = self.token.as_ref().filter(|_| url.origin() == self.endpoint.origin());
            let bearer = bearer.map(|token| format!("Bearer {}", token.expose()));
            let mut headers = vec![("user-agent", AGENT), ("accept", "*/*"), ("accept-encoding", "identity")];
            headers.extend(range.map(|range| ("range", range)));
            headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
            if let ("https", Err(why)) = (url.scheme(), self.client.trust()) {
                return Err(HubError::Final(format!("no encrypted connection can be made: {why}")));
            }
            let host = url.host_str().unwrap_or_default().to_owned();
            let answer = timeout(SILENCE, self.client.get(url.as_str(), &headers)).await.map_err(|_| silent())?;
            let answer = answer.map_err(|why| HubError::Again(format!("{host} gave no answer: {why}")))?;
            if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.taken(answer, &host, repository);
            }
            let to = answer.headers.get("location").and_then(|to| to.to_str().ok()).and_then(|to| url.join(to).ok());
            let to = to.filter(|to| to.scheme() == "https" || (to.scheme() == "http" && url.scheme() == "http"));
            url = to.ok_or_else(|| {
                HubError::Final(format!("{host} redirects to what is no address, or to an unencrypted one"))
            })?;
        }
        Err(HubError::Final(format!("the hub redirects more than {MOST_REDIRECTS} times")))
    }

    /// The answer, if it is one of success; else what that means and what to do.
    fn taken(&self, answer: Streamed, host: &str, repository: &str) -> Result<Streamed, HubError> {
        let page = format!("{}/{repository}", self.endpoint.as_str().trim_end_matches('/'));
        let is_refused = matches!(answer.status.as_u16(), 401 | 403);
        // Elsewhere than at the hub no token was shown, so none can help: the address of a file is good for a while only.
        if is_refused && self.endpoint.host_str() != Some(host) {
            return Err(HubError::Again(format!("{host} answers {} where the hub sent us", answer.status.as_u16())));
        }
        let what = match (answer.status.as_u16(), &self.token) {
            (200 | 206, _) => return Ok(answer),
            (416, _) => return Err(HubError::Again("the hub has no such range of the file".to_owned())),
            (401, None) => format!(
                "the hub shows {repository} to nobody whom it does not know: the name is wrong, or the repository is private or \
                 gated; look at {page}, and put a token that may read it into HF_TOKEN"
            ),
            (401, Some(_)) => format!(
                "the hub does not take the token in HF_TOKEN for {repository}: it is wrong or over, or the name is; make one \
                 that may read it in the settings of your account there"
            ),
            (403, None) => {
                format!("the hub shows {repository} only to whom it knows: put a token that may read it into HF_TOKEN")
            }
            (403, Some(_)) => format!(
                "the account of the token in HF_TOKEN may not read {repository}: accept its conditions at {page} as that \
                 account, or take a token with the right to read gated repositories"
            ),
            (404, _) => format!("the hub has no such repository, revision or file: look at {page}"),
            (status @ (408 | 429 | 500..=599), _) => return Err(HubError::Again(format!("{host} answers {status}"))),
            (status, _) => format!("{host} answers {status} for {repository}"),
        };
        Err(HubError::Final(what))
    }
}

fn silent() -> HubError {
    HubError::Again(format!("nothing came for {} s", SILENCE.as_secs()))
}

fn listing(said: Said) -> Result<Listing, HubError> {
    let is_commit = matches!(said.sha.len(), 40 | 64) && said.sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit {
        return Err(HubError::Final("the hub names no commit of the revision".to_owned()));
    }
    let offered = |sibling: Sibling| {
        let lfs = sibling.lfs?;
        let sha256 = lfs.sha256.trim_start_matches("sha256:").to_ascii_lowercase();
        let is_sound = is_path(&sibling.rfilename) && is_sha256(&sha256);
        is_sound.then_some(Offered { path: sibling.rfilename, bytes: lfs.size, sha256 })
    };
    let entries = said.card.map(|card| card.entries).unwrap_or_default();
    let text = |key: &str| {
        entries.get(key).and_then(|value| value.as_str()).map(|text| text.chars().take(MOST_LICENSE).collect())
    };
    // `other` is the hub's word for one that has a name of its own.
    let license: Option<String> = text("license");
    let license =
        license.filter(|license| license != "other").or_else(|| text("license_name")).or_else(|| text("license"));
    let is_repository = |name: &&str| name.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name));
    let base_models = match entries.get("base_model") {
        Some(serde_json::Value::String(one)) => vec![one.as_str()],
        Some(serde_json::Value::Array(several)) => several.iter().filter_map(|one| one.as_str()).collect(),
        _ => Vec::new(),
    };
    let base_models = base_models.into_iter().filter(is_repository).take(MOST_BASES).map(str::to_owned).collect();
    let files = said.siblings.into_iter().filter_map(offered).collect();
    Ok(Listing { commit: said.sha, license, base_models, files })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hub(variables: [(&str, &str); 2]) -> Result<Hub, String> {
        let client = Client::new(&remote::ClientOptions::default()).unwrap();
        Hub::of(&Environment::of(variables), client).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_says_which_hub_is_asked_and_whether_at_all() {
        let token = "hf_very_secret";
        let asked = hub([("HF_ENDPOINT", "http://hub.example/x/"), ("HF_TOKEN", token)]).unwrap();
        assert_eq!(asked.address("api/y").unwrap().as_str(), "http://hub.example/x/api/y");
        assert!(!format!("{asked:?}").contains(token));
        assert!(hub([("HF_HUB_OFFLINE", "1"), ("HF_TOKEN", token)]).unwrap_err().contains("unset it"));
        assert!(hub([("HF_HUB_OFFLINE", "0"), ("HF_TOKEN", token)]).is_ok());
        for wrong in ["ftp://hub.example", "hub.example", "https://user:pass@hub.example"] {
            let error = hub([("HF_ENDPOINT", wrong), ("HF_TOKEN", token)]).unwrap_err();
            assert!(error.contains("HF_ENDPOINT") && !error.contains("pass"), "{error}");
        }
    }

    #[test]
    fn files_that_lead_elsewhere_or_have_no_digest_are_not_offered() {
        let digest = "ab".repeat(32);
        let said = json!({
            "sha": "0123456789abcdef0123456789abcdef01234567",
            "cardData": {"license": "other", "license_name": "tongyi", "base_model": ["Qwen/Qwen3-8B", 7, "../x"], "tags": [1]},
            "siblings": [
                {"rfilename": "a.gguf", "lfs": {"sha256": digest, "size": 9, "pointerSize": 3}},
                {"rfilename": "b.gguf", "lfs": {"oid": format!("sha256:{digest}"), "size": 9}},
                {"rfilename": "../../etc/passwd", "lfs": {"sha256": digest, "size": 9}},
                {"rfilename": "c.gguf", "lfs": {"sha256": "../x", "size": 9}},
                {"rfilename": "README.md"}
            ]
        });
        let listed = listing(serde_json::from_value(said).unwrap()).unwrap();
        assert_eq!(listed.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a.gguf", "b.gguf"]);
        assert!(listed.files.iter().all(|file| file.sha256 == digest && file.bytes == 9));
        assert_eq!((listed.license.as_deref(), listed.base_models), (Some("tongyi"), vec!["Qwen/Qwen3-8B".to_owned()]));
        let said = json!({"sha": "../x"});
        assert!(listing(serde_json::from_value(said).unwrap()).is_err());
    }
}
