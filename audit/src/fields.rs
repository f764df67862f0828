//! The few fields of a record that a verification asks for. A record that is no object, or has them otherwise, has none.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// See the module.
#[derive(Debug, Default, Deserialize)]
pub struct Fields {
    /// What it is a record of: `decision`, `outcome`, `prune` and others.
    #[serde(default, deserialize_with = "text")]
    pub kind: Option<String>,
    /// The request that it is about.
    #[serde(default, deserialize_with = "text")]
    pub request: Option<String>,
    /// When it was made, in milliseconds since 1970.
    #[serde(default, deserialize_with = "number")]
    pub time: Option<u64>,
    /// Of a `prune`: the number of the first record that it kept, or less than that.
    #[serde(default, deserialize_with = "number")]
    pub before: Option<u64>,
}

impl Fields {
    /// The fields of a record.
    pub fn of(record: &[u8]) -> Self {
        serde_json::from_slice(record).unwrap_or_default()
    }

    /// Whether it is the decision on a request.
    pub fn is_decision_on(&self, request: &str) -> bool {
        self.kind.as_deref() == Some("decision") && self.request.as_deref() == Some(request)
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(from)?.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_another_type_and_records_that_are_no_object_have_none() {
        let whole = Fields::of(br#"{"kind":"decision","request":"r\u002d1","time":5,"more":[1]}"#);
        assert!(whole.is_decision_on("r-1") && !whole.is_decision_on("r-2"), "{whole:?}");
        assert_eq!(whole.time, Some(5));
        let odd = Fields::of(br#"{"kind":["decision"],"request":1,"time":"5","before":-1}"#);
        assert!(odd.kind.is_none() && odd.request.is_none() && odd.time.is_none() && odd.before.is_none(), "{odd:?}");
        for none in [&b"[1]"[..], b"\"x\"", b"{", b"", b"\xff", br#"{"kind":"decision","kind":"decision"}"#] {
            assert!(Fields::of(none).kind.is_none(), "{none:?}");
        }
    }
}
