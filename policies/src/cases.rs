//! Tests that stand in the policy files: a request, and what must come of it.
//!
//! A test may say what is deployed (`deployed:`), so that it holds on every machine; without it the snapshot's own
//! deployments are used. Health and load are never looked at: a test is about the policy.

use std::{collections::HashSet, ops::Range, sync::Arc};

use catalog::{Activity, Catalog, Date, Exposure, Purpose, Use};
use serde::Serialize;

use crate::{
    Caller, Deployment, Facts, Needs, Place, Plan, PolicySet, Snapshot,
    compile::bind_for,
    diag::{Code, nearest},
    parse::{FileText, NEEDS},
    plan::plan_whole,
    read::{Reader, Spanned},
    route::UNKNOWN,
    yaml::{Node, Value},
};

/// A test as its author wrote it.
#[derive(Clone, Debug)]
pub(crate) struct CaseText {
    /// The index of its file among the sources.
    pub(crate) source: usize,
    name: String,
    /// The file and the line, from 1, where it begins.
    file: String,
    line: usize,
    facts: Facts,
    deployed: Option<Vec<Deployed>>,
    expect: Expect,
}

/// A deployment that a test makes up: a model, or one of the configuration's deployments.
#[derive(Clone, Debug)]
struct Deployed {
    model: Spanned<String>,
    host: Option<Spanned<String>>,
    region: Option<String>,
    retention: Option<String>,
    training_use: Option<String>,
    hardware: Option<String>,
    quantization_bits: Option<f32>,
    context_tokens: Option<u64>,
    effective_context_tokens: Option<u64>,
    input_usd_per_million: Option<f64>,
    output_usd_per_million: Option<f64>,
}

/// What must come of the request. An absent part is not looked at, but without `verdict` the request must be served.
#[derive(Clone, Debug, Default)]
struct Expect {
    route: Option<Spanned<String>>,
    arm: Option<Spanned<String>>,
    first: Option<Spanned<String>>,
    /// Everyone who would be tried, and in this order; nobody else.
    order: Option<Vec<Spanned<String>>>,
    never: Vec<Spanned<String>>,
    /// Who gets the request beside.
    shadow: Option<Spanned<String>>,
    verdict: Option<&'static str>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// The file that it stands in, as the caller named it.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// What was expected and what came instead; empty where the test holds.
    pub failures: Vec<String>,
}

impl TestResult {
    /// Whether the test holds.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs every test of the snapshot's policies, in the order of the files, as on the day `today`: a test that rests on an
/// agreement fails once that is over.
pub fn run_tests(snapshot: &Snapshot<'_>, today: Date) -> Vec<TestResult> {
    let texts = &snapshot.policies.texts;
    texts.iter().flat_map(|text| &text.cases).map(|case| case.run(snapshot, today)).collect()
}

impl CaseText {
    fn run(&self, snapshot: &Snapshot<'_>, today: Date) -> TestResult {
        let failures = self.failures(&snapshot.policies.texts, snapshot, today);
        TestResult { name: self.name.clone(), file: self.file.clone(), line: self.line, failures }
    }

    /// What of the plan under the routes of `texts` was not expected; nothing where the test holds.
    pub(crate) fn failures(&self, texts: &Arc<[FileText]>, snapshot: &Snapshot<'_>, today: Date) -> Vec<String> {
        self.planned(texts, snapshot, today, |plan, world| self.expect.failures(plan, world))
    }

