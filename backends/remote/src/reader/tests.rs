use super::*;

const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"日本 😀"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn stream(data: &[&str]) -> String {
    data.iter().map(|data| event(data)).collect()
}

/// All that a reader gives for a stream that arrives in pieces of the given lengths.
fn read(stream: &[u8], pieces: &[usize], choices: usize) -> Vec<Result<Frame, BackendError>> {
    read_with(&mut Reader::new(Api::Chat, choices, 1 << 20, Convention::openai()), stream, pieces)
}

fn read_with(reader: &mut Reader, stream: &[u8], pieces: &[usize]) -> Vec<Result<Frame, BackendError>> {
    let mut items = Vec::new();
    let mut rest = Bytes::copy_from_slice(stream);
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        reader.push(rest.split_to(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len())));
        items.extend(std::iter::from_fn(|| reader.next_frame()));
    }
    reader.close(None);
    items.extend(std::iter::from_fn(|| reader.next_frame()));
    items
}

fn one_piece(stream: &str, choices: usize) -> Vec<Result<Frame, BackendError>> {
    read(stream.as_bytes(), &[stream.len().max(1)], choices)
}

fn text(items: &[Result<Frame, BackendError>]) -> String {
    let bytes: Vec<u8> = items.iter().flatten().flat_map(|frame| frame.bytes.to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

fn reason(items: &[Result<Frame, BackendError>]) -> String {
    items.last().unwrap().as_ref().unwrap_err().to_string()
}

#[test]
fn neighbours_share_a_frame_and_usage_and_done_stand_alone() {
    let sent = stream(&[ROLE, TEXT, STOP, USAGE, "[DONE]"]);
    let items = one_piece(&sent, 1);
    let frames: Vec<&Frame> = items.iter().map(|item| item.as_ref().unwrap()).collect();
    assert_eq!(frames.len(), 3);
    assert_eq!((frames[0].content, frames[0].finished, frames[0].done), (true, true, false));
    assert!(frames[1].usage_only && frames[1].usage.unwrap().completion_tokens == 2);
    assert!(frames[2].done);
    assert_eq!(text(&items), sent);
}

#[test]
fn a_frame_is_a_slice_of_the_buffer_it_came_in() {
    let sent = Bytes::from(stream(&[TEXT, TEXT]));
    let mut reader = Reader::new(Api::Chat, 1, 1 << 20, Convention::openai());
    reader.push(sent.clone());
    assert_eq!(reader.next_frame().unwrap().unwrap().bytes.as_ptr(), sent.as_ptr());
}

#[test]
fn a_first_event_with_a_role_alone_is_no_content() {
    let items = one_piece(&event(ROLE), 1);
    assert!(!items[0].as_ref().unwrap().content);
}

#[test]
fn comments_blank_events_and_the_byte_order_mark_are_left_out() {
    let sent = format!("\u{feff}: hello\n\n\n\n{}: ping\n\n{}\n{}", event(TEXT), event(STOP), event("[DONE]"));
    for pieces in [vec![sent.len()], vec![1], vec![2, 3]] {
        assert_eq!(text(&read(sent.as_bytes(), &pieces, 1)), stream(&[TEXT, STOP, "[DONE]"]), "{pieces:?}");
    }
    let sent = format!("\u{feff}{}", stream(&[TEXT, STOP, "[DONE]"]));
    assert_eq!(text(&one_piece(&sent, 1)), stream(&[TEXT, STOP, "[DONE]"]));
}

#[test]
fn an_event_that_is_no_json_is_left_out_and_the_stream_goes_on() {
    let items = one_piece(&stream(&[TEXT, r#"{"choices":[{"#, TEXT, STOP, "[DONE]"]), 1);
    assert_eq!(text(&items), stream(&[TEXT, TEXT, STOP, "[DONE]"]));
    assert!(items.iter().all(Result::is_ok));
}

#[test]
fn json_of_an_unknown_shape_is_passed_on() {
    let odd = r#"{"choices":"later"}"#;
    assert_eq!(text(&one_piece(&stream(&[odd, STOP, "[DONE]"]), 1)), stream(&[odd, STOP, "[DONE]"]));
}

#[test]
fn an_error_event_ends_the_stream_after_the_text_before_it() {
    for error in [r#"{"error":{"message":"x","code":502}}"#.to_owned(), STOP.replace("stop", "error")] {
        let items = one_piece(&stream(&[TEXT, &error, "[DONE]"]), 1);
        assert_eq!(text(&items), event(TEXT));
        assert!(items.last().unwrap().is_err(), "{error}");
    }
    let items = one_piece("event: error\ndata: {\"detail\":\"x\"}\n\n", 1);
    assert_eq!(reason(&items), "broken stream: the host reports an error of type `unknown`");
}

#[test]
fn a_stream_without_done_is_whole_once_every_choice_has_ended() {
    let second = STOP.replace("\"index\":0", "\"index\":1");
    assert!(one_piece(&stream(&[TEXT, STOP]), 1).iter().all(Result::is_ok));
    assert!(one_piece(&stream(&[TEXT, &second, STOP]), 2).iter().all(Result::is_ok));
    assert_eq!(
        reason(&one_piece(&stream(&[TEXT, STOP]), 2)),
        "broken stream: it ended before every choice had a `finish_reason`"
    );
    // The same choice twice is not two choices.
    assert!(one_piece(&stream(&[STOP, STOP]), 2).last().unwrap().is_err());
}

#[test]
fn no_finish_reason_is_made_up() {
    for (sent, expected) in [
        (stream(&[TEXT]), "broken stream: it ended without a `finish_reason`"),
        (String::new(), "broken stream: it ended without a `finish_reason`"),
        (stream(&[TEXT, "[DONE]"]), "broken stream: `[DONE]` came without a `finish_reason`"),
        (stream(&["[DONE]"]), "broken stream: `[DONE]` came without a `finish_reason`"),
    ] {
        assert_eq!(reason(&one_piece(&sent, 1)), expected);
    }
}

#[test]
fn what_breaks_after_the_last_finish_reason_took_nothing_away() {
    let mut reader = Reader::new(Api::Chat, 1, 1 << 20, Convention::openai());
    reader.push(stream(&[TEXT, STOP]).into());
    assert!(reader.next_frame().unwrap().is_ok());
    reader.close(Some("reset"));
    assert!(reader.next_frame().is_none());
}

#[test]
fn a_last_event_without_its_blank_line_counts_and_gets_one() {
    for missing in ["\n", "\n\n"] {
        let sent = stream(&[TEXT, STOP, "[DONE]"]);
        let items = one_piece(sent.strip_suffix(missing).unwrap(), 1);
        assert_eq!(text(&items), sent, "{missing:?}");
        assert!(items.last().unwrap().as_ref().unwrap().done);
    }
}

#[test]
fn a_last_event_that_ends_in_a_cr_gets_its_blank_line_too() {
    // An LF behind the CR belongs to it: the caller would have waited for the end of `[DONE]`.
    for end in ["\r", "\r\n"] {
        let sent = stream(&[TEXT, STOP, "[DONE]"]).replace('\n', end);
        let items = one_piece(&sent[..sent.rfind("[DONE]").unwrap() + "[DONE]\r".len()], 1);
        assert!(text(&items).ends_with("[DONE]\r\r"), "{end:?}");
    }
}

#[test]
fn a_byte_order_mark_before_a_last_event_without_its_blank_line_is_left_out() {
    let sent = event(STOP);
    let items = one_piece(&format!("\u{feff}{}", sent.trim_end()), 1);
    assert_eq!(text(&items), sent);
    assert!(items.iter().all(Result::is_ok));
}

#[test]
fn a_last_event_that_is_cut_short_is_not_passed_on() {
    let items = one_piece(&(stream(&[TEXT]) + "data: {\"choices\":[{\"ind"), 1);
    assert_eq!(text(&items), event(TEXT));
    assert!(items.last().unwrap().is_err());
}

#[test]
fn nothing_is_read_after_done() {
    let sent = stream(&[STOP, "[DONE]", TEXT]);
    assert_eq!(text(&one_piece(&sent, 1)), stream(&[STOP, "[DONE]"]));
    assert_eq!(text(&read(sent.as_bytes(), &[1], 1)), stream(&[STOP, "[DONE]"]));
}

#[test]
fn an_event_longer_than_the_limit_ends_the_stream_and_is_not_held() {
    let mut reader = Reader::new(Api::Chat, 1, 1000, Convention::openai());
    let mut failed = None;
    for _ in 0..30 {
        reader.push(Bytes::from_static(&[b'x'; 100]));
        failed = failed.or(reader.next_frame());
        assert!(reader.head.len() <= 1000);
    }
    assert_eq!(reason(&[failed.unwrap()]), "broken stream: an event is longer than 1000 bytes");
}

#[test]
fn an_event_longer_than_the_limit_is_refused_however_it_arrives() {
    let sent = stream(&[TEXT, STOP, "[DONE]"]);
    let longest = event(TEXT).len();
    for pieces in [vec![sent.len()], vec![longest], vec![1], vec![longest - 1, 30]] {
        let read = |limit| {
            let mut reader = Reader::new(Api::Chat, 1, limit, Convention::openai());
            read_with(&mut reader, sent.as_bytes(), &pieces)
        };
        assert_eq!(text(&read(longest)), sent, "{pieces:?}");
        assert_eq!(reason(&read(longest - 1)), format!("broken stream: an event is longer than {} bytes", longest - 1));
    }
    // A head alone, with more of it than may be held.
    let mut reader = Reader::new(Api::Chat, 1, 1000, Convention::openai());
    reader.push((event(TEXT) + &"x".repeat(1001)).into());
    assert!(reader.next_frame().unwrap().is_ok() && reader.next_frame().unwrap().is_err());
    assert!(reader.head.is_empty() && reader.next_frame().is_none());
}
