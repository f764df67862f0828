use super::*;

#[test]
fn each_pair_of_each_head_is_turned_by_its_angle_and_the_rest_stays() {
    let angles = [0.5f32, -1.25];
    let table = angles.map(|a| [a.cos(), a.sin()]);
    let mut x: Vec<f32> = (1..=12).map(|x| x as f32).collect();
    let before = x.clone();
    rope_adjacent(&mut x, 6, &table);
    for head in 0..2 {
        for (pair, angle) in angles.into_iter().enumerate() {
            let at = 6 * head + 2 * pair;
            let (radius, start) = (before[at].hypot(before[at + 1]), before[at + 1].atan2(before[at]));
            assert!((x[at] - radius * (start + angle).cos()).abs() < 1e-5);
            assert!((x[at + 1] - radius * (start + angle).sin()).abs() < 1e-5);
        }
        assert_eq!(x[6 * head + 4..6 * head + 6], before[6 * head + 4..6 * head + 6]);
    }
}

#[test]
#[should_panic(expected = "rope_adjacent: 10 values, heads of 4, 1 angles")]
fn values_that_are_no_whole_heads_are_named() {
    rope_adjacent(&mut [0.0; 10], 4, &[[1.0, 0.0]]);
}
