//! Where a server-sent event ends, and what its data is. Bytes in, places out; no JSON, no I/O.
//!
//! Lines end with LF, CR LF or CR, and a blank line ends an event, as the WHATWG specification says. An event
//! may be split at any byte, inside a code point or between CR and LF: bytes are never decoded here.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// The byte order mark that a stream may begin with.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A search for the end of an event that may go on over several buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    at_line_start: bool,
    after_cr: bool,
}

impl Search {
    pub(crate) const START: Self = Self { at_line_start: true, after_cr: false };

    /// The length of the bytes that complete the event, blank line included; `None` if it goes on after them.
    ///
    /// Where a buffer ends between the CR and the LF of the blank line, the event ends with the CR, so that it
    /// need not wait, and the LF counts as the first byte of the next event.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            at = usize::from(bytes[0] == b'\n');
        }
        while let Some(length) = memchr2(b'\n', b'\r', &bytes[at..]) {
            let blank = length == 0 && self.at_line_start;
            let end = at + length;
            at = end + 1;
            if bytes[end] == b'\r' {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.at_line_start = true;
            if blank {
                return Some(at);
            }
        }
        if at < bytes.len() {
            self.at_line_start = false;
        }
        None
    }
}

/// What an event holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// Its data lines, joined by LF; `None` if it has none (a comment, a blank line).
    pub(crate) data: Option<Cow<'a, [u8]>>,
    /// Its type; empty if it names none.
    pub(crate) name: &'a [u8],
}

impl Event<'_> {
    /// Whether it reports an error by its type.
    pub(crate) fn is_error(&self) -> bool {
        self.name == b"error"
    }
}

/// The data of each event that has any, of bytes that hold whole events.
pub fn data(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let (mut rest, mut search) = (bytes, Search::START);
    let events = std::iter::from_fn(move || {
        let end = search.end(rest).unwrap_or(rest.len());
        let (event, after) = rest.split_at(end);
        rest = after;
        (!event.is_empty()).then_some(event)
    });
    events.filter_map(|event| parse(event).data)
}

/// Reads the fields of an event.
pub(crate) fn parse(event: &[u8]) -> Event<'_> {
    let mut parsed = Event { data: None, name: b"" };
    for line in Lines(event) {
        let (field, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => match &mut parsed.data {
                None => parsed.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"event" => parsed.name = value,
            // `id`, `retry`, and what nobody has defined; a comment has an empty name.
            _ => {}
        }
    }
    parsed
}

/// The lines of a text, without their ends. An LF right after a CR makes an empty line, which means nothing
/// inside an event.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr2(b'\n', b'\r', self.0).unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::promises::{pieces, split};

    #[test]
    fn an_event_ends_at_the_blank_line_in_every_spelling() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = format!("data: a{end}{end}: note{end}data:b{end}data: c{end}{end}");
            let events = split(&pieces(stream.as_bytes(), &[]));
            let data: Vec<_> = events.iter().map(|(_, data)| &data[..]).collect();
            assert_eq!(data, [b"a".as_slice(), b"b\nc"], "{end:?}");
        }
    }

    #[test]
    fn the_data_of_whole_events_is_found_in_every_spelling() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = format!("data: a{end}{end}: note{end}{end}event: x{end}data:b{end}data: c{end}{end}data: d");
            let data: Vec<_> = data(stream.as_bytes()).map(|data| data.into_owned()).collect();
            assert_eq!(data, [b"a".as_slice(), b"b\nc", b"d"], "{end:?}");
        }
        assert_eq!(data(b"").count(), 0);
    }

    #[test]
    fn a_blank_line_split_between_cr_and_lf_does_not_hold_its_event_back() {
        let mut search = Search::START;
        assert_eq!(search.end(b"data: a\r\n\r"), Some(10));
        assert_eq!(search.end(b"\ndata: b\r\n\r\n"), Some(12));
    }

    #[test]
    fn one_space_after_the_colon_is_not_data() {
        assert_eq!(parse(b"data:  x\n\n").data.as_deref(), Some(b" x".as_slice()));
        assert_eq!(parse(b"data\n\n").data.as_deref(), Some(b"".as_slice()));
        assert_eq!(parse(b": only a comment\n\n").data, None);
        assert!(parse(b"event: error\ndata: {}\n\n").is_error());
    }

    proptest! {
        #[test]
        fn any_cut_of_a_stream_gives_the_events_of_the_specification(
            lines in prop::collection::vec(
                ("(data: ?|data|: |id: |event:|)[a-z{}é漢😀]{0,12}", "\n|\r\n|\r|\n\n|\r\n\r\n|\r\r"),
                0..24,
            ),
            lengths in prop::collection::vec(1..9usize, 1..12),
        ) {
            let stream: String = lines.into_iter().map(|(line, end)| line + &end).collect();
            split(&pieces(stream.as_bytes(), &lengths));
            split(&pieces(stream.as_bytes(), &[]));
        }
    }
}
