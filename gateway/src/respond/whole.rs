//! An answer that is not streamed: put together from events, or passed on as the upstream sent it.

use backends::{Event, Request, Usage};
use bytes::Bytes;

use super::framer::{Choice, Framer};
use crate::settle::Settlement;

/// The body of a whole answer to `request`, from all its events; `model` and `created` are said where we write it.
pub fn assemble(
    events: Vec<Event>,
    request: &Request,
    model: &str,
    created: u64,
    settlement: &mut Settlement,
) -> Bytes {
    let mut choices = Vec::new();
    let mut total = Usage::default();
    for event in events {
        match event {
            Event::Whole(frame) | Event::Frame(frame) => {
                settlement.text(frame.text_tokens);
                if let Some(usage) = frame.usage {
                    settlement.usage(usage);
                }
                return frame.bytes;
            }
            Event::Delta(delta) => {
                if let Some(choice) = choice(&mut choices, request, delta.index) {
                    choice.text.push_str(&delta.text);
                    choice.logprobs.extend(delta.logprobs);
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
    Framer::new(request, model, created).whole(&choices, total).into()
}

/// One of the choices that the request asked for; they are made once the first is there.
fn choice<'a>(choices: &'a mut Vec<Choice>, request: &Request, index: u32) -> Option<&'a mut Choice> {
    choices.resize_with(request.answers(), Choice::default);
    choices.get_mut(index as usize)
}
