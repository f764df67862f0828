//! Deployments that nobody wrote down: every host whose usual key variable is set, with every model that the catalog
//! lists there.
//!
//! A host's address can be replaced by the variable `<HOST>_BASE_URL`, such as `GROQ_BASE_URL`: for a proxy, or for a
//! scripted host in a test. Plain `http` is accepted for loopback addresses only, since the key travels along.

use std::collections::BTreeSet;

use catalog::{Catalog, Host, Modality, Price, Relation};
use policies::Place;
use remote::{BaseUrl, Secret};

use super::{
    Deployment, Environment, NotLive, Target,
    deployments::{host_lacks, offer, trusted},
    report::{Problem, Problems},
};
use crate::residency::Keep;

/// What the environment offers.
#[derive(Default)]
pub(super) struct Found {
    pub(super) deployments: Vec<Deployment>,
    pub(super) not_live: Vec<NotLive>,
}

impl Found {
    /// Adds what was found to deployments of which each has an id of its own.
    pub(super) fn join(self, deployments: &mut Vec<Deployment>, not_live: &mut Vec<NotLive>) {
        for one in self.deployments {
            if deployments.iter().any(|there| there.facts.id == one.facts.id) {
                let why = "there is another deployment of this id".to_owned();
                not_live.push(NotLive { name: one.facts.id, why });
            } else {
                deployments.push(one);
            }
        }
        not_live.extend(self.not_live);
    }
}

/// Looks for the key of every host of the catalog.
pub(super) fn hosts(catalog: &Catalog, environment: &Environment, problems: &mut Problems) -> Found {
    let mut found = Found { deployments: Vec::new(), not_live: Vec::new() };
    for host in catalog.hosts() {
        match live(host, catalog, environment, problems) {
            Ok(deployments) => found.deployments.extend(deployments),
            Err(why) => found.not_live.push(NotLive { name: host.id.clone(), why }),
        }
    }
    found
}

/// The deployments of a host, or why it has none.
fn live(
    host: &Host,
    catalog: &Catalog,
    environment: &Environment,
    problems: &mut Problems,
) -> Result<Vec<Deployment>, String> {
    let set = host.key_env.iter().find_map(|name| Some((name, environment.get(name)?)));
    let Some((variable, key)) = set else {
        return Err(match host.key_env.first() {
            Some(variable) => format!("set {variable}"),
            None => "add a deployment for it to a configuration file".to_owned(),
        });
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = Problem::error("bad-key", format!("the environment variable `{variable}` does not hold one key"))
            .hint("a key is one line of letters, digits and signs, without spaces");
        problems.push(problem.of("environment"));
        return Err(format!("{variable} does not hold one key"));
    }
    let base_url = base_url(host, environment, problems).ok_or("its base address is not in order")?;
    let models: BTreeSet<&str> =
        catalog.prices().filter(|price| price.host == host.id).filter_map(|price| price.model.as_deref()).collect();
    let mut rows: Vec<_> = models.iter().filter_map(|id| offer(catalog, &host.id, id)).collect();
    if rows.is_empty() {
        // A host whose whole list has moved on since the catalog was written: what it had last. A model that is gone
        // answers 404 there, which falls back like any failure of a host.
        rows = models.iter().filter_map(|id| last_known(catalog, &host.id, id)).collect();
    }
    let deployments: Vec<_> = rows
        .into_iter()
        .filter_map(|offer| {
            let id = offer.model.as_deref()?;
            let model = catalog.model(id).filter(|model| model.output().contains(&Modality::Text))?;
            let place = Place::Host(host.id.clone());
            let mut facts = policies::Deployment::new(format!("{}/{id}", host.id), id, place);
            facts.region = host.region.clone();
            facts.retention = host.retention.clone();
            facts.lacks = host_lacks(host);
            facts.context_tokens = trusted(offer, "context", offer.context_tokens).or(model.context_tokens);
            facts.input_usd_per_million = trusted(offer, "price", offer.input_usd_per_million);
            facts.output_usd_per_million = trusted(offer, "price", offer.output_usd_per_million);
            facts.cached_input_usd_per_million = trusted(offer, "price", offer.cached_input_usd_per_million);
            let target = Target::Remote {
                host: Some(host.id.clone()),
                base_url: base_url.clone(),
                key: Some(Secret::new(key)),
                name: offer.name.clone(),
            };
            Some(Deployment {
                facts,
                target,
                keep: Keep::default(),
                engine_because: None,
                max_concurrent: None,
                shared_cache: false,
                adapter: None,
                speaks: Vec::new(),
            })
        })
        .collect();
    if deployments.is_empty() {
        return Err("the catalog lists no model there; add a deployment for it to a configuration file".to_owned());
    }
    Ok(deployments)
}

/// The best row that a host no longer lists of this very model.
pub(super) fn last_known<'c>(catalog: &'c Catalog, host: &str, model: &str) -> Option<&'c Price> {
    let rows = catalog.prices().filter(|price| price.host == host && price.model.as_deref() == Some(model));
    rows.filter(|price| matches!(price.relation, Relation::Exact | Relation::Variant))
        .min_by_key(|price| price.relation)
}

/// The address of a host, its own or that of `<HOST>_BASE_URL`; none if the latter is not in order.
fn base_url(host: &Host, environment: &Environment, problems: &mut Problems) -> Option<String> {
    let variable = format!("{}_BASE_URL", host.id.to_uppercase().replace(['-', '.'], "_"));
    let Some(text) = environment.get(&variable) else { return Some(host.base_url.clone()) };
    let problem = match BaseUrl::parse(text) {
        Ok(url) if url.encrypted || url.loopback => return Some(url.text),
        Ok(_) => {
            Problem::error("unencrypted-key", format!("`{variable}` would send the key of {} unencrypted", host.name))
                .hint("use `https`; plain `http` is for loopback addresses only")
        }
        Err(why) => Problem::error("address", format!("`{variable}` is not a base address: {why}"))
            .hint("for example https://api.example.com/v1"),
    };
    problems.push(problem.of("environment"));
    None
}
