//! One look at a page: whether it is as a row of evidence says.

use catalog::{Evidence, PageResult};
use remote::{Fetched, Fetcher};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::text;
use crate::keys::hex;

/// The most characters of a reason.
const MOST_OF_REASON: usize = 300;

/// What a row says of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its address.
    pub url: String,
    /// The text that it shows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub find: Option<String>,
    /// Its digest, SHA-256 in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
}

/// What came of looking at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// In one word.
    pub result: PageResult,
    /// SHA-256 of what was there, in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// Its bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http: Option<u16>,
    /// Why it could not be had, or in what it is not as the row says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Page {
    /// That of a row, if it says where it is.
    pub fn of(row: &Evidence) -> Option<Self> {
        Some(Self { url: row.url.clone()?, find: row.find.clone(), sha256: row.sha256.clone() })
    }
}

impl Look {
    fn failed(http: Option<u16>, why: String) -> Self {
        let error = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_OF_REASON).collect();
        Self { result: PageResult::Unreachable, sha256: None, bytes: None, http, error: Some(error) }
    }
}

/// Looks at a page.
pub async fn look(fetcher: &Fetcher, page: &Page) -> Look {
    match fetcher.fetch(&page.url).await {
        Err(why) => Look::failed(None, why),
        Ok(fetched) if !fetched.status.is_success() => {
            let status = fetched.status.as_u16();
            Look::failed(Some(status), format!("it answered {status}"))
        }
        Ok(fetched) => {
            let page = page.clone();
            // A large page takes some milliseconds, which are no request's.
            let seen = tokio::task::spawn_blocking(move || seen(&page, &fetched)).await;
            seen.unwrap_or_else(|error| Look::failed(None, error.to_string()))
        }
    }
}

