//! Walks through grammars at random, as a model without any sense would.

use std::thread;

use bytes::Bytes;
use proptest::prelude::*;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use serde_json::{Value, json};

use crate::{
    gguf::File,
    testing::{Llama, Vocabulary},
};

use super::*;

fn tokenizer(vocabulary: Vocabulary) -> Tokenizer {
    let model = Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, vocabulary, ..Llama::default() };
    Tokenizer::from_file(&File::read(Bytes::from(model.build())).unwrap()).unwrap()
}

fn schema(schema: &Value) -> Source {
    Source::Json { schema: schema.to_string(), lenient: false }
}

/// A text of the grammar, drawn token by token.
fn walk(tokenizer: &Tokenizer, mut constraint: Constraint, seed: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = Vec::new();
    for step in 0.. {
        assert!(step < 4_000, "no end: {}", String::from_utf8_lossy(&bytes));
        let Some(allowed) = constraint.allowed().unwrap() else { break };
        let ids: Vec<u32> = (0..tokenizer.len() as u32).filter(|&id| allowed.has(id)).collect();
        assert!(!ids.is_empty(), "nothing may follow: {}", String::from_utf8_lossy(&bytes));
        // After a while it heads for the end.
        let closes = |id: &&u32| tokenizer.is_end(**id) || matches!(tokenizer.text(**id), [b'"' | b'}' | b']']);
        let closing = ids.iter().find(closes).filter(|_| step > 60);
        let id = closing.copied().unwrap_or_else(|| ids[rng.next_u64() as usize % ids.len()]);
        if tokenizer.is_end(id) {
            break;
        }
        bytes.extend_from_slice(tokenizer.text(id));
        if constraint.accept(id).unwrap() {
            break;
        }
    }
    String::from_utf8(bytes).expect("a text of a grammar is UTF-8")
}

/// Schemas of all kinds that people write.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        (0..4u32, 4..9u32).prop_map(|(least, most)| json!({"type": "string", "minLength": least, "maxLength": most})),
        Just(json!({"type": "string", "pattern": "^[a-c]{2,5}$"})),
        Just(json!({"type": "string", "enum": ["one", "two é", "\"three\""]})),
        Just(json!({"const": {"a": [1, null]}})),
        (-50..0i64, 1..90i64).prop_map(|(least, most)| json!({"type": "integer", "minimum": least, "maximum": most})),
        Just(json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1.5})),
        Just(json!({"type": ["boolean", "null"]})),
        Just(json!({"type": "string", "format": "date"})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0..3usize)
                .prop_map(|(items, least)| json!({"type": "array", "items": items, "minItems": least, "maxItems": 4})),
            prop::collection::vec((inner.clone(), any::<bool>()), 0..4).prop_map(|fields| {
                let names: Vec<String> = (0..fields.len()).map(|n| format!("field {n}")).collect();
                let required: Vec<_> =
                    names.iter().zip(&fields).filter(|(_, (_, must))| *must).map(|(name, _)| name).collect();
                let required = json!(required);
                let properties: serde_json::Map<_, _> =
                    names.iter().cloned().zip(fields.into_iter().map(|(of, _)| of)).collect();
                json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
            }),
            (inner.clone(), inner).prop_map(|(one, other)| json!({"anyOf": [one, other]})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_walk_through_any_schema_is_json_of_it_and_never_stands_still(schema in schemas(), seed: u64, spm: bool) {
        let tokenizer = tokenizer(if spm { Vocabulary::Spm } else { Vocabulary::Bpe });
        let grammars = Grammars::new(&tokenizer).unwrap();
        match grammars.compile(&super::tests::schema(&schema)) {
            Ok(constraint) => {
                let text = walk(&tokenizer, constraint, seed);
                let value: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
                let validator = jsonschema::validator_for(&schema).unwrap();
                prop_assert!(validator.is_valid(&value), "{text} is not of {schema}");
            }
            Err(reason) => prop_assert!(false, "{reason}: {schema}"),
        }
    }
}

#[test]
fn expressions_grammars_and_any_object_are_kept_to() {
    let tokenizer = tokenizer(Vocabulary::Bpe);
    let grammars = Grammars::new(&tokenizer).unwrap();
    for seed in 0..20 {
        let text = walk(&tokenizer, grammars.compile(&Source::Regex("(ab|é/)[0-9]{2}".into())).unwrap(), seed);
        assert!(
            (text.starts_with("ab") || text.starts_with("é/")) && text[text.len() - 2..].parse::<u8>().is_ok(),
            "{text}"
        );
        let lark = "start: word (\", \" word)*\nword: \"yes\" | \"no\"".to_owned();
        let text = walk(&tokenizer, grammars.compile(&Source::Lark(lark)).unwrap(), seed);
        assert!(text.split(", ").all(|word| ["yes", "no"].contains(&word)), "{text}");
        let text = walk(&tokenizer, grammars.compile(&schema(&json!({"type": "object"}))).unwrap(), seed);
        // A number may be larger than any that a program holds, and is JSON all the same.
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        assert!(is_json && text.starts_with('{') && text.ends_with('}'), "{text}");
    }
}

