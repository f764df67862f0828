//! When a host wants to be asked again: `retry-after-ms`, or `retry-after` as seconds or as a date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// The longest that is believed; a longer one is cut to it.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The time to wait, if the headers name one that can be read.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(|ms| seconds(ms, 1e-3)) {
        return Some(wait);
    }
    let text = text(header::RETRY_AFTER.as_str())?;
    seconds(text, 1.0).or_else(|| {
        let until = httpdate::parse_http_date(text).ok()?;
        // A date that has passed means now.
        Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
    })
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    if number.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64((number * unit).min(LONGEST.as_secs_f64())).ok()
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
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(read(&[("retry-after-ms", "150"), ("retry-after", "1")]), Some(Duration::from_millis(150)));
        assert_eq!(read(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(Duration::from_secs(60)));
        assert_eq!(read(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_a_time_is_no_time_and_what_is_too_long_is_cut() {
        for nonsense in ["soon", "-1", "NaN", "", "1e400x"] {
            assert_eq!(read(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(read(&[("retry-after", "1e300")]), Some(LONGEST));
        assert_eq!(read(&[("retry-after", "inf")]), Some(LONGEST));
    }
}
