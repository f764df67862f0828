use super::*;

#[test]
fn each_pair_of_each_head_is_turned_by_its_angle_and_the_rest_stays() {
    let angles = [0.5f32, -1.25];
    let table = angles.map(|a| [a.cos(), a.sin()]);
    for (pairs, places) in [(Pairs::Adjacent, [[0, 1], [2, 3]]), (Pairs::Halves, [[0, 2], [1, 3]])] {
        let mut x: Vec<f32> = (1..=12).map(|x| x as f32).collect();
        let before = x.clone();
        rope(pairs, &mut x, 6, &table);
        for head in [0, 6] {
            for (angle, [a, b]) in angles.into_iter().zip(places.map(|pair| pair.map(|place| head + place))) {
                let (radius, start) = (before[a].hypot(before[b]), before[b].atan2(before[a]));
                assert!((x[a] - radius * (start + angle).cos()).abs() < 1e-5, "{pairs:?}");
                assert!((x[b] - radius * (start + angle).sin()).abs() < 1e-5, "{pairs:?}");
            }
            assert_eq!(x[head + 4..head + 6], before[head + 4..head + 6]);
        }
    }
}

#[test]
#[should_panic(expected = "rope: 10 values, heads of 4, 1 angles")]
fn values_that_are_no_whole_heads_are_named() {
    rope(Pairs::Adjacent, &mut [0.0; 10], 4, &[[1.0, 0.0]]);
}
