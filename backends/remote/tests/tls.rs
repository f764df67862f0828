//! Hosts behind `https`: a relay of the test's own ends TLS in front of the scripted host.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backends::{Backend, BackendError, BackendId, Phase};
use remote::{Client, ClientOptions, Remote, Target};
use scripted::{Fault, Host, Script};
use support::{chat, run};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, rustls};

const STREAM: &str = r#"{"stream":true,"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// A TLS endpoint in front of a host.
struct Relay {
    base_url: String,
    /// The certificate it shows, as PEM.
    certificate: String,
    connections: Arc<AtomicUsize>,
    protocol: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Relay {
    async fn start(host: &Host) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            base_url: format!("https://localhost:{}/v1", listener.local_addr().unwrap().port()),
            certificate: own.cert.pem(),
            connections: Arc::default(),
            protocol: Arc::default(),
        };
        let (host, connections, protocol) = (host.addr(), relay.connections.clone(), relay.protocol.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, connections, protocol) = (acceptor.clone(), connections.clone(), protocol.clone());
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(socket).await else { return };
                    connections.fetch_add(1, Ordering::Relaxed);
                    *protocol.lock().unwrap() = outside.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                    let mut inside = TcpStream::connect(host).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        relay
    }

    fn remote(&self, authorities: Vec<String>) -> Remote {
        let client = Client::new(&ClientOptions { authorities, ..ClientOptions::default() }).unwrap();
        Remote::new(BackendId::new("remote"), Target::new(&self.base_url, "m", None), &client).unwrap()
    }
}

#[tokio::test]
async fn a_host_with_an_unknown_certificate_gets_no_request() {
    let host = Host::start(Script::default()).await.unwrap();
    let relay = Relay::start(&host).await;
    let Err(error) = relay.remote(Vec::new()).generate(chat(STREAM)).await else { panic!("anyone could be there") };
    assert!(matches!(error, BackendError::Connect(_)), "{error:?}");
    assert!(host.requests().is_empty());
}

#[tokio::test]
async fn streams_share_one_http2_connection_and_one_that_is_dropped_leaves_the_others_alone() {
    let host = Host::start(Script::default()).await.unwrap();
    let relay = Relay::start(&host).await;
    let remote = relay.remote(vec![relay.certificate.clone()]);
    let plain = run(&support::remote(&host, "m"), chat(STREAM)).await;
    assert_eq!(run(&remote, chat(STREAM)).await.bytes, plain.bytes);
    assert_eq!(relay.protocol.lock().unwrap().as_deref(), Some(b"h2".as_slice()));

    host.script_next(Fault::StallAfter(2));
    let stalled = remote.generate(chat(STREAM)).await.unwrap();
    host.script_next(Fault::StallAfter(2));
    let other = remote.generate(chat(STREAM)).await.unwrap();
    host.until_running(2).await;
    drop(stalled);
    host.until_running(1).await;
    assert_eq!(run(&remote, chat(STREAM)).await.bytes, plain.bytes);
    drop(other);
    host.until_running(0).await;
    assert_eq!(relay.connections.load(Ordering::Relaxed), 1);
}

/// A host that accepts connections and never says a word, and the listener that keeps it so.
async fn silent(connect_timeout: Duration) -> (Remote, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&ClientOptions { connect_timeout, ..ClientOptions::default() }).unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    (Remote::new(BackendId::new("remote"), Target::new(base_url, "m", None), &client).unwrap(), listener)
}

#[tokio::test]
async fn who_sends_may_give_a_connection_less_time_than_the_client_would() {
    let (remote, _listener) = silent(Duration::from_secs(3_600)).await;
    let Err(error) = remote::connect_within(Duration::from_millis(50), remote.generate(chat(STREAM))).await else {
        panic!("nobody shakes hands")
    };
    assert!(matches!(error, BackendError::Timeout { phase: Phase::Connect }), "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_is_a_connect_timeout() {
    let (remote, _listener) = silent(Duration::from_millis(50)).await;
    let Err(error) = remote.generate(chat(STREAM)).await else { panic!("nobody shakes hands") };
    assert!(matches!(error, BackendError::Timeout { phase: Phase::Connect }), "{error:?}");
}
