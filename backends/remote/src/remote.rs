//! One model at one place, as a [`Backend`]: sends the request, judges the response's head, hands its body on.

use std::{sync::Arc, time::Instant};

use backends::{
    Api, Backend, BackendError, BackendId, BoxFuture, EventStream, Input, Load, Payload, PlaceId, Probe, Request,
    Rewrite, Tally,
};
use bytes::Bytes;
use catalog::Dialect;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    Client,
    body::{Source, collect},
    client::NotSent,
    gauge::{Gauge, Running},
    named,
    probe::{Prober, Question, tally},
    quota::Quota,
    reader::Reader,
    refusal,
    rename::renamed,
    report,
    stream::Events,
    target::{Checked, Target, TargetError},
    task, whole,
};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The version of the Messages API that is spoken: the only one that there is.
const ANTHROPIC_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));

/// A model at a host or server that speaks the OpenAI-compatible dialect.
#[derive(Debug)]
pub struct Remote {
    id: BackendId,
    /// Whose cache of prefixes its answers fill.
    place: PlaceId,
    client: Client,
    target: Target,
    checked: Checked,
    running: Gauge,
    quota: Quota,
    asked: Arc<Asked>,
    prober: Prober,
}

/// Where a place is asked how it is.
#[derive(Debug)]
struct Asked {
    client: Client,
    headers: HeaderMap,
    health: Option<Uri>,
    metrics: Option<Uri>,
    models: Option<Uri>,
}

/// The form that an answer is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    Stream,
}

impl Remote {
    /// A backend for a target, with the connections of `client`. Within a runtime it begins to ask the place how it is,
    /// where the target says so.
    ///
    /// # Errors
    /// When the target cannot be called as it stands; the message names the field.
    pub fn new(id: BackendId, target: Target, client: &Client) -> Result<Self, TargetError> {
        if target.dialect != Dialect::Openai {
            return Err(TargetError::Dialect);
        }
        let checked = target.check(client)?;
        let quota = Quota::new(&target.rate_limits);
        let asked = Arc::new(Asked {
            client: client.clone(),
            headers: checked.headers.clone(),
            health: checked.health.clone(),
            metrics: checked.metrics.clone(),
            models: checked.models.clone(),
        });
        let asks = Arc::clone(&asked);
        let prober = Prober::start(&id, &target.name, &target.probing, move |question| {
            let asked = Arc::clone(&asks);
            async move { asked.get(question).await }
        });
        Ok(Self {
            id,
            place: PlaceId::fresh(),
            client: client.clone(),
            target,
            checked,
            running: Gauge::default(),
            quota,
            asked,
            prober,
        })
    }

    /// Asks the place for its list of models: whether it can be reached and takes the key. Generates nothing.
    ///
    /// # Errors
    /// What a generation would have met. A place without such a list passes.
    pub async fn check(&self) -> Result<(), BackendError> {
        let Some(uri) = &self.checked.models else { return Ok(()) };
        let response = get(&self.client, uri, &self.checked.headers).await.map_err(refusal::not_sent)?;
        match response.status().as_u16() {
            200..300 | 404 | 405 => Ok(()),
            _ => Err(self.refused(response, Api::Chat).await),
        }
    }

    async fn send(&self, request: &Arc<Request>) -> Result<EventStream, BackendError> {
        self.target.fits(request)?;
        let running = self.running.enter();
        let form = if request.stream { Form::Stream } else { Form::Whole };
        let own = self.own(request);
        let api = own.map_or(request.api, |(api, _)| api);
        let response = self.post(request, api, own.map(|(_, payload)| payload), form)?;
        let response = response.await.map_err(refusal::not_sent)?;
        named::note(response.headers(), &self.checked.request_ids, &request.id);
        if api.generates() {
            let answered = self.receive(response, form, api, request.answers(), running).await;
            if let (Ok(_), Some(prefix), Some(keeps)) = (&answered, &request.prefix, self.target.keeps_prefix) {
                prefix.served_by(self.place, keeps, Instant::now());
            }
            return answered;
        }
        if !response.status().is_success() {
            return Err(self.refused(response, request.api).await);
        }
        self.quota.take(response.headers());
        let content_type = match request.api.answers_otherwise() {
            true => written(response.headers()),
            false => answered(response.headers(), Form::Whole).map(|_| None)?,
        };
        let limit = self.target.limits.whole;
        let content_type = match content_type {
            Some(kind) if request.stream => return Ok(task::pieces(response.into_body(), limit, kind, running)),
            whole => whole,
        };
        let request = Arc::clone(request);
        let (usage, tokens) = (Arc::clone(&self.target.usage), self.target.tokens.clone());
        Ok(Box::pin(stream::once(async move {
            let told = (&*usage, &tokens, content_type);
            let answer = task::answer(response.into_body(), limit, &request, told).await;
            drop(running);
            answer
        })))
    }

