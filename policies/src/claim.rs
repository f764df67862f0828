//! Claims about who may be reached, as people write them: "no revenue context reaches tier >= 4 without a waiver".
//!
//! A closed grammar ([`GRAMMAR`]) of words between spaces, so that a claim says one thing only and a mistake is named at its
//! word. What a claim means is held against requests by `prove`; here names are not looked up.

use std::fmt;

use catalog::Purpose;

use crate::TooManyCells;

/// The grammar of claims.
pub const GRAMMAR: &str = "\
claim    = quantity subject \"reaches\" [\"only\"] object [\"without\" ground]
quantity = \"no\" | \"every\"                      (`only` goes with `every`)
subject  = \"request\" | \"team\" NAME | \"context\" NAME
         | (\"revenue\" | \"internal\" | \"research\" | \"personal\") \"context\"
object   = \"tier\" (\">=\" | \"<=\") NUMBER | \"license\" ID | \"model\" ID | \"family\" ID
         | \"host\" ID | \"region\" NAME
ground   = \"a waiver\" | \"an attestation\" | \"an agreement\"   (not with `only`)";

/// A claim that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(crate) quantity: Quantity,
    pub(crate) subject: Subject,
    pub(crate) object: Object,
    /// What rests on such a ground does not count as reached.
    pub(crate) without: Option<Ground>,
    /// As it was written.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    No,
    Every,
    EveryOnly,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Request,
    Team(String),
    Context(String),
    Purpose(Purpose),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    TierAtLeast(u8),
    TierAtMost(u8),
    License(String),
    Model(String),
    Family(String),
    Host(String),
    Region(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    Waiver,
    Attestation,
    Agreement,
}

/// Why a claim could not be held against anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// It does not follow the grammar.
    Grammar {
        /// What was expected.
        expected: String,
        /// The word that stands there; `None` at the end.
        found: Option<String>,
    },
    /// It speaks of something that there is not.
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its name in the claim.
        name: String,
        /// The name nearest to it.
        near: Option<String>,
    },
    /// There are too many cells.
    TooMany(TooManyCells),
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grammar { expected, found: Some(found) } => {
                write!(f, "expected {expected}, found `{}`", found.escape_debug())
            }
            Self::Grammar { expected, found: None } => write!(f, "the claim ends where {expected} is expected"),
            Self::Unknown { what, name, near } => {
                write!(f, "there is no {what} `{}`", name.escape_debug())?;
                near.as_ref().map_or(Ok(()), |near| write!(f, "; did you mean `{near}`?"))
            }
            Self::TooMany(too_many) => too_many.fmt(f),
        }
    }
}

impl std::error::Error for ClaimError {}

impl From<TooManyCells> for ClaimError {
    fn from(too_many: TooManyCells) -> Self {
        Self::TooMany(too_many)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The words of a claim.
struct Words<'t>(std::iter::Peekable<std::str::SplitWhitespace<'t>>);

impl<'t> Words<'t> {
    fn one_of<T: Copy>(&mut self, expected: &str, words: &[(&str, T)]) -> Result<T, ClaimError> {
        let found = self.0.next();
        let value = words.iter().find(|(word, _)| Some(*word) == found).map(|(_, value)| *value);
        value.ok_or_else(|| ClaimError::Grammar { expected: expected.to_owned(), found: found.map(str::to_owned) })
    }

    fn word(&mut self, word: &str) -> Result<(), ClaimError> {
        self.one_of(&format!("`{word}`"), &[(word, ())])
    }

    fn name(&mut self, expected: &str) -> Result<String, ClaimError> {
        let missing = || ClaimError::Grammar { expected: expected.to_owned(), found: None };
        self.0.next().map(str::to_owned).ok_or_else(missing)
    }
}

impl std::str::FromStr for Claim {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Self, ClaimError> {
        let mut words = Words(text.split_whitespace().peekable());
        let every = words.one_of("`no` or `every`", &[("no", false), ("every", true)])?;
        let subject = words.subject()?;
        words.word("reaches")?;
        let only = every && words.0.next_if(|word| *word == "only").is_some();
        let object = words.object()?;
        let without = match words.0.next_if(|word| *word == "without") {
            Some(_) if !only => Some(words.ground()?),
            Some(word) => {
                let expected = "the end of the claim: `without` does not go with `only`".to_owned();
                return Err(ClaimError::Grammar { expected, found: Some(word.to_owned()) });
            }
            None => None,
        };
        if let Some(word) = words.0.next() {
            let expected = "`without` or the end of the claim".to_owned();
            return Err(ClaimError::Grammar { expected, found: Some(word.to_owned()) });
        }
        let quantity = match (every, only) {
            (false, _) => Quantity::No,
            (true, false) => Quantity::Every,
            (true, true) => Quantity::EveryOnly,
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { quantity, subject, object, without, text })
    }
}

impl Words<'_> {
    fn subject(&mut self) -> Result<Subject, ClaimError> {
        let purposes = Purpose::ALL.map(|purpose| (purpose.name(), Kind::Purpose(purpose)));
        let kinds = [("request", Kind::Request), ("team", Kind::Team), ("context", Kind::Context)];
        let kinds: Vec<_> = kinds.into_iter().chain(purposes).collect();
        let expected = "`request`, `team NAME`, `context NAME`, or a purpose (`revenue`, `internal`, `research`, \
                        `personal`) and `context`";
        match self.one_of(expected, &kinds)? {
            Kind::Request => Ok(Subject::Request),
            Kind::Team => Ok(Subject::Team(self.name("the name of a team")?)),
            Kind::Context => Ok(Subject::Context(self.name("the name of a context")?)),
            Kind::Purpose(purpose) => self.word("context").map(|()| Subject::Purpose(purpose)),
        }
    }

    fn object(&mut self) -> Result<Object, ClaimError> {
        type Named = (&'static str, fn(String) -> Object);
        let kinds: [Named; 5] = [
            ("license", Object::License),
            ("model", Object::Model),
            ("family", Object::Family),
            ("host", Object::Host),
            ("region", Object::Region),
        ];
        if self.0.next_if(|word| *word == "tier").is_some() {
            let at_least = self.one_of("`>=` or `<=`", &[(">=", true), ("<=", false)])?;
            let tier =
                self.one_of("a licence tier from 1 to 5", &[("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5)])?;
            return Ok(if at_least { Object::TierAtLeast(tier) } else { Object::TierAtMost(tier) });
        }
        let object = self.one_of("`tier`, `license`, `model`, `family`, `host` or `region`", &kinds)?;
        self.name("a name").map(object)
    }

    fn ground(&mut self) -> Result<Ground, ClaimError> {
        let expected = "`a waiver`, `an attestation` or `an agreement`";
        let article = self.one_of(expected, &[("a", true), ("an", false)])?;
        match article {
            true => self.word("waiver").map(|()| Ground::Waiver),
            false => {
                let grounds = [("attestation", Ground::Attestation), ("agreement", Ground::Agreement)];
                self.one_of("`attestation` or `agreement`", &grounds)
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Request,
    Team,
    Context,
    Purpose(Purpose),
}
