//! Any GGUF file gives a tokenizer, a template and a model, or is refused; the tokenizer gives text back.
//!
//! Give it `config/models/pointsman-demo.gguf` as its first input.

#![no_main]

use bytes::Bytes;
use engine::{gguf::File, template::Template, tokenizer::Tokenizer};
use libfuzzer_sys::fuzz_target;
use native::model::Model;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::read(Bytes::copy_from_slice(bytes)) else { return };
    let _ = Model::load(&file, 1);
    let Ok(tokenizer) = Tokenizer::from_file(&file) else { return };
    let _ = Template::from_file(&file, &tokenizer);
    let ids = tokenizer.encode("The <|end|> of\n 12345 ké 한");
    assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
});
