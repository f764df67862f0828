//! Pictures through the whole engine, over small random models and projectors.

use std::{fmt::Write as _, sync::Arc};

use backends::{Api, Backend, BackendError, BackendId, Event, Input, Message, Part, Payload, Request, Sampling, Usage};
use bytes::Bytes;
use engine::{
    Engine, Interest, PICTURE, Placed, Start, Steps, Token,
    testing::{self, Bert, Clip, Llama, Meta, Projection, Writer},
};
use futures_util::{StreamExt, future::join_all};
use llama_cpp_2::model::params::LlamaModelParams;

use super::*;
use crate::{
    Options, backend, load,
    load::{Shape, make},
};

/// The kinds of projectors, each with a model that it fits.
const KINDS: [Projection; 3] = [Projection::Llava, Projection::Gemma3, Projection::Qwen2];

fn model_of(projection: Projection) -> Llama {
    let architecture = if projection == Projection::Qwen2 { "qwen2vl" } else { "llama" };
    Llama { architecture, context: 1_024, ..Llama::default() }
}

fn model() -> Llama {
    model_of(Projection::Llava)
}

/// A file of a model and one of a projector, in a folder that lives as long as they are read.
fn folder(model: &Writer, projector: &Writer) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.gguf"), model.finish()).unwrap();
    std::fs::write(folder.path().join("mmproj.gguf"), projector.finish()).unwrap();
    folder
}

fn loaded(model: &Writer, projector: &Writer, options: Options) -> Result<Engine, LoadError> {
    let folder = folder(model, projector);
    let mmproj = Some(folder.path().join("mmproj.gguf"));
    load(BackendId::new("toy"), &folder.path().join("model.gguf"), &Options { threads: Some(1), mmproj, ..options })
}

fn engine(projection: Projection, options: Options) -> Engine {
    loaded(&model_of(projection).writer(), &Clip { projection, ..Clip::default() }.writer(), options).unwrap()
}

/// The pixels of a picture that no other number gives.
fn picture(number: u32) -> RgbImage {
    pixels(&testing::picture(40, 30, number)).unwrap()
}

