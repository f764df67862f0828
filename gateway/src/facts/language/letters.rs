//! What letters say about a language: tables, and the look-ups in them.

use std::ops::RangeInclusive;

/// The language that the script of `c` stands for unless [`refine`] says otherwise, and what `c` weighs against one
/// Latin letter: a syllable or a word is worth more than a letter. `None` for Latin and for scripts not listed.
pub(super) fn script(c: char) -> Option<(&'static str, usize)> {
    if c < *SCRIPTS[0].0.start() {
        return None;
    }
    SCRIPTS.iter().find(|(range, _, _)| range.contains(&c)).map(|&(_, language, weight)| (language, weight))
}

/// Whether `c` is a letter of the Latin script.
pub(super) fn is_latin(c: char) -> bool {
    c.is_alphabetic() && matches!(c, '\0'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}')
}

const SCRIPTS: [(RangeInclusive<char>, &str, usize); 28] = [
    ('\u{0370}'..='\u{03FF}', "el", 1),
    ('\u{0400}'..='\u{052F}', "ru", 1),
    ('\u{0530}'..='\u{058F}', "hy", 1),
    ('\u{0590}'..='\u{05FF}', "he", 1),
    ('\u{0600}'..='\u{077F}', "ar", 1),
    ('\u{0900}'..='\u{097F}', "hi", 1),
    ('\u{0980}'..='\u{09FF}', "bn", 1),
    ('\u{0A00}'..='\u{0A7F}', "pa", 1),
    ('\u{0A80}'..='\u{0AFF}', "gu", 1),
    ('\u{0B80}'..='\u{0BFF}', "ta", 1),
    ('\u{0C00}'..='\u{0C7F}', "te", 1),
    ('\u{0C80}'..='\u{0CFF}', "kn", 1),
    ('\u{0D00}'..='\u{0D7F}', "ml", 1),
    ('\u{0D80}'..='\u{0DFF}', "si", 1),
    ('\u{0E00}'..='\u{0E7F}', "th", 1),
    ('\u{0E80}'..='\u{0EFF}', "lo", 1),
    ('\u{1000}'..='\u{109F}', "my", 1),
    ('\u{10A0}'..='\u{10FF}', "ka", 1),
    ('\u{1100}'..='\u{11FF}', "ko", 1),
    ('\u{1200}'..='\u{137F}', "am", 1),
    ('\u{1780}'..='\u{17FF}', "km", 1),
    ('\u{3040}'..='\u{30FF}', "ja", 2),
    ('\u{3130}'..='\u{318F}', "ko", 1),
    ('\u{3400}'..='\u{4DBF}', "zh", 2),
    ('\u{4E00}'..='\u{9FFF}', "zh", 2),
    ('\u{AC00}'..='\u{D7AF}', "ko", 2),
    ('\u{FB50}'..='\u{FEFF}', "ar", 1),
    ('\u{20000}'..='\u{2FA1F}', "zh", 2),
];

/// The script of each language that [`script`] gives.
pub(super) const SCRIPT_OF: [(&str, &str); 23] = [
    ("el", "greek"),
    ("ru", "cyrillic"),
    ("hy", "armenian"),
    ("he", "hebrew"),
    ("ar", "arabic"),
    ("hi", "devanagari"),
    ("bn", "bengali"),
    ("pa", "gurmukhi"),
    ("gu", "gujarati"),
    ("ta", "tamil"),
    ("te", "telugu"),
    ("kn", "kannada"),
    ("ml", "malayalam"),
    ("si", "sinhala"),
    ("th", "thai"),
    ("lo", "lao"),
    ("my", "myanmar"),
    ("ka", "georgian"),
    ("ko", "hangul"),
    ("am", "ethiopic"),
    ("km", "khmer"),
    ("ja", "kana"),
    ("zh", "han"),
];

/// The language of a text in the script of `language`, told by letters that the usual language has not.
pub(super) fn refine(language: &'static str, prose: &str) -> &'static str {
    let of_script = TELLING.iter().filter(|(usual, _, _)| *usual == language);
    of_script
        .map(|&(_, other, letters)| (other, letters))
        .find(|(_, letters)| prose.contains(|c| letters.contains(c)))
        .map_or(language, |(other, _)| other)
}

const TELLING: [(&str, &str, &str); 6] = [
    ("ar", "ur", "ٹڈڑےںھ"),
    ("ar", "fa", "پچژگ"),
    ("ru", "uk", "іїєґ"),
    ("ru", "be", "ў"),
    ("ru", "sr", "ђјљњћџ"),
    ("ru", "kk", "әғқңөұүһ"),
];

/// A language in Latin script that `whichlang` does not know, told by its letters or words. `prose` is lower case.
pub(super) fn unknown_to_whichlang(prose: &str) -> Option<&'static str> {
    let by_letter = TELLING_LATIN.iter().find(|(_, letters)| prose.contains(|c| letters.contains(c)));
    by_letter.map(|&(language, _)| language).or_else(|| is_indonesian(prose).then_some("id"))
}

/// Vietnamese, which `whichlang` knows, comes first because the others share letters with it.
const TELLING_LATIN: [(&str, &str); 6] = [
    ("vi", "ơưạảấầẩậắằẵặẹẻếềểệịọốồổộớờởợụủứừửự"),
    ("pl", "łżźśńąę"),
    ("cs", "řůě"),
    ("sk", "ľĺŕ"),
    ("hu", "őű"),
    ("ro", "șțţ"),
];

/// Indonesian has no letter of its own; one word in eight among its most frequent ones gives it away.
fn is_indonesian(prose: &str) -> bool {
    let words = prose.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    let (found, all) =
        words.fold((0, 0), |(found, all), word| (found + usize::from(INDONESIAN.contains(&word)), all + 1));
    found > 0 && found * 8 >= all
}

const INDONESIAN: [&str; 21] = [
    "adalah",
    "apa",
    "atau",
    "bagaimana",
    "berapa",
    "bisa",
    "dalam",
    "dengan",
    "ini",
    "itu",
    "kamu",
    "kasih",
    "mana",
    "mengapa",
    "saya",
    "siapa",
    "tentang",
    "terima",
    "tidak",
    "untuk",
    "yang",
];

/// Letters of which a sentence in `language` has at least one, for languages of which that can be said.
pub(super) fn usual(language: &str) -> Option<&'static str> {
    match language {
        "tr" => Some("çğışöü"),
        "vi" => Some("ơưăâêôđàáãèéìíòóõùúýạảấầẩậắằẵặẹẻếềểệịọốồổộớờởợụủứừửự"),
        _ => None,
    }
}
