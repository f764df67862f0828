//! A call in a block of code, as models write it that were taught to call in Python (Gemma): `f(city="Paris")`, or `print` of it.
//! Arguments have names, and their values are literals.

use super::{Call, Found, Function, Scan, json, may_name, named};

/// Lists within lists of a literal.
const MAX_DEPTH: usize = 64;
/// What may stand around a call.
const PRINT: &str = "print(";

/// See the module.
#[derive(Clone, Debug, Default)]
pub(in crate::calls) struct Reader {
    scan: Scan,
}

impl Reader {
    pub(super) fn read(&mut self, text: &str, functions: &[Function]) -> Found {
        if let Some(key) = text.strip_prefix('{') {
            // A block of JSON is mostly no call. One that is begins with a key of a call, so that others need not wait.
            let key = key.trim_start();
            let may_be = ["\"name\"", "\"arguments\"", "\"parameters\""].iter().any(|word| {
                let len = key.len().min(word.len());
                key.as_bytes()[..len] == word.as_bytes()[..len]
            });
            return if may_be { json::read(&mut self.scan, text, functions) } else { Found::Nothing };
        }
        if PRINT.starts_with(text) {
            return Found::Wait;
        }
        let printed = text.strip_prefix(PRINT);
        let call = printed.unwrap_or(text).trim_start();
        let Some(bracket) = call.find('(') else {
            return if may_name(functions, call.trim_end()) { Found::Wait } else { Found::Nothing };
        };
        let name = call[..bracket].trim_end();
        if named(functions, name).is_none() {
            return Found::Nothing;
        }
        let Some(end) = self.scan.end(text) else { return Found::Wait };
        let end = if printed.is_some() { text[..end - 1].trim_end().len() } else { end };
        let begin = text.len() - call.len() + bracket;
        match text.get(begin..end).and_then(arguments) {
            Some(arguments) => {
                let end = end + if printed.is_some() { text[end..].find(')').map_or(0, |at| at + 1) } else { 0 };
                Found::Call(Call { end, name: name.to_owned(), arguments })
            }
            None => Found::Nothing,
        }
    }
}

/// The arguments between the brackets of a call, as a JSON object.
fn arguments(written: &str) -> Option<String> {
    let mut literals = Literals { rest: written.strip_prefix('(')? };
    let members = literals.members(')', '=', MAX_DEPTH, Literals::name)?;
    literals.rest.trim().is_empty().then(|| format!("{{{members}}}"))
}

/// Reads Python's literals as JSON.
struct Literals<'t> {
    rest: &'t str,
}

impl<'t> Literals<'t> {
    fn take(&mut self, next: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(next)?;
        Some(())
    }

    /// Pairs up to a closing bracket.
    fn members(
        &mut self,
        close: char,
        between: char,
        depth: usize,
        key: impl Fn(&mut Self) -> Option<String>,
    ) -> Option<String> {
        self.list(close, |literals| {
            let key = key(literals)?;
            literals.take(between)?;
            Some(format!("{key}: {}", literals.value(depth)?))
        })
    }

    /// Values up to a closing bracket, which may have a comma before it.
    fn list(&mut self, close: char, value: impl Fn(&mut Self) -> Option<String>) -> Option<String> {
        let mut values = Vec::new();
        loop {
            if self.take(close).is_some() {
                return Some(values.join(", "));
            }
            if !values.is_empty() {
                self.take(',')?;
                if self.take(close).is_some() {
                    return Some(values.join(", "));
                }
            }
            values.push(value(self)?);
        }
    }

    /// The name of an argument, as a JSON string.
    fn name(&mut self) -> Option<String> {
        let word = self.word(|char| char.is_alphanumeric() || char == '_');
        (!word.is_empty()).then(|| format!("\"{word}\""))
    }

