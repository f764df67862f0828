//! The steps of a generation request, as one function: see the table in the crate's documentation.

mod body;
pub mod files;
pub mod kept;
mod page;
pub mod shadow;

use std::sync::Arc;

use backends::{Event, Priority};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use ledger::Ticket;
use policies::{Candidate, Capability, Facts, Plan, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use self::shadow::Mirrored;
use crate::{
    admit,
    answers::{self, Found, Kept, Leave, Wishes},
    config::{Limits, Wait},
    dispatch::{self, Reserved, stats::Size},
    facts,
    kept::{Items, Shelf},
    keys::{self, Endpoint, Grant},
    observe,
    quota::{Foreseen, Pass},
    respond::{
        Told, Writer,
        body::Body,
        error::ApiError,
        sse::{Answer, Deadlines, SseBody},
        whole::{self, Whole},
    },
    route::{self, Planned},
    runtime::{Gateway, Runtime},
    settle::{self, Asked, Receipt, Settlement},
    stack,
    wire::{self, ClientApi},
};

/// Serves one request to a model from its headers to the body that streams its answer.
pub async fn ask(gateway: Arc<Gateway>, api: ClientApi, request: Request<Incoming>) -> Response<Body> {
    let arrived = Instant::now();
    let id = request_id();
    let (parts, body) = request.into_parts();
    let mut response =
        serve(&gateway, api, &parts, body, &id, arrived).await.unwrap_or_else(|error| error.response(api, &id));
    stamp(response.headers_mut(), &id);
    response
}

/// `GET /tokenizer_info?model=NAME`: what a model's tokenizer is, as the place that serves it tells.
pub async fn tokenizer_info(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Body> {
    let (arrived, id, api) = (Instant::now(), request_id(), ClientApi::TokenizerInfo);
    let (parts, _) = request.into_parts();
    let told = async {
        let runtime = gateway.runtime();
        let caller = admit::admit_to(&runtime, &parts.headers, api.into())?;
        let model = page::parameter(parts.uri.query().unwrap_or_default(), "model").ok_or_else(|| {
            ApiError::invalid("model".to_owned(), "`model` is missing from the query")
                .hint("for example `/tokenizer_info?model=NAME`; GET /v1/models lists the names")
        })?;
        let bytes = serde_json::json!({"model": model}).to_string().into();
        let priority = Priority::Usual;
        Bare { runtime, api, headers: &parts.headers, caller, bytes, id: &id, arrived, priority }
            .answered(&gateway)
            .await
    };
    let mut response = told.await.unwrap_or_else(|error: ApiError| refused(error).response(api, &id));
    stamp(response.headers_mut(), &id);
    response
}

/// `POST /v1/messages/count_tokens` and `POST /v1/responses/input_tokens`: the tokens of a prompt, an estimate as plans are
/// made with.
pub async fn count_tokens(gateway: Arc<Gateway>, api: ClientApi, request: Request<Incoming>) -> Response<Body> {
    let id = request_id();
    let (parts, body) = request.into_parts();
    let counted = async {
        let runtime = gateway.runtime();
        let (caller, bytes) = admitted(&runtime, &parts, body, api.into()).await?;
        let (decoded, object) = match api {
            ClientApi::Messages => (decode(&id, bytes, wire::decode_to_count).await?, ""),
            api => {
                let shelf = runtime.kept.shelf(caller.team.as_ref());
                (decode_from(shelf, api, &id, bytes).await?, r#""object":"response.input_tokens","#)
            }
        };
        let tokens = facts::prompt_tokens(&decoded.request.input);
        Ok(stack::json_response(format!("{{{object}\"input_tokens\":{tokens}}}").into()))
    };
    let mut response = counted.await.unwrap_or_else(|error: ApiError| refused(error).response(api, &id));
    stamp(response.headers_mut(), &id);
    response
}

async fn serve(
    gateway: &Arc<Gateway>,
    api: ClientApi,
    parts: &Parts,
    body: Incoming,
    id: &str,
    arrived: Instant,
) -> Result<Response<Body>, ApiError> {
    let runtime = gateway.runtime();
    let (caller, bytes) = admitted(&runtime, parts, body, api.into()).await.map_err(refused)?;
    let priority = Priority::Usual;
    Bare { runtime, api, headers: &parts.headers, caller, bytes, id, arrived, priority }.answered(gateway).await
}

/// A request whose caller is known and whose body has been read: also one that has come otherwise than by a connection.
#[derive(Debug)]
pub struct Bare<'a> {
    /// The configuration that knows its caller; it keeps that to its end.
    pub runtime: Arc<Runtime>,
    /// What it speaks.
    pub api: ClientApi,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub caller: Grant,
    /// Its body.
    pub bytes: Bytes,
    /// Its id.
    pub id: &'a str,
    /// When it came.
    pub arrived: Instant,
    /// The most that it has, whatever it asks for.
    pub priority: Priority,
}

/// A refusal before a plan was made, counted.
fn refused(error: ApiError) -> ApiError {
    observe::refused(&error.code);
    error
}

impl Bare<'_> {
    /// Serves it.
    ///
    /// # Errors
    /// What its caller is told instead of an answer.
    pub async fn answered(self, gateway: &Arc<Gateway>) -> Result<Response<Body>, ApiError> {
        let Self { runtime, api, headers: asked_with, caller, bytes, id, arrived, priority } = self;
        let mut pass = runtime.quotas.enter(&caller, api).map_err(refused)?;
        let shelf = (api == ClientApi::Responses).then(|| runtime.kept.shelf(caller.team.as_ref())).flatten();
        let body = bytes.clone();
        let decoded = match api {
            ClientApi::Transcriptions => wire::transcriptions::decode(id, asked_with, bytes).await,
            api => decode_from(shelf.clone(), api, id, bytes).await,
        };
        let mut decoded = decoded.map_err(refused)?;
        decoded.request.priority = decoded.request.priority.min(priority);
        decoded.request.cache_salt = caller.team.as_deref().map(cache_salt);

        let mut facts = facts::of(&decoded, &caller, asked_with, &runtime.config);
        let foreseen = pass.foresee(Foreseen::of(&decoded.request, facts.prompt_tokens));
        foreseen.map_err(|error| refused(pass.told(api, error)))?;
        let (prefix, session) = facts::prefix::of(&runtime, &decoded.request, &caller, asked_with, facts.prompt_tokens);
        let request = &decoded.request;
        let planned = route::planned(&runtime, &mut facts, request, prefix.as_deref(), || pass.queue());
        let Planned { mut plan, mut reserved } = planned.await;
        let first = plan.candidates.first().map(|candidate| candidate.deployment);
        runtime.caps.hold(&mut plan);
        if plan.candidates.first().map(|candidate| candidate.deployment) != first {
            // The place was at one that is not asked.
            reserved = None;
        }
        let refusal = route::refusal(&plan, &facts);
        // A name that nobody knows concerns no licence; all other refusals are decisions to prove.
        if let (Some(refusal), Verdict::UnknownModel { .. }) = (&refusal, &plan.verdict) {
            return Err(refused(refusal.clone()));
        }
        if refusal.is_none() {
            match runtime.quotas.planned(&mut pass, &caller, &mut plan, &runtime.facts).await {
                Ok(false) => {}
                // The place was at one that has nothing left.
                Ok(true) => reserved = None,
                Err(error) => {
                    pass.refused();
                    return Err(refused(pass.told(api, error)));
                }
            }
        }
        let named = settle::named(&gateway.subjects, &runtime.config, &caller, &facts).await?;
        let asked = Asked { api, id, shadow_of: None, answer_of: None, caller: &caller, facts: &facts, named: &named };
        let mut leave = None;
        if refusal.is_none() {
            let route = [plan.route.as_deref(), plan.arm.as_deref()];
            let (config, decoded) = (runtime.config.digest.as_str(), &decoded);
            let same = answers::Asked { caller: &caller, config, route, api, decoded, body: &body };
            match given_before(&runtime, &plan, &same, asked_with, &mut reserved).await {
                Some(Found::Again(kept)) => {
                    let settlement =
                        Settlement::new(gateway.ledger.clone(), id.to_owned(), arrived, facts.prompt_tokens);
                    let asked = Asked { answer_of: Some(&kept.request), ..asked };
                    let again = Again { runtime: &runtime, plan, kept: &kept, asked, left_out: &decoded.left_out };
                    return again.answered(gateway, settlement, pass).await;
                }
                Some(Found::Asked(asked)) => leave = Some(asked),
                // Nobody has answered in all that time.
                Some(Found::Running(_)) | None => {}
            }
        }
        drop(body);
        let ticket = settle::decide(&gateway.ledger, &runtime, &asked, &plan)?;
        if let Some(refusal) = refusal {
            let receipt = settle::durable(gateway.instance.log(), ticket).await?;
            return Err(receipt.tell_in(refusal));
        }

        let request = Arc::new(backends::Request { prefix, session, ..decoded.request });
        if let Some(shadow) = plan.shadow.take() {
            let (gateway, runtime, request) = (Arc::clone(gateway), Arc::clone(&runtime), Arc::clone(&request));
            let (of, caller, facts, named) = (id.to_owned(), caller.clone(), facts.clone(), named.clone());
            Mirrored { gateway, runtime, api, of, caller, facts, named, plan: *shadow, request }.send();
        }
        let mut quota_left = HeaderMap::new();
        pass.tell(api, &mut quota_left);
        let settlement =
            Settlement::new(gateway.ledger.clone(), id.to_owned(), arrived, facts.prompt_tokens).holding(pass);
        let told = Told {
            manner: &decoded.manner,
            model: "",
            created: settle::now_ms() / 1000,
            include_usage: request.include_usage,
            prompt_tokens: facts.prompt_tokens,
            shelf: shelf.as_ref(),
        };
        let missed = leave.is_some();
        let log = gateway.instance.log();
        let work = Work { log, runtime: &runtime, plan: &plan, request: &request, told, facts: &facts, leave };
        let Answered { body, content_type, chosen, passed, receipt } =
            answer(work, reserved, ticket, settlement).await?;
        let streamed = matches!(body, Body::Sse(_));
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.extend(quota_left);
        if let Some(receipt) = receipt {
            receipt.tell(headers);
        }
        if missed {
            headers.insert(CACHE, HeaderValue::from_static("miss"));
        }
        if streamed && request.api.generates() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
        } else {
            let written = content_type.and_then(|kind| HeaderValue::from_str(&kind).ok());
            headers
                .insert(header::CONTENT_TYPE, written.unwrap_or_else(|| HeaderValue::from_static("application/json")));
        }
        if streamed {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // nginx in front of us must not gather tokens.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        }
        told_chosen(headers, &runtime, &plan, chosen);
        told_left_out(headers, chosen, &decoded.left_out, passed);
        Ok(response)
    }
}

/// What a stream of events is.
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// Whether an answer was given before (`hit`) or may be given again (`miss`).
const CACHE: HeaderName = HeaderName::from_static("x-pointsman-cache");

/// Says who serves, and by which policy.
fn told_chosen(headers: &mut HeaderMap, runtime: &Runtime, plan: &Plan, chosen: &Candidate) {
    let deployed = &runtime.deployed[chosen.deployment];
    headers.insert("x-pointsman-deployment", deployed.id_header.clone());
    headers.insert("x-pointsman-model", deployed.model_header.clone());
    headers.insert("x-pointsman-policy", runtime.policy_header.clone());
    for (name, value) in [("x-pointsman-route", &plan.route), ("x-pointsman-arm", &plan.arm)] {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Says what of a request was not passed on: what the deployment lacks, and what no translation has.
fn told_left_out(headers: &mut HeaderMap, chosen: &Candidate, untranslated: &[String], passed: bool) {
    let mut left_out: Vec<&str> = chosen.leaves_out.iter().map(Capability::as_str).collect();
    if !passed {
        left_out.extend(untranslated.iter().map(String::as_str));
    }
    if !left_out.is_empty() {
        let names = HeaderValue::from_str(&left_out.join(", "));
        headers.extend(names.ok().map(|names| (HeaderName::from_static("x-pointsman-left-out"), names)));
    }
}

/// The answer to the same request, or the leave to keep this one's; `None` where none is given again. A request that waits for
/// another's answer holds no place meanwhile, and waits no longer than its own may take.
async fn given_before(
    runtime: &Runtime,
    plan: &Plan,
    asked: &answers::Asked<'_>,
    headers: &HeaderMap,
    reserved: &mut Option<Reserved>,
) -> Option<Found> {
    let reuse = plan.reuse?;
    let key = answers::key(reuse, asked)?;
    let control = headers.get(header::CACHE_CONTROL).and_then(|control| control.to_str().ok());
    let wishes = Wishes::of(control);
    let end = Instant::now() + plan.attempts.deadlines.total;
    let serves = |kept: &Kept| {
        plan.candidates.iter().any(|candidate| *runtime.deployed[candidate.deployment].facts.id == *kept.deployment)
    };
    loop {
        match runtime.answers.find(key, reuse, wishes, serves) {
            Found::Running(mut waits) => {
                *reserved = None;
                if tokio::time::timeout_at(end, waits.changed()).await.is_err() {
                    return Some(Found::Running(waits));
                }
            }
            Found::Asked(leave) => {
                let elsewhere = runtime.answers.elsewhere(&leave, wishes, serves).await;
                return Some(elsewhere.map_or(Found::Asked(leave), Found::Again));
            }
            found => return Some(found),
        }
    }
}

/// A request that gets an answer of before.
struct Again<'a> {
    runtime: &'a Runtime,
    plan: Plan,
    kept: &'a Kept,
    asked: Asked<'a>,
    /// What no translation has.
    left_out: &'a [String],
}

impl Again<'_> {
    /// Records the decision that lets it have the answer, and gives it.
    async fn answered(self, gateway: &Gateway, settlement: Settlement, pass: Pass) -> Result<Response<Body>, ApiError> {
        let Self { runtime, mut plan, kept, asked, left_out } = self;
        let gave = |candidate: &Candidate| *runtime.deployed[candidate.deployment].facts.id == *kept.deployment;
        plan.candidates.retain(gave);
        let ticket = settle::decide(&gateway.ledger, runtime, &asked, &plan)?;
        let mut headers = HeaderMap::new();
        pass.tell(asked.api, &mut headers);
        let settlement = settlement.holding(pass);
        match settle::durable(gateway.instance.log(), ticket).await {
            Ok(receipt) => receipt.tell(&mut headers),
            Err(error) => {
                settlement.failed(error.status.as_u16(), &error.code);
                return Err(error);
            }
        }
        let chosen = &plan.candidates[0];
        observe::answered_again();
        settlement.again(Arc::clone(&runtime.deployed[chosen.deployment]), kept);
        told_chosen(&mut headers, runtime, &plan, chosen);
        told_left_out(&mut headers, chosen, left_out, kept.passed);
        headers.insert(CACHE, HeaderValue::from_static("hit"));
        headers.insert(header::AGE, kept.age().into());
        let kind = kept.content_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok());
        headers.insert(header::CONTENT_TYPE, kind.unwrap_or_else(|| HeaderValue::from_static("application/json")));
        let mut response = Response::new(Body::whole(kept.bytes.clone()));
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A plan to be worked through.
struct Work<'a> {
    /// The name of the log that its decision is in.
    log: &'a str,
    runtime: &'a Runtime,
    plan: &'a Plan,
    request: &'a Arc<backends::Request>,
    /// How the answer is told, but for the model that gives it.
    told: Told<'a>,
    facts: &'a Facts,
    /// To keep the answer, where it may be given again.
    leave: Option<Leave>,
}

/// An answer, and who gives it.
struct Answered<'a> {
    body: Body,
    /// What it is, where it is neither JSON nor an event stream of ours.
    content_type: Option<Box<str>>,
    chosen: &'a Candidate,
    /// Whether the caller's own bytes went to it, and its own come back, though the API is not OpenAI's chat.
    passed: bool,
    /// That the decision is on disk; `None` where the answer did not wait for that.
    receipt: Option<Receipt<'a>>,
}

