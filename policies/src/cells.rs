//! Every kind of request that the routes tell apart, each by one example: what `diff`, `prove` and `test` look through.
//!
//! A cell is a caller (a team in a context), a model name, a language, and what else a route can match by: needs, prompt
//! size, streaming, key, script, moment, headers, metadata. Each has the values that some route names, and one that none
//! does; and the arms of splits. Moments are those of one week at which another set of time windows holds. Needs are those that routes match, in every combination;
//! a prompt has the smallest size of its class. So a cell's plan holds everybody whom a request of its kind can reach: one
//! that needs more, or whose prompt is longer, reaches the same or fewer on the same route.
//!
//! Languages also differ by how well the served models speak them, where a route ranks by that. A model that is neither
//! named by a route nor deployed counts as unknown. Health and load are not looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use catalog::{Date, Exposure, Purpose, Use};
use serde::Serialize;

use crate::{
    Capabilities, Capability, Facts, Needs, PolicySet, Snapshot,
    condition::{Compared, Fact, ListFact, NumberFact, TextFact},
    route::{UNKNOWN, When},
    window::{self, Window},
};

/// The most cells that are looked through.
pub const MAX_CELLS: usize = 500_000;

/// A model name that nobody knows.
const OTHER_MODEL: &str = "some-other-model";
/// A language that no route and no model names: ISO 639-3 for "undetermined".
const OTHER_LANGUAGE: &str = "und";
/// The prompt size of an example that need not be another.
const USUAL_PROMPT: u64 = 100;

/// Somebody who may ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The team.
    pub team: Option<String>,
    /// The context.
    pub context: Option<String>,
    /// What the context stands for.
    pub use_: Arc<Use>,
}

/// What is looked at; an absent part is every value.
#[derive(Clone, Debug, Default)]
pub struct Only {
    /// Requests of this team.
    pub team: Option<String>,
    /// Requests in this context.
    pub context: Option<String>,
    /// Requests for this model.
    pub model: Option<String>,
}

/// There are more cells than are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyCells {
    /// How many there are.
    pub cells: usize,
}

impl fmt::Display for TooManyCells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the routes tell {} kinds of request apart, or more; at most {MAX_CELLS} are looked through: \
             look at one team, context or model at a time",
            self.cells
        )
    }
}

impl std::error::Error for TooManyCells {}

/// One kind of request.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The number of its caller among those that the cells were made with.
    pub caller: usize,
    /// An example.
    pub facts: Facts,
}

/// Every kind of request.
#[derive(Debug)]
pub struct Cells {
    callers: Vec<(usize, Caller)>,
    models: Vec<String>,
    /// For models whose routes ask after the language.
    languages: Vec<Option<String>>,
    /// By caller and model, in this order: whether some route asks after the language.
    asks_language: Vec<bool>,
    /// Likewise: the arms of splits that such a request can be on; `None` alone where no route splits it.
    arms: Vec<Vec<Option<String>>>,
    /// Every combination of what else is told apart.
    asked: Vec<Asked>,
    today: Date,
}

/// What a request asks for and comes with.
#[derive(Clone, Debug, Default)]
struct Asked {
    needs: Needs,
    prompt_tokens: u64,
    max_tokens: Option<u64>,
    stream: bool,
    key: Option<String>,
    script: Option<String>,
    now: Option<i64>,
    headers: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
}

/// The values of each attribute of a request that some route names.
#[derive(Debug, Default)]
struct ToldApart {
    teams: BTreeSet<String>,
    contexts: BTreeSet<String>,
    models: BTreeSet<String>,
    languages: BTreeSet<String>,
    needs: Capabilities,
    /// Where a class of prompt sizes begins.
    prompt_tokens: BTreeSet<u64>,
    max_tokens: BTreeSet<u64>,
    stream: bool,
    keys: BTreeSet<String>,
    scripts: BTreeSet<String>,
    windows: Vec<Window>,
    headers: BTreeMap<String, BTreeSet<String>>,
    metadata: BTreeMap<String, BTreeSet<String>>,
}