fn url(file: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    format!(r#"{{"url":"data:image/png;base64,{}"}}"#, BASE64_STANDARD.encode(file))
}

/// A turn of a user: texts, and pictures by their numbers.
fn turn(parts: &[Result<&str, u32>]) -> Message {
    let content = parts.iter().map(|part| match part {
        Ok(text) => Part::Text((*text).to_owned()),
        Err(number) => held(&url(&testing::picture(40, 30, *number))),
    });
    Message { role: "user".to_owned(), content: content.collect(), ..Message::default() }
}

fn held(held: &str) -> Part {
    Part::Other { kind: "image_url".to_owned(), digest: 0, held: Some(held.into()) }
}

fn chat(messages: Vec<Message>) -> Request {
    let payload = Payload::new(Bytes::from_static(br#"{"model":"toy"}"#)).unwrap();
    let input = Input::Chat { messages, tools: None, template_kwargs: None };
    // Its end is never chosen, so that an answer is as long as it may be.
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    let (max_tokens, logprobs) = (Some(8), Some(5));
    Request { sampling, max_tokens, logprobs, stream: true, ..Request::new("r", Api::Chat, payload, input) }
}

/// What an engine makes of a conversation: the likeliest first tokens, and what it counted.
async fn answer(engine: &Engine, messages: Vec<Message>) -> (Vec<(u32, f32)>, Usage) {
    let events: Vec<_> = engine.generate(Arc::new(chat(messages))).await.unwrap().collect().await;
    let (mut first, mut usage) = (None, None);
    for event in events {
        match event.unwrap() {
            Event::Delta(delta) => first = first.or_else(|| delta.logprobs.into_iter().next()),
            Event::Usage(counts) => usage = Some(counts),
            _ => {}
        }
    }
    let likeliest = first.expect("a token").top;
    (likeliest.into_iter().map(|rival| (rival.id, rival.logprob.unwrap())).collect(), usage.expect("a usage"))
}

async fn refused(engine: &Engine, messages: Vec<Message>) -> String {
    match engine.generate(Arc::new(chat(messages))).await {
        Ok(_) => panic!("it was taken"),
        Err(error @ BackendError::Unsupported { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

/// Whether two of these are alike but for what other batches change, and keys and values that are kept as halves.
fn alike(a: &[(u32, f32)], b: &[(u32, f32)]) -> bool {
    a.iter().zip(b).all(|((_, a), (_, b))| (a - b).abs() < 0.02)
        && a.iter().all(|(id, logprob)| b.iter().any(|(other, _)| other == id) || *logprob - b[b.len() - 1].1 < 0.02)
}

#[tokio::test]
async fn a_model_reads_what_mtmd_makes_of_the_same_prompt() {
    for projection in KINDS {
        let (found, usage) =
            answer(&engine(projection, Options::default()), vec![turn(&[Ok("the "), Err(1), Ok("?")])]).await;
        let folder = folder(&model_of(projection).writer(), &Clip { projection, ..Clip::default() }.writer());
        let library = backend().unwrap();
        let params = LlamaModelParams::default();
        let model = LlamaModel::load_from_file(library, folder.path().join("model.gguf"), &params).unwrap();
        let model = Arc::new(model);
        let projector = Projector::load(&folder.path().join("mmproj.gguf"), &model, 1, false).unwrap();
        let file = File::open(&folder.path().join("model.gguf")).unwrap();
        let shape = Shape::of(&file, &model, &Options { max_sequences: Some(1), ..Options::default() }).unwrap();
        let mut context = model.new_context(library, shape.params()).unwrap();
        let text = format!("<s><|user|>\nthe {}?</s>\n<|assistant|>\n", mtmd_default_marker());
        let bitmap = MtmdBitmap::from_image_data(40, 30, picture(1).as_raw()).unwrap();
        let text = MtmdInputText { text, add_special: false, parse_special: true };
        let chunks = projector.mtmd().tokenize(text, &[&bitmap]).unwrap();
        chunks.eval_chunks(&mut projector.mtmd(), &mut context, 0, 0, 512, true).unwrap();
        let logits = context.get_logits_ith(-1);
        let sum = logits.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln() as f32;
        assert_eq!(usage.prompt_tokens as usize, chunks.total_tokens());
        for (id, logprob) in found {
            let expected = logits[id as usize] - sum;
            assert!((logprob - expected).abs() < 0.02, "{projection:?}: token {id} {logprob}, mtmd {expected}");
        }
    }
}

#[tokio::test]
async fn a_picture_that_was_seen_is_not_computed_again_and_another_is_seen_as_another() {
    let few_cells = Options { cache_bytes: Some(1_500 * 512), max_sequences: Some(4), ..Options::default() };
    // Fewer than this many tokens in common would be computed sooner than copied.
    let begin = "the model is ".repeat(10);
    for (projection, options) in [
        (Projection::Llava, Options::default()),
        (Projection::Llava, few_cells),
        (Projection::Qwen2, Options::default()),
    ] {
        let engine = engine(projection, options);
        let ask = |number: u32, text| vec![turn(&[Ok(&begin), Err(number), Ok(text)])];
        let (first, usage) = answer(&engine, ask(1, "a b c")).await;
        assert_eq!(usage.cached_tokens, 0);
        let with_one = usage.prompt_tokens;
        let (again, usage) = answer(&engine, ask(1, "a b c")).await;
        assert!(alike(&first, &again));
        assert_eq!(usage.cached_tokens, usage.prompt_tokens - 1);
        let (other_text, usage) = answer(&engine, ask(1, "x y z")).await;
        let with_picture = usage.cached_tokens;
        assert!(!alike(&first, &other_text));
        let (twice, usage) = answer(&engine, vec![turn(&[Ok(&begin), Err(1), Err(1), Ok("a b c")])]).await;
        assert_eq!(usage.cached_tokens, with_picture);
        assert!(!alike(&first, &twice));
        let tokens = usage.prompt_tokens - with_one;
        // Of another picture nothing but what stands before it.
        let (other, usage) = answer(&engine, ask(2, "a b c")).await;
        let before = usage.cached_tokens;
        assert_eq!(before + tokens, with_picture);
        assert!(!alike(&first, &other), "{first:?} {other:?}");
        let (none, usage) = answer(&engine, vec![turn(&[Ok(&begin), Ok("a b c")])]).await;
        assert!(usage.cached_tokens <= before && !alike(&first, &none), "{usage:?}");
    }
}

#[tokio::test]
async fn what_is_asked_at_once_with_pictures_and_without_is_answered_as_each_alone() {
    // Windows of their own, and one stream of cells that has no room for so many.
    for cache_bytes in [None, Some(1_500 * 512)] {
        for projection in KINDS {
            let options = Options { cache_bytes, max_sequences: Some(4), ..Options::default() };
            let together = engine(projection, options.clone());
            let conversations: Vec<Vec<Message>> = (0..10)
                .map(|number| {
                    let mut text = String::new();
                    (0..number * 7).for_each(|word| write!(text, " {word}").unwrap());
                    match number % 3 {
                        0 => vec![turn(&[Ok(&text), Ok("the model is")])],
                        1 => vec![turn(&[Err(number), Ok(&text)])],
                        _ => vec![turn(&[Ok(&text), Err(number), Ok("and"), Err(1)]), turn(&[Err(2), Ok("a")])],
                    }
                })
                .collect();
            let found = join_all(conversations.iter().map(|turns| answer(&together, turns.clone()))).await;
            for (turns, (found, usage)) in conversations.into_iter().zip(found) {
                let (expected, alone) = answer(&engine(projection, options.clone()), turns).await;
                assert!(alike(&found, &expected), "{projection:?} {found:?} {expected:?}");
                assert_eq!(usage.prompt_tokens, alone.prompt_tokens);
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_picture_for_the_model_is_refused_with_its_place() {
    let engine = engine(Projection::Llava, Options::default());
    let broken = Message { role: "user".to_owned(), content: vec![held(&url(b"hello"))], ..Message::default() };
    let why = refused(&engine, vec![turn(&[Err(1)]), broken]).await;
    let expected = "`messages`: the picture at messages[1].content[0] is no picture that is read here; expected PNG, JPEG, \
                    WebP or GIF";
    assert_eq!(why, expected);
    // Too many for the window, which are not decoded beyond that.
    let many = chat(vec![turn(&[Err(1); 40])]);
    match engine.generate(Arc::new(many)).await.map(drop) {
        Err(BackendError::PromptTooLong { got, limit }) => assert!(got > limit && got < limit + 40, "{got} {limit}"),
        other => panic!("{other:?}"),
    }
    // Without a projector a model reads text.
    let blind = crate::tests::loaded(&model().writer(), Options::default()).unwrap();
    let why = refused(&blind, vec![turn(&[Err(1)])]).await;
    assert_eq!(why, "`messages`: content of type `image_url`; this model reads text only");
    // And goes on.
    answer(&engine, vec![turn(&[Err(1), Ok("a")])]).await;
}

#[test]
fn a_projector_that_does_not_fit_is_refused_at_loading() {
    let why = |model: &Writer, projector: &Writer| match loaded(model, projector, Options::default()).map(drop) {
        Err(LoadError::Projector { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let (llama, clip) = (model().writer(), Clip::default());
    assert!(why(&llama, &llama).contains("its `general.architecture` is not `clip`"));
    let other_model = Clip { reader: 32, ..clip.clone() }.writer();
    assert!(why(&llama, &other_model).starts_with("llama.cpp cannot load it for this model"));
    let mut unknown = clip.writer();
    unknown.set("clip.projector_type", Meta::Text("unheard-of".into()));
    assert!(why(&llama, &unknown).starts_with("llama.cpp cannot load it for this model"));
    assert!(why(&Bert::default().writer(), &clip.writer()).contains("pictures are read by one that writes text"));
    let folder = tempfile::tempdir().unwrap();
    let (path, mmproj) = (folder.path().join("model.gguf"), folder.path().join("mmproj.gguf"));
    std::fs::write(&path, llama.finish()).unwrap();
    std::fs::write(&mmproj, "hello").unwrap();
    let error =
        load(BackendId::new("toy"), &path, &Options { mmproj: Some(mmproj), ..Options::default() }).unwrap_err();
    assert!(matches!(error, LoadError::ProjectorFile { .. }), "{error}");
}

#[test]
fn a_picture_that_nobody_waits_for_is_given_up_and_is_computed_anew_when_somebody_does() {
    let folder = folder(&model().writer(), &Clip::default().writer());
    let (path, mmproj) = (folder.path().join("model.gguf"), folder.path().join("mmproj.gguf"));
    let library = backend().unwrap();
    // A graphics card computes a pass to its end.
    let processors = LlamaModelParams::default().with_devices(&[]).unwrap();
    let model = Arc::new(LlamaModel::load_from_file(library, &path, &processors).unwrap());
    let projector = Arc::new(Projector::load(&mmproj, &model, 1, false).unwrap());
    let file = File::open(&path).unwrap();
    let shape = Shape::of(&file, &model, &Options { max_sequences: Some(2), ..Options::default() }).unwrap();
    let interest = Arc::new(Interest::default());
    let mut context =
        make(library, &model, &shape, 1, None, Arc::clone(&interest), Some(Arc::clone(&projector))).unwrap();
    let seen = projector.see(&testing::picture(40, 30, 1)).unwrap();
    let tokens = seen.tokens;
    let prompt: Vec<u32> = [vec![7; 5], vec![PICTURE; tokens], vec![9; 5]].concat();
    let begin = |context: &mut crate::steps::Context<'_>, slot| {
        let start = Start { slot, prompt: &prompt, most: prompt.len() + 5, salt: None, anew: true };
        assert_eq!(context.begin(start), Some(0));
        context.shows(slot, &[Placed { at: 5, seen: seen.clone() }]);
    };
    let step = |slot, from: usize, to: usize| -> Vec<Token> {
        let token = |position| Token { slot, position, id: prompt[position], logits: position + 1 == prompt.len() };
        (from..to).map(token).collect()
    };
    begin(&mut context, 0);
    interest.begin(5);
    context.step(&step(0, 0, 5)).unwrap();
    let shown = step(0, 5, 5 + tokens);
    interest.begin(tokens);
    interest.lose(tokens);
    assert_eq!(context.step(&shown), Err(Halt::Unwanted));
    interest.begin(tokens);
    assert_eq!(context.step(&shown), Ok(vec![]));
    interest.begin(5);
    let found = context.step(&step(0, 5 + tokens, prompt.len())).unwrap()[0].to_vec();
    begin(&mut context, 1);
    for (from, to) in [(0, 5), (5, 5 + tokens), (5 + tokens, prompt.len())] {
        interest.begin(to - from);
        let rows = context.step(&step(1, from, to)).unwrap();
        if let [row] = rows[..] {
            assert!(found.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-3));
        }
    }
    // No picture is where the prompt says none is.
    interest.begin(3);
    let token = Token { slot: 1, position: prompt.len(), id: PICTURE, logits: false };
    assert!(matches!(context.step(&[token]), Err(Halt::Failed(_))));
}
