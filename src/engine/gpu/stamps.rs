//! When each kernel of a submission began and ended, by the adapter's own clock.

use std::time::Duration;

use wgpu::{
    Buffer, BufferUsages, CommandEncoder, ComputePass, ComputePassDescriptor, ComputePassTimestampWrites, QuerySet,
};

use super::context::Context;
use super::times::KernelTimes;
use crate::error::{Error, Result};

/// Time stamps that a set may hold.
const MOST_STAMPS: u32 = 4096;
/// Bytes of a time stamp.
const STAMP_BYTES: u64 = 8;

/// Bytes of the stamps of so many kernels.
pub fn stamp_bytes(kernels: usize) -> u64 {
    STAMP_BYTES * (2 * kernels as u64).min(u64::from(MOST_STAMPS))
}

/// The stamps of a submission, two a kernel.
pub struct Stamps {
    set: QuerySet,
    resolved: Buffer,
    names: Vec<String>,
    tick_ns: f64,
}

impl Stamps {
    /// Room for the stamps of so many kernels; an error where the adapter's clock cannot be read.
    pub fn new(context: &Context, kernels: usize) -> Result<Self> {
        let count = (2 * kernels as u32).min(MOST_STAMPS);
        let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
        let resolved = context.buffer("stamps", STAMP_BYTES * u64::from(count), usage);
        let (set, tick_ns) =
            context.stamps(count).ok_or_else(|| Error::Gpu("the adapter has no time stamps".into()))?;
        Ok(Stamps { set, resolved, names: vec![], tick_ns })
    }

    /// A pass for one kernel, or for those behind the last that there is room for.
    pub fn pass<'a>(&mut self, commands: &'a mut CommandEncoder, name: String) -> ComputePass<'a> {
        let first = 2 * self.names.len() as u32;
        let writes = ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        };
        let has_room = first + 1 < MOST_STAMPS;
        if has_room {
            self.names.push(name);
        }
        let timestamp_writes = has_room.then_some(writes);
        commands.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes })
    }

    /// Records that the stamps go to a buffer, which is returned with its bytes.
    pub fn resolve(&self, commands: &mut CommandEncoder) -> (&Buffer, u64) {
        let count = 2 * self.names.len() as u32;
        commands.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
        (&self.resolved, STAMP_BYTES * u64::from(count))
    }

    /// The times, from what the buffer had.
    pub fn add_to(self, times: &mut KernelTimes, words: &[u32]) {
        let stamps: Vec<u64> =
            words.as_chunks().0.iter().map(|[low, high]| u64::from(*high) << 32 | u64::from(*low)).collect();
        for (name, [began, ended]) in self.names.into_iter().zip(stamps.as_chunks().0) {
            let ticks = ended.saturating_sub(*began) as f64;
            times.add(name, Duration::from_nanos((ticks * self.tick_ns) as u64));
        }
    }
}
