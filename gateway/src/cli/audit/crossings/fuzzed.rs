//! 100,000 requests under plans at random, at places that fail in every way: whoever was asked for an answer was allowed to give
//! it, by a decision that is made here once more, and the record tells nothing else.
//!
//! The whole path of a request but its connection: policies, licences, waivers with caps, splits, mirrors, hedges, retries,
//! answers given again, callers that leave. What is played is the places alone.

use std::sync::{Arc, Mutex, PoisonError};

use backends::{
    Backend, BackendError, BackendId, Delta, Event, EventStream, FinishReason, Load, Phase, Priority, Probe, Request,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom as _};

use super::*;
use crate::{
    config::{self, Config, Environment, Overrides},
    handle::{self, Bare},
    instance::Instance,
    keys::Grant,
    runtime::{Gateway, Runtime, Source},
    settle,
    wire::ClientApi,
};

const WORLDS: u64 = 250;
const REQUESTS: u64 = 400;
/// Requests that run at a time.
const AT_ONCE: usize = 200;

/// Models of every tier; what some contexts may use others may not, and some only by a waiver.
const MODELS: [&str; 9] = [
    "qwen3-32b",
    "kanana-1.5-8b",
    "llama-3.3-70b-instruct",
    "llama-4-maverick",
    "mistral-large-2",
    "exaone-3.5-32b",
    "rinna-nekomata-7b",
    "command-r-plus",
    "hcx-005",
];

const CONTEXTS: &str = "\
contexts:
  lab: {use: research, exposure: internal}
  office: {use: internal, exposure: internal, seat: DE}
  shop: {use: revenue, exposure: public, seat: KR}
  home: {use: personal, exposure: internal}
teams: {red: {contexts: [lab, office, shop, home]}, blue: {contexts: [lab, office, shop, home]}}
keys: keys.yaml
";

/// Which place was asked for which request.
type AskedOf = Arc<Mutex<Vec<(String, usize)>>>;

/// A place that fails as it likes.
#[derive(Debug)]
struct Faulty {
    id: BackendId,
    at: usize,
    asked: AskedOf,
}

impl Backend for Faulty {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _: &Probe<'_>) -> Load {
        Load { healthy: rand::random_ratio(9, 10), ..Load::IDLE }
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((request.id.clone(), self.at));
        async move {
            let status = |status| Err(BackendError::Status { status, body: Bytes::new(), retry_after: None });
            if rand::random_ratio(1, 4) {
                let late = std::time::Duration::from_millis(rand::random_range(0..8));
                tokio::time::sleep(late).await;
            }
            let text = |text: &str| Ok(Event::Delta(Delta { text: text.to_owned(), ..Delta::default() }));
            let broken = Err(BackendError::BrokenStream { reason: "played".to_owned() });
            let ends = Ok(Event::Finish { index: 0, reason: FinishReason::Stop });
            let events = match rand::random_range(0..48) {
                0 => return status(500),
                1 => return status(503),
                2 => return status(429),
                3 => return status(400),
                4 => return status(401),
                5 => return Err(BackendError::Overloaded { retry_after: None }),
                6 => return Err(BackendError::Connect("played".into())),
                7 => return Err(BackendError::Timeout { phase: Phase::Headers }),
                8 => return Err(BackendError::PromptTooLong { got: 9, limit: 8 }),
                9 => vec![],
                10 => vec![broken],
                11 => vec![text("half"), broken],
                12 => return std::future::pending().await,
                _ => vec![text("it"), text(" works"), ends, Ok(Event::Usage(backends::Usage::default()))],
            };
            Ok(stream::iter(events).boxed() as EventStream)
        }
        .boxed()
    }
}

