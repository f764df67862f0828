//! The cost of one plan among 1,000 routes and 300 deployments; the budget is 5 us at the 99th percentile.
//!
//! Beside criterion's mean, each case prints percentiles of single calls, a clock reading (about 25 ns) included: of the
//! quietest of several rounds, and of all of them. What a machine's interrupts and neighbours take of a call is no
//! property of the plan: beside it stands what they take, in the same rounds, of work in registers alone that lasts as long.
//! A condition (`when:`) is asked for each route that has one, so it is measured by itself.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use catalog::{ASSUMED_ENTITY, Availability, Catalog, Exposure, Kind, Purpose, Use};
use criterion::{Criterion, criterion_group, criterion_main};
use policies::{
    Deployment, Facts, Live, Place, PolicySet, Snapshot, Source, Spread, compile, condition::Condition, plan,
};

const ROUTES: usize = 1_000;
const DEPLOYMENTS: usize = 300;
const TEAMS: usize = 100;
const ROUNDS: usize = 10;
const CALLS: usize = 20_000;

/// 300 deployments of 60 models at five hosts.
fn deployments(catalog: &Catalog) -> Vec<Deployment> {
    let models: Vec<&str> = catalog
        .models()
        .filter(|m| m.kind == Kind::Model && m.availability == Availability::Downloadable && m.tier.number() <= 2)
        .map(|m| m.id.as_str())
        .take(60)
        .collect();
    let hosts = ["together", "fireworks", "deepinfra", "groq", "openrouter"];
    (0..DEPLOYMENTS)
        .map(|n| Deployment {
            input_usd_per_million: Some(0.1 + (n % 17) as f64 / 10.0),
            output_usd_per_million: Some(0.2 + (n % 13) as f64 / 5.0),
            region: Some(["eu", "us", "kr"][n % 3].to_owned()),
            ..Deployment::new(
                format!("d{n}"),
                models[n % models.len()],
                Place::Host(hosts[n / models.len()].to_owned()),
            )
        })
        .collect()
}

/// Ten routes for each of a hundred teams; the names of every tenth are candidates, and one in ten ends in `any`.
fn policies(catalog: &Catalog, deployments: &[Deployment]) -> PolicySet {
    let mut text = "version: 1\nroutes:\n".to_owned();
    for route in 0..ROUTES {
        let (team, kind) = (route % TEAMS, route / TEAMS);
        let language = ["ko", "ja", "zh", "de", "fr", "es", "pt", "ru"].get(kind);
        let language = language.map(|l| format!(", language: {l}")).unwrap_or_default();
        let model = if kind == 9 { "widest" } else { "auto" };
        let names: Vec<&str> = (0..5).map(|n| deployments[(route + 7 * n) % 60].model.as_str()).collect();
        let candidates = if kind == 9 { "any".to_owned() } else { names.join(", ") };
        text.push_str(&format!(
            "  - {{name: r{route}, match: {{team: t{team}, model: {model}{language}}}, require: {{region: [eu, us]}}, \
             prefer: {{quality: 2, cost: 1, latency: 1}}, candidates: [{candidates}]}}\n"
        ));
    }
    compile(&[Source::builtin("bench.yaml", text)], catalog, deployments).unwrap_or_else(|report| panic!("{report}")).0
}

fn facts(model: &str, language: &str) -> Facts {
    let use_ = Use {
        seat: Some("KR".to_owned()),
        entity: Some(ASSUMED_ENTITY.to_owned()),
        ..Use::new(Purpose::Revenue, Exposure::Public)
    };
    Facts {
        team: Some("t42".to_owned()),
        language: Some(language.to_owned()),
        prompt_tokens: 900,
        max_tokens: Some(300),
        answer_tokens: Some(180.0),
        draw: 0x0123_4567_89AB_CDEF,
        stream: true,
        ..Facts::new(model, use_, "2026-11-25".parse().expect("a date"))
    }
}

/// How long each of some calls took, the shortest first.
struct Round(Vec<Duration>);

impl Round {
    fn of(mut call: impl FnMut()) -> Self {
        let took = (0..CALLS).map(|_| {
            let began = Instant::now();
            call();
            began.elapsed()
        });
        Self::sorted(took.collect())
    }

