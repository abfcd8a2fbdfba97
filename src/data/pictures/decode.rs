//! JPEG and PNG files as pixels.
//!
//! Every processor decodes a file into the same bytes: the JPEG decoder runs its plain loops, in whole numbers.

use std::io::Cursor;

use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The longest side of a picture, in pixels.
const LONGEST: usize = 1 << 14;
/// The most pixels that a byte of a JPEG stands for: a block of 64 takes a quarter of a byte, where it is as the one
/// before.
const OF_JPEG: usize = 1100;
/// The most pixels that a byte of a PNG stands for: deflate packs 1,032 bytes into one, of eight pixels each.
const OF_PNG: usize = 8300;

/// A picture: rows of pixels, each of one grey value, or of red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// 1 or 3.
    pub channels: usize,
    /// The height in pixels.
    pub height: usize,
    /// The width in pixels.
    pub width: usize,
    /// `[height, width, channels]`.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Decodes a file, whose first bytes say what it is.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [0xff, 0xd8, ..] => jpeg(bytes),
            [0x89, b'P', b'N', b'G', ..] => png(bytes),
            _ => Err("neither JPEG nor PNG by its first bytes".into()),
        }
    }

    /// Grey as colour, or colour as grey: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
    pub fn in_channels(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(grey).collect(),
            _ => return self,
        };
        Picture { channels, pixels, ..self }
    }

    /// The pixels channel by channel, `[channels, height, width]`.
    pub fn planes(&self) -> Vec<u8> {
        let plane = |channel| self.pixels.iter().skip(channel).step_by(self.channels).copied();
        (0..self.channels).flat_map(plane).collect()
    }
}

/// The grey of a pixel, from shares in parts of 2^16, rounded.
fn grey(rgb: &[u8]) -> u8 {
    let weighted = [19_595, 38_470, 7_471].iter().zip(rgb).map(|(weight, &value)| weight * u32::from(value));
    ((weighted.sum::<u32>() + (1 << 15)) >> 16) as u8
}

/// An error where a picture's sides, or its pixels beside the file's length, are beyond what there can be.
fn check_size([width, height]: [usize; 2], bytes: usize, a_byte: usize) -> Result<(), String> {
    let most = bytes.saturating_mul(a_byte);
    if !(1..=LONGEST).contains(&width) || !(1..=LONGEST).contains(&height) || width * height > most {
        return Err(format!(
            "says that it is {width} x {height} pixels large, in {bytes} bytes; expected sides of 1 to {LONGEST}, and \
             a file as large"
        ));
    }
    Ok(())
}

/// An error of the JPEG reader, whose text may end in empty lines.
fn damaged(error: impl std::fmt::Debug) -> String {
    format!("a damaged or incomplete JPEG: {}", format!("{error:?}").trim())
}

fn jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let options = DecoderOptions::default().set_max_width(LONGEST).set_max_height(LONGEST).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or("says no size")?;
    check_size([width, height], bytes.len(), OF_JPEG)?;
    let (colours, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (ColorSpace::RGB, 3),
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => {
            return Err("in the colours of print (CMYK); expected grey or RGB".into());
        }
        _ => return Err("in colours that are not read; expected grey or RGB".into()),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(damaged)?;
    whole(Picture { channels, height, width, pixels })
}

fn png(bytes: &[u8]) -> Result<Picture, String> {
    let limits = png::Limits { bytes: bytes.len().saturating_mul(4 * OF_PNG) };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes are looked up, fewer bits than 8 spread over 0 to 255, and of 16 bits the upper half is kept.
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size([width, height], bytes.len(), OF_PNG)?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("is too large")?];
    let frame = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
    reader.finish().map_err(|error| error.to_string())?;
    pixels.truncate(frame.buffer_size());
    let (there, channels) = match frame.color_type {
        ColorType::Grayscale => (1, 1),
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgb => (3, 3),
        ColorType::Rgba => (4, 3),
        ColorType::Indexed => return Err("a palette that was not looked up".into()),
    };
    if there != channels {
        pixels = pixels.chunks_exact(there).flat_map(|pixel| pixel[..channels].iter().copied()).collect();
    }
    whole(Picture { channels, height, width, pixels })
}

/// An error unless there are as many pixels as the sides say.
fn whole(picture: Picture) -> Result<Picture, String> {
    let expected = picture.channels * picture.height * picture.width;
    match picture.pixels.len() == expected {
        true => Ok(picture),
        false => Err(format!("{} values of pixels; expected {expected}", picture.pixels.len())),
    }
}
