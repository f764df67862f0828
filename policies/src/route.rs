//! A route as its author wrote it: whom it is for, what it requires, what it prefers, who may serve.
//!
//! Checked for shape by `parse`, not yet bound to a catalog or to deployments; `compile` does that.

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use catalog::{Owed, Tier};

use crate::{
    Attempts, Capabilities, Capability, ConditionError, Facts, Group, Needs, Queue, Reuse,
    condition::{Condition, Fact, TextFact, Uses},
    quality::QualityBy,
    read::Spanned,
    split::By,
    suffix::Suffixes,
    window::Window,
};

/// One route of a file.
#[derive(Clone, Debug)]
pub(crate) struct RouteText {
    /// The index of its file among the sources.
    pub(crate) source: usize,
    pub(crate) name: Spanned<String>,
    pub(crate) when: When,
    /// Where the parts of `match` stand that are looked up or contradict one another.
    pub(crate) places: Places,
    pub(crate) require: Require,
    /// What a request is sent without to a candidate that lacks it.
    pub(crate) leave_out: Capabilities,
    /// Absent: the order of `candidates` decides.
    pub(crate) prefer: Option<Prefer>,
    pub(crate) quality_by: Option<QualityBy>,
    pub(crate) candidates: Vec<Spanned<Selector>>,
    pub(crate) split: Option<SplitText>,
    pub(crate) shadow: Option<ShadowText>,
    pub(crate) on_none: OnNone,
    pub(crate) reuse: Option<Reuse>,
    /// Without its groups, which [`RouteText::groups`] are not bound to deployments yet.
    pub(crate) attempts: Attempts,
    pub(crate) groups: Vec<GroupText>,
    pub(crate) suffixes: Option<Suffixes>,
}

impl RouteText {
    /// Every list of deployments that the route asks, in no order that matters: its candidates, those of
    /// the arms of its split, whom it mirrors requests to, and whom it degrades to.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &[Spanned<Selector>]> {
        let arms = self.split.iter().flat_map(|split| &split.arms).map(|arm| &arm.candidates[..]);
        let shadow = self.shadow.iter().map(|shadow| &shadow.candidates[..]);
        std::iter::once(&self.candidates[..]).chain(arms).chain(shadow).chain([self.on_none.degrade_to()])
    }
}

/// What becomes of a request that no candidate may serve.
#[derive(Clone, Debug, Default)]
pub(crate) enum OnNone {
    #[default]
    Refuse,
    /// These are asked instead.
    DegradeTo(Vec<Spanned<Selector>>),
    /// It waits for one that is not available now.
    Queue(Queue),
}

impl OnNone {
    /// Who is asked instead; nobody unless the route degrades.
    pub(crate) fn degrade_to(&self) -> &[Spanned<Selector>] {
        match self {
            Self::DegradeTo(selectors) => selectors,
            Self::Refuse | Self::Queue(_) => &[],
        }
    }
}

/// `split`: some requests ask other candidates first.
#[derive(Clone, Debug)]
pub(crate) struct SplitText {
    pub(crate) by: By,
    pub(crate) arms: Vec<ArmText>,
}

/// A share of a split.
#[derive(Clone, Debug)]
pub(crate) struct ArmText {
    pub(crate) name: Spanned<String>,
    pub(crate) weight: u32,
    /// Asked before the candidates of the route; none for an arm that leaves the route as it is.
    pub(crate) candidates: Vec<Spanned<Selector>>,
}

/// `shadow`: a share of the requests is sent elsewhere too, and that answer thrown away.
#[derive(Clone, Debug)]
pub(crate) struct ShadowText {
    /// 0 to 1.
    pub(crate) share: f64,
    pub(crate) candidates: Vec<Spanned<Selector>>,
}

/// An entry of `attempts.groups`.
#[derive(Clone, Debug)]
pub(crate) struct GroupText {
    pub(crate) candidates: Vec<Spanned<Selector>>,
    pub(crate) group: Group,
}

