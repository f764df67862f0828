//! A tensor of weights on its way from a file into the form that is computed with.
//!
//! A [`View`] is where it lies in the file, checked; packing reads it once, and nothing of the file is kept.

mod picked;

use std::{io, ops::Range, thread};

use bytes::Bytes;
use kernels::{Format, Packed};

use engine::gguf::{TensorType, TensorView};

use picked::Picked;

/// A matrix of weights in a file, or a vector as a matrix of one row.
#[derive(Clone, Debug)]
pub(crate) struct View {
    format: Format,
    rows: usize,
    cols: usize,
    data: Bytes,
    /// Which rows of the data it is, and how they lie, where that is not all as they are.
    picked: Option<Picked>,
}

/// A packed matrix but for its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl View {
    /// The tensor of a view, if the kernels compute with its type: of three dimensions, the matrices one after the other.
    pub(crate) fn new(view: &TensorView<'_>) -> Option<Self> {
        let (cols, rows) = match *view.dims {
            [cols] => (cols, 1),
            [cols, rows] => (cols, rows),
            [cols, rows, matrices] => (cols, rows.checked_mul(matrices)?),
            _ => return None,
        };
        let (rows, cols) = (usize::try_from(rows).ok()?, usize::try_from(cols).ok()?);
        Some(Self { format: format(view.kind)?, rows, cols, data: view.data.clone(), picked: None })
    }

    /// Some rows of each group of so many, group after group.
    ///
    /// # Panics
    /// If there is no whole number of groups, or a group has not so many rows.
    pub(crate) fn of_groups(&self, group: usize, rows: Range<usize>) -> Self {
        let count = self.groups(group, &rows) * rows.len();
        Self { rows: count, picked: Some(self.picked(group, rows, false)), ..self.clone() }
    }

    /// The same, and each group's rows as columns: floats stay what they are, and others become halves.
    ///
    /// # Panics
    /// As [`View::of_groups`].
    pub(crate) fn of_groups_turned(&self, group: usize, rows: Range<usize>) -> Self {
        let (count, cols) = (self.groups(group, &rows) * self.cols, rows.len());
        let format = if self.is_float() { self.format } else { Format::F16 };
        let picked = Some(self.picked(group, rows, true));
        Self { format, rows: count, cols, picked, ..self.clone() }
    }

    fn picked(&self, group: usize, rows: Range<usize>, turned: bool) -> Picked {
        Picked { group, rows, format: self.format, cols: self.cols, turned }
    }

    fn groups(&self, group: usize, rows: &Range<usize>) -> usize {
        assert!(
            self.picked.is_none() && rows.end <= group && self.rows.is_multiple_of(group),
            "View: {rows:?} of {group}"
        );
        self.rows / group
    }

    /// Whether its numbers are floats.
    pub(crate) fn is_float(&self) -> bool {
        self.format.is_float()
    }

    /// What it becomes, packed.
    pub(crate) fn form(&self) -> Form {
        Form { format: self.format, rows: self.rows, cols: self.cols }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// If it has not so many, or not all rows as they lie.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        assert!(self.picked.is_none(), "View::rows: of a view that is picked");
        let row = self.data.len() / self.rows.max(1);
        Self { rows: rows.len(), data: self.data.slice(rows.start * row..rows.end * row), picked: None, ..*self }
    }

    /// Its rows, one after the other, as floats.
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.cols];
        let row = self.data.len() / self.rows.max(1);
        for (row, values) in self.data.chunks_exact(row.max(1)).zip(values.chunks_exact_mut(self.cols.max(1))) {
            kernels::dequantize_row(self.format, row, values);
        }
        values
    }

    /// The matrix, packed by some threads together.
    ///
    /// # Errors
    /// When the system has not the memory.
    pub(crate) fn pack(self, threads: usize) -> io::Result<Packed> {
        let mut packed = Packed::zeroed(self.format, self.rows, self.cols)?;
        let data = match &self.picked {
            Some(picked) => picked.take(&self.data).into(),
            None => self.data,
        };
        thread::scope(|scope| {
            for part in packed.parts(&data, threads) {
                scope.spawn(|| part.pack());
            }
        });
        Ok(packed)
    }
}

/// The kernels' format for a type, if they have one.
fn format(kind: TensorType) -> Option<Format> {
    match kind {
        TensorType::F32 => Some(Format::F32),
        TensorType::F16 => Some(Format::F16),
        TensorType::BF16 => Some(Format::BF16),
        TensorType::Q8_0 => Some(Format::Q8_0),
        TensorType::Q4_0 => Some(Format::Q4_0),
        TensorType::Q4_1 => Some(Format::Q4_1),
        TensorType::Q5_0 => Some(Format::Q5_0),
        TensorType::Q5_1 => Some(Format::Q5_1),
        TensorType::IQ4_NL => Some(Format::IQ4_NL),
        TensorType::Q2_K => Some(Format::Q2_K),
        TensorType::Q3_K => Some(Format::Q3_K),
        TensorType::Q4_K => Some(Format::Q4_K),
        TensorType::Q5_K => Some(Format::Q5_K),
        TensorType::Q6_K => Some(Format::Q6_K),
        TensorType::IQ4_XS => Some(Format::IQ4_XS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use engine::generate;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    /// Of every type that is computed, also those that no quantiser of the tests writes.
    #[test]
    fn random_blocks_are_weights_around_zero_of_the_size_that_was_asked_for() {
        let computed = TensorType::ALL.iter().filter_map(|&kind| Some((kind, format(kind)?)));
        let mut types = 0;
        for (kind, format) in computed {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut weights = vec![0.0; 256 * 512];
            let mut blocks = vec![0; format.row_bytes(weights.len()).expect("whole blocks")];
            generate::fill(kind, &mut rng, 0.02, &mut blocks);
            kernels::dequantize_row(format, &blocks, &mut weights);
            let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len() as f64;
            let square = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / weights.len() as f64;
            assert!((square.sqrt() / 0.02 - 1.0).abs() < 0.02, "{kind}: {} in place of 0.02", square.sqrt());
            // Codes of an even number with a sign have one more below zero than above.
            assert!(mean.abs() < 0.02 * 0.15, "{kind}: {mean} on average");
            types += 1;
        }
        assert_eq!(types, Format::ALL.len());
    }
}
