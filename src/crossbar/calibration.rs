//! The profile of a network on the nominal chip, taken on training images, as an input of its chips: the ranges that
//! converters need, and the reads of word lines; never of test images ([`crate::engine::calibrate`]).

use serde::{Deserialize, Serialize};

use super::adc::Converter;

/// The ranges of converters and the reads of rows, in the order of the layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// One converter a layer and slice, the same for all tiles and all chips; none for digital layers, and where ranges
    /// are the full ones.
    pub layers: Vec<Vec<Converter>>,
    /// Reads of each row in an image, on average; none where nothing depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Vec<f64>>,
    /// The inputs of each row; none where nothing depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Vec<RowInput>>,
}

/// The inputs of a row in a step, as whole numbers of the layer's input unit, over training images and pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowInput {
    /// Its mean.
    pub mean: f64,
    /// The mean of its square.
    pub square: f64,
}

impl RowInput {
    /// Its variance.
    pub fn variance(&self) -> f64 {
        (self.square - self.mean * self.mean).max(0.0)
    }
}
