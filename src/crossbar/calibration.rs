//! The converters' ranges as an input of a chip: profiled once on the nominal chip and training images, never on the images
//! that are judged ([`crate::engine::calibrate`]).

use serde::{Deserialize, Serialize};

use super::adc::Converter;

/// One converter a layer and slice, the same for all tiles and all chips; none for digital layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// In the order of the layers.
    pub layers: Vec<Vec<Converter>>,
}
