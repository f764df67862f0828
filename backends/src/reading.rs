//! A request's prompts in tokens, kept with it so that who had to read them before it was chosen does not read them twice.

use std::{
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Who reads: a vocabulary, and a way to write conversations in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader(NonZeroU64);

impl Reader {
    /// One that no other is.
    pub fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(NonZeroU64::MIN.saturating_add(LAST.fetch_add(1, Relaxed)))
    }
}

/// A prompt as it was read.
#[derive(Clone, Debug)]
pub struct ReadPrompt {
    /// Its tokens.
    pub tokens: Arc<[u32]>,
    /// Whether the answer begins within reasoning.
    pub opens_reasoning: bool,
}

/// The prompts of one request, by who has read them.
#[derive(Debug, Default)]
pub struct Reading(Mutex<Vec<(Reader, Arc<[ReadPrompt]>)>>);

impl Reading {
    /// What a reader made of them, if it has read them.
    pub fn by(&self, reader: Reader) -> Option<Arc<[ReadPrompt]>> {
        self.all().iter().find(|(by, _)| *by == reader).map(|(_, prompts)| Arc::clone(prompts))
    }

    /// A reader has read them.
    pub fn keep(&self, reader: Reader, prompts: Arc<[ReadPrompt]>) {
        let mut all = self.all();
        all.retain(|(by, _)| *by != reader);
        all.push((reader, prompts));
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Reader, Arc<[ReadPrompt]>)>> {
        // Nothing that panics happens under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing: a request is copied to be changed, and what was read is of the one that is not.
impl Clone for Reading {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_finds_its_own_and_a_copy_is_read_anew() {
        let (reading, one, other) = (Reading::default(), Reader::fresh(), Reader::fresh());
        let prompt = |token| Arc::from([ReadPrompt { tokens: Arc::from([token]), opens_reasoning: false }]);
        reading.keep(one, prompt(1));
        assert!(reading.by(other).is_none());
        reading.keep(other, prompt(2));
        reading.keep(one, prompt(3));
        let tokens = |reader| reading.by(reader).map(|prompts| prompts[0].tokens.to_vec());
        assert_eq!([tokens(one), tokens(other)], [Some(vec![3]), Some(vec![2])]);
        assert!(reading.clone().by(one).is_none());
    }
}
