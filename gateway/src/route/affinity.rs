//! What plans make of the prompt caches of deployments that are alike, in simulated time: see [`scripted::conversations`].
//!
//! The runtime, its statistics, the index and the plans are those that serve; only the backends are played.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex},
    time::Duration,
};

use backends::{
    Asker, Backend, BackendError, BackendId, BoxFuture, EventStream, Input, Load, Message, Part, PlaceId, Prefixes,
    Probe, Request, Usage,
};
use policies::Facts;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use scripted::{Asked, PromptCache};
use tokio::time::Instant;

use super::{Cached, plan_again};
use crate::{
    config::{Environment, Overrides, load},
    dispatch::stats::{Attempt, Size},
    runtime::Runtime,
};

const SEED: u64 = 20_261_126;
const PLACES: usize = 4;
/// What a place has room for, in blocks of 16 tokens.
const BLOCKS: usize = 20_000;
const KEEPS: Duration = Duration::from_secs(3600);
/// Tokens of a prompt that a place reads in a millisecond, and what it needs besides.
const PREFILL: u64 = 5;
const BESIDES: Duration = Duration::from_millis(50);

const CONFIG: &str = r#"
policies: [own.yaml]
discover: false
deployments:
  - {id: d0, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:9/v1", price: PRICE}
  - {id: d1, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:10/v1", price: PRICE}
  - {id: d2, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:11/v1", price: PRICE}
  - {id: d3, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:12/v1", price: PRICE}
contexts: {office: {use: internal, exposure: internal}}
teams: {everyone: {contexts: [office]}}
keys: keys.yaml
"#;
const PRICE: &str = "{input_usd_per_million: 0.4, cached_input_usd_per_million: 0.1, output_usd_per_million: 0.8}";
const POLICIES: &str =
    "version: 1\nroutes:\n  - {name: r, match: {model: auto}, prefer: {cost: 1, latency: 1}, candidates: [any]}\n";

/// A place with a cache.
#[derive(Debug)]
struct Played {
    id: BackendId,
    place: PlaceId,
    cache: Mutex<PromptCache>,
}

impl Backend for Played {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, probe: &Probe<'_>) -> Load {
        Load { cached_prefix: probe.prefix.map(|prefix| prefix.tokens_at(self.place)), ..Load::IDLE }
    }

    fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async { Err(BackendError::Internal { reason: "nothing is sent here".into() }) })
    }
}

/// How the deployment of a request is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chooses {
    AsWeDo,
    /// By the same plan, which is told nothing of who was sent what.
    ByUsualShare,
    InTurn,
    LeastBusy,
}

/// What became of a run.
#[derive(Debug)]
struct Run {
    /// Of the prompt tokens, how many were cached.
    cached: f64,
    /// The requests of the place with most of them, over their mean.
    imbalance: f64,
    /// The mean time to the first token.
    first_ms: f64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Speaks,
    Ends,
}

fn input(asked: &Asked) -> Input {
    let turn = |(role, text): &(&str, String)| Message {
        role: (*role).to_owned(),
        content: vec![Part::Text(text.clone())],
        ..Message::default()
    };
    Input::Chat { messages: asked.turns.iter().map(turn).collect(), tools: None, template_kwargs: None }
}

