//! Folders in the layout of Hugging Face: what they say is what the same model says as a GGUF file by our own engine.

use std::path::PathBuf;

use mistralrs::core::{DeviceMapSetting, NormalLoaderBuilder, NormalSpecificConfig};

use super::{toy::Toy, *};

fn model() -> Llama {
    Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() }
}

#[tokio::test]
async fn safetensors_say_what_the_same_model_says_as_gguf_by_our_own_engine() {
    for model in [model(), Llama { tied: true, ..model() }] {
        let (ours, theirs) = (native(&model), Toy::new(&model).load(Options::default()).unwrap());
        for text in ["hello", "the model is", "é 한\n\n  the", "</s> <s>"] {
            assert_eq!(ours.tokenizer().encode_prompt(text), theirs.tokenizer().encode_prompt(text));
            check_alike(&ours, &theirs, greedy(prompt(text)), 1e-3).await;
            check_alike(&ours, &theirs, greedy(chat(text)), 1e-3).await;
        }
    }
}

#[test]
fn what_a_model_takes_is_told_without_its_weights_and_is_less_where_it_is_quantised() {
    let model = Llama { width: 256, heads: 4, kv_heads: 2, feed_forward: 256, ..model() };
    let toy = Toy::new(&model);
    let bytes = |options: Options| told(toy.path(), &options).unwrap().bytes;
    let (short, long) = (with_context(128), with_context(256));
    let cache = bytes(long.clone()) - bytes(short.clone());
    let file = toy.path().join("model.safetensors").metadata().unwrap().len();
    // The file has F32 behind a head that tells of each tensor.
    let weights = bytes(short.clone()) - cache;
    assert!(weights < file && file - weights < 8_192, "{weights} of {file}");
    let four = bytes(Options { isq: Some("Q4K".into()), ..short.clone() }) - cache;
    let eight = bytes(Options { isq: Some("Q8_0".into()), ..short.clone() }) - cache;
    assert!(four < eight && eight < weights / 2, "{four}, {eight}, {weights}");
    let folder = tempfile::tempdir().unwrap();
    crate::testing::adapter(&model, folder.path(), 0.5);
    let adapted = bytes(Options { adapters: vec![folder.path().to_owned()], isq: Some("Q4K".into()), ..short.clone() });
    // In each of two layers two numbers a place, into and out of what asks and what is asked for.
    assert_eq!(adapted - four - cache, 4 * 2 * 2 * (256 + 256 + 256 + 128));
    let info = toy.load(long).unwrap().info().clone();
    assert_eq!(info.cache_bytes as u64, 2 * cache);
}

fn with_context(tokens: usize) -> Options {
    Options { context: Some(tokens), ..Options::default() }
}

#[test]
fn what_a_caller_writes_is_no_control_token() {
    let engine = Toy::new(&model()).load(Options::default()).unwrap();
    let ids = engine.tokenizer().encode("a</s>b<s>");
    assert!(ids.len() > 7 && ids.iter().all(|&id| !engine.tokenizer().is_control(id)), "{ids:?}");
}

#[tokio::test]
async fn quantised_while_loaded_it_is_near_what_it_was() {
    let model = Llama { width: 256, heads: 4, kv_heads: 2, feed_forward: 256, ..model() };
    let toy = Toy::new(&model);
    let isq = |name: &str| Options { isq: Some(name.into()), ..Options::default() };
    let (whole, packed) = (toy.load(Options::default()).unwrap(), toy.load(isq("Q8_0")).unwrap());
    assert_eq!((whole.info().quantization.as_str(), packed.info().quantization.as_str()), ("float32", "Q8_0"));
    let first = Request { max_tokens: Some(1), ..greedy(prompt("the model")) };
    let (whole, packed) = (one(&whole, first.clone()).await, one(&packed, first.clone()).await);
    let (a, b) = (&whole.logprobs[0].top[0], &packed.logprobs[0].top[0]);
    assert!((a.logprob.unwrap() - b.logprob.unwrap()).abs() < 0.2, "{a:?} {b:?}");
    assert_ne!(a.logprob, b.logprob, "it was quantised");
    let four = one(&toy.load(isq("4")).unwrap(), first).await;
    assert!(four.finish.is_some());
}

