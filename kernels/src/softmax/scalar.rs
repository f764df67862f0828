//! What the exponentials of a softmax mean. Also takes the ends of rows for the other versions.

pub(super) fn exponentials(x: &mut [f32], scale: f32, shift: f32) -> f32 {
    let mut sum = 0.0;
    for x in x {
        *x = (scale * *x - shift).exp();
        sum += *x;
    }
    sum
}

pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |largest, &x| largest.max(x))
}
