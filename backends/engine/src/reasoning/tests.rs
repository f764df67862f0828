//! Answers as models that reason write them, and what only looks like one.

use proptest::prelude::*;

use crate::calls::promises;

use super::*;

#[track_caller]
fn check(opened: bool, text: &str, reasoning: &str, answer: &str) {
    for size in [1, 2, 3, 5, 8, usize::MAX] {
        let Parts { reasoning: thought, answer: said } = promises::parted(opened, size, text);
        assert_eq!((&*thought, &*said), (reasoning, answer), "{text:?} by {size}");
    }
}

#[test]
fn a_block_at_the_beginning_is_reasoning_and_the_rest_is_the_answer() {
    // Qwen 3, QwQ; GLM 4.5 begins with a line break; DeepSeek's templates open the block in the prompt.
    check(false, "<think>\nHm. é\n\n2 < 3\n</think>\n\nYes.\n", "Hm. é\n\n2 < 3", "Yes.\n");
    check(false, "\n<think>Hm.</think>\nYes.", "Hm.", "Yes.");
    check(true, "Hm.\n</think>\n\nYes.", "Hm.", "Yes.");
    check(true, "\nHm.</think>Yes.", "Hm.", "Yes.");
    check(false, "<think>\n\n</think>\n\nYes.", "", "Yes.");
}

#[test]
fn what_only_looks_like_a_mark_is_text() {
    for text in
        ["<thinking> is a tag", "<th", "< think>", "<", "  \n", "", "\n\n indented", "no <think>block</think> here"]
    {
        check(false, text, "", text);
    }
    check(true, "a </thin </think >", "a </thin </think >", "");
}

#[test]
fn a_mark_behind_the_block_is_text() {
    check(false, "<think>a</think>b <think>c</think> d</think>", "a", "b <think>c</think> d</think>");
    check(false, "<think>a<think>b</think>c", "a<think>b", "c");
    check(true, "a</think></think>", "a", "</think>");
}

#[test]
fn a_block_that_is_never_closed_is_all_reasoning() {
    check(false, "<think>\nHm. \n", "Hm.", "");
    check(true, "Hm. </thi", "Hm. </thi", "");
    check(true, "", "", "");
}

#[test]
fn reasoning_leaves_as_it_comes_but_for_what_may_be_the_mark() {
    let mut reasoning = Reasoning::new(true);
    let mut pushed = |text| {
        let Parts { reasoning: thought, answer } = reasoning.push(text);
        (thought, answer)
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(pushed("Let me "), pair("Let me", ""));
    assert_eq!(pushed("see"), pair(" see", ""));
    assert_eq!(pushed(" </"), pair("", ""));
    assert_eq!(pushed("b> x"), pair(" </b> x", ""));
    assert_eq!(pushed("</think>\n"), pair("", ""));
    assert_eq!(pushed("\nSo"), pair("", "So"));
}

#[test]
fn what_the_prompt_ends_with_tells_whether_a_block_is_open() {
    assert!(is_opened_by("<|im_start|>assistant\n<think>\n"));
    // As templates write it where `enable_thinking` is false.
    assert!(!is_opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
    assert!(!is_opened_by("<|im_start|>assistant\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_cut_reads_as_the_whole_and_nothing_but_marks_and_blanks_is_lost(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "<think>", "</think>", "<th", "ink>", "</", "<", ">", "\n", " ", "text", "é",
        ]), 0..12),
        size in 1..9usize,
        opened: bool,
    ) {
        promises::any_cut_parts_reasoning_as_the_whole(opened, size, &pieces.concat());
    }
}
