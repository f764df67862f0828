use std::{collections::HashMap, sync::Mutex};

use tokio::time::advance;

use super::*;

/// A place that answers as it is told, and counts what it is asked.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Inner>>);

/// The status and the body of an answer, or that the connection broke.
type Answer = Option<(u16, &'static str)>;

#[derive(Default)]
struct Inner {
    answers: HashMap<Question, Answer>,
    asked: Vec<Question>,
}

impl Place {
    fn says(&self, question: Question, answer: Answer) {
        self.0.lock().unwrap().answers.insert(question, answer);
    }

    fn asked(&self, question: Question) -> usize {
        self.0.lock().unwrap().asked.iter().filter(|asked| **asked == question).count()
    }

    fn start(&self, probing: Probing) -> Prober {
        let place = self.clone();
        Prober::start(&BackendId::new("d"), "m", &probing, move |question| {
            let mut inner = place.0.lock().unwrap();
            inner.asked.push(question);
            let answer = inner.answers.get(&question).copied();
            async move {
                match answer {
                    // Nobody has said: it never answers.
                    None => std::future::pending().await,
                    Some(answer) => answer.map(|(status, text)| (status, Bytes::from_static(text.as_bytes()))),
                }
            }
        })
    }
}

fn everything() -> Probing {
    let names = Metrics {
        waiting: vec!["w".into()],
        running: vec!["r".into()],
        cache_used: vec!["c".into()],
        ..Metrics::default()
    };
    Probing {
        health: Some("/health".into()),
        metrics: Some(("/metrics".into(), names)),
        complete_listing: true,
        ..Probing::default()
    }
}

fn health_alone() -> Probing {
    Probing { health: Some("/health".into()), ..Probing::default() }
}

/// Lets a time pass in steps that let each timer in it run.
async fn pass(seconds: u64) {
    for _ in 0..seconds * 4 {
        advance(Duration::from_millis(250)).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_its_probe_is_not_healthy() {
    let place = Place::default();
    let prober = place.start(health_alone());
    assert!(prober.state().healthy(), "nothing is known yet");
    pass(30).await;
    assert!(!prober.state().healthy());
    place.says(Question::Health, Some((200, "")));
    pass(10).await;
    assert!(prober.state().healthy());
}

#[tokio::test(start_paused = true)]
async fn each_answer_to_a_health_probe_has_its_meaning() {
    for (answer, healthy) in [
        (Some((200, "ok")), true),
        (Some((404, "")), true),
        (Some((401, "")), true),
        (Some((429, "")), true),
        (Some((501, "")), true),
        (Some((500, "")), false),
        (Some((503, "loading")), false),
        (None, false),
    ] {
        let place = Place::default();
        place.says(Question::Health, answer);
        let prober = place.start(health_alone());
        pass(15).await;
        assert_eq!(prober.state().healthy(), healthy, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_failed_probe_takes_nobody_out() {
    let place = Place::default();
    place.says(Question::Health, Some((200, "")));
    let prober = place.start(health_alone());
    pass(3).await;
    place.says(Question::Health, None);
    let asked = place.asked(Question::Health);
    while place.asked(Question::Health) == asked {
        pass(1).await;
        assert!(prober.state().healthy());
    }
    assert!(prober.state().healthy());
    pass(10).await;
    assert!(!prober.state().healthy());
}

#[tokio::test(start_paused = true)]
async fn the_load_is_what_the_metrics_say_and_unknown_once_they_stop_saying() {
    let place = Place::default();
    place.says(Question::Health, Some((200, "")));
    place.says(Question::Metrics, Some((200, "r 3\nw{a=\"b\"} 5.0\nc 0.5\n")));
    let prober = place.start(everything());
    let seen = |prober: &Prober| (prober.state().running(), prober.state().queued(), prober.state().cache_used());
    assert_eq!(seen(&prober), (None, None, None));
    pass(3).await;
    assert_eq!(seen(&prober), (Some(3), Some(5), Some(0.5)));
    place.says(Question::Metrics, Some((200, "r 0\nw -1\nc 7\n")));
    pass(10).await;
    assert_eq!(seen(&prober), (Some(0), None, Some(1.0)));
    place.says(Question::Metrics, Some((501, "r 3\n")));
    pass(10).await;
    assert_eq!(seen(&prober), (None, None, None));
    assert!(prober.state().healthy(), "metrics are no matter of health");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_vanishes_from_a_complete_listing_is_out_until_it_is_back() {
    let place = Place::default();
    place.says(Question::Listing, Some((200, r#"{"data":[{"id":"m"},{"id":"n"}]}"#)));
    let prober = place.start(Probing { complete_listing: true, ..Probing::default() });
    pass(5).await;
    for (answer, healthy) in [
        (Some((200, r#"[{"id":"n"}]"#)), false),
        (Some((200, r#"{"data":[{"id":"m"}]}"#)), true),
        // What is no list, or an empty one, changes nothing.
        (Some((200, r#"{"data":[]}"#)), true),
        (Some((200, "<html>")), true),
        (Some((500, r#"{"data":[{"id":"n"}]}"#)), true),
        (None, true),
        (Some((200, r#"{"data":[{"id":"n"}]}"#)), false),
        (Some((200, r#"{"data":[]}"#)), false),
    ] {
        place.says(Question::Listing, answer);
        pass(80).await;
        assert_eq!(prober.state().healthy(), healthy, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_was_never_listed_is_left_to_traffic() {
    let place = Place::default();
    place.says(Question::Listing, Some((200, r#"{"data":[{"id":"alias"}]}"#)));
    let prober = place.start(Probing { complete_listing: true, ..Probing::default() });
    pass(200).await;
    assert!(place.asked(Question::Listing) > 1 && prober.state().healthy());
}

#[tokio::test(start_paused = true)]
async fn questions_come_at_their_pace_and_end_with_the_backend() {
    let place = Place::default();
    for question in [Question::Health, Question::Metrics, Question::Listing] {
        place.says(question, Some((200, "")));
    }
    let prober = place.start(everything());
    pass(600).await;
    // 600 seconds at 5 seconds each, give or take a fifth; the list at 60.
    let health = place.asked(Question::Health);
    assert!((100..=150).contains(&health), "{health}");
    assert_eq!(place.asked(Question::Metrics), health);
    assert!((8..=13).contains(&place.asked(Question::Listing)), "{}", place.asked(Question::Listing));
    drop(prober);
    pass(60).await;
    assert_eq!(place.asked(Question::Health), health);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_probe_is_asked_nothing() {
    let place = Place::default();
    let prober = place.start(Probing::default());
    pass(60).await;
    assert!(prober.task.is_none() && prober.state().healthy());
}
