//! From what a source names to a base address.

use http::Uri;

use crate::BaseUrl;

/// What stands around a host and a port to make a base address of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormOf {
    /// `https` rather than `http`.
    pub https: bool,
    /// The path that APIs lie below, such as `/v1`; it begins with a slash unless it is empty.
    pub path: String,
}

impl FormOf {
    /// The base address of `host:port`, or of an address that is whole already. With `keyed`, one that would carry a key
    /// unencrypted beyond this machine is refused.
    ///
    /// # Errors
    /// What is wrong with it; it is not repeated.
    pub fn base_url(&self, named: &str, keyed: bool) -> Result<String, &'static str> {
        let url = match named.contains("://") {
            true => BaseUrl::parse(named)?,
            false => {
                let scheme = if self.https { "https" } else { "http" };
                let text = format!("{scheme}://{named}{}", self.path);
                let port = text.parse::<Uri>().ok().and_then(|uri| uri.port_u16());
                if named.contains('/') || port.is_none_or(|port| port == 0) {
                    return Err("it is neither an address such as `http://10.0.0.1:8000/v1` nor `HOST:PORT`");
                }
                BaseUrl::parse(&text)?
            }
        };
        if keyed && !url.encrypted && !url.loopback {
            return Err("the key would travel unencrypted; use `https`");
        }
        Ok(url.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_become_a_base_address_and_a_whole_one_stays_as_it_is() {
        let form = FormOf { https: false, path: "/v1".into() };
        for (named, url) in [
            ("10.0.0.1:8000", "http://10.0.0.1:8000/v1"),
            ("[fd00::1]:8000", "http://[fd00::1]:8000/v1"),
            ("pod-0.vllm.ml:80", "http://pod-0.vllm.ml:80/v1"),
            ("https://other:1/api/", "https://other:1/api"),
        ] {
            assert_eq!(form.base_url(named, false).as_deref(), Ok(url));
        }
        for named in
            ["10.0.0.1", "", "a b:1", "host:0", "host:70000", "user@host:1", "host:1/v2", "fd00::1", "ftp://x:1"]
        {
            assert!(form.base_url(named, false).is_err(), "{named}");
        }
    }

    #[test]
    fn a_key_goes_to_no_address_that_would_carry_it_in_the_open() {
        let form = |https| FormOf { https, path: String::new() };
        assert!(form(false).base_url("10.0.0.1:8000", true).is_err());
        assert!(form(true).base_url("http://10.0.0.1:8000", true).is_err());
        assert!(form(true).base_url("10.0.0.1:8000", true).is_ok());
        assert!(form(false).base_url("127.0.0.1:8000", true).is_ok(), "it stays on this machine");
    }
}