/// Names of `match` with their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) teams: Vec<Spanned<String>>,
    pub(crate) contexts: Vec<Spanned<String>>,
    pub(crate) keys: Vec<Spanned<String>>,
    pub(crate) headers: Vec<Spanned<String>>,
    pub(crate) metadata: Vec<Spanned<String>>,
}

impl Places {
    /// Notes the names that an expression reads or compares with; `place` says where a part of it stands.
    pub(crate) fn add(&mut self, uses: &Uses, place: impl Fn(&Range<usize>) -> Range<usize>) {
        for (fact, compared) in &uses.facts {
            let texts = || compared.texts.iter().map(|text| Spanned { value: text.value.clone(), at: place(&text.at) });
            let named = |name: &String| compared.at.first().map(|at| Spanned { value: name.clone(), at: place(at) });
            match fact {
                Fact::Text(TextFact::Team) => self.teams.extend(texts()),
                Fact::Text(TextFact::Context) => self.contexts.extend(texts()),
                Fact::Text(TextFact::Key) => self.keys.extend(texts()),
                Fact::Text(TextFact::Header(name)) => self.headers.extend(named(name)),
                Fact::Text(TextFact::Metadata(name)) => self.metadata.extend(named(name)),
                _ => {}
            }
        }
    }
}

/// The word of `match.language` for a request whose language could not be told.
pub(crate) const UNKNOWN: &str = "unknown";

/// The scripts that a request can be told to be in, by their Unicode names in lower case; `kana` stands for hiragana,
/// katakana and the Han characters among them.
pub const SCRIPTS: [&str; 24] = [
    "latin",
    "greek",
    "cyrillic",
    "armenian",
    "hebrew",
    "arabic",
    "devanagari",
    "bengali",
    "gurmukhi",
    "gujarati",
    "tamil",
    "telugu",
    "kannada",
    "malayalam",
    "sinhala",
    "thai",
    "lao",
    "myanmar",
    "georgian",
    "hangul",
    "ethiopic",
    "khmer",
    "kana",
    "han",
];

/// What a request must be for a route to take it; an absent part takes every request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct When {
    pub(crate) team: Option<Vec<String>>,
    pub(crate) key: Option<Vec<String>>,
    pub(crate) context: Option<Vec<String>>,
    /// `unknown` among them stands for a request whose language could not be told.
    pub(crate) language: Option<Vec<String>>,
    /// `unknown` among them stands for a request without letters.
    pub(crate) script: Option<Vec<String>>,
    pub(crate) model: Option<Vec<String>>,
    /// The request holds one of these.
    pub(crate) modality: Option<Held>,
    /// The request needs all of these.
    pub(crate) needs: Capabilities,
    pub(crate) prompt_tokens: Option<RangeInclusive<u64>>,
    pub(crate) stream: Option<bool>,
    pub(crate) time: Option<Window>,
    pub(crate) header: Vec<Tag>,
    pub(crate) metadata: Vec<Tag>,
    /// `when`: an expression that has to hold.
    pub(crate) condition: Option<Arc<Condition>>,
}

/// A named value of the request, and the values that are taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// Kinds of content, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held(u8);

impl Held {
    /// The words of the language: `text` is a request of nothing but text.
    pub(crate) const WORDS: [(&str, Held); 3] = [("text", Held(1)), ("image", Held(2)), ("audio", Held(4))];

