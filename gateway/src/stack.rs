//! Every layer around a request, on one page, outermost first.
//!
//! | layer | why it stands there |
//! |---|---|
//! | [`crate::accept`] | bounds connections, heads and idle time before a request exists |
//! | catch panic | a defect in one request answers 500 and leaves the others alone |
//! | paths | one parsed path decides the handler; nothing is built from `Host` or any other header |
//! | handler | [`crate::handle::ask`] for what a model is asked, the functions below for the rest |
//!
//! The clients' listener and the admin listener are two services: configuration is never changed through the first.
//! A router crate was turned down: seven fixed paths are one `match`, which boxes neither bodies nor futures.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use crate::{
    admin, admit, anchors, handle,
    keys::Endpoint,
    observe, openapi,
    respond::{
        body::Body,
        error::{ApiError, clip},
    },
    runtime::Gateway,
    whoami,
    wire::{
        ClientApi,
        models::{AnthropicList, List},
    },
};

/// The clients' service.
pub async fn client(gateway: Arc<Gateway>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(guarded(clients(gateway, request)).await)
}

/// The admin listener's service.
pub async fn admin(gateway: Arc<Gateway>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(guarded(admins(gateway, request)).await)
}

async fn clients(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    if let Some(api) = ClientApi::at(path) {
        return match method {
            &Method::POST => handle::ask(gateway, api, request).await,
            _ => refuse_in(api, &ApiError::method_not_allowed("POST")),
        };
    }
    match (path, method) {
        ("/v1/messages/count_tokens", &Method::POST) => {
            handle::count_tokens(gateway, ClientApi::Messages, request).await
        }
        ("/v1/responses/input_tokens", &Method::POST) => {
            handle::count_tokens(gateway, ClientApi::Responses, request).await
        }
        ("/v1/responses/input_tokens", _) => refuse(ApiError::method_not_allowed("POST")),
        ("/v1/messages/count_tokens", _) => refuse_in(ClientApi::Messages, &ApiError::method_not_allowed("POST")),
        (_, &Method::GET | &Method::HEAD) if path == "/v1/models" || path.starts_with("/v1/models/") => {
            models(&gateway, &request).unwrap_or_else(refuse)
        }
        ("/v1/whoami", &Method::GET | &Method::HEAD) => whoami(&gateway, &request).unwrap_or_else(refuse),
        ("/tokenizer_info", &Method::GET) => handle::tokenizer_info(gateway, request).await,
        ("/openapi.json", &Method::GET | &Method::HEAD) => json_response(openapi::bytes()),
        ("/health", &Method::GET | &Method::HEAD) => admin::health(),
        ("/ready", &Method::GET | &Method::HEAD) => admin::ready(&gateway, false),
        // Names of deployments are in there, so it asks for a key where the models do.
        ("/metrics", &Method::GET | &Method::HEAD) => {
            match admit::admit_to(&gateway.runtime(), request.headers(), Endpoint::Metrics) {
                Ok(_) => admin::metrics(&gateway),
                Err(error) => refuse(error),
            }
        }
        // Claude Code asks this before anything else.
        ("/", &Method::GET | &Method::HEAD) => admin::health(),
        (
            "/health" | "/ready" | "/metrics" | "/openapi.json" | "/v1/models" | "/v1/whoami" | "/tokenizer_info" | "/",
            _,
        ) => refuse(ApiError::method_not_allowed("GET")),
        _ if handle::files::is_here(path) => handle::files::answer(&gateway, request).await.unwrap_or_else(refuse),
        _ => {
            match path.strip_prefix("/v1/responses/").and_then(|below| handle::kept::answer(&gateway, &request, below))
            {
                Some(answer) => answer.unwrap_or_else(refuse),
                None => refuse(unknown_path(path)),
            }
        }
    }
}

