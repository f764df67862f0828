//! Answers with a draft against the same without: no bit of them may differ.

use backends::{Form, Shape};
use futures_util::future::join_all;

use super::*;
use engine::Guesses;

/// A model that takes longer than its draft and says the same.
const MODEL: (u32, u32) = (2, 14);

fn shape((layers, idle_layers): (u32, u32)) -> Llama {
    Llama { layers, idle_layers, sharpness: 12.0, context: 512, ..Llama::default() }
}

fn drafted(model: &Llama, draft: &Llama) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("draft.gguf");
    std::fs::write(&path, draft.build()).unwrap();
    load(model.build(), Options { threads: Some(1), draft: Some(path), ..Options::default() }).unwrap()
}

/// Without its ends, which would come too soon.
fn long(text: &str, temperature: f32, max_tokens: u32) -> Request {
    let sampling = Sampling { temperature, seed: Some(11), logit_bias: vec![(2, -100.0)], ..Sampling::default() };
    Request { sampling, max_tokens: Some(max_tokens), logprobs: Some(2), ..prompt(text) }
}

/// One of each kind that is drawn in its own way.
fn requests() -> Vec<Request> {
    let regex = Some(Shape { field: "regex", form: Form::Regex("(no|yes) [a-c]+!".into()) });
    let mut all = Vec::new();
    for temperature in [0.0, 1.0, 2.5] {
        all.push(long("hello", temperature, 120));
        all.push(Request { choices: 2, ..long("the model is", temperature, 50) });
        let sampling = Sampling { temperature, seed: Some(4), ..Sampling::default() };
        all.push(Request { shape: regex.clone(), sampling: sampling.clone(), ..chat("hello") });
        let schema = serde_json::json!({"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 9});
        all.push(Request { shape: forms::json_of(&schema), max_tokens: Some(80), sampling, ..chat("hello") });
    }
    all
}

async fn one_by_one(engine: &Engine, requests: &[Request]) -> Vec<HashMap<u32, Answer>> {
    let mut all = Vec::new();
    for request in requests {
        all.push(answers(engine, request.clone()).await.unwrap());
    }
    all
}

async fn idle(engine: &Engine) {
    let start = Instant::now();
    while !engine.load(&Probe::default()).is_idle() {
        assert!(start.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_draft_changes_no_answer_whatever_it_is() {
    let model = shape(MODEL);
    let plain = engine(&model);
    let mut requests = requests();
    let mut expected = one_by_one(&plain, &requests).await;
    // A stop sequence in the middle of what was guessed.
    let stop: String = expected[0][&0].text.chars().skip(40).take(2).collect();
    requests.push(Request { stop: vec![stop.clone()], ..requests[0].clone() });
    expected.extend(one_by_one(&plain, &requests[requests.len() - 1..]).await);
    assert!(!expected.last().unwrap()[&0].text.contains(&stop));
    let drafts = [
        ("all right", shape((MODEL.0, 0))),
        ("as slow as the model", model.clone()),
        ("nearly all wrong", Llama { seed: 2, ..shape((1, 0)) }),
        ("a smaller context", Llama { context: 40, ..shape((MODEL.0, 0)) }),
        ("never sure", Llama { sharpness: 1.0, ..shape((MODEL.0, 0)) }),
    ];
    for (what, draft) in drafts {
        let engine = drafted(&model, &draft);
        assert_eq!(one_by_one(&engine, &requests).await, expected, "{what}");
        let Guesses { drafted, drafted_right, .. } = engine.guesses();
        match what {
            "never sure" => assert_eq!(drafted, 0),
            "nearly all wrong" => assert!(drafted_right <= drafted / 4, "{:?}", engine.guesses()),
            "all right" => assert!(drafted_right > drafted / 2, "{:?}", engine.guesses()),
            _ => assert!(drafted > 0, "{what}"),
        }
        // Three at a time, and again, when what was computed is used again.
        for three in requests.chunks(3).zip(expected.chunks(3)) {
            let together = join_all(three.0.iter().map(|request| answers(&engine, request.clone()))).await;
            let together: Vec<_> = together.into_iter().map(Result::unwrap).collect();
            assert_eq!(together, three.1, "{what}");
        }
        // One that ends in the middle leaves nothing behind.
        let mut stream = engine.generate(Arc::new(long("hello", 0.0, 400))).await.unwrap();
        for _ in 0..20 {
            assert!(stream.next().await.unwrap().is_ok());
        }
        drop(stream);
        idle(&engine).await;
        assert_eq!(one_by_one(&engine, &requests[..4]).await, expected[..4], "{what}");
    }
}

/// One that was asked before each token would have made at least as many guesses as there are tokens. How many fewer it makes
/// goes by measured times, which `engine` tests with given ones.
#[tokio::test]
async fn a_draft_that_is_wrong_is_soon_asked_little() {
    const TOKENS: u32 = 450;
    let engine = drafted(&shape(MODEL), &Llama { seed: 2, ..shape((1, 0)) });
    let answer = answers(&engine, long("hello", 1.0, TOKENS)).await.unwrap().remove(&0).unwrap();
    assert_eq!(answer.logprobs.len(), TOKENS as usize);
    let first = engine.guesses();
    assert!((1..u64::from(TOKENS) / 2).contains(&first.drafted), "{first:?}");
    answers(&engine, long("the model is", 1.0, TOKENS)).await.unwrap();
    let more = engine.guesses().drafted - first.drafted;
    assert!(more < u64::from(TOKENS) / 2, "{more} after {first:?}");
}

#[test]
fn a_draft_that_cannot_guess_is_refused_with_its_path_and_why() {
    let refusal = |bytes: Vec<u8>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draft.gguf");
        std::fs::write(&path, bytes).unwrap();
        let options = Options { draft: Some(path), ..Options::default() };
        let error = load(Llama::default().build(), options).expect_err("the draft should be refused");
        format!("{error}: {}", std::error::Error::source(&error).unwrap())
    };
    let other = refusal(Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() }.build());
    assert!(other.contains("draft.gguf") && other.contains("token 0 is"), "{other}");
    let states = Llama::of("mamba", TensorType::F32).build();
    let why = refusal(states.clone());
    assert!(why.contains("draft.gguf") && why.contains("a draft that cannot forget what it guessed"), "{why}");
    // Of the model it is told before a draft is opened.
    let options = Options { draft: Some("nowhere".into()), ..Options::default() };
    let why = load(states, options).expect_err("the draft should be refused");
    let why = std::error::Error::source(&why).unwrap().to_string();
    assert!(why.contains("a draft for a model that cannot forget what was guessed wrongly"), "{why}");
    let broken = refusal(b"GGUF".to_vec());
    assert!(broken.starts_with("cannot use the draft `") && broken.contains("cannot read the file"), "{broken}");
}
