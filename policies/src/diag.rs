//! What is wrong with a policy, said so that it can be put right at once.
//!
//! A [`Diagnostic`] has a stable code ([`Code`]), the place in the file, the text under the caret, and a hint.
//! A [`Report`] holds every problem of a compilation. Rendering is plain text or colour; JSON is the same fields.
//! Knows nothing of what a policy means.

use std::{borrow::Cow, fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// A report holds at most this many diagnostics; a file with more is told so.
pub(crate) const MAX_DIAGNOSTICS: usize = 100;

/// A source line longer than this is named but not quoted.
const MAX_QUOTED_LINE: usize = 1_000;

/// Whether a policy with this problem may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It may not.
    Error,
    /// It may, but part of it has no effect.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Every kind of problem. The text form is stable: scripts may match on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of this list.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The stable kebab-case form.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// One sentence on what the code means.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The text is not YAML.
    YamlSyntax = "yaml-syntax",
    /// The file, its nesting or its aliases exceed the limits that keep checking fast.
    YamlLimit = "yaml-limit",
    /// A key is not part of the policy language.
    UnknownKey = "unknown-key",
    /// A key stands twice in one mapping.
    DuplicateKey = "duplicate-key",
    /// A required key is absent.
    MissingKey = "missing-key",
    /// A value has another shape than the key asks for.
    WrongType = "wrong-type",
    /// A value has the right shape but is not one of those the key accepts.
    WrongValue = "wrong-value",
    /// The file asks for a version of the language that this build does not read.
    UnsupportedVersion = "unsupported-version",
    /// A range has its lower end above its upper end, so nothing can be in it.
    EmptyRange = "empty-range",
    /// Two routes have the same name.
    DuplicateRoute = "duplicate-route",
    /// Two arms of a split have the same name.
    DuplicateArm = "duplicate-arm",
    /// A candidate names no model of the catalog and no deployment.
    UnknownModel = "unknown-model",
    /// A candidate names a host that the catalog does not have.
    UnknownHost = "unknown-host",
    /// A candidate names a model family that the catalog does not have.
    UnknownFamily = "unknown-family",
    /// A candidate names a preset that is no row of the selection matrix.
    UnknownPreset = "unknown-preset",
    /// A piece of hardware is not in the catalog.
    UnknownHardware = "unknown-hardware",
    /// A licence id is not in the catalog.
    UnknownLicense = "unknown-license",
    /// A benchmark is not in the catalog.
    UnknownBenchmark = "unknown-benchmark",
    /// A time zone is not in the IANA database.
    UnknownZone = "unknown-zone",
    /// A header or an entry of `metadata` is matched that the configuration does not declare.
    UnknownFact = "unknown-fact",
    /// A team is matched that the configuration does not have.
    UnknownTeam = "unknown-team",
    /// A context is matched that the configuration does not have.
    UnknownContext = "unknown-context",
    /// A key is matched that the keys file does not have.
    UnknownApiKey = "unknown-api-key",
    /// A test names a route that no file has.
    UnknownRoute = "unknown-route",
    /// An alias stands for a name that is no model, no deployment and in no route's `match`.
    UnknownAlias = "unknown-alias",
    /// Two aliases have the same name.
    DuplicateAlias = "duplicate-alias",
    /// Aliases stand for one another without an end, or in too long a chain.
    AliasLoop = "alias-loop",
    /// An alias has the name of something else, which could then not be asked for.
    AliasHides = "alias-hides",
    /// A `when` is no expression over the facts of a request that is true or false.
    BadCondition = "bad-condition",
    /// A `when` reads what a request may not have, without asking for it before; for such a request it is an error.
    UnguardedFact = "unguarded-fact",
    /// Two parts of a policy cannot both be met.
    Contradiction = "contradiction",
    /// What is written changes nothing, because something beside it says more.
    NoEffect = "no-effect",
    /// A candidate stands twice in one list; the second has no effect.
    DuplicateCandidate = "duplicate-candidate",
    /// Two arms of a split ask the same candidates, so that it tells nobody apart.
    OverlappingArms = "overlapping-arms",
    /// An earlier route takes every request that this one matches.
    UnreachableRoute = "unreachable-route",
    /// Earlier routes take every request with one of the values that this one matches.
    ShadowedRoute = "shadowed-route",
    /// No deployment serves this candidate, so it can never be chosen.
    NoDeployment = "no-deployment",
    /// A candidate can never meet what its route requires, wherever it is deployed.
    ExcludedCandidate = "excluded-candidate",
    /// No model of the catalog that a route names meets what it requires, whatever is deployed.
    ImpossibleRoute = "impossible-route",
    /// No deployment meets what a route requires, so that it refuses every request.
    NoCandidate = "no-candidate",
    /// There are more problems than a report holds.
    TooManyProblems = "too-many-problems",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    /// The stable code, as [`Code::as_str`] gives it.
    pub code: &'static str,
    /// Whether it stops the policy from being used.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
    /// What to write under the caret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The source line, quoted by [`Diagnostic::render`].
    #[serde(skip)]
    quoted: Option<Quoted>,
}

/// A source line and the bytes of it to underline.
#[derive(Clone, Debug, PartialEq)]
struct Quoted {
    line: String,
    marked: Range<usize>,
}

impl Diagnostic {
    /// A problem at `span` of the text of `file`, for a crate that checks files of its own kind and has codes of its
    /// own; `label` stands under the caret.
    pub fn new(
        severity: Severity,
        code: &'static str,
        (file, text): (&str, &str),
        span: Range<usize>,
        message: String,
        label: String,
    ) -> Self {
        File::new(file, text).state(severity, code, &span, message, label)
    }

