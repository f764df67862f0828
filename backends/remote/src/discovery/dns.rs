//! Endpoints from DNS: the addresses of a name, or the targets of a service.
//!
//! The system's own configuration says whom to ask. Nothing is cached here, as an answer is asked for only when the last
//! one is due.

use std::time::{Duration, Instant};

use backends::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::LookupIpStrategy,
    net::NetError,
    proto::rr::{RData, rdata::SRV},
};

use super::{FormOf, Found, Source};

/// How soon an answer is asked for again at the earliest, and at the latest.
const EVERY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// See the module.
pub(super) struct Dns {
    name: String,
    /// The port of addresses; none asks for a service, which tells ports.
    port: Option<u16>,
    form: FormOf,
    keyed: bool,
    /// Made when it is needed, and anew after a failure: the system's configuration may have changed.
    resolver: Option<TokioResolver>,
}

impl Dns {
    pub(super) fn new(name: &str, port: Option<u16>, form: &FormOf, keyed: bool) -> Self {
        Self { name: name.to_owned(), port, form: form.clone(), keyed, resolver: None }
    }

    /// The hosts and ports of an answer, and until when it holds.
    async fn ask(&self, resolver: &TokioResolver) -> Result<(Vec<String>, Instant), NetError> {
        match self.port {
            Some(port) => {
                let answer = resolver.lookup_ip(&*self.name).await?;
                let named = answer.iter().map(|ip| std::net::SocketAddr::new(ip, port).to_string()).collect();
                Ok((named, answer.valid_until()))
            }
            None => {
                let answer = resolver.srv_lookup(&*self.name).await?;
                let services = answer.answers().iter().filter_map(|record| match &record.data {
                    RData::SRV(service) => Some(service),
                    _ => None,
                });
                Ok((targets(services.collect()), answer.valid_until()))
            }
        }
    }
}

/// The targets that are to be used: those of the lowest priority number. A target of `.` says that there is no service.
fn targets(services: Vec<&SRV>) -> Vec<String> {
    let first = services.iter().map(|service| service.priority).min();
    let used = services.into_iter().filter(|service| Some(service.priority) == first && !service.target.is_root());
    used.map(|service| format!("{}:{}", service.target.to_ascii().trim_end_matches('.'), service.port)).collect()
}

/// A resolver as the system is configured.
fn system() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    settle(builder.options_mut());
    builder.build()
}

fn settle(options: &mut hickory_resolver::config::ResolverOpts) {
    options.cache_size = 0;
    // A replica with both kinds of address is one replica.
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
}

impl Source for Dns {
    fn look(&mut self) -> BoxFuture<'_, Result<Found, String>> {
        Box::pin(async move {
            let resolver = match self.resolver.take() {
                Some(resolver) => resolver,
                None => system().map_err(|error| error.to_string())?,
            };
            let (named, until) = self.ask(&resolver).await.map_err(|error| error.to_string())?;
            self.resolver = Some(resolver);
            let addresses = named.iter().map(|named| self.form.base_url(named, self.keyed));
            let addresses = addresses.collect::<Result<_, _>>().map_err(str::to_owned)?;
            let again = until.saturating_duration_since(Instant::now()).clamp(EVERY[0], EVERY[1]);
            Ok(Found { addresses: Some(addresses), again })
        })
    }
}

#[cfg(test)]
mod tests;
