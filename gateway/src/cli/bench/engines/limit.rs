//! What the machine cannot go beyond with certain weights: how long it takes to read what a token reads of them, and to
//! multiply what it multiplies.
//!
//! Of what passes through the model together the weights are read once, and multiplied for each. Both limits are measured on
//! this machine in the same run as the engines (`native::machine`), so a share of them is one of what was possible.

use std::{io, path::Path, thread};

use engine::gguf::File;
use native::{Isa, machine::Machine};

use crate::cli::audit::document::Cell;

/// Memory that is read where nothing is known of the weights: more than caches hold, mostly.
const READ: u64 = 1 << 30;
/// The least and the most that is read: less is over before it is timed, and more tells no more.
const LEAST: u64 = 64 << 20;
const MOST: u64 = 2 << 30;

/// What a token costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Bytes of weights, as the file has them, that it reads.
    bytes: u64,
    /// Weights that it is multiplied with, but for those of the output.
    products: u64,
    /// Those of the output, which a prompt has for its last token alone.
    output: u64,
    /// Whether most weights are integers, and so are the products.
    integers: bool,
}

/// The machine, and what a token costs.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    cost: Option<Cost>,
    machine: Machine,
    threads: usize,
}

/// What an engine cannot go beyond, where that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) tokens_per_second: Option<f64>,
    /// What it is that bounds it.
    pub(super) by: Option<&'static str>,
}

impl Cost {
    /// Of the model of a file, with the parts of it that lie beside it; none where it has no matrices.
    pub(super) fn of(file: &File, path: &Path) -> Option<Self> {
        let architecture: &str = file.get("general.architecture").ok().flatten().unwrap_or_default();
        let experts = |key: &str| file.get::<u64>(&format!("{architecture}.{key}")).ok().flatten();
        // Of experts a token passes through some.
        let used = match (experts("expert_used_count"), experts("expert_count")) {
            (Some(used), Some(all)) if 0 < used && used < all => used as f64 / all as f64,
            _ => 1.0,
        };
        let parts = file.parts_behind(path);
        let tensors = || std::iter::once(file).chain(&parts).flat_map(File::tensors);
        // Of an embedding a token reads one row, unless it is the output too.
        let has_output = tensors().any(|tensor| tensor.name == "output.weight");
        let mut cost = Cost { bytes: 0, products: 0, output: 0, integers: false };
        let mut floats = 0u64;
        for tensor in tensors().filter(|tensor| tensor.dims.len() > 1) {
            let is_output = match tensor.name {
                "output.weight" => true,
                "token_embd.weight" if has_output => continue,
                "token_embd.weight" => true,
                _ => false,
            };
            let share = if tensor.name.contains("_exps.") { used } else { 1.0 };
            let of = |number: u64| (number as f64 * share) as u64;
            cost.bytes = cost.bytes.saturating_add(of(tensor.data.len() as u64));
            let products = if is_output { &mut cost.output } else { &mut cost.products };
            *products = products.saturating_add(of(tensor.len()));
            if tensor.kind.block_len() == 1 {
                floats = of(tensor.len()).saturating_add(floats);
            }
        }
        let all = cost.products.saturating_add(cost.output);
        cost.integers = floats < all / 2;
        (all > 0).then_some(cost)
    }
}

impl Limits {
    /// Measures the machine with all threads.
    pub(super) fn measure(cost: Option<Cost>) -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { machine: measure(cost, threads)?, cost, threads })
    }

    /// Once more, and the better of each counts.
    pub(super) fn measure_again(&mut self) -> io::Result<()> {
        self.machine = self.machine.better(measure(self.cost, self.threads)?);
        Ok(())
    }

    /// Tokens a second of a prompt of so many.
    pub(super) fn prompt(&self, tokens: u32) -> Bound {
        self.bound(tokens, |cost| cost.products.saturating_mul(tokens.into()).saturating_add(cost.output))
    }

    /// The same of a prompt that is held: what its last token costs is left.
    pub(super) fn held(&self, tokens: u32) -> Bound {
        let Bound { tokens_per_second, by } = self.answers(1);
        Bound { tokens_per_second: tokens_per_second.map(|rate| rate * f64::from(tokens)), by }
    }

    /// Tokens a second of so many answers that are written together.
    pub(super) fn answers(&self, streams: u32) -> Bound {
        self.bound(streams, |cost| cost.products.saturating_add(cost.output).saturating_mul(streams.into()))
    }

    fn bound(&self, tokens: u32, products: impl Fn(&Cost) -> u64) -> Bound {
        let Some(cost) = &self.cost else { return Bound { tokens_per_second: None, by: None } };
        let reading = cost.bytes as f64 / self.machine.bytes_per_second;
        let multiplying = products(cost) as f64 / self.machine.products_per_second;
        // Nothing was measured of products of floats.
        let (seconds, by) =
            if cost.integers && multiplying > reading { (multiplying, "products") } else { (reading, "memory") };
        Bound { tokens_per_second: Some(f64::from(tokens) / seconds), by: Some(by) }
    }

    /// What it says for a report.
    pub(super) fn facts(&self) -> Vec<(&'static str, Cell)> {
        let mut facts = vec![
            ("threads", (self.threads as u64).into()),
            ("instruction_set", native::instruction_set().into()),
            ("memory_gb_per_second", (self.machine.bytes_per_second / 1e9).into()),
            ("int8_tera_products_per_second", (self.machine.products_per_second / 1e12).into()),
        ];
        if let Some(cost) = &self.cost {
            facts.extend([
                ("weight_mb_per_token", (cost.bytes as f64 / 1e6).into()),
                ("mega_products_per_token", ((cost.products + cost.output) as f64 / 1e6).into()),
            ]);
        }
        facts
    }
}

