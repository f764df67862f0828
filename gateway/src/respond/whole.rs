//! An answer that is not streamed: put together from events, or passed on as the upstream sent it.

use backends::{BackendError, Event, Request, Usage};
use bytes::Bytes;

use super::{
    Told, Writer,
    framer::{Choice, Framer},
    pieces::{self, Piece},
};
use crate::{settle::Settlement, wire::Manner};

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    /// Its body.
    pub bytes: Bytes,
    /// What that is, where it is not JSON.
    pub content_type: Option<Box<str>>,
}

/// The whole answer to `request`, from all its events.
///
/// # Errors
/// When an upstream's answer has to be read and cannot be.
pub fn assemble(
    events: Vec<Event>,
    request: &Request,
    told: Told<'_>,
    settlement: &mut Settlement,
) -> Result<Whole, BackendError> {
    if matches!(told.manner, Manner::OpenAi) {
        return Ok(in_openais(events, request, told, settlement));
    }
    let mut writer = Writer::keeping(request, told);
    for event in events {
        match event {
            Event::Whole(frame) | Event::Frame(frame) => {
                settlement.text(frame.text_tokens);
                frame.usage.into_iter().for_each(|usage| settlement.usage(usage));
                if frame.own {
                    return Ok(Whole { bytes: frame.bytes, content_type: None });
                }
                pieces::read(&frame.bytes, |piece| writer.take(piece))?;
            }
            Event::Delta(delta) => {
                settlement.text(delta.text_tokens());
                pieces::of_delta(&delta, |piece| writer.take(piece));
            }
            Event::Finish { reason, .. } => {
                settlement.finish(reason.as_str());
                writer.take(Piece::Finish { reason: reason.as_str().into(), stop_sequence: None });
            }
            Event::Usage(usage) => settlement.usage(usage),
        }
    }
    settlement.counted().into_iter().for_each(|usage| writer.count(usage));
    Ok(Whole { bytes: writer.whole().into(), content_type: None })
}

fn in_openais(events: Vec<Event>, request: &Request, told: Told<'_>, settlement: &mut Settlement) -> Whole {
    let mut choices = Vec::new();
    let mut total = Usage::default();
    for event in events {
        match event {
            Event::Whole(frame) | Event::Frame(frame) => {
                settlement.text(frame.text_tokens);
                if let Some(usage) = frame.usage {
                    settlement.usage(usage);
                }
                return Whole { bytes: frame.bytes, content_type: frame.content_type };
            }
            Event::Delta(delta) => {
                if let Some(choice) = choice(&mut choices, request, delta.index) {
                    choice.take(delta);
                }
            }
            Event::Finish { index, reason } => {
                settlement.finish(reason.as_str());
                if let Some(choice) = choice(&mut choices, request, index) {
                    choice.finish = Some(reason);
                }
            }
            Event::Usage(usage) => total = usage,
        }
    }
    settlement.usage(total);
    let bytes = Framer::new(request, told.model, told.created).whole(&choices, total).into();
    Whole { bytes, content_type: None }
}

/// One of the choices that the request asked for; they are made once the first is there.
fn choice<'a>(choices: &'a mut Vec<Choice>, request: &Request, index: u32) -> Option<&'a mut Choice> {
    choices.resize_with(request.answers(), Choice::default);
    choices.get_mut(index as usize)
}
