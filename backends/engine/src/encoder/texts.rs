//! The texts of a request, in tokens and each within the model's window.

use std::sync::Arc;

use backends::{BackendError, Input, Prompt, Request};

use crate::prepare::{Speech, unsupported};

/// A text in tokens. What it shares with other texts of its request is there once.
#[derive(Clone, Debug)]
pub(super) struct Text {
    before: Arc<[u32]>,
    own: Vec<u32>,
    after: Arc<[u32]>,
}

impl Text {
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.own.len() + self.after.len()
    }

    /// All its tokens.
    pub(super) fn tokens(&self) -> Vec<u32> {
        [&*self.before, &*self.own, &*self.after].concat()
    }
}

impl Speech {
    /// The texts of a request: those that are to become vectors, or each document with the query before it and `between`.
    pub(super) fn texts(&self, request: &Request, between: Option<&Arc<[u32]>>) -> Result<Vec<Text>, BackendError> {
        let nothing: Arc<[u32]> = Arc::from([]);
        let tokenizer = &self.tokenizer;
        let begin: Arc<[u32]> = tokenizer.bos().filter(|_| tokenizer.adds_bos()).into_iter().collect();
        let end: Arc<[u32]> = tokenizer.eos().filter(|_| tokenizer.adds_eos()).into_iter().collect();
        let texts: Vec<Text> = match (&request.input, between) {
            (Input::Embed { texts, .. }, None) => {
                let text = |prompt: &Prompt| match prompt {
                    Prompt::Text(text) => {
                        Ok(Text { before: Arc::clone(&begin), own: tokenizer.encode(text), after: Arc::clone(&end) })
                    }
                    Prompt::Tokens(ids) => {
                        self.knows(ids, "input")?;
                        Ok(Text { before: Arc::clone(&nothing), own: ids.clone(), after: Arc::clone(&nothing) })
                    }
                };
                texts.iter().map(text).collect::<Result<_, BackendError>>()?
            }
            (Input::Rank { query, documents, .. }, Some(between)) => {
                let before: Arc<[u32]> = [&*begin, &tokenizer.encode(query), &**between].concat().into();
                let text = |document: &String| Text {
                    before: Arc::clone(&before),
                    own: tokenizer.encode(document),
                    after: Arc::clone(&end),
                };
                documents.iter().map(text).collect()
            }
            _ => Vec::new(),
        };
        if texts.is_empty() || texts.iter().any(|text| text.len() == 0) {
            return unsupported(request.api.input(), "nothing, or a text without a token");
        }
        match texts.iter().map(Text::len).find(|len| *len > self.context) {
            Some(got) => Err(BackendError::PromptTooLong { got, limit: self.context }),
            None => Ok(texts),
        }
    }
}
