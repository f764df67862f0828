//! One file of policy text to routes and tests, with every problem of shape on the way.
//!
//! The vocabulary stands here, key by key, and nowhere else. Names are not looked up yet: see `compile`.

use std::ops::RangeInclusive;

use catalog::Tier;

use crate::{
    Attempts, Capabilities, Capability, Deadlines, FailureClass, Source,
    cases::{self, CaseText},
    diag::{Code, File, Problems},
    plan::MAX_CANDIDATES,
    read::{Fields, Reader, Spanned},
    route::{Prefer, Require, RouteText, Selector, When},
    yaml::{self, Node},
};

/// The version of the language that this build reads.
const VERSION: u64 = 1;
/// The most routes of one file.
const MAX_ROUTES: usize = 10_000;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct FileText {
    pub(crate) routes: Vec<RouteText>,
    pub(crate) cases: Vec<CaseText>,
}

/// Reads the file of `source`, the `index`th.
pub(crate) fn parse(source: &Source, index: usize, file: &File<'_>, problems: &mut Problems) -> FileText {
    let mut reader = Reader { file, problems };
    let root = match yaml::parse(&source.text) {
        Ok(root) => root,
        Err(broken) => {
            let code = if broken.limit { Code::YamlLimit } else { Code::YamlSyntax };
            reader.error(code, &broken.at, broken.message, "reading stopped here");
            return FileText::default();
        }
    };
    let mut text = FileText::default();
    let Some(fields) = reader.fields(&root, "a policy file", &["version", "routes", "tests"]) else { return text };
    if let Some(node) = reader.required(&fields, "version") {
        let version = reader.whole(node, "a version", 0..=u64::MAX);
        if version.is_some_and(|v| v != VERSION) {
            let message = format!("version {} of the policy language is not known", version.unwrap_or_default());
            reader.error(Code::UnsupportedVersion, &node.at, message, format!("this build reads version {VERSION}"));
        }
    }
    let routes = if source.probes { fields.get("routes") } else { reader.required(&fields, "routes") };
    if let Some(node) = routes {
        let items = reader.items(node, "routes");
        if items.len() > MAX_ROUTES {
            let message = format!("{} routes; at most {MAX_ROUTES} are read", items.len());
            reader.error(Code::YamlLimit, &node.at, message, "too many");
        }
        for item in items.into_iter().take(MAX_ROUTES) {
            reader.route(item, index, &mut text);
        }
    }
    if let Some(node) = fields.get("tests") {
        text.cases.extend(cases::parse(&mut reader, node, index));
    }
    text
}

