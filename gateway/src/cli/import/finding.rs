//! What became of each thing that an imported configuration says.
//!
//! A finding never holds a secret: it names a key, and shows a value only where whoever makes it knows that the value is
//! none.

use std::fmt;

use serde::Serialize;

use crate::config::source::Source;

/// How much of what was read the result says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Grade {
    /// The same.
    Exact,
    /// Much the same; the difference is told.
    Approximate,
    /// Nothing, until somebody does what is told.
    Manual,
    /// Nothing, and there is nothing to do it with.
    Unsupported,
}

impl Grade {
    /// Every grade, the best first.
    pub(super) const ALL: [Grade; 4] = [Grade::Exact, Grade::Approximate, Grade::Manual, Grade::Unsupported];
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Grade::Exact => "exact",
            Grade::Approximate => "approximate",
            Grade::Manual => "manual",
            Grade::Unsupported => "unsupported",
        })
    }
}

/// One thing that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    /// The file as it was named.
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: usize,
    /// What was read.
    pub(super) read: String,
    /// What it became.
    pub(super) became: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// The findings of one file.
pub(super) struct Findings<'a> {
    source: &'a Source,
    /// Where each line but the first begins.
    lines: Vec<usize>,
    all: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(super) fn of(source: &'a Source) -> Self {
        let lines = source.text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { source, lines, all: Vec::new() }
    }

    /// Notes what stands at a byte of the file.
    pub(super) fn note(
        &mut self,
        grade: Grade,
        at: usize,
        read: impl Into<String>,
        became: impl Into<String>,
        next: Option<&str>,
    ) {
        self.all.push(Finding {
            grade,
            file: self.source.name.to_string(),
            line: self.lines.partition_point(|start| *start <= at) + 1,
            read: read.into(),
            became: became.into(),
            next: next.map(str::to_owned),
        });
    }

    /// From the start of the file to its end.
    pub(super) fn in_order(mut self) -> Vec<Finding> {
        self.all.sort_by_key(|finding| finding.line);
        self.all
    }
}
