//! `/v1/files` and `/v1/batches`: what callers upload, and the batches that are made of it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::page::{json, page, parameter};
use crate::{
    admit,
    batches::{self, BatchError},
    dispatch::chain,
    files::FileError,
    keys::{Endpoint, Grant},
    respond::{
        body::{Body, FileBody},
        error::{ApiError, clip},
    },
    runtime::Gateway,
    stack::json_response,
    wire::form,
};

/// Entries of a page, unless the caller says how many, and at most.
const FILES: (usize, usize) = (10_000, 10_000);
const BATCHES: (usize, usize) = (20, 100);
/// Characters of a file's name.
const MAX_NAME: usize = 256;
/// Most entries of a batch's `metadata`.
const MAX_METADATA: usize = 16;

/// What is asked of files and batches.
enum Question {
    Upload,
    Files,
    File(String),
    Content(String),
    Remove(String),
    Create,
    Batches,
    Batch(String),
    Cancel(String),
}

impl Question {
    /// What a key has to be good for.
    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Upload | Self::Files | Self::File(_) | Self::Content(_) | Self::Remove(_) => Endpoint::Files,
            Self::Create | Self::Batches | Self::Batch(_) | Self::Cancel(_) => Endpoint::Batches,
        }
    }
}

/// What a path and a method ask; within, the methods that the path takes instead.
fn question(method: &Method, path: &str) -> Option<Result<Question, &'static str>> {
    let parts: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    let (get, post, delete) = (method == Method::GET, method == Method::POST, method == Method::DELETE);
    Some(match parts[..] {
        ["files"] if post => Ok(Question::Upload),
        ["files"] if get => Ok(Question::Files),
        ["batches"] if post => Ok(Question::Create),
        ["batches"] if get => Ok(Question::Batches),
        ["files" | "batches"] => Err("GET, POST"),
        ["files", id] if get => Ok(Question::File(id.to_owned())),
        ["files", id] if delete => Ok(Question::Remove(id.to_owned())),
        ["files", _] => Err("GET, DELETE"),
        ["files", id, "content"] if get => Ok(Question::Content(id.to_owned())),
        ["batches", id] if get => Ok(Question::Batch(id.to_owned())),
        ["batches", id, "cancel"] if post => Ok(Question::Cancel(id.to_owned())),
        ["files", _, "content"] | ["batches", _] => Err("GET"),
        ["batches", _, "cancel"] => Err("POST"),
        _ => return None,
    })
}

/// Whether a path is about files or batches.
pub fn is_here(path: &str) -> bool {
    question(&Method::GET, path).is_some()
}

/// Answers a request about files or batches.
///
/// # Errors
/// What is wrong with the request, or with the disk.
pub async fn answer(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let (head, body) = request.into_parts();
    let asked = match question(&head.method, head.uri.path()) {
        Some(Ok(asked)) => asked,
        Some(Err(methods)) => return Err(ApiError::method_not_allowed(methods)),
        None => return Err(ApiError::not_found("unknown_path", "no such path")),
    };
    let runtime = gateway.runtime();
    let (caller, bytes) = super::admitted(&runtime, &head, body, asked.endpoint()).await?;
    let query = head.uri.query().unwrap_or_default().to_owned();
    if let Question::Upload = asked {
        let upload = Upload::read(&head.headers, bytes).await?;
        return blocking(gateway, move |gateway| upload.keep(gateway, &caller)).await;
    }
    blocking(gateway, move |gateway| told(gateway, &caller, asked, &bytes, &query)).await
}

/// Disks may be slow.
async fn blocking(
    gateway: &Arc<Gateway>,
    what: impl FnOnce(&Arc<Gateway>) -> Result<Response<Body>, ApiError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let gateway = Arc::clone(gateway);
    spawn_blocking(move || what(&gateway)).await.unwrap_or_else(|_| Err(disk_failed()))
}

#[derive(Serialize)]
struct Removed<'a> {
    id: &'a str,
    object: &'static str,
    deleted: bool,
}

#[derive(Deserialize)]
struct Asked {
    input_file_id: String,
    endpoint: String,
    #[serde(default)]
    completion_window: Option<String>,
    #[serde(default)]
    metadata: Option<serde_json::Map<String, Value>>,
}

