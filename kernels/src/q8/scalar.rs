//! What quantising a group means.

use super::scale_of;

pub(super) fn group<const N: usize>(x: &[f32; N], q: &mut [i8; N]) -> f32 {
    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let (scale, inverse) = scale_of(largest);
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
    scale
}