/// Waits until a decision is on disk; a request whose decision cannot be is at its end.
async fn on_disk<'a>(
    log: &'a str,
    ticket: &mut Option<Ticket>,
    settlement: Settlement,
) -> Result<(Settlement, Option<Receipt<'a>>), ApiError> {
    let Some(ticket) = ticket.take() else { return Ok((settlement, None)) };
    match settle::durable(log, ticket).await {
        Ok(receipt) => Ok((settlement, Some(receipt))),
        Err(error) => {
            settlement.failed(error.status.as_u16(), &error.code);
            Err(error)
        }
    }
}

/// Works through a plan whose decision is on its way to the disk.
async fn answer<'a>(
    work: Work<'a>,
    reserved: Option<Reserved>,
    ticket: Ticket,
    mut settlement: Settlement,
) -> Result<Answered<'a>, ApiError> {
    let Work { log, runtime, plan, request, told, facts, leave } = work;
    let size = Size::of(facts.prompt_tokens);
    let wait = runtime.config.ledger.wait_for(plan, &runtime.config.catalog);
    let (mut ticket, mut receipt) = (Some(ticket), None);
    if wait == Wait::BeforeUpstream {
        (settlement, receipt) = on_disk(log, &mut ticket, settlement).await?;
    }
    let work = dispatch::Work { plan, places: &runtime.places, request, size, retries: &runtime.retries };
    let dispatched = dispatch::dispatch(work, reserved, &mut settlement.tried).await;
    // The sync to disk ran beside the model; no byte goes out before it is done.
    if wait == Wait::FirstByte {
        (settlement, receipt) = on_disk(log, &mut ticket, settlement).await?;
    }
    let fails = |error: ApiError, settlement: Settlement| {
        settlement.failed(error.status.as_u16(), &error.code);
        match receipt {
            Some(receipt) => receipt.tell_in(error),
            None => error,
        }
    };
    let committed = match dispatched {
        Ok(committed) => committed,
        Err(error) => {
            let error = match &error {
                Some(error) => ApiError::exhausted(error, &facts.model_asked, settlement.tried.len()),
                None => ApiError::no_healthy_backend(&facts.model_asked, "", None),
            };
            return Err(fails(error, settlement));
        }
    };
    let chosen = &plan.candidates[committed.candidate];
    let deployed = Arc::clone(&runtime.deployed[chosen.deployment]);
    let route = plan.route.as_deref().filter(|_| request.api.generates());
    let length = route.and_then(|route| runtime.lengths.of(route)).cloned();
    let record = |content_type: &Option<Box<str>>, passed: bool| {
        let (request, deployment) = (&request.id, &runtime.deployed[chosen.deployment].facts.id);
        leave.map(|leave| leave.record(request, deployment, content_type.clone(), passed))
    };
    settlement.serves(deployed, committed.attempt, committed.first_token, request.stream, length);
    let told = Told { model: chosen.model(), ..told };
    let own = |event: &Event| matches!(event, Event::Frame(frame) | Event::Whole(frame) if frame.own);
    let passed = committed.head.iter().any(own);
    if request.stream {
        let content_type = committed.head.iter().find_map(|event| match event {
            Event::Frame(frame) | Event::Whole(frame) => frame.content_type.clone(),
            _ => None,
        });
        let writer = Writer::new(request, told);
        let deadlines = Deadlines { idle: committed.idle, total: committed.deadline };
        let answer = Answer { head: committed.head, rest: committed.rest, backend: committed.backend };
        let events = request.api.generates().then(|| EVENTS.into());
        let recorder = record(&events.or_else(|| content_type.clone()), passed);
        let sse = SseBody::new(answer, writer, settlement, deadlines).recorded(recorder);
        return Ok(Answered { body: Body::Sse(Box::new(sse)), content_type, chosen, passed, receipt });
    }
    match whole::assemble(committed.head, request, told, &mut settlement) {
        Ok(Whole { bytes, content_type }) => {
            if let Some(mut recorder) = record(&content_type, passed) {
                recorder.take(&bytes);
                recorder.ends(settlement.counted(), settlement.finished());
                recorder.keep();
            }
            settlement.completed();
            Ok(Answered { body: Body::whole(bytes), content_type, chosen, passed, receipt })
        }
        Err(error) => Err(fails(ApiError::exhausted(&error, &facts.model_asked, settlement.tried.len()), settlement)),
    }
}