/// A configuration at random.
fn written(rng: &mut StdRng) -> (String, String, String) {
    let deployments: Vec<_> = (0..rng.random_range(1..9))
        .map(|at| {
            format!(
                "  - {{id: d{at}, model: {}, host: groq, name: x, key: \"${{KEY}}\"}}\n",
                MODELS.choose(rng).unwrap()
            )
        })
        .collect();
    let names = |rng: &mut StdRng, most: usize| {
        let one = |rng: &mut StdRng| match rng.random_range(0..3) {
            0 => "any".to_owned(),
            1 => format!("d{}", rng.random_range(0..deployments.len())),
            _ => (*MODELS.choose(rng).unwrap()).to_owned(),
        };
        let mut names: Vec<_> = (0..rng.random_range(1..=most)).map(|_| one(rng)).collect();
        names.sort();
        names.dedup();
        names.join(", ")
    };
    let mut routes = String::from("version: 1\nroutes:\n");
    for at in 0..rng.random_range(1..4) {
        let list = names(rng, 4);
        let asked = if at == 0 { "auto".to_owned() } else { format!("m{at}") };
        routes += &format!("  - name: r{at}\n    match: {{model: {asked}}}\n    candidates: [{list}]\n");
        let hedge = if rng.random() { ", hedge_after: 2ms" } else { "" };
        let (max, again) = (rng.random_range(1..5), u8::from(rng.random_ratio(1, 20)));
        routes += &format!(
            "    attempts: {{max: {max}, again: {again}{hedge}, on: [connect, timeout, '429', 5xx, bad_stream, \
             context_too_long, auth], deadlines: {{headers: 30ms, first_token: 30ms, idle: 30ms, total: 100ms}}}}\n"
        );
        if rng.random_ratio(1, 3) {
            let (a, b) = (names(rng, 2), names(rng, 2));
            routes += &format!(
                "    split: {{by: request, arms: [{{name: a, weight: 50, candidates: [{a}]}}, {{name: b, weight: 50, \
                 candidates: [{b}]}}]}}\n"
            );
        }
        if rng.random_ratio(1, 3) {
            routes += &format!("    shadow: {{share: 0.3, candidates: [{}]}}\n", names(rng, 2));
        }
        if rng.random_ratio(1, 3) {
            routes += "    reuse: {ttl: 1m, sampled: true}\n";
        }
        if rng.random_ratio(1, 3) {
            routes += &format!("    on_none: {{degrade_to: [{}]}}\n", names(rng, 3));
        }
    }
    let (mut waivers, today) = (String::from("waivers:\n"), settle::today());
    for at in 0..rng.random_range(1..4) {
        let (rule, model) = *[
            ("tier3-commercial", "mistral-large-2"),
            ("tier4-commercial", "command-r-plus"),
            ("tier4-commercial", "exaone-3.5-32b"),
        ]
        .choose(rng)
        .unwrap();
        let context = *["office", "shop"].choose(rng).unwrap();
        let most =
            if rng.random() { format!(", at_most_requests: {}", rng.random_range(1..60)) } else { String::new() };
        waivers += &format!(
            "  - {{id: w{at}, rules: [{rule}], models: [{model}], contexts: [{context}], reason: a trial, requested_by: Ann \
             Lee, approved_by: [John Doe, Jane Roe], created: {today}, expires: {}{most}}}\n",
            today.plus_days(30)
        );
    }
    (
        format!("catalog: [acme.yaml]\npolicies: [p.yaml]\n{CONTEXTS}deployments:\n{}", deployments.concat()),
        routes,
        waivers,
    )
}

