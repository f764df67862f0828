//! Tests that stand in the policy files: a request, and what must come of it.
//!
//! A test may say what is deployed (`deployed:`), so that it holds on every machine; without it the snapshot's own
//! deployments are used. Health and load are never looked at: a test is about the policy.

use std::{collections::HashSet, ops::Range, sync::Arc};

use catalog::{Activity, Catalog, Date, Exposure, Purpose, Use};
use serde::Serialize;

use crate::{
    Deployment, Facts, Needs, Place, Plan, Snapshot,
    compile::bind,
    diag::{Code, nearest},
    parse::NEEDS,
    plan::plan_whole,
    read::{Reader, Spanned},
    yaml::{Node, Value},
};

/// A test as its author wrote it.
#[derive(Clone, Debug)]
pub(crate) struct CaseText {
    /// The index of its file among the sources.
    pub(crate) source: usize,
    name: String,
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
}

/// What must come of the request. An absent part is not looked at, but without `verdict` the request must be served.
#[derive(Clone, Debug, Default)]
struct Expect {
    route: Option<Spanned<String>>,
    first: Option<Spanned<String>>,
    never: Vec<Spanned<String>>,
    verdict: Option<&'static str>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestResult {
    /// The test's name.
    pub name: String,
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
        let failures = match &self.deployed {
            None => self.failures(&Snapshot { live: &[], ..*snapshot }, today),
            Some(deployed) => {
                let deployments = make_up(deployed, snapshot.deployments);
                let policies = bind(Arc::clone(&snapshot.policies.texts), snapshot.catalog, &deployments);
                self.failures(
                    &Snapshot { policies: &policies, deployments: &deployments, live: &[], ..*snapshot },
                    today,
                )
            }
        };
        TestResult { name: self.name.clone(), failures }
    }

    fn failures(&self, world: &Snapshot<'_>, today: Date) -> Vec<String> {
        let facts = Facts { today, ..self.facts.clone() };
        self.expect.failures(&plan_whole(&facts, world, usize::MAX), world)
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
        for Spanned { value: name, at } in deployed.chain(&self.expect.first).chain(&self.expect.never) {
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
        if let Some(Spanned { value: first, .. }) = &self.first {
            match plan.candidates.first() {
                Some(c) if is(c.deployment, &c.model, first) => {}
                Some(c) => failures.push(format!("expected `{first}` first, got `{}`", c.model)),
                None => failures.push(format!("expected `{first}` first, got no candidate")),
            }
        }
        for Spanned { value: never, .. } in &self.never {
            if let Some(at) = plan.candidates.iter().position(|c| is(c.deployment, &c.model, never)) {
                failures.push(format!("expected `{never}` never, got it as candidate {}", at + 1));
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
        Some(CaseText { source, name: name?.value, facts: facts?, deployed, expect: expect? })
    }

    fn request(&mut self, node: &Node) -> Option<Facts> {
        let keys = ["model", "team", "context", "language", "prompt_tokens", "max_tokens", "needs", "stream", "use"];
        let fields = self.fields(node, "`request`", &keys)?;
        let model = self.required(&fields, "model").and_then(|n| self.text(n, "a model name"));
        let mut word = |key, what| fields.get(key).and_then(|n| self.text(n, what)).map(|text| text.value);
        let (team, context) = (word("team", "a team"), word("context", "a context"));
        let language = word("language", "a language code");
        let mut tokens = |key| fields.get(key).and_then(|n| self.whole(n, "a number of tokens", 0..=u64::MAX));
        let (prompt_tokens, max_tokens) = (tokens("prompt_tokens"), tokens("max_tokens"));
        let needs = fields.get("needs").map(|n| self.capabilities(n, &NEEDS)).unwrap_or_default();
        let stream = fields.get("stream").and_then(|n| self.truth(n, "a truth value")).unwrap_or(false);
        let mut use_ = fields.get("use").map(|n| self.use_(n)).unwrap_or_else(strictest_use);
        use_.context.clone_from(&context);
        Some(Facts {
            team,
            context,
            use_: use_.into(),
            // The day of the run takes its place.
            today: Date::of_unix_ms(0),
            model_asked: model?.value,
            language,
            prompt_tokens: prompt_tokens.unwrap_or(100),
            max_tokens,
            answer_tokens: None,
            draw: 0,
            needs: Needs::from(needs),
            stream,
        })
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
            return Some(Deployed { model, host: None, region: None, retention: None });
        }
        let fields = self.fields(node, "a deployment of a test", &["model", "host", "region", "retention"])?;
        let model = self.required(&fields, "model").and_then(|n| self.text(n, "a model id"));
        let host = fields.get("host").and_then(|n| self.text(n, "a host id"));
        let mut word = |key, what| fields.get(key).and_then(|n| self.text(n, what)).map(|text| text.value);
        let (region, retention) = (word("region", "a region"), word("retention", "a retention"));
        Some(Deployed { model: model?, host, region, retention })
    }

    fn expect(&mut self, node: &Node) -> Option<Expect> {
        let fields = self.fields(node, "`expect`", &["route", "first", "never", "verdict"])?;
        let verdicts = ["serve", "unknown_model", "license", "unavailable", "none_fits"].map(|word| (word, word));
        Some(Expect {
            route: fields.get("route").and_then(|n| self.text(n, "a route")),
            first: fields.get("first").and_then(|n| self.text(n, "a model or deployment id")),
            never: fields.get("never").map(|n| self.texts(n, "a model or deployment id")).unwrap_or_default(),
            verdict: fields.get("verdict").and_then(|n| self.word(n, "a verdict", &verdicts)),
        })
    }
}

/// The use that licences restrict most: what a test is about unless it says otherwise.
fn strictest_use() -> Use {
    Use::new(Purpose::Revenue, Exposure::Public)
}