    /// Looks at the plan of the test's request under the routes of `texts`, in the world that the test speaks of.
    pub(crate) fn planned<T>(
        &self,
        texts: &Arc<[FileText]>,
        snapshot: &Snapshot<'_>,
        today: Date,
        look: impl FnOnce(&Plan, &Snapshot<'_>) -> T,
    ) -> T {
        let facts = Facts { today, ..self.facts.clone() };
        let see = |policies: &PolicySet, deployments: &[Deployment]| {
            let world = Snapshot { policies, deployments, live: &[], ..*snapshot };
            look(&plan_whole(&facts, &world, usize::MAX), &world)
        };
        match &self.deployed {
            None if Arc::ptr_eq(texts, &snapshot.policies.texts) => see(snapshot.policies, snapshot.deployments),
            None => {
                let deployments = snapshot.deployments;
                see(&bind_for(&facts, Arc::clone(texts), snapshot.catalog, deployments), deployments)
            }
            Some(_) => {
                let deployments = self.made_up(snapshot.deployments);
                see(&bind_for(&facts, Arc::clone(texts), snapshot.catalog, &deployments), &deployments)
            }
        }
    }

    /// What it asks, but for the day.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The deployments that the test makes up.
    pub(crate) fn made_up(&self, configured: &[Deployment]) -> Vec<Deployment> {
        make_up(self.deployed.as_deref().unwrap_or_default(), configured)
    }

    /// Who asks in the test.
    pub(crate) fn caller(&self) -> Caller {
        let Facts { team, context, use_, .. } = self.facts.clone();
        Caller { team, context, use_ }
    }

    /// Looks the names of the test up.
    pub(crate) fn check(
        &self,
        mut reader: Reader<'_>,
        catalog: &Catalog,
        deployments: &[Deployment],
        route: impl Fn(&str) -> bool,
    ) {
        let deployed = self.deployed.iter().flatten().map(|d| &d.model);
        let Expect { first, order, never, shadow, .. } = &self.expect;
        let expected = first.iter().chain(order.iter().flatten()).chain(never).chain(shadow);
        for Spanned { value: name, at } in deployed.chain(expected) {
            if catalog.model(name).is_some() || deployments.iter().any(|d| d.id == *name) {
                continue;
            }
            let near = nearest(name, deployments.iter().map(|d| d.id.as_str()));
            let near = near.or_else(|| catalog.nearest(name, 1).first().copied());
            let message = format!("test `{}` names a model the catalog does not have", self.name);
            unknown(&mut reader, Code::UnknownModel, at, message, "no model with this id", near);
        }
        for Spanned { value: host, at } in self.deployed.iter().flatten().filter_map(|d| d.host.as_ref()) {
            if catalog.host(host).is_none() {
                let near = nearest(host, catalog.hosts().map(|h| h.id.as_str()));
                let message = format!("test `{}` names a host the catalog does not have", self.name);
                unknown(&mut reader, Code::UnknownHost, at, message, "no host with this id", near);
            }
        }
        if let Some(Spanned { value: name, at }) = &self.expect.route
            && name != crate::DIRECT
            && !route(name)
        {
            let message = format!("test `{}` expects a route that no file has", self.name);
            unknown(&mut reader, Code::UnknownRoute, at, message, "no route of this name", None);
        }
    }
}

fn unknown(reader: &mut Reader<'_>, code: Code, at: &Range<usize>, message: String, label: &str, near: Option<&str>) {
    match near {
        Some(near) => reader.error_with_hint(code, at, message, label, format!("did you mean `{near}`?")),
        None => reader.error(code, at, message, label),
    }
}

impl Expect {
    fn failures(&self, plan: &Plan, world: &Snapshot<'_>) -> Vec<String> {
        let mut failures = Vec::new();
        let is = |at: usize, model: &str, name: &str| model == name || world.deployments[at].id == name;
        let found = plan.verdict.as_str();
        let expected = self.verdict.unwrap_or("serve");
        if expected != found {
            let why = plan.report(world).why;
            failures.push(format!("expected the verdict `{expected}`, got `{found}`: {why}"));
        }
        if let Some(Spanned { value: route, .. }) = &self.route
            && plan.route.as_deref() != Some(route)
        {
            failures.push(format!("expected the route `{route}`, got `{}`", plan.route.as_deref().unwrap_or("none")));
        }
        if let Some(Spanned { value: arm, .. }) = &self.arm
            && plan.arm.as_deref() != Some(arm)
        {
            failures.push(format!("expected the arm `{arm}`, got `{}`", plan.arm.as_deref().unwrap_or("none")));
        }
        if let Some(Spanned { value: shadow, .. }) = &self.shadow {
            match plan.shadow.as_ref().and_then(|shadow| shadow.candidates.first()) {
                Some(c) if is(c.deployment, c.model(), shadow) => {}
                Some(c) => failures.push(format!("expected the shadow `{shadow}`, got `{}`", c.model())),
                None => failures.push(format!("expected the shadow `{shadow}`, got none")),
            }
        }
        if let Some(Spanned { value: first, .. }) = &self.first {
            match plan.candidates.first() {
                Some(c) if is(c.deployment, c.model(), first) => {}
                Some(c) => failures.push(format!("expected `{first}` first, got `{}`", c.model())),
                None => failures.push(format!("expected `{first}` first, got no candidate")),
            }
        }
        if let Some(order) = &self.order {
            let holds = order.len() == plan.candidates.len()
                && order.iter().zip(&plan.candidates).all(|(name, c)| is(c.deployment, c.model(), &name.value));
            if !holds {
                let list = |names: Vec<&str>| names.join(", ");
                let expected = list(order.iter().map(|name| name.value.as_str()).collect());
                let found = list(plan.candidates.iter().map(|c| &**c.model()).collect());
                failures.push(format!("expected the order `{expected}`, got `{found}`"));
            }
        }
        for Spanned { value: never, .. } in &self.never {
            if let Some(at) = plan.candidates.iter().position(|c| is(c.deployment, c.model(), never)) {
                failures.push(format!("expected `{never}` never, got it as candidate {}", at + 1));
            } else if plan.reached().any(|c| is(c.deployment, c.model(), never)) {
                failures.push(format!("expected `{never}` never, got it as the shadow"));
            }
        }
        failures
    }
}

/// The deployments that a test speaks of.
fn make_up(deployed: &[Deployed], configured: &[Deployment]) -> Vec<Deployment> {
    let mut ids: HashSet<String> = HashSet::new();
    let made = deployed.iter().map(|d| {
        let name = &d.model.value;
        let mut deployment = match configured.iter().find(|c| c.id == *name) {
            Some(configured) => configured.clone(),
            None => Deployment::new(name, name, Place::Local { engine: "test".to_owned() }),
        };
        if let Some(host) = &d.host {
            deployment.place = Place::Host(host.value.clone());
            deployment.id = format!("{}-{name}", host.value);
        }
        deployment.region = d.region.clone().or(deployment.region);
        deployment.retention = d.retention.clone().or(deployment.retention);
        deployment.training_use = d.training_use.clone().or(deployment.training_use);
        deployment.hardware = d.hardware.clone().or(deployment.hardware);
        deployment.quantization_bits = d.quantization_bits.or(deployment.quantization_bits);
        deployment.context_tokens = d.context_tokens.or(deployment.context_tokens);
        deployment.effective_context_tokens = d.effective_context_tokens.or(deployment.effective_context_tokens);
        deployment.input_usd_per_million = d.input_usd_per_million.or(deployment.input_usd_per_million);
        deployment.output_usd_per_million = d.output_usd_per_million.or(deployment.output_usd_per_million);
        deployment
    });
    // The same line twice is one deployment.
    made.filter(|deployment| ids.insert(deployment.id.clone())).collect()
}

/// Reads a list of tests.
pub(crate) fn parse(reader: &mut Reader<'_>, node: &Node, source: usize) -> Vec<CaseText> {
    reader.items(node, "tests").into_iter().filter_map(|item| reader.case(item, source)).collect()
}

impl Reader<'_> {
    fn case(&mut self, node: &Node, source: usize) -> Option<CaseText> {
        let fields = self.fields(node, "a test", &["name", "request", "deployed", "expect"])?;
        let name = self.required(&fields, "name").and_then(|n| self.text(n, "a name"));
        let facts = self.required(&fields, "request").and_then(|n| self.request(n));
        let deployed = fields.get("deployed").map(|n| {
            let what = "a model, or a mapping with the key `model`,";
            self.items(n, what).into_iter().filter_map(|item| self.deployed(item)).collect()
        });
        let expect = self.required(&fields, "expect").and_then(|n| self.expect(n));
        let (file, line) = (self.file.name().to_owned(), self.file.line(node.at.start));
        Some(CaseText { source, name: name?.value, file, line, facts: facts?, deployed, expect: expect? })
    }

