use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// A part of a stream.
#[derive(Clone, Debug)]
enum Part {
    Role,
    Text,
    /// The choice of this index ends.
    Finish(usize),
    /// The usage chunk, with this many completion tokens.
    Usage(u64),
    /// Usage in a chunk that has choices, as some hosts send it.
    UsageBeside(u64),
    Done,
    /// JSON that is cut short.
    Malformed,
    /// JSON of a shape that nobody has described.
    Odd,
    Error(&'static str),
    /// An error that only the type of its event tells.
    ErrorByType,
    /// A choice that ends with the reason `error`.
    Failed,
    Comment,
    Blank,
}

/// A part, and how it is written.
#[derive(Clone, Debug)]
struct Written {
    part: Part,
    line_end: &'static str,
    /// Whether a space follows the colon, the data is cut into two lines, and an `id` comes before it.
    spaced: bool,
    two_lines: bool,
    id: bool,
}

fn part() -> impl Strategy<Value = Part> {
    let errors = [
        r#"{"error":{"message":"x","code":502}}"#,
        r#"{"error":{"message":"x","type":"overloaded_error"}}"#,
        r#"{"error":"x"}"#,
        r#"{"object":"error","message":"x","code":400}"#,
    ];
    prop_oneof![
        1 => Just(Part::Role),
        6 => Just(Part::Text),
        5 => (0..3usize).prop_map(Part::Finish),
        2 => (0..100u64).prop_map(Part::Usage),
        1 => (0..100u64).prop_map(Part::UsageBeside),
        2 => Just(Part::Done),
        1 => Just(Part::Malformed),
        1 => Just(Part::Odd),
        1 => select(errors.to_vec()).prop_map(Part::Error),
        1 => Just(Part::ErrorByType),
        1 => Just(Part::Failed),
        2 => Just(Part::Comment),
        1 => Just(Part::Blank),
    ]
}

fn line_end() -> impl Strategy<Value = &'static str> {
    select(vec!["\n", "\n", "\r\n", "\r\n", "\r"])
}

