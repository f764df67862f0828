//! From the EndpointSlices of a service to the addresses of its endpoints. Pure.
//!
//! A service has one slice or many, and for a moment an endpoint can be in two of them. Those of IPv4 are used, or of IPv6
//! where there are none: a pod with both is one endpoint. In use is an endpoint that serves and does not terminate; what a
//! slice does not say counts as the API says that it has to.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// A port of the endpoints of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// The one that the service calls so.
    Named(String),
    /// The one that the pods listen on: `targetPort` of the service.
    Numbered(u16),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "`{name}`"),
            Self::Numbered(number) => write!(f, "{number}"),
        }
    }
}

/// The endpoints in use, each once.
///
/// # Errors
/// When the slices leave open which port is meant, have no such port, or name what is no address.
pub(super) fn endpoints<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice> + Clone,
    port: Option<&ServicePort>,
) -> Result<BTreeSet<SocketAddr>, String> {
    let has_v4 = slices.clone().any(|slice| slice.address_type == "IPv4");
    let family = if has_v4 { "IPv4" } else { "IPv6" };
    let mut found = BTreeSet::new();
    let mut without = None;
    for slice in slices.filter(|slice| slice.address_type == family) {
        // Of further addresses of an endpoint the API says nothing.
        let mut addresses = slice.endpoints.iter().filter(is_used).filter_map(|one| one.addresses.first()).peekable();
        if addresses.peek().is_none() {
            continue;
        }
        let Some(number) = number(slice, port)? else {
            without = Some(slice);
            continue;
        };
        for address in addresses {
            let ip: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an IP address"))?;
            found.insert(SocketAddr::new(ip, number));
        }
    }
    match without {
        // While a port gets another name, some slices have it and some do not yet.
        Some(slice) if found.is_empty() => Err(match port {
            Some(port) => format!("no port of the service is {port}; it has {}", listed(slice)),
            None => "the service has no TCP port".to_owned(),
        }),
        _ => Ok(found),
    }
}

fn is_used(endpoint: &&Endpoint) -> bool {
    let Some(conditions) = &endpoint.conditions else { return true };
    conditions.serving.or(conditions.ready) != Some(false) && conditions.terminating != Some(true)
}

/// The number of the port in a slice, if it has it.
fn number(slice: &EndpointSlice, wanted: Option<&ServicePort>) -> Result<Option<u16>, String> {
    let mut all = tcp(slice);
    match wanted {
        Some(ServicePort::Named(name)) => {
            Ok(all.find(|(port, _)| port.name.as_ref() == Some(name)).map(|(_, number)| number))
        }
        // Slices that are not made from a service may leave out their ports.
        Some(&ServicePort::Numbered(wanted)) => {
            let is_open = slice.ports.as_ref().is_none_or(Vec::is_empty);
            Ok((is_open || all.any(|(_, number)| number == wanted)).then_some(wanted))
        }
        None => match (all.next(), all.next()) {
            (Some(_), Some(_)) => {
                Err(format!("the service has several ports, so `port` has to say which: {}", listed(slice)))
            }
            (only, _) => Ok(only.map(|(_, number)| number)),
        },
    }
}

fn tcp(slice: &EndpointSlice) -> impl Iterator<Item = (&EndpointPort, u16)> {
    let ports = slice.ports.iter().flatten();
    let ports = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    ports.filter_map(|port| Some((port, u16::try_from(port.port?).ok()?)))
}

