//! One file of policy text to routes, aliases and tests, with every problem of shape on the way.
//!
//! The vocabulary stands here and in the files below - [`when`] for `match`, [`require`], [`prefer`],
//! [`attempts`], [`split`] - key by key, and
//! nowhere else. Names are not looked up yet: see `check`.

mod attempts;
mod prefer;
mod require;
mod split;
mod when;

use crate::{
    Capabilities, Capability, Source,
    cases::{self, CaseText},
    diag::{Code, File, Problems},
    naming::AliasText,
    read::{Fields, Reader, Spanned},
    route::{RouteText, Selector},
    suffix::Suffixes,
    yaml::{self, Node},
};

/// The version of the language that this build reads.
const VERSION: u64 = 1;
/// The most routes of one file.
const MAX_ROUTES: usize = 10_000;
/// The most aliases of one file.
const MAX_ALIASES: usize = 10_000;

/// The keys of a route.
const ROUTE: [&str; 13] = [
    "name",
    "match",
    "require",
    "leave_out",
    "prefer",
    "candidates",
    "split",
    "shadow",
    "attempts",
    "on_none",
    "reuse",
    "suffixes",
    "tests",
];

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileText {
    pub(crate) routes: Vec<RouteText>,
    pub(crate) cases: Vec<CaseText>,
    pub(crate) aliases: Vec<AliasText>,
    /// What holds for the routes of the file that do not say otherwise.
    pub(crate) suffixes: Option<Suffixes>,
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
    let Some(fields) = reader.fields(&root, "a policy file", &["version", "aliases", "suffixes", "routes", "tests"])
    else {
        return text;
    };
    if let Some(node) = reader.required(&fields, "version") {
        let version = reader.whole(node, "a version", 0..=u64::MAX);
        if version.is_some_and(|v| v != VERSION) {
            let message = format!("version {} of the policy language is not known", version.unwrap_or_default());
            reader.error(Code::UnsupportedVersion, &node.at, message, format!("this build reads version {VERSION}"));
        }
    }
    if let Some(node) = fields.get("aliases") {
        text.aliases = reader.aliases(node, index);
    }
    text.suffixes = fields.get("suffixes").and_then(|n| reader.word(n, "a value of `suffixes`", &Suffixes::WORDS));
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
        let Some(fields) = self.fields(node, "a route", &ROUTE) else { return };
        let name = self.required(&fields, "name").and_then(|n| self.text(n, "a name"));
        let (when, mut places) = fields.get("match").map(|n| self.when(n)).unwrap_or_default();
        let require = fields.get("require").map(|n| self.require(n)).unwrap_or_default();
        let leave_out = fields.get("leave_out").map(|n| self.capabilities(n, &LEFT_OUT)).unwrap_or_default();
        let (prefer, quality_by) = fields.get("prefer").map(|n| self.prefer(n)).unwrap_or_default();
        let (attempts, groups) = fields.get("attempts").map(|n| self.attempts(n)).unwrap_or_default();
        let on_none = fields.get("on_none").map(|n| self.on_none(n)).unwrap_or_default();
        let reuse = fields.get("reuse").and_then(|n| self.reuse(n));
        let suffixes = fields.get("suffixes").and_then(|n| self.word(n, "a value of `suffixes`", &Suffixes::WORDS));
        if let Some(node) = fields.get("tests") {
            text.cases.extend(cases::parse(self, node, source));
        }
        let candidates = self.required(&fields, "candidates").map(|n| self.candidates(n)).unwrap_or_default();
        let split = fields.get("split").and_then(|n| self.split(n, &mut places));
        let shadow = fields.get("shadow").and_then(|n| self.shadow(n));
        let Some(name) = name else { return };
        text.routes.push(RouteText {
            source,
            name,
            when,
            places,
            require,
            leave_out,
            prefer,
            quality_by,
            candidates,
            split,
            shadow,
            on_none,
            reuse,
            attempts,
            groups,
            suffixes,
        });
    }

    /// `aliases`: names and what they stand for.
    fn aliases(&mut self, node: &Node, source: usize) -> Vec<AliasText> {
        let Some(pairs) = self.pairs(node, "a mapping of names to models") else { return Vec::new() };
        if pairs.len() > MAX_ALIASES {
            let message = format!("{} aliases; at most {MAX_ALIASES} are read", pairs.len());
            self.error(Code::YamlLimit, &node.at, message, "too many");
        }
        let mut aliases = Vec::new();
        for (name, value) in pairs.into_iter().take(MAX_ALIASES) {
            let target = self.text(value, "the name of a model, a deployment or a route's `match.model`");
            aliases.extend(target.map(|target| AliasText { source, name, target }));
        }
        aliases
    }

    fn candidates(&mut self, node: &Node) -> Vec<Spanned<Selector>> {
        let texts = self.texts(node, "a model, a deployment, `host:ID`, `family:ID`, `preset:ID` or `any`");
        texts.into_iter().map(|text| Spanned { value: Selector::parse(&text.value), at: text.at }).collect()
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

    pub(crate) fn capabilities(&mut self, node: &Node, known: &[Capability]) -> Capabilities {
        let words: Vec<_> = known.iter().map(|c| (c.as_str(), *c)).collect();
        let items = self.items(node, "a capability");
        items.into_iter().filter_map(|n| self.word(n, "a capability", &words)).collect()
    }
}

/// What a request can be matched by: everything that it can ask for.
pub(crate) const NEEDS: [Capability; 11] = [
    Capability::Tools,
    Capability::JsonSchema,
    Capability::Image,
    Capability::Audio,
    Capability::Logprobs,
    Capability::Embeddings,
    Capability::Rerank,
    Capability::Moderations,
    Capability::Images,
    Capability::Speech,
    Capability::Transcriptions,
];

/// What a request may be sent without: what shapes the choice of tokens and not the form of the answer.
pub(crate) const LEFT_OUT: [Capability; 3] = [Capability::Seed, Capability::Penalties, Capability::LogitBias];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_the_default_policies_explains_every_key() {
        let text = include_str!("../../config/policies/default.yaml");
        let header: String = text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let (_, after) = header.split_once("# match:").expect("the keys of `match`");
        let (when, after) = after.split_once("# require:").expect("the keys of `require`");
        let (require, prefer) = after.split_once("# prefer:").expect("the weights of `prefer`");
        for (section, keys) in [(when, &when::KEYS[..]), (require, &require::KEYS), (prefer, &prefer::WEIGHTS)] {
            // The keys that a line begins with, before the explanation in its column.
            let shown =
                |line: &str| line.strip_prefix("#   ").map(|line| line.split("  ").next().unwrap_or("").to_owned());
            let explained: Vec<String> = section.lines().filter_map(shown).filter(|keys| !keys.is_empty()).collect();
            for key in keys {
                assert!(
                    explained.iter().any(|keys| keys.split(", ").any(|shown| shown == *key)),
                    "`{key}`: {explained:?}"
                );
            }
        }
    }
}
