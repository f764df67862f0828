//! What is taken for a picture, and where it comes to stand.

use super::*;

/// Sees a token for each byte of a file, of at most ten.
#[derive(Debug)]
struct Bytes;

impl Vision for Bytes {
    fn see(&self, file: &[u8]) -> Result<Seen, String> {
        match file.len() {
            1..=10 => Ok(Seen { tokens: file.len(), content: Arc::new(()) }),
            other => Err(format!("has {other} bytes, expected 1 to 10")),
        }
    }
}

fn shown(held: &str) -> Message {
    let picture = Part::Other { kind: KIND.to_owned(), digest: 0, held: Some(held.into()) };
    let content = vec![Part::Text("Look:".to_owned()), picture];
    Message { role: "user".to_owned(), content, ..Message::default() }
}

fn refused(held: &str) -> String {
    let pictures = Pictures::new(Arc::new(Bytes));
    pictures.read(&[shown(r#""data:image/png;base64,AAAA""#), shown(held)], 100).err().expect("no picture").to_string()
}

#[test]
fn a_data_url_is_read_as_clients_write_it() {
    for held in [
        r#"{"url":"data:image/png;base64,aGVsbG8="}"#,
        r#"{"detail":"low","url":"data:image\/png;base64,aGVsbG8"}"#,
        r#""DATA:;Base64,aGVsbG8=""#,
        r#" {"url":"data:image/png;name=a.png;base64,aGVsbG8="} "#,
    ] {
        assert_eq!(file(held), Ok(b"hello".to_vec()), "{held}");
    }
}

#[test]
fn what_is_no_picture_is_refused_with_its_place_and_why() {
    let place = "`messages`: the picture at messages[1].content[1] ";
    for (held, why) in [
        ("", "is no data URL; expected"),
        ("{}", "is no data URL; expected"),
        (r#"{"url":7}"#, "is no data URL; expected"),
        (r#"{"url":"file:///etc/passwd"}"#, "is no data URL; expected"),
        (r#"{"url":"data:image/png;base64"}"#, "is no data URL; expected"),
        (r#"{"url":"https://example.com/a.png"}"#, "is an address, and a model in this process fetches nothing"),
        (r#"{"url":"data:image/png,aGVsbG8="}"#, "is a data URL that is not in base64"),
        (r#"{"url":"data:image/png;base64,aGV sbG8="}"#, "is a data URL whose base64 is damaged"),
        (r#"{"url":"data:image/png;base64,"}"#, "has 0 bytes, expected 1 to 10"),
    ] {
        let message = refused(held);
        assert!(message.starts_with(&format!("{place}{why}")), "{held}: {message}");
    }
}

#[test]
fn pictures_stand_in_a_prompt_as_runs_of_a_number_of_their_own() {
    let pictures = Pictures::new(Arc::new(Bytes));
    let [one, other] = [r#""data:;base64,AAAA""#, r#""data:;base64,AAAB""#].map(shown);
    let read = pictures.read(&[one.clone(), other, one.clone()], 100).unwrap();
    let (prompt, placed) = place(&[1, 2, 3], &[(1, 0), (1, 1), (2, 2)], &read).unwrap();
    let (a, b) = (PICTURE, PICTURE + 1);
    assert_eq!(prompt, [1, a, a, a, b, b, b, 2, a, a, a, 3]);
    assert_eq!(placed.iter().map(|picture| picture.at).collect::<Vec<_>>(), [1, 4, 8]);
    // An answer goes on from a token.
    assert!(place(&[1, 2], &[(2, 0)], &read).is_err());
    let full = pictures.read(&[one.clone(), one], 5).err().unwrap();
    assert!(matches!(full, BackendError::PromptTooLong { got: 6, limit: 5 }), "{full}");
}

#[test]
fn numbers_of_pictures_are_forgotten_in_their_order_and_never_given_twice() {
    let mut numbers = Numbers::default();
    let first = numbers.of(b"first");
    for other in 0..REMEMBERED as u32 {
        assert_eq!(numbers.of(&other.to_le_bytes()), first + 1 + other);
    }
    assert_eq!((numbers.known.len(), numbers.order.len()), (REMEMBERED, REMEMBERED));
    assert_eq!(numbers.of(b"first"), first + 1 + REMEMBERED as u32);
    assert_eq!(numbers.of(&9_u32.to_le_bytes()), first + 10);
}
