//! What letters say about a language: tables, and the look-ups in them.

use std::ops::RangeInclusive;

/// The script of `c`, and what `c` weighs against one Latin letter: a syllable or a word is worth more than a letter.
/// `None` for Latin and for scripts not listed.
pub(super) fn script(c: char) -> Option<(&'static str, usize)> {
    if c < *SCRIPTS[0].0.start() {
        return None;
    }
    SCRIPTS.iter().find(|(range, _, _)| range.contains(&c)).map(|&(_, script, weight)| (script, weight))
}

/// Whether `c` is a letter of the Latin script.
pub(super) fn is_latin(c: char) -> bool {
    c.is_alphabetic() && matches!(c, '\0'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}')
}

const SCRIPTS: [(RangeInclusive<char>, &str, usize); 28] = [
    ('\u{0370}'..='\u{03FF}', "greek", 1),
    ('\u{0400}'..='\u{052F}', "cyrillic", 1),
    ('\u{0530}'..='\u{058F}', "armenian", 1),
    ('\u{0590}'..='\u{05FF}', "hebrew", 1),
    ('\u{0600}'..='\u{077F}', "arabic", 1),
    ('\u{0900}'..='\u{097F}', "devanagari", 1),
    ('\u{0980}'..='\u{09FF}', "bengali", 1),
    ('\u{0A00}'..='\u{0A7F}', "gurmukhi", 1),
    ('\u{0A80}'..='\u{0AFF}', "gujarati", 1),
    ('\u{0B80}'..='\u{0BFF}', "tamil", 1),
    ('\u{0C00}'..='\u{0C7F}', "telugu", 1),
    ('\u{0C80}'..='\u{0CFF}', "kannada", 1),
    ('\u{0D00}'..='\u{0D7F}', "malayalam", 1),
    ('\u{0D80}'..='\u{0DFF}', "sinhala", 1),
    ('\u{0E00}'..='\u{0E7F}', "thai", 1),
    ('\u{0E80}'..='\u{0EFF}', "lao", 1),
    ('\u{1000}'..='\u{109F}', "myanmar", 1),
    ('\u{10A0}'..='\u{10FF}', "georgian", 1),
    ('\u{1100}'..='\u{11FF}', "hangul", 1),
    ('\u{1200}'..='\u{137F}', "ethiopic", 1),
    ('\u{1780}'..='\u{17FF}', "khmer", 1),
    ('\u{3040}'..='\u{30FF}', "kana", 2),
    ('\u{3130}'..='\u{318F}', "hangul", 1),
    ('\u{3400}'..='\u{4DBF}', "han", 2),
    ('\u{4E00}'..='\u{9FFF}', "han", 2),
    ('\u{AC00}'..='\u{D7AF}', "hangul", 2),
    ('\u{FB50}'..='\u{FEFF}', "arabic", 1),
    ('\u{20000}'..='\u{2FA1F}', "han", 2),
];

/// The language that each script stands for unless letters say otherwise.
const USUAL: [(&str, &str); 23] = [
    ("greek", "el"),
    ("cyrillic", "ru"),
    ("armenian", "hy"),
    ("hebrew", "he"),
    ("arabic", "ar"),
    ("devanagari", "hi"),
    ("bengali", "bn"),
    ("gurmukhi", "pa"),
    ("gujarati", "gu"),
    ("tamil", "ta"),
    ("telugu", "te"),
    ("kannada", "kn"),
    ("malayalam", "ml"),
    ("sinhala", "si"),
    ("thai", "th"),
    ("lao", "lo"),
    ("myanmar", "my"),
    ("georgian", "ka"),
    ("hangul", "ko"),
    ("ethiopic", "am"),
    ("khmer", "km"),
    ("kana", "ja"),
    ("han", "zh"),
];

/// The language of a text in `script`: the usual one, unless a letter stands in it that the usual one has not.
pub(super) fn language(script: &str, prose: &str) -> Option<&'static str> {
    let (_, usual) = USUAL.iter().find(|(known, _)| *known == script)?;
    let told = TELLING.iter().filter(|(of, _, _)| *of == script).find(|(_, _, letters)| has(prose, letters));
    Some(told.map_or(usual, |(_, language, _)| language))
}

fn has(prose: &str, letters: &str) -> bool {
    prose.contains(|c| letters.contains(c))
}

const TELLING: [(&str, &str, &str); 6] = [
    ("arabic", "ur", "ٹڈڑےںھ"),
    ("arabic", "fa", "پچژگ"),
    ("cyrillic", "uk", "іїєґ"),
    ("cyrillic", "be", "ў"),
    ("cyrillic", "sr", "ђјљњћџ"),
    ("cyrillic", "kk", "әғқңөұүһ"),
];

/// A language in Latin script that a letter names, most of them languages that `whichlang` does not know. `prose` is
/// lower case.
pub(super) fn telling(prose: &str) -> Option<&'static str> {
    TELLING_LATIN.iter().find(|(_, letters)| has(prose, letters)).map(|(language, _)| *language)
}

/// Vietnamese comes first because the others share letters with it.
const TELLING_LATIN: [(&str, &str); 9] = [
    ("vi", "ơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ"),
    ("pl", "łżźśńąę"),
    ("cs", "řůě"),
    ("sk", "ľĺŕ"),
    ("hu", "őű"),
    ("ro", "șțţ"),
    ("tr", "ğış"),
    ("es", "¿¡ñ"),
    ("de", "ß"),
];

/// Letters of which a sentence in `language` has at least one, for languages of which that can be said.
pub(super) fn usual(language: &str) -> Option<&'static str> {
    match language {
        "tr" => Some("çğışöü"),
        "vi" => Some("ơưăâêôđàáãèéìíòóõùúýạảấầẩậắằẵặẹẻếềểệịọốồổộớờởợụủứừửự"),
        _ => None,
    }
}
