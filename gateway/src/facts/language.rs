//! Which language a text is in, as ISO 639-1 codes, from its first thousand characters.
//!
//! Writing comes first: Hangul, kana, Han, Arabic, Cyrillic and others name a language, or a few that single letters
//! tell apart. Latin script goes to `whichlang`, after what it does not know was looked for. Code in backticks is
//! left out, and beside another script a Latin word counts only if it reads like a word, not like a name or an
//! identifier: people write Korean with Kubernetes in it.
//!
//! Chosen on the Latin-script texts of `languages.tsv`, by how many are told right and how long one takes:
//! `whichlang` 206 of 236 and 1.3 us (206 of 210 in languages that it knows), `whatlang` 205 and 32 us, `lingua` 227
//! and 271 us with 60 MB of models. The test at the end prints what this file makes of the whole set.
//!
//! An answer is a guess, better the longer the text; `None` is "cannot tell". Knows nothing of requests.

mod letters;

use whichlang::Lang;

/// How much of the prose of a text is looked at, in characters.
const PROSE_CHARS: usize = 1_000;
/// How much of a text is searched for prose, in bytes: it may begin with a long block of code.
const SEARCH_BYTES: usize = 16 << 10;
/// How much of the prose in Latin script is looked at, in characters: more takes longer and is hardly better.
const LATIN_CHARS: usize = 300;

/// The language of `text`, or `None` if it has no words or is in none that can be told.
pub fn detect(text: &str) -> Option<&'static str> {
    let prose = prose(text);
    let counts = Counts::of(&prose);
    match counts.leading() {
        Some((language, weight)) if weight >= counts.latin => Some(letters::refine(language, &prose)),
        _ => latin(&prose),
    }
}

/// The script that most of `text` is in, by its Unicode name in lower case; hiragana and katakana are `kana`, and so are
/// Han characters among them. `None` where there is no letter of a script that is known.
pub fn script(text: &str) -> Option<&'static str> {
    let prose = prose(text);
    let counts = Counts::of(&prose);
    match counts.leading() {
        Some((language, weight)) if weight >= counts.latin => {
            letters::SCRIPT_OF.iter().find(|(usual, _)| *usual == language).map(|(_, script)| *script)
        }
        None if !prose.contains(letters::is_latin) => None,
        _ => Some("latin"),
    }
}

/// The beginning of `text` without code in backticks.
fn prose(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(SEARCH_BYTES)];
    // Whatever stands between an odd run of backticks and the next one is code, fenced or inline.
    let outside = text.split("```").step_by(2).flat_map(|part| part.split('`').step_by(2));
    outside.flat_map(|part| part.chars().chain([' '])).take(PROSE_CHARS).collect()
}

/// How much of a text is in which script.
#[derive(Default)]
struct Counts {
    /// For each script other than Latin the language it stands for at first, and the weight of its characters.
    others: Vec<(&'static str, usize)>,
    /// Letters in Latin words that read like words.
    latin: usize,
}

impl Counts {
    fn of(prose: &str) -> Self {
        let mut counts = Self::default();
        for word in prose.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let mut like_a_word = true;
            for c in word.chars() {
                if let Some((language, weight)) = letters::script(c) {
                    counts.add(language, weight);
                    like_a_word = false;
                }
                like_a_word &= c.is_lowercase() && letters::is_latin(c);
            }
            if like_a_word {
                counts.latin += word.chars().count();
            }
        }
        // Japanese is written in kana and Han; Chinese may quote a word in kana.
        let (kana, han) = (counts.weight("ja"), counts.weight("zh"));
        if kana * 8 >= han && kana > 0 {
            counts.add("ja", han);
        }
        counts
    }

    fn add(&mut self, language: &'static str, weight: usize) {
        match self.others.iter_mut().find(|(known, _)| *known == language) {
            Some((_, sum)) => *sum += weight,
            None => self.others.push((language, weight)),
        }
    }

    fn weight(&self, language: &str) -> usize {
        self.others.iter().find(|(known, _)| *known == language).map_or(0, |(_, weight)| *weight)
    }

    fn leading(&self) -> Option<(&'static str, usize)> {
        self.others.iter().copied().max_by_key(|(_, weight)| *weight)
    }
}

fn latin(prose: &str) -> Option<&'static str> {
    let end = prose.char_indices().nth(LATIN_CHARS).map_or(prose.len(), |(end, _)| end);
    let prose = prose[..end].to_lowercase();
    let count = prose.chars().filter(|&c| letters::is_latin(c)).count();
    if count < 2 {
        return None;
    }
    if let Some(language) = letters::unknown_to_whichlang(&prose) {
        return Some(language);
    }
    let language = code(whichlang::detect_language(&prose));
    // `whichlang` always answers; a longer text without a letter that its language is full of is in another one.
    let lacking = count >= 20 && letters::usual(language).is_some_and(|usual| !prose.contains(|c| usual.contains(c)));
    (!lacking).then_some(language)
}