    pub(crate) fn of(needs: Needs) -> Self {
        match (u8::from(needs.image) * 2) | (u8::from(needs.audio) * 4) {
            0 => Self(1),
            other => Self(other),
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

impl When {
    /// Whether the request fits everything but `model` and `team`, by which routes are found. An expression that is an error
    /// for it does not fit.
    pub(crate) fn takes(&self, facts: &Facts, needs: Capabilities) -> bool {
        self.fits(facts, needs) && self.holds(facts) == Ok(true)
    }

    /// Whether its expression holds.
    pub(crate) fn holds(&self, facts: &Facts) -> Result<bool, ConditionError> {
        self.condition.as_ref().map_or(Ok(true), |condition| condition.holds(facts))
    }

    /// Whether the request fits everything but `model`, `team` and the expression. What costs most is asked last.
    pub(crate) fn fits(&self, facts: &Facts, needs: Capabilities) -> bool {
        let among = |names: &Option<Vec<String>>, name: Option<&str>| match (names, name) {
            (None, _) => true,
            (Some(names), Some(name)) => names.iter().any(|known| known == name),
            (Some(_), None) => false,
        };
        let has = |tags: &[Tag], values: &[(String, String)]| {
            tags.iter().all(|tag| values.iter().any(|(name, value)| *name == tag.name && tag.values.contains(value)))
        };
        among(&self.language, facts.language.as_deref().or(Some(UNKNOWN)))
            && among(&self.script, facts.script.as_deref().or(Some(UNKNOWN)))
            && among(&self.context, facts.context.as_deref())
            && among(&self.key, facts.key.as_deref())
            && needs.covers(self.needs)
            && self.modality.is_none_or(|held| held.meets(Held::of(facts.needs)))
            && self.prompt_tokens.as_ref().is_none_or(|range| range.contains(&facts.prompt_tokens))
            && self.stream.is_none_or(|stream| stream == facts.stream)
            && has(&self.header, &facts.headers)
            && has(&self.metadata, &facts.metadata)
            && self.time.as_ref().is_none_or(|window| facts.now.is_some_and(|now| window.holds(now)))
    }

    /// Whether every request that `other` takes is taken by this one too.
    pub(crate) fn takes_all_of(&self, other: &When) -> bool {
        fn superset(these: &Option<Vec<String>>, those: &Option<Vec<String>>) -> bool {
            match (these, those) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(these), Some(those)) => those.iter().all(|name| these.contains(name)),
            }
        }
        /// Each name that is asked for here is asked for there, with no other value.
        fn wider(these: &[Tag], those: &[Tag]) -> bool {
            these.iter().all(|this| {
                let same = those.iter().find(|that| that.name == this.name);
                same.is_some_and(|that| that.values.iter().all(|value| this.values.contains(value)))
            })
        }
        let everything = 0..=u64::MAX;
        let ours = self.prompt_tokens.as_ref().unwrap_or(&everything);
        let theirs = other.prompt_tokens.as_ref().unwrap_or(&everything);
        superset(&self.team, &other.team)
            && superset(&self.key, &other.key)
            && superset(&self.context, &other.context)
            && superset(&self.language, &other.language)
            && superset(&self.script, &other.script)
            && superset(&self.model, &other.model)
            && other.needs.covers(self.needs)
            && self.modality.is_none_or(|ours| other.modality.is_some_and(|theirs| ours.covers(theirs)))
            && ours.start() <= theirs.start()
            && ours.end() >= theirs.end()
            && (self.stream.is_none() || self.stream == other.stream)
            && wider(&self.header, &other.header)
            && wider(&self.metadata, &other.metadata)
            && (self.condition.is_none() || self.condition == other.condition)
            && self.time.as_ref().is_none_or(|ours| other.time.as_ref().is_some_and(|theirs| ours.covers(theirs)))
    }

    /// Whether no request fits it: it needs an image or sound of a request of nothing but text.
    pub(crate) fn contradicts_itself(&self) -> bool {
        let needed = [(Capability::Image, 2), (Capability::Audio, 4)];
        let text_alone = self.modality.is_some_and(|held| !held.meets(Held(2 | 4)));
        text_alone && needed.iter().any(|(capability, _)| self.needs.contains(*capability))
    }

    /// Whether its expression reads a fact.
    pub(crate) fn reads(&self, fact: &Fact) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.uses().reads(fact))
    }

    /// The lists of it, by the key that they stand under.
    pub(crate) fn lists(&self) -> [(&'static str, &Option<Vec<String>>); 6] {
        [
            ("model", &self.model),
            ("team", &self.team),
            ("language", &self.language),
            ("context", &self.context),
            ("key", &self.key),
            ("script", &self.script),
        ]
    }

    /// The same with one value alone in the list under `key`.
    pub(crate) fn only(&self, key: &str, value: &str) -> When {
        let mut when = self.clone();
        let list = match key {
            "model" => &mut when.model,
            "team" => &mut when.team,
            "language" => &mut when.language,
            "context" => &mut when.context,
            "key" => &mut when.key,
            _ => &mut when.script,
        };
        *list = Some(vec![value.to_owned()]);
        when
    }
}

