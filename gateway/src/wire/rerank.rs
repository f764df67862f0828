//! `POST /v1/rerank`, in the shape of Cohere and Jina: the request.

use backends::{Api, Input, Object, Payload};
use bytes::Bytes;
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Decoded, fields::out_of_range, task};
use crate::respond::error::ApiError;

/// Most documents of one request.
const MAX_DOCUMENTS: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RerankRequest")]
pub(super) struct Rerank {
    model: String,
    query: String,
    documents: Vec<Document>,
    #[serde(default)]
    top_n: Option<i64>,
    #[serde(default)]
    return_documents: Option<bool>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an object with `text`")]
#[schemars(rename = "RerankDocument")]
enum Document {
    Text(String),
    Object { text: String },
}

/// Reads the body of a rerank request.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Rerank = super::parse(object)?;
    let mut payload = super::payload(object)?;
    if asked.documents.is_empty() {
        return Err(out_of_range("documents", "at least one document", "none"));
    }
    if asked.documents.len() > MAX_DOCUMENTS {
        return Err(out_of_range("documents", &format!("at most {MAX_DOCUMENTS}"), asked.documents.len()));
    }
    let top = match asked.top_n {
        None => None,
        Some(top) => match usize::try_from(top) {
            Ok(top) if top > 0 => Some(top),
            _ => return Err(out_of_range("top_n", "at least 1", top)),
        },
    };
    let objects = asked.documents.iter().any(|document| matches!(document, Document::Object { .. }));
    let documents: Vec<String> = asked.documents.into_iter().map(Document::text).collect();
    if objects {
        payload = in_texts(object.bytes(), &documents)?;
    }
    let with_texts = asked.return_documents.unwrap_or(false);
    let input = Input::Rank { query: asked.query, documents, top, with_texts };
    Ok(task::decoded(id, (Api::Rerank, Task::Rerank), asked.model, payload, input, asked.metadata))
}

impl Document {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { text } => text,
        }
    }
}

/// The body with its documents as texts, which every server reads.
fn in_texts(body: &Bytes, documents: &[String]) -> Result<Payload, ApiError> {
    let wrong = || ApiError::malformed_json("the body could not be read");
    let mut body: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
    body["documents"] = documents.into();
    Payload::new(body.to_string().into()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ClientApi, decode};

    fn asked(body: &str) -> Result<Decoded, Option<String>> {
        decode(ClientApi::Rerank, "r", body.to_owned().into()).map_err(|error| error.param)
    }

    #[test]
    fn documents_are_texts_or_objects_and_go_out_as_texts() {
        let body =
            r#"{"model":"m","query":"q","documents":["a",{"text":"b","id":7}],"top_n":1,"return_documents":true}"#;
        let decoded = asked(body).unwrap();
        let Input::Rank { query, documents, top, with_texts } = &decoded.request.input else { panic!("a ranking") };
        assert_eq!((&**query, &documents[..], *top, *with_texts), ("q", &["a".into(), "b".into()][..], Some(1), true));
        let sent: Value = serde_json::from_slice(decoded.request.payload.bytes()).unwrap();
        assert_eq!((&sent["documents"], &sent["top_n"]), (&serde_json::json!(["a", "b"]), &1.into()));
        let plain = r#"{"model":"m","query":"q","documents":["a"]}"#;
        assert_eq!(asked(plain).unwrap().request.payload.bytes(), plain, "texts pass as they came");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rest, param) in [
            (r#""query":"q","documents":[]"#, "documents"),
            (r#""query":"q","documents":[7]"#, "documents[0]"),
            (r#""query":"q","documents":[{"title":"x"}]"#, "documents[0]"),
            (r#""documents":["a"]"#, "query"),
            (r#""query":"q","documents":["a"],"top_n":0"#, "top_n"),
        ] {
            assert_eq!(asked(&format!(r#"{{"model":"m",{rest}}}"#)).unwrap_err().as_deref(), Some(param), "{rest}");
        }
    }
}