fn listed(slice: &EndpointSlice) -> String {
    let shown = |(port, number): (&EndpointPort, u16)| match port.name.as_deref() {
        Some(name) if !name.is_empty() => format!("`{name}` ({number})"),
        _ => number.to_string(),
    };
    let all: Vec<String> = tcp(slice).map(shown).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(family: &str, ports: Value, endpoints: Value) -> EndpointSlice {
        let slice = json!({"metadata": {}, "addressType": family, "ports": ports, "endpoints": endpoints});
        serde_json::from_value(slice).unwrap()
    }

    fn one(address: &str) -> Value {
        json!([{"addresses": [address], "conditions": {"ready": true, "serving": true, "terminating": false}}])
    }

    fn http() -> Value {
        json!([{"name": "http", "port": 8000, "protocol": "TCP"}])
    }

    fn found(slices: &[EndpointSlice], port: Option<ServicePort>) -> Result<Vec<String>, String> {
        endpoints(slices.iter(), port.as_ref()).map(|all| all.iter().map(SocketAddr::to_string).collect())
    }

    fn named(name: &str) -> Option<ServicePort> {
        Some(ServicePort::Named(name.into()))
    }

    #[test]
    fn an_endpoint_is_used_if_it_serves_and_does_not_terminate_and_silence_counts_as_the_api_says() {
        for (conditions, used) in [
            (json!({"ready": true, "serving": true, "terminating": false}), true),
            (json!({"ready": false, "serving": true, "terminating": true}), false),
            (json!({"ready": false, "serving": false, "terminating": false}), false),
            (json!({"ready": false, "serving": true}), true),
            (json!({"ready": true, "serving": false}), false),
            (json!({"ready": false}), false),
            (json!({"ready": true}), true),
            (json!({"terminating": true}), false),
            (json!({}), true),
            (Value::Null, true),
        ] {
            let all = slice("IPv4", http(), json!([{"addresses": ["10.0.0.1"], "conditions": conditions}]));
            assert_eq!(found(&[all], None).unwrap().len() == 1, used, "{conditions}");
        }
    }

    #[test]
    fn the_slices_of_a_service_are_one_list_in_which_each_endpoint_stands_once() {
        let two = json!([{"addresses": ["10.0.0.2", "10.0.0.9"]}, {"addresses": ["10.0.0.1"]}]);
        let slices = [slice("IPv4", http(), one("10.0.0.2")), slice("IPv4", http(), two)];
        assert_eq!(found(&slices, None).unwrap(), ["10.0.0.1:8000", "10.0.0.2:8000"]);
        assert!(found(&[], None).unwrap().is_empty());
        let wrong = found(&[slice("IPv4", http(), one("pod-1"))], None).unwrap_err();
        assert_eq!(wrong, "`pod-1` is not an IP address");
    }

    #[test]
    fn a_pod_with_two_addresses_is_one_endpoint() {
        let (v4, v6) = (slice("IPv4", http(), one("10.0.0.1")), slice("IPv6", http(), one("fd00::1")));
        let names = slice("FQDN", http(), one("pod.example"));
        assert_eq!(found(&[v6.clone(), v4, names.clone()], None).unwrap(), ["10.0.0.1:8000"]);
        assert_eq!(found(&[v6.clone(), names], None).unwrap(), ["[fd00::1]:8000"]);
        let gone = slice("IPv4", http(), json!([]));
        assert!(found(&[gone, v6], None).unwrap().is_empty(), "it is going, and so is its other address");
    }

    #[test]
    fn a_port_is_the_only_one_or_the_one_that_is_asked_for() {
        let ports = json!([
            {"name": "http", "port": 8000}, {"name": "metrics", "port": 9090},
            {"name": "quic", "port": 8000, "protocol": "UDP"}, {"name": "", "port": 7000},
        ]);
        let several = [slice("IPv4", ports, one("10.0.0.1"))];
        let all = "`http` (8000), `metrics` (9090), 7000";
        assert_eq!(found(&several, named("metrics")).unwrap(), ["10.0.0.1:9090"]);
        assert_eq!(found(&several, Some(ServicePort::Numbered(8000))).unwrap(), ["10.0.0.1:8000"]);
        let several_ports = format!("the service has several ports, so `port` has to say which: {all}");
        assert_eq!(found(&several, None).unwrap_err(), several_ports);
        let none = |port| format!("no port of the service is {port}; it has {all}");
        assert_eq!(found(&several, named("quic")).unwrap_err(), none("`quic`"));
        assert_eq!(found(&several, Some(ServicePort::Numbered(80))).unwrap_err(), none("80"));
    }

    #[test]
    fn slices_without_ports_take_a_number_and_one_without_endpoints_says_nothing_of_ports() {
        let open = [slice("IPv4", Value::Null, one("10.0.0.1"))];
        assert_eq!(found(&open, Some(ServicePort::Numbered(8000))).unwrap(), ["10.0.0.1:8000"]);
        assert_eq!(found(&open, None).unwrap_err(), "the service has no TCP port");
        assert_eq!(found(&open, named("http")).unwrap_err(), "no port of the service is `http`; it has none");
        let renamed = [
            slice("IPv4", json!([{"name": "web", "port": 80}]), one("10.0.0.1")),
            slice("IPv4", http(), one("10.0.0.2")),
        ];
        assert_eq!(found(&renamed, named("http")).unwrap(), ["10.0.0.2:8000"], "the others do not have it yet");
        let empty = [slice("IPv4", json!([]), json!([])), slice("IPv4", http(), one("10.0.0.1"))];
        assert_eq!(found(&empty, named("http")).unwrap(), ["10.0.0.1:8000"]);
    }
}
