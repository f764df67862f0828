//! Base addresses of hosts and servers.

use std::net::IpAddr;

use http::Uri;

/// An address that paths such as `/chat/completions` are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Without a slash at its end.
    pub text: String,
    /// `https`.
    pub encrypted: bool,
    /// Whether it stays on this machine.
    pub loopback: bool,
}

impl BaseUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it; the address itself is never repeated.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it cannot be read")?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it starts with neither `https://` nor `http://`"),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name; a key belongs into `key`");
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("paths are appended to it, so it cannot hold `?` or `#`");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        Ok(Self { text: text.trim_end_matches('/').to_owned(), encrypted, loopback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_says_whether_it_is_encrypted_and_whether_it_stays_here() {
        let remote = BaseUrl::parse("https://api.groq.com/openai/v1/").unwrap();
        assert_eq!(remote.text, "https://api.groq.com/openai/v1");
        assert!(remote.encrypted && !remote.loopback);
        for here in ["http://127.0.0.1:9000/v1", "http://localhost:9000", "http://[::1]:9000/v1"] {
            let url = BaseUrl::parse(here).unwrap();
            assert!(url.loopback && !url.encrypted, "{here}");
        }
        assert!(!BaseUrl::parse("http://localhost.example.com/v1").unwrap().loopback);
    }

    #[test]
    fn what_paths_cannot_be_appended_to_is_no_base_address() {
        for text in ["", "api.groq.com/v1", "ftp://x/v1", "https://u:p@x/v1", "https://x/v1?a=b", "https://x/#a", "/v1"]
        {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
