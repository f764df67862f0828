//! What a server has counted itself, by its metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backends::Tally;
use bytes::Bytes;
use catalog::Metrics;
use tokio::time::timeout;

use super::{
    PATIENCE,
    metrics::{Selector, sum},
};

/// Reads the answer of a server's metrics at `address`; `None` if none comes in time, or if it counts nothing by these names.
pub(crate) async fn tally(
    address: &str,
    names: &Metrics,
    answer: impl Future<Output = Option<(u16, Bytes)>>,
) -> Option<Tally> {
    let (status, text) = timeout(PATIENCE, answer).await.ok()??;
    if !(200..300).contains(&status) {
        return None;
    }
    let value = |names: &[String]| {
        let selectors: Vec<_> = names.iter().map(|name| Selector::new(name)).collect();
        sum(&text, &selectors).filter(|value| *value >= 0.0)
    };
    let count = |names| value(names).map(|value| value as u64);
    let tally = Tally {
        source: address.to_owned(),
        at: SystemTime::now(),
        since: value(&names.began).and_then(|seconds| {
            let since = Duration::try_from_secs_f64(seconds).ok()?;
            UNIX_EPOCH.checked_add(since)
        }),
        requests: count(&names.finished),
        prompt_tokens: count(&names.prompt_tokens),
        completion_tokens: count(&names.completion_tokens),
        exact: false,
    };
    let counts = [tally.requests, tally.prompt_tokens, tally.completion_tokens];
    counts.iter().any(Option::is_some).then_some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Metrics {
        let of = |name: &str| vec![name.to_owned()];
        Metrics {
            finished: of("vllm:request_success_total"),
            prompt_tokens: of("vllm:prompt_tokens_total"),
            completion_tokens: of("vllm:generation_tokens_total"),
            began: of("process_start_time_seconds"),
            ..Metrics::default()
        }
    }

    const TEXT: &str = "\
vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"m\"} 5.0
vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"m\"} 2.0
vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 1.5e3
process_start_time_seconds 1.7e9
";

    async fn of(status: u16, text: &'static str) -> Option<Tally> {
        tally("http://h/metrics", &names(), async move { Some((status, Bytes::from_static(text.as_bytes()))) }).await
    }

    #[tokio::test]
    async fn requests_are_added_up_over_how_they_finished_and_what_is_not_counted_is_not_known() {
        let tally = of(200, TEXT).await.unwrap();
        assert_eq!((tally.requests, tally.prompt_tokens, tally.completion_tokens), (Some(7), None, Some(1500)));
        assert_eq!(tally.since, Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        assert_eq!((&*tally.source, tally.exact), ("http://h/metrics", false));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_counts_nothing_or_does_not_come_is_no_count() {
        assert_eq!(of(200, "process_start_time_seconds 1.7e9\nup 1\n").await, None);
        assert_eq!(of(200, "vllm:request_success_total -1\n").await, None);
        assert_eq!(of(500, TEXT).await, None);
        assert_eq!(tally("http://h/metrics", &names(), std::future::pending()).await, None);
    }
}
