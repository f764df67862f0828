//! The OpenAPI document of the clients' listener: `GET /openapi.json`, and the page `gateway/API.md`.
//!
//! Paths are one table; the fields of a request are those of the types that it is decoded into, so what is described is
//! what is read. Unknown fields are passed on, so no description is closed. Answers are the vendors' own and described by
//! their names alone. Knows nothing of what a request leads to.

mod page;

use std::sync::LazyLock;

use bytes::Bytes;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::wire::{self, ClientApi};

pub use page::page;

/// A path with what it is for.
struct Endpoint {
    method: &'static str,
    path: &'static str,
    /// The part of the page that it stands in.
    group: &'static str,
    what: &'static str,
    /// What its body is.
    body: Body,
    /// What it answers with.
    answer: Answer,
}

/// The body of a request.
#[derive(Clone, Copy)]
enum Body {
    None,
    Json(ClientApi),
    /// An object that has at least these fields.
    Object(&'static [&'static str]),
    /// A form with these fields.
    Form(&'static [&'static str]),
}

/// An answer of status 200.
#[derive(Clone, Copy)]
enum Answer {
    /// JSON of this name in the vendor's own description.
    Json(&'static str),
    /// The same, or a stream of events where the request asks for one.
    Streamed(&'static str),
    /// Something else.
    Other(&'static str),
}

const fn endpoint(
    (method, path): (&'static str, &'static str),
    group: &'static str,
    what: &'static str,
    body: Body,
    answer: Answer,
) -> Endpoint {
    Endpoint { method, path, group, what, body, answer }
}

const TEXT: &str = "Text";
const SEARCH: &str = "Search, judgement, pictures, sound";
const LATER: &str = "Files and batches";
const MODELS: &str = "Models and tokens";
const STATE: &str = "State";

/// Every path of the clients' listener.
const ENDPOINTS: [Endpoint; 36] = [
    endpoint(
        ("post", "/v1/chat/completions"),
        TEXT,
        "OpenAI's chat, whole or streamed",
        Body::Json(ClientApi::Chat),
        Answer::Streamed("CreateChatCompletionResponse"),
    ),
    endpoint(
        ("post", "/v1/completions"),
        TEXT,
        "OpenAI's completions, whole or streamed: texts or token ids, `echo`, `logprobs`",
        Body::Json(ClientApi::Completions),
        Answer::Streamed("CreateCompletionResponse"),
    ),
    endpoint(
        ("post", "/v1/responses"),
        TEXT,
        "OpenAI's Responses, whole or streamed; kept for an hour unless `store` is false",
        Body::Json(ClientApi::Responses),
        Answer::Streamed("Response"),
    ),
    endpoint(
        ("get", "/v1/responses/{id}"),
        TEXT,
        "A response of your team's that is kept",
        Body::None,
        Answer::Json("Response"),
    ),
    endpoint(("delete", "/v1/responses/{id}"), TEXT, "Forgets it", Body::None, Answer::Json("DeletedResponse")),
    endpoint(
        ("get", "/v1/responses/{id}/input_items"),
        TEXT,
        "What it was an answer to, in pages: `limit`, `order`, `after`",
        Body::None,
        Answer::Json("ResponseItemList"),
    ),
    endpoint(
        ("post", "/v1/responses/{id}/cancel"),
        TEXT,
        "Refused: no response is made in the background",
        Body::None,
        Answer::Json("Response"),
    ),
    endpoint(
        ("post", "/v1/responses/input_tokens"),
        TEXT,
        "The tokens of a request, an estimate",
        Body::Json(ClientApi::Responses),
        Answer::Json("TokenCountsResource"),
    ),
    endpoint(
        ("post", "/v1/messages"),
        TEXT,
        "Anthropic's Messages, whole or streamed",
        Body::Json(ClientApi::Messages),
        Answer::Streamed("Message"),
    ),
    endpoint(
        ("post", "/v1/messages/count_tokens"),
        TEXT,
        "The tokens of a request, an estimate",
        Body::Json(ClientApi::Messages),
        Answer::Json("MessageTokensCount"),
    ),
    endpoint(
        ("post", "/v1/embeddings"),
        SEARCH,
        "OpenAI's embeddings: texts or token ids, as numbers or base64",
        Body::Json(ClientApi::Embeddings),
        Answer::Json("CreateEmbeddingResponse"),
    ),
    endpoint(
        ("post", "/v1/rerank"),
        SEARCH,
        "Cohere's and Jina's rerank, the best document first",
        Body::Json(ClientApi::Rerank),
        Answer::Json("RerankResponse"),
    ),
    endpoint(("post", "/v2/rerank"), SEARCH, "The same", Body::Json(ClientApi::Rerank), Answer::Json("RerankResponse")),
    endpoint(("post", "/rerank"), SEARCH, "The same", Body::Json(ClientApi::Rerank), Answer::Json("RerankResponse")),
    endpoint(
        ("post", "/v1/moderations"),
        SEARCH,
        "OpenAI's moderations",
        Body::Json(ClientApi::Moderations),
        Answer::Json("CreateModerationResponse"),
    ),
    endpoint(
        ("post", "/v1/images/generations"),
        SEARCH,
        "OpenAI's images",
        Body::Json(ClientApi::Images),
        Answer::Json("ImagesResponse"),
    ),
    endpoint(
        ("post", "/v1/audio/speech"),
        SEARCH,
        "OpenAI's speech: sound, whole",
        Body::Json(ClientApi::Speech),
        Answer::Other("audio/*"),
    ),
    endpoint(
        ("post", "/v1/audio/transcriptions"),
        SEARCH,
        "OpenAI's transcriptions, whole",
        Body::Form(&["model", "file"]),
        Answer::Json("CreateTranscriptionResponse"),
    ),
    endpoint(
        ("post", "/v1/files"),
        LATER,
        "Uploads a file of lines for a batch",
        Body::Form(&["purpose", "file"]),
        Answer::Json("OpenAIFile"),
    ),
    endpoint(("get", "/v1/files"), LATER, "Your team's files, in pages", Body::None, Answer::Json("ListFilesResponse")),
    endpoint(("get", "/v1/files/{id}"), LATER, "What is said of a file", Body::None, Answer::Json("OpenAIFile")),
    endpoint(("delete", "/v1/files/{id}"), LATER, "Removes it", Body::None, Answer::Json("DeleteFileResponse")),
    endpoint(
        ("get", "/v1/files/{id}/content"),
        LATER,
        "What it holds",
        Body::None,
        Answer::Other("application/octet-stream"),
    ),
    endpoint(
        ("post", "/v1/batches"),
        LATER,
        "Asks the lines of a file at low priority, by your key's context: `input_file_id`, `endpoint`",
        Body::Object(&["input_file_id", "endpoint"]),
        Answer::Json("Batch"),
    ),
    endpoint(
        ("get", "/v1/batches"),
        LATER,
        "Your team's batches, in pages",
        Body::None,
        Answer::Json("ListBatchesResponse"),
    ),
    endpoint(("get", "/v1/batches/{id}"), LATER, "How a batch stands", Body::None, Answer::Json("Batch")),
    endpoint(
        ("post", "/v1/batches/{id}/cancel"),
        LATER,
        "Ends it: lines that run are answered, no other begins",
        Body::None,
        Answer::Json("Batch"),
    ),
    endpoint(
        ("get", "/v1/models"),
        MODELS,
        "What you may ask for: in OpenAI's shape, with `anthropic-version` in Anthropic's",
        Body::None,
        Answer::Json("ListModelsResponse"),
    ),
    endpoint(("get", "/v1/models/{id}"), MODELS, "One of them", Body::None, Answer::Json("Model")),
    endpoint(
        ("get", "/v1/whoami"),
        MODELS,
        "Who your key is to the gateway, which models it may use and what they ask for in return, which it may not and why",
        Body::None,
        Answer::Other("application/json"),
    ),
    endpoint(
        ("post", "/tokenize"),
        MODELS,
        "The tokens of a text or of `messages`, in the shape of vLLM",
        Body::Json(ClientApi::Tokenize),
        Answer::Json("TokenizeResponse"),
    ),
    endpoint(
        ("post", "/detokenize"),
        MODELS,
        "The text of tokens, likewise",
        Body::Json(ClientApi::Detokenize),
        Answer::Json("DetokenizeResponse"),
    ),
    endpoint(
        ("get", "/tokenizer_info"),
        MODELS,
        "What the tokenizer of `?model=` is, in the words of a `tokenizer_config.json`",
        Body::None,
        Answer::Json("TokenizerInfo"),
    ),
    endpoint(("get", "/health"), STATE, "200: it runs", Body::None, Answer::Json("Health")),
    endpoint(("get", "/ready"), STATE, "200: it can serve; else 503", Body::None, Answer::Json("Ready")),
    endpoint(("get", "/metrics"), STATE, "Prometheus text", Body::None, Answer::Other("text/plain")),
];

/// The document, as JSON.
pub fn bytes() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
    DOCUMENT.clone()
}

/// The document.
pub fn document() -> Value {
    let mut generator =
        SchemaSettings::draft2020_12().with(|to| to.definitions_path = "/components/schemas".into()).into_generator();
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        let operation = endpoint.operation(&mut generator);
        paths.entry(endpoint.path).or_insert_with(|| json!({}))[endpoint.method] = operation;
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pointsman",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One endpoint for every client. The fields of requests are those that are read here; all others \
                are passed on to whoever serves the request. Answers have the shape that each vendor documents.",
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    })
}

