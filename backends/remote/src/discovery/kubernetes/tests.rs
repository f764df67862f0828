//! What an API server tells, as it becomes the endpoints of a fleet; and what its failures leave of them.

mod server;

use std::{io::Write as _, sync::Arc};

use backends::BackendId;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{net::TcpListener, task::yield_now, time::timeout};

use self::server::{ApiServer, Gone, TOKEN};
use super::*;
use crate::{
    discovery::{Discovery, run, tests::roster},
    fleet::Roster,
};

fn service() -> KubernetesService {
    let form = FormOf { https: false, path: "/v1".into() };
    KubernetesService { name: "vllm".into(), namespace: Some("ml".into()), port: None, form }
}

/// A file of the service account's token.
fn token(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn source(service: &KubernetesService, config: Config) -> Kubernetes {
    Kubernetes::at(service, false, move || std::future::ready(Ok(config.clone())))
}

/// The endpoints of a fleet that a server tells.
struct Fleet {
    roster: Arc<Roster>,
    _discovery: Discovery,
    _token: NamedTempFile,
}

impl Fleet {
    fn start(server: &ApiServer) -> Self {
        let (roster, token) = (roster(), token(TOKEN));
        let source = source(&service(), server.config(token.path()));
        let task = run(BackendId::new("fleet"), "a test".into(), Box::new(source), Arc::clone(&roster));
        Self { roster, _discovery: Discovery(Some(tokio::spawn(task))), _token: token }
    }

    fn is(&self, hosts: &[u8]) -> bool {
        let urls = hosts.iter().map(|host| format!("http://10.0.0.{host}:8000/v1"));
        self.roster.addresses() == urls.collect()
    }

    async fn becomes(&self, hosts: &[u8]) {
        until(|| self.is(hosts)).await;
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.expect("it comes to be so");
}

fn http() -> Value {
    json!([{"name": "http", "port": 8000, "protocol": "TCP"}])
}

fn ready(hosts: &[u8]) -> Value {
    let one = |host| json!({"addresses": [format!("10.0.0.{host}")], "conditions": {"ready": true, "serving": true}});
    hosts.iter().map(one).collect()
}

#[tokio::test]
async fn an_endpoint_that_appears_is_taken_and_one_that_terminates_is_given_up_at_once() {
    let server = ApiServer::start().await;
    server.apply("vllm-a", http(), ready(&[1]));
    let fleet = Fleet::start(&server);
    fleet.becomes(&[1]).await;
    server.apply("vllm-b", http(), ready(&[1, 2]));
    fleet.becomes(&[1, 2]).await;
    let ends =
        json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}}]);
    server.apply("vllm-a", http(), ends);
    server.apply("vllm-b", http(), ready(&[2]));
    fleet.becomes(&[2]).await;
    server.apply("vllm-b", http(), ready(&[2, 3]));
    server.apply("vllm-a", http(), ready(&[4]));
    fleet.becomes(&[2, 3, 4]).await;
    server.delete("vllm-b");
    fleet.becomes(&[4]).await;
    let seen = server.seen();
    assert_eq!((seen.lists, seen.watches.len()), (1, 1), "all that was told by one watch: {seen:?}");
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_from_where_it_was() {
    let server = ApiServer::start().await;
    server.apply("vllm-a", http(), ready(&[1]));
    let fleet = Fleet::start(&server);
    until(|| server.seen().watches.len() == 1).await;
    server.apply("vllm-a", http(), ready(&[2]));
    fleet.becomes(&[2]).await;
    let version = server.version();
    server.cut();
    server.apply("vllm-b", http(), ready(&[3]));
    fleet.becomes(&[2, 3]).await;
    let seen = server.seen();
    assert_eq!((seen.lists, seen.watches.last()), (1, Some(&version)), "{seen:?}");
}

#[tokio::test]
async fn a_watch_whose_beginning_is_forgotten_is_listed_anew() {
    for gone in [Gone::Event, Gone::Status] {
        let (server, token) = (ApiServer::start().await, token(TOKEN));
        let mut source = source(&service(), server.config(token.path()));
        server.apply("vllm-a", http(), ready(&[1]));
        server.apply("vllm-b", http(), ready(&[2]));
        assert_eq!(source.look().await.unwrap().addresses.unwrap().len(), 2);
        server.delete("vllm-a");
        server.apply("vllm-b", http(), ready(&[3]));
        server.forget(gone);
        if let Gone::Status = gone {
            assert!(source.look().await.unwrap_err().contains("410"), "not expected of an API server, so it is told");
        }
        assert_eq!(source.look().await.unwrap().addresses.unwrap(), ["http://10.0.0.3:8000/v1"], "{gone:?}");
        assert_eq!(server.seen().lists, 2);
    }
}

