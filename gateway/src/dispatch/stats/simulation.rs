//! What scoring does with traffic: ten deployments whose latency, price, cache and failures drift, in simulated time.
//!
//! Requests are planned by `policies::plan` from these statistics and worked through as `dispatch` does it: the next
//! candidate after a failure, the breaker asked before each attempt. An oracle plans the same requests from the true
//! means. What is lost against it, in its own terms, is the regret: the oracle's score of its choice less that of ours.
//! Nothing sleeps and nothing depends on the machine: the clock is advanced from event to event, and all randomness
//! comes from one seed.

use std::{collections::BinaryHeap, time::Duration};

use backends::BackendError;
use catalog::{Catalog, Exposure, Purpose, Use};
use policies::{Deployment, Facts, Place, PolicySet, Snapshot, Source, Spread, compile, plan};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};

use super::*;

const SEED: u64 = 20_261_125;
const DEPLOYMENTS: usize = 10;
const PROMPT_TOKENS: u64 = 1_000;
const ANSWER_TOKENS: u64 = 200;
/// How soon a backend that fails says so.
const FAILS_AFTER: Duration = Duration::from_millis(20);

/// What is true of a deployment at a moment, on average.
#[derive(Clone, Copy, Debug)]
struct Truth {
    ttft_ms: f32,
    tpot_ms: f32,
    error_rate: f32,
    cached_share: f32,
}

/// How the candidates of a request are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chooses {
    /// As we do.
    ByScore,
    /// One after another.
    InTurn,
    /// By chance.
    ByChance,
}

/// Ten deployments, and what becomes of them.
struct World {
    catalog: Arc<Catalog>,
    deployments: Vec<Deployment>,
    policies: PolicySet,
    /// What is true of each after so many seconds.
    truth: Box<dyn Fn(usize, f32) -> Truth>,
    stats: Vec<Arc<Stats>>,
    random: SmallRng,
}

/// One request under way.
struct Flight {
    order: Vec<usize>,
    /// The next of `order` to be tried.
    next: usize,
    attempt: Option<Attempt>,
    /// How long its answer takes after the first token.
    rest: Duration,
    cached_tokens: u64,
}

/// What happens to a request next. The latest comes first, so that a heap gives the earliest.
struct Event {
    at: Duration,
    number: u64,
    what: What,
}

enum What {
    Arrives,
    Fails(Flight),
    Speaks(Flight),
    Ends(Flight),
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// A decision, for whoever asks about the run.
struct Decided {
    at: Duration,
    chosen: usize,
    explored: bool,
    /// What the oracle's choice is better by.
    regret: f64,
    /// The true expected time of the choice, and of the oracle's, in milliseconds.
    ms: f64,
    oracle_ms: f64,
}

impl World {
    fn new(truth: impl Fn(usize, f32) -> Truth + 'static) -> Self {
        let catalog = Catalog::with_assumptions();
        let deployments: Vec<Deployment> = (0..DEPLOYMENTS).map(|at| deployment(at, 0)).collect();
        let policies = policies(&catalog, &deployments);
        let epoch = Epoch::start();
        let stats = (0..DEPLOYMENTS as u64).map(|at| Arc::new(Stats::seeded(epoch, SEED + at))).collect();
        Self { catalog, deployments, policies, truth: Box::new(truth), stats, random: SmallRng::seed_from_u64(SEED) }
    }

    /// A new price list: the configuration is loaded again, and the statistics go on.
    fn reprice(&mut self, edition: usize) {
        self.deployments = (0..DEPLOYMENTS).map(|at| deployment(at, edition)).collect();
        self.policies = policies(&self.catalog, &self.deployments);
    }

    fn plan(&self, live: &[Live], draw: u64) -> policies::Plan {
        let snapshot =
            Snapshot { catalog: &self.catalog, policies: &self.policies, deployments: &self.deployments, live };
        let use_ = Use::new(Purpose::Revenue, Exposure::Public);
        let facts = Facts {
            language: Some("en".to_owned()),
            prompt_tokens: PROMPT_TOKENS,
            answer_tokens: Some(ANSWER_TOKENS as f32),
            draw,
            stream: true,
            ..Facts::new("auto", use_, "2026-11-25".parse().unwrap())
        };
        plan(&facts, &snapshot)
    }

    /// What the oracle knows.
    fn truths(&self, seconds: f32) -> Vec<Live> {
        let live = |at| {
            let truth = (self.truth)(at, seconds);
            Live {
                fresh: true,
                ttft: Some(Spread::always(truth.ttft_ms)),
                tpot: Some(Spread::always(truth.tpot_ms)),
                error_rate: truth.error_rate,
                cached_share: truth.cached_share,
                ..Live::default()
            }
        };
        (0..DEPLOYMENTS).map(live).collect()
    }

