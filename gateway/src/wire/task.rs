//! What requests that generate nothing have in common.

use backends::{Api, Input, Payload, Request};
use policies::{Needs, Task};
use serde_json::value::RawValue;

use super::{Decoded, Manner};

/// A request of this kind, answered whole.
pub(super) fn decoded(
    id: &str,
    (api, task): (Api, Task),
    model: String,
    payload: Payload,
    input: Input,
    metadata: Option<Box<RawValue>>,
) -> Decoded {
    let request = Request { max_tokens: Some(0), ..Request::new(id, api, payload, input) };
    let needs = Needs { task: Some(task), ..Needs::default() };
    Decoded { model, request, needs, metadata, manner: Manner::OpenAi, left_out: Vec::new() }
}