/// The body of an error, as OpenAI has it with two fields of ours; Anthropic's own on its paths.
fn error() -> Value {
    let text = json!({"type": "string"});
    let perhaps = json!({"type": ["string", "null"]});
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": text, "type": text, "param": perhaps, "code": perhaps, "hint": text, "request_id": text,
            },
        }},
    })
}

impl Endpoint {
    fn operation(&self, generator: &mut SchemaGenerator) -> Value {
        let mut operation = json!({
            "operationId": self.id(),
            "summary": self.what,
            "tags": [self.group],
            "responses": {
                "200": self.answer.described(),
                "default": {
                    "description": "What is wrong, and the next step",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
            },
        });
        if let Some(body) = self.body.described(generator) {
            operation["requestBody"] = body;
        }
        if self.path.contains("{id}") {
            operation["parameters"] =
                json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]);
        }
        if self.group == STATE && self.path != "/metrics" {
            operation["security"] = json!([]);
        }
        operation
    }

    /// A name of its own: method and path in one word.
    fn id(&self) -> String {
        let path: String = self.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        format!("{}{path}", self.method)
    }
}

impl Body {
    fn described(self, generator: &mut SchemaGenerator) -> Option<Value> {
        let (kind, schema) = match self {
            Self::None => return None,
            Self::Json(api) => ("application/json", wire::schema(api, generator).to_value()),
            Self::Object(required) => ("application/json", json!({"type": "object", "required": required})),
            Self::Form(required) => ("multipart/form-data", json!({"type": "object", "required": required})),
        };
        Some(json!({"required": true, "content": {kind: {"schema": schema}}}))
    }
}

