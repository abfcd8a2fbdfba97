//! The limits that a device sets, and the work that keeps it busy.

use crate::error::{Error, Result};

/// Workgroups that a large card runs at a time: with fewer, smaller ones keep more of it busy.
pub const FULL_CARD: usize = 256;

/// The limits that a device sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one buffer.
    pub buffer_bytes: u64,
    /// Workgroups in one dimension of a dispatch.
    pub workgroups: u32,
    /// Multiplications of what the device is given at a time, above one layer of one image: drivers give up on a device
    /// that is busy for seconds.
    pub multiplications: u64,
    /// Whether column sums are those of a graphics card: of all rows, in tiles.
    pub is_card: bool,
    /// Workgroups that keep it busy.
    pub full: usize,
}

impl Limits {
    /// An error if `what` of layer `name` does not fit into one buffer.
    pub fn check(&self, name: &str, what: &str, bytes: u64) -> Result<()> {
        if bytes <= self.buffer_bytes {
            return Ok(());
        }
        Err(Error::Gpu(format!(
            "`{name}`: {what} take {bytes} bytes, the adapter's limit is {} bytes a buffer; use `--backend cpu`",
            self.buffer_bytes
        )))
    }
}
