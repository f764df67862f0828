//! The tokenizers against worked examples, their promises against any text.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use crate::testing::{Bert, Llama, Meta, Vocabulary, Writer};

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

/// The pieces of a text, with what a file says of its characters.
fn pieces(text: &str, says: &[(&str, bool)]) -> Vec<String> {
    let more = ["▁É", "▁é", "▁[", "▁]", "▁~", "▁日", "▁本", "日", "▁café", "▁ß", "▁hellothe", "ss", "▁ᄒ"];
    let mut file = Bert { pieces: more.map(str::to_owned).to_vec(), ..Bert::default() }.writer();
    for (key, value) in says {
        file.set(&format!("tokenizer.ggml.normalizer.{key}"), Meta::Bool(*value));
    }
    let tokenizer = tokenizer(&file).unwrap();
    spelled(&tokenizer, &tokenizer.encode(text))
}

#[test]
fn words_are_cut_into_the_longest_pieces_from_their_beginning_or_are_the_unknown_token() {
    assert_eq!(pieces("the modeling", &[]), [" the", " model", "ing"]);
    // Longest first, and never tried again with a shorter one: `hellothe` leaves `m`, `hellothx` does not.
    assert_eq!(pieces("hellothem hellothx", &[]), [" hellothe", "m", " hello", "t", "h", "x"]);
    assert_eq!(pieces("hello,the.ing?!", &[]), [" hello", " ,", " the", " .", " i", "n", "g", " ?", " !"]);
    // What has no piece anywhere takes its whole word along, and no other.
    assert_eq!(pieces("the hello€ing is", &[]), [" the", "[UNK]", " is"]);
    assert_eq!(pieces("日本is", &[]), [" 日", " 本", " is"]);
    assert_eq!(pieces("[CLS]~", &[]), [" [", " c", "l", "s", " ]", " ~"]);
    assert_eq!(pieces(" \t\n\u{3000}", &[]), [""; 0]);
    assert_eq!(pieces("▁the the▁the", &[]), ["[UNK]", " the", " the"]);
}

#[test]
fn characters_are_normalised_as_the_file_says() {
    assert_eq!(pieces("THE Café É", &[]), [" the", " c", "a", "f", "e", " e"]);
    assert_eq!(pieces("e\u{301}\u{302} \u{ad}t\u{200b}he\u{fffd} \0x", &[]), [" e", " the", " x"]);
    // A Korean syllable is the first of its letters, as in llama.cpp.
    assert_eq!(pieces("한", &[]), [" ᄒ"]);
    assert_eq!(pieces("THE Café É", &[("strip_accents", false)]), [" the", " café", " é"]);
    // Accents go with case, where a file says nothing of them.
    assert_eq!(pieces("É the", &[("lowercase", false)]), [" É", " the"]);
    assert_eq!(pieces("É THE", &[("lowercase", false), ("strip_accents", true)]), ["[UNK]", "[UNK]"]);
    // Characters whose other case is several are one still.
    assert_eq!(pieces("ß İ", &[]), [" ß", " i"]);
}

#[test]
fn a_text_of_word_pieces_begins_and_ends_as_its_file_says_or_as_the_first_of_them_did() {
    let mut file = Bert::default().writer();
    // What other tokenizers go by.
    file.set("tokenizer.ggml.add_bos_token", Meta::Bool(false)).set("tokenizer.ggml.eos_token_id", Meta::U32(4));
    let tokenizer = tokenizer(&file).unwrap();
    assert_eq!(spelled(&tokenizer, &tokenizer.encode_prompt("the")), ["[CLS]", " the", "[SEP]"]);
    assert_eq!((tokenizer.kind(), tokenizer.adds_bos(), tokenizer.adds_eos()), ("bert", true, true));
    let refusal = |key: &str| self::tokenizer(Bert::default().writer().unset(key)).unwrap_err().to_string();
    for (name, usual) in [("bos", 101), ("seperator", 102), ("unknown", 100)] {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let expected = format!("metadata key `{key}`: expected an id below 78, found {usual}");
        assert_eq!(refusal(&key), expected);
    }
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
    assert!(with(&spm, "tokenizer.ggml.model", Meta::Text("t5".into())).contains("`t5` is not read yet"));
    assert!(with(&spm, "tokenizer.ggml.scores", Meta::F32s(vec![1.0])).contains("floats, one a token"));
    assert!(with(&spm, "tokenizer.ggml.token_type", Meta::I32s(vec![1])).contains("integers, one a token"));
    assert!(with(&spm, "tokenizer.ggml.bos_token_id", Meta::U32(1 << 20)).contains("expected an id below"));
    assert!(with(&spm, "tokenizer.ggml.tokens", Meta::U32(1)).contains("expected an array"));
    assert!(with(&bpe, "tokenizer.ggml.pre", Meta::Text("tekken".into())).contains("`tekken`"));
    let long = Bert { pieces: vec!["x".repeat(1_025)], ..Bert::default() }.writer();
    assert!(refusal(&long).ends_with("has 1025 bytes, expected at most 1024"), "{}", refusal(&long));
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

#[test]
fn a_megabyte_is_cut_into_word_pieces_in_seconds_be_it_one_word_or_many() {
    // One whose longest piece is looked for at every place and never found, one that fails at its end, and many small ones.
    let long = "a".repeat(200) + "b";
    let tokenizer = tokenizer(&Bert { pieces: vec![long], ..Bert::default() }.writer()).unwrap();
    let len = 1 << 20;
    for (text, tokens) in [
        ("a".repeat(len), len),
        ("a".repeat(len) + "€", 1),
        ("é".repeat(len / 2), len / 2),
        ("the ".repeat(len / 4), len / 4),
        ("€ ".repeat(len / 4), len / 4),
        ("\u{301}".repeat(len / 2), 0),
    ] {
        let start = Instant::now();
        let found = tokenizer.encode(&text).len();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(found, tokens, "{:?}", text.chars().take(4));
    }
}

/// A text as word pieces see it, written only to be read: the words of one that has been normalised.
fn words(text: &str) -> Vec<String> {
    let punctuation = |char: char| ".,?![]<>/".contains(char);
    let apart = |char: char| if punctuation(char) { format!(" {char} ") } else { char.to_lowercase().to_string() };
    text.chars().map(apart).collect::<String>().split_whitespace().map(str::to_owned).collect()
}

proptest! {
    #[test]
    fn each_word_is_cut_by_itself_into_pieces_that_spell_it_or_is_unknown(text in r"(the|Model|ing|[a-cA-C]|[ \n.,?!<>/\[\]€]|hello){0,40}") {
        let tokenizer = tokenizer(&Bert::default().writer()).unwrap();
        let ids = tokenizer.encode(&text);
        prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id) || tokenizer.spelling(id) == b"[UNK]"));
        let each: Vec<Vec<u32>> = words(&text).iter().map(|word| tokenizer.encode(word)).collect();
        prop_assert_eq!(&ids, &each.concat());
        for (word, ids) in words(&text).iter().zip(each) {
            let spelled = decoded(&tokenizer, &ids);
            prop_assert!(spelled == format!(" {word}") || spelled.is_empty() && ids.len() == 1, "{}: {}", word, spelled);
        }
    }

    #[test]
    fn no_text_is_too_odd_for_word_pieces(text in r"\PC{0,60}|(\PC|\p{C}|\p{M}|\s){0,60}") {
        let tokenizer = tokenizer(&Bert::default().writer()).unwrap();
        prop_assert!(tokenizer.encode(&text).len() <= text.chars().count());
    }

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
