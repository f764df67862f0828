//! A small document at an address, such as the keys that an issuer of tokens publishes: asked for once, read whole.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::Full;
use tokio::time::timeout;

use crate::{
    body::{Cut, collect},
    client::{Client, root},
};

impl Client {
    /// The body of the answer to a `GET`, of at most `limit` bytes, if it comes within `patience`. Follows no redirect.
    ///
    /// # Errors
    /// Why it cannot be had, in words that hold nothing of what was answered.
    pub async fn document(&self, address: &str, limit: usize, patience: Duration) -> Result<Bytes, String> {
        let uri: Uri = address.parse().map_err(|_| "its address cannot be read".to_owned())?;
        if uri.scheme_str() == Some("https") {
            self.trust().map_err(|why| format!("no encrypted connection can be made: {why}"))?;
        }
        let read = async {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            let ask = || {
                let mut ask = Request::new(Full::default());
                ask.uri_mut().clone_from(&uri);
                ask.headers_mut().clone_from(&headers);
                ask
            };
            let answer = self.send(ask).await.map_err(|error| root(&error))?;
            if !answer.status().is_success() {
                return Err(format!("it answered {}", answer.status().as_u16()));
            }
            collect(answer.into_body(), limit).await.map_err(|cut| match cut {
                Cut::TooLong => format!("what it answered is longer than {limit} bytes"),
                Cut::Broken(why) => format!("the connection broke: {why}"),
            })
        };
        timeout(patience, read).await.unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs())))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::ClientOptions;

    /// What becomes of a question that is answered so.
    async fn asked(answer: &'static str, limit: usize) -> Result<Bytes, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys?a=b", listener.local_addr().unwrap());
        let serve = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            assert!(head[..read].starts_with(b"GET /keys?a=b HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let client = Client::new(&ClientOptions::default()).unwrap();
        let (document, ()) = tokio::join!(client.document(&address, limit, Duration::from_secs(30)), serve);
        document
    }

    #[tokio::test]
    async fn a_document_is_read_whole_within_its_bounds_and_no_redirect_is_followed() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(asked(whole, 5).await.unwrap(), "hello");
        assert_eq!(asked(whole, 4).await.unwrap_err(), "what it answered is longer than 4 bytes");
        let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(asked(moved, 5).await.unwrap_err(), "it answered 302");
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
        assert!(asked(cut, 5).await.unwrap_err().starts_with("the connection broke"));
        let client = Client::new(&ClientOptions::default()).unwrap();
        assert!(client.document("no address", 5, Duration::from_secs(1)).await.is_err());
    }
}
