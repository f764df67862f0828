use std::time::Duration;

use backends::{BackendError, FIRST_OPEN, TRIP};

use super::{errors::HALF_LIFE, *};

fn small() -> Size {
    Size::of(100)
}

fn broken() -> BackendError {
    BackendError::Internal { reason: "x".into() }
}

fn live(stats: &Stats) -> Live {
    stats.live(stats.epoch.ms(Instant::now()), Load::IDLE, small())
}

fn healthy(stats: &Stats) -> bool {
    live(stats).healthy
}

#[tokio::test(start_paused = true)]
async fn three_failures_open_the_breaker_and_one_probe_closes_it() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..TRIP {
        assert!(healthy(&stats));
        stats.begin(small()).unwrap().failed(&broken());
    }
    assert!(!healthy(&stats) && stats.begin(small()).is_none());
    tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
    assert!(healthy(&stats));
    let probe = stats.begin(small()).unwrap();
    assert!(stats.begin(small()).is_none(), "only one request is the probe");
    probe.succeeded(Usage::default(), true);
    assert!(healthy(&stats) && stats.begin(small()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_it_for_longer_and_a_lost_one_does_not_hold_it_forever() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..TRIP {
        stats.begin(small()).unwrap().failed(&broken());
    }
    tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
    stats.begin(small()).unwrap().failed(&broken());
    tokio::time::advance(FIRST_OPEN.mul_f32(1.5)).await;
    assert!(!healthy(&stats), "the second delay is twice as long");
    tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
    drop(stats.begin(small()).unwrap());
    tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
    assert!(healthy(&stats), "a cancelled probe lets another try");
}

#[tokio::test(start_paused = true)]
async fn failures_of_requests_that_were_under_way_open_it_no_further() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    tokio::time::advance(Duration::from_secs(1)).await;
    let under_way: Vec<_> = (0..10).map(|_| stats.begin(small()).unwrap()).collect();
    under_way.into_iter().for_each(|attempt| attempt.failed(&broken()));
    assert!(!healthy(&stats));
    tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
    assert!(healthy(&stats), "as long as the first time");
}

#[tokio::test(start_paused = true)]
async fn the_first_content_of_a_probe_lets_the_others_in() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    tokio::time::advance(Duration::from_secs(1)).await;
    (0..TRIP).for_each(|_| stats.begin(small()).unwrap().failed(&broken()));
    tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
    let mut probe = stats.begin(small()).unwrap();
    probe.first_token();
    assert!(stats.begin(small()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_callers_mistake_a_full_backend_and_a_cancel_count_for_nothing() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    for _ in 0..10 {
        stats.begin(small()).unwrap().failed(&BackendError::PromptTooLong { got: 2, limit: 1 });
        stats.begin(small()).unwrap().failed(&BackendError::Overloaded { retry_after: None });
        drop(stats.begin(small()).unwrap());
    }
    let live = live(&stats);
    assert_eq!((live.healthy, live.error_rate, live.running), (true, 0.0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_fast_has_a_high_error_rate_that_fades() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    for _ in 0..2 {
        stats.begin(small()).unwrap().failed(&broken());
    }
    let now = live(&stats).error_rate;
    assert!(now > 0.15, "{now}");
    tokio::time::advance(HALF_LIFE).await;
    let later = live(&stats).error_rate;
    assert!((later / now - 0.5).abs() < 0.01, "{later}");
}

#[tokio::test(start_paused = true)]
async fn latencies_are_those_of_streamed_answers() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    let mut attempt = stats.begin(small()).unwrap();
    tokio::time::advance(Duration::from_millis(40)).await;
    assert_eq!(attempt.first_token(), Some(Duration::from_millis(40)));
    assert_eq!(attempt.first_token(), None);
    tokio::time::advance(Duration::from_millis(90)).await;
    attempt.succeeded(Usage { completion_tokens: 10, ..Usage::default() }, true);
    let live = live(&stats);
    assert!((live.ttft.unwrap().mean - 40.0).abs() < 0.1 && (live.tpot.unwrap().mean - 10.0).abs() < 0.1);
    assert!(live.fresh && !stats.live(stats.epoch.ms(Instant::now() + FRESH * 2), Load::IDLE, small()).fresh);
}

#[tokio::test(start_paused = true)]
async fn a_failure_tells_no_latency_however_fast_it_is() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    let mut attempt = stats.begin(small()).unwrap();
    attempt.first_token();
    attempt.failed(&broken());
    let live = live(&stats);
    assert_eq!((live.ttft, live.tpot), (None, None));
    assert!(live.error_rate > 0.05 && live.fresh);
}

#[tokio::test(start_paused = true)]
async fn the_cached_share_is_that_of_the_tokens_that_were_reported() {
    let stats = Arc::new(Stats::new(Epoch::start(), Arc::default()));
    let share = || live(&stats).cached_share;
    assert_eq!(share(), 0.0, "nothing is reported");
    for (prompt_tokens, cached_tokens) in [(1_000, 800), (100, 0), (0, 0)] {
        let usage = Usage { prompt_tokens, cached_tokens, ..Usage::default() };
        stats.begin(small()).unwrap().succeeded(usage, false);
    }
    assert!((share() - 800.0 / 1_100.0).abs() < 1e-4, "{}", share());
}
