//! `require`: what a candidate must be.

use catalog::{Owed, Tier};

use crate::{
    Capability,
    diag::Code,
    read::{Reader, Spanned},
    route::Require,
    yaml::Node,
};

/// The keys of `require`.
pub(super) const KEYS: [&str; 15] = [
    "license",
    "context_tokens",
    "capabilities",
    "region",
    "retention",
    "training_use",
    "openness",
    "hardware",
    "local",
    "quantization",
    "price",
    "benchmarks",
    "ttft_p95_ms",
    "tpot_p95_ms",
    "error_rate",
];
/// The word for duties where none may be owed.
const NONE: &str = "none";

impl Reader<'_> {
    pub(super) fn require(&mut self, node: &Node) -> Require {
        let Some(fields) = self.fields(node, "`require`", &KEYS) else { return Require::default() };
        let mut require = Require {
            capabilities: fields
                .get("capabilities")
                .map(|n| self.capabilities(n, &Capability::LISTED))
                .unwrap_or_default(),
            region: self.names(&fields, "region", "a region"),
            retention: self.names(&fields, "retention", "a retention"),
            training_use: self.names(&fields, "training_use", "what may be trained"),
            openness: fields.get("openness").map(|n| self.openness(n)),
            hardware: fields.get("hardware").map(|n| self.texts(n, "a piece of hardware")),
            local: fields
                .get("local")
                .and_then(|n| Some(Spanned { value: self.truth(n, "a truth value")?, at: n.at.clone() })),
            benchmarks: fields.get("benchmarks").map(|n| self.benchmarks(n)).unwrap_or_default(),
            ..Require::default()
        };
        if let Some(node) = fields.get("license") {
            self.license(node, &mut require);
        }
        if let Some(fields) = self.section(&fields, "context_tokens", "`context_tokens`", &["min", "effective"]) {
            require.min_context_tokens =
                self.required(&fields, "min").and_then(|n| self.whole(n, "a number of tokens", 1..=1_000_000_000));
            require.effective =
                fields.get("effective").and_then(|n| self.truth(n, "a truth value")).unwrap_or_default();
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
        let limits = [("ttft_p95_ms", "a number of milliseconds"), ("tpot_p95_ms", "a number of milliseconds")];
        let [ttft, tpot] = limits.map(|(key, what)| {
            let fields = self.section(&fields, key, "a limit", &["max"])?;
            self.required(&fields, "max").and_then(|n| self.amount(n, what)).map(|max| max as f32)
        });
        require.limits.max_ttft_ms = ttft;
        require.limits.max_tpot_ms = tpot;
        if let Some(fields) = self.section(&fields, "error_rate", "a limit", &["max"])
            && let Some(node) = self.required(&fields, "max")
            && let Some(max) = self.amount(node, "a share of attempts")
        {
            if max > 1.0 {
                let message = format!("an error rate of {max} is more than all attempts");
                let hint = "it is a share: 0.2 is one attempt in five";
                self.error_with_hint(Code::WrongValue, &node.at, message, "expected 0 to 1", hint);
            }
            require.limits.max_error_rate = Some(max as f32);
        }
        require
    }

    fn license(&mut self, node: &Node, require: &mut Require) {
        let keys = ["max_tier", "allow", "deny", "obligations"];
        let Some(fields) = self.fields(node, "`license`", &keys) else { return };
        require.max_tier = fields.get("max_tier").and_then(|n| {
            let tier = self.whole(n, "a licence tier", 1..=5)?;
            Some(Spanned { value: Tier::try_from(tier as u8).ok()?, at: n.at.clone() })
        });
        require.allow_licenses = fields.get("allow").map(|n| self.texts(n, "a licence id"));
        require.deny_licenses = fields.get("deny").map(|n| self.texts(n, "a licence id")).unwrap_or_default();
        require.limits.obligations = fields.get("obligations").and_then(|n| self.obligations(n));
    }

    /// The kinds of duties that may be owed: `none`, or a list of kinds.
    fn obligations(&mut self, node: &Node) -> Option<Owed> {
        let mut words: Vec<(&str, Owed)> = vec![(NONE, Owed::default())];
        words.extend(Owed::NAMES.iter().filter_map(|name| Some((*name, Owed::named(name)?))));
        let items = self.items(node, "a kind of obligation");
        let alone = items.len() == 1;
        let mut allowed: Option<Owed> = None;
        for item in items {
            let Some(kind) = self.word(item, "a kind of obligation", &words) else { continue };
            if kind.is_empty() && !alone {
                let message = "`none` and kinds of obligations in one list";
                self.error(Code::Contradiction, &item.at, message, "nothing, and something");
            }
            allowed = Some(allowed.unwrap_or_default().and(kind));
        }
        allowed
    }

    fn openness(&mut self, node: &Node) -> Vec<&'static str> {
        let words = ["weights", "weights+code", "fully-open", "closed"].map(|word| (word, word));
        let items = self.items(node, "an openness");
        items.into_iter().filter_map(|n| self.word(n, "an openness", &words)).collect()
    }

    /// `{BENCHMARK: {min: SCORE}}`; the names are looked up later.
    fn benchmarks(&mut self, node: &Node) -> Vec<(Spanned<String>, Spanned<f64>)> {
        let Some(pairs) = self.pairs(node, "`benchmarks`, a mapping of benchmarks to `{min: SCORE}`,") else {
            return Vec::new();
        };
        let mut floors = Vec::new();
        for (name, node) in pairs {
            let Some(fields) = self.fields(node, "a floor", &["min"]) else { continue };
            let Some(node) = self.required(&fields, "min") else { continue };
            if let Some(min) = self.amount(node, "a score") {
                floors.push((name, Spanned { value: min, at: node.at.clone() }));
            }
        }
        floors
    }
}
