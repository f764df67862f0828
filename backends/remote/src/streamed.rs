//! An answer that is too large to be held: its body is read as it comes, by whoever asked.
//!
//! Sets no deadline and follows no redirect, as all of [`Client`]: a reader that waits says how long, and decides with which
//! headers another address is asked.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    body::{collect, next_data},
    client::{Client, root},
};

/// What was answered, with the body still to come.
#[derive(Debug)]
pub struct Streamed {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Streamed {
    /// The next bytes of the body; none at its end.
    ///
    /// # Errors
    /// Why the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        next_data(&mut self.body).await.map_err(|error| root(&error))
    }

    /// The whole body, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// It has more, or the connection broke.
    pub async fn whole(self, limit: usize) -> Result<Bytes, String> {
        collect(self.body, limit).await.map_err(|cut| cut.words(limit))
    }
}

impl Client {
    /// Gets what is at an address. Redirects are not followed.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Streamed, String> {
        let make = || {
            let mut request = Request::get(url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(Full::default())
        };
        // What is good once is good again.
        make().map_err(|error| error.to_string())?;
        let answer = self.send(|| make().unwrap_or_default()).await.map_err(|error| root(&error))?;
        let (head, body) = answer.into_parts();
        Ok(Streamed { status: head.status, headers: head.headers, body })
    }
}
