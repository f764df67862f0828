//! `POST /v1/embeddings`: the request.

use backends::{Api, Input, Object};
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, completions::Prompts, fields::out_of_range, task};
use crate::respond::error::ApiError;

/// Most texts of one request, as at OpenAI.
const MAX_TEXTS: usize = 2_048;
/// More numbers than any vector has.
const MAX_DIMENSIONS: i64 = 65_536;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "EmbeddingsRequest")]
pub(super) struct Embeddings {
    model: String,
    input: Prompts<MAX_TEXTS>,
    #[serde(default)]
    encoding_format: Option<Encoding>,
    #[serde(default)]
    dimensions: Option<i64>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
}

/// How a vector is told.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "EmbeddingEncoding")]
enum Encoding {
    Float,
    Base64,
}

/// Reads the body of an embeddings request.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Embeddings = super::parse(object)?;
    let payload = super::payload(object)?;
    let texts = asked.input.0;
    if texts.is_empty() {
        return Err(out_of_range("input", "at least one text", "none"));
    }
    let dimensions = match asked.dimensions {
        None => None,
        Some(count) if (1..=MAX_DIMENSIONS).contains(&count) => u32::try_from(count).ok(),
        Some(count) => return Err(out_of_range("dimensions", &format!("between 1 and {MAX_DIMENSIONS}"), count)),
    };
    let base64 = asked.encoding_format == Some(Encoding::Base64);
    let input = Input::Embed { texts, base64, dimensions };
    Ok(task::decoded(id, (Api::Embeddings, Task::Embeddings), asked.model, payload, input, asked.metadata))
}

#[cfg(test)]
mod tests {
    use backends::Prompt;

    use super::*;
    use crate::wire::{ClientApi, decode};

    fn input(rest: &str) -> Result<Input, Option<String>> {
        let body = format!(r#"{{"model":"m",{rest}}}"#);
        decode(ClientApi::Embeddings, "r", body.into())
            .map(|decoded| decoded.request.input)
            .map_err(|error| error.param)
    }

    #[test]
    fn every_form_of_input_is_read() {
        let text = |text: &str| Prompt::Text(text.to_owned());
        for (written, read) in [
            (r#""a""#, vec![text("a")]),
            (r#"["a","b"]"#, vec![text("a"), text("b")]),
            ("[1,2]", vec![Prompt::Tokens(vec![1, 2])]),
            ("[[1],[2,3]]", vec![Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]),
        ] {
            let Input::Embed { texts, base64: false, dimensions: None } =
                input(&format!("\"input\":{written}")).unwrap()
            else {
                panic!("{written}");
            };
            assert_eq!(texts, read);
        }
        let asked = input(r#""input":"a","encoding_format":"base64","dimensions":256"#).unwrap();
        assert!(matches!(asked, Input::Embed { base64: true, dimensions: Some(256), .. }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rest, param) in [
            (r#""input":[]"#, "input"),
            (r#""input":{}"#, "input"),
            (r#""input":[1,"a"]"#, "input"),
            (r#""x":1"#, "input"),
            (r#""input":"a","encoding_format":"int8""#, "encoding_format"),
            (r#""input":"a","dimensions":0"#, "dimensions"),
            (r#""input":"a","dimensions":"many""#, "dimensions"),
        ] {
            assert_eq!(input(rest).unwrap_err().as_deref(), Some(param), "{rest}");
        }
        let many = format!(r#""input":[{}]"#, vec![r#""a""#; MAX_TEXTS + 1].join(","));
        assert_eq!(input(&many).unwrap_err().as_deref(), Some("input"));
    }
}
