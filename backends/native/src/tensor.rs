//! A tensor of weights as the model holds it: where it lies, its shape, and the kernels' name for its format.
//!
//! The bytes are shared with the file they came from; nothing is copied or converted at loading.

use bytes::Bytes;
use kernels::{Format, Matrix};

use engine::gguf::{TensorType, TensorView};

/// A matrix of weights, or a vector as a matrix of one row.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    format: Format,
    rows: usize,
    cols: usize,
    data: Bytes,
}

impl Tensor {
    /// The tensor of a view with one or two dimensions, if the kernels compute with its type.
    pub(crate) fn new(view: &TensorView<'_>) -> Option<Self> {
        let (cols, rows) = match *view.dims {
            [cols] => (cols, 1),
            [cols, rows] => (cols, rows),
            _ => return None,
        };
        let (rows, cols) = (usize::try_from(rows).ok()?, usize::try_from(cols).ok()?);
        Some(Self { format: format(view.kind)?, rows, cols, data: view.data.clone() })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of the weights.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.format, self.rows, self.cols, &self.data)
    }

    /// Writes a row as floats.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        kernels::dequantize_row(self.format, self.matrix().slice(row..row + 1).data(), out);
    }
}

/// The kernels' format for a type, if they have one.
pub(crate) fn format(kind: TensorType) -> Option<Format> {
    match kind {
        TensorType::F32 => Some(Format::F32),
        TensorType::F16 => Some(Format::F16),
        TensorType::Q8_0 => Some(Format::Q8_0),
        TensorType::Q4_0 => Some(Format::Q4_0),
        TensorType::Q4_K => Some(Format::Q4K),
        TensorType::Q6_K => Some(Format::Q6K),
        _ => None,
    }
}
