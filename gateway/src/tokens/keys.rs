//! The keys that an issuer publishes: a JSON Web Key Set (RFC 7517).
//!
//! A key that cannot check signatures of a known kind is passed over, as a set may hold others: secrets, keys to encrypt for,
//! kinds that are yet to come.

use std::collections::HashMap;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of a set.
const MOST_KEYS: usize = 100;
/// The longest id of a key, in bytes.
const MOST_ID: usize = 256;

/// Keys by their ids (`kid`).
#[derive(Debug, Default)]
pub(super) struct SigningKeys(HashMap<String, SigningKey>);

/// A public key.
#[derive(Debug)]
pub(super) struct SigningKey {
    pub(super) key: DecodingKey,
    /// What it is for.
    pub(super) algorithms: Vec<Algorithm>,
}

impl SigningKeys {
    /// Reads a set.
    ///
    /// # Errors
    /// What is wrong with it as a whole.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| "what it publishes is no set of keys".to_owned())?;
        if set.keys.len() > MOST_KEYS {
            return Err(format!("it publishes {} keys; at most {MOST_KEYS} are taken", set.keys.len()));
        }
        let mut keys = HashMap::new();
        for (kid, key) in set.keys.iter().filter_map(usable) {
            if keys.insert(kid, key).is_some() {
                return Err("two of its keys have the same `kid`".to_owned());
            }
        }
        if keys.is_empty() {
            return Err("none of the keys that it publishes can be used".to_owned());
        }
        Ok(Self(keys))
    }

    pub(super) fn get(&self, kid: &str) -> Option<&SigningKey> {
        self.0.get(kid)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A key with its id, if it checks signatures.
fn usable(written: &Value) -> Option<(String, SigningKey)> {
    let text = |name: &str| written.get(name).and_then(Value::as_str);
    let kid = text("kid").filter(|kid| (1..=MOST_ID).contains(&kid.len()))?;
    if text("use").is_some_and(|for_| for_ != "sig") {
        return None;
    }
    let operations = written.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|all| !all.iter().any(|operation| operation == "verify")) {
        return None;
    }
    let jwk = Jwk::deserialize(written).ok()?;
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            vec![RS256, RS384, RS512, PS256, PS384, PS512]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        _ => return None,
    };
    if let Some(only) = text("alg") {
        // RFC 9864 calls what is meant by its whole name.
        let only = if only == "Ed25519" { "EdDSA" } else { only };
        algorithms.retain(|algorithm| only.parse() == Ok(*algorithm));
    }
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| !algorithms.is_empty())?;
    Some((kid.to_owned(), SigningKey { key, algorithms }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(keys: Value) -> Result<SigningKeys, String> {
        SigningKeys::read(json!({"keys": keys}).to_string().as_bytes())
    }

    #[test]
    fn keys_that_check_no_signatures_are_passed_over() {
        let point = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
        let with = |more: Value| {
            let mut key = point.clone();
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let keys = read(json!([
            with(json!({"kid": "good"})),
            with(json!({"kid": "signs", "use": "sig", "alg": "ES256", "key_ops": ["verify"]})),
            with(json!({"kid": "encrypts", "use": "enc"})),
            with(json!({"kid": "only signs", "key_ops": ["sign"]})),
            with(json!({"kid": "of another algorithm", "alg": "RS256"})),
            with(json!({"kid": "of none", "alg": "none"})),
            with(json!({"kid": ""})),
            with(json!({})),
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            {"kty": "EC", "kid": "other curve", "crv": "secp256k1", "x": "AA", "y": "AA"},
            {"kty": "AKP", "kid": "to come", "alg": "ML-DSA-44", "pub": "AA"},
            "nonsense"
        ]))
        .unwrap();
        let mut ids: Vec<&str> = keys.0.keys().map(String::as_str).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["good", "signs"]);
        assert_eq!(keys.get("good").unwrap().algorithms, [Algorithm::ES256]);
    }

    #[test]
    fn a_set_that_is_none_or_has_too_many_or_the_same_key_twice_is_refused() {
        let key = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": kid});
        let many: Vec<Value> = (0..=MOST_KEYS).map(|at| key(&at.to_string())).collect();
        for (keys, expected) in [
            (json!({}), "no set of keys"),
            (json!([]), "none of the keys"),
            (json!(many), "at most 100 are taken"),
            (json!([key("a"), key("a")]), "two of its keys have the same `kid`"),
        ] {
            assert!(read(keys).unwrap_err().contains(expected), "{expected}");
        }
    }
}
