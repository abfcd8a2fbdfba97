//! What the benchmarks share: timing through criterion, peak memory, and the roofline beneath each group.

pub mod memory;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use crosspike::rng::philox4x32;

/// Criterion with so many samples in so many seconds: the whole of `cargo bench` takes minutes.
pub fn criterion(samples: usize, seconds: f64) -> Criterion {
    Criterion::default()
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs_f64(seconds))
        .configure_from_args()
}

/// Runs a benchmark and gives the median seconds of its samples; none where criterion left it out.
pub fn time<R>(group: &mut BenchmarkGroup<WallTime>, name: &str, mut run: impl FnMut() -> R) -> Option<f64> {
    let mut samples = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let start = Instant::now();
            for _ in 0..times {
                black_box(run());
            }
            let taken = start.elapsed();
            samples.push(taken.as_secs_f64() / times as f64);
            taken
        });
    });
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// A word that looks random, the same in every run.
pub fn word(seed: u32, i: usize) -> u32 {
    philox4x32([seed, 0], [(i / 4) as u32, 0, 0, 0])[i % 4]
}

/// A number from −1 to 1 that looks random, the same in every run.
pub fn number(seed: u32, i: usize) -> f32 {
    word(seed, i) as i32 as f32 / (1u32 << 31) as f32
}
