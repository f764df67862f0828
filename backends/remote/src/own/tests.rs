use super::*;

fn part(said: Said<'_>) -> Frame {
    match said {
        Said::Part(frame) => frame,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_of_messages_tells_its_content_its_end_and_the_tokens_of_both_ends() {
    let mut own = Own::new(Api::Messages).unwrap();
    let start = br#"{"type":"message_start","message":{"usage":{"input_tokens":7,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,"output_tokens":1}}}"#;
    let frame = part(own.event(start));
    assert!(!frame.content && !frame.finished && frame.own && frame.usage.is_none());
    assert!(!part(own.event(br#"{"type":"ping"}"#)).content);
    let text = br#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    assert!(!part(own.event(text)).content, "a block that is still empty may yet fail");
    let tool = br#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"b","input":{}}}"#;
    assert!(part(own.event(tool)).content);
    let delta = br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" the answer"}}"#;
    let frame = part(own.event(delta));
    assert_eq!((frame.content, frame.text_tokens), (true, text_tokens(" the answer")));
    let end = br#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":12}}"#;
    let frame = part(own.event(end));
    let usage = frame.usage.unwrap();
    assert_eq!((frame.finished, usage.prompt_tokens, usage.completion_tokens), (true, 127, 12));
    assert_eq!((usage.cached_tokens, usage.cache_write_tokens), (100, 20));
    assert!(part(own.event(br#"{"type":"message_stop"}"#)).done);
    assert!(matches!(own.event(br#"{"type":"error","error":{"type":"overloaded_error"}}"#), Said::Error(_)));
}

#[test]
fn a_stream_of_responses_ends_with_the_event_that_has_its_tokens() {
    let mut own = Own::new(Api::Responses).unwrap();
    assert!(
        !part(own.event(br#"{"type":"response.created","response":{"status":"in_progress","usage":null}}"#)).content
    );
    for (kind, text) in [("output_text", "hello"), ("function_call_arguments", "{\\\"a\\\""), ("reasoning_text", "hm")]
    {
        let event = format!(r#"{{"type":"response.{kind}.delta","delta":"{text}"}}"#);
        assert!(part(own.event(event.as_bytes())).content, "{event}");
    }
    for kind in ["completed", "incomplete"] {
        let event = format!(
            r#"{{"type":"response.{kind}","response":{{"usage":{{"input_tokens":9,"input_tokens_details":{{"cached_tokens":4}},"output_tokens":3}}}}}}"#
        );
        let frame = part(own.event(event.as_bytes()));
        let usage = frame.usage.unwrap();
        assert!(frame.finished && frame.done);
        assert_eq!((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens), (9, 4, 3));
    }
    let failed = br#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}"#;
    assert!(matches!(own.event(failed), Said::Error(r#"{"error":{"code":"server_error","message":"x"}}"#)));
}

#[test]
fn a_whole_answer_tells_the_same_and_an_error_is_none() {
    let message = br#"{"type":"message","content":[{"type":"text","text":"12345678"},{"type":"tool_use","input":{"a":1}}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":2}}"#;
    let frame = part(Own::new(Api::Messages).unwrap().body(message));
    assert!(frame.finished && frame.own && frame.text_tokens >= 3);
    assert_eq!(frame.usage.unwrap().prompt_tokens, 5);
    let response = br#"{"object":"response","status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"12345678"}]}],"usage":{"input_tokens":5,"output_tokens":2}}"#;
    let frame = part(Own::new(Api::Responses).unwrap().body(response));
    assert_eq!((frame.finished, frame.text_tokens), (true, 2));
    for (api, error) in [
        (Api::Messages, r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#),
        (Api::Responses, r#"{"object":"response","status":"failed","error":{"code":"x"},"output":[]}"#),
        (Api::Responses, r#"{"error":{"message":"x"}}"#),
    ] {
        assert!(matches!(Own::new(api).unwrap().body(error.as_bytes()), Said::Error(_)), "{error}");
    }
    let fields = r#"["message",null,null,null,null,null,null,null,"end_turn",[],null]"#;
    for (api, other) in [
        (Api::Messages, fields),
        (Api::Messages, r#"{"choices":[]}"#),
        (Api::Responses, "[1]"),
        (Api::Messages, r#""x""#),
    ] {
        assert!(matches!(Own::new(api).unwrap().body(other.as_bytes()), Said::Other), "{other}");
    }
    assert!(matches!(Own::new(Api::Messages).unwrap().body(b"<html>"), Said::Bad));
}

#[test]
fn the_apis_that_are_read_as_chunks_are_not_read_here() {
    assert!(Own::new(Api::Chat).is_none() && Own::new(Api::Completions).is_none());
}