fn runtime() -> (Runtime, Vec<Arc<Played>>) {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("PRICE", PRICE);
    for (name, text) in [("pointsman.yaml", &*config), ("own.yaml", POLICIES), ("keys.yaml", "keys: []")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = folder.path().join("pointsman.yaml");
    let (config, _) =
        load(&file, &Overrides::default(), &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    let client = remote::Client::new(&remote::ClientOptions::default()).unwrap();
    let mut runtime = Runtime::start(config, &client, None).unwrap();
    let mut played = Vec::new();
    for place in &mut runtime.places {
        let one = Arc::new(Played { id: place.backend.id().clone(), place: PlaceId::fresh(), cache: Mutex::default() });
        place.backend = Arc::clone(&one) as Arc<dyn Backend>;
        played.push(one);
    }
    (runtime, played)
}

async fn run(chooses: Chooses, work: &[Asked]) -> Run {
    let (runtime, played) = runtime();
    let mut random = SmallRng::seed_from_u64(SEED);
    let (began, epoch) = (Instant::now(), std::time::Instant::now());
    let index = Arc::new(Prefixes::new(SEED, epoch));
    let use_ = Arc::clone(&runtime.config.contexts["office"].use_);
    let mut events: BinaryHeap<Reverse<(Duration, usize, What)>> = BinaryHeap::new();
    let mut flights: Vec<Option<(Attempt, Usage)>> = Vec::new();
    let (mut all, mut cached, mut requests, mut first_ms) = (0, 0, [0_usize; PLACES], 0.0);
    for (nth, asked) in work.iter().enumerate() {
        while events.peek().is_some_and(|Reverse((at, ..))| *at <= asked.at) {
            let Some(Reverse((at, flight, what))) = events.pop() else { break };
            tokio::time::advance((began + at).saturating_duration_since(Instant::now())).await;
            match what {
                What::Speaks => {
                    flights[flight].as_mut().unwrap().0.first_token();
                }
                What::Ends => {
                    let (attempt, usage) = flights[flight].take().unwrap();
                    attempt.succeeded(usage, true);
                }
            }
        }
        tokio::time::advance((began + asked.at).saturating_duration_since(Instant::now())).await;
        let words = asked.words();
        let tokens = words.len() as u64;
        let team = asked.team.to_string();
        let chain = index.chain(Asker { team: Some(&team), session: None }, &input(asked), tokens).unwrap();
        let prefix = Arc::clone(&index).look_up(chain, epoch + asked.at);
        let facts = Facts {
            prompt_tokens: tokens,
            answer_tokens: Some(170.0),
            draw: random.random::<u64>() | 1,
            stream: true,
            ..Facts::new("auto", Arc::clone(&use_), "2026-11-26".parse().unwrap())
        };
        let planned = |prefix| plan_again(&runtime, &facts, &Cached::told(prefix));
        let running = runtime.live(Size::of(tokens), &Cached::default());
        let chosen = match chooses {
            Chooses::AsWeDo => planned(Some(&prefix)).candidates[0].deployment,
            Chooses::ByUsualShare => planned(None).candidates[0].deployment,
            Chooses::InTurn => nth % PLACES,
            Chooses::LeastBusy => (0..PLACES).min_by_key(|at| (running[*at].running, random.random::<u32>())).unwrap(),
        };
        let expected = prefix.tokens_at(played[chosen].place) as f32 / prefix.tokens() as f32;
        prefix.served_by(played[chosen].place, KEEPS, epoch + asked.at);
        let cached_tokens = played[chosen].cache.lock().unwrap().take(&words, BLOCKS) as u64;
        let first = BESIDES + Duration::from_millis((tokens - cached_tokens) / PREFILL);
        let completion_tokens = asked.lasts.as_millis() as u64 / 20;
        let usage = Usage { prompt_tokens: tokens, completion_tokens, cached_tokens, ..Usage::default() };
        let attempt = runtime.places[chosen].stats.begin(Size::of(tokens)).unwrap().expecting(expected);
        flights.push(Some((attempt, usage)));
        events.push(Reverse((asked.at + first, nth, What::Speaks)));
        events.push(Reverse((asked.at + first + asked.lasts, nth, What::Ends)));
        all += tokens;
        cached += cached_tokens;
        first_ms += first.as_secs_f64() * 1e3;
        requests[chosen] += 1;
    }
    let most = *requests.iter().max().unwrap() as f64;
    Run {
        cached: cached as f64 / all as f64,
        imbalance: most * PLACES as f64 / work.len() as f64,
        first_ms: first_ms / work.len() as f64,
    }
}

#[tokio::test(start_paused = true)]
async fn four_deployments_reuse_nearly_as_much_as_one_cache_for_all_and_share_the_load() {
    let work = scripted::conversations(300, SEED);
    // No choice can do better than a cache that every request meets, with the room of all of them.
    let (all, cached) = scripted::at_best(&work, PLACES * BLOCKS);
    let best = cached as f64 / all as f64;
    println!("seed {SEED}, {} requests, {all} prompt tokens; one cache for all: {best:.4}", work.len());
    let mut runs = Vec::new();
    for chooses in [Chooses::AsWeDo, Chooses::ByUsualShare, Chooses::InTurn, Chooses::LeastBusy] {
        let run = run(chooses, &work).await;
        println!(
            "{chooses:?}: {:.4} of the tokens cached, {:.3} of the best; {:.3} of the mean at the busiest; first token after {:.0} ms",
            run.cached,
            run.cached / best,
            run.imbalance,
            run.first_ms
        );
        runs.push(run);
    }
    let [ours, _, in_turn, least_busy] = &runs[..] else { panic!("four runs") };
    assert!(ours.cached >= 0.95 * best, "{ours:?}");
    assert!(ours.imbalance <= 1.25, "{ours:?}");
    // What is not cached has to be read.
    let reads = |run: &Run| 1.0 - run.cached;
    for other in [in_turn, least_busy] {
        assert!(reads(ours) < 0.5 * reads(other), "{ours:?} {other:?}");
    }
}
