//! An answer that is not streamed: put together from events, or passed on as the upstream sent it.

use backends::{Event, Usage};
use bytes::Bytes;

use super::framer::{Choice, Framer};
use crate::settle::Settlement;

/// The body of a whole answer, from all its events; `choices` is how many the request asked for.
pub fn assemble(events: Vec<Event>, framer: &Framer, choices: usize, settlement: &mut Settlement) -> Bytes {
    let mut gathered = vec![Choice::default(); choices];
    let mut total = Usage::default();
    for event in events {
        match event {
            Event::Whole(frame) | Event::Frame(frame) => {
                if let Some(usage) = frame.usage {
                    settlement.usage(usage);
                }
                return frame.bytes;
            }
            Event::Delta(delta) => {
                if let Some(choice) = gathered.get_mut(delta.index as usize) {
                    choice.text.push_str(&delta.text);
                    choice.logprobs.extend(delta.logprobs);
                }
            }
            Event::Finish { index, reason } => {
                settlement.finish(reason.as_str());
                if let Some(choice) = gathered.get_mut(index as usize) {
                    choice.finish = Some(reason);
                }
            }
            Event::Usage(usage) => total = usage,
        }
    }
    settlement.usage(total);
    framer.whole(&gathered, total).into()
}