    /// Serves `requests` that arrive `per_second`, with a new price list after each `edition` of them.
    async fn run(&mut self, chooses: Chooses, requests: usize, per_second: f64, edition: usize) -> Vec<Decided> {
        let began = Instant::now();
        let mut events = BinaryHeap::new();
        let mut number = 0;
        let mut push = |events: &mut BinaryHeap<Event>, at, what| {
            number += 1;
            events.push(Event { at, number, what });
        };
        push(&mut events, Duration::ZERO, What::Arrives);
        let mut decided = Vec::with_capacity(requests);
        while let Some(Event { at, what, .. }) = events.pop() {
            tokio::time::advance((began + at).saturating_duration_since(Instant::now())).await;
            let flight = match what {
                What::Arrives => {
                    if decided.len() % edition == 0 {
                        self.reprice(decided.len() / edition);
                    }
                    let (order, told) = self.decide(chooses, decided.len(), at);
                    decided.push(told);
                    if decided.len() < requests {
                        let pause = -self.random.random::<f64>().max(1e-12).ln() / per_second;
                        push(&mut events, at + Duration::from_secs_f64(pause), What::Arrives);
                    }
                    Flight { order, next: 0, attempt: None, rest: Duration::ZERO, cached_tokens: 0 }
                }
                What::Fails(mut flight) => {
                    flight.attempt.take().unwrap().failed(&BackendError::Internal { reason: "simulated".into() });
                    flight
                }
                What::Speaks(mut flight) => {
                    flight.attempt.as_mut().unwrap().first_token();
                    push(&mut events, at + flight.rest, What::Ends(flight));
                    continue;
                }
                What::Ends(mut flight) => {
                    let usage = Usage {
                        prompt_tokens: PROMPT_TOKENS,
                        completion_tokens: ANSWER_TOKENS,
                        cached_tokens: flight.cached_tokens,
                        ..Usage::default()
                    };
                    flight.attempt.take().unwrap().succeeded(usage, true);
                    continue;
                }
            };
            if let Some((after, what)) = self.attempt(flight, at) {
                push(&mut events, at + after, what);
            }
        }
        decided
    }

    /// Who is to be tried, and what the oracle says to it.
    fn decide(&mut self, chooses: Chooses, nth: usize, at: Duration) -> (Vec<usize>, Decided) {
        let now_ms = self.stats[0].epoch.ms(Instant::now());
        let size = Size::of(PROMPT_TOKENS);
        let draw = self.random.random();
        let live: Vec<Live> = self.stats.iter().map(|stats| stats.live(now_ms, Load::IDLE, size)).collect();
        let plan = self.plan(&live, draw);
        let mut order: Vec<usize> = plan.candidates.iter().map(|candidate| candidate.deployment).collect();
        match chooses {
            Chooses::ByScore => {}
            Chooses::InTurn => {
                order.sort_unstable();
                let from = order.partition_point(|deployment| *deployment < nth % DEPLOYMENTS) % order.len();
                order.rotate_left(from);
            }
            Chooses::ByChance => order.swap(0, draw as usize % plan.candidates.len()),
        }
        let chosen = order[0];
        let truths = self.truths(at.as_secs_f32());
        let oracle = self.plan(&truths, 0);
        let score = |of: usize| oracle.candidates.iter().find(|candidate| candidate.deployment == of).unwrap();
        let told = Decided {
            at,
            chosen,
            explored: chooses == Chooses::ByScore && plan.candidates[0].made_of.explored,
            regret: oracle.candidates[0].score - score(chosen).score,
            ms: f64::from(score(chosen).made_of.expected_ms.unwrap()),
            oracle_ms: f64::from(oracle.candidates[0].made_of.expected_ms.unwrap()),
        };
        (order, told)
    }

    /// Sends a request to the next of its candidates that takes it; how long until what happens then.
    fn attempt(&mut self, mut flight: Flight, at: Duration) -> Option<(Duration, What)> {
        loop {
            let deployment = *flight.order.get(flight.next)?;
            flight.next += 1;
            let Some(attempt) = self.stats[deployment].begin(Size::of(PROMPT_TOKENS)) else { continue };
            flight.attempt = Some(attempt);
            let truth = (self.truth)(deployment, at.as_secs_f32());
            if self.random.random::<f32>() < truth.error_rate {
                return Some((FAILS_AFTER, What::Fails(flight)));
            }
            flight.rest = self.around(truth.tpot_ms * (ANSWER_TOKENS - 1) as f32);
            // A prompt is cached as a whole or not at all.
            let cached = self.random.random::<f32>() < truth.cached_share;
            flight.cached_tokens = if cached { PROMPT_TOKENS } else { 0 };
            return Some((self.around(truth.ttft_ms), What::Speaks(flight)));
        }
    }

