//! A tokenizer of as many tokens as a model's own has, and a chat template.
//!
//! Its tokens are the bytes, then short pieces of letters, each of which is joined from two before it; the last ones steer. So
//! any text has tokens, and all that is drawn at random is text. The splitter of words is the family's own.

use super::{Shape, shape::Family};
use crate::{
    gguf::{Header, Meta},
    tokenizer::byte_char,
};

/// Kinds of tokens, by their numbers.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

const LLAMA: &str = "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n\
    {{ message.content }}<|eot_id|>{% endfor %}\
    {% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";
const QWEN: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const GEMMA: &str = "{{ bos_token }}{% for message in messages %}<start_of_turn>\
    {{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content }}<end_of_turn>\n{% endfor %}\
    {% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

pub(super) fn write(shape: &Shape, header: &mut Header) {
    let count = shape.vocabulary as usize;
    let template = match shape.family {
        Family::Llama => {
            let ends =
                ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
            let first = bytes(header, "llama-bpe", count, &ends);
            named(header, &[("bos", first), ("eos", first + 4)]);
            header.set("tokenizer.ggml.add_bos_token", Meta::Bool(true));
            LLAMA
        }
        Family::Qwen3 => {
            let first = bytes(header, "qwen2", count, &["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
            named(header, &[("bos", first), ("eos", first + 2), ("padding", first)]);
            header.set("tokenizer.ggml.add_bos_token", Meta::Bool(false));
            QWEN
        }
        Family::Gemma3 => {
            let first = pieces(header, count, &["<start_of_turn>", "<end_of_turn>"]);
            named(header, &[("padding", 0), ("eos", 1), ("bos", 2), ("unknown", 3), ("eot", first + 1)]);
            header.set("tokenizer.ggml.add_bos_token", Meta::Bool(true));
            header.set("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
            GEMMA
        }
    };
    header.set("tokenizer.chat_template", Meta::Text(template.into()));
}

fn named(header: &mut Header, ids: &[(&str, u32)]) {
    for (name, id) in ids {
        header.set(&format!("tokenizer.ggml.{name}_token_id"), Meta::U32(*id));
    }
}

/// Byte-level BPE. Answers with the first token that steers; they are the last.
fn bytes(header: &mut Header, splitter: &str, count: usize, steering: &[&str]) -> u32 {
    let mut tokens: Vec<String> = (0..=255).map(|byte| byte_char(byte).to_string()).collect();
    let joined: Vec<(String, String)> = joined("Ġ").take(count - tokens.len() - steering.len()).collect();
    tokens.extend(joined.iter().map(|(left, right)| format!("{left}{right}")));
    let first = tokens.len();
    tokens.extend(steering.iter().map(|&name| name.to_owned()));
    let kinds = (0..tokens.len()).map(|id| if id < first { NORMAL } else { CONTROL }).collect();
    let merges = joined.into_iter().map(|(left, right)| format!("{left} {right}")).collect();
    header
        .set("tokenizer.ggml.model", Meta::Text("gpt2".into()))
        .set("tokenizer.ggml.pre", Meta::Text(splitter.into()))
        .set("tokenizer.ggml.tokens", Meta::Texts(tokens))
        .set("tokenizer.ggml.token_type", Meta::I32s(kinds))
        .set("tokenizer.ggml.merges", Meta::Texts(merges));
    first as u32
}

/// Pieces with scores, as SentencePiece has them. Answers the same.
fn pieces(header: &mut Header, count: usize, steering: &[&str]) -> u32 {
    let mut tokens: Vec<(String, i32)> = vec![
        ("<pad>".into(), CONTROL),
        ("<eos>".into(), CONTROL),
        ("<bos>".into(), CONTROL),
        ("<unk>".into(), UNKNOWN),
    ];
    tokens.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    tokens.push(("▁".into(), NORMAL));
    tokens.extend((b'!'..=b'~').map(|byte| (char::from(byte).to_string(), NORMAL)));
    let left = count - tokens.len() - steering.len();
    tokens.extend(joined("▁").take(left).map(|(left, right)| (left + &right, NORMAL)));
    let first = tokens.len();
    tokens.extend(steering.iter().map(|&name| (name.to_owned(), CONTROL)));
    // What comes first is joined first.
    let scores = (0..tokens.len()).map(|rank| -(rank as f32)).collect();
    let (texts, kinds) = tokens.into_iter().unzip();
    header
        .set("tokenizer.ggml.model", Meta::Text("llama".into()))
        .set("tokenizer.ggml.tokens", Meta::Texts(texts))
        .set("tokenizer.ggml.scores", Meta::F32s(scores))
        .set("tokenizer.ggml.token_type", Meta::I32s(kinds));
    first as u32
}

/// Pieces of two, three and four letters, the first of which may be a space, as what they are joined from. Each of those is a
/// letter or stands before it.
fn joined(space: &str) -> impl Iterator<Item = (String, String)> {
    let letters = || ('a'..='z').map(String::from);
    let firsts = {
        let space = space.to_owned();
        move || std::iter::once(space.clone()).chain(letters())
    };
    let pairs = move || firsts().flat_map(move |first| letters().map(move |second| (first.clone(), second)));
    let of = |(left, right): (String, String)| left + &right;
    let threes = {
        let pairs = pairs.clone();
        move || pairs().map(of).flat_map(move |pair| letters().map(move |third| (pair.clone(), third)))
    };
    let ends = move || letters().flat_map(move |third| letters().map(move |fourth| third.clone() + &fourth));
    let fours = pairs.clone()().map(of).flat_map(move |pair| ends().map(move |end| (pair.clone(), end)));
    pairs().chain(threes()).chain(fours)
}