/// What a candidate must be. What is not known of a deployment does not meet a requirement, but for the two that are
/// measured while it serves: see [`Limits`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Require {
    pub(crate) max_tier: Option<Spanned<Tier>>,
    pub(crate) allow_licenses: Option<Vec<Spanned<String>>>,
    pub(crate) deny_licenses: Vec<Spanned<String>>,
    pub(crate) min_context_tokens: Option<u64>,
    /// Whether `min_context_tokens` is about what was measured to be of use, and not about what the vendor states.
    pub(crate) effective: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) region: Option<Vec<String>>,
    pub(crate) retention: Option<Vec<String>>,
    pub(crate) training_use: Option<Vec<String>>,
    pub(crate) openness: Option<Vec<&'static str>>,
    pub(crate) hardware: Option<Vec<Spanned<String>>>,
    pub(crate) local: Option<Spanned<bool>>,
    pub(crate) min_bits: Option<f64>,
    pub(crate) max_input_usd: Option<f64>,
    pub(crate) max_output_usd: Option<f64>,
    /// The least score by benchmark.
    pub(crate) benchmarks: Vec<(Spanned<String>, Spanned<f64>)>,
    pub(crate) limits: Limits,
}

impl Require {
    /// Whether any of it is asked of models as such, wherever they are deployed.
    pub(crate) fn asks_of_models(&self) -> bool {
        let licenses = self.max_tier.is_some() || self.allow_licenses.is_some() || !self.deny_licenses.is_empty();
        licenses || self.openness.is_some() || !self.benchmarks.is_empty()
    }
}

/// What a candidate must be at the moment of a request: asked of each plan, where all else is asked once.
///
/// A time that was not measured yet passes: a deployment that gets no request is never measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// Milliseconds.
    pub(crate) max_ttft_ms: Option<f32>,
    /// Milliseconds.
    pub(crate) max_tpot_ms: Option<f32>,
    /// The share of recent attempts that failed.
    pub(crate) max_error_rate: Option<f32>,
    /// The kinds of duties that a licence decision may ask for.
    pub(crate) obligations: Option<Owed>,
}

/// How much each factor of the score counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Prefer {
    pub(crate) quality: f32,
    pub(crate) cost: f32,
    pub(crate) latency: f32,
    pub(crate) throughput: f32,
    pub(crate) cached_prefix: f32,
    pub(crate) locality: f32,
    pub(crate) spread: f32,
    /// The column of the table that quality is read from, in place of the estimate.
    pub(crate) quality_by: Option<u16>,
}

impl Prefer {
    /// Orders the deployments of one candidate where a route has no `prefer`.
    pub(crate) const EVEN: Prefer = Prefer {
        quality: 1.0,
        cost: 1.0,
        latency: 1.0,
        throughput: 0.0,
        cached_prefix: 1.0,
        locality: 0.0,
        spread: 0.0,
        quality_by: None,
    };
}

/// An entry of `candidates`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// A catalog model or a deployment, by id.
    Name(String),
    /// `host:ID`: every deployment at a host.
    Host(String),
    /// `family:ID`: every deployment of a model family.
    Family(String),
    /// `preset:ID`: the models of a row of the selection matrix, in its order.
    Preset(String),
    /// `any`: every deployment that the list does not reach otherwise.
    Any,
}

impl Selector {
    /// Reads an entry; every text is one.
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            _ if text == "any" => Self::Any,
            Some(("host", id)) => Self::Host(id.to_owned()),
            Some(("family", id)) => Self::Family(id.to_owned()),
            Some(("preset", id)) => Self::Preset(id.to_owned()),
            _ => Self::Name(text.to_owned()),
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(id) => f.write_str(id),
            Self::Host(id) => write!(f, "host:{id}"),
            Self::Family(id) => write!(f, "family:{id}"),
            Self::Preset(id) => write!(f, "preset:{id}"),
            Self::Any => f.write_str("any"),
        }
    }
}
