//! Serving, `explain`, policy tests and the replay of the ledger (`backtest`, audit) give the same plan.
//!
//! Random bodies are decoded as both serving and `explain` do. `explain` plans them with nothing measured; the others must
//! agree: serving up to its random draw, the replay in every part, a policy test in route, verdict, first and absent ones.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use catalog::Date;
use http::{HeaderMap, HeaderName, HeaderValue};
use policies::{Capability, Declared, Facts, Plan, Scope, Snapshot, Source, compile_declared, run_tests};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{Asked, Named, decision, record::Decision, replay};
use crate::{
    config::{Config, Environment, Overrides, load},
    facts,
    keys::Grant,
    route,
    runtime::Runtime,
    wire::{self, ClientApi},
};

const REQUESTS: usize = 10_000;
/// Requests of one day: a run of policy tests is about one day.
const A_DAY: usize = 500;

const CONFIG: &str = r#"
policies: [own.yaml, default]
discover: false
deployments:
  - {id: d-kanana, model: kanana-1.5-8b, server: vllm, base_url: "http://127.0.0.1:9/v1", region: kr, retention: none}
  - {id: d-qwen, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:10/v1", region: eu, price: {input_usd_per_million: 0.1, output_usd_per_million: 0.3}}
  - {id: d-qwen-us, model: qwen3-32b, server: sglang, base_url: "http://127.0.0.1:11/v1", region: us, price: {input_usd_per_million: 2, output_usd_per_million: 1}}
  - {id: d-llama, model: llama-3.3-70b-instruct, server: vllm, base_url: "http://127.0.0.1:12/v1", price: {input_usd_per_million: 1, output_usd_per_million: 0.1}}
  - {id: d-mistral, model: mistral-large-2, server: vllm, base_url: "http://127.0.0.1:13/v1"}
  - {id: d-exaone, model: exaone-3.5-32b, server: vllm, base_url: "http://127.0.0.1:14/v1"}
  - {id: d-eyes, model: qwen2.5-vl-7b-instruct, server: vllm, base_url: "http://127.0.0.1:15/v1"}
entities: {acme: {seat: KR}}
contexts:
  bot: {entity: acme, use: revenue, exposure: public, end_users: [DE, KR]}
  lab: {seat: DE, use: research, exposure: internal}
  office: {entity: acme, use: internal, exposure: internal, purpose: agent}
teams: {support: {contexts: [bot, office]}, science: {contexts: [lab]}}
facts: {headers: [x-customer-tier], metadata: [project]}
keys: keys.yaml
"#;

const POLICIES: &str = r#"
version: 1
aliases: {gpt-4o: auto}
routes:
  - name: gold
    match: {header: {x-customer-tier: gold}, model: [auto, chat], stream: true}
    candidates: [llama-3.3-70b-instruct, any]
  - name: apollo
    match: {metadata: {project: apollo}, prompt_tokens: {min: 20}}
    prefer: {cost: 1}
    candidates: [any]
  - name: hangul
    match: {script: hangul}
    require: {region: [kr, eu]}
    prefer: {quality: 2, cost: 1}
    candidates: [kanana-1.5-8b, any]
  - name: night
    match: {time: {days: mon-fri, from: "22:00", to: "06:00", zone: Asia/Seoul}, model: auto}
    prefer: {cost: 3, quality: 1}
    candidates: [any]
  - name: german
    match: {language: [de, fr], key: [k1, k2]}
    prefer: {quality: 1}
    candidates: [any]
  - name: long
    match:
      model: [auto, chat]
      when: request.prompt_tokens > 18 && (request.use.purpose == "research" || request.key == "k1" && !request.stream)
    prefer: {cost: 1, quality: 1}
    candidates: [d-qwen-us, any]
  - name: halves
    match: {model: chat, stream: false}
    split: {by: team, arms: [{name: one, weight: 1, candidates: [d-qwen-us]}, {name: other, weight: 1}]}
    shadow: {share: 0.5, candidates: [d-qwen]}
    candidates: [d-kanana, any]
  - name: lab
    match: {context: lab, needs: [tools]}
    suffixes: refuse
    candidates: [mistral-large-2, exaone-3.5-32b]
"#;

const TEXTS: [&str; 10] = [
    "How do I change the address on my last invoice, please?",
    "지난달 청구서의 주소를 어떻게 바꾸나요?",
    "先月の請求書の住所を変更するにはどうすればいいですか。",
    "Wie ändere ich bitte die Adresse auf meiner letzten Rechnung?",
    "Comment puis-je changer l'adresse de ma dernière facture ?",
    "Как мне изменить адрес в последнем счёте?",
    "我怎样才能更改上一张发票上的地址？",
    "🎉 12",
    "ok",
    "",
];

fn config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("pointsman.yaml", CONFIG), ("own.yaml", POLICIES), ("keys.yaml", "keys: []")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = folder.path().join("pointsman.yaml");
    load(&file, &Overrides::default(), &Environment::default()).unwrap_or_else(|report| panic!("{report}")).0
}

