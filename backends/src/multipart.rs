//! A form with files (`multipart/form-data`), of which only the model's name is changed for a place.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The fields of a form, in their order.
#[derive(Clone, Debug, Default)]
pub struct MultipartForm {
    /// The fields.
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The name of the file that it is, if it is one.
    pub filename: Option<String>,
    /// Its content type, where it says one.
    pub content_type: Option<String>,
    /// What it holds.
    pub content: Bytes,
}

impl MultipartForm {
    /// The form with another name in its field `model`: the content type that goes with it, and the body.
    pub fn written(&self, model: &str) -> (String, Bytes) {
        let boundary = self.boundary(model);
        let size: usize = self.fields.iter().map(|field| field.content.len() + 256).sum();
        let mut body = BytesMut::with_capacity(size);
        for field in &self.fields {
            body.put_slice(
                format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"", quoted(&field.name)).as_bytes(),
            );
            if let Some(filename) = &field.filename {
                body.put_slice(format!("; filename=\"{}\"", quoted(filename)).as_bytes());
            }
            if let Some(content_type) = &field.content_type {
                body.put_slice(format!("\r\ncontent-type: {}", quoted(content_type)).as_bytes());
            }
            body.put_slice(b"\r\n\r\n");
            body.put_slice(if field.name == "model" { model.as_bytes() } else { &field.content });
            body.put_slice(b"\r\n");
        }
        body.put_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body.freeze())
    }

    /// A text that no field holds.
    fn boundary(&self, model: &str) -> String {
        let holds = |boundary: &str| {
            let inside = |content: &[u8]| content.windows(boundary.len()).any(|window| window == boundary.as_bytes());
            inside(model.as_bytes()) || self.fields.iter().any(|field| inside(&field.content))
        };
        let mut number = 0_u64;
        loop {
            let boundary = format!("pointsman-{number:016x}");
            if !holds(&boundary) {
                return boundary;
            }
            number += 1;
        }
    }
}

/// A name in quotes, as browsers write it: without what would end it.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, content: &'static [u8]) -> Field {
        Field { name: name.to_owned(), filename: None, content_type: None, content: Bytes::from_static(content) }
    }

    #[test]
    fn all_fields_keep_their_order_and_bytes_but_for_the_model() {
        let file = Field {
            filename: Some("a\"b\r\n.wav".to_owned()),
            content_type: Some("audio/wav".to_owned()),
            ..field("file", b"RIFF\r\n--pointsman-0000000000000000")
        };
        let form = MultipartForm { fields: vec![field("model", b"auto"), file, field("language", b"ko")] };
        let (content_type, body) = form.written("whisper");
        assert_eq!(content_type, "multipart/form-data; boundary=pointsman-0000000000000001", "one that nothing holds");
        let expected = "--pointsman-0000000000000001\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n\
            --pointsman-0000000000000001\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a%22b%0D%0A.wav\"\r\n\
            content-type: audio/wav\r\n\r\nRIFF\r\n--pointsman-0000000000000000\r\n\
            --pointsman-0000000000000001\r\ncontent-disposition: form-data; name=\"language\"\r\n\r\nko\r\n\
            --pointsman-0000000000000001--\r\n";
        assert_eq!(body, expected);
    }
}
