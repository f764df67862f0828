//! A good file reads as it was written; every way to lie in one is refused with its place.

use bytes::Bytes;
use proptest::prelude::*;

use crate::testing::{Llama, Meta, Vocabulary, Writer};

use super::*;

fn read(bytes: Vec<u8>) -> Result<File, Error> {
    File::read(Bytes::from(bytes))
}

/// The message with which a file is refused.
fn refusal(bytes: Vec<u8>) -> String {
    read(bytes).expect_err("the file should be refused").to_string()
}

/// A file with the pairs and tensor infos given as raw bytes and `data` bytes of tensor data.
fn raw(pairs: &[Vec<u8>], infos: &[Vec<u8>], data: usize) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((infos.len() as u64).to_le_bytes());
    out.extend((pairs.len() as u64).to_le_bytes());
    out.extend(pairs.concat());
    out.extend(infos.concat());
    out.resize(out.len().next_multiple_of(32) + data, 0);
    out
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn info(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut out = text(name);
    out.extend((dims.len() as u32).to_le_bytes());
    out.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out
}

fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

#[test]
fn a_written_file_reads_back() {
    let mut writer = Writer::default();
    writer
        .set("a.count", Meta::U32(7))
        .set("a.rate", Meta::F32(0.5))
        .set("a.flag", Meta::Bool(true))
        .set("a.name", Meta::Text("名".into()))
        .set("a.words", Meta::Texts(vec!["x".into(), "".into(), "ÿ".into()]))
        .set("a.ids", Meta::I32s(vec![-1, 2]))
        .tensor("first", TensorType::F32, &[3, 2], (0..24).collect())
        .tensor("second", TensorType::Q8_0, &[32], vec![9; 34]);
    let file = read(writer.finish()).unwrap();
    assert_eq!(file.require::<u32>("a.count").unwrap(), 7);
    assert_eq!(file.require::<f32>("a.rate").unwrap(), 0.5);
    assert!(file.require::<bool>("a.flag").unwrap());
    assert_eq!(file.require::<&str>("a.name").unwrap(), "名");
    assert_eq!(file.require::<&Array>("a.words").unwrap().texts().unwrap(), ["x", "", "ÿ"]);
    assert_eq!(file.require::<&Array>("a.ids").unwrap().integers().unwrap(), [-1, 2]);
    assert_eq!(file.require::<&Array>("a.ids").unwrap().texts(), None);
    assert_eq!(file.get::<u32>("a.other").unwrap(), None);
    let first = file.tensor("first").unwrap();
    assert_eq!((first.kind, first.dims, first.len()), (TensorType::F32, &[3, 2][..], 6));
    assert_eq!(first.data, (0..24).collect::<Vec<u8>>());
    assert_eq!(file.tensor("second").unwrap().data, vec![9; 34]);
    assert_eq!(file.tensors().map(|tensor| tensor.name).collect::<Vec<_>>(), ["first", "second"]);
    assert!(file.tensor("third").is_none());
}

#[test]
fn a_file_on_disk_is_mapped_and_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, Llama::default().build()).unwrap();
    assert_eq!(File::open(&path).unwrap().require::<&str>("general.architecture").unwrap(), "llama");
    assert!(matches!(File::open(folder.path()), Err(Error::Open { .. })));
    assert!(matches!(File::open(&folder.path().join("none")), Err(Error::Open { .. })));
    let empty = folder.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(File::open(&empty), Err(Error::Malformed { offset: 0, .. })));
}

#[test]
fn a_wrong_or_missing_key_is_named_with_what_was_expected() {
    let file = read(raw(&[pair("x", 5, &(-3i32).to_le_bytes())], &[], 0)).unwrap();
    assert_eq!(
        file.require::<u32>("x").unwrap_err().to_string(),
        "metadata key `x`: expected a non-negative integer below 2^32, found a signed integer"
    );
    assert_eq!(file.require::<u32>("y").unwrap_err().to_string(), "the file has no metadata key `y`");
}

