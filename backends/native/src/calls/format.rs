//! How families of models write tool calls, as a table.
//!
//! A row is taken by what the chat template of a file says. A template that knows no tools, or knows them in a way that
//! has no row, gets [`NEUTRAL`], and `crate::calls::neutral` tells the model of it. So do the models that have no marks of
//! their own (Gemma asks for whatever the prompt describes), and the newest ones of Mistral (`[TOOL_CALLS]f[ARGS]{...}`).

/// One way to write tool calls. A call is a JSON object with the keys `name` and [`arguments`](Self::arguments).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// The family.
    pub(crate) name: &'static str,
    /// A template that has all of these texts is of the family.
    seen: &'static [&'static str],
    /// And none of these.
    unseen: &'static [&'static str],
    /// The marks that calls begin with; the first is the usual one. An empty one: the answer itself begins with a call.
    pub(crate) starts: &'static [&'static str],
    /// What models write between mark and call.
    pub(crate) lead: &'static str,
    /// What they write after it.
    pub(crate) tail: &'static str,
    /// The mark that calls end with, if any.
    pub(crate) end: &'static str,
    /// Whether several calls stand between two marks, as a JSON array. Else each has marks of its own.
    pub(crate) list: bool,
    /// What stands between two calls.
    pub(crate) between: &'static str,
    /// The key of the arguments.
    pub(crate) arguments: &'static str,
}

/// For models that have no way of their own. It is the one that most open models were trained on.
pub(crate) const NEUTRAL: &Format = &FORMATS[0];

/// Some row, for tests of all of them.
#[cfg(any(test, fuzzing))]
pub(crate) fn any(number: usize) -> &'static Format {
    &FORMATS[number % FORMATS.len()]
}

const FORMATS: [Format; 4] = [
    Format {
        // Hermes 2 and 3, Qwen 2.5 and 3, and many that follow them.
        name: "hermes",
        seen: &["<tool_call>", "\"arguments\""],
        // Qwen 3 Coder and GLM write XML between the same marks.
        unseen: &["<function=", "<arg_key>"],
        starts: &["<tool_call>"],
        lead: "\n",
        tail: "\n",
        end: "</tool_call>",
        list: false,
        between: "\n",
        arguments: "arguments",
    },
    Format {
        name: "mistral",
        seen: &["[TOOL_CALLS]"],
        unseen: &["[ARGS]", "[CALL_ID]"],
        starts: &["[TOOL_CALLS]"],
        lead: "",
        tail: "",
        end: "",
        list: true,
        between: ", ",
        arguments: "arguments",
    },
    Format {
        // Phi 4 mini.
        name: "phi",
        seen: &["<|tool_call|>"],
        unseen: &[],
        starts: &["<|tool_call|>"],
        lead: "",
        tail: "",
        end: "<|/tool_call|>",
        list: true,
        between: ", ",
        arguments: "arguments",
    },
    Format {
        // Llama 3.1, 3.2 and 3.3.
        name: "llama",
        seen: &["<|python_tag|>", "\"parameters\""],
        unseen: &[],
        starts: &["", "<|python_tag|>"],
        lead: "",
        tail: "",
        end: "",
        list: false,
        between: "; ",
        arguments: "parameters",
    },
];

impl Format {
    /// The way of a model with this chat template, if it knows tools in a way that has a row.
    pub(crate) fn of(template: &str) -> Option<&'static Self> {
        if !template.contains("tools") {
            return None;
        }
        let has = |mark: &&str| {
            // Templates write quotes within a text of quotes with a backslash before them.
            template.contains(*mark) || template.contains(&mark.replace('"', "\\\""))
        };
        FORMATS.iter().find(|format| format.seen.iter().all(has) && !format.unseen.iter().any(has))
    }

    /// The marks that calls are written with.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &'static str> {
        self.starts.iter().copied().chain([self.end]).filter(|mark| !mark.is_empty())
    }

    /// What a call of this function begins with, up to its arguments, as models write it.
    pub(crate) fn opening(&self, function: &str) -> String {
        format!("{{\"name\": {}, \"{}\": ", serde_json::Value::from(function), self.arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_known_by_what_its_published_template_writes() {
        for (template, name) in [
            // Qwen 2.5, Hermes 3.
            (
                r#"{%- if tools %}{{- "<tools>" }}<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>"#,
                "hermes",
            ),
            // Mistral 7B Instruct 0.3.
            (r#"{%- if not tools is defined %}{%- set tools = none %}{%- endif %}{{- "[TOOL_CALLS] [" }}"#, "mistral"),
            // Phi 4 mini.
            (
                r#"{% if message['role'] == 'system' and 'tools' in message %}<|tool|>{{ tools }}<|/tool|><|tool_call|>"#,
                "phi",
            ),
            // Llama 3.1.
            (
                r#"{%- if tools_in_user_message %}{{- 'Respond in the format {"name": function name, "parameters": dictionary}.' }}{{- "<|python_tag|>" + x }}"#,
                "llama",
            ),
        ] {
            assert_eq!(Format::of(template).map(|format| format.name), Some(name), "{template}");
        }
    }

    #[test]
    fn a_template_that_knows_no_tools_or_writes_them_in_another_way_has_no_family() {
        for template in [
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            // Not of tools, whatever it says.
            "<tool_call> \"arguments\"",
            // Mistral Small 3.2.
            r#"{% if tools %}[TOOL_CALLS]{{ name }}[ARGS]{{ arguments }}"#,
            // Qwen 3 Coder.
            r#"{% if tools %}<tool_call>\n<function=example>\n"arguments""#,
        ] {
            assert_eq!(Format::of(template), None, "{template}");
        }
    }
}
