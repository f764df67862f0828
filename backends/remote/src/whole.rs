//! An answer that is not streamed: its body collected within a limit, then checked and forwarded untouched.

use backends::{Api, BackendError, Convention, Event, Frame};

use crate::{
    body::{Source, collect},
    chunk::{self, Read},
    own::{Own, Said},
    report,
};

/// Reads and checks a whole answer.
pub(crate) async fn answer(
    body: impl Source,
    limit: usize,
    api: Api,
    usage: &Convention,
) -> Result<Event, BackendError> {
    let broken = |reason: String| BackendError::BrokenStream { reason };
    let bytes = collect(body, limit).await.map_err(|cut| cut.of_answer(limit))?;
    if let Some(mut own) = Own::new(api) {
        let frame = match own.body(&bytes) {
            Said::Part(frame) => frame,
            Said::Error(json) => return Err(report::inside(json.as_bytes(), api)),
            Said::Other => return Err(broken(format!("the answer is none of `{}`", api.path()))),
            Said::Bad => return Err(broken("the answer is no JSON".into())),
        };
        return Ok(Event::Whole(Frame { bytes, ..frame }));
    }
    let chunk = match chunk::read(&bytes) {
        Read::Object(chunk) => chunk,
        Read::Other => return Err(broken("the answer is no JSON object with `choices`".into())),
        Read::Bad => return Err(broken("the answer is no JSON".into())),
    };
    let choices = chunk.choices.unwrap_or_default();
    if chunk.is_error() {
        return Err(report::inside(&bytes, api));
    }
    if choices.failed {
        return Err(report::choice_failed());
    }
    if choices.count == 0 {
        return Err(broken("the answer has no `choices`".into()));
    }
    let usage = usage.read(&bytes, chunk.usage, true);
    let (text_tokens, finished) = (choices.text_tokens, choices.finished != 0);
    Ok(Event::Whole(Frame { bytes, content: true, text_tokens, finished, usage, ..Frame::default() }))
}
