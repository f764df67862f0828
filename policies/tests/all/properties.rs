//! What holds for every policy, every request and every state of the world.

use catalog::{Catalog, Exposure, Purpose, Use, decide};
use policies::{Deployment, Facts, Live, Needs, Place, Source, Spread, Verdict, compile, plan};
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
    )
        .prop_map(|((model, place, region, retention), (bits, context, input, output), capabilities)| Deployment {
            region,
            retention,
            quantization_bits: bits,
            context_tokens: context,
            input_usd_per_million: input,
            output_usd_per_million: output,
            capabilities,
            ..Deployment::new("", model, place)
        })
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
    ((any::<bool>(), any::<bool>(), any::<u32>(), any::<u32>()), (spread(), spread(), share(), share(), any::<u32>()))
        .prop_map(
            |((healthy, fresh, running, queued), (ttft, tpot, error_rate, cached_share, cached_prefix_tokens))| Live {
                healthy,
                fresh,
                running,
                queued,
                ttft,
                tpot,
                error_rate,
                cached_share,
                cached_prefix_tokens,
            },
        )
}

fn facts() -> impl Strategy<Value = Facts> {
    let purpose = select(Purpose::ALL.to_vec());
    let exposure = prop_oneof![Just(Exposure::Internal), Just(Exposure::Public)];
    let seat = option::of(select(vec!["DE", "KR"]).prop_map(str::to_owned));
    let needs = (any::<bool>(), any::<bool>(), any::<bool>());
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
            |((purpose, exposure, seat), model, language, (prompt_tokens, max_tokens), needs, (answer, draw))| Facts {
                team: None,
                context: None,
                use_: Use { seat, ..Use::new(purpose, exposure) }.into(),
                today: crate::world::today(),
                model_asked: model.to_owned(),
                language,
                prompt_tokens,
                max_tokens,
                answer_tokens: answer,
                draw,
                needs: Needs { tools: needs.0, image: needs.1, logprobs: needs.2, ..Needs::default() },
                stream: false,
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
    )
        .prop_map(|(max_tier, min_context, tools, region, keeps_nothing, min_bits, max_output_usd)| Required {
            max_tier,
            min_context,
            tools,
            region,
            keeps_nothing,
            min_bits,
            max_output_usd,
        })
}

impl Required {
    fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.max_tier.map(|tier| format!("license: {{max_tier: {tier}}}")));
        parts.extend(self.min_context.map(|tokens| format!("context_tokens: {{min: {tokens}}}")));
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
        self.max_tier.is_none_or(|max| model.tier.number() <= max)
            && self.min_context.is_none_or(|min| {
                deployment.context_tokens.or(model.context_tokens).is_some_and(|tokens| tokens >= min)
            })
            && (!self.tools || tools.iter().any(|c| c == "tools"))
            && self.region.is_none_or(|r| deployment.region.as_deref() == Some(r) || r == "local" && local)
            && (!self.keeps_nothing
                || deployment.retention.as_deref() == Some("none")
                || deployment.retention.is_none() && local)
            && self.min_bits.is_none_or(|min| deployment.quantization_bits.is_some_and(|bits| bits >= f32::from(min)))
            && self.max_output_usd.is_none_or(|max| usd.is_some_and(|usd| (0.0..=f64::from(max) + 1e-6).contains(&usd)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_plan_never_yields_a_candidate_that_may_not_serve(
        required in required(),
        list in prop_oneof![
            Just("[any]"), Just("[qwen3-32b, any]"), Just("[any, pointsman-demo]"), Just("[\"host:groq\", kanana-1.5-8b]"),
        ],
        prefer in prop_oneof![Just(""), Just(", prefer: {cost: 1, latency: 2}"), Just(", prefer: {quality: 1}")],
        deployments in deployments(),
        live in vec(live(), 12),
        facts in facts(),
    ) {
        let route =
            format!("  - {{name: r, match: {{model: auto}}, require: {}, candidates: {list}{prefer}}}\n", required.text());
        let mut world = World::new(&route, deployments);
        world.live = live;
        let plan = world.plan(&facts);

        for candidate in &plan.candidates {
            let deployment = &world.deployments[candidate.deployment];
            let model = world.catalog.model(&deployment.model).unwrap();
            prop_assert!(candidate.decision.outcome.allows());
            prop_assert!(decide(&world.catalog, model, &facts.use_, facts.today).outcome.allows());
            prop_assert!(world.live[candidate.deployment].healthy);
            let window = deployment.context_tokens.or(model.context_tokens);
            prop_assert!(window.is_none_or(|tokens| facts.prompt_tokens < tokens));
            if plan.route.as_deref() == Some("r") {
                prop_assert!(required.met_by(deployment, &world.catalog), "{deployment:?}");
            }
            prop_assert!((0.0..=1.0).contains(&candidate.score), "{}", candidate.score);
            let score = &candidate.made_of;
            for expected in [score.expected_usd, score.expected_ms].into_iter().flatten() {
                prop_assert!(expected >= 0.0, "{expected}");
            }
            prop_assert!(!score.explored || facts.draw != 0 && !prefer.is_empty() && !world.live[candidate.deployment].fresh);
        }
        prop_assert_eq!(plan.candidates.is_empty(), plan.verdict != Verdict::Serve);
        // Nobody is lost and nobody comes twice.
        let mut seen: Vec<usize> = plan.candidates.iter().map(|c| c.deployment).collect();
        seen.extend(plan.rejected().filter_map(|r| r.deployment));
        seen.sort_unstable();
        prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
        if plan.route.as_deref() == Some("r") && list.contains("any") {
            prop_assert_eq!(seen.len(), world.deployments.len());
        }
        prop_assert_eq!(&plan, &world.plan(&facts), "the same facts and snapshot give the same plan");
        prop_assert!(!plan.explain(&world.snapshot()).is_empty());
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