/// A stream, mostly with one kind of line end in all of it.
fn written() -> impl Strategy<Value = Vec<Written>> {
    let one = (part(), line_end(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    (vec(one, 0..12), line_end(), prop::bool::weighted(0.8)).prop_map(|(parts, everywhere, same)| {
        let written = |(part, line_end, spaced, two_lines, id)| {
            let line_end = if same { everywhere } else { line_end };
            Written { part, line_end, spaced, two_lines, id }
        };
        parts.into_iter().map(written).collect()
    })
}

fn api() -> impl Strategy<Value = Api> {
    select(vec![Api::Chat, Api::Completions])
}

impl Part {
    /// Its data; `None` for what has none.
    fn data(&self, api: Api) -> Option<String> {
        let choice = |index: usize, content: &str, finish: &str| {
            let content = match api {
                Api::Chat => format!(r#""delta":{{"content":"{content}"}}"#),
                _ => format!(r#""text":"{content}""#),
            };
            format!(r#"{{"id":"c","choices":[{{"index":{index},{content},"finish_reason":{finish}}}],"usage":null}}"#)
        };
        let usage = |tokens: &u64| format!(r#""usage":{{"prompt_tokens":5,"completion_tokens":{tokens}}}"#);
        Some(match self {
            Self::Role => choice(0, "", "null"),
            Self::Text => choice(0, "日本 é😀", "null"),
            Self::Finish(index) => choice(*index, "", r#""stop""#),
            Self::Usage(tokens) => format!(r#"{{"choices":[],{}}}"#, usage(tokens)),
            Self::UsageBeside(tokens) => choice(0, "x", "null").replace(r#""usage":null"#, &usage(tokens)),
            Self::Done => "[DONE]".to_owned(),
            Self::Malformed => r#"{"choices":[{"index":0,"#.to_owned(),
            Self::Odd => r#"{"choices":"later","x":1}"#.to_owned(),
            Self::Error(data) => (*data).to_owned(),
            Self::ErrorByType => r#"{"detail":"x","code":7}"#.to_owned(),
            Self::Failed => choice(0, "", r#""error""#),
            Self::Comment | Self::Blank => return None,
        })
    }
}

impl Written {
    /// Writes it to a stream; the length of the stream with which its data is whole.
    fn write(&self, stream: &mut String, api: Api) -> usize {
        let end = self.line_end;
        let Some(mut data) = self.part.data(api) else {
            *stream += &if matches!(self.part, Part::Comment) { format!(": ping{end}{end}") } else { end.to_owned() };
            return stream.len();
        };
        if self.id {
            *stream += &format!("id: 7{end}");
        }
        if matches!(self.part, Part::ErrorByType) {
            *stream += &format!("event: error{end}");
        }
        let field = if self.spaced { "data: " } else { "data:" };
        if self.two_lines {
            // White space between two members of an object.
            data = data.replacen(",\"", &format!(",{end}{field}\""), 1);
        }
        *stream += &format!("{field}{data}");
        let whole = stream.len();
        *stream += &format!("{end}{end}");
        whole
    }
}

/// What must come of a stream, by the contract of `reader` and not by its code.
fn expected(parts: &[(Part, usize)], length: usize, asked: Asked) -> Outcome {
    let mut outcome = Outcome::default();
    let mut ended = vec![false; asked.choices];
    for (part, whole) in parts {
        if *whole > length {
            break;
        }
        match part {
            Part::Comment | Part::Blank | Part::Malformed => continue,
            Part::Error(_) | Part::ErrorByType | Part::Failed => {
                outcome.error = Some(String::new());
                return outcome;
            }
            Part::Done if !outcome.finished => {
                outcome.error = Some(String::new());
                return outcome;
            }
            Part::Done => outcome.done = true,
            Part::Text | Part::Odd => outcome.content = true,
            Part::Role => {}
            Part::Finish(index) => {
                outcome.finished = true;
                if let Some(ended) = ended.get_mut(*index) {
                    *ended = true;
                }
            }
            Part::UsageBeside(tokens) | Part::Usage(tokens) => {
                outcome.content |= matches!(part, Part::UsageBeside(_));
                outcome.usage = Some(Usage { prompt_tokens: 5, completion_tokens: *tokens, ..Usage::default() });
            }
        }
        let data = part.data(asked.api).expect("data");
        outcome.events.push((Bytes::new(), Bytes::from(data)));
        if outcome.done {
            return outcome;
        }
    }
    if ended.contains(&false) {
        outcome.error = Some(String::new());
    }
    outcome
}

fn answer(body: &[u8], lengths: &[usize], broken: bool) -> Answer {
    let headers = [(header::CONTENT_TYPE, "text/event-stream".parse().unwrap())].into_iter().collect();
    Answer { status: StatusCode::OK, headers, pieces: pieces(body, lengths), broken }
}

fn asked(api: Api, choices: usize) -> Asked {
    Asked { host: 0, api, stream: true, choices, limit: 1 << 20 }
}

/// Where a stream is cut off.
#[derive(Clone, Debug)]
enum Cut {
    Nowhere,
    At(prop::sample::Index),
    /// So many bytes after the data of an event.
    After(prop::sample::Index, usize),
}

fn cut() -> impl Strategy<Value = Cut> {
    let at = any::<prop::sample::Index>;
    prop_oneof![Just(Cut::Nowhere), at().prop_map(Cut::At), (at(), 0..4usize).prop_map(|(at, by)| Cut::After(at, by))]
}

impl Cut {
    /// The bytes that are left of a stream whose events end at these places.
    fn of(self, length: usize, mut ends: impl ExactSizeIterator<Item = usize>) -> usize {
        match self {
            Self::At(at) => at.index(length + 1),
            Self::After(at, by) if ends.len() > 0 => {
                ends.nth(at.index(ends.len())).map_or(length, |end| length.min(end + by))
            }
            Self::Nowhere | Self::After(..) => length,
        }
    }
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..6usize, 1..200usize], 1..12)
}

fn without_line_ends(outcome: Outcome) -> Outcome {
    // An event of two lines has a line end in the middle of its JSON.
    let plain = |data: Bytes| data.into_iter().filter(|byte| *byte != b'\n').collect();
    let events = outcome.events.into_iter().map(|(name, data)| (name, plain(data))).collect();
    Outcome { events, error: outcome.error.map(|_| String::new()), ..outcome }
}

/// Data of events of the Messages and of the Responses API, good and bad.
const OWN: [&str; 16] = [
    r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":2,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"日本 é😀"}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#,
    r#"{"type":"message_stop"}"#,
    r#"{"type":"response.created","response":{"id":"r","usage":null}}"#,
    r#"{"type":"response.output_text.delta","delta":"日本 é😀"}"#,
    r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":7}}}"#,
    r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}"#,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
    r#"{"type":"response.completed","response":7}"#,
    r#"{"type":"message_delta","delta":[]}"#,
    r#"{"type":"content_block_del"#,
    "[1]",
];

/// The name that an event of these data goes by.
fn name(data: &str) -> &str {
    data.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split('"').next()).unwrap_or("odd")
}

proptest! {
    #[test]
    fn any_chunking_of_a_stream_gives_the_same_events(
        parts in written(),
        noise in vec((any::<prop::sample::Index>(), select(b"\r\n\n:{}d\"\xff\0".to_vec())), 0..3),
        api in api(),
        choices in 1..4usize,
        lengths in lengths(),
        broken in any::<bool>(),
        limit in select(vec![60, 100, 200, 1 << 20]),
    ) {
        let mut stream = String::new();
        parts.iter().for_each(|part| { part.write(&mut stream, api); });
        let mut stream = stream.into_bytes();
        for (at, byte) in noise {
            stream.insert(at.index(stream.len() + 1), byte);
        }
        let asked = Asked { limit, ..asked(api, choices) };
        let whole = received(&answer(&stream, &[], broken), asked);
        let cut = received(&answer(&stream, &lengths, broken), asked);
        let too_long = |outcome: &Outcome| outcome.error.as_ref().is_some_and(|error| error.contains("longer than"));
        // The LF of a blank line may count to the next event, which then has one byte more.
        if !stream.windows(2).any(|bytes| bytes == b"\r\n") || !too_long(&whole) && !too_long(&cut) {
            prop_assert_eq!(cut, whole);
        }
    }

    #[test]
    fn a_stream_cut_anywhere_ends_with_exactly_one_terminal_event_or_one_error(
        parts in written(),
        api in api(),
        choices in 1..4usize,
        mark in prop::bool::weighted(0.1),
        cut in cut(),
        lengths in lengths(),
        broken in any::<bool>(),
    ) {
        let mut stream = if mark { "\u{feff}".to_owned() } else { String::new() };
        let parts: Vec<_> = parts.iter().map(|part| (part.part.clone(), part.write(&mut stream, api))).collect();
        let length = cut.of(stream.len(), parts.iter().map(|(_, whole)| *whole));
        let asked = asked(api, choices);
        let outcome = received(&answer(&stream.as_bytes()[..length], &lengths, broken), asked);
        prop_assert_eq!(without_line_ends(outcome), expected(&parts, length, asked));
    }
}

#[test]
fn a_content_type_is_repeated_only_if_it_is_one_plain_word() {
    for (kind, word) in [("text/html; charset=utf-8", "text/html"), ("text/\t\tlog line", "unknown"), ("", "unknown")] {
        let headers = [(header::CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
        let outcome = received(&Answer { headers, ..answer(b"", &[], false) }, asked(Api::Chat, 1));
        let expected = format!("broken stream: expected `text/event-stream`, the host sent `{word}`");
        assert!(outcome.error.unwrap().ends_with(&expected), "{kind:?}");
    }
}

/// What the stream of a prediction says.
#[derive(Clone, Debug)]
enum Said {
    Output(String),
    Done,
    Canceled,
    Failed,
    /// A `done` that does not tell how.
    DoneSomehow,
    /// A comment, a blank line, or a type that nobody has described.
    Nothing(&'static str),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        8 => "[a-z é日😀]{0,6}(\n[a-z]{0,3})?".prop_map(Said::Output),
        1 => Just(Said::Done),
        1 => Just(Said::Canceled),
        1 => Just(Said::Failed),
        1 => Just(Said::DoneSomehow),
        2 => select(vec![": ping", "", "event: logs\ndata: x", "id: 4", "data: [DONE]"]).prop_map(Said::Nothing),
    ]
}

/// The stream of a prediction, and for each event the length with which it has ended.
fn prediction(said: &[Said], line_end: &str, mark: bool) -> (String, Vec<usize>) {
    let mut stream = if mark { "\u{feff}".to_owned() } else { String::new() };
    let end = |said: &Said| {
        let event = match said {
            Said::Output(text) => format!("event: output\nid: 1\ndata: {}", text.replace('\n', "\ndata: ")),
            Said::Done => "event: done\ndata: {}".to_owned(),
            Said::Canceled => "event: done\ndata: {\"reason\":\"canceled\"}".to_owned(),
            Said::Failed => "event: error\ndata: {\"detail\":\"x\"}".to_owned(),
            Said::DoneSomehow => "event: done\ndata: {".to_owned(),
            Said::Nothing(event) => (*event).to_owned(),
        };
        stream += &format!("{event}\n\n").replace('\n', line_end);
        // With CR LF the CR of the blank line is enough.
        stream.len() - usize::from(line_end == "\r\n")
    };
    let ends = said.iter().map(end).collect();
    (stream, ends)
}

proptest! {
    #[test]
    fn any_chunking_of_a_predictions_stream_gives_the_same_events(
        said in vec(said(), 0..10),
        line_end in line_end(),
        lengths in lengths(),
        limit in select(vec![20, 40, 1 << 20]),
    ) {
        let (stream, _) = prediction(&said, line_end, false);
        let whole = predicted(&answer(stream.as_bytes(), &[], false), limit);
        let cut = predicted(&answer(stream.as_bytes(), &lengths, false), limit);
        let too_long = |outcome: &(String, Result<(), String>)| {
            outcome.1.as_ref().is_err_and(|error| error.contains("longer than"))
        };
        if line_end != "\r\n" || !too_long(&whole) && !too_long(&cut) {
            prop_assert_eq!(cut, whole);
        }
    }

    #[test]
    fn a_predictions_stream_cut_anywhere_ends_with_exactly_one_terminal_event_or_one_error(
        said in vec(said(), 0..10),
        line_end in line_end(),
        mark in prop::bool::weighted(0.2),
        cut in cut(),
        lengths in lengths(),
        broken in any::<bool>(),
    ) {
        let (stream, ends) = prediction(&said, line_end, mark);
        let length = cut.of(stream.len(), ends.iter().copied());
        let (text, end) = predicted(&answer(&stream.as_bytes()[..length], &lengths, broken), 1 << 20);
        let mut expected = (String::new(), false);
        for (said, _) in said.iter().zip(ends).take_while(|(_, end)| *end <= length) {
            match said {
                Said::Output(text) => expected.0 += text,
                Said::Nothing(_) => {}
                // Where the stream does not tell the end, the host is asked, which here cannot be reached.
                Said::Done | Said::Canceled | Said::Failed | Said::DoneSomehow => {
                    expected.1 = matches!(said, Said::Done);
                    break;
                }
            }
        }
        prop_assert_eq!((text, end.is_ok()), expected);
    }

    #[test]
    fn a_stream_in_an_api_of_the_callers_own_ends_once_too_however_it_is_chunked_and_cut(
        said in vec(select(OWN.to_vec()), 0..14),
        api in select(vec![Api::Messages, Api::Responses]),
        lengths in lengths(),
        cut in any::<prop::sample::Index>(),
        broken in any::<bool>(),
    ) {
        let events: Vec<String> =
            said.iter().map(|data| format!("event: {}\ndata: {data}\n\n", name(data))).collect();
        let stream = events.concat().into_bytes();
        let asked = asked(api, 1);
        let at_once = received(&answer(&stream, &[], false), asked);
        prop_assert_eq!(&received(&answer(&stream, &lengths, false), asked), &at_once);
        // A message ends with its last event, a response with the one that says why.
        let last = if api == Api::Messages { "message_stop" } else { "response.completed" };
        let ended = said.iter().position(|data| name(data) == last);
        prop_assert!(!at_once.done || ended.is_some());
        received(&answer(&stream[..cut.index(stream.len() + 1)], &lengths, broken), asked);
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(
        body in vec(any::<u8>(), 0..400),
        lengths in lengths(),
        stream in any::<bool>(),
        host in any::<usize>(),
        api in select(vec![Api::Chat, Api::Completions, Api::Messages, Api::Responses]),
    ) {
        let asked = Asked { host, stream, ..asked(api, 1) };
        let kind = if stream { "text/event-stream" } else { "application/json" };
        let headers = [(header::CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
        received(&Answer { headers, ..answer(&body, &lengths, false) }, asked);
        let _ = predicted(&answer(&body, &lengths, false), 1 << 20);
    }

    #[test]
    fn headers_that_are_set_are_refused_or_sent_and_no_others_are(
        headers in vec(("(x-[a-z]{1,3}|Host|te|upgrade|content-type|user-agent|[a-zA-Z :-]{1,9})", "[ -~é\r\n]{0,4}"), 0..4),
        key in prop::option::of(("(api-key|Connection|content-length|[a-zA-Z :-]{1,9})", "[ -~\n]{1,4}")),
    ) {
        let key = key.as_ref().map(|(name, key)| (name.as_str(), key.as_str()));
        if let Some(sent) = sent(&headers, key) {
            prop_assert!(headers.iter().all(|(name, _)| sent.contains_key(name)), "{sent:?}");
        }
    }
}