async fn admins(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Body> {
    // No page that a browser shows may reload a configuration.
    if request.headers().contains_key(header::ORIGIN)
        && let Err(error) = admit::from_this_machine(request.headers())
    {
        return refuse(error);
    }
    match (request.uri().path(), request.method()) {
        ("/health" | "/", &Method::GET | &Method::HEAD) => admin::health(),
        ("/ready", &Method::GET | &Method::HEAD) => admin::ready(&gateway, true),
        ("/metrics", &Method::GET) => admin::metrics(&gateway),
        ("/quotas", &Method::GET) => admin::quotas(&gateway),
        ("/reload", &Method::POST) => admin::reload(&gateway).await,
        ("/add-checkpoint", &Method::POST) => {
            let body = handle::small(request, ledger::witness::MAX_REQUEST_BYTES).await;
            anchors::witness::add_checkpoint(&gateway, body).await
        }
        ("/add-checkpoint", _) => refuse(ApiError::method_not_allowed("POST")),
        ("/reload", _) => refuse(ApiError::method_not_allowed("POST")),
        ("/health" | "/ready" | "/metrics" | "/quotas" | "/", _) => refuse(ApiError::method_not_allowed("GET")),
        (path, _) => refuse(ApiError::not_found("unknown_path", format!("no path `{}` here", clip(path, 100))).hint(
            "the admin listener serves /health, /ready, /metrics, /quotas, POST /reload and POST /add-checkpoint",
        )),
    }
}

/// `GET /v1/models` and `GET /v1/models/{id}`: what this caller may ask for.
fn models(gateway: &Gateway, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let runtime = gateway.runtime();
    let caller = admit::admit(&runtime, request.headers())?;
    let models = runtime.models_for(&caller);
    // Both APIs have the path, and the header that only one of them has.
    let anthropic = request.headers().contains_key("anthropic-version");
    let json = match request.uri().path().strip_prefix("/v1/models/") {
        None if anthropic => serde_json::to_vec(&AnthropicList::of(&models)),
        None => serde_json::to_vec(&List { object: "list", data: models }),
        Some(id) => {
            let wanted = percent_decoded(id);
            let model = runtime.model_named(&wanted, &models)?;
            if anthropic { serde_json::to_vec(&model.in_anthropics()) } else { serde_json::to_vec(model) }
        }
    };
    Ok(json_response(json.expect("strings and numbers serialise").into()))
}

/// `GET /v1/whoami`: who the caller is to the gateway, what it may use, and what it owes for that.
fn whoami(gateway: &Gateway, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let runtime = gateway.runtime();
    let caller = admit::admit(&runtime, request.headers())?;
    let json = serde_json::to_vec(&whoami::of(&runtime, &caller));
    Ok(json_response(json.expect("strings and numbers serialise").into()))
}

/// Model ids hold slashes, which some clients encode.
fn percent_decoded(id: &str) -> String {
    percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned()
}

fn unknown_path(path: &str) -> ApiError {
    let hint = if path == "/v1" || path.starts_with("/v1/") {
        "this gateway serves POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages, /v1/embeddings, \
         /v1/rerank, /v1/moderations, /v1/images/generations, /v1/files, /v1/batches and GET /v1/models"
    } else {
        "the API lives under /v1: set your client's base URL to end in /v1"
    };
    ApiError::not_found("unknown_path", format!("no path `{}` here", clip(path, 100))).hint(hint)
}

/// Gives a refusal its id and counts it.
fn refuse(error: ApiError) -> Response<Body> {
    refuse_in(ClientApi::Chat, &error)
}

/// The same in the shape of the caller's API.
fn refuse_in(client: ClientApi, error: &ApiError) -> Response<Body> {
    observe::refused(&error.code);
    let id = handle::request_id();
    let mut response = error.response(client, &id);
    handle::stamp(response.headers_mut(), &id);
    response
}

/// A response of JSON bytes.
pub(crate) fn json_response(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers 500 for a handler that panics. The panic itself is in the log, by the hook of the process.
async fn guarded(handler: impl Future<Output = Response<Body>>) -> Response<Body> {
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| {
        refuse(ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "server_error",
            code: "internal".into(),
            ..ApiError::unavailable("internal", "the gateway met an error of its own; the log has the details")
        })
    })
}
