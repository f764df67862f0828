//! A key as it is listed: all that the keys file says of it but its hash.

use std::time::SystemTime;

use serde::Serialize;

use super::ListedScope;

/// A key as `pointsman keys list` shows it and as the file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The public id, safe to log.
    pub id: String,
    /// The team.
    pub team: String,
    /// The context.
    pub context: String,
    /// When it was made.
    pub created: String,
    /// When its time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// What it may reach, where it is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ListedScope>,
    /// The id of the key that it was made to replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The id of the key that was made to replace it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It lets its bearer in.
    Active,
    /// It still does, and another was made in its place.
    Replaced,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl Listed {
    /// How it stands at a time. A time that cannot be read is over, as it is for the gateway.
    pub fn state(&self, now: SystemTime) -> State {
        let over = |time: &String| humantime::parse_rfc3339(time).is_ok_and(|time| time <= now);
        match self {
            Self { revoked: Some(_), .. } => State::Revoked,
            Self { expires: Some(expires), .. } if over(expires) => State::Expired,
            Self { replaced_by: Some(_), .. } => State::Replaced,
            _ => State::Active,
        }
    }
}
