//! Rotary position: each pair of numbers of a head is turned by the angle of its position.
//!
//! The caller keeps the table of cosines and sines, one pair of numbers for each pair of places. One version: the
//! loop is a few multiplications for each number that a product has just spent thousands on.

#[cfg(test)]
mod tests;

/// Which numbers of a head are a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Those side by side, as in llama's files.
    Adjacent,
    /// Each of the first half of those that turn with its counterpart in the second, as GPT-NeoX has them.
    Halves,
}

/// Turns the first `2 * table.len()` numbers of each head of `head` numbers; the rest stay as they are.
///
/// # Panics
/// If `x` is no whole number of heads, or the table describes more pairs than a head has.
pub fn rope(pairs: Pairs, x: &mut [f32], head: usize, table: &[[f32; 2]]) {
    assert!(
        head > 0 && x.len().is_multiple_of(head) && 2 * table.len() <= head,
        "rope: {} values, heads of {head}, {} angles",
        x.len(),
        table.len()
    );
    let turn = |a: &mut f32, b: &mut f32, [cos, sin]: [f32; 2]| (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    for head in x.chunks_exact_mut(head) {
        match pairs {
            Pairs::Adjacent => {
                for ([a, b], &angle) in head.as_chunks_mut::<2>().0.iter_mut().zip(table) {
                    turn(a, b, angle);
                }
            }
            Pairs::Halves => {
                let (first, second) = head.split_at_mut(table.len());
                for ((a, b), &angle) in first.iter_mut().zip(second).zip(table) {
                    turn(a, b, angle);
                }
            }
        }
    }
}