/// A caller, a body and headers.
fn request(random: &mut StdRng, config: &Config) -> (Grant, ClientApi, Value, HeaderMap) {
    let (team, context) = *[("support", "bot"), ("support", "office"), ("science", "lab")].choose(random).unwrap();
    let key = random.random_bool(0.7).then(|| (*["k1", "k2", "k3"].choose(random).unwrap()).into());
    let scope = random.random_bool(0.3).then(|| {
        let mut some = |names: &[&str]| -> Vec<String> {
            let count = random.random_range(0..=2);
            names.choose_multiple(random, count).map(|name| (*name).to_owned()).collect()
        };
        Arc::new(Scope {
            models: some(&["qwen3-32b", "kanana-1.5-8b", "d-qwen-us", "mistral-large-2"]),
            routes: some(&["gold", "apollo", "direct", "auto"]),
        })
    });
    let context = Arc::clone(&config.contexts[context]);
    let grant = Grant { scope, ..Grant::unbound(key, Some(team.into()), context) };
    let names = [
        "auto",
        "auto",
        "auto",
        "chat",
        "code",
        "gpt-4o",
        "auto:cheap",
        "auto:quality",
        "gpt-4o:fast",
        "qwen3-32b",
        "qwen3-32b:cheap",
        "d-llama",
        "kanana-1.5-8b",
        "mistral-large-2",
        "exaone-3.5-32b",
        "nobody-knows",
    ];
    let text = TEXTS.choose(random).unwrap().repeat(*[1, 1, 3, 200, 20_000].choose(random).unwrap());
    let mut body = json!({"model": *names.choose(random).unwrap()});
    let api = if random.random_bool(0.1) { ClientApi::Completions } else { ClientApi::Chat };
    match api {
        ClientApi::Completions => body["prompt"] = text.into(),
        _ => {
            let mut content = json!([{"type": "text", "text": text}]);
            if random.random_bool(0.1) {
                let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
                content.as_array_mut().unwrap().push(image);
            }
            body["messages"] =
                json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]);
            if random.random_bool(0.2) {
                body["tools"] = json!([{"type": "function", "function": {"name": "look_up", "parameters": {}}}]);
            }
            if random.random_bool(0.1) {
                body["response_format"] = json!({"type": "json_object"});
            }
            if random.random_bool(0.1) {
                body["logprobs"] = true.into();
            }
        }
    }
    for (field, value) in [("seed", json!(7)), ("n", json!(2)), ("presence_penalty", json!(0.5))] {
        if random.random_bool(0.05) {
            body[field] = value;
        }
    }
    if random.random_bool(0.5) {
        body["max_tokens"] = (*[1, 300, 50_000].choose(random).unwrap()).into();
    }
    body["stream"] = random.random_bool(0.5).into();
    if random.random_bool(0.3) {
        let project = *["apollo", "gemini"].choose(random).unwrap();
        body["metadata"] = json!({"project": project, "other": "x"});
    }
    let mut headers = HeaderMap::new();
    if random.random_bool(0.3) {
        let tier = *["gold", "silver"].choose(random).unwrap();
        headers.insert(HeaderName::from_static("x-customer-tier"), HeaderValue::from_static(tier));
    }
    (grant, api, body, headers)
}

