//! The metadata of a model, each number checked against a limit.

use std::ops::RangeInclusive;

use engine::gguf::{Error, File, FromValue, Value};

use super::ModelError;

/// The metadata that begins with the architecture's name.
pub(crate) struct Keys<'f> {
    pub(crate) file: &'f File,
    pub(crate) architecture: &'f str,
}

impl<'f> Keys<'f> {
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.file.metadata(&self.name(key)).is_some()
    }

    pub(crate) fn get<T: FromValue<'f>>(&self, key: &str) -> Result<Option<T>, ModelError> {
        Ok(self.file.get(&self.name(key))?)
    }

    /// A whole number from 1 to `limit`.
    pub(crate) fn bounded(&self, key: &str, limit: u64) -> Result<usize, ModelError> {
        let name = self.name(key);
        if let Some(Value::Array(_)) = self.file.metadata(&name) {
            return Err(ModelError::unsupported(format!("a `{name}` that differs from layer to layer")));
        }
        let value: u64 = self.file.require(&name)?;
        match usize::try_from(value) {
            Ok(size) if (1..=limit).contains(&value) => Ok(size),
            _ => Err(self.wrong(key, format!("a whole number from 1 to {limit}"), value)),
        }
    }

    /// The same, where the file may not say.
    pub(crate) fn bounded_or(&self, key: &str, limit: u64, unsaid: usize) -> Result<usize, ModelError> {
        if self.has(key) { self.bounded(key, limit) } else { Ok(unsaid) }
    }

    /// What frequencies begin with.
    pub(crate) fn base(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.get::<f32>(key)?.map(f64::from) {
            Some(base) if !(base.is_finite() && base >= 1.0) => Err(self.wrong(key, "a number of at least 1", base)),
            base => Ok(base),
        }
    }

    /// A number above zero, which stands for none.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f32>, ModelError> {
        match self.get::<f32>(key)? {
            None | Some(0.0) => Ok(None),
            Some(number) if number.is_normal() && number > 0.0 => Ok(Some(number)),
            Some(number) => Err(self.wrong(key, "a positive number", number)),
        }
    }

    /// A number of a range.
    pub(crate) fn within(&self, key: &str, range: RangeInclusive<f32>) -> Result<Option<f64>, ModelError> {
        match self.get::<f32>(key)? {
            Some(number) if !range.contains(&number) => {
                Err(self.wrong(key, format!("a number from {} to {}", range.start(), range.end()), number))
            }
            number => Ok(number.map(f64::from)),
        }
    }

    pub(crate) fn wrong(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> ModelError {
        Error::WrongValue { key: self.name(key), expected: expected.into(), found: found.to_string() }.into()
    }
}
