//! The form that a request asks of its answer: a grammar to keep to, and calls to read out of it.
//!
//! | `tool_choice` | without a shape | with one |
//! | --- | --- | --- |
//! | `none`, or no tools | free text | text of the shape |
//! | `auto` | free text, in which calls are looked for | calls, or JSON of the schema |
//! | `required`, a name | calls | calls |
//!
//! Everything is compiled and refused here, before anything is computed.

use std::sync::Arc;

use backends::{BackendError, Form, Input, Request, Shape, Tool, ToolChoice, Tools};

use crate::{
    calls::{Function, Parser, forced, format::NEUTRAL},
    grammar::{Constraint, Grammars, Source, json},
    prepare::{Speech, unsupported},
    reasoning::Reasoning,
    template::Template,
};

/// Tools of one request.
const MAX_TOOLS: usize = 1_024;

/// What a choice keeps to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// What the text must be, if anything. In a box, as few choices have one.
    pub(crate) constraint: Option<Box<Constraint>>,
    /// How tool calls are read out of it, where tools are on offer.
    pub(crate) calls: Option<Box<Calls>>,
    /// How reasoning is parted from it, where it may begin with some.
    pub(crate) reasoning: Option<Box<Reasoning>>,
    /// The control tokens that are marks of calls or reasoning, and so part of the text.
    pub(crate) marks: Arc<[u32]>,
}

/// See [`Kept::calls`].
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) parser: Parser,
    /// Whether an answer goes on after its first call.
    pub(crate) parallel: bool,
}

impl Speech {
    /// What the answer to a request must be, and how reasoning and calls are read out of it. `opened`: the prompt ends within
    /// reasoning.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] for what cannot be kept to.
    pub(crate) fn kept(&self, request: &Request, opened: bool) -> Result<Kept, BackendError> {
        let mut kept = self.asked(request)?;
        // Where a form is asked for it begins with the first token, or behind the block that the prompt has opened.
        let may_begin_with_it = matches!(request.input, Input::Chat { .. }) && (opened || kept.constraint.is_none());
        let marks = self.template.as_ref().and_then(Template::reasoning).filter(|_| may_begin_with_it);
        if let Some(marks) = marks {
            kept.reasoning = Some(Box::new(Reasoning::new(opened)));
            kept.marks = kept.marks.iter().chain(marks.iter()).copied().collect();
        }
        Ok(kept)
    }

    /// The same, of an answer without reasoning.
    fn asked(&self, request: &Request) -> Result<Kept, BackendError> {
        let shape = request.shape.as_ref();
        let functions = match &request.input {
            Input::Chat { .. } => functions(&request.tools)?,
            _ => Vec::new(),
        };
        if functions.is_empty() {
            let constraint = shape.map(|shape| self.compile(&source(shape)?, shape.field)).transpose()?;
            return Ok(Kept { constraint, ..Kept::default() });
        }
        let Tools { choice, parallel, .. } = &request.tools;
        let format = self.template.as_ref().and_then(Template::calls).unwrap_or(NEUTRAL);
        let mut parallel = *parallel;
        let constraint = match (choice, shape) {
            (ToolChoice::Required | ToolChoice::Named(_), _) => {
                let named: Vec<Function> = match choice {
                    ToolChoice::Named(name) => {
                        parallel = false;
                        functions.iter().filter(|function| function.name == *name).cloned().collect()
                    }
                    _ => functions.clone(),
                };
                if named.is_empty() {
                    return unsupported("tool_choice", "it names a function that is not among `tools`");
                }
                let source = forced::grammar(format, &named, parallel, None, &self.tokenizer);
                Some(self.compile(&source.map_err(not_a_tool)?, "tools")?)
            }
            (_, Some(shape)) => {
                let Source::Json { schema, lenient } = source(shape)? else {
                    return unsupported(
                        shape.field,
                        "this engine takes it only without `tools`, or with a JSON schema",
                    );
                };
                let document = json(&schema, lenient).or_else(|reason| unsupported(shape.field, reason))?;
                let source = forced::grammar(format, &functions, parallel, Some(&document), &self.tokenizer);
                Some(self.compile(&source.map_err(not_a_tool)?, shape.field)?)
            }
            (_, None) => None,
        };
        let parser = Parser::new(format, functions.into(), obliges(choice), shape.is_none() || obliges(choice));
        let marks = self.tokenizer.controls(|name| format.tokens().any(|mark| mark.as_bytes() == name)).collect();
        let calls = Some(Box::new(Calls { parser, parallel }));
        Ok(Kept { constraint, calls, marks, ..Kept::default() })
    }

    fn compile(&self, source: &Source, field: &'static str) -> Result<Box<Constraint>, BackendError> {
        let grammars = self.grammars.get_or_init(|| Grammars::new(&self.tokenizer));
        let compiled = grammars.as_ref().map_err(Clone::clone).and_then(|grammars| grammars.compile(source));
        compiled.map(Box::new).or_else(|reason| unsupported(field, reason))
    }
}

/// The functions that the model may call: none where it is told to call none.
fn functions(tools: &Tools) -> Result<Vec<Function>, BackendError> {
    let function = |(place, tool): (usize, &Tool)| match tool {
        Tool::Function { name, parameters, .. } => Ok(Function { name: name.clone(), parameters: parameters.clone() }),
        Tool::Other(kind) => unsupported(
            "tools",
            format!("tool {place} is of the type `{kind}`, and this engine has only functions of the caller"),
        ),
    };
    match &tools.choice {
        ToolChoice::None => Ok(Vec::new()),
        ToolChoice::Other(word) => {
            unsupported("tool_choice", format!("expected `none`, `auto`, `required` or a function, found `{word}`"))
        }
        choice if obliges(choice) && tools.offered.is_empty() => {
            unsupported("tool_choice", "a call is asked for, and there are no `tools`")
        }
        _ if tools.offered.len() > MAX_TOOLS => {
            unsupported("tools", format!("{} tools, expected at most {MAX_TOOLS}", tools.offered.len()))
        }
        _ => tools.offered.iter().enumerate().map(function).collect(),
    }
}

/// Whether the answer has to be a call.
pub(crate) fn obliges(choice: &ToolChoice) -> bool {
    matches!(choice, ToolChoice::Required | ToolChoice::Named(_))
}

/// The grammar of a shape.
fn source(shape: &Shape) -> Result<Source, BackendError> {
    match &shape.form {
        Form::JsonObject => Ok(Source::Json { schema: r#"{"type":"object"}"#.to_owned(), lenient: false }),
        Form::JsonSchema { schema, strict } => Ok(Source::Json { schema: schema.clone(), lenient: !strict }),
        Form::Regex(text) => Ok(Source::Regex(text.clone())),
        Form::Grammar(text) if text.contains("::=") => {
            unsupported(shape.field, "it is written in EBNF, and this engine reads Lark (`start: ...`)")
        }
        Form::Grammar(text) => Ok(Source::Lark(text.clone())),
        Form::Other(kind) => {
            unsupported(shape.field, format!("`{kind}` is not known, expected `text`, `json_object` or `json_schema`"))
        }
    }
}

fn not_a_tool((place, reason): (usize, String)) -> BackendError {
    BackendError::Unsupported { param: "tools", reason: format!("the `parameters` of tool {place}: {reason}") }
}
