//! A small world for tests: a policy text, deployments, and requests.

use std::sync::Arc;

use catalog::{Catalog, Exposure, Purpose, Use};
use policies::{Deployment, Facts, Live, Needs, Place, Plan, PolicySet, Snapshot, Source, compile, plan};

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
        let catalog = attested();
        let sources = [Source::new("test.yaml", format!("version: 1\nroutes:\n{routes}"))];
        let (policies, _) = compile(&sources, &catalog, &deployments).unwrap_or_else(|report| panic!("{report}"));
        let live = vec![Live::default(); deployments.len()];
        Self { catalog, policies, deployments, live }
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
    Facts {
        team: None,
        context: None,
        use_: revenue().into(),
        today: today(),
        model_asked: model.to_owned(),
        language: Some("en".to_owned()),
        prompt_tokens: 100,
        max_tokens: None,
        answer_tokens: None,
        draw: 0,
        needs: Needs::default(),
        stream: false,
    }
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
