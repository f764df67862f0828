//! Turns a request into the choices that the engine works on: checked, and in tokens.
//!
//! What is refused here is the caller's to change, or fits another model; nothing has been computed then.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use backends::{BackendError, Input, Priority, Prompt, ReadPrompt, Reader, Request, Sampling, ToolChoice};

use crate::{
    calls::neutral,
    form::{self, Kept},
    grammar::Grammars,
    pictures::{self, Pictures, Placed, Vision},
    scheduler::Start,
    template::{Chat, Template},
    tokenizer::Tokenizer,
};

/// Choices of one request (prompts times `n`).
const MAX_CHOICES: usize = 1_024;
/// Stop sequences of one request; each token's text is compared with all of them.
const MAX_STOPS: usize = 64;
/// Bytes of a stop sequence.
const MAX_STOP: usize = 1_024;

/// How a model is spoken to, and what a request is checked against.
#[derive(Debug)]
pub struct Speech {
    /// Its name, by which it finds what it has read.
    reader: Reader,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<Template>,
    /// Tokens of prompt and answer together.
    pub(crate) context: usize,
    /// Why the prompt's log-probabilities cannot be had, where they cannot.
    pub(crate) no_prompt_logprobs: Option<&'static str>,
    /// What reads pictures, where the model does.
    pub(crate) pictures: Option<Pictures>,
    /// Made when the first request needs it.
    pub(crate) grammars: OnceLock<Result<Grammars, String>>,
}

/// One choice, ready to be computed.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) index: u32,
    /// Never empty.
    pub(crate) prompt: Arc<[u32]>,
    /// The pictures in it, in their order.
    pub(crate) pictures: Arc<[Placed]>,
    /// At most this many tokens are generated.
    pub(crate) max_tokens: usize,
    pub(crate) sampling: Arc<Sampling>,
    pub(crate) seed: u64,
    /// Which of the generator's streams: choices of a prompt differ by it.
    pub(crate) stream: u32,
    pub(crate) stop: Arc<[String]>,
    /// Rivals a token, if log-probabilities are asked for.
    pub(crate) logprobs: Option<usize>,
    pub(crate) echo: Option<Echo>,
    /// What parts its prompt from the same one of others, where they may not know of each other.
    pub(crate) salt: Option<Arc<str>>,
    pub(crate) priority: Priority,
    /// Until then its caller waits for the first of its answer, where he says so.
    pub(crate) begins_by: Option<Instant>,
    /// The form that is asked of it.
    pub(crate) kept: Kept,
}

/// The prompt as part of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pub(crate) text: Arc<str>,
    /// Leading tokens that the caller did not write.
    pub(crate) added: usize,
}

/// Prompt of one or more choices.
struct Prepared {
    tokens: Arc<[u32]>,
    pictures: Arc<[Placed]>,
    echo: Option<Echo>,
    /// Whether the answer begins within reasoning.
    opens_reasoning: bool,
}

impl AsRef<Tokenizer> for Speech {
    fn as_ref(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

impl Choice {
    /// Whether the log-probabilities of its prompt are asked for.
    pub(crate) fn scores_prompt(&self) -> bool {
        self.echo.is_some() && self.logprobs.is_some()
    }

    /// What it asks of a slot.
    pub(crate) fn start(&self, slot: usize) -> Start<'_> {
        let most = self.prompt.len() + self.max_tokens;
        Start { slot, prompt: &self.prompt, most, salt: self.salt.as_deref(), anew: self.scores_prompt() }
    }
}

impl Speech {
    /// A model's own way, with a window of `context` tokens.
    pub fn new(tokenizer: Tokenizer, template: Option<Template>, context: usize) -> Self {
        Self {
            reader: Reader::fresh(),
            tokenizer,
            template,
            context,
            no_prompt_logprobs: None,
            pictures: None,
            grammars: OnceLock::new(),
        }
    }

    /// The same of an engine that does not tell how probable the tokens of a prompt are; `reason` says what to do about it.
    #[must_use]
    pub fn without_prompt_logprobs(self, reason: &'static str) -> Self {
        Self { no_prompt_logprobs: Some(reason), ..self }
    }

    /// The same of a model that reads pictures, each with this.
    #[must_use]
    pub fn with_pictures(self, vision: Arc<dyn Vision>) -> Self {
        Self { pictures: Some(Pictures::new(vision)), ..self }
    }

