//! How families of models write tool calls, as a table.
//!
//! A row is taken by what the chat template of a file says. A template that knows no tools, or knows them in a way that
//! has no row, gets [`NEUTRAL`], and `crate::calls::neutral` tells the model of it. So do the models that have no marks of
//! their own (Gemma 3 asks for whatever the prompt describes).

use super::body::{Named, Tags, Writing};

/// One way to write tool calls.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// The family.
    pub(crate) name: &'static str,
    /// A template that has all of these texts is of the family.
    seen: &'static [&'static str],
    /// And none of these.
    unseen: &'static [&'static str],
    /// What calls are read between. The first is the usual one, and what answers that must be calls are written with.
    pub(super) marks: &'static [Marks],
    /// What models write between mark and call.
    pub(super) lead: &'static str,
    /// What they write after it.
    pub(super) tail: &'static str,
    /// What stands between two calls.
    pub(super) between: &'static str,
    /// The key of the arguments, where a call is a JSON object with this key and `name`.
    arguments: &'static str,
}

/// Marks around calls, and how those are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// What calls begin with. An empty one: the answer itself begins with a call.
    pub(super) start: &'static str,
    /// What they end with, if anything.
    pub(super) end: &'static str,
    pub(super) writing: Writing,
    /// Whether several calls stand between two marks.
    pub(super) several: Several,
}

/// Whether several calls stand between two marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Several {
    /// Each has marks of its own.
    No,
    /// As a JSON array.
    List,
    /// One after the other.
    Lines,
}

/// For models that have no way of their own. The first is the one that most open models were trained on, the others are what
/// Gemma falls back to.
pub(crate) const NEUTRAL: &Format = &Format {
    name: "neutral",
    seen: &[],
    unseen: &[],
    marks: &[
        HERMES,
        Marks { start: "```json", end: "```", writing: Writing::Code, several: Several::Lines },
        Marks { start: "```tool_code", end: "```", writing: Writing::Code, several: Several::Lines },
    ],
    lead: "\n",
    tail: "\n",
    between: "\n",
    arguments: "arguments",
};

const HERMES: Marks = Marks { start: "<tool_call>", end: "</tool_call>", writing: Writing::Json, several: Several::No };

/// Some way, for tests of all of them.
#[cfg(any(test, fuzzing))]
pub(crate) fn any(number: usize) -> &'static Format {
    let number = number % (FORMATS.len() + 1);
    FORMATS.get(number).unwrap_or(NEUTRAL)
}

/// How many there are.
#[cfg(test)]
pub(crate) const COUNT: usize = FORMATS.len() + 1;

