//! When a host wants to be asked again: `retry-after-ms`, or `retry-after` in any notation of a moment.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use crate::moment;

/// The time to wait, if the headers name one that can be read.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let ms = text("retry-after-ms").and_then(|ms| moment::seconds(ms.parse::<f64>().ok()? * 1e-3));
    ms.or_else(|| moment::until(text(header::RETRY_AFTER.as_str())?, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        // 1994-11-06 08:49:37 UTC
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn every_spelling_of_the_header_is_read() {
        assert_eq!(read(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(read(&[("retry-after-ms", "150"), ("retry-after", "1")]), Some(Duration::from_millis(150)));
        assert_eq!(read(&[("retry-after-ms", "soon"), ("retry-after", "1")]), Some(Duration::from_secs(1)));
        assert_eq!(read(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(Duration::from_secs(60)));
        assert_eq!(read(&[]), None);
    }
}