    /// A time of this mean: log-normal, the 95th percentile at twice the median.
    fn around(&mut self, mean_ms: f32) -> Duration {
        const SIGMA: f32 = 0.42;
        let (u, v): (f32, f32) = (self.random.random::<f32>().max(1e-7), self.random.random());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos();
        Duration::from_secs_f32(mean_ms / 1e3 * (SIGMA * normal - SIGMA * SIGMA / 2.0).exp())
    }
}

/// A deployment with the prices of a list.
fn deployment(at: usize, edition: usize) -> Deployment {
    let usd = 0.15 + ((at * 7 + edition * 3) % 10) as f64 * 0.08;
    Deployment {
        input_usd_per_million: Some(usd),
        cached_input_usd_per_million: Some(usd / 4.0),
        output_usd_per_million: Some(2.0 * usd),
        ..Deployment::new(format!("d{at}"), "qwen3-32b", Place::Host("together".to_owned()))
    }
}

fn policies(catalog: &Catalog, deployments: &[Deployment]) -> PolicySet {
    let text =
        "version: 1\nroutes:\n  - {name: r, match: {model: auto}, prefer: {cost: 1, latency: 1}, candidates: [any]}\n";
    compile(&[Source::builtin("simulation.yaml", text)], catalog, deployments)
        .unwrap_or_else(|report| panic!("{report}"))
        .0
}

/// Everything drifts, each deployment in its own rhythm, and each has turns in which it fails.
fn drifting(at: usize, seconds: f32) -> Truth {
    let nth = at as f32;
    let wave = |period: f32, shift: f32| (std::f32::consts::TAU * (seconds / period + shift)).sin();
    let slow = (0.7 * wave(600.0 + 97.0 * nth, 0.37 * nth)).exp();
    // One in seven of its turns of two minutes, it fails at once most of the time.
    let turn = (seconds / 120.0) as usize;
    let broken = (turn * 5 + at * 3).is_multiple_of(7);
    Truth {
        ttft_ms: 300.0 * slow,
        tpot_ms: 12.0 * slow,
        error_rate: if broken { 0.7 } else { 0.01 },
        cached_share: 0.3 + 0.3 * wave(900.0, 0.21 * nth),
    }
}

/// All alike but one, which fails at once between the seconds `from` and `to`, always. While it is well it is the best.
fn breaks(from: f32, to: f32) -> impl Fn(usize, f32) -> Truth {
    move |at, seconds| Truth {
        ttft_ms: if at == 0 { 200.0 } else { 400.0 },
        tpot_ms: if at == 0 { 5.0 } else { 15.0 },
        error_rate: if at == 0 && (from..to).contains(&seconds) { 1.0 } else { 0.0 },
        cached_share: 0.0,
    }
}

fn share(decided: &[Decided], of: usize, from: f32, to: f32) -> f64 {
    let within: Vec<_> = decided.iter().filter(|d| (from..to).contains(&d.at.as_secs_f32())).collect();
    within.iter().filter(|d| d.chosen == of).count() as f64 / within.len() as f64
}

#[tokio::test(start_paused = true)]
async fn ten_drifting_deployments_are_chosen_from_nearly_as_well_as_by_an_oracle() {
    const REQUESTS: usize = 100_000;
    println!("seed {SEED}, {REQUESTS} requests at 50 a second, a new price list each 10,000");
    let mut regret = Vec::new();
    for chooses in [Chooses::ByScore, Chooses::InTurn, Chooses::ByChance] {
        let mut world = World::new(drifting);
        let decided = world.run(chooses, REQUESTS, 50.0, 10_000).await;
        let mean = |of: fn(&Decided) -> f64| decided.iter().map(of).sum::<f64>() / REQUESTS as f64;
        let explored = mean(|d| f64::from(u8::from(d.explored)));
        println!(
            "{chooses:?}: regret {:.4} of a score a request, expected {:.0} ms (oracle {:.0} ms), explored {:.2} %",
            mean(|d| d.regret),
            mean(|d| d.ms),
            mean(|d| d.oracle_ms),
            explored * 100.0,
        );
        assert!(explored <= 0.021, "no more than one request in fifty is sent to learn");
        regret.push(mean(|d| d.regret));
    }
    assert!(regret[0] < 0.15 * regret[1] && regret[0] < 0.15 * regret[2], "{regret:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_fast_attracts_no_traffic_and_a_recovered_one_gets_it_back() {
    let (fails, recovers, ends) = (60.0, 240.0, 400.0);
    let mut world = World::new(breaks(fails, recovers));
    let decided = world.run(Chooses::ByScore, 20_000, 50.0, usize::MAX).await;
    let before = share(&decided, 0, 30.0, fails);
    let failing = share(&decided, 0, fails + 5.0, recovers);
    // The breaker is open for 75 seconds at most; then one request finds out.
    let after = share(&decided, 0, recovers + 80.0, ends);
    println!("seed {SEED}: {before:.3} of the traffic before, {failing:.4} while it fails, {after:.3} after");
    assert!(before > 0.9, "it is the best while it is well: {before}");
    assert!(failing < 0.01, "{failing}");
    assert!(after > 0.9, "80 seconds after its recovery it has its traffic back: {after}");
}
