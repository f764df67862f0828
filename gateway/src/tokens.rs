//! Tokens of an issuer instead of keys: signed JSON Web Tokens (RFC 7519) as OpenID providers give them to people and
//! programs, checked without asking anybody.
//!
//! A token lets its bearer in where one of the configured issuers signed it with a key that the issuer publishes now, by one
//! of the algorithms that the configuration lists, for one of the audiences that it lists, for this time; and where a rule
//! gives its claims a team and a context. All else is refused, and no message or log holds any of a token.
//!
//! No request waits for an issuer: its keys are had in the background (`source`). Before they are there its tokens are
//! refused with 503. A token that was checked is known again by its SHA-256 for at most [`KNOWN_FOR`] and never beyond its
//! own end; a new configuration, or other keys of its issuer, make it be checked again.

mod crypto;
mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{
    Algorithm, Validation, dangerous, decode, decode_header,
    errors::{Error, ErrorKind},
};
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use self::{keys::SigningKeys, source::Source};
use crate::{
    config::{Issuer, TokenRule},
    keys::{Grant, hex},
};

/// The longest token that is looked at, in bytes.
const MOST_BYTES: usize = 16 << 10;
/// The longest subject, in bytes; OpenID Connect allows 255.
const MOST_SUBJECT: usize = 256;
/// How long a token that was checked is taken for good, at most.
pub const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Tokens that are known at a time; others are checked again.
const MOST_KNOWN: u64 = 10_000;

/// The issuers of a configuration, and what is known of their tokens.
#[derive(Debug)]
pub struct Tokens {
    trusted: Vec<Trusted>,
    known: Cache<[u8; 32], Arc<Checked>>,
}

#[derive(Debug)]
struct Trusted {
    issuer: Issuer,
    source: Arc<Source>,
}

/// A token that was good.
#[derive(Debug)]
struct Checked {
    grant: Grant,
    /// Until when it is good.
    until: SystemTime,
    /// Its issuer, and the keys by which it was.
    trusted: usize,
    keys: Arc<SigningKeys>,
}

/// Why a token does not let its bearer in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no signed token, or one that nobody here can read.
    #[error("the token is not a signed JSON Web Token that can be read here: {0}")]
    Malformed(&'static str),
    /// No issuer of that name is trusted.
    #[error("the token is of an issuer that is not trusted here")]
    UnknownIssuer,
    /// The configuration does not list how it is signed, or its key is for another way.
    #[error("the token is signed by an algorithm that is not accepted here")]
    Algorithm,
    /// The issuer's keys are not there.
    #[error("the keys of the issuer `{issuer}` cannot be had: {why}")]
    NoKeys {
        /// The issuer.
        issuer: String,
        /// Why not.
        why: String,
    },
    /// The issuer has no such key, as far as is known.
    #[error("the token is signed by a key that its issuer does not publish")]
    UnknownKey {
        /// Whether the issuer is being asked again.
        asked: bool,
    },
    /// It is not what was signed.
    #[error("the signature of the token does not fit")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It does not say something that it has to.
    #[error("the token has no usable claim `{0}`")]
    Claim(&'static str),
    /// No rule gives it a team.
    #[error("no rule gives the bearer of this token a team")]
    NoTeam,
}

impl TokenError {
    /// A stable name, for clients, metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_token",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Algorithm => "token_algorithm",
            Self::NoKeys { .. } => "issuer_unavailable",
            Self::UnknownKey { .. } => "unknown_token_key",
            Self::Signature => "bad_token_signature",
            Self::Expired => "expired_token",
            Self::NotYet => "token_not_yet_valid",
            Self::Audience => "token_audience",
            Self::Claim(_) => "token_claim",
            Self::NoTeam => "token_without_team",
        }
    }

    /// How an error of the reader is told. What it says itself may hold parts of the token.
    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYet,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidIssuer => Self::UnknownIssuer,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                let known = ["exp", "nbf", "iss", "aud", "sub"].into_iter().find(|known| known == claim);
                known.map_or(Self::Malformed("its claims cannot be read"), Self::Claim)
            }
            _ => Self::Malformed("its claims cannot be read"),
        }
    }
}

impl Tokens {
    /// For the issuers of a configuration; an issuer whose keys `previous` has is not asked anew.
    pub fn new(issuers: &[Issuer], client: &remote::Client, previous: Option<&Self>) -> Self {
        crypto::install();
        let trusted = issuers.iter().map(|issuer| {
            let before = previous.and_then(|previous| {
                let same = |old: &&Trusted| (&old.issuer.name, &old.issuer.keys_at) == (&issuer.name, &issuer.keys_at);
                previous.trusted.iter().find(same).map(|old| Arc::clone(&old.source))
            });
            let source = before.unwrap_or_else(|| Arc::new(Source::start(issuer, client)));
            Trusted { issuer: issuer.clone(), source }
        });
        Self {
            trusted: trusted.collect(),
            known: Cache::builder().max_capacity(MOST_KNOWN).time_to_live(KNOWN_FOR).build(),
        }
    }

