//! Where the endpoints of a fleet are: a list, a name in DNS, a file, or a service of Kubernetes; looked up again while serving.
//!
//! | source | looked up again |
//! | --- | --- |
//! | `Urls` | never |
//! | `Dns`, `Srv` | when the answer's time to live is over, but after 5 s at least and 60 s at most |
//! | `File` | every 2 s |
//! | `Kubernetes` | when the API server says that they are others |
//!
//! What cannot be had or read, names nothing, or names more than [`MOST_ENDPOINTS`] leaves the endpoints as they were, with a line
//! in the log and a count in [`DISCOVERY_FAILURES`]: a fleet is never emptied by an accident. The task ends with the fleet. Knows
//! nothing of requests, nor whether an endpoint answers.

mod dns;
mod file;
mod form;
#[cfg(feature = "kubernetes")]
mod kubernetes;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use backends::{BackendId, BoxFuture};
use metrics::counter;
use tokio::{runtime::Handle, task::JoinHandle, time::sleep};

#[cfg(feature = "kubernetes")]
pub use self::kubernetes::{KubernetesService, ServicePort};
pub use self::{
    file::{Wrong, addresses_of},
    form::FormOf,
};
use crate::fleet::{Change, Roster};

/// Looks for the endpoints of a fleet that came to nothing.
pub const DISCOVERY_FAILURES: &str = "pointsman_discovery_failures_total";

/// The most endpoints of a fleet.
pub const MOST_ENDPOINTS: usize = 1000;

/// How soon a look that failed is tried again, where its source knows nothing better.
const AGAIN: Duration = Duration::from_secs(5);

/// Where the endpoints of a fleet are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// These base addresses.
    Urls(Vec<String>),
    /// The addresses of a name: A, or AAAA where it has no A, so that a replica with both is not counted twice.
    Dns {
        /// The name.
        name: String,
        /// The port at each address.
        port: u16,
        /// What a base address is made of.
        form: FormOf,
    },
    /// The targets and ports of a service (RFC 2782), those of the lowest priority number. Their weights are not used:
    /// requests go by load.
    Srv {
        /// The name of the service, such as `_http._tcp.vllm.ml.svc.cluster.local`.
        name: String,
        /// What a base address is made of.
        form: FormOf,
    },
    /// The lines of a file; see [`addresses_of`].
    File {
        /// Where it is.
        path: PathBuf,
        /// What a base address is made of.
        form: FormOf,
    },
    /// The endpoints of a service that serve, as its EndpointSlices tell them.
    #[cfg(feature = "kubernetes")]
    Kubernetes(KubernetesService),
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Urls(urls) => f.write_str(&urls.join(", ")),
            Self::Dns { name, port, .. } => write!(f, "the addresses of {name}, port {port}"),
            Self::Srv { name, .. } => write!(f, "the targets of {name}"),
            Self::File { path, .. } => write!(f, "the lines of {}", path.display()),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(service) => write!(f, "the EndpointSlices of {service}"),
        }
    }
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The base addresses of all endpoints; none if they are as before.
    addresses: Option<Vec<String>>,
    /// When to look again.
    again: Duration,
}

/// A place to look for endpoints.
trait Source: Send {
    /// Looks once. A source that is told of changes returns when there is one.
    ///
    /// # Errors
    /// Why there is no answer, for a line in the log.
    fn look(&mut self) -> BoxFuture<'_, Result<Found, String>>;

    /// How soon to look again after a look that came to nothing.
    fn after_failure(&mut self) -> Duration {
        AGAIN
    }
}

/// A task that looks; it ends with the drop.
#[derive(Debug)]
pub(crate) struct Discovery(Option<JoinHandle<()>>);

impl Discovery {
    /// Begins to look, if there is something to look for and a runtime to do it in. With `keyed` a key is sent to each
    /// endpoint, so that no address which would carry it unencrypted beyond this machine is taken.
    pub(crate) fn start(id: &BackendId, replicas: &Replicas, keyed: bool, roster: &Arc<Roster>) -> Self {
        let source: Option<Box<dyn Source>> = match replicas {
            Replicas::Urls(_) => None,
            Replicas::Dns { name, port, form } => Some(Box::new(dns::Dns::new(name, Some(*port), form, keyed))),
            Replicas::Srv { name, form } => Some(Box::new(dns::Dns::new(name, None, form, keyed))),
            Replicas::File { path, form } => Some(Box::new(file::File::new(path, form, keyed))),
            #[cfg(feature = "kubernetes")]
            Replicas::Kubernetes(service) => Some(Box::new(kubernetes::Kubernetes::new(service, keyed))),
        };
        let task = source
            .zip(Handle::try_current().ok())
            .map(|(source, runtime)| runtime.spawn(run(id.clone(), replicas.to_string(), source, Arc::clone(roster))));
        if task.is_none() {
            roster.looked();
        }
        Self(task)
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn run(id: BackendId, what: String, mut source: Box<dyn Source>, roster: Arc<Roster>) {
    let failures = counter!(DISCOVERY_FAILURES, "deployment" => id.as_str().to_owned());
    // What was last complained of, so that the same is said once.
    let mut trouble: Option<String> = None;
    loop {
        let found = source.look().await.and_then(|found| {
            let change = found.addresses.map(|addresses| bounded(addresses).and_then(|all| set(&roster, &all)));
            Ok((change.transpose()?, found.again))
        });
        let again = match found {
            Ok((change, again)) => {
                if trouble.take().is_some() {
                    tracing::info!(deployment = %id, "endpoints are found again by {what}");
                }
                if let Some(Change { added, removed }) = change.filter(|change| *change != Change::default()) {
                    tracing::info!(deployment = %id, added, removed, now = roster.len(), "the endpoints are others");
                }
                again
            }
            Err(reason) => {
                failures.increment(1);
                if trouble.as_ref() != Some(&reason) {
                    let kept = roster.len();
                    tracing::warn!(deployment = %id, kept, "no endpoints are found by {what}, so those of before stay: {reason}");
                    trouble = Some(reason);
                }
                source.after_failure()
            }
        };
        roster.looked();
        sleep(again).await;
    }
}

fn bounded(addresses: Vec<String>) -> Result<Vec<String>, String> {
    match addresses.len() {
        0 => Err("none is named".to_owned()),
        1..=MOST_ENDPOINTS => Ok(addresses),
        many => Err(format!("{many} are named, and a fleet has {MOST_ENDPOINTS} at most")),
    }
}

fn set(roster: &Roster, addresses: &[String]) -> Result<Change, String> {
    roster.set(addresses).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
