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
    "benchmarks.yaml",
    "fine-tuning.yaml",
    "hardware.yaml",
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
    "models/parents.yaml",
    "models/pointsman.yaml",
    "models/qwen.yaml",
    "models/retrieval.yaml",
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

/// Shapes of models, which are no rows of a catalog: see `crate::fit`.
pub(crate) const SHAPES: (&str, &str) = files!["shapes.yaml"][0];

/// The selection matrix and its questions, which are no rows either: see `crate::advise`.
pub(crate) const ADVICE: (&str, &str) = files!["advice.yaml"][0];

/// Reads one of the files that hold no rows. A test reads each, so a broken one cannot get as far as a release.
pub(crate) fn read<T: serde::de::DeserializeOwned>((name, text): (&str, &str)) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn load() -> Result<Catalog, Vec<Problem>> {
    Catalog::from_files(FILES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn every_data_file_is_built_in() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let read =
            |folder: PathBuf| std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let files = read(data.clone()).flat_map(|path| if path.is_dir() { read(path).collect() } else { vec![path] });
        let names: BTreeSet<String> = files
            .map(|path| path.strip_prefix(&data).expect("below data").to_string_lossy().replace('\\', "/"))
            // Names of the map for a test, no rows.
            .filter(|name| name != "names.yaml")
            .map(|name| format!("catalog/data/{name}"))
            .collect();
        let built_in: BTreeSet<String> =
            FILES.iter().chain([&SHAPES, &ADVICE]).map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(built_in, names);
    }

    #[test]
    fn every_tier_is_that_of_the_strictest_licence() {
        let catalog = Catalog::builtin();
        for model in catalog.models() {
            let strictest = model.licenses().filter_map(|id| catalog.license(id)).map(|license| license.tier).max();
            assert_eq!(Some(model.tier), strictest, "{}", model.id);
        }
    }
}