const FORMATS: [Format; 7] = [
    Format {
        // Hermes 2 and 3, Qwen 2.5 and 3, and many that follow them.
        name: "hermes",
        seen: &["<tool_call>", "\"arguments\""],
        // Others write tags between the same marks.
        unseen: &["<function=", "<arg_key>"],
        marks: &[HERMES],
        lead: "\n",
        tail: "\n",
        between: "\n",
        arguments: "arguments",
    },
    Format {
        // Qwen 3 Coder and 3.5. An answer that must be a call is written as Hermes would: its grammar knows the tools' schemas.
        name: "qwen-coder",
        seen: &["<tool_call>", "<function="],
        unseen: &[],
        marks: &[
            Marks { writing: Writing::Tags(&QWEN), ..HERMES },
            // The models leave the first mark out now and then.
            Marks { start: "<function=", writing: Writing::Tags(&Tags { name: ("", ">"), ..QWEN }), ..HERMES },
        ],
        lead: "\n",
        tail: "\n",
        between: "\n",
        arguments: "arguments",
    },
    Format {
        // GLM 4.5 to 4.7. An answer that must be a call is written as for the one above.
        name: "glm",
        seen: &["<tool_call>", "<arg_key>"],
        unseen: &[],
        marks: &[Marks { writing: Writing::Tags(&GLM), ..HERMES }],
        lead: "\n",
        tail: "\n",
        between: "\n",
        arguments: "arguments",
    },
    Format {
        // Mistral 7B 0.3 to Small 3.1.
        name: "mistral",
        seen: &["[TOOL_CALLS]"],
        unseen: &["[ARGS]", "[CALL_ID]"],
        marks: &[Marks { start: "[TOOL_CALLS]", end: "", writing: Writing::Json, several: Several::List }],
        lead: "",
        tail: "",
        between: ", ",
        arguments: "arguments",
    },
    Format {
        // Mistral Small 3.2 (with an id), Magistral, Devstral and Ministral 3 (without).
        name: "mistral-args",
        seen: &["[TOOL_CALLS]", "[ARGS]"],
        unseen: &[],
        marks: &[Marks {
            start: "[TOOL_CALLS]",
            end: "",
            writing: Writing::Named(Named { arguments: "[ARGS]", id: "[CALL_ID]" }),
            several: Several::No,
        }],
        lead: "",
        tail: "",
        between: "",
        arguments: "",
    },
    Format {
        // Phi 4 mini.
        name: "phi",
        seen: &["<|tool_call|>"],
        unseen: &[],
        marks: &[Marks {
            start: "<|tool_call|>",
            end: "<|/tool_call|>",
            writing: Writing::Json,
            several: Several::List,
        }],
        lead: "",
        tail: "",
        between: ", ",
        arguments: "arguments",
    },
    Format {
        // Llama 3.1, 3.2 and 3.3.
        name: "llama",
        seen: &["<|python_tag|>", "\"parameters\""],
        unseen: &[],
        marks: &[
            Marks { start: "", end: "", writing: Writing::Json, several: Several::No },
            Marks { start: "<|python_tag|>", end: "", writing: Writing::Json, several: Several::No },
        ],
        lead: "",
        tail: "",
        between: "; ",
        arguments: "parameters",
    },
];

const QWEN: Tags = Tags {
    name: ("<function=", ">"),
    key: ("<parameter=", ">"),
    value: ("", "</parameter>"),
    lines: true,
    end: "</function>",
    ends_with_mark: false,
};

const GLM: Tags = Tags {
    name: ("", ""),
    key: ("<arg_key>", "</arg_key>"),
    value: ("<arg_value>", "</arg_value>"),
    lines: false,
    end: "</tool_call>",
    ends_with_mark: true,
};

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

    /// All that calls are marked with, and that may be control tokens.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &'static str> {
        let of = |marks: &'static Marks| [marks.start, marks.end].into_iter().chain(marks.writing.marks());
        self.marks.iter().flat_map(of).filter(|mark| !mark.is_empty())
    }

    /// What a call of this function begins with where its arguments are JSON, up to those: as models write it, and for those
    /// that write tags as Hermes does. And the mark that follows it, if one does.
    pub(super) fn opening(&self, function: &str) -> (String, &'static str) {
        match self.marks[0].writing {
            Writing::Named(named) => (function.to_owned(), named.arguments),
            _ => (format!("{{\"name\": {}, \"{}\": ", serde_json::Value::from(function), self.arguments), ""),
        }
    }

    /// What a call ends with behind its arguments, where it begins so.
    pub(super) fn closing(&self) -> &'static str {
        if matches!(self.marks[0].writing, Writing::Named(_)) { "" } else { "}" }
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
            // Qwen 3 Coder, Qwen 3.5.
            (
                r#"{%- if tools %}<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n</function>\n</tool_call>"#,
                "qwen-coder",
            ),
            // GLM 4.5.
            (
                "{%- if tools -%}<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>\n</tool_call>",
                "glm",
            ),
            // Devstral, and Mistral Small 3.2.
            (r#"{%- if tools %}{{- "[TOOL_CALLS]" + name + "[ARGS]" + arguments }}"#, "mistral-args"),
            (
                r#"{%- if tools %}{{- "[TOOL_CALLS]" + name + "[CALL_ID]" + id + "[ARGS]" + arguments }}"#,
                "mistral-args",
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
            // Gemma 3 has none of its own.
            "{{ bos_token }}{%- for message in messages -%}<start_of_turn>{{ message.role }}",
            // DeepSeek V3.1.
            "{% if tools %}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>",
        ] {
            assert_eq!(Format::of(template), None, "{template}");
        }
    }
}
