//! What the choice of an endpoint makes of the caches of a fleet, in simulated time: see [`scripted::conversations`].

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use backends::{
    Asker, Backend, BackendError, BackendId, BoxFuture, EventStream, Input, Load, Message, Part, PlaceId, Prefixes,
    Probe, Request,
};
use rand::{SeedableRng as _, rngs::SmallRng};
use scripted::{Asked, PromptCache};

use super::*;
use crate::{TargetError, fleet::roster::Roster};

const SEED: u64 = 20_261_126;
const REPLICAS: usize = 4;
/// What an endpoint has room for: 320,000 tokens, about eight gigabytes at a model of 8 billion weights with a cache of 8
/// bits.
const BLOCKS: usize = 20_000;
const KEEPS: Duration = Duration::from_secs(3600);

/// An endpoint with a cache.
#[derive(Debug)]
struct Replica {
    id: BackendId,
    place: PlaceId,
    running: AtomicU32,
    cache: Mutex<PromptCache>,
}

impl Backend for Replica {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, probe: &Probe<'_>) -> Load {
        let cached_prefix = probe.prefix.map(|prefix| prefix.tokens_at(self.place));
        Load { running: self.running.load(SeqCst), cached_prefix, ..Load::IDLE }
    }

    fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async { Err(BackendError::Internal { reason: "nothing is sent here".into() }) })
    }
}

/// How the endpoint of a request is chosen.
#[derive(Clone, Copy, Debug)]
enum Chooses {
    AsWeDo,
    InTurn,
    LeastBusy,
}

/// What became of a run.
#[derive(Debug)]
struct Run {
    /// Of the prompt tokens, how many were cached.
    cached: f64,
    /// The requests of the endpoint with most of them, over their mean.
    imbalance: f64,
}

fn input(asked: &Asked) -> Input {
    let turn = |(role, text): &(&str, String)| Message {
        role: (*role).to_owned(),
        content: vec![Part::Text(text.clone())],
        ..Message::default()
    };
    Input::Chat { messages: asked.turns.iter().map(turn).collect(), tools: None, template_kwargs: None }
}

fn run(chooses: Chooses, work: &[Asked]) -> Run {
    let replicas: Arc<Mutex<Vec<Arc<Replica>>>> = Arc::default();
    let made = Arc::clone(&replicas);
    let make = move |address: &str| -> Result<Arc<dyn Backend>, TargetError> {
        let replica = Arc::new(Replica {
            id: BackendId::new(address),
            place: PlaceId::fresh(),
            running: AtomicU32::new(0),
            cache: Mutex::default(),
        });
        made.lock().unwrap().push(Arc::clone(&replica));
        Ok(replica)
    };
    let roster = Roster::new(BackendId::new("fleet"), make);
    let addresses: Vec<String> = (0..REPLICAS).map(|at| at.to_string()).collect();
    roster.set(&addresses).unwrap();
    let replicas = replicas.lock().unwrap().clone();

    let mut random = SmallRng::seed_from_u64(SEED);
    let began = Instant::now();
    let index = Arc::new(Prefixes::new(SEED, began));
    let mut ends: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    let (mut all, mut cached, mut requests) = (0, 0, [0_usize; REPLICAS]);
    for (nth, asked) in work.iter().enumerate() {
        while let Some(Reverse((at, replica))) = ends.peek().copied().filter(|end| end.0.0 <= asked.at) {
            ends.pop();
            replicas[replica].running.fetch_sub(1, SeqCst);
            assert!(at <= asked.at);
        }
        let words = asked.words();
        let team = asked.team.to_string();
        let asker = Asker { team: Some(&team), session: None };
        let now = began + asked.at;
        let chain = index.chain(asker, &input(asked), words.len() as u64).unwrap();
        let prefix = Arc::clone(&index).look_up(chain, now);
        let chosen = match chooses {
            Chooses::AsWeDo => {
                let (endpoint, _) = roster.choose(Some(&prefix), &mut random).unwrap();
                endpoint.address().parse().unwrap()
            }
            Chooses::InTurn => nth % REPLICAS,
            Chooses::LeastBusy => {
                (0..REPLICAS).min_by_key(|at| (replicas[*at].running.load(SeqCst), random.random::<u32>())).unwrap()
            }
        };
        let replica = &replicas[chosen];
        replica.running.fetch_add(1, SeqCst);
        ends.push(Reverse((asked.at + asked.lasts, chosen)));
        prefix.served_by(replica.place, KEEPS, now);
        cached += replica.cache.lock().unwrap().take(&words, BLOCKS);
        all += words.len();
        requests[chosen] += 1;
    }
    let most = *requests.iter().max().unwrap() as f64;
    Run { cached: cached as f64 / all as f64, imbalance: most * REPLICAS as f64 / work.len() as f64 }
}

#[test]
fn four_replicas_reuse_nearly_as_much_as_one_cache_for_all_and_share_the_load() {
    let work = scripted::conversations(300, SEED);
    // No choice can do better than a cache that every request meets, with the room of all of them.
    let (all, cached) = scripted::at_best(&work, REPLICAS * BLOCKS);
    let best = cached as f64 / all as f64;
    println!("seed {SEED}, {} requests, {all} prompt tokens; one cache for all: {best:.4}", work.len());
    let [ours, in_turn, least_busy] = [Chooses::AsWeDo, Chooses::InTurn, Chooses::LeastBusy].map(|chooses| {
        let run = run(chooses, &work);
        println!(
            "{chooses:?}: {:.4} of the tokens cached, {:.3} of the best, {:.3} of the mean at the busiest",
            run.cached,
            run.cached / best,
            run.imbalance
        );
        run
    });
    assert!(ours.cached >= 0.95 * best, "{ours:?}");
    assert!(ours.imbalance <= 1.25, "{ours:?}");
    // What is not cached has to be read.
    let reads = |run: &Run| 1.0 - run.cached;
    for other in [in_turn, least_busy] {
        assert!(reads(&ours) < 0.5 * reads(&other), "{ours:?} {other:?}");
    }
}
