//! How this crate's own problems are stated; they end in the same report as those of the policies.

use std::ops::Range;

use policies::{Diagnostic, Report, Severity};

use super::{
    hidden::{hidden, without_users},
    source::Source,
};

/// One problem, and the place that [`Problem::at`] gives it.
#[derive(Debug)]
pub(crate) struct Problem {
    code: &'static str,
    severity: Severity,
    message: String,
    label: String,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), label: String::new(), hint: None }
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// A few words under the caret.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The problem at these bytes of a file. Neither the line that it quotes nor its message holds a secret of the file.
    pub(crate) fn at(self, source: &Source, span: Range<usize>) -> Diagnostic {
        let text = hidden(&source.text);
        let (file, message) = ((&*source.name, text.as_str()), without_users(&self.message));
        let mut diagnostic = Diagnostic::new(self.severity, self.code, file, span, message, self.label);
        diagnostic.hint = self.hint;
        diagnostic
    }

    /// The problem of something that is no place in a file: a command-line argument, a file that is not there.
    pub(crate) fn of(self, name: &str) -> Diagnostic {
        self.at(&Source::new(name, ""), 0..0)
    }
}

/// Everything that was found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Report);

impl Problems {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.0.diagnostics.push(diagnostic);
    }

    pub(crate) fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.0.diagnostics.extend(diagnostics);
    }

    pub(crate) fn append(&mut self, report: Report) {
        self.0.diagnostics.extend(report.diagnostics);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.has_errors()
    }

    /// File by file in the order in which they were met, and within a file from its start to its end.
    pub(crate) fn into_report(self) -> Report {
        let Report { mut diagnostics } = self.0;
        let mut files: Vec<String> = Vec::new();
        for diagnostic in &diagnostics {
            if !files.contains(&diagnostic.file) {
                files.push(diagnostic.file.clone());
            }
        }
        diagnostics.sort_by_key(|d| (files.iter().position(|file| *file == d.file), d.span.start));
        Report { diagnostics }
    }
}

/// The name that is nearest to what was written, if one is near enough to be meant.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name))
        // A third of the letters: beyond that a suggestion is noise.
        .filter(|(distance, name)| *distance * 3 <= name.chars().count().max(written.chars().count()))
        .min()
        .map(|(_, name)| name)
}

/// "`a`, `b`, `c`", as messages list names.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
