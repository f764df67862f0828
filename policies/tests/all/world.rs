//! A small world for tests: a policy text, deployments, and requests.

use std::sync::Arc;

use catalog::{Catalog, Exposure, Purpose, Use};
use policies::{
    Declared, Deployment, Facts, Live, Place, Plan, PolicySet, Report, Snapshot, Source, compile_declared, plan,
};

/// Policies bound to deployments, and how these are.
pub struct World {
    pub catalog: Arc<Catalog>,
    pub policies: PolicySet,
    pub deployments: Vec<Deployment>,
    pub live: Vec<Live>,
}

impl World {
    /// Deployments are local, and named like their models, unless `deployments` says otherwise.
    #[track_caller]
    pub fn new(routes: &str, deployments: Vec<Deployment>) -> Self {
        Self::of(&format!("version: 1\nroutes:\n{routes}"), deployments)
    }

    /// The same over a catalog of its own.
    #[track_caller]
    pub fn over(catalog: Arc<Catalog>, routes: &str, deployments: Vec<Deployment>) -> Self {
        Self::built(catalog, &format!("version: 1\nroutes:\n{routes}"), deployments)
            .unwrap_or_else(|report| panic!("{report}"))
    }

    /// The same from a whole file. The configuration declares the header `x-customer-tier` and the entry `project`.
    #[track_caller]
    pub fn of(text: &str, deployments: Vec<Deployment>) -> Self {
        Self::checked(text, deployments).unwrap_or_else(|report| panic!("{report}"))
    }

    /// The same, or what is wrong with the file.
    pub fn checked(text: &str, deployments: Vec<Deployment>) -> Result<Self, Report> {
        Self::built(attested(), text, deployments)
    }

    fn built(catalog: Arc<Catalog>, text: &str, deployments: Vec<Deployment>) -> Result<Self, Report> {
        let declared = Declared {
            headers: vec!["x-customer-tier".to_owned()],
            metadata: vec!["project".to_owned()],
            ..Declared::default()
        };
        let sources = [Source::new("test.yaml", text)];
        let (policies, _) = compile_declared(&sources, &catalog, &deployments, &declared)?;
        let live = vec![Live::default(); deployments.len()];
        Ok(Self { catalog, policies, deployments, live })
    }

    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { catalog: &self.catalog, policies: &self.policies, deployments: &self.deployments, live: &self.live }
    }

    pub fn plan(&self, facts: &Facts) -> Plan {
        plan(facts, &self.snapshot())
    }

    /// The ids of the deployments that would be tried, in order.
    pub fn order(&self, facts: &Facts) -> Vec<&str> {
        self.plan(facts).candidates.iter().map(|c| self.deployments[c.deployment].id.as_str()).collect()
    }

    pub fn live(&mut self, id: &str) -> &mut Live {
        let at = self.deployments.iter().position(|d| d.id == id).expect("a deployment of the test");
        &mut self.live[at]
    }
}

/// A deployment of `model` in this process, named like it.
pub fn local(model: &str) -> Deployment {
    Deployment::new(model, model, Place::Local { engine: "native".to_owned() })
}

/// A deployment of `model` at a host, named after both.
pub fn hosted(host: &str, model: &str, usd: f64) -> Deployment {
    Deployment {
        input_usd_per_million: Some(usd),
        output_usd_per_million: Some(usd),
        ..Deployment::new(format!("{host}-{model}"), model, Place::Host(host.to_owned()))
    }
}

/// An English request for `model` in a product that earns money.
pub fn asks(model: &str) -> Facts {
    Facts { language: Some("en".to_owned()), prompt_tokens: 100, ..Facts::new(model, revenue(), today()) }
}

pub fn revenue() -> Use {
    let (seat, entity) = (Some("KR".to_owned()), Some("acme".to_owned()));
    Use { seat, entity, ..Use::new(Purpose::Revenue, Exposure::Public) }
}

/// The built-in catalog, and that `acme` answers for having few users.
fn attested() -> Arc<Catalog> {
    static CATALOG: std::sync::LazyLock<Arc<Catalog>> = std::sync::LazyLock::new(|| {
        let text = "attestations: [{id: users, entity: acme, metric: monthly-users, at_most: 1000, signed_by: CFO, \
                    signed: 2026-01-01, valid_until: 2027-12-31}]";
        Arc::new(Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), text.to_owned())]).expect("a good file"))
    });
    CATALOG.clone()
}

/// The day of all these tests.
pub fn today() -> catalog::Date {
    "2026-11-25".parse().expect("a date")
}

pub fn research() -> Use {
    Use { purpose: Purpose::Research, exposure: Exposure::Internal, ..revenue() }
}