    fn request(&mut self, node: &Node) -> Option<Facts> {
        let keys = [
            "model",
            "team",
            "key",
            "context",
            "language",
            "script",
            "prompt_tokens",
            "max_tokens",
            "needs",
            "stream",
            "arm",
            "time",
            "header",
            "metadata",
            "use",
        ];
        let fields = self.fields(node, "`request`", &keys)?;
        let model = self.required(&fields, "model").and_then(|n| self.text(n, "a model name"));
        let mut word = |key, what| fields.get(key).and_then(|n| self.text(n, what)).map(|text| text.value);
        let (team, key, context) =
            (word("team", "a team"), word("key", "the id of a key"), word("context", "a context"));
        // As in a route's `match`, `unknown` is what could not be told.
        let told = |word: Option<String>| word.filter(|word| word != UNKNOWN);
        let (language, script) = (told(word("language", "a language code")), told(word("script", "a script")));
        let arm = word("arm", "an arm");
        let mut tokens = |key| fields.get(key).and_then(|n| self.whole(n, "a number of tokens", 0..=u64::MAX));
        let (prompt_tokens, max_tokens) = (tokens("prompt_tokens"), tokens("max_tokens"));
        let needs = fields.get("needs").map(|n| self.capabilities(n, &NEEDS)).unwrap_or_default();
        let stream = fields.get("stream").and_then(|n| self.truth(n, "a truth value")).unwrap_or(false);
        let now = fields.get("time").and_then(|n| self.moment(n));
        let headers = fields.get("header").map(|n| self.values(n)).unwrap_or_default();
        let metadata = fields.get("metadata").map(|n| self.values(n)).unwrap_or_default();
        let mut use_ = fields.get("use").map(|n| self.use_(n)).unwrap_or_else(strictest_use);
        use_.context.clone_from(&context);
        Some(Facts {
            team,
            key,
            context,
            now,
            language,
            script,
            prompt_tokens: prompt_tokens.unwrap_or(100),
            max_tokens,
            arm,
            needs: Needs::from(needs),
            stream,
            headers: headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            metadata,
            // The day of the run takes its place.
            ..Facts::new(model?.value, use_, Date::of_unix_ms(0))
        })
    }

