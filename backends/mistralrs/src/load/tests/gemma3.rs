//! Gemma 3, which mistralrs loads with what loads models that read pictures, with and without pictures. That it sees what llama.cpp
//! sees is for the tests of the engines against each other.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use engine::testing::{Clip, Projection, picture};

use super::{toy::Toy, *};

/// One of whose layers attends to all, and the others to 24 tokens.
fn model() -> Llama {
    Llama { architecture: "gemma3", vocabulary: Vocabulary::Bpe, tied: true, layers: 6, ..Llama::default() }
}

fn projector() -> Clip {
    Clip { projection: Projection::Gemma3, ..Clip::default() }
}

fn seeing() -> Toy {
    Toy::seeing(&model(), &projector())
}

/// A turn of a user: texts, and pictures by their numbers.
fn turn(parts: &[Result<&str, u32>]) -> Message {
    let content = parts.iter().map(|part| match part {
        Ok(text) => Part::Text((*text).to_owned()),
        Err(number) => {
            let url = format!("\"data:image/png;base64,{}\"", BASE64_STANDARD.encode(picture(40, 30, *number)));
            Part::Other { kind: "image_url".into(), digest: 0, held: Some(url.into()) }
        }
    });
    Message { role: "user".into(), content: content.collect(), ..Message::default() }
}

fn seen(messages: Vec<Message>) -> Request {
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(1, -100.0)], ..Sampling::default() };
    let input = Input::Chat { messages, tools: None, template_kwargs: None };
    Request { sampling, logprobs: Some(5), max_tokens: Some(6), ..request(input) }
}

#[tokio::test]
async fn it_says_what_our_own_engine_says_within_its_windows_and_beyond() {
    let (ours, theirs) = (native(&model()), Toy::new(&model()).load(Options::default()).unwrap());
    for text in ["hello", "the model is", "é 한\n\n  the", &"the licence of the model ".repeat(4)] {
        check_alike(&ours, &theirs, greedy(prompt(text)), 1e-3).await;
        check_alike(&ours, &theirs, greedy(chat(text)), 1e-3).await;
    }
}

#[tokio::test]
async fn with_a_tower_for_pictures_it_says_of_text_what_it_says_without() {
    let engine = seeing().load(Options::default()).unwrap();
    let ours = native_of(crate::testing::gemma3(&model()).finish());
    check_alike(&ours, &engine, greedy(chat("the model is")), 1e-3).await;
}

#[tokio::test]
async fn a_picture_changes_what_it_says_takes_its_tokens_and_is_the_same_again() {
    let engine = seeing().load(Options::default()).unwrap();
    let (first, usage) = all(&engine, seen(vec![turn(&[Ok("the "), Err(1), Ok("?")])])).await.unwrap();
    let (text, plain) = all(&engine, seen(vec![turn(&[Ok("the "), Ok("?")])])).await.unwrap();
    // Nine of the picture, one before and one behind, and an empty line on each side.
    assert_eq!(usage.prompt_tokens - plain.prompt_tokens, 9 + 2 + 2 * 2);
    assert_ne!(first, text);
    let again = all(&engine, seen(vec![turn(&[Ok("the "), Err(1), Ok("?")])])).await.unwrap().0;
    assert_eq!(first, again);
    let other = all(&engine, seen(vec![turn(&[Ok("the "), Err(2), Ok("?")])])).await.unwrap().0;
    assert_ne!(first[&0].logprobs, other[&0].logprobs);
    // A new engine knows no picture yet.
    let anew = seeing().load(Options::default()).unwrap();
    assert_eq!(first, all(&anew, seen(vec![turn(&[Ok("the "), Err(1), Ok("?")])])).await.unwrap().0);
}

#[tokio::test]
async fn several_pictures_are_refused_with_who_reads_them() {
    let engine = seeing().load(Options::default()).unwrap();
    let error = all(&engine, seen(vec![turn(&[Err(1), Err(2)])])).await.unwrap_err().to_string();
    assert!(
        error.contains("it has more pictures than 1: on a CPU") && error.contains("`engine: llama-cpp`"),
        "{error}"
    );
}

#[tokio::test]
async fn it_is_quantised_while_it_is_loaded_and_still_sees() {
    let model = Llama { width: 256, feed_forward: 256, ..model() };
    let toy = Toy::seeing(&model, &Clip { reader: 256, ..projector() });
    let options = Options { isq: Some("Q8_0".into()), ..Options::default() };
    let bytes = |options: &Options| told(toy.path(), options).unwrap().bytes;
    assert!(bytes(&options) < bytes(&Options::default()));
    let engine = toy.load(options).unwrap();
    let asked = |number| seen(vec![turn(&[Ok("the "), Err(number)])]);
    assert_ne!(one(&engine, asked(1)).await.logprobs, one(&engine, asked(2)).await.logprobs);
}

#[test]
fn whether_it_sees_is_told_without_its_weights() {
    let sees = |toy: &Toy| told(toy.path(), &Options::default()).unwrap().sees;
    assert!(sees(&seeing()) && !sees(&Toy::new(&model())));
}

#[test]
fn what_is_read_otherwise_is_refused_with_who_reads_it() {
    let refused = |file: &str, change: fn(&mut Value)| {
        let toy = seeing();
        toy.change(file, change);
        told(toy.path(), &Options::default()).unwrap_err().to_string()
    };
    let preprocessor = "preprocessor_config.json";
    for (file, change, expected) in [
        (
            preprocessor,
            (|file| file["do_pan_and_scan"] = json!(true)) as fn(&mut Value),
            "it cuts pictures into several (`do_pan_and_scan`), which is not built here; use `engine: llama-cpp`",
        ),
        (preprocessor, |file| file["do_rescale"] = json!(false), "it leaves out a step of reading a picture"),
        (preprocessor, |file| file["size"]["width"] = json!(25), "its `size` is not 24 by 24"),
        (preprocessor, |file| file["resample"] = json!(9), "`resample` is 9, expected 0 to 3"),
        (preprocessor, |file| *file = json!({}), "missing field"),
        ("config.json", |file| file["mm_tokens_per_image"] = json!(8), "6 by 6 patches do not become 8 tokens"),
        ("config.json", |file| file["image_token_index"] = json!(9_999), "are not three of the model's 270"),
    ] {
        let told = refused(file, change);
        assert!(told.contains(expected), "{told}");
    }
    let adapters = Options { adapters: vec!["somewhere".into()], ..Options::default() };
    let told = told(seeing().path(), &adapters).unwrap_err().to_string();
    assert!(
        told.starts_with("option `adapters`: mistralrs puts no adapter on Gemma 3; use `engine: llama-cpp`"),
        "{told}"
    );
}
