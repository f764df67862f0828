//! Endpoints of a Kubernetes service, from its EndpointSlices: listed once, then watched, so that a change is taken at once.
//!
//! Which cluster, and who asks, is what `kube` infers: the kubeconfig that `KUBECONFIG` names or that of the user, or else the
//! service account of the pod, whose token is read again as it is renewed. It needs one right, by a Role in the namespace of
//! the service that is bound to it:
//!
//! ```yaml
//! apiVersion: rbac.authorization.k8s.io/v1
//! kind: Role
//! metadata: {name: pointsman-discovery, namespace: ml}
//! rules: [{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}]
//! ```
//!
//! ```text
//! begin -- listed --> watching -- a change ------------------> watching, with other endpoints
//!                     watching -- cut, or out of the window --> watching, from where it was or listed anew
//! any -- refused, not reachable, not understood --> after a pause that grows: begin
//! ```
//!
//! The pauses are those of `kube-runtime`, and so of client-go: 0.8 s to 30 s, jittered. A connection that has died without a
//! word is noticed within [`SILENCE`].
//!
//! Tested against an API server that a test scripts, over TLS; not yet against a cluster. Knows nothing of pods, nor whether
//! an endpoint answers.

mod slices;

use std::{collections::BTreeMap, error::Error, fmt, net::SocketAddr, time::Duration};

use backends::BoxFuture;
use futures_util::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client, Config,
    client::AuthError,
    config::{InferConfigError, KubeconfigError},
    core::Status,
    runtime::watcher::{self, DefaultBackoff, Event, watcher},
};
use rustls::crypto::ring;
use tokio::time::sleep;

pub use self::slices::ServicePort;
use super::{AGAIN, FormOf, Found, Source};
use crate::client::{causes, root};

/// The label by which a slice says of which service it is.
const LABEL: &str = "kubernetes.io/service-name";

/// How long a watch lasts before it is asked for again, in seconds. Short, as only then a dead connection is noticed.
const WATCH_SECONDS: u32 = 25;

/// How long nothing at all may come from the API server; longer than a watch without a change and its end.
const SILENCE: Duration = Duration::from_secs(40);

/// The most that is repeated of what an API server says, in characters.
const MOST_SAID: usize = 300;

/// A service whose endpoints are a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesService {
    /// Its name.
    pub name: String,
    /// Its namespace; none for the one of the pod, or of the kubeconfig.
    pub namespace: Option<String>,
    /// The port of its endpoints; none where they have one only.
    pub port: Option<ServicePort>,
    /// What a base address is made of. With `https` the certificate of each endpoint has to name its IP address.
    pub form: FormOf,
}

impl fmt::Display for KubernetesService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// Which cluster, and who asks.
type Cluster = dyn Fn() -> BoxFuture<'static, Result<Config, String>> + Send;

type Watch = BoxStream<'static, watcher::Result<Event<EndpointSlice>>>;

/// See the module.
pub(super) struct Kubernetes {
    service: KubernetesService,
    keyed: bool,
    cluster: Box<Cluster>,
    /// None before the first look, and after a failure: credentials may have changed.
    watch: Option<Watch>,
    slices: Slices,
    pauses: DefaultBackoff,
}

impl Kubernetes {
    pub(super) fn new(service: &KubernetesService, keyed: bool) -> Self {
        Self::at(service, keyed, || async { Config::infer().await.map_err(|error| unknown_cluster(&error)) })
    }

