//! The tokenizers against worked examples, their promises against any text.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use crate::testing::{Llama, Meta, Vocabulary, Writer};

use super::*;

fn tokenizer(writer: &Writer) -> Result<Tokenizer, Error> {
    Tokenizer::from_file(&File::read(Bytes::from(writer.finish())).unwrap())
}

fn writer(vocabulary: Vocabulary) -> Writer {
    Llama { layers: 0, width: 4, heads: 1, kv_heads: 1, vocabulary, ..Llama::default() }.writer()
}

fn built(vocabulary: Vocabulary) -> Tokenizer {
    tokenizer(&writer(vocabulary)).unwrap()
}

fn spelled(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|&id| String::from_utf8_lossy(tokenizer.spelling(id)).into_owned()).collect()
}

fn decoded(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.text(id)).copied().collect();
    String::from_utf8(bytes).unwrap()
}

/// A vocabulary of SPM pieces with scores and types; all bytes follow.
fn spm(pieces: &[(&str, f32, i32)]) -> Writer {
    let mut pieces: Vec<(String, f32, i32)> = pieces.iter().map(|&(t, s, k)| (t.to_owned(), s, k)).collect();
    pieces.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let mut writer = Writer::default();
    writer
        .set("tokenizer.ggml.model", Meta::Text("llama".into()))
        .set("tokenizer.ggml.tokens", Meta::Texts(pieces.iter().map(|p| p.0.clone()).collect()))
        .set("tokenizer.ggml.scores", Meta::F32s(pieces.iter().map(|p| p.1).collect()))
        .set("tokenizer.ggml.token_type", Meta::I32s(pieces.iter().map(|p| p.2).collect()));
    writer
}

#[test]
fn spm_joins_the_best_score_first_and_falls_back_to_bytes() {
    let tokenizer = tokenizer(&spm(&[
        ("▁", -9.0, 1),
        ("a", -8.0, 1),
        ("b", -8.0, 1),
        ("ab", -2.0, 1),
        ("▁a", -1.0, 1),
        ("bb", -3.0, 1),
    ]))
    .unwrap();
    // `▁a` (-1) goes before `ab` (-2), then `bb`.
    assert_eq!(spelled(&tokenizer, &tokenizer.encode("abb")), [" a", "bb"]);
    assert_eq!(spelled(&tokenizer, &tokenizer.encode("bab")), [" ", "b", "ab"]);
    // Of equal pairs the leftmost goes first.
    assert_eq!(spelled(&tokenizer, &tokenizer.encode("abbb")), [" a", "bb", "b"]);
    let euro: Vec<&[u8]> = tokenizer.encode("€").into_iter().map(|id| tokenizer.spelling(id)).collect();
    assert_eq!(euro, [&b" "[..], b"\xE2", b"\x82", b"\xAC"]);
}

#[test]
fn bpe_joins_by_rank_within_words() {
    let tokenizer = built(Vocabulary::Bpe);
    assert_eq!(spelled(&tokenizer, &tokenizer.encode("the thing hello")), ["the", " ", "th", "ing", " ", "hello"]);
    assert_eq!(spelled(&tokenizer, &tokenizer.encode(" the")), [" the"]);
}

#[test]
fn plain_text_never_becomes_a_control_token() {
    // `<s` and `>` would merge to the control token by text, and `<s>` has the best score of all.
    let pieces = [("▁", -9.0, 1), ("<", -5.0, 1), ("s", -5.0, 1), (">", -5.0, 1), ("<s", -1.0, 1), ("<s>", 9.0, 3)];
    let spm = tokenizer(spm(&pieces).set("tokenizer.ggml.bos_token_id", Meta::U32(5))).unwrap();
    assert_eq!(spelled(&spm, &spm.encode("<s>")), [" ", "<s", ">"]);
    assert_eq!(spelled(&spm, &spm.encode_prompt("<s>")), ["<s>", " ", "<s", ">"]);
    let bpe = built(Vocabulary::Bpe);
    assert!(bpe.encode("<s></s>").iter().all(|&id| !bpe.is_control(id)));
    assert_eq!(bpe.encode_markup("<s>the</s>", |_| None).iter().filter(|&&id| bpe.is_control(id)).count(), 2);
}