    /// The choices of a request, by their index. Prompts of a token list may be long, so this may take a while.
    pub(crate) fn prepare(&self, request: &Request, begins_by: Option<Instant>) -> Result<Vec<Choice>, BackendError> {
        self.check(request)?;
        let prompts = self.prompts(request)?;
        let choices = request.choices.max(1) as usize;
        if prompts.len().saturating_mul(choices) > MAX_CHOICES {
            return unsupported(
                "n",
                format!("{} choices in all, expected at most {MAX_CHOICES}", prompts.len() * choices),
            );
        }
        let sampling = Arc::new(request.sampling.clone());
        let seed = request.sampling.seed.unwrap_or_else(rand::random);
        let kept = self.kept(request, prompts.first().is_some_and(|prompt| prompt.opens_reasoning))?;
        // Where the answer is made of calls there is no text that a stop sequence could end.
        let stops = if form::obliges(&request.tools.choice) { Vec::new() } else { request.stop.clone() };
        let stop: Arc<[String]> = stops.into();
        let salt: Option<Arc<str>> = request.cache_salt.as_deref().map(Arc::from);
        let mut out = Vec::with_capacity(prompts.len() * choices);
        for (index, (prompt, choice)) in prompts.iter().flat_map(|p| (0..choices).map(move |c| (p, c))).enumerate() {
            out.push(Choice {
                index: index as u32,
                prompt: Arc::clone(&prompt.tokens),
                pictures: Arc::clone(&prompt.pictures),
                max_tokens: self.max_tokens(request, prompt.tokens.len())?,
                sampling: Arc::clone(&sampling),
                seed,
                stream: choice as u32,
                stop: Arc::clone(&stop),
                logprobs: request.logprobs.map(usize::from),
                echo: prompt.echo.clone(),
                salt: salt.clone(),
                priority: request.priority,
                begins_by,
                kept: kept.clone(),
            });
        }
        Ok(out)
    }

    /// The prompts of a request in tokens; `None` of one that is refused, or that shows pictures.
    pub(crate) fn read(&self, request: &Request) -> Option<Arc<[ReadPrompt]>> {
        if pictures::are_in(&request.input) {
            return None;
        }
        self.check(request).ok()?;
        let prompts = self.prompts(request).ok()?.into_iter();
        let read = |Prepared { tokens, opens_reasoning, .. }| ReadPrompt { tokens, opens_reasoning };
        Some(prompts.map(read).collect())
    }

    /// Has what was read of a request at hand when it is taken. Where the prompt is part of the answer it is read anew, with what
    /// that needs.
    pub(crate) fn keep(&self, request: &Request, read: Arc<[ReadPrompt]>) {
        if !request.echo {
            request.read.keep(self.reader, read);
        }
    }

    /// Whether the tokens of a request field are this model's.
    pub(crate) fn knows<'a>(
        &self,
        tokens: impl IntoIterator<Item = &'a u32>,
        param: &'static str,
    ) -> Result<(), BackendError> {
        let vocabulary = self.tokenizer.len();
        match tokens.into_iter().find(|&&id| id as usize >= vocabulary) {
            Some(id) => unsupported(
                param,
                format!("token {id}, and this model's tokens are 0 to {}", vocabulary.saturating_sub(1)),
            ),
            None => Ok(()),
        }
    }

