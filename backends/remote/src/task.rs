//! Requests that are no generation: embeddings, reranking, moderation, pictures, tokens. One JSON body in, one out.
//!
//! What goes out are the caller's bytes, but for the model's name; only servers that tell tokens have words of their own
//! for that. What comes back is checked to be an answer to what was asked, and passed on as it came where it has the form
//! that callers expect. Where it has not it is brought into that form: vectors that are told otherwise than they were
//! asked for, documents that are not in order, tokens under other names. A place that ignores `dimensions` is turned away:
//! its vectors would be of no use to the caller.

mod embeddings;
mod rerank;
mod tokens;

use backends::{Api, BackendError, Convention, Event, EventStream, Frame, Input, Request, Rewrite, Usage};
use bytes::Bytes;
use catalog::{Detokenize, Tokenize};
use futures_util::stream;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    body::{Cut, Source, collect, next_data},
    client::root,
    gauge::Running,
    report,
};

/// How a place is asked for tokens and for their text.
pub(crate) type Tokens = (Option<Tokenize>, Option<Detokenize>);

/// The body for a place.
pub(crate) fn body(request: &Request, to: &Rewrite<'_>, tokens: &Tokens) -> Result<Bytes, BackendError> {
    match (&request.input, tokens) {
        (Input::Tokenize { text, special }, (Some(how), _)) => Ok(tokens::ask(how, to.model, text, *special)),
        (Input::Chat { .. }, (Some(how), _)) if request.api == Api::Tokenize && !how.messages => {
            let reason = "the server tells the tokens of texts, not of conversations".to_owned();
            Err(BackendError::Unsupported { param: "messages", reason })
        }
        (Input::TokenizerInfo, _) => Ok(Bytes::new()),
        (Input::Detokenize(ids), (_, Some(how))) => Ok(tokens::ask_text(how, to.model, ids)),
        _ => Ok(request.payload.rewritten(to)),
    }
}

/// What every answer may have.
#[derive(Default, Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    data: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    results: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    text: Option<IgnoredAny>,
}

/// Reads and checks a whole answer.
pub(crate) async fn answer(
    body: impl Source,
    limit: usize,
    request: &Request,
    (usage, tokens, content_type): (&Convention, &Tokens, Option<Box<str>>),
) -> Result<Event, BackendError> {
    let bytes = collect(body, limit).await.map_err(|cut| cut.of_answer(limit))?;
    if let Some(content_type) = content_type {
        // Sound, subtitles: nothing to be read in it.
        return match bytes.is_empty() {
            true => Err(broken("the answer is empty")),
            false => Ok(Event::Whole(Frame { content_type: Some(content_type), ..whole_frame(bytes) })),
        };
    }
    read(bytes, request, usage, tokens)
}

/// Sound, or a transcript that is told piece by piece: its bytes as they come.
pub(crate) fn pieces(body: impl Source, limit: usize, content_type: Box<str>, running: Running) -> EventStream {
    struct Reading<B> {
        body: B,
        content_type: Box<str>,
        taken: usize,
        _running: Running,
    }
    let reading = Reading { body, content_type, taken: 0, _running: running };
    Box::pin(stream::unfold(Some(reading), move |reading| async move {
        let mut reading = reading?;
        let failed = |error| Some((Err(error), None));
        match next_data(&mut reading.body).await {
            Err(error) => failed(Cut::Broken(root(&error)).of_answer(limit)),
            Ok(None) if reading.taken == 0 => failed(broken("the answer is empty")),
            Ok(None) => {
                let end = Frame { finished: true, done: true, ..Frame::default() };
                Some((Ok(Event::Frame(end)), None))
            }
            Ok(Some(bytes)) => {
                reading.taken += bytes.len();
                if reading.taken > limit {
                    return failed(Cut::TooLong.of_answer(limit));
                }
                let content_type = Some(reading.content_type.clone());
                let frame = Frame { content: !bytes.is_empty(), bytes, content_type, ..Frame::default() };
                Some((Ok(Event::Frame(frame)), Some(reading)))
            }
        }
    }))
}

fn whole_frame(bytes: Bytes) -> Frame {
    Frame { bytes, content: true, finished: true, ..Frame::default() }
}

fn read(bytes: Bytes, request: &Request, usage: &Convention, tokens: &Tokens) -> Result<Event, BackendError> {
    // Some servers answer with a bare list.
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let outline: Outline<'_> = match is_object {
        true => serde_json::from_slice(&bytes).map_err(|_| broken("the answer is not as the API has it"))?,
        false => Outline::default(),
    };
    if outline.error.is_some() {
        return Err(report::inside(&bytes, request.api));
    }
    let counted = outline.usage.and_then(|counts| usage.read(&bytes, Some(counts), true).map(|u| whole(u, counts)));
    let some = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let (answers, usage) = match (&request.input, tokens) {
        (Input::Embed { texts, base64, dimensions }, _) => {
            (embeddings::told(&bytes, texts.len(), *base64, *dimensions)?, counted)
        }
        (Input::Rank { documents, top, with_texts, .. }, _) => {
            (rerank::told(&bytes, documents, *top, *with_texts)?, counted)
        }
        (Input::Detokenize(_), (_, Some(how))) => (Some(tokens::text(&bytes, how)?), None),
        (_, (Some(how), _)) if request.api == Api::Tokenize => (Some(tokens::told(&bytes, how)?), None),
        (Input::TokenizerInfo, _) if is_object => (None, None),
        _ if request.api == Api::Moderations && some(&outline.results) => (None, counted),
        _ if request.api == Api::Images && some(&outline.data) => (None, counted),
        _ if request.api == Api::Transcriptions && outline.text.is_some() => (None, counted),
        _ => return Err(broken("the answer holds nothing of what was asked for")),
    };
    let bytes = answers.unwrap_or_else(|| bytes.clone());
    Ok(Event::Whole(Frame { usage, ..whole_frame(bytes) }))
}

/// Counts of an API that generates nothing; some tell the sum alone.
fn whole(usage: Usage, counts: &RawValue) -> Usage {
    #[derive(Deserialize)]
    struct Sum {
        #[serde(default)]
        total_tokens: u64,
    }
    let sum = serde_json::from_str::<Sum>(counts.get()).map_or(0, |sum| sum.total_tokens);
    if usage.prompt_tokens == 0 { Usage { prompt_tokens: sum, ..usage } } else { usage }
}

fn broken(reason: impl Into<String>) -> BackendError {
    BackendError::BrokenStream { reason: reason.into() }
}
