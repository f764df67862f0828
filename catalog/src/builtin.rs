//! The data files that are built into the program.

use crate::{Catalog, Problem};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$((concat!("catalog/data/", $path), include_str!(concat!("../data/", $path)))),*]
    };
}

/// Every file of `data/`, by the name that messages use. A test fails when one is missing here.
pub(crate) const FILES: &[(&str, &str)] = files!["licenses.yaml", "models/pointsman.yaml",];

pub(crate) fn load() -> Result<Catalog, Vec<Problem>> {
    Catalog::from_files(FILES)
}
