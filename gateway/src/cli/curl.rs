//! The body that a curl command line sends, so that what a developer pasted can be explained as it is.
//!
//! Reads the words as a POSIX shell would, and of these only what makes the body. Nothing is run, and nothing but a file
//! that the body is said to be in is read. A key in a header is passed over.

use anyhow::bail;

/// Where a command line takes its body from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// It stands there.
    Text(String),
    /// `@FILE`
    File(String),
}

/// Options with a value that says nothing of the body. Others are taken to have none.
const WITH_VALUE: [&str; 22] = [
    "-H",
    "--header",
    "-X",
    "--request",
    "-u",
    "--user",
    "-A",
    "--user-agent",
    "-o",
    "--output",
    "-m",
    "--max-time",
    "--connect-timeout",
    "-x",
    "--proxy",
    "--cacert",
    "-E",
    "--cert",
    "--key",
    "-b",
    "--cookie",
    "--url",
];
/// Options whose value is the body.
const DATA: [&str; 6] = ["-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json"];

/// Whether a text is a curl command line.
pub(super) fn is_curl(text: &[u8]) -> bool {
    text.trim_ascii_start().strip_prefix(b"curl").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
}

/// The body that a curl command line sends.
pub(super) fn data(text: &str) -> anyhow::Result<Data> {
    let Some(words) = shlex::split(text) else {
        bail!("the curl command line ends inside a quotation: check its quotes");
    };
    let mut found = None;
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let (option, value) = parts(&word);
        let option = option.to_owned();
        if !DATA.contains(&option.as_str()) {
            if WITH_VALUE.contains(&option.as_str()) && value.is_none() {
                words.next();
            }
            continue;
        }
        let value = match value {
            Some(value) => value.to_owned(),
            None => words.next().ok_or_else(|| anyhow::anyhow!("the curl option `{option}` has no value"))?,
        };
        if found.replace((option, value)).is_some() {
            bail!("the curl command line has two bodies; one JSON object is one request");
        }
    }
    match found {
        None => bail!(
            "the curl command line sends no body: expected `-d`, `--data`, `--data-raw`, `--data-binary` or `--json`"
        ),
        Some((_, value)) if value.starts_with("$") => {
            bail!("quotes of the form $'...' are not read: write the body in plain single quotes")
        }
        Some((option, value)) => Ok(match value.strip_prefix('@') {
            Some(file) if option != "--data-raw" => Data::File(file.to_owned()),
            _ => Data::Text(value),
        }),
    }
}

/// An option and the value that is written to it: `--data=X` or `-dX`.
fn parts(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((option, value)) if option.starts_with("--") => (option, Some(value)),
        _ if word.starts_with("-d") && word.len() > 2 => (&word[..2], Some(&word[2..])),
        _ => (word, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(command: &str) -> String {
        match data(command) {
            Ok(Data::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_body_is_found_however_it_is_written() {
        let body = r#"{"model":"auto"}"#;
        for command in [
            r#"curl http://localhost:8080/v1/chat/completions -H 'content-type: application/json' -d '{"model":"auto"}'"#,
            "curl -X POST --json '{\"model\":\"auto\"}' http://localhost",
            "curl \\\n  --data-raw '{\"model\":\"auto\"}' \\\n  http://localhost\n",
            "curl http://localhost -d'{\"model\":\"auto\"}'",
            r#"curl http://localhost --data="{\"model\":\"auto\"}""#,
            r#"curl -H -d -d '{"model":"auto"}' http://localhost"#,
        ] {
            assert!(is_curl(command.as_bytes()));
            assert_eq!(text(command), body, "{command}");
        }
    }

    #[test]
    fn a_body_in_a_file_is_named_and_a_raw_one_is_text() {
        assert_eq!(data("curl -d @request.json http://h").unwrap(), Data::File("request.json".to_owned()));
        assert_eq!(text("curl --data-raw @me http://h"), "@me");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let error = |command| data(command).unwrap_err().to_string();
        assert!(error("curl http://h").contains("sends no body"));
        assert!(error("curl -d").contains("has no value"));
        assert!(error("curl -d 'x").contains("quotation"));
        assert!(error("curl -d '{}' -d '{}'").contains("two bodies"));
        assert!(error(r"curl -d $'{\u0022}'").contains("plain single quotes"));
        assert!(!is_curl(b"{\"model\": \"curl \"}") && !is_curl(b"curly"));
    }
}
