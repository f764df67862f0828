//! `POST /v1/audio/transcriptions`: the request, a form with a file of sound.

use backends::{Api, Input, Payload};
use bytes::Bytes;
use http::HeaderMap;
use policies::Task;

use super::{Decoded, MAX_MODEL, fields::out_of_range, form, task};
use crate::respond::error::{ApiError, clip};

/// Reads the form of a request for a transcript.
///
/// # Errors
/// A 400 that names the field, what was expected and what was found.
pub async fn decode(id: &str, headers: &HeaderMap, body: Bytes) -> Result<Decoded, ApiError> {
    let form = form::read(headers, body, "sound", "`model` and `file`").await?;
    let mut models = form.fields.iter().filter(|field| field.name == "model");
    let missing = |name: &str| ApiError::invalid(name.to_owned(), format!("`{name}` is missing from the form"));
    let model = models.next().ok_or_else(|| missing("model"))?;
    let model = String::from_utf8(model.content.to_vec())
        .map_err(|_| ApiError::invalid("model".to_owned(), "`model` is not UTF-8"))?;
    if models.next().is_some() {
        return Err(ApiError::invalid("model".to_owned(), "`model` stands twice in the form"));
    }
    let length = model.chars().count();
    if length > MAX_MODEL {
        return Err(out_of_range("model", &format!("at most {MAX_MODEL} characters"), length));
    }
    if !form.fields.iter().any(|field| field.name == "file") {
        return Err(missing("file"));
    }
    for field in &form.fields {
        if backends::chooses(&field.name) {
            let message = format!("`{}` would choose a model or a place past the policies", clip(&field.name, 100));
            return Err(ApiError::invalid(field.name.clone(), message).hint("leave it out"));
        }
    }
    let payload = serde_json::json!({"model": model}).to_string();
    let payload = Payload::new(payload.into()).map_err(|_| missing("model"))?;
    let what = (Api::Transcriptions, Task::Transcriptions);
    let stream = form.fields.iter().any(|field| field.name == "stream" && *field.content == *b"true");
    let mut decoded = task::decoded(id, what, model, payload, Input::Form(form), None);
    decoded.request.stream = stream;
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use backends::{Field, MultipartForm};
    use http::header;

    use super::*;

    async fn decoded(fields: &[(&str, &str)]) -> Result<Decoded, Option<String>> {
        let fields = fields.iter().map(|(name, content)| Field {
            name: (*name).to_owned(),
            filename: (*name == "file").then(|| "a.wav".to_owned()),
            content_type: None,
            content: Bytes::copy_from_slice(content.as_bytes()),
        });
        let model = fields.clone().find(|field| field.name == "model").map(|field| field.content).unwrap_or_default();
        let (kind, body) = MultipartForm { fields: fields.collect() }.written(std::str::from_utf8(&model).unwrap());
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
        decode("r", &headers, body).await.map_err(|error| error.param)
    }

    #[tokio::test]
    async fn a_form_is_read_with_all_its_fields() {
        let read = decoded(&[("model", "auto"), ("file", "RIFF"), ("language", "ko")]).await.unwrap();
        let Input::Form(form) = &read.request.input else { panic!("a form") };
        let fields: Vec<_> = form.fields.iter().map(|field| (&*field.name, &field.content[..])).collect();
        assert_eq!(fields, [("model", &b"auto"[..]), ("file", &b"RIFF"[..]), ("language", &b"ko"[..])]);
        assert_eq!((read.model.as_str(), form.fields[1].filename.as_deref()), ("auto", Some("a.wav")));
    }

    #[tokio::test]
    async fn what_is_missing_twofold_or_would_choose_a_place_is_refused_by_name() {
        for (fields, param) in [
            (&[("file", "x")] as &[_], "model"),
            (&[("model", "a")], "file"),
            (&[("model", "a"), ("model", "b"), ("file", "x")], "model"),
            (&[("model", "a"), ("file", "x"), ("api_base", "http://10.0.0.1")], "api_base"),
        ] {
            assert_eq!(decoded(fields).await.unwrap_err().as_deref(), Some(param), "{fields:?}");
        }
        let error = decode("r", &HeaderMap::new(), Bytes::new()).await.unwrap_err();
        assert_eq!(error.status.as_u16(), 400);
    }
}
