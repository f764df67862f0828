//! Which tokens may come next, where the form of an answer is asked for.
//!
//! [`Grammars`] is made once a model, when the first request needs it: its vocabulary as a tree of bytes, over which the
//! crate `llguidance` walks. A [`Grammar`] is compiled once a request and bounded while it is; a [`Constraint`] is one
//! choice's way through it. A token is allowed if the text can still become one of the grammar with it, and a token that
//! ends the answer only where the text is one already.
//!
//! Knows nothing of requests, tools or logits.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, StopReason, TopLevelGrammar},
    toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie},
};

use crate::tokenizer::Tokenizer;

/// Bytes of a schema, an expression or a grammar.
const MAX_SOURCE: usize = 128 << 10;
/// Bytes of a regular expression; one of this size takes up to a tenth of a second to compile.
const MAX_REGEX: usize = 2 << 10;
/// Brackets within brackets of a grammar, which its parser follows by recursion.
const MAX_DEPTH: usize = 64;
/// Characters of a complaint, which may quote what the caller wrote.
const MAX_CAUSE: usize = 300;
/// Bytes of a token that can be drawn under a grammar. Longer ones are runs of blanks and damage, and the tree of bytes has
/// room for 1,023.
const MAX_TOKEN: usize = 512;
/// Bytes of all tokens; the tree has room for four million.
const MAX_VOCABULARY: usize = 4_000_000;

/// Work that a grammar may cause. The figures in milliseconds are `llguidance`'s own.
fn limits() -> ParserLimits {
    ParserLimits {
        // 20 ms to compile.
        initial_lexer_fuel: 1_000_000,
        // 14 ms a token, and 2.5 ms for the parser.
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        // At 1 to 2 KB each.
        max_lexer_states: 25_000,
        max_grammar_size: 200_000,
        // Its time is not bounded by the fuel.
        precompute_large_lexemes: false,
        // They would quote the whole grammar.
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// JSON of a schema. `lenient` passes over words of it that are not known, else they are refused.
    Json { schema: String, lenient: bool },
    /// What a regular expression matches whole.
    Regex(String),
    /// A text of a grammar in `llguidance`'s variant of Lark.
    Lark(String),
}

/// Compiles grammars for one model.
pub(crate) struct Grammars {
    factory: ParserFactory,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grammars")
    }
}

impl Grammars {
    /// Builds the tree of a vocabulary: a tenth of a second for the largest.
    ///
    /// # Errors
    /// When the vocabulary is larger than any that models have.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Self, String> {
        let mut words: Vec<Vec<u8>> = (0..tokenizer.len() as u32).map(|id| word(tokenizer, id)).collect();
        if words.iter().map(Vec::len).sum::<usize>() > MAX_VOCABULARY {
            return Err("the vocabulary is too large for grammars".to_owned());
        }
        let mut ends: Vec<u32> = (0..tokenizer.len() as u32).filter(|&id| tokenizer.is_end(id)).collect();
        if ends.is_empty() {
            // The tree must have one; no logit is ever at its place.
            ends.push(words.len() as u32);
            words.push(special(b"<end>"));
        }
        // Files are not to be trusted, and the tree asserts what it needs of a vocabulary.
        catch_unwind(|| {
            let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, ends[0]), &words).with_eos_tokens(&ends);
            let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            let slices = llguidance::earley::SlicedBiasComputer::general_slices();
            let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices).map_err(told)?;
            factory.quiet();
            *factory.limits_mut() = limits();
            Ok(Self { factory })
        })
        .unwrap_or_else(|_| Err("the vocabulary is damaged".to_owned()))
    }

    /// Compiles a grammar. Takes up to some tens of milliseconds.
    ///
    /// # Errors
    /// What about it is wrong, too large or not supported.
    pub(crate) fn compile(&self, source: &Source) -> Result<Constraint, String> {
        let parsed = self.parsed(source)?;
        let parser = catch_unwind(AssertUnwindSafe(|| self.factory.create_parser(parsed)));
        let parser = parser.map_err(|_| "it cannot be compiled".to_owned())?.map_err(told)?;
        let mut constraint = Constraint { matcher: Matcher::new(Ok(parser)) };
        // Some schemas are seen to allow nothing only here.
        constraint.allowed().map(|_| constraint)
    }

    fn parsed(&self, source: &Source) -> Result<TopLevelGrammar, String> {
        let (text, most) = match source {
            Source::Json { schema: text, .. } | Source::Lark(text) => (text, MAX_SOURCE),
            Source::Regex(text) => (text, MAX_REGEX),
        };
        if text.len() > most {
            return Err(format!("{} bytes, expected at most {most}", text.len()));
        }
        match source {
            Source::Json { schema, lenient } => Ok(TopLevelGrammar::from_json_schema(json(schema, *lenient)?)),
            Source::Regex(text) => Ok(TopLevelGrammar::from_regex(text)),
            Source::Lark(text) => {
                if depth(text) > MAX_DEPTH {
                    return Err(format!("its brackets nest deeper than {MAX_DEPTH}"));
                }
                Ok(TopLevelGrammar::from_lark(text.clone()))
            }
        }
    }
}

