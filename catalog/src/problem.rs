//! What is wrong with a catalog file, and where.

use std::fmt;

/// One problem of one file. `line` and `column` count from 1; 0 means that the place is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable kebab-case name of the kind of problem.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {} [{}]", self.message, self.code)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