fn loaded(folder: &std::path::Path, rng: &mut StdRng) -> Config {
    let (config, routes, waivers) = written(rng);
    for (name, text) in [("pointsman.yaml", &config), ("p.yaml", &routes), ("acme.yaml", &waivers)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let loaded = config::load(&folder.join("pointsman.yaml"), &Overrides::default(), &Environment::of([("KEY", "k")]));
    loaded.unwrap_or_else(|report| panic!("{}\n{config}\n{routes}\n{waivers}", report.render(false))).0
}

/// A request at random, to its end, to where its caller loses patience, or to an answer that it does not read.
async fn asks(gateway: Arc<Gateway>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let runtime = gateway.runtime();
    let contexts: Vec<_> = runtime.config.contexts.values().collect();
    let context = Arc::clone(contexts.choose(&mut rng).unwrap());
    let caller = Grant::unbound(None, Some((*["red", "blue"].choose(&mut rng).unwrap()).into()), context);
    let model = match rng.random_range(0..4) {
        0 => (*MODELS.choose(&mut rng).unwrap()).to_owned(),
        1 => format!("m{}", rng.random_range(1..4)),
        _ => "auto".to_owned(),
    };
    let (stream, said) = (rng.random::<bool>(), rng.random_range(0..5));
    let body = serde_json::json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": format!("{said}")}]});
    let (id, headers, bytes) = (handle::request_id(), HeaderMap::new(), body.to_string().into());
    let arrived = tokio::time::Instant::now();
    let asked = Bare {
        runtime,
        api: ClientApi::Chat,
        headers: &headers,
        caller,
        bytes,
        id: &id,
        arrived,
        priority: Priority::Usual,
    };
    let patience =
        std::time::Duration::from_millis(if rng.random_ratio(1, 10) { rng.random_range(0..20) } else { 250 });
    let answered = tokio::time::timeout(patience, asked.answered(&gateway)).await;
    if let Ok(Ok(response)) = answered
        && rng.random_ratio(9, 10)
    {
        drop(response.into_body().collect().await);
    }
}

/// Holds every place that was asked against a decision that is made here.
fn allowed(config: &Config, asked: &[(String, usize)], contexts: &HashMap<String, String>) {
    let mut carried: HashMap<&str, std::collections::HashSet<&str>> = HashMap::new();
    for (request, at) in asked {
        let deployment = &config.deployments[*at].facts;
        let context = contexts.get(request).unwrap_or_else(|| panic!("{request} was asked and is not in the record"));
        let model = config.catalog.model(&deployment.model).unwrap();
        let decision = catalog::decide(&config.catalog, model, &config.contexts[context].use_, settle::today());
        assert!(decision.outcome.allows(), "{request}: `{}` in `{context}` is {decision:?}", deployment.model);
        for id in decision.rests_on.iter() {
            let waiver = config.catalog.waivers().find(|waiver| waiver.id == **id);
            if let Some(waiver) = waiver.filter(|waiver| waiver.at_most_requests.is_some()) {
                carried.entry(&waiver.id).or_default().insert(request);
            }
        }
    }
    for waiver in config.catalog.waivers() {
        let requests = carried.get(&*waiver.id).map_or(0, |requests| requests.len() as u64);
        assert!(waiver.at_most_requests.is_none_or(|most| requests <= most), "{requests} by {waiver:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_in_100_000_requests_nobody_answers_who_was_not_allowed_to() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sent, mut served, mut again, mut mirrored, mut retried) = (0, 0, 0, 0, 0);
    for world in 0..WORLDS {
        let data_dir = folder.path().join(world.to_string());
        std::fs::create_dir(&data_dir).unwrap();
        let mut rng = StdRng::seed_from_u64(world);
        let config = loaded(&data_dir, &mut rng);
        let client = remote::Client::new(&remote::ClientOptions::default()).unwrap();
        let mut runtime = Runtime::start(config, &client, None).unwrap();
        let asked = AskedOf::default();
        for (at, place) in runtime.places.iter_mut().enumerate() {
            let id = BackendId::new(runtime.deployed[at].facts.id.as_str());
            place.backend = Arc::new(Faulty { id, at, asked: Arc::clone(&asked) });
        }
        let log = data_dir.join("ledger");
        let (ledger, recovery) = ledger::Ledger::open(&log, ledger::Options::default()).unwrap();
        let instance = Instance::start(ledger.clone(), &log, &recovery).unwrap();
        instance.activate(&runtime.config, None).unwrap();
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
        let source = Source::default();
        let gateway = Arc::new(Gateway::new(source, client, runtime, (ledger.clone(), instance), metrics));
        stream::iter(0..REQUESTS)
            .for_each_concurrent(AT_ONCE, |at| asks(Arc::clone(&gateway), world * REQUESTS + at))
            .await;
        // Those that are mirrored end by themselves.
        drop(gateway.shadows.acquire_many(handle::shadow::MOST as u32).await.unwrap());
        ledger.close().unwrap();

        let ask = Ask::of(data_dir);
        let (document, none) = run(&ask).unwrap();
        assert!(none, "world {world}: {document:?}");
        let mut contexts = HashMap::new();
        for told in ask.all().unwrap() {
            let Told::Request(entry) = told.unwrap() else { continue };
            let decision = &entry.decision;
            let request = decision.shadow_of.as_ref().unwrap_or(&decision.request);
            contexts.insert(request.to_string(), decision.context.to_string());
        }
        let asked = asked.lock().unwrap();
        allowed(&gateway.runtime().config, &asked, &contexts);
        let count = |name| match document.facts.iter().find(|(fact, _)| *fact == name) {
            Some((_, Cell::Count(count))) => *count,
            other => panic!("{name}: {other:?}"),
        };
        sent += asked.len();
        served += count("served");
        again += count("answers_given_again");
        mirrored += count("mirrored");
        retried += count("tried_more_than_once");
    }
    println!("{sent} attempts; {served} served, {again} again, {mirrored} mirrored, {retried} tried more than once");
    // What is looked at has to have happened.
    assert!(sent > 20_000 && served > 15_000 && again > 1_000 && mirrored > 400 && retried > 1_500);
}
