//! How fast each engine was with a file of weights on this machine: written by `pointsman bench engines`, read by `auto`.
//!
//! Kept in one small file of the data folder. A measurement belongs to a file's path, size and time of change, and to the
//! processor that it was made on: one of another file, or of another machine whose data folder was copied, counts for nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

/// The file's name in the data folder.
const NAME: &str = "engines.json";
/// More than anybody measures; a file beyond it is not read.
const MOST_BYTES: u64 = 1 << 20;
/// Measurements that are kept; the oldest go first.
const MOST: usize = 1_000;

/// How fast an engine was with a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The engine.
    pub engine: String,
    /// The file of weights.
    pub path: PathBuf,
    bytes: u64,
    changed: u64,
    machine: String,
    /// Tokens of a prompt that it reads in a second.
    pub prompt_tokens_per_second: f64,
    /// Tokens of one answer that it writes in a second.
    pub answer_tokens_per_second: f64,
}

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    rates: Vec<Rate>,
}

impl Measured {
    /// What a data folder has; nothing, where it has none or what it has cannot be read: it is measured anew then.
    pub fn of_folder(data: &Path) -> Self {
        let path = data.join(NAME);
        let small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= MOST_BYTES);
        let text = if small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What holds for a file as it is now, on this machine.
    pub fn of(&self, path: &Path) -> Vec<&Rate> {
        let Ok((path, bytes, changed)) = state(path) else { return Vec::new() };
        let machine = machine();
        let same = |rate: &&Rate| {
            rate.path == path && (rate.bytes, rate.changed) == (bytes, changed) && rate.machine == machine
        };
        self.rates.iter().filter(same).collect()
    }

    /// Adds a measurement, in place of an older one of the same engine and file.
    ///
    /// # Errors
    /// The file of weights is gone.
    pub fn add(&mut self, engine: &str, path: &Path, prompt: f64, answer: f64) -> io::Result<()> {
        let (path, bytes, changed) = state(path)?;
        self.rates.retain(|rate| rate.engine != engine || rate.path != path);
        self.rates.push(Rate {
            engine: engine.to_owned(),
            path,
            bytes,
            changed,
            machine: machine(),
            prompt_tokens_per_second: prompt,
            answer_tokens_per_second: answer,
        });
        let over = self.rates.len().saturating_sub(MOST);
        self.rates.drain(..over);
        Ok(())
    }

    /// Writes them to a data folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        fs::create_dir_all(data)?;
        crate::keys::replace_file(&data.join(NAME), serde_json::to_string_pretty(self)?.as_bytes())
    }
}

/// A file by its one true path, its size, and its time of change in milliseconds.
fn state(path: &Path) -> io::Result<(PathBuf, u64, u64)> {
    let path = path.canonicalize()?;
    let meta = fs::metadata(&path)?;
    let changed = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((path, meta.len(), u64::try_from(changed.as_millis()).unwrap_or(u64::MAX)))
}

/// What this machine computes with.
fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads", native::instruction_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_holds_for_its_file_and_no_longer_once_that_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (weights, data) = (folder.path().join("model.gguf"), folder.path().join("data"));
        fs::write(&weights, "one").unwrap();
        let mut measured = Measured::of_folder(&data);
        measured.add("native", &weights, 100.0, 10.0).unwrap();
        measured.add("llama-cpp", &weights, 50.0, 5.0).unwrap();
        measured.add("native", &weights, 200.0, 20.0).unwrap();
        measured.write(&data).unwrap();
        let read = Measured::of_folder(&data);
        assert_eq!(read, measured);
        let rates: Vec<(&str, f64)> =
            read.of(&weights).iter().map(|rate| (rate.engine.as_str(), rate.answer_tokens_per_second)).collect();
        assert_eq!(rates, [("llama-cpp", 5.0), ("native", 20.0)]);
        assert!(read.of(&folder.path().join("other.gguf")).is_empty());
        fs::write(&weights, "another").unwrap();
        assert!(read.of(&weights).is_empty());
        fs::write(data.join(NAME), "{").unwrap();
        assert_eq!(Measured::of_folder(&data), Measured::default());
    }
}