    /// Whether what was presented is for them to judge: it has the form of a token, and there is an issuer.
    pub fn judge(&self, presented: &str) -> bool {
        !self.trusted.is_empty() && presented.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// What a presented token stands for.
    ///
    /// # Errors
    /// Why it stands for nothing; the error holds nothing of what was presented.
    pub fn verify(&self, presented: &str, now: SystemTime) -> Result<Grant, TokenError> {
        if presented.len() > MOST_BYTES {
            return Err(TokenError::Malformed("it is too long"));
        }
        let digest: [u8; 32] = Sha256::digest(presented).into();
        if let Some(checked) = self.known.get(&digest)
            && checked.until > now
            && self.trusted[checked.trusted].source.still_has(&checked.keys)
        {
            return Ok(checked.grant.clone());
        }
        let checked = self.check(presented, now)?;
        let grant = checked.grant.clone();
        self.known.insert(digest, Arc::new(checked));
        Ok(grant)
    }

    fn check(&self, presented: &str, now: SystemTime) -> Result<Checked, TokenError> {
        /// What has to be known to know whose signature is to be checked.
        #[derive(Deserialize)]
        struct Unproved {
            iss: String,
        }
        let header = decode_header(presented).map_err(|_| TokenError::Malformed("its header cannot be read"))?;
        // RFC 7515: whoever does not know what is critical has to refuse; nothing is known here.
        if header.crit.is_some() {
            return Err(TokenError::Malformed("it has extensions that are critical"));
        }
        let unproved: Unproved = dangerous::insecure_decode_claims(presented)
            .map_err(|_| TokenError::Malformed("its claims cannot be read, or name no issuer"))?;
        let at = self.trusted.iter().position(|trusted| trusted.issuer.name == unproved.iss);
        let at = at.ok_or(TokenError::UnknownIssuer)?;
        let Trusted { issuer, source } = &self.trusted[at];
        // The list is of signatures by public keys, so no public key is ever taken for a secret.
        if !issuer.algorithms.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        let kid = header.kid.as_deref().ok_or(TokenError::Malformed("it does not name its key (`kid`)"))?;
        let keys = source.keys().map_err(|why| TokenError::NoKeys { issuer: issuer.name.clone(), why })?;
        let key = keys.get(kid).ok_or_else(|| TokenError::UnknownKey { asked: source.ask_again(now) })?;
        if !key.algorithms.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        let validation = validation(issuer, header.alg);
        let claims: Map<String, Value> =
            decode(presented, &key.key, &validation).map_err(|error| TokenError::of(&error))?.claims;
        let subject = claims.get("sub").and_then(Value::as_str).filter(|sub| (1..=MOST_SUBJECT).contains(&sub.len()));
        let subject = subject.ok_or(TokenError::Claim("sub"))?;
        let rule = issuer.rules.iter().find(|rule| rule.fits(&claims)).ok_or(TokenError::NoTeam)?;
        let exp = claims.get("exp").and_then(Value::as_f64).filter(|exp| *exp >= 0.0 && *exp < 1e12);
        let ends = UNIX_EPOCH + Duration::from_secs_f64(exp.ok_or(TokenError::Claim("exp"))?) + issuer.leeway;
        let grant = Grant {
            endpoints: rule.endpoints.clone(),
            scope: rule.scope.clone(),
            ..Grant::unbound(Some(pseudonym(issuer, subject)), Some(Arc::clone(&rule.team)), Arc::clone(&rule.context))
        };
        Ok(Checked { grant, until: ends.min(now + KNOWN_FOR), trusted: at, keys })
    }
}

fn validation(issuer: &Issuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = issuer.leeway.as_secs();
    validation.validate_nbf = true;
    validation.set_audience(&issuer.audience);
    validation.set_issuer(&[&issuer.name]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// What stands for a subject in records and policies: the issuer's host and a hash, as a subject may be a mail address.
/// Whoever knows the issuer and the subject can tell that it is theirs.
fn pseudonym(issuer: &Issuer, subject: &str) -> Arc<str> {
    let digest = Sha256::digest(format!("pointsman: a subject\n{}\n{subject}", issuer.name));
    format!("{}/{}", issuer.host, hex(&digest[..8])).into()
}

impl TokenRule {
    /// Whether it speaks of a token with these claims.
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        let Some((claim, value)) = &self.needs else { return true };
        // A name with dots, as some issuers' claims have it; else a way into objects, such as `realm_access.roles`.
        let found = claims.get(claim).or_else(|| {
            let mut way = claim.split('.');
            way.clone().nth(1)?;
            way.try_fold(None, |at: Option<&Value>, step| match at {
                None => claims.get(step).map(Some),
                Some(at) => at.get(step).map(Some),
            })?
        });
        match found {
            // RFC 8693: scopes are words of one text.
            Some(Value::String(text)) if claim == "scope" || claim == "scp" => {
                text.split(' ').any(|word| word == value)
            }
            Some(Value::String(text)) => text == value,
            Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(value)),
            _ => false,
        }
    }
}