#[tokio::test]
async fn an_api_server_that_refuses_leaves_the_endpoints_as_they_are() {
    let server = ApiServer::start().await;
    server.apply("vllm-a", http(), ready(&[1]));
    let fleet = Fleet::start(&server);
    fleet.becomes(&[1]).await;
    until(|| server.seen().watches.len() == 1).await;
    server.refuse(Some(403));
    server.cut();
    server.apply("vllm-a", http(), ready(&[2]));
    until(|| server.seen().refused >= 2).await;
    assert!(fleet.is(&[1]));
    server.refuse(None);
    fleet.becomes(&[2]).await;
}

#[tokio::test]
async fn what_is_wrong_with_slices_is_told_and_over_with_the_next_change() {
    let (server, token) = (ApiServer::start().await, token(TOKEN));
    let mut config = server.config(token.path());
    config.default_namespace = "ml".to_owned();
    let mut source = source(&KubernetesService { namespace: None, ..service() }, config);
    assert_eq!(source.look().await.unwrap().addresses.unwrap(), [""; 0], "an answer, and for the fleet to judge");
    server.apply("vllm-a", json!([{"name": "http", "port": 8000}, {"name": "admin", "port": 9000}]), ready(&[1]));
    let error = source.look().await.unwrap_err();
    assert_eq!(error, "the service has several ports, so `port` has to say which: `http` (8000), `admin` (9000)");
    assert_eq!(source.after_failure(), Duration::ZERO, "the watch goes on");
    server.apply("vllm-a", http(), ready(&[1]));
    assert_eq!(source.look().await.unwrap().addresses.unwrap(), ["http://10.0.0.1:8000/v1"]);
}

#[tokio::test]
async fn no_key_goes_to_an_endpoint_in_the_open() {
    let (server, token) = (ApiServer::start().await, token(TOKEN));
    server.apply("vllm-a", http(), ready(&[1]));
    let config = server.config(token.path());
    let mut source = Kubernetes::at(&service(), true, move || std::future::ready(Ok(config.clone())));
    assert_eq!(source.look().await.unwrap_err(), "the key would travel unencrypted; use `https`");
}

#[tokio::test]
async fn why_there_is_no_answer_is_told_without_the_token() {
    let (server, good, bad) = (ApiServer::start().await, token(TOKEN), token("token-of-somebody-else"));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let of = |change: &dyn Fn(&mut Config)| {
        let mut config = server.config(good.path());
        change(&mut config);
        config
    };
    let cases: [(Config, &str); 4] = [
        (
            of(&|config| config.auth_info.token_file = bad.path().to_str().map(str::to_owned)),
            "answers 401: endpointslices",
        ),
        (of(&|config| config.auth_info.token_file = Some("/nowhere/token".into())), "/nowhere/token"),
        (of(&|config| config.root_cert = Some(Vec::new())), "certificate"),
        (
            of(&|config| config.cluster_url = format!("https://{free}").parse().unwrap()),
            "cannot be asked: Connection refused",
        ),
    ];
    for (config, words) in cases {
        let mut source = source(&service(), config);
        let error = source.look().await.unwrap_err();
        assert!(error.contains(words) && !error.contains("token-of"), "{error}");
        assert!(source.after_failure() >= Duration::from_millis(800), "it is not asked in a loop");
    }
    server.refuse(Some(403));
    let error = source(&service(), of(&|_| ())).look().await.unwrap_err();
    assert_eq!(error, "the API server answers 403: endpointslices are not for you");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_says_nothing_is_given_up() {
    let (server, token) = (ApiServer::start().await, token(TOKEN));
    server.fall_silent();
    let mut source = source(&service(), server.config(token.path()));
    let answer = timeout(SILENCE + Duration::from_secs(1), source.look()).await.expect("it does not wait for ever");
    let error = answer.unwrap_err();
    assert!(error.contains("timed out"), "{error}");
}
