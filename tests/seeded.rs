//! A ledger of as many requests as wanted, made from a seed by the gateway's own types, and the truth about it, counted while it
//! is made: what audit commands say of the ledger is held against that.
//!
//! Three months of a company with three contexts: in September it has no waivers, in October and November a waiver lets a
//! research model into a public product until the tenth, then the gateway refuses it again. Every licence decision is a real
//! one; some records are planted that no honest gateway writes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use catalog::{Catalog, Date};
use gateway::{
    config::{self, Config, Environment, Overrides},
    dispatch::Tried,
    instance::Instance,
    settle::{
        self,
        record::{AskedRecord, CandidateRecord, Decision, Outcome, UseRecord},
    },
};
use ledger::{AppendError, Ledger, Options, Ticket};
use policies::Capabilities;
use rand::{Rng as _, SeedableRng as _};

/// The first day, 2026-09-01, in Unix milliseconds.
const BEGIN: u64 = 1_788_220_800_000;
/// Days that requests come on: September, October, and November to the 26th.
const DAYS: u64 = 30 + 31 + 26;
const DAY: u64 = 86_400_000;

const CONFIG: &str = "
keys: keys.yaml
policies: [policy.yaml]
catalog: [catalog.yaml]
deployments:
DEPLOYMENTS
entities: {company: {seat: DE}, institute: {seat: KR}}
contexts:
  product: {entity: company, use: revenue, exposure: public, end_users: [DE, FR]}
  office: {entity: company, use: internal, exposure: internal}
  lab: {entity: institute, use: research, exposure: internal, purpose: distillation}
teams: {support: {contexts: [product]}, sales: {contexts: [product]}, staff: {contexts: [office]}, science: {contexts: [lab]}}
";

const POLICY: &str = "version: 1\nroutes: [{name: all, match: {model: [auto]}, candidates: [any]}]\n";

const ATTESTED: &str = "
attestations:
  - {id: users-2026, entity: company, metric: monthly-users, at_most: 5000000, signed_by: Jane Roe, signed: 2026-01-15, valid_until: 2027-01-31}
";

const WAIVED: &str = "
waivers:
  - id: mistral-trial
    rules: [tier3-commercial]
    models: [mistral-large-2]
    contexts: [product]
    reason: a trial before buying, agreed with the vendor by letter
    requested_by: Ann Lee
    approved_by: [John Doe, Jane Roe]
    created: 2026-10-01
    expires: 2026-11-10
  - id: pixtral-trial
    rules: [tier3-commercial]
    models: [pixtral-large]
    contexts: [office]
    reason: never begun
    requested_by: Ann Lee
    approved_by: [John Doe, Jane Roe]
    created: 2026-11-01
    expires: 2026-12-15
";

/// Models that are asked for, and how often of ten.
const MODELS: [(&str, u32); 5] = [
    ("qwen3-32b", 5),
    ("llama-3.3-70b-instruct", 2),
    ("mistral-large-2", 1),
    ("gemma-3-27b-it", 1),
    ("command-r-plus", 1),
];

/// Who asks: team, context, and how many keys they have.
const CALLERS: [(&str, &str, u32); 4] =
    [("support", "product", 4), ("sales", "product", 2), ("staff", "office", 3), ("science", "lab", 2)];

/// What is true of a ledger.
#[derive(Debug, Default)]
pub struct Truth {
    /// Records, those of the gateway itself included.
    pub records: u64,
    /// Requests that were decided.
    pub requests: u64,
    /// Requests that a model answered.
    pub served: u64,
    /// Tokens of answers, by team.
    pub answer_tokens: BTreeMap<String, u64>,
    /// Requests of tier 3 in public, by team and verdict.
    pub public_tier_3: BTreeMap<(String, String), u64>,
    /// Served requests of the research licence in public: first and last time, keys.
    pub incident: Option<(u64, u64, BTreeSet<String>, u64)>,
    /// Requests that each waiver carried.
    pub waived: BTreeMap<String, u64>,
    /// Requests that may have been served by it, as nothing tells their end.
    pub unended: BTreeMap<String, u64>,
    /// Served requests whose licence reaches what is written, for distillation.
    pub reached: u64,
    /// Requests served and refused under each configuration, in order.
    pub periods: Vec<(u64, u64)>,
    /// Planted: a place served that was not decided.
    pub crossings: u64,
    /// Planted: a decision that does not come out again.
    pub differences: u64,
    /// Planted: a waiver that was relied on after its end.
    pub out_of_time: u64,
    /// The number of the decision of some request, and its id.
    pub some: (u64, String),
}

