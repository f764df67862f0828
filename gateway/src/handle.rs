//! The steps of a generation request, as one function: see the table in the crate's documentation.

mod body;

use std::sync::Arc;

use backends::Api;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    admit, dispatch, facts, observe,
    respond::{Framer, body::Body, error::ApiError, sse::SseBody, whole},
    route,
    runtime::Gateway,
    settle::{self, Settlement},
    wire,
};

/// Serves one generation request from its headers to the body that streams its answer.
pub async fn generate(gateway: Arc<Gateway>, api: Api, request: Request<Incoming>) -> Response<Body> {
    let arrived = Instant::now();
    let id = request_id();
    let (parts, body) = request.into_parts();
    let mut response =
        serve(&gateway, api, &parts, body, &id, arrived).await.unwrap_or_else(|error| error.response(&id));
    stamp(response.headers_mut(), &id);
    response
}

async fn serve(
    gateway: &Gateway,
    api: Api,
    parts: &Parts,
    body: Incoming,
    id: &str,
    arrived: Instant,
) -> Result<Response<Body>, ApiError> {
    let runtime = gateway.runtime();
    // Before the body is read: a stranger's megabytes are not worth reading.
    let early = |error: ApiError| {
        observe::refused(&error.code);
        error
    };
    let caller = admit::admit(&runtime.config.access, &parts.headers).map_err(early)?;
    let bytes = body::read(body, &parts.headers, &runtime.config.limits).await.map_err(early)?;
    let decoded = wire::decode(api, id, bytes).map_err(early)?;

    let tell_language =
        runtime.config.policies.asks_language(&runtime.config.catalog, &decoded.model, caller.team.as_deref());
    let facts = facts::of(&decoded, &caller, tell_language);
    let plan = route::plan(&runtime, &facts);
    if let Some(refusal) = route::refusal(&plan, &facts) {
        // A name that nobody knows concerns no licence; all other refusals are decisions to prove.
        if refusal.status == StatusCode::NOT_FOUND {
            return Err(early(refusal));
        }
        let ticket = settle::decide(&gateway.ledger, &runtime, api, id, &caller, &facts, &plan)?;
        ticket.await.map_err(|error| settle::unprovable(&error))?;
        return Err(refusal);
    }

    let ticket = settle::decide(&gateway.ledger, &runtime, api, id, &caller, &facts, &plan)?;
    let request = Arc::new(decoded.request);
    let dispatched = dispatch::dispatch(&plan, &runtime.places, &request).await;
    // The sync to disk ran beside the model; no byte goes out before it is done.
    ticket.await.map_err(|error| settle::unprovable(&error))?;
    let committed = match dispatched {
        Ok(committed) => committed,
        Err(exhausted) => {
            let error = ApiError::exhausted(&exhausted.error, &facts.model_asked, exhausted.tried.len());
            settle::exhausted(&gateway.ledger, id, arrived, error.status.as_u16(), &exhausted);
            return Err(error);
        }
    };

    let chosen = &plan.candidates[committed.candidate];
    let deployed = Arc::clone(&runtime.deployed[chosen.deployment]);
    let framer = Framer::new(&request, &chosen.model, settle::now_ms() / 1000, request.answers());
    let mut settlement = Settlement::new(
        gateway.ledger.clone(),
        id.to_owned(),
        arrived,
        Arc::clone(&deployed),
        committed.tried,
        committed.first_token,
        request.stream,
        committed.attempt,
    );
    let mut response = if request.stream {
        let idle = plan.attempts.deadlines.idle;
        let sse = SseBody::new(
            committed.head,
            committed.rest,
            framer,
            request.include_usage,
            settlement,
            idle,
            committed.deadline,
        );
        let mut response = Response::new(Body::Sse(Box::new(sse)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx in front of us must not gather tokens.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    } else {
        let bytes = whole::assemble(committed.head, &framer, request.answers(), &mut settlement);
        settlement.completed();
        let mut response = Response::new(Body::whole(bytes));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    let headers = response.headers_mut();
    headers.insert("x-pointsman-deployment", deployed.id_header.clone());
    headers.insert("x-pointsman-model", deployed.model_header.clone());
    if let Some(route) = plan.route.as_deref().and_then(|route| HeaderValue::from_str(route).ok()) {
        headers.insert("x-pointsman-route", route);
    }
    Ok(response)
}

/// A new id for a request; ids sort by time.
pub fn request_id() -> String {
    format!("req_{}", uuid::Uuid::now_v7().simple())
}

/// Puts the id where SDKs look for it.
pub fn stamp(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", value);
    }
}
