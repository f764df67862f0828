//! The facts of a request that an expression can read: their names, types and words, and how each is read.
//!
//! The one table of them is [`FIELDS`]; headers and entries of `metadata` have the names that a configuration declares.

use std::fmt;

use catalog::{Activity, Domain, Exposure, Purpose};

use crate::{
    Capability, Facts,
    route::{SCRIPTS, UNKNOWN},
};

/// Something that an expression can read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// A string.
    Text(TextFact),
    /// A whole number.
    Number(NumberFact),
    /// A list of strings.
    List(ListFact),
    /// `request.stream`: whether the answer is to be streamed.
    Stream,
}

/// A fact that is a string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextFact {
    /// `request.model`: the model as the request asked for it.
    Model,
    /// `request.team`.
    Team,
    /// `request.key`: the public id of the key.
    Key,
    /// `request.context`.
    Context,
    /// `request.language`; `unknown` where it could not be told.
    Language,
    /// `request.script`; `unknown` where there are no letters.
    Script,
    /// `request.use.purpose`.
    Purpose,
    /// `request.use.exposure`.
    Exposure,
    /// `request.use.activity`.
    Activity,
    /// `request.use.seat`.
    Seat,
    /// `request.use.entity`.
    Entity,
    /// `request.headers`: one of this name, in lower case.
    Header(String),
    /// `request.metadata`: an entry of this name.
    Metadata(String),
}

/// A fact that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberFact {
    /// `request.prompt_tokens`: an estimate.
    PromptTokens,
    /// `request.max_tokens`: the most tokens that the caller wants back.
    MaxTokens,
}

/// A fact that is a list of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListFact {
    /// `request.needs`: words of [`Capability`].
    Needs,
    /// `request.use.domains`.
    Domains,
    /// `request.use.end_users`: countries.
    EndUsers,
}

/// Every fact with a name of its own.
pub(super) const FIELDS: [(&str, Fact); 17] = [
    ("request.model", Fact::Text(TextFact::Model)),
    ("request.team", Fact::Text(TextFact::Team)),
    ("request.key", Fact::Text(TextFact::Key)),
    ("request.context", Fact::Text(TextFact::Context)),
    ("request.language", Fact::Text(TextFact::Language)),
    ("request.script", Fact::Text(TextFact::Script)),
    ("request.prompt_tokens", Fact::Number(NumberFact::PromptTokens)),
    ("request.max_tokens", Fact::Number(NumberFact::MaxTokens)),
    ("request.stream", Fact::Stream),
    ("request.needs", Fact::List(ListFact::Needs)),
    ("request.use.purpose", Fact::Text(TextFact::Purpose)),
    ("request.use.exposure", Fact::Text(TextFact::Exposure)),
    ("request.use.activity", Fact::Text(TextFact::Activity)),
    ("request.use.seat", Fact::Text(TextFact::Seat)),
    ("request.use.entity", Fact::Text(TextFact::Entity)),
    ("request.use.domains", Fact::List(ListFact::Domains)),
    ("request.use.end_users", Fact::List(ListFact::EndUsers)),
];

/// What holds named strings of which each may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    Headers,
    Metadata,
}