impl Answer {
    fn described(self) -> Value {
        let object = json!({"schema": {"type": "object"}});
        let (name, content) = match self {
            Self::Json(name) => (name, json!({"application/json": object})),
            Self::Streamed(name) => {
                (name, json!({"application/json": object, "text/event-stream": {"schema": {"type": "string"}}}))
            }
            Self::Other(kind) => (kind, json!({kind: {"schema": {"type": "string"}}})),
        };
        json!({"description": name, "content": content})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
        let mut ids: Vec<String> = ENDPOINTS.iter().map(Endpoint::id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), ENDPOINTS.len());
    }

    #[test]
    fn every_api_that_a_client_may_speak_is_described() {
        for endpoint in &ENDPOINTS {
            if let Body::Json(api) = endpoint.body {
                let at = ClientApi::at(endpoint.path);
                assert!(at.is_none_or(|at| at == api), "{}", endpoint.path);
            }
        }
        let chat = wire::schema(ClientApi::Chat, &mut SchemaGenerator::default()).to_value();
        assert_eq!(chat["allOf"].as_array().map(Vec::len), Some(4), "{chat}");
    }

    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/API.md");
        if std::env::var_os("UPDATE_API").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "UPDATE_API=1 cargo test -p gateway the_page_is_current writes it anew");
    }
}