    /// The events of a response, or the error that it is.
    pub(crate) async fn receive(
        &self,
        response: Response<impl Source>,
        form: Form,
        api: Api,
        choices: usize,
        running: Running,
    ) -> Result<EventStream, BackendError> {
        if !response.status().is_success() {
            return Err(self.refused(response, api).await);
        }
        self.quota.take(response.headers());
        let answered = answered(response.headers(), form)?;
        let (limits, usage) = (self.target.limits, Arc::clone(&self.target.usage));
        let body = response.into_body();
        Ok(match (form, answered) {
            (Form::Stream, Form::Stream) => {
                let reader = Reader::new(api, choices, limits.event, usage);
                Box::pin(Events::new(reader, body, running))
            }
            (Form::Whole, Form::Whole) => Box::pin(stream::once(async move {
                let answer = whole::answer(body, limits.whole, api, &usage).await;
                drop(running);
                answer
            })),
            (Form::Stream, Form::Whole) => return Err(error_body(body, api).await),
            (Form::Whole, Form::Stream) => {
                return Err(BackendError::BrokenStream {
                    reason: "asked for a whole answer, the host sent a stream".into(),
                });
            }
        })
    }

    async fn refused(&self, response: Response<impl Source>, api: Api) -> BackendError {
        refusal::refused(response, api, &self.quota, self.target.rate_limits_inside.as_deref()).await
    }

    /// What the caller wrote in its own API, where the place speaks that too. An adapter is named in OpenAI's APIs only.
    fn own<'r>(&self, request: &'r Request) -> Option<(Api, &'r Payload)> {
        let (api, payload) = request.own.as_ref()?;
        let spoken = self.checked.others.iter().any(|(known, _)| known == api);
        (spoken && self.target.adapter.is_none()).then_some((*api, payload))
    }

    /// Sends a request in `api`; `own` is what the caller wrote in it, where it is not the API of the request.
    fn post(
        &self,
        request: &Request,
        api: Api,
        own: Option<&Payload>,
        form: Form,
    ) -> Result<impl Future<Output = Result<Response<Incoming>, NotSent>>, BackendError> {
        let uri = match api {
            Api::Chat => self.checked.chat.as_ref(),
            Api::Completions => self.checked.completions.as_ref(),
            other => self.checked.others.iter().find(|(api, _)| *api == other).map(|(_, uri)| uri),
        };
        let Some(uri) = uri else {
            let reason = format!("the host has no `{}`", api.path());
            return Err(BackendError::Unsupported { param: api.input(), reason });
        };
        let generates = api.generates();
        let to = Rewrite {
            model: &self.target.name,
            usage: request.stream && self.target.asks_usage,
            cache_salt: request.cache_salt.as_deref().filter(|_| generates && self.target.salts_cache),
            adapter: self.target.adapter.as_ref().map(|(field, value)| (&**field, &**value)),
        };
        let (content_type, body) = match &request.input {
            Input::Form(form) => {
                let (content_type, body) = form.written(to.model);
                (HeaderValue::from_str(&content_type).ok(), body)
            }
            _ if let Some(own) = own => (None, own.rewritten(&Rewrite { model: to.model, ..Rewrite::default() })),
            _ if generates => (None, renamed(request.payload.rewritten(&to), &self.target.renames)),
            _ => (None, task::body(request, &to, &self.target.tokens)?),
        };
        let accepts = if api.answers_otherwise() { "*/*" } else { form.content_type() };
        Ok(self.client.send(move || {
            let mut post = http::Request::new(Full::new(body.clone()));
            *post.method_mut() = if api == Api::TokenizerInfo { Method::GET } else { Method::POST };
            post.uri_mut().clone_from(uri);
            *post.headers_mut() = self.headers(request, accepts);
            if api == Api::Messages {
                post.headers_mut().insert(ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
            }
            if let Some(content_type) = &content_type {
                post.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
            }
            post
        }))
    }

    fn headers(&self, request: &Request, accepts: &'static str) -> HeaderMap {
        let fixed = &self.checked.headers;
        // Room for the three below and the two of the HTTP library.
        let mut headers = HeaderMap::with_capacity(fixed.len() + 5);
        headers.extend(fixed.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(header::ACCEPT, HeaderValue::from_static(accepts));
        if let Ok(id) = HeaderValue::from_str(&request.id) {
            headers.insert(REQUEST_ID, id);
        }
        if let (Some(name), Some(session)) = (&self.checked.session_header, &request.session)
            && let Ok(session) = HeaderValue::from_str(session)
        {
            headers.insert(name, session);
        }
        headers
    }
}

impl Backend for Remote {
    fn id(&self) -> &BackendId {
        &self.id
    }

    /// Health, queue and use of the cache are those of the last probe; a place that has none is healthy, as whether it
    /// answers well shows in its answers, which the gateway counts. What it has cached of a prompt is what it was sent.
    fn load(&self, probe: &Probe<'_>) -> Load {
        let (quota, probed, ours) = (self.quota.standing(), self.prober.state(), self.running.now());
        Load {
            healthy: probed.healthy(),
            // Others use it too; and what we have just sent, the last probe has not seen.
            running: probed.running().map_or(ours, |all| all.max(ours)),
            queued: probed.queued().unwrap_or(0),
            cached_prefix: probe
                .prefix
                .map(|prefix| self.target.keeps_prefix.map_or(0, |_| prefix.tokens_at(self.place))),
            cache_used: probed.cache_used(),
            throttled_for: quota.closed,
            quota_left: quota.left,
            starts_in: None,
            wait: None,
        }
    }

    fn tally(&self) -> BoxFuture<'_, Vec<Tally>> {
        Box::pin(async move {
            let Some((address, names)) = self.target.probing.metrics.as_ref().filter(|(_, names)| names.count()) else {
                return Vec::new();
            };
            Vec::from_iter(tally(address, names, self.asked.get(Question::Metrics)).await)
        })
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async move { self.send(&request).await })
    }
}

