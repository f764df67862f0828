//! `replicas` of a deployment: where the servers are that serve its model alike.
//!
//! What is told while serving (by a name server, by a file, by Kubernetes) is checked again then, by the same rules.

use std::{collections::HashSet, ops::Range};

use remote::{BaseUrl, FormOf, MOST_ENDPOINTS, Replicas};
#[cfg(feature = "kubernetes")]
use remote::{KubernetesService, ServicePort};

use super::One;
use crate::config::{
    decode::Spanned,
    raw::{RawPort, RawReplicas, RawScheme},
    report::Problem,
    yaml::Node,
};

/// Lines of a file that are reported at most.
const MOST_LINES: usize = 20;

/// The one source that is written.
enum Source<'a> {
    Urls(&'a [Spanned<String>]),
    Dns(&'a Spanned<String>),
    File(&'a Spanned<String>),
    Kubernetes(&'a Spanned<String>),
}

impl<'a> One<'a, '_> {
    /// The replicas that are written: none if there are none, none within if they are not in order. `path` is where the
    /// server has its APIs.
    pub(super) fn replicas(&mut self, path: &str) -> Option<Option<Replicas>> {
        let Spanned { value: written, at, .. } = self.raw.replicas.as_ref()?;
        if let Some(base_url) = &self.raw.base_url {
            let message = format!("deployment `{}` has `base_url` and `replicas`", self.raw.id.value);
            let problem =
                Problem::error("two-addresses", message).hint("keep one of them; `urls` can hold the address");
            self.note(problem, &base_url.at);
        }
        if let (Some(namespace), None) = (&written.namespace, &written.kubernetes) {
            self.refuse("replicas that Kubernetes does not tell", &[("namespace", Some(&namespace.at))]);
        }
        let form = self.form(written, path);
        let replicas = self.source(written, at).and_then(|source| match source {
            Source::Urls(urls) => self.urls(urls, written, at),
            Source::Dns(name) => self.dns(name, written, form?),
            Source::File(file) => self.file(file, written, form?),
            Source::Kubernetes(service) => self.kubernetes(service, written, form?),
        });
        Some(replicas)
    }

    fn source(&mut self, written: &'a RawReplicas, at: &Range<usize>) -> Option<Source<'a>> {
        match (&written.urls, &written.dns, &written.file, &written.kubernetes) {
            (Some(urls), None, None, None) => Some(Source::Urls(urls)),
            (None, Some(dns), None, None) => Some(Source::Dns(dns)),
            (None, None, Some(file), None) => Some(Source::File(file)),
            (None, None, None, Some(service)) => Some(Source::Kubernetes(service)),
            (None, None, None, None) => {
                let node = self.node.and_then(|node| node.get("replicas"));
                let broken = |key: &&str| node.and_then(|node| node.get(key)).is_some_and(|node: &Node| node.broken);
                if !["urls", "dns", "file", "kubernetes"].iter().any(broken) {
                    let problem = Problem::error("no-replicas", "`replicas` does not say where they are")
                        .hint("add one of `urls: [...]`, `dns: NAME` with `port`, `file: FILE`, `kubernetes: SERVICE`");
                    self.note(problem, at);
                }
                None
            }
            _ => {
                let problem = Problem::error("two-sources", "`replicas` says twice where they are")
                    .hint("keep one of `urls`, `dns`, `file` and `kubernetes`");
                self.note(problem, at);
                None
            }
        }
    }

    /// What makes a base address of a host and a port.
    fn form(&mut self, written: &RawReplicas, path: &str) -> Option<FormOf> {
        let https = written.scheme.as_ref().is_some_and(|scheme| scheme.value == RawScheme::Https);
        let Some(own) = &written.path else { return Some(FormOf { https, path: path.to_owned() }) };
        let path = own.value.trim_end_matches('/');
        let fits = path.is_empty() || path.starts_with('/') && BaseUrl::parse(&format!("http://host{path}")).is_ok();
        if !fits {
            let problem = Problem::error("address", format!("{} is not a path below which APIs lie", own.shown()))
                .hint("for example `/v1`");
            self.note(problem, &own.at);
        }
        fits.then(|| FormOf { https, path: path.to_owned() })
    }

    fn urls(&mut self, urls: &[Spanned<String>], written: &RawReplicas, at: &Range<usize>) -> Option<Replicas> {
        self.refuse(
            "addresses that are whole",
            &[
                ("port", written.port.as_ref().map(|port| &port.at)),
                ("scheme", written.scheme.as_ref().map(|scheme| &scheme.at)),
                ("path", written.path.as_ref().map(|path| &path.at)),
            ],
        );
        if !(1..=MOST_ENDPOINTS).contains(&urls.len()) {
            let problem = Problem::error("out-of-range", format!("`urls` has {} addresses", urls.len()))
                .label(format!("expected 1 to {MOST_ENDPOINTS}"));
            self.note(problem, at);
            return None;
        }
        let mut seen = HashSet::new();
        let mut good = Vec::with_capacity(urls.len());
        for written in urls {
            let Some(url) = self.address(written) else { continue };
            if seen.insert(url.text.clone()) {
                good.push(url.text);
            } else {
                let problem = Problem::error("duplicate-replica", "this address stands twice");
                self.note(problem.hint("remove it: each takes its share once"), &written.at);
            }
        }
        (good.len() == urls.len()).then_some(Replicas::Urls(good))
    }

    fn dns(&mut self, name: &Spanned<String>, written: &RawReplicas, form: FormOf) -> Option<Replicas> {
        let is_name = |text: &str| {
            (1..=253).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !is_name(&name.value) {
            let problem = Problem::error("bad-name", format!("{} is not a name in DNS", name.shown()))
                .hint("for example `vllm.ml.svc.cluster.local`, or `_http._tcp.NAME` for a service");
            self.note(problem, &name.at);
            return None;
        }
        if self.sends_key() && !form.https {
            let problem = Problem::error("unencrypted-key", "the key would travel unencrypted")
                .label("to wherever this name leads")
                .hint("name a service (`_http._tcp.NAME`) with `scheme: https`, or list `urls`");
            self.note(problem, &name.at);
            return None;
        }
        let value = name.value.clone();
        if value.starts_with('_') {
            self.refuse("a service, which tells its ports", &[("port", written.port.as_ref().map(|port| &port.at))]);
            return Some(Replicas::Srv { name: value, form });
        }
        if form.https {
            let problem =
                Problem::error("nameless-replicas", "`https` to addresses has no name to check certificates by")
                    .label("a name with addresses")
                    .hint("name a service (`_http._tcp.NAME`), whose targets have names, or list `urls`");
            self.note(problem, &name.at);
            return None;
        }
        let Some(port) = &written.port else {
            if !self.node.and_then(|node| node.get("replicas")?.get("port")).is_some_and(|node| node.broken) {
                let problem = Problem::error("missing-key", "a name with addresses needs the key `port`")
                    .hint("`port: 8000`; a service (`_http._tcp.NAME`) tells its ports itself");
                self.note(problem, &name.at);
            }
            return None;
        };
        match &port.value {
            RawPort::Number(number) => {
                self.port(*number, &port.at).map(|port| Replicas::Dns { name: value, port, form })
            }
            RawPort::Name(_) => {
                let problem = Problem::error("wrong-value", "`port` of a name with addresses is a number")
                    .hint("`port: 8000`; a service (`_http._tcp.NAME`) tells its ports itself");
                self.note(problem, &port.at);
                None
            }
        }
    }

    fn port(&mut self, number: u64, at: &Range<usize>) -> Option<u16> {
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        if port.is_none() {
            let problem = Problem::error("out-of-range", "`port` is not a port").label("expected 1 to 65535");
            self.note(problem, at);
        }
        port
    }

    fn file(&mut self, file: &Spanned<String>, written: &RawReplicas, form: FormOf) -> Option<Replicas> {
        self.refuse("a file, whose lines tell ports", &[("port", written.port.as_ref().map(|port| &port.at))]);
        let source = self.reading.unwatched_file(file, "file of replicas")?;
        if let Err(wrong) = remote::addresses_of(&source.text, &form, self.sends_key()) {
            let hint = "one replica a line, as HOST:PORT or as a base address; `#` begins a comment";
            for wrong in wrong.into_iter().take(MOST_LINES) {
                let problem =
                    Problem::error("bad-replica", format!("this file of replicas cannot be used: {}", wrong.why));
                self.reading.problems.push(problem.hint(hint).at(&source, wrong.at));
            }
            return None;
        }
        Some(Replicas::File { path: self.reading.path(&file.value), form })
    }

    /// A service in Kubernetes. What is written is checked in every build, also in one that can do nothing with it.
    fn kubernetes(&mut self, service: &Spanned<String>, written: &RawReplicas, form: FormOf) -> Option<Replicas> {
        let mut good = self.is_label(service, "a service");
        if let Some(namespace) = &written.namespace {
            good &= self.is_label(namespace, "a namespace");
        }
        if let Some(port) = &written.port {
            good &= match &port.value {
                RawPort::Number(number) => self.port(*number, &port.at).is_some(),
                RawPort::Name(name) => self.is_label(&port.map(|_| name.clone()), "a port"),
            };
        }
        if self.sends_key() && !form.https {
            let problem = Problem::error("unencrypted-key", "the key would travel unencrypted")
                .label("to the pods of this service")
                .hint("`scheme: https`, where the certificate of each pod names its address; or list `urls`");
            self.note(problem, &service.at);
            good = false;
        }
        if !good {
            return None;
        }
        #[cfg(feature = "kubernetes")]
        {
            let port = match written.port.as_ref().map(|port| &port.value) {
                Some(RawPort::Number(number)) => Some(ServicePort::Numbered(u16::try_from(*number).ok()?)),
                Some(RawPort::Name(name)) => Some(ServicePort::Named(name.clone())),
                None => None,
            };
            let namespace = written.namespace.as_ref().map(|namespace| namespace.value.clone());
            Some(Replicas::Kubernetes(KubernetesService { name: service.value.clone(), namespace, port, form }))
        }
        #[cfg(not(feature = "kubernetes"))]
        {
            let problem = Problem::error("missing-feature", "this build cannot ask Kubernetes")
                .hint("build with `--features kubernetes`");
            self.note(problem, &service.at);
            None
        }
    }

    /// Whether a name is a label of RFC 1123, as names in Kubernetes are.
    fn is_label(&mut self, name: &Spanned<String>, of: &str) -> bool {
        let text = &name.value;
        let is_label = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !is_label {
            let problem = Problem::error("bad-name", format!("{} is not the name of {of} in Kubernetes", name.shown()))
                .hint("1 to 63 lower-case letters, digits and `-`, as in `vllm`; the namespace has a key of its own");
            self.note(problem, &name.at);
        }
        is_label
    }
}
