//! Models at Replicate, whose API has predictions and no chat: one is created, then streamed or polled.
//!
//! 1. `ask`: the request becomes the input of a prediction; messages become one prompt.
//! 2. The prediction is created by a task of its own, so that a caller who goes away in the middle of it cancels it too.
//! 3. `run`: its output is read from the stream that the host names, or else by asking again and again.
//! 4. A prediction that is dropped before its end is cancelled at the host.
//!
//! Sources: replicate.com/docs/reference/http, replicate.com/docs/topics/predictions/streaming.
//! A prediction that does not say how many tokens it took counts as zero tokens.

mod ask;
mod prediction;
mod run;

use std::sync::Arc;

use backends::{Api, Backend, BackendError, BackendId, BoxFuture, EventStream, Load, Probe, Request};
use bytes::Bytes;
use catalog::Dialect;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use url::Url;

use self::{prediction::Prediction, run::Run};
use crate::{
    Client,
    body::{Cut, collect},
    gauge::Gauge,
    quota::Quota,
    refusal,
    remote::REQUEST_ID,
    target::{Target, TargetError},
};

/// A model at Replicate.
#[derive(Debug)]
pub struct Replicate {
    id: BackendId,
    host: Arc<Host>,
}

/// The host, and how one model is asked for there.
#[derive(Debug)]
struct Host {
    client: Client,
    target: Target,
    headers: HeaderMap,
    base: Url,
    /// Where predictions are created.
    create: Uri,
    /// The version of the weights, where the name states one.
    version: Option<String>,
    running: Gauge,
    quota: Quota,
}

impl Replicate {
    /// A backend for a target: a model (`owner/name`), a version of one (`owner/name:version`), or a deployment of the
    /// company's own (`deployments/owner/name`). Connects to nothing yet.
    ///
    /// # Errors
    /// When the target cannot be called as it stands; the message names the field.
    pub fn new(id: BackendId, target: Target, client: &Client) -> Result<Self, TargetError> {
        if target.dialect != Dialect::Replicate {
            return Err(TargetError::Dialect);
        }
        let headers = target.check(client)?.headers;
        let base = target.base(client)?;
        let (path, version) = place(&target)?;
        let create = below(&base, &path).ok_or_else(|| name_form(&target.name))?;
        let quota = Quota::new(&target.rate_limits);
        let client = client.clone();
        let host = Host { client, target, headers, base, create, version, running: Gauge::default(), quota };
        Ok(Self { id, host: Arc::new(host) })
    }
}

impl Backend for Replicate {
    fn id(&self) -> &BackendId {
        &self.id
    }

    /// Always healthy: whether a host answers well shows in its answers, which the gateway counts.
    fn load(&self, _: &Probe<'_>) -> Load {
        let quota = self.host.quota.standing();
        let running = self.host.running.now();
        Load { running, throttled_for: quota.closed, quota_left: quota.left, ..Load::IDLE }
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async move {
            self.host.target.fits(&request)?;
            let input = ask::input(&request, &self.host.target)?;
            let running = self.host.running.enter();
            let (host, api, request_id) = (Arc::clone(&self.host), request.api, request.id.clone());
            let (created, creation) = oneshot::channel();
            tokio::spawn(async move {
                let run =
                    host.create(input, &request_id, api).await.map(|prediction| Run::new(host, prediction, running));
                // Nobody may wait any more: the run is then dropped, which cancels the prediction.
                drop(created.send(run));
            });
            let run = creation.await.map_err(|_| internal("the task that creates predictions ended"))?;
            let mut run = run?;
            // A prediction may have failed by the time that its creation is answered.
            run.begin().await?;
            let events: EventStream = Box::pin(stream::try_unfold(run, Run::next));
            Ok(events)
        })
    }
}

impl Host {
    async fn create(&self, input: serde_json::Value, request_id: &str, api: Api) -> Result<Prediction, BackendError> {
        let mut body = serde_json::json!({"input": input, "stream": true});
        if let Some(version) = &self.version {
            body["version"] = version.as_str().into();
        }
        let response = self.send(Method::POST, &self.create, Some(request_id), body.to_string().into()).await?;
        if !response.status().is_success() {
            return Err(refusal::refused(response, api, &self.quota, None).await);
        }
        self.quota.take(response.headers());
        self.prediction(response).await
    }

    /// Asks how a prediction stands.
    async fn get(&self, id: &str) -> Result<Prediction, BackendError> {
        let uri = below(&self.base, &format!("/predictions/{id}")).ok_or_else(|| internal("an id is no path"))?;
        let response = self.send(Method::GET, &uri, None, Bytes::new()).await?;
        if !response.status().is_success() {
            return Err(refusal::refused(response, Api::Chat, &self.quota, None).await);
        }
        self.prediction(response).await
    }

