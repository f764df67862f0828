//! Rotary position: each adjacent pair of a head is turned by the angle of its position.
//!
//! The caller keeps the table of cosines and sines, one pair of numbers for each pair of places. One version: the
//! loop is a few multiplications for each number that a product has just spent thousands on.

#[cfg(test)]
mod tests;

/// Turns the first `2 * table.len()` numbers of each head of `head` numbers; the rest stay as they are.
///
/// # Panics
/// If `x` is no whole number of heads, or the table describes more pairs than a head has.
pub fn rope_adjacent(x: &mut [f32], head: usize, table: &[[f32; 2]]) {
    assert!(
        head > 0 && x.len().is_multiple_of(head) && 2 * table.len() <= head,
        "rope_adjacent: {} values, heads of {head}, {} angles",
        x.len(),
        table.len()
    );
    for head in x.chunks_exact_mut(head) {
        for ([a, b], [cos, sin]) in head.as_chunks_mut::<2>().0.iter_mut().zip(table) {
            (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
        }
    }
}
