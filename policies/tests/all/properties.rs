//! What holds for every policy, every request and every state of the world.

use catalog::{Catalog, Exposure, Kind, Model, Purpose, Use, decide};
use policies::{
    Capability, Code, Deployment, Facts, Live, Needs, Place, Severity, Source, Spread, Verdict, compile, plan,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::world::World;

/// Models of every tier, with and without a context window that is known.
const MODELS: [&str; 10] = [
    "pointsman-demo",
    "kanana-1.5-8b",
    "qwen3-32b",
    "qwen2.5-vl-7b-instruct",
    "llama-4-maverick",
    "llama-3.3-70b-instruct",
    "mistral-large-2",
    "exaone-3.5-32b",
    "hcx-005",
    "rinna-nekomata-7b",
];

fn deployment() -> impl Strategy<Value = Deployment> {
    let place = prop_oneof![
        Just(Place::Local { engine: "native".to_owned() }),
        select(vec!["groq", "together"]).prop_map(|host| Place::Host(host.to_owned())),
        Just(Place::Server("vllm".to_owned())),
    ];
    let words = |words: Vec<&'static str>| option::of(select(words).prop_map(str::to_owned));
    let price = || option::of(prop_oneof![9 => 0.0..3.0f64, 1 => select(vec![-1.0, 1e300, f64::NAN, f64::INFINITY])]);
    (
        (select(MODELS.to_vec()), place, words(vec!["eu", "kr", "us"]), words(vec!["none", "30d"])),
        (option::of(1.5f32..16.0), option::of(1u64..200_000), price(), price()),
        vec(select(vec!["tools", "json_schema", "image", "logprobs"]).prop_map(str::to_owned), 0..3),
        (
            words(vec!["none", "opt-out"]),
            option::of(1u64..200_000),
            vec(select(vec!["seed", "penalties"]).prop_map(str::to_owned), 0..2),
        ),
    )
        .prop_map(
            |(
                (model, place, region, retention),
                (bits, context, input, output),
                capabilities,
                (training, use_, lacks),
            )| {
                Deployment {
                    region,
                    retention,
                    training_use: training,
                    quantization_bits: bits,
                    context_tokens: context,
                    effective_context_tokens: use_,
                    input_usd_per_million: input,
                    output_usd_per_million: output,
                    capabilities,
                    lacks,
                    ..Deployment::new("", model, place)
                }
            },
        )
}

fn deployments() -> impl Strategy<Value = Vec<Deployment>> {
    vec(deployment(), 0..12).prop_map(|mut all| {
        all.iter_mut().enumerate().for_each(|(at, d)| d.id = format!("d{at}"));
        all
    })
}

fn live() -> impl Strategy<Value = Live> {
    let millis = || prop_oneof![0.0f32..60_000.0, Just(f32::NAN), Just(f32::INFINITY), Just(-1.0), Just(f32::MAX)];
    let spread =
        move || option::of((millis(), millis(), millis()).prop_map(|(mean, p50, p95)| Spread { mean, p50, p95 }));
    let share = || prop_oneof![0.0f32..1.0, any::<f32>()];
    let sometimes = || prop_oneof![3 => Just(0u32), 1 => any::<u32>()];
    let limits = (sometimes(), any::<bool>(), share(), share(), (option::of(any::<u32>()), sometimes()));
    (
        (any::<bool>(), any::<bool>(), any::<u32>(), any::<u32>()),
        (spread(), spread(), share(), share(), option::of(any::<u32>())),
        limits,
    )
        .prop_map(|(state, measured, limits)| {
            let (healthy, fresh, running, queued) = state;
            let (ttft, tpot, error_rate, cached_share, cached_prefix_tokens) = measured;
            let (throttled_ms, full, quota_left, cache_used, (wait_ms, starts_ms)) = limits;
            Live {
                healthy,
                fresh,
                running,
                queued,
                ttft,
                tpot,
                error_rate,
                cached_share,
                cached_prefix_tokens,
                throttled_ms,
                full,
                quota_left,
                cache_used,
                wait_ms,
                starts_ms,
            }
        })
}

fn facts() -> impl Strategy<Value = Facts> {
    let purpose = select(Purpose::ALL.to_vec());
    let exposure = prop_oneof![Just(Exposure::Internal), Just(Exposure::Public)];
    let seat = option::of(select(vec!["DE", "KR"]).prop_map(str::to_owned));
    let needs = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (
        (purpose, exposure, seat),
        select(vec!["auto", "qwen3-32b", "mistral-large-2", "d0", "nobody"]),
        option::of(select(vec!["ko", "en", "xx"]).prop_map(str::to_owned)),
        (prop_oneof![0u64..300_000, Just(u64::MAX)], option::of(any::<u64>())),
        needs,
        // Every third draw is one that tries somebody anew.
        (option::of(any::<f32>()), prop_oneof![Just(0), any::<u64>(), any::<u32>().prop_map(u64::from)]),
    )
        .prop_map(
            |((purpose, exposure, seat), model, language, (prompt_tokens, max_tokens), needs, (answer, draw))| {
                let use_ = Use { seat, ..Use::new(purpose, exposure) };
                Facts {
                    language,
                    prompt_tokens,
                    max_tokens,
                    answer_tokens: answer,
                    draw,
                    needs: Needs {
                        tools: needs.0,
                        image: needs.1,
                        logprobs: needs.2,
                        seed: needs.3,
                        penalties: needs.4,
                        ..Needs::default()
                    },
                    ..Facts::new(model, use_, crate::world::today())
                }
            },
        )
}

/// What a route requires, kept beside its text so that a plan can be checked against it.
#[derive(Clone, Debug)]
struct Required {
    max_tier: Option<u8>,
    min_context: Option<u64>,
    tools: bool,
    region: Option<&'static str>,
    keeps_nothing: bool,
    min_bits: Option<u8>,
    max_output_usd: Option<u8>,
    effective: bool,
    trains_nothing: bool,
    local: Option<bool>,
    openness: Option<&'static str>,
    min_mmlu: Option<u8>,
    max_ttft_ms: Option<u16>,
    /// Tenths.
    max_error_rate: Option<u8>,
    notices_only: bool,
}

fn required() -> impl Strategy<Value = Required> {
    (
        option::of(1u8..=5),
        option::of(1u64..200_000),
        any::<bool>(),
        option::of(select(vec!["eu", "kr", "local"])),
        any::<bool>(),
        option::of(2u8..=8),
        option::of(0u8..3),
        (
            any::<bool>(),
            prop::bool::weighted(0.2),
            option::weighted(0.2, any::<bool>()),
            option::weighted(0.2, select(vec!["weights", "fully-open"])),
            option::weighted(0.2, 50u8..90),
            option::of(0u16..60_000),
            option::of(0u8..=10),
            prop::bool::weighted(0.2),
        ),
    )
        .prop_map(|(max_tier, min_context, tools, region, keeps_nothing, min_bits, max_output_usd, more)| {
            Required {
                max_tier,
                min_context,
                tools,
                region,
                keeps_nothing,
                min_bits,
                max_output_usd,
                effective: more.0,
                trains_nothing: more.1,
                local: more.2,
                openness: more.3,
                min_mmlu: more.4,
                max_ttft_ms: more.5,
                max_error_rate: more.6,
                notices_only: more.7,
            }
        })
}

impl Required {
    fn text(&self) -> String {
        let mut parts = Vec::new();
        let tier = self.max_tier.map(|tier| format!("max_tier: {tier}"));
        let duties = self.notices_only.then(|| "obligations: notice".to_owned());
        let license: Vec<String> = tier.into_iter().chain(duties).collect();
        parts.extend((!license.is_empty()).then(|| format!("license: {{{}}}", license.join(", "))));
        let effective = self.effective;
        parts.extend(
            self.min_context.map(|tokens| format!("context_tokens: {{min: {tokens}, effective: {effective}}}")),
        );
        parts.extend(self.trains_nothing.then(|| "training_use: none".to_owned()));
        parts.extend(self.local.map(|local| format!("local: {local}")));
        parts.extend(self.openness.map(|openness| format!("openness: {openness}")));
        parts.extend(self.min_mmlu.map(|min| format!("benchmarks: {{mmlu: {{min: {min}}}}}")));
        parts.extend(self.max_ttft_ms.map(|max| format!("ttft_p95_ms: {{max: {max}}}")));
        parts.extend(self.max_error_rate.map(|tenths| format!("error_rate: {{max: 0.{}}}", tenths.min(9))));
        parts.extend(self.tools.then(|| "capabilities: [tools]".to_owned()));
        parts.extend(self.region.map(|region| format!("region: {region}")));
        parts.extend(self.keeps_nothing.then(|| "retention: none".to_owned()));
        parts.extend(self.min_bits.map(|bits| format!("quantization: {{min_bits: {bits}}}")));
        parts.extend(self.max_output_usd.map(|usd| format!("price: {{output_usd_per_million: {{max: {usd}}}}}")));
        format!("{{{}}}", parts.join(", "))
    }

    fn met_by(&self, deployment: &Deployment, catalog: &Catalog) -> bool {
        let model = catalog.model(&deployment.model).unwrap();
        let local = matches!(deployment.place, Place::Local { .. });
        let usd = deployment.output_usd_per_million.or(local.then_some(0.0));
        let tools = if deployment.capabilities.is_empty() { &model.capabilities } else { &deployment.capabilities };
        self.met_by_model(model)
            && self.min_context.is_none_or(|min| {
                let stated = deployment.context_tokens.or(model.context_tokens);
                let has = if self.effective { deployment.effective_context_tokens } else { stated };
                has.is_some_and(|tokens| tokens >= min)
            })
            && (!self.trains_nothing
                || deployment.training_use.as_deref() == Some("none")
                || deployment.training_use.is_none() && local)
            && self.local.is_none_or(|wanted| wanted == local)
            && (!self.tools || tools.iter().any(|c| c == "tools"))
            && self.region.is_none_or(|r| deployment.region.as_deref() == Some(r) || r == "local" && local)
            && (!self.keeps_nothing
                || deployment.retention.as_deref() == Some("none")
                || deployment.retention.is_none() && local)
            && self.min_bits.is_none_or(|min| deployment.quantization_bits.is_some_and(|bits| bits >= f32::from(min)))
            && self.max_output_usd.is_none_or(|max| usd.is_some_and(|usd| (0.0..=f64::from(max) + 1e-6).contains(&usd)))
    }

    /// What holds or fails wherever the model is deployed.
    fn met_by_model(&self, model: &Model) -> bool {
        self.max_tier.is_none_or(|max| model.tier.number() <= max)
            && self.openness.is_none_or(|wanted| model.openness.as_deref() == Some(wanted))
            && self.min_mmlu.is_none_or(|min| model.benchmarks.get("mmlu").is_some_and(|has| *has >= f64::from(min)))
    }

    /// What is asked at the moment of the request.
    fn met_now(&self, live: &Live, decision: &catalog::Decision) -> bool {
        self.max_ttft_ms.is_none_or(|max| live.ttft.is_none_or(|it| !it.p95.is_finite() || it.p95 <= f32::from(max)))
            && self.max_error_rate.is_none_or(|tenths| live.error_rate <= f32::from(tenths.min(9)) / 10.0 + 1e-6)
            && (!self.notices_only || decision.owed.names().all(|kind| kind == "notice"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_plan_never_yields_a_candidate_that_may_not_serve(
        required in required(),
        leave_out in prop_oneof![2 => Just(None), 1 => Just(Some(Capability::Seed)), 1 => Just(Some(Capability::Penalties))],
        list in prop_oneof![
            Just("[any]"), Just("[qwen3-32b, any]"), Just("[any, pointsman-demo]"), Just("[\"host:groq\", kanana-1.5-8b]"),
        ],
        prefer in prop_oneof![Just(""), Just(", prefer: {cost: 1, latency: 2}"), Just(", prefer: {quality: 1}")],
        handling in prop_oneof![
            3 => Just(""),
            1 => Just(", split: {by: request, arms: [{name: a, weight: 1, candidates: [any]}, {name: b, weight: 1}]}"),
            1 => Just(", shadow: {share: 1, candidates: [any]}"),
            1 => Just(", on_none: {degrade_to: [phi-4, any]}, shadow: {share: 0.5, candidates: [qwen3-32b]}"),
            1 => Just(", attempts: {groups: [{candidates: [\"host:groq\"], after: [5xx]}]}"),
        ],
        deployments in deployments(),
        live in vec(live(), 12),
        facts in facts(),
    ) {
        let route = format!(
            "version: 1\nroutes:\n  - {{name: r, match: {{model: auto}}, require: {}, candidates: {list}{prefer}{handling}{}}}\n",
            required.text(),
            leave_out.map(|what| format!(", leave_out: {what}")).unwrap_or_default(),
        );
        let mut world = match World::checked(&route, deployments) {
            Ok(world) => world,
            Err(report) => {
                if required.local == Some(false) && required.region == Some("local") {
                    prop_assert!(report.diagnostics.iter().any(|d| d.code == Code::Contradiction.as_str()), "{report}");
                    return Ok(());
                }
                let mut errors = report.diagnostics.iter().filter(|d| d.severity == Severity::Error);
                prop_assert!(errors.all(|d| d.code == Code::ImpossibleRoute.as_str()), "{report}");
                let catalog = Catalog::builtin();
                let mut models = catalog.models().filter(|model| model.kind == Kind::Model);
                prop_assert!(models.all(|model| !required.met_by_model(model)), "it is possible after all: {report}");
                return Ok(());
            }
        };
        world.live = live;
        let plan = world.plan(&facts);

        for candidate in plan.reached() {
            let deployment = &world.deployments[candidate.deployment];
            let model = world.catalog.model(&deployment.model).unwrap();
            prop_assert!(candidate.decision().outcome.allows());
            prop_assert!(decide(&world.catalog, model, &facts.use_, facts.today).outcome.allows());
            prop_assert!(world.live[candidate.deployment].healthy);
            let lacked: Vec<Capability> = deployment
                .lacks
                .iter()
                .filter_map(|word| Capability::named(word))
                .filter(|lacked| facts.needs.capabilities().contains(*lacked))
                .collect();
            let spared = leave_out.filter(|_| plan.route.as_deref() == Some("r"));
            prop_assert!(lacked.iter().all(|lacked| spared == Some(*lacked)), "{lacked:?}");
            prop_assert_eq!(candidate.leaves_out, lacked.into_iter().collect());
            let window = deployment.context_tokens.or(model.context_tokens);
            prop_assert!(window.is_none_or(|tokens| facts.prompt_tokens < tokens));
            if plan.route.as_deref() == Some("r") {
                prop_assert!(required.met_by(deployment, &world.catalog), "{deployment:?}");
                prop_assert!(required.met_now(&world.live[candidate.deployment], candidate.decision()));
            }
            prop_assert!((0.0..=1.0).contains(&candidate.score), "{}", candidate.score);
            let score = &candidate.made_of;
            for expected in [score.expected_usd, score.expected_ms].into_iter().flatten() {
                prop_assert!(expected >= 0.0, "{expected}");
            }
            prop_assert!(!score.explored || facts.draw != 0 && !prefer.is_empty() && !world.live[candidate.deployment].fresh);
        }
        prop_assert_eq!(plan.candidates.is_empty(), plan.verdict != Verdict::Serve);
        if let Some(shadow) = &plan.shadow {
            prop_assert!(plan.verdict == Verdict::Serve && shadow.shadow.is_none());
            prop_assert_eq!(shadow.candidates.is_empty(), shadow.verdict != Verdict::Serve);
            prop_assert!(shadow.candidates.iter().all(|it| it.deployment != plan.candidates[0].deployment));
        }
        // Nobody is lost and nobody comes twice.
        let mut seen: Vec<usize> = plan.candidates.iter().map(|c| c.deployment).collect();
        seen.extend(plan.rejected().filter_map(|r| r.deployment));
        seen.sort_unstable();
        prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
        if plan.route.as_deref() == Some("r") && list.contains("any") && handling.is_empty() {
            prop_assert_eq!(seen.len(), world.deployments.len());
        }
        prop_assert_eq!(&plan, &world.plan(&facts), "the same facts and snapshot give the same plan");
        prop_assert!(!plan.explain(&world.snapshot()).is_empty());
    }

    #[test]
    fn a_plan_is_the_same_whatever_was_planned_before(
        list in prop_oneof![Just("[any]"), Just("[qwen3-32b, any]"), Just("[any, pointsman-demo]")],
        deployments in deployments(),
        live in vec(live(), 12),
        before in vec(facts(), 1..8),
        facts in facts(),
    ) {
        let route = format!("  - {{name: r, match: {{model: auto}}, candidates: {list}, prefer: {{cost: 1, quality: 1}}}}\n");
        let world = World { live, ..World::new(&route, deployments) };
        for facts in &before {
            world.plan(facts);
        }
        let afresh = policies::Snapshot { policies: &world.policies.clone(), ..world.snapshot() };
        prop_assert_eq!(world.plan(&facts), policies::plan(&facts, &afresh));
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in any::<String>()) {
        let _ = compile(&[Source::new("any", text)], &Catalog::builtin(), &[]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_damage_to_a_real_file_makes_the_compiler_panic(
        cuts in vec((any::<prop::sample::Index>(), 0usize..6, "[\\PC\n]{0,4}|: |- |\\[|\\{|&a |\\*a|\"|'|\u{feff}"), 1..4),
    ) {
        let mut text = include_str!("../../../config/policies/examples/support-bot.yaml").to_owned();
        for (at, length, instead) in cuts {
            let start = text.floor_char_boundary(at.index(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), &instead);
        }
        match compile(&[Source::new("damaged", text.clone())], &Catalog::builtin(), &[]) {
            Ok((set, _)) => {
                let catalog = Catalog::builtin();
                let snapshot = policies::Snapshot { catalog: &catalog, policies: &set, deployments: &[], live: &[] };
                let _ = plan(&crate::world::asks("auto"), &snapshot);
            }
            Err(report) => {
                prop_assert!(report.has_errors());
                for diagnostic in &report.diagnostics {
                    prop_assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
                    prop_assert!(diagnostic.render(true).contains(diagnostic.code));
                }
            }
        }
    }
}