impl ToldApart {
    /// One place for all keys of `match`: a key that is added there does not compile until it is added here.
    fn add(&mut self, when: &When) {
        let When {
            team,
            key,
            context,
            language,
            script,
            model,
            modality,
            needs,
            prompt_tokens,
            stream,
            time,
            header,
            metadata,
            condition,
        } = when;
        let names = [
            (&mut self.teams, team),
            (&mut self.keys, key),
            (&mut self.scripts, script),
            (&mut self.contexts, context),
            (&mut self.languages, language),
            (&mut self.models, model),
        ];
        for (set, names) in names {
            set.extend(names.iter().flatten().cloned());
        }
        // What could not be told is a value of every language and script anyway.
        self.languages.remove(UNKNOWN);
        self.scripts.remove(UNKNOWN);
        for (told, tags) in [(&mut self.headers, header), (&mut self.metadata, metadata)] {
            for tag in tags {
                told.entry(tag.name.clone()).or_default().extend(tag.values.iter().cloned());
            }
        }
        if let Some(window) = time.as_ref().filter(|window| !self.windows.contains(window)) {
            self.windows.push(window.clone());
        }
        if modality.is_some() {
            self.needs.insert(Capability::Image);
            self.needs.insert(Capability::Audio);
        }
        needs.iter().for_each(|need| self.needs.insert(need));
        if let Some(range) = prompt_tokens {
            self.prompt_tokens.insert(*range.start());
            self.prompt_tokens.extend(range.end().checked_add(1));
        }
        self.stream |= stream.is_some();
        for (fact, compared) in condition.iter().flat_map(|condition| &condition.uses().facts) {
            self.add_compared(fact, compared);
        }
    }

    /// What an expression compares a fact with.
    fn add_compared(&mut self, fact: &Fact, compared: &Compared) {
        let texts = || compared.texts.iter().map(|quoted| quoted.value.clone()).filter(|value| value != UNKNOWN);
        // On both sides of a number, and on it.
        let numbers = || {
            let sides = |n: &i64| [n.saturating_sub(1), *n, n.saturating_add(1)];
            compared.numbers.iter().flat_map(sides).filter_map(|n| u64::try_from(n).ok())
        };
        match fact {
            Fact::Text(TextFact::Model) => self.models.extend(texts()),
            Fact::Text(TextFact::Team) => self.teams.extend(texts()),
            Fact::Text(TextFact::Key) => self.keys.extend(texts()),
            Fact::Text(TextFact::Context) => self.contexts.extend(texts()),
            Fact::Text(TextFact::Language) => self.languages.extend(texts()),
            Fact::Text(TextFact::Script) => self.scripts.extend(texts()),
            Fact::Text(TextFact::Header(name)) => self.headers.entry(name.clone()).or_default().extend(texts()),
            Fact::Text(TextFact::Metadata(name)) => self.metadata.entry(name.clone()).or_default().extend(texts()),
            Fact::Number(NumberFact::PromptTokens) => self.prompt_tokens.extend(numbers()),
            Fact::Number(NumberFact::MaxTokens) => self.max_tokens.extend(numbers()),
            Fact::List(ListFact::Needs) => {
                let named = texts().filter_map(|word| Capability::named(&word));
                named.for_each(|need| self.needs.insert(need));
            }
            Fact::Stream => self.stream = true,
            // Callers are given with their uses.
            Fact::Text(
                TextFact::Purpose | TextFact::Exposure | TextFact::Activity | TextFact::Seat | TextFact::Entity,
            )
            | Fact::List(ListFact::Domains | ListFact::EndUsers) => {}
        }
    }

