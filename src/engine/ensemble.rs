//! Chips that answer together: the largest of their summed logits is the answer of all.
//!
//! Chips of a seed differ by what varies, and so do their errors: the mean of K chips' logits has a Kth of the variance
//! that one chip's have. An ensemble costs K chips of energy and area, and no time.

use super::chip_result::{ChipResult, correct};
use crate::error::Result;

/// The others of an ensemble stand beside its first chip i: they have the numbers i + d·2^32, d from 1 on.
pub const BESIDE: u64 = 1 << 32;

/// The chips of ensemble `index`, of so many members: chip `index` of the seed, and others that no ensemble of a lower
/// number has.
pub fn members(index: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |member| index + member * BESIDE)
}

/// What chips did together on the same images, of these labels: logits, events, bytes and pulses are added up, and the
/// elements of companion arrays are those of a chip on average.
///
/// # Errors
/// Where a sum of logits is no number.
pub fn together(members: &[ChipResult], labels: &[u32]) -> Result<Option<ChipResult>> {
    let Some((first, others)) = members.split_first() else { return Ok(None) };
    let mut all = ChipResult { exit: None, ..first.clone() };
    for other in others {
        all.logits += &other.logits;
        all.counts.add(&other.counts);
        all.sram_bytes += other.sram_bytes;
        all.write_pulses += other.write_pulses;
        all.sram_elements.iter_mut().zip(&other.sram_elements).for_each(|(sum, more)| *sum += more);
    }
    let count = members.len();
    all.sram_elements.iter_mut().for_each(|sum| *sum = (*sum + count / 2) / count);
    all.correct = correct(&all.logits, labels)?;
    all.accuracy = 100.0 * all.correct as f64 / all.logits.nrows() as f64;
    Ok(Some(all))
}