    /// Ends a prediction at the host.
    async fn cancel(&self, id: &str) -> Result<(), BackendError> {
        let uri =
            below(&self.base, &format!("/predictions/{id}/cancel")).ok_or_else(|| internal("an id is no path"))?;
        self.send(Method::POST, &uri, None, Bytes::new()).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        uri: &Uri,
        request_id: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, BackendError> {
        let request = || {
            let mut request = http::Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            request.uri_mut().clone_from(uri);
            request.headers_mut().clone_from(&self.headers);
            if let Some(Ok(id)) = request_id.map(HeaderValue::from_str) {
                request.headers_mut().insert(REQUEST_ID, id);
            }
            request
        };
        self.client.send(request).await.map_err(refusal::not_sent)
    }

    /// Opens the stream of a prediction's output.
    async fn open(&self, uri: &Uri) -> Result<Incoming, BackendError> {
        let request = || {
            let mut request = http::Request::new(Full::default());
            request.uri_mut().clone_from(uri);
            request.headers_mut().clone_from(&self.headers);
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
            request.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            request
        };
        let response = self.client.send(request).await.map_err(refusal::not_sent)?;
        if !response.status().is_success() {
            return Err(refusal::refused(response, Api::Chat, &self.quota, None).await);
        }
        Ok(response.into_body())
    }

    async fn prediction(&self, response: Response<Incoming>) -> Result<Prediction, BackendError> {
        let broken = |reason: &str| BackendError::BrokenStream { reason: reason.into() };
        let body = collect(response.into_body(), self.target.limits.whole).await.map_err(|cut| match cut {
            Cut::TooLong => broken("the prediction is longer than is held"),
            Cut::Broken(_) => broken("the connection broke before the prediction was whole"),
        })?;
        let prediction = Prediction::read(&body, &self.target.usage);
        prediction.ok_or_else(|| broken("the host did not answer with a prediction"))
    }

    /// The address of a stream, if it lies where the key may go: with the host itself or a sibling of it, such as
    /// `stream.replicate.com` for `api.replicate.com`, by the same scheme.
    fn stream_uri(&self, address: &str) -> Option<Uri> {
        let url = Url::parse(address).ok()?;
        let (ours, theirs) = (self.base.host_str()?, url.host_str()?);
        let domain = ours.split_once('.').map(|(_, domain)| domain);
        let sibling = domain.filter(|domain| domain.contains('.') && url.domain().is_some());
        let near = match sibling {
            Some(domain) => theirs == ours || theirs.strip_suffix(domain).is_some_and(|left| left.ends_with('.')),
            None => theirs == ours,
        };
        let same =
            url.scheme() == self.base.scheme() && url.port_or_known_default() == self.base.port_or_known_default();
        if near && same { url.as_str().parse().ok() } else { None }
    }
}

#[cfg(any(test, fuzzing))]
impl Replicate {
    /// The events of a prediction under way whose output comes as `body`.
    pub(crate) fn follow(&self, body: impl crate::body::Source) -> EventStream {
        let prediction = Prediction::read(br#"{"id":"p","status":"processing"}"#, &self.host.target.usage);
        let mut run = Run::new(Arc::clone(&self.host), prediction.expect("a prediction"), self.host.running.enter());
        run.follow(body);
        Box::pin(stream::try_unfold(run, Run::next))
    }
}

/// The path at which a model's predictions are created, and the version to ask for.
fn place(target: &Target) -> Result<(String, Option<String>), TargetError> {
    let wrong = || name_form(&target.name);
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && part != ".."
    };
    let (name, version) = match target.name.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (&*target.name, None),
    };
    let parts: Vec<&str> = name.split('/').collect();
    if !parts.iter().chain(&version).all(|part| plain(part)) {
        return Err(wrong());
    }
    match (&parts[..], version) {
        ([_, _], Some(version)) => Ok(("/predictions".into(), Some(version.into()))),
        ([owner, name], None) => {
            let path = target.paths.predictions.as_deref().unwrap_or("/models/{owner}/{name}/predictions");
            Ok((path.replace("{owner}", owner).replace("{name}", name), None))
        }
        (["deployments", owner, name], None) => Ok((format!("/deployments/{owner}/{name}/predictions"), None)),
        _ => Err(wrong()),
    }
}

fn name_form(name: &str) -> TargetError {
    let expected = "`owner/name`, `owner/name:version` or `deployments/owner/name`";
    TargetError::NameForm { name: name.chars().take(200).collect(), expected }
}

fn below(base: &Url, path: &str) -> Option<Uri> {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.as_str().parse().ok()
}

fn internal(reason: &str) -> BackendError {
    BackendError::Internal { reason: reason.into() }
}

#[cfg(test)]
mod tests;