#[test]
fn a_user_defined_token_is_taken_whole_unless_the_template_writes_it() {
    let mut file = spm(&[("▁", -9.0, 1), ("a", -8.0, 1), ("  ", 0.0, 4), ("<mark>", 0.0, 4), ("<end>", 0.0, 3)]);
    file.set(
        "tokenizer.chat_template",
        Meta::Text("<mark>{{ messages['<mark>'] + '<end>' + '<en' + '</think>' + 'd>' }}".into()),
    );
    let tokenizer = tokenizer(&file).unwrap();
    assert_eq!(tokenizer.encode("a  a").iter().filter(|&&id| id == 2).count(), 1);
    assert!(!tokenizer.encode("<mark>").contains(&3));
    assert!(tokenizer.encode_markup("<mark>a", |_| None).contains(&3));
    assert_eq!(tokenizer.guarded(), ['<', '>']);
    let marks: Vec<&str> =
        tokenizer.spelled_by_assistants("<en<mark><end></think>d>").map(|at| &"<en<mark><end></think>d>"[at]).collect();
    assert_eq!(marks, ["<mark>", "</think>"]);
}

#[test]
fn stand_ins_are_put_back_as_text_and_never_make_a_control_token() {
    let tokenizer = built(Vocabulary::Spm);
    let restore = |char| match char {
        '\u{E000}' => Some('<'),
        _ => None,
    };
    let ids = tokenizer.encode_markup("<s>\u{E000}/s></s>", restore);
    let controls: Vec<u32> = ids.iter().copied().filter(|&id| tokenizer.is_control(id)).collect();
    assert_eq!((controls, decoded(&tokenizer, &ids)), (vec![1, 2], " </s>".to_owned()));
}

#[test]
fn markup_starts_with_the_begin_token_once() {
    let tokenizer = built(Vocabulary::Spm);
    assert_eq!(tokenizer.encode_markup("<s>a", |_| None), tokenizer.encode_markup("a", |_| None));
    assert_eq!(tokenizer.encode_markup("a", |_| None)[0], 1);
}

#[test]
fn a_vocabulary_that_contradicts_itself_is_refused_with_the_reason() {
    let refusal = |writer: &Writer| tokenizer(writer).unwrap_err().to_string();
    let (spm, bpe) = (writer(Vocabulary::Spm), writer(Vocabulary::Bpe));
    let with = |writer: &Writer, key: &str, value: Meta| {
        let mut writer = writer.clone();
        refusal(writer.set(key, value))
    };
    assert!(with(&spm, "tokenizer.ggml.model", Meta::Text("bert".into())).contains("`bert` is not read yet"));
    assert!(with(&spm, "tokenizer.ggml.scores", Meta::F32s(vec![1.0])).contains("floats, one a token"));
    assert!(with(&spm, "tokenizer.ggml.token_type", Meta::I32s(vec![1])).contains("integers, one a token"));
    assert!(with(&spm, "tokenizer.ggml.bos_token_id", Meta::U32(1 << 20)).contains("expected an id below"));
    assert!(with(&spm, "tokenizer.ggml.tokens", Meta::U32(1)).contains("expected an array"));
    assert!(with(&bpe, "tokenizer.ggml.pre", Meta::Text("tekken".into())).contains("`tekken`"));
    for (merge, why) in
        [("th", "is no pair"), ("t 日", "stands for no byte"), ("zz q", "no text token"), ("< s>", "no text token")]
    {
        assert!(with(&bpe, "tokenizer.ggml.merges", Meta::Texts(vec![merge.into()])).contains(why), "{merge}");
    }
    assert!(refusal(bpe.clone().unset("tokenizer.ggml.pre")).contains("no metadata key `tokenizer.ggml.pre`"));
}