fn code(language: Lang) -> &'static str {
    match language {
        Lang::Ara => "ar",
        Lang::Cmn => "zh",
        Lang::Deu => "de",
        Lang::Eng => "en",
        Lang::Fra => "fr",
        Lang::Hin => "hi",
        Lang::Ita => "it",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Nld => "nl",
        Lang::Por => "pt",
        Lang::Rus => "ru",
        Lang::Spa => "es",
        Lang::Swe => "sv",
        Lang::Tur => "tr",
        Lang::Vie => "vi",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, hint::black_box, time::Instant};

    use super::*;

    /// The labelled texts: language, text.
    fn labelled() -> Vec<(&'static str, String)> {
        let lines = include_str!("languages.tsv").lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_once('\t').expect("code, tab, text"))
            .map(|(code, text)| (code, text.replace("\\n", "\n")))
            .collect()
    }

    #[test]
    fn the_labelled_texts_are_told_apart() {
        let texts = labelled();
        let mut right: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (expected, text) in &texts {
            let found = detect(text);
            let (hits, total) = right.entry(expected).or_default();
            *total += 1;
            *hits += usize::from(found == Some(expected));
            if found != Some(expected) {
                println!("{expected} taken for {}: {text}", found.unwrap_or("none"));
            }
        }
        let start = Instant::now();
        for (_, text) in &texts {
            black_box(detect(black_box(text)));
        }
        let each = start.elapsed().as_secs_f64() * 1e6 / texts.len() as f64;
        let hits: usize = right.values().map(|(hits, _)| hits).sum();
        println!("{hits} of {} right, {each:.1} us a text", texts.len());
        for (language, (hits, total)) in &right {
            println!("{language} {hits} of {total}");
            assert!(*total >= 25 && hits * 100 >= total * 85, "{language}: {hits} of {total}");
        }
        assert!(hits * 100 >= texts.len() * 97, "{hits} of {}", texts.len());
    }

    #[test]
    fn a_script_of_its_own_names_the_language() {
        for (text, expected) in [
            ("สวัสดีครับ", "th"),
            ("καλημέρα", "el"),
            ("שלום", "he"),
            ("বাংলা", "bn"),
            ("வணக்கம்", "ta"),
            ("გამარჯობა", "ka"),
            ("བཀྲ", "none"),
        ] {
            assert_eq!(detect(text).unwrap_or("none"), expected, "{text}");
        }
    }

    #[test]
    fn single_letters_tell_languages_of_one_script_apart() {
        for (text, expected) in [
            ("چطور می‌توانم رمز را عوض کنم؟", "fa"),
            ("آپ کیسے ہیں؟ یہ ماڈل کون سا ہے", "ur"),
            ("Як скасувати останній коміт?", "uk"),
            ("Jak cofnąć ostatni commit?", "pl"),
            ("Můžeš mi pomoct s překladem?", "cs"),
            ("Hogyan készítsek jó töltött káposztát, egyszerűen?", "hu"),
            ("Care este cel mai bun model și de ce?", "ro"),
        ] {
            assert_eq!(detect(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn japanese_is_told_from_chinese_by_its_kana() {
        assert_eq!(detect("配送状況確認お願いします"), Some("ja"));
        assert_eq!(detect("请解释一下日语里的「の」这个助词在句子中的用法和含义"), Some("zh"));
    }

    #[test]
    fn names_and_identifiers_do_not_outweigh_the_sentence_they_stand_in() {
        assert_eq!(detect("useStateとuseReducerとuseMemoの違いは？"), Some("ja"));
        assert_eq!(detect("Docker Compose와 Kubernetes 차이"), Some("ko"));
        assert_eq!(detect("Чем Docker Compose лучше Kubernetes?"), Some("ru"));
    }

    #[test]
    fn a_quoted_foreign_word_does_not_change_the_language() {
        assert_eq!(detect("What does the Korean word 사랑 mean in this song?"), Some("en"));
        assert_eq!(detect("Was bedeutet das russische Wort мир eigentlich genau?"), Some("de"));
    }

    #[test]
    fn code_in_backticks_does_not_count() {
        let code = "```js\nfunction add(a, b) { return a + b } // adds the numbers\n```";
        assert_eq!(detect(&format!("이게 뭐야?\n{code}")), Some("ko"));
        assert_eq!(detect(&format!("{code}\nто же")), Some("ru"));
        assert_eq!(detect("왜 `for item in items: print(item, sep=there)` 안 돼?"), Some("ko"));
        assert_eq!(detect(code), None);
    }

    #[test]
    fn text_without_words_has_no_language() {
        for text in ["", "   \n", "42 + 17 = ?", "🙂🙂", "x", "???", "\u{0}\u{feff}"] {
            assert_eq!(detect(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_text_counts() {
        let long = format!("{}{}", "Wie geht das eigentlich? ".repeat(60), "이것은 한국어입니다. ".repeat(10_000));
        assert_eq!(detect(&long), Some("de"));
        let cut_within_a_character = "한".repeat(SEARCH_BYTES);
        assert_eq!(detect(&cut_within_a_character), Some("ko"));
    }

    #[test]
    fn a_language_that_is_not_known_is_not_taken_for_turkish() {
        assert_eq!(detect("habari za asubuhi rafiki yangu mpendwa wa zamani").filter(|&found| found == "tr"), None);
    }
}
