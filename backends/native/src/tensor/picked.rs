//! Some rows of each group of a matrix, as a matrix of their own: where a file has in one what is multiplied at different times.

use std::ops::Range;

use half::f16;
use kernels::Format;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Picked {
    /// Rows of a group.
    pub(super) group: usize,
    /// Which of them.
    pub(super) rows: Range<usize>,
    /// What the data holds.
    pub(super) format: Format,
    /// Numbers of a row of it.
    pub(super) cols: usize,
    /// Whether rows of the data are columns, within their group.
    pub(super) turned: bool,
}

impl Picked {
    /// Their bytes.
    pub(super) fn take(&self, data: &[u8]) -> Vec<u8> {
        let row = self.format.row_bytes(self.cols).expect("a row of the file");
        let groups =
            data.chunks_exact(self.group * row).map(|group| &group[self.rows.start * row..self.rows.end * row]);
        match self.turned {
            false => groups.flatten().copied().collect(),
            true => groups.flat_map(|rows| self.turn(rows)).collect(),
        }
    }

    /// Column after column of some rows.
    fn turn(&self, rows: &[u8]) -> Vec<u8> {
        let (row, cols) = (rows.len() / self.rows.len(), self.cols);
        match self.format {
            Format::F32 => columns::<4>(rows, row, cols),
            Format::F16 | Format::BF16 => columns::<2>(rows, row, cols),
            quantised => {
                let mut numbers = vec![0.0; cols];
                let mut halves = Vec::with_capacity(2 * self.rows.len() * cols);
                for row in rows.chunks_exact(row) {
                    kernels::dequantize_row(quantised, row, &mut numbers);
                    halves.extend(numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
                }
                columns::<2>(&halves, 2 * cols, cols)
            }
        }
    }
}

/// Elements of `N` bytes, column after column.
fn columns<const N: usize>(rows: &[u8], row: usize, cols: usize) -> Vec<u8> {
    let element = |col: usize| rows.chunks_exact(row).flat_map(move |row| row.as_chunks::<N>().0[col]);
    (0..cols).flat_map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    /// Two groups of three rows of two.
    #[test]
    fn rows_of_each_group_follow_each_other_and_turned_they_are_columns() {
        let data = bytes(&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 100.0, 101.0, 110.0, 111.0, 120.0, 121.0]);
        let picked = |rows, turned| Picked { group: 3, rows, format: Format::F32, cols: 2, turned }.take(&data);
        assert_eq!(picked(2..3, false), bytes(&[20.0, 21.0, 120.0, 121.0]));
        assert_eq!(picked(0..2, true), bytes(&[0.0, 10.0, 1.0, 11.0, 100.0, 110.0, 101.0, 111.0]));
    }

    #[test]
    fn what_is_no_float_is_turned_into_halves_of_what_it_stands_for() {
        // A block of 32: its scale, and whole numbers.
        let block = |scale: f32| -> Vec<u8> {
            f16::from_f32(scale).to_le_bytes().into_iter().chain((0..32).map(|x| (x - 16) as i8 as u8)).collect()
        };
        let data = [block(0.5), block(2.0), block(9.0)].concat();
        let turned = Picked { group: 3, rows: 0..2, format: Format::Q8_0, cols: 32, turned: true }.take(&data);
        let expected = (0..32).flat_map(|x| [0.5, 2.0].map(|scale| f16::from_f32(scale * (x - 16) as f32)));
        assert_eq!(turned, expected.flat_map(f16::to_le_bytes).collect::<Vec<_>>());
    }
}
