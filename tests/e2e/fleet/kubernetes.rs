//! Replicas that Kubernetes tells: the gateway finds its API server by a kubeconfig, as outside a cluster.
//!
//! Here stands as little of an API server as one service needs; the tests of `remote` have one that can fail.

use std::net::SocketAddr;

use scripted::{Host, Script};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch::{Receiver, Sender},
};

use super::{ask, builder, hosts, start};

const TOKEN: &str = "token-of-a-user";
const LIST: &str = "GET /apis/discovery.k8s.io/v1/namespaces/ml/endpointslices?";

fn slice(name: &str, host: &Host, terminating: bool) -> Value {
    let conditions = json!({"ready": !terminating, "serving": true, "terminating": terminating});
    json!({
        "metadata": {"name": name, "resourceVersion": "2"}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": host.addr().port()}],
        "endpoints": [{"addresses": [host.addr().ip()], "conditions": conditions}],
    })
}

/// Lists these slices, and tells them to each watch at first and when they change.
async fn api_server(slices: Receiver<Vec<Value>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, slices.clone()));
        }
    });
    addr
}

/// One request of a connection; whoever asks may go at any time.
async fn answer(mut socket: TcpStream, mut slices: Receiver<Vec<Value>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && socket.read_buf(&mut head).await? > 0 {}
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with(LIST), "{head}");
    assert!(head.contains("labelSelector=kubernetes.io%2Fservice-name%3Dvllm"), "{head}");
    assert!(head.contains(&format!("Bearer {TOKEN}")), "{head}");
    if !head.contains("watch=true") {
        let list = slices.borrow().clone();
        let list = json!({"metadata": {"resourceVersion": "1"}, "items": list}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", list.len());
        return socket.write_all(format!("{head}{list}").as_bytes()).await;
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    loop {
        let all = slices.borrow_and_update().clone();
        for slice in all {
            let line = format!("{}\n", json!({"type": "MODIFIED", "object": slice}));
            socket.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
        }
        if slices.changed().await.is_err() {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn requests_go_to_a_pod_that_came_and_not_to_one_that_terminates() {
    let [first, second, _] = hosts(&Script::default()).await;
    let slices = Sender::new(vec![slice("vllm-a", &first, false)]);
    let server = api_server(slices.subscribe()).await;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me", "namespace": "ml"}}],
        "clusters": [{"name": "lab", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "me", "user": {"token": TOKEN}}],
    });
    let builder = builder("{kubernetes: vllm}").file("kubeconfig", &kubeconfig.to_string());
    let gateway = start(builder.env("KUBECONFIG", "kubeconfig"));
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!(first.requests().len(), 1);

    slices.send_replace(vec![slice("vllm-b", &second, false), slice("vllm-a", &first, true)]);
    let changes = || gateway.log().matches("the endpoints are others").count();
    tests::until(|| (changes() == 3).then_some(())).await;
    for _ in 0..5 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!((first.requests().len(), second.requests().len()), (1, 5));
    assert!(!gateway.log().contains(TOKEN));
}