    /// Of the cluster that is told.
    fn at<F>(service: &KubernetesService, keyed: bool, cluster: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Config, String>> + Send + 'static,
    {
        Self {
            service: service.clone(),
            keyed,
            cluster: Box::new(move || Box::pin(cluster())),
            watch: None,
            slices: Slices::default(),
            pauses: DefaultBackoff::default(),
        }
    }

    async fn begin(&mut self) -> Result<Watch, String> {
        let mut config = (self.cluster)().await?;
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        // It takes the one that is set for the process, and some builds have two to choose from.
        let _ = ring::default_provider().install_default();
        let client = Client::try_from(config).map_err(|error| told(&error))?;
        let api = match &self.service.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        let which = watcher::Config::default().labels(&format!("{LABEL}={}", self.service.name)).timeout(WATCH_SECONDS);
        Ok(watcher(api, which).boxed())
    }

    /// Returns when all slices are known and one is another.
    async fn changed(&mut self) -> Result<(), String> {
        let mut watch = match self.watch.take() {
            Some(watch) => watch,
            None => self.begin().await?,
        };
        loop {
            match watch.next().await {
                Some(Ok(event)) => {
                    if self.slices.take(event) {
                        self.watch = Some(watch);
                        return Ok(());
                    }
                }
                Some(Err(error)) if is_taken_up(&error) => {
                    tracing::debug!(service = %self.service, %error, "the watch of EndpointSlices is taken up again");
                    sleep(self.pause()).await;
                }
                Some(Err(error)) => return Err(of_watch(&error)),
                None => return Err("the watch is over".to_owned()),
            }
        }
    }

    fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(AGAIN)
    }
}

impl Source for Kubernetes {
    fn look(&mut self) -> BoxFuture<'_, Result<Found, String>> {
        Box::pin(async move {
            self.changed().await?;
            let endpoints = slices::endpoints(self.slices.known.values(), self.service.port.as_ref())?;
            let base_url = |endpoint: &SocketAddr| self.service.form.base_url(&endpoint.to_string(), self.keyed);
            let addresses = endpoints.iter().map(base_url).collect::<Result<_, _>>().map_err(str::to_owned)?;
            Ok(Found { addresses: Some(addresses), again: Duration::ZERO })
        })
    }

    /// What is wrong with slices is over with the next change, which the watch tells.
    fn after_failure(&mut self) -> Duration {
        if self.watch.is_some() { Duration::ZERO } else { self.pause() }
    }
}

/// The slices of the service, by their names.
#[derive(Default)]
struct Slices {
    known: BTreeMap<String, EndpointSlice>,
    /// Those of a list that is not complete yet.
    listed: BTreeMap<String, EndpointSlice>,
}

impl Slices {
    /// Whether `known` is another by this event. One list takes the place of all that was known.
    fn take(&mut self, event: Event<EndpointSlice>) -> bool {
        let named = |slice: EndpointSlice| (slice.metadata.name.clone().unwrap_or_default(), slice);
        match event {
            Event::Init => {
                self.listed.clear();
                return false;
            }
            Event::InitApply(slice) => {
                self.listed.extend([named(slice)]);
                return false;
            }
            Event::InitDone => self.known = std::mem::take(&mut self.listed),
            Event::Apply(slice) => self.known.extend([named(slice)]),
            Event::Delete(slice) => {
                self.known.remove(&named(slice).0);
            }
        }
        true
    }
}

/// Whether the watcher goes on from where it was, or lists anew, without a loss: a watch that was cut, or whose beginning the
/// API server does not remember any more. If that does not succeed, its own error follows.
fn is_taken_up(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchFailed(error) => matches!(error, kube::Error::ReadEvents(_)),
        watcher::Error::WatchError(status) => status.code == 410,
        _ => false,
    }
}

fn of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => refused(status),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// An error of the client without what may hold a secret: the output of a command that gets a token, or a part of a
/// kubeconfig.
fn told(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return refused(status);
    }
    match causes(error).find_map(|cause| cause.downcast_ref::<AuthError>()) {
        Some(AuthError::ReadTokenFile(error, path)) => {
            format!("the token for the API server cannot be read from {}: {error}", path.display())
        }
        Some(_) => "the credentials for the API server cannot be had".to_owned(),
        None => format!("the API server cannot be asked: {}", root(error)),
    }
}

fn refused(status: &Status) -> String {
    let said: String = status.message.chars().take(MOST_SAID).collect();
    format!("the API server answers {}: {said}", status.code)
}

fn unknown_cluster(error: &InferConfigError) -> String {
    let is_text = |cause: &(dyn Error + 'static)| matches!(cause.downcast_ref(), Some(KubeconfigError::Parse(_)));
    match causes(error).any(is_text) {
        true => "the kubeconfig is not YAML of its kind".to_owned(),
        false => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