/// A ledger being made.
struct Making {
    ledger: Ledger,
    folder: std::path::PathBuf,
    rng: rand_chacha::ChaCha8Rng,
    truth: Truth,
    decided: HashMap<(String, &'static str, Date), CandidateRecord<'static>>,
    last: Option<Ticket>,
}

/// Makes a ledger of about `records` records in `folder/data/ledger`, with the files of its newest configuration in `folder`.
///
/// # Panics
/// Where the file system refuses.
pub fn make(folder: &Path, records: u64, seed: u64) -> Truth {
    let data = folder.join("data/ledger");
    let (ledger, recovery) = Ledger::open(&data, Options::default()).expect("a ledger");
    let instance = Instance::start(ledger.clone(), &data, &recovery).expect("a start");
    let rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let truth = Truth { records: 1, ..Truth::default() };
    let mut making =
        Making { ledger: ledger.clone(), folder: folder.to_owned(), rng, truth, decided: HashMap::new(), last: None };
    // September without waivers, October with them, November with a line more in the policies.
    let (attested, waived) = (ATTESTED.to_owned(), format!("{ATTESTED}{WAIVED}"));
    let later = format!("{POLICY}# reviewed\n");
    let phases = [(0, 30, &attested, POLICY), (30, 61, &waived, POLICY), (61, DAYS, &waived, &later)];
    let mut before: Option<String> = None;
    for (from, to, catalog, policy) in phases {
        let config = making.configured(catalog, policy);
        instance.activate(&config, before.as_deref()).expect("an activation");
        making.truth.records += 1;
        before = Some(config.digest.clone());
        making.truth.periods.push((0, 0));
        // About nine tenths of the requests have an outcome.
        let end = records * to / DAYS;
        while making.truth.records < end {
            let of = making.truth.records - records * from / DAYS;
            let span = (end - records * from / DAYS).max(1);
            let time = BEGIN + from * DAY + (to - from) * DAY * of / span;
            making.request(&config, time);
        }
    }
    making.plant();
    instance.stop();
    making.truth.records += 1;
    ledger.close().expect("a close");
    making.truth
}

impl Making {
    fn configured(&mut self, catalog: &str, policy: &str) -> Config {
        let deployments = MODELS.map(|(model, _)| {
            format!("  - {{id: at-{model}, model: {model}, server: vllm, base_url: \"http://127.0.0.1:9/v1\"}}\n")
        });
        let write = |name: &str, text: &str| std::fs::write(self.folder.join(name), text).expect("a file");
        write("pointsman.yaml", &CONFIG.replace("DEPLOYMENTS\n", &deployments.concat()));
        write("policy.yaml", policy);
        write("catalog.yaml", catalog);
        write("keys.yaml", "keys: []\n");
        let file = self.folder.join("pointsman.yaml");
        let loaded = config::load(&file, &Overrides::default(), &Environment::of([]));
        self.decided.clear();
        loaded.unwrap_or_else(|report| panic!("{report}")).0
    }