impl Asked {
    /// The status and the body of an answer; `None` if there is none.
    async fn get(&self, question: Question) -> Option<(u16, Bytes)> {
        let uri = match question {
            Question::Health => &self.health,
            Question::Metrics => &self.metrics,
            Question::Listing => &self.models,
        };
        let response = get(&self.client, uri.as_ref()?, &self.headers).await.ok()?;
        let status = response.status().as_u16();
        match collect(response.into_body(), question.limit()).await {
            Ok(body) => Some((status, body)),
            // Its status is all that matters.
            Err(_) if question == Question::Health => Some((status, Bytes::new())),
            Err(_) => None,
        }
    }
}

async fn get(client: &Client, uri: &Uri, headers: &HeaderMap) -> Result<Response<Incoming>, NotSent> {
    let ask = || {
        let mut ask = http::Request::new(Full::default());
        ask.uri_mut().clone_from(uri);
        ask.headers_mut().clone_from(headers);
        ask
    };
    client.send(ask).await
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Whole => "application/json",
            Self::Stream => "text/event-stream",
        }
    }
}

/// The error of a body that came where a stream was asked for.
async fn error_body(body: impl Source, api: Api) -> BackendError {
    let body = refusal::words(body).await;
    match crate::chunk::read(&body) {
        crate::chunk::Read::Object(chunk) if chunk.is_error() => report::inside(&body, api),
        _ => BackendError::BrokenStream { reason: "asked for a stream, the host sent a whole answer".into() },
    }
}

/// What the body of a response is, where its headers say that it is not JSON.
fn written(headers: &HeaderMap) -> Option<Box<str>> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    (!kind.starts_with("application/json")).then(|| kind.into())
}

/// The form of a successful response by its headers. One that names no type is taken for what was asked for.
fn answered(headers: &HeaderMap, asked: Form) -> Result<Form, BackendError> {
    let broken = |reason| Err(BackendError::BrokenStream { reason });
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => {}
        Some(_) => return broken("the answer is compressed, though that was not asked for".to_owned()),
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(asked) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "text/event-stream" => Ok(Form::Stream),
        "application/json" => Ok(Form::Whole),
        json if json.starts_with("application/") && json.ends_with("+json") => Ok(Form::Whole),
        _ => broken(format!("expected `{}`, the host sent `{}`", asked.content_type(), report::safe_word(&kind))),
    }
}
