//! What each kind of server is asked in the background, and how its answers show in the load.

mod support;

use std::time::Duration;

use backends::{Backend, Load, Probe};
use catalog::{Catalog, Server, ServerKind};
use remote::{Probing, Remote, Secret, Target};
use support::{
    canned::{Answer, Canned, answer, json},
    remote_to,
};
use tokio::{task::yield_now, time::timeout};

/// A deployment of the model `m` at a server of this kind, asked as fast as it answers.
fn at(kind: &Server, server: &Canned) -> Remote {
    let base_url = server.url(&format!("/behind/a/proxy{}", kind.base_path.as_deref().unwrap_or("/v1")));
    let target = Target::at_server(kind, base_url, "m", Some(Secret::new("k")));
    let probing = Probing { every: Duration::ZERO, every_listing: Duration::ZERO, ..target.probing };
    remote_to(Target { probing, ..target })
}

/// Waits until the load is as wanted.
async fn until(remote: &Remote, wanted: impl Fn(&Load) -> bool) {
    let seen = async {
        while !wanted(&remote.load(&Probe::default())) {
            yield_now().await;
        }
    };
    let last = || format!("{:?}", remote.load(&Probe::default()));
    timeout(Duration::from_secs(20), seen).await.unwrap_or_else(|_| panic!("the last load was {}", last()));
}

fn served(catalog: &Catalog) -> impl Iterator<Item = &Server> {
    catalog.servers().filter(|server| server.kind != ServerKind::Library)
}

/// A text of metrics in which each first name of the kind has a value: 3 run, 5 wait, 0.25 is used.
fn metrics(kind: &Server) -> String {
    let names = [(&kind.metrics.running, "3"), (&kind.metrics.waiting, "5"), (&kind.metrics.cache_used, "0.25")];
    let line = |(names, value): &(&Vec<String>, &str)| {
        // A name may ask for a label: `name{label=value}`.
        let (name, label) = names.first()?.trim_end_matches('}').split_once('{').unwrap_or((names.first()?, ""));
        let label = label.split_once('=').map(|(label, value)| format!(",{label}=\"{value}\"")).unwrap_or_default();
        Some(format!("# TYPE {name} gauge\n{name}{{model_name=\"m\"{label}}} {value}\n"))
    };
    names.iter().filter_map(line).collect()
}

#[tokio::test]
async fn each_kind_of_server_is_asked_by_its_own_paths_and_names() {
    let catalog = Catalog::builtin();
    let mut with_metrics = Vec::new();
    for kind in served(&catalog) {
        let text = metrics(kind);
        let metrics_path = kind.metrics_path.clone().map(|path| format!("/behind/a/proxy{path}"));
        let server = Canned::start(move |seen| match Some(&seen.path) == metrics_path.as_ref() {
            true => answer(200, &[], text.clone()),
            false => json(200, &[], "{}"),
        })
        .await;
        let remote = at(kind, &server);
        let health = format!("/behind/a/proxy{}", kind.health_path.as_deref().unwrap());
        let asked = server.wait_for(&health).await;
        assert_eq!((asked.method.as_str(), asked.headers["authorization"].to_str().unwrap()), ("GET", "Bearer k"));
        if kind.metrics != catalog::Metrics::default() {
            with_metrics.push(kind.id.as_str());
            let cache = kind.metrics.cache_used.first().map(|_| 0.25);
            until(&remote, |load| (load.healthy, load.running, load.queued, load.cache_used) == (true, 3, 5, cache))
                .await;
        }
        assert!(!server.seen().iter().any(|seen| seen.method != "GET"), "nothing is generated to probe {}", kind.id);
    }
    assert_eq!(with_metrics, ["vllm", "sglang", "tgi", "tensorrt-llm", "triton", "llama.cpp", "lmdeploy"]);
}

/// A vLLM server that answers its paths so.
async fn vllm(answers: impl Fn(&str) -> Answer + Send + Sync + 'static) -> (Canned, Remote) {
    let server = Canned::start(move |seen| answers(seen.path.trim_start_matches("/behind/a/proxy"))).await;
    let remote = at(Catalog::builtin().server("vllm").unwrap(), &server);
    (server, remote)
}

#[tokio::test]
async fn a_server_that_says_it_cannot_serve_is_not_healthy() {
    let (_server, remote) = vllm(|path| answer(if path == "/health" { 503 } else { 404 }, &[], "")).await;
    until(&remote, |load| !load.healthy).await;
}

#[tokio::test]
async fn a_server_that_nobody_listens_at_is_not_healthy() {
    let (server, remote) = vllm(|_| answer(200, &[], "")).await;
    server.wait_for("/behind/a/proxy/health").await;
    drop(server);
    until(&remote, |load| !load.healthy).await;
}

#[tokio::test]
async fn a_server_without_such_paths_is_judged_by_traffic_alone() {
    let (server, remote) = vllm(|_| answer(404, &[], "no such path")).await;
    for path in ["/health", "/metrics", "/v1/models"] {
        server.wait_for(&format!("/behind/a/proxy{path}")).await;
    }
    assert_eq!(remote.load(&Probe::default()), Load::IDLE);
}

#[tokio::test]
async fn a_model_that_the_server_no_longer_lists_is_taken_out() {
    let lists = std::sync::atomic::AtomicUsize::new(0);
    let (_server, remote) = vllm(move |path| match path {
        "/v1/models" => match lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => json(200, &[], r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#),
            _ => json(200, &[], r#"{"object":"list","data":[{"id":"other","object":"model"}]}"#),
        },
        _ => answer(200, &[], ""),
    })
    .await;
    until(&remote, |load| !load.healthy).await;
}

#[test]
fn a_listing_is_believed_only_where_the_catalog_says_that_it_is_complete() {
    let catalog = Catalog::builtin();
    let complete: Vec<_> =
        served(&catalog).filter(|server| server.complete_listing).map(|server| &*server.id).collect();
    assert_eq!(complete, ["vllm", "lmdeploy", "openllm", "llama-swap"]);
    let complete: Vec<_> = catalog.hosts().filter(|host| host.complete_listing).map(|host| &*host.id).collect();
    assert_eq!(complete, ["groq", "cerebras", "sambanova"]);
}