/// The record of a plan, written and read again, and planned again.
fn replayed(runtime: &Runtime, api: ClientApi, caller: &Grant, facts: &Facts, plan: &Plan) -> Plan {
    let named = Named::plain(caller);
    let asked = Asked { api, id: "r", shadow_of: None, answer_of: None, caller, facts, named: &named };
    let line = serde_json::to_string(&decision(runtime, &asked, plan)).unwrap();
    let record: Decision<'_> = serde_json::from_str(&line).unwrap();
    let again = replay::facts(&record).unwrap();
    policies::plan(&again, &runtime.snapshot(&[]))
}

/// A policy test of the request that expects `plan`; `None` where tests have no word for what it needs or may
/// reach.
fn case(name: String, facts: &Facts, plan: &Plan, deployments: &[policies::Deployment]) -> Option<Value> {
    let needs: Vec<&str> = facts.needs.capabilities().iter().map(Capability::as_str).collect();
    let words = ["tools", "json_schema", "image", "audio", "logprobs"];
    if facts.scope.is_some() || needs.iter().any(|need| !words.contains(need)) {
        return None;
    }
    let use_ = &*facts.use_;
    let pairs = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<std::collections::BTreeMap<_, _>>();
    let second = u64::try_from(facts.now?).ok()?;
    let mut request = json!({
        "model": facts.model_asked, "team": facts.team, "key": facts.key, "context": facts.context,
        "language": facts.language, "script": facts.script, "prompt_tokens": facts.prompt_tokens,
        "max_tokens": facts.max_tokens, "needs": needs, "stream": facts.stream,
        "time": humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second)).to_string(),
        "header": pairs(&facts.headers), "metadata": pairs(&facts.metadata),
        "use": {"purpose": use_.purpose.name(), "exposure": use_.exposure.name(), "activity": use_.activity.name(),
                "seat": use_.seat, "end_users": use_.end_users, "entity": use_.entity},
    });
    let served: Vec<&str> = plan.candidates.iter().map(|c| deployments[c.deployment].id.as_str()).collect();
    let never: Vec<&str> = deployments.iter().map(|d| d.id.as_str()).filter(|id| !served.contains(id)).collect();
    let mut expect = json!({"verdict": plan.verdict.as_str(), "first": served.first(), "route": plan.route.as_deref()});
    if !never.is_empty() {
        expect["never"] = json!(never);
    }
    // An absent part is left out: a test has no word for nothing.
    let absent = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty) || *value == json!({});
    request["use"].as_object_mut().unwrap().retain(|_, value| !absent(value));
    for part in [&mut request, &mut expect] {
        part.as_object_mut().unwrap().retain(|_, value| !absent(value));
    }
    Some(json!({"name": name, "request": request, "expect": expect}))
}

/// The deployments of a plan, in an order of their own.
fn served(plan: &Plan) -> BTreeSet<usize> {
    plan.candidates.iter().map(|candidate| candidate.deployment).collect()
}