    /// A moment such as `2026-11-25T09:30:00+01:00`, in seconds since 1970.
    fn moment(&mut self, node: &Node) -> Option<i64> {
        let text = self.text(node, "a moment")?;
        let moment = text.value.parse::<jiff::Timestamp>().ok();
        if moment.is_none() {
            let message = format!("`{}` is not a moment", text.value);
            let hint = "write date, time and offset, for example `2026-11-25T09:30:00+01:00`";
            self.error_with_hint(Code::WrongValue, &text.at, message, "expected an RFC 3339 timestamp", hint);
        }
        moment.map(jiff::Timestamp::as_second)
    }

    /// A mapping of names to a value each.
    fn values(&mut self, node: &Node) -> Vec<(String, String)> {
        let pairs = self.pairs(node, "a mapping of names to values").unwrap_or_default();
        pairs.into_iter().filter_map(|(name, node)| Some((name.value, self.text(node, "a value")?.value))).collect()
    }

    fn use_(&mut self, node: &Node) -> Use {
        let mut use_ = strictest_use();
        let Some(fields) =
            self.fields(node, "`use`", &["purpose", "exposure", "activity", "seat", "end_users", "entity"])
        else {
            return use_;
        };
        let purposes = Purpose::ALL.map(|purpose| (purpose.name(), purpose));
        if let Some(purpose) = fields.get("purpose").and_then(|n| self.word(n, "a purpose", &purposes)) {
            use_.purpose = purpose;
        }
        let exposures = [("internal", Exposure::Internal), ("public", Exposure::Public)];
        if let Some(exposure) = fields.get("exposure").and_then(|n| self.word(n, "an exposure", &exposures)) {
            use_.exposure = exposure;
        }
        let activities = Activity::ALL.map(|activity| (activity.name(), activity));
        if let Some(activity) = fields.get("activity").and_then(|n| self.word(n, "an activity", &activities)) {
            use_.activity = activity;
        }
        use_.entity = fields.get("entity").and_then(|n| self.text(n, "an entity")).map(|text| text.value);
        use_.seat = fields.get("seat").and_then(|n| self.text(n, "a country code")).map(|text| text.value);
        let end_users = fields.get("end_users").map(|n| self.texts(n, "a country code")).unwrap_or_default();
        use_.end_users = end_users.into_iter().map(|text| text.value).collect();
        use_
    }

