//! Activations as a product reads them: `count` columns of `len` numbers, already in the form the weights ask for.
//!
//! Views only; the buffers belong to the caller, and `quantize` fills them.

use crate::format::Activation;

/// A column of eight-bit activations with a scale for each 32: element `i` is `scales[i / 32] * q[i]`.
///
/// `q` stays within -127..=127, as [`crate::quantize_q8x32`] leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Q8x32<'a> {
    /// The eight-bit values.
    pub q: &'a [i8],
    /// One scale for each 32 of them.
    pub scales: &'a [f32],
}

/// A column of eight-bit activations with a scale for each 256: element `i` is `scales[i / 256] * q[i]`.
///
/// `q` stays within -127..=127, as [`crate::quantize_q8x256`] leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Q8x256<'a> {
    /// The eight-bit values.
    pub q: &'a [i8],
    /// One scale for each 256 of them.
    pub scales: &'a [f32],
    /// The sum of each 16 of them.
    pub sums: &'a [i16],
}

#[derive(Clone, Copy, Debug)]
enum Values<'a> {
    F32(&'a [f32]),
    Q8x32(Q8x32<'a>),
    Q8x256(Q8x256<'a>),
}

/// `count` columns of `len` activations each, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    len: usize,
    count: usize,
    values: Values<'a>,
}

impl<'a> Columns<'a> {
    /// Columns of plain floats.
    ///
    /// # Panics
    /// If `values` is not a whole number of columns.
    pub fn f32(len: usize, values: &'a [f32]) -> Self {
        Columns { len, count: whole("Columns::f32", values.len(), len), values: Values::F32(values) }
    }

    /// Columns quantised in groups of 32.
    ///
    /// # Panics
    /// If `len` is not a multiple of 32 or the slices do not describe the same columns.
    pub fn q8x32(len: usize, values: Q8x32<'a>) -> Self {
        let count = whole("Columns::q8x32", values.q.len(), len);
        assert!(len.is_multiple_of(32), "Columns::q8x32: columns of {len}, which is no multiple of 32");
        let scales = values.scales.len();
        assert!(scales * 32 == values.q.len(), "Columns::q8x32: {scales} scales for {} values", values.q.len());
        Columns { len, count, values: Values::Q8x32(values) }
    }

    /// Columns quantised in groups of 256.
    ///
    /// # Panics
    /// If `len` is not a multiple of 256 or the slices do not describe the same columns.
    pub fn q8x256(len: usize, values: Q8x256<'a>) -> Self {
        let count = whole("Columns::q8x256", values.q.len(), len);
        assert!(len.is_multiple_of(256), "Columns::q8x256: columns of {len}, which is no multiple of 256");
        let (scales, sums) = (values.scales.len(), values.sums.len());
        assert!(
            scales * 256 == values.q.len() && sums * 16 == values.q.len(),
            "Columns::q8x256: {scales} scales and {sums} sums for {} values",
            values.q.len()
        );
        Columns { len, count, values: Values::Q8x256(values) }
    }

    /// Numbers in a column.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no column, or none with a number in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0 || self.count == 0
    }

    /// How many columns there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The form of the values.
    pub fn activation(&self) -> Activation {
        match self.values {
            Values::F32(_) => Activation::F32,
            Values::Q8x32(_) => Activation::Q8x32,
            Values::Q8x256(_) => Activation::Q8x256,
        }
    }

    // The three below hand out columns `first..first + N` in a form that the caller has checked by `activation`.

    pub(crate) fn f32_tile<const N: usize>(&self, first: usize) -> [&'a [f32]; N] {
        let Values::F32(values) = self.values else { unreachable!("the form was checked") };
        std::array::from_fn(|i| part(values, first + i, self.len))
    }

    pub(crate) fn q8x32_tile<const N: usize>(&self, first: usize) -> [Q8x32<'a>; N] {
        let Values::Q8x32(values) = self.values else { unreachable!("the form was checked") };
        std::array::from_fn(|i| Q8x32 {
            q: part(values.q, first + i, self.len),
            scales: part(values.scales, first + i, self.len / 32),
        })
    }

    pub(crate) fn q8x256_tile<const N: usize>(&self, first: usize) -> [Q8x256<'a>; N] {
        let Values::Q8x256(values) = self.values else { unreachable!("the form was checked") };
        std::array::from_fn(|i| Q8x256 {
            q: part(values.q, first + i, self.len),
            scales: part(values.scales, first + i, self.len / 256),
            sums: part(values.sums, first + i, self.len / 16),
        })
    }
}

fn part<T>(values: &[T], index: usize, len: usize) -> &[T] {
    &values[index * len..(index + 1) * len]
}

fn whole(what: &str, values: usize, len: usize) -> usize {
    assert!(len > 0 && values.is_multiple_of(len), "{what}: {values} values are no whole number of columns of {len}");
    values / len
}
