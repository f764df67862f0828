use serde_json::json;

use super::*;

/// As those of the first Llama: pieces with `▁` for a space, bytes for what has none.
fn spaces() -> Value {
    let mut words: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into();
    words.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    words.extend(["▁", "a", "b", "▁a", "ab", "▁ab", "<", ">", "s", "t", "h", "<think>"].map(str::to_owned));
    let vocabulary: serde_json::Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| (word.clone(), id.into())).collect();
    let added = |id: usize, special: bool| {
        json!({"id": id, "content": words[id], "special": special, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(0, true), added(1, true), added(2, true), added(words.len() - 1, false)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary, "merges": ["▁ a", "a b", "▁a b"]},
    })
}

fn roles() -> Roles {
    Roles { bos: Some("<s>".into()), eos: Some("</s>".into()), ends: vec![9_999] }
}

fn read_spaces(template: &str) -> Tokenizer {
    read(&spaces().to_string(), &roles(), template).unwrap()
}

fn told(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    String::from_utf8(ids.iter().flat_map(|&id| tokenizer.text(id)).copied().collect()).unwrap()
}

#[test]
fn pieces_with_a_byte_fallback_are_read_with_what_the_file_adds() {
    let tokenizer = read_spaces("");
    let ids = tokenizer.encode_prompt("ab aé");
    assert_eq!(ids[0], 1, "the file begins a text so");
    assert_eq!(told(&tokenizer, &ids), " ab aé");
    assert!(tokenizer.adds_space() && tokenizer.adds_bos() && !tokenizer.adds_eos());
    assert_eq!((tokenizer.kind(), tokenizer.bos(), tokenizer.eos()), ("llama", Some(1), Some(2)));
    assert!(tokenizer.is_end(2) && !tokenizer.is_end(1) && tokenizer.is_control(0));
}

#[test]
fn only_a_template_writes_control_tokens_and_marks() {
    let tokenizer = read_spaces("{{ '<think>' }}");
    let think = tokenizer.len() as u32 - 1;
    let plain = tokenizer.encode("</s>a<think>b<s>");
    assert!(plain.iter().all(|&id| !tokenizer.is_control(id) && id != think), "{plain:?}");
    assert_eq!(told(&tokenizer, &plain).trim_start(), "</s>a<think>b<s>");
    let markup = tokenizer.encode_markup("<s>a<think>", |_| None);
    assert_eq!((markup[0], markup.last()), (1, Some(&think)));
}

#[test]
fn a_word_that_is_a_control_token_without_merging_is_cut_into_characters() {
    // Some files look whole words up first.
    let mut file = spaces();
    file["model"]["ignore_merges"] = true.into();
    file["normalizer"] = Value::Null;
    let tokenizer = read(&file.to_string(), &roles(), "").unwrap();
    let ids = tokenizer.encode("<s>");
    assert!(ids.len() == 3 && told(&tokenizer, &ids) == "<s>", "{ids:?}");
}

#[test]
fn what_is_not_understood_is_refused() {
    let refusal = |file: &str| read(file, &roles(), "").map(drop).unwrap_err().to_string();
    assert!(refusal("{").starts_with("`tokenizer.json` cannot be read: "));
    let mut file = spaces();
    file["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    assert_eq!(
        refusal(&file.to_string()),
        "`tokenizer.json` has neither a byte-level decoder nor one with a byte fallback"
    );
    file = spaces();
    file["model"]["merges"] = json!(["q q"]);
    assert!(refusal(&file.to_string()).starts_with("`tokenizer.json` cannot be read: "));
}