#[test]
fn an_answer_ends_where_its_text_may_and_nowhere_else() {
    let tokenizer = tokenizer(Vocabulary::Bpe);
    let end = tokenizer.eos().unwrap();
    let mut constraint = Grammars::new(&tokenizer).unwrap().compile(&Source::Regex("aa?".into())).unwrap();
    let a = tokenizer.encode("a")[0];
    assert!(!constraint.allowed().unwrap().unwrap().has(end));
    assert!(!constraint.accept(a).unwrap());
    let allowed = constraint.allowed().unwrap().unwrap();
    assert!(allowed.has(end) && allowed.has(a));
    assert!(constraint.accept(a).unwrap() && constraint.allowed().unwrap().is_none());
}

#[test]
fn a_schema_that_cannot_be_enforced_is_refused_with_the_reason() {
    let tokenizer = tokenizer(Vocabulary::Bpe);
    let grammars = Grammars::new(&tokenizer).unwrap();
    let wide: serde_json::Map<_, _> = (0..40_000).map(|n| (format!("f{n}"), json!({}))).collect();
    for (source, said) in [
        (schema(&json!({"type": "array", "uniqueItems": true})), "uniqueItems"),
        (schema(&json!({"type": "object", "$ref": "https://example.com/elsewhere.json"})), "example.com"),
        (schema(&json!({"type": "object", "properties": {"a": false}, "required": ["a"]})), ""),
        (schema(&json!({"type": "object", "properties": wide})), "expected at most"),
        (schema(&json!({"minimum": 5, "maximum": 3, "type": "integer"})), ""),
        (schema(&json!(false)), "no JSON object"),
        (Source::Json { schema: "[".repeat(100_000), lenient: false }, ""),
        (Source::Json { schema: "{".into(), lenient: false }, "cannot be read"),
        (Source::Regex("(a".into()), ""),
        (Source::Regex("a".repeat(MAX_REGEX + 1)), "expected at most"),
        (Source::Lark("start: other".into()), "other"),
        (Source::Lark(format!("start: {}\"a\"{}", "(".repeat(100), ")".repeat(100))), "nest deeper"),
    ] {
        let refused = grammars.compile(&source).map(drop);
        let reason = refused.expect_err(&format!("{source:?}").chars().take(200).collect::<String>());
        assert!(reason.contains(said) && reason.len() < 1_000 && !reason.is_empty(), "{reason}");
    }
    let lenient = Source::Json { schema: json!({"type": "array", "uniqueItems": true}).to_string(), lenient: true };
    assert!(grammars.compile(&lenient).is_ok(), "what is not known may be passed over where that is asked for");
}

#[test]
fn deep_and_long_sources_end_in_a_grammar_or_a_refusal_on_a_small_stack() {
    let nested = |depth: usize| (0..depth).fold(json!({"type": "null"}), |of, _| json!({"type": "array", "items": of}));
    let sources = [
        schema(&nested(40)),
        schema(&json!({"$ref": "#"})),
        schema(&json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})),
        schema(&json!({"allOf": [{"$ref": "#"}]})),
        schema(&json!({"type": "string", "pattern": "(a|b)?".repeat(20_000)})),
        schema(&json!({"type": "string", "pattern": "a".repeat(120_000)})),
        schema(&json!({"enum": (0..7_000).map(|n| format!("word {n}")).collect::<Vec<_>>()})),
        schema(&json!({"type": "array", "items": {}, "maxItems": 1_000_000_000u64})),
        schema(&json!({"type": "string", "maxLength": 1_000_000_000u64})),
        Source::Regex("(a|b)?".repeat(340)),
        Source::Regex(format!("{}a{}", "(".repeat(240), ")*".repeat(240))),
        Source::Regex("a*".repeat(1_000)),
        Source::Regex("((a{1,900}){1,900}){1,900}".into()),
        Source::Lark(format!("start: {}", "\"a\" ".repeat(30_000))),
        Source::Lark("start: \"a\"\n".repeat(10_000)),
    ];
    for source in sources {
        // As small as the stack of any thread that compiles one.
        let thread = thread::Builder::new().stack_size(2 << 20);
        let compiled = thread.spawn(move || {
            let tokenizer = tokenizer(Vocabulary::Bpe);
            let grammars = Grammars::new(&tokenizer).unwrap();
            // A refusal is as good; what must not happen is that the stack ends first.
            let _ = grammars.compile(&source).map(|mut constraint| constraint.allowed().map(drop));
        });
        compiled.unwrap().join().unwrap();
    }
}
