//! Which layers of a model graphics cards compute: as many as are asked for, or as many as fit.
//!
//! Left to itself llama.cpp gives them all layers, and fails in the middle of loading where those do not fit. So what fits is
//! counted before anything is loaded: the weights of a layer, its part of the cache, and what a pass works in. It
//! fills cards from the end of a model, the output first. Whoever counts holds the cards until what was counted is taken.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use engine::gguf::File;
use llama_cpp_2::{LlamaBackendDevice, LlamaBackendDeviceType as Kind, list_llama_ggml_backend_devices};

/// Bytes of each card that are left free: for what the driver loads when it is first needed, and others. What llama.cpp's own
/// tool leaves.
const LEFT: u64 = 1 << 30;

/// What a model asks of the memory of cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Bytes of the weights of each layer.
    layers: Vec<u64>,
    /// Bytes of the largest matrix of a layer: cards compute prompts for layers that stay, and get their matrices one by one.
    largest: u64,
    /// Bytes of what comes behind the last layer.
    output: u64,
    /// Bytes of keys and values in each layer.
    cache: u64,
    /// Bytes of what goes to a card with the first layer: adapters, a projector, and what a pass works in.
    beside: u64,
}

/// More layers than fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} layers take {} MiB of graphics cards, which have {} MiB free beside what is left of each; expected at most {most}, or \
     none said, for as many as fit", bytes.div_ceil(1 << 20), free >> 20
)]
pub struct TooMany {
    /// Layers that were asked for.
    asked: usize,
    /// Bytes that they take.
    bytes: u64,
    /// Bytes that there are.
    free: u64,
    /// Layers that fit.
    most: usize,
}

impl Needs {
    /// Of the parts of a file, whose cache takes so many bytes, with others that go to a card.
    pub(crate) fn of(parts: &[&File], cache: u64, beside: u64) -> Self {
        let mut layers: Vec<u64> = Vec::new();
        let (mut output, mut embedding, mut largest) = (0_u64, 0, 0);
        for tensor in parts.iter().flat_map(|part| part.tensors()) {
            let bytes = tensor.data.len() as u64;
            let layer = tensor.name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            match (layer, tensor.name) {
                // A file may say any number; llama.cpp has at most so many.
                (Some(layer), _) if layer < 1_024 => {
                    layers.resize(layers.len().max(layer + 1), 0);
                    layers[layer] = layers[layer].saturating_add(bytes);
                    largest = largest.max(bytes);
                }
                (_, "token_embd.weight") => embedding = bytes,
                _ => output = output.saturating_add(bytes),
            }
        }
        // The table of embeddings stays; where it is the output as well it is there twice.
        if parts.iter().all(|part| part.tensor("output.weight").is_none()) {
            output = output.saturating_add(embedding);
        }
        let cache = cache.div_ceil(layers.len().max(1) as u64);
        Self { layers, largest, output, cache, beside }
    }

    /// Bytes of so many layers, of which the first is the output.
    fn bytes(&self, layers: usize) -> u64 {
        let Some(last) = layers.checked_sub(1) else { return 0 };
        let brought = if last < self.layers.len() { self.largest } else { 0 };
        let first = self.output.saturating_add(self.beside).saturating_add(brought);
        let weights = self.layers.iter().rev().take(last);
        weights.fold(first, |sum, layer| sum.saturating_add(*layer).saturating_add(self.cache))
    }

    /// Layers that fit into so many bytes.
    fn most(&self, free: u64) -> usize {
        (0..=self.all()).rev().find(|layers| self.bytes(*layers) <= free).unwrap_or(0)
    }

    fn all(&self) -> usize {
        self.layers.len() + 1
    }
}

/// What graphics cards compute of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Layers, of which the first is the output; with none, the cards have nothing to do with the model.
    pub layers: usize,
    /// Layers that there are, the output among them.
    pub of: usize,
    /// Bytes of cards that they take, with what a pass works in, as estimated.
    pub bytes: u64,
    /// Bytes that the cards have free, beside what is left of each.
    pub free: u64,
    /// The cards, as they name themselves.
    pub cards: Vec<String>,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} layers on {}", self.layers, self.of, self.cards.join(" and "))
    }
}

/// The cards of this machine, as they are now. Two models that count at once would count the same room, so each has them to
/// itself until it has taken what it needs.
pub(crate) struct Cards {
    devices: Vec<LlamaBackendDevice>,
    /// Nobody waits where there are none.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Cards {
    pub(crate) fn now() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        // What a machine has does not change; how much of it is free does, and is read when nobody is taking it.
        let cards = || cards(list_llama_ggml_backend_devices());
        if cards().is_empty() {
            return Self { devices: Vec::new(), _alone: None };
        }
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { devices: cards(), _alone: Some(alone) }
    }

    /// The layers that they get: those that are asked for, or as many as fit. `None` where there are no cards.
    ///
    /// # Errors
    /// Those that are asked for do not fit.
    pub(crate) fn place(&self, asked: Option<u32>, needs: impl FnOnce() -> Needs) -> Result<Option<Placed>, TooMany> {
        placed(asked, &self.devices, needs)
    }
}

/// Of all devices those that compute in place of processors. As llama.cpp does: one that shares the machine's memory where
/// there is no other.
fn cards(devices: Vec<LlamaBackendDevice>) -> Vec<LlamaBackendDevice> {
    let kind =
        if devices.iter().any(|device| device.device_type == Kind::Gpu) { Kind::Gpu } else { Kind::IntegratedGpu };
    devices.into_iter().filter(|device| device.device_type == kind).collect()
}

