//! A function on offer, and what kinds of values it takes: for models that write arguments as bare text.

use serde::de::IgnoredAny;
use serde_json::Value;

/// A function that may be called, with the schema of its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// JSON text; `None` where it takes none.
    pub(crate) parameters: Option<String>,
}

impl Function {
    /// Arguments that were written as texts by their names, as a JSON object.
    ///
    /// Where the schema takes nothing but strings a text is one. Else it is the JSON that it reads as, where that is of a kind
    /// that the schema takes beside strings, or strings are not taken; and a string where it reads as none.
    pub(crate) fn arguments(&self, written: &[(String, String)]) -> String {
        let schema: Value =
            self.parameters.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let members: Vec<String> = written
            .iter()
            .map(|(key, text)| {
                let taken = schema.get("properties").and_then(|all| all.get(key));
                let kinds = taken.map_or(Kinds::ALL, |taken| Kinds::of(taken, &schema, MAX_DEPTH));
                format!("{}: {}", Value::from(&**key), value(text, kinds))
            })
            .collect();
        format!("{{{}}}", members.join(", "))
    }
}

/// Schemas within schemas that are looked into.
const MAX_DEPTH: usize = 8;

/// Kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);
    const NULL: Self = Self(1);
    const BOOLEAN: Self = Self(2);
    const NUMBER: Self = Self(4);
    const STRING: Self = Self(8);
    const ARRAY: Self = Self(16);
    const OBJECT: Self = Self(32);
    const ALL: Self = Self(63);

    fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that a schema takes, as far as its words about types say; all where it says nothing.
    fn of(schema: &Value, root: &Value, depth: usize) -> Self {
        if depth == 0 {
            return Self::ALL;
        }
        let any = |schemas: &Value| {
            let each = schemas.as_array().map(|all| all.iter().map(|one| Self::of(one, root, depth - 1)));
            each.map(|all| all.fold(Self::NONE, Self::or))
        };
        let referred = || root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?);
        let said = [
            referred().map(|schema| Self::of(schema, root, depth - 1)),
            schema.get("type").map(Self::named),
            schema.get("const").map(Self::of_value),
            schema
                .get("enum")
                .and_then(Value::as_array)
                .map(|all| all.iter().map(Self::of_value).fold(Self::NONE, Self::or)),
            schema.get("anyOf").and_then(any),
            schema.get("oneOf").and_then(any),
        ];
        said.into_iter().flatten().fold(Self::ALL, |all, kinds| Self(all.0 & kinds.0))
    }

    /// What a schema's `type` names.
    fn named(types: &Value) -> Self {
        match types {
            Value::Array(all) => all.iter().map(Self::named).fold(Self::NONE, Self::or),
            Value::String(name) => match &**name {
                "null" => Self::NULL,
                "boolean" => Self::BOOLEAN,
                "number" | "integer" => Self::NUMBER,
                "string" => Self::STRING,
                "array" => Self::ARRAY,
                "object" => Self::OBJECT,
                _ => Self::ALL,
            },
            _ => Self::ALL,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// Of what kind a valid JSON text is, by how it begins.
    fn of_text(json: &str) -> Self {
        match json.as_bytes().first() {
            Some(b'n') => Self::NULL,
            Some(b't' | b'f') => Self::BOOLEAN,
            Some(b'[') => Self::ARRAY,
            Some(b'{') => Self::OBJECT,
            Some(b'"') => Self::STRING,
            _ => Self::NUMBER,
        }
    }
}

/// A text as a value of one of these kinds, in JSON.
fn value(text: &str, kinds: Kinds) -> String {
    let strings = kinds.has(Kinds::STRING);
    let literal = match text.trim() {
        // Templates that write values with Python's `str` teach models these.
        "True" if !strings => "true",
        "False" if !strings => "false",
        "None" if !strings => "null",
        other => other,
    };
    // Not read as a `Value`, which has no room for every number that JSON has.
    if serde_json::from_str::<IgnoredAny>(literal).is_ok() {
        let kind = Kinds::of_text(literal);
        if kind != Kinds::STRING && (!strings || kinds.has(kind)) {
            return literal.to_owned();
        }
    }
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(taken: Value, text: &str, read: Value) {
        let schema = json!({"$defs": {"place": {"enum": ["here"]}}, "properties": {"a": taken}});
        let function = Function { name: "f".into(), parameters: Some(schema.to_string()) };
        let arguments: Value = serde_json::from_str(&function.arguments(&[("a".into(), text.into())])).unwrap();
        assert_eq!(arguments, json!({ "a": read }), "{text:?} for {schema}");
    }

    #[test]
    fn a_text_is_a_string_where_only_strings_are_taken() {
        for taken in [
            json!({"type": "string"}),
            json!({"enum": ["1", "x"]}),
            json!({"$ref": "#/$defs/place"}),
            json!({"const": "x"}),
        ] {
            for text in ["1", "true", "{\"a\": 1}", "null", " x\ny ", "\"q\"", ""] {
                check(taken.clone(), text, json!(text));
            }
        }
    }

    #[test]
    fn else_it_is_the_json_that_it_reads_as_or_a_string() {
        check(json!({"type": "integer"}), " 12\n", json!(12));
        check(json!({"type": "boolean"}), "True", json!(true));
        check(json!({"type": ["integer", "null"]}), "None", json!(null));
        check(json!({"type": "array"}), "[1, {\"b\": []}]", json!([1, {"b": []}]));
        check(json!({"type": "integer"}), "twelve", json!("twelve"));
        check(json!({"type": "object"}), "{\"a\": ", json!("{\"a\": "));
        check(json!({}), "1.5", json!(1.5));
        check(json!({}), "\"q\"", json!("\"q\""));
    }

    #[test]
    fn where_strings_and_others_are_taken_it_is_of_the_others_if_it_reads_as_one() {
        let maybe = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
        check(maybe.clone(), "null", json!(null));
        check(maybe.clone(), "12", json!("12"));
        check(maybe, "None", json!("None"));
        check(json!({"type": ["string", "integer"]}), "12", json!(12));
    }

    #[test]
    fn arguments_that_the_schema_does_not_know_are_read_all_the_same() {
        let function = Function { name: "f".into(), parameters: None };
        let written = [("a \"b\"".to_owned(), "7".to_owned()), ("c".to_owned(), "d".to_owned())];
        assert_eq!(function.arguments(&written), r#"{"a \"b\"": 7, "c": "d"}"#);
        assert_eq!(function.arguments(&[]), "{}");
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let function = Function {
            name: "f".into(),
            parameters: Some(
                r##"{"properties": {"a": {"$ref": "#/properties/a", "anyOf": [{"$ref": "#/properties/a"}]}}}"##.into(),
            ),
        };
        assert_eq!(function.arguments(&[("a".into(), "1".into())]), r#"{"a": 1}"#);
    }
}
