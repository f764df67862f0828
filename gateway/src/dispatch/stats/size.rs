//! Classes of prompt size: the time to the first token grows with the prompt, so prompts are measured among their like.

/// A class of prompt size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u8);

/// The most tokens of each class; the last class has no limit.
const UP_TO: [u64; Size::COUNT - 1] = [512, 2_048, 8_192, 32_768, 131_072];

impl Size {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// The class of a prompt.
    pub fn of(prompt_tokens: u64) -> Self {
        Self(UP_TO.partition_point(|most| *most < prompt_tokens) as u8)
    }

    /// Its number, from 0 for the shortest prompts.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_in_the_first_class_that_holds_it() {
        let classes = [0, 512, 513, 2_048, 131_072, 131_073, u64::MAX].map(|tokens| Size::of(tokens).index());
        assert_eq!(classes, [0, 0, 1, 1, 4, 5, 5]);
    }
}
