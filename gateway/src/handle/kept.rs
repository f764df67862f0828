//! Responses that are kept: `GET` and `DELETE /v1/responses/{id}`, `GET .../input_items`, `POST .../cancel`.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::page::{json, page, parameter, wrong};
use crate::{
    admit,
    kept::Kept,
    keys::Endpoint,
    respond::{
        body::Body,
        error::{ApiError, clip},
    },
    runtime::Gateway,
    stack::json_response,
};

/// Items of a page, unless the caller says how many, and at most.
const ITEMS: (usize, usize) = (20, 100);

/// What is asked of a response.
enum Question<'a> {
    Whole(&'a str),
    InputItems(&'a str),
    Cancel(&'a str),
}

impl<'a> Question<'a> {
    /// The part of a path below `/v1/responses/`.
    fn of(below: &'a str) -> Option<Self> {
        match below.split_once('/') {
            None if !below.is_empty() => Some(Self::Whole(below)),
            Some((id, "input_items")) => Some(Self::InputItems(id)),
            Some((id, "cancel")) => Some(Self::Cancel(id)),
            _ => None,
        }
    }
}

/// Answers what is asked of a response; `below` is the path below `/v1/responses/`. `None` where there is no such path.
pub fn answer(gateway: &Gateway, request: &Request<Incoming>, below: &str) -> Option<Result<Response<Body>, ApiError>> {
    let question = Question::of(below)?;
    let allowed = match (&question, request.method()) {
        (Question::Whole(_), &Method::GET | &Method::DELETE)
        | (Question::InputItems(_), &Method::GET)
        | (Question::Cancel(_), &Method::POST) => None,
        (Question::Whole(_), _) => Some("GET, DELETE"),
        (Question::InputItems(_), _) => Some("GET"),
        (Question::Cancel(_), _) => Some("POST"),
    };
    Some(match allowed {
        Some(methods) => Err(ApiError::method_not_allowed(methods)),
        None => told(gateway, request, &question),
    })
}

fn told(gateway: &Gateway, request: &Request<Incoming>, question: &Question<'_>) -> Result<Response<Body>, ApiError> {
    let runtime = gateway.runtime();
    let caller = admit::admit_to(&runtime, request.headers(), Endpoint::Responses)?;
    let shelf = runtime.kept.shelf(caller.team.as_ref());
    let (Question::Whole(id) | Question::InputItems(id) | Question::Cancel(id)) = *question;
    let kept = shelf.as_ref().and_then(|shelf| shelf.get(id)).ok_or_else(|| unknown(id))?;
    let query = request.uri().query().unwrap_or_default();
    match question {
        Question::Whole(_) if request.method() == Method::DELETE => {
            if let Some(shelf) = shelf {
                shelf.forget(id);
            }
            let deleted = Deleted { id, object: "response", deleted: true };
            Ok(json_response(json(&deleted)))
        }
        Question::Whole(_) if parameter(query, "stream").as_deref() == Some("true") => {
            let message = "`stream`: a response that is over is told whole";
            Err(ApiError::invalid("stream".to_owned(), message).hint("leave `stream` out"))
        }
        Question::Whole(_) => Ok(json_response(kept.response.clone())),
        Question::InputItems(_) => listed(&kept, id, query).map(json_response),
        Question::Cancel(_) => {
            let message = "this response is over; only one that is made in the background can be cancelled";
            Err(ApiError { code: "not_in_progress".into(), ..ApiError::invalid(None, message) })
        }
    }
}

#[derive(Serialize)]
struct Deleted<'a> {
    id: &'a str,
    object: &'static str,
    deleted: bool,
}

/// A page of what a response was an answer to: the newest first, unless the caller asks for the other order.
fn listed(kept: &Kept, id: &str, query: &str) -> Result<Bytes, ApiError> {
    let falling = match parameter(query, "order").as_deref() {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return Err(wrong("order", "`asc` or `desc`")),
    };
    let mut items: Vec<Value> =
        kept.input.iter().enumerate().map(|(number, item)| identified(item, id, number)).collect();
    if falling {
        items.reverse();
    }
    page(&items, |item| item["id"].as_str().unwrap_or_default(), query, ITEMS)
}

/// An item with an id, its own or that of its place.
fn identified(item: &RawValue, response: &str, number: usize) -> Value {
    let mut item: Value = serde_json::from_str(item.get()).unwrap_or_default();
    if let Some(fields) = item.as_object_mut() {
        let id = format!("msg_{}_{number}", response.trim_start_matches("resp_"));
        fields.entry("id").or_insert_with(|| id.into());
        fields.entry("type").or_insert_with(|| "message".into());
    }
    item
}

/// 404 for a response that is not there, or that is another team's.
fn unknown(id: &str) -> ApiError {
    let message = format!("there is no response `{}` of yours here", clip(id, 100));
    ApiError { status: StatusCode::NOT_FOUND, ..ApiError::not_found("response_not_found", message) }
        .hint("responses are kept in memory, for a time, unless `store` is false")
}
