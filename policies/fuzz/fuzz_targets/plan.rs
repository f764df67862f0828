//! Any request in any state of the world has a plan that holds what [`world::planned`] says of each, under policies that
//! use every part of the language that a plan looks at.

#![no_main]

mod world;

use std::sync::LazyLock;

use catalog::{Activity, Date, Domain, Exposure, Purpose, Use};
use libfuzzer_sys::{
    arbitrary::{Arbitrary, Result, Unstructured},
    fuzz_target,
};
use policies::{Capabilities, Capability, Facts, Live, Needs, PolicySet, SCRIPTS, Snapshot, Spread};

use crate::world::{CATALOG, DEPLOYMENTS, compile, planned};

/// Routes by every part of `match`, with every part of `require` that waits for the request, and every factor.
const POLICIES: &str = r#"
version: 1
aliases: {gpt: auto, short: "lab:fast", chain: gpt}
routes:
  - name: hangul
    match: {script: [hangul, unknown], model: [auto, chat], stream: true}
    require: {license: {max_tier: 3, obligations: [display, notice, naming]}, ttft_p95_ms: {max: 1200}}
    prefer: {quality: 2, cost: 1, latency: 1, throughput: 1, cached_prefix: 1, locality: 1, spread: 1}
    candidates: [kanana-1.5-8b, any]
  - name: tagged
    match: {header: {x-customer-tier: [gold, silver]}, metadata: {project: apollo}}
    require: {error_rate: {max: 0.2}, tpot_p95_ms: {max: 100}}
    candidates: ["host:together", any, demo]
  - name: night
    match: {time: {days: mon-fri, from: "22:00", to: "06:00", zone: Europe/Berlin}, model: [auto, batch]}
    prefer: {cost: 1}
    candidates: [any]
  - name: keyed
    match: {key: [k1, k2], context: bot, prompt_tokens: {min: 10, max: 5000}}
    suffixes: refuse
    candidates: [qwen3-32b, "family:llama-3.3", any]
  - name: eyes
    match: {modality: [image, audio], needs: [tools]}
    candidates: [eyes, mistral-large-2]
  - name: support
    match: {team: [support, ops], language: [ko, en, unknown]}
    require: {license: {obligations: none}}
    prefer: {quality: 1}
    candidates: [any]
  - name: lists
    match: {model: list}
    candidates: [exaone-3.5-32b, mistral-large-2, qwen3-32b, kanana-1.5-8b, "lab:fast", demo]
  - name: rest
    match: {model: [auto, chat, batch]}
    prefer: {quality: 1, cost: 3, latency: 0.5}
    candidates: [any]
"#;

static COMPILED: LazyLock<PolicySet> =
    LazyLock::new(|| compile(POLICIES).unwrap_or_else(|report| panic!("{report}")).0);

fuzz_target!(|world: World| {
    let World { facts, live } = &world;
    let snapshot = Snapshot { catalog: &CATALOG, policies: &COMPILED, deployments: &DEPLOYMENTS, live };
    planned(facts, &snapshot);
});

/// A request, and how the first deployments are.
#[derive(Debug)]
struct World {
    facts: Facts,
    live: Vec<Live>,
}

impl<'a> Arbitrary<'a> for World {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let live = (0..u.int_in_range(0..=DEPLOYMENTS.len())?).map(|_| live(u)).collect::<Result<_>>()?;
        Ok(Self { live, facts: facts(u)? })
    }
}

fn live(u: &mut Unstructured<'_>) -> Result<Live> {
    Ok(Live {
        healthy: u.arbitrary()?,
        fresh: u.arbitrary()?,
        running: u.arbitrary()?,
        queued: u.arbitrary()?,
        ttft: spread(u)?,
        tpot: spread(u)?,
        error_rate: number(u)?,
        cached_share: number(u)?,
        cached_prefix_tokens: u.arbitrary()?,
        throttled_ms: if u.arbitrary()? { u.arbitrary()? } else { 0 },
        full: u.arbitrary()?,
        quota_left: number(u)?,
        cache_used: number(u)?,
        wait_ms: u.arbitrary()?,
        starts_ms: u.arbitrary()?,
    })
}

fn spread(u: &mut Unstructured<'_>) -> Result<Option<Spread>> {
    if u.arbitrary()? { Ok(Some(Spread { mean: number(u)?, p50: number(u)?, p95: number(u)? })) } else { Ok(None) }
}

/// Any number, those that are none and those at the ends often.
fn number(u: &mut Unstructured<'_>) -> Result<f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -0.0, 0.5, 1.0, -1.0];
    if u.ratio(1, 2)? { Ok(*u.choose(&odd)?) } else { u.arbitrary() }
}

fn facts(u: &mut Unstructured<'_>) -> Result<Facts> {
    let names = ["auto", "chat", "batch", "list", "gpt", "chain", "short", "auto:cheap", "gpt:quality", "lab:fast"];
    let names = [&names[..], &["lab:fast:fast", "qwen3-32b", "qwen3-32b:fast", "mistral-large-2", ":", ""]].concat();
    let countries = ["DE", "KR", "US", "EU", "RU"];
    let context = word(u, &["bot"])?;
    let use_ = Use {
        activity: *u.choose(&Activity::ALL)?,
        seat: word(u, &countries)?,
        end_users: word(u, &countries)?.into_iter().collect(),
        entity: word(u, &["acme"])?,
        context: context.clone(),
        domains: if u.arbitrary()? { vec![*u.choose(&Domain::ALL)?] } else { Vec::new() },
        ..Use::new(*u.choose(&Purpose::ALL)?, *u.choose(&Exposure::ALL)?)
    };
    let mut needs = Vec::new();
    for capability in Capability::ALL {
        // Mostly few, as a request that needs everything has no plan worth looking at.
        if u.ratio(1, 8)? {
            needs.push(capability);
        }
    }
    let model = word(u, &names)?.unwrap_or_default();
    let answer_tokens = if u.arbitrary()? { Some(number(u)?) } else { None };
    Ok(Facts {
        team: word(u, &["support", "ops"])?,
        key: word(u, &["k1", "k2"])?,
        context,
        now: u.arbitrary()?,
        language: word(u, &["ko", "en", "unknown", "xx"])?,
        script: word(u, &SCRIPTS)?,
        prompt_tokens: u.arbitrary()?,
        max_tokens: u.arbitrary()?,
        answer_tokens,
        draw: u.arbitrary()?,
        needs: Needs::from(needs.into_iter().collect::<Capabilities>()),
        stream: u.arbitrary()?,
        headers: pairs(u, "x-customer-tier", &["gold", "silver"])?,
        metadata: pairs(u, "project", &["apollo"])?,
        ..Facts::new(model, use_, Date::of_unix_ms(u.arbitrary()?))
    })
}

/// None, one of `known`, or any text.
fn word(u: &mut Unstructured<'_>, known: &[&str]) -> Result<Option<String>> {
    Ok(match u.int_in_range(0..=7)? {
        0 => None,
        1 => Some(u.arbitrary()?),
        _ => Some((*u.choose(known)?).to_owned()),
    })
}

fn pairs(u: &mut Unstructured<'_>, name: &str, values: &[&str]) -> Result<Vec<(String, String)>> {
    Ok(if u.ratio(1, 4)? {
        word(u, values)?.map(|value| (name.to_owned(), value)).into_iter().collect()
    } else {
        Vec::new()
    })
}
