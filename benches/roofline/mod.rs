//! The roofline: what a kernel computes and moves, held against ceilings that are measured in the same run.
//!
//! A kernel can be no faster than its operations at the arithmetic ceiling of its instructions, nor than its bytes at
//! the rate of a copy whose operands are as large as the kernel's. The share is the longer of these two times over the
//! time measured. Bytes are those of the operands and results, each once. A processor's clock changes with its load, so
//! the arithmetic ceiling is measured right before and after each kernel, and the higher one counts.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use crosspike::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, Strided};
use crosspike::kernels::{Buffer, Instructions, vectorised};

use crate::common::{memory, time};

/// What a kernel's operations run on.
#[derive(Clone, Copy, PartialEq)]
pub enum Arithmetic {
    /// Products of bytes.
    Bytes(Instructions),
    /// Additions and multiplications of f32, or operations of 32-bit integers, in vectors.
    Lanes,
}

impl Arithmetic {
    /// Operations a second, at most.
    fn peak(self) -> f64 {
        match self {
            Arithmetic::Bytes(set) => product_peak(set),
            Arithmetic::Lanes => lanes_peak(),
        }
    }
}

/// What a kernel computes and moves in one run.
#[derive(Clone, Copy)]
pub struct Work {
    /// Operations that the result asks for: an addition or a multiplication each.
    pub useful: f64,
    /// Operations that the kernel executes, with digits and padding; 0 where they are not counted.
    pub executed: f64,
    /// Bytes of operands and results.
    pub bytes: f64,
    /// What the operations run on.
    pub arithmetic: Arithmetic,
}

/// Measures kernels against ceilings, on one thread.
pub struct Roofline {
    copies: BTreeMap<u32, f64>,
    lines: Vec<String>,
}

impl Roofline {
    /// Measures ceilings and prints them.
    pub fn new() -> Self {
        for &set in Instructions::available() {
            let peak = Arithmetic::Bytes(set).peak();
            println!("ceiling: {:.0} GOP/s, products of bytes in the first cache, {set:?}", peak / 1e9);
        }
        let peak = Arithmetic::Lanes.peak();
        println!("ceiling: {:.0} GOP/s, f32 additions and multiplications in the first cache", peak / 1e9);
        let mut roofline = Roofline { copies: BTreeMap::new(), lines: Vec::new() };
        for size in [1 << 15, 1 << 20, 1 << 29] {
            let rate = roofline.copy_rate(f64::from(size));
            println!("ceiling: {:.1} GB/s, a copy of {} KiB", rate / 1e9, size >> 10);
        }
        roofline
    }

    /// Bytes a second, read and written, of a copy that touches `bytes` in all.
    fn copy_rate(&mut self, bytes: f64) -> f64 {
        let class = (bytes.log2().round() as u32).clamp(13, 29);
        *self.copies.entry(class).or_insert_with(|| copy_rate(1 << (class - 1)))
    }

    /// Times a kernel through criterion and keeps its line.
    pub fn measure<R>(&mut self, group: &mut BenchmarkGroup<WallTime>, name: &str, work: Work, run: impl FnMut() -> R) {
        let before = work.arithmetic.peak();
        memory::reset();
        let Some(seconds) = time(group, name, run) else { return };
        let peak = memory::peak();
        let arithmetic = before.max(work.arithmetic.peak());
        let (computing, moving) = (work.executed / arithmetic, work.bytes / self.copy_rate(work.bytes));
        let (bound, least) = if computing > moving { ("arithmetic", computing) } else { ("memory", moving) };
        let rate = |operations: f64| match operations {
            0.0 => "–".into(),
            operations => format!("{:.1}", operations / seconds / 1e9),
        };
        let millions = |operations: f64| match operations {
            0.0 => "–".into(),
            operations => format!("{:.2}", operations / 1e6),
        };
        let peak = peak.map_or("not measured".into(), |bytes| format!("{}", bytes >> 20));
        self.lines.push(format!(
            "| {name} | {:.1} | {} | {} | {:.3} | {} | {} | {:.1} | {bound} | {:.0} % | {peak} |",
            seconds * 1e6,
            millions(work.useful),
            millions(work.executed),
            work.bytes / 1e6,
            rate(work.useful),
            rate(work.executed),
            work.bytes / seconds / 1e9,
            100.0 * least / seconds,
        ));
    }

    /// Prints the lines of a group that has ended, as a table in Markdown.
    pub fn print(&mut self, group: &str) {
        if self.lines.is_empty() {
            return;
        }
        println!(
            "\n| {group} | µs | useful MOP | executed MOP | MB | useful GOP/s | executed GOP/s | GB/s | bound by | \
             share of the ceiling | peak memory, MiB |\n|---|---|---|---|---|---|---|---|---|---|---|"
        );
        self.lines.drain(..).for_each(|line| println!("{line}"));
        println!();
    }
}

/// Seconds of the fastest of many runs.
fn fastest(mut run: impl FnMut()) -> f64 {
    run();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed().as_secs_f64() < 0.05 {
        let begin = Instant::now();
        run();
        best = best.min(begin.elapsed().as_secs_f64());
    }
    best
}

/// Operations a second of the product of bytes on operands that stay in the first cache: 96 rows that overlap, so long
/// that their sums are hardly ever written.
fn product_peak(set: Instructions) -> f64 {
    const ROWS: usize = 3 * ROWS_AT_ONCE;
    const RUN: usize = 512;
    let mut right = Digits::zeros(1, 2 * LANES, 1, RUN);
    right.fill(|_, _, first, rows| rows.fill([first as i32 / 4 % 7 - 3; LANES]));
    let mut bytes = Buffer::<u8>::zeros(Strided::reach(ROWS, 64, RUN));
    bytes.fill(1);
    let left = Strided { bytes: &bytes, stride: 64, rows: ROWS, runs: &[0] };
    let mut out = Buffer::<i32>::zeros(right.tiles() * ROWS * LANES);
    let times = if set == Instructions::Portable { 1 } else { 20 };
    let seconds = fastest(|| {
        for _ in 0..times {
            right.product(set, black_box(left), (0, 0), false, &mut out);
        }
    });
    (2 * ROWS * RUN * right.tiles() * LANES * times) as f64 / seconds
}

/// Operations a second of multiplications and additions of f32 on values in the first cache.
fn lanes_peak() -> f64 {
    const TIMES: usize = 1000;
    let mut values = [1.0f32; VALUES];
    let seconds = fastest(|| {
        for _ in 0..TIMES {
            multiply_and_add(black_box(&mut values), black_box(0.999), black_box(0.001));
        }
    });
    (2 * CHAIN * VALUES * TIMES) as f64 / seconds
}

/// Multiplications and additions of a chain, so that arithmetic and not the cache sets the pace, and values that have
/// one each.
const CHAIN: usize = 8;
const VALUES: usize = 1024;

vectorised! {
    fn multiply_and_add(values: &mut [f32; VALUES], factor: f32, term: f32) {
        for value in values {
            for _ in 0..CHAIN {
                *value = *value * factor + term;
            }
        }
    }
}

/// Bytes a second, read and written, of a copy of `bytes`.
fn copy_rate(bytes: usize) -> f64 {
    let from = vec![1u8; bytes];
    let mut to = vec![2u8; bytes];
    let times = (1usize << 20).div_ceil(bytes);
    let seconds = fastest(|| {
        for _ in 0..times {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        }
    });
    (2 * bytes * times) as f64 / seconds
}
