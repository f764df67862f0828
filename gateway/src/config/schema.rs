//! The JSON Schema of the configuration file, for editors. It is generated; a test keeps the copy in `config/` current.

use super::raw::Raw;

/// The JSON Schema of the configuration file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Raw).to_value()
}
