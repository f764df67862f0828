//! A file that was read: its name as messages print it, and its text.

use std::{io, io::Read, path::Path, sync::Arc};

use policies::Diagnostic;

use super::{
    report::{Problem, Problems},
    yaml::MAX_BYTES,
};

/// A file's name and text. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: Arc<str>,
}

impl Source {
    pub(crate) fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a file of at most [`MAX_BYTES`] of UTF-8. `what` is the role of the file, for the message.
    pub(crate) fn read(path: &Path, what: &str) -> Result<Self, Box<Diagnostic>> {
        let name = path.display().to_string();
        let problem =
            |message: String, hint: &str| Box::new(Problem::error("unreadable-file", message).hint(hint).of(&name));
        let unreadable =
            |error: io::Error| problem(format!("the {what} cannot be read: {}", reason(&error)), hint(&error));
        // A pipe or a device may never end, so the kind of file is asked before it is opened.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(problem(format!("the {what} is not a file"), "name a regular file"));
        }
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            let message = format!("the {what} is larger than {} MiB", MAX_BYTES >> 20);
            return Err(problem(message, "split it into several files"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            problem(format!("the {what} is not UTF-8 text from byte {at} on"), "save it as UTF-8")
        })?;
        Ok(Self::new(name, text))
    }
}

impl Problems {
    /// Reads a file, or notes why it cannot be read.
    pub(crate) fn read(&mut self, path: &Path, what: &str) -> Option<Source> {
        Source::read(path, what).map_err(|problem| self.push(*problem)).ok()
    }
}

/// An I/O error in plain words, without the number that the operating system gives it.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "name a file that is there; a relative path is relative to the file that names it",
        _ => "the user that runs the gateway must be able to read it",
    }
}
