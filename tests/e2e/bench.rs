//! `pointsman bench`: the report of engines, its picture, and files of random weights.

use serde_json::Value;

use crate::pointsman;

const DEMO: &[u8] = include_bytes!("../../config/models/pointsman-demo.gguf");

#[test]
fn engines_are_measured_beside_what_the_machine_could_do_and_drawn() {
    let builder = pointsman();
    let folder = builder.folder().to_owned();
    std::fs::write(folder.join("demo.gguf"), DEMO).unwrap();
    let bench = ["bench", "engines", "demo.gguf", "--prompt-tokens", "64", "--answer-tokens", "8", "--rounds", "1"];
    let more = ["--streams", "3,2,2", "--context", "100", "--data-dir", "data", "--plot", "engines.svg", "--json"];
    let (status, out, error) = builder.command(&[&bench[..], &more].concat());
    assert_eq!(status, 0, "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    for fact in
        ["memory_gb_per_second", "int8_tera_products_per_second", "weight_mb_per_token", "mega_products_per_token"]
    {
        assert!(report[fact].as_f64() > Some(0.0), "{fact}: {report}");
    }
    let native = &report["tables"]["engines"][0];
    assert_eq!(native["engine"], "native");
    for field in
        ["loaded_s", "first_token_s", "first_token_held_s", "prompt_tokens_per_second", "answer_tokens_per_second"]
    {
        assert!(native[field].as_f64() > Some(0.0), "{field}: {native}");
    }
    let figures = report["tables"]["figures"].as_array().unwrap();
    let of_native: Vec<(&str, u64)> = figures
        .iter()
        .filter(|figure| figure["engine"] == "native")
        .map(|figure| (figure["figure"].as_str().unwrap(), figure["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        of_native,
        [
            ("prompt_tokens", 64),
            ("prompt_tokens", 100),
            ("held_prompt", 64),
            ("streams", 2),
            ("streams", 3),
            ("answer_after", 64),
            ("answer_after", 100)
        ]
    );
    for figure in figures {
        let number = |name: &str| figure[name].as_f64().unwrap_or_else(|| panic!("{name}: {figure}"));
        let share = number("tokens_per_second") / number("limit_tokens_per_second");
        assert!((share - number("of_the_limit")).abs() < 1e-6 && share > 0.0, "{figure}");
        assert!(["memory", "products"].contains(&figure["limited_by"].as_str().unwrap()), "{figure}");
    }
    let svg = std::fs::read_to_string(folder.join("engines.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("\n3 streams\n") && svg.contains("\n100 tokens\n"), "{svg}");
}

/// With as few layers as there can be, for the time that it takes.
#[test]
fn a_file_of_random_weights_is_measured_by_the_engines_that_are_named() {
    let builder = pointsman();
    let (status, out, error) =
        builder.command(&["bench", "model", "qwen3-0.6b", "Q4_0", "random.gguf", "--layers", "1"]);
    assert_eq!(status, 0, "{error}");
    assert!(out.starts_with("random.gguf: random weights in the shape of qwen3-0.6b, 1 layers, Q4_0, "), "{out}");
    let bench =
        ["bench", "engines", "random.gguf", "--engines", "native", "--prompt-tokens", "32", "--answer-tokens", "4"];
    let (status, out, error) =
        builder.command(&[&bench[..], &["--streams", "1", "--rounds", "1", "--data-dir", "data", "--json"]].concat());
    assert_eq!(status, 0, "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["tables"]["engines"].as_array().unwrap().len(), 1, "{report}");
    // Its embedding, which is the output too, in six bits and a scale for 16; and a layer in four.
    let (embedding, layer) = (151_936.0 * 1_024.0, 1_024.0 * (2_048.0 + 2.0 * 1_024.0 + 2_048.0 + 3.0 * 3_072.0));
    let megabytes = (embedding * 210.0 / 256.0 + layer * 18.0 / 32.0) / 1e6;
    assert!((report["weight_mb_per_token"].as_f64().unwrap() - megabytes).abs() < 1e-6, "{report}");
}

#[test]
fn what_a_model_was_not_made_for_is_refused_before_anything_is_measured() {
    let builder = pointsman();
    std::fs::write(builder.folder().join("demo.gguf"), DEMO).unwrap();
    let (status, _, error) =
        builder.command(&["bench", "engines", "demo.gguf", "--context", "100000", "--data-dir", "data"]);
    assert_ne!(status, 0);
    assert!(error.contains("prompt and answer have 100032 tokens") && error.contains("--context"), "{error}");
    assert!(!error.contains("measuring"), "{error}");
}

#[test]
fn a_shape_or_mix_that_is_not_known_is_refused_with_those_that_are_and_a_file_that_is_there_is_kept() {
    let builder = pointsman().file("there.gguf", "mine");
    let refused = |shape: &str, mix: &str| {
        let (status, _, error) = builder.command(&["bench", "model", shape, mix, "there.gguf"]);
        assert_ne!(status, 0);
        error
    };
    assert!(refused("llama-2b", "Q4_0").contains("llama-1b, llama-3b, llama-8b, qwen3-0.6b, qwen3-4b, gemma3-1b"));
    assert!(refused("llama-1b", "Q5_0").contains("Q4_K_M, Q8_0, Q4_0, Q6_K"));
    let (_, _, error) = builder.command(&["bench", "model", "llama-1b", "Q4_0", "new.gguf", "--layers", "17"]);
    assert!(error.contains("llama-1b has 16 layers"), "{error}");
    let (_, _, error) = builder.command(&["bench", "engines", "there.gguf", "--engines", "vllm"]);
    assert!(error.contains("it is one of native, llama-cpp, mistralrs"), "{error}");
    let error = refused("llama-1b", "Q4_K_M");
    assert!(error.contains("`there.gguf` is there already"), "{error}");
    assert_eq!(std::fs::read_to_string(builder.folder().join("there.gguf")).unwrap(), "mine");
}
