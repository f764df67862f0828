//! `match`: what a request must be for a route to take it.

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use super::NEEDS;
use crate::{
    condition::Condition,
    diag::{Code, Severity},
    facts::MAX_VALUE,
    read::{Fields, Reader, Spanned},
    route::{Held, Places, SCRIPTS, Tag, UNKNOWN, When},
    window::{self, DAY, DAYS, Window},
    yaml::Node,
};

/// The keys of `match`.
pub(super) const KEYS: [&str; 14] = [
    "team",
    "key",
    "context",
    "language",
    "script",
    "model",
    "modality",
    "needs",
    "prompt_tokens",
    "stream",
    "time",
    "header",
    "metadata",
    "when",
];
/// The most values that a header or an entry of `metadata` is compared with.
const MAX_VALUES: usize = 1_000;

/// An expression, and where it begins in the file.
struct Written {
    condition: Arc<Condition>,
    /// `None` where it is not in the file as it reads: of several lines, or with escapes.
    begins: Option<usize>,
    whole: Range<usize>,
}

/// Where a part of an expression stands in the file; the whole of it where that is not known.
fn place(begins: Option<usize>, whole: &Range<usize>, part: &Range<usize>) -> Range<usize> {
    begins.map_or_else(|| whole.clone(), |begins| begins + part.start..begins + part.end)
}

