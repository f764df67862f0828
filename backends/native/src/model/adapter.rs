//! Adapters (LoRA): to what a matrix gives for a column is added what two thin ones give for it, one after the other, times a
//! factor.
//!
//! An adapter changes the seven matrices of a layer where a file has each by itself. What it would change beside those is
//! refused: leaving it out would change what the model says, silently.

use engine::gguf::File;
use kernels::Packed;

use super::{Model, ModelError, Shape, weights::Place};
use crate::tensor::View;

/// What is added to a matrix's product.
#[derive(Debug)]
pub(super) struct Factors {
    /// Reads the column, and has as many rows as the adapter has ranks.
    pub(super) first: Packed,
    /// Reads what the first gives, and has the matrix's rows.
    pub(super) second: Packed,
    pub(super) scale: f32,
}

/// The factors of each matrix of a layer that has some.
#[derive(Debug, Default)]
pub(super) struct Added([Option<Factors>; Place::ALL.len()]);

impl Added {
    pub(super) fn of(&self, place: Place) -> Option<&Factors> {
        self.0[place as usize].as_ref()
    }
}

/// The factors of one matrix, in a file.
struct Bound {
    layer: usize,
    place: Place,
    factors: [View; 2],
    scale: f32,
}

impl Model {
    /// Whether [`Model::adapt`] would take an adapter for the model of a file, and if not why.
    ///
    /// # Errors
    /// The same.
    pub fn check_adapter(adapter: &File, base: &File) -> Result<(), ModelError> {
        bind(adapter, base).map(|_| ())
    }

    /// Puts an adapter over a model, for all that is computed with it from then on.
    ///
    /// # Errors
    /// When it is none, was made for another model than that of the file, or changes what cannot be changed here.
    pub fn adapt(&mut self, adapter: &File, base: &File) -> Result<(), ModelError> {
        for Bound { layer, place, factors: [first, second], scale } in bind(adapter, base)? {
            let pack = |view: View| view.pack(1).map_err(ModelError::Memory);
            let factors = Factors { first: pack(first)?, second: pack(second)?, scale };
            self.weights.layers[layer].added.0[place as usize] = Some(factors);
        }
        Ok(())
    }
}

fn bind(adapter: &File, base: &File) -> Result<Vec<Bound>, ModelError> {
    const ALPHA: &str = "adapter.lora.alpha";
    const INVOKED: &str = "adapter.alora.invocation_tokens";
    engine::adapter::fits(adapter, base).map_err(|reason| ModelError::Adapter { reason })?;
    if adapter.metadata(INVOKED).is_some() {
        return Err(ModelError::unsupported(format!("an adapter that begins at certain tokens (`{INVOKED}`)")));
    }
    let alpha = adapter.get::<f32>(ALPHA)?.unwrap_or(0.0);
    if !alpha.is_finite() {
        return Err(ModelError::Adapter { reason: format!("its `{ALPHA}` is {alpha}, expected a number") });
    }
    let shape = Shape::read(base)?;
    let mut bound = Vec::new();
    for tensor in adapter.tensors() {
        // What has the first has the second, and what is neither is passed over: that was checked.
        let Some(name) = tensor.name.strip_suffix(engine::adapter::FACTORS[0]) else { continue };
        let unsupported = || ModelError::unsupported(format!("an adapter of `{}`", name.escape_debug()));
        // Of a file in several parts the first may not show that it has no such matrix.
        let there = |(layer, place): &(usize, Place)| {
            let each = matches!(place, Place::Query | Place::Key | Place::Value);
            *layer < shape.layers && shape.channels.is_none() && !(each && shape.latent.is_some())
        };
        let (layer, place) = place(name).filter(there).ok_or_else(unsupported)?;
        let second = format!("{name}{}", engine::adapter::FACTORS[1]);
        let second = adapter.tensor(&second).ok_or(ModelError::MissingTensor { name: second })?;
        let float = |view: &engine::gguf::TensorView<'_>| {
            let kind = view.kind;
            let wrong =
                || ModelError::unsupported(format!("with an adapter of type {kind} (`{}`)", view.name.escape_debug()));
            View::new(view).filter(View::is_float).ok_or_else(wrong)
        };
        let factors = [float(&tensor)?, float(&second)?];
        // Files of old say none, and mean the rank.
        let scale = if alpha == 0.0 { 1.0 } else { alpha / factors[0].len() as f32 };
        bound.push(Bound { layer, place, factors, scale });
    }
    Ok(bound)
}

/// The layer and place of a matrix by its name.
fn place(name: &str) -> Option<(usize, Place)> {
    let (layer, part) = name.strip_prefix("blk.")?.strip_suffix(".weight")?.split_once('.')?;
    let (place, _) = Place::ALL.into_iter().find(|(_, name)| *name == part)?;
    Some((layer.parse().ok()?, place))
}
