//! Tokens of a text and the text of tokens, by the words that a server has for them; told in those of vLLM.

use backends::BackendError;
use bytes::Bytes;
use catalog::{Detokenize, Tokenize};
use serde_json::{Map, Value, json};

use super::broken;

/// The body that asks for the tokens of a text.
pub(super) fn ask(how: &Tokenize, model: &str, text: &str, special: bool) -> Bytes {
    let mut body = Map::from_iter([("model".to_owned(), model.into()), (how.text.clone(), text.into())]);
    if let Some(field) = &how.special {
        body.insert(field.clone(), special.into());
    }
    Value::from(body).to_string().into()
}

/// The body that asks for the text of tokens.
pub(super) fn ask_text(how: &Detokenize, model: &str, ids: &[u32]) -> Bytes {
    let body = Map::from_iter([("model".to_owned(), model.into()), (how.tokens.clone(), ids.into())]);
    Value::from(body).to_string().into()
}

/// The tokens of an answer: `tokens`, `count` and, where the server says it, `max_model_len`.
///
/// # Errors
/// When it has none.
pub(super) fn told(answer: &[u8], how: &Tokenize) -> Result<Bytes, BackendError> {
    let answer: Value = serde_json::from_slice(answer).map_err(|_| broken("the answer is no JSON"))?;
    let listed = how.tokens.as_ref().map_or(&answer, |field| &answer[field.as_str()]);
    // TGI tells of each token its text and place beside its id.
    let id = |token: &Value| token.as_u64().or_else(|| token["id"].as_u64()).and_then(|id| u32::try_from(id).ok());
    let tokens: Option<Vec<u32>> = listed.as_array().and_then(|tokens| tokens.iter().map(id).collect());
    let tokens = tokens.ok_or_else(|| broken("the answer has no tokens"))?;
    let mut told = json!({"count": tokens.len(), "tokens": tokens});
    if let Some(length) = answer["max_model_len"].as_u64() {
        told["max_model_len"] = length.into();
    }
    Ok(told.to_string().into())
}

/// The text of an answer, under the names of vLLM (`prompt`) and of SGLang (`text`).
///
/// # Errors
/// When it has none.
pub(super) fn text(answer: &[u8], how: &Detokenize) -> Result<Bytes, BackendError> {
    let answer: Value = serde_json::from_slice(answer).map_err(|_| broken("the answer is no JSON"))?;
    let text = answer[how.text.as_str()].as_str().ok_or_else(|| broken("the answer has no text"))?;
    Ok(json!({"prompt": text, "text": text}).to_string().into())
}

#[cfg(test)]
mod tests {
    use catalog::Catalog;

    use super::*;

    fn server(id: &str) -> (Tokenize, Option<Detokenize>) {
        let catalog = Catalog::builtin();
        let server = catalog.server(id).unwrap();
        (server.tokenize.clone().unwrap(), server.detokenize.clone())
    }

    #[test]
    fn each_server_is_asked_in_its_own_words_and_told_in_one() {
        for (id, asked, answer) in [
            (
                "vllm",
                r#"{"add_special_tokens":true,"model":"m","prompt":"hi"}"#,
                r#"{"tokens":[1,2],"count":2,"max_model_len":9}"#,
            ),
            ("llama.cpp", r#"{"add_special":true,"content":"hi","model":"m"}"#, r#"{"tokens":[1,2]}"#),
            (
                "tgi",
                r#"{"inputs":"hi","model":"m"}"#,
                r#"[{"id":1,"text":"h","start":0,"stop":1},{"id":2,"text":"i"}]"#,
            ),
            ("lmdeploy", r#"{"add_bos":true,"input":"hi","model":"m"}"#, r#"{"input_ids":[1,2],"length":2}"#),
            ("tabbyapi", r#"{"add_bos_token":true,"model":"m","text":"hi"}"#, r#"{"tokens":[1,2],"length":2}"#),
        ] {
            let (how, _) = server(id);
            let sent: Value = serde_json::from_slice(&ask(&how, "m", "hi", true)).unwrap();
            assert_eq!(sent, serde_json::from_str::<Value>(asked).unwrap(), "{id}");
            let told: Value = serde_json::from_slice(&told(answer.as_bytes(), &how).unwrap()).unwrap();
            assert_eq!((&told["tokens"], &told["count"]), (&json!([1, 2]), &json!(2)), "{id}");
            assert_eq!(told["max_model_len"], if id == "vllm" { json!(9) } else { Value::Null });
        }
    }

    #[test]
    fn a_text_comes_back_under_both_names() {
        let (_, Some(how)) = server("llama.cpp") else { panic!("llama.cpp tells texts") };
        let sent: Value = serde_json::from_slice(&ask_text(&how, "m", &[5, 6])).unwrap();
        assert_eq!(sent, json!({"model": "m", "tokens": [5, 6]}));
        assert_eq!(text(br#"{"content":"hi"}"#, &how).unwrap(), r#"{"prompt":"hi","text":"hi"}"#);
    }

    #[test]
    fn what_holds_no_tokens_is_no_answer() {
        let (how, text_of) = server("vllm");
        for answer in ["{}", "[]", r#"{"tokens":["a"]}"#, r#"{"tokens":[-1]}"#, "x"] {
            assert!(told(answer.as_bytes(), &how).is_err(), "{answer}");
        }
        assert!(text(b"{}", &text_of.unwrap()).is_err());
    }
}
