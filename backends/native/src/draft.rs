//! A smaller model of the same vocabulary that guesses what a model will say.
//!
//! It keeps a sequence of its own for each of the model's, in a cache of its own, and begins one when it is first asked about
//! it: what an earlier one has computed of the text is used again, the rest is computed in pieces, one a call. Then a call takes
//! a step for each token that is guessed, for all answers together, and an answer leaves once the likeliest token is not likely
//! enough. What the model chose otherwise is forgotten by the next call, which gets the text as it came to be. A text that does
//! not fit into the draft's context is not guessed for.
//!
//! It has threads of its own, as many as the model, which sleep while the model computes, as the model's do while it does.
//!
//! When it is asked, and for how much, is the scheduler's to decide. Knows tokens as numbers only, and nothing of sampling:
//! it says what is likeliest.

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use engine::{
    Ahead, CacheType, Drafted, Start, Token,
    gguf::{self, File},
    tokenizer::{self, TokenType, Tokenizer},
};

use crate::model::{Limits, Model, ModelError, Runner, goes_back};

/// Tokens of a text that are computed in a call: a step of them takes a draft about as long as a token takes its model.
const PIECE: usize = 128;
/// A text that lacks no more than these is made up for in the step of the first guess: what was guessed right for the last step,
/// and the token behind that.
const NEAR: usize = 8;
/// A token that is less likely is no guess: it would be wrong more often than not.
const LEAST_SURE: f32 = 0.4;