    /// The diagnostic as text, with its source line and a caret; `color` adds terminal colours.
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (message, label) = (one_line(&self.message), one_line(&self.label));
        let mut group = level.primary_title(&*message).id(self.code).elements(Vec::<Origin<'_>>::new());
        group = match &self.quoted {
            Some(Quoted { line, marked }) => {
                let mark = AnnotationKind::Primary.span(marked.clone());
                let mark = if label.is_empty() { mark } else { mark.label(&*label) };
                let snippet = Snippet::source(line.as_str()).line_start(self.line).path(self.file.as_str());
                group.element(snippet.annotation(mark))
            }
            None => group.element(Origin::path(self.file.as_str()).line(self.line).char_column(self.column)),
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(one_line(hint)));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// A text that may quote what a file says, with line breaks and other controls escaped: it cannot pass for lines of ours.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    shown.into()
}

/// Every problem of a compilation, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The problems.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Whether any of them stops the policy from being used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// All of them as text, one after the other.
    pub fn render(&self, color: bool) -> String {
        self.diagnostics.iter().map(|d| d.render(color)).collect::<Vec<_>>().join("\n\n")
    }

    /// All of them as JSON: `{"diagnostics": [...]}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "diagnostics": self.diagnostics })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// One file while it is being checked: turns spans into lines and columns, and collects what is wrong.
#[derive(Debug)]
pub(crate) struct File<'a> {
    name: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> File<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, line_starts }
    }

    /// Its name, as the caller gave it.
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// What stands at a place.
    pub(crate) fn written(&self, at: &Range<usize>) -> &'a str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at)
    }

    /// A problem at `span`; `label` stands under the caret.
    pub(crate) fn diagnose(
        &self,
        severity: Severity,
        code: Code,
        span: &Range<usize>,
        message: String,
        label: String,
    ) -> Diagnostic {
        self.state(severity, code.as_str(), span, message, label)
    }

    fn state(
        &self,
        severity: Severity,
        code: &'static str,
        span: &Range<usize>,
        message: String,
        label: String,
    ) -> Diagnostic {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end).max(start);
        let line_index = self.line(start) - 1;
        let line_start = self.line_starts[line_index];
        let line = self.text[line_start..].split('\n').next().unwrap_or("").trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = (end - line_start).clamp(from, line.len());
        // A text that is empty - a file that is not there - has no line to show.
        let quoted = (!self.text.is_empty() && line.len() <= MAX_QUOTED_LINE)
            .then(|| Quoted { line: line.to_owned(), marked: from..to });
        Diagnostic {
            code,
            severity,
            message,
            file: self.name.to_owned(),
            line: line_index + 1,
            column: line[..from].chars().count() + 1,
            span: start..end,
            label,
            hint: None,
            quoted,
        }
    }

    /// The nearest character boundary at or below `at`.
    fn boundary(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at.min(self.text.len()))
    }
}

/// The problems found so far, bounded.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    left_off: bool,
}

impl Problems {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < MAX_DIAGNOSTICS {
            self.found.push(diagnostic);
        } else if !self.left_off {
            self.left_off = true;
            self.found.push(Diagnostic {
                code: Code::TooManyProblems.as_str(),
                message: format!("more than {MAX_DIAGNOSTICS} problems; the rest is left off"),
                label: String::new(),
                hint: Some("put these right and check again".to_owned()),
                ..diagnostic
            });
        }
    }

    /// Whether nothing more will be reported, so that looking further is in vain.
    pub(crate) fn full(&self) -> bool {
        self.left_off
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// The problems in the order of `files`, and in each from the top.
    pub(crate) fn into_report(mut self, files: &[File<'_>]) -> Report {
        let place = |d: &Diagnostic| {
            let file = files.iter().position(|file| file.name == d.file);
            (d.code == Code::TooManyProblems.as_str(), file, d.span.start)
        };
        self.found.sort_by_key(place);
        Report { diagnostics: self.found }
    }
}

/// Names at least this much alike are worth suggesting.
pub(crate) const LIKE_ENOUGH: f64 = 0.8;

/// How much two names look alike, from 0 to 1; case does not count.
pub(crate) fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}

/// The name of `known` that looks most like `name`, if any does.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|k| (likeness(name, k), k))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_kebab_case_and_each_has_a_sentence() {
        let texts: HashSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{code}");
            assert!(code.meaning().ends_with('.') && !code.meaning().starts_with(' '), "{code}: {}", code.meaning());
        }
    }

    #[test]
    fn what_a_file_says_cannot_pass_for_lines_of_the_report() {
        let message = "route `a\n\nerror: all is lost\u{1b}[2K` is odd".to_owned();
        let mut d =
            File::new("f", "a: 1\n").diagnose(Severity::Error, Code::WrongValue, &(0..1), message, "x\ny".into());
        d.hint = Some("not `b\nc`".to_owned());
        let rendered = d.render(false);
        assert!(rendered.contains(r"route `a\n\nerror: all is lost\u{1b}[2K` is odd"), "{rendered}");
        assert!(rendered.contains(r"^ x\ny") && rendered.contains(r"not `b\nc`"), "{rendered}");
    }

    #[test]
    fn a_column_counts_characters_and_not_bytes() {
        let file = File::new("f", "a: 1\nkö: bad\n");
        let d = file.diagnose(Severity::Error, Code::WrongValue, &(10..13), String::new(), String::new());
        assert_eq!((d.line, d.column), (2, 5));
    }
}
