//! Forms with files (`multipart/form-data`), as callers send them.

use backends::{Field, MultipartForm};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use multer::Multipart;

use crate::respond::error::ApiError;

/// More fields than any form of these APIs has.
const MAX_FIELDS: usize = 64;

/// Reads a form; `what` comes in it, and `fields` names those that it has to have, for the error.
///
/// # Errors
/// A 400 for a body that is no form, or one of too many fields.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Bytes,
    what: &str,
    fields: &str,
) -> Result<MultipartForm, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        ApiError::invalid(None, format!("{what} comes as `multipart/form-data` with the fields {fields}"))
    })?;
    let mut multipart = Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    let broken = |error: multer::Error| ApiError::invalid(None, format!("the form cannot be read: {error}"));
    let mut form = MultipartForm::default();
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        if form.fields.len() == MAX_FIELDS {
            return Err(ApiError::invalid(None, format!("the form has more than {MAX_FIELDS} fields")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        let content = field.bytes().await.map_err(broken)?;
        form.fields.push(Field { name, filename, content_type, content });
    }
    Ok(form)
}
