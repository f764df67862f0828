//! Findings as GitHub workflow commands, one a line: a workflow that prints them has them shown beside the lines of the
//! pull request. <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use policies::Severity;

use super::Finding;

/// The command for a finding, with its line break.
pub(super) fn command(finding: &Finding) -> String {
    let kind = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut properties = vec![format!("title={}", property(&finding.code))];
    if let Some(file) = &finding.file {
        properties.push(format!("file={}", property(file)));
        properties.push(format!("line={}", finding.line));
        properties.extend(finding.column.map(|column| format!("col={column}")));
    }
    format!("::{kind} {}::{}\n", properties.join(","), data(&finding.message))
}

/// The message of a command: it ends with the line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property: it ends with a comma or with the colons.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_cannot_pass_for_another_command() {
        let finding = Finding {
            code: "unknown-key".to_owned(),
            severity: Severity::Warning,
            message: "100 % of\n::error::all is lost".to_owned(),
            file: Some("a,b:c.yaml".to_owned()),
            line: 3,
            column: Some(9),
        };
        assert_eq!(
            command(&finding),
            "::warning title=unknown-key,file=a%2Cb%3Ac.yaml,line=3,col=9::100 %25 of%0A::error::all is lost\n"
        );
        let nowhere = Finding { file: None, severity: Severity::Error, message: "m".to_owned(), ..finding };
        assert_eq!(command(&nowhere), "::error title=unknown-key::m\n");
    }
}
