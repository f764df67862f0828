//! The list of models that a place offers.

use serde::Deserialize;

/// The names of a list of models.
#[derive(Debug)]
pub(super) struct Listing(Vec<String>);

#[derive(Deserialize)]
struct Row {
    id: String,
}

/// OpenAI's shape, or the bare list that some hosts send.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Object { data: Vec<Row> },
    Bare(Vec<Row>),
}

impl Listing {
    /// Reads one; `None` if the text is none.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let (Wire::Object { data } | Wire::Bare(data)) = serde_json::from_slice(json).ok()?;
        Some(Self(data.into_iter().map(|row| row.id).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.0.iter().any(|listed| listed == name)
    }
}