    fn deployed(&mut self, node: &Node) -> Option<Deployed> {
        if !matches!(node.value, Value::Map(_)) {
            let model = self.text(node, "a model, or a mapping with the key `model`,")?;
            return Some(Deployed {
                model,
                host: None,
                region: None,
                retention: None,
                training_use: None,
                hardware: None,
                quantization_bits: None,
                context_tokens: None,
                effective_context_tokens: None,
                input_usd_per_million: None,
                output_usd_per_million: None,
            });
        }
        // As in the configuration.
        let keys = [
            "model",
            "host",
            "region",
            "retention",
            "training_use",
            "hardware",
            "quantization_bits",
            "context",
            "effective_context",
            "price",
        ];
        let fields = self.fields(node, "a deployment of a test", &keys)?;
        let model = self.required(&fields, "model").and_then(|n| self.text(n, "a model id"));
        let host = fields.get("host").and_then(|n| self.text(n, "a host id"));
        let mut word = |key, what| fields.get(key).and_then(|n| self.text(n, what)).map(|text| text.value);
        let (region, retention) = (word("region", "a region"), word("retention", "a retention"));
        let (training_use, hardware) =
            (word("training_use", "what is trained"), word("hardware", "a piece of hardware"));
        let mut tokens = |key| fields.get(key).and_then(|n| self.whole(n, "a number of tokens", 1..=1_000_000_000));
        let (context_tokens, effective_context_tokens) = (tokens("context"), tokens("effective_context"));
        let bits = fields.get("quantization_bits").and_then(|n| self.amount(n, "a number of bits"));
        let prices = ["input_usd_per_million", "output_usd_per_million"];
        let [input, output] = match fields.get("price").and_then(|n| self.fields(n, "a price", &prices)) {
            Some(fields) => prices.map(|key| {
                self.required(&fields, key).and_then(|n| self.amount(n, "a price in USD per million tokens"))
            }),
            None => [None, None],
        };
        Some(Deployed {
            model: model?,
            host,
            region,
            retention,
            training_use,
            hardware,
            quantization_bits: bits.map(|bits| bits as f32),
            context_tokens,
            effective_context_tokens,
            input_usd_per_million: input,
            output_usd_per_million: output,
        })
    }

    fn expect(&mut self, node: &Node) -> Option<Expect> {
        let fields =
            self.fields(node, "`expect`", &["route", "arm", "first", "order", "never", "shadow", "verdict"])?;
        let verdicts = ["serve", "unknown_model", "license", "unavailable", "none_fits"].map(|word| (word, word));
        Some(Expect {
            route: fields.get("route").and_then(|n| self.text(n, "a route")),
            arm: fields.get("arm").and_then(|n| self.text(n, "an arm")),
            first: fields.get("first").and_then(|n| self.text(n, "a model or deployment id")),
            shadow: fields.get("shadow").and_then(|n| self.text(n, "a model or deployment id")),
            order: fields.get("order").map(|n| self.texts(n, "a model or deployment id")),
            never: fields.get("never").map(|n| self.texts(n, "a model or deployment id")).unwrap_or_default(),
            verdict: fields.get("verdict").and_then(|n| self.word(n, "a verdict", &verdicts)),
        })
    }
}

/// The use that licences restrict most: what a test is about unless it says otherwise.
pub(crate) fn strictest_use() -> Use {
    Use::new(Purpose::Revenue, Exposure::Public)
}
