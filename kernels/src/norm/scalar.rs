//! What the sums mean. Also takes the ends of rows for the other versions.

pub(super) fn sum_of_squares(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum()
}

pub(super) fn sum(x: &[f32]) -> f32 {
    x.iter().sum()
}

pub(super) fn squares_around(x: &[f32], mean: f32) -> f32 {
    x.iter().map(|x| (x - mean) * (x - mean)).sum()
}