fn told(
    gateway: &Arc<Gateway>,
    caller: &Grant,
    asked: Question,
    body: &Bytes,
    query: &str,
) -> Result<Response<Body>, ApiError> {
    let batches = &gateway.batches;
    let folder = batches.files().of(caller.team.as_deref());
    let bytes = match asked {
        Question::Files => {
            let mut files = folder.list().map_err(of_file)?;
            if let Some(purpose) = parameter(query, "purpose") {
                files.retain(|file| file.purpose == purpose);
            }
            page(&files, |file| &file.id, query, FILES)?
        }
        Question::File(id) => json(&folder.get(&id).map_err(of_file)?),
        Question::Remove(id) => {
            folder.remove(&id).map_err(of_file)?;
            json(&Removed { id: &id, object: "file", deleted: true })
        }
        Question::Content(id) => {
            folder.get(&id).map_err(of_file)?;
            let content = std::fs::File::open(folder.content(&id)).and_then(FileBody::new);
            let mut response = Response::new(Body::File(content.map_err(|error| of_file(error.into()))?));
            let kind = header::HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            return Ok(response);
        }
        Question::Batches => page(&batches.list(&folder).map_err(of_batch)?, |batch| &batch.id, query, BATCHES)?,
        Question::Batch(id) => json(&batches.get(&folder, &id).map_err(of_batch)?),
        Question::Cancel(id) => json(&batches.cancel(&folder, &id).map_err(of_batch)?),
        Question::Create => {
            let asked: Asked = read(body)?;
            admit::lasts(&gateway.runtime(), caller)?;
            asked.check(caller)?;
            let metadata = asked.metadata.map(Value::Object);
            let made = batches.create(gateway, caller, &asked.endpoint, &asked.input_file_id, metadata);
            json(&made.map_err(of_batch)?)
        }
        Question::Upload => return Err(ApiError::method_not_allowed("POST")),
    };
    Ok(json_response(bytes))
}

impl Asked {
    fn check(&self, caller: &Grant) -> Result<(), ApiError> {
        if let Some(api) = batches::api_of(&self.endpoint) {
            admit::reaches(caller, api.into())?;
        } else {
            let message = format!("`endpoint`: no batch can ask `{}`", clip(&self.endpoint, 100));
            return Err(ApiError::invalid("endpoint".to_owned(), message)
                .hint("for example `/v1/chat/completions`, `/v1/embeddings` or `/v1/responses`"));
        }
        if self.completion_window.as_deref().is_some_and(|window| window != "24h") {
            let message = "`completion_window`: a batch has 24 hours";
            return Err(ApiError::invalid("completion_window".to_owned(), message).hint("write `24h`"));
        }
        if self.metadata.as_ref().is_some_and(|entries| entries.len() > MAX_METADATA) {
            let message = format!("`metadata`: expected at most {MAX_METADATA} entries");
            return Err(ApiError::invalid("metadata".to_owned(), message));
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner().to_string());
        let param = (path != ".").then_some(path);
        ApiError::invalid(param, clip(&inner, 300))
    })
}

/// A file as it is uploaded.
struct Upload {
    name: String,
    content: Bytes,
}

impl Upload {
    /// Reads the parts of a form: `file` and `purpose`.
    async fn read(headers: &HeaderMap, body: Bytes) -> Result<Self, ApiError> {
        let form = form::read(headers, body, "a file", "`purpose` and `file`").await?;
        let (mut file, mut purpose) = (None, None);
        for field in form.fields {
            match field.name.as_str() {
                "file" => {
                    let name = clip(field.filename.as_deref().unwrap_or("file"), MAX_NAME);
                    file = Some(Self { name, content: field.content });
                }
                "purpose" => purpose = Some(String::from_utf8_lossy(&field.content).into_owned()),
                // `expires_after` and whatever else there may be.
                _ => {}
            }
        }
        let missing = |part: &str| ApiError::invalid(part.to_owned(), format!("`{part}` is missing from the form"));
        let purpose = purpose.ok_or_else(|| missing("purpose"))?;
        if purpose != "batch" {
            let message = format!("`purpose`: files are for batches here, found `{}`", clip(&purpose, 50));
            return Err(ApiError::invalid("purpose".to_owned(), message).hint("write `batch`"));
        }
        file.ok_or_else(|| missing("file"))
    }

    fn keep(self, gateway: &Gateway, caller: &Grant) -> Result<Response<Body>, ApiError> {
        let folder = gateway.batches.files().of(caller.team.as_deref());
        let file = folder.add(&self.name, "batch", &self.content).map_err(of_file)?;
        Ok(json_response(json(&file)))
    }
}

fn of_file(error: FileError) -> ApiError {
    match &error {
        FileError::Unknown => ApiError::not_found("file_not_found", error.to_string()),
        FileError::Full { .. } => {
            ApiError { code: "files_full".into(), ..ApiError::invalid("file".to_owned(), error.to_string()) }
                .hint("remove files that you no longer need: DELETE /v1/files/{id}")
        }
        FileError::Disk(_) => failed(&error),
    }
}

fn of_batch(error: BatchError) -> ApiError {
    match error {
        BatchError::Unknown => ApiError::not_found("batch_not_found", error.to_string()),
        BatchError::Over => ApiError { code: "batch_over".into(), ..ApiError::invalid(None, error.to_string()) },
        BatchError::TooMany => {
            ApiError { code: "too_many_batches".into(), ..ApiError::invalid(None, error.to_string()) }
        }
        BatchError::File(error) => of_file(error),
        BatchError::Disk(_) => failed(&error),
    }
}

/// What is wrong with a disk is for the log.
fn failed(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = chain(error), "the files of callers cannot be used");
    disk_failed()
}

fn disk_failed() -> ApiError {
    ApiError::unavailable("files_unavailable", "the gateway's disk cannot be used").hint("try again later")
}
