//! What mistralrs cannot serve, each with the reason and with who can.

use engine::testing::Meta;

use super::{toy::Toy, *};

fn refusal(bytes: Vec<u8>, options: Options) -> String {
    said(gguf(bytes, options).expect_err("the model should be refused"))
}

fn said(error: LoadError) -> String {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

#[test]
fn a_model_that_is_not_on_this_machine_is_not_fetched() {
    let error = load(BackendId::new("toy"), Path::new("acme/llama-3-8b"), Options::default()).unwrap_err();
    let expected = "there is no model at `acme/llama-3-8b`; mistralrs is given files of this machine, and fetches none";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn whether_it_reads_a_model_is_told_without_its_weights() {
    let toy = Toy::new(&Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() });
    let reads = |path: &Path| super::super::told(path, &Options::default());
    assert_eq!(reads(toy.path()).unwrap().facts.architecture, "llama");
    let path = toy.path().join("other.gguf");
    std::fs::write(&path, Llama::default().build()).unwrap();
    reads(&path).unwrap();
    let mut writer = Llama::default().writer();
    writer.set("general.architecture", Meta::Text("gemma3".into()));
    std::fs::write(&path, writer.finish()).unwrap();
    assert!(reads(&path).unwrap_err().to_string().contains("use `engine: llama-cpp`"));
    writer.set("general.architecture", Meta::Text("llama".into()));
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.token_type"] {
        writer.unset(key);
    }
    std::fs::write(&path, writer.finish()).unwrap();
    assert!(reads(&path).unwrap_err().to_string().contains("none of its tokens ends an answer"));
}

#[test]
fn an_architecture_that_it_does_not_read_goes_to_llama_cpp() {
    let mut writer = Llama::default().writer();
    writer.set("general.architecture", Meta::Text("gemma3".into()));
    assert_eq!(
        refusal(writer.finish(), Options::default()),
        "mistralrs cannot serve this model: it reads GGUF of llama, mistral3, phi2, phi3, starcoder2, qwen2, qwen3, \
         qwen3moe, and this is of `gemma3`; use `engine: llama-cpp`"
    );
}

#[test]
fn weights_that_it_does_not_compute_with_go_to_llama_cpp() {
    let mut writer = Llama::default().writer();
    writer.tensor("odd", TensorType::IQ4_NL, &[32, 1], vec![0; 18]);
    assert_eq!(
        refusal(writer.finish(), Options::default()),
        "mistralrs cannot serve this model: it has no weights of the type IQ4_NL, as `odd` is; use `engine: llama-cpp`"
    );
}

#[test]
fn experts_on_a_cpu_go_to_llama_cpp() {
    let mut writer = Llama::default().writer();
    writer.set("llama.expert_count", Meta::U32(8));
    assert_eq!(
        refusal(writer.finish(), Options::default()),
        "mistralrs cannot serve this model: the file has 8 experts, which it computes too slowly to be of use on a CPU; \
         use `engine: llama-cpp`"
    );
}

#[test]
fn a_part_of_a_file_goes_to_llama_cpp() {
    let mut writer = Llama::default().writer();
    writer.set("split.count", Meta::U32(2));
    assert!(refusal(writer.finish(), Options::default()).contains("one part of several; use `engine: llama-cpp`"));
}

#[test]
fn a_gguf_file_is_not_quantised_again_and_takes_no_adapter() {
    let model = Llama::default().build();
    let isq = Options { isq: Some("Q4K".into()), ..Options::default() };
    assert!(refusal(model.clone(), isq).starts_with("option `isq`: `Q4K` would quantise a GGUF file"));
    let adapters = Options { adapters: vec!["somewhere".into()], ..Options::default() };
    assert!(
        refusal(model, adapters).starts_with("option `adapters`: mistralrs puts an adapter on a safetensors folder")
    );
}

#[test]
fn options_out_of_range_are_refused() {
    let model = Llama::default().build();
    let context = Options { context: Some(257), ..Options::default() };
    assert_eq!(refusal(model.clone(), context), "option `context`: 257, expected 2 to 256");
    let sequences = Options { max_sequences: Some(0), ..Options::default() };
    assert_eq!(refusal(model.clone(), sequences), "option `max_sequences`: 0, expected 1 to 1024");
    let several = refusal(model.clone(), Options { max_sequences: Some(2), ..Options::default() });
    assert!(
        several.starts_with("option `max_sequences`: 2, expected 1: ") && several.contains("use `engine: llama-cpp`")
    );
    let device = Options { device: Device::Metal, ..Options::default() };
    if cfg!(not(feature = "metal")) {
        assert!(refusal(model, device).starts_with("option `device`: Metal cannot be used: "));
    }
}

#[test]
fn a_damaged_file_is_refused() {
    assert!(refusal(b"GGUF".to_vec(), Options::default()).starts_with("cannot read the model file: not a valid GGUF"));
    let mut writer = Llama::default().writer();
    writer.unset("llama.attention.layer_norm_rms_epsilon");
    assert!(refusal(writer.finish(), Options::default()).starts_with("mistralrs refuses the model: "));
}

#[test]
fn a_folder_that_lacks_something_is_refused_with_what() {
    let refusal = |toy: &Toy, options: Options| said(toy.load(options).expect_err("the folder should be refused"));
    for (name, expected) in [
        ("config.json", "cannot use the model folder: it has no `config.json`"),
        (
            "tokenizer.json",
            "cannot use the model folder: it has no `tokenizer.json`, which mistralrs needs to serve it",
        ),
        ("model.safetensors", "cannot use the model folder: it has no weights in `*.safetensors`"),
    ] {
        let toy = Toy::new(&Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() });
        std::fs::remove_file(toy.path().join(name)).unwrap();
        let told = refusal(&toy, Options::default());
        assert!(told.starts_with(expected), "{told}");
    }
    let toy = Toy::new(&Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() });
    let isq = Options { isq: Some("Q9".into()), ..Options::default() };
    assert!(refusal(&toy, isq).starts_with("option `isq`: ISQ type Q9 unknown, choose one of"));
    let adapters = Options { adapters: vec![toy.path().to_owned()], ..Options::default() };
    assert!(refusal(&toy, adapters).starts_with("option `adapters`: there is no `"));
    for (class, expected) in [
        ("Qwen2VLForConditionalGeneration", "`Qwen2VLForConditionalGeneration` reads pictures or sound"),
        ("BertModel", "it does not know the class `BertModel` of `config.json`"),
    ] {
        toy.change("config.json", |config| config["architectures"] = json!([class]));
        let told = refusal(&toy, Options::default());
        assert!(told.contains(expected) && told.contains("use `engine: llama-cpp` with a GGUF file"), "{told}");
    }
}
