//! Events that differ from an earlier one in their text alone, as most of a stream do: what they say is known without reading
//! their JSON.
//!
//! A JSON string that holds no quote, no backslash and no control character ends where it seems to, so another such text in its
//! place changes nothing else. That all content of the earlier event lies in that string is tried once, by reading it without.

use backends::{Frame, text_tokens};
use memchr::memmem;

use crate::{
    chunk::{self, Read},
    sse,
};

/// Longer ones are read each time: nothing is held of them.
const MOST_BYTES: usize = 2 << 10;
/// The keys of a text.
const KEYS: [&[u8]; 4] = [br#""content""#, br#""text""#, br#""reasoning_content""#, br#""reasoning""#];
/// Where events seldom have a like, few are tried: so many, and one more for each eight that had one.
const TRIED: u32 = 4;
const MET_FOR_ONE_MORE: u32 = 8;

/// An event that others may be like.
#[derive(Debug, Default)]
pub(super) struct Alike {
    event: Vec<u8>,
    /// Where its text begins, and how much comes after the text.
    before: usize,
    after: usize,
    tried: u32,
    met: u32,
}

impl Alike {
    /// The length of the event that bytes begin with and what it says, where it differs from the earlier one in its text alone.
    #[inline]
    pub(super) fn first_of(&mut self, bytes: &[u8]) -> Option<(usize, Frame)> {
        let (before, after) = self.event.split_at_checked(self.before).filter(|(before, _)| !before.is_empty())?;
        let text = bytes.strip_prefix(before)?;
        let text = &text[..text.iter().position(|byte| !is_plain(*byte))?];
        let after = &after[after.len() - self.after..];
        bytes[before.len() + text.len()..].starts_with(after).then_some(())?;
        let frame = frame(std::str::from_utf8(text).ok()?);
        self.met = self.met.saturating_add(1);
        Some((before.len() + text.len() + after.len(), frame))
    }

    /// Keeps an event, which says what `said` has and nothing else, for others that are like it.
    pub(super) fn learn(&mut self, event: &[u8], said: &Frame) {
        let ends_as_most = event.ends_with(b"\n\n");
        if !ends_as_most || event.len() > MOST_BYTES || self.tried >= TRIED + self.met / MET_FOR_ONE_MORE {
            return;
        }
        self.tried += 1;
        for key in KEYS {
            let Some((from, to)) = text_of(event, key) else { continue };
            let text = std::str::from_utf8(&event[from..to]);
            let without = [&event[..from], &event[to..]].concat();
            if text.is_ok_and(|text| frame(text) == *said) && says_nothing(&without) {
                self.event.clear();
                self.event.extend_from_slice(event);
                (self.before, self.after) = (from, event.len() - to);
                return;
            }
        }
    }
}

/// Whether a byte of a JSON string stands for itself.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

fn frame(text: &str) -> Frame {
    Frame { content: !text.is_empty(), text_tokens: text_tokens(text), ..Frame::default() }
}

/// Where the string behind a key begins and ends, if the key is there once and the string is plain.
fn text_of(event: &[u8], key: &[u8]) -> Option<(usize, usize)> {
    let mut places = memmem::find_iter(event, key);
    let (at, None) = (places.next()?, places.next()) else { return None };
    let value =
        event[at + key.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let from = event.len() - value.len();
    let length = value.iter().position(|byte| !is_plain(*byte))?;
    (value[length] == b'"').then_some((from, from + length))
}

/// Whether an event has one choice and neither content nor anything else that matters.
fn says_nothing(event: &[u8]) -> bool {
    let event = sse::parse(event);
    let Some(data) = event.data.as_deref().filter(|_| !event.is_error()) else { return false };
    let Read::Object(chunk) = chunk::read(data) else { return false };
    let nothing = chunk::Choices { count: 1, ..chunk::Choices::default() };
    !chunk.is_error() && chunk.usage.is_none() && chunk.choices == Some(nothing)
}

#[cfg(test)]
mod tests {
    use backends::{Api, Convention};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Reader;

    const CONTENT: &str =
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}],"usage":null}"#;

    const FORMS: [&str; 5] = [
        CONTENT,
        r#"{"choices":[{"delta":{"content":"TEXT","refusal":null}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","refusal":"TEXT"}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"text":"TEXT"}],"note":"TEXT"}"#,
    ];

    fn event(form: &str, text: &str) -> String {
        format!("data: {}\n\n", form.replace("TEXT", text))
    }

    /// One that has learnt a form, if it can be learnt.
    fn learnt(form: &str) -> Alike {
        let mut alike = Alike::default();
        alike.learn(event(form, "four").as_bytes(), &frame("four"));
        alike
    }

    #[test]
    fn an_event_with_another_text_is_known_in_each_form_that_has_one() {
        for form in [
            CONTENT,
            r#"{"choices": [{"delta": {"role": "assistant", "content": "TEXT"}}]}"#,
            r#"{"choices":[{"index":0,"text":"TEXT","finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"content":null,"reasoning_content":"TEXT"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"TEXT","content":""}}]}"#,
        ] {
            let mut alike = learnt(form);
            for text in ["", " other words", "안녕", "🦀"] {
                let sent = event(form, text);
                let said = Some((sent.len(), frame(text)));
                assert_eq!(alike.first_of(sent.as_bytes()), said, "{form} {text}");
                assert_eq!(alike.first_of((sent + "data: more").as_bytes()), said, "{form} {text}");
            }
        }
    }

    #[test]
    fn an_event_that_differs_in_more_is_not_known() {
        let mut alike = learnt(CONTENT);
        for other in [
            event(CONTENT, r#"\u00e9"#),
            event(CONTENT, r#"","refusal":"no"#),
            event(CONTENT, "a\u{1}"),
            event(CONTENT, "a\ndata: b"),
            event(&CONTENT.replace("null}]", r#""stop"}]"#), "a"),
            event(&CONTENT.replace(r#""index":0"#, r#""index":1"#), "a"),
            event(CONTENT, "a").replace("\n\n", "\n"),
            String::new(),
        ] {
            assert_eq!(alike.first_of(other.as_bytes()), None, "{other}");
        }
        let cut = event(CONTENT, "four");
        assert!((0..cut.len()).all(|end| alike.first_of(&cut.as_bytes()[..end]).is_none()));
        let mut broken = cut.into_bytes();
        let text = broken.windows(4).position(|text| text == b"four").unwrap();
        broken[text] = b'\xff';
        assert_eq!(alike.first_of(&broken), None);
        assert_eq!(Alike::default().first_of(b""), None);
    }

    #[test]
    fn a_form_whose_text_is_not_all_that_it_says_is_not_learnt() {
        for form in [
            // The content lies elsewhere too, or the text is in no content.
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"text":"TEXT"}}]}}]}"#,
            r#"{"choices":[{"delta":{"refusal":"four"}}],"content":"TEXT"}"#,
            r#"{"choices":[{"delta":{"content":"TEXT","refusal":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":"TEXT"}},{"delta":{"content":"TEXT"}}]}"#,
            r#"{"choices":[{"delta":{"content":"TEXT"},"message":{"content":"TEXT"}}]}"#,
            r#"{"choices":[{"delta":{"content":"TEXT"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"TEXT"}}],"usage":{"prompt_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"TEXT"}}],"error":"x"}"#,
        ] {
            assert!(learnt(form).event.is_empty(), "{form}");
        }
        let mut alike = Alike::default();
        alike.learn(event(CONTENT, &"a".repeat(MOST_BYTES)).as_bytes(), &frame(&"a".repeat(MOST_BYTES)));
        assert!(alike.event.is_empty());
    }

    #[test]
    fn where_no_event_has_a_like_few_are_tried() {
        let mut alike = Alike::default();
        for id in 0..100 {
            let event = event(&CONTENT.replace(r#""c""#, &format!("\"c{id}\"")), "four");
            assert_eq!(alike.first_of(event.as_bytes()), None);
            alike.learn(event.as_bytes(), &frame("four"));
        }
        assert_eq!(alike.tried, TRIED);
    }

    proptest! {
        #[test]
        fn an_event_says_the_same_whatever_came_before_it(
            of in prop::collection::vec((0..FORMS.len(), "([ -~]|[\u{0}-\u{20}]|é|漢|😀|\\\\u00e9|\\\\\"){0,6}"), 1..24),
        ) {
            let reader = || Reader::new(Api::Chat, 1, 1 << 20, Convention::openai());
            let mut one = reader();
            for (form, text) in of {
                let event = Bytes::from(event(FORMS[form], &text));
                let said = |reader: &mut Reader| {
                    reader.push(event.clone());
                    std::iter::from_fn(|| reader.next_frame()).map(|frame| format!("{frame:?}")).collect::<Vec<_>>()
                };
                let after_others = said(&mut one);
                prop_assert_eq!(after_others, said(&mut reader()));
                // One that was left half read would go on with the next.
                if !one.head.is_empty() {
                    one = reader();
                }
            }
        }

        #[test]
        fn a_stream_says_what_its_events_say_alone_however_it_is_cut(
            of in prop::collection::vec((0..FORMS.len(), "([ -~&&[^\"\\\\]]|é|漢|😀|\\\\u00e9){0,6}"), 1..24),
            lengths in prop::collection::vec(1..400usize, 1..12),
        ) {
            let events: Vec<Bytes> = of.iter().map(|(form, text)| event(FORMS[*form], text).into()).collect();
            let stream = Bytes::from(events.concat());
            let said = |pieces: &mut dyn Iterator<Item = Bytes>| {
                let mut reader = Reader::new(Api::Chat, 1, 1 << 20, Convention::openai());
                let (mut bytes, mut all) = (Vec::new(), Frame::default());
                for piece in pieces {
                    reader.push(piece);
                    while let Some(frame) = reader.next_frame() {
                        let frame = frame.unwrap();
                        bytes.extend_from_slice(&frame.bytes);
                        all.content |= frame.content;
                        all.finished |= frame.finished;
                        all.text_tokens += frame.text_tokens;
                    }
                }
                (bytes, all)
            };
            let mut alone = (Vec::new(), Frame::default());
            for event in &events {
                let (bytes, frame) = said(&mut std::iter::once(event.clone()));
                alone.0.extend_from_slice(&bytes);
                alone.1.content |= frame.content;
                alone.1.finished |= frame.finished;
                alone.1.text_tokens += frame.text_tokens;
            }
            let (mut rest, mut lengths) = (stream.clone(), lengths.into_iter().cycle());
            let mut cut = std::iter::from_fn(|| {
                let length = lengths.next()?.min(rest.len());
                (length > 0).then(|| rest.split_to(length))
            });
            prop_assert_eq!(&said(&mut cut), &alone);
            prop_assert_eq!(&said(&mut std::iter::once(stream)), &alone);
        }
    }
}
