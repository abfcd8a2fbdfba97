//! The means by which a chip's arrays are read: converters, their errors and the draws of its reads.

use super::adc::Converter;
use crate::device::Draw;

/// How a chip reads its arrays.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// A layer's calibrated converters, one a slice; none where their range is the full one.
    pub converters: &'a [Converter],
    /// Whose converters' errors and reads they are; none have none.
    pub draw: Option<Draw>,
    /// Time steps.
    pub steps: usize,
}
