//! The most that an adapter gives, as small kernels measure it: the end of the yardstick that other kernels are held
//! against.

use std::time::{Duration, Instant};

use bytemuck::Zeroable;
use wgpu::BufferUsages;

use super::GpuEngine;
use super::context::Context;
use super::settings::{Layer, Run, WORKGROUP};
use super::shaders::{MULTIPLIED, ShaderKernel};
use super::stamps::Stamps;
use super::times::KernelTimes;
use crate::error::Result;

/// Bytes that are copied, at most.
const COPY_BYTES: u64 = 256 << 20;
/// Workgroups that multiply, and the threads of each.
const GROUPS: usize = 1 << 13;
const THREADS: usize = 256;
/// Sums of a thread.
const SUMS: usize = 16;
/// Runs, the quickest of which counts, and how long others warm up, for a card's clock to rise.
const RUNS: usize = 5;
const WARM: Duration = Duration::from_millis(300);

/// The rates that an adapter reached.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Bytes read and written in a second, of a copy from buffer to buffer.
    pub bytes_per_second: f64,
    /// Additions and multiplications of `f32` in a second.
    pub operations_per_second: f64,
}

impl GpuEngine {
    /// Measures the adapter's copy of memory and its arithmetic: by its own clock where it has one, else by this
    /// machine's. `share`, up to 1, is the part of the arithmetic that is done: a card takes a few milliseconds for
    /// all, a driver that computes on the processor minutes.
    #[doc(hidden)]
    pub fn ceilings(&self, share: f64) -> Result<Ceilings> {
        let context = &self.context;
        let bytes = COPY_BYTES.min(context.limits.buffer_bytes) & !255;
        let groups = (GROUPS as f64 * share).ceil() as usize;
        let copied = seconds(context, ShaderKernel::Copied, bytes, (bytes / 16) as usize / WORKGROUP as usize)?;
        let multiplied = seconds(context, ShaderKernel::Multiplied, 1 << 20, groups)?;
        let operations = 2 * groups * THREADS * SUMS * MULTIPLIED as usize;
        Ok(Ceilings {
            bytes_per_second: 2.0 * bytes as f64 / copied,
            operations_per_second: operations as f64 / multiplied,
        })
    }
}

/// The seconds of a kernel's quickest run.
fn seconds(context: &Context, kernel: ShaderKernel, bytes: u64, groups: usize) -> Result<f64> {
    context.guard(|| {
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let layer = context.layer(Layer::zeroed(), &[], &[]);
        let run = context.buffer("run", size_of::<Run>() as u64, BufferUsages::UNIFORM);
        let [from, to] = ["from", "to"].map(|label| context.buffer(label, bytes, storage));
        let counts = context.buffer("counts", 16, storage);
        let staging = context.buffer("staging", 32, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let flow = context.flow(&run, &from, &to, &counts, &from);
        let (mut quickest, mut runs, first) = (f64::INFINITY, 0, Instant::now());
        while runs < RUNS {
            runs += usize::from(first.elapsed() > WARM);
            let (mut commands, began) = (context.encoder(), Instant::now());
            let mut stamps = Stamps::new(context, 1).ok();
            let mut pass = match &mut stamps {
                Some(stamps) => stamps.pass(&mut commands, String::new()),
                None => commands.begin_compute_pass(&Default::default()),
            };
            context.dispatch(&mut pass, kernel, (&layer, &flow), groups, 1);
            drop(pass);
            let source = stamps.as_ref().map_or((&counts, 16), |stamps| stamps.resolve(&mut commands));
            let words = context.finish(commands, &staging, &[source])?;
            let mut times = KernelTimes::default();
            if let Some(stamps) = stamps {
                stamps.add_to(&mut times, &words);
            }
            let elapsed = times.0.first().map_or(began.elapsed(), |(_, time)| *time);
            quickest = quickest.min(elapsed.as_secs_f64());
        }
        Ok(quickest)
    })
}
