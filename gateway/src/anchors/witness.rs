//! Witnesses (c2sp.org/tlog-witness): asking one to cosign a checkpoint, and being one for other logs.
//!
//! A witness cosigns a checkpoint only if the log has only grown since the one before, so that nobody can show one history to
//! some and another to others. What the bytes mean is the ledger's matter; here they travel.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use ledger::{
    Ledger,
    witness::{MAX_REQUEST_BYTES, Refusal, Witness},
};

use crate::{respond::body::Body, runtime::Gateway};

/// The content type of the size that a witness answers where it cosigned another checkpoint last.
const SIZE: &str = "text/x.tlog.size";

/// Asks the witness at `url` to cosign a checkpoint, and keeps its signature.
pub(super) async fn cosigned(client: &remote::Client, ledger: &Ledger, url: &str, note: &str) -> Result<(), String> {
    let url = format!("{url}/add-checkpoint");
    let mut old = 0;
    // The first time tells where the witness stands.
    for _ in 0..2 {
        let (of, about) = (ledger.clone(), note.to_owned());
        let body = tokio::task::spawn_blocking(move || of.submission(&about, old)).await;
        let body = body.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        match client.post(&url, &[("content-type", "text/plain; charset=utf-8")], body.into()).await? {
            (StatusCode::CONFLICT, size) => {
                let size = std::str::from_utf8(&size).ok().and_then(|size| size.trim().parse::<u64>().ok());
                old = size.ok_or("it answered 409 without a size")?;
            }
            (status, answer) if status.is_success() => {
                let answer = std::str::from_utf8(&answer).map_err(|_| "its answer is no text")?.to_owned();
                let (ledger, about) = (ledger.clone(), note.to_owned());
                let kept = tokio::task::spawn_blocking(move || ledger.cosigned(&about, &answer)).await;
                return kept.map_err(|error| error.to_string())?.map(|_| ()).map_err(|error| error.to_string());
            }
            (status, _) => return Err(format!("it answered {}", status.as_u16())),
        }
    }
    Err("it cosigned another checkpoint meanwhile".to_owned())
}

/// The witness that a gateway is, opened once it is asked.
#[derive(Debug, Default)]
pub struct Own(Mutex<Option<std::sync::Arc<Witness>>>);

impl Own {
    /// The witness in a data folder, under the name of the gateway's own log.
    ///
    /// # Errors
    /// When its key cannot be had.
    pub fn open(&self, data_dir: &Path, log: &str) -> Result<std::sync::Arc<Witness>, String> {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(witness) = &*own {
            return Ok(std::sync::Arc::clone(witness));
        }
        let witness = Witness::open(&data_dir.join("witness"), &name(log)).map_err(|error| error.to_string())?;
        Ok(std::sync::Arc::clone(own.insert(witness.into())))
    }
}

/// What the witness of a gateway is called.
pub fn name(log: &str) -> String {
    format!("{log}/witness")
}

/// `POST /add-checkpoint`: cosigns a checkpoint of a log that the configuration names.
pub async fn add_checkpoint(gateway: &Gateway, body: Option<Bytes>) -> Response<Body> {
    let Some(body) = body.filter(|body| body.len() <= MAX_REQUEST_BYTES) else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n".to_owned(), None);
    };
    let runtime = gateway.runtime();
    let (data_dir, log) = (runtime.config.data_dir.clone(), gateway.instance.log().to_owned());
    let own = std::sync::Arc::clone(&gateway.witness);
    let known = runtime.config.ledger.witness_for.clone();
    let cosigned = tokio::task::spawn_blocking(move || {
        let witness = own.open(&data_dir, &log)?;
        Ok::<_, String>(witness.add_checkpoint(&body, &known))
    });
    match cosigned.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(Ok(lines)) => text(StatusCode::OK, lines, None),
        Ok(Err(refusal)) => {
            if let Refusal::Io { .. } = refusal {
                tracing::error!(error = crate::dispatch::chain(&refusal), "a checkpoint could not be cosigned");
            }
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            match refusal.body() {
                Some(size) => text(status, size, Some(SIZE)),
                // A path of this machine is nobody's business.
                None if matches!(refusal, Refusal::Io { .. }) => {
                    text(status, "it could not be kept\n".to_owned(), None)
                }
                None => text(status, format!("{refusal}\n"), None),
            }
        }
        Err(error) => {
            tracing::error!(error, "the witness of this gateway cannot be opened");
            text(StatusCode::INTERNAL_SERVER_ERROR, "it could not be kept\n".to_owned(), None)
        }
    }
}

fn text(status: StatusCode, text: String, kind: Option<&'static str>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind.unwrap_or("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
