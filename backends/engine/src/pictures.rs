//! Pictures in a conversation: from what a caller wrote to places in the prompt.
//!
//! A picture stands in a prompt as a run of numbers that no token has ([`PICTURE`] and above), one for each of the model's
//! tokens that it takes. All numbers of a run are the same, and each other picture has another, so that whatever compares
//! prompts - windows, prefixes - tells pictures apart and finds the same one again, and a beginning that two prompts have in
//! common never ends within a picture, as one is always computed whole. The number is the picture's by its digest (SHA-256);
//! one that was forgotten gets a new number, which costs a cached prefix and nothing else.
//!
//! Only data URLs are read: an engine in this process fetches nothing. What is in a picture's file is for [`Vision`] to say.

#[cfg(feature = "pixels")]
mod pixels;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use backends::{BackendError, Input, Message, Part};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::prepare::unsupported;

#[cfg(feature = "pixels")]
pub use pixels::pixels;

/// The first of the numbers that stand for pictures in a prompt, above those of all tokens.
pub const PICTURE: u32 = 1 << 31;
/// Pictures whose numbers are remembered: some hundred bytes each.
const REMEMBERED: usize = 1 << 14;
/// The kind of content that holds a picture, as the chat API calls it.
const KIND: &str = "image_url";

/// What an engine makes of the files of pictures. Callers' threads ask it, several at once.
pub trait Vision: fmt::Debug + Send + Sync {
    /// What the model reads of a picture.
    ///
    /// # Errors
    /// Why the file is no picture for it, for the caller to read.
    fn see(&self, file: &[u8]) -> Result<Seen, String>;

    /// How many pictures a conversation may have, and why no more; any number, where nothing is said.
    fn most(&self) -> Option<(usize, &'static str)> {
        None
    }
}

/// A picture as a model reads it.
#[derive(Clone)]
pub struct Seen {
    /// Tokens that it takes, at least one.
    pub tokens: usize,
    /// What the engine computes it from.
    pub content: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({} tokens)", self.tokens)
    }
}

/// A picture in a prompt.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where in the prompt it begins.
    pub at: usize,
    /// The picture.
    pub seen: Seen,
}

/// Reads the pictures of conversations.
#[derive(Debug)]
pub(crate) struct Pictures {
    vision: Arc<dyn Vision>,
    numbers: Mutex<Numbers>,
}

/// A picture that is not placed yet, with its number.
pub(crate) struct Numbered {
    number: u32,
    seen: Seen,
}

impl Pictures {
    pub(crate) fn new(vision: Arc<dyn Vision>) -> Self {
        Self { vision, numbers: Mutex::default() }
    }

    /// The pictures of a conversation, in its order, which may take `room` tokens.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] with the first that cannot be read and why, [`BackendError::PromptTooLong`].
    pub(crate) fn read(&self, messages: &[Message], room: usize) -> Result<Vec<Numbered>, BackendError> {
        let most = self.vision.most();
        let mut all = Vec::new();
        let mut taken = 0_usize;
        for (turn, message) in messages.iter().enumerate() {
            for (place, part) in message.content.iter().enumerate() {
                let Part::Other { held, .. } = part else { continue };
                if let Some((most, why)) = most.filter(|(most, _)| all.len() == *most) {
                    return unsupported("messages", format!("it has more pictures than {most}: {why}"));
                }
                let refused = |why: String| BackendError::Unsupported {
                    param: "messages",
                    reason: format!("the picture at messages[{turn}].content[{place}] {why}"),
                };
                let file = file(held.as_deref().unwrap_or_default()).map_err(|why| refused(why.to_owned()))?;
                let seen = self.vision.see(&file).map_err(refused)?;
                taken = taken.saturating_add(seen.tokens);
                if taken > room {
                    return Err(BackendError::PromptTooLong { got: taken, limit: room });
                }
                let number = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).of(&file);
                all.push(Numbered { number, seen });
            }
        }
        Ok(all)
    }
}

/// Whether something that is not text is in what is asked.
pub(crate) fn are_in(input: &Input) -> bool {
    let Input::Chat { messages, .. } = input else { return false };
    messages.iter().flat_map(|message| &message.content).any(|part| matches!(part, Part::Other { .. }))
}

/// Whether an engine that reads pictures reads this kind of content.
pub(crate) fn is_picture(kind: &str) -> bool {
    kind == KIND
}

/// Puts pictures into a prompt: of each the place among the tokens that are there, in any order.
///
/// # Errors
/// When nothing follows a picture: an answer goes on from a token.
pub(crate) fn place(
    tokens: &[u32],
    places: &[(usize, usize)],
    pictures: &[Numbered],
) -> Result<(Vec<u32>, Vec<Placed>), BackendError> {
    let (mut prompt, mut placed, mut from) = (Vec::with_capacity(tokens.len()), Vec::new(), 0);
    for &(at, nth) in places {
        let (Some(Numbered { number, seen }), true) = (pictures.get(nth), at < tokens.len()) else {
            return unsupported("messages", "the model's chat template puts a picture where its answer begins");
        };
        prompt.extend_from_slice(&tokens[from..at]);
        from = at;
        placed.push(Placed { at: prompt.len(), seen: seen.clone() });
        prompt.resize(prompt.len() + seen.tokens, *number);
    }
    prompt.extend_from_slice(&tokens[from..]);
    Ok((prompt, placed))
}

/// The file in what a caller wrote under `image_url`: its address, or an object with that.
fn file(held: &str) -> Result<Vec<u8>, &'static str> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<'t> {
        Plain(#[serde(borrow)] Cow<'t, str>),
        Wrapped {
            #[serde(borrow)]
            url: Cow<'t, str>,
        },
    }
    /// As encoders write it, and without the signs that only fill it up.
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    const EXPECTED: &str = "is no data URL; expected `data:image/png;base64,...` under `image_url.url`, with no spaces";
    let written = serde_json::from_str(held).map_err(|_| EXPECTED)?;
    let (Written::Plain(url) | Written::Wrapped { url }) = &written;
    let scheme = |name: &str| url.get(..name.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(name));
    if scheme("http:") || scheme("https:") {
        return Err(
            "is an address, and a model in this process fetches nothing; send the picture itself, as a data URL",
        );
    }
    if !scheme("data:") {
        return Err(EXPECTED);
    }
    let (head, data) = url.split_once(',').ok_or(EXPECTED)?;
    let encoding = head.rsplit_once(';').map_or("", |(_, encoding)| encoding);
    if !encoding.eq_ignore_ascii_case("base64") {
        return Err("is a data URL that is not in base64; expected `data:image/png;base64,...`");
    }
    BASE64.decode(data).map_err(|_| "is a data URL whose base64 is damaged")
}

/// Which picture has which number.
#[derive(Debug, Default)]
struct Numbers {
    known: HashMap<[u8; 32], u32>,
    /// The one first that was numbered first.
    order: VecDeque<[u8; 32]>,
    next: u32,
}

impl Numbers {
    fn of(&mut self, file: &[u8]) -> u32 {
        let digest: [u8; 32] = Sha256::digest(file).into();
        if let Some(number) = self.known.get(&digest) {
            return *number;
        }
        if self.order.len() >= REMEMBERED
            && let Some(first) = self.order.pop_front()
        {
            self.known.remove(&first);
        }
        let number = PICTURE | self.next;
        // After two milliards of pictures numbers come again, of pictures that no cache holds any more.
        self.next = (self.next + 1) % PICTURE;
        self.known.insert(digest, number);
        self.order.push_back(digest);
        number
    }
}
