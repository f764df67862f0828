//! The configurations that decided, from the ledger's folder alone: their catalogs, and when each of them began.

use std::{cell::RefCell, collections::HashMap, path::Path, sync::Arc};

use catalog::Catalog;

use super::join::Told;
use crate::{
    config::{Role, ledger_folder},
    instance::{Activated, Event, texts::Texts},
};

/// The configurations of a ledger, as far as it has been read.
#[derive(Debug)]
pub(super) struct Recorded {
    texts: Texts,
    activated: Vec<Activation>,
    catalogs: RefCell<HashMap<String, Result<Arc<Catalog>, String>>>,
}

/// A configuration that began to decide.
#[derive(Clone, Debug)]
pub(super) struct Activation {
    /// The number of the record that says so.
    pub(super) record: u64,
    /// When, in Unix milliseconds.
    pub(super) time: u64,
    /// What began.
    pub(super) activated: Activated,
}

impl Recorded {
    /// Of the ledger in a data folder; nothing is read yet.
    pub(super) fn of(data_dir: &Path) -> Self {
        let texts = Texts::of(&ledger_folder(data_dir));
        Self { texts, activated: Vec::new(), catalogs: RefCell::default() }
    }

    /// Takes what a ledger tells.
    pub(super) fn take(&mut self, told: &Told) {
        if let Told::Gateway(record, said) = told
            && let Event::Activate(activated) = &said.event
        {
            let activated = activated.clone();
            self.activated.push(Activation { record: *record, time: said.time, activated });
        }
    }

    /// The configurations in the order in which they began.
    pub(super) fn activated(&self) -> &[Activation] {
        &self.activated
    }

    /// The text of a digest.
    pub(super) fn text(&self, sha256: &str) -> Option<String> {
        self.texts.read(sha256).ok()
    }

    /// The catalog of a configuration; why not, where it cannot be had.
    pub(super) fn catalog(&self, config: &str) -> Result<Arc<Catalog>, String> {
        if let Some(known) = self.catalogs.borrow().get(config) {
            return known.clone();
        }
        let made = self.made(config);
        self.catalogs.borrow_mut().insert(config.to_owned(), made.clone());
        made
    }

    /// That of the configuration that began last.
    pub(super) fn newest(&self) -> Option<Result<Arc<Catalog>, String>> {
        Some(self.catalog(&self.activated.last()?.activated.config))
    }

    fn made(&self, config: &str) -> Result<Arc<Catalog>, String> {
        let of = self.activated.iter().rev().find(|one| one.activated.config == config);
        let activated = &of.ok_or("the ledger does not say by which texts it was decided")?.activated;
        // Without a configuration file something is assumed of the company, in the catalog itself.
        let assumed = Catalog::with_assumptions();
        if assumed.digest() == activated.catalog {
            return Ok(assumed);
        }
        let builtin = Catalog::builtin();
        if builtin.digest() != activated.builtin {
            return Err(format!("it was decided by the catalog of version {}", activated.version));
        }
        let files = activated.texts.iter().filter(|text| text.role == Role::Catalog);
        let files = files.map(|text| {
            let read = self.texts.read(&text.sha256);
            read.map(|read| (text.name.clone(), read)).map_err(|error| error.to_string())
        });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            return Ok(builtin);
        }
        let catalog = builtin.with_overlays(&files).map_err(|_| "its catalog files cannot be read any more")?;
        match catalog.digest() == activated.catalog {
            true => Ok(Arc::new(catalog)),
            false => Err("the texts that are kept make another catalog than the one that decided".to_owned()),
        }
    }
}