/// All that was said up to and with a response that is kept.
fn conversation(shelf: &Shelf, id: &str) -> Option<Items> {
    #[derive(Deserialize)]
    struct Said {
        output: Vec<Box<RawValue>>,
    }
    let kept = shelf.get(id)?;
    let Said { output } = serde_json::from_slice(&kept.response).ok()?;
    Some(kept.input.iter().cloned().chain(output.into_iter().map(Arc::from)).collect())
}

/// Who asks, and what.
async fn admitted(
    runtime: &Runtime,
    parts: &Parts,
    body: Incoming,
    endpoint: Endpoint,
) -> Result<(Grant, Bytes), ApiError> {
    // Before the body is read: a stranger's megabytes are not worth keeping.
    let caller = match admit::admit_to(runtime, &parts.headers, endpoint) {
        Ok(caller) => caller,
        Err(error) => {
            body::discard(body, &parts.headers).await;
            return Err(error);
        }
    };
    Ok((caller, body::read(body, &parts.headers, &runtime.config.limits).await?))
}

/// A body of at most so many bytes, for a path that no model is asked on.
pub async fn small(request: Request<Incoming>, most: usize) -> Option<Bytes> {
    let (parts, body) = request.into_parts();
    let limits = Limits { body_bytes: most as u64, ..Limits::default() };
    body::read(body, &parts.headers, &limits).await.ok()
}

