//! The embedded data set: optical recognition of handwritten digits (UCI, Alpaydin & Kaynak 1998, CC BY 4.0), 1,797
//! images of 8 x 8 pixels from 0 to 16. Rows 0–1436 train, the rest test.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::Split;
use super::source::{Body, Contents, FileRecords, ImageValues, Normalisation, Records, check_labels};
use crate::error::{Error, Result};
use crate::numeric::Shape;

static TABLE: &[u8] = include_bytes!("../../assets/digits.csv.gz");
const TRAINING_ROWS: usize = 1437;
const SHAPE: Shape = Shape { channels: 1, height: 8, width: 8 };
const PIXELS: usize = 64;

/// Unpacks one half of the embedded table: rows of 64 pixels and the label.
pub(super) fn open(split: Split) -> Result<Contents> {
    let path = Path::new("digits.csv.gz (embedded)");
    let mut text = String::new();
    GzDecoder::new(TABLE).read_to_string(&mut text).map_err(Error::io(path))?;
    let (first, count) = match split {
        Split::Train => (0, TRAINING_ROWS),
        Split::Test => (TRAINING_ROWS, usize::MAX),
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (row, line) in text.lines().enumerate().skip(first).take(count) {
        let numbers: Option<Vec<u8>> = line.split(',').map(|number| number.parse().ok()).collect();
        match numbers.as_deref().and_then(|numbers| numbers.split_last()) {
            Some((&label, image)) if image.len() == PIXELS => {
                pixels.extend_from_slice(image);
                labels.push(u32::from(label));
            }
            _ => return Err(Error::file(path, format!("row {row} is not 64 pixels and a label"))),
        }
    }
    check_labels(path, &labels, 10)?;
    let part = FileRecords {
        body: Body::from_memory(path, pixels),
        start: 0,
        stride: PIXELS as u64,
        pixels: PIXELS,
        count: labels.len(),
    };
    let normalisation = Normalisation::new(16, &[0.3053], &[0.3760]);
    let values = ImageValues::Bytes(Records(vec![part]), normalisation);
    Ok(Contents {
        shape: SHAPE,
        frame_steps: None,
        classes: 10,
        class_names: None,
        labels,
        range: values.range(),
        values: values.into(),
        notices: vec![],
    })
}
