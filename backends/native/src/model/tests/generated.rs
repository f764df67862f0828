//! Models of random weights in real shapes, which measurements are made with.

use engine::generate::{Mix, Model as Written, Shape};

use super::*;

#[test]
fn every_shape_in_every_mix_is_loaded_and_its_logits_have_a_size_that_can_be_drawn_from() {
    for shape in Shape::ALL.iter().map(Shape::small) {
        for mix in Mix::ALL {
            let mut bytes = Vec::new();
            Written { shape: &shape, mix, seed: 1 }.write(&mut bytes, |_, _| {}).unwrap();
            let model = load(bytes).unwrap_or_else(|error| panic!("{} {mix}: {error}", shape.name));
            let logits = runner(&model, Isa::best(), 2).step(&chunk(0, 0, &text(40, 3))).to_vec();
            let size = (logits.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / logits.len() as f64).sqrt();
            assert!((0.3..3.0).contains(&size), "{} {mix}: logits of {size}", shape.name);
        }
    }
}
