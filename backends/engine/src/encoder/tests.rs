//! The queue over a model that does what a test tells it, one batch at a time.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use backends::{Api, Event, Payload, Prompt};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};

use crate::{gguf::File, testing::Llama, tokenizer::Tokenizer};

use super::*;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The model's window.
const CONTEXT: usize = 64;
const ROOM: Room = Room { texts: 4, tokens: 40 };

#[derive(Clone, Copy, Debug)]
enum Order {
    Go,
    Fail,
    Panic,
    NoNumbers,
}

/// Makes of a text its first token and how many it has. Tells its batches, and waits for an order before each.
struct Toy {
    numbers: usize,
    began: Sender<Vec<Vec<u32>>>,
    orders: Receiver<Order>,
}

impl Pools for Toy {
    fn room(&self) -> Room {
        ROOM
    }

    fn pool(&mut self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String> {
        let _ = self.began.send(texts.to_vec());
        let row = |text: &Vec<u32>| [text[0] as f32, text.len() as f32][2 - self.numbers..].to_vec();
        match self.orders.recv().unwrap_or(Order::Go) {
            Order::Go => Ok(texts.iter().map(row).collect()),
            Order::Fail => Err("told to".to_owned()),
            Order::Panic => panic!("told to"),
            Order::NoNumbers => Ok(vec![vec![f32::NAN; self.numbers]; texts.len()]),
        }
    }
}

struct Bed {
    /// First, as an engine that is dropped waits for its batch.
    orders: Sender<Order>,
    encoder: Encoder,
    speech: Arc<Speech>,
    began: Receiver<Vec<Vec<u32>>>,
}

fn bed(makes: Makes) -> Bed {
    let file = File::read(Llama::default().build().into()).unwrap();
    let speech = Arc::new(Speech::new(Tokenizer::from_file(&file).unwrap(), None, CONTEXT));
    let ((began, begun), (orders, ordered)) = (channel(), channel());
    let numbers = makes.numbers();
    let run = move |worker: Worker| worker.work(Toy { numbers, began, orders: ordered });
    Bed { encoder: Encoder::start("toy", makes, run).unwrap(), speech, began: begun, orders }
}

/// The model is told nothing, and goes on.
fn free(makes: Makes) -> Bed {
    Bed { orders: channel().0, ..bed(makes) }
}

fn request(api: Api, input: Input) -> Arc<Request> {
    let payload = Payload::new(Bytes::from_static(br#"{"model":"toy"}"#)).unwrap();
    Arc::new(Request::new("r", api, payload, input))
}

fn embed(texts: Vec<Prompt>) -> Arc<Request> {
    request(Api::Embeddings, Input::Embed { texts, base64: false, dimensions: None })
}

/// Texts of so many tokens, each of which begins with another token.
fn tokens(lens: &[usize]) -> Vec<Prompt> {
    lens.iter().enumerate().map(|(first, len)| Prompt::Tokens(vec![first as u32 % 64 + 3; *len])).collect()
}

impl Bed {
    async fn take(&self, request: Arc<Request>) -> Result<EventStream, BackendError> {
        self.encoder.take(&self.speech, request, None).await
    }

    async fn answer(&self, request: Arc<Request>) -> Result<(Value, u64), BackendError> {
        read(self.take(request).await?).await
    }
}

async fn read(events: EventStream) -> Result<(Value, u64), BackendError> {
    let events = tokio::time::timeout(PATIENCE, events.collect::<Vec<_>>()).await.expect("it should end");
    let [event] = <[_; 1]>::try_from(events).expect("one event");
    let Event::Whole(frame) = event? else { panic!("a whole answer") };
    Ok((serde_json::from_slice(&frame.bytes).unwrap(), frame.usage.expect("a usage").prompt_tokens))
}

#[tokio::test]
async fn each_text_has_its_vector_in_its_place_and_its_tokens_are_counted() {
    let bed = free(Makes::Vectors { width: 2 });
    let lens = [3, 64, 1, 17, 17, 9, 9, 9, 9, 9];
    let (answer, counted) = bed.answer(embed(tokens(&lens))).await.unwrap();
    let sum: usize = lens.iter().sum();
    assert_eq!(counted, sum as u64);
    assert_eq!(answer["usage"], json!({"prompt_tokens": sum, "total_tokens": sum}));
    assert_eq!((&answer["object"], &answer["model"]), (&"list".into(), &"toy".into()));
    for (at, len) in lens.iter().enumerate() {
        let expected = json!({"object": "embedding", "index": at, "embedding": [at as f32 + 3.0, *len as f32]});
        assert_eq!(answer["data"][at], expected);
    }
    assert_eq!(answer["data"].as_array().unwrap().len(), lens.len());
    let tally = bed.encoder.tally("toy".into());
    assert_eq!((tally.requests, tally.prompt_tokens), (Some(1), Some(sum as u64)));
    assert!(bed.encoder.load().is_idle());
    let plain = [Prompt::Text("the model".into())].to_vec();
    let (answer, counted) = bed.answer(embed(plain)).await.unwrap();
    assert_eq!(answer["data"][0]["embedding"], json!([1.0, counted as f32]), "it begins as the file says");
}

#[tokio::test]
async fn base64_is_the_numbers_in_32_bits_little_endian() {
    let bed = free(Makes::Vectors { width: 2 });
    let asked = Input::Embed { texts: tokens(&[2]), base64: true, dimensions: Some(2) };
    let (answer, _) = bed.answer(request(Api::Embeddings, asked)).await.unwrap();
    assert_eq!(answer["data"][0]["embedding"], "AABAQAAAAEA=");
}

#[tokio::test]
async fn documents_come_best_first_as_many_as_asked_with_their_texts_if_asked() {
    let bed = free(Makes::Scores { between: vec![2, 2] });
    let long = ["the"; 20].join(" ");
    let documents = ["the", &long, "the model"].map(str::to_owned).to_vec();
    let rank = |top, with_texts| {
        let (query, documents) = ("hello".to_owned(), documents.clone());
        request(Api::Rerank, Input::Rank { query, documents, top, with_texts })
    };
    let (answer, counted) = bed.answer(rank(None, false)).await.unwrap();
    let order: Vec<u64> = answer["results"].as_array().unwrap().iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2, 0]);
    assert!(answer["results"][0].get("document").is_none());
    let encode = |text: &str| bed.speech.tokenizer.encode(text).len() as u64;
    // The token that begins a text, the query, and what parts it from the document.
    let expected: u64 = documents.iter().map(|document| 1 + encode("hello") + 2 + encode(document)).sum();
    assert_eq!((counted, &answer["usage"]["total_tokens"]), (expected, &expected.into()));
    let (answer, _) = bed.answer(rank(Some(1), true)).await.unwrap();
    let best = answer["results"].as_array().unwrap();
    assert_eq!((best.len(), &best[0]["document"]), (1, &json!({"text": long})));
}

#[tokio::test]
async fn requests_take_turns_in_batches_that_have_room_for_them() {
    let bed = bed(Makes::Vectors { width: 2 });
    let first = bed.take(embed(tokens(&[2]))).await.unwrap();
    bed.began.recv().unwrap();
    // While that is computed others come: one with many texts, one with a text as long as the window, one with two.
    let many = bed.take(embed(tokens(&[10; 6]))).await.unwrap();
    let long = bed.take(embed(tokens(&[64]))).await.unwrap();
    let two = bed.take(embed(tokens(&[5, 5]))).await.unwrap();
    assert_eq!((bed.encoder.load().running, bed.encoder.load().queued), (1, 3));
    let Bed { orders, began, encoder, .. } = bed;
    drop(orders);
    join_all([first, many, long, two].map(read)).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    drop(encoder);
    let lens = |batch: Vec<Vec<u32>>| batch.iter().map(Vec::len).collect::<Vec<_>>();
    let batches: Vec<Vec<usize>> = began.iter().map(lens).collect();
    assert_eq!(batches, [vec![10], vec![64], vec![5, 10, 5, 10], vec![10, 10, 10]]);
}

#[tokio::test]
async fn who_would_wait_too_long_is_refused_at_once_and_whoever_may_be_in_time_is_taken() {
    let bed = bed(Makes::Vectors { width: 2 });
    let wait = || bed.encoder.load().wait;
    assert_eq!(wait(), Some(Duration::ZERO));
    let first = bed.take(embed(tokens(&[2]))).await.unwrap();
    bed.began.recv().unwrap();
    assert_eq!(wait(), None, "nothing is known before there was a batch");
    bed.orders.send(Order::Go).unwrap();
    read(first).await.unwrap();
    let _second = bed.take(embed(tokens(&[40]))).await.unwrap();
    bed.began.recv().unwrap();
    assert!(wait() > Some(Duration::ZERO));
    let by = |begins_by| bed.encoder.take(&bed.speech, embed(tokens(&[3])), Some(begins_by));
    let now = Instant::now();
    assert!(matches!(by(now).await, Err(BackendError::Overloaded { retry_after: Some(_) })));
    assert_eq!(bed.encoder.load().queued, 0);
    assert!(by(now + Duration::from_secs(3_600)).await.is_ok());
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_computed() {
    let bed = bed(Makes::Vectors { width: 2 });
    let first = bed.take(embed(tokens(&[2]))).await.unwrap();
    bed.began.recv().unwrap();
    let gone = bed.take(embed(tokens(&[7; 40]))).await.unwrap();
    let there = bed.take(embed(tokens(&[3]))).await.unwrap();
    drop(gone);
    let Bed { orders, began, encoder, .. } = bed;
    drop(orders);
    for events in [first, there] {
        read(events).await.unwrap();
    }
    drop(encoder);
    let batches: Vec<_> = began.iter().collect();
    assert_eq!(batches, [vec![vec![3; 3]]]);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_the_reason_and_never_computed() {
    let vectors = bed(Makes::Vectors { width: 2 });
    let refusal = async |bed: &Bed, request| bed.take(request).await.err().expect("a refusal").to_string();
    for (texts, reason) in [
        (tokens(&[1, 65]), "the prompt has 65 tokens and the context window holds 64"),
        (vec![Prompt::Tokens(vec![5_000])], "`input`: token 5000, and this model's tokens are 0 to "),
        (vec![Prompt::Tokens(vec![])], "`input`: nothing, or a text without a token"),
        (vec![], "`input`: nothing, or a text without a token"),
    ] {
        let refused = refusal(&vectors, embed(texts)).await;
        assert!(refused.starts_with(reason), "{refused}");
    }
    let cut = Input::Embed { texts: tokens(&[1]), base64: false, dimensions: Some(1) };
    let refused = refusal(&vectors, request(Api::Embeddings, cut)).await;
    assert_eq!(refused, "`dimensions`: 1 were asked for, and this model makes vectors of 2");
    let rank = Input::Rank { query: "q".into(), documents: vec!["d".into()], top: None, with_texts: false };
    let refused = refusal(&vectors, request(Api::Rerank, rank)).await;
    assert_eq!(refused, "`documents`: this model makes vectors of texts, and nothing else");
    let scores = bed(Makes::Scores { between: vec![] });
    let refused = refusal(&scores, embed(tokens(&[1]))).await;
    assert_eq!(refused, "`input`: this model orders documents by a query, and does nothing else");
    let chat = Input::Chat { messages: vec![], tools: None, template_kwargs: None };
    let refused = refusal(&scores, request(Api::Chat, chat)).await;
    assert!(refused.starts_with("`messages`: this model orders documents"), "{refused}");
    assert!(vectors.began.try_recv().is_err() && scores.began.try_recv().is_err());
}

#[tokio::test]
async fn a_batch_that_fails_ends_its_requests_and_no_other_and_three_in_a_row_end_the_engine() {
    let bed = bed(Makes::Vectors { width: 2 });
    for order in [Order::Fail, Order::Panic, Order::Go, Order::NoNumbers] {
        bed.orders.send(order).unwrap();
        let answer = bed.answer(embed(tokens(&[2]))).await;
        assert_eq!(answer.is_ok(), matches!(order, Order::Go), "{order:?}");
        assert!(bed.encoder.load().healthy);
    }
    for _ in 0..2 {
        bed.orders.send(Order::Fail).unwrap();
        assert!(bed.answer(embed(tokens(&[2]))).await.is_err());
    }
    // The thread says so when it has ended, a moment after its last answer.
    tokio::time::timeout(PATIENCE, async {
        while bed.encoder.load().healthy {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it should end");
    let refused = bed.take(embed(tokens(&[2]))).await.err().expect("a refusal").to_string();
    assert_eq!(refused, "failed: the engine has stopped");
}

#[tokio::test]
async fn an_engine_with_enough_to_do_says_so_and_what_waits_has_an_end() {
    let bed = bed(Makes::Vectors { width: 2 });
    let first = bed.take(embed(tokens(&[2]))).await.unwrap();
    bed.began.recv().unwrap();
    // One that is larger than the whole queue is taken when nothing else waits.
    let large = bed.take(embed(tokens(&[CONTEXT; (4 << 20) / CONTEXT]))).await.unwrap();
    let refused = bed.take(embed(tokens(&[2]))).await.err().expect("a refusal");
    assert!(matches!(refused, BackendError::Overloaded { retry_after: Some(_) }), "{refused}");
    let Bed { orders, encoder, .. } = bed;
    drop(orders);
    drop(encoder);
    for events in [first, large] {
        // What was being computed is; what waited hears of the end.
        let _ = read(events).await;
    }
}
