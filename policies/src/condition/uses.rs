//! What an expression reads, and with what it compares it: so that a fact that costs something is gathered only where it
//! is read, names can be looked up, and the offline tools can ask about each value that makes a difference.

use std::{collections::BTreeMap, ops::Range};

use super::Fact;

/// The facts that an expression reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Each with what it is compared with, `has` and loops over a list included.
    pub facts: BTreeMap<Fact, Compared>,
}

/// Where an expression reads a fact, and what it holds it against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The places, in bytes of the expression.
    pub at: Vec<Range<usize>>,
    /// The strings that it, or an item of it, is compared with: by `==`, `!=`, `in`, `startsWith`, `endsWith` or
    /// `contains`. Each is a value for which that one comparison holds.
    pub texts: Vec<Quoted>,
    /// The numbers that it, or a sum that it is part of, is compared with, in ascending order. A sum is not solved for
    /// it.
    pub numbers: Vec<i64>,
}

/// A string of an expression, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// What it says.
    pub value: String,
    /// Its place, in bytes of the expression, quotes included.
    pub at: Range<usize>,
}

impl Uses {
    /// Whether a fact is read.
    pub fn reads(&self, fact: &Fact) -> bool {
        self.facts.contains_key(fact)
    }

    pub(super) fn read(&mut self, fact: &Fact, at: Range<usize>) {
        self.facts.entry(fact.clone()).or_default().at.push(at);
    }

    pub(super) fn compare_text(&mut self, fact: &Fact, text: &Quoted) {
        let texts = &mut self.facts.entry(fact.clone()).or_default().texts;
        if texts.iter().all(|known| known.value != text.value) {
            texts.push(text.clone());
        }
    }

    pub(super) fn compare_number(&mut self, fact: &Fact, number: i64) {
        let numbers = &mut self.facts.entry(fact.clone()).or_default().numbers;
        if let Err(at) = numbers.binary_search(&number) {
            numbers.insert(at, number);
        }
    }
}
