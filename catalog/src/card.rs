//! The model card that lies beside weights, as a model hub has it: Markdown that begins with YAML between lines of `---`.
//!
//! Whoever uploads weights writes it, so it is read as a [`Declaration`](crate::Declaration) and can lower rights, never
//! raise them. Only what it says of licence and bases is read; the text is bounded in every way.

use serde::Deserialize;

/// What a card says of a licence and of bases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// The licence, as the hub writes it; where the card calls it `other`, the name that it gives.
    pub license: Option<String>,
    /// The models that it was made from, as `owner/name`.
    pub bases: Vec<String>,
}

/// A card larger than this is not read.
pub const MAX_CARD_BYTES: usize = 1 << 20;
/// Bases that are looked at.
const MAX_BASES: usize = 16;

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(self) -> Vec<String> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
struct Front {
    license: Option<OneOrMany>,
    license_name: Option<String>,
    base_model: Option<OneOrMany>,
}

impl Card {
    /// Reads the front of a card. `Ok(None)` where the text has none, as a file that is no card.
    ///
    /// # Errors
    /// The front cannot be read: in one line, why. It may hide a licence, so it counts as a finding.
    pub fn read(text: &str) -> Result<Option<Card>, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Some(rest) = text.strip_prefix("---").and_then(|rest| rest.strip_prefix(['\n', '\r'])) else {
            return Ok(None);
        };
        let end = rest.match_indices("\n---").map(|(at, _)| at).find(|at| {
            let after = &rest[at + 4..];
            after.is_empty() || after.starts_with(['\n', '\r'])
        });
        let Some(end) = end else { return Err("its front has no end".to_owned()) };
        if end > MAX_CARD_BYTES {
            return Err(format!("its front is longer than {MAX_CARD_BYTES} bytes"));
        }
        let front: Option<Front> = serde_saphyr::from_str_with_options(&rest[..end], crate::load::options())
            .map_err(|error| crate::nearest::cut(error.to_string().lines().next().unwrap_or_default()))?;
        let Some(front) = front else { return Ok(Some(Card::default())) };
        // Several licences of a card all bind, as far as anybody could tell.
        let license = front.license.map(|license| license.all().join(" AND ")).filter(|text| !text.trim().is_empty());
        let license = match (license, front.license_name) {
            (Some(license), Some(name)) if license.eq_ignore_ascii_case("other") => Some(name),
            (license, _) => license,
        };
        let mut bases = front.base_model.map(OneOrMany::all).unwrap_or_default();
        bases.truncate(MAX_BASES);
        Ok(Some(Card { license, bases }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(text: &str) -> Card {
        Card::read(text).expect("a card that can be read").expect("a card")
    }

    #[test]
    fn licence_and_bases_are_read_from_the_front_and_nothing_else_is() {
        let read = card("---\nlicense: apache-2.0\ntags: [a, b]\nbase_model: Qwen/Qwen3-8B\n---\n# license: mit\n");
        assert_eq!((read.license.as_deref(), &read.bases[..]), (Some("apache-2.0"), &["Qwen/Qwen3-8B".to_owned()][..]));
        let read =
            card("\u{feff}---\r\nlicense: other\r\nlicense_name: gemma\r\nbase_model:\r\n- a/b\r\n- c/d\r\n---\r\n");
        assert_eq!((read.license.as_deref(), read.bases.len()), (Some("gemma"), 2));
        assert_eq!(card("---\nlicense: [mit, cc-by-nc-4.0]\n---").license.as_deref(), Some("mit AND cc-by-nc-4.0"));
        assert_eq!(card("---\nlanguage: en\n---\n"), Card::default());
        assert_eq!(card("---\n\n---\n"), Card::default());
    }

    #[test]
    fn what_is_no_card_is_none_and_a_front_that_cannot_be_read_is_told() {
        for text in ["", "# A model", "---dash", "--- \nlicense: mit\n---\n", " ---\nlicense: mit\n---\n"] {
            assert_eq!(Card::read(text), Ok(None), "{text:?}");
        }
        for text in ["---\nlicense: mit\n", "---\nlicense: {a: b}\n---\n", "---\nlicense: [\n---\n"] {
            let error = Card::read(text).expect_err(text);
            assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        }
    }
}