    /// Every combination of what is told apart beside caller, model and language; `None` where there are too many.
    fn asked(&self, snapshots: &[&Snapshot<'_>], today: Date) -> Option<Vec<Asked>> {
        let none_or = |names: &BTreeSet<String>| std::iter::once(None).chain(names.iter().cloned().map(Some)).collect();
        let mut all = vec![Asked::default()];
        each(&mut all, &combinations(self.needs), |asked, needs| asked.needs = Needs::from(*needs))?;
        each(&mut all, &smallest(self.prompt_tokens.clone(), snapshots), |asked, tokens| {
            asked.prompt_tokens = *tokens
        })?;
        let most: Vec<Option<u64>> = std::iter::once(None).chain(self.max_tokens.iter().copied().map(Some)).collect();
        each(&mut all, &most, |asked, most| asked.max_tokens = *most)?;
        each(&mut all, if self.stream { &[false, true] } else { &[false] }, |asked, stream| asked.stream = *stream)?;
        let keys: Vec<Option<String>> = none_or(&self.keys);
        each(&mut all, &keys, |asked, key| asked.key.clone_from(key))?;
        let scripts: Vec<Option<String>> = none_or(&self.scripts);
        each(&mut all, &scripts, |asked, script| asked.script.clone_from(script))?;
        each(&mut all, &moments(&self.windows, today), |asked, now| asked.now = *now)?;
        for (name, values) in &self.headers {
            let values: Vec<Option<String>> = none_or(values);
            each(&mut all, &values, |asked, value| {
                asked.headers.extend(value.clone().map(|value| (name.clone(), value)))
            })?;
        }
        for (name, values) in &self.metadata {
            let values: Vec<Option<String>> = none_or(values);
            each(&mut all, &values, |asked, value| {
                asked.metadata.extend(value.clone().map(|value| (name.clone(), value)))
            })?;
        }
        Some(all)
    }

    fn of<'p>(policies: impl IntoIterator<Item = &'p PolicySet>) -> Self {
        let mut told = Self::default();
        policies.into_iter().flat_map(|set| &set.routes).for_each(|route| told.add(&route.when));
        told
    }
}