fn seen(page: &Page, fetched: &Fetched) -> Look {
    let sha256 = hex(&Sha256::digest(&fetched.body));
    let shows = |find: &String| text::shows(&String::from_utf8_lossy(&fetched.body), &fetched.media_type, find);
    let other = page.sha256.as_ref().filter(|said| !said.eq_ignore_ascii_case(&sha256));
    let (result, error) = if !page.find.as_ref().is_none_or(shows) {
        (PageResult::NotFound, Some("the page does not show the text".to_owned()))
    } else if other.is_some() {
        (PageResult::Changed, Some("the page is another one than `sha256` of the row says".to_owned()))
    } else {
        (PageResult::Found, None)
    };
    let bytes = Some(fetched.body.len() as u64);
    Look { result, sha256: Some(sha256), bytes, http: Some(fetched.status.as_u16()), error }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use remote::FetchOptions;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::guard::guard;

    fn page(find: Option<&str>, sha256: Option<&str>) -> Page {
        Page { url: "https://a.example".into(), find: find.map(Into::into), sha256: sha256.map(Into::into) }
    }

    #[test]
    fn a_page_is_found_missing_its_text_or_another_one() {
        let body = "<p>Built with Llama</p>";
        let digest = hex(&Sha256::digest(body));
        let (capitals, other) = (digest.to_uppercase(), "0".repeat(64));
        let fetched = Fetched { status: http::StatusCode::OK, media_type: "text/html".into(), body: body.into() };
        let result = |find, sha256| seen(&page(find, sha256), &fetched).result;
        assert_eq!(result(Some("Built with Llama"), None), PageResult::Found);
        assert_eq!(result(None, Some(&capitals)), PageResult::Found);
        assert_eq!(result(Some("Built with Llama"), Some(&other)), PageResult::Changed);
        assert_eq!(result(Some("Built with Gemma"), Some(&digest)), PageResult::NotFound);
        let look = seen(&page(Some("Built with Llama"), None), &fetched);
        assert_eq!((look.sha256, look.bytes, look.http), (Some(digest), Some(body.len() as u64), Some(200)));
    }

    /// Answers each connection to a free port of this machine with the next of these, and closes it.
    async fn serving(answers: Vec<String>) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if connection.read_buf(&mut head).await.unwrap() == 0 {
                        return;
                    }
                }
                let answer = answer.replace("HERE", &address.to_string());
                // Whoever had enough of it is gone.
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    fn fetcher(named: Vec<crate::guard::Network>, patience: Duration) -> Fetcher {
        let options = FetchOptions { bytes: 100, patience, agent: "a test" };
        Fetcher::new(guard(named, "a.key"), options).unwrap()
    }

    async fn fetched(answers: &[&str], path: &str, named: &[&str]) -> Result<(u16, String), String> {
        let address = serving(answers.iter().map(|answer| (*answer).to_owned()).collect()).await;
        let named = named.iter().map(|network| network.parse().unwrap()).collect();
        let fetcher = fetcher(named, Duration::from_secs(30));
        let fetched = fetcher.fetch(&path.replace("HERE", &address.to_string())).await?;
        Ok((fetched.status.as_u16(), String::from_utf8(fetched.body.to_vec()).unwrap()))
    }

    const HERE: [&str; 1] = ["127.0.0.1/32"];

    fn to(location: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn redirects_are_followed_three_times_and_each_is_put_to_the_guard() {
        let page = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let again = to("/again");
        let three = [again.as_str(), &again, &again, page];
        assert_eq!(fetched(&three, "http://HERE/", &HERE).await, Ok((200, "hello".to_owned())));
        let four = [again.as_str(), &again, &again, &again, page];
        assert_eq!(fetched(&four, "http://HERE/", &HERE).await.unwrap_err(), "it redirects more than 3 times");
        for (location, why) in [
            ("http://127.0.0.2:9999/", "127.0.0.2 is loopback"),
            ("http://169.254.169.254/latest/meta-data", "is never asked"),
            ("http://[::ffff:10.0.0.1]/", "is private"),
            ("http://2130706434/", "127.0.0.2 is loopback"),
            ("http://localhost:22/", "port 22 is another service's"),
            ("http://me:secret@HERE/", "holds a name or a password"),
            ("file:///etc/passwd", "neither an `https` nor an `http` address"),
        ] {
            let refused = fetched(&[&to(location)], "http://HERE/", &HERE).await.unwrap_err();
            assert!(refused.contains(why) && !refused.contains("secret"), "{location}: {refused}");
        }
    }

    #[tokio::test]
    async fn what_nobody_named_is_not_connected_to_by_address_or_by_name() {
        for url in ["http://HERE/", "https://HERE/"] {
            let refused = fetched(&[], url, &[]).await.unwrap_err();
            assert!(refused.contains("127.0.0.1 is loopback") && refused.contains("`a.key`"), "{refused}");
        }
        let refused = fetched(&[], "https://localhost:1234/", &[]).await.unwrap_err();
        assert!(refused.contains("is loopback"), "{refused}");
        for url in ["no address", "ftp://a.example", "https://a.example:25/"] {
            assert!(fetched(&[], url, &HERE).await.is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_cut_off_and_another_status_is_told() {
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n{}", "x".repeat(101));
        assert_eq!(fetched(&[&long], "http://HERE/", &HERE).await.unwrap_err(), "it is longer than 100 bytes");
        let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone";
        assert_eq!(fetched(&[gone], "http://HERE/", &HERE).await, Ok((404, String::new())));
    }

    #[tokio::test]
    async fn a_page_that_never_ends_and_one_that_does_not_come_are_cut_off() {
        let endless =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned() + &"a\r\n0123456789\r\n".repeat(1_000);
        assert_eq!(fetched(&[&endless], "http://HERE/", &HERE).await.unwrap_err(), "it is longer than 100 bytes");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fetcher = fetcher(vec![HERE[0].parse().unwrap()], Duration::from_millis(50));
        // Connections come about, and nobody answers them.
        let slow = fetcher.fetch(&format!("http://{}/", listener.local_addr().unwrap())).await.unwrap_err();
        assert!(slow.starts_with("it was not answered whole within"), "{slow}");
    }
}
