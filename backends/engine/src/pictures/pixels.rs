//! The pixels of a picture's file.
//!
//! Decoded in Rust and within bounds, as the bytes are a stranger's: what computes a picture gets pixels, and no file.

#[cfg(test)]
mod tests;

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, metadata::Orientation,
};

/// What is read: what callers of the chat API may send by its documentation.
const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif];
/// Of a picture before it is cut: a small file may say that it has any number.
const MOST_PIXELS: u64 = 64_000_000;
/// How many times longer one side may be than the other: engines make nothing of the shorter one otherwise.
const MOST_LONGER: u32 = 200;
/// Bytes that a decoder may take.
const MOST_BYTES: u64 = 512 << 20;

/// The pixels of a picture's file, the way up that the camera says. Of a picture that moves the first.
///
/// # Errors
/// Why there are none, for the caller to read.
pub fn pixels(file: &[u8]) -> Result<RgbImage, String> {
    let format = image::guess_format(file).ok().filter(|format| FORMATS.contains(format));
    let format = format.ok_or("is no picture that is read here; expected PNG, JPEG, WebP or GIF")?;
    let name = format.extensions_str().first().map_or_else(String::new, |name| name.to_uppercase());
    let damaged = |error: ImageError| match error {
        ImageError::Limits(_) => "takes more memory to read than a picture may".to_owned(),
        _ => format!("is a damaged {name} file"),
    };
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!(
            "has {width} by {height} pixels, expected at most {} million in all",
            MOST_PIXELS / 1_000_000
        ));
    }
    let (shorter, longer) = (width.min(height), width.max(height));
    if shorter == 0 || longer / shorter > MOST_LONGER {
        return Err(format!(
            "has {width} by {height} pixels; expected one side to be at most {MOST_LONGER} times the other"
        ));
    }
    let way_up = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(way_up);
    Ok(picture.into_rgb8())
}