fn placed(
    asked: Option<u32>,
    cards: &[LlamaBackendDevice],
    needs: impl FnOnce() -> Needs,
) -> Result<Option<Placed>, TooMany> {
    if cards.is_empty() {
        return Ok(None);
    }
    let free = cards.iter().map(|card| (card.memory_free as u64).saturating_sub(LEFT)).fold(0, u64::saturating_add);
    let needs = needs();
    let most = needs.most(free);
    let layers = asked.map_or(most, |asked| (asked as usize).min(needs.all()));
    let bytes = needs.bytes(layers);
    if bytes > free {
        return Err(TooMany { asked: layers, bytes, free, most });
    }
    let cards = cards.iter().map(|card| card.description.clone()).collect();
    Ok(Some(Placed { layers, of: needs.all(), bytes, free, cards }))
}

#[cfg(test)]
mod tests {
    use engine::testing::Llama;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn card(kind: Kind, free: u64) -> LlamaBackendDevice {
        LlamaBackendDevice {
            index: 0,
            name: "X0".into(),
            description: "Some card".into(),
            backend: String::new(),
            memory_total: usize::MAX,
            memory_free: free as usize,
            device_type: kind,
        }
    }

    /// Four layers of 100 MiB with 10 of cache each, 50 behind them and 7 beside.
    fn needs() -> Needs {
        Needs { layers: vec![100 * MIB; 4], largest: 0, output: 50 * MIB, cache: 10 * MIB, beside: 7 * MIB }
    }

    /// Layers that are placed on some devices.
    fn layers(asked: Option<u32>, devices: &[LlamaBackendDevice]) -> Result<Option<usize>, TooMany> {
        Ok(placed(asked, &cards(devices.to_vec()), needs)?.map(|placed| placed.layers))
    }

    #[test]
    fn as_many_layers_as_fit_go_to_the_cards_with_the_output_first() {
        let free = |mib: u64| [card(Kind::Cpu, u64::MAX >> 1), card(Kind::Gpu, LEFT + mib * MIB)];
        for (mib, fit) in [(0, 0), (56, 0), (57, 1), (166, 1), (167, 2), (496, 4), (497, 5), (9_000, 5)] {
            assert_eq!(layers(None, &free(mib)), Ok(Some(fit)), "{mib}");
        }
        // Of two cards each leaves its own part free.
        let two = [card(Kind::Gpu, LEFT + 100 * MIB), card(Kind::Gpu, LEFT + 67 * MIB)];
        assert_eq!(layers(None, &two), Ok(Some(2)));
        assert_eq!(layers(None, &[card(Kind::Gpu, LEFT / 2)]), Ok(Some(0)));
    }

    #[test]
    fn what_is_placed_says_on_which_cards_and_how_much_it_takes_of_what_is_free() {
        let two = [card(Kind::Gpu, LEFT + 100 * MIB), card(Kind::Gpu, LEFT + 67 * MIB)];
        let placed = placed(None, &two, needs).unwrap().unwrap();
        assert_eq!((placed.bytes, placed.free), (167 * MIB, 167 * MIB));
        assert_eq!(placed.to_string(), "2 of 5 layers on Some card and Some card");
    }

    #[test]
    fn layers_that_are_asked_for_and_do_not_fit_are_refused_with_the_numbers() {
        let card = [card(Kind::Gpu, LEFT + 300 * MIB)];
        assert_eq!((layers(Some(3), &card), layers(Some(0), &card)), (Ok(Some(3)), Ok(Some(0))));
        let expected = "4 layers take 387 MiB of graphics cards, which have 300 MiB free beside what is left of each; expected at \
                        most 3, or none said, for as many as fit";
        assert_eq!(layers(Some(4), &card).unwrap_err().to_string(), expected);
        // More than there are is all.
        assert!(layers(Some(99), &card).unwrap_err().to_string().starts_with("5 layers take 497 MiB"));
    }

    #[test]
    fn without_cards_nothing_is_placed_and_one_of_the_machine_counts_where_there_is_no_other() {
        let cpu = [card(Kind::Cpu, 1), card(Kind::Accelerator, 1)];
        assert_eq!((layers(None, &cpu), layers(Some(9), &cpu)), (Ok(None), Ok(None)));
        let (own, shared) = (card(Kind::Gpu, LEFT), card(Kind::IntegratedGpu, LEFT + 9_000 * MIB));
        assert_eq!(layers(None, &[own, shared.clone()]), Ok(Some(0)));
        assert_eq!(layers(None, &[shared]), Ok(Some(5)));
    }

    #[test]
    fn the_bytes_of_a_file_are_told_by_its_tensors() {
        for tied in [false, true] {
            let model = Llama { tied, layers: 3, ..Llama::default() };
            let file = File::read(model.build().into()).unwrap();
            let needs = Needs::of(&[&file], 30, 5);
            let bytes = |name: &str| file.tensors().find(|tensor| tensor.name == name).unwrap().data.len() as u64;
            let whole: u64 = file.tensors().map(|tensor| tensor.data.len() as u64).sum();
            let table = bytes("token_embd.weight");
            assert_eq!((needs.layers.len(), needs.cache, needs.bytes(0)), (3, 10, 0));
            assert_eq!(needs.bytes(4), whole - if tied { 0 } else { table } + 30 + 5);
            // Where layers stay, the largest of their matrices is brought for prompts.
            assert_eq!(needs.bytes(1), needs.output + 5 + bytes("blk.0.ffn_down.weight"));
        }
    }
}
