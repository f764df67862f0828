//! Fields of the chat and the completions API that ask for a form of the answer: tools, a schema, an expression, a grammar.
//!
//! | field | of | asks for |
//! | --- | --- | --- |
//! | `tools`, `tool_choice`, `parallel_tool_calls` | OpenAI | calls |
//! | `response_format` | OpenAI | any JSON object, or JSON of a schema |
//! | `regex`, `ebnf` | SGLang | text of an expression, of a grammar |
//! | `guided_json`, `guided_regex`, `guided_choice`, `guided_grammar` | vLLM, its older names | those and one of some texts |
//! | `structured_outputs` | vLLM | the same, in an object |
//!
//! What they say is read into [`Tools`] and [`Shape`]; the bytes stay as they are for hosts. A word that is not known here
//! may be known to a host, so it is no error: an engine that does not know it refuses it.

use backends::{Form, Object, Shape, Tool, ToolChoice, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::fields::{missing, out_of_range, unknown};
use crate::respond::error::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ToolFields {
    #[serde(default)]
    tools: Option<Vec<Offered>>,
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    functions: Option<IgnoredAny>,
    #[serde(default)]
    tool_choice: Option<Box<RawValue>>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Tool")]
struct Offered {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize, JsonSchema)]
struct Function {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Box<RawValue>>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct ShapeFields {
    #[serde(default)]
    response_format: Option<Format>,
    #[serde(default)]
    regex: Option<String>,
    #[serde(default)]
    ebnf: Option<String>,
    #[serde(default)]
    guided_json: Option<Box<RawValue>>,
    #[serde(default)]
    guided_regex: Option<String>,
    #[serde(default)]
    guided_choice: Option<Vec<String>>,
    #[serde(default)]
    guided_grammar: Option<String>,
    #[serde(default)]
    structured_outputs: Option<Structured>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatResponseFormat")]
struct Format {
    r#type: String,
    #[serde(default)]
    json_schema: Option<Named>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatSchema")]
struct Named {
    #[serde(default)]
    schema: Option<Box<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "StructuredOutputs")]
struct Structured {
    #[serde(default)]
    json: Option<Box<RawValue>>,
    #[serde(default)]
    regex: Option<String>,
    #[serde(default)]
    choice: Option<Vec<String>>,
    #[serde(default)]
    grammar: Option<String>,
    #[serde(default)]
    json_object: Option<bool>,
}

/// The tools of a request.
///
/// # Errors
/// A 400 that names the field that is not of the API.
pub(super) fn tools(object: &Object<'_>) -> Result<Tools, ApiError> {
    let fields: ToolFields = super::parse(object)?;
    let mut offered = Vec::new();
    for (number, tool) in fields.tools.unwrap_or_default().into_iter().enumerate() {
        let at = format!("tools[{number}]");
        offered.push(match (tool.r#type.as_deref().unwrap_or("function"), tool.function) {
            ("function", Some(function)) => {
                let parameters = schema(function.parameters, &format!("{at}.function.parameters"))?;
                Tool::Function { name: function.name, description: function.description, parameters }
            }
            ("function", None) => return Err(missing(&at, "function")),
            (other, _) => Tool::Other(other.to_owned()),
        });
    }
    // The way to offer tools before there were tools; its answers have a form of their own.
    offered.extend(fields.functions.map(|_| Tool::Other("functions".to_owned())));
    let choice = fields.tool_choice.map(|choice| tool_choice(&choice)).transpose()?.unwrap_or_default();
    Ok(Tools { offered, choice, parallel: fields.parallel_tool_calls.unwrap_or(true) })
}

fn tool_choice(written: &RawValue) -> Result<ToolChoice, ApiError> {
    let value: serde_json::Value = serde_json::from_str(written.get()).unwrap_or_default();
    let name = || value["function"]["name"].as_str().ok_or_else(|| missing("tool_choice", "function.name"));
    match (&value, value["type"].as_str()) {
        (serde_json::Value::Null, _) => Ok(ToolChoice::Auto),
        (serde_json::Value::String(word), _) => Ok(match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            // `any` is Mistral's word.
            "required" | "any" => ToolChoice::Required,
            other => ToolChoice::Other(other.to_owned()),
        }),
        (_, Some("function")) => Ok(ToolChoice::Named(name()?.to_owned())),
        (_, Some(other)) => Ok(ToolChoice::Other(other.to_owned())),
        (serde_json::Value::Object(_), None) => Err(missing("tool_choice", "type")),
        _ => Err(unknown("tool_choice", written.get(), "`none`, `auto`, `required` or a function")),
    }
}

/// The shape that the answer's text must have.
///
/// # Errors
/// A 400 that names the field that is not of the API, or the second of two that ask for a shape.
pub(super) fn shape(object: &Object<'_>) -> Result<Option<Shape>, ApiError> {
    let fields: ShapeFields = super::parse(object)?;
    let mut found = Vec::new();
    let mut take = |field, form: Option<Form>| found.extend(form.map(|form| Shape { field, form }));
    take("response_format", fields.response_format.map(format).transpose()?.flatten());
    take("regex", fields.regex.map(Form::Regex));
    take("ebnf", fields.ebnf.map(Form::Grammar));
    take("guided_json", json(fields.guided_json, "guided_json")?);
    take("guided_regex", fields.guided_regex.map(Form::Regex));
    take("guided_choice", fields.guided_choice.map(|texts| one_of(&texts, "guided_choice")).transpose()?);
    take("guided_grammar", fields.guided_grammar.map(Form::Grammar));
    if let Some(structured) = fields.structured_outputs {
        const FIELD: &str = "structured_outputs";
        take(FIELD, json(structured.json, "structured_outputs.json")?);
        take(FIELD, structured.regex.map(Form::Regex));
        take(FIELD, structured.choice.map(|texts| one_of(&texts, "structured_outputs.choice")).transpose()?);
        take(FIELD, structured.grammar.map(Form::Grammar));
        take(FIELD, structured.json_object.filter(|asked| *asked).map(|_| Form::JsonObject));
    }
    match found.as_slice() {
        [first, second, ..] => {
            let message = format!("`{}` and `{}` both say what the answer must be", first.field, second.field);
            Err(ApiError::invalid(second.field.to_owned(), message).hint("send one of them"))
        }
        _ => Ok(found.pop()),
    }
}

fn format(format: Format) -> Result<Option<Form>, ApiError> {
    Ok(match (format.r#type.as_str(), format.json_schema) {
        ("text", _) => None,
        ("json_object", _) => Some(Form::JsonObject),
        ("json_schema", Some(named)) => {
            let strict = named.strict.unwrap_or(false);
            let schema = schema(named.schema, "response_format.json_schema.schema")?;
            Some(schema.map_or(Form::JsonObject, |schema| Form::JsonSchema { schema, strict }))
        }
        ("json_schema", None) => return Err(missing("response_format", "json_schema")),
        (other, _) => Some(Form::Other(other.to_owned())),
    })
}

/// A schema that may also be written as the text of one.
fn json(written: Option<Box<RawValue>>, at: &str) -> Result<Option<Form>, ApiError> {
    let text = |text: &RawValue| serde_json::from_str::<String>(text.get()).ok();
    let schema = match written.as_deref().and_then(text) {
        Some(text) => Some(text),
        None => schema(written, at)?,
    };
    Ok(schema.map(|schema| Form::JsonSchema { schema, strict: true }))
}

/// A schema's own text, unless it is null.
fn schema(written: Option<Box<RawValue>>, at: &str) -> Result<Option<String>, ApiError> {
    match written.as_deref().map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(schema) if schema.starts_with('{') => Ok(Some(schema.to_owned())),
        Some(_) => Err(out_of_range(at, "a JSON schema, which is an object", "something else")),
    }
}

/// One of some texts, as an expression.
fn one_of(texts: &[String], at: &str) -> Result<Form, ApiError> {
    if texts.is_empty() {
        return Err(out_of_range(at, "at least one text", "none"));
    }
    let mut expression = String::from("(");
    for (number, text) in texts.iter().enumerate() {
        expression.push_str(if number == 0 { "" } else { "|" });
        for char in text.chars() {
            // Every other character means itself. (`\<` would mean the beginning of a word.)
            if r"\.+*?()|[]{}^$#&-~/".contains(char) {
                expression.push('\\');
            }
            match char {
                '\n' => expression.push_str("\\n"),
                char => expression.push(char),
            }
        }
    }
    expression.push(')');
    Ok(Form::Regex(expression))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ClientApi, decode};

    fn asked(fields: &str) -> Result<(Tools, Option<Shape>), ApiError> {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{fields}}}"#);
        decode(ClientApi::Chat, "r", body.into()).map(|decoded| (decoded.request.tools, decoded.request.shape))
    }

    #[test]
    fn tools_and_the_choice_of_them_are_read() {
        let (tools, shape) = asked(
            r#""tools":[{"type":"function","function":{"name":"f","description":"Does.","parameters":{"b":1,"a":2}}},
                {"type":"function","function":{"name":"g","parameters":null}},{"type":"web_search"}],
               "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false"#,
        )
        .unwrap();
        let function = |name: &str, description: Option<&str>, parameters: Option<&str>| Tool::Function {
            name: name.into(),
            description: description.map(Into::into),
            parameters: parameters.map(Into::into),
        };
        let offered = vec![
            function("f", Some("Does."), Some(r#"{"b":1,"a":2}"#)),
            function("g", None, None),
            Tool::Other("web_search".into()),
        ];
        assert_eq!(tools, Tools { offered, choice: ToolChoice::Named("f".into()), parallel: false });
        assert_eq!(shape, None);
        for (written, choice) in [
            ("null", ToolChoice::Auto),
            (r#""auto""#, ToolChoice::Auto),
            (r#""none""#, ToolChoice::None),
            (r#""required""#, ToolChoice::Required),
            (r#""sometimes""#, ToolChoice::Other("sometimes".into())),
            (r#"{"type":"allowed_tools"}"#, ToolChoice::Other("allowed_tools".into())),
        ] {
            assert_eq!(asked(&format!(r#""tool_choice":{written}"#)).unwrap().0.choice, choice);
        }
    }

    #[test]
    fn every_way_to_ask_for_a_shape_is_read() {
        let schema = |strict| Form::JsonSchema { schema: r#"{"z": 1.50}"#.into(), strict };
        for (written, field, form) in [
            (r#""response_format":{"type":"json_object"}"#, "response_format", Form::JsonObject),
            (
                r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"z": 1.50}}}"#,
                "response_format",
                schema(true),
            ),
            (
                r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"z": 1.50}}}"#,
                "response_format",
                schema(false),
            ),
            (r#""response_format":{"type":"verse"}"#, "response_format", Form::Other("verse".into())),
            (r#""regex":"a+""#, "regex", Form::Regex("a+".into())),
            (r#""ebnf":"root ::= x""#, "ebnf", Form::Grammar("root ::= x".into())),
            (r#""guided_json":{"z": 1.50}"#, "guided_json", schema(true)),
            (r#""guided_json":"{\"z\": 1.50}""#, "guided_json", schema(true)),
            (r#""guided_choice":["a.b","c\n|<"]"#, "guided_choice", Form::Regex(r"(a\.b|c\n\|<)".into())),
            (r#""guided_grammar":"start: x""#, "guided_grammar", Form::Grammar("start: x".into())),
            (r#""structured_outputs":{"choice":["a"]}"#, "structured_outputs", Form::Regex("(a)".into())),
            (r#""structured_outputs":{"json_object":true}"#, "structured_outputs", Form::JsonObject),
        ] {
            assert_eq!(asked(written).unwrap().1, Some(Shape { field, form }), "{written}");
        }
        assert_eq!(asked(r#""response_format":{"type":"text"},"regex":null"#).unwrap().1, None);
    }

    #[test]
    fn what_is_not_of_the_api_is_refused_with_the_path_of_the_field() {
        for (written, param) in [
            (r#""tools":[{"type":"function"}]"#, "tools[0].function"),
            (
                r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{}}]"#,
                "tools[1].function.name",
            ),
            (
                r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#,
                "tools[0].function.parameters",
            ),
            (r#""tools":{}"#, "tools"),
            (r#""tool_choice":7"#, "tool_choice"),
            (r#""tool_choice":{"type":"function"}"#, "tool_choice.function.name"),
            (r#""tool_choice":{}"#, "tool_choice.type"),
            (r#""parallel_tool_calls":"yes""#, "parallel_tool_calls"),
            (r#""response_format":"json""#, "response_format"),
            (r#""response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
            (
                r#""response_format":{"type":"json_schema","json_schema":{"schema":"x"}}"#,
                "response_format.json_schema.schema",
            ),
            (r#""regex":7"#, "regex"),
            (r#""guided_choice":[]"#, "guided_choice"),
            (r#""structured_outputs":{"choice":"a"}"#, "structured_outputs.choice"),
            (r#""response_format":{"type":"json_object"},"regex":"a""#, "regex"),
        ] {
            assert_eq!(asked(written).unwrap_err().param.as_deref(), Some(param), "{written}");
        }
    }
}
