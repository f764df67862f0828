//! The data files that are built into the program.

use crate::{Catalog, Problem};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$((concat!("catalog/data/", $path), include_str!(concat!("../data/", $path)))),*]
    };
}

/// Every file of `data/`, by the name that messages use. A test fails when one is missing here.
pub(crate) const FILES: &[(&str, &str)] = files![
    "licenses.yaml",
    "hosts.yaml",
    "servers.yaml",
    "quantizations.yaml",
    "models/apple.yaml",
    "models/chinese.yaml",
    "models/closed.yaml",
    "models/cohere.yaml",
    "models/deepseek.yaml",
    "models/google.yaml",
    "models/japanese.yaml",
    "models/korean.yaml",
    "models/meta.yaml",
    "models/microsoft.yaml",
    "models/mistral.yaml",
    "models/open-research.yaml",
    "models/pointsman.yaml",
    "models/qwen.yaml",
    "models/tii.yaml",
    "models/vision.yaml",
    "prices/cerebras.yaml",
    "prices/deepinfra.yaml",
    "prices/fireworks.yaml",
    "prices/groq.yaml",
    "prices/openrouter.yaml",
    "prices/replicate.yaml",
    "prices/sambanova.yaml",
    "prices/together.yaml",
];

pub(crate) fn load() -> Result<Catalog, Vec<Problem>> {
    Catalog::from_files(FILES)
}