/// Decodes a body; one that may go on from a response that is kept finds it on `shelf`.
async fn decode_from(shelf: Option<Shelf>, api: ClientApi, id: &str, bytes: Bytes) -> Result<wire::Decoded, ApiError> {
    match shelf {
        Some(shelf) => {
            let read = move |id: &str, bytes| wire::decode_response(id, bytes, &|of| conversation(&shelf, of));
            decode(id, bytes, read).await
        }
        None => decode(id, bytes, move |id, bytes| wire::decode(api, id, bytes)).await,
    }
}

/// Decodes a body; a large one away from the threads that serve the others.
async fn decode(
    id: &str,
    bytes: Bytes,
    read: impl FnOnce(&str, Bytes) -> Result<wire::Decoded, ApiError> + Send + 'static,
) -> Result<wire::Decoded, ApiError> {
    /// Below this, decoding takes less than a millisecond or so.
    const LARGE: usize = 1 << 20;
    if bytes.len() < LARGE {
        return read(id, bytes);
    }
    let id = id.to_owned();
    tokio::task::spawn_blocking(move || read(&id, bytes))
        .await
        .unwrap_or_else(|_| Err(ApiError::malformed_json("the request body could not be decoded")))
}

/// What splits a server's cache of prefixes by team: the same at every gateway, and nothing that a name could break.
fn cache_salt(team: &str) -> String {
    keys::hex(&Sha256::digest(format!("pointsman: the cache of team {team}"))[..16])
}

/// A new id for a request; ids sort by time.
pub fn request_id() -> String {
    format!("req_{}", uuid::Uuid::now_v7().simple())
}

/// Puts the id where SDKs look for it.
pub fn stamp(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        // The name that Anthropic's SDKs look for.
        headers.insert("request-id", value.clone());
        headers.insert("x-request-id", value);
    }
}
