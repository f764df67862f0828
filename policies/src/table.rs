//! What is known of each deployment before any request: the part of a plan that a compilation can work out.
//!
//! One row a deployment, in the order of the configuration; a deployment whose model, or draft, the catalog does not have has
//! no row and serves nothing. Unknown stays `None`; it is never read as zero.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use catalog::{Catalog, Modality, Model, Task, Weights};
use rapidhash::RapidHashMap;

use crate::{
    Capabilities, Capability, Deployment, Place,
    quality::{self, QualityBy},
};

/// The rows, and the models that they serve.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) models: Vec<Served>,
    /// By row: the share of the model's quality that its quantization leaves.
    precisions: Vec<f32>,
    /// The digest of the catalog that it was made with.
    catalog: String,
    /// The languages that some served model names, with the estimated quality in each.
    languages: RapidHashMap<String, Qualities>,
    /// The estimated quality in a language that could not be told.
    unknown: Qualities,
    /// In one that no served model names.
    foreign: Qualities,
    /// Other measures of quality; routes name them by their number.
    columns: Vec<Qualities>,
}

/// The quality of each row, 0 to 1, or NaN where it is not known: in one piece, for a plan that reads hundreds.
pub(crate) type Qualities = Box<[f32]>;

/// A deployment.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its index in the configuration.
    pub(crate) deployment: usize,
    /// Its model's index in the table.
    pub(crate) model: u32,
    /// The number of its place: the same for deployments at one host, on one kind of server, in this process.
    pub(crate) site: u16,
    pub(crate) context_tokens: Option<u64>,
    pub(crate) input_usd: Option<f32>,
    /// Of prompt tokens that the place has in its cache; like the others where that is not known.
    pub(crate) cached_usd: Option<f32>,
    pub(crate) output_usd: Option<f32>,
    /// What it can do for certain.
    pub(crate) has: Capabilities,
    /// What it cannot do for certain. What is in neither set is not known.
    pub(crate) lacks: Capabilities,
    pub(crate) local: bool,
}

/// A model that is deployed somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) id: Arc<str>,
    pub(crate) model: Box<Model>,
    /// The weights that it is served from, where they have been looked at.
    weights: Option<Weights>,
    /// The model that guesses for it.
    pub(crate) draft: Option<String>,
    /// The number of its row in the catalog that the table was made with.
    pub(crate) place: usize,
    /// The built-in demo model and its like: tried only when nothing else is left.
    pub(crate) demo: bool,
}

/// What each task of the catalog asks a candidate to be able to do.
const TASKS: [(Task, Capability); 7] = [
    (Task::Generation, Capability::Generation),
    (Task::Embeddings, Capability::Embeddings),
    (Task::Rerank, Capability::Rerank),
    (Task::Moderations, Capability::Moderations),
    (Task::Images, Capability::Images),
    (Task::Speech, Capability::Speech),
    (Task::Transcriptions, Capability::Transcriptions),
];

/// In a language that a model's list does not name.
const FOREIGN: f32 = 0.6;
/// In a language where the model has no list.
const UNSTATED: f32 = 0.8;
/// In a language that it names but is not strong in.
const NAMED: f32 = 0.9;

impl Table {
    /// Works out a row for each of `deployments`.
    pub(crate) fn new(catalog: &Catalog, deployments: &[Deployment]) -> Self {
        let mut table = Self { catalog: catalog.digest().to_owned(), ..Self::default() };
        let mut served = HashMap::new();
        let mut sites = HashMap::new();
        for (at, deployment) in deployments.iter().enumerate() {
            let Some(model) = catalog.served_from(&deployment.model, deployment.weights.as_ref()) else { continue };
            let Deployment { weights, draft, .. } = deployment;
            if draft.as_ref().is_some_and(|draft| catalog.model(draft).is_none()) {
                continue;
            }
            let model_index = *served.entry((&deployment.model, weights, draft)).or_insert_with(|| {
                let place = catalog.row_of(model).unwrap_or(usize::MAX);
                table.models.push(Served { draft: draft.clone(), ..Served::new(model, place, weights.clone()) });
                (table.models.len() - 1) as u32
            });
            // More places than that count as one: they share the room that a plan keeps for the best of each.
            let next = u16::try_from(sites.len()).unwrap_or(u16::MAX);
            let site = *sites.entry(deployment.place.to_string()).or_insert(next);
            table.rows.push(Row { site, ..Row::new(at, deployment, model_index, model) });
            table.precisions.push(precision(deployment.quantization_bits));
        }
        let english: Vec<Option<f32>> = table.models.iter().map(|served| quality::estimate(&served.model)).collect();
        let estimates = |share: &dyn Fn(&Model) -> f32| {
            let shares = table.models.iter().map(|served| share(&served.model));
            table.by_row(
                &english.iter().zip(shares).map(|(quality, share)| Some((*quality)? * share)).collect::<Vec<_>>(),
            )
        };
        let unknown = estimates(&|_| 1.0);
        let foreign = estimates(&|model| if model.languages.is_empty() { UNSTATED } else { FOREIGN });
        let named = table.models.iter().flat_map(|m| m.model.languages.iter().chain(&m.model.strong_languages));
        let named: HashSet<&String> = named.collect();
        let languages =
            named.into_iter().map(|name| (name.clone(), estimates(&|model| fluency(model, name)))).collect();
        Self { unknown, foreign, languages, ..table }
    }