    fn sorted(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    fn at(&self, share: f64) -> Duration {
        self.0[(self.0.len() as f64 * share) as usize]
    }
}

/// The percentiles of the quietest round and of all of them.
fn told(rounds: Vec<Round>) -> String {
    let quietest = rounds.iter().min_by_key(|round| round.at(0.99)).expect("some rounds");
    let (p50, p99) = (quietest.at(0.5), quietest.at(0.99));
    let all = Round::sorted(rounds.iter().flat_map(|round| &round.0).copied().collect());
    format!("p50 {p50:?}, p99 {p99:?} (all rounds {:?}, {:?}, p99.9 {:?})", all.at(0.5), all.at(0.99), all.at(0.999))
}

/// Multiplies a number so often by another; reads and writes no memory.
fn registers(times: u32) -> u64 {
    (0..times).fold(1, |number, _| black_box(u64::wrapping_mul(number, 0x9E37_79B9_7F4A_7C15) ^ 1))
}

fn bench(c: &mut Criterion) {
    let catalog = Catalog::with_assumptions();
    let deployments = deployments(&catalog);
    let live: Vec<Live> = (0..DEPLOYMENTS)
        .map(|n| Live {
            fresh: true,
            ttft: Some(Spread::always(200.0 + n as f32)),
            tpot: Some(Spread::always(5.0 + (n % 31) as f32)),
            error_rate: (n % 10) as f32 / 100.0,
            cached_share: (n % 4) as f32 / 10.0,
            cached_prefix_tokens: Some(if n % 50 == 0 { 600 } else { 0 }),
            ..Live::default()
        })
        .collect();
    let began = Instant::now();
    let policies = policies(&catalog, &deployments);
    println!("compile: {ROUTES} routes x {DEPLOYMENTS} deployments in {:.1?}", began.elapsed());
    let snapshot = Snapshot { catalog: &catalog, policies: &policies, deployments: &deployments, live: &live };

    let unmeasured = |n: usize| if n.is_multiple_of(3) { Live::UNMEASURED } else { live[n] };
    let unmeasured: Vec<Live> = (0..DEPLOYMENTS).map(unmeasured).collect();
    let stale: Vec<Live> = live.iter().map(|live| Live { fresh: false, ..*live }).collect();

    let asked_by_name = deployments[0].model.clone();
    // The upper half of a draw that is a multiple of 50 has the request try one anew that nothing was heard of lately.
    let explores = Facts { draw: 50 << 32 | 7, ..facts("widest", "en") };
    const OWN_DRAWS: &str = "any of 300, each with a draw of its own";
    for (name, mut facts, live) in [
        ("five named models", facts("auto", "ru"), &live),
        ("a model by its name", facts(&asked_by_name, "en"), &live),
        ("any of 300", facts("widest", "en"), &live),
        ("any of 300, a third unmeasured", facts("widest", "en"), &unmeasured),
        ("any of 300, one tried anew", explores, &stale),
        // One in fifty tries one anew, as when requests come.
        (OWN_DRAWS, facts("widest", "en"), &stale),
    ] {
        let snapshot = Snapshot { live, ..snapshot };
        let whole = plan(&facts, &snapshot);
        let candidates = whole.candidates.len();
        let mut drawn = 0_u64;
        let mut planned = || {
            if name == OWN_DRAWS {
                drawn += 1;
                facts.draw = drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            }
            black_box(plan(black_box(&facts), &snapshot));
        };
        let usual = Round::of(&mut planned).at(0.5);
        let thousand = Round::of(|| {
            black_box(registers(black_box(1_000)));
        })
        .at(0.5);
        let times = (1_000.0 * usual.as_secs_f64() / thousand.as_secs_f64()) as u32;
        let (mut plans, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plans.push(Round::of(&mut planned));
            beside.push(Round::of(|| {
                black_box(registers(black_box(times)));
            }));
        }
        let allocated = allocation_counter::measure(|| drop(plan(&facts, &snapshot)));
        println!(
            "{name}: {candidates} candidates of {}, {} allocations of {} bytes\n    the plan: {}\n    registers alone: {}",
            whole.more + candidates,
            allocated.count_total,
            allocated.bytes_total,
            told(plans),
            told(beside)
        );
        c.bench_function(name, |b| b.iter(|| plan(black_box(&facts), &snapshot)));
    }

    let facts = Facts { metadata: vec![("project".to_owned(), "apollo".to_owned())], ..facts("auto", "ko") };
    for (name, text) in [
        ("a short condition", "request.prompt_tokens > 500"),
        (
            "a long condition",
            "request.language in ['en', 'ja', 'ko'] && !request.needs.exists(need, need == 'image') \
             && has(request.metadata.project) && request.metadata.project.startsWith('ap') \
             && request.prompt_tokens + request.max_tokens > 1000 && request.use.purpose == 'revenue'",
        ),
    ] {
        let condition = Condition::compile(text).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(condition.holds(&facts), Ok(true));
        c.bench_function(name, |b| b.iter(|| condition.holds(black_box(&facts))));
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