#[test]
fn a_word_of_a_megabyte_is_encoded_in_seconds() {
    // A quadratic merge would take hours for these.
    for (vocabulary, unit) in
        [(Vocabulary::Spm, "the"), (Vocabulary::Bpe, "the"), (Vocabulary::Bpe, "<"), (Vocabulary::Spm, "\u{1F600}")]
    {
        let tokenizer = built(vocabulary);
        let text = unit.repeat((1 << 20) / unit.len());
        let start = Instant::now();
        let ids = tokenizer.encode(&text);
        assert!(start.elapsed() < Duration::from_secs(20), "{vocabulary:?}, `{unit}`: {:?}", start.elapsed());
        assert_eq!(decoded(&tokenizer, &ids).trim_start(), text);
    }
}

proptest! {
    #[test]
    fn every_text_comes_back_from_its_tokens(text in r"(\PC|[a-z \n<>/s]|the|ing| hello){0,40}") {
        let bpe = built(Vocabulary::Bpe);
        prop_assert_eq!(decoded(&bpe, &bpe.encode(&text)), text.as_str());
        let spm = built(Vocabulary::Spm);
        let text = text.replace('▁', " ");
        let back = decoded(&spm, &spm.encode(&text));
        prop_assert_eq!(if text.is_empty() { "" } else { &back[1..] }, text.as_str());
    }

    #[test]
    fn no_text_encodes_to_a_control_token_or_to_fewer_tokens_than_its_length_allows(text in r"(<s>|</s>|</|s|>|<unk>|<0x0A>|\PC){0,20}") {
        for vocabulary in [Vocabulary::Spm, Vocabulary::Bpe] {
            let tokenizer = built(vocabulary);
            let ids = tokenizer.encode(&text);
            prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
            prop_assert!(ids.len() >= text.len() / tokenizer.longest());
        }
    }
}

#[test]
fn two_vocabularies_are_the_same_or_differ_from_a_first_token_on() {
    let same = built(Vocabulary::Spm);
    assert_eq!(same.first_difference(&built(Vocabulary::Spm)), None);
    let changed = |key: &str, value: Meta| tokenizer(writer(Vocabulary::Spm).set(key, value)).unwrap();
    let mut file = writer(Vocabulary::Spm);
    let Some(Meta::Texts(mut texts)) = file.get("tokenizer.ggml.tokens").cloned() else { panic!("texts") };
    let (at, word) = (259..).zip(&mut texts[259..]).next().unwrap();
    word.push('x');
    assert_eq!(same.first_difference(&changed("tokenizer.ggml.tokens", Meta::Texts(texts.clone()))), Some(at));
    let Some(Meta::I32s(mut kinds)) = file.get("tokenizer.ggml.token_type").cloned() else { panic!("types") };
    kinds[270] = 4;
    assert_eq!(same.first_difference(&changed("tokenizer.ggml.token_type", Meta::I32s(kinds))), Some(270));
    // One more.
    let (Some(Meta::Texts(mut texts)), Some(Meta::F32s(mut scores)), Some(Meta::I32s(mut kinds))) = (
        file.get("tokenizer.ggml.tokens").cloned(),
        file.get("tokenizer.ggml.scores").cloned(),
        file.get("tokenizer.ggml.token_type").cloned(),
    ) else {
        panic!("a vocabulary")
    };
    let len = texts.len() as u32;
    texts.push("more".into());
    scores.push(0.0);
    kinds.push(1);
    file.set("tokenizer.ggml.tokens", Meta::Texts(texts))
        .set("tokenizer.ggml.scores", Meta::F32s(scores))
        .set("tokenizer.ggml.token_type", Meta::I32s(kinds));
    let longer = tokenizer(&file).unwrap();
    assert_eq!((same.first_difference(&longer), longer.first_difference(&same)), (Some(len), Some(len)));
}
