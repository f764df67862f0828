//! Hosts behind a proxy that the environment names.

use std::sync::{Arc, Mutex};

use scripted::{Host, Script};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::pointsman;

/// A proxy that opens a tunnel to `host`, whatever address it is asked for, and the heads of what it was asked.
async fn proxy(host: &Host) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (host, asked) = (host.addr(), Arc::new(Mutex::new(Vec::new())));
    let heads = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let heads = Arc::clone(&heads);
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if socket.read_line(&mut head).await.unwrap() == 0 {
                        return;
                    }
                }
                heads.lock().unwrap().push(head.clone());
                let allowed = head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz");
                let answer = if allowed { "200 Connection established" } else { "407 Proxy Authentication Required" };
                socket.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
                if allowed {
                    let mut inside = TcpStream::connect(host).await.unwrap();
                    let _ = copy_bidirectional(&mut socket, &mut inside).await;
                }
            });
        }
    });
    (address, asked)
}

/// A gateway with a server at an address that only the proxy knows.
fn behind(proxy: &str) -> tests::Pointsman {
    let config = "\
contexts: {desk: {use: internal, exposure: internal, seat: KR}}
teams: {desk: {contexts: [desk]}}
keys: keys.yaml
deployments: [{id: lab, model: qwen3-32b, server: vllm, base_url: \"http://vllm.invalid/v1\", name: scripted}]
";
    let builder = pointsman().config(config).env("HTTP_PROXY", proxy);
    let key = builder.key("desk", "desk");
    let mut gateway = builder.start();
    gateway.with_key(&key);
    gateway
}

#[tokio::test]
async fn a_host_is_asked_through_a_tunnel_of_the_proxy_that_the_environment_names() {
    let host = Host::start(Script::default()).await.unwrap();
    let (proxy, asked) = proxy(&host).await;
    let gateway = behind(&format!("http://user:pass@{proxy}"));
    let (status, answer) = gateway.chat("qwen3-32b", "a secret").await;
    assert_eq!(status, 200, "{answer}\n{}", gateway.log());
    assert!(host.requests().iter().any(|request| request.path == "/v1/chat/completions"));
    for head in asked.lock().unwrap().iter() {
        assert!(head.starts_with("CONNECT vllm.invalid:80 HTTP/1.1\r\n"), "{head}");
        assert!(!head.contains("x-request-id"), "the request goes through the tunnel, not to the proxy: {head}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_in_the_log_without_its_credentials_and_nothing_goes_past_it() {
    let host = Host::start(Script::default()).await.unwrap();
    let (proxy, _) = proxy(&host).await;
    let gateway = behind(&format!("http://user:wrong@{proxy}"));
    let (status, answer) = gateway.chat("qwen3-32b", "ping").await;
    let code = &answer["error"]["code"];
    assert!((status, code) == (502, &Value::from("backend.connect")), "{status} {answer}");
    let log = gateway.log();
    assert!(log.contains(&format!("the proxy {proxy} gave no connection")), "{log}");
    assert!(!log.contains("wrong"), "{log}");
    assert!(host.requests().is_empty());
}
