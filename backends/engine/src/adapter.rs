//! Whether an adapter (LoRA) fits a model, with the reason.

use crate::gguf::File;

/// What stands behind the name of a weight that is adapted: the two factors of what is added to it.
pub const FACTORS: [&str; 2] = [".lora_a", ".lora_b"];

/// Checks an adapter against the weights that it goes over.
///
/// # Errors
/// What does not fit, for people.
pub fn fits(adapter: &File, base: &File) -> Result<(), String> {
    let said =
        |file: &File, key: &str| file.get::<&str>(key).ok().flatten().unwrap_or_default().escape_debug().to_string();
    for (key, expected) in [("general.type", "adapter"), ("adapter.type", "lora")] {
        let found = said(adapter, key);
        if found != expected {
            return Err(format!("its `{key}` is `{found}`, expected `{expected}`"));
        }
    }
    let (of, architecture) = (said(adapter, "general.architecture"), said(base, "general.architecture"));
    if of != architecture {
        return Err(format!("it was made for architecture `{of}`, and the model's is `{architecture}`"));
    }
    // Of several files the first has not all weights.
    let whole = base.get::<u64>("split.count").ok().flatten().unwrap_or(1) <= 1;
    for tensor in adapter.tensors() {
        let name = FACTORS.iter().find_map(|factor| tensor.name.strip_suffix(factor));
        let Some(name) = name else {
            // Old converters wrote these, and engines pass them over.
            if tensor.name.ends_with("_norm.weight") {
                continue;
            }
            return Err(format!("its tensor `{}` is no factor of an adapter", tensor.name.escape_debug()));
        };
        let shown = name.escape_debug();
        let [Some(a), Some(b)] = FACTORS.map(|factor| adapter.tensor(&format!("{name}{factor}"))) else {
            return Err(format!("it has one factor of two for `{shown}`"));
        };
        let Some(weight) = base.tensor(name) else {
            if whole {
                return Err(format!("the model has no `{shown}`"));
            }
            continue;
        };
        let shape = |dims: &[u64]| (dims.first().copied().unwrap_or(1), dims.get(1).copied().unwrap_or(1));
        let ((row, rows), (a_row, a_rows), (b_row, b_rows)) = (shape(weight.dims), shape(a.dims), shape(b.dims));
        // The factors of the embeddings lie the other way.
        let (expected, found, inner) = match name {
            "token_embd.weight" => ((rows, row), (a_rows, b_rows), a_row == b_row),
            _ => ((row, rows), (a_row, b_rows), a_rows == b_row),
        };
        if expected != found || !inner {
            let ((a, b), (row, rows)) = (found, expected);
            return Err(format!("its factors for `{shown}` are of {a} and {b}, and the model has {row} and {rows}"));
        }
    }
    Ok(())
}
