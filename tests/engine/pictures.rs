//! A picture as two engines see it that share nothing: llama.cpp and mistralrs with the same weights, each in its own format.

use std::{path::Path, sync::Arc};

use backends::{Api, Backend, BackendId, Event, Input, Message, Part, Payload, Request, Sampling, TokenLogprob};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use engine::testing::{Clip, Llama, Projection, Vocabulary, picture};
use futures_util::StreamExt;

/// How far log-probabilities may be apart: llama.cpp keeps keys and values as halves.
const APART: f32 = 0.02;

/// A model that reads pictures, of whose layers one attends to all and the others to 24 tokens.
pub(crate) fn write(folder: &Path) {
    let model = Llama {
        architecture: "gemma3",
        vocabulary: Vocabulary::Bpe,
        tied: true,
        layers: 6,
        context: 512,
        ..Llama::default()
    };
    let projector = Clip { projection: Projection::Gemma3, ..Clip::default() };
    std::fs::write(folder.join("model.gguf"), mistralrs_engine::testing::gemma3(&model).finish()).expect("a file");
    std::fs::write(folder.join("mmproj.gguf"), projector.build()).expect("a file");
    mistralrs_engine::testing::seeing(&model, &projector, folder);
}

/// By llama.cpp.
pub(crate) fn llama_cpp(folder: &Path) -> Arc<dyn Backend> {
    let mmproj = Some(folder.join("mmproj.gguf"));
    let options = llama_cpp_engine::Options { threads: Some(1), mmproj, ..llama_cpp_engine::Options::default() };
    let id = BackendId::new("llama-cpp");
    Arc::new(llama_cpp_engine::load(id, &folder.join("model.gguf"), &options).expect("a model"))
}

/// By mistralrs.
pub(crate) fn mistralrs(folder: &Path) -> Arc<dyn Backend> {
    let id = BackendId::new("mistralrs");
    Arc::new(mistralrs_engine::load(id, folder, mistralrs_engine::Options::default()).expect("a model"))
}

/// The tokens of an answer about a picture that has the size that the model reads, with texts before and behind it.
async fn said(engine: &Arc<dyn Backend>, number: u32, before: &str, behind: &str) -> Vec<TokenLogprob> {
    let url = format!("\"data:image/png;base64,{}\"", BASE64_STANDARD.encode(picture(24, 24, number)));
    let shown = Part::Other { kind: "image_url".into(), digest: number.into(), held: Some(url.into()) };
    let content = vec![Part::Text(before.into()), shown, Part::Text(behind.into())];
    let message = Message { role: "user".into(), content, ..Message::default() };
    let input = Input::Chat { messages: vec![message], tools: None, template_kwargs: None };
    let request = Request {
        // Its end is never chosen.
        sampling: Sampling { temperature: 0.0, logit_bias: vec![(1, -100.0)], ..Sampling::default() },
        max_tokens: Some(8),
        logprobs: Some(0),
        stream: true,
        ..Request::new("r", Api::Chat, Payload::new(r#"{"model":"m"}"#.into()).expect("JSON"), input)
    };
    let events: Vec<_> = engine.generate(Arc::new(request)).await.expect("an answer").collect().await;
    let tokens = events.into_iter().filter_map(|event| match event.expect("no error") {
        Event::Delta(delta) => Some(delta.logprobs),
        _ => None,
    });
    tokens.flatten().collect()
}

#[tokio::test]
async fn mistralrs_says_of_a_picture_what_llama_cpp_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path());
    let (theirs, ours) = (llama_cpp(folder.path()), mistralrs(folder.path()));
    for number in 1..4 {
        for (before, behind) in [("the ", "?"), ("the licence of the model is ".repeat(3).as_str(), " is the model")] {
            // The model was trained with empty lines around a picture; llama.cpp leaves them to whoever writes the prompt.
            let (before_it, behind_it) = (format!("{before}\n\n"), format!("\n\n{behind}"));
            let expected = said(&theirs, number, &before_it, &behind_it).await;
            let found = said(&ours, number, before, behind).await;
            for (found, expected) in found.iter().zip(&expected) {
                let (a, b) = (&found.chosen, &expected.chosen);
                assert_eq!(a.id, b.id, "{number} {before}");
                let (a, b) = (a.logprob.expect("one"), b.logprob.expect("one"));
                assert!((a - b).abs() < APART, "{number} {before}: {a} and {b}");
            }
            assert_eq!((found.len(), expected.len()), (8, 8));
        }
    }
}
