//! Health, readiness, metrics, quotas and reload.
//!
//! Healthy means that the process answers. Ready means that it can serve: the ledger takes decisions and some
//! deployment takes requests. A remote host that is down makes the gateway no less ready.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::{
    dispatch::stats::Size, observe, respond::body::Body, route::Cached, runtime::Gateway, stack::json_response,
};

/// `GET /health`
pub fn health() -> Response<Body> {
    json_response(json!({"status": "ok"}).to_string().into())
}

/// `GET /ready`; `names`: whether the reader may know which deployments there are.
pub fn ready(gateway: &Gateway, names: bool) -> Response<Body> {
    let ledger = gateway.ledger.status();
    let runtime = gateway.runtime();
    // Health is the same for prompts of every size.
    let healthy: Vec<bool> = runtime.live(Size::of(0), &Cached::default()).iter().map(|live| live.healthy).collect();
    let ok = ledger.failure.is_none() && healthy.contains(&true);
    let deployments: serde_json::Map<_, _> = runtime
        .deployed
        .iter()
        .zip(healthy)
        .map(|(deployed, healthy)| (deployed.facts.id.clone(), if healthy { "ready" } else { "resting" }.into()))
        .collect();
    let mut body = json!({
        "status": if ok { "ready" } else { "not ready" },
        "ledger": if ledger.failure.is_none() { "ok" } else { "failed" },
    });
    if names {
        body["deployments"] = deployments.into();
        let local: serde_json::Map<_, _> = runtime
            .deployed
            .iter()
            .filter_map(|deployed| Some((deployed.facts.id.clone(), json!(deployed.resident.as_ref()?.status()?))))
            .collect();
        if !local.is_empty() {
            let (memory, resident) = runtime.machine.memory();
            body["local"] = json!({"memory_bytes": memory, "resident_bytes": resident, "models": local});
        }
    }
    let mut response = json_response(body.to_string().into());
    if !ok {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `GET /metrics`
pub fn metrics(gateway: &Gateway) -> Response<Body> {
    observe::ledger_healthy(gateway.ledger.status().failure.is_none());
    let mut response = Response::new(Body::whole(gateway.metrics.render()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

/// `GET /quotas`: what is left of each, and what was spent.
pub fn quotas(gateway: &Gateway) -> Response<Body> {
    json_response(json!({"quotas": gateway.runtime().quotas.status()}).to_string().into())
}

/// `POST /reload`: loads the configuration again; the answer holds the report when it was refused.
pub async fn reload(gateway: &Gateway) -> Response<Body> {
    match gateway.reload().await {
        Ok(digest) => json_response(json!({"status": "reloaded", "config": digest}).to_string().into()),
        Err(report) => {
            let body = json!({"status": "rejected", "report": report, "serving": gateway.runtime().config.digest});
            let mut response = json_response(body.to_string().into());
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            response
        }
    }
}
