use std::collections::BTreeMap;

use super::*;

/// What users of a chat ask, by language: language, text.
fn labelled() -> Vec<(&'static str, String)> {
    let lines = include_str!("../languages.tsv").lines().filter(|line| !line.starts_with('#'));
    let parts = lines.map(|line| line.split_once('\t').expect("code, tab, text"));
    parts.map(|(code, text)| (code, unescaped(text))).collect()
}

/// The requests that are hard to tell: group, language or none, text.
fn hard() -> Vec<(&'static str, Option<&'static str>, String)> {
    let lines = include_str!("../requests.tsv").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.splitn(3, '\t');
            let mut next = || parts.next().expect("group, tab, code, tab, text");
            let (group, code, text) = (next(), next(), next());
            (group, Some(code).filter(|code| *code != "-"), unescaped(text))
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// How many are told right, are unknown although they have a language, and are taken for another.
#[derive(Default)]
struct Told {
    right: usize,
    unknown: usize,
    wrong: usize,
}

impl Told {
    fn count(&mut self, group: &str, expected: Option<&str>, text: &str) {
        let found = detect(text);
        match found {
            _ if found == expected => self.right += 1,
            None => self.unknown += 1,
            Some(_) => self.wrong += 1,
        }
        if found != expected {
            println!("{group}: {} taken for {}: {text:?}", expected.unwrap_or("none"), found.unwrap_or("unknown"));
        }
    }

    fn all(&self) -> usize {
        self.right + self.unknown + self.wrong
    }

    /// Parts in a hundred, rounded down.
    fn right_percent(&self) -> usize {
        self.right * 100 / self.all()
    }
}

#[test]
fn the_labelled_texts_are_told_apart_and_none_is_taken_for_another_language() {
    let mut by_language: BTreeMap<&str, Told> = BTreeMap::new();
    for (language, text) in &labelled() {
        by_language.entry(language).or_default().count(language, Some(language), text);
    }
    for (language, told) in &by_language {
        println!("{language}: {} of {} right, {} unknown, {} wrong", told.right, told.all(), told.unknown, told.wrong);
        assert!(told.all() >= 25 && told.right_percent() >= 92, "{language}");
    }
    let sum = |of: fn(&Told) -> usize| by_language.values().map(of).sum::<usize>();
    let (right, all, wrong) = (sum(|told| told.right), sum(Told::all), sum(|told| told.wrong));
    println!("all: {right} of {all} right, {wrong} wrong");
    assert!(right * 1000 >= all * 975 && wrong * 500 <= all, "{right} of {all} right, {wrong} wrong");
}

#[test]
fn requests_that_are_hard_to_tell_are_told_or_unknown_and_seldom_wrong() {
    let mut by_group: BTreeMap<&str, Told> = BTreeMap::new();
    for (group, expected, text) in &hard() {
        by_group.entry(group).or_default().count(group, *expected, text);
    }
    for (group, told) in &by_group {
        println!("{group}: {} of {} right, {} unknown, {} wrong", told.right, told.all(), told.unknown, told.wrong);
    }
    // Group, the least of 100 that are right, and the most of 100 that are wrong.
    let bounds = [
        ("code", 96, 4),
        ("emoji", 100, 0),
        ("mixed", 94, 3),
        ("other", 80, 20),
        ("romanised", 92, 0),
        ("short", 95, 0),
        ("unseen", 88, 2),
    ];
    assert_eq!(by_group.keys().copied().collect::<Vec<_>>(), bounds.map(|(group, ..)| group));
    for (group, right, wrong) in bounds {
        let told = &by_group[group];
        assert!(told.all() >= 20, "{group}: {} requests", told.all());
        assert!(told.right_percent() >= right, "{group}: {} of {} right", told.right, told.all());
        assert!(told.wrong * 100 <= told.all() * wrong, "{group}: {} of {} wrong", told.wrong, told.all());
    }
}

#[test]
fn a_guess_below_the_threshold_is_unknown_and_says_what_it_would_have_been() {
    // Neither is in a language that is known: letters look like one, and no word is of it.
    for text in ["Ceritakan lelucon", "miten voin vaihtaa salasanani"] {
        let guess = guess(text).unwrap();
        assert!(guess.confidence > 0.0 && guess.confidence < CONFIDENT, "{text}: {guess:?}");
        assert_eq!(detect(text), None, "{text}");
    }
    let sure = guess("Where can I find the report that you sent me?").unwrap();
    assert!(sure.language == "en" && sure.confidence > 0.7, "{sure:?}");
    for (_, text) in labelled() {
        let confidence = guess(&text).map_or(0.0, |guess| guess.confidence);
        assert!((0.0..=1.0).contains(&confidence), "{text}: {confidence}");
    }
}

#[test]
fn the_script_is_that_of_most_of_the_text() {
    for (text, expected) in [
        ("Good morning", Some("latin")),
        ("HELLO", Some("latin")),
        ("안녕하세요", Some("hangul")),
        ("ㅋㅋㅋ", Some("hangul")),
        ("Docker Compose와 Kubernetes 차이", Some("hangul")),
        ("谢谢你", Some("han")),
        ("明日の天気は？", Some("kana")),
        ("コーヒー", Some("kana")),
        ("请解释一下日语里的「の」这个助词在句子中的用法和含义", Some("han")),
        ("Привет", Some("cyrillic")),
        ("Добрий день, як справи?", Some("cyrillic")),
        ("شكرا جزيلا", Some("arabic")),
        ("چطور می‌توانم", Some("arabic")),
        ("शुभ प्रभात", Some("devanagari")),
        ("สวัสดีครับ", Some("thai")),
        ("καλημέρα", Some("greek")),
        ("שלום", Some("hebrew")),
        ("namaste aap kaise hain", Some("latin")),
        ("What does the Korean word 사랑 mean in this song?", Some("latin")),
        ("42 + 17", None),
        ("🙂🙂", None),
        ("", None),
        ("`let x = 1;`", None),
        ("let x = 1;", None),
    ] {
        assert_eq!(script(text), expected, "{text}");
    }
}

#[test]
fn every_letter_of_a_labelled_text_that_names_a_language_is_of_a_script() {
    for (language, text) in labelled() {
        assert!(script(&text).is_some(), "{language}: {text}");
    }
}

#[test]
fn code_without_backticks_does_not_count_and_the_question_around_it_does() {
    let code = "fn add(a: i32, b: i32) -> i32 {\n    a + b\n}";
    assert_eq!(detect(code), None);
    assert_eq!(detect(&format!("Pourquoi est-ce que ça ne marche pas ?\n{code}")), Some("fr"));
    assert_eq!(detect(&format!("{code}\nWas ist daran falsch, und wie kann ich es besser machen?")), Some("de"));
    assert_eq!(detect("Can you fix foo(x) for me?"), Some("en"));
    assert_eq!(detect("이 코드 왜 안 돼? x = foo(y);"), Some("ko"));
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