/// Why a model is no draft for another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The file cannot be read, or is damaged.
    #[error("cannot read the file")]
    File(#[from] gguf::Error),
    /// Its weights or shape cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its tokenizer cannot be used.
    #[error("cannot use its tokenizer")]
    Tokenizer(#[from] tokenizer::Error),
    /// It has another vocabulary.
    #[error(
        "its vocabulary is another one: token {id} is {draft}, and in the model {model}; expected a draft of the same tokens"
    )]
    Vocabulary {
        /// The first token that differs.
        id: u32,
        /// What it is in the draft.
        draft: String,
        /// What it is in the model.
        model: String,
    },
    /// Its weights and its tokenizer do not fit each other.
    #[error("it has weights for {weights} tokens and its vocabulary has {vocabulary}")]
    Weights {
        /// Rows of the embedding.
        weights: usize,
        /// Tokens of the vocabulary.
        vocabulary: usize,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Draft {
    runner: Runner,
    slots: Vec<Slot>,
}

/// What it has of a sequence of the model's.
#[derive(Debug, Default)]
struct Slot {
    salt: Option<Box<str>>,
    /// What it has computed: part of the text, and perhaps guesses behind it. None before it was first asked.
    held: Option<Vec<u32>>,
}

/// An answer whose next tokens are being guessed.
struct Guess {
    /// Its place among those that were asked for.
    index: usize,
    slot: usize,
    /// Guesses at most.
    most: usize,
    /// What the next step is to compute for it.
    next: Vec<u32>,
}

/// Whether a file can be a draft for another, found out without loading its weights.
///
/// # Errors
/// Why it cannot.
pub fn check(draft: &File, model: &File) -> Result<(), DraftError> {
    Model::check(draft)?;
    can_forget(draft)?;
    if !goes_back(model)? {
        return Err(ModelError::unsupported(DRAFTED).into());
    }
    same_tokens(&Tokenizer::from_file(draft)?, &Tokenizer::from_file(model)?)
}

/// What is refused of a model that keeps a state.
pub(crate) const DRAFTED: &str = "a draft for a model that cannot forget what was guessed wrongly";

/// A draft forgets what it guessed otherwise than the model chose.
fn can_forget(draft: &File) -> Result<(), ModelError> {
    if goes_back(draft)? { Ok(()) } else { Err(ModelError::unsupported("a draft that cannot forget what it guessed")) }
}

impl Draft {
    /// Loads one for a model with such a tokenizer and limits. Its context may be smaller.
    pub(crate) fn load(path: &Path, tokenizer: &Tokenizer, limits: Limits) -> Result<Self, DraftError> {
        let file = File::open(path)?;
        can_forget(&file)?;
        let own = Tokenizer::from_file(&file)?;
        same_tokens(&own, tokenizer)?;
        let model = Model::load(&file, limits.threads)?;
        let (weights, vocabulary) = (model.shape().vocabulary, own.len());
        if weights != vocabulary {
            return Err(DraftError::Weights { weights, vocabulary });
        }
        Self::new(model, limits)
    }

    fn new(model: Model, limits: Limits) -> Result<Self, DraftError> {
        let context = limits.context.min(model.shape().context);
        // Its guesses are cheap because it is small, not because its keys are: halves suit heads of any size.
        let runner = Runner::new(Arc::new(model), Limits { context, cache: CacheType::F16, ..limits })?;
        Ok(Self { runner, slots: (0..limits.slots).map(|_| Slot::default()).collect() })
    }

    /// Bytes that its keys and values take once every page is used.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.runner.cache_bytes()
    }

    /// A slot has another sequence, of which nothing is computed before it is asked for.
    pub(crate) fn begin(&mut self, start: Start<'_>) {
        self.slots[start.slot] = Slot { salt: start.salt.map(Box::from), held: None };
    }

    /// The sequence of a slot is over.
    pub(crate) fn end(&mut self, slot: usize) {
        if self.slots[slot].held.take().is_some() {
            self.runner.end(slot);
        }
    }

    /// See [`engine::Steps::draft`].
    pub(crate) fn look_ahead(&mut self, answers: &[Ahead<'_>]) -> Drafted {
        let mut guessing = Vec::with_capacity(answers.len());
        for (index, &Ahead { slot, text, most }) in answers.iter().enumerate() {
            // The last guess is not computed: nothing is drawn behind it.
            let room = (self.runner.limits().context + 1).saturating_sub(text.len());
            if room == 0 || !self.holds(slot, text) {
                continue;
            }
            let held = self.keep(slot, text);
            if text.len() - held > NEAR {
                return Drafted::CaughtUp(self.catch_up(slot, &text[held..]));
            }
            guessing.push(Guess { index, slot, most: most.min(room), next: text[held..].to_vec() });
        }
        let drafted = self.guess(answers.len(), guessing);
        self.runner.rest();
        drafted
    }

    /// Whether a slot has a sequence, which it is given if need be, unless another one computes a good part of it now.
    fn holds(&mut self, slot: usize, text: &[u32]) -> bool {
        let Slot { salt, held } = &mut self.slots[slot];
        if held.is_none() {
            let start = Start { slot, prompt: text, most: text.len(), salt: salt.as_deref(), anew: false };
            *held = self.runner.begin(start).map(|len| text[..len].to_vec());
        }
        held.is_some()
    }

    /// How much of a text a slot has computed, once it has forgotten what is none of it. Something is always left to compute.
    fn keep(&mut self, slot: usize, text: &[u32]) -> usize {
        let Some(held) = &mut self.slots[slot].held else { return 0 };
        let alike = held.iter().zip(text).take_while(|(held, text)| held == text).count();
        let len = alike.min(text.len() - 1);
        if len < held.len() {
            held.truncate(len);
            self.runner.forget(slot, len);
        }
        len
    }

    /// Computes a piece of the rest of a text: how many tokens.
    fn catch_up(&mut self, slot: usize, rest: &[u32]) -> usize {
        let piece = &rest[..(rest.len() - 1).min(PIECE)];
        let mut tokens = Vec::with_capacity(piece.len());
        self.hold(slot, piece, false, &mut tokens);
        self.runner.step(&tokens);
        self.runner.rest();
        piece.len()
    }

    /// Guesses for those whose text is computed but for its end.
    fn guess(&mut self, answers: usize, mut guessing: Vec<Guess>) -> Drafted {
        let mut guesses = vec![Vec::new(); answers];
        let mut steps = 0;
        let vocabulary = self.runner.model().shape().vocabulary;
        while !guessing.is_empty() {
            let mut tokens = Vec::new();
            for guess in &guessing {
                self.hold(guess.slot, &guess.next, true, &mut tokens);
            }
            let mut rows = self.runner.step(&tokens).chunks_exact(vocabulary);
            guessing.retain_mut(|guess| {
                let Some(id) = rows.next().and_then(likeliest) else { return false };
                guesses[guess.index].push(id);
                guess.next = vec![id];
                guesses[guess.index].len() < guess.most
            });
            steps += 1;
        }
        Drafted::Guessed { guesses, steps }
    }

    /// Appends the next tokens of a slot to a step, the last of them perhaps with logits.
    fn hold(&mut self, slot: usize, ids: &[u32], logits: bool, tokens: &mut Vec<Token>) {
        let Some(held) = &mut self.slots[slot].held else { return };
        let first = held.len();
        held.extend_from_slice(ids);
        let last = held.len() - 1;
        let token = |(position, &id)| Token { slot, position, id, logits: logits && position == last };
        tokens.extend((first..).zip(ids).map(token));
    }
}

/// The likeliest token, if it is likely enough.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let (id, most) = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    (1.0 / sum >= LEAST_SURE).then_some(id)
}

fn same_tokens(draft: &Tokenizer, model: &Tokenizer) -> Result<(), DraftError> {
    let Some(id) = draft.first_difference(model) else { return Ok(()) };
    Err(DraftError::Vocabulary { id, draft: shown(draft, id), model: shown(model, id) })
}

/// A token in words.
fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    let text = String::from_utf8_lossy(tokenizer.spelling(id)).escape_debug().to_string();
    match tokenizer.kind_of(id) {
        None => format!("missing, as there are {}", tokenizer.len()),
        Some(TokenType::Normal) => format!("the text `{text}`"),
        Some(TokenType::UserDefined) => format!("the whole text `{text}`"),
        Some(TokenType::Byte) => format!("the byte `{text}`"),
        Some(TokenType::Control) => format!("the control token `{text}`"),
        Some(TokenType::Unknown) => format!("what stands for the unknown, `{text}`"),
        Some(TokenType::Unused) => format!("unused, `{text}`"),
    }
}
