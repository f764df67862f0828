//! What the exponentials of a softmax mean. Also takes the ends of rows for the other versions.

pub(super) fn exp_and_sum(x: &mut [f32], scale: f32, largest: f32) -> f32 {
    let mut sum = 0.0;
    for x in x {
        *x = (scale * *x - largest).exp();
        sum += *x;
    }
    sum
}
