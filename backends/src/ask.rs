//! What a request asks of an answer's form: the tools that the model may call, and the shape that its text must have.
//!
//! Decoded once, beside the caller's bytes. Knows neither how a model writes a call nor how a shape is enforced.

/// The tools of a request and how they may be used. The default is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The tools, as the caller listed them.
    pub offered: Vec<Tool>,
    /// Which of them the model may or must call.
    pub choice: ToolChoice,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Self { offered: Vec::new(), choice: ToolChoice::Auto, parallel: true }
    }
}

/// A tool that the caller offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// A function that the caller runs.
    Function {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// The JSON schema of its arguments, as JSON text. `None` where it takes none.
        parameters: Option<String>,
    },
    /// Something else, by the type that the caller gave.
    Other(String),
}

/// Which tool the model is to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model sees fit.
    #[default]
    Auto,
    /// None of them.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
    /// Something else, by the word that the caller gave.
    Other(String),
}

/// The shape that the text of an answer must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The field of the request that asks for it, for errors.
    pub field: &'static str,
    /// The shape.
    pub form: Form,
}

/// A shape of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The schema, as JSON text.
        schema: String,
        /// Whether every word of the schema must be kept to. Where not, words that an engine does not know may be passed over.
        strict: bool,
    },
    /// Text that a regular expression matches whole.
    Regex(String),
    /// Text of a context-free grammar.
    Grammar(String),
    /// Something else, by the type that the caller gave.
    Other(String),
}