/// One choice's way through a grammar.
pub(crate) struct Constraint {
    matcher: Matcher,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Constraint")
    }
}

impl Clone for Constraint {
    /// Shares nothing with the other, so that choices do not wait for each other.
    fn clone(&self) -> Self {
        Self { matcher: self.matcher.deep_clone() }
    }
}

impl Constraint {
    /// The tokens that may come next; `None` where the text is whole and nothing may follow.
    ///
    /// # Errors
    /// When finding them would take more than [`limits`] allows.
    pub(crate) fn allowed(&mut self) -> Result<Option<Allowed>, String> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(None);
        }
        let mask = self.matcher.compute_mask();
        mask.map(|mask| Some(Allowed(mask))).map_err(|error| match self.matcher.stop_reason() {
            StopReason::NoExtensionBias => "no text can be of it".to_owned(),
            _ => told(error),
        })
    }

    /// Goes on with a token that was allowed. Whether the text is whole and nothing may follow.
    ///
    /// # Errors
    /// When the token was not allowed.
    pub(crate) fn accept(&mut self, id: u32) -> Result<bool, String> {
        self.matcher.consume_token(id).map_err(told)?;
        Ok(self.matcher.is_stopped())
    }
}

/// A set of tokens.
#[derive(Debug)]
pub(crate) struct Allowed(SimpleVob);

impl Allowed {
    pub(crate) fn has(&self, id: u32) -> bool {
        self.0.is_allowed(id)
    }
}

/// The bytes that stand for a token in the tree; none for one that no text holds.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.spelling(id);
    if tokenizer.is_control(id) {
        return special(bytes);
    }
    // No UTF-8 has the byte that marks control tokens.
    let usable = tokenizer.is_text(id) && bytes.len() <= MAX_TOKEN && !bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER);
    if usable { bytes.to_vec() } else { Vec::new() }
}

fn special(name: &[u8]) -> Vec<u8> {
    if name.len() > MAX_TOKEN { Vec::new() } else { [&[TokTrie::SPECIAL_TOKEN_MARKER], name].concat() }
}

/// A schema, with how its JSON is to be laid out: at most one space after `,` and `:`. Where any blanks are allowed, a weak
/// model fills the answer with them.
pub(crate) fn json(schema: &str, lenient: bool) -> Result<serde_json::Value, String> {
    let mut schema: serde_json::Value =
        serde_json::from_str(schema).map_err(|error| format!("the schema cannot be read: {error}"))?;
    if schema == true {
        schema = serde_json::json!({});
    }
    let Some(words) = schema.as_object_mut() else { return Err("the schema is no JSON object".to_owned()) };
    let layout = serde_json::json!({
        "whitespace_flexible": false, "item_separator": ", ?", "key_separator": ": ?", "lenient": lenient
    });
    words.insert("x-guidance".to_owned(), layout);
    Ok(schema)
}

/// The most brackets within brackets.
fn depth(text: &str) -> usize {
    let mut depth = 0usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

/// The first line of a complaint, clipped.
fn told(error: impl fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it cannot be used");
    line.chars().take(MAX_CAUSE).collect()
}