impl Reader<'_> {
    fn route(&mut self, node: &Node, source: usize, text: &mut FileText) {
        let keys = ["name", "match", "require", "prefer", "candidates", "attempts", "on_none", "tests"];
        let Some(fields) = self.fields(node, "a route", &keys) else { return };
        let name = self.required(&fields, "name").and_then(|n| self.text(n, "a name"));
        let when = fields.get("match").map(|n| self.when(n)).unwrap_or_default();
        let require = fields.get("require").map(|n| self.require(n)).unwrap_or_default();
        let prefer = fields.get("prefer").and_then(|n| self.prefer(n));
        let attempts = fields.get("attempts").map(|n| self.attempts(n)).unwrap_or_default();
        if let Some(node) = fields.get("on_none") {
            self.word(node, "a value of `on_none`", &[("refuse", ())]);
        }
        if let Some(node) = fields.get("tests") {
            text.cases.extend(cases::parse(self, node, source));
        }
        let candidates = self.required(&fields, "candidates").map(|n| self.candidates(n)).unwrap_or_default();
        let Some(name) = name else { return };
        text.routes.push(RouteText { source, name, when, require, prefer, candidates, attempts });
    }

    fn when(&mut self, node: &Node) -> When {
        let keys = ["team", "context", "language", "model", "needs", "prompt_tokens", "stream"];
        let Some(fields) = self.fields(node, "`match`", &keys) else { return When::default() };
        When {
            team: self.names(&fields, "team", "a team"),
            context: self.names(&fields, "context", "a context"),
            language: fields.get("language").map(|n| self.languages(n)),
            model: self.names(&fields, "model", "a model name"),
            needs: fields.get("needs").map(|n| self.capabilities(n, &NEEDS)).unwrap_or_default(),
            prompt_tokens: fields.get("prompt_tokens").and_then(|n| self.token_range(n)),
            stream: fields.get("stream").and_then(|n| self.truth(n, "a truth value")),
        }
    }

    fn require(&mut self, node: &Node) -> Require {
        let keys = ["license", "context_tokens", "capabilities", "region", "retention", "quantization", "price"];
        let Some(fields) = self.fields(node, "`require`", &keys) else { return Require::default() };
        let mut require = Require {
            capabilities: fields
                .get("capabilities")
                .map(|n| self.capabilities(n, &Capability::LISTED))
                .unwrap_or_default(),
            region: self.names(&fields, "region", "a region"),
            retention: self.names(&fields, "retention", "a retention"),
            ..Require::default()
        };
        if let Some(node) = fields.get("license") {
            self.license(node, &mut require);
        }
        if let Some(fields) = self.section(&fields, "context_tokens", "`context_tokens`", &["min"]) {
            require.min_context_tokens =
                self.required(&fields, "min").and_then(|n| self.whole(n, "a number of tokens", 1..=1_000_000_000));
        }
        if let Some(fields) = self.section(&fields, "quantization", "`quantization`", &["min_bits"]) {
            require.min_bits = self.required(&fields, "min_bits").and_then(|n| self.amount(n, "a number of bits"));
        }
        let prices = ["input_usd_per_million", "output_usd_per_million"];
        if let Some(fields) = self.section(&fields, "price", "`price`", &prices) {
            let [input, output] = prices.map(|key| {
                let fields = self.section(&fields, key, "a price limit", &["max"])?;
                self.required(&fields, "max").and_then(|n| self.amount(n, "a price in USD per million tokens"))
            });
            require.max_input_usd = input;
            require.max_output_usd = output;
        }
        require
    }

    fn license(&mut self, node: &Node, require: &mut Require) {
        let Some(fields) = self.fields(node, "`license`", &["max_tier", "allow", "deny"]) else { return };
        require.max_tier = fields
            .get("max_tier")
            .and_then(|n| self.whole(n, "a licence tier", 1..=5))
            .and_then(|tier| Tier::try_from(tier as u8).ok());
        require.allow_licenses = fields.get("allow").map(|n| self.texts(n, "a licence id"));
        require.deny_licenses = fields.get("deny").map(|n| self.texts(n, "a licence id")).unwrap_or_default();
    }

    fn prefer(&mut self, node: &Node) -> Option<Prefer> {
        let keys = ["quality", "cost", "latency", "cached_prefix"];
        let fields = self.fields(node, "`prefer`", &keys)?;
        let [quality, cost, latency, cached_prefix] = keys.map(|key| {
            fields.get(key).and_then(|n| self.amount(n, "a weight")).unwrap_or_default().min(1_000_000.0) as f32
        });
        if quality + cost + latency + cached_prefix <= 0.0 {
            let hint = "leave `prefer` out to let the order of `candidates` decide";
            self.error_with_hint(Code::WrongValue, &node.at, "`prefer` gives nothing any weight", "all zero", hint);
        }
        Some(Prefer { quality, cost, latency, cached_prefix })
    }

    fn candidates(&mut self, node: &Node) -> Vec<Spanned<Selector>> {
        let texts = self.texts(node, "a model, a deployment, `host:ID`, `family:ID` or `any`");
        texts.into_iter().map(|text| Spanned { value: Selector::parse(&text.value), at: text.at }).collect()
    }

    fn attempts(&mut self, node: &Node) -> Attempts {
        let mut attempts = Attempts::default();
        let Some(fields) = self.fields(node, "`attempts`", &["max", "budget", "on", "deadlines"]) else {
            return attempts;
        };
        if let Some(max) =
            fields.get("max").and_then(|n| self.whole(n, "a number of attempts", 1..=MAX_CANDIDATES as u64))
        {
            attempts.max = max as u32;
        }
        if let Some(budget) = fields.get("budget").and_then(|n| self.duration(n, "a budget")) {
            attempts.budget = budget;
        }
        if let Some(node) = fields.get("on") {
            let words = FailureClass::ALL.map(|class| (class.as_str(), class));
            let items = self.items(node, "a failure class");
            attempts.on = items.into_iter().filter_map(|n| self.word(n, "a failure class", &words)).collect();
        }
        let keys = ["connect", "headers", "first_token", "idle", "total"];
        if let Some(fields) = self.section(&fields, "deadlines", "`deadlines`", &keys) {
            let default = attempts.deadlines;
            let mut of = |key, or| fields.get(key).and_then(|n| self.duration(n, "a deadline")).unwrap_or(or);
            attempts.deadlines = Deadlines {
                connect: of("connect", default.connect),
                headers: of("headers", default.headers),
                first_token: of("first_token", default.first_token),
                idle: of("idle", default.idle),
                total: of("total", default.total),
            };
        }
        attempts
    }

    /// The mapping under `key`, if there is one.
    fn section<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        what: &'static str,
        known: &[&str],
    ) -> Option<Fields<'n>> {
        fields.get(key).and_then(|node| self.fields(node, what, known))
    }

    fn names(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<Vec<String>> {
        fields.get(key).map(|node| self.texts(node, what).into_iter().map(|text| text.value).collect())
    }

    /// ISO 639 codes, in lower case.
    fn languages(&mut self, node: &Node) -> Vec<String> {
        let texts = self.texts(node, "a language code");
        for Spanned { value, at } in &texts {
            if !matches!(value.len(), 2 | 3) || !value.bytes().all(|b| b.is_ascii_lowercase()) {
                let hint = "use an ISO 639-1 code, for example `en`, `ko`, `ja` or `zh`";
                let message = format!("`{value}` is not a language code");
                self.error_with_hint(Code::WrongValue, at, message, "expected two lower-case letters", hint);
            }
        }
        texts.into_iter().map(|text| text.value).collect()
    }

    pub(crate) fn capabilities(&mut self, node: &Node, known: &[Capability]) -> Capabilities {
        let words: Vec<_> = known.iter().map(|c| (c.as_str(), *c)).collect();
        let items = self.items(node, "a capability");
        items.into_iter().filter_map(|n| self.word(n, "a capability", &words)).collect()
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
}

/// What a request can be matched by: everything that it can ask for.
pub(crate) const NEEDS: [Capability; 5] =
    [Capability::Tools, Capability::JsonSchema, Capability::Image, Capability::Audio, Capability::Logprobs];
