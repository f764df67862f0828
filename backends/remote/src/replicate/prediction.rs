//! A prediction as the host describes it: how it stands, and what it has put out so far.

use backends::{Convention, Usage};
use serde::Deserialize;
use serde_json::Value;

/// How a prediction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// A machine starts for it, or it runs.
    Underway,
    /// Its output is whole.
    Succeeded,
    /// The model failed.
    Failed,
    /// Somebody ended it, or its time was up.
    Canceled,
}

/// A prediction.
#[derive(Debug)]
pub(super) struct Prediction {
    /// Plain letters and digits: it becomes part of a path.
    pub(super) id: String,
    pub(super) status: Status,
    /// The text so far; `Err` if it puts out something else, such as a picture.
    pub(super) text: Result<String, NotText>,
    /// Where its output can be read as it comes.
    pub(super) stream: Option<String>,
    /// What it says that it took.
    pub(super) usage: Option<Usage>,
}

/// An output that is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotText;

#[derive(Deserialize)]
struct Wire {
    id: String,
    status: String,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    urls: Option<Urls>,
}

#[derive(Deserialize, Default)]
struct Urls {
    #[serde(default)]
    stream: Option<String>,
}

impl Prediction {
    /// Reads one; `None` if the text is none, or its id could not be part of a path.
    pub(super) fn read(json: &[u8], usage: &Convention) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(json).ok()?;
        let plain = (1..=128).contains(&wire.id.len()) && wire.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let status = match wire.status.as_str() {
            "starting" | "processing" => Status::Underway,
            "succeeded" => Status::Succeeded,
            "failed" => Status::Failed,
            "canceled" | "aborted" => Status::Canceled,
            _ => return None,
        };
        plain.then(|| Self {
            id: wire.id,
            status,
            text: text(&wire.output),
            stream: wire.urls.and_then(|urls| urls.stream),
            usage: usage.read(json, None, true),
        })
    }
}

/// The text of an output: a text, or a list of its pieces.
fn text(output: &Value) -> Result<String, NotText> {
    match output {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(pieces) => pieces.iter().map(|piece| piece.as_str().ok_or(NotText)).collect(),
        _ => Err(NotText),
    }
}
