//! The cheapest host that still offers a model.

use serde::Serialize;

use super::Question;
use crate::{Catalog, Model, Price, Relation};

/// What a host asks for a model.
#[derive(Clone, Debug, Serialize)]
pub struct Offer {
    /// The host.
    pub host: String,
    /// The model's name there.
    pub name: String,
    /// USD per million prompt tokens.
    pub input_usd_per_million: f64,
    /// USD per million output tokens.
    pub output_usd_per_million: f64,
    /// How the checkpoint there relates to the model.
    pub relation: Relation,
    /// The month of the price list.
    pub as_of: String,
    /// ISO date after which the host stops serving it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// It is one of the hosts that the scenario names.
    pub named_host: bool,
}

impl Offer {
    /// USD per million tokens where three of four are prompt.
    pub fn blended(&self) -> f64 {
        (3.0 * self.input_usd_per_million + self.output_usd_per_million) / 4.0
    }
}

/// The cheapest offer of the model itself, those of the scenario's hosts first. A price that looks like a placeholder
/// and a window that is too short do not count.
pub(super) fn cheapest(catalog: &Catalog, question: &Question, model: &Model) -> Option<Offer> {
    let offers = catalog.hosts().flat_map(|host| catalog.offers(&host.id, &model.id));
    let usable =
        offers.filter(|price| price.relation <= Relation::Variant && !is_suspect(price, "price")).filter(|price| {
            let window = price.context_tokens.filter(|_| !is_suspect(price, "context"));
            question.context_tokens.is_none_or(|asked| window.is_some_and(|window| asked <= window))
        });
    let offers = usable.filter_map(|price| {
        Some(Offer {
            host: price.host.clone(),
            name: price.name.clone(),
            input_usd_per_million: price.input_usd_per_million?,
            output_usd_per_million: price.output_usd_per_million?,
            relation: price.relation,
            as_of: price.as_of.clone(),
            ends: price.ends.clone(),
            named_host: question.scenario.hosts.contains(&price.host),
        })
    });
    offers.min_by(|a, b| {
        let named = b.named_host.cmp(&a.named_host);
        named.then(a.blended().total_cmp(&b.blended())).then_with(|| (&a.host, &a.name).cmp(&(&b.host, &b.name)))
    })
}

fn is_suspect(price: &Price, figure: &str) -> bool {
    price.suspect.iter().any(|suspect| suspect == figure)
}
