use catalog::{Catalog, Date};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    Deployment, Effect, Place, Snapshot, Source,
    cases::strictest_use,
    compile,
    coverage::{beside, changed, number, routes},
};

fn deployments() -> Vec<Deployment> {
    ["qwen3-32b", "kanana-1.5-8b", "phi-4"]
        .map(|model| Deployment::new(model, model, Place::Local { engine: "test".to_owned() }))
        .into()
}

fn compiled(text: &str) -> PolicySet {
    let compiled = compile(&[Source::new("p.yaml", text)], &Catalog::builtin(), &deployments());
    compiled.unwrap_or_else(|report| panic!("{report}")).0
}

fn written() -> impl Strategy<Value = String> {
    let list = |words: Vec<&'static str>| option::of(vec(select(words), 1..3));
    let route = (
        (list(vec!["a", "b"]), list(vec!["ko", "ja"]), list(vec!["auto", "chat", "Qwen/Qwen3-32B", "qwen3-32b"])),
        (option::of((0u64..300, 0u64..300)), option::of(any::<bool>()), option::of(1u8..=5)),
        select(vec!["any", "qwen3-32b", "kanana-1.5-8b, any", "phi-4, qwen3-32b"]),
    );
    vec(route, 1..5).prop_map(|routes| {
        let mut text = "version: 1\nroutes:\n".to_owned();
        for (at, ((team, language, model), (size, stream, tier), candidates)) in routes.into_iter().enumerate() {
            let listed = |names: Vec<&str>| format!("[{}]", names.join(", "));
            let mut keys = Vec::new();
            keys.extend(team.map(|names| format!("team: {}", listed(names))));
            keys.extend(language.map(|names| format!("language: {}", listed(names))));
            keys.extend(model.map(|names| format!("model: {}", listed(names))));
            keys.extend(size.map(|(a, b)| format!("prompt_tokens: {{min: {}, max: {}}}", a.min(b), a.max(b))));
            keys.extend(stream.map(|stream| format!("stream: {stream}")));
            let tier = tier.map(|tier| format!(", require: {{license: {{max_tier: {tier}}}}}")).unwrap_or_default();
            let keys = keys.join(", ");
            text.push_str(&format!("  - {{name: r{at}, match: {{{keys}}}{tier}, candidates: [{candidates}]}}\n"));
        }
        text
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    (
        option::of(select(vec!["a", "b", "c"])),
        option::of(select(vec!["ko", "ja", "fr"])),
        select(vec!["auto", "chat", "Qwen/Qwen3-32B", "qwen3-32b", "phi-4", "nobody"]),
        0u64..400,
        any::<bool>(),
    )
        .prop_map(|(team, language, model, prompt_tokens, stream)| Facts {
            team: team.map(str::to_owned),
            language: language.map(str::to_owned),
            prompt_tokens,
            stream,
            ..Facts::new(model, strictest_use(), Date::of_unix_ms(0))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The quick answer never hides a request that moves, and few routes plan it as all of them do.
    #[test]
    fn a_request_that_an_edit_cannot_reach_is_planned_as_before(text in written(), facts in vec(facts(), 8)) {
        let (catalog, deployments) = (Catalog::builtin(), deployments());
        let before = compiled(&text);
        let routes = routes(&before.texts);
        let effect = |facts: &Facts, policies: &PolicySet| {
            Effect::of(facts, &Snapshot { catalog: &catalog, policies, deployments: &deployments, live: &[] })
        };
        let beside = beside(&before.texts);
        for edit in mutations(&routes) {
            let reach = Reach::of(&edit, &routes, &beside, &catalog);
            let whole = changed(&edit, &routes, &beside);
            let after = bind(Arc::clone(&whole), &catalog, &deployments);
            for facts in &facts {
                let old = effect(facts, &before);
                let taken = number(old.route.as_deref(), &routes);
                let enough = bind(Arc::clone(reach.enough(facts, taken).unwrap_or(&whole)), &catalog, &deployments);
                prop_assert_eq!(effect(facts, &enough), effect(facts, &after), "{}: {:?}", edit.what, facts);
                if !reach.may_move(facts, taken) {
                    prop_assert_eq!(effect(facts, &after), old, "{}: {:?}", edit.what, facts);
                }
            }
        }
    }
}

#[test]
fn every_key_of_match_and_require_is_a_rule_with_an_edit() {
    let set = compiled(
        "\
version: 1
routes:
  - name: r
    match: {team: [a, b], context: c, language: ko, model: auto, needs: [tools, image], prompt_tokens: {min: 5, max: 9}, stream: true}
    require:
      license: {max_tier: 2, allow: [mit, apache-2.0], deny: [unknown]}
      context_tokens: {min: 4096}
      capabilities: [tools]
      region: [eu, kr]
      retention: none
      quantization: {min_bits: 8}
      price: {input_usd_per_million: {max: 1}, output_usd_per_million: {max: 2}}
    candidates: [qwen3-32b, any]
",
    );
    let routes = routes(&set.texts);
    let left_out: Vec<String> = drops(0, &routes[0]).into_iter().map(|edit| edit.what).collect();
    assert_eq!(left_out.len(), 7 + 10 + 2, "{left_out:?}");
    let whats: Vec<String> = mutations(&routes).into_iter().map(|edit| edit.what).collect();
    for what in [
        "route `r` left out",
        "route `r`: `match.team` without `a`",
        "route `r`: `match.needs` without `image`",
        "route `r`: `match.prompt_tokens` from 6 to 9",
        "route `r`: `match.prompt_tokens` from 5 to 10",
        "route `r`: `match.stream` is false",
        "route `r`: `require.license.max_tier` is 1",
        "route `r`: `require.license.max_tier` is 3",
        "route `r`: `require.license.allow` without `mit`",
        "route `r`: `require.context_tokens` is 8192",
        "route `r`: `require.region` without `eu`",
        "route `r`: `require.quantization` is 7",
        "route `r`: `require.price.output_usd_per_million` is 4",
        "route `r`: the candidates `qwen3-32b` and `any` swapped",
    ] {
        assert!(whats.iter().any(|known| known == what), "no `{what}` in {whats:#?}");
    }
    let mut unique = whats.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), whats.len(), "each change once");
}