    /// A licence decision as a record has it, made once a day.
    fn decided(&mut self, config: &Config, context: &str, model: &'static str, day: Date) -> CandidateRecord<'static> {
        let key = (context.to_owned(), model, day);
        if let Some(known) = self.decided.get(&key) {
            return known.clone();
        }
        let row = config.catalog.model(model).expect("a model of the catalog");
        let decision = catalog::decide(&config.catalog, row, &config.contexts[context].use_, day);
        let record = settle::candidate(None, model, &decision, Capabilities::default());
        let record: CandidateRecord<'static> =
            serde_json::from_value(serde_json::to_value(record).expect("JSON")).expect("a record");
        self.decided.insert(key, record.clone());
        record
    }

    fn request(&mut self, config: &Config, time: u64) {
        let (team, context, keys) = CALLERS[self.rng.random_range(0..CALLERS.len())];
        let mut drawn = self.rng.random_range(0..10);
        let model = MODELS.iter().find(|(_, of_ten)| {
            let here = drawn < *of_ten;
            drawn = drawn.saturating_sub(*of_ten);
            here
        });
        let model = model.map_or(MODELS[0].0, |(model, _)| model);
        let key = format!("{team}-{}", self.rng.random_range(0..keys));
        let candidate = self.decided(config, context, model, Date::of_unix_ms(time));
        let ends = self.rng.random_range(0..10) > 0;
        self.write(config, &Asked { team, context, key: &key, model, time, ends, deployment: None }, candidate);
    }

    /// Writes a request, and counts it.
    fn write(&mut self, config: &Config, asked: &Asked<'_>, candidate: CandidateRecord<'static>) {
        let Asked { team, context, key, model, time, ends, deployment } = *asked;
        let allowed = matches!(&*candidate.outcome, "allow" | "allow_with_obligations" | "warn");
        let verdict = if allowed { "serve" } else { "license" };
        let own = format!("at-{model}");
        let candidate = CandidateRecord { deployment: allowed.then(|| own.clone().into()), ..candidate };
        let use_ = &config.contexts[context].use_;
        let request = format!("req_{:032x}", self.truth.requests);
        let decision = Decision {
            v: 1,
            kind: "decision".into(),
            time,
            request: request.as_str().into(),
            shadow_of: None,
            answer_of: None,
            api: "chat".into(),
            team: Some(team.into()),
            key: Some(key.into()),
            context: context.into(),
            r#use: UseRecord {
                purpose: use_.purpose.name().into(),
                exposure: use_.exposure.name().into(),
                activity: use_.activity.name().into(),
                seat: use_.seat.as_deref().map(Into::into),
                domains: Vec::new(),
                end_users: use_.end_users.iter().map(|country| country.as_str().into()).collect(),
                entity: use_.entity.as_deref().map(Into::into),
            },
            model: model.into(),
            language: None,
            route: Some("direct".into()),
            arm: None,
            asked: Some(AskedRecord {
                prompt_tokens: 200,
                max_tokens: Some(500),
                answer_tokens: None,
                draw: self.rng.random::<u64>() >> 11,
                needs: Vec::new(),
                stream: false,
                script: None,
                headers: Vec::new(),
                metadata: Vec::new(),
                scope: None,
            }),
            config: config.digest.as_str().into(),
            policy: config.policy_digest.as_str().into(),
            verdict: verdict.into(),
            alerts: Vec::new(),
            refused: (!allowed).then(|| candidate.clone()),
            candidates: if allowed { vec![candidate.clone()] } else { Vec::new() },
            rejected: BTreeMap::new(),
        };
        let number = self.append(&decision);
        let tokens = self.rng.random_range(1..500);
        if allowed && ends {
            let serves = deployment.unwrap_or(&own);
            let tried = [Tried { deployment: serves.to_owned(), ms: 100, error: None, host_request: None }];
            self.append(&Outcome {
                v: 1,
                kind: "outcome",
                time: time + 900,
                request: &request,
                status: "completed",
                http: 200,
                deployment: Some(serves),
                model: Some(model),
                answer_of: None,
                tried: &tried,
                error: None,
                finish: Some("stop"),
                prompt_tokens: Some(200),
                completion_tokens: Some(tokens),
                cached_tokens: Some(0),
                tokens_by: Some("backend"),
                cost_usd: Some(0.0001),
                cost_by: Some("price"),
                first_token_ms: None,
                total_ms: 900,
            });
            *self.truth.answer_tokens.entry(team.to_owned()).or_default() += tokens;
            // What was not decided has no licence that reports could count it under.
            if deployment.is_none() {
                self.count_served(config, asked, &candidate);
            }
        }
        self.count(asked, &candidate, (number, request), allowed);
    }

