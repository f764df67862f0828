//! A small random model in a folder of its own, to be changed and loaded.

use engine::testing::Clip;
use tempfile::TempDir;

use super::*;

pub(super) struct Toy {
    folder: TempDir,
}

impl Toy {
    pub(super) fn new(model: &Llama) -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::testing::write(model, folder.path());
        Self { folder }
    }

    /// One that reads pictures.
    pub(super) fn seeing(model: &Llama, projector: &Clip) -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::testing::seeing(model, projector, folder.path());
        Self { folder }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn load(&self, options: Options) -> Result<Engine, LoadError> {
        load(BackendId::new("toy"), self.path(), options)
    }

    pub(super) fn write(&self, name: &str, value: &Value) {
        std::fs::write(self.path().join(name), value.to_string()).unwrap();
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&std::fs::read(self.path().join(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, &value);
    }
}
