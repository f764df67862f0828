//! The tokens of a text and the text of tokens, told in the shape of vLLM.

use backends::{Api, BackendError, Event, Frame, Input, Request};
use serde_json::{Value, json};

use crate::{
    pictures,
    prepare::Speech,
    template::{Chat, Template},
};

impl Speech {
    /// The answer to a request that generates nothing.
    ///
    /// # Errors
    /// When this engine has none: it makes no vectors, judges nothing and orders nothing.
    pub(crate) fn tell(&self, request: &Request) -> Result<Event, BackendError> {
        let answer = match (&request.input, request.api) {
            (Input::Tokenize { text, special }, _) => {
                let tokens = if *special { self.tokenizer.encode_prompt(text) } else { self.tokenizer.encode(text) };
                self.told(&tokens)
            }
            (input, Api::Tokenize) if self.pictures.is_some() && pictures::are_in(input) => {
                let reason = "a picture has no tokens that could be told".to_owned();
                return Err(BackendError::Unsupported { param: "messages", reason });
            }
            (Input::Chat { messages, tools, template_kwargs }, Api::Tokenize) => {
                let (tools, kwargs) = (tools.as_deref(), template_kwargs.as_deref());
                let chat = Chat { messages, tools, kwargs, pictures: false };
                let template = self.template.as_ref().ok_or_else(|| BackendError::Unsupported {
                    param: "messages",
                    reason: "the model file has no chat template".to_owned(),
                })?;
                self.told(&template.encode(chat, &self.tokenizer, self.context)?.tokens)
            }
            (Input::Detokenize(ids), _) => {
                self.knows(ids, "tokens")?;
                let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.tokenizer.text(id)).copied().collect();
                let text = String::from_utf8_lossy(&bytes);
                json!({"prompt": text, "text": text})
            }
            (Input::TokenizerInfo, _) => self.tokenizer_info(),
            (_, api) => {
                let reason = "this engine generates text".to_owned();
                return Err(BackendError::Unsupported { param: api.input(), reason });
            }
        };
        Ok(Event::Whole(Frame { bytes: answer.to_string().into(), content: true, finished: true, ..Frame::default() }))
    }

    /// What the tokenizer is, in the words of a `tokenizer_config.json`.
    fn tokenizer_info(&self) -> Value {
        let tokenizer = &self.tokenizer;
        let name = |id: Option<u32>| id.map(|id| String::from_utf8_lossy(tokenizer.spelling(id)).into_owned());
        json!({
            "tokenizer_class": tokenizer.kind(),
            "vocab_size": tokenizer.len(),
            "model_max_length": self.context,
            "bos_token": name(tokenizer.bos()),
            "eos_token": name(tokenizer.eos()),
            "add_bos_token": tokenizer.adds_bos(),
            "add_eos_token": tokenizer.adds_eos(),
            "chat_template": self.template.as_ref().map(Template::source),
        })
    }

    fn told(&self, tokens: &[u32]) -> Value {
        json!({"count": tokens.len(), "max_model_len": self.context, "tokens": tokens})
    }
}
