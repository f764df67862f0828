//! Which requests a report is about.

use std::io;

use clap::Args;

use super::join::Entry;
use crate::settle::record::CandidateRecord;
use crate::subjects::Names;

/// Only some of the requests; what is not said is all.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Only requests")]
pub(super) struct Which {
    /// In this context
    #[arg(long, value_name = "NAME")]
    context: Vec<String>,
    /// Of this legal entity
    #[arg(long, value_name = "NAME")]
    entity: Vec<String>,
    /// With this key, by its id; of somebody who was erased, by the pseudonym
    #[arg(long, value_name = "ID")]
    key: Vec<String>,
    /// Served, or refused, by this model of the catalog
    #[arg(long, value_name = "ID")]
    model: Vec<String>,
    /// Whose decision rests on this licence
    #[arg(long, value_name = "ID")]
    license: Vec<String>,
    /// Of this licence tier: 1 free, 2 conditional, 3 research, 4 non-commercial, 5 closed
    #[arg(long, value_name = "1..5", value_parser = clap::value_parser!(u8).range(1..=6))]
    tier: Vec<u8>,
    /// For this use: revenue, internal, research, personal
    #[arg(long = "use", value_name = "USE")]
    use_: Vec<String>,
    /// Whose answers these see: internal, public
    #[arg(long, value_name = "EXPOSURE")]
    exposure: Vec<String>,
    /// Whose answers become this: inference, evaluation, agent, distillation, training-data; several with commas
    #[arg(long, value_name = "PURPOSE", value_delimiter = ',')]
    purpose: Vec<String>,
    /// Decided so: serve, license, none_fits, unavailable
    #[arg(long, value_name = "VERDICT")]
    verdict: Vec<String>,
}

impl Which {
    /// The same among records as they are, where keys have pseudonyms.
    pub(super) fn as_recorded(&self, names: &Names) -> io::Result<Self> {
        let mut which = self.clone();
        if !self.key.is_empty() {
            let of_them =
                names.all()?.into_iter().filter(|(_, found)| self.key.iter().any(|key| **key == *found.subject));
            which.key.extend(of_them.map(|(pseudonym, _)| pseudonym));
        }
        Ok(which)
    }

    /// Whether a request is one of them.
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        self.fits_by(entry, entry.licensed())
    }

    /// Whether it may be one of them, where nothing tells how it ended.
    pub(super) fn may_fit(&self, entry: &Entry) -> bool {
        self.fits_by(entry, entry.may_rest_on())
    }

    /// Whether it is one by one of these licence decisions.
    fn fits_by<'a>(&self, entry: &'a Entry, licensed: impl IntoIterator<Item = &'a CandidateRecord<'static>>) -> bool {
        let decision = &entry.decision;
        let among = |wanted: &[String], is: Option<&str>| {
            wanted.is_empty() || is.is_some_and(|is| wanted.iter().any(|wanted| wanted == is))
        };
        among(&self.context, Some(&decision.context))
            && among(&self.entity, decision.r#use.entity.as_deref())
            && among(&self.key, decision.key.as_deref())
            && (self.model.is_empty() && self.license.is_empty() && self.tier.is_empty()
                || licensed.into_iter().any(|licensed| {
                    among(&self.model, Some(&licensed.model))
                        && among(&self.license, Some(&licensed.license))
                        && (self.tier.is_empty() || self.tier.contains(&licensed.tier))
                }))
            && among(&self.use_, Some(&decision.r#use.purpose))
            && among(&self.exposure, Some(&decision.r#use.exposure))
            && among(&self.purpose, Some(&decision.r#use.activity))
            && among(&self.verdict, Some(&decision.verdict))
    }
}
