//! How the numbers of a text's tokens become those of the text, and those the ones that the API tells: the same of every
//! engine.

use crate::gguf::{self, File};

/// How the rows of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    First,
    /// The last one's.
    Last,
}

impl Pooling {
    /// What a file of this architecture says.
    ///
    /// # Errors
    /// The key is of another type.
    pub fn of(file: &File, architecture: &str) -> Result<Self, gguf::Error> {
        Ok(match file.get::<u64>(&format!("{architecture}.pooling_type"))? {
            Some(2) => Self::First,
            Some(3) => Self::Last,
            // Where a file does not say it is the mean, as with the library that such models come from.
            _ => Self::Mean,
        })
    }
}

/// A vector of the same direction and the length 1; one of nothing stays so.
pub fn unit(row: &[f32]) -> Vec<f32> {
    let length = row.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    let by = if length > 0.0 { 1.0 / length } else { 0.0 };
    row.iter().map(|number| (f64::from(*number) * by) as f32).collect()
}

/// A score of any size as a number from 0 to 1.
pub fn share(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bert;

    #[test]
    fn a_file_says_how_texts_are_pooled_and_one_that_does_not_means_the_mean() {
        let of = |pooling| {
            let file = File::read(Bert { pooling, ..Bert::default() }.build().into()).unwrap();
            Pooling::of(&file, "bert").unwrap()
        };
        let expected = [Pooling::Mean, Pooling::Mean, Pooling::Mean, Pooling::First, Pooling::Last];
        assert_eq!([None, Some(0), Some(1), Some(2), Some(3)].map(of), expected);
    }

    #[test]
    fn a_vector_has_the_length_1_however_long_it_was_and_a_score_is_a_share() {
        for size in [1e-30, 1.0, 1e19] {
            let [a, b] = unit(&[3.0 * size, -4.0 * size])[..] else { panic!("two numbers") };
            assert!((a - 0.6).abs() < 1e-6 && (b + 0.8).abs() < 1e-6, "{size}: {a} {b}");
        }
        assert_eq!(unit(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!([f32::MIN, 0.0, f32::MAX].map(share), [0.0, 0.5, 1.0]);
    }
}
