//! What a sum of squares means. Also takes the ends of rows for the other versions.

pub(super) fn sum_of_squares(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum()
}
