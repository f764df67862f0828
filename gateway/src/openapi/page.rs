//! The same document as a page to read: each path, and the fields of its request.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Body, ENDPOINTS, document};

/// The page, as Markdown.
pub fn page() -> String {
    let document = document();
    let mut page = String::from(
        "# What the gateway serves\n\nMade of the code: `GET /openapi.json` is the same as an OpenAPI document. A key comes as \
         `Authorization: Bearer` or as\n`x-api-key`. The fields of a request are those that are read; all others are passed on \
         to whoever serves it, where that one\nspeaks the same API. Required fields are **bold**.\n",
    );
    let mut group = "";
    for endpoint in &ENDPOINTS {
        if endpoint.group != group {
            group = endpoint.group;
            let _ = write!(page, "\n## {group}\n\n| | | fields |\n| --- | --- | --- |\n");
        }
        let operation = &document["paths"][endpoint.path][endpoint.method];
        let fields = match endpoint.body {
            Body::None => String::new(),
            _ => fields(&document, operation),
        };
        let method = endpoint.method.to_uppercase();
        let _ = writeln!(page, "| `{method} {}` | {} | {fields} |", endpoint.path, endpoint.what);
    }
    page
}

/// The names of the fields of a request, the required ones bold and first.
fn fields(document: &Value, operation: &Value) -> String {
    let content = &operation["requestBody"]["content"];
    let schema = &content.as_object().and_then(|kinds| kinds.values().next()).unwrap_or(&Value::Null)["schema"];
    let (mut required, mut others) = (Vec::new(), Vec::new());
    gather(document, schema, &mut required, &mut others);
    others.retain(|name| !required.contains(name));
    let bold = required.iter().map(|name| format!("**`{name}`**"));
    bold.chain(others.iter().map(|name| format!("`{name}`"))).collect::<Vec<_>>().join(", ")
}

fn gather(document: &Value, schema: &Value, required: &mut Vec<String>, others: &mut Vec<String>) {
    let add = |names: &mut Vec<String>, name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|name| add(required, name));
    schema["properties"].as_object().into_iter().flatten().for_each(|(name, _)| add(others, name));
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/components/schemas/")) {
        gather(document, &document["components"]["schemas"][name], required, others);
    }
    for part in ["allOf", "anyOf"].into_iter().flat_map(|key| schema[key].as_array().into_iter().flatten()) {
        gather(document, part, required, others);
    }
}
