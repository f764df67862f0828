//! Makes an answer's text out of its tokens, and decides what of it may leave.
//!
//! Held back are the first bytes of an unfinished character and any end of the text that may be the start of
//! a stop sequence. A stop sequence and what follows it never leave. Log-probabilities leave together with
//! the text of their tokens.

use std::{collections::VecDeque, sync::Arc};

use backends::TokenLogprob;

use crate::tokenizer::{Tokenizer, Utf8};

/// What may leave after a token.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// Whether a stop sequence ended the text here.
    pub(crate) stopped: bool,
}

/// The text of one answer.
#[derive(Debug)]
pub(crate) struct Output {
    stop: Vec<String>,
    /// Control tokens that are part of the text: marks of tool calls.
    marks: Arc<[u32]>,
    utf8: Utf8,
    /// Text that has not left.
    held: String,
    /// Bytes of text that have.
    left: usize,
    /// Where in the text each token began whose log-probabilities have not left.
    logprobs: VecDeque<(usize, TokenLogprob)>,
    /// The next text starts with a space that is the tokenizer's own.
    strip: bool,
}

impl Output {
    /// An answer that follows the token `last`, or nothing.
    pub(crate) fn new(stop: Vec<String>, tokenizer: &Tokenizer, last: Option<u32>, marks: Arc<[u32]>) -> Self {
        let strip = tokenizer.adds_space() && last.is_none_or(|id| tokenizer.is_control(id));
        Self { stop, marks, utf8: Utf8::default(), held: String::new(), left: 0, logprobs: VecDeque::new(), strip }
    }

    /// Takes the next token.
    pub(crate) fn push(&mut self, id: u32, logprob: Option<TokenLogprob>, tokenizer: &Tokenizer) -> Piece {
        let start = self.left + self.held.len();
        self.logprobs.extend(logprob.map(|logprob| (start, logprob)));
        let bytes = if self.marks.contains(&id) { tokenizer.spelling(id) } else { tokenizer.text(id) };
        let bytes = if self.strip { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes };
        self.strip = tokenizer.adds_space() && tokenizer.is_control(id);
        self.utf8.push(bytes, &mut self.held);
        match self.first_stop() {
            Some(at) => {
                self.held.truncate(at);
                self.release(at, true)
            }
            None => self.release(self.held.len() - self.maybe_stop(), false),
        }
    }

    /// Ends the text without a stop sequence: all that was held back leaves.
    pub(crate) fn finish(&mut self) -> Piece {
        self.utf8.finish(&mut self.held);
        let mut piece = self.release(self.held.len(), false);
        piece.logprobs.extend(self.logprobs.drain(..).map(|(_, logprob)| logprob));
        piece
    }

    fn release(&mut self, len: usize, stopped: bool) -> Piece {
        let text: String = self.held.drain(..len).collect();
        self.left += len;
        // A token waits while its text does, and goes with the text that a stop sequence cut off. One that has
        // no text leaves when nothing before it waits.
        let waiting = stopped || !self.held.is_empty() || self.utf8.holds();
        let leaves = |start: usize| if waiting { start < self.left } else { start <= self.left };
        let count = self.logprobs.iter().take_while(|(start, _)| leaves(*start)).count();
        let logprobs = self.logprobs.drain(..count).map(|(_, logprob)| logprob).collect();
        Piece { text, logprobs, stopped }
    }

    /// Where the first stop sequence begins.
    fn first_stop(&self) -> Option<usize> {
        self.stop.iter().filter_map(|stop| self.held.find(stop.as_str())).min()
    }

    /// Length of the longest end of the held text that a stop sequence may begin with.
    fn maybe_stop(&self) -> usize {
        let longest = |stop: &String| {
            let ends = stop.char_indices().map(|(end, _)| end).filter(|&end| end > 0);
            ends.filter(|&end| self.held.ends_with(&stop[..end])).max().unwrap_or(0)
        };
        self.stop.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use backends::Alternative;
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::{
        gguf::File,
        testing::{Llama, Vocabulary},
    };

    use super::*;

    fn tokenizer(vocabulary: Vocabulary) -> Tokenizer {
        let model = Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, vocabulary, ..Llama::default() };
        Tokenizer::from_file(&File::read(Bytes::from(model.build())).unwrap()).unwrap()
    }

