//! What a line is asked with, at a place that notes it.

use std::sync::Mutex;

use backends::{Backend, BackendError, BackendId, BoxFuture, Delta, Event, EventStream, FinishReason, Load, Probe};
use futures_util::{StreamExt as _, stream};

use super::*;
use crate::{
    config::{Environment, Overrides, zero},
    instance::Instance,
    runtime::Source,
};

/// A place that notes how much of a hurry each request is in.
#[derive(Debug)]
struct Notes {
    id: BackendId,
    seen: Arc<Mutex<Vec<Priority>>>,
}

impl Backend for Notes {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _: &Probe<'_>) -> Load {
        Load::IDLE
    }

    fn generate(&self, request: Arc<backends::Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        self.seen.lock().unwrap().push(request.priority);
        let text = Event::Delta(Delta { text: "yes".to_owned(), ..Delta::default() });
        let ends = Event::Finish { index: 0, reason: FinishReason::Stop };
        let events = stream::iter([text, ends, Event::Usage(backends::Usage::default())].map(Ok)).boxed();
        Box::pin(async { Ok(events as EventStream) })
    }
}

#[tokio::test]
async fn a_line_is_asked_at_low_priority_and_the_same_request_by_itself_at_the_one_that_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = Overrides { data_dir: Some(folder.path().to_owned()), ..Overrides::default() };
    let (config, _) = zero(&overrides, &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
    let Access::Open(caller) = &config.access else { panic!("nobody needs a key") };
    let caller = caller.clone();
    let client = remote::Client::new(&remote::ClientOptions::default()).unwrap();
    let mut runtime = Runtime::start(config, &client, None).unwrap();
    let seen = Arc::new(Mutex::default());
    for place in &mut runtime.places {
        place.backend = Arc::new(Notes { id: place.backend.id().clone(), seen: Arc::clone(&seen) });
    }
    let log = folder.path().join("ledger");
    let (ledger, recovery) = ledger::Ledger::open(&log, ledger::Options::default()).unwrap();
    let instance = Instance::start(ledger.clone(), &log, &recovery).unwrap();
    instance.activate(&runtime.config, None).unwrap();
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
    let gateway = Arc::new(Gateway::new(Source::default(), client, runtime, (ledger.clone(), instance), metrics));
    let body = |tier: &str| {
        let body = serde_json::json!({"model": "pointsman-demo", "service_tier": tier,
            "messages": [{"role": "user", "content": "hi"}]});
        Bytes::from(body.to_string())
    };
    let asker = Asker {
        gateway: Arc::clone(&gateway),
        api: ClientApi::Chat,
        key: None,
        ending: Arc::default(),
        expires_at: u64::MAX,
    };
    let (status, answer) = asker.once("line", body("default")).await;
    assert!(status.is_success(), "{answer:?}");
    for tier in ["default", "flex"] {
        let (runtime, headers) = (gateway.runtime(), HeaderMap::new());
        let (api, arrived, priority) = (ClientApi::Chat, Instant::now(), Priority::Usual);
        let (caller, bytes) = (caller.clone(), body(tier));
        let asked = Bare { runtime, api, headers: &headers, caller, bytes, id: tier, arrived, priority };
        assert!(asked.answered(&gateway).await.is_ok_and(|response| response.status().is_success()));
    }
    assert_eq!(*seen.lock().unwrap(), [Priority::Low, Priority::Usual, Priority::Low]);
    ledger.close().unwrap();
}