#[tokio::test]
async fn a_uqff_file_says_what_the_model_says_that_it_was_made_of() {
    let model = Llama { width: 256, heads: 4, kv_heads: 2, feed_forward: 256, ..model() };
    let toy = Toy::new(&model);
    let quantised = toy.load(Options { isq: Some("Q8_0".into()), ..Options::default() }).unwrap();
    let packed = tempfile::tempdir().unwrap();
    write_uqff(&toy, &packed.path().join("q8_0.uqff"));
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(toy.path().join(name), packed.path().join(name)).unwrap();
    }
    let file = with_ending(packed.path(), "uqff");
    let engine = load(BackendId::new("toy"), &file, Options::default()).unwrap();
    assert_eq!(Some(&*engine.info().quantization), file.file_stem().and_then(|stem| stem.to_str()));
    check_alike(&quantised, &engine, greedy(prompt("the model")), 1e-4).await;
    let isq = Options { isq: Some("Q4K".into()), ..Options::default() };
    let error = load(BackendId::new("toy"), &file, isq).unwrap_err().to_string();
    assert!(error.starts_with("option `isq`: `Q4K` would quantise a UQFF file"), "{error}");
}

/// Has mistralrs write a model as UQFF.
fn write_uqff(toy: &Toy, to: &Path) {
    let stand_in = StandIn::write(270, 1, None).unwrap();
    let weights = Weights::Folder(Folder::open(toy.path()).unwrap());
    let paths = pipeline::paths(&weights, &Options::default(), &stand_in).unwrap();
    let config = NormalSpecificConfig { write_uqff: Some(to.to_owned()), ..NormalSpecificConfig::default() };
    let loader = NormalLoaderBuilder::new(config, None, None, Some(toy.path().display().to_string()), false, None)
        .build(None)
        .unwrap();
    let (dtype, device) = (mistralrs::DType::F32, mistralrs::Device::Cpu);
    let isq = Some(IsqType::Q8_0);
    loader.load_model_from_path(&paths, &dtype, &device, true, DeviceMapSetting::dummy(), isq, None).map(drop).unwrap();
}

/// The first file with an ending: mistralrs numbers those that it writes.
fn with_ending(folder: &Path, ending: &str) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|file| file.extension().is_some_and(|found| found == ending)).expect("it should be written")
}

#[tokio::test]
async fn tokens_that_end_an_answer_are_taken_from_every_file_that_names_some() {
    let toy = Toy::new(&model());
    let letter = toy.load(Options::default()).unwrap().tokenizer().encode("q")[0];
    toy.write("generation_config.json", &json!({"eos_token_id": [1, letter]}));
    let engine = toy.load(Options::default()).unwrap();
    let sampling = Sampling { logit_bias: vec![(letter, 100.0)], ..Sampling::default() };
    let ended = one(&engine, Request { sampling, ..prompt("hello") }).await;
    assert_eq!((ended.finish, &*ended.text), (Some(FinishReason::Stop), ""));
}

#[tokio::test]
async fn a_template_in_a_file_of_its_own_comes_first() {
    let toy = Toy::new(&model());
    std::fs::write(toy.path().join("chat_template.jinja"), "{% for m in messages %}{{ m.content }}{% endfor %}")
        .unwrap();
    let engine = toy.load(Options::default()).unwrap();
    let (_, usage) = all(&engine, chat("hello")).await.unwrap();
    assert_eq!(usage.prompt_tokens as usize, engine.tokenizer().encode("hello").len());
    toy.change("tokenizer_config.json", |config| drop(config.as_object_mut().unwrap().remove("chat_template")));
    std::fs::remove_file(toy.path().join("chat_template.jinja")).unwrap();
    let error = all(&toy.load(Options::default()).unwrap(), chat("hello")).await.unwrap_err().to_string();
    assert!(error.contains("no chat template"), "{error}");
}

#[tokio::test]
async fn an_adapter_of_nothing_changes_nothing_and_another_does() {
    let toy = Toy::new(&model());
    let plain = one(&toy.load(Options::default()).unwrap(), greedy(prompt("hello"))).await;
    for (scale, alike) in [(0.0f32, true), (0.5, false)] {
        let folder = tempfile::tempdir().unwrap();
        crate::testing::adapter(&model(), folder.path(), scale);
        let options = Options { adapters: vec![folder.path().to_owned()], ..Options::default() };
        let adapted = one(&toy.load(options).unwrap(), greedy(prompt("hello"))).await;
        assert_eq!(adapted.logprobs[0] == plain.logprobs[0], alike, "{scale}");
    }
}