#[test]
fn another_format_is_refused_by_its_first_bytes() {
    assert!(refusal(b"PK\x03\x04 and more".to_vec()).contains("expected the magic `GGUF`, found `PK\\x03\\x04`"));
    assert!(refusal(b"GGUF\x01\0\0\0".to_vec()).contains("version 1"));
    assert!(refusal(b"GGUF\0\0\0\x03".to_vec()).contains("big-endian"));
    assert!(refusal(b"GGUF\x09\0\0\0".to_vec()).contains("version 9, expected 2 or 3"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = Llama { layers: 1, width: 32, feed_forward: 32, ..Llama::default() }.build();
    // Every place in the head, then some in the data.
    for len in (0..12_000).chain((12_000..whole.len()).step_by(997)) {
        assert!(matches!(read(whole[..len].to_vec()), Err(Error::Malformed { .. })), "cut at {len}");
    }
    assert!(refusal(whole[..whole.len() - 1].to_vec()).contains("is it cut short?"));
}

#[test]
fn huge_counts_are_refused_before_anything_is_allocated() {
    for (at, what) in [(8, "the number of tensors"), (16, "the number of metadata pairs")] {
        for count in [u64::MAX, 1 << 40, 65_537, 60_000] {
            let mut bytes = raw(&[], &[], 64);
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            assert!(refusal(bytes).contains(&format!("{what} is {count}")));
        }
    }
    let length = |kind: u32, len: u64| [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat();
    for kind in [0, 7, 8, 9, 10] {
        let message = refusal(raw(&[pair("k", 9, &length(kind, u64::MAX / 2))], &[], 64));
        assert!(message.contains("the length of an array is"), "{message}");
    }
    assert!(refusal(raw(&[pair("k", 8, &u64::MAX.to_le_bytes())], &[], 64)).contains("the length of a string is"));
}

#[test]
fn arrays_nested_without_end_are_refused() {
    let mut value = Vec::new();
    for _ in 0..1000 {
        value.extend([9u32.to_le_bytes().as_slice(), &1u64.to_le_bytes()].concat());
    }
    assert!(refusal(raw(&[pair("k", 9, &value)], &[], 64)).contains("nested deeper than 4"));
}

#[test]
fn a_key_or_tensor_that_stands_there_twice_is_refused() {
    let key = pair("k", 7, &[1]);
    assert!(refusal(raw(&[key.clone(), key], &[], 0)).contains("metadata key `k` stands there twice"));
    let message = refusal(raw(&[], &[info("t", &[8], 0, 0), info("t", &[8], 0, 32)], 64));
    assert!(message.contains("tensor `t` stands there twice"), "{message}");
}

#[test]
fn tensors_that_share_bytes_are_refused() {
    let message = refusal(raw(&[], &[info("a", &[8], 0, 32), info("b", &[9], 0, 0)], 96));
    assert!(message.contains("tensors `b` and `a` overlap"), "{message}");
    assert!(read(raw(&[], &[info("a", &[8], 0, 32), info("b", &[8], 0, 0)], 96)).is_ok());
}

#[test]
fn impossible_tensors_are_refused_by_name() {
    let most = u64::MAX;
    for (info, expected) in [
        (info("t", &[], 0, 0), "tensor `t`: 0 dimensions, expected 1 to 4"),
        (info("t", &[1; 5], 0, 0), "tensor `t`: 5 dimensions"),
        (info("t", &[4, 0], 0, 0), "tensor `t`: a dimension of zero"),
        (info("t", &[33], 8, 0), "tensor `t`: rows of 33 elements, and Q8_0 packs them by 32"),
        (info("t", &[32], 4, 0), "tensor `t`: unknown element type 4"),
        (info("t", &[1 << 33, 1 << 33], 0, 0), "larger than any file"),
        (info("t", &[most - 255, most], 10, 0), "larger than any file"),
        (info("t", &[8], 0, most - 31), "larger than any file"),
        (info("t", &[8], 0, 8), "tensor `t`: offset 8 is no multiple of the alignment 32"),
        (info("t", &[8], 0, 1 << 40), "ends at 1099511627808 bytes of data and the file has"),
        (info("", &[8], 0, 0), "a tensor name is empty"),
    ] {
        let message = refusal(raw(&[], &[info], 64));
        assert!(message.contains(expected), "expected `{expected}` in `{message}`");
    }
}

#[test]
fn an_alignment_that_is_no_power_of_two_is_refused() {
    for value in [0u32, 3, 4, 1 << 21] {
        let message = refusal(raw(&[pair("general.alignment", 4, &value.to_le_bytes())], &[], 0));
        assert!(message.contains("expected a power of two from 8 to 1048576"), "{message}");
    }
    assert!(read(raw(&[pair("general.alignment", 4, &64u32.to_le_bytes())], &[], 64)).is_ok());
}

#[test]
fn ids_and_names_of_tensor_types_are_unique() {
    for (i, &kind) in TensorType::ALL.iter().enumerate() {
        assert_eq!(TensorType::from_id(kind.id()), Some(kind));
        assert!(TensorType::ALL[..i].iter().all(|other| other.name() != kind.name()));
    }
}

/// Asks for everything a reader of models asks for.
fn touch(file: &File) {
    for tensor in file.tensors() {
        assert_eq!(
            tensor.kind.row_bytes(tensor.dims[0]).unwrap() * (tensor.len() / tensor.dims[0]),
            tensor.data.len() as u64
        );
    }
    for value in file.metadata.values() {
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len());
            let _ = (array.texts(), array.integers(), array.floats());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = read(bytes.clone());
        let _ = read([b"GGUF\x03\0\0\0", bytes.as_slice()].concat());
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        vocabulary in prop::sample::select(vec![Vocabulary::Spm, Vocabulary::Bpe]),
        // Most damage in the head, where the numbers are.
        edits in prop::collection::vec((0..16_000usize, any::<u8>()), 1..8),
        wide in prop::option::of((0..16_000usize, any::<u64>())),
    ) {
        let mut bytes = Llama { layers: 1, width: 32, feed_forward: 32, vocabulary, ..Llama::default() }.build();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Some((at, value)) = wide {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Ok(file) = read(bytes) {
            touch(&file);
        }
    }
}
