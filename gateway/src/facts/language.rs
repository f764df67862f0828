//! Which language and script a text is in, from its first thousand characters.
//!
//! Writing comes first: Hangul, kana, Han, Arabic, Cyrillic and others name a language, or a few that single letters
//! tell apart. In Latin script frequent words and `whichlang` are asked, after letters that name a language that
//! `whichlang` does not know; where the words of a text in two scripts say nothing, the other script decides, so Korean
//! with Kubernetes in it is Korean. Code is left out, in backticks or not (`code`). Languages with a script of their
//! own are also told when they are typed in Latin letters: Hindi, Japanese, Korean, Russian.
//!
//! An answer is a guess with a confidence; below [`CONFIDENT`] it is "unknown", as are emoji, numbers and code. Knows
//! nothing of requests.
//!
//! `whichlang` was chosen on the Latin-script texts of `languages.tsv`, by how many are told right and how long one
//! takes: `whichlang` 206 of 236 and 1.3 us (206 of 210 in languages that it knows), `whatlang` 205 and 32 us, `lingua`
//! 227 and 271 us with 60 MB of models. The tests print what this file makes of that set and of `requests.tsv`, the
//! requests that are hard to tell; `benches/language.rs` measures how long it takes.

mod code;
mod letters;
mod words;

#[cfg(test)]
mod tests;

use whichlang::Lang;

/// How much of the prose of a text is looked at, in characters.
const PROSE_CHARS: usize = 1_000;
/// How much of a text is searched for prose, in bytes: it may begin with a long block of code.
const SEARCH_BYTES: usize = 16 << 10;
/// How much of the prose in Latin script is looked at, in characters: more takes longer and is hardly better.
const LATIN_CHARS: usize = 300;

/// The confidence below which a language is unknown. On the labelled texts nearly all wrong guesses are below it: those
/// in which no frequent word of the language stands.
pub const CONFIDENT: f32 = 0.4;

/// What a text is most likely in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// ISO 639-1 code.
    pub language: &'static str,
    /// How much speaks for it, as a share of all that speaks for any language: from 0 to 1.
    pub confidence: f32,
}

/// The language of `text`; `None` where it is unknown.
pub fn detect(text: &str) -> Option<&'static str> {
    guess(text).filter(|guess| guess.confidence >= CONFIDENT).map(|guess| guess.language)
}

/// The likeliest language of `text`, however unlikely; `None` if there is no word in it that could be in any.
pub fn guess(text: &str) -> Option<Guess> {
    let prose = prose(text);
    let counts = Counts::of(&prose);
    let other = counts.guess(&prose);
    if other.is_some() && counts.latin <= counts.others() {
        return other;
    }
    match (latin(&prose), other) {
        (Some(latin), Some(other)) if latin.confidence < CONFIDENT => Some(other),
        (latin, other) => latin.or(other),
    }
}

/// The script that most of `text` is in, as ISO 15924 names it, in lower case: `latin`, `hangul`, `han`, `cyrillic`,
/// `arabic`, `devanagari`, `thai` and the others of `letters`. Hiragana and katakana are `kana`, and so are Han
/// characters among them. `None` where there is no letter of a script that is known, as in emoji and in code alone.
pub fn script(text: &str) -> Option<&'static str> {
    let prose = prose(text);
    let counts = Counts::of(&prose);
    match counts.leading() {
        Some((script, _)) if counts.latin <= counts.others() => Some(script),
        None if !prose.contains(letters::is_latin) => None,
        _ => Some("latin"),
    }
}

/// The beginning of `text` without code.
fn prose(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(SEARCH_BYTES)];
    // Whatever stands between an odd run of backticks and the next one is code, fenced or inline.
    let outside = text.split("```").step_by(2).flat_map(|part| part.split('`').step_by(2));
    code::left_out(outside, PROSE_CHARS)
}

/// How much of a text is in which script.
#[derive(Default)]
struct Counts {
    /// For each script other than Latin the weight of its characters.
    scripts: Vec<(&'static str, usize)>,
    /// Letters in Latin words that read like words, not like names or identifiers.
    latin: usize,
    /// Characters that are neither letters nor digits nor space.
    symbols: usize,
}

impl Counts {
    fn of(prose: &str) -> Self {
        let mut counts = Self::default();
        for word in prose.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let mut like_a_word = true;
            for c in word.chars() {
                if let Some((script, weight)) = letters::script(c) {
                    counts.add(script, weight);
                    like_a_word = false;
                }
                like_a_word &= c.is_lowercase() && letters::is_latin(c);
            }
            if like_a_word {
                counts.latin += word.chars().count();
            }
        }
        counts.symbols = prose.chars().filter(|c| !c.is_alphanumeric() && !c.is_whitespace()).count();
        // Japanese is written in kana and Han; Chinese may quote a word in kana.
        let (kana, han) = (counts.weight("kana"), counts.weight("han"));
        if kana * 8 >= han && kana > 0 {
            counts.add("kana", han);
            counts.scripts.retain(|(script, _)| *script != "han");
        }
        counts
    }

    fn add(&mut self, script: &'static str, weight: usize) {
        match self.scripts.iter_mut().find(|(known, _)| *known == script) {
            Some((_, sum)) => *sum += weight,
            None => self.scripts.push((script, weight)),
        }
    }

    fn weight(&self, script: &str) -> usize {
        self.scripts.iter().find(|(known, _)| *known == script).map_or(0, |(_, weight)| *weight)
    }

    fn leading(&self) -> Option<(&'static str, usize)> {
        self.scripts.iter().copied().max_by_key(|(_, weight)| *weight)
    }

    /// The weight of the leading script other than Latin.
    fn others(&self) -> usize {
        self.leading().map_or(0, |(_, weight)| weight)
    }

    /// The language of the leading script other than Latin. A letter or two among symbols may be part of a picture.
    fn guess(&self, prose: &str) -> Option<Guess> {
        const SYMBOLS: usize = 4;
        let (script, weight) = self.leading()?;
        let all: usize = self.scripts.iter().map(|(_, weight)| weight).sum();
        let confidence = weight as f32 / (all + self.symbols.min(SYMBOLS)) as f32;
        Some(Guess { language: letters::language(script, prose)?, confidence })
    }
}

fn latin(prose: &str) -> Option<Guess> {
    let end = prose.char_indices().nth(LATIN_CHARS).map_or(prose.len(), |(end, _)| end);
    let prose = prose[..end].to_lowercase();
    let letters = prose.chars().filter(|&c| letters::is_latin(c)).count();
    if letters < 2 {
        return None;
    }
    if let Some(language) = letters::telling(&prose) {
        return Some(Guess { language, confidence: 1.0 });
    }
    let votes = words::Votes::of_text(&prose);
    let by_letters = iso(whichlang::detect_language(&prose));
    let language = match votes.leading() {
        Some((language, most)) if most > votes.of(by_letters) => language,
        _ => by_letters,
    };
    // A longer text without a letter that its language is full of is in another one.
    if letters >= 20 && letters::usual(language).is_some_and(|usual| !prose.contains(|c| usual.contains(c))) {
        return None;
    }
    Some(Guess { language, confidence: votes.confidence(language, language == by_letters) })
}

fn iso(language: Lang) -> &'static str {
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
