//! Answers of a name server on a loopback socket, as they become endpoints.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::{Message, OpCode, ResponseCode},
        rr::{Name, Record, rdata::A, rdata::AAAA},
    },
};
use tokio::{net::UdpSocket, task::JoinHandle};

use super::*;

/// A name server that answers every question with those of its records that have the type asked for.
struct NameServer {
    port: u16,
    records: Arc<Mutex<Vec<Record>>>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    async fn start(records: Vec<Record>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let records = Arc::new(Mutex::new(records));
        let answers = Arc::clone(&records);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let mut answer = Message::response(question.metadata.id, OpCode::Query);
                answer.add_queries(question.queries.clone());
                let kind = question.queries[0].query_type();
                answer.add_answers(answers.lock().unwrap().iter().filter(|r| r.record_type() == kind).cloned());
                if answers.lock().unwrap().is_empty() {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        Self { port, records, task }
    }

    /// A source that asks this server about the name of the records below.
    fn asked(&self, port: Option<u16>, keyed: bool) -> Dns {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.port;
        let server = NameServerConfig::new(IpAddr::from([127, 0, 0, 1]), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        settle(builder.options_mut());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let form = FormOf { https: false, path: "/v1".into() };
        let mut dns = Dns::new(NAME, port, &form, keyed);
        dns.resolver = Some(builder.build().unwrap());
        dns
    }
}

const NAME: &str = "_http._tcp.vllm.test.";

fn record(ttl: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(NAME).unwrap(), ttl, data)
}

fn a(ttl: u32, last: u8) -> Record {
    record(ttl, RData::A(A::new(10, 0, 0, last)))
}

fn srv(priority: u16, port: u16, target: &str) -> Record {
    record(30, RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(target).unwrap())))
}

fn sorted(found: Found) -> Vec<String> {
    let mut addresses = found.addresses.unwrap();
    addresses.sort();
    addresses
}

#[tokio::test]
async fn the_addresses_of_a_name_are_endpoints_at_the_given_port() {
    let six = || record(30, RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)));
    let server = NameServer::start(vec![a(30, 1), a(30, 2), six()]).await;
    let mut dns = server.asked(Some(8000), false);
    let found = dns.look().await.unwrap();
    assert_eq!(sorted(found), ["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"]);
    *server.records.lock().unwrap() = vec![six()];
    let found = dns.look().await.unwrap();
    assert_eq!(sorted(found), ["http://[fd00::1]:8000/v1"], "the answer of before is not kept");
}

#[tokio::test]
async fn the_targets_of_a_service_with_the_lowest_priority_number_are_endpoints() {
    let records = vec![srv(1, 8000, "pod-0.vllm.test."), srv(1, 8001, "pod-1.vllm.test."), srv(2, 1, "spare.test.")];
    let server = NameServer::start(records).await;
    let mut dns = server.asked(None, false);
    let found = dns.look().await.unwrap();
    assert_eq!(sorted(found), ["http://pod-0.vllm.test:8000/v1", "http://pod-1.vllm.test:8001/v1"]);
    *server.records.lock().unwrap() = vec![srv(0, 0, ".")];
    assert_eq!(sorted(dns.look().await.unwrap()), [""; 0], "there is decidedly no such service");
}

#[tokio::test]
async fn an_answer_is_asked_for_again_by_its_time_to_live_within_bounds() {
    for (ttl, least, most) in [(0, 5, 5), (30, 25, 30), (86_400, 60, 60)] {
        let server = NameServer::start(vec![a(ttl, 1)]).await;
        let again = server.asked(Some(1), false).look().await.unwrap().again;
        assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&again), "{ttl}: {again:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_there_is_an_error_and_the_resolver_is_made_anew() {
    let server = NameServer::start(Vec::new()).await;
    let mut dns = server.asked(Some(8000), false);
    assert!(dns.look().await.is_err());
    assert!(dns.resolver.is_none());
}

#[tokio::test]
async fn no_address_is_taken_that_a_key_would_travel_to_in_the_open() {
    let server = NameServer::start(vec![a(30, 1)]).await;
    assert!(server.asked(Some(8000), true).look().await.unwrap_err().contains("unencrypted"));
}
