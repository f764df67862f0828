//! What people meet when a configuration is right, and when it is not.

mod drafts;
mod folder;
mod messages;
mod shipped;
mod zero;

use std::{fs, path::Path};

use policies::Report;
use tempfile::TempDir;

use super::{Config, Environment, Overrides, load};

/// A folder with files, and the environment they are read with.
struct Files {
    folder: TempDir,
    environment: Environment,
}

impl Files {
    fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        Self::of(&files)
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, environment: Environment::default() }
    }

    fn environment<const N: usize>(mut self, variables: [(&str, &str); N]) -> Self {
        self.environment = Environment::of(variables);
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn load(&self) -> Result<(Config, Report), Report> {
        load(&self.path().join("pointsman.yaml"), &Overrides::default(), &self.environment)
    }

    fn config(&self) -> Config {
        let (config, warnings) = self.load().unwrap_or_else(|report| panic!("{report}"));
        assert!(warnings.is_empty(), "{warnings}");
        config
    }

    /// A report as it is printed, without the folder that a test happened to get.
    fn plain(&self, report: &Report) -> String {
        report.render(false).replace(&format!("{}/", self.path().display()), "")
    }

    fn errors(&self) -> String {
        self.plain(&self.load().expect_err("the configuration is not in order"))
    }
}

/// What is printed for a configuration with these lines; `keys` and its team are there already.
fn errors(lines: &str) -> String {
    Files::new([("pointsman.yaml", &with_keys(lines)), ("keys.yaml", "keys: []")]).errors()
}

fn with_keys(lines: &str) -> String {
    format!("{lines}\nkeys: keys.yaml\n")
}