    fn count(&mut self, asked: &Asked<'_>, candidate: &CandidateRecord<'_>, some: (u64, String), allowed: bool) {
        let truth = &mut self.truth;
        truth.requests += 1;
        let period = truth.periods.last_mut().expect("a period");
        match allowed {
            true => period.0 += 1,
            false => period.1 += 1,
        }
        if allowed && !asked.ends {
            for id in &candidate.rests_on {
                *truth.unended.entry(id.to_string()).or_default() += 1;
            }
        }
        // A decision that has no outcome yet has nobody who served it, and so no licence that counted.
        let counted = !allowed || (asked.ends && asked.deployment.is_none());
        if counted && asked.context == "product" && candidate.tier == 3 {
            let verdict = if allowed { "serve" } else { "license" };
            *truth.public_tier_3.entry((asked.team.to_owned(), verdict.to_owned())).or_default() += 1;
        }
        if truth.requests == 1_000 {
            truth.some = some;
        }
    }

    fn count_served(&mut self, config: &Config, asked: &Asked<'_>, candidate: &CandidateRecord<'_>) {
        let reaches = reaches_outputs(&config.catalog, asked.model);
        let truth = &mut self.truth;
        truth.served += 1;
        for id in &candidate.rests_on {
            *truth.waived.entry(id.to_string()).or_default() += 1;
        }
        if asked.context == "lab" && reaches {
            truth.reached += 1;
        }
        if asked.context == "product" && candidate.license == "mistral-research" {
            let (first, last, keys, uncovered) = truth.incident.get_or_insert((asked.time, 0, BTreeSet::new(), 0));
            *first = (*first).min(asked.time);
            *last = (*last).max(asked.time);
            keys.insert(asked.key.to_owned());
            *uncovered += u64::from(candidate.rests_on.is_empty());
        }
    }

    /// What no honest gateway writes.
    fn plant(&mut self) {
        let catalog = format!("{ATTESTED}{WAIVED}");
        let config = self.configured(&catalog, &format!("{POLICY}# reviewed\n"));
        let time = BEGIN + DAYS * DAY;
        let product = |model, ends, deployment| Asked {
            team: "sales",
            context: "product",
            key: "sales-0",
            model,
            time,
            ends,
            deployment,
        };
        for _ in 0..3 {
            // Decided for one place, served by another.
            let candidate = self.decided(&config, "product", "qwen3-32b", Date::of_unix_ms(time));
            self.write(&config, &product("qwen3-32b", true, Some("at-command-r-plus")), candidate);
            // The served place, and the one that was tried.
            self.truth.crossings += 2;
        }
        for _ in 0..5 {
            // Relied on a waiver that was over.
            let candidate = self.decided(&config, "product", "mistral-large-2", Date::of_unix_ms(BEGIN + 40 * DAY));
            assert_eq!(candidate.rests_on, ["mistral-trial"]);
            self.write(&config, &product("mistral-large-2", true, None), candidate);
            self.truth.out_of_time += 1;
            self.truth.differences += 1;
        }
        for _ in 0..2 {
            // Said to be allowed, and is not.
            let candidate = self.decided(&config, "product", "command-r-plus", Date::of_unix_ms(time));
            let allowed = CandidateRecord { outcome: "allow".into(), ..candidate };
            self.write(&config, &product("command-r-plus", true, None), allowed);
            self.truth.differences += 1;
        }
    }

    fn append(&mut self, record: &impl serde::Serialize) -> u64 {
        self.truth.records += 1;
        loop {
            match self.ledger.append(record) {
                Ok(ticket) => {
                    let number = ticket.sequence();
                    self.last = Some(ticket);
                    return number;
                }
                Err(AppendError::Full { .. }) => {
                    if let Some(last) = self.last.take() {
                        last.wait().expect("a disk");
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A request to be written.
#[derive(Clone, Copy)]
struct Asked<'a> {
    team: &'a str,
    context: &'a str,
    key: &'a str,
    model: &'static str,
    time: u64,
    ends: bool,
    /// Who serves it, if not the place that was decided.
    deployment: Option<&'a str>,
}

fn reaches_outputs(catalog: &Catalog, model: &str) -> bool {
    let row = catalog.model(model).expect("a model of the catalog");
    catalog
        .licenses_of(row)
        .iter()
        .filter_map(|id| catalog.license(id))
        .any(|license| license.outputs.purpose_bound || license.outputs.training != catalog::Training::Free)
}