    fn word(&mut self, is_of_it: impl Fn(char) -> bool) -> &'t str {
        let text = self.rest.trim_start();
        let (word, rest) = text.split_at(text.find(|char| !is_of_it(char)).unwrap_or(text.len()));
        self.rest = rest;
        word
    }

    fn value(&mut self, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        match self.rest.trim_start().chars().next()? {
            quote @ ('"' | '\'') => self.string(quote),
            open @ ('[' | '(') => {
                self.take(open)?;
                let values = self.list(if open == '[' { ']' } else { ')' }, |literals| literals.value(depth))?;
                Some(format!("[{values}]"))
            }
            '{' => {
                self.take('{')?;
                let members =
                    self.members('}', ':', depth, |literals| match literals.rest.trim_start().chars().next()? {
                        quote @ ('"' | '\'') => literals.string(quote),
                        _ => None,
                    })?;
                Some(format!("{{{members}}}"))
            }
            _ => {
                let word = self.word(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '+' | '.'));
                let json = match word {
                    "True" => "true",
                    "False" => "false",
                    "None" => "null",
                    other => other,
                };
                serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok().then(|| json.to_owned())
            }
        }
    }

    fn string(&mut self, quote: char) -> Option<String> {
        self.take(quote)?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            match chars.next()? {
                (at, char) if char == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(serde_json::Value::from(text).to_string());
                }
                // A string ends in its line.
                (_, '\n') => return None,
                (_, '\\') => text.push(match chars.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '0' => '\0',
                    same @ ('\\' | '\'' | '"') => same,
                    kind @ ('x' | 'u' | 'U') => {
                        let digits: String = chars.by_ref().take(hex_digits(kind)).map(|(_, digit)| digit).collect();
                        let is_whole = digits.len() == hex_digits(kind);
                        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| is_whole)?;
                        char::from_u32(code)?
                    }
                    _ => return None,
                }),
                (_, char) => text.push(char),
            }
        }
    }
}

/// Digits of an escape.
fn hex_digits(kind: char) -> usize {
    match kind {
        'x' => 2,
        'u' => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(written: &str, read: Option<Value>) {
        let functions = [Function { name: "f".into(), parameters: None }];
        let found = match Reader::default().read(written, &functions) {
            Found::Call(call) => {
                assert_eq!((call.end, &*call.name), (written.len(), "f"));
                Some(serde_json::from_str(&call.arguments).unwrap())
            }
            _ => None,
        };
        assert_eq!(found, read, "{written}");
    }

    #[test]
    fn literals_are_read_as_python_has_them() {
        check("f()", Some(json!({})));
        check(r#"f(a="x\"'y", b='z"\'\u00e9')"#, Some(json!({"a": "x\"'y", "b": "z\"'é"})));
        check(
            "f( a = -1.5e3 ,b=True, c=None, d=[1, 'x', (2,)], )",
            Some(json!({"a": -1500.0, "b": true, "c": null, "d": [1, "x", [2]]})),
        );
        check("f(a={'k': {\"l\": []}})", Some(json!({"a": {"k": {"l": []}}})));
        check("print(f(a=\"(\"))", Some(json!({"a": "("})));
        check("print( f(a=1) )", Some(json!({"a": 1})));
        check(r#"{"name": "f", "arguments": {"a": 1}}"#, Some(json!({"a": 1})));
    }

    #[test]
    fn what_is_no_literal_or_has_no_name_is_no_call() {
        for written in [
            "f(1)",
            "f(a=g())",
            "f(a=b)",
            "f(a=1 + 1)",
            "f(a=.)",
            "f(a='\\q')",
            "f(a='x\ny')",
            "f(a=[1)",
            "f(a={1: 2})",
            "f(a=1, a)",
            "print(f(a=1), 2)",
            "print(1)",
            "g(a=1)",
            r#"{"city": "f"}"#,
            "f(a=\"\\ud800\")",
            "f(,)",
        ] {
            check(written, None);
        }
        check(&format!("f(a={}{})", "[".repeat(5_000), "]".repeat(5_000)), None);
    }
}