impl Reader<'_> {
    pub(super) fn when(&mut self, node: &Node) -> (When, Places) {
        let Some(fields) = self.fields(node, "`match`", &KEYS) else { return Default::default() };
        let teams = fields.get("team").map(|n| self.texts(n, "a team"));
        let contexts = fields.get("context").map(|n| self.texts(n, "a context"));
        let keys = fields.get("key").map(|n| self.texts(n, "the id of a key"));
        let (header, headers) = self.tags(&fields, "header", "`match.header`");
        let (metadata, names) = self.tags(&fields, "metadata", "`match.metadata`");
        let condition = fields.get("when").and_then(|n| self.condition(n));
        let values = |texts: &Option<Vec<Spanned<String>>>| {
            texts.as_ref().map(|texts| texts.iter().map(|text| text.value.clone()).collect())
        };
        let when = When {
            team: values(&teams),
            key: values(&keys),
            context: values(&contexts),
            language: fields.get("language").map(|n| self.languages(n)),
            script: fields.get("script").map(|n| self.scripts(n)),
            model: self.names(&fields, "model", "a model name"),
            modality: fields.get("modality").and_then(|n| self.modality(n)),
            needs: fields.get("needs").map(|n| self.capabilities(n, &NEEDS)).unwrap_or_default(),
            prompt_tokens: fields.get("prompt_tokens").and_then(|n| self.token_range(n)),
            stream: fields.get("stream").and_then(|n| self.truth(n, "a truth value")),
            time: fields.get("time").and_then(|n| self.window(n)),
            header,
            metadata,
            condition: condition.as_ref().map(|written| Arc::clone(&written.condition)),
        };
        if when.contradicts_itself() {
            let message = "no request of nothing but text needs an image or sound";
            let hint = "`modality: text` stands for text alone; leave it or `needs` out";
            self.error_with_hint(Code::Contradiction, &node.at, message, "takes no request", hint);
        }
        let mut places = Places {
            teams: teams.unwrap_or_default(),
            contexts: contexts.unwrap_or_default(),
            keys: keys.unwrap_or_default(),
            headers,
            metadata: names,
        };
        if let Some(Written { condition, begins, whole }) = &condition {
            places.add(condition.uses(), |part| place(*begins, whole, part));
        }
        (when, places)
    }

    fn condition(&mut self, node: &Node) -> Option<Written> {
        let text = self.text(node, "an expression")?;
        let whole = node.at.clone();
        let begins = self.file.written(&whole).find(&text.value).map(|at| whole.start + at);
        let condition = Condition::compile(&text.value);
        let (problems, severity, code) = match &condition {
            Ok(condition) => (condition.warnings(), Severity::Warning, Code::UnguardedFact),
            Err(problems) => (&problems[..], Severity::Error, Code::BadCondition),
        };
        for problem in problems {
            let at = place(begins, &whole, &problem.at);
            let mut d = self.file.diagnose(severity, code, &at, problem.message.clone(), problem.label.clone());
            d.hint.clone_from(&problem.hint);
            self.problems.push(d);
        }
        // What it would have taken is not known; it is not to look as if it took everything.
        let condition = condition.or_else(|_| Condition::compile("false")).ok()?;
        Some(Written { condition: Arc::new(condition), begins, whole })
    }

    pub(super) fn names(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<Vec<String>> {
        fields.get(key).map(|node| self.texts(node, what).into_iter().map(|text| text.value).collect())
    }

    /// ISO 639 codes, in lower case, or `unknown`.
    fn languages(&mut self, node: &Node) -> Vec<String> {
        let texts = self.texts(node, "a language code");
        for text in &texts {
            self.language(text, true);
        }
        texts.into_iter().map(|text| text.value).collect()
    }

    /// Checks one language code; `unknown` is one where a request's language is meant.
    pub(crate) fn language(&mut self, text: &Spanned<String>, of_request: bool) {
        let Spanned { value, at } = text;
        let code = matches!(value.len(), 2 | 3) && value.bytes().all(|b| b.is_ascii_lowercase());
        let known = code || of_request && value == UNKNOWN;
        if !known {
            let or_unknown = if of_request { "; `unknown` is a language that could not be told" } else { "" };
            let hint = format!("use an ISO 639-1 code, for example `en`, `ko`, `ja` or `zh`{or_unknown}");
            let message = format!("`{value}` is not a language code");
            self.error_with_hint(Code::WrongValue, at, message, "expected two lower-case letters", hint);
        }
    }

    /// Names of scripts, or `unknown`.
    fn scripts(&mut self, node: &Node) -> Vec<String> {
        let words: Vec<(&str, &str)> = SCRIPTS.iter().chain([&UNKNOWN]).map(|name| (*name, *name)).collect();
        let items = self.items(node, "a script");
        items.into_iter().filter_map(|n| self.word(n, "a script", &words)).map(str::to_owned).collect()
    }

    fn modality(&mut self, node: &Node) -> Option<Held> {
        let items = self.items(node, "a modality");
        let held = items.into_iter().filter_map(|n| self.word(n, "a modality", &Held::WORDS));
        held.reduce(Held::and)
    }

    fn token_range(&mut self, node: &Node) -> Option<RangeInclusive<u64>> {
        let fields = self.fields(node, "`prompt_tokens`", &["min", "max"])?;
        let mut end = |key, or| match fields.get(key) {
            Some(node) => self.whole(node, "a number of tokens", 0..=u64::MAX),
            None => Some(or),
        };
        let (min, max) = (end("min", 0), end("max", u64::MAX));
        let (min, max) = (min?, max?);
        if min > max {
            let message = format!("no prompt has at least {min} and at most {max} tokens");
            self.error(Code::EmptyRange, &node.at, message, "`min` is above `max`");
        }
        Some(min..=max)
    }

    /// A mapping of declared names to the values that are taken; and where the names stand.
    fn tags(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> (Vec<Tag>, Vec<Spanned<String>>) {
        let Some(node) = fields.get(key) else { return Default::default() };
        let Some(pairs) = self.pairs(node, &format!("{what}, a mapping of names to values,")) else {
            return Default::default();
        };
        let (mut tags, mut names): (Vec<Tag>, Vec<Spanned<String>>) = Default::default();
        for (mut name, values) in pairs {
            // Names of headers are compared without case.
            if key == "header" {
                name.value.make_ascii_lowercase();
            }
            if tags.iter().any(|tag| tag.name == name.value) {
                let message = format!("`{}` stands twice in {what}", name.value);
                self.error(Code::DuplicateKey, &name.at, message, "again here");
                continue;
            }
            let texts = self.texts(values, "a value");
            if texts.len() > MAX_VALUES {
                let message = format!("{} values; at most {MAX_VALUES} are read", texts.len());
                self.error(Code::YamlLimit, &values.at, message, "too many");
                continue;
            }
            for Spanned { value, at } in texts.iter().filter(|text| text.value.len() > MAX_VALUE) {
                let message = format!("a value of {} bytes; one over {MAX_VALUE} matches no request", value.len());
                self.error(Code::WrongValue, at, message, "too long");
            }
            tags.push(Tag { name: name.value.clone(), values: texts.into_iter().map(|text| text.value).collect() });
            names.push(name);
        }
        (tags, names)
    }

    fn window(&mut self, node: &Node) -> Option<Window> {
        let fields = self.fields(node, "`time`", &["days", "from", "to", "zone"])?;
        let days = fields.get("days").map_or(Some(0x7F), |n| self.days(n));
        let from = fields.get("from").map_or(Some(0), |n| self.time_of_day(n, DAY - 1));
        let to = fields.get("to").map_or(Some(DAY), |n| self.time_of_day(n, DAY));
        let zone = match fields.get("zone") {
            None => Some(jiff::tz::TimeZone::UTC),
            Some(node) => self.zone(node),
        };
        let (days, from, to, zone) = (days?, from?, to?, zone?);
        let window = Window::new(days, from, to, zone);
        if window.is_none() {
            let message = "no moment lies in a window that ends when it begins";
            let hint = "leave `from` and `to` out for the whole day";
            self.error_with_hint(Code::EmptyRange, &node.at, message, "`from` and `to` are the same", hint);
        }
        window
    }

    /// Days of the week as bits, Monday first: `mon`, or `mon-fri` for all from one to the other.
    fn days(&mut self, node: &Node) -> Option<u8> {
        let mut days = 0;
        for item in self.items(node, "a day of the week") {
            let Some(text) = self.text(item, "a day of the week") else { continue };
            let day = |name: &str| DAYS.iter().position(|day| *day == name);
            let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
            match (day(first), day(last)) {
                (Some(first), Some(last)) => {
                    let count = (last + 7 - first) % 7;
                    days |= (0..=count).fold(0, |set, n| set | 1 << ((first + n) % 7));
                }
                _ => {
                    let message = format!("`{}` is not a day of the week", text.value);
                    let hint = "days are `mon`, `tue`, `wed`, `thu`, `fri`, `sat` and `sun`; `mon-fri` is five of them";
                    self.error_with_hint(Code::WrongValue, &text.at, message, "not a value of this key", hint);
                }
            }
        }
        (days != 0).then_some(days)
    }

    /// `08:30` as minutes after midnight.
    fn time_of_day(&mut self, node: &Node, latest: u16) -> Option<u16> {
        let text = self.text(node, "a time of day")?;
        let number = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
        let minutes = text.value.split_once(':').and_then(|(hour, minute)| {
            let (hour, minute) = (number(hour)?, number(minute).filter(|minute| *minute < 60)?);
            Some(hour * 60 + minute).filter(|minutes| *minutes <= latest)
        });
        if minutes.is_none() {
            let message = format!("`{}` is not a time of day", text.value);
            let label = format!("expected \"00:00\" to \"{:02}:{:02}\"", latest / 60, latest % 60);
            self.error(Code::WrongValue, &text.at, message, label);
        }
        minutes
    }

    fn zone(&mut self, node: &Node) -> Option<jiff::tz::TimeZone> {
        let text = self.text(node, "a time zone")?;
        window::zone(&text.value)
            .map_err(|near| {
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "use an IANA name, for example `Europe/Berlin` or `Asia/Seoul`".to_owned(),
                };
                let message = format!("`{}` is not a time zone", text.value);
                self.error_with_hint(Code::UnknownZone, &text.at, message, "no zone of this name", hint);
            })
            .ok()
    }
}