impl Tags {
    pub(super) const ALL: [(&'static str, Tags); 2] =
        [("request.headers", Tags::Headers), ("request.metadata", Tags::Metadata)];

    /// The fact of this name; names of headers are compared without case.
    pub(super) fn named(self, name: &str) -> Fact {
        Fact::Text(match self {
            Self::Headers => TextFact::Header(name.to_ascii_lowercase()),
            Self::Metadata => TextFact::Metadata(name.to_owned()),
        })
    }
}

impl Fact {
    /// Whether a request may have none, so that reading it may be an error.
    pub fn may_be_absent(&self) -> bool {
        use TextFact::*;
        match self {
            Self::Text(Team | Key | Context | Seat | Entity | Header(_) | Metadata(_)) => true,
            Self::Text(Model | Language | Script | Purpose | Exposure | Activity) => false,
            Self::Number(number) => *number == NumberFact::MaxTokens,
            Self::List(_) | Self::Stream => false,
        }
    }

    /// Whether the request has it.
    pub(super) fn is_there(&self, facts: &Facts) -> bool {
        match self {
            Self::Text(text) => text.read(facts).is_some(),
            Self::Number(number) => number.read(facts).is_some(),
            Self::List(_) | Self::Stream => true,
        }
    }

    /// Every word that it, or an item of it, can be; `None` where any text can be.
    pub(super) fn words(&self) -> Option<Vec<&'static str>> {
        Some(match self {
            Self::Text(TextFact::Script) => SCRIPTS.into_iter().chain([UNKNOWN]).collect(),
            Self::Text(TextFact::Purpose) => Purpose::ALL.map(Purpose::name).to_vec(),
            Self::Text(TextFact::Exposure) => Exposure::ALL.map(Exposure::name).to_vec(),
            Self::Text(TextFact::Activity) => Activity::ALL.map(Activity::name).to_vec(),
            Self::List(ListFact::Needs) => Capability::ALL.map(Capability::as_str).to_vec(),
            Self::List(ListFact::Domains) => Domain::ALL.map(Domain::name).to_vec(),
            _ => return None,
        })
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(TextFact::Header(name)) => write!(f, "request.headers[{name:?}]"),
            Self::Text(TextFact::Metadata(name)) => write!(f, "request.metadata[{name:?}]"),
            named => {
                let path = FIELDS.iter().find(|(_, fact)| fact == named).map_or("", |(path, _)| path);
                f.write_str(path)
            }
        }
    }
}

impl TextFact {
    /// Its value; `None` where the request has none.
    pub(super) fn read<'f>(&self, facts: &'f Facts) -> Option<&'f str> {
        let tag = |tags: &'f [(String, String)], name: &str| {
            tags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        match self {
            Self::Model => Some(&facts.model_asked),
            Self::Team => facts.team.as_deref(),
            Self::Key => facts.key.as_deref(),
            Self::Context => facts.context.as_deref(),
            Self::Language => Some(facts.language.as_deref().unwrap_or(UNKNOWN)),
            Self::Script => Some(facts.script.as_deref().unwrap_or(UNKNOWN)),
            Self::Purpose => Some(facts.use_.purpose.name()),
            Self::Exposure => Some(facts.use_.exposure.name()),
            Self::Activity => Some(facts.use_.activity.name()),
            Self::Seat => facts.use_.seat.as_deref(),
            Self::Entity => facts.use_.entity.as_deref(),
            Self::Header(name) => tag(&facts.headers, name),
            Self::Metadata(name) => tag(&facts.metadata, name),
        }
    }
}

impl NumberFact {
    /// Its value, at most `i64::MAX`; `None` where the request has none.
    pub(super) fn read(self, facts: &Facts) -> Option<i64> {
        let number = match self {
            Self::PromptTokens => Some(facts.prompt_tokens),
            Self::MaxTokens => facts.max_tokens,
        };
        number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl ListFact {
    /// How many items it has.
    pub(super) fn size(self, facts: &Facts) -> usize {
        match self {
            Self::Needs => facts.needs.capabilities().iter().count(),
            Self::Domains => facts.use_.domains.len(),
            Self::EndUsers => facts.use_.end_users.len(),
        }
    }

    /// Gives its items to `visit` until that answers something.
    pub(super) fn find<'f, T>(self, facts: &'f Facts, mut visit: impl FnMut(&'f str) -> Option<T>) -> Option<T> {
        match self {
            Self::Needs => facts.needs.capabilities().iter().find_map(|capability| visit(capability.as_str())),
            Self::Domains => facts.use_.domains.iter().find_map(|domain| visit(domain.name())),
            Self::EndUsers => facts.use_.end_users.iter().find_map(|country| visit(country)),
        }
    }
}
