//! Any bytes are a GGUF file or refused; what is read holds what it promises.

#![no_main]

use bytes::Bytes;
use engine::gguf::File;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::read(Bytes::copy_from_slice(bytes)) else { return };
    for tensor in file.tensors() {
        let rows = tensor.len() / tensor.dims[0];
        assert_eq!(tensor.kind.row_bytes(tensor.dims[0]).unwrap() * rows, tensor.data.len() as u64);
    }
});