    fn logprob(id: u32) -> TokenLogprob {
        TokenLogprob { chosen: Alternative { id, bytes: vec![], logprob: Some(-1.0) }, top: vec![] }
    }

    /// The pieces of an answer, the last one after its end.
    fn pieces(text: &str, stop: &[&str]) -> (Vec<Piece>, usize) {
        let tokenizer = tokenizer(Vocabulary::Bpe);
        let ids = tokenizer.encode(text);
        let mut output = Output::new(stop.iter().map(|s| s.to_string()).collect(), &tokenizer, None, Arc::new([]));
        let mut pieces: Vec<Piece> = Vec::new();
        for &id in &ids {
            pieces.push(output.push(id, Some(logprob(id)), &tokenizer));
            if pieces.last().unwrap().stopped {
                return (pieces, ids.len());
            }
        }
        pieces.push(output.finish());
        (pieces, ids.len())
    }

    fn texts(text: &str, stop: &[&str]) -> Vec<String> {
        pieces(text, stop).0.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn what_may_begin_a_stop_sequence_waits() {
        assert_eq!(texts("ab12c", &["123", "2x"]), ["a", "b", "", "", "12c", ""]);
        assert_eq!(texts("ab123c", &["123"]), ["a", "b", "", "", ""]);
    }

    #[test]
    fn of_stop_sequences_in_one_token_the_one_that_begins_first_ends_the_text() {
        assert_eq!(texts("xthe", &["e", "th"]).concat(), "x");
        assert_eq!(texts("aab", &["aab"]).concat(), "");
    }

    #[test]
    fn a_split_character_waits_for_its_last_byte_and_a_broken_one_is_replaced() {
        assert_eq!(texts("é!", &[]), ["", "é", "!", ""]);
        let tokenizer = tokenizer(Vocabulary::Bpe);
        let mut output = Output::new(vec![], &tokenizer, None, Arc::new([]));
        assert_eq!(output.push(tokenizer.encode("é")[0], None, &tokenizer).text, "");
        assert_eq!(output.finish().text, "\u{FFFD}");
    }

    #[test]
    fn logprobs_leave_with_their_text_and_stay_when_it_is_cut() {
        let (pieces, _) = pieces("ab12c", &["123"]);
        assert_eq!(pieces.iter().map(|p| p.logprobs.len()).collect::<Vec<_>>(), [1, 1, 0, 0, 3, 0]);
        let (pieces, _) = self::pieces("ab123", &["123"]);
        assert_eq!(pieces.iter().map(|p| p.logprobs.len()).sum::<usize>(), 2);
        let (pieces, _) = self::pieces("é", &[]);
        assert_eq!(pieces.iter().map(|p| p.logprobs.len()).collect::<Vec<_>>(), [0, 2, 0]);
    }

    #[test]
    fn the_space_that_the_tokenizer_adds_is_taken_away_again() {
        let tokenizer = tokenizer(Vocabulary::Spm);
        let ids = tokenizer.encode("hello a");
        let text = |last| {
            let mut output = Output::new(vec![], &tokenizer, last, Arc::new([]));
            let text: String = ids.iter().map(|&id| output.push(id, None, &tokenizer).text).collect();
            text
        };
        assert_eq!(
            (text(None), text(Some(1)), text(Some(ids[0]))),
            ("hello a".into(), "hello a".into(), " hello a".into())
        );
    }

    proptest! {
        #[test]
        fn the_pieces_make_up_the_text_before_the_first_stop(text in "[ab12é]{0,20}", stop in prop::collection::vec("[ab12é]{1,4}", 0..3)) {
            let stops: Vec<&str> = stop.iter().map(String::as_str).collect();
            // A stop sequence counts once it is whole, so the one that is whole first ends the text.
            let whole = (1..=text.len()).filter(|&len| text.is_char_boundary(len)).map(|len| &text[..len]);
            let end = whole.filter_map(|text| stops.iter().filter_map(|stop| text.find(stop)).min()).next();
            let (pieces, tokens) = pieces(&text, &stops);
            let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            prop_assert_eq!(&whole, &text[..end.unwrap_or(text.len())]);
            prop_assert_eq!(pieces.last().is_some_and(|piece| piece.stopped), end.is_some());
            let logprobs: usize = pieces.iter().map(|piece| piece.logprobs.len()).sum();
            prop_assert!(logprobs == tokens || end.is_some() && logprobs < tokens, "{} of {}", logprobs, tokens);
        }
    }
}