#[test]
fn serving_explaining_testing_and_replaying_give_one_plan() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let client = remote::Client::new(&remote::ClientOptions::default()).unwrap();
    let runtime = Runtime::start(config(), &client, None).unwrap();
    let config = &runtime.config;
    let (mut routes, mut verdicts, mut tested) = (BTreeSet::new(), BTreeSet::new(), 0);
    for day in 0..REQUESTS / A_DAY {
        // From the day of these policies on, a month between them: agreements end, clocks change.
        let midnight = 1_764_028_800 + 86_400 * (31 * day as i64);
        let mut cases = Vec::new();
        for at in 0..A_DAY {
            let (caller, api, body, headers) = request(&mut random, config);
            let decoded = wire::decode(api, "r", body.to_string().into()).unwrap_or_else(|e| panic!("{}", e.message));
            let now = midnight + random.random_range(0..86_400);
            let asked = facts::of(&decoded, &caller, &headers, config);
            let asked = Facts { now: Some(now), today: Date::of_unix_ms(now as u64 * 1000), ..asked };
            let explained = policies::plan(&asked, &runtime.snapshot(&[]));
            let told = || format!("seed {seed}, request {at} of day {day}: {asked:?}");

            assert_eq!(replayed(&runtime, api, &caller, &asked, &explained), explained, "replay: {}", told());
            cases.extend(case(format!("{at}"), &asked, &explained, &runtime.facts));
            routes.extend(explained.route.clone());
            verdicts.insert(explained.verdict.as_str());

            // An answer's usual length is a fact that serving adds, and the record keeps it.
            let answer = random.random_bool(0.5).then(|| random.random_range(0.0..4_000.0));
            let learnt = Facts { answer_tokens: answer, ..asked.clone() };
            let plan = policies::plan(&learnt, &runtime.snapshot(&[]));
            assert_eq!(replayed(&runtime, api, &caller, &learnt, &plan), plan, "replay of {learnt:?}: {}", told());

            let mut drawn = asked.clone();
            let plan = route::plan(&runtime, &mut drawn, &route::Cached::default());
            assert_eq!(replayed(&runtime, api, &caller, &drawn, &plan), plan, "replay of {drawn:?}: {}", told());
            let parts = |plan: &Plan| (plan.route.clone(), plan.verdict.clone(), plan.attempts.clone(), served(plan));
            assert_eq!(parts(&plan), parts(&explained), "serving: {}", told());
            let causes = |plan: &Plan| plan.rejected().map(|out| format!("{out:?}")).collect::<Vec<_>>();
            assert_eq!(causes(&plan), causes(&explained), "serving: {}", told());
            let scores = |plan: &Plan| {
                let all = plan.candidates.iter().map(|c| (c.deployment, c.score.to_bits()));
                all.collect::<BTreeSet<_>>()
            };
            assert_eq!(scores(&plan), scores(&explained), "serving: {}", told());
            // Without its draw it is the same in every part.
            let live = runtime.live(crate::dispatch::stats::Size::of(asked.prompt_tokens), &route::Cached::default());
            assert_eq!(policies::plan(&asked, &runtime.snapshot(&live)), explained, "serving: {}", told());
        }
        tested += cases.len();
        let probes = Source::probes("probes.yaml", json!({"version": 1, "tests": cases}).to_string());
        let sources: Vec<Source> = config.policy_files.iter().cloned().chain([probes]).collect();
        let declared = Declared {
            headers: config.facts.headers.clone(),
            metadata: config.facts.metadata.clone(),
            ..Declared::default()
        };
        let compiled = compile_declared(&sources, &config.catalog, &runtime.facts, &declared);
        let policies = compiled.unwrap_or_else(|report| panic!("seed {seed}: {}", report.diagnostics[0])).0;
        let snapshot = Snapshot { policies: &policies, ..runtime.snapshot(&[]) };
        for result in run_tests(&snapshot, Date::of_unix_ms(midnight as u64 * 1000)) {
            if result.file == "probes.yaml" {
                assert!(result.passed(), "seed {seed}, request {} of day {day}: {:?}", result.name, result.failures);
            }
        }
    }
    println!("{tested} of {REQUESTS} also as policy tests; routes {routes:?}; verdicts {verdicts:?}");
    assert!(tested > REQUESTS / 2 && routes.len() > 8, "{tested} tests of {routes:?}");
    let missing = ["serve", "license", "none_fits", "unknown_model"].into_iter().find(|v| !verdicts.contains(v));
    assert_eq!(missing, None, "{verdicts:?}");
}

#[test]
fn a_decision_is_recorded_in_the_second_that_it_was_made_for() {
    let facts = Facts {
        now: Some(1_764_028_799),
        ..Facts::new(
            "auto",
            catalog::Use::new(catalog::Purpose::Revenue, catalog::Exposure::Public),
            Date::of_unix_ms(0),
        )
    };
    assert_eq!(super::decided_ms(&facts) / 1000, 1_764_028_799);
}
