//! What is decoded, and what is refused.

use image::{ExtendedColorType, ImageEncoder, codecs};

use super::*;
use crate::testing::{self, crc32};

#[test]
fn files_of_pictures_are_decoded_within_bounds_and_the_right_way_up() {
    let expected = pixels(&testing::picture(40, 30, 1)).unwrap();
    let png = testing::picture(40, 30, 1);
    let mut gif = Vec::new();
    codecs::gif::GifEncoder::new(&mut gif).encode(expected.as_raw(), 40, 30, ExtendedColorType::Rgb8).unwrap();
    let mut webp = Vec::new();
    let encoder = codecs::webp::WebPEncoder::new_lossless(&mut webp);
    encoder.write_image(expected.as_raw(), 40, 30, ExtendedColorType::Rgb8).unwrap();
    assert_eq!((pixels(&gif).unwrap().dimensions(), pixels(&webp)), ((40, 30), Ok(expected.clone())));
    let mut jpeg = Vec::new();
    let encoder = codecs::jpeg::JpegEncoder::new(&mut jpeg);
    encoder.write_image(expected.as_raw(), 40, 30, ExtendedColorType::Rgb8).unwrap();
    assert_eq!(pixels(&jpeg).unwrap().dimensions(), (40, 30));
    // A camera that was held upright: its file says so behind the mark that begins it.
    let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let upright = [&jpeg[..2], exif, &jpeg[2..]].concat();
    assert_eq!(pixels(&upright).unwrap().dimensions(), (30, 40));

    assert_eq!(pixels(&jpeg[..100]).map(drop), Err("is a damaged JPG file".to_owned()));
    assert_eq!(pixels(&png[..60]).map(drop), Err("is a damaged PNG file".to_owned()));
    let none = "is no picture that is read here; expected PNG, JPEG, WebP or GIF";
    for other in [&b""[..], b"hello", b"<svg/>", b"BM\x1a\0\0\0\0\0\0\0\x1a\0\0\0", b"RIFF\0\0\0\0WAVE"] {
        assert_eq!(pixels(other).map(drop), Err(none.to_owned()));
    }
    // A few bytes that promise any number of pixels.
    let says = |width: u32, height: u32| {
        let mut file = png.clone();
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&sum.to_be_bytes());
        pixels(&file).map(drop).unwrap_err()
    };
    assert_eq!(says(60_000, 60_000), "has 60000 by 60000 pixels, expected at most 64 million in all");
    assert_eq!(says(10_000, 10), "has 10000 by 10 pixels; expected one side to be at most 200 times the other");
}