fn measure(cost: Option<Cost>, threads: usize) -> io::Result<Machine> {
    let bytes = cost.map_or(READ, |cost| cost.bytes).clamp(LEAST, MOST);
    Machine::measure(Isa::best(), threads, usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
pub(super) mod tests {
    use engine::{gguf::TensorType, testing::Llama};

    use super::*;

    fn cost(llama: &Llama) -> Cost {
        Cost::of(&File::read(llama.build().into()).unwrap(), Path::new("none")).unwrap()
    }

    const LAYER: u64 = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96;

    #[test]
    fn a_token_costs_its_matrices_and_of_the_embedding_nothing_unless_it_is_the_output() {
        let llama = Llama { kind: TensorType::Q8_0, ..Llama::default() };
        let file = File::read(llama.build().into()).unwrap();
        let vocabulary = file.tensor("output.weight").unwrap().dims[1];
        let expected = Cost {
            bytes: (2 * LAYER + 64 * vocabulary) / 32 * 34,
            products: 2 * LAYER,
            output: 64 * vocabulary,
            integers: true,
        };
        assert_eq!(cost(&llama), expected);
        assert_eq!(cost(&Llama { tied: true, ..llama }), expected);
        assert!(!cost(&Llama { kind: TensorType::F16, ..Llama::default() }).integers);
    }

    #[test]
    fn of_experts_those_count_that_a_token_passes_through() {
        let all = Llama { kind: TensorType::Q8_0, experts: 8, experts_used: 8, ..Llama::default() };
        let some = cost(&Llama { experts_used: 2, ..all.clone() });
        let experts = 2 * 8 * 3 * 64 * 96;
        assert_eq!(cost(&all).products - some.products, experts / 4 * 3);
        assert_eq!(cost(&all).bytes - some.bytes, experts / 4 * 3 / 32 * 34);
    }

    pub(in crate::cli::bench::engines) fn limits(integers: bool) -> Limits {
        let cost = Cost { bytes: 1_000, products: 900, output: 100, integers };
        let machine = Machine { bytes_per_second: 10_000.0, products_per_second: 40_000.0 };
        Limits { cost: Some(cost), machine, threads: 2 }
    }

    #[test]
    fn few_streams_are_bounded_by_memory_and_many_and_prompts_by_products() {
        let bound = |tokens_per_second, by| Bound { tokens_per_second: Some(tokens_per_second), by: Some(by) };
        assert_eq!(limits(true).answers(1), bound(10.0, "memory"));
        assert_eq!(limits(true).answers(2), bound(20.0, "memory"));
        assert_eq!(limits(true).answers(8), bound(40.0, "products"));
        // The output is computed once.
        assert_eq!(limits(true).prompt(100), bound(100.0 / (90_100.0 / 40_000.0), "products"));
        assert_eq!(limits(true).held(100), bound(1_000.0, "memory"), "one token of it is computed");
        assert_eq!(limits(false).answers(8), bound(80.0, "memory"), "products of floats were not measured");
    }

    #[test]
    fn of_unknown_weights_no_limit_is_told() {
        let limits = Limits { cost: None, ..limits(true) };
        assert_eq!(limits.prompt(10), Bound { tokens_per_second: None, by: None });
        assert_eq!(limits.facts().len(), 4);
    }
}