    /// The model of a row.
    pub(crate) fn served(&self, row: &Row) -> &Served {
        &self.models[row.model as usize]
    }

    /// The catalog id of the model that a deployment serves.
    pub(crate) fn model_of(&self, deployment: usize) -> &str {
        let row = self.rows.partition_point(|row| row.deployment < deployment);
        &self.served(&self.rows[row]).id
    }

    /// Whether it was made with this catalog, so that the numbers of rows in it are the same.
    pub(crate) fn made_with(&self, catalog: &Catalog) -> bool {
        self.catalog == catalog.digest()
    }

    /// What is left of the quality of each row's model in the precision of its weights.
    fn by_row(&self, by_model: &[Option<f32>]) -> Qualities {
        let rows = self.rows.iter().zip(&self.precisions);
        rows.map(|(row, precision)| by_model[row.model as usize].map_or(f32::NAN, |quality| quality * precision))
            .collect()
    }

    /// Languages that the served models tell apart: one of each set in which all of them are equally good.
    pub(crate) fn languages_told_apart(&self) -> Vec<&str> {
        let mut names: Vec<(&str, &Qualities)> = self.languages.iter().map(|(name, of)| (name.as_str(), of)).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        let mut seen: HashSet<Vec<u32>> = HashSet::new();
        names.retain(|(_, of)| seen.insert(of.iter().map(|quality| quality.to_bits()).collect()));
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// Works out another measure of quality, and gives its number.
    pub(crate) fn column(&mut self, by: &QualityBy, catalog: &Catalog) -> Option<u16> {
        let number = u16::try_from(self.columns.len()).ok()?;
        let models = self.models.iter().map(|served| &*served.model);
        self.columns.push(self.by_row(&quality::measured(by, catalog, models, fluency)));
        Some(number)
    }

    /// The quality of each row: of column `by` where there is one, else the estimate in a language.
    pub(crate) fn qualities(&self, language: Option<&str>, by: Option<u16>) -> &[f32] {
        match (by, language) {
            (Some(by), _) => &self.columns[usize::from(by)],
            (None, None) => &self.unknown,
            (None, Some(name)) => self.languages.get(name).unwrap_or(&self.foreign),
        }
    }
}

impl Served {
    /// The model's row in `catalog`: the one that it was compiled with, found by its place, or by name in another.
    pub(crate) fn in_catalog<'a>(&'a self, catalog: &'a Catalog) -> &'a Model {
        let at_place = catalog.row(self.place).filter(|model| *model.id == *self.id);
        at_place.or_else(|| catalog.served_from(&self.id, self.weights.as_ref())).unwrap_or(&self.model)
    }

    fn new(model: &Model, place: usize, weights: Option<Weights>) -> Self {
        Self {
            weights,
            draft: None,
            id: model.id.as_str().into(),
            demo: model.categories.iter().any(|category| category == "demo"),
            model: Box::new(model.clone()),
            place,
        }
    }
}

impl Row {
    fn new(at: usize, deployment: &Deployment, model_index: u32, model: &Model) -> Self {
        let (mut has, mut lacks) = if deployment.capabilities.is_empty() {
            let reads = |modality| model.input().contains(&modality);
            let mut has = Capabilities::known(&model.capabilities);
            let mut lacks = Capabilities::default();
            for (modality, capability) in [(Modality::Image, Capability::Image), (Modality::Audio, Capability::Audio)] {
                if reads(modality) { has.insert(capability) } else { lacks.insert(capability) }
            }
            (has, lacks)
        } else {
            let has = Capabilities::known(&deployment.capabilities);
            (has, Capability::LISTED.into_iter().filter(|c| !has.contains(*c)).collect())
        };
        for (task, capability) in TASKS {
            if model.does(task) { has.insert(capability) } else { lacks.insert(capability) }
        }
        let said = Capabilities::known(&deployment.lacks);
        said.iter().for_each(|capability| lacks.insert(capability));
        let local = matches!(deployment.place, Place::Local { .. });
        // A local engine sends no bill; its price is known to be nothing unless the configuration says otherwise.
        let price = |usd: Option<f64>| match usd {
            // What is no price is not known, rather than the cheapest or the dearest of all.
            Some(usd) => Some(usd as f32).filter(|usd| usd.is_finite() && *usd >= 0.0),
            None => local.then_some(0.0),
        };
        Self {
            deployment: at,
            model: model_index,
            local,
            site: 0,
            context_tokens: deployment.context_tokens.or(model.context_tokens),
            has: has.without(said),
            lacks,
            input_usd: price(deployment.input_usd_per_million),
            cached_usd: price(deployment.cached_input_usd_per_million.or(deployment.input_usd_per_million)),
            output_usd: price(deployment.output_usd_per_million),
        }
    }
}

/// The share of quality that weights of so many bits keep: about 2 % are lost at 4 bits and 10 % at 3.
fn precision(bits: Option<f32>) -> f32 {
    match bits {
        Some(bits) if bits < 3.0 => 0.75,
        Some(bits) if bits < 4.0 => 0.9,
        Some(bits) if bits < 6.0 => 0.98,
        _ => 1.0,
    }
}

fn fluency(model: &Model, language: &str) -> f32 {
    let among = |languages: &[String]| languages.iter().any(|l| l == language);
    if among(&model.strong_languages) {
        1.0
    } else if among(&model.languages) || model.languages.iter().any(|l| l == "mul") {
        NAMED
    } else if model.languages.is_empty() {
        UNSTATED
    } else {
        FOREIGN
    }
}