impl Cells {
    /// The cells that the routes of any of `snapshots` tell apart, for these callers on the day `today`.
    ///
    /// # Errors
    /// More than [`MAX_CELLS`].
    pub fn new(
        snapshots: &[&Snapshot<'_>],
        callers: &[Caller],
        today: Date,
        only: &Only,
    ) -> Result<Self, TooManyCells> {
        let told = ToldApart::of(snapshots.iter().map(|snapshot| snapshot.policies));
        let wanted = |only: &Option<String>, name: &Option<String>| only.is_none() || only == name;
        let callers: Vec<(usize, Caller)> = callers
            .iter()
            .enumerate()
            .filter(|(_, caller)| wanted(&only.team, &caller.team) && wanted(&only.context, &caller.context))
            .map(|(at, caller)| (at, caller.clone()))
            .collect();
        let models: Vec<String> = match &only.model {
            Some(model) => vec![model.clone()],
            None => {
                let deployments = snapshots.iter().flat_map(|snapshot| snapshot.policies.direct.keys().cloned());
                // Aliases are among the virtual models.
                let others =
                    snapshots.iter().flat_map(|snapshot| snapshot.policies.virtual_models()).map(str::to_owned);
                let mut names: BTreeSet<String> =
                    told.models.iter().cloned().chain(deployments).chain(others).collect();
                names.insert(OTHER_MODEL.to_owned());
                names.into_iter().collect()
            }
        };
        let rows = callers.len().saturating_mul(models.len());
        if rows > MAX_CELLS {
            return Err(TooManyCells { cells: rows });
        }
        let asks_language = callers.iter().flat_map(|(_, caller)| {
            models.iter().map(|model| {
                let team = caller.team.as_deref();
                snapshots.iter().any(|s| s.policies.asks_language(s.catalog, model, team))
            })
        });
        let asks_language: Vec<bool> = asks_language.collect();
        let arms = callers.iter().flat_map(|(_, caller)| {
            models.iter().map(|model| {
                let of = |snapshot: &&Snapshot<'_>| {
                    let arms = snapshot.policies.arms(snapshot.catalog, model, caller.team.as_deref());
                    arms.map(|arm| Some(arm.to_owned())).collect::<Vec<_>>()
                };
                let arms: BTreeSet<Option<String>> = snapshots.iter().flat_map(of).collect();
                if arms.is_empty() { vec![None] } else { arms.into_iter().collect() }
            })
        });
        let arms: Vec<Vec<Option<String>>> = arms.collect();
        let mut languages = told.languages.clone();
        for snapshot in snapshots.iter().filter(|s| s.policies.routes.iter().any(|route| route.ranks_by_language)) {
            languages.extend(snapshot.policies.table.languages_told_apart().into_iter().map(str::to_owned));
        }
        languages.insert(OTHER_LANGUAGE.to_owned());
        let cells = Self {
            languages: std::iter::once(None).chain(languages.into_iter().map(Some)).collect(),
            asks_language,
            arms,
            asked: told.asked(snapshots, today).ok_or(TooManyCells { cells: usize::MAX })?,
            callers,
            models,
            today,
        };
        match cells.len() {
            cells if cells > MAX_CELLS => Err(TooManyCells { cells }),
            _ => Ok(cells),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let languages = |asks: bool| if asks { self.languages.len() } else { 1 };
        let rows = self.asks_language.iter().zip(&self.arms);
        let rows = rows.fold(0, |sum: usize, (asks, arms)| sum.saturating_add(languages(*asks) * arms.len()));
        rows.saturating_mul(self.asked.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in an order that is always the same.
    pub fn iter(&self) -> impl Iterator<Item = Cell> {
        let rows = self.callers.iter().flat_map(|caller| self.models.iter().map(move |model| (caller, model)));
        rows.zip(&self.asks_language).zip(&self.arms).flat_map(move |((((at, caller), model), asks_language), arms)| {
            let languages = if *asks_language { &self.languages[..] } else { &self.languages[..1] };
            let kinds = languages.iter().flat_map(move |language| arms.iter().map(move |arm| (language, arm)));
            kinds.flat_map(move |(language, arm)| {
                self.asked.iter().cloned().map(move |asked| Cell {
                    caller: *at,
                    facts: Facts {
                        team: caller.team.clone(),
                        key: asked.key,
                        scope: None,
                        context: caller.context.clone(),
                        use_: Arc::clone(&caller.use_),
                        today: self.today,
                        now: asked.now,
                        model_asked: model.clone(),
                        language: language.clone(),
                        script: asked.script,
                        prompt_tokens: asked.prompt_tokens,
                        max_tokens: asked.max_tokens,
                        answer_tokens: None,
                        arm: arm.clone(),
                        draw: 0,
                        needs: asked.needs,
                        stream: asked.stream,
                        headers: asked.headers,
                        metadata: asked.metadata,
                    },
                })
            })
        })
    }
}

/// Who could ask where no configuration says who may: every team and context that a route names and one of each that none
/// does, for each of `uses`.
///
/// # Errors
/// More than [`MAX_CELLS`].
pub fn every_caller<'p>(
    policies: impl IntoIterator<Item = &'p PolicySet>,
    uses: &[Arc<Use>],
    only: &Only,
) -> Result<Vec<Caller>, TooManyCells> {
    let told = ToldApart::of(policies);
    let or_none = |names: BTreeSet<String>, only: &Option<String>| -> Vec<Option<String>> {
        let all = std::iter::once(None).chain(names.into_iter().map(Some));
        all.filter(|name| only.is_none() || name == only).collect()
    };
    let (teams, contexts) = (or_none(told.teams, &only.team), or_none(told.contexts, &only.context));
    let cells = teams.len().saturating_mul(contexts.len()).saturating_mul(uses.len());
    if cells > MAX_CELLS {
        return Err(TooManyCells { cells });
    }
    let callers = teams.iter().flat_map(|team| {
        contexts.iter().flat_map(move |context| {
            uses.iter().map(move |use_| Caller {
                team: team.clone(),
                context: context.clone(),
                use_: Use { context: context.clone(), ..(**use_).clone() }.into(),
            })
        })
    });
    Ok(callers.collect())
}

/// A use of each purpose by `entity`: a product that earns money faces the public, everything else stays inside.
pub fn every_use(entity: Option<&str>) -> Vec<Arc<Use>> {
    let use_ = |purpose| {
        let exposure = if purpose == Purpose::Revenue { Exposure::Public } else { Exposure::Internal };
        Use { entity: entity.map(str::to_owned), ..Use::new(purpose, exposure) }.into()
    };
    Purpose::ALL.map(use_).into()
}

/// Each of `all` with each of `values`; `None` where that would be more than are looked through.
fn each<T>(all: &mut Vec<Asked>, values: &[T], set: impl Fn(&mut Asked, &T)) -> Option<()> {
    if all.len().saturating_mul(values.len()) > MAX_CELLS {
        return None;
    }
    let with = |asked: &Asked, value: &T| {
        let mut asked = asked.clone();
        set(&mut asked, value);
        asked
    };
    *all = all.iter().flat_map(|asked| values.iter().map(|value| with(asked, value)).collect::<Vec<_>>()).collect();
    Some(())
}

/// A moment of the week from `today` on for each set of windows that holds at some time of it; none where nothing asks.
fn moments(windows: &[Window], today: Date) -> Vec<Option<i64>> {
    if windows.is_empty() {
        return vec![None];
    }
    let mut seen: BTreeSet<Vec<bool>> = BTreeSet::new();
    let edges = windows.iter().flat_map(|window| window.edges(today));
    let new = edges.filter(|now| seen.insert(windows.iter().map(|window| window.holds(*now)).collect()));
    new.map(Some).collect()
}

/// Every set of capabilities, the empty one first.
fn combinations(all: Capabilities) -> Vec<Capabilities> {
    let all: Vec<Capability> = all.iter().collect();
    let member = |set: u32| all.iter().enumerate().filter(move |(at, _)| set >> at & 1 == 1).map(|(_, c)| *c);
    (0..1_u32 << all.len()).map(|set| member(set).collect()).collect()
}

/// The smallest prompt of each class: a usual one where that is in the class and fits every window.
fn smallest(mut starts: BTreeSet<u64>, snapshots: &[&Snapshot<'_>]) -> Vec<u64> {
    let windows = snapshots.iter().flat_map(|s| &s.policies.table.rows).filter_map(|row| row.context_tokens);
    let usual = windows.min().map_or(USUAL_PROMPT, |least| USUAL_PROMPT.min(least.saturating_sub(1)));
    starts.remove(&0);
    let first = match starts.first() {
        Some(next) if *next <= usual => 0,
        _ => usual,
    };
    std::iter::once(first).chain(starts).collect()
}

/// A request in a few words: what is usual is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The model asked for.
    pub model: String,
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The purpose of the context.
    pub purpose: &'static str,
    /// The language, where some route asks after it and it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The script, where some route asks after it and it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The arm of the route's split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// The key, where some route asks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The moment, in seconds since 1970 in UTC, where some route asks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<i64>,
    /// Headers and entries of `metadata` that some route asks after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// The size of the prompt.
    pub prompt_tokens: u64,
    /// The most tokens of the answer, where some route asks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// What it needs beyond text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<&'static str>,
    /// Whether it is streamed.
    pub stream: bool,
}

impl From<&Facts> for Example {
    fn from(facts: &Facts) -> Self {
        Self {
            model: facts.model_asked.clone(),
            team: facts.team.clone(),
            context: facts.context.clone(),
            purpose: facts.use_.purpose.name(),
            language: facts.language.clone(),
            script: facts.script.clone(),
            arm: facts.arm.clone(),
            key: facts.key.clone(),
            now: facts.now,
            tags: facts.headers.iter().chain(&facts.metadata).cloned().collect(),
            prompt_tokens: facts.prompt_tokens,
            max_tokens: facts.max_tokens,
            needs: facts.needs.capabilities().iter().map(Capability::as_str).collect(),
            stream: facts.stream,
        }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {}", self.model.escape_debug())?;
        if let Some(team) = &self.team {
            write!(f, ", team {}", team.escape_debug())?;
        }
        match &self.context {
            Some(context) => write!(f, ", context {} ({})", context.escape_debug(), self.purpose)?,
            None => write!(f, ", {} use", self.purpose)?,
        }
        if let Some(language) = &self.language {
            write!(f, ", language {}", language.escape_debug())?;
        }
        if let Some(script) = &self.script {
            write!(f, ", script {script}")?;
        }
        if let Some(arm) = &self.arm {
            write!(f, ", on arm {arm}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key {}", key.escape_debug())?;
        }
        if let Some(now) = self.now {
            write!(f, ", at {}", window::shown(now))?;
        }
        for (name, value) in &self.tags {
            write!(f, ", {} {}", name.escape_debug(), value.escape_debug())?;
        }
        if self.prompt_tokens > USUAL_PROMPT {
            write!(f, ", {} prompt tokens", self.prompt_tokens)?;
        }
        if let Some(most) = self.max_tokens {
            write!(f, ", at most {most} answer tokens")?;
        }
        if !self.needs.is_empty() {
            write!(f, ", needs {}", self.needs.join(" and "))?;
        }
        if self.stream {
            f.write_str(", streamed")?;
        }
        Ok(())
    }
}
