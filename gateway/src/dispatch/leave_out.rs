//! A request without what a candidate lacks, where its route lets it be sent so (`leave_out`).
//!
//! The caller is told by a header, and the record of the decision names it. Knows the fields of the APIs by which those
//! capabilities are asked for, and nothing of who lacks them.

use std::sync::Arc;

use backends::{Request, Sampling};
use policies::{Capabilities, Capability};

/// The request without what asks for these.
pub(super) fn without(request: &Arc<Request>, what: Capabilities) -> Arc<Request> {
    if what.is_empty() {
        return Arc::clone(request);
    }
    let usual = Sampling::default();
    let mut sampling = request.sampling.clone();
    let mut fields: Vec<&str> = Vec::new();
    for capability in what.iter() {
        match capability {
            Capability::Seed => {
                sampling.seed = usual.seed;
                fields.push("seed");
            }
            Capability::Penalties => {
                (sampling.frequency_penalty, sampling.presence_penalty) =
                    (usual.frequency_penalty, usual.presence_penalty);
                fields.extend(["frequency_penalty", "presence_penalty"]);
            }
            Capability::LogitBias => {
                sampling.logit_bias = Vec::new();
                fields.push("logit_bias");
            }
            // Without these the answer would have another form: no route can leave them out.
            Capability::Tools
            | Capability::JsonSchema
            | Capability::Image
            | Capability::Audio
            | Capability::Logprobs
            | Capability::Reasoning
            | Capability::Completions
            | Capability::Choices
            | Capability::Generation
            | Capability::Embeddings
            | Capability::Rerank
            | Capability::Moderations
            | Capability::Images
            | Capability::Speech
            | Capability::Transcriptions
            | Capability::Tokens => {}
        }
    }
    // What the caller wrote in another API holds them by other names: the translation alone is sent.
    Arc::new(Request { payload: request.payload.without(&fields), own: None, sampling, ..Request::clone(request) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn what_is_left_out_is_gone_from_the_bytes_and_from_what_they_say() {
        let body = r#"{"model":"m","seed":7,"messages":[{"role":"user","content":"hi"}],"presence_penalty":1,
            "logit_bias":{"5":1},"temperature":0.5}"#;
        let decoded = wire::decode(wire::ClientApi::Chat, "r", body.into()).unwrap_or_else(|e| panic!("{}", e.message));
        let request = Arc::new(decoded.request);
        let less = without(&request, [Capability::Seed, Capability::Penalties].into_iter().collect());
        assert_eq!(
            less.payload.bytes(),
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\n            \"logit_bias\":{\"5\":1},\"temperature\":0.5}"
        );
        assert_eq!((less.sampling.seed, less.sampling.presence_penalty), (None, 0.0));
        assert_eq!((less.sampling.temperature, less.sampling.logit_bias.len()), (0.5, 1));
        assert!(Arc::ptr_eq(&without(&request, Capabilities::default()), &request));
    }
}
