//! The arithmetic that takes the time, once for every instruction set.
//!
//! # Theory
//!
//! Programming puts a layer's weights on a grid on which every sum is exact ([`crate::numeric::grid`]), so a column sum
//! is a sum of integers, and any exact way of adding gives the same bits. Weights are split into signed digits of eight
//! bits ([`digits`]), as a crossbar slices them over cells; pulses are bytes. Then one instruction multiplies sixteen
//! thousand pairs (AMX), or 64 (VNNI), and shift-and-add joins the digits. Where there is no such unit, the sums of
//! spikes are looked up whole ([`lookup`]), and gradients meet weights in words of 16 bits ([`words`]). Numbers that
//! differ from column to column are read from a [`table`] sixteen at a time. Training rounds gradients to integers and
//! takes the same road ([`crate::train::gradient`]).
//!
//! # Practice
//!
//! Every product here is *strided*: row `r` of the left operand is read at `r·stride` from each of a few *runs*. A
//! convolution's patches overlap in a padded map, and a run is one kernel row of it, so nothing is ever unrolled.
//! [`Instructions::best`] names the widest set the processor has; each has a file, and `portable` is the readable
//! reference that the others are held to.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod buffer;
pub mod digits;
pub mod gather;
mod instructions;
pub mod lookup;
pub mod nearest;
mod operand;
mod portable;
mod prefetch;
pub mod table;
pub mod transpose;
mod vectors;
#[cfg(target_arch = "x86_64")]
mod vnni;
pub mod words;

/// A number for tests, the same for a place every time, that looks random.
#[cfg(test)]
fn number(place: usize) -> u64 {
    (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}

pub use buffer::Buffer;
pub use instructions::{Instructions, VARIABLE};
pub use prefetch::prefetch;
#[cfg(feature = "internals")]
pub use vectors::vectorised;
#[cfg(not(feature = "internals"))]
pub(crate) use vectors::vectorised;
pub use vectors::{Vectors, one_by_one};