    fn check(&self, request: &Request) -> Result<(), BackendError> {
        self.knows(request.sampling.logit_bias.iter().map(|(id, _)| id), "logit_bias")?;
        if let Some(reason) = self.no_prompt_logprobs.filter(|_| request.echo && request.logprobs.is_some()) {
            return unsupported("echo", reason);
        }
        if request.suffix {
            return unsupported("suffix", "this engine continues a text and does not fill a gap in one".to_owned());
        }
        if request.best_of.is_some_and(|best_of| best_of > request.choices) {
            return unsupported("best_of", format!("expected at most `n`, which is {}", request.choices));
        }
        if request.stop.len() > MAX_STOPS || request.stop.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP) {
            return unsupported("stop", format!("expected at most {MAX_STOPS} sequences of 1 to {MAX_STOP} bytes"));
        }
        Ok(())
    }

    fn prompts(&self, request: &Request) -> Result<Vec<Prepared>, BackendError> {
        if let Some(read) = request.read.by(self.reader) {
            let prepared = |ReadPrompt { tokens, opens_reasoning }: &ReadPrompt| Prepared {
                tokens: Arc::clone(tokens),
                pictures: Arc::default(),
                echo: None,
                opens_reasoning: *opens_reasoning,
            };
            return Ok(read.iter().map(prepared).collect());
        }
        match &request.input {
            Input::Chat { messages, tools, template_kwargs } => {
                let Some(template) = &self.template else {
                    return unsupported("messages", "the model file has no chat template; use the completions API");
                };
                let kwargs = template_kwargs.as_deref();
                let tools = tools.as_deref().filter(|_| request.tools.choice != ToolChoice::None);
                let pictures = self.pictures.is_some();
                let written = if template.calls().is_some() {
                    let chat = Chat { messages, tools, kwargs, pictures };
                    template.encode(chat, &self.tokenizer, self.context)?
                } else {
                    let offered = if tools.is_some() { &*request.tools.offered } else { &[] };
                    let messages = neutral::conversation(messages, offered);
                    let chat = Chat { messages: &messages, tools: None, kwargs, pictures };
                    template.encode(chat, &self.tokenizer, self.context)?
                };
                let (tokens, placed) = match &self.pictures {
                    Some(pictures) if !written.pictures.is_empty() => {
                        let room = self.context.saturating_sub(written.tokens.len());
                        pictures::place(&written.tokens, &written.pictures, &pictures.read(messages, room)?)?
                    }
                    _ => (written.tokens, Vec::new()),
                };
                let prepared = self.prepared(tokens, "messages", None)?;
                let opens_reasoning = written.opens_reasoning;
                Ok(vec![Prepared { opens_reasoning, pictures: placed.into(), ..prepared }])
            }
            Input::Prompts(prompts) => prompts.iter().map(|prompt| self.prompt(prompt, request.echo)).collect(),
            _ => unsupported(request.api.input(), "there is nothing to go on from"),
        }
    }

    fn prompt(&self, prompt: &Prompt, echo: bool) -> Result<Prepared, BackendError> {
        let tokens = match prompt {
            Prompt::Text(text) => {
                // No token is longer, so this many there are at least; encoding a book to count it would be a gift.
                let least = text.len() / self.tokenizer.longest();
                if least > self.context {
                    return Err(BackendError::PromptTooLong { got: least, limit: self.context });
                }
                self.tokenizer.encode_prompt(text)
            }
            Prompt::Tokens(tokens) => {
                self.knows(tokens, "prompt")?;
                tokens.clone()
            }
        };
        let echo = echo.then(|| match prompt {
            Prompt::Text(text) => Echo { text: text.as_str().into(), added: self.added(&tokens) },
            Prompt::Tokens(_) => {
                let bytes: Vec<u8> = tokens.iter().flat_map(|&id| self.tokenizer.text(id)).copied().collect();
                Echo { text: String::from_utf8_lossy(&bytes).into(), added: 0 }
            }
        });
        self.prepared(tokens, "prompt", echo)
    }

    /// Leading control tokens of a prompt that was written as plain text, which has none.
    fn added(&self, tokens: &[u32]) -> usize {
        tokens.iter().take_while(|&&id| self.tokenizer.is_control(id)).count()
    }

    fn prepared(
        &self,
        mut tokens: Vec<u32>,
        param: &'static str,
        mut echo: Option<Echo>,
    ) -> Result<Prepared, BackendError> {
        if tokens.is_empty() {
            // Something must come before the first token.
            let Some(start) = self.tokenizer.bos().or(self.tokenizer.eos()) else {
                return unsupported(param, "empty, and this model has no token to start a text with");
            };
            tokens.push(start);
            echo = echo.map(|echo| Echo { added: 1, ..echo });
        }
        Ok(Prepared { tokens: tokens.into(), pictures: Arc::default(), echo, opens_reasoning: false })
    }

    /// Room for the answer; an error where there is none for even one token of it.
    fn max_tokens(&self, request: &Request, prompt: usize) -> Result<usize, BackendError> {
        let asked = request.max_tokens.map_or(usize::MAX, |max| max as usize);
        // A prompt that is only to be scored may fill the window.
        let limit = if asked == 0 { self.context } else { self.context - 1 };
        if prompt > limit {
            return Err(BackendError::PromptTooLong { got: prompt, limit });
        }
        Ok(asked.min(self.context - prompt))
    }
}

pub(crate) fn unsupported<T>(param: &'static str, reason: impl Into<String>) -> Result<T, BackendError> {
    Err(BackendError::Unsupported { param, reason: reason.into() })
}
